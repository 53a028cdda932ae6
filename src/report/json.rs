//! What `--json` prints, where it is not the plan or the manifest themselves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine::engine::{EngineKind, MadeFrom};
use crate::model::request::RouteKind;
use crate::model::sysroot::SysrootKey;
use crate::plan::Status;
use crate::plan::remedy::Remedy;
use crate::project::needs::{Confidence, NeedKind, Side};
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
    /// Its name there; empty where the room is one thing.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What `cache verify --json` prints.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct CacheVerifyReport {
    /// Version of this structure.
    pub schema: u32,
    /// Always `cache-verify`.
    pub kind: String,
    /// The cache's directory.
    pub root: String,
    /// What was read.
    pub entries: Vec<VerifiedEntry>,
}

/// One thing in the cache that was read.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct VerifiedEntry {
    /// The room: `zig`, `debs` (package files), `sysroots`.
    pub room: String,
    /// Its name there; empty where the room is one thing.
    pub name: String,
    /// How many files and links belong to it; 0 where that is not known.
    pub files: usize,
    /// Bytes of its files.
    pub bytes: u64,
    /// Whether it is what was published, or unpacked.
    pub verified: bool,
    /// What differs.
    pub faults: Vec<String>,
}

/// What `supply list --json` prints.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct SupplyReport {
    /// Version of this structure.
    pub schema: u32,
    /// Always `supply`.
    pub kind: String,
    /// The cache's folder.
    pub root: String,
    /// The sysroots that are unpacked.
    pub sysroots: Vec<ListedSysroot>,
}

/// What `supply verify --json` prints.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct SupplyVerifyReport {
    /// Version of this structure.
    pub schema: u32,
    /// Always `supply-verify`.
    pub kind: String,
    /// Whether every package of Convoy.lock is in a signed index, and convoy wrote every entry.
    pub verified: bool,
    /// The sysroots of Convoy.lock.
    pub sysroots: Vec<VerifiedSysroot>,
}

/// A sysroot of Convoy.lock beside what archives say.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct VerifiedSysroot {
    /// Which.
    #[serde(flatten)]
    pub key: SysrootKey,
    /// The number of its packages.
    pub packages: usize,
    /// Whether something other than convoy changed its entry.
    pub edited: bool,
    /// The archives whose signed indexes were looked at.
    pub indexes: Vec<String>,
    /// Why the indexes of others could not be.
    pub faults: Vec<String>,
    /// The packages that are in none of them; all where no index could be had.
    pub unsigned: Vec<UnsignedPackage>,
}

/// A package of Convoy.lock that no signed index has.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct UnsignedPackage {
    /// Its name.
    pub name: String,
    /// The version that is locked.
    pub version: String,
    /// The SHA-256 that is locked.
    pub sha256: String,
    /// What the indexes have instead.
    pub reason: String,
}

/// What `images list --json` prints.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct ImagesReport {
    /// Version of this structure.
    pub schema: u32,
    /// Always `images`.
    pub kind: String,
    /// The engine that was asked.
    pub engine: EngineKind,
    /// The images that convoy made there.
    pub images: Vec<ListedImage>,
}

/// An image that convoy made.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct ListedImage {
    /// Its name; the engine's own id where a newer image took it.
    pub reference: String,
    /// All of its names, with those that somebody else gave it.
    pub names: Vec<String>,
    /// What it is made from.
    pub made: MadeFrom,
    /// The image that it starts from, where convoy composed it.
    pub base: Option<String>,
    /// The number of packages that it was made from, where convoy composed it.
    pub packages: Option<usize>,
    /// Its size in bytes, with what it shares with others.
    pub bytes: u64,
    /// When it was made.
    #[schemars(with = "Option<String>")]
    pub created: Option<jiff::Timestamp>,
    /// Whether this convoy would make it in the same way; another one is not used.
    pub current: bool,
}

/// A sysroot that is unpacked on this machine.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct ListedSysroot {
    /// Which.
    #[serde(flatten)]
    pub key: SysrootKey,
    /// The digest of what is in it.
    pub digest: String,
    /// The number of its packages.
    pub packages: usize,
    /// Its size in bytes.
    pub bytes: u64,
    /// When a build last used it.
    #[schemars(with = "Option<String>")]
    pub last_used: Option<jiff::Timestamp>,
    /// Its folder.
    pub root: String,
}

/// What `why --json` prints.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct WhyReport {
    /// Version of this structure.
    pub schema: u32,
    /// Always `why`.
    pub kind: String,
    /// What was asked about.
    pub subject: String,
    /// The needs that it means, or that it asks for; empty where it asks for nothing.
    pub needs: Vec<WhyNeed>,
    /// The shortest dependency path to a crate that asks for nothing, by names; else empty.
    pub path: Vec<String>,
}

/// One need, why it is there, and the ways out of it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct WhyNeed {
    /// What is needed.
    pub kind: NeedKind,
    /// Its name.
    pub name: String,
    /// The package that asks.
    pub package: String,
    /// Its version.
    pub version: String,
    /// For which side.
    pub side: Side,
    /// How we know.
    pub evidence: String,
    /// How sure we are.
    pub confidence: Confidence,
    /// The ways from a selected package to it, the shortest first.
    pub chains: Vec<Vec<WhyStep>>,
    /// For which cells it is needed.
    pub cells: Vec<WhyCell>,
    /// Ways out, the best first; empty where it is met everywhere.
    pub remedies: Vec<Remedy>,
}

/// One package on the way to a need.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct WhyStep {
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Its features that bring the next one; empty where it always brings it.
    pub opened_by: Vec<String>,
}

/// A need for one cell.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct WhyCell {
    /// The cell's id.
    pub id: String,
    /// What meets the need; none where nothing does, and the cell is blocked.
    pub met_by: Option<String>,
}

/// What `doctor --json` prints.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct DoctorReport {
    /// Version of this structure.
    pub schema: u32,
    /// Always `doctor`.
    pub kind: String,
    /// The triple of this machine.
    pub host: String,
    /// What this machine offers.
    pub offers: Vec<OfferRow>,
    /// Each cell, and what it lacks.
    pub cells: Vec<DoctorCell>,
    /// The commands that mend what is lacking, where installing does.
    pub commands: Vec<String>,
    /// Lines for `Convoy.toml` that mend what is lacking.
    pub configuration: Vec<String>,
}

/// One thing that this machine offers, or that is asked of it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct OfferRow {
    /// What it is.
    pub name: String,
    /// Where it is; none where it is missing.
    pub path: Option<String>,
    /// Its version, where known.
    pub version: Option<String>,
    /// What is wrong with it.
    pub fault: Option<String>,
    /// The packages that ask for it.
    pub needed_by: Vec<String>,
}

/// A cell, and what it lacks.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct DoctorCell {
    /// The cell's id.
    pub id: String,
    /// Whether it can be built here.
    pub status: Status,
    /// The route taken.
    pub route: Option<RouteKind>,
    /// Why this route, or why none.
    pub because: String,
    /// What to do about a block, or worth knowing.
    pub hint: Option<String>,
    /// The needs that nothing meets.
    pub lacks: Vec<Lack>,
}

/// A need that nothing meets.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct Lack {
    /// What is needed.
    pub kind: NeedKind,
    /// Its name.
    pub name: String,
    /// The package that asks.
    pub package: String,
    /// The ways out.
    pub remedies: Vec<Remedy>,
}
