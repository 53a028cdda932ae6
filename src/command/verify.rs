//! `cargo convoy verify`: inspects any binary.

use camino::Utf8PathBuf;
use clap::Args;

use crate::command::{current_dir, print_json, say};
use crate::machine;
use crate::model::catalog::Catalog;
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
    let asked = target.map(|word| expectation_of(word, catalog)).transpose()?;
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
        let row = look(file, &bytes, asked.as_ref(), catalog);
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
        target: asked.map(|asked| asked.triple.clone()),
        inferred: false,
        verified: false,
        inspection: None,
        findings: vec![Finding::unreadable(why)],
    }
}

fn look(file: &Utf8PathBuf, bytes: &[u8], asked: Option<&Expectation>, catalog: &Catalog) -> VerifiedFile {
    let inspection = match verify::inspect(bytes) {
        Ok(inspection) => inspection,
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
            code: "target-unknown".to_owned(),
            message: "nothing was checked, because the target could not be detected from the file; specify it with \
                      `--target`"
                .to_owned(),
        }),
        None => {}
    }
    VerifiedFile {
        file: file.to_string(),
        target: expectation.map(|expectation| expectation.triple),
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
        many => Err(Error::usage(format!("`{word}` stands for {} targets, but a file is built for one", many.len()))
            .hint("specify one target, such as `linux/arm64`")),
    }
}
