//! What `--json` prints, where it is not the plan or the manifest themselves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::request::RouteKind;
use crate::verify::{Finding, Inspection};

/// What `targets --json` prints.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct TargetsReport {
    /// Version of this structure.
    pub schema: u32,
    /// Always `targets`.
    pub kind: String,
    /// The targets, in listing order.
    pub targets: Vec<TargetRow>,
}

/// One target of the catalog.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct TargetRow {
    /// rustc's target triple.
    pub triple: String,
    /// The `os/arch[/variant]` that means it.
    pub platform: Option<String>,
    /// The glibc floor when none is asked.
    pub floor: Option<String>,
    /// The devices that it serves.
    pub devices: Vec<String>,
    /// Whether its std is installed.
    pub installed: bool,
    /// Routes that work here for a crate without C, after what may be provisioned.
    pub routes: Vec<RouteKind>,
}

/// What `verify --json` prints.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct VerifyReport {
    /// Version of this structure.
    pub schema: u32,
    /// Always `verify`.
    pub kind: String,
    /// One row a file, in the order given.
    pub files: Vec<VerifiedFile>,
}

/// What was found in one file.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct VerifiedFile {
    /// The file, as given.
    pub file: String,
    /// The triple that it was held against.
    pub target: Option<String>,
    /// Whether that triple was read from the file itself.
    pub inferred: bool,
    /// Whether no violation was found.
    pub verified: bool,
    /// What it is; none where it is no program.
    pub inspection: Option<Inspection>,
    /// All that verification saw.
    pub findings: Vec<Finding>,
}

/// What `cache list --json` prints.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct CacheReport {
    /// Version of this structure.
    pub schema: u32,
    /// Always `cache`.
    pub kind: String,
    /// The cache's folder.
    pub root: String,
    /// What is in it.
    pub entries: Vec<CacheEntry>,
}

/// One thing that is kept.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct CacheEntry {
    /// The room: `zig`, `probes`, …
    pub room: String,
    /// Its name there.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}
