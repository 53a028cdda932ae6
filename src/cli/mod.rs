//! Groups of arguments that several commands share → [`crate::model::request`]; validates, does nothing. A command's own
//! arguments are beside it in [`crate::command`].

mod cargo_args;

use camino::Utf8PathBuf;
use clap::{Args, ValueEnum};

use crate::model::request::{BuildOptions, EngineChoice, Features, ForcedRoute, RouteKind, Selection};
use crate::util::suggest::nearest;

/// How much is printed, and whether in color.
#[derive(Args, Clone, Debug, Default)]
pub struct OutputArgs {
    /// Use verbose output (-vv to include cargo's own output)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// When to use colors
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", env = "CONVOY_COLOR", hide_env = true)]
    pub color: ColorWhen,
}

/// When to use colors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// Use colors if the output is a terminal
    #[default]
    Auto,
    /// Always use colors
    Always,
    /// Never use colors
    Never,
}

#[derive(Args, Debug)]
pub(crate) struct SelectionArgs {
    /// Target to build for (repeatable, or comma-separated): a triple, a triple with a minimum glibc
    /// version (aarch64-unknown-linux-gnu.2.28), a platform (linux/arm/v7), a device (pi-4), or a
    /// group (linux, darwin, windows, pi, all)
    #[arg(short, long = "target", value_name = "TARGET", value_delimiter = ',', help_heading = "Target Selection")]
    targets: Vec<String>,
    /// Package to build (repeatable)
    #[arg(short, long = "package", value_name = "SPEC", help_heading = "Package Selection")]
    packages: Vec<String>,
    /// Build all packages in the workspace
    #[arg(long, help_heading = "Package Selection")]
    workspace: bool,
    /// Exclude a member of the workspace from the build (repeatable)
    #[arg(long, value_name = "SPEC", requires = "workspace", help_heading = "Package Selection")]
    exclude: Vec<String>,
    /// Build only the specified binary (repeatable)
    #[arg(long = "bin", value_name = "NAME", help_heading = "Package Selection")]
    bins: Vec<String>,
    /// Build with the specified profile [default: release]
    #[arg(long, value_name = "NAME", help_heading = "Build Options")]
    profile: Option<String>,
    /// Space or comma separated list of features to activate (repeatable)
    #[arg(short = 'F', long, value_name = "FEATURES", help_heading = "Feature Selection")]
    features: Vec<String>,
    /// Activate all available features
    #[arg(long, help_heading = "Feature Selection")]
    all_features: bool,
    /// Do not activate the `default` feature
    #[arg(long, help_heading = "Feature Selection")]
    no_default_features: bool,
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH", help_heading = "Manifest Options")]
    manifest_path: Option<Utf8PathBuf>,
    /// Assert that `Cargo.lock` and `Convoy.lock` will remain unchanged
    #[arg(long, help_heading = "Manifest Options")]
    locked: bool,
    /// Run without accessing the network
    #[arg(long, help_heading = "Manifest Options")]
    offline: bool,
    /// Equivalent to specifying both --locked and --offline
    #[arg(long, help_heading = "Manifest Options")]
    frozen: bool,
    /// Directory for all generated artifacts
    #[arg(long, value_name = "DIR", help_heading = "Build Options")]
    target_dir: Option<Utf8PathBuf>,
    /// Directory for the verified binaries [default: dist]
    #[arg(long, value_name = "DIR", help_heading = "Build Options")]
    dist_dir: Option<Utf8PathBuf>,
    /// Use this route (host, lld, gcc, zig, container, cross or xwin), for all targets or for one (repeatable)
    #[arg(long = "route", value_name = "[TARGET=]ROUTE", value_parser = parse_route, help_heading = "Build Options")]
    routes: Vec<ForcedRoute>,
    /// Do not download or install anything (rustup targets, zig, sysroots, images)
    #[arg(long, help_heading = "Build Options")]
    no_provision: bool,
    /// Build targets even if a required library, tool or download is missing
    #[arg(long, help_heading = "Build Options")]
    ignore_needs: bool,
    /// Container engine: docker, podman, none (do not use containers), or auto (the first that works)
    #[arg(long, value_name = "ENGINE", value_parser = parse_engine, help_heading = "Build Options")]
    engine: Option<EngineChoice>,
    /// Number of parallel jobs, defaults to number of CPUs
    #[arg(short, long, value_name = "N", allow_hyphen_values = true, help_heading = "Build Options")]
    jobs: Option<String>,
    /// Arguments to pass to `cargo build`
    #[arg(last = true, value_name = "CARGO_ARGS")]
    cargo_args: Vec<String>,
}

