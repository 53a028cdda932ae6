//! A binary that was linked against a sysroot: its libraries and symbols must be that sysroot's, and newer releases should
//! still have them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Elf, Expectation, Finding, Inspection, Linkage, name_some};
use super::elf::BASE_SYSTEM;
use crate::sysroot::{Libraries, LinkedAgainst, Suite, Suites, sonames};

pub(super) fn judge(inspection: &Inspection, elf: &Elf, expectation: &Expectation) -> Vec<Finding> {
    let Some(sysroot) = expectation.sysroot.as_ref().filter(|_| inspection.linkage == Linkage::Dynamic) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    match &expectation.libraries {
        Some(libraries) => findings.extend(resolve(inspection, elf, sysroot, libraries)),
        None => findings.push(Finding::warning(
            "sysroot-not-read",
            format!("the libraries of the sysroot {} were not looked at", sysroot.key),
        )),
    }
    findings.extend(gone(inspection, sysroot, &expectation.triple));
    findings
}

/// Every library and every symbol must be there, as for the loader of a machine that has just these packages.
fn resolve(inspection: &Inspection, elf: &Elf, sysroot: &LinkedAgainst, libraries: &Libraries) -> Vec<Finding> {
    let key = &sysroot.key;
    let mut findings = Vec::new();
    let mut absent = BTreeSet::new();
    let mut unchecked = Vec::new();
    for library in &inspection.needed {
        if libraries.get(library).is_some() {
            continue;
        }
        absent.insert(library.as_str());
        if !libraries.has_glibc() && BASE_SYSTEM.iter().any(|base| library.starts_with(base)) {
            unchecked.push(library);
            continue;
        }
        findings.push(Finding::violation(
            "library-not-in-sysroot",
            match libraries.damage(library) {
                Some(why) => format!(
                    "needs {library}, and the sysroot {key} has it damaged ({why}): remove the sysroot with `cargo \
                     convoy cache clean` and build again"
                ),
                None => format!(
                    "needs {library}, which the sysroot {key} does not have: the linker found it elsewhere, and a \
                     machine with these packages would not start the binary; name the Debian package that has it in \
                     `supply.packages`, or find the `-L` or the `…_LIB_DIR` variable that leads elsewhere"
                ),
            },
        ));
    }
    if !unchecked.is_empty() {
        findings.push(Finding::warning(
            "glibc-not-in-sysroot",
            format!("the sysroot {key} has no glibc, so what is used of {} was not checked", name_some(&unchecked)),
        ));
    }

    let mut unmet: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut exporters = BTreeSet::new();
    let mut met = 0;
    for need in elf.versions.iter().filter(|need| !need.weak && need.symbols.is_empty()) {
        if libraries.get(&need.library).is_some_and(|library| !library.has_version(&need.version)) {
            unmet.entry(&need.library).or_default().push(format!("version {}", need.version));
        }
    }
    for symbol in elf.undefined.iter().filter(|symbol| !symbol.weak) {
        let need = symbol.version.and_then(|place| elf.versions.get(place));
        match need {
            Some(need) if absent.contains(need.library.as_str()) => continue,
            // It may be that library's.
            None if !absent.is_empty() => continue,
            _ => {}
        }
        // The loader looks for the version in the library that had it at link time, for the symbol in all.
        let version = need.filter(|need| !need.weak);
        let has_version = version
            .is_none_or(|need| libraries.get(&need.library).is_none_or(|library| library.has_version(&need.version)));
        let exporter = libraries.exporter(&symbol.name, need.map(|need| need.version.as_str()));
        match exporter {
            Some(exporter) if has_version => {
                met += 1;
                exporters.insert(exporter);
            }
            _ => {
                let (library, name) = match need {
                    Some(need) => (need.library.as_str(), format!("{}@{}", symbol.name, need.version)),
                    None => ("", symbol.name.clone()),
                };
                unmet.entry(library).or_default().push(name);
            }
        }
    }
    for (library, symbols) in &unmet {
        let what = match *library {
            "" => format!("{}, which no library of the sysroot {key} exports", name_some(symbols)),
            library => format!("{} of {library}, which the sysroot {key} does not export", name_some(symbols)),
        };
        findings.push(Finding::violation(
            "symbol-not-in-sysroot",
            format!(
                "uses {what}: the linker took another library of that name, and a machine with these packages would \
                 stop with \"symbol lookup error\" or \"version not found\"; find the `-L` or the `…_LIB_DIR` variable \
                 that leads elsewhere, or build for a release that has it"
            ),
        ));
    }
    // Without section headers no symbol was read; a finding of its own says so.
    if findings.is_empty() && elf.section_headers {
        let (symbols, libraries) = (counted(met, "symbol", "symbols"), exporters.len());
        findings.push(Finding::ok(
            "sysroot",
            format!("{symbols} found in {} of the sysroot {key}", counted(libraries, "library", "libraries")),
        ));
    }
    findings
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Libraries whose soname a newer release no longer has, or has with another meaning.
fn gone(inspection: &Inspection, sysroot: &LinkedAgainst, triple: &str) -> Vec<Finding> {
    let suites = Suites::embedded().all();
    let Some(built_for) = suites.iter().position(|suite| suite.name == sysroot.key.suite) else { return Vec::new() };
    let newer = &suites[built_for + 1..];
    let mut findings = Vec::new();
    let architecture = &sysroot.key.architecture;
    for suite in newer {
        let grown = inspection.needed.iter().filter(|soname| sonames::is_time64(soname, suite, architecture));
        let grown: Vec<&String> = grown.collect();
        if !grown.is_empty() && !suites[built_for].time64.contains(architecture) {
            findings.push(Finding::warning(
                "soname-time64",
                format!(
                    "on {architecture} {} has {} with a 64-bit `time_t`, and this binary has a 32-bit one: it starts \
                     there, but calls that pass a time go wrong; let the crate build the library in, with a feature such \
                     as `vendored`, `bundled` or `static`",
                    suite.release,
                    name_some(&grown),
                ),
            ));
        }
    }
    for soname in &inspection.needed {
        let having = sonames::suites(soname);
        let lacking: Vec<&Suite> = newer.iter().filter(|suite| !having.contains(suite)).collect();
        let Some(first) = lacking.first().filter(|_| !having.is_empty()) else { continue };
        // A floor that takes this very release, or none: 32-bit ARM has no sysroot of the newest.
        let chosen = Suites::embedded().for_floor(Some(first.glibc), architecture);
        let floor = match chosen.filter(|chosen| chosen == first) {
            Some(chosen) => {
                format!(
                    "ask for `{triple}.{}` to be bound to the libraries of {} instead, or ",
                    chosen.glibc, chosen.release
                )
            }
            None => String::new(),
        };
        findings.push(Finding::warning(
            "soname-gone",
            format!(
                "needs {soname}, shipped by {} but no longer by {}: there it does not start; {floor}let the crate build the \
                 library in, with a feature such as `vendored`, `bundled` or `static`",
                releases(&having),
                releases(&lacking),
            ),
        ));
    }
    findings
}

fn releases(suites: &[&Suite]) -> String {
    let names: Vec<&str> = suites.iter().map(|suite| suite.release.as_str()).collect();
    names.join(" and ")
}
