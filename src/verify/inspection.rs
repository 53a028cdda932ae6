//! What a binary says of itself.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::catalog::{FloatAbi, Format, Glibc};
use crate::verify::link::ArmAttributes;

/// The properties of a binary.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Inspection {
    /// The CPU architecture: `x86_64`, `aarch64`, `arm`, …
    pub arch: String,
    /// 32 or 64.
    pub bits: u8,
    /// Program or shared library.
    pub kind: Kind,
    /// Whether it is linked statically or dynamically.
    pub linkage: Linkage,
    /// The linker; null if the file does not state it.
    pub linker: Option<String>,
    /// Whether the symbol table was removed.
    pub stripped: bool,
    /// The shared libraries that it loads: sonames, DLL names (including delay-loaded ones) or install names.
    pub needed: Vec<String>,
    /// The CPU level that it requires; null if the file does not state it.
    pub cpu: Option<String>,
    /// What only its format has.
    #[serde(flatten)]
    pub facts: Facts,
}

/// What only one file format has.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(tag = "format", rename_all = "kebab-case")]
pub enum Facts {
    /// ELF.
    Elf(Elf),
    /// PE.
    Pe(Pe),
    /// Mach-O.
    MachO(MachO),
    /// WebAssembly.
    Wasm(Wasm),
}

/// Program or shared library.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A program at a fixed address.
    Executable,
    /// A position-independent program.
    Pie,
    /// A shared library.
    SharedLibrary,
}

/// Whether it is linked statically or dynamically.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Linkage {
    /// It needs no shared libraries.
    Static,
    /// It needs shared libraries.
    Dynamic,
}

/// Properties of an ELF file.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Elf {
    /// The program interpreter (loader).
    pub interpreter: Option<String>,
    /// The symbol versions that it requires.
    pub versions: Vec<VersionNeed>,
    /// Every symbol that its libraries must have. Not in the JSON: there are hundreds, and `versions` names most.
    #[serde(skip)]
    #[schemars(skip)]
    pub undefined: Vec<UndefinedSymbol>,
    /// The oldest glibc that has all of these versions.
    pub glibc: Option<Glibc>,
    /// The smallest alignment of its loaded segments; kernels with larger pages cannot load it.
    pub load_alignment: Option<u64>,
    /// The build attributes of 32-bit ARM.
    pub arm: Option<ArmAttributes>,
    /// How floating point arguments are passed (32-bit ARM).
    pub float_abi: Option<FloatAbi>,
    /// The flags of its header, which state the ABI of some architectures.
    #[serde(default)]
    pub flags: u32,
    /// The extensions of RISC-V that it uses.
    #[serde(default)]
    pub extensions: Option<BTreeSet<String>>,
    /// The level of x86-64 that it states to need, 1 to 4.
    #[serde(default)]
    pub x86_64_level: Option<u8>,
    /// Whether arguments are passed in vector registers (IBM Z).
    #[serde(default)]
    pub vector_abi: Option<bool>,
    /// The system that it is made for, and its version (FreeBSD and NetBSD).
    #[serde(default)]
    pub system: Option<System>,
    /// Whether it has section headers; without them attributes and linker cannot be read.
    pub section_headers: bool,
    /// Whether it has a `.comment` section. lld and mold write their names to it, GNU ld and gold do not.
    pub comment: bool,
}

/// The system that an ELF file states to be made for.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct System {
    /// `freebsd` or `netbsd`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A symbol version that an ELF file requires.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct VersionNeed {
    /// The library that must provide it.
    pub library: String,
    /// `GLIBC_2.34`, `GLIBCXX_3.4.30`, …
    pub version: String,
    /// Whether the program starts if it is missing.
    pub weak: bool,
    /// The symbols with this version.
    pub symbols: Vec<String>,
}

/// A symbol that an ELF file leaves to its libraries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndefinedSymbol {
    /// The symbol.
    pub name: String,
    /// Its place in [`Elf::versions`]; none for one that asks for no version.
    pub version: Option<usize>,
    /// Whether the program starts if it is missing.
    pub weak: bool,
}

