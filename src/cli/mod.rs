//! The command line: clap definitions → [`crate::model::request`]; validates, does nothing.

mod cargo_args;

use camino::Utf8PathBuf;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::model::request::SchemaKind;
use crate::model::request::{BuildOptions, EngineChoice, Features, ForcedRoute, RouteKind, Selection};
use crate::util::suggest::nearest;

const EXIT_CODES: &str = "\
Exit codes:
  0    Every requested target was built and verified
  1    A target failed to build
  2    Invalid usage or configuration
  3    A target is blocked on this machine (its build was not attempted)
  4    A binary failed verification
  5    An internal step failed (disk, network, installation, unreadable file)
  129, 130, 143   Terminated by SIGHUP, SIGINT, SIGTERM
If several apply, the first one of 4, 1, 5, 3 is returned.";

/// Cross-compile a Cargo project for many platforms, and verify every binary
#[derive(Debug, Parser)]
#[command(name = "cargo-convoy", bin_name = "cargo convoy", version, after_help = EXIT_CODES, styles = clap_cargo_styles())]
#[command(propagate_version = true, infer_subcommands = false)]
pub struct Cli {
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(subcommand)]
    pub command: Command,
}

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

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build and verify the binaries for all selected targets
    Build(BuildArgs),
    /// Show what `build` would do, and why
    ///
    /// Builds nothing, and does not use the network.
    Plan(PlanCommandArgs),
    /// Show why a tool or library is needed, and how to avoid it
    ///
    /// Lists the dependency paths that require it, the features that enable them, and ways to fix it if it is missing.
    Why(WhyArgs),
    /// Check this machine against what the project needs
    ///
    /// Lists what is missing, and how to install it.
    Doctor(PlanArgs),
    /// List supported targets, platforms, devices and available routes
    Targets(JsonArgs),
    /// Inspect existing binaries
    Verify(VerifyArgs),
    /// Print the JSON Schemas of convoy's JSON output
    Schema(SchemaArgs),
    /// Manage convoy's cache
    ///
    /// The cache contains zig, sysroots and other files outside the project.
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Manage Debian packages that provide libraries for targets
    #[command(subcommand)]
    Supply(SupplyCommand),
    /// Manage the container images that targets are built in
    #[command(subcommand)]
    Images(ImagesCommand),
    /// Create a Convoy.toml with all settings commented out
    ///
    /// An existing file is never overwritten.
    Init(InitArgs),
    /// Generate a shell completion script
    Completions(CompletionsArgs),
    /// Generate the man pages
    Man(ManArgs),
    /// Run zig as compiler or linker (used by convoy's wrapper scripts)
    #[command(subcommand, hide = true)]
    Zig(cargo_zigbuild::Zig),
    /// Run the linker shim (used by convoy's wrapper scripts)
    #[command(hide = true)]
    Link(LinkArgs),
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
    /// Use this route (host, lld, gcc, zig, container or cross), for all targets or for one (repeatable)
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
pub struct PlanCommandArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// Print the Dockerfiles of the images that `build` would make
    #[arg(long, help_heading = "Output Options", conflicts_with = "json")]
    pub dockerfile: bool,
}

#[derive(Args, Debug)]
pub struct WhyArgs {
    /// A crate in the dependency graph, or a need: a tool (cmake), a library (openssl), a framework,
    /// or a kind of need (c-compiler)
    #[arg(value_name = "CRATE|NEED")]
    pub subject: String,
    #[command(flatten)]
    plan: PlanArgs,
}

#[derive(Args, Debug)]
pub struct JsonArgs {
    /// Print the output as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Files to inspect
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<Utf8PathBuf>,
    /// Target that the files should be built for, such as linux/arm/v6 or
    /// aarch64-unknown-linux-gnu.2.31 [default: detected from each file]
    #[arg(short, long, value_name = "TARGET")]
    pub target: Option<String>,
    /// Print the output as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct SchemaArgs {
    /// Output to describe [default: all]
    pub kind: Option<SchemaKind>,
}

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List the contents of the cache
    List(JsonArgs),
    /// Remove the contents of the cache (a dry run unless --force is given)
    Clean {
        /// Remove the files instead of only listing them
        #[arg(long)]
        force: bool,
    },
    /// Check the integrity of zig, packages and sysroots in the cache
    Verify(JsonArgs),
}

