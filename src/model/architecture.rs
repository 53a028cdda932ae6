//! `targets/architectures.toml`: what is known of instruction sets, wherever one is named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

use crate::model::catalog::Glibc;
use crate::model::cpu::Level;

/// An instruction set.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Architecture {
    /// Its name, as an inspected binary has it.
    pub name: String,
    /// First words of the target triples that mean it.
    #[serde(default)]
    words: Vec<String>,
    /// What first words begin with that mean it.
    #[serde(default)]
    prefixes: Vec<String>,
    /// Other names of its machines: by `uname -m`, by container engines.
    #[serde(default)]
    machines: Vec<String>,
    /// Debian's name of it; none where Debian has no such port.
    debian: Option<String>,
    /// Debian's name of it for triples whose ABI passes floats in registers.
    debian_hard_float: Option<String>,
    /// The first of Debian's releases that has it; none where every known one does.
    pub since: Option<String>,
    /// zig's name of it; none where zig links for no triple outside the catalogue.
    pub zig: Option<String>,
    /// The word in the names of GNU tools, where it is not the triple's own.
    gnu: Option<String>,
    /// zig's `-mcpu` for what rustc compiles for, by the triple's first word.
    #[serde(default)]
    baseline: BTreeMap<String, String>,
    /// The size of a pointer in bits.
    pub bits: u8,
    /// Whether the highest byte of a number comes first.
    #[serde(default)]
    pub big_endian: bool,
    /// The number of its ELF files (`e_machine`); none where it has no ELF files.
    pub machine: Option<u16>,
    /// What `e_flags` must hold; none where nothing is asked of them, or another check reads them (32-bit ARM).
    pub flags: Option<Flags>,
    /// glibc's dynamic loader.
    loader: Option<String>,
    /// The same for triples whose ABI passes floats in registers.
    loader_hard_float: Option<String>,
    /// The first glibc that has it; none where Rust's own minimum is newer.
    pub glibc: Option<Glibc>,
    /// The page sizes of its kernels; none where all have pages of 4 KiB.
    pub pages: Option<Pages>,
    /// qemu's user-mode emulator, without a `-static` suffix.
    pub qemu: Option<String>,
    /// qemu's `-cpu`: the lowest that the targets promise to run on.
    pub qemu_cpu: Option<String>,
    /// How gcc takes a CPU; `-mcpu` where none is named.
    gcc_cpu: Option<String>,
    /// The extensions of RISC-V that its targets promise; empty for every other architecture.
    #[serde(default)]
    pub extensions: BTreeSet<String>,
    /// CPUs and levels beyond what its targets promise, by the names that people use.
    #[serde(default, rename = "level")]
    pub(crate) levels: BTreeMap<String, Level>,
}

/// What the `e_flags` of an ABI hold.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Flags {
    /// The bits that tell the ABI.
    pub mask: u32,
    /// What they must be.
    pub value: u32,
    /// The name of the ABI that these stand for.
    pub abi: String,
}

/// The page sizes of an architecture's kernels, in bytes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// The smallest alignment of segments that every usual kernel loads.
    pub least: u64,
    /// The alignment that convoy links with.
    pub linked: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    architecture: Vec<Architecture>,
}

static ARCHITECTURES: LazyLock<Vec<Architecture>> = LazyLock::new(|| {
    // Embedded and checked by a test below.
    let file: File = toml::from_str(include_str!("../../targets/architectures.toml"))
        .unwrap_or_else(|error| panic!("embedded targets/architectures.toml: {error}"));
    file.architecture
});

impl Architecture {
    /// All that are known.
    pub fn all() -> &'static [Architecture] {
        &ARCHITECTURES
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ARCHITECTURES.iter().find(|it| it.name == name)
    }

    /// That of a target triple; none where its first word is not known.
    ///
    /// ```
    /// use cargo_convoy::model::architecture::Architecture;
    /// let name = |triple| Architecture::of_triple(triple).map(|it| it.name.as_str());
    /// assert_eq!(name("riscv64gc-unknown-linux-gnu"), Some("riscv64"));
    /// assert_eq!(name("hexagon-unknown-linux-musl"), None);
    /// ```
    pub fn of_triple(triple: &str) -> Option<&'static Self> {
        Self::of_word(triple.split('-').next().unwrap_or_default())
    }

    /// That of a machine, by `uname -m`, or by an engine's, Debian's or a triple's word for it.
    pub fn of_machine(name: &str) -> Option<&'static Self> {
        let known = |it: &&Self| it.machines.iter().any(|other| other == name) || it.debian.as_deref() == Some(name);
        Self::of_word(name).or_else(|| ARCHITECTURES.iter().find(known))
    }

    fn of_word(word: &str) -> Option<&'static Self> {
        let exact = ARCHITECTURES.iter().find(|it| it.words.iter().any(|other| other == word));
        exact.or_else(|| ARCHITECTURES.iter().find(|it| it.prefixes.iter().any(|start| word.starts_with(start))))
    }

    /// Debian's name of it, for a triple of this architecture; none where Debian has no such port.
    pub fn debian(&self, hard_float: bool) -> Option<&str> {
        self.debian_hard_float.as_deref().filter(|_| hard_float).or(self.debian.as_deref())
    }

    /// The first word of the names of GNU tools for a triple whose own first word is `word`.
    pub fn gnu<'a>(&'a self, word: &'a str) -> &'a str {
        self.gnu.as_deref().unwrap_or(word)
    }

    /// glibc's dynamic loader, for a triple of this architecture.
    pub fn loader(&self, hard_float: bool) -> Option<&str> {
        self.loader_hard_float.as_deref().filter(|_| hard_float).or(self.loader.as_deref())
    }

    /// How gcc takes a CPU.
    pub fn gcc_cpu(&self) -> &str {
        self.gcc_cpu.as_deref().unwrap_or("-mcpu")
    }

    /// zig's `-mcpu` for what rustc compiles for, where zig's own default is more; `word` is the triple's first.
    pub fn baseline(&self, word: &str) -> Option<&str> {
        self.baseline.get(word).map(String::as_str)
    }
}