/// Properties of a PE file.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Pe {
    /// `console`, `windows`, or the number of another one.
    pub subsystem: String,
    /// The needed DLLs that are loaded on first use.
    pub delay_loaded: Vec<String>,
    /// How many functions and variables it imports from DLLs whose exports are known.
    #[serde(default)]
    pub imports: usize,
    /// What it imports and its DLL does not export, as `DLL!name`, with the architectures that have it, if there are any.
    #[serde(default)]
    pub not_exported: Vec<String>,
    /// Functions that it imports and the oldest supported Windows does not have.
    #[serde(default)]
    pub newer: Vec<NewerImport>,
    /// DLLs that it imports from and whose exports are not known.
    #[serde(default)]
    pub unaccounted: Vec<String>,
    /// Whether Windows may load it at a random address (ASLR).
    #[serde(default)]
    pub randomized: bool,
    /// Whether its data cannot be executed (NX, DEP).
    #[serde(default)]
    pub no_execute: bool,
    /// Whether it asks for control-flow guard.
    #[serde(default)]
    pub guarded: bool,
}

/// An import that the oldest supported Windows cannot resolve.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct NewerImport {
    /// The function, as `DLL!name`.
    pub import: String,
    /// The first release of Windows that has it.
    pub since: String,
    /// The build of that release.
    pub build: u32,
    /// Whether it is looked up on the first call only, so that the program starts without it.
    pub delayed: bool,
}

/// Properties of a Mach-O file.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct MachO {
    /// `macos`, or the number of another platform.
    pub platform: Option<String>,
    /// The minimum macOS version.
    pub min_os: Option<String>,
    /// The SDK version that it states.
    pub sdk: Option<String>,
    /// Its code signature.
    pub signature: Signature,
    /// Symbols that are not bound to a library, and are looked up in all loaded libraries at start.
    pub dynamic_lookup: Vec<DynamicSymbol>,
}

/// A Mach-O symbol that is not bound to a library.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub struct DynamicSymbol {
    /// Its name, with the leading underscore.
    pub name: String,
    /// Whether the program starts if it is missing.
    pub weak: bool,
}

/// The state of a Mach-O's code signature.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(tag = "state", content = "reason", rename_all = "kebab-case")]
pub enum Signature {
    /// Not signed.
    Missing,
    /// Signed ad hoc by the linker; matches the contents.
    AdHoc,
    /// Signed with a certificate; matches the contents.
    Signed,
    /// Does not match the contents.
    Broken(String),
}

/// Properties of a WebAssembly module.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Wasm {
    /// What its runtime must have.
    pub imports: Vec<WasmImport>,
}

/// Something that a WebAssembly module leaves to its runtime.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct WasmImport {
    /// The interface.
    pub module: String,
    /// The function, memory or other item of it.
    pub name: String,
}

impl Inspection {
    /// The file format.
    pub fn format(&self) -> Format {
        match self.facts {
            Facts::Elf(_) => Format::Elf,
            Facts::Pe(_) => Format::Pe,
            Facts::MachO(_) => Format::MachO,
            Facts::Wasm(_) => Format::Wasm,
        }
    }

    /// The symbols that its libraries must have, each with its version; without those that it starts without.
    pub fn used_symbols(&self) -> Vec<(&str, Option<&str>)> {
        let Facts::Elf(elf) = &self.facts else { return Vec::new() };
        elf.undefined
            .iter()
            .map(|symbol| (symbol, symbol.version.and_then(|place| elf.versions.get(place))))
            // The loader demands the version of a weak symbol too, unless that is weak itself.
            .filter(|(symbol, version)| !symbol.weak || version.is_some_and(|version| !version.weak))
            .map(|(symbol, version)| (symbol.name.as_str(), version.map(|version| version.version.as_str())))
            .collect()
    }

    /// The ELF interpreter.
    pub fn interpreter(&self) -> Option<&str> {
        match &self.facts {
            Facts::Elf(elf) => elf.interpreter.as_deref(),
            Facts::Pe(_) | Facts::MachO(_) | Facts::Wasm(_) => None,
        }
    }

    /// The oldest glibc that it starts on; none for what needs no glibc.
    pub fn glibc(&self) -> Option<Glibc> {
        match &self.facts {
            Facts::Elf(elf) => elf.glibc,
            Facts::Pe(_) | Facts::MachO(_) | Facts::Wasm(_) => None,
        }
    }

    /// The oldest macOS that it starts on.
    pub fn min_os(&self) -> Option<&str> {
        match &self.facts {
            Facts::MachO(macho) => macho.min_os.as_deref(),
            Facts::Elf(_) | Facts::Pe(_) | Facts::Wasm(_) => None,
        }
    }
}
