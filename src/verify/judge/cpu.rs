//! The checks of ABI and CPU level, as far as ELF files state them: x86-64, RISC-V, IBM Z and others. 32-bit ARM has its
//! own.

use super::super::{Elf, Expectation, Finding, Inspection, name_some};
use crate::model::architecture::Architecture;
use crate::model::code::Code;
use crate::model::cpu::{self, Level};

pub(super) fn judge(inspection: &Inspection, elf: &Elf, expectation: &Expectation) -> Vec<Finding> {
    let Some(known) = expectation.triple.architecture().filter(|known| known.name == inspection.arch) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    findings.extend(abi(elf, known, &expectation.triple));
    let promised = Promised {
        name: expectation.cpu.as_deref(),
        level: expectation.cpu.as_deref().and_then(|cpu| cpu::level(&expectation.triple, cpu)),
    };
    findings.extend(extensions(elf, known, &promised, &expectation.triple));
    findings.extend(x86_64(elf, known, &promised, &expectation.triple));
    findings.extend(vector(elf, &promised, &expectation.triple));
    findings
}

/// The CPU that was asked for, if any, and what is known of it.
struct Promised<'a> {
    name: Option<&'a str>,
    level: Option<&'a Level>,
}

impl Promised<'_> {
    /// A CPU that only compilers know.
    fn is_unknown(&self) -> bool {
        self.name.is_some() && self.level.is_none()
    }

    /// For messages: whose level it is.
    fn whose(&self, triple: &str) -> String {
        self.name.map_or_else(|| format!("`{triple}`"), |name| format!("the CPU `{name}`"))
    }

    /// A finding for what is beyond the level.
    fn beyond(&self, what: &str, triple: &str) -> Finding {
        if self.is_unknown() {
            return Finding::warning(
                Code::CpuUnknown,
                format!(
                    "uses {what}, and {} is not in convoy's list, so it could not be checked; check yourself that it \
                     can run this binary",
                    self.whose(triple)
                ),
            );
        }
        Finding::violation(
            Code::CpuLevelTooHigh,
            format!(
                "uses {what}, which {} does not guarantee: on such a machine, the program crashes with \"illegal \
                 instruction\"; remove the flag from `CFLAGS` or `RUSTFLAGS`, or set `cpu` for this target in \
                 `Convoy.toml`",
                self.whose(triple)
            ),
        )
    }
}

fn abi(elf: &Elf, known: &Architecture, triple: &str) -> Option<Finding> {
    let wanted = known.flags.as_ref()?;
    Some(if elf.flags & wanted.mask == wanted.value {
        Finding::ok(Code::Abi, format!("the {} ABI", wanted.abi))
    } else {
        Finding::violation(
            Code::WrongAbi,
            format!(
                "the ELF flags {:#x} do not state the {} ABI, which `{triple}` uses: calls between such code pass \
                 wrong values; use a compiler for the target, and remove `-mabi` from its flags",
                elf.flags, wanted.abi
            ),
        )
    })
}

fn extensions(elf: &Elf, known: &Architecture, promised: &Promised<'_>, triple: &str) -> Option<Finding> {
    let used = elf.extensions.as_ref()?;
    let of_level = promised.level.map(|level| &level.extensions);
    let has = |name: &&String| known.extensions.contains(*name) || of_level.is_some_and(|of| of.contains(*name));
    let beyond: Vec<&String> = used.iter().filter(|name| !has(name)).collect();
    Some(if beyond.is_empty() {
        Finding::ok(Code::CpuLevel, format!("only extensions of {}", promised.whose(triple)))
    } else {
        promised.beyond(&format!("the extensions {}", name_some(&beyond)), triple)
    })
}

fn x86_64(elf: &Elf, known: &Architecture, promised: &Promised<'_>, triple: &str) -> Option<Finding> {
    let needed = elf.x86_64_level?;
    // A 32-bit program may state them too: its own level is below the first.
    let own = if known.name == "x86_64" { 1 } else { 0 };
    let allowed = promised.level.and_then(|level| level.isa).unwrap_or(own);
    let text = level_name(needed);
    Some(if needed <= allowed {
        Finding::ok(Code::CpuLevel, format!("states that it needs {text}"))
    } else {
        promised.beyond(&text, triple)
    })
}

/// A level as people call it.
pub(in crate::verify) fn level_name(level: u8) -> String {
    if level == 1 { "x86-64".to_owned() } else { format!("x86-64-v{level}") }
}

fn vector(elf: &Elf, promised: &Promised<'_>, triple: &str) -> Option<Finding> {
    let vector = elf.vector_abi?;
    if !vector || promised.level.is_some_and(|level| level.vector) {
        return None;
    }
    Some(promised.beyond("vector registers (z13 and later)", triple))
}
