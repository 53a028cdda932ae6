//! Comparing what a binary is with what it must be.

mod arm;
mod cpu;
mod elf;
mod macho;
mod pe;
mod sysroot;
mod wasm;

use super::{Expectation, Facts, Finding, Inspection, Kind};
use crate::model::code::Code;
pub(super) use cpu::level_name;

/// Judges a binary: one finding at least for every check. An empty list of violations means that it may ship.
pub fn judge(inspection: &Inspection, expectation: &Expectation) -> Vec<Finding> {
    let mut findings = identity(inspection, expectation);
    // Of a binary for another machine nothing more is worth saying.
    if findings.iter().any(|finding| finding.level == super::Level::Violation) {
        return findings;
    }
    findings.push(program(inspection));
    match &inspection.facts {
        Facts::Elf(elf) => findings.extend(elf::judge(inspection, elf, expectation)),
        Facts::Pe(pe) => findings.extend(pe::judge(inspection, pe)),
        Facts::MachO(macho) => findings.extend(macho::judge(inspection, macho, expectation)),
        Facts::Wasm(wasm) => findings.push(wasm::judge(wasm)),
    }
    findings
}

/// Format, instruction set, word size.
fn identity(inspection: &Inspection, expectation: &Expectation) -> Vec<Finding> {
    let triple = &expectation.triple;
    let mut findings = Vec::new();
    let (format, arch, bits) = match &expectation.target {
        Some(target) => (Some(target.expect.format), Some(target.expect.arch.as_str()), Some(target.expect.bits)),
        None => {
            let (format, arch) = (triple.format(), triple.instruction_set());
            let unknown = match (format, arch) {
                (Some(_), Some(_)) => "only the file format and the instruction set are known from its name",
                (Some(_), None) => "only the file format is known from its name",
                (None, Some(_)) => "only the instruction set is known from its name",
                (None, None) => "nothing is known from its name",
            };
            let (unknown, level) = match crate::model::catalog::ArmLevel::of_triple(triple) {
                Some(_) => (
                    "only the file format, the instruction set and the ARM architecture version are known \
                             from its name",
                    "",
                ),
                None => (unknown, " CPU requirements,"),
            };
            findings.push(Finding::warning(
                Code::TargetNotInCatalog,
                format!(
                    "`{triple}` is not a supported target: {unknown}; linkage, dynamic loader,{level} minimum glibc \
                     version and page size are not checked"
                ),
            ));
            (format, arch, None)
        }
    };
    let remedy = "the linker of another target was used: check `linker` and `rustflags` of this target in cargo's \
                  configuration";
    if let Some(format) = format {
        findings.push(if format == inspection.format() {
            Finding::ok(Code::Format, format!("{format}"))
        } else {
            Finding::violation(
                Code::WrongFormat,
                format!("the file is {}, but `{triple}` runs {format}; {remedy}", inspection.format()),
            )
        });
    }
    if let Some(arch) = arch {
        let right = arch == inspection.arch && bits.is_none_or(|bits| bits == inspection.bits);
        findings.push(if right {
            Finding::ok(Code::Architecture, format!("{arch}, {} bits", inspection.bits))
        } else {
            let wanted = bits.map_or_else(|| arch.to_owned(), |bits| format!("{arch} ({bits} bits)"));
            Finding::violation(
                Code::WrongArchitecture,
                format!(
                    "the file is for {} ({} bits), but `{triple}` runs {wanted}; {remedy}",
                    inspection.arch, inspection.bits
                ),
            )
        });
    }
    findings
}

fn program(inspection: &Inspection) -> Finding {
    match inspection.kind {
        Kind::Executable => Finding::ok(Code::Program, "a program at a fixed address"),
        Kind::Pie => Finding::ok(Code::Program, "a position-independent program"),
        Kind::SharedLibrary => Finding::violation(
            Code::NotAProgram,
            "a shared library, which cannot be run; build a binary of the package, not its library",
        ),
    }
}

/// A release of a system as numbers, to be compared.
fn release(text: &str) -> Vec<u32> {
    let mut parts: Vec<u32> = text.split('.').map(|part| part.parse().unwrap_or(u32::MAX)).collect();
    while parts.last() == Some(&0) {
        parts.pop();
    }
    parts
}
