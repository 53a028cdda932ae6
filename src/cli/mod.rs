//! The command line: clap definitions → [`crate::model::request`]; validates, does nothing.

mod cargo_args;

use camino::Utf8PathBuf;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::model::request::SchemaKind;
use crate::model::request::{BuildOptions, EngineChoice, Features, ForcedRoute, RouteKind, Selection};
use crate::util::suggest::nearest;

const EXIT_CODES: &str = "\
Exit codes:
  0    everything asked for was built and verified
  1    a target failed to build
  2    bad usage or configuration
  3    a target is blocked on this machine (nothing was attempted for it)
  4    a binary failed verification
  5    convoy could not do its own work (disk, network, provisioning, unreadable file)
  129, 130, 143   ended by SIGHUP, SIGINT, SIGTERM
With several, the first of 4, 1, 5, 3 that occurred.";

/// One command, one verified binary per platform
#[derive(Debug, Parser)]
#[command(name = "cargo-convoy", bin_name = "cargo convoy", version, after_help = EXIT_CODES, styles = clap_cargo_styles())]
#[command(propagate_version = true, infer_subcommands = false)]
pub struct Cli {
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// How much is said, and in which colours.
#[derive(Args, Clone, Debug, Default)]
pub struct OutputArgs {
    /// Say more; twice for cargo's own output
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", env = "CONVOY_COLOR", hide_env = true)]
    pub color: ColorWhen,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a verified binary for every target of the matrix
    Build(BuildArgs),
    /// Print what `build` would do, and why; starts no build and goes nowhere online
    Plan(PlanCommandArgs),
    /// Show why something is needed, by which way through the dependencies, and the ways out
    Why(WhyArgs),
    /// Hold what this machine offers against what the project needs, and say what mends each lack
    Doctor(PlanArgs),
    /// List the known targets, platforms and devices, and the routes possible on this machine
    Targets(JsonArgs),
    /// Inspect any binary
    Verify(VerifyArgs),
    /// Print the JSON Schema of a `--json` output, of the manifest, or of an event line
    Schema(SchemaArgs),
    /// List or remove what convoy keeps outside the project
    #[command(subcommand)]
    Cache(CacheCommand),
    /// List, renew, verify, pack or unpack the Debian packages that targets take libraries from
    #[command(subcommand)]
    Supply(SupplyCommand),
    /// List, remove, renew or publish the images with tools that targets are built in
    #[command(subcommand)]
    Images(ImagesCommand),
    /// Write a commented Convoy.toml; never overwrites
    Init(InitArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Write the man pages into a folder
    Man(ManArgs),
    /// zig as compiler and linker, called by convoy's own wrapper scripts
    #[command(subcommand, hide = true)]
    Zig(cargo_zigbuild::Zig),
    /// The linker shim, called by convoy's own wrapper scripts
    #[command(hide = true)]
    Link(LinkArgs),
}

#[derive(Args, Debug)]
pub struct SelectionArgs {
    /// Target to build for (repeatable, comma lists): a triple, a triple with a glibc floor
    /// (aarch64-unknown-linux-gnu.2.28), a platform (linux/arm/v7), a device (pi-4), or a group
    /// (linux, darwin, windows, pi, all)
    #[arg(short, long = "target", value_name = "TARGET", value_delimiter = ',', help_heading = "Selection")]
    targets: Vec<String>,
    /// Package to build (repeatable)
    #[arg(short, long = "package", value_name = "SPEC", help_heading = "Selection")]
    packages: Vec<String>,
    /// Build all members of the workspace
    #[arg(long, help_heading = "Selection")]
    workspace: bool,
    /// Member to leave out of the workspace (repeatable)
    #[arg(long, value_name = "SPEC", requires = "workspace", help_heading = "Selection")]
    exclude: Vec<String>,
    /// Binary to build (repeatable)
    #[arg(long = "bin", value_name = "NAME", help_heading = "Selection")]
    bins: Vec<String>,
    /// Profile to build with [default: release]
    #[arg(long, value_name = "NAME", help_heading = "Selection")]
    profile: Option<String>,
    /// Features to activate (repeatable, comma or space lists)
    #[arg(short = 'F', long, value_name = "FEATURES", help_heading = "Selection")]
    features: Vec<String>,
    /// Activate all features
    #[arg(long, help_heading = "Selection")]
    all_features: bool,
    /// Do not activate the `default` feature
    #[arg(long, help_heading = "Selection")]
    no_default_features: bool,
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH", help_heading = "Selection")]
    manifest_path: Option<Utf8PathBuf>,
    /// Assert that Cargo.lock stays as it is
    #[arg(long, help_heading = "How")]
    locked: bool,
    /// Run without the network
    #[arg(long, help_heading = "How")]
    offline: bool,
    /// Equivalent to --locked and --offline
    #[arg(long, help_heading = "How")]
    frozen: bool,
    /// Folder for what is built on the way
    #[arg(long, value_name = "DIR", help_heading = "How")]
    target_dir: Option<Utf8PathBuf>,
    /// Folder for the verified binaries [default: dist]
    #[arg(long, value_name = "DIR", help_heading = "How")]
    dist_dir: Option<Utf8PathBuf>,
    /// Force a route (host, lld, gcc, zig, container, cross), for all targets or for one
    #[arg(long = "route", value_name = "[TARGET=]ROUTE", value_parser = parse_route, help_heading = "How")]
    routes: Vec<ForcedRoute>,
    /// Bring nothing to this machine: no rustup target, no zig
    #[arg(long, help_heading = "How")]
    no_provision: bool,
    /// Attempt what the plan would block for a library, a tool or a download that is not there
    #[arg(long, help_heading = "How")]
    ignore_needs: bool,
    /// Container engine: docker, podman, none (no containers), or auto, which takes the first that works
    #[arg(long, value_name = "ENGINE", value_parser = parse_engine, help_heading = "How")]
    engine: Option<EngineChoice>,
    /// Number of parallel jobs
    #[arg(short, long, value_name = "N", allow_hyphen_values = true, help_heading = "How")]
    jobs: Option<String>,
    /// Arguments for cargo itself
    #[arg(last = true, value_name = "CARGO_ARGS")]
    cargo_args: Vec<String>,
}

#[derive(Args, Debug)]
pub struct BuildArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Keep what earlier runs left in the dist folder, and its rows in the manifest
    #[arg(long, help_heading = "How")]
    keep: bool,
    /// Start every binary once (`--version`): natively, under qemu-user or under wine
    #[arg(long, help_heading = "How")]
    smoke: bool,
    /// Write one JSON object a line about everything that happens (`-`: standard output)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    events: Option<Utf8PathBuf>,
    /// Print the manifest as JSON on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct PlanArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Print JSON on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct PlanCommandArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// Print the Dockerfiles of the images that convoy would compose for the plan on standard output
    #[arg(long, help_heading = "Output", conflicts_with = "json")]
    pub dockerfile: bool,
}

#[derive(Args, Debug)]
pub struct WhyArgs {
    /// A crate of the graph, or a need: a tool (cmake), a library (openssl), a framework, or a kind (c-compiler)
    #[arg(value_name = "CRATE|NEED")]
    pub subject: String,
    #[command(flatten)]
    plan: PlanArgs,
}

#[derive(Args, Debug)]
pub struct JsonArgs {
    /// Print JSON on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Files to inspect
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<Utf8PathBuf>,
    /// What the files are expected to be, such as linux/arm/v6 or aarch64-unknown-linux-gnu.2.31
    #[arg(short, long, value_name = "TARGET")]
    pub target: Option<String>,
    /// Print JSON on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct SchemaArgs {
    /// Which output
    pub kind: Option<SchemaKind>,
}

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List what is kept
    List(JsonArgs),
    /// Remove what is kept; a dry run unless --force
    Clean {
        /// Really remove
        #[arg(long)]
        force: bool,
    },
    /// Read zig, packages and sysroots, and compare them with what was published or unpacked
    Verify(JsonArgs),
}

