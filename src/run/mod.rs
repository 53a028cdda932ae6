//! Running lanes: cargo with the plan's environment, its messages, its failures and who is to blame.

mod cargo;
mod container;
mod hidden;
mod jobserver;
mod lane;
mod lane_files;
mod setup;
pub mod smoke;
mod streaming;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use std::time::Duration;

use crate::diagnose::Cause;
use crate::files::{LARGE, PlainFile, UntrustedDir};
use crate::graph::Bin;
use crate::host::{CacheDir, HostFacts, UserFlags};
use crate::interrupt::Interrupt;
use crate::plan::Plan;
use crate::report::Reporter;
use crate::request::Selection;
pub use lane::{ENGINE_FAILED, Told, run_lanes, tell_failure};

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
    pub host: &'a HostFacts,
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

/// A bin's file, as cargo's messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The bin.
    pub bin: Bin,
    /// The lane's folder. What builds there may write to it, but cannot replace it.
    pub root: Utf8PathBuf,
    /// The file: `root` and ordinary names beneath it.
    pub path: Utf8PathBuf,
}

impl Artifact {
    /// The file of a bin in a lane's folder, where what cargo's messages name is a path in the target's own folder there.
    /// Build scripts can write such messages, too.
    pub fn of(bin: &Bin, root: &Utf8Path, target: &str, path: &Utf8Path) -> Option<Self> {
        let beneath = path.strip_prefix(root.join(target)).ok()?;
        let plain = beneath.components().all(|part| matches!(part, Utf8Component::Normal(_)));
        (plain && !beneath.as_str().is_empty()).then(|| Self {
            bin: bin.clone(),
            root: root.to_owned(),
            path: root.join(target).join(beneath),
        })
    }

    /// Opens the file: what is judged and what is published are to come from this one handle.
    ///
    /// # Errors
    /// It is missing, a link or beneath one, not a regular file, or larger than 4 GiB.
    pub fn open(&self) -> std::io::Result<PlainFile> {
        UntrustedDir::open(&self.root)?.file_at(&self.path, LARGE)
    }
}

/// Why a cell did not build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A stable name of the cause.
    pub code: &'static str,
    /// One line.
    pub message: String,
    /// cargo's rendered diagnostics.
    pub diagnostics: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The tool's fault that is behind it. Such a failure is not told by the lane, as another route may yet work.
    pub cause: Option<Cause>,
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn bin() -> Bin {
        let text = || "app".to_owned();
        Bin { name: text(), package: text(), version: text(), package_id: text(), only: None }
    }

    #[test]
    fn a_file_that_messages_name_is_one_of_the_target() {
        let lane = Utf8Path::new("/p/target/convoy/lane");
        let of = |path: &str| Artifact::of(&bin(), lane, "t", path.into()).map(|artifact| artifact.path);
        assert_eq!(of("/p/target/convoy/lane/t/release/app"), Some("/p/target/convoy/lane/t/release/app".into()));
        let bad =
            ["/t/../../secret", "/t", "/t/..", "/other/release/app", "/t/release/../../../secret", "/../lane/t/app"];
        for bad in bad {
            assert_eq!(of(&format!("{lane}{bad}")), None, "{bad}");
        }
        assert_eq!(of("/etc/shadow"), None);
    }

    #[test]
    fn a_link_that_was_put_in_a_binarys_place_is_not_followed() {
        let held = tempfile::tempdir().unwrap();
        let lane = Utf8Path::from_path(held.path()).unwrap().canonicalize_utf8().unwrap();
        fs_err::create_dir_all(lane.join("real/release")).unwrap();
        fs_err::write(lane.join("real/release/app"), "program").unwrap();
        let open =
            |target: &str| Artifact::of(&bin(), &lane, target, &lane.join(target).join("release/app")).unwrap().open();
        assert_eq!(open("real").unwrap().read().unwrap(), b"program");
        // The target's own folder may be replaced from inside as well.
        std::os::unix::fs::symlink("real", lane.join("linked")).unwrap();
        assert!(open("linked").is_err());
        fs_err::create_dir_all(lane.join("other/release")).unwrap();
        std::os::unix::fs::symlink(lane.join("real/release/app"), lane.join("other/release/app")).unwrap();
        assert!(open("other").unwrap_err().to_string().contains("symbolic link"));
    }
}
