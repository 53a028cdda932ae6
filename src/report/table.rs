//! The closing table and the plan, for people.

use std::collections::{BTreeMap, BTreeSet};

use anstyle::AnsiColor;

use crate::model::catalog::Format;
use crate::model::supply::SupplyKind;
use crate::plan::container::ImagePlan;
use crate::plan::{Plan, Provision, ProvisionKind, Status};
use crate::release::{FailedStatus, Manifest};
use crate::report::human::{Style, bold, seconds_text};
use crate::report::{VerifiedFile, escape};
use crate::util::plural::counted;
use crate::verify::Level;

/// Rows of cells, each column as wide as its widest cell; the last is not padded.
fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (index, cell) in row.iter().enumerate() {
                line.push_str(cell);
                if index + 1 < row.len() {
                    line.extend(std::iter::repeat_n(' ', widths[index] - cell.chars().count() + 2));
                }
            }
            line.trim_end().to_owned()
        })
        .collect()
}

/// Rows under a heading.
pub fn lines(rows: &[Vec<String>], style: Style) -> String {
    let lines = columns(rows).into_iter().enumerate();
    lines
        .map(|(index, line)| if index == 0 { style.paint(anstyle::Style::new().bold(), &line) } else { line })
        .collect::<Vec<_>>()
        .join("\n")
}

/// A size as people read it.
pub fn size_text(bytes: u64) -> String {
    let mib = bytes as f64 / 1_048_576.0;
    if mib >= 1024.0 {
        return format!("{:.1} GiB", mib / 1024.0);
    }
    if mib >= 1.0 { format!("{mib:.1} MiB") } else { format!("{:.0} KiB", bytes as f64 / 1024.0) }
}

/// The closing table: target, route, size, glibc or minimum OS, time.
pub fn closing(manifest: &Manifest, took: &dyn Fn(&str) -> Option<f64>, style: Style) -> String {
    let mut rows = vec![["target", "bin", "route", "size", "runs on", "time"].map(str::to_owned).to_vec()];
    for row in &manifest.artifacts {
        let runs_on = match (&row.glibc.as_ref().and_then(|glibc| glibc.seen), &row.min_os) {
            (Some(glibc), _) => format!("glibc {glibc}"),
            (None, Some(min_os)) => format!("macOS {min_os}"),
            // What std itself needs since Rust 1.78, and convoy's C runtime.
            _ if row.format == Format::Pe => "Windows 10".to_owned(),
            _ if row.linkage == crate::verify::Linkage::Static => "static".to_owned(),
            _ => String::new(),
        };
        rows.push(vec![
            row.id.clone(),
            row.bin.clone(),
            row.route.to_string(),
            size_text(row.size),
            runs_on,
            took(&row.id).map(seconds_text).unwrap_or_default(),
        ]);
    }
    let good = rows.len();
    for row in &manifest.failed {
        let status = match row.status {
            FailedStatus::Blocked => "blocked",
            FailedStatus::Failed => "failed",
            FailedStatus::Rejected => "rejected",
            FailedStatus::Interrupted => "interrupted",
        };
        rows.push(vec![
            row.id.clone(),
            row.bin.clone().unwrap_or_default(),
            row.route.map(|route| route.to_string()).unwrap_or_default(),
            status.to_owned(),
            String::new(),
            took(&row.id).map(seconds_text).unwrap_or_default(),
        ]);
    }
    let lines = columns(&rows);
    let painted = lines.into_iter().enumerate().map(|(index, line)| match index {
        0 => style.paint(anstyle::Style::new().bold(), &line),
        index if index >= good => style.paint(bold(AnsiColor::Red), &line),
        _ => line,
    });
    painted.collect::<Vec<_>>().join("\n") + &runtime(manifest)
}

/// What machines must have installed for binaries that take libraries from a sysroot; without what every system has.
fn runtime(manifest: &Manifest) -> String {
    let mut cells: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in &manifest.artifacts {
        let packages = row.runtime_packages.iter().map(|package| package.package.as_str());
        let extra: Vec<&str> = packages.filter(|package| !BASE_PACKAGES.contains(package)).collect();
        if !extra.is_empty() {
            cells.entry(&row.id).or_default().extend(extra);
        }
    }
    // Cells of one release mostly need the same.
    let mut shared: BTreeMap<&BTreeSet<&str>, Vec<&str>> = BTreeMap::new();
    for (id, packages) in &cells {
        shared.entry(packages).or_default().push(id);
    }
    let mut text = String::new();
    for (packages, ids) in shared {
        let packages: Vec<&str> = packages.iter().copied().collect();
        text.push_str(&wrapped("", &format!("{}: {}", ids.join(", "), packages.join(", "))));
    }
    if text.is_empty() { text } else { format!("\n\nDebian packages required at run time:\n{}", text.trim_end()) }
}

