//! The checks of ELF binaries.

use super::super::elf::glibc_of;
use super::super::{Elf, Expectation, Finding, Inspection, Linkage, name_some};
use super::{arm, cpu, release, sysroot};
use crate::model::catalog::{ArmLevel, Glibc};
use crate::model::code::Code;
use crate::model::triple::Os;
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

/// The same of FreeBSD and NetBSD, whose base systems have more libraries.
const BSD_SYSTEM: &[&str] = &[
    "libthr.so.",
    "libsys.so.",
    "libexecinfo.so.",
    "libkvm.so.",
    "libmemstat.so.",
    "libprocstat.so.",
    "libdevstat.so.",
];

pub(super) fn judge(inspection: &Inspection, elf: &Elf, expectation: &Expectation) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !elf.section_headers {
        findings.push(Finding::warning(
            Code::NoSectionHeaders,
            "the section headers were removed (by a packer or `sstrip`), so CPU level and linker cannot be read; \
             verify \
             the file before it is packed",
        ));
    }
    findings.extend(linkage(inspection, expectation));
    findings.extend(interpreter(inspection, elf, expectation));
    findings.extend(glibc(inspection, elf, expectation));
    findings.extend(libraries(inspection, expectation));
    findings.extend(sysroot::judge(inspection, elf, expectation));
    findings.extend(system(elf, expectation));
    findings.extend(page_alignment(elf, expectation));
    findings.extend(cpu::judge(inspection, elf, expectation));
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
        (Linkage::Static, _) => Finding::ok(Code::Linkage, "static: needs no system libraries"),
        (Linkage::Dynamic, false) => Finding::ok(Code::Linkage, "dynamic"),
        (Linkage::Dynamic, true) => {
            let needs = if inspection.needed.is_empty() {
                format!("the loader {}", brief(inspection.interpreter().unwrap_or_default()))
            } else {
                name_some(&inspection.needed)
            };
            Finding::violation(
                Code::DynamicNotStatic,
                format!(
                    "binaries for `{}` must be static, but this one needs {needs} and does not start where these are \
                     missing; link the library statically, and do not set `target-feature=-crt-static`",
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
        Some(found) if found == wanted => Finding::ok(Code::Interpreter, found),
        found => Finding::violation(
            Code::WrongInterpreter,
            format!(
                "uses the dynamic loader `{}`, but `{}` systems have `{wanted}`: the program fails to start with \
                 \"no such file or directory\"; check the linker arguments and, on NixOS or Guix, use `--route zig`",
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
            Code::GlibcPrivate,
            "uses private symbols of glibc (GLIBC_PRIVATE): it may fail to start with any other glibc version than \
             the one that it was linked against; find the crate that links against glibc's internals",
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
            format!("needs {} of glibc, and the release that introduced it is unknown", name_some(&unknown)),
        ));
    }
    match (elf.glibc, floor) {
        (Some(seen), Some(floor)) if seen > floor => findings.push(too_new(elf, seen, floor, expectation)),
        (Some(seen), Some(floor)) => {
            findings.push(Finding::ok(Code::Glibc, format!("starts on glibc {seen} and later (requested: {floor})")));
        }
        (Some(seen), None) => findings.push(Finding::ok(Code::Glibc, format!("starts on glibc {seen} and later"))),
        (None, _) if needs_glibc && unknown.is_empty() => findings.push(unchecked(
            expectation,
            "needs glibc, but the version cannot be read from this file; verify it before it is packed or modified"
                .to_owned(),
        )),
        // A packer leaves a static program that unpacks what it was made from.
        (None, Some(_)) if !elf.section_headers && inspection.linkage == Linkage::Static => findings.push(unchecked(
            expectation,
            "it cannot be determined whether the file needs glibc, because it was packed or its section headers were \
             removed; verify the file before that step"
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
            Code::GlibcUnknown,
            format!("{message}; it may not start on glibc {floor}, the minimum glibc version"),
        ),
        None => Finding::warning(Code::GlibcUnknown, message),
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
            Code::GlibcTooNew,
            format!(
                "{what}, but must start on {floor}, where the loader fails with \"version `GLIBC_{seen}' not found\"; \
                 link against an older glibc (route `zig`, or a sysroot of that release), or raise the minimum glibc \
                 version"
            ),
        )
    } else {
        Finding::warning(
            Code::GlibcAboveDefault,
            format!(
                "{what}, but systems with glibc {floor} are still in wide use; use `-t {}.{floor}` to build for them",
                expectation.triple
            ),
        )
    }
}

/// FreeBSD and NetBSD: the version that the start code was made for.
fn system(elf: &Elf, expectation: &Expectation) -> Option<Finding> {
    let target = expectation.target.as_ref()?;
    let wanted = target.expect.min_os.as_deref()?;
    let os = target.os();
    Some(match &elf.system {
        Some(system) if system.name != os => Finding::violation(
            Code::WrongPlatform,
            format!("made for {}, not for {os}; check `-target` in the linker arguments", system.name),
        ),
        Some(system) if release(&system.version) > release(wanted) => Finding::violation(
            Code::MinOsTooNew,
            format!("made for {os} {}, but must start on {os} {wanted}; use an older zig", system.version),
        ),
        Some(system) => Finding::ok(Code::MinOs, format!("made for {os} {} (requested: {wanted})", system.version)),
        None => Finding::warning(
            Code::MinOsUnknown,
            format!("does not state which version of {os} it was made for, so it might not start on {wanted}"),
        ),
    })
}

/// Libraries that the target machine must have, beyond libc and the compiler's runtime.
fn libraries(inspection: &Inspection, expectation: &Expectation) -> Option<Finding> {
    let bsd = expectation.triple.os() == Os::Unix;
    let base = BASE_SYSTEM.iter().chain(BSD_SYSTEM.iter().filter(|_| bsd));
    let foreign: Vec<&String> =
        inspection.needed.iter().filter(|library| !base.clone().any(|base| library.starts_with(base))).collect();
    (!foreign.is_empty()).then(|| match &expectation.sysroot {
        // The manifest names the packages, and the plan said so before.
        Some(sysroot) => Finding::ok(
            Code::NeedsLibraries,
            format!("needs {} at startup, which the packages of {} provide", name_some(&foreign), sysroot.key),
        ),
        None => Finding::warning(
            Code::NeedsLibraries,
            format!(
                "needs {} at startup: they must be installed, in these versions, on every machine that it runs on; \
                 list \
                 them in your installation notes, or link them statically",
                name_some(&foreign)
            ),
        ),
    })
}

fn page_alignment(elf: &Elf, expectation: &Expectation) -> Option<Finding> {
    let minimum = expectation.target.as_ref()?.expect.min_page_size?;
    Some(match elf.load_alignment {
        Some(alignment) if alignment >= minimum => {
            Finding::ok(Code::PageAlignment, format!("loads on kernels with pages up to {} KiB", alignment / 1024))
        }
        Some(alignment) => Finding::violation(
            Code::PageAlignmentTooSmall,
            format!(
                "its segments are aligned to {alignment} bytes, but `{}` systems may use pages of {} KiB and then \
                 cannot load it; link with `-z max-page-size={}`",
                expectation.triple,
                minimum / 1024,
                expectation.target.as_ref().and_then(|target| target.max_page_size).unwrap_or(minimum),
            ),
        ),
        None => Finding::violation(Code::PageAlignmentTooSmall, "it has no loadable segment, so it cannot run"),
    })
}