#[derive(Debug, Subcommand)]
pub enum SupplyCommand {
    /// List the sysroots on this machine, with their size and last use
    List(JsonArgs),
    /// Update the packages in Convoy.lock to current versions
    ///
    /// Without a selection, the packages for all workspace members are updated, and those that no
    /// target of the project needs are removed.
    Update(Box<SelectedArgs>),
    /// Check the packages in Convoy.lock against the archive's signed index
    Verify(SupplyVerifyArgs),
    /// Export the packages in Convoy.lock to a file
    ///
    /// The file can be imported on a machine without network, or kept in a CI cache.
    Pack(Box<SupplyPackArgs>),
    /// Import packages from a file written by `pack`
    Unpack {
        /// File written by `cargo convoy supply pack`
        #[arg(value_name = "FILE")]
        file: Utf8PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum ImagesCommand {
    /// List the images made by convoy
    List(ImagesListArgs),
    /// Remove the images made by convoy (a dry run unless --force is given)
    Clean {
        /// Container engine: docker, podman, or auto (the first that works)
        #[arg(long, value_name = "ENGINE", value_parser = parse_engine)]
        engine: Option<EngineChoice>,
        /// Remove the images instead of only listing them
        #[arg(long)]
        force: bool,
    },
    /// Build missing images, and push all of them to `container.registry`
    Push(Box<SelectedArgs>),
    /// Rebuild the images with current packages, and update Convoy.lock
    Update(Box<SelectedArgs>),
}

#[derive(Args, Debug)]
pub struct ImagesListArgs {
    /// Container engine: docker, podman, or auto (the first that works)
    #[arg(long, value_name = "ENGINE", value_parser = parse_engine)]
    pub engine: Option<EngineChoice>,
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

#[derive(Args, Debug)]
pub struct SupplyPackArgs {
    /// File to write
    #[arg(value_name = "FILE")]
    file: Utf8PathBuf,
    #[command(flatten)]
    selection: SelectionArgs,
}

impl SupplyPackArgs {
    /// The file and the selection.
    pub fn validate(self) -> Result<(Utf8PathBuf, Selection), clap::Error> {
        Ok((self.file, self.selection.validate()?))
    }
}

#[derive(Args, Debug)]
pub struct SupplyVerifyArgs {
    /// Print the output as JSON
    #[arg(long)]
    pub json: bool,
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<Utf8PathBuf>,
}

#[derive(Args, Debug)]
pub struct InitArgs {
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<Utf8PathBuf>,
}

#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Shell to generate the script for
    pub shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub struct ManArgs {
    /// Directory to write the man pages to
    #[arg(value_name = "DIR")]
    pub dir: Utf8PathBuf,
}

#[derive(Args, Debug)]
pub struct LinkArgs {
    /// `--linker LINKER --target TRIPLE -- ARGS…`, which the shim reads itself: a linker's arguments are not a shell's
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<std::ffi::OsString>,
}

impl SelectionArgs {
    fn validate(self) -> Result<Selection, clap::Error> {
        let cargo = cargo_args::sort(self.cargo_args).map_err(|refused| {
            Cli::command().error(
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
            return Err(Cli::command().error(
                clap::error::ErrorKind::ArgumentConflict,
                "`--json` and `--events -` cannot be used together: both write to standard output",
            ));
        }
        Ok((self.selection.validate()?, options))
    }
}

impl WhyArgs {
    /// The subject, the validated request, and whether JSON is asked for.
    pub fn validate(self) -> Result<(String, Selection, bool), clap::Error> {
        let json = self.plan.json;
        Ok((self.subject, self.plan.validate()?, json))
    }
}

impl PlanCommandArgs {
    /// The validated request, and whether JSON is asked for.
    pub fn validate(self) -> Result<(Selection, bool), clap::Error> {
        let json = self.plan.json;
        Ok((self.plan.validate()?, json))
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

fn parse_engine(text: &str) -> Result<EngineChoice, String> {
    let known = EngineChoice::ALL.map(EngineChoice::name);
    EngineChoice::from_name(text).ok_or_else(|| {
        let near = nearest(text, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("unknown engine `{text}`{near} (possible values: {})", known.join(", "))
    })
}

fn clap_cargo_styles() -> clap::builder::Styles {
    use clap::builder::styling::{AnsiColor, Effects, Styles};
    Styles::styled()
        .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
        .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
        .literal(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
        .placeholder(AnsiColor::Cyan.on_default())
}

/// The arguments without the `convoy` that cargo puts first when it starts a subcommand.
pub(crate) fn without_cargo_prefix(
    args: impl IntoIterator<Item = std::ffi::OsString>,
) -> impl Iterator<Item = std::ffi::OsString> {
    let mut args = args.into_iter().peekable();
    let program = args.next();
    // `cargo convoy build` starts `cargo-convoy convoy build`; nobody types the word twice.
    args.next_if(|arg| arg == "convoy");
    program.into_iter().chain(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(without_cargo_prefix(args.iter().map(Into::into)))
    }

    fn selection(args: &[&str]) -> Result<Selection, clap::Error> {
        let line: Vec<&str> = ["cargo-convoy", "convoy", "build"].iter().chain(args).copied().collect();
        match parse(&line)?.command {
            Command::Build(build) => Ok(build.validate()?.0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_texts_at_80_columns() {
        fn render(command: &mut clap::Command, text: &mut String) {
            let help = command.render_long_help();
            *text += &format!("$ {} --help\n{help}\n", command.get_bin_name().unwrap());
            command.get_subcommands_mut().filter(|sub| !sub.is_hide_set()).for_each(|sub| render(sub, text));
        }
        let mut command = Cli::command().term_width(80).disable_help_subcommand(true);
        command.build();
        let mut text = String::new();
        render(&mut command, &mut text);
        let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(long, [""; 0]);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn both_ways_of_calling_mean_the_same() {
        for args in [&["cargo-convoy", "convoy", "targets"][..], &["cargo-convoy", "targets"]] {
            assert!(matches!(parse(args).unwrap().command, Command::Targets(_)));
        }
    }

    #[test]
    fn target_lists_and_features_are_split() {
        let selection = selection(&["-t", "pi-4, linux/arm64", "-t", "all", "-F", "a b,c", "--", "--timings"]).unwrap();
        assert_eq!(selection.targets, ["pi-4", "linux/arm64", "all"]);
        assert_eq!(selection.features.list, ["a", "b", "c"]);
        assert_eq!(selection.cargo_args, ["--timings"]);
    }

    #[test]
    fn what_convoy_decides_is_not_handed_on() {
        for arg in ["--target=x", "--target-dir", "--profile", "--message-format=json"] {
            let error = selection(&["--", arg]).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("before the `--`"), "{error}");
        }
    }

    #[test]
    fn frozen_is_locked_and_offline_on_both_sides() {
        for args in [&["--frozen"][..], &["--", "--frozen"], &["--locked", "--", "--offline"]] {
            let selection = selection(args).unwrap();
            assert!(selection.locked && selection.offline && selection.cargo_args.is_empty(), "{args:?}");
        }
    }

    #[test]
    fn routes_name_a_target_or_all() {
        let routes = selection(&["--route", "zig", "--route", "linux/arm64=gcc"]).unwrap().routes;
        assert_eq!(routes[0], ForcedRoute { target: None, route: RouteKind::Zig });
        assert_eq!(routes[1], ForcedRoute { target: Some("linux/arm64".to_owned()), route: RouteKind::Gcc });
        let error = selection(&["--route", "zug"]).unwrap_err().to_string();
        assert!(error.contains("did you mean `zig`?"), "{error}");
    }

    #[test]
    fn engines_go_by_their_names() {
        assert_eq!(selection(&[]).unwrap().engine, None);
        for engine in EngineChoice::ALL {
            assert_eq!(selection(&["--engine", engine.name()]).unwrap().engine, Some(engine));
        }
        let error = selection(&["--engine", "dokcer"]).unwrap_err().to_string();
        assert!(error.contains("did you mean `docker`?"), "{error}");
    }
}
