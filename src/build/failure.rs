//! Why a cell was not built, from what cargo and its tools said.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use camino::Utf8Path;

use crate::build::cargo::Outcome;
use crate::model::code::Code;
use crate::plan::diagnose::{self, Cause};
use crate::report::{Phase, Reporter};
use crate::util::error::Error;
use crate::util::files::{LARGE, UntrustedDir};

/// Why a cell did not build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A stable name of the cause.
    pub code: Code,
    /// One line.
    pub message: String,
    /// cargo's rendered diagnostics.
    pub diagnostics: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The tool's fault that is behind it. Such a failure is not told by the lane, as another route may yet work.
    pub cause: Option<Cause>,
}

/// The crates could not be fetched ahead of a container, which has no network.
pub(super) fn not_fetched(complaint: &str) -> Failure {
    let error = diagnose::cargo::error(complaint);
    Failure {
        code: Code::FetchFailed,
        message: format!("could not download the crates: {}", error.lines().next().unwrap_or_default()),
        diagnostics: complaint.to_owned(),
        hint: Some("check the network connection; after `cargo fetch`, `--offline` works without it".to_owned()),
        cause: None,
    }
}

/// What cargo says of a build script that failed.
pub(super) const BUILD_SCRIPT: &str = "failed to run custom build command for";

/// convoy could not do its own part for a cell.
pub(super) fn setup_failed(error: &Error) -> Failure {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        message.push_str(&format!(": {source}"));
        cause = source.source();
    }
    let hint = error.hint_text().map(str::to_owned);
    Failure { code: Code::SetupFailed, message, diagnostics: String::new(), hint, cause: None }
}

/// Diagnostics that were already shown, and under which cell's name.
#[derive(Debug, Default)]
pub(crate) struct Reported(Mutex<BTreeMap<String, String>>);

/// Says why a cell failed, with what cargo printed.
pub(crate) fn tell_failure(reporter: &Reporter, id: &str, failure: &Failure, took: Duration, output: &Reported) {
    let report = reporter.error(Phase::Build, failure.message.clone()).target(id).code(failure.code).took(took);
    let diagnostics = failure.diagnostics.trim_end();
    // Held until it is said: another lane's "above" must be above.
    let mut output = output.0.lock().unwrap_or_else(PoisonError::into_inner);
    // The same mistake in the user's code fails every target: once is enough to read.
    match output.get(diagnostics) {
        _ if diagnostics.is_empty() => report.send(),
        Some(other) => report.below(format!("        same errors as for {other}, above")).send(),
        None => {
            report.below(diagnostics).send();
            output.insert(diagnostics.to_owned(), id.to_owned());
        }
    }
}

/// Less free space than this makes a full disk the likely cause: what did not fit is gone again when one looks.
const SCARCE: u64 = 256 << 20;

/// The free space of a directory's disk; none if it is unknown.
fn free_bytes(dir: &Utf8Path) -> Option<u64> {
    #[cfg(unix)]
    return rustix::fs::statvfs(dir.as_std_path()).ok().map(|disk| disk.f_bavail * disk.f_frsize);
    #[cfg(not(unix))]
    None
}

/// Why an executable that was named is none to publish, if so.
fn not_usable(dir: &Utf8Path, file: &Utf8Path) -> Option<String> {
    match UntrustedDir::open(dir).and_then(|lane| lane.file_at(file, LARGE)) {
        Ok(_) => None,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("cargo reported success, but its output file does not exist: {file}"))
        }
        Err(error) => Some(format!("cargo reported success, but its output file cannot be used: {error}")),
    }
}

/// cargo's complaint without rustc's arguments, which fill a page; the log has them.
fn shortened(complaints: &str) -> String {
    const ENDED: &str = "process didn't exit successfully: `";
    let short = |line: &str| {
        let (before, rest) = line.split_once(ENDED)?;
        let (command, after) = rest.rsplit_once('`')?;
        let program = Utf8Path::new(command.split(' ').next()?).file_name()?;
        (program == "rustc").then(|| format!("{before}{ENDED}{program} …`{after}"))
    };
    let lines = complaints.lines().map(|line| short(line).unwrap_or_else(|| line.to_owned()));
    lines.collect::<Vec<_>>().join("\n")
}

