//! 32-bit ARM levels: what code may use, and what it does use.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::model::catalog::{ArmLevel, FloatAbi};
use crate::verify::link::{ArmAttributes, LinkRecord};

// `Tag_CPU_arch`. The numbers are no ladder: v6T2, v6-M and the M profiles have instructions that others lack.
const V4T: u8 = 2;
const V5TE: u8 = 4;
const V6: u8 = 6;
const V6T2: u8 = 8;
const V6K: u8 = 9;
const V7: u8 = 10;
const V8A: u8 = 14;
const V8_1A: u8 = 18;
const V8_3A: u8 = 20;

// `Tag_FP_arch`.
const VFPV2: u8 = 2;
const VFPV3: u8 = 3;
const VFPV3_D16: u8 = 4;

/// What a CPU has, by rustc's name: `targets/cpus.toml`.
static CPUS: LazyLock<BTreeMap<String, Limit>> = LazyLock::new(|| {
    // Embedded and tested below: a broken file never leaves the development machine.
    toml::from_str(include_str!("../../targets/cpus.toml"))
        .unwrap_or_else(|error| panic!("embedded targets/cpus.toml: {error}"))
});

/// The most that code may use.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    /// `Tag_CPU_arch`.
    arch: u8,
    /// `Tag_FP_arch`.
    fp: u8,
    neon: bool,
}

/// How code exceeds a limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Excess {
    /// What it uses.
    pub what: String,
    /// Whether it is only NEON on ARMv7, which code may use after it asked the kernel at run time: many libraries do.
    pub may_be_guarded: bool,
}

impl Limit {
    /// What the target promises, and what the CPU has above it. A CPU that is not known is an error, by its name.
    pub(crate) fn new<'a>(level: &ArmLevel, cpu: Option<&'a str>) -> Result<Self, &'a str> {
        match cpu {
            Some(cpu) if cpu != "generic" => CPUS.get(cpu).copied().ok_or(cpu),
            _ => Ok(if level.version >= 7 {
                // The promise is VFPv3-D16, but LLVM marks Rust's own code for it as VFPv3 (seen with rustc 1.95), so
                // the tag cannot tell the 16 upper registers; who has these has NEON, which has a tag of its own. Code for
                // `+soft-float` has the same mark, although no instruction of it is for the unit.
                Limit { arch: V7, fp: VFPV3, neon: level.neon }
            } else {
                let arch = match level.version {
                    6.. => V6,
                    5 => V5TE,
                    _ => V4T,
                };
                Limit { arch, fp: if level.float == FloatAbi::Soft { 0 } else { VFPV2 }, neon: level.neon }
            }),
        }
    }

    /// What of `attributes` is beyond this limit. An absent tag asks for nothing.
    pub(crate) fn excess(&self, attributes: &ArmAttributes) -> Option<Excess> {
        let mut beyond = Vec::new();
        if let Some(arch) = attributes.cpu_arch.filter(|arch| !self.has_arch(*arch)) {
            beyond.push(arch_text(arch));
        }
        if let Some(fp) = attributes.fp_arch.filter(|fp| fp_rank(*fp) > fp_rank(self.fp)) {
            beyond.push(fp_text(fp));
        }
        let may_be_guarded = beyond.is_empty() && self.arch >= V7;
        if attributes.simd_arch.is_some_and(|simd| simd != 0) && !self.neon {
            beyond.push("NEON".to_owned());
        }
        (!beyond.is_empty()).then(|| Excess { what: beyond.join(", "), may_be_guarded })
    }

    fn has_arch(&self, arch: u8) -> bool {
        match arch {
            // All ARMv6 Linux machines are v6K or v6KZ (the ARM11 of the Raspberry Pi).
            0..=V6K if arch != V6T2 => self.arch >= V6 || arch <= self.arch,
            V6T2 | V7 => self.arch >= V7,
            V8A | V8_1A..=V8_3A => arch <= self.arch,
            // The M and R profiles, which run no Linux, and what came later.
            _ => false,
        }
    }

    /// For messages.
    pub(crate) fn text(&self) -> String {
        let neon = if self.neon { " with NEON" } else { "" };
        format!("{} {}{neon}", arch_text(self.arch), fp_text(self.fp))
    }
}

