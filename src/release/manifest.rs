//! `dist/manifest.json`: the contract with CI.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::catalog::{Format, Glibc};
use crate::model::code::Code;
use crate::model::sysroot::{RuntimePackage, Soname, SysrootKey};
use crate::plan::RouteKind;
use crate::verify::{Finding, Linkage};

/// The results of a run: verified binaries and failures.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, JsonSchema)]
pub struct Manifest {
    /// Version of this format; increased when a field is removed or changes its meaning.
    pub schema: u32,
    /// Always `manifest`.
    #[serde(default = "kind")]
    pub kind: String,
    /// The program that wrote the manifest.
    pub tool: Tool,
    /// The workspace root, relative to the manifest's directory; omitted if it is outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_root: Option<String>,
    /// The cargo profile.
    pub profile: String,
    /// The Rust toolchain.
    pub toolchain: Toolchain,
    /// The verified binaries.
    pub artifacts: Vec<ArtifactRow>,
    /// The binaries and targets that were requested but are missing.
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
    /// Output of `rustc --version`.
    pub rustc: String,
    /// Output of `cargo --version`; empty if unknown.
    pub cargo: String,
    /// Target triple of the build machine.
    pub host: String,
}

/// A verified binary.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, JsonSchema)]
pub struct ArtifactRow {
    /// The target's id, as in `dist/<id>/`.
    pub id: String,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Name of the binary.
    pub bin: String,
    /// rustc's target triple.
    pub target: String,
    /// The platform, as `os/arch[/variant]`.
    pub platform: Option<String>,
    /// The devices that it is for.
    pub devices: Vec<String>,
    /// The route that built it.
    pub route: RouteKind,
    /// The reason for the route.
    pub because: String,
    /// Path of the file, relative to the manifest's directory.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Its debug information in a file of its own (a PDB on Windows); null if there is none.
    #[serde(default)]
    pub debug_info: Option<DebugInfo>,
    /// The file format.
    pub format: Format,
    /// The CPU architecture.
    pub arch: String,
    /// The CPU level; null if the file does not state it.
    pub cpu: Option<String>,
    /// Whether it is linked statically or dynamically.
    pub linkage: Linkage,
    /// The linker; null if the file does not state it.
    pub linker: Option<String>,
    /// The ELF interpreter.
    pub interpreter: Option<String>,
    /// The shared libraries that it loads at start.
    pub needed: Vec<String>,
    /// The sysroot that it was linked against.
    #[serde(default)]
    pub sysroot: Option<SysrootRow>,
    /// The Debian packages that are required at run time, in the release of the sysroot that it was linked against;
    /// empty without a sysroot.
    #[serde(default)]
    pub runtime_packages: Vec<RuntimePackage>,
    /// The Debian releases that have these libraries, if known.
    #[serde(default)]
    pub sonames: Vec<Soname>,
    /// The required minimum glibc version, and the one that the binary needs.
    pub glibc: Option<GlibcRow>,
    /// The minimum macOS version.
    pub min_os: Option<String>,
    /// Whether verification found no violation; always true here.
    pub verified: bool,
    /// All findings of the verification.
    pub findings: Vec<Finding>,
}

/// A file with the debug information of a binary.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct DebugInfo {
    /// Path of the file, relative to the manifest's directory.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

impl ArtifactRow {
    /// The files of the row, each with its SHA-256.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let debug_info = self.debug_info.iter().map(|file| (file.path.as_str(), file.sha256.as_str()));
        std::iter::once((self.path.as_str(), self.sha256.as_str())).chain(debug_info)
    }
}

/// The sysroot that a binary was linked against.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct SysrootRow {
    /// Which.
    #[serde(flatten)]
    pub key: SysrootKey,
    /// Digest of its contents.
    pub digest: String,
}

/// Required and actual minimum glibc version.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct GlibcRow {
    /// The required minimum glibc version; null if none was required.
    pub floor: Option<Glibc>,
    /// The oldest glibc that has all symbols that the binary needs.
    pub seen: Option<Glibc>,
}

/// A binary or target that was requested but is missing.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, JsonSchema)]
pub struct FailedRow {
    /// The target's id, as in `dist/<id>/`.
    pub id: String,
    /// The package.
    pub package: String,
    /// Name of the binary; null if the whole target failed.
    #[serde(default)]
    pub bin: Option<String>,
    /// rustc's target triple.
    pub target: String,
    /// The route; null if every route was rejected.
    pub route: Option<RouteKind>,
    /// How far the build got.
    pub status: FailedStatus,
    /// Stable code of the failure.
    pub code: Code,
    /// Stable code of the underlying cause, such as `library-missing`, if a tool made the build fail; else null.
    #[serde(default)]
    pub cause: Option<String>,
    /// What happened, as text.
    pub message: String,
    /// All findings of the verification, for a rejected binary.
    pub findings: Vec<Finding>,
    /// How to fix it; null if unknown. Alternatives are on lines of their own.
    pub hint: Option<String>,
}

/// How far a failed build got.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailedStatus {
    /// The build was not attempted.
    Blocked,
    /// The build failed.
    Failed,
    /// The binary was built but failed verification; it is left in the target directory.
    Rejected,
    /// The run was interrupted before the binary was built.
    Interrupted,
}
