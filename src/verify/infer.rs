//! Verifying a file without being told its target.

use super::{Elf, Facts, Finding, Inspection, Linkage, arm};
use crate::model::catalog::{Catalog, Target};
use crate::model::code::Code;

/// The target of the catalog that a binary seems to be made for.
pub fn infer(inspection: &Inspection, catalog: &Catalog) -> Option<String> {
    let fits = |target: &&Target| {
        let expect = &target.expect;
        (expect.format, expect.arch.as_str(), expect.bits) == (inspection.format(), &inspection.arch, inspection.bits)
            && match &inspection.facts {
                Facts::Elf(elf) => fits_elf(target, elf, inspection.linkage),
                Facts::Pe(_) | Facts::MachO(_) | Facts::Wasm(_) => true,
            }
    };
    catalog.targets.iter().find(fits).map(|target| target.triple.to_string())
}

fn fits_elf(target: &Target, elf: &Elf, linkage: Linkage) -> bool {
    let expect = &target.expect;
    let libc = match linkage {
        // A static program does not tell its libc; static glibc is rare.
        Linkage::Static => expect.r#static && elf.system.is_none(),
        Linkage::Dynamic => expect.interpreter.is_some() && expect.interpreter == elf.interpreter,
    };
    let level = expect.arm.is_none_or(|level| {
        elf.float_abi.is_none_or(|float| float == level.float)
            && elf.arm.as_ref().and_then(arm::version) == Some(level.version)
    });
    libc && level
}

/// What could not be checked because the target was inferred from the file itself.
pub fn not_checked(inspection: &Inspection, inferred: &str) -> Vec<Finding> {
    let mut open = vec!["whether this is the intended target"];
    match &inspection.facts {
        Facts::Elf(elf) => {
            if inspection.linkage == Linkage::Static {
                open.push("which libc is linked");
            } else {
                open.push("the minimum glibc version");
            }
            if elf.arm.is_some() {
                open.push("the ARM architecture version");
            }
        }
        Facts::Pe(_) | Facts::Wasm(_) => {}
        Facts::MachO(_) => open.push("the symbols that crates declare"),
    }
    vec![Finding::warning(
        Code::TargetInferred,
        format!(
            "checked as `{inferred}`, which was detected from the file; not checked: {}; specify the target with \
             `--target`",
            open.join(", ")
        ),
    )]
}