/// The name of the instruction set that a file says it is for.
pub(crate) fn name_of(arch: object::Architecture, little_endian: bool) -> String {
    use object::Architecture as Seen;
    let name = match (arch, little_endian) {
        (Seen::Aarch64, true) => "aarch64",
        (Seen::Aarch64, false) => "aarch64_be",
        (Seen::Aarch64_Ilp32, _) => "aarch64_ilp32",
        (Seen::Arm, true) => "arm",
        (Seen::Arm, false) => "armeb",
        (Seen::I386, _) => "x86",
        (Seen::X86_64, _) => "x86_64",
        (Seen::X86_64_X32, _) => "x32",
        (Seen::LoongArch64, _) => "loongarch64",
        (Seen::Mips, true) => "mipsel",
        (Seen::Mips, false) => "mips",
        (Seen::Mips64, true) => "mips64el",
        (Seen::Mips64, false) => "mips64",
        (Seen::PowerPc, _) => "powerpc",
        (Seen::PowerPc64, true) => "powerpc64le",
        (Seen::PowerPc64, false) => "powerpc64",
        (Seen::Riscv32, _) => "riscv32",
        (Seen::Riscv64, _) => "riscv64",
        (Seen::S390x, _) => "s390x",
        (Seen::Sparc64, _) => "sparc64",
        (Seen::Wasm32, _) => "wasm32",
        (Seen::Unknown, _) => "unknown",
        (other, _) => return format!("{other:?}").to_lowercase(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sysroot::Suites;

    #[test]
    fn no_word_means_two() {
        let words: Vec<&String> =
            Architecture::all().iter().flat_map(|it| it.words.iter().chain(&it.machines)).collect();
        assert_eq!(words.len(), words.iter().collect::<BTreeSet<_>>().len());
        let names: BTreeSet<&str> = Architecture::all().iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names.len(), Architecture::all().len());
        for it in Architecture::all() {
            assert!(it.since.as_ref().is_none_or(|suite| Suites::embedded().named(suite).is_some()), "{}", it.name);
            assert!(!it.words.is_empty() || !it.prefixes.is_empty(), "{}", it.name);
        }
    }

    /// The least of an ELF file that `object` reads.
    fn elf(it: &Architecture, machine: u16) -> Vec<u8> {
        let wide = it.bits == 64;
        let mut bytes = vec![0; if wide { 64 } else { 52 }];
        bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 1 + u8::from(wide), 1 + u8::from(it.big_endian), 1]);
        let mut put = |at: usize, value: u16| {
            let value = if it.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
            bytes[at..at + 2].copy_from_slice(&value);
        };
        put(16, 2);
        put(18, machine);
        put(if wide { 52 } else { 40 }, if wide { 64 } else { 52 });
        // The ABI of MIPS is in its flags: `EF_MIPS_ARCH_64` for the wide one.
        if machine == 8 && wide {
            put(if it.big_endian { 48 } else { 50 }, 0x6000);
        }
        bytes
    }

    #[test]
    fn a_file_with_the_number_and_byte_order_of_a_row_is_of_that_architecture() {
        use object::Object as _;
        for it in Architecture::all() {
            let Some(machine) = it.machine else { continue };
            let bytes = elf(it, machine);
            let file = object::File::parse(&*bytes).unwrap();
            assert_eq!(name_of(file.architecture(), file.is_little_endian()), it.name);
            assert!(it.pages.is_none_or(|pages| pages.least <= pages.linked), "{}", it.name);
            assert!(it.flags.as_ref().is_none_or(|flags| flags.value & !flags.mask == 0), "{}", it.name);
        }
    }

    #[test]
    fn triples_and_machines_have_one() {
        let of = |triple: &str| Architecture::of_triple(triple).map(|it| it.name.as_str());
        assert_eq!(of("armv7-unknown-linux-gnueabihf"), Some("arm"));
        assert_eq!(of("thumbv7neon-unknown-linux-gnueabihf"), Some("arm"));
        assert_eq!(of("armebv7r-none-eabi"), Some("armeb"));
        assert_eq!(of("aarch64_be-unknown-linux-gnu"), Some("aarch64_be"));
        assert_eq!(of(""), None);
        let debian = |machine: &str| Architecture::of_machine(machine).and_then(|it| it.debian(true));
        assert_eq!(debian("x86_64"), Some("amd64"));
        assert_eq!(debian("armv7l"), Some("armhf"));
        assert_eq!(debian("ppc64le"), Some("ppc64el"));
        assert_eq!(debian("arm64"), Some("arm64"));
        assert_eq!(debian("amd64"), Some("amd64"));
        assert_eq!(debian("riscv64"), Some("riscv64"));
    }
}
