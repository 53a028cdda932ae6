//! The catalog: what is known of targets, platforms and devices, read from the embedded `targets/*.toml`.
//!
//! To add a target: write `targets/<triple>.toml`. Nothing else names it.

pub(crate) mod tools;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::architecture::Architecture;

/// The embedded target files, by triple: what `build.rs` finds in `targets/`.
const TARGETS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/targets.rs"));

const DEVICES: &str = include_str!("../../../targets/devices.toml");

const SPELLINGS: &str = include_str!("../../../targets/spellings.toml");

/// All that is known of targets and devices.
#[derive(Debug)]
pub struct Catalog {
    /// Known targets, in listing order.
    pub targets: Vec<Target>,
    /// Known devices.
    pub devices: Vec<Device>,
    /// The devices' CPUs, weakest first.
    cpu_order: Vec<String>,
    /// Words that people type, by the word that convoy has for each.
    spellings: BTreeMap<String, Vec<String>>,
}

/// A target of the catalog: one `targets/<triple>.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Target {
    /// rustc's target triple.
    pub triple: String,
    /// The `os/arch[/variant]` that means this target; none for the musl siblings of a platform.
    pub platform: Option<String>,
    /// Debian's name of the architecture; none where Debian has none that fits (ARMv6).
    pub debian_arch: Option<String>,
    /// The architecture's name in an archive other than Debian's whose binaries fit (Raspbian for ARMv6).
    pub other_archive_arch: Option<String>,
    /// Debian's multiarch folder name.
    pub multiarch: Option<String>,
    /// The oldest glibc a binary must start on when nothing else is asked.
    pub default_floor: Option<Glibc>,
    /// `-z max-page-size` to link with.
    pub max_page_size: Option<u64>,
    /// The distribution's cross gcc.
    pub gcc: Option<Gcc>,
    /// zig's name of the target.
    pub zig: Option<ZigTarget>,
    /// How `rust-lld` alone can link for it.
    pub lld: Option<Lld>,
    /// What a right binary looks like.
    pub expect: Expect,
    /// How a binary can be started on another machine.
    #[serde(default)]
    pub smoke: Smoke,
}

/// A distribution's cross gcc: `<prefix>-gcc`, `<prefix>-g++`, `<prefix>-ar`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gcc {
    /// The GNU prefix.
    pub prefix: String,
    /// The Debian packages that bring it, with its C library, to another architecture's machine.
    #[serde(default)]
    pub debian: Vec<String>,
}

/// zig's name of a target.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ZigTarget {
    /// `-target`, without the glibc suffix.
    pub target: String,
    /// `-mcpu`, in zig's spelling.
    pub mcpu: Option<String>,
}

/// How `rust-lld` alone can link for a target.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lld {
    /// What stands in for the C library.
    pub kind: LldKind,
    /// Extra linker arguments.
    #[serde(default)]
    pub link_args: Vec<String>,
}

/// What stands in for the C library when `rust-lld` links alone.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum LldKind {
    /// The C runtime and libc that rustup's std brings (musl).
    SelfContained,
    /// Generated text stubs of the system's libraries.
    DarwinStubs,
}

/// What a right binary of a target looks like.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// The file format.
    pub format: Format,
    /// The instruction set, as [`crate::verify`] names it.
    pub arch: String,
    /// 32 or 64.
    pub bits: u8,
    /// The ELF interpreter of a dynamic binary.
    pub interpreter: Option<String>,
    /// Whether the binary must be static.
    #[serde(default)]
    pub r#static: bool,
    /// The smallest load alignment that starts on every kernel of this target.
    pub min_page_size: Option<u64>,
    /// The ARM level.
    pub arm: Option<ArmLevel>,
    /// The oldest macOS that the binary must start on.
    pub min_os: Option<String>,
}

/// The 32-bit ARM level that a binary may use at most.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ArmLevel {
    /// Architecture version: 4 to 7.
    pub version: u8,
    /// How floating point arguments are passed.
    pub float: FloatAbi,
    /// Whether NEON may be used unconditionally.
    pub neon: bool,
}

