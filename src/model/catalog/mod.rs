//! The catalog: what is known of targets, platforms and devices, read from the embedded `targets/*.toml`.
//!
//! To add a target: write `targets/<triple>.toml`. Nothing else names it.

mod glibc;
pub(crate) mod tools;
mod words;

use std::fmt;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::architecture::Architecture;
use crate::model::triple::{Os, Triple};
pub use glibc::Glibc;
pub(crate) use words::split_floor;
use words::{Spellings, VendorFile};
pub use words::{UNIVERSAL, Universal, Vendor, WindowsRuntime};

/// The embedded target files, by triple: what `build.rs` finds in `targets/`.
const TARGETS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/targets.rs"));

const DEVICES: &str = include_str!("../../../targets/devices.toml");

const SPELLINGS: &str = include_str!("../../../targets/spellings.toml");

const VENDORS: &str = include_str!("../../../targets/vendors.toml");

/// All that is known of targets and devices.
#[derive(Debug)]
pub struct Catalog {
    /// Known targets, in listing order.
    pub targets: Vec<Target>,
    /// Known devices.
    pub devices: Vec<Device>,
    /// The devices' CPUs, weakest first.
    cpu_order: Vec<String>,
    spellings: Spellings,
    /// Systems that need files of their vendors.
    vendors: Vec<Vendor>,
}

/// A target of the catalog: one `targets/<triple>.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Target {
    /// rustc's target triple.
    pub triple: Triple,
    /// The `os/arch[/variant]` that means this target; none for the musl siblings of a platform.
    pub platform: Option<String>,
    /// The same where configuration says `windows = "msvc"`, in place of the target that has it otherwise.
    pub msvc_platform: Option<String>,
    /// Debian's name of the architecture; none where Debian has none that fits (ARMv6).
    pub debian_arch: Option<String>,
    /// The architecture's name in an archive other than Debian's whose binaries fit (Raspbian for ARMv6).
    pub other_archive_arch: Option<String>,
    /// Debian's multiarch folder name.
    pub multiarch: Option<String>,
    /// The oldest glibc a binary must start on when nothing else is asked.
    pub default_floor: Option<Glibc>,
    /// `-z max-page-size` to link with; the architecture's where the file names none.
    pub max_page_size: Option<u64>,
    /// Flags for rustc, besides those of a route.
    #[serde(default)]
    pub rustflags: Vec<String>,
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
    /// Whether only the images of projects that build for the target have these packages.
    #[serde(default)]
    pub rare: bool,
}

/// zig's name of a target.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ZigTarget {
    /// `-target`, without the glibc suffix.
    pub target: String,
    /// `-mcpu`, in zig's spelling.
    pub mcpu: Option<String>,
    /// The oldest glibc that it links against; none where any that Rust starts on will do.
    pub oldest_glibc: Option<Glibc>,
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
    /// The C runtime and libc of WASI that rustup's std brings.
    Wasi,
    /// Generated import libraries of Windows, and start-up code.
    ImportLibraries,
}

/// What a right binary of a target looks like.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// The file format.
    pub format: Format,
    /// The instruction set, as [`crate::verify`] names it; the triple's where the file names none.
    #[serde(default)]
    pub arch: String,
    /// 32 or 64; the architecture's where the file names none.
    #[serde(default)]
    pub bits: u8,
    /// The ELF interpreter of a dynamic binary; glibc's where the file names none.
    pub interpreter: Option<String>,
    /// Whether the binary must be static.
    #[serde(default)]
    pub r#static: bool,
    /// The smallest load alignment that starts on every kernel of this target; the architecture's where the file names
    /// none.
    pub min_page_size: Option<u64>,
    /// The ARM level.
    pub arm: Option<ArmLevel>,
    /// The oldest macOS, FreeBSD or NetBSD that the binary must start on.
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
    /// WebAssembly modules.
    Wasm,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Elf => "ELF",
            Format::Pe => "PE",
            Format::MachO => "Mach-O",
            Format::Wasm => "WebAssembly",
        })
    }
}

