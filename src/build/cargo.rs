//! One cargo process: its command line, its JSON messages, its end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Message;

use crate::machine::interrupt::Interrupt;
use crate::plan::diagnose::cargo::complaints;
use crate::report::escape;
use crate::report::table::size_text;
use crate::util::error::{Error, Result};
use crate::util::files;
use crate::util::pipe;
use crate::util::shell;

/// cargo's words and variables for a lane, wherever it is started.
#[derive(Clone, Debug, Default)]
pub(super) struct Invocation {
    /// cargo's arguments.
    pub args: Vec<String>,
    /// Variables to set.
    pub set: BTreeMap<String, String>,
}

/// A process to start.
#[derive(Debug)]
pub(super) struct Start {
    /// Its command line and environment.
    pub command: Command,
    /// What it gets on standard input.
    pub input: Option<String>,
}

/// Bytes of diagnostics, and of executables' names, that are kept of one cargo: no project has as many.
const KEPT: usize = 16 << 20;

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
    /// The digests of what is in `diagnostics`.
    pub(super) seen: BTreeSet<String>,
    /// The bytes of what is in `executables`.
    pub(super) named: usize,
    /// What cargo itself wrote, without its progress lines.
    pub complaints: String,
    /// Why it did not come to its end, where it ran in a container.
    pub fault: Option<Fault>,
    /// CPU time of cargo and of all that it started and waited for; none where the system does not tell.
    pub cpu: Option<Duration>,
}

impl Outcome {
    /// Adds an error's text, each once: several targets of a lane have the same.
    fn add_diagnostic(&mut self, rendered: &str) {
        if self.diagnostics.len() + rendered.len() <= KEPT && self.seen.insert(files::sha256(rendered)) {
            self.diagnostics.push_str(rendered);
        }
    }

    fn add_executable(&mut self, executable: (String, String, Utf8PathBuf)) {
        let size = executable.0.len() + executable.1.len() + executable.2.as_str().len();
        if self.named + size <= KEPT {
            self.named += size;
            self.executables.push(executable);
        }
    }
}

/// The end of standard error, and a word where that is not all.
fn with_note(tail: pipe::Tail) -> String {
    match tail.left_out {
        0 => tail.text,
        bytes => format!("(the first {} are omitted)\n{}", size_text(bytes), tail.text),
    }
}

/// A container that ended before cargo did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Whether it had begun.
    pub started: bool,
    /// What the engine said of it.
    pub engine: Option<String>,
    /// The limit of its memory.
    pub memory: Option<String>,
    /// The engine's program: `docker` or `podman`.
    pub program: &'static str,
}

impl Fault {
    /// One sentence, and what to do about it.
    pub(crate) fn message_and_hint(&self) -> (String, String) {
        let words = self.engine.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
        if !self.started {
            return (
                format!("could not start the container{words}"),
                format!("check that the container engine is running (`{} info`)", self.program),
            );
        }
        let message = format!("the container exited before cargo did{words}");
        let hint = match (&self.engine, &self.memory) {
            (None, Some(memory)) => {
                format!(
                    "check whether `container.memory` ({memory}) is sufficient, and whether the container or its \
                     engine was stopped"
                )
            }
            (None, None) => {
                "check whether the container or its engine was stopped, or the machine ran out of memory".to_owned()
            }
            (Some(_), _) => "the container engine was stopped or restarted; build again once it is running".to_owned(),
        };
        (message, hint)
    }
}

/// Something worth knowing while cargo runs.
pub(super) enum Progress<'a> {
    /// A unit is done; the file it made.
    Unit { crate_name: &'a str, file: &'a Utf8Path },
}