/// A triple as it stands in the names of variables.
pub(crate) fn in_capitals(triple: &str) -> String {
    triple.to_uppercase().replace(['-', '.'], "_")
}

impl ArmLevel {
    /// What the name of a triple promises, as rustc and clang read it; none where it is no 32-bit ARM.
    pub fn of_triple(triple: &str) -> Option<Self> {
        let (first, abi) = (triple.split('-').next()?, triple.rsplit('-').next()?);
        let version = match first {
            "armv4t" => 4,
            "armv5te" => 5,
            "arm" => 6,
            "armv7" | "thumbv7neon" => 7,
            _ => return None,
        };
        let float = if abi.ends_with("eabihf") { FloatAbi::Hard } else { FloatAbi::Soft };
        Some(Self { version, float, neon: first == "thumbv7neon" })
    }
}

/// How floating point arguments are passed on 32-bit ARM.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FloatAbi {
    /// In general registers.
    Soft,
    /// In VFP registers.
    Hard,
}

/// An executable file format.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Linux and other Unixes.
    Elf,
    /// macOS.
    MachO,
    /// Windows.
    Pe,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Elf => "ELF",
            Format::Pe => "PE",
            Format::MachO => "Mach-O",
        })
    }
}

/// How a binary of a target can be started on another machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Smoke {
    /// qemu's user-mode emulator, without a `-static` suffix.
    pub qemu: Option<String>,
    /// qemu's `-cpu`: the lowest CPU that the target promises to run on.
    pub cpu: Option<String>,
    /// wine's executable.
    pub wine: Option<String>,
}

/// A named machine: target + CPU + glibc floor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Device {
    /// The name people use.
    pub name: String,
    /// Other names of the same machine.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The triple of its operating system.
    pub target: String,
    /// rustc's name of its CPU.
    pub cpu: String,
    /// The oldest glibc that it is expected to run.
    pub floor: Glibc,
    /// What it is.
    pub note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct DeviceFile {
    cpu_order: Vec<String>,
    device: Vec<Device>,
}

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    // The embedded files are checked by the tests below: a broken one never leaves the development machine.
    let parse = |(triple, text): &(&str, &str)| -> Target {
        toml::from_str(text).unwrap_or_else(|error| panic!("embedded targets/{triple}.toml: {error}"))
    };
    let mut targets: Vec<Target> = TARGETS.iter().map(parse).collect();
    targets.sort_by_cached_key(Target::place);
    let devices: DeviceFile =
        toml::from_str(DEVICES).unwrap_or_else(|error| panic!("embedded targets/devices.toml: {error}"));
    let spellings =
        toml::from_str(SPELLINGS).unwrap_or_else(|error| panic!("embedded targets/spellings.toml: {error}"));
    Catalog { targets, devices: devices.device, cpu_order: devices.cpu_order, spellings }
});

/// The platforms built when nothing else is asked.
pub const DEFAULT_MATRIX: &[&str] =
    &["linux/amd64", "linux/arm64", "linux/arm/v7", "darwin/amd64", "darwin/arm64", "windows/amd64"];

impl Catalog {
    /// The catalog that is embedded in this program.
    pub fn embedded() -> &'static Catalog {
        &CATALOG
    }

    /// The target with this triple.
    pub fn target(&self, triple: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.triple == triple)
    }

    /// The target that a platform means.
    pub fn platform(&self, platform: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.platform.as_deref() == Some(platform))
    }

    /// Convoy's word for what people elsewhere call otherwise, such as `linux/arm64` for `aarch64`.
    pub fn spelling(&self, word: &str) -> Option<&str> {
        let word = word.to_lowercase();
        self.spellings.iter().find(|(_, others)| others.contains(&word)).map(|(own, _)| own.as_str())
    }

    /// How strong a CPU is among the devices' ones; no CPU, a target's own baseline, is the weakest.
    pub fn cpu_rank(&self, cpu: Option<&str>) -> usize {
        cpu.map_or(0, |cpu| 1 + self.cpu_order.iter().position(|other| other == cpu).unwrap_or(self.cpu_order.len()))
    }

    /// The device with this name or alias.
    pub fn device(&self, name: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.name == name || device.aliases.iter().any(|alias| alias == name))
    }
}

