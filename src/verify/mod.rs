//! Verification: from a file's bytes alone, on any host, what a binary is and whether it is right.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Glibc, Target};
use crate::link::LinkRecord;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Looked at and right.
    Ok,
    /// Right, but somebody should know; or not checkable.
    Warning,
    /// Wrong: the binary does not ship.
    Violation,
}

/// One thing that verification saw in a binary.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Finding {
    /// How serious it is.
    pub level: Level,
    /// A stable name, such as `glibc-too-new`.
    pub code: String,
    /// What was seen, for a person.
    pub message: String,
}

/// What a right binary must be.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// The catalog's knowledge of the target; none for a triple outside the catalog.
    pub target: Option<Target>,
    /// The triple.
    pub triple: String,
    /// The glibc floor that was asked; none where cargo's own behaviour was asked (then the catalog's floor warns).
    pub floor: Option<Glibc>,
    /// The record that the linker shim left, when the link went through it.
    pub link: Option<LinkRecord>,
    /// Symbols that crates of the graph declare in `#[link(kind = "framework")]` blocks (darwin; with the leading `_`).
    pub declared_symbols: BTreeSet<String>,
}

impl Expectation {
    /// What the catalog alone says of a triple.
    pub fn of_triple(triple: &str, catalog: &Catalog) -> Self {
        Self {
            target: catalog.target(triple).cloned(),
            triple: triple.to_owned(),
            floor: None,
            link: None,
            declared_symbols: BTreeSet::new(),
        }
    }
}
