//! `dist/manifest.json`: the contract with CI.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::catalog::{Format, Glibc};
use crate::model::sysroot::{RuntimePackage, Soname, SysrootKey};
use crate::plan::RouteKind;
use crate::verify::{Finding, Linkage};

/// What a run made, and what it could not make.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, JsonSchema)]
pub struct Manifest {
    /// Version of this structure; raised when a field is removed or changes its meaning.
    pub schema: u32,
    /// Always `manifest`.
    #[serde(default = "kind")]
    pub kind: String,
    /// What made it.
    pub tool: Tool,
    /// The workspace, relative to the folder of the manifest; left out where it lies elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_root: Option<String>,
    /// cargo's profile.
    pub profile: String,
    /// The Rust toolchain.
    pub toolchain: Toolchain,
    /// Verified binaries.
    pub artifacts: Vec<ArtifactRow>,
    /// What was asked for and is not there.
    pub failed: Vec<FailedRow>,
}

fn kind() -> String {
    "manifest".to_owned()
}

/// A program and its version.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The Rust toolchain.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Toolchain {
    /// `rustc --version`.
    pub rustc: String,
    /// `cargo --version`; empty where it was not asked.
    pub cargo: String,
    /// The triple of the machine that built.
    pub host: String,
}

/// One verified binary.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, JsonSchema)]
pub struct ArtifactRow {
    /// The cell's id.
    pub id: String,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The bin.
    pub bin: String,
    /// rustc's target triple.
    pub target: String,
    /// The `os/arch[/variant]` name.
    pub platform: Option<String>,
    /// The devices that it serves.
    pub devices: Vec<String>,
    /// The route that built it.
    pub route: RouteKind,
    /// Why that route.
    pub because: String,
    /// The file, relative to the folder of the manifest.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// The file format.
    pub format: Format,
    /// The instruction set.
    pub arch: String,
    /// The CPU level, where the file tells.
    pub cpu: Option<String>,
    /// Whether the system's loader must find libraries.
    pub linkage: Linkage,
    /// The linker, where the file names it.
    pub linker: Option<String>,
    /// The ELF interpreter.
    pub interpreter: Option<String>,
    /// The libraries that it loads at start.
    pub needed: Vec<String>,
    /// The sysroot that it was linked against.
    #[serde(default)]
    pub sysroot: Option<SysrootRow>,
    /// The Debian packages that a machine must have installed for these, in the release of the sysroot that it was linked
    /// against; empty without a sysroot.
    #[serde(default)]
    pub runtime_packages: Vec<RuntimePackage>,
    /// The releases of Debian that have these libraries, for those that convoy knows.
    #[serde(default)]
    pub sonames: Vec<Soname>,
    /// glibc: the floor asked for and what the binary really needs.
    pub glibc: Option<GlibcRow>,
    /// The oldest macOS that it starts on.
    pub min_os: Option<String>,
    /// Whether no violation was found; only such rows are here.
    pub verified: bool,
    /// All that verification saw.
    pub findings: Vec<Finding>,
}

/// The sysroot that a binary was linked against.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct SysrootRow {
    /// Which.
    #[serde(flatten)]
    pub key: SysrootKey,
    /// The digest of what was in it.
    pub digest: String,
}

/// glibc: asked and seen.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct GlibcRow {
    /// The oldest glibc it was to start on; none for the host's own triple as cargo builds it.
    pub floor: Option<Glibc>,
    /// The oldest glibc that has all the symbols it needs.
    pub seen: Option<Glibc>,
}

/// Something asked for that is not there.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, JsonSchema)]
pub struct FailedRow {
    /// The cell's id.
    pub id: String,
    /// The package.
    pub package: String,
    /// The bin; none where the whole cell failed.
    #[serde(default)]
    pub bin: Option<String>,
    /// rustc's target triple.
    pub target: String,
    /// The route; none where every one was rejected.
    pub route: Option<RouteKind>,
    /// How far it came.
    pub status: FailedStatus,
    /// A stable name of the cause.
    pub code: String,
    /// A stable name of what is behind `code`, such as `library-missing`, where a tool is to blame for a failed build.
    #[serde(default)]
    pub cause: Option<String>,
    /// What happened.
    pub message: String,
    /// All that verification saw, for a rejected binary.
    pub findings: Vec<Finding>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How far a cell came that is not there.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailedStatus {
    /// Nothing was attempted.
    Blocked,
    /// It did not build.
    Failed,
    /// It was built and found wrong; it stays in the target-dir.
    Rejected,
    /// A signal came first.
    Interrupted,
}
