//! CPUs and levels of an architecture that a target may promise beyond its own: `level` tables of
//! `targets/architectures.toml`.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::model::architecture::Architecture;
use crate::model::triple::Triple;

/// A level of an architecture, or a CPU whose name every compiler has in its own way.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Level {
    /// rustc's name; the level's own where none is named.
    rustc: Option<String>,
    /// What rustc takes in its place where it has no CPU of that kind: features to turn on.
    features: Option<String>,
    /// zig's name; the level's own with `_` for `-` where none is named.
    zig: Option<String>,
    /// gcc's name; the level's own where none is named.
    gcc: Option<String>,
    /// qemu's name; none where the target's own CPU has to do, because qemu has no such one.
    pub qemu: Option<String>,
    /// The level of x86-64 as files state it: 1 to 4.
    pub isa: Option<u8>,
    /// The extensions of RISC-V that it has beyond the architecture's `extensions`.
    pub extensions: BTreeSet<String>,
    /// Whether it has the vector registers that the ABI of IBM Z can pass arguments in.
    pub vector: bool,
}

/// The level with a name, for a triple; none for a CPU of which only compilers know.
pub fn level<'a>(triple: &Triple, cpu: &str) -> Option<&'a Level> {
    triple.architecture()?.levels.get(cpu)
}

/// The flag for rustc.
///
/// ```
/// use cargo_convoy::model::cpu::rustc_flag;
/// let flag = |triple: &str, cpu| rustc_flag(&triple.into(), cpu);
/// assert_eq!(flag("x86_64-unknown-linux-gnu", "x86-64-v3"), "-Ctarget-cpu=x86-64-v3");
/// assert_eq!(flag("powerpc64le-unknown-linux-gnu", "power9"), "-Ctarget-cpu=pwr9");
/// assert_eq!(flag("aarch64-unknown-linux-gnu", "cortex-a53"), "-Ctarget-cpu=cortex-a53");
/// ```
pub fn rustc_flag(triple: &Triple, cpu: &str) -> String {
    let level = level(triple, cpu);
    match level.and_then(|level| level.features.as_ref()) {
        Some(features) => format!("-Ctarget-feature={features}"),
        None => format!("-Ctarget-cpu={}", level.and_then(|level| level.rustc.as_deref()).unwrap_or(cpu)),
    }
}

/// zig's `-mcpu`.
pub fn zig_name(triple: &Triple, cpu: &str) -> String {
    let named = level(triple, cpu).and_then(|level| level.zig.clone());
    named.unwrap_or_else(|| cpu.replace('-', "_"))
}

/// The flag for gcc.
pub fn gcc_flag(triple: &Triple, cpu: &str) -> String {
    let flag = triple.architecture().map_or("-mcpu", Architecture::gcc_cpu);
    format!("{flag}={}", level(triple, cpu).and_then(|level| level.gcc.as_deref()).unwrap_or(cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compiler_has_its_own_word() {
        let words = |triple: &str, cpu: &str| {
            let triple = triple.into();
            [rustc_flag(&triple, cpu), zig_name(&triple, cpu), gcc_flag(&triple, cpu)].join(" ")
        };
        let all = [
            ("x86_64-unknown-linux-gnu", "x86-64-v3"),
            ("i686-unknown-linux-gnu", "pentium4"),
            ("aarch64-unknown-linux-gnu", "cortex-a72"),
            ("riscv64gc-unknown-linux-gnu", "rva22u64"),
            ("s390x-unknown-linux-gnu", "z13"),
            ("powerpc64le-unknown-linux-gnu", "power9"),
            ("loongarch64-unknown-linux-gnu", "la464"),
        ];
        insta::assert_snapshot!(all.map(|(triple, cpu)| words(triple, cpu)).join("\n"));
    }
}
