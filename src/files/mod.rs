//! Files, where more than one room needs the same care: replaced whole, told apart by digest, and opened without trust.

mod beneath;
mod budget;

use camino::Utf8Path;
use sha2::{Digest, Sha256};

use crate::error::Result;
pub use beneath::{Copied, LARGE, PlainFile, SMALL, UntrustedDir};
pub use budget::{Budget, Exhausted, MOST_ENTRIES, MOST_VERSIONS, brief};

/// Replaces a file's contents: written beside and then renamed, so that a reader never sees half of it.
pub fn replace(path: &Utf8Path, contents: impl AsRef<[u8]>) -> Result<()> {
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
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
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
    fn digests_are_those_of_sha256sum() {
        assert_eq!(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
