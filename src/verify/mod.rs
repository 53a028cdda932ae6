//! Verification: from a file's bytes alone, on any host, what a binary is and whether it is right.
//!
//! [`inspect`] reads the bytes and decides nothing; [`judge`] compares what was read with what was promised. Both are
//! pure. What cannot be told from the file is a warning that says so, never a silent pass.

mod arm;
mod attributes;
pub mod darwin;
mod dlls;
mod elf;
mod fat;
mod infer;
mod inspect;
mod inspection;
mod judge;
pub mod link;
mod macho;
mod pe;
mod unreadable;
mod wasm;

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::catalog::{Catalog, Glibc, Target};
use crate::model::code::Code;
use crate::model::sysroot::{Libraries, LinkedAgainst};
use crate::model::triple::Triple;
use crate::util::files::brief;
use crate::verify::link::LinkRecord;

pub(crate) use arm::cpu_of_objects;
pub(crate) use fat::joined;
pub use fat::{Slice, inspect_slices, slices};
pub use infer::{infer, not_checked};
pub use inspect::inspect;
pub(crate) use inspection::{
    DynamicSymbol, Elf, MachO, NewerImport, Pe, UndefinedSymbol, VersionNeed, Wasm, WasmImport,
};
pub use inspection::{Facts, Inspection, Kind, Linkage, Signature};
pub use judge::judge;
pub use unreadable::Unreadable;

/// Severity of a finding.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The check passed.
    Ok,
    /// The check passed with a remark, or could not be made.
    Warning,
    /// The check failed; the binary is rejected.
    Violation,
}

/// A finding of the verification.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Finding {
    /// Severity.
    pub level: Level,
    /// Stable code, such as `glibc-too-new`.
    pub code: Code,
    /// Description.
    pub message: String,
}

impl Finding {
    /// A file that could not be read at all.
    pub(crate) fn unreadable(message: impl Into<String>) -> Self {
        Self::violation(Code::Unreadable, message)
    }

    fn ok(code: Code, message: impl Into<String>) -> Self {
        Self { level: Level::Ok, code, message: message.into() }
    }

    fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, code, message: message.into() }
    }

    fn violation(code: Code, message: impl Into<String>) -> Self {
        Self { level: Level::Violation, code, message: message.into() }
    }
}

/// What a right binary must be.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// The catalog's knowledge of the target; none for a triple outside the catalog.
    pub target: Option<Target>,
    /// The triple.
    pub triple: Triple,
    /// The glibc floor that was asked; none where cargo's own behaviour was asked (then the catalog's floor warns).
    pub floor: Option<Glibc>,
    /// The CPU that was asked, by rustc's name; the binary may use what it has. None: the target's own level.
    pub cpu: Option<String>,
    /// The record that the linker shim left, when the link went through it.
    pub link: Option<LinkRecord>,
    /// Symbols that crates of the graph declare in `#[link(kind = "framework")]` blocks (darwin; with the leading `_`).
    pub declared_symbols: BTreeSet<String>,
    /// The sysroot that it was linked against; none where its libraries are this machine's, or it has none.
    pub sysroot: Option<LinkedAgainst>,
    /// What that sysroot has of the libraries that the binary needs; none before these were read.
    pub libraries: Option<Arc<Libraries>>,
}

impl Expectation {
    /// What the catalog alone says of a triple.
    pub fn of_triple(triple: &str, catalog: &Catalog) -> Self {
        Self {
            target: catalog.target(triple).cloned(),
            triple: triple.into(),
            floor: None,
            cpu: None,
            link: None,
            declared_symbols: BTreeSet::new(),
            sysroot: None,
            libraries: None,
        }
    }
}

/// Names for a message: the first few, and how many more there are.
fn name_some(names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| brief(name.as_ref())).collect();
    let mut text = shown.join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