impl Target {
    /// Where it stands in a list for people: by system and C library, then by instruction set.
    fn place(&self) -> (Format, bool, usize, std::cmp::Reverse<u8>) {
        let arch = Architecture::all().iter().position(|it| it.name == self.expect.arch);
        let arm = self.expect.arm.map_or(0, |level| level.version);
        let musl = self.triple.contains("-musl");
        (self.expect.format, musl, arch.unwrap_or(usize::MAX), std::cmp::Reverse(arm))
    }

    /// Where pkg-config finds Debian's packages for this architecture alone; it must not answer with another's.
    pub fn pkg_config_libdir(&self) -> Option<String> {
        let multiarch = self.multiarch.as_ref()?;
        Some(format!("/usr/lib/{multiarch}/pkgconfig:/usr/share/pkgconfig"))
    }

    /// The operating system part of the platform: `linux`, `darwin`, `windows`.
    pub fn os(&self) -> &'static str {
        match self.expect.format {
            Format::Elf => "linux",
            Format::Pe => "windows",
            Format::MachO => "darwin",
        }
    }
}

/// A glibc version, such as 2.31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glibc {
    /// Always 2 so far.
    pub major: u32,
    /// The release.
    pub minor: u32,
}

impl Glibc {
    /// The oldest that Rust's own std starts on.
    pub const OLDEST: Glibc = Glibc { major: 2, minor: 17 };
}

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Glibc {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (major, minor) = text.split_once('.')?;
            // `2.028` is not 2.28, and no glibc has such a name.
            let digits = |s: &str| {
                !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()) && (s.len() == 1 || !s.starts_with('0'))
            };
            if !digits(major) || !digits(minor) {
                return None;
            }
            Some(Glibc { major: major.parse().ok()?, minor: minor.parse().ok()? })
        };
        parse().ok_or_else(|| format!("`{text}` is not a glibc version such as 2.31"))
    }
}

impl Serialize for Glibc {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Glibc {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Glibc {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Glibc".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": r"^\d+\.\d+$", "description": "A glibc version, such as 2.31." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_file_is_embedded_and_names_itself() {
        assert!(TARGETS.len() > 10);
        for (triple, _) in TARGETS {
            assert!(Catalog::embedded().target(triple).is_some(), "targets/{triple}.toml names another triple");
        }
    }

    #[test]
    fn devices_and_the_default_matrix_name_known_targets() {
        let catalog = Catalog::embedded();
        for device in &catalog.devices {
            assert!(catalog.target(&device.target).is_some(), "{}", device.name);
            assert!(catalog.cpu_order.contains(&device.cpu), "{}", device.name);
        }
        for platform in DEFAULT_MATRIX {
            assert!(catalog.platform(platform).is_some(), "{platform}");
        }
    }

    #[test]
    fn spellings_lead_to_known_words_and_are_none_themselves() {
        let catalog = Catalog::embedded();
        let known = |word: &str| {
            catalog.target(word).is_some() || catalog.platform(word).is_some() || catalog.device(word).is_some()
        };
        for (own, others) in &catalog.spellings {
            assert!(known(own) || ["darwin", "windows", "pi"].contains(&own.as_str()), "{own}");
            for other in others {
                assert!(!known(other) && other.to_lowercase() == *other, "{other}");
                assert_eq!(catalog.spelling(other), Some(own.as_str()), "{other} stands twice");
            }
        }
        assert_eq!(catalog.spelling("ARM64"), Some("linux/arm64"));
        assert_eq!(catalog.spelling("linux/arm64"), None);
    }

    #[test]
    fn glibc_versions_order_by_number() {
        let parse = |text: &str| text.parse::<Glibc>();
        assert!(parse("2.4").unwrap() < parse("2.31").unwrap());
        for bad in ["", "2", "2.", ".31", "2.x", "2.31.1", "-2.31", "+2.3", "2.99999999999", "2.028", "02.28"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
