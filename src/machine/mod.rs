//! What this machine offers: the Rust toolchain, compilers, linkers, zig. Probing is an effect; the facts are data, so
//! that planning can be tested with any machine's.

mod apt;
mod ask;
mod cache;
pub mod engine;
pub mod interrupt;
mod libraries;
mod probe;
mod tools;
mod trial;
mod user;
pub mod zig;

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::machine::engine::{Engine, ImageFacts};
use crate::model::catalog::Glibc;
use crate::model::sysroot::Sysroot;
use crate::model::triple::Triple;
pub use apt::apt;
pub use cache::CacheDir;
pub(crate) use cache::ROOMS;
pub(crate) use libraries::find_libraries;
pub(crate) use probe::{foreign_gcc, probe, remembered_targets, rustc_targets};
pub(crate) use tools::{cargo_command, on_path, rust_command};
pub use user::UserFlags;
pub(crate) use user::{
    build_environment, build_jobs, cargo_config, has_build_dir, process_environment, user_flags, user_tools,
    vendor_dirs,
};

/// What this machine offers. A plan does not change it; what is provisioned becomes a part of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Machine {
    /// The Rust compiler.
    pub rustc: Rustc,
    /// `cargo --version` without the word; empty where it was not asked.
    #[serde(default)]
    pub cargo: String,
    /// rustup's name of the active toolchain; none where no rustup manages it.
    pub toolchain: Option<String>,
    /// Targets whose std is installed.
    pub std: BTreeSet<String>,
    /// Targets whose std rustup has for this toolchain; none where that is not known.
    #[serde(default)]
    pub published_std: Option<BTreeSet<String>>,
    /// Whether std's source is installed.
    pub rust_src: bool,
    /// rustup's `rust-lld`.
    pub rust_lld: Option<Utf8PathBuf>,
    /// The linker for this machine itself (`cc`).
    pub linker: Option<Utf8PathBuf>,
    /// The C++ compiler for this machine itself.
    #[serde(default)]
    pub cxx: Option<Utf8PathBuf>,
    /// Why a C compiler for this machine that is on PATH does not serve; none where one does, or none is there.
    #[serde(default)]
    pub linker_fault: Option<String>,
    /// The same of C++ compilers.
    #[serde(default)]
    pub cxx_fault: Option<String>,
    /// Its package manager.
    #[serde(default)]
    pub system: System,
    /// This machine's own glibc.
    pub glibc: Option<Glibc>,
    /// zig.
    pub zig: Option<ZigFacts>,
    /// Why zig cannot be installed; none if it can, or is present.
    pub zig_unavailable: Option<String>,
    /// Cross gccs, by triple.
    pub gcc: BTreeMap<String, GccFacts>,
    /// What the user configured, by triple.
    pub user: BTreeMap<String, UserTools>,
    /// Build tools by their names in `targets/tools.toml`.
    pub tools: BTreeMap<String, Utf8PathBuf>,
    /// Libraries of the needs that were looked for and found, by triple and by key of `targets/needs.toml`.
    #[serde(default)]
    pub libraries: BTreeMap<String, BTreeMap<String, FoundLibrary>>,
    /// The apt that downloads Debian packages; none if there is none, or none was needed.
    #[serde(default)]
    pub apt: Option<AptFacts>,
    /// Sysroots on this machine that serve the project, by their keys' names.
    #[serde(default)]
    pub sysroots: BTreeMap<String, Sysroot>,
    /// Sysroots whose packages are all here, locked and not yet unpacked, by their keys' names.
    #[serde(default)]
    pub fetched_sysroots: BTreeSet<String>,
    /// cross.
    #[serde(default)]
    pub cross: Option<CrossFacts>,
    /// cargo-xwin.
    #[serde(default)]
    pub xwin: Option<Utf8PathBuf>,
    /// The directories that variables name for the files of a vendor, by the variables.
    #[serde(default)]
    pub vendor_dirs: BTreeMap<String, VendorDir>,
    /// The container engine.
    #[serde(default)]
    pub engine: Engine,
    /// What images of the user's own hold, by their names.
    #[serde(default)]
    pub image_facts: BTreeMap<String, ImageFacts>,
    /// The folder of libclang's own headers, where that is known without a look beside it.
    #[serde(default)]
    pub libclang_headers: Option<Utf8PathBuf>,
    /// The environment variables that conditions of needs look at.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// Whose package manager this machine has.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// apt.
    Debian,
    /// dnf.
    Fedora,
    /// pacman.
    Arch,
    /// Homebrew.
    MacOs,
    /// None that convoy knows.
    #[default]
    Other,
}

