//! Making sure that what was written is on the disk, where a machine that loses power must not be left with half of it.

use std::io;

use camino::Utf8Path;

/// Waits until a file's contents are on the disk.
///
/// # Errors
/// There is no such file, or the disk refuses.
pub(crate) fn sync_file(path: &Utf8Path) -> io::Result<()> {
    fs_err::File::open(path)?.file().sync_all()
}

/// Waits until the names in a directory are on the disk. Some file systems cannot, and then nothing more can be done.
pub(crate) fn sync_directory(dir: &Utf8Path) {
    if cfg!(unix) {
        let _ = sync_file(dir);
    }
}

/// Waits until everything that was written to a directory's file system is on the disk: for trees of thousands of files, where
/// a call for each would take minutes.
///
/// # Errors
/// The directory cannot be opened, or the disk refuses.
pub(crate) fn sync_file_system(dir: &Utf8Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let dir = fs_err::File::open(dir)?;
        rustix::fs::syncfs(dir.file())?;
    }
    // macOS and Windows have no such call for one file system.
    #[cfg(all(unix, not(target_os = "linux")))]
    rustix::fs::sync();
    let _ = dir;
    Ok(())
}
