//! What the user asked for on the command line, validated but not yet acted on.

use std::fmt;

use camino::Utf8PathBuf;
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to build and how; the same for `build` and `plan`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Selection {
    /// `--manifest-path`.
    pub manifest_path: Option<Utf8PathBuf>,
    /// Target words as typed: triples, platforms, devices, groups; empty means configuration or the default matrix.
    pub targets: Vec<String>,
    /// `-p`.
    pub packages: Vec<String>,
    /// `--workspace`.
    pub workspace: bool,
    /// `--exclude`.
    pub exclude: Vec<String>,
    /// `--bin`.
    pub bins: Vec<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// cargo's feature flags.
    pub features: Features,
    /// `--locked`.
    pub locked: bool,
    /// `--offline`.
    pub offline: bool,
    /// `--target-dir`.
    pub target_dir: Option<Utf8PathBuf>,
    /// `--dist-dir`.
    pub dist_dir: Option<Utf8PathBuf>,
    /// `--route [TARGET=]ROUTE`.
    pub routes: Vec<ForcedRoute>,
    /// `--no-provision`.
    pub no_provision: bool,
    /// `--ignore-needs`.
    pub ignore_needs: bool,
    /// `--engine`.
    pub engine: Option<EngineChoice>,
    /// `-j`.
    pub jobs: Option<String>,
    /// Everything after `--`.
    pub cargo_args: Vec<String>,
}

/// cargo's own feature flags.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Features {
    /// `-F`, each possibly `package/feature`.
    pub list: Vec<String>,
    /// `--all-features`.
    pub all: bool,
    /// `--no-default-features`.
    pub no_default: bool,
}

impl Features {
    /// The flags as cargo takes them.
    pub fn to_args(&self) -> Vec<String> {
        let mut args = Vec::new();
        if !self.list.is_empty() {
            args.push("--features".to_owned());
            args.push(self.list.join(","));
        }
        if self.all {
            args.push("--all-features".to_owned());
        }
        if self.no_default {
            args.push("--no-default-features".to_owned());
        }
        args
    }
}

/// `--route [TARGET=]ROUTE`.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct ForcedRoute {
    /// The target word it is for; every target without one.
    pub target: Option<String>,
    /// The route.
    pub route: RouteKind,
}

/// What `build` does beyond the selection.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// `--keep`: retain files of earlier runs and their rows.
    pub keep: bool,
    /// `--smoke`: start each binary.
    pub smoke: bool,
    /// `--events FILE`.
    pub events: Option<Utf8PathBuf>,
}

/// A way to build for a target.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RouteKind {
    /// The native target, as cargo builds it.
    Host,
    /// rustup's standard library and `rust-lld`, without a C compiler.
    Lld,
    /// A cross gcc from the distribution, or a compiler configured by the user.
    Gcc,
    /// zig as C compiler, and as linker (except for macOS).
    Zig,
    /// A container, in which one of the other routes is used.
    Container,
    /// An installed `cross`; only used on request.
    Cross,
    /// An installed `cargo-xwin`, which brings Microsoft's SDK; only used on request.
    Xwin,
}

impl RouteKind {
    /// Every route.
    pub const ALL: [RouteKind; 7] = [
        RouteKind::Host,
        RouteKind::Lld,
        RouteKind::Gcc,
        RouteKind::Zig,
        RouteKind::Container,
        RouteKind::Cross,
        RouteKind::Xwin,
    ];

    /// Its name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            RouteKind::Host => "host",
            RouteKind::Lld => "lld",
            RouteKind::Gcc => "gcc",
            RouteKind::Zig => "zig",
            RouteKind::Container => "container",
            RouteKind::Cross => "cross",
            RouteKind::Xwin => "xwin",
        }
    }

    /// Whether it hands the build to another tool, with all that this one brings.
    pub fn is_foreign(self) -> bool {
        matches!(self, RouteKind::Cross | RouteKind::Xwin)
    }

    /// The route with this name.
    pub fn from_name(name: &str) -> Option<RouteKind> {
        RouteKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which container engine is used.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum EngineChoice {
    /// The first that works.
    #[default]
    Auto,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// None: nothing is built in a container.
    None,
}

impl EngineChoice {
    /// Every choice.
    pub const ALL: [EngineChoice; 4] =
        [EngineChoice::Docker, EngineChoice::Podman, EngineChoice::None, EngineChoice::Auto];

    /// Its name on the command line and in configuration.
    pub fn name(self) -> &'static str {
        match self {
            EngineChoice::Auto => "auto",
            EngineChoice::Docker => "docker",
            EngineChoice::Podman => "podman",
            EngineChoice::None => "none",
        }
    }

    /// The choice with this name.
    pub fn from_name(name: &str) -> Option<EngineChoice> {
        EngineChoice::ALL.into_iter().find(|choice| choice.name() == name)
    }
}

impl fmt::Display for EngineChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The outputs that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// `dist/manifest.json` and `build --json`.
    Manifest,
    /// `plan --json`.
    Plan,
    /// `targets --json`.
    Targets,
    /// `verify --json`.
    Verify,
    /// `cache list --json`.
    Cache,
    /// `cache verify --json`.
    CacheVerify,
    /// `supply list --json`.
    Supply,
    /// `supply verify --json`.
    SupplyVerify,
    /// `images list --json`.
    Images,
    /// `why --json`.
    Why,
    /// `doctor --json`.
    Doctor,
    /// One line of `build --events`.
    Event,
}
