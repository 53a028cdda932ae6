//! What the user asked for on the command line, validated but not yet acted on.

use camino::Utf8PathBuf;
use serde::Serialize;

use crate::plan::RouteKind;

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
