//! Running lanes: cargo with the plan's environment, its messages, its failures and who is to blame.

mod cargo;
mod container;
mod failure;
mod hidden;
mod invocation;
mod jobserver;
mod lane;
mod lane_files;
pub(crate) mod learned;
mod setup;
pub mod shim;
pub mod smoke;
mod streaming;
mod windows_manifest;
pub mod wrapper;

use camino::Utf8PathBuf;
use std::time::Duration;

use crate::machine::interrupt::Interrupt;
use crate::machine::{CacheDir, Machine, UserFlags};
use crate::model::request::Selection;
use crate::plan::Plan;
use crate::project::graph::Bin;
use crate::release::Artifact;
use crate::report::Reporter;
pub use failure::Failure;
pub(crate) use failure::{Reported, tell_failure};
pub use lane::run_lanes;

/// All that running needs to know.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The command line.
    pub selection: &'a Selection,
    /// cargo's profile.
    pub profile: &'a str,
    /// The bins of every cell.
    pub bins: &'a [Bin],
    /// What this machine offers, after provisioning.
    pub host: &'a Machine,
    /// The user's rustc flags.
    pub flags: &'a UserFlags,
    /// The tool's cache.
    pub cache: &'a CacheDir,
    /// `<target-dir>/convoy`.
    pub convoy_dir: Utf8PathBuf,
    /// The manifest that cargo is pointed to; none for cargo's own search.
    pub manifest_path: Option<Utf8PathBuf>,
    /// Where binaries are published.
    pub dist_dir: Utf8PathBuf,
    /// Where the command was started.
    pub cwd: Utf8PathBuf,
    /// Whether cargo's configuration names a build folder.
    pub build_dir: bool,
    /// This program.
    pub exe: Utf8PathBuf,
    /// The workspace, and what lies outside of it: what a container must see of the sources.
    pub sources: Vec<Utf8PathBuf>,
    /// The folders of local packages.
    pub packages: Vec<Utf8PathBuf>,
    /// What the labels of containers name: this machine and cache.
    pub machine: String,
    /// The same of this run.
    pub run: String,
    /// Packages in each cell's graph, by cell id: about how many crates will be compiled.
    pub crates: std::collections::BTreeMap<String, usize>,
    /// The folders of these packages, by cell id.
    pub crate_dirs: &'a std::collections::BTreeMap<String, Vec<Utf8PathBuf>>,
    /// Tells people.
    pub reporter: &'a Reporter,
    /// Signals.
    pub interrupt: &'a Interrupt,
}

/// What came of one cell.
#[derive(Clone, Debug)]
pub struct CellOutcome {
    /// The cell's id.
    pub id: String,
    /// The result.
    pub result: CellResult,
    /// Until its last bin was there.
    pub took: Duration,
}

/// What came of building a cell.
#[derive(Clone, Debug)]
pub enum CellResult {
    /// cargo named every bin's file.
    Built(Vec<Artifact>),
    /// It did not compile or link.
    Failed(Failure),
    /// A signal came first.
    Interrupted,
}
