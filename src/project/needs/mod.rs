//! Graph × target → needs: what the dependencies ask of the C world. Pure.
//!
//! Knowledge comes, in this order of trust, from the user's configuration; from `targets/needs.toml`, which knows
//! well-known crates; from what a package itself shows ([`crate::project::evidence`]). A package is judged by the first of these
//! that speaks of it.

mod circumstances;
mod judge;
mod table;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::supply::SupplyKind;
use crate::model::sysroot::Soname;
pub(crate) use circumstances::{Circumstances, set_of};
pub(crate) use judge::judge;
pub(crate) use judge::{Asked, Knowledge, asked, unread, variables};
pub use table::Table;

/// Something that a dependency needs for a target.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Need {
    /// Kind of the need.
    pub kind: NeedKind,
    /// Name of the tool, library or framework, or `NAME=value` of a variable; otherwise the name of the kind.
    pub name: String,
    /// Whether it is needed for the target, or for build scripts and proc-macros on this machine.
    pub side: Side,
    /// The package that requires it.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Dependency paths from a selected package to the one that requires it, the shortest first; may be incomplete.
    pub paths: Vec<Vec<String>>,
    /// How this is known.
    pub evidence: String,
    /// Certainty.
    pub confidence: Confidence,
    /// Whether its library is looked for with pkg-config and by no other way.
    #[serde(skip)]
    pub by_pkg_config: bool,
    /// Whether the build script itself loads its library.
    #[serde(skip)]
    pub loaded: bool,
    /// What provides it; null if nothing does, and for tools.
    pub supply: Option<Supply>,
}

impl Need {
    /// Whether it is sure enough to decide about a route.
    pub fn blocks(&self) -> bool {
        self.confidence != Confidence::Unknown
    }

    /// Whether programs meet it, which an image may have as well as this machine.
    pub fn is_of_tools(&self) -> bool {
        matches!(self.kind, NeedKind::Tool | NeedKind::CCompiler | NeedKind::CxxCompiler | NeedKind::HostLinker)
    }
}

/// A kind of need.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NeedKind {
    /// The crate does not support the target.
    Unsupported,
    /// A system library of the target.
    SystemLibrary,
    /// A macOS framework.
    Framework,
    /// A Windows DLL to link against.
    ImportLibrary,
    /// A C++ compiler and its standard library.
    CxxCompiler,
    /// A C compiler.
    CCompiler,
    /// A program that a build script runs, or a library that it loads (libclang).
    Tool,
    /// Something that a build script downloads itself.
    Download,
    /// An environment variable that convoy sets for a build script.
    Variable,
    /// A linker for build scripts and proc-macros, which run on this machine.
    HostLinker,
}

impl NeedKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            NeedKind::Unsupported => "unsupported",
            NeedKind::SystemLibrary => "system-library",
            NeedKind::Framework => "framework",
            NeedKind::ImportLibrary => "import-library",
            NeedKind::CxxCompiler => "cxx-compiler",
            NeedKind::CCompiler => "c-compiler",
            NeedKind::Tool => "tool",
            NeedKind::Download => "download",
            NeedKind::Variable => "variable",
            NeedKind::HostLinker => "host-linker",
        }
    }
}

/// The side of a cross compilation.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The target.
    Target,
    /// This machine, for build scripts and proc-macros.
    Host,
}

/// Certainty of a need.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Known from configuration, from `targets/needs.toml`, or from cargo's rules.
    Known,
    /// Likely, from the package's contents.
    Likely,
    /// Uncertain, because only the running build script decides; never blocks a target.
    Unknown,
}

/// What provides a library for a target.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Supply {
    /// Kind of supply.
    pub kind: SupplyKind,
    /// Its name.
    pub name: String,
    /// Its version; null if unknown.
    pub version: Option<String>,
    /// The sonames that the binary will need, if known, and the Debian releases that have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sonames: Vec<Soname>,
}
