//! `cargo convoy cache clean --force`.

use std::fs::{File, TryLockError};

use camino::Utf8Path;

use super::{LOCK, in_room, rooms, size};
use crate::command::say;
use crate::machine::CacheDir;
use crate::report::table::size_text;
use crate::util::error::{Exit, Result};
use crate::util::files;
use crate::util::plural::counted;

/// The rooms of remembered answers: a missing one is computed again, even in the middle of a run.
const ANSWERS: [&str; 3] = ["evidence", "plans", "probes"];

/// The room of marks of runs, by which containers are found that a killed run left behind.
const RUNS: &str = "runs";

/// Removes what is in the rooms that convoy knows, but for what a running convoy uses.
pub(super) fn clean(cache: &CacheDir) -> Result<Exit> {
    let mut exit = Exit::Success;
    let (mut count, mut bytes) = (0_usize, 0_u64);
    let free = !cache.root().is_dir() || cache.is_free();
    for (name, room) in rooms(cache.root()) {
        let entries = in_room(&room)?;
        if entries.is_empty() {
            continue;
        }
        if name == RUNS && entries.iter().any(|entry| is_mark(entry)) {
            let message = if free { "are removed by the next build" } else { "belong to a running `cargo convoy`" };
            say(&format!("kept {name}: it records containers, which {message}\n"));
            continue;
        }
        let lock = Lock::of(&room);
        if !free && !ANSWERS.contains(&name) || lock.is_held() {
            say(&format!("kept {name}: in use by a running `cargo convoy`\n"));
            exit = Exit::Work;
            continue;
        }
        for entry in entries {
            // The directories of apt have locks of their own.
            let lock = Lock::of(&entry);
            if lock.is_held() {
                say(&format!(
                    "kept {name}/{}: in use by a running `cargo convoy`\n",
                    entry.file_name().unwrap_or_default()
                ));
                exit = Exit::Work;
                continue;
            }
            let size = size(&entry);
            files::remove(&entry)?;
            (count, bytes) = (count + 1, bytes + size);
        }
    }
    say(&format!("removed {} ({})\n", counted(count, "entry", "entries"), size_text(bytes)));
    Ok(exit)
}

fn is_mark(entry: &Utf8Path) -> bool {
    entry.file_name().is_some_and(|name| !name.starts_with('.'))
}

/// The lock of a room, or of a directory in it.
enum Lock {
    /// There is none, or the file system has none.
    None,
    /// Ours, until this is dropped.
    Taken { _file: File },
    /// Another process's.
    Held,
}

impl Lock {
    fn of(dir: &Utf8Path) -> Self {
        let Ok(file) = File::options().write(true).open(dir.join(LOCK)) else { return Self::None };
        match file.try_lock() {
            Ok(()) => Self::Taken { _file: file },
            Err(TryLockError::WouldBlock) => Self::Held,
            Err(TryLockError::Error(_)) => Self::None,
        }
    }

    fn is_held(&self) -> bool {
        matches!(self, Self::Held)
    }
}
