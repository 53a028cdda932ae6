//! What a run works on: the workspace, the machine, and the plan for both.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::prepare::is_workspace;
use crate::machine::{Machine, UserFlags};
use crate::model::code::Code;
use crate::plan::Plan;
use crate::project::graph::Bin;
use crate::report::{Phase, Reporter};

/// Everything that lanes are made from. It can be kept from one run to the next ([`crate::command::kept`]).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Planned {
    pub workspace: Workspace,
    pub machine: Machine,
    pub plan: Plan,
}

/// Where a project lies, and what is selected of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Workspace {
    /// Where the command was started.
    pub cwd: Utf8PathBuf,
    /// The manifest, when the user named one.
    pub manifest_path: Option<Utf8PathBuf>,
    pub root: Utf8PathBuf,
    pub target_dir: Utf8PathBuf,
    pub dist_dir: Utf8PathBuf,
    pub profile: String,
    /// Flags for rustc and C compilers that the user configured.
    pub flags: UserFlags,
    pub bins: Vec<Bin>,
    /// The directories of each cell's packages: their count is about the crates to compile, their sources declare symbols.
    pub packages: BTreeMap<String, Vec<Utf8PathBuf>>,
    /// The names of the project's own packages.
    pub names: BTreeSet<String>,
    /// The warnings of every run.
    pub warnings: Vec<Warning>,
    /// The files whose change changes any of this.
    pub read: Vec<Utf8PathBuf>,
}

impl Workspace {
    /// The directories of local packages.
    pub(crate) fn local_packages(&self) -> Vec<Utf8PathBuf> {
        let manifests = self.read.iter().filter(|file| file.file_name() == Some("Cargo.toml"));
        manifests.filter_map(|file| file.parent()).map(Utf8Path::to_owned).collect()
    }

    /// The workspace, the directories of local packages outside of it, and the manifests that these inherit from.
    pub(crate) fn sources(&self) -> Vec<Utf8PathBuf> {
        let mut sources = vec![self.root.clone()];
        for dir in self.local_packages() {
            if dir.starts_with(&self.root) {
                continue;
            }
            let mut above = dir.ancestors().skip(1).map(|dir| dir.join("Cargo.toml"));
            sources.extend(above.find(|manifest| is_workspace(manifest)));
            sources.push(dir);
        }
        sources
    }

    /// convoy's own directory below cargo's target directory.
    pub(crate) fn convoy_dir(&self) -> Utf8PathBuf {
        self.target_dir.join("convoy")
    }

    /// Prints the warnings.
    pub(crate) fn warn(&self, reporter: &Reporter) {
        for Warning { target, code, message } in &self.warnings {
            let warning = reporter.warning(Phase::Plan, message.clone()).code(*code);
            match target {
                Some(target) => warning.target(target).send(),
                None => warning.send(),
            }
        }
    }
}

/// What the user should know before anything is built.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Warning {
    pub target: Option<String>,
    pub code: Code,
    pub message: String,
}
