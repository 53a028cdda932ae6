//! Reading a file for inspection: the only effect of this room.

use camino::Utf8Path;

use super::{Inspection, Unreadable, inspect};
use crate::error::{Error, Result};

/// Reads and inspects a file. What cannot be inspected is an error that names the file and the reason.
pub fn inspect_file(path: &Utf8Path) -> Result<Inspection> {
    let cannot = |reason: String| Error::work(format!("cannot inspect `{path}`: {reason}"));
    // Asked first: what reading a folder gives differs between systems.
    if path.is_dir() {
        return Err(cannot("a folder, not a file".to_owned()).hint("name the binaries in it"));
    }
    let bytes = std::fs::read(path).map_err(|error| cannot(error.to_string()))?;
    inspect(&bytes).map_err(|unreadable| match unreadable {
        Unreadable::Archive | Unreadable::Object | Unreadable::Script(_) | Unreadable::Foreign(_) => {
            cannot(unreadable.to_string()).hint("name a program that a linker made")
        }
        _ => cannot(unreadable.to_string()),
    })
}