/// Runs cargo to its end. Everything it says also goes to the logs. `moved`: where it sees a folder, and where that is.
pub(super) fn run(
    start: Start,
    interrupt: &Interrupt,
    logs: &mut [fs_err::File],
    mut progress: impl FnMut(Progress<'_>),
    verbose: bool,
    moved: Option<(&Utf8Path, &Utf8Path)>,
    mut echo: impl FnMut(&str),
) -> Result<Outcome> {
    let Start { mut command, input } = start;
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    interrupt.set_process_group(&mut command);
    for log in logs.iter_mut() {
        writeln!(log, "$ {}", shown(&command))?;
    }
    let mut child = command.spawn().map_err(|error| {
        Error::work("could not start `cargo`")
            .because(error)
            .hint("check that Rust is installed and `cargo` is on PATH")
    })?;
    let watched = interrupt.watch(child.id());
    let (outcome, stderr) = read(&mut child, input, logs, moved, &mut progress)?;
    let cpu = cpu(&child);
    let status = child.wait()?;
    drop(watched);
    for log in logs.iter_mut() {
        log.write_all(escape::log(&stderr).as_bytes())?;
    }
    if verbose {
        echo(stderr.trim_end());
    }
    let mut complaints = complaints(&stderr);
    if complaints.is_empty() && !status.success() {
        complaints = format!("error: cargo failed without an error message ({status})");
    }
    Ok(Outcome { success: status.success(), complaints, cpu, ..outcome })
}

/// Waits for a process's end, and asks for its CPU time while the system still knows: what a later wait gives has no times,
/// and the times of all children together are not those of one.
#[cfg(target_os = "linux")]
fn cpu(child: &Child) -> Option<Duration> {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let pid = Pid::from_child(child);
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), ended)).ok()?;
    let stat = fs_err::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
    let ticks = ticks(&stat)?;
    Some(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

#[cfg(not(target_os = "linux"))]
fn cpu(_: &Child) -> Option<Duration> {
    None
}

/// From `/proc/<pid>/stat`: user and system time of a process, and of the children that it waited for.
#[cfg(target_os = "linux")]
fn ticks(stat: &str) -> Option<u64> {
    // The name in parentheses may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let times = rest.split(' ').skip(11).take(4).map(|field| field.parse::<u64>().ok());
    times.collect::<Option<Vec<_>>>().filter(|times| times.len() == 4).map(|times| times.iter().sum())
}

fn read(
    child: &mut Child,
    input: Option<String>,
    logs: &mut [fs_err::File],
    moved: Option<(&Utf8Path, &Utf8Path)>,
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<(Outcome, String)> {
    let (stdin, stderr, stdout) = (child.stdin.take(), child.stderr.take(), child.stdout.take());
    std::thread::scope(|scope| {
        // Both pipes are emptied at once: a full one would stop cargo.
        let stderr = scope.spawn(move || match stderr {
            Some(pipe) => with_note(pipe::read_tail(pipe, pipe::TAIL)),
            None => String::new(),
        });
        scope.spawn(move || {
            if let (Some(mut pipe), Some(input)) = (stdin, input) {
                // One that ends before it read all of it says why.
                let _ = pipe.write_all(input.as_bytes());
            }
        });
        let mut outcome = Outcome::default();
        let mut stdout = stdout.map(BufReader::new);
        let mut bytes = Vec::new();
        while let Some(pipe) = &mut stdout
            // What came before a broken pipe still counts.
            && let Ok(Some(left_out)) = pipe::read_line(pipe, &mut bytes, pipe::LINE)
        {
            if left_out > 0 {
                for log in logs.iter_mut() {
                    writeln!(log, "(a line of {} is omitted)", size_text(left_out))?;
                }
                continue;
            }
            // A wrapper of rustc may print anything.
            take(String::from_utf8_lossy(&bytes).trim_end(), &mut outcome, logs, moved, progress)?;
        }
        Ok((outcome, stderr.join().unwrap_or_default()))
    })
}

fn take(
    line: &str,
    outcome: &mut Outcome,
    logs: &mut [fs_err::File],
    moved: Option<(&Utf8Path, &Utf8Path)>,
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<()> {
    // Where cargo saw the lane's folder at another place.
    let on_host =
        |file: &Utf8Path| match moved.and_then(|(seen, on_host)| Some(on_host.join(file.strip_prefix(seen).ok()?))) {
            Some(file) => file,
            None => file.to_owned(),
        };
    match serde_json::from_str(line) {
        Ok(Message::CompilerArtifact(artifact)) => {
            outcome.any_artifact = true;
            if let Some(file) = artifact.filenames.first() {
                progress(Progress::Unit { crate_name: &artifact.target.name, file: &on_host(file) });
            }
            let is_bin = artifact.target.is_bin();
            if let Some(file) = artifact.executable.filter(|_| is_bin) {
                outcome.add_executable((artifact.package_id.repr, artifact.target.name, on_host(&file)));
            }
        }
        Ok(Message::CompilerMessage(message)) => {
            let Some(rendered) = message.message.rendered else { return Ok(()) };
            for log in logs.iter_mut() {
                log.write_all(escape::log(&rendered).as_bytes())?;
            }
            let is_error = matches!(
                message.message.level,
                cargo_metadata::diagnostic::DiagnosticLevel::Error | cargo_metadata::diagnostic::DiagnosticLevel::Ice
            );
            if is_error {
                outcome.add_diagnostic(&rendered);
            }
        }
        // Build scripts' results and cargo's closing line tell nothing more; rustc wrappers may print their own text.
        Ok(_) => {}
        Err(_) => {
            for log in logs.iter_mut() {
                writeln!(log, "{}", escape::log(line))?;
            }
        }
    }
    Ok(())
}

/// A command as a person would type it; the environment is left out, as it may hold secrets.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| shell::shown(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn endless_lines_are_left_out_and_all_others_are_read() {
        let held = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(held.path()).unwrap().join("log");
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "cat; head -c 20000000 /dev/zero; echo; echo after; head -c 9000000 /dev/zero >&2; echo >&2; echo end >&2",
        ]);
        let start = Start { command, input: Some("before\n".to_owned()) };
        let mut logs = [fs_err::File::create(&path).unwrap()];
        let done = run(start, &Interrupt::default(), &mut logs, |_| {}, false, None, |_| {}).unwrap();
        let log = fs_err::read_to_string(&path).unwrap();
        assert!(log.contains("before\n(a line of ") && log.contains("is omitted)\nafter\n"), "{}", log.len());
        assert!(done.complaints.len() < 5 << 20 && done.complaints.ends_with("end"), "{}", done.complaints.len());
        assert!(done.complaints.starts_with("(the first "));
    }

    #[test]
    fn what_is_kept_of_one_cargo_has_an_end() {
        let mut outcome = Outcome::default();
        for text in ["error: a\n", "error: b\n", "error: a\n"] {
            outcome.add_diagnostic(text);
        }
        assert_eq!(outcome.diagnostics, "error: a\nerror: b\n");
        let long = "x".repeat(KEPT / 4);
        for number in 0..10 {
            outcome.add_diagnostic(&format!("{long}{number}"));
            outcome.add_executable((long.clone(), number.to_string(), Utf8PathBuf::new()));
        }
        assert!(outcome.diagnostics.len() <= KEPT && outcome.executables.len() == 3, "{}", outcome.executables.len());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_times_of_a_process_and_its_children_are_found() {
        let stat = "42 (a) b) Z 1 42 42 0 -1 4227084 1 2 3 4 10 20 300 4000 20 0 1 0 99 0 0 18446744073709551615";
        assert_eq!(ticks(stat), Some(4330));
        assert_eq!(ticks("42 (a) Z 1 2"), None);
        let mut child = Command::new("sh").args(["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"]).spawn();
        let child = child.as_mut().unwrap();
        let used = cpu(child).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(used > Duration::ZERO && used < Duration::from_secs(60), "{used:?}");
    }

    #[test]
    fn a_shown_command_can_be_typed() {
        let mut command = Command::new("cargo");
        command.args(["build", "--config", "target.x.rustflags=[\"-C it's\"]"]);
        assert_eq!(shown(&command), r#"cargo build --config 'target.x.rustflags=["-C it'\''s"]'"#);
    }
}
