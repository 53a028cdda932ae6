//! Files, for every room: replaced atomically, identified by digest, and opened without trust.

mod beneath;
mod budget;
mod checked;
mod durable;
mod tree;
mod unpacking;

use camino::Utf8Path;
use sha2::{Digest, Sha256};

use crate::util::error::Result;
pub(crate) use beneath::{LARGE, PlainFile, SMALL, UntrustedDir, copy};
pub(crate) use budget::{Budget, Exhausted, MOST_ENTRIES, MOST_VERSIONS, brief};
pub(crate) use checked::Checked;
pub(crate) use durable::{sync_directory, sync_file_system};
pub(crate) use tree::{Entry, differences, entries};
pub(crate) use unpacking::{IN_MEMORY, LONGEST_NAME, UnpackBudget};

/// Replaces a file's contents: written beside and then renamed, so that a reader never sees half of it.
///
/// # Errors
/// The directory cannot be written to, or the disk is full; the old file stays as it was.
pub(crate) fn replace(path: &Utf8Path, contents: impl AsRef<[u8]>) -> Result<()> {
    write_and_rename(path, contents.as_ref(), false)
}

/// The same for a file that cannot be made anew: it is on the disk, too, before it replaces the old one, so that a machine
/// that loses power has one of both, whole.
///
/// # Errors
/// As [`replace`].
pub(crate) fn replace_durably(path: &Utf8Path, contents: impl AsRef<[u8]>) -> Result<()> {
    write_and_rename(path, contents.as_ref(), true)
}

fn write_and_rename(path: &Utf8Path, contents: &[u8], durably: bool) -> Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    let mut beside = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // As any new file, by the user's umask: a temporary file would be closed to everybody else.
        beside.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = beside.tempfile_in(dir)?;
    fs_err::write(file.path(), contents)?;
    if durably {
        file.as_file().sync_all()?;
    }
    file.persist(path).map_err(|error| error.error)?;
    if durably {
        sync_directory(dir);
    }
    Ok(())
}

/// Makes a finished temporary directory the directory `dest`; one that another run has put there in the meantime stays.
///
/// # Errors
/// The directory above cannot be written to.
pub(crate) fn publish(finished: tempfile::TempDir, dest: &Utf8Path) -> Result<()> {
    match fs_err::rename(finished.path(), dest) {
        Ok(()) => {
            // Nothing is left to remove.
            let _ = finished.keep();
            Ok(())
        }
        Err(_) if dest.is_dir() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a file to be locked, which is made where there is none. Its contents stay as they are, and a link in its place is
/// not followed but replaced.
///
/// # Errors
/// It cannot be made or opened.
pub(crate) fn lock_file(path: &Utf8Path) -> Result<fs_err::File> {
    remove_link(path)?;
    let mut options = fs_err::OpenOptions::new();
    options.create(true).write(true).truncate(false);
    #[cfg(unix)]
    {
        use fs_err::os::unix::fs::OpenOptionsExt as _;
        use rustix::fs::OFlags;
        // Nor is a pipe waited for.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
    }
    Ok(options.open(path)?)
}

/// Makes a file anew. What was at its place is removed, not written to: it may have been a link.
///
/// # Errors
/// What is there cannot be removed, or the file cannot be made.
pub(crate) fn new_file(path: &Utf8Path) -> Result<fs_err::File> {
    remove_if_there(path)?;
    Ok(fs_err::OpenOptions::new().write(true).create_new(true).open(path)?)
}

/// Removes a file, or the link at its place. There need be none.
///
/// # Errors
/// What is there cannot be removed.
pub(crate) fn remove_if_there(path: &Utf8Path) -> std::io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove_link(path: &Utf8Path) -> Result<()> {
    if path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
        fs_err::remove_file(path)?;
    }
    Ok(())
}

/// Removes what runs that were killed left in a directory: whatever has a name that begins so. Only for whoever holds the
/// directory's lock.
///
/// # Errors
/// The directory cannot be read, or something in it cannot be removed.
pub(crate) fn remove_begun(dir: &Utf8Path, prefix: &str) -> std::io::Result<()> {
    for entry in dir.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_name().starts_with(prefix) {
            remove(entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file, a link, or a directory with all that is in it.
///
/// # Errors
/// There is none, or it cannot be removed.
pub(crate) fn remove(path: &Utf8Path) -> std::io::Result<()> {
    if path.symlink_metadata()?.is_dir() { fs_err::remove_dir_all(path) } else { fs_err::remove_file(path) }
}

/// The SHA-256 of some bytes, in hexadecimal.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes.as_ref()))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_has_the_new_contents_and_nothing_stays_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("file");
        replace(&path, "old and longer").unwrap();
        replace(&path, "new").unwrap();
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn a_link_in_the_place_of_a_file_loses_nothing_that_it_leads_to() {
        let held = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(held.path()).unwrap();
        let [precious, lock, log] = ["precious", ".lock", "log"].map(|name| dir.join(name));
        fs_err::write(&precious, "data").unwrap();
        for link in [&lock, &log] {
            std::os::unix::fs::symlink(&precious, link).unwrap();
        }
        drop((lock_file(&lock).unwrap(), new_file(&log).unwrap()));
        assert_eq!(fs_err::read_to_string(&precious).unwrap(), "data");
        assert!([&lock, &log].iter().all(|path| path.symlink_metadata().unwrap().is_file()));
        fs_err::write(&lock, "kept").unwrap();
        drop((lock_file(&lock).unwrap(), new_file(&log).unwrap()));
        assert_eq!(fs_err::read_to_string(&lock).unwrap(), "kept");
    }

    #[test]
    fn what_is_kept_for_good_is_on_the_disk_before_it_replaces_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("file");
        replace_durably(&path, "old").unwrap();
        replace_durably(&path, "new").unwrap();
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "new");
        durable::sync_file(&path).unwrap();
        sync_file_system(path.parent().unwrap()).unwrap();
        assert!(durable::sync_file(&path.with_file_name("none")).is_err());
    }

    #[test]
    fn only_what_was_begun_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        fs_err::create_dir_all(path.join(".bringing-a/deep")).unwrap();
        fs_err::write(path.join(".bringing-b"), "").unwrap();
        fs_err::write(path.join("bringing-c"), "").unwrap();
        remove_begun(path, ".bringing-").unwrap();
        let left: Vec<_> = path.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
        assert_eq!(left, ["bringing-c"]);
    }

    #[test]
    fn digests_are_those_of_sha256sum() {
        assert_eq!(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
