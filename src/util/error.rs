//! The one error type: what happened, why, and what to do next.

use std::error::Error as StdError;
use std::fmt;

/// Exit codes of `cargo convoy`. With several causes the most serious wins, in the order of [`Exit::worst`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was built and verified.
    #[default]
    Success = 0,
    /// A target failed to build.
    BuildFailed = 1,
    /// Bad usage or configuration.
    Usage = 2,
    /// A target is blocked on this machine; nothing was attempted for it.
    Blocked = 3,
    /// A binary failed verification.
    Rejected = 4,
    /// convoy could not do its own work: disk, network, provisioning, engine, unreadable file.
    Work = 5,
    /// SIGHUP.
    Hangup = 129,
    /// SIGINT.
    Interrupt = 130,
    /// SIGTERM.
    Terminate = 143,
}

impl Exit {
    /// The number given to the operating system.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The more serious of two: a signal, then usage, then 4, 1, 5, 3.
    pub fn worst(self, other: Exit) -> Exit {
        let rank = |exit: Exit| match exit {
            Exit::Interrupt | Exit::Terminate | Exit::Hangup => 6,
            Exit::Usage => 5,
            Exit::Rejected => 4,
            Exit::BuildFailed => 3,
            Exit::Work => 2,
            Exit::Blocked => 1,
            Exit::Success => 0,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

/// An error that ends a command. The message is a lowercase fragment that reads well after "error: ".
#[derive(Debug)]
pub struct Error {
    exit: Exit,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Result of everything that can end a command.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Bad usage or configuration (exit code 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), hint: None, source: None }
    }

    /// convoy could not do its own work (exit code 5).
    pub fn work(message: impl Into<String>) -> Self {
        Self { exit: Exit::Work, message: message.into(), hint: None, source: None }
    }

    /// Ended by a signal.
    pub fn interrupted(exit: Exit) -> Self {
        Self { exit, message: "interrupted".to_owned(), hint: None, source: None }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the underlying cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The exit code that this error ends the process with.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What to do next.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let full = error.kind() == std::io::ErrorKind::StorageFull;
        let work = Error::work(error.to_string());
        if full {
            work.hint("free some disk space, or set `--target-dir` and `--dist-dir` to directories on another disk")
        } else {
            work
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_serious_exit_wins() {
        use Exit::*;
        for (worse, better) in [(Rejected, BuildFailed), (BuildFailed, Work), (Work, Blocked), (Blocked, Success)] {
            assert_eq!(worse.worst(better), worse);
            assert_eq!(better.worst(worse), worse);
        }
    }
}
