//! The checks of PE binaries.

use super::super::{Finding, Inspection, Pe, dlls, name_some};
use crate::model::code::Code;
use crate::model::windows::Releases;
use crate::util::files::brief;

pub(super) fn judge(inspection: &Inspection, pe: &Pe) -> Vec<Finding> {
    let mut findings = vec![match pe.subsystem.as_str() {
        "console" | "windows" => Finding::ok(Code::Subsystem, &*pe.subsystem),
        other => Finding::violation(
            Code::WrongSubsystem,
            format!(
                "the subsystem is number {other}, neither console nor windows: Windows does not run it as a program; \
                 remove `-Wl,--subsystem` or `/SUBSYSTEM` from the linker arguments"
            ),
        ),
    }];
    let foreign: Vec<&String> = inspection.needed.iter().filter(|name| !dlls::ships_with_windows(name)).collect();
    for name in &foreign {
        findings.push(Finding::violation(
            Code::DllNotShipped,
            format!(
                "needs `{}`, which is not part of Windows: the program does not start on a machine without it; {}",
                brief(name),
                dlls::remedy(name)
            ),
        ));
    }
    if foreign.is_empty() {
        findings.push(Finding::ok(Code::Dlls, format!("only Windows system DLLs: {}", name_some(&inspection.needed))));
    }
    findings.push(imports(pe));
    findings.extend(too_new(pe));
    findings.push(hardening(pe));
    findings
}

fn imports(pe: &Pe) -> Finding {
    if pe.not_exported.is_empty() {
        let of_others = match pe.unaccounted.as_slice() {
            [] => String::new(),
            others => format!("; not checked: what {} exports", name_some(others)),
        };
        // Whether a program asks for the release before it calls these cannot be seen.
        let later = match newer(pe, true).as_slice() {
            [] => String::new(),
            names => format!("; not in {}, and looked up when called: {}", oldest(), name_some(names)),
        };
        return Finding::ok(
            Code::Imports,
            format!("{} imports, all exported by Windows{later}{of_others}", pe.imports),
        );
    }
    let names: Vec<String> = pe.not_exported.iter().map(|name| name.replacen('!', ": ", 1)).collect();
    Finding::violation(
        Code::ImportNotExported,
        format!(
            "imports what Windows does not export ({}): the program does not start; remove the declaration, or load the \
             function when the program runs (`GetProcAddress`)",
            name_some(&names)
        ),
    )
}

/// What the oldest supported Windows cannot resolve when it starts the program.
fn too_new(pe: &Pe) -> Option<Finding> {
    let names = newer(pe, false);
    (!names.is_empty()).then(|| {
        Finding::violation(
            Code::ImportTooNew,
            format!(
                "imports what {}, the oldest supported Windows, does not have ({}): the program does not start there; \
                 load the function when the program runs (`GetProcAddress`), or call an older one",
                oldest(),
                name_some(&names)
            ),
        )
    })
}

fn newer(pe: &Pe, delayed: bool) -> Vec<String> {
    let these = pe.newer.iter().filter(|newer| newer.delayed == delayed);
    these.map(|newer| format!("{}, since {}", newer.import.replacen('!', ": ", 1), newer.since)).collect()
}

fn oldest() -> &'static str {
    &Releases::embedded().oldest().name
}

fn hardening(pe: &Pe) -> Finding {
    let off: Vec<&str> = [(pe.randomized, "ASLR (`/DYNAMICBASE`)"), (pe.no_execute, "DEP (`/NXCOMPAT`)")]
        .into_iter()
        .filter_map(|(on, name)| (!on).then_some(name))
        .collect();
    match off.as_slice() {
        [] => Finding::ok(Code::Hardening, if pe.guarded { "ASLR, DEP, control-flow guard" } else { "ASLR, DEP" }),
        off => Finding::warning(
            Code::HardeningOff,
            format!("turns off {}, which protects the users of a program from attacks", off.join(" and ")),
        ),
    }
}