/// What every Debian system has.
const BASE_PACKAGES: [&str; 2] = ["libc6", "libgcc-s1"];

/// The plan, a paragraph a cell; with `verbose` the needs and every rejected route too.
pub fn plan(plan: &Plan, style: Style) -> String {
    let mut text = String::new();
    for cell in &plan.cells {
        let mut about = vec![cell.cell.platform.clone().unwrap_or_default()];
        about.extend(cell.cell.floor.map(|floor| format!("glibc {floor}")));
        about.extend(cell.cell.cpu.clone());
        if !cell.cell.devices.is_empty() {
            about.push(cell.cell.devices.join(", "));
        }
        about.retain(|word| !word.is_empty());
        let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join("; ")) };
        let id = style.paint(anstyle::Style::new().bold(), &cell.cell.id);
        let route = match (cell.status, cell.route) {
            (Status::Buildable, Some(route)) => style.paint(bold(AnsiColor::Green), route.name()),
            _ => style.paint(bold(AnsiColor::Red), "blocked"),
        };
        text.push_str(&format!("{id}{about}: {route}\n"));
        text.push_str(&wrapped("reason: ", &cell.because));
        if let Some(image) = &cell.image {
            text.push_str(&wrapped("image: ", &image_text(image, style)));
        }
        for need in &cell.needs {
            let Some(supply) = need.supply.as_ref().filter(|supply| supply.kind == SupplyKind::Sysroot) else {
                continue;
            };
            let sonames: Vec<&str> = supply.sonames.iter().map(|soname| soname.soname.as_str()).collect();
            let sonames = if sonames.is_empty() { String::new() } else { format!(" ({})", sonames.join(", ")) };
            text.push_str(&wrapped("library: ", &format!("{} from {}{sonames}", need.name, supply.name)));
        }
        if style.verbose > 0 {
            for need in &cell.needs {
                let path = need.paths.first().map(|path| path.join(" → ")).unwrap_or_default();
                text.push_str(&wrapped(
                    "need: ",
                    &format!("{}, required by {path} (evidence: {})", need.name, need.evidence),
                ));
            }
            for rejected in &cell.rejected {
                text.push_str(&wrapped("rejected: ", &format!("{}: {}", rejected.route, rejected.reason)));
            }
        }
        for hint in cell.hint.iter().flat_map(|hints| hints.lines()) {
            text.push_str(&wrapped("hint: ", hint));
        }
    }
    text.push_str(&fetched(plan));
    text.push_str(&invocations(plan));
    text.trim_end().to_owned()
}

/// What is installed before the build, once for all targets that need it.
fn fetched(plan: &Plan) -> String {
    let mut wanted: BTreeMap<&Provision, Vec<&str>> = BTreeMap::new();
    for cell in &plan.cells {
        for provision in &cell.provision {
            wanted.entry(provision).or_default().push(&cell.cell.id);
        }
    }
    let mut text = String::new();
    for (provision, ids) in &wanted {
        let size = provision.bytes.map(|bytes| format!(", about {}", size_text(bytes))).unwrap_or_default();
        let whom = match ids.as_slice() {
            [id] => (*id).to_owned(),
            many => format!("{} targets", many.len()),
        };
        let what = match (provision.kind, &provision.version) {
            // By its name it is known whom it is for.
            (ProvisionKind::Std, _) => format!("the standard library for {} (rustup)", provision.name),
            (ProvisionKind::Sysroot, _) => format!("the sysroot {}, for {whom}", provision.name),
            (ProvisionKind::Image, _) => format!("the image {}, for {whom}", provision.name),
            (ProvisionKind::RustSrc, _) => format!("the standard library's source (rustup), for {whom}"),
            (ProvisionKind::Zig, version) => {
                format!("{} {}{size}, for {whom}", provision.name, version.as_deref().unwrap_or_default())
            }
        };
        text.push_str(&wrapped("", &what));
    }
    if text.is_empty() { text } else { format!("installed once, before the build:\n{text}") }
}

