//! `cargo convoy verify`: inspects any binary.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use clap::Args;

use crate::command::{current_dir, print_json, say};
use crate::machine;
use crate::model::catalog::{Catalog, UNIVERSAL};
use crate::model::code::Code;
use crate::plan::matrix;
use crate::report::{Style, VerifiedFile, VerifyReport, table};
use crate::util::error::{Error, Exit, Result};
use crate::util::files::{LARGE, PlainFile};
use crate::verify::link;
use crate::verify::{self, Expectation, Finding, Level};

#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Files to inspect
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<Utf8PathBuf>,
    /// Target that the files should be built for, such as linux/arm/v6 or
    /// aarch64-unknown-linux-gnu.2.31 [default: detected from each file]
    #[arg(short, long, value_name = "TARGET")]
    pub target: Option<String>,
    /// Print the output as JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn verify(files: &[Utf8PathBuf], target: Option<&str>, json: bool, style: Style) -> Result<Exit> {
    let catalog = Catalog::embedded();
    // Each of its binaries has a target of its own.
    let universal = target.is_some_and(|word| UNIVERSAL.is(&catalog.canonical(word)));
    let asked = target.filter(|_| !universal);
    let asked = asked.map(|word| expectation_of(word, catalog)).transpose()?;
    let mut report = VerifyReport { schema: 1, kind: "verify".to_owned(), files: Vec::new() };
    let mut exit = Exit::Success;
    for file in files {
        let bytes = match read(file) {
            Ok(bytes) => bytes,
            Err(why) => {
                exit = exit.worst(Exit::Work);
                report.files.push(unread(file, asked.as_ref(), why));
                continue;
            }
        };
        let mut row = look(file, &bytes, asked.as_ref(), catalog);
        if universal && row.target.as_deref() != Some(UNIVERSAL.triple) {
            let halves = UNIVERSAL.halves.join(" and ");
            let message = format!("not a universal Mach-O with binaries for {halves}");
            row.findings.push(Finding { level: Level::Violation, code: Code::WrongFormat, message });
            row.verified = false;
        }
        if !row.verified {
            exit = exit.worst(Exit::Rejected);
        }
        report.files.push(row);
    }
    if json {
        print_json(&report)?;
    } else {
        for row in &report.files {
            say(&table::verified(row, style));
        }
    }
    Ok(exit)
}

fn read(file: &Utf8PathBuf) -> std::result::Result<Vec<u8>, String> {
    if file.is_dir() {
        return Err("is a directory, not a file".to_owned());
    }
    PlainFile::open(file, LARGE).and_then(|file| file.read()).map_err(|error| error.to_string())
}

fn unread(file: &Utf8PathBuf, asked: Option<&Expectation>, why: String) -> VerifiedFile {
    VerifiedFile {
        file: file.to_string(),
        target: asked.map(|asked| asked.triple.to_string()),
        inferred: false,
        verified: false,
        inspection: None,
        findings: vec![Finding::unreadable(why)],
    }
}

/// A universal file is right if each of its binaries is, for the target that it seems to be for.
fn look_at_slices(file: &Utf8PathBuf, bytes: &[u8], catalog: &Catalog) -> VerifiedFile {
    let inspections = match verify::inspect_slices(bytes) {
        Ok(inspections) => inspections,
        Err(unreadable) => {
            return VerifiedFile { findings: vec![unreadable.finding()], ..unread(file, None, String::new()) };
        }
    };
    let mut findings = Vec::new();
    let mut arches = BTreeSet::new();
    for inspection in &inspections {
        let triple = verify::infer(inspection, catalog).unwrap_or_default();
        let mut own = verify::judge(inspection, &Expectation::of_triple(&triple, catalog));
        own.extend(verify::not_checked(inspection, &triple));
        findings.extend(
            own.into_iter()
                .map(|finding| Finding { message: format!("{}: {}", inspection.arch, finding.message), ..finding }),
        );
        arches.insert(triple);
    }
    let both = UNIVERSAL.halves.iter().all(|half| arches.contains(*half));
    VerifiedFile {
        file: file.to_string(),
        target: both.then(|| UNIVERSAL.triple.to_owned()),
        inferred: true,
        verified: !inspections.is_empty() && findings.iter().all(|finding| finding.level < Level::Violation),
        inspection: None,
        findings,
    }
}

fn look(file: &Utf8PathBuf, bytes: &[u8], asked: Option<&Expectation>, catalog: &Catalog) -> VerifiedFile {
    let inspection = match verify::inspect(bytes) {
        Ok(inspection) => inspection,
        Err(verify::Unreadable::Fat(_)) if asked.is_none() => return look_at_slices(file, bytes, catalog),
        Err(unreadable) => {
            return VerifiedFile { findings: vec![unreadable.finding()], ..unread(file, asked, String::new()) };
        }
    };
    let inferred = asked.is_none().then(|| verify::infer(&inspection, catalog)).flatten();
    let expectation =
        asked.cloned().or_else(|| inferred.as_ref().map(|triple| Expectation::of_triple(triple, catalog)));
    let expectation = expectation.map(|expectation| Expectation { link: link::record_for(file), ..expectation });
    let mut findings = match &expectation {
        Some(expectation) => verify::judge(&inspection, expectation),
        None => Vec::new(),
    };
    match &inferred {
        Some(inferred) => findings.extend(verify::not_checked(&inspection, inferred)),
        None if asked.is_none() => findings.push(Finding {
            level: Level::Warning,
            code: Code::TargetUnknown,
            message: "nothing was checked, because the target could not be detected from the file; specify it with \
                      `--target`"
                .to_owned(),
        }),
        None => {}
    }
    VerifiedFile {
        file: file.to_string(),
        target: expectation.map(|expectation| expectation.triple.into()),
        inferred: inferred.is_some(),
        verified: findings.iter().all(|finding| finding.level < Level::Violation),
        inspection: Some(inspection),
        findings,
    }
}

/// The same words as `build -t`, for exactly one target.
fn expectation_of(word: &str, catalog: &Catalog) -> Result<Expectation> {
    let words = [word.to_owned()];
    let known = if matrix::needs_target_list(&words, catalog) {
        // Without Rust on the machine the catalog is all there is.
        machine::rustc_targets(&current_dir()?).unwrap_or_default()
    } else {
        Vec::new()
    };
    // No machine is the host here: its own triple gets the catalog's floor like any other.
    let known = matrix::Known { rustc_targets: &known, ..matrix::Known::of_catalog(catalog) };
    let cells = matrix::cells(&words, &known, &|_| Default::default())?;
    match cells.as_slice() {
        [cell] => Ok(Expectation {
            floor: cell.floor,
            cpu: cell.cpu.clone(),
            ..Expectation::of_triple(&cell.target, catalog)
        }),
        many => Err(Error::usage(format!(
            "`{word}` selects {} targets, but a file is verified for exactly one",
            many.len()
        ))
        .hint("specify one target, such as `linux/arm64`")),
    }
}
