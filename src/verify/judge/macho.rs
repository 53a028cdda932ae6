//! The checks of Mach-O binaries.

use super::super::{Expectation, Finding, Inspection, MachO, Signature, name_some};
use super::release;
use crate::model::code::Code;
use crate::util::files::brief;
use crate::verify::darwin::{Account, Accountant};

pub(super) fn judge(inspection: &Inspection, macho: &MachO, expectation: &Expectation) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(platform(macho, expectation));
    findings.extend(min_os(macho, expectation));
    findings.extend(dylibs(inspection));
    findings.push(signature(inspection, macho));
    findings.extend(symbols(inspection, macho, expectation));
    findings
}

fn platform(macho: &MachO, expectation: &Expectation) -> Option<Finding> {
    expectation.target.as_ref()?;
    match macho.platform.as_deref() {
        Some("macos") => Some(Finding::ok(Code::Platform, "macos")),
        Some(other) => Some(Finding::violation(
            Code::WrongPlatform,
            format!(
                "built for Apple's platform number {other}, not for macOS, so macOS does not run it; check `-target` and \
                 `-platform_version` in the linker arguments"
            ),
        )),
        // Said by `min-os-unknown`: both stand in one load command.
        None => None,
    }
}

fn min_os(macho: &MachO, expectation: &Expectation) -> Option<Finding> {
    let wanted = expectation.target.as_ref()?.expect.min_os.as_deref()?;
    Some(match macho.min_os.as_deref() {
        Some(seen) if release(seen) > release(wanted) => Finding::violation(
            Code::MinOsTooNew,
            format!(
                "requires macOS {seen}, but must run on {wanted}: older systems refuse to load it; set \
                 `MACOSX_DEPLOYMENT_TARGET={wanted}`"
            ),
        ),
        Some(seen) => Finding::ok(Code::MinOs, format!("marked for macOS {seen} and later (requested: {wanted})")),
        None => Finding::warning(
            Code::MinOsUnknown,
            format!("does not state which macOS version it requires, so it might not run on {wanted}"),
        ),
    })
}

fn is_of_system(path: &str) -> bool {
    ["/usr/lib/", "/System/Library/"].iter().any(|folder| path.starts_with(folder)) && !path.contains("/../")
}

fn dylibs(inspection: &Inspection) -> Vec<Finding> {
    let foreign: Vec<&String> = inspection.needed.iter().filter(|path| !is_of_system(path)).collect();
    if foreign.is_empty() {
        return vec![Finding::ok(
            Code::Dylibs,
            format!("only macOS system libraries: {}", name_some(&inspection.needed)),
        )];
    }
    foreign
        .iter()
        .map(|path| {
            Finding::violation(
                Code::DylibNotShipped,
                format!(
                    "needs `{}`, which is not part of macOS: the program does not start on a machine without it; link \
                     the library statically (many -sys crates have a `static`, `vendored` or `bundled` feature)",
                    brief(path)
                ),
            )
        })
        .collect()
}

fn signature(inspection: &Inspection, macho: &MachO) -> Finding {
    match &macho.signature {
        Signature::AdHoc => Finding::ok(
            Code::CodeSignature,
            "ad-hoc signed: runs, but Gatekeeper blocks it if it was downloaded \
                                              with a browser",
        ),
        Signature::Signed => Finding::ok(Code::CodeSignature, "signed with a certificate"),
        Signature::Missing if inspection.arch == "aarch64" => Finding::violation(
            Code::CodeSignatureMissing,
            "no code signature: Apple silicon kills the program at startup; link with lld or zig, which sign ad hoc, \
             and \
             strip with the linker (`strip = true` in the profile), not afterwards",
        ),
        Signature::Missing => Finding::ok(Code::CodeSignature, "none (not required on Intel Macs)"),
        Signature::Broken(reason) => Finding::violation(
            Code::CodeSignatureBroken,
            format!(
                "the code signature does not match the contents ({reason}): macOS kills the program at startup; the \
                 file \
                 was modified after linking, so strip with the linker (`strip = true` in the profile), not afterwards"
            ),
        ),
    }
}

/// Symbols that have a finding of their own: nobody reads thousands.
const MOST_FINDINGS: usize = 200;

fn symbols(inspection: &Inspection, macho: &MachO, expectation: &Expectation) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut absent_is_fine = Vec::new();
    let mut unaccounted = 0_usize;
    let accountant = Accountant::new(&inspection.needed);
    for symbol in &macho.dynamic_lookup {
        let name = symbol.name.as_str();
        if accountant.account(name, &expectation.declared_symbols) != Account::Unaccounted {
            continue;
        }
        if symbol.weak {
            absent_is_fine.push(name);
            continue;
        }
        unaccounted += 1;
        if unaccounted > MOST_FINDINGS {
            continue;
        }
        let wanted_by = expectation.link.as_ref().and_then(|link| link.wanted_by.get(name));
        let whose = wanted_by.map_or_else(String::new, |objects| format!(", used by {},", name_some(objects)));
        findings.push(Finding::violation(
            Code::DarwinSymbolUnaccounted,
            format!(
                "the symbol `{}`{whose} is not in any macOS library that this binary links against: the program \
                 fails at startup with \"symbol not found\"; a C library was not linked, so enable a `vendored`, \
                 `bundled` or `static` \
                 feature of its crate, or build the library for this target",
                brief(name)
            ),
        ));
    }
    if let Some(more) = unaccounted.checked_sub(MOST_FINDINGS).filter(|more| *more > 0) {
        findings.push(Finding::violation(
            Code::DarwinSymbolUnaccounted,
            format!("{more} more symbols are not in any macOS library that this binary links against"),
        ));
    }
    if !absent_is_fine.is_empty() {
        findings.push(Finding::warning(
            Code::DarwinSymbolWeak,
            format!(
                "weak symbols that no known macOS library exports; they are null at run time on systems without \
                 them: {}",
                name_some(&absent_is_fine)
            ),
        ));
    }
    let alone = expectation.link.is_none() && expectation.declared_symbols.is_empty();
    if alone && !macho.dynamic_lookup.is_empty() {
        findings.push(Finding::warning(
            Code::DarwinSymbolsLoneFile,
            format!(
                "{} symbols are looked up at load time, and were only compared with convoy's lists, because the \
                 frameworks that crates declare in `#[link(kind = \"framework\")]` blocks and the object files that \
                 use each symbol are only known during `cargo convoy build`",
                macho.dynamic_lookup.len()
            ),
        ));
    } else if findings.is_empty() {
        let count = macho.dynamic_lookup.len();
        findings.push(Finding::ok(
            Code::DarwinSymbols,
            if count == 0 {
                "every symbol is bound to its library".to_owned()
            } else {
                format!("all {count} symbols that are looked up at load time are accounted for")
            },
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number() {
        assert!(release("10.12") < release("11.0"));
        assert!(release("10.9") < release("10.12"));
        assert!(release("11.0") == release("11"));
        assert!(release("11.0.1") > release("11"));
    }

    #[test]
    fn only_the_systems_own_folders_count() {
        assert!(is_of_system("/usr/lib/libSystem.B.dylib"));
        assert!(is_of_system("/System/Library/Frameworks/Security.framework/Versions/A/Security"));
        for path in
            ["@rpath/libfoo.dylib", "/usr/local/lib/libz.dylib", "/opt/homebrew/lib/libssl.3.dylib", "libz.dylib"]
        {
            assert!(!is_of_system(path), "{path}");
        }
        assert!(!is_of_system("/usr/lib/../local/lib/libz.dylib"));
    }
}
