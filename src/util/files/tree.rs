//! What is in a directory, file by file, for comparison with what should be there.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{LARGE, UntrustedDir};

/// More threads than this only wait for the disk.
const THREADS: usize = 8;

/// Something in a directory that is not a directory.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum Entry {
    /// A regular file.
    File {
        /// In bytes.
        size: u64,
        /// Of its contents, in hexadecimal.
        sha256: String,
    },
    /// A symbolic link.
    Link {
        /// What it says.
        link: String,
    },
}

/// All files and links below a directory, by their paths from there, with `/`. Every file is read.
///
/// # Errors
/// A file or directory cannot be read, or is a pipe or a device; a name is not UTF-8.
pub(crate) fn entries(dir: &Utf8Path) -> io::Result<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::new();
    let mut paths = Vec::new();
    let mut dirs = vec![Utf8PathBuf::new()];
    while let Some(below) = dirs.pop() {
        for entry in dir.join(&below).read_dir_utf8()? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                dirs.push(path);
            } else if kind.is_symlink() {
                entries.insert(plain(&path), Entry::Link { link: entry.path().read_link_utf8()?.into_string() });
            } else {
                paths.push(path);
            }
        }
    }
    entries.extend(digests(dir, &paths)?);
    Ok(entries)
}

fn plain(path: &Utf8Path) -> String {
    if cfg!(windows) { path.as_str().replace('\\', "/") } else { path.as_str().to_owned() }
}

fn digests(dir: &Utf8Path, paths: &[Utf8PathBuf]) -> io::Result<Vec<(String, Entry)>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(paths.len())));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let work = || {
        let dir = UntrustedDir::open(dir)?;
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let copied = dir.file(path, LARGE)?.copy_to(io::sink())?;
            let entry = (plain(path), Entry::File { size: copied.size, sha256: copied.sha256 });
            done.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        }
        Ok(())
    };
    let died = |_| Err(io::Error::other("internal error: a reader thread panicked"));
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let first: io::Result<()> = work();
        others.into_iter().map(|other| other.join().unwrap_or_else(died)).fold(first, io::Result::and)
    })?;
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// How what was found differs from what ought to be there, in words, sorted by path; nothing where it does not.
pub(crate) fn differences(wanted: &BTreeMap<String, Entry>, found: &BTreeMap<String, Entry>) -> Vec<String> {
    let mut faults: Vec<(&String, String)> = Vec::new();
    for (path, wanted) in wanted {
        let fault = match (wanted, found.get(path)) {
            (_, None) => "is missing".to_owned(),
            (wanted, Some(found)) if wanted == found => continue,
            (Entry::File { size, .. }, Some(Entry::File { size: found, .. })) if size != found => {
                format!("has {found} bytes instead of {size}")
            }
            (Entry::File { .. }, Some(Entry::File { .. })) => "has different contents".to_owned(),
            (Entry::Link { .. }, Some(Entry::Link { link })) => format!("is a link to `{link}`"),
            (Entry::File { .. }, Some(Entry::Link { .. })) => "is a link instead of a file".to_owned(),
            (Entry::Link { .. }, Some(Entry::File { .. })) => "is a file instead of a link".to_owned(),
        };
        faults.push((path, format!("`{path}` {fault}")));
    }
    let unknown = found.keys().filter(|path| !wanted.contains_key(*path));
    faults.extend(unknown.map(|path| (path, format!("`{path}` is not part of it"))));
    faults.sort();
    faults.into_iter().map(|(_, fault)| fault).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn whatever_changes_in_a_directory_is_told() {
        let held = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(held.path()).unwrap();
        fs_err::create_dir_all(dir.join("a/b")).unwrap();
        for (path, text) in [("a/b/same", "1"), ("a/other", "1"), ("gone", "1"), ("longer", "1"), ("link-now", "1")] {
            fs_err::write(dir.join(path), text).unwrap();
        }
        fs_err::os::unix::fs::symlink("same", dir.join("a/b/link")).unwrap();
        fs_err::os::unix::fs::symlink("/none", dir.join("file-now")).unwrap();
        let wanted = entries(dir).unwrap();
        assert_eq!(wanted.len(), 7);
        assert_eq!(differences(&wanted, &entries(dir).unwrap()), Vec::<String>::new());
        let kept: BTreeMap<String, Entry> = serde_json::from_str(&serde_json::to_string(&wanted).unwrap()).unwrap();
        assert_eq!(kept, wanted);

        fs_err::write(dir.join("a/other"), "2").unwrap();
        fs_err::write(dir.join("longer"), "12").unwrap();
        for path in ["gone", "link-now", "file-now", "a/b/link"] {
            fs_err::remove_file(dir.join(path)).unwrap();
        }
        fs_err::write(dir.join("file-now"), "").unwrap();
        fs_err::write(dir.join("new"), "").unwrap();
        fs_err::os::unix::fs::symlink("a", dir.join("link-now")).unwrap();
        fs_err::os::unix::fs::symlink("/etc/passwd", dir.join("a/b/link")).unwrap();
        assert_eq!(
            differences(&wanted, &entries(dir).unwrap()),
            [
                "`a/b/link` is a link to `/etc/passwd`",
                "`a/other` has different contents",
                "`file-now` is a file instead of a link",
                "`gone` is missing",
                "`link-now` is a link instead of a file",
                "`longer` has 2 bytes instead of 1",
                "`new` is not part of it",
            ]
        );
    }
}
