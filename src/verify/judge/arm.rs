//! The checks of 32-bit ARM: level and float ABI, of the file and of the objects that went into it.

use super::super::arm::{Excess, Limit};
use super::super::{Elf, Expectation, Finding, Inspection, name_some};
use crate::model::catalog::{ArmLevel, FloatAbi};
use crate::model::code::Code;
use crate::verify::link::{ArmAttributes, ArmObjects, LinkRecord};

pub(super) fn judge(inspection: &Inspection, elf: &Elf, level: &ArmLevel, expectation: &Expectation) -> Vec<Finding> {
    let mut findings = Vec::new();
    let link = expectation.link.as_ref();
    match Limit::new(level, expectation.cpu.as_deref()) {
        Ok(limit) => findings.extend(levels(inspection, elf, &limit, link, &expectation.triple)),
        Err(cpu) => findings.push(Finding::warning(
            Code::ArmCpuUnknown,
            format!(
                "the CPU `{cpu}` is not in convoy's list, so its ARM architecture version is unknown; check yourself \
                 that it can run this binary ({})",
                inspection.cpu.as_deref().unwrap_or("not stated")
            ),
        )),
    }
    findings.extend(float_abi(elf, level.float, link, &expectation.triple));
    findings
}

fn levels(inspection: &Inspection, elf: &Elf, limit: &Limit, link: Option<&LinkRecord>, triple: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Objects first: they name the culprit. The file's own attributes are their sum (GNU ld) or the first one's (lld).
    for group in link.iter().flat_map(|link| &link.arm) {
        if let Some(excess) = limit.excess(&group.attributes) {
            findings.push(too_high(&excess, &of_objects(group), limit, triple));
        }
    }
    if findings.is_empty()
        && let Some(excess) = elf.arm.and_then(|attributes| limit.excess(&attributes))
        // zig's assembler marks all ARMv7 start code as NEON, whatever `-mcpu` says (seen with LLVM 22), and lld keeps
        // the mark of that first object: no sign that anything uses it.
        && !(excess.may_be_guarded && inspection.linker.is_some())
    {
        findings.push(too_high(&excess, "the linked file", limit, triple));
    }
    if let Some(unchecked) = unchecked(inspection, elf, link) {
        findings.push(Finding::warning(Code::ArmLevelUnchecked, unchecked));
    } else if findings.is_empty() {
        let seen = inspection.cpu.as_deref().unwrap_or("no ARM architecture version stated");
        findings.push(Finding::ok(Code::ArmLevel, format!("{seen}, within {}", limit.text())));
    }
    findings
}

/// Why the level cannot be told for certain.
fn unchecked(inspection: &Inspection, elf: &Elf, link: Option<&LinkRecord>) -> Option<String> {
    // A record that names no ARM object at all was made for another link, or of inputs it could not see.
    if let Some(link) = link.filter(|link| !link.arm.is_empty() || !link.unread.is_empty()) {
        return (!link.unread.is_empty()).then(|| {
            format!(
                "could not read {}, which went into this binary (LLVM bitcode, or damaged), so its ARM architecture \
                 version is unknown; build without `linker-plugin-lto`",
                name_some(&link.unread)
            )
        });
    }
    let remedy = "build it with `cargo convoy build`, which checks every object file";
    match (&inspection.linker, &elf.arm) {
        (Some(linker), _) => Some(format!(
            "linked by {linker}, which keeps the ARM attributes of the first object file only: the ARM architecture \
             version of the other object files cannot be determined from this file; {remedy}"
        )),
        (None, None) => Some(format!("the file does not state its ARM architecture version; {remedy}")),
        (None, Some(_)) if !elf.comment => Some(format!(
            "the file does not state which linker produced it, and lld keeps the ARM attributes of the first object \
             file only: the ARM architecture version of the other object files cannot be determined; {remedy}"
        )),
        // GNU ld and gold merge the attributes of all objects.
        (None, Some(_)) => None,
    }
}

fn too_high(excess: &Excess, whose: &str, limit: &Limit, triple: &str) -> Finding {
    let what = &excess.what;
    if excess.may_be_guarded {
        return Finding::warning(
            Code::ArmNeon,
            format!(
                "{whose} uses {what}, which not every CPU of `{triple}` has: this is safe only if the code checks the \
                 CPU first, as ring and OpenSSL do; if it does not, disable {what} with the crate's features or `CFLAGS`"
            ),
        );
    }
    Finding::violation(
        Code::ArmLevelTooHigh,
        format!(
            "{whose} uses {what}, but `{triple}` only guarantees {}: on such a CPU, the program crashes with \
             \"illegal instruction\"; build with `--route zig` (the armhf compilers and libraries of Debian and \
             Ubuntu are built for ARMv7)",
            limit.text()
        ),
    )
}

fn of_objects(group: &ArmObjects) -> String {
    let more = group.count.saturating_sub(group.objects.len());
    let names = group.objects.join(", ");
    if more == 0 { names } else { format!("{names} and {more} more") }
}

fn float_abi(elf: &Elf, wanted: FloatAbi, link: Option<&LinkRecord>, triple: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let wrong = |attributes: &ArmAttributes| attributes.float_abi().is_some_and(|float| float != wanted);
    for group in link.iter().flat_map(|link| &link.arm).filter(|group| wrong(&group.attributes)) {
        findings.push(wrong_float(&of_objects(group), wanted, triple));
    }
    match elf.float_abi {
        Some(float) if float != wanted => findings.push(wrong_float("the linked file", wanted, triple)),
        Some(_) if findings.is_empty() => findings.push(Finding::ok(Code::FloatAbi, name(wanted))),
        Some(_) => {}
        None => findings.push(Finding::warning(
            Code::FloatAbiUnknown,
            format!(
                "the file does not state how floating-point arguments are passed; `{triple}` requires {}",
                name(wanted)
            ),
        )),
    }
    findings
}

fn wrong_float(whose: &str, wanted: FloatAbi, triple: &str) -> Finding {
    let found = match wanted {
        FloatAbi::Hard => FloatAbi::Soft,
        FloatAbi::Soft => FloatAbi::Hard,
    };
    Finding::violation(
        Code::WrongFloatAbi,
        format!(
            "{whose} uses the {} ABI, but `{triple}` uses the {} ABI: calls between \
             such code pass wrong values; use a compiler for the target, and remove `-mfloat-abi` from its flags",
            name(found),
            name(wanted)
        ),
    )
}

fn name(float: FloatAbi) -> &'static str {
    match float {
        FloatAbi::Soft => "soft-float",
        FloatAbi::Hard => "hard-float",
    }
}