fn arch_text(arch: u8) -> String {
    const NAMES: [&str; 23] = [
        "pre-v4",
        "ARMv4",
        "ARMv4T",
        "ARMv5T",
        "ARMv5TE",
        "ARMv5TEJ",
        "ARMv6",
        "ARMv6KZ",
        "ARMv6T2",
        "ARMv6K",
        "ARMv7",
        "ARMv6-M",
        "ARMv6S-M",
        "ARMv7E-M",
        "ARMv8-A",
        "ARMv8-R",
        "ARMv8-M.base",
        "ARMv8-M.main",
        "ARMv8.1-A",
        "ARMv8.2-A",
        "ARMv8.3-A",
        "ARMv8.1-M.main",
        "ARMv9-A",
    ];
    NAMES.get(usize::from(arch)).map_or_else(|| format!("Tag_CPU_arch {arch}"), |name| (*name).to_owned())
}

fn fp_text(fp: u8) -> String {
    const NAMES: [&str; 9] =
        ["no VFP", "VFPv1", "VFPv2", "VFPv3", "VFPv3-D16", "VFPv4", "VFPv4-D16", "FP-ARMv8", "FP-ARMv8-D16"];
    NAMES.get(usize::from(fp)).map_or_else(|| format!("Tag_FP_arch {fp}"), |name| (*name).to_owned())
}

/// The units in order: a unit runs the code of all before it. The tag's numbers are not in this order.
fn fp_rank(fp: u8) -> u8 {
    match fp {
        0..=VFPV2 => fp,
        VFPV3_D16 => 3,
        VFPV3 => 4,
        6 => 5,
        5 => 6,
        8 => 7,
        7 => 8,
        _ => u8::MAX,
    }
}

/// The level of a file as people say it; none when it claims no architecture.
pub(super) fn cpu_text(attributes: &ArmAttributes, float: Option<FloatAbi>) -> Option<String> {
    let mut text = arch_text(attributes.cpu_arch?);
    if let Some(fp) = attributes.fp_arch.filter(|fp| *fp != 0) {
        text.push(' ');
        text.push_str(&fp_text(fp));
    }
    if attributes.simd_arch.is_some_and(|simd| simd != 0) {
        text.push_str(" NEON");
    }
    match float {
        Some(FloatAbi::Hard) => text.push_str(" hard-float"),
        Some(FloatAbi::Soft) => text.push_str(" soft-float"),
        None => {}
    }
    Some(text)
}

/// The level that the objects of a link ask for together: what lld and zig leave out of the file.
pub(crate) fn cpu_of_objects(link: &LinkRecord) -> Option<String> {
    let each = || link.arm.iter().map(|group| &group.attributes);
    let together = ArmAttributes {
        cpu_arch: each().filter_map(|a| a.cpu_arch).max_by_key(|arch| (*arch >= V7 || *arch == V6T2, *arch)),
        fp_arch: each().filter_map(|a| a.fp_arch).max_by_key(|fp| fp_rank(*fp)),
        simd_arch: each().filter_map(|a| a.simd_arch).max(),
        ..ArmAttributes::default()
    };
    cpu_text(&together, each().find_map(ArmAttributes::float_abi))
}

