//! Asking tools, with a limit on the time that they may take to answer.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use wait_timeout::ChildExt;

use crate::util::error::{Error, Result};

/// Far more than a compiler needs for a line, even on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(30);

/// What a tool prints when it ends well within the time limit.
pub(super) fn output(command: &mut Command) -> Result<String> {
    output_within(command, LIMIT)
}

fn output_within(command: &mut Command, limit: Duration) -> Result<String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| {
        let hint = format!("check that `{shown}` is installed and on PATH");
        Error::work(format!("could not start `{shown}`")).because(error).hint(hint)
    })?;
    // Both pipes are emptied at once: a full one would stop the tool. The readers are not waited for when the tool was
    // ended, as a child of its own may keep the pipes open.
    let (send, receive) = std::sync::mpsc::channel();
    let pipes: [Option<Box<dyn Read + Send>>; 2] =
        [child.stdout.take().map(|pipe| Box::new(pipe) as _), child.stderr.take().map(|pipe| Box::new(pipe) as _)];
    for (index, pipe) in pipes.into_iter().enumerate() {
        let send = send.clone();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                // What came before a broken pipe still counts.
                let _ = pipe.read_to_end(&mut bytes);
            }
            let _ = send.send((index, bytes));
        });
    }
    let Some(status) = child.wait_timeout(limit)? else {
        // It may have ended in this very moment.
        let _ = child.kill();
        let _ = child.wait();
        return Err(Error::work(format!("`{shown}` did not respond within {} seconds", limit.as_secs())));
    };
    let mut answer = [Vec::new(), Vec::new()];
    for _ in 0..2 {
        let Ok((index, bytes)) = receive.recv_timeout(limit) else { break };
        answer[index] = bytes;
    }
    let [stdout, stderr] = answer.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if !status.success() {
        return Err(Error::work(format!("`{shown}` failed ({status}): {}", stderr.trim())));
    }
    Ok(stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_hangs_is_ended() {
        let started = std::time::Instant::now();
        let mut command = Command::new("sleep");
        let error = output_within(command.arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("did not respond"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn much_output_on_both_pipes_stops_nothing() {
        let mut command = Command::new("sh");
        let text = output(command.args(["-c", "seq 100000; seq 100000 >&2"])).unwrap();
        assert!(text.ends_with("100000\n"));
    }
}
