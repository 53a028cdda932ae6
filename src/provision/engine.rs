//! An engine's command line: what it is asked, and what its words mean.

use std::process::{Command, Output};

use crate::machine::engine::EngineFacts;
use crate::machine::interrupt::Interrupt;
use crate::util::error::{Error, Result};

/// How the classic builder begins what a command says on standard error.
const PAINT: &str = "\u{1b}[91m";
/// How it ends that.
const PAINT_ENDS: &str = "\u{1b}[0m";

/// How lines begin that follow the reason: where Docker's client points to its help, and that tar gave up.
const NO_REASONS: [&str; 3] = ["See 'docker ", "Run 'docker ", "tar: Exiting with failure"];

/// Runs a command of an engine's to its end, whatever that is.
pub(super) fn run(engine: &EngineFacts, interrupt: &Interrupt, command: &mut Command) -> Result<Output> {
    interrupt
        .output(command)?
        .map_err(|error| Error::work(format!("could not start `{}`", engine.program)).because(error))
}

/// What an engine says to a question that it must be able to answer.
pub(super) fn says(engine: &EngineFacts, interrupt: &Interrupt, args: &[&str]) -> Result<String> {
    let done = run(engine, interrupt, Command::new(&engine.program).args(args))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let words = args.iter().take(2).copied().collect::<Vec<_>>().join(" ");
    Err(Error::work(format!("`{} {words}` failed: {}", engine.kind.name(), last_line(&output_of(&done)))))
}

/// The caller's user and group.
pub(crate) fn caller() -> Option<(u32, u32)> {
    #[cfg(unix)]
    return Some((rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()));
    #[cfg(not(unix))]
    None
}

/// All that an engine said.
pub(super) fn output_of(done: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

/// What an engine said last, which mostly is why.
pub(super) fn last_line(answer: &str) -> String {
    let why = |line: &&str| !line.is_empty() && !NO_REASONS.iter().any(|words| line.starts_with(words));
    answer.lines().map(str::trim).rfind(why).unwrap_or("the engine gave no reason").to_owned()
}

/// The line of a builder's words that says why it failed: what the failing command said, not that it failed.
pub(super) fn failing_line(answer: &str) -> String {
    let (plain, painted) = streams(last_step(answer));
    let lines = [&plain, &painted].map(|text| {
        let text = anstream::adapter::strip_str(text).to_string();
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect::<Vec<_>>()
    });
    let [_, painted] = &lines;
    let all = || lines.iter().flatten();
    // Commands mostly say it in a line that begins so; what apt says first is the cause of the rest.
    let found = all()
        .find(|line| line.starts_with("E: "))
        .or_else(|| all().rfind(|line| line.starts_with("error: ")))
        .or_else(|| painted.iter().rfind(|line| !line.starts_with("+ ")))
        .or_else(|| all().rfind(|line| !is_builders_own(line)))
        .or_else(|| all().next_back());
    found.map_or_else(|| "the builder gave no reason".to_owned(), String::clone)
}

/// What a builder printed since it named its last step; all where it names none.
fn last_step(answer: &str) -> &str {
    let mut since = 0;
    let mut end = 0;
    for line in answer.split_inclusive('\n') {
        end += line.len();
        let line = anstream::adapter::strip_str(line).to_string();
        if ["Step ", "STEP "].iter().any(|step| line.trim_start().starts_with(step)) {
            since = end;
        }
    }
    &answer[since..]
}

/// The rest, and what the classic builder painted: what commands say on standard error. Both of a command's streams reach
/// it in pieces and in no order, so that each is put together by itself.
fn streams(answer: &str) -> (String, String) {
    let mut pieces = answer.split(PAINT);
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    let mut painted = String::new();
    for piece in pieces {
        let (inside, after) = piece.split_once(PAINT_ENDS).unwrap_or((piece, ""));
        painted += inside;
        plain += after;
    }
    (plain, painted)
}

fn is_builders_own(line: &str) -> bool {
    line.starts_with("The command '")
        || line.contains("returned a non-zero code")
        || line.starts_with("Error: building at STEP")
        || line.starts_with("Error: error building at STEP")
        || line.starts_with("Removing intermediate container")
        || line.starts_with("ERROR: failed to")
        || line.starts_with("DEPRECATED:")
        || line.starts_with("Install the buildx")
        || line.starts_with("BuildKit is currently disabled")
        || line.starts_with("environment-variable.")
        || line.contains("docs.docker.com/go/buildx")
        || line.starts_with("exit status")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_a_reason() {
        let help = "docker: Error response from daemon: Conflict. The name \"/x\" is already in use.\n\n\
            Run 'docker run --help' for more information\n";
        assert!(last_line(help).ends_with("is already in use."));
        assert!(
            last_line(&help.replace("Run 'docker run --help' for more", "See 'docker run --help'."))
                .ends_with("in use.")
        );
        let tar = "tar: 0/x: Cannot write: No space left on device\ntar: Exiting with failure status due to previous errors\n";
        assert_eq!(last_line(tar), "tar: 0/x: Cannot write: No space left on device");
        assert_eq!(last_line("\n"), "the engine gave no reason");
    }

    #[test]
    fn the_line_that_says_why_a_build_failed() {
        let apt = "Step 2/3 : RUN apt-get install no-such\n ---> Running in 1\nReading package lists...\n\
            E: Unable to locate package no-such\nThe command '/bin/sh -c apt-get' returned a non-zero code: 100\n";
        assert_eq!(failing_line(apt), "E: Unable to locate package no-such");
        let line = "Step 2/2 : RUN false\nboom: it broke\nThe command '/bin/sh -c false' returned a non-zero code: 1\n";
        assert_eq!(failing_line(line), "boom: it broke");
        assert_eq!(failing_line("pull access denied for x\n"), "pull access denied for x");
        let painted =
            "\u{1b}[91mcat: /x: No such file or directory\n\u{1b}[0m\nThe command 'x' returned a non-zero code: 1\n";
        assert_eq!(failing_line(painted), "cat: /x: No such file or directory");
        let out_of_order = "Step 1/2 : RUN true\n\u{1b}[91mE: old\n\u{1b}[0mStep 2/2 : RUN echo made-it; cat /x\n\
            \u{1b}[91m+ cat /x\ncat: /x: No such file or directory\n\u{1b}[0mmade-it\n\
            The command 'x' returned a non-zero code: 1\n";
        assert_eq!(failing_line(out_of_order), "cat: /x: No such file or directory");
        let in_pieces = "Step 2/2 : RUN echo made-it; cat /x\n\u{1b}[91mcat: \u{1b}[0mmade-it\n\
            \u{1b}[91m/x\u{1b}[0m\u{1b}[91m: No such file or directory\n\u{1b}[0m\
            The command 'x' returned a non-zero code: 1\n";
        assert_eq!(failing_line(in_pieces), "cat: /x: No such file or directory");
        assert_eq!(failing_line(""), "the builder gave no reason");
    }
}