/// apt on this machine.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct AptFacts {
    /// `apt-get`.
    pub apt_get: Utf8PathBuf,
    /// `apt-helper`, which fetches single files.
    pub helper: Utf8PathBuf,
    /// The distribution's id in os-release: `debian`, `ubuntu`, …
    pub distribution: String,
    /// The root of the Debian archive among this machine's own apt sources.
    pub mirror: Option<String>,
    /// Debian's own keyring, where it is installed.
    pub keyring: Option<Utf8PathBuf>,
    /// The words that start a program of the image that this apt is in; none for this machine's own.
    #[serde(default)]
    pub through: Vec<String>,
}

/// A library for one triple.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct FoundLibrary {
    /// Its version, where pkg-config knows one.
    pub version: Option<String>,
    /// How it was found.
    pub by: FoundBy,
    /// The file that shows it.
    pub file: Utf8PathBuf,
}

/// How a library was found.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum FoundBy {
    /// Among this machine's packages for that architecture.
    Machine,
    /// Through the user's own `PKG_CONFIG_*` variables for that triple.
    User,
}

impl Machine {
    /// Whether build scripts and proc-macros are linked without convoy's help: by a compiler on PATH, or by the linker
    /// that the user configured for this machine's own triple.
    pub fn links_itself(&self) -> bool {
        let configured = self.user.get(self.rustc.host.as_str()).is_some_and(|user| user.linker.is_some());
        self.linker.is_some() || configured
    }
}

/// The Rust compiler.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Rustc {
    /// `rustc --version` without the word.
    pub version: String,
    /// The triple of this machine.
    pub host: Triple,
    /// Its folder.
    pub sysroot: Utf8PathBuf,
}

/// zig on this machine.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct ZigFacts {
    /// zig's own binary, never the Python module: the interpreter costs about 100 ms a call.
    pub path: Utf8PathBuf,
    /// Its version.
    pub version: String,
}

/// `cross` on this machine.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct CrossFacts {
    /// Its program.
    pub program: Utf8PathBuf,
    /// The version under which the active toolchain is installed too; none where it is not.
    pub toolchain: Option<String>,
}

/// A directory that a variable names for the files of a vendor.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct VendorDir {
    /// What the variable is set to.
    pub path: Utf8PathBuf,
    /// Whether there is such a directory.
    pub exists: bool,
}

/// A cross gcc.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct GccFacts {
    /// The GNU prefix.
    pub prefix: String,
    /// `<prefix>-gcc`.
    pub cc: Utf8PathBuf,
    /// `<prefix>-g++`.
    pub cxx: Option<Utf8PathBuf>,
    /// `<prefix>-ar`.
    pub ar: Option<Utf8PathBuf>,
    /// Its version.
    pub version: String,
    /// The newest symbol version of the glibc that it links against.
    pub glibc: Option<Glibc>,
    /// Its static libstdc++.
    #[serde(default)]
    pub static_cxx: Option<Utf8PathBuf>,
    /// The folder of its own headers, where that is known without asking it.
    #[serde(default)]
    pub headers: Option<Utf8PathBuf>,
    /// Why it does not serve its target, where a trial failed.
    #[serde(default)]
    pub fault: Option<String>,
}

/// What the user configured for a triple.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct UserTools {
    /// A linker.
    pub linker: Option<UserTool>,
    /// A C compiler.
    pub cc: Option<UserTool>,
}

/// One tool that the user configured.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct UserTool {
    /// The value.
    pub value: String,
    /// The variable or file it is set by.
    pub origin: String,
}