#[derive(Debug, Subcommand)]
pub enum SupplyCommand {
    /// List the sysroots that are unpacked on this machine, with size and last use
    List(JsonArgs),
    /// Choose the packages of Convoy.lock anew, from what the archive has now. Without a selection: those of all members,
    /// and what no target of the project asks for is forgotten
    Update(Box<SelectedArgs>),
    /// Hold every package of Convoy.lock against the signed index of its archive
    Verify(SupplyVerifyArgs),
    /// Write one file with the packages of Convoy.lock that the project's targets ask for, for a machine without network
    /// or a CI cache
    Pack(Box<SupplyPackArgs>),
    /// Take the packages of a packed file into convoy's cache
    Unpack {
        /// The packed file
        #[arg(value_name = "FILE")]
        file: Utf8PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum ImagesCommand {
    /// List convoy's images on this machine's engine
    List(ImagesListArgs),
    /// Remove convoy's images from this machine's engine; a dry run unless --force
    Clean {
        /// Container engine: docker, podman, or auto, which takes the first that works
        #[arg(long, value_name = "ENGINE", value_parser = parse_engine)]
        engine: Option<EngineChoice>,
        /// Really remove
        #[arg(long)]
        force: bool,
    },
    /// Publish the images of the plan where `container.registry` says; builds what is missing
    Push(Box<SelectedArgs>),
    /// Make the images of the plan anew with the packages of today, and move Convoy.lock on
    Update(Box<SelectedArgs>),
}

#[derive(Args, Debug)]
pub struct ImagesListArgs {
    /// Container engine: docker, podman, or auto, which takes the first that works
    #[arg(long, value_name = "ENGINE", value_parser = parse_engine)]
    pub engine: Option<EngineChoice>,
    /// Print JSON on standard output
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
    /// The file to write
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
    /// Print JSON on standard output
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
    /// The shell
    pub shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub struct ManArgs {
    /// The folder to write into
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
                format!("`{}` cannot be handed on to cargo: {}", refused.flag, refused.reason),
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
                "`--json` and `--events -` would both write to standard output: give `--events` a file",
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
            let near = nearest(route, known).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            Err(format!("unknown route `{route}`{near} (one of {})", known.join(", ")))
        }
    }
}

fn parse_engine(text: &str) -> Result<EngineChoice, String> {
    let known = EngineChoice::ALL.map(EngineChoice::name);
    EngineChoice::from_name(text).ok_or_else(|| {
        let near = nearest(text, known).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
        format!("unknown engine `{text}`{near} (one of {})", known.join(", "))
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
pub fn without_cargo_prefix(
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