#[derive(Args, Debug)]
pub struct BuildArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Keep the binaries of earlier runs in the dist directory and the manifest
    #[arg(long, help_heading = "Build Options")]
    keep: bool,
    /// Run each binary once with `--version`: natively, under qemu-user or under Wine
    #[arg(long, help_heading = "Build Options")]
    smoke: bool,
    /// Write events to FILE as they happen, one JSON object per line (`-` for standard output)
    #[arg(long, value_name = "FILE", help_heading = "Output Options")]
    events: Option<Utf8PathBuf>,
    /// Print the manifest as JSON
    #[arg(long, help_heading = "Output Options")]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct PlanArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Print the output as JSON
    #[arg(long, help_heading = "Output Options")]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct JsonArgs {
    /// Print the output as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct SelectedArgs {
    #[command(flatten)]
    selection: SelectionArgs,
}

impl SelectedArgs {
    /// The selection.
    pub fn validate(self) -> Result<Selection, clap::Error> {
        self.selection.validate()
    }
}

impl SelectionArgs {
    pub(crate) fn validate(self) -> Result<Selection, clap::Error> {
        let cargo = cargo_args::sort(self.cargo_args).map_err(|refused| {
            usage_error(
                clap::error::ErrorKind::ArgumentConflict,
                format!("`{}` cannot be passed on to cargo: {}", refused.flag, refused.reason),
            )
        })?;
        let split = |list: &[String]| {
            list.iter()
                .flat_map(|item| item.split([',', ' ']))
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect()
        };
        Ok(Selection {
            manifest_path: self.manifest_path,
            targets: self.targets.into_iter().map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect(),
            packages: self.packages,
            workspace: self.workspace,
            exclude: self.exclude,
            bins: self.bins,
            profile: self.profile,
            features: Features {
                list: split(&self.features),
                all: self.all_features,
                no_default: self.no_default_features,
            },
            locked: self.locked || self.frozen || cargo.locked,
            offline: self.offline || self.frozen || cargo.offline,
            target_dir: self.target_dir,
            dist_dir: self.dist_dir,
            routes: self.routes,
            no_provision: self.no_provision,
            ignore_needs: self.ignore_needs,
            engine: self.engine,
            jobs: self.jobs,
            cargo_args: cargo.rest,
        })
    }
}

impl BuildArgs {
    /// The validated request.
    pub fn validate(self) -> Result<(Selection, BuildOptions), clap::Error> {
        let options = BuildOptions { keep: self.keep, smoke: self.smoke, events: self.events };
        if self.json && options.events.as_deref().is_some_and(|path| path == "-") {
            return Err(usage_error(
                clap::error::ErrorKind::ArgumentConflict,
                "`--json` and `--events -` cannot be used together: both write to standard output",
            ));
        }
        Ok((self.selection.validate()?, options))
    }
}

impl PlanArgs {
    /// The validated request.
    pub fn validate(self) -> Result<Selection, clap::Error> {
        self.selection.validate()
    }
}

fn parse_route(text: &str) -> Result<ForcedRoute, String> {
    let (target, route) = match text.rsplit_once('=') {
        Some((target, route)) => (Some(target.to_owned()), route),
        None => (None, text),
    };
    let known = RouteKind::ALL.map(RouteKind::name);
    match RouteKind::from_name(route) {
        Some(route) => Ok(ForcedRoute { target, route }),
        None => {
            let near = nearest(route, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            Err(format!("unknown route `{route}`{near} (possible values: {})", known.join(", ")))
        }
    }
}

pub(crate) fn parse_engine(text: &str) -> Result<EngineChoice, String> {
    let known = EngineChoice::ALL.map(EngineChoice::name);
    EngineChoice::from_name(text).ok_or_else(|| {
        let near = nearest(text, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("unknown engine `{text}`{near} (possible values: {})", known.join(", "))
    })
}

/// The colors of cargo's own help.
pub(crate) fn styles() -> clap::builder::Styles {
    use clap::builder::styling::{AnsiColor, Effects, Styles};
    Styles::styled()
        .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
        .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
        .literal(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
        .placeholder(AnsiColor::Cyan.on_default())
}

/// What is wrong with arguments that are right each by itself.
fn usage_error(kind: clap::error::ErrorKind, message: impl std::fmt::Display) -> clap::Error {
    let command = clap::Command::new("cargo-convoy").bin_name("cargo convoy").styles(styles());
    command.override_usage("cargo convoy [OPTIONS] <COMMAND>").error(kind, message)
}

/// The arguments without the `convoy` that cargo puts first when it starts a subcommand.
pub(crate) fn without_cargo_prefix(
    args: impl IntoIterator<Item = std::ffi::OsString>,
) -> impl Iterator<Item = std::ffi::OsString> {
    let mut args = args.into_iter().peekable();
    let program = args.next();
    // `cargo convoy build` starts `cargo-convoy convoy build`; the word is not typed twice.
    args.next_if(|arg| arg == "convoy");
    program.into_iter().chain(args)
}
