//! A binary that was linked against a sysroot: its libraries and symbols must be that sysroot's, and newer releases should
//! still have them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Elf, Expectation, Finding, Inspection, Linkage, name_some};
use super::elf::BASE_SYSTEM;
use crate::model::code::Code;
use crate::model::sysroot::{Libraries, LinkedAgainst, Suite, Suites, sonames};
use crate::util::files::brief;
use crate::util::plural::counted;

pub(super) fn judge(inspection: &Inspection, elf: &Elf, expectation: &Expectation) -> Vec<Finding> {
    let Some(sysroot) = expectation.sysroot.as_ref().filter(|_| inspection.linkage == Linkage::Dynamic) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    match &expectation.libraries {
        Some(libraries) => findings.extend(resolve(inspection, elf, sysroot, libraries)),
        None => findings.push(Finding::warning(
            Code::SysrootNotRead,
            format!("the libraries of the sysroot {} were not checked", sysroot.key),
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
        let name = brief(library);
        findings.push(Finding::violation(
            Code::LibraryNotInSysroot,
            match libraries.damage(library) {
                Some(why) => format!(
                    "needs {name}, which is damaged in the sysroot {key} ({why}): remove the sysroot with `cargo \
                     convoy cache clean --force` and build again"
                ),
                None => format!(
                    "needs {name}, which is not in the sysroot {key}: the linker found it elsewhere, and the binary \
                     does not start on a machine with these packages; add the Debian package that provides it to \
                     `supply.packages`, or remove the `-L` or the `…_LIB_DIR` variable that points elsewhere"
                ),
            },
        ));
    }
    if !unchecked.is_empty() {
        findings.push(Finding::warning(
            Code::GlibcNotInSysroot,
            format!("the sysroot {key} has no glibc, so the symbols of {} were not checked", name_some(&unchecked)),
        ));
    }

    let symbols = Symbols::look_up(elf, libraries, &absent);
    for (library, unmet) in &symbols.unmet {
        let what = match *library {
            "" => format!("{}, which no library of the sysroot {key} exports", name_some(unmet)),
            library => format!("{} of {}, which the sysroot {key} does not export", name_some(unmet), brief(library)),
        };
        findings.push(Finding::violation(
            Code::SymbolNotInSysroot,
            format!(
                "uses {what}: the linker used another library of that name, and on a machine with these packages the \
                 binary fails with \"symbol lookup error\" or \"version not found\"; remove the `-L` or the \
                 `…_LIB_DIR` variable that points elsewhere, or build for a release that has it"
            ),
        ));
    }
    if findings.is_empty() {
        let exporters = counted(symbols.exporters.len(), "library", "libraries");
        let met = counted(symbols.met, "symbol", "symbols");
        findings.push(Finding::ok(Code::Sysroot, format!("{met} found in {exporters} of the sysroot {key}")));
    }
    findings
}

/// What became of the symbols that a binary asks for.
#[derive(Default)]
struct Symbols<'a> {
    /// How many are there.
    met: usize,
    /// The libraries that have them.
    exporters: BTreeSet<&'a str>,
    /// Those that are not there, by the library that had them at link time; under no name those of unknown origin.
    unmet: BTreeMap<&'a str, Vec<String>>,
}

impl<'a> Symbols<'a> {
    /// Of libraries that are `absent` nothing more is said.
    fn look_up(elf: &'a Elf, libraries: &'a Libraries, absent: &BTreeSet<&str>) -> Self {
        let mut found = Self::default();
        // The loader first demands each version of the library that had it at link time, even for weak symbols…
        let mut without_version = BTreeSet::new();
        for (place, need) in elf.versions.iter().enumerate().filter(|(_, need)| !need.weak) {
            if libraries.get(&need.library).is_some_and(|library| !library.has_version(&need.version)) {
                without_version.insert(place);
                let unmet = found.unmet.entry(&need.library).or_default();
                match need.symbols.as_slice() {
                    [] => unmet.push(format!("the version {}", need.version)),
                    symbols => unmet.extend(symbols.iter().map(|symbol| format!("{symbol}@{}", need.version))),
                }
            }
        }
        // … and then looks for each symbol in all libraries.
        for symbol in elf.undefined.iter().filter(|symbol| !symbol.weak) {
            let need = symbol.version.and_then(|place| elf.versions.get(place));
            let told = match need {
                Some(need) => absent.contains(need.library.as_str()),
                // It may be an absent library's.
                None => !absent.is_empty(),
            };
            if told || symbol.version.is_some_and(|place| without_version.contains(&place)) {
                continue;
            }
            match libraries.exporter(&symbol.name, need.map(|need| need.version.as_str())) {
                Some(exporter) => {
                    found.met += 1;
                    found.exporters.insert(exporter);
                }
                None => {
                    let (library, name) = match need {
                        Some(need) => (need.library.as_str(), format!("{}@{}", symbol.name, need.version)),
                        None => ("", symbol.name.clone()),
                    };
                    found.unmet.entry(library).or_default().push(name);
                }
            }
        }
        found
    }
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
                Code::SonameTime64,
                format!(
                    "on {architecture}, {} has {} with a 64-bit `time_t`, but this binary uses a 32-bit one: it starts \
                     there, but calls that pass a time misbehave; link the library statically, with a feature such as \
                     `vendored`, `bundled` or `static`",
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
                    "use `-t {triple}.{}` to link against the libraries of {} instead, or ",
                    chosen.glibc, chosen.release
                )
            }
            None => String::new(),
        };
        findings.push(Finding::warning(
            Code::SonameGone,
            format!(
                "needs {soname}, which is in {} but no longer in {}, where the binary does not start; {floor}link the \
                 library statically, with a feature such as `vendored`, `bundled` or `static`",
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
