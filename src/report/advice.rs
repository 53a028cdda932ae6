//! `why` and `doctor`, for people.

use anstyle::AnsiColor;

use super::human::{Style, bold};
use super::table::{lines, wrapped};
use crate::plan::Status;
use crate::plan::remedy::Remedy;
use crate::project::needs::{Confidence, NeedKind, Side};
use crate::report::{DoctorReport, WhyNeed, WhyReport};

/// Why something is needed, by which ways, and the ways out.
pub(crate) fn why(report: &WhyReport, style: Style) -> String {
    if report.needs.is_empty() {
        let path = report.path.join(" → ");
        return format!(
            "{} needs no C tools or libraries for these targets\n{}",
            report.subject,
            wrapped("path: ", &path)
        )
        .trim_end()
        .to_owned();
    }
    let mut text = String::new();
    for need in &report.needs {
        text.push_str(&one(need, style));
        text.push('\n');
    }
    text.trim_end().to_owned()
}

fn one(need: &WhyNeed, style: Style) -> String {
    let head = format!("{} {}", need.package, need.version);
    let what = thing(need.kind, &need.name);
    let mut text = format!("{} {what}\n", style.paint(anstyle::Style::new().bold(), &head));
    let sureness = match need.confidence {
        Confidence::Known => "",
        Confidence::Likely => " (likely)",
        Confidence::Unknown => " (uncertain: it depends on what the build script does when it runs)",
    };
    text.push_str(&wrapped("evidence: ", &format!("{}{sureness}", need.evidence)));
    if need.side == Side::Host {
        text.push_str(&wrapped("", "for build scripts and proc-macros, which run on this machine"));
    }
    for chain in &need.chains {
        let steps: Vec<String> = chain
            .iter()
            .map(|step| match step.opened_by.as_slice() {
                [] => step.package.clone(),
                features => format!("{} [{}]", step.package, features.join(", ")),
            })
            .collect();
        text.push_str(&wrapped("path: ", &steps.join(" → ")));
    }
    let (met, unmet): (Vec<_>, Vec<_>) = need.cells.iter().partition(|cell| cell.met_by.is_some());
    for cell in met {
        let by = cell.met_by.as_deref().unwrap_or_default();
        text.push_str(&wrapped(&style.paint(bold(AnsiColor::Green), "met"), &format!("for {}: {by}", cell.id)));
    }
    if !unmet.is_empty() {
        let ids: Vec<&str> = unmet.iter().map(|cell| cell.id.as_str()).collect();
        text.push_str(&wrapped(&style.paint(bold(AnsiColor::Red), "blocks"), &ids.join(", ")));
        text.push_str(&remedies(&need.remedies));
    }
    text
}

/// What a need is, as the end of a sentence about a crate.
fn thing(kind: NeedKind, name: &str) -> String {
    match kind {
        NeedKind::Unsupported => format!("does not support the target: {name}"),
        NeedKind::SystemLibrary => format!("needs the system library {name}"),
        NeedKind::Framework => format!("needs the framework {name}"),
        NeedKind::ImportLibrary => format!("links against {name}.dll"),
        NeedKind::CxxCompiler => "needs a C++ compiler".to_owned(),
        NeedKind::CCompiler => "needs a C compiler".to_owned(),
        NeedKind::Tool => format!("needs {name}"),
        NeedKind::Download => format!("downloads {name}"),
        NeedKind::Variable => format!("is built with {name}"),
        NeedKind::HostLinker => "needs a linker for this machine".to_owned(),
    }
}

fn remedies(list: &[Remedy]) -> String {
    let mut text = String::new();
    if list.is_empty() {
        text.push_str(&wrapped("", "no known fix, other than not depending on this crate for these targets"));
    } else {
        text.push_str(&wrapped("", "how to fix:"));
    }
    for (index, remedy) in list.iter().enumerate() {
        let then = match remedy.then_needs.as_slice() {
            [] => String::new(),
            names => format!(" (which then needs {})", names.join(", ")),
        };
        text.push_str(&wrapped(&format!("{}. ", index + 1), &format!("{}{then}", remedy.text)));
        // A command is copied, so it stays on a line of its own and is never broken.
        text.extend(remedy.command.iter().map(|command| format!("        $ {command}\n")));
    }
    text
}