/// How many times cargo is started, and for what.
fn invocations(plan: &Plan) -> String {
    let lanes: Vec<String> = plan.lanes.iter().map(|lane| format!("{} ({})", lane.id, lane.cells.len())).collect();
    let blocked = plan.cells.iter().filter(|cell| cell.status == Status::Blocked).count();
    match (lanes.as_slice(), plan.cells.len() - blocked) {
        ([], _) => String::new(),
        ([_], 1) if blocked > 0 => "one cargo invocation for the target that is not blocked".to_owned(),
        ([_], 1) => "one cargo invocation".to_owned(),
        ([_], count) if blocked > 0 => format!("one cargo invocation for the {count} targets that are not blocked"),
        ([_], _) => "one cargo invocation for all targets".to_owned(),
        (many, _) => format!("{} cargo invocations: {}", many.len(), many.join(", ")),
    }
}

/// An image that a cell is built in, and what it is made from.
fn image_text(image: &ImagePlan, style: Style) -> String {
    let name = image.reference.clone();
    let Some(recipe) = image.recipe() else { return name };
    if style.verbose > 0 {
        let packages: Vec<&str> = recipe.packages.iter().map(String::as_str).collect();
        return format!("{name} (from {}, with {})", recipe.base, packages.join(", "));
    }
    match image.present {
        true => name,
        false => format!(
            "{name} (built once from {}, with {} added)",
            recipe.base,
            counted(recipe.packages.len(), "package", "packages")
        ),
    }
}

/// What was found in one file.
pub fn verified(row: &VerifiedFile, style: Style) -> String {
    let verdict = if row.verified {
        style.paint(bold(AnsiColor::Green), "verified")
    } else {
        style.paint(bold(AnsiColor::Red), "rejected")
    };
    let target = match (&row.target, row.inferred) {
        (Some(target), true) => format!(" as {target} (detected from the file)"),
        (Some(target), false) => format!(" as {target}"),
        (None, _) => String::new(),
    };
    let mut text = format!("{}: {verdict}{target}\n", escape::line(&row.file));
    for finding in &row.findings {
        let (color, word) = match finding.level {
            Level::Ok => (AnsiColor::Green, "ok"),
            Level::Warning => (AnsiColor::Yellow, "warning"),
            Level::Violation => (AnsiColor::Red, "violation"),
        };
        let label = format!("{word}[{}]: ", finding.code);
        // Painted after wrapping, so that invisible characters do not count.
        let paragraph = wrapped(&label, &escape::line(&finding.message));
        text.push_str(&paragraph.replacen(word, &style.paint(bold(color), word), 1));
    }
    text
}

/// A labelled paragraph, indented, no line above 80 columns where words allow.
pub(super) fn wrapped(label: &str, text: &str) -> String {
    let label = if label.is_empty() || label.ends_with(' ') { label.to_owned() } else { format!("{label} ") };
    const INDENT: &str = "    ";
    let mut out = String::new();
    let mut line = format!("{INDENT}{label}");
    // Painting does not count.
    let painted = label.chars().count() - anstream::adapter::strip_str(&label).to_string().chars().count();
    let mut limit = 80 + painted;
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > limit {
            out.push_str(line.trim_end());
            out.push('\n');
            line = format!("{INDENT}{INDENT}");
            limit = 80;
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::code::Code;

    #[test]
    fn long_sentences_fit_eighty_columns() {
        let text = wrapped("reason: ", &"word ".repeat(60));
        assert!(text.lines().count() > 3);
        assert!(text.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn a_finding_shows_nothing_but_its_words() {
        let row = VerifiedFile {
            file: "a\u{1b}c".to_owned(),
            target: None,
            inferred: false,
            verified: true,
            inspection: None,
            findings: vec![crate::verify::Finding {
                level: Level::Warning,
                code: Code::NeedsLibraries,
                message: "needs \u{1b}]0;OWNED\u{7}\n::stop-commands::x".to_owned(),
            }],
        };
        let text = verified(&row, Style::default());
        assert!(text.starts_with("a\\u{1b}c: verified\n"), "{text}");
        assert!(text.contains("needs \\u{1b}]0;OWNED\\u{7}\\u{a}::stop-commands::x\n"), "{text}");
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(size_text(512 * 1024), "512 KiB");
        assert_eq!(size_text(5_400_000), "5.1 MiB");
        assert_eq!(size_text(2_627_077_118), "2.4 GiB");
    }
}