/// The architecture version that attributes ask for: 6 or 7, for telling targets apart.
pub(super) fn version(attributes: &ArmAttributes) -> Option<u8> {
    attributes.cpu_arch.map(|arch| if matches!(arch, 0..=V6K) && arch != V6T2 { 6 } else { 7 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::Catalog;

    fn attributes(cpu_arch: u8, fp_arch: u8, simd_arch: u8) -> ArmAttributes {
        ArmAttributes {
            cpu_arch: Some(cpu_arch),
            fp_arch: Some(fp_arch),
            simd_arch: Some(simd_arch),
            fp_number_model: Some(3),
            vfp_args: Some(1),
        }
    }

    fn level(version: u8) -> ArmLevel {
        ArmLevel { version, float: FloatAbi::Hard, neon: false }
    }

    #[test]
    fn every_device_with_a_32_bit_cpu_is_known() {
        let catalog = Catalog::embedded();
        for device in &catalog.devices {
            if let Some(level) = catalog.target(&device.target).and_then(|target| target.expect.arm) {
                assert!(Limit::new(&level, Some(&device.cpu)).is_ok(), "{}", device.cpu);
            }
        }
        assert_eq!(Limit::new(&level(7), Some("pentium")), Err("pentium"));
    }

    #[test]
    fn v6_code_only_under_v6() {
        let limit = Limit::new(&level(6), None).unwrap();
        for fine in [attributes(6, 2, 0), attributes(7, 2, 0), attributes(9, 0, 0), ArmAttributes::default()] {
            assert_eq!(limit.excess(&fine), None, "{fine:?}");
        }
        for (bad, what) in [
            (attributes(10, 2, 0), "ARMv7"),
            (attributes(8, 2, 0), "ARMv6T2"),
            (attributes(11, 2, 0), "ARMv6-M"),
            (attributes(6, 4, 0), "VFPv3-D16"),
            (attributes(10, 3, 1), "ARMv7, VFPv3, NEON"),
            (attributes(99, 99, 0), "Tag_CPU_arch 99, Tag_FP_arch 99"),
        ] {
            assert_eq!(limit.excess(&bad), Some(Excess { what: what.to_owned(), may_be_guarded: false }));
        }
    }

    #[test]
    fn a_triple_outside_the_catalog_promises_what_its_name_says() {
        for (triple, fine, bad) in [
            ("armv5te-unknown-linux-gnueabi", 4, 6),
            ("armv4t-unknown-linux-gnueabi", 2, 4),
            ("arm-unknown-linux-musleabi", 9, 10),
            ("armv7-unknown-linux-gnueabi", 10, 14),
        ] {
            let level = ArmLevel::of_triple(triple).unwrap();
            assert_eq!(level.float, FloatAbi::Soft);
            let limit = Limit::new(&level, None).unwrap();
            assert_eq!(limit.excess(&attributes(fine, 0, 0)), None, "{triple}");
            assert!(limit.excess(&attributes(bad, 0, 0)).is_some(), "{triple}");
        }
        // What rustc's own code for ARMv7 without a unit is marked as, and what nobody has there.
        let soft = Limit::new(&ArmLevel::of_triple("armv7-unknown-linux-musleabi").unwrap(), None).unwrap();
        assert_eq!(soft.excess(&attributes(10, 3, 0)), None);
        assert!(soft.excess(&attributes(10, 3, 1)).is_some() && soft.excess(&attributes(10, 5, 0)).is_some());
        assert!(ArmLevel::of_triple("thumbv7neon-unknown-linux-gnueabihf").unwrap().neon);
        assert_eq!(ArmLevel::of_triple("aarch64-unknown-linux-gnu"), None);
        // And the catalog says of its own triples what their names say.
        for target in &Catalog::embedded().targets {
            assert_eq!(ArmLevel::of_triple(&target.triple), target.expect.arm, "{}", target.triple);
        }
    }

    #[test]
    fn neon_under_v7_may_be_guarded_and_vfpv4_is_not() {
        let limit = Limit::new(&level(7), None).unwrap();
        assert_eq!(limit.excess(&attributes(10, 4, 0)), None);
        assert_eq!(limit.excess(&attributes(10, 3, 0)), None);
        let neon = limit.excess(&attributes(10, 3, 1)).unwrap();
        assert_eq!(neon, Excess { what: "NEON".to_owned(), may_be_guarded: true });
        assert!(!limit.excess(&attributes(10, 5, 2)).unwrap().may_be_guarded);
        assert!(!limit.excess(&attributes(14, 4, 0)).unwrap().may_be_guarded);
    }

    #[test]
    fn a_cpu_raises_the_limit() {
        let limit = Limit::new(&level(7), Some("cortex-a7")).unwrap();
        assert_eq!(limit.excess(&attributes(10, 5, 2)), None);
        assert!(limit.excess(&attributes(14, 7, 3)).is_some());
        let limit = Limit::new(&level(7), Some("cortex-a53")).unwrap();
        assert_eq!(limit.excess(&attributes(14, 7, 3)), None);
        assert!(limit.excess(&attributes(16, 7, 3)).is_some());
    }

    #[test]
    fn levels_read_as_people_say_them() {
        assert_eq!(cpu_text(&attributes(6, 2, 0), Some(FloatAbi::Hard)).as_deref(), Some("ARMv6 VFPv2 hard-float"));
        assert_eq!(
            cpu_text(&attributes(10, 3, 1), Some(FloatAbi::Hard)).as_deref(),
            Some("ARMv7 VFPv3 NEON hard-float")
        );
    }
}