/// What is longer than this makes a table too wide.
const LONG: usize = 40;

/// What this machine offers, what is missing for each target, and how to fix it.
pub(crate) fn doctor(report: &DoctorReport, style: Style) -> String {
    let mut rows = vec![["", "found", "needed by"].map(str::to_owned).to_vec()];
    let mut long = String::new();
    for offer in &report.offers {
        let found = match (&offer.path, &offer.version, &offer.fault) {
            (_, _, Some(fault)) if fault.chars().count() > LONG => {
                long.push_str(&wrapped(&format!("{}: ", offer.name), fault));
                "not usable (see below)".to_owned()
            }
            (_, _, Some(fault)) => fault.clone(),
            (Some(_), Some(version), None) => version.clone(),
            (Some(path), None, None) => path.clone(),
            (None, _, None) => "missing".to_owned(),
        };
        rows.push(vec![offer.name.clone(), found, offer.needed_by.join(", ")]);
    }
    let mut text = format!("{}\n{long}", lines(&rows, style));
    for cell in &report.cells {
        let id = style.paint(anstyle::Style::new().bold(), &cell.id);
        match (cell.status, cell.route) {
            (Status::Buildable, Some(route)) => {
                let good = style.paint(bold(AnsiColor::Green), "can be built");
                text.push_str(&format!("\n{id}: {good} (route {route})\n"));
            }
            _ => {
                text.push_str(&format!("\n{id}: {}\n", style.paint(bold(AnsiColor::Red), "blocked")));
                text.push_str(&wrapped("reason: ", &cell.because));
            }
        }
        for lack in &cell.lacks {
            text.push_str(&wrapped("missing: ", &format!("{}, required by `{}`", lack.name, lack.package)));
        }
        for hint in cell.hint.iter().flat_map(|hints| hints.lines()) {
            text.push_str(&wrapped("hint: ", hint));
        }
    }
    let lacking = report.cells.iter().any(|cell| !cell.lacks.is_empty());
    if !report.commands.is_empty() {
        text.push_str("\nHow to fix:\n");
        text.extend(report.commands.iter().map(|command| format!("    $ {command}\n")));
    }
    if !report.configuration.is_empty() {
        text.push_str("\nAdd to `Convoy.toml`:\n");
        text.extend(report.configuration.iter().map(|line| format!("    {line}\n")));
    }
    if lacking {
        let names: std::collections::BTreeSet<&str> =
            report.cells.iter().flat_map(|cell| &cell.lacks).map(|lack| lack.package.as_str()).collect();
        let names: Vec<String> = names.iter().map(|name| format!("`cargo convoy why {name}`")).collect();
        text.push_str(&format!(
            "\n{}",
            wrapped("", &format!("To see whether features can avoid these needs, run {}", names.join(", ")))
        ));
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_need_ends_a_sentence() {
        let kinds = [
            (NeedKind::Unsupported, "FUSE exists on Unix only"),
            (NeedKind::SystemLibrary, "openssl"),
            (NeedKind::Framework, "Security"),
            (NeedKind::ImportLibrary, "odd"),
            (NeedKind::CxxCompiler, "c++-compiler"),
            (NeedKind::CCompiler, "c-compiler"),
            (NeedKind::Tool, "cmake"),
            (NeedKind::Download, "a Z3 release"),
            (NeedKind::Variable, "JEMALLOC_SYS_WITH_LG_PAGE=16"),
            (NeedKind::HostLinker, "host-linker"),
        ];
        let text: Vec<String> = kinds.iter().map(|(kind, name)| format!("`x` {}", thing(*kind, name))).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        `x` does not support the target: FUSE exists on Unix only
        `x` needs the system library openssl
        `x` needs the framework Security
        `x` links against odd.dll
        `x` needs a C++ compiler
        `x` needs a C compiler
        `x` needs cmake
        `x` downloads a Z3 release
        `x` is built with JEMALLOC_SYS_WITH_LG_PAGE=16
        `x` needs a linker for this machine
        ");
    }
}
