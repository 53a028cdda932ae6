//! The checks of ELF binaries.

use super::super::elf::glibc_of;
use super::super::{Elf, Expectation, Finding, Inspection, Linkage, name_some};
use super::{arm, sysroot};
use crate::model::catalog::{ArmLevel, Glibc};
use crate::util::files::brief;

/// Libraries of glibc itself and of the compiler's runtime that every glibc system has.
pub(super) const BASE_SYSTEM: &[&str] = &[
    "libc.so.",
    "libm.so.",
    "libpthread.so.",
    "libdl.so.",
    "librt.so.",
    "libutil.so.",
    "libgcc_s.so.",
    "ld-linux",
    "ld64.so.",
];

pub(super) fn judge(inspection: &Inspection, elf: &Elf, expectation: &Expectation) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !elf.section_headers {
        findings.push(Finding::warning(
            "no-section-headers",
            "the section headers were removed (by a packer or `sstrip`), so CPU level and linker cannot be read; verify \
             the file before it is packed",
        ));
    }
    findings.extend(linkage(inspection, expectation));
    findings.extend(interpreter(inspection, elf, expectation));
    findings.extend(glibc(inspection, elf, expectation));
    findings.extend(libraries(inspection, expectation));
    findings.extend(sysroot::judge(inspection, elf, expectation));
    findings.extend(page_alignment(elf, expectation));
    let level = match &expectation.target {
        Some(target) => target.expect.arm,
        None => ArmLevel::of_triple(&expectation.triple),
    };
    if let Some(level) = level {
        findings.extend(arm::judge(inspection, elf, &level, expectation));
    }
    findings
}

fn linkage(inspection: &Inspection, expectation: &Expectation) -> Option<Finding> {
    let target = expectation.target.as_ref()?;
    Some(match (inspection.linkage, target.expect.r#static) {
        (Linkage::Static, _) => Finding::ok("linkage", "static: needs no library of the system"),
        (Linkage::Dynamic, false) => Finding::ok("linkage", "dynamic"),
        (Linkage::Dynamic, true) => {
            let needs = if inspection.needed.is_empty() {
                format!("the loader {}", brief(inspection.interpreter().unwrap_or_default()))
            } else {
                name_some(&inspection.needed)
            };
            Finding::violation(
                "dynamic-not-static",
                format!(
                    "`{}` promises a static binary, but this one needs {needs}: it would not start where these are \
                     missing; link the library statically and do not set `target-feature=-crt-static`",
                    expectation.triple
                ),
            )
        }
    })
}

fn interpreter(inspection: &Inspection, elf: &Elf, expectation: &Expectation) -> Option<Finding> {
    let wanted = expectation.target.as_ref()?.expect.interpreter.as_deref()?;
    if inspection.linkage == Linkage::Static {
        return None;
    }
    Some(match elf.interpreter.as_deref() {
        Some(found) if found == wanted => Finding::ok("interpreter", found),
        found => Finding::violation(
            "wrong-interpreter",
            format!(
                "asks for the loader `{}`, but systems of `{}` have `{wanted}`: it would stop with \"no such file or \
                 directory\"; check the linker arguments and, on NixOS or Guix, link with the `zig` route",
                brief(found.unwrap_or("(none)")),
                expectation.triple
            ),
        ),
    })
}

fn glibc(inspection: &Inspection, elf: &Elf, expectation: &Expectation) -> Vec<Finding> {
    let mut findings = Vec::new();
    let needs_glibc = inspection.needed.iter().any(|library| library.starts_with("libc.so.6"));
    let default = expectation.target.as_ref().and_then(|target| target.default_floor);
    let floor = expectation.floor.or(default);
    if elf.versions.iter().any(|need| need.version == "GLIBC_PRIVATE") {
        findings.push(Finding::warning(
            "glibc-private",
            "binds to symbols that glibc keeps for itself (GLIBC_PRIVATE): it starts with the glibc it was linked \
             against and perhaps no other; find the crate that links glibc's internals",
        ));
    }
    let unknown: Vec<&str> = elf
        .versions
        .iter()
        .filter(|need| !need.weak && need.version != "GLIBC_PRIVATE" && need.version.starts_with("GLIBC_"))
        .filter(|need| glibc_of(&need.version).is_none())
        .map(|need| need.version.as_str())
        .collect();
    if !unknown.is_empty() {
        findings.push(unchecked(
            expectation,
            format!("asks glibc for {}, and convoy does not know which release first had it", name_some(&unknown)),
        ));
    }
    match (elf.glibc, floor) {
        (Some(seen), Some(floor)) if seen > floor => findings.push(too_new(elf, seen, floor, expectation)),
        (Some(seen), Some(floor)) => {
            findings.push(Finding::ok("glibc", format!("starts on glibc {seen} and later (floor {floor})")));
        }
        (Some(seen), None) => findings.push(Finding::ok("glibc", format!("starts on glibc {seen} and later"))),
        (None, _) if needs_glibc && unknown.is_empty() => findings.push(unchecked(
            expectation,
            "needs glibc, but the version cannot be read from this file; verify it before it is packed or edited"
                .to_owned(),
        )),
        // A packer leaves a static program that unpacks what it was made from.
        (None, Some(_)) if !elf.section_headers && inspection.linkage == Linkage::Static => findings.push(unchecked(
            expectation,
            "the file was packed or its section headers were removed, so whether it needs glibc cannot be read; verify \
             it before that"
                .to_owned(),
        )),
        (None, _) => {}
    }
    findings
}

