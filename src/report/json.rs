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

/// Output of `cargo convoy targets --json`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct TargetsReport {
    /// Version of this format.
    pub schema: u32,
    /// Always `targets`.
    pub kind: String,
    /// The targets.
    pub targets: Vec<TargetRow>,
}

/// A supported target.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct TargetRow {
    /// rustc's target triple.
    pub triple: String,
    /// The platform, as `os/arch[/variant]`; null if it has none.
    pub platform: Option<String>,
    /// The default minimum glibc version; null if there is none.
    pub floor: Option<String>,
    /// The devices that it is for.
    pub devices: Vec<String>,
    /// Whether its standard library is installed.
    pub installed: bool,
    /// The routes available on this machine for a crate without C code, after provisioning.
    pub routes: Vec<RouteKind>,
    /// What starts its programs on other machines (`--smoke`); null if nothing does.
    #[serde(default)]
    pub emulator: Option<EmulatorRow>,
}

/// What starts programs of a target on other machines.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct EmulatorRow {
    /// Its executable; qemu's without a `-static` suffix.
    pub program: String,
    /// The lowest CPU that the target promises, in the emulator's words; null if there is only one.
    pub cpu: Option<String>,
}

/// Output of `cargo convoy verify --json`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct VerifyReport {
    /// Version of this format.
    pub schema: u32,
    /// Always `verify`.
    pub kind: String,
    /// One entry per file, in the order given.
    pub files: Vec<VerifiedFile>,
}

/// Result of the verification of a file.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct VerifiedFile {
    /// The file, as given on the command line.
    pub file: String,
    /// The target triple that it was checked for.
    pub target: Option<String>,
    /// Whether the target was detected from the file.
    pub inferred: bool,
    /// Whether no violation was found.
    pub verified: bool,
    /// The properties of the file; null if it is not a program.
    pub inspection: Option<Inspection>,
    /// All findings of the verification.
    pub findings: Vec<Finding>,
}

/// Output of `cargo convoy cache list --json`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct CacheReport {
    /// Version of this format.
    pub schema: u32,
    /// Always `cache`.
    pub kind: String,
    /// Path of the cache directory.
    pub root: String,
    /// The cache entries.
    pub entries: Vec<CacheEntry>,
}

/// A cache entry.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct CacheEntry {
    /// The section of the cache: `zig`, `probes`, …
    pub room: String,
    /// Its name; empty if the section is a single entry.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Output of `cargo convoy cache verify --json`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct CacheVerifyReport {
    /// Version of this format.
    pub schema: u32,
    /// Always `cache-verify`.
    pub kind: String,
    /// Path of the cache directory.
    pub root: String,
    /// The entries that were checked.
    pub entries: Vec<VerifiedEntry>,
}

/// A cache entry that was checked.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct VerifiedEntry {
    /// The section of the cache: `zig`, `debs` (package files) or `sysroots`.
    pub room: String,
    /// Its name; empty if the section is a single entry.
    pub name: String,
    /// Number of files and links that belong to it; 0 if unknown.
    pub files: usize,
    /// Total size of its files in bytes.
    pub bytes: u64,
    /// Whether it matches what was published or unpacked.
    pub verified: bool,
    /// The differences that were found.
    pub faults: Vec<String>,
}

/// Output of `cargo convoy supply list --json`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct SupplyReport {
    /// Version of this format.
    pub schema: u32,
    /// Always `supply`.
    pub kind: String,
    /// Path of the cache directory.
    pub root: String,
    /// The sysroots on this machine.
    pub sysroots: Vec<ListedSysroot>,
}

/// Output of `cargo convoy supply verify --json`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct SupplyVerifyReport {
    /// Version of this format.
    pub schema: u32,
    /// Always `supply-verify`.
    pub kind: String,
    /// Whether every package in Convoy.lock is in a signed index, and every entry was written by convoy.
    pub verified: bool,
    /// The sysroots in Convoy.lock.
    pub sysroots: Vec<VerifiedSysroot>,
}

/// A sysroot in Convoy.lock, compared with the archives.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct VerifiedSysroot {
    /// Which.
    #[serde(flatten)]
    pub key: SysrootKey,
    /// Number of packages.
    pub packages: usize,
    /// Whether its entry was modified by something other than convoy.
    pub edited: bool,
    /// The archives whose signed indexes were checked.
    pub indexes: Vec<String>,
    /// Why other indexes could not be read.
    pub faults: Vec<String>,
    /// The packages that are in none of them; all packages if no index is available.
    pub unsigned: Vec<UnsignedPackage>,
}

/// A package in Convoy.lock that is not in any signed index.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct UnsignedPackage {
    /// Its name.
    pub name: String,
    /// The locked version.
    pub version: String,
    /// The locked SHA-256.
    pub sha256: String,
    /// What the indexes list instead.
    pub reason: String,
}

