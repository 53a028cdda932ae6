//! The checks of PE binaries.

use super::super::{Finding, Inspection, Pe, dlls, name_some};
use crate::util::files::brief;

pub(super) fn judge(inspection: &Inspection, pe: &Pe) -> Vec<Finding> {
    let mut findings = vec![match pe.subsystem.as_str() {
        "console" | "windows" => Finding::ok("subsystem", &*pe.subsystem),
        other => Finding::violation(
            "wrong-subsystem",
            format!(
                "the subsystem is number {other}, neither console nor windows: Windows does not run it as a program; \
                 remove `-Wl,--subsystem` or `/SUBSYSTEM` from the linker arguments"
            ),
        ),
    }];
    let foreign: Vec<&String> = inspection.needed.iter().filter(|name| !dlls::ships_with_windows(name)).collect();
    for name in &foreign {
        findings.push(Finding::violation(
            "dll-not-shipped",
            format!(
                "needs `{}`, which is not part of Windows: the program does not start on a machine without it; {}",
                brief(name),
                dlls::remedy(name)
            ),
        ));
    }
    if foreign.is_empty() {
        findings.push(Finding::ok("dlls", format!("only DLLs of Windows: {}", name_some(&inspection.needed))));
    }
    findings
}
