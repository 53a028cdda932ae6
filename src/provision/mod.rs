//! Brings what a plan names: rustup's std for a target, std's source, zig, sysroots. Each is announced in one line,
//! written beside and renamed.

pub mod crates;
pub mod engine;
pub mod image;
pub mod listing;
pub mod mingw;
pub mod runs;
pub mod std;
pub mod sysroot;
pub mod volumes;
pub mod zig;

use ::std::collections::BTreeMap;

use crate::files::{self, Entry};

/// What came of reading something in the cache and holding it against what it ought to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many files and links belong to it.
    pub files: usize,
    /// Bytes of all its files.
    pub bytes: u64,
    /// What differs, in words; empty where nothing does.
    pub faults: Vec<String>,
}

impl Checked {
    /// What was found in a directory, held against what ought to be there.
    fn of(wanted: &BTreeMap<String, Entry>, found: &BTreeMap<String, Entry>) -> Self {
        let bytes = wanted.values().map(|entry| match entry {
            Entry::File { size, .. } => *size,
            Entry::Link { .. } => 0,
        });
        Self { files: wanted.len(), bytes: bytes.sum(), faults: files::differences(wanted, found) }
    }

    /// What cannot be read at all.
    fn unreadable(fault: impl Into<String>) -> Self {
        Self { faults: vec![fault.into()], ..Self::default() }
    }
}
