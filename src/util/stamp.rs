//! Noticing that a file was replaced or changed, without reading it.

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

/// Size, times and inode of a file.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Stamp {
    size: u64,
    modified: Option<std::time::SystemTime>,
    inode: u64,
    changed: i64,
}

impl Stamp {
    /// Of the file that a path leads to; none where there is none.
    pub fn of(path: &Utf8Path) -> Option<Self> {
        Some(Self::from(&path.metadata().ok()?))
    }
}

impl From<&std::fs::Metadata> for Stamp {
    fn from(metadata: &std::fs::Metadata) -> Self {
        #[cfg(unix)]
        let (inode, changed) = {
            use std::os::unix::fs::MetadataExt;
            (metadata.ino(), metadata.ctime().wrapping_mul(1_000_000_000).wrapping_add(metadata.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let (inode, changed) = (0, 0);
        Self { size: metadata.len(), modified: metadata.modified().ok(), inode, changed }
    }
}

/// This very build of convoy: another one may plan and judge otherwise, so what is kept is kept under this.
pub(crate) fn this_program() -> String {
    let exe = std::env::current_exe().ok().and_then(|exe| Stamp::of(Utf8Path::from_path(&exe)?));
    format!("{} {exe:?}", crate::VERSION)
}