/// How a binary of a target can be started on another machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Smoke {
    /// qemu's user-mode emulator, without a `-static` suffix; the architecture's for Linux, where the file names none.
    pub qemu: Option<String>,
    /// qemu's `-cpu`: the lowest CPU that the target promises to run on.
    pub cpu: Option<String>,
    /// wine's executable.
    pub wine: Option<String>,
    /// The executable of a WebAssembly runtime.
    pub wasm: Option<String>,
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
        let target = toml::from_str(text).map(Target::completed);
        target.unwrap_or_else(|error| panic!("embedded targets/{triple}.toml: {error}"))
    };
    let mut targets: Vec<Target> = TARGETS.iter().map(parse).collect();
    targets.sort_by_cached_key(Target::place);
    let devices: DeviceFile =
        toml::from_str(DEVICES).unwrap_or_else(|error| panic!("embedded targets/devices.toml: {error}"));
    let spellings =
        toml::from_str(SPELLINGS).unwrap_or_else(|error| panic!("embedded targets/spellings.toml: {error}"));
    let vendors: VendorFile =
        toml::from_str(VENDORS).unwrap_or_else(|error| panic!("embedded targets/vendors.toml: {error}"));
    Catalog { targets, devices: devices.device, cpu_order: devices.cpu_order, spellings, vendors: vendors.vendor }
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
    /// With what its file leaves to the architecture.
    fn completed(mut self) -> Self {
        let Some(known) = self.triple.architecture() else { return self };
        let hard_float = self.triple.ends_with("hf");
        let expect = &mut self.expect;
        if expect.arch.is_empty() {
            expect.arch.clone_from(&known.name);
        }
        if expect.bits == 0 {
            expect.bits = known.bits;
        }
        if self.triple.is_glibc() {
            expect.interpreter = expect.interpreter.take().or(known.loader(hard_float).map(str::to_owned));
        }
        if self.triple.is_linux() {
            expect.min_page_size = expect.min_page_size.or(known.pages.map(|pages| pages.least));
            self.max_page_size = self.max_page_size.or(known.pages.map(|pages| pages.linked));
            if self.smoke.qemu.is_none() {
                self.smoke.qemu.clone_from(&known.qemu);
                self.smoke.cpu = self.smoke.cpu.take().or(known.qemu_cpu.clone());
            }
        }
        self
    }

    /// Where it stands in a list for people: by system and C library, then by instruction set.
    fn place(&self) -> (Format, Os, bool, usize, std::cmp::Reverse<u8>, bool) {
        let arch = Architecture::all().iter().position(|it| it.name == self.expect.arch);
        let (arm, soft) = self.expect.arm.map_or((0, false), |level| (level.version, level.float == FloatAbi::Soft));
        let musl = self.triple.is_musl();
        let arch = arch.unwrap_or(usize::MAX);
        (self.expect.format, self.triple.os(), musl, arch, std::cmp::Reverse(arm), soft)
    }

    /// Where pkg-config finds Debian's packages for this architecture alone; it must not answer with another's.
    pub fn pkg_config_libdir(&self) -> Option<String> {
        let multiarch = self.multiarch.as_ref()?;
        Some(format!("/usr/lib/{multiarch}/pkgconfig:/usr/share/pkgconfig"))
    }

    /// The operating system part of the platform, as Go names it: `linux`, `darwin`, `windows`, `freebsd`.
    pub fn os(&self) -> &str {
        match self.triple.os() {
            Os::Linux => "linux",
            Os::Windows => "windows",
            Os::Apple => "darwin",
            Os::Unix | Os::Wasi | Os::Other => self.triple.rsplit('-').next().unwrap_or_default(),
        }
    }

    /// Its architecture.
    pub fn architecture(&self) -> Option<&'static Architecture> {
        Architecture::named(&self.expect.arch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_file_is_embedded_and_names_itself() {
        assert!(TARGETS.len() > 10);
        for (triple, _) in TARGETS {
            let target = Catalog::embedded().target(triple);
            let target = target.unwrap_or_else(|| panic!("targets/{triple}.toml names another triple"));
            assert!(target.architecture().is_some() && target.expect.bits.is_multiple_of(32), "{triple}");
            assert!(target.default_floor.is_none_or(|floor| floor >= Glibc::oldest_for(triple)), "{triple}");
            assert_eq!(target.default_floor.is_some(), target.triple.is_glibc(), "{triple}");
            assert_eq!(target.expect.interpreter.is_some(), target.triple.is_glibc() || target.os().ends_with("bsd"));
            assert!(target.platform.as_ref().is_none_or(|platform| platform.starts_with(target.os())), "{triple}");
            let other = target.msvc_platform.as_ref().map(|platform| Catalog::embedded().platform(platform));
            assert!(other.is_none_or(|other| other.is_some() && target.platform.is_none()), "{triple}");
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
            catalog.target(word).is_some()
                || catalog.platform(word).is_some()
                || catalog.device(word).is_some()
                || UNIVERSAL.is(word)
        };
        assert!(UNIVERSAL.halves.iter().all(|half| known(half)));
        for (own, others) in catalog.spellings.same.iter().chain(&catalog.spellings.suggest) {
            assert!(known(own) || ["darwin", "windows", "pi"].contains(&own.as_str()), "{own}");
            for other in others {
                assert!(!known(other) && other.to_lowercase() == *other, "{other}");
                assert_eq!(catalog.spelling(other), Some(own.as_str()), "{other} stands twice");
            }
        }
        assert_eq!(catalog.synonym("ARM64"), Some("linux/arm64"));
        assert_eq!(catalog.canonical("aarch64.2.31"), "linux/arm64.2.31");
        assert_eq!((catalog.synonym("alpine"), catalog.spelling("Alpine")), (None, Some("x86_64-unknown-linux-musl")));
        assert_eq!(catalog.spelling("linux/arm64"), None);
    }

    #[test]
    fn systems_that_need_a_vendors_files_are_known_by_their_triples() {
        let catalog = Catalog::embedded();
        let needs = |triple: &str| catalog.vendor(triple).map(|vendor| vendor.needs.as_str());
        assert!(needs("aarch64-linux-android").unwrap().contains("NDK"));
        assert!(needs("arm-linux-androideabi").unwrap().contains("NDK"));
        assert!(needs("aarch64-apple-ios-sim").unwrap().contains("Xcode"));
        assert_eq!([needs("aarch64-apple-darwin"), needs("x86_64-unknown-linux-gnu")], [None; 2]);
    }
}
