//! Why a file could not be inspected.

use super::{Finding, name_some};
use crate::util::files::{Exhausted, MOST_ENTRIES};

/// Why bytes are no binary that can be inspected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No bytes.
    #[error("the file is empty")]
    Empty,
    /// `#!`.
    #[error("a script (`{0}`), not a compiled program")]
    Script(String),
    /// A static library.
    #[error("an archive (a static library or an rlib), not a linked program")]
    Archive,
    /// A relocatable object.
    #[error("an object file, not a linked program")]
    Object,
    /// A universal Mach-O.
    #[error(
        "a universal (fat) Mach-O with {}: extract each one with `lipo -thin <ARCH>` and verify it separately",
        name_some(.0)
    )]
    Fat(
        /// The architectures of its slices.
        Vec<String>,
    ),
    /// Not a format that is known here.
    #[error("not an ELF, PE or Mach-O program ({0})")]
    Foreign(
        /// What it seems to be.
        String,
    ),
    /// Parts that the headers announce lie beyond the end.
    #[error("truncated: {0} lies beyond the end of the file; build or download it again")]
    Truncated(
        /// The first part that is missing.
        String,
    ),
    /// The headers contradict themselves.
    #[error("damaged: {0}; build or download it again")]
    Damaged(
        /// What was found.
        String,
    ),
}

impl Unreadable {
    /// As a finding: what cannot be inspected does not ship.
    pub fn finding(&self) -> Finding {
        let code = match self {
            Unreadable::Truncated(_) => "truncated",
            Unreadable::Damaged(_) => "damaged",
            _ => "not-a-program",
        };
        Finding::violation(code, self.to_string())
    }
}

impl From<object::read::Error> for Unreadable {
    fn from(error: object::read::Error) -> Self {
        Unreadable::Damaged(error.to_string())
    }
}

impl From<Exhausted> for Unreadable {
    fn from(error: Exhausted) -> Self {
        Unreadable::Damaged(error.to_string())
    }
}

/// Refuses a table with more entries than any program has.
pub(super) fn few(count: usize, what: &str) -> Result<(), Unreadable> {
    if count <= MOST_ENTRIES {
        Ok(())
    } else {
        Err(Unreadable::Damaged(format!("it has more than {MOST_ENTRIES} {what}")))
    }
}

/// Refuses a part that reaches beyond the end of a file.
pub(super) fn inside(len: usize, offset: u64, size: u64, what: impl FnOnce() -> String) -> Result<(), Unreadable> {
    match offset.checked_add(size) {
        Some(end) if end <= len as u64 => Ok(()),
        _ => Err(Unreadable::Truncated(what())),
    }
}
