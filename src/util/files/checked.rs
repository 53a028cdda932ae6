//! Whether what lies in a directory is what ought to be there.

use std::collections::BTreeMap;

use super::Entry;

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
    /// What was found in a directory, compared with what should be there.
    pub(crate) fn of(wanted: &BTreeMap<String, Entry>, found: &BTreeMap<String, Entry>) -> Self {
        let bytes = wanted.values().map(|entry| match entry {
            Entry::File { size, .. } => *size,
            Entry::Link { .. } => 0,
        });
        Self { files: wanted.len(), bytes: bytes.sum(), faults: super::differences(wanted, found) }
    }

    /// What cannot be read at all.
    pub(crate) fn unreadable(fault: impl Into<String>) -> Self {
        Self { faults: vec![fault.into()], ..Self::default() }
    }
}
