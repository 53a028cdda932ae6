//! The output of `cargo metadata`, and what its errors mean.

use std::collections::BTreeSet;

use camino::Utf8Path;

use crate::machine;
use crate::machine::interrupt::Interrupt;
use crate::model::request::Selection;
use crate::plan::diagnose::cargo::{self, CargoFault};
use crate::project::graph::PackageSpec;
use crate::util::error::{Error, Result};

/// Whether cargo may go online while the graph is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) enum Network {
    /// `plan` resolves nothing online.
    Never,
    /// As the user's flags say.
    Allowed,
}

/// One project's graph, to be asked for.
pub(super) struct MetadataQuery<'a> {
    pub selection: &'a Selection,
    pub network: Network,
    pub manifest: &'a Utf8Path,
    pub cwd: &'a Utf8Path,
    pub interrupt: &'a Interrupt,
}

impl MetadataQuery<'_> {
    /// What `cargo metadata` prints, or what it says when it fails; with more features than the command line names, and
    /// of the crates for these triples alone where some are named.
    /// cargo's first resolver turns on features for crates of every platform, so that with some triples alone a feature
    /// may be missed there.
    pub(crate) fn ask(
        &self,
        triples: &BTreeSet<String>,
        more: &BTreeSet<String>,
    ) -> Result<std::result::Result<String, MetadataFailure>> {
        let Self { selection, network, manifest, cwd, interrupt } = *self;
        let mut command = machine::cargo_command();
        command.current_dir(cwd).args(["metadata", "--format-version=1", "--manifest-path"]).arg(manifest);
        let mut features = selection.features.clone();
        features.list.extend(more.iter().cloned());
        if let [package] = selection.packages.as_slice() {
            // `cargo metadata` knows no `-p`; a feature of one member is named with its owner.
            let spec = PackageSpec::parse(package).ok();
            if let Some(owner) = spec.as_ref().and_then(PackageSpec::name) {
                for feature in features.list.iter_mut().filter(|feature| !feature.contains('/')) {
                    *feature = format!("{owner}/{feature}");
                }
            }
        }
        command.args(features.to_args());
        command.args(triples.iter().flat_map(|triple| ["--filter-platform", triple]));
        if selection.locked {
            command.arg("--locked");
        }
        if selection.offline || network == Network::Never {
            command.arg("--offline");
        }
        let done = interrupt.output(&mut command)?.map_err(|error| {
            Error::work("could not start `cargo`")
                .because(error)
                .hint("check that Rust is installed and `cargo` is on PATH")
        })?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(if done.status.success() {
            Ok(text(&done.stdout))
        } else {
            Err(MetadataFailure { answer: text(&done.stderr), network })
        })
    }
}

/// That `cargo metadata` failed.
pub(super) struct MetadataFailure {
    answer: String,
    network: Network,
}

impl MetadataFailure {
    /// Whether cargo says that a crate which the lock file names is missing and cannot be downloaded.
    pub(crate) fn crates_are_lacking(&self) -> bool {
        cargo::error(&self.answer).starts_with("failed to download `")
    }
}

impl From<MetadataFailure> for Error {
    /// What it means: the project's fault, or a network's.
    fn from(failure: MetadataFailure) -> Self {
        let MetadataFailure { answer, network } = failure;
        unreadable(&answer, network)
    }
}

/// What it means that cargo could not read a project.
pub(super) fn unreadable(stderr: &str, network: Network) -> Error {
    let error = match (cargo::fault(stderr), network) {
        (CargoFault::Locked, _) => {
            Error::usage("`Cargo.lock` needs to be updated, but `--locked` does not allow changing it")
                .hint("run `cargo update --workspace`, or remove `--locked`")
        }
        (CargoFault::Offline, Network::Never) => {
            Error::work("the dependencies are not on this machine, and `plan` does not use the network")
                .hint("run `cargo fetch`")
        }
        (CargoFault::Offline | CargoFault::Network, _) => Error::work("failed to download the dependencies")
            .hint("check the network connection; after `cargo fetch`, `--offline` works without it"),
        (CargoFault::Toolchain, _) => Error::work("the toolchain required by the project is not installed")
            .hint("install it with rustup, or set `RUSTUP_TOOLCHAIN` to an installed one"),
        (CargoFault::Project, _) => Error::usage("cargo could not load this project"),
    };
    error.because(cargo::error(stderr))
}
