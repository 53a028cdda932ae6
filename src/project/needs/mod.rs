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

use crate::model::sysroot::Soname;
pub use circumstances::{Circumstances, set_of};
pub use judge::{Asked, Knowledge, asked, judge, unread, variables};
pub use table::Table;

/// What a dependency asks of the machine for one target.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Need {
    /// What is needed.
    pub kind: NeedKind,
    /// Its name: of a tool, a library, a framework; else that of the kind.
    pub name: String,
    /// For which side: the target's binary, or build scripts and proc-macros on this machine.
    pub side: Side,
    /// The package that asks.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Dependency paths from a selected package to it, the shortest first; not all where there are many.
    pub paths: Vec<Vec<String>>,
    /// How we know.
    pub evidence: String,
    /// How sure we are.
    pub confidence: Confidence,
    /// Whether its library is looked for with pkg-config and by no other way.
    #[serde(skip)]
    pub by_pkg_config: bool,
    /// Whether the build script itself loads its library.
    #[serde(skip)]
    pub loaded: bool,
    /// What meets it; none where nothing does, and for tools.
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
    /// The crate does not compile for such a target at all.
    Unsupported,
    /// A library of the target's own system.
    SystemLibrary,
    /// A framework of macOS.
    Framework,
    /// A DLL of Windows to link against.
    ImportLibrary,
    /// A C++ compiler and its standard library.
    CxxCompiler,
    /// A C compiler for the side's target.
    CCompiler,
    /// An executable that a build script starts, or a library that it loads (libclang).
    Tool,
    /// Something that a build script fetches over the network by itself.
    Download,
    /// A linker for the host's own build scripts and proc-macros.
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
            NeedKind::HostLinker => "host-linker",
        }
    }
}

/// Which side of a cross-compilation a need is on.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The binary that is built.
    Target,
    /// Build scripts and proc-macros on this machine.
    Host,
}

/// How sure a need is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// From configuration, from `targets/needs.toml`, or by cargo's own rule.
    Known,
    /// The package shows it.
    Likely,
    /// It may be asked for: only the running build script knows. Never blocks a target.
    Unknown,
}

/// What meets a library need for one target.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Supply {
    /// What kind of supply.
    pub kind: SupplyKind,
    /// Its name.
    pub name: String,
    /// Its version, where known.
    pub version: Option<String>,
    /// What the binary is bound to by it, where that is known, and the releases of Debian that have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sonames: Vec<Soname>,
}

/// A kind of supply.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SupplyKind {
    /// This machine's own package, for the target's architecture.
    Host,
    /// The target's own system always has it: macOS's libraries and frameworks, Windows' DLLs.
    System,
    /// The user's own variables say where it is.
    User,
    /// The target's own Debian packages, unpacked.
    Sysroot,
}
