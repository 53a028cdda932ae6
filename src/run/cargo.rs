//! One cargo process: its command line, its JSON messages, its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Message;

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;

/// What one cargo process said.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Whether it ended well.
    pub success: bool,
    /// Whether any unit was compiled or found fresh before it ended.
    pub any_artifact: bool,
    /// Executables: package id, bin name, file.
    pub executables: Vec<(String, String, Utf8PathBuf)>,
    /// Rendered errors and warnings of failed crates.
    pub diagnostics: String,
    /// What cargo itself wrote, without its progress lines.
    pub complaints: String,
}

/// Something worth knowing while cargo runs.
pub(super) enum Progress<'a> {
    /// A unit is done; the file it made.
    Unit { crate_name: &'a str, file: &'a Utf8Path },
}

/// Runs cargo to its end. Everything it says also goes to the logs.
pub(super) fn run(
    mut command: Command,
    interrupt: &Interrupt,
    logs: &mut [fs_err::File],
    mut progress: impl FnMut(Progress<'_>),
    verbose: bool,
    mut echo: impl FnMut(&str),
) -> Result<Outcome> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    interrupt.own_group(&mut command);
    for log in logs.iter_mut() {
        writeln!(log, "$ {}", shown(&command))?;
    }
    let mut child = command.spawn().map_err(|error| {
        Error::work("could not start `cargo`").because(error).hint("is Rust installed and on PATH?")
    })?;
    let watched = interrupt.watch(child.id());
    let (outcome, stderr) = read(&mut child, logs, &mut progress)?;
    let status = child.wait()?;
    drop(watched);
    for log in logs.iter_mut() {
        log.write_all(anstream::adapter::strip_str(&stderr).to_string().as_bytes())?;
    }
    if verbose {
        echo(stderr.trim_end());
    }
    let mut complaints = complaints(&stderr);
    if complaints.is_empty() && !status.success() {
        complaints = format!("error: cargo ended without a word ({status})");
    }
    Ok(Outcome { success: status.success(), complaints, ..outcome })
}

fn read(
    child: &mut Child,
    logs: &mut [fs_err::File],
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<(Outcome, String)> {
    let stderr = child.stderr.take();
    let stdout = child.stdout.take();
    std::thread::scope(|scope| {
        // Both pipes are emptied at once: a full one would stop cargo.
        let stderr = scope.spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = stderr {
                // What came before a broken pipe is still worth showing.
                let _ = pipe.read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let mut outcome = Outcome::default();
        let mut stdout = stdout.map(BufReader::new);
        let mut bytes = Vec::new();
        while let Some(pipe) = &mut stdout
            // What came before a broken pipe still counts.
            && pipe.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0)
        {
            // A wrapper of rustc may print anything.
            take(String::from_utf8_lossy(&bytes).trim_end(), &mut outcome, logs, progress)?;
            bytes.clear();
        }
        Ok((outcome, stderr.join().unwrap_or_default()))
    })
}

fn take(
    line: &str,
    outcome: &mut Outcome,
    logs: &mut [fs_err::File],
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<()> {
    match serde_json::from_str(line) {
        Ok(Message::CompilerArtifact(artifact)) => {
            outcome.any_artifact = true;
            if let Some(file) = artifact.filenames.first() {
                progress(Progress::Unit { crate_name: &artifact.target.name, file });
            }
            let is_bin = artifact.target.is_bin();
            if let Some(file) = artifact.executable.filter(|_| is_bin) {
                outcome.executables.push((artifact.package_id.repr, artifact.target.name, file));
            }
        }
        Ok(Message::CompilerMessage(message)) => {
            let Some(rendered) = message.message.rendered else { return Ok(()) };
            for log in logs.iter_mut() {
                log.write_all(anstream::adapter::strip_str(&rendered).to_string().as_bytes())?;
            }
            let is_error = matches!(
                message.message.level,
                cargo_metadata::diagnostic::DiagnosticLevel::Error | cargo_metadata::diagnostic::DiagnosticLevel::Ice
            );
            if is_error && !outcome.diagnostics.contains(&rendered) {
                outcome.diagnostics.push_str(&rendered);
            }
        }
        // Build scripts' results and cargo's closing line tell nothing more; rustc wrappers may print their own text.
        Ok(_) => {}
        Err(_) => {
            for log in logs.iter_mut() {
                writeln!(log, "{line}")?;
            }
        }
    }
    Ok(())
}

/// cargo's standard error without the lines that only show progress.
fn complaints(stderr: &str) -> String {
    const PROGRESS: &[&str] = &[
        "Compiling ",
        "Fresh ",
        "Finished ",
        "Building ",
        "Running ",
        "Downloading ",
        "Downloaded ",
        "Updating ",
        "Blocking ",
        "Locking ",
        "Adding ",
        "Dirty ",
        "Fetching ",
    ];
    let kept: Vec<&str> = stderr
        .lines()
        .filter(|line| {
            let plain = anstream::adapter::strip_str(line).to_string();
            let plain = plain.trim_start();
            !PROGRESS.iter().any(|word| plain.starts_with(word)) && !plain.starts_with("warning: build failed, waiting")
        })
        .collect();
    kept.join("\n").trim().to_owned()
}

/// A command as a person would type it; the environment is left out, as it may hold secrets.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| {
            let word = word.to_string_lossy();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@".contains(c);
            if word.chars().all(plain) { word.into_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_lines_are_not_complaints() {
        let told = "   Compiling a v1.0.0\nerror: failed to run custom build command for `a`\n\nCaused by:\n  boom\nwarning: build failed, waiting for other jobs to finish...\n";
        assert_eq!(complaints(told), "error: failed to run custom build command for `a`\n\nCaused by:\n  boom");
    }

    #[test]
    fn a_shown_command_can_be_typed() {
        let mut command = Command::new("cargo");
        command.args(["build", "--config", "target.x.rustflags=[\"-C it's\"]"]);
        assert_eq!(shown(&command), r#"cargo build --config 'target.x.rustflags=["-C it'\''s"]'"#);
    }
}