/// A floor that was asked for and cannot be checked is not met; the catalog's own floor only warns.
fn unchecked(expectation: &Expectation, message: String) -> Finding {
    match expectation.floor {
        Some(floor) => Finding::violation(
            "glibc-unknown",
            format!("{message}: whether it starts on glibc {floor}, as was asked, is not known"),
        ),
        None => Finding::warning("glibc-unknown", message),
    }
}

fn too_new(elf: &Elf, seen: Glibc, floor: Glibc, expectation: &Expectation) -> Finding {
    let above = elf.versions.iter().filter(|need| !need.weak && glibc_of(&need.version).is_some_and(|v| v > floor));
    // The newest first: it is what the user reads when the program does not start.
    let mut above: Vec<_> = above.collect();
    above.sort_by_key(|need| std::cmp::Reverse(glibc_of(&need.version)));
    const SHOWN: usize = 20;
    let mut wants: Vec<String> = above
        .iter()
        .take(SHOWN)
        .map(|need| match need.symbols.as_slice() {
            [] => brief(&need.version).into_owned(),
            symbols => format!("{} for {}", brief(&need.version), name_some(symbols)),
        })
        .collect();
    wants.extend(above.len().checked_sub(SHOWN).filter(|more| *more > 0).map(|more| format!("{more} more")));
    let what = format!("needs glibc {seen} ({})", wants.join("; "));
    if expectation.floor.is_some() {
        Finding::violation(
            "glibc-too-new",
            format!(
                "{what}, but must start on {floor}: there the loader stops with \"version `GLIBC_{seen}' not found\"; \
                 link against an older glibc (route `zig`, or a sysroot of that release), or raise the floor"
            ),
        )
    } else {
        Finding::warning(
            "glibc-above-default",
            format!(
                "{what}, and systems with glibc {floor} are still in wide use: ask for `{}.{floor}` to build for them",
                expectation.triple
            ),
        )
    }
}

/// Libraries that the target machine must have, beyond libc and the compiler's runtime.
fn libraries(inspection: &Inspection, expectation: &Expectation) -> Option<Finding> {
    let foreign: Vec<&String> =
        inspection.needed.iter().filter(|library| !BASE_SYSTEM.iter().any(|base| library.starts_with(base))).collect();
    (!foreign.is_empty()).then(|| match &expectation.sysroot {
        // The manifest names the packages, and the plan said so before.
        Some(sysroot) => Finding::ok(
            "needs-libraries",
            format!("needs {} at start, as the packages of {} have them", name_some(&foreign), sysroot.key),
        ),
        None => Finding::warning(
            "needs-libraries",
            format!(
                "needs {} at start: the machine it runs on must have these, in these versions; name them in your \
                 installation notes, or link them statically",
                name_some(&foreign)
            ),
        ),
    })
}

fn page_alignment(elf: &Elf, expectation: &Expectation) -> Option<Finding> {
    let minimum = expectation.target.as_ref()?.expect.min_page_size?;
    Some(match elf.load_alignment {
        Some(alignment) if alignment >= minimum => {
            Finding::ok("page-alignment", format!("loads on kernels with pages up to {} KiB", alignment / 1024))
        }
        Some(alignment) => Finding::violation(
            "page-alignment-too-small",
            format!(
                "its segments are aligned to {alignment} bytes, but kernels of `{}` with pages of {} KiB exist and do \
                 not load it; link with `-z max-page-size={}`",
                expectation.triple,
                minimum / 1024,
                expectation.target.as_ref().and_then(|target| target.max_page_size).unwrap_or(minimum),
            ),
        ),
        None => Finding::violation("page-alignment-too-small", "it has no segment to load: nothing would run"),
    })
}