/// Output of `cargo convoy images list --json`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct ImagesReport {
    /// Version of this format.
    pub schema: u32,
    /// Always `images`.
    pub kind: String,
    /// The container engine.
    pub engine: EngineKind,
    /// The images made by convoy.
    pub images: Vec<ListedImage>,
}

/// An image made by convoy.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct ListedImage {
    /// Its name, or the engine's id if a newer image has taken the name.
    pub reference: String,
    /// All of its names, including those given by others.
    pub names: Vec<String>,
    /// What the image was made from.
    pub made: MadeFrom,
    /// The base image; null for images from the user's own image or Dockerfile.
    pub base: Option<String>,
    /// Number of packages added to the base image; null for images from the user's own image or Dockerfile.
    pub packages: Option<usize>,
    /// Its size in bytes, including layers shared with other images.
    pub bytes: u64,
    /// When it was made.
    #[schemars(with = "Option<String>")]
    pub created: Option<jiff::Timestamp>,
    /// Whether this version of convoy would make the same image; others are no longer used.
    pub current: bool,
}

/// A sysroot on this machine.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct ListedSysroot {
    /// Which.
    #[serde(flatten)]
    pub key: SysrootKey,
    /// Digest of its contents.
    pub digest: String,
    /// Number of packages.
    pub packages: usize,
    /// Its size in bytes.
    pub bytes: u64,
    /// Time of its last use by a build; null if unknown.
    #[schemars(with = "Option<String>")]
    pub last_used: Option<jiff::Timestamp>,
    /// Path of its directory.
    pub root: String,
}

/// Output of `cargo convoy why --json`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct WhyReport {
    /// Version of this format.
    pub schema: u32,
    /// Always `why`.
    pub kind: String,
    /// The crate or need that was asked about.
    pub subject: String,
    /// The needs that match the subject; empty if the crate needs nothing.
    pub needs: Vec<WhyNeed>,
    /// The shortest dependency path to a crate that needs nothing, by names; otherwise empty.
    pub path: Vec<String>,
}

/// A need, why it exists, and how to fix it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct WhyNeed {
    /// Kind of the need.
    pub kind: NeedKind,
    /// Its name.
    pub name: String,
    /// The package that requires it.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Whether it is needed for the target or for this machine.
    pub side: Side,
    /// How this is known.
    pub evidence: String,
    /// Certainty.
    pub confidence: Confidence,
    /// The dependency paths from a selected package to it, the shortest first.
    pub chains: Vec<Vec<WhyStep>>,
    /// The targets that need it.
    pub cells: Vec<WhyCell>,
    /// Ways to fix it, the best one first; empty if it is met for all targets.
    pub remedies: Vec<Remedy>,
}

/// A package on a dependency path.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub(crate) struct WhyStep {
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Its features that enable the next package; empty if it is always enabled.
    pub opened_by: Vec<String>,
}

/// A need of one target.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct WhyCell {
    /// The target's id, as in `dist/<id>/`.
    pub id: String,
    /// What meets the need; null if nothing does and the target is blocked.
    pub met_by: Option<String>,
}

/// Output of `cargo convoy doctor --json`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct DoctorReport {
    /// Version of this format.
    pub schema: u32,
    /// Always `doctor`.
    pub kind: String,
    /// The target triple of this machine.
    pub host: String,
    /// The tools, libraries and engines that are installed or required.
    pub offers: Vec<OfferRow>,
    /// The targets, and what is missing for each.
    pub cells: Vec<DoctorCell>,
    /// Commands that install what is missing.
    pub commands: Vec<String>,
    /// Lines to add to `Convoy.toml`.
    pub configuration: Vec<String>,
}

/// A tool, library or engine that is installed or required.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct OfferRow {
    /// Its name.
    pub name: String,
    /// Its path; null if it is missing.
    pub path: Option<String>,
    /// Its version; null if unknown.
    pub version: Option<String>,
    /// Why it cannot be used; null if it can.
    pub fault: Option<String>,
    /// The packages that require it.
    pub needed_by: Vec<String>,
}

/// A target, and what is missing for it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct DoctorCell {
    /// The target's id, as in `dist/<id>/`.
    pub id: String,
    /// Whether it can be built on this machine.
    pub status: Status,
    /// The route that is used.
    pub route: Option<RouteKind>,
    /// The reason for this route, or for the block.
    pub because: String,
    /// How to fix a block, or other advice. Alternatives are on lines of their own.
    pub hint: Option<String>,
    /// The needs that are not met.
    pub lacks: Vec<Lack>,
}

/// A need that is not met.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub(crate) struct Lack {
    /// Kind of the need.
    pub kind: NeedKind,
    /// Its name.
    pub name: String,
    /// The package that requires it.
    pub package: String,
    /// Ways to fix it, the best one first.
    pub remedies: Vec<Remedy>,
}
