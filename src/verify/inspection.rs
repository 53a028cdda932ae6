//! What a binary says of itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::catalog::{FloatAbi, Format, Glibc};
use crate::verify::link::ArmAttributes;

/// What was read from a binary.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Inspection {
    /// The instruction set: `x86_64`, `aarch64`, `arm`, …
    pub arch: String,
    /// 32 or 64.
    pub bits: u8,
    /// Program or library.
    pub kind: Kind,
    /// Whether the system's loader must find libraries before it starts.
    pub linkage: Linkage,
    /// The linker, where the file names it.
    pub linker: Option<String>,
    /// Whether the symbol table was taken out.
    pub stripped: bool,
    /// The libraries that it loads at start: sonames, DLL names (delay-loaded ones too), install names.
    pub needed: Vec<String>,
    /// The CPU level that it asks for, where the file tells.
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
}

/// Program or library.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A program at a fixed address.
    Executable,
    /// A program that can be loaded anywhere.
    Pie,
    /// A shared library.
    SharedLibrary,
}

/// Whether the system's loader must find libraries.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Linkage {
    /// It needs no library.
    Static,
    /// It needs libraries.
    Dynamic,
}

/// What an ELF file says.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Elf {
    /// The program that loads it.
    pub interpreter: Option<String>,
    /// Every symbol version that it asks of its libraries.
    pub versions: Vec<VersionNeed>,
    /// Every symbol that its libraries must have. Not in the JSON: there are hundreds, and `versions` names most.
    #[serde(skip)]
    #[schemars(skip)]
    pub undefined: Vec<UndefinedSymbol>,
    /// The oldest glibc that has all of these.
    pub glibc: Option<Glibc>,
    /// The smallest alignment of its loaded segments: no kernel with larger pages loads it.
    pub load_alignment: Option<u64>,
    /// The build attributes of 32-bit ARM.
    pub arm: Option<ArmAttributes>,
    /// How floating point arguments are passed (32-bit ARM).
    pub float_abi: Option<FloatAbi>,
    /// Whether it has section headers; without them attributes and linker cannot be read.
    pub section_headers: bool,
    /// Whether it has a `.comment`: lld and mold sign there, so one without their names was made by GNU ld or gold.
    pub comment: bool,
}

/// One symbol version that an ELF file asks for.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct VersionNeed {
    /// The library that must have it.
    pub library: String,
    /// `GLIBC_2.34`, `GLIBCXX_3.4.30`, …
    pub version: String,
    /// Whether the program starts without it, its symbols being absent.
    pub weak: bool,
    /// The symbols that ask for it.
    pub symbols: Vec<String>,
}

/// A symbol that an ELF file leaves to its libraries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndefinedSymbol {
    /// The symbol.
    pub name: String,
    /// Its place in [`Elf::versions`]; none for one that asks for no version.
    pub version: Option<usize>,
    /// Whether the program starts without it.
    pub weak: bool,
}

/// What a PE file says.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Pe {
    /// `console`, `windows`, or the number of another one.
    pub subsystem: String,
    /// Those of the needed DLLs that are loaded at the first call.
    pub delay_loaded: Vec<String>,
}

/// What a Mach-O file says.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct MachO {
    /// `macos`, or the number of another platform.
    pub platform: Option<String>,
    /// The oldest system that starts it.
    pub min_os: Option<String>,
    /// The SDK that it says it was built with.
    pub sdk: Option<String>,
    /// Its code signature.
    pub signature: Signature,
    /// Symbols that are bound to no library: at start each is looked for in all that are loaded.
    pub dynamic_lookup: Vec<DynamicSymbol>,
}

/// A Mach-O symbol that is bound to no library.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub struct DynamicSymbol {
    /// With the leading underscore.
    pub name: String,
    /// Whether the program starts without it.
    pub weak: bool,
}

/// The state of a Mach-O's code signature.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(tag = "state", content = "reason", rename_all = "kebab-case")]
pub enum Signature {
    /// There is none.
    Missing,
    /// Made by the linker, in nobody's name; the contents match it.
    AdHoc,
    /// Made with a certificate; the contents match it.
    Signed,
    /// The contents do not match it.
    Broken(String),
}

impl Inspection {
    /// The file format.
    pub fn format(&self) -> Format {
        match self.facts {
            Facts::Elf(_) => Format::Elf,
            Facts::Pe(_) => Format::Pe,
            Facts::MachO(_) => Format::MachO,
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
            Facts::Pe(_) | Facts::MachO(_) => None,
        }
    }

    /// The oldest glibc that it starts on; none for what needs no glibc.
    pub fn glibc(&self) -> Option<Glibc> {
        match &self.facts {
            Facts::Elf(elf) => elf.glibc,
            Facts::Pe(_) | Facts::MachO(_) => None,
        }
    }

    /// The oldest macOS that it starts on.
    pub fn min_os(&self) -> Option<&str> {
        match &self.facts {
            Facts::MachO(macho) => macho.min_os.as_deref(),
            Facts::Elf(_) | Facts::Pe(_) => None,
        }
    }
}