pub(super) fn failure(outcome: &Outcome, dir: &Utf8Path) -> Failure {
    let all = format!("{}\n{}", outcome.diagnostics, outcome.complaints);
    let plain = anstream::adapter::strip_str(&all).to_string();
    let diagnostics = match (outcome.diagnostics.trim(), outcome.complaints.trim()) {
        ("", complaints) => shortened(complaints),
        // rustc said it better than cargo's summary, except when a build script also failed.
        (diagnostics, complaints) if complaints.contains(BUILD_SCRIPT) => {
            format!("{diagnostics}\n{complaints}")
        }
        (diagnostics, _) => diagnostics.to_owned(),
    };
    // A linker that maps its output into memory does not get an error from a full disk but SIGBUS.
    let bus = plain.contains("SIGBUS") && free_bytes(dir).is_some_and(|free| free < SCARCE);
    if bus || plain.contains("No space left on device") {
        return Failure {
            code: Code::DiskFull,
            message: "the disk is full".to_owned(),
            diagnostics,
            hint: Some("free some disk space, or set `--target-dir` to a directory on another disk".to_owned()),
            cause: None,
        };
    }
    if let Some(fault) = &outcome.fault {
        let (message, hint) = fault.message_and_hint();
        return Failure { code: Code::EngineFailed, message, diagnostics, hint: Some(hint), cause: None };
    }
    if outcome.success {
        return Failure {
            code: Code::ArtifactMissing,
            message: outcome
                .executables
                .iter()
                .find_map(|(_, _, file)| not_usable(dir, file))
                .unwrap_or_else(|| "cargo reported success, but built no binary".to_owned()),
            diagnostics,
            hint: Some("check whether the binary is disabled for this target".to_owned()),
            cause: None,
        };
    }
    let first = |needle: &str| plain.lines().find(|line| line.contains(needle)).map(|line| line.trim().to_owned());
    let (code, message) = if let Some(line) = first(BUILD_SCRIPT) {
        (Code::BuildScriptFailed, line.trim_start_matches("error: ").to_owned())
    } else if let Some(line) = ["linking with", "linker `", "could not exec the linker"]
        .iter()
        .find_map(|words| first(&format!("error: {words}")))
    {
        (Code::LinkFailed, line.trim_start_matches("error: ").to_owned())
    } else if let Some(line) = first("error: could not compile") {
        (Code::CompileFailed, line.trim_start_matches("error: ").to_owned())
    } else {
        // The last is how tools end that a lane is handed to.
        let begins = |line: &&str| ["error: ", "error[", "Error: "].iter().any(|begin| line.starts_with(begin));
        let line = plain.lines().map(str::trim).find(begins).unwrap_or("cargo failed without an error message");
        (Code::CargoFailed, line.trim_start_matches("error: ").trim_start_matches("Error: ").to_owned())
    };
    match diagnose::cause(code, &plain) {
        Some(cause) => {
            let (message, hint) = (cause.message.clone(), Some(cause.hint.clone()));
            Failure { code, message, diagnostics, hint, cause: Some(cause) }
        }
        None => Failure { code, message, diagnostics, hint: None, cause: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_rustc_alone_are_left_out() {
        let told = "error: could not compile `a`\n\nCaused by:\n  process didn't exit successfully: `/x/bin/rustc --cfg \
                    'a(\"`\")' -C linker=/y` (signal: 11, SIGSEGV: invalid memory reference)";
        let short = "error: could not compile `a`\n\nCaused by:\n  process didn't exit successfully: `rustc …` (signal: 11, \
                     SIGSEGV: invalid memory reference)";
        assert_eq!(shortened(told), short);
        let script = "  process didn't exit successfully: `/x/build-script-build` (exit status: 101)";
        assert_eq!(shortened(script), script);
    }
}
