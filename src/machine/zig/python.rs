//! Python, started so that nothing in the directory that convoy was started in becomes its code.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

use crate::machine::on_path;

/// The first Python on PATH.
pub(crate) fn find() -> Option<Utf8PathBuf> {
    ["python3", "python"].into_iter().find_map(on_path)
}

/// A command that starts it. Python puts the current directory first on `sys.path` for `-c` and `-m`, and takes relative
/// entries of PYTHONPATH from there: a directory `pip` or `ziglang` of a project would be run. Its `-I` would turn off the
/// user's own packages (`pip install --user`), too.
pub(crate) fn command(python: &Utf8Path) -> Command {
    let mut command = Command::new(python);
    // Python before 3.11 does not know the variable; there the directory alone does it.
    command.current_dir(safe_dir(python)).env("PYTHONSAFEPATH", "1").stdin(Stdio::null());
    if let Some(path) = std::env::var_os("PYTHONPATH") {
        match absolute_entries(&path) {
            Some(path) => command.env("PYTHONPATH", path),
            None => command.env_remove("PYTHONPATH"),
        };
    }
    command
}

/// A directory that only those can write to who could replace Python itself.
fn safe_dir(python: &Utf8Path) -> &Utf8Path {
    if cfg!(unix) { Utf8Path::new("/") } else { python.parent().unwrap_or(python) }
}

/// The entries of PYTHONPATH that mean the same in every directory; none where there are no such entries.
fn absolute_entries(path: &OsStr) -> Option<OsString> {
    let entries: Vec<_> =
        std::env::split_paths(path).filter(|entry: &std::path::PathBuf| entry.is_absolute()).collect();
    // They come from such a list, so that they make one.
    std::env::join_paths(entries.iter().map(|entry: &std::path::PathBuf| -> &Path { entry }))
        .ok()
        .filter(|path| !path.is_empty())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn relative_entries_of_pythonpath_are_left_out() {
        let left = |path: &str| absolute_entries(OsStr::new(path));
        assert_eq!(left("/a:.:lib::/b/c:../x"), Some(OsString::from("/a:/b/c")));
        assert_eq!(left("."), None);
        assert_eq!(left(""), None);
    }
}
