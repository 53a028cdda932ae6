//! A file that a build has made and that is to be judged and published.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use crate::project::graph::Bin;
use crate::util::files::{LARGE, PlainFile, UntrustedDir};

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

#[cfg(unix)]
#[cfg(test)]
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
