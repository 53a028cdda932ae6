//! Why a file could not be inspected.

use super::{Finding, name_some};
use crate::model::code::Code;
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
        "a universal (fat) Mach-O with {}, not a binary of one target: verify it without `--target`, or with `darwin/universal`",
        name_some(.0)
    )]
    Fat(
        /// The architectures of its slices.
        Vec<String>,
    ),
    /// Not a format that is known here.
    #[error("not an ELF, PE, Mach-O or WebAssembly program ({0})")]
    Foreign(
        /// What it seems to be.
        String,
    ),
    /// Parts that the headers announce lie beyond the end.
    #[error("truncated: part of {0} is missing; build or download it again")]
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
            Unreadable::Truncated(_) => Code::Truncated,
            Unreadable::Damaged(_) => Code::Damaged,
            _ => Code::NotAProgram,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_as_a_sentence() {
        let reasons = [
            Unreadable::Empty,
            Unreadable::Script("#!/bin/sh".to_owned()),
            Unreadable::Archive,
            Unreadable::Object,
            Unreadable::Fat(vec!["x86_64".to_owned(), "arm64".to_owned()]),
            Unreadable::Foreign("unknown format".to_owned()),
            Unreadable::Truncated("the section headers".to_owned()),
            Unreadable::Damaged("a symbol has no name".to_owned()),
        ];
        let text: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        the file is empty
        a script (`#!/bin/sh`), not a compiled program
        an archive (a static library or an rlib), not a linked program
        an object file, not a linked program
        a universal (fat) Mach-O with x86_64, arm64, not a binary of one target: verify it without `--target`, or with `darwin/universal`
        not an ELF, PE, Mach-O or WebAssembly program (unknown format)
        truncated: part of the section headers is missing; build or download it again
        damaged: a symbol has no name; build or download it again
        ");
    }
}
