//! Reading files that somebody else may have put there: build scripts, containers, caches, projects, archives. One function
//! opens a file beneath a directory, and hands on one handle that is read, hashed, judged and copied; so what was judged
//! is what is published, whatever happens to the name meanwhile.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256};

use crate::util::stamp::Stamp;

/// Text files that people and tools write: configuration, lock files, records, logs' ends.
pub(crate) const SMALL: u64 = 16 << 20;

/// Programs and other build products.
pub(crate) const LARGE: u64 = 4 << 30;

/// A directory whose contents are not trusted. Its own path is: links on the way to it are followed.
#[derive(Debug)]
pub struct UntrustedDir {
    path: Utf8PathBuf,
    #[cfg(unix)]
    handle: std::os::fd::OwnedFd,
}

/// An open regular file of at most a given size. All that is done with it goes by the handle, never again by the name.
#[derive(Debug)]
pub struct PlainFile {
    path: Utf8PathBuf,
    file: File,
    size: u64,
    limit: u64,
    stamp: Stamp,
}

/// What [`PlainFile::copy_to`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// In bytes.
    pub size: u64,
    /// The SHA-256 of the bytes that were written, in hexadecimal.
    pub sha256: String,
}

impl UntrustedDir {
    /// Opens the directory.
    ///
    /// # Errors
    /// It is missing, not a directory, or cannot be read.
    pub fn open(path: &Utf8Path) -> io::Result<Self> {
        #[cfg(unix)]
        {
            use rustix::fs::{Mode, OFlags};
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
            let handle =
                rustix::fs::open(path.as_std_path(), flags, Mode::empty()).map_err(|errno| named(path, errno))?;
            Ok(Self { path: path.to_owned(), handle })
        }
        #[cfg(not(unix))]
        {
            let path = path.canonicalize_utf8()?;
            if path.is_dir() { Ok(Self { path }) } else { Err(io::Error::from(io::ErrorKind::NotADirectory)) }
        }
    }

    /// The path by which it was opened.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Opens a regular file of at most `limit` bytes by its path relative to the directory; no part of the path may be a
    /// link or `..`.
    ///
    /// # Errors
    /// There is none ([`io::ErrorKind::NotFound`]), or it is a link, a pipe, a device, too large, or outside.
    pub fn file(&self, relative: &Utf8Path, limit: u64) -> io::Result<PlainFile> {
        let path = self.path.join(relative);
        let plain = relative.components().all(|part| matches!(part, Utf8Component::Normal(_)));
        if !plain || relative.as_str().is_empty() {
            return Err(io::Error::other(format!("`{path}` is not a path inside `{}`", self.path)));
        }
        PlainFile::of(self.open_beneath(relative, &path)?, path, limit)
    }

    /// The same for a path that begins with the directory's own.
    ///
    /// # Errors
    /// As [`UntrustedDir::file`]; and the path does not begin so.
    pub fn file_at(&self, path: &Utf8Path, limit: u64) -> io::Result<PlainFile> {
        let outside = || io::Error::other(format!("`{path}` is not inside `{}`", self.path));
        self.file(path.strip_prefix(&self.path).map_err(|_| outside())?, limit)
    }

    /// Reads a text file that may be missing.
    ///
    /// # Errors
    /// As [`UntrustedDir::file`] except for a missing file; and the text is not UTF-8.
    pub fn read_text(&self, relative: &Utf8Path, limit: u64) -> io::Result<Option<String>> {
        match self.file(relative, limit) {
            Ok(file) => file.read_text().map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    #[cfg(unix)]
    fn open_beneath(&self, relative: &Utf8Path, path: &Utf8Path) -> io::Result<File> {
        use rustix::fs::{Mode, OFlags, openat};
        let last = relative.file_name().unwrap_or_default();
        let mut dir: Option<std::os::fd::OwnedFd> = None;
        // One name at a time: a path of several would follow links in all but the last. (Linux's openat2 does it in one
        // call; macOS and sandboxes that forbid new calls have none.)
        for part in relative.parent().into_iter().flat_map(Utf8Path::components) {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
            let from = dir.as_ref().unwrap_or(&self.handle);
            dir = Some(openat(from, part.as_str(), flags, Mode::empty()).map_err(|errno| named(path, errno))?);
        }
        // A pipe that nobody writes to is not waited for.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::RDONLY | OFlags::CLOEXEC;
        let from = dir.as_ref().unwrap_or(&self.handle);
        openat(from, last, flags, Mode::empty()).map(File::from).map_err(|errno| named(path, errno))
    }

    #[cfg(not(unix))]
    fn open_beneath(&self, _: &Utf8Path, path: &Utf8Path) -> io::Result<File> {
        if path.symlink_metadata()?.is_symlink() || !path.canonicalize_utf8()?.starts_with(&self.path) {
            return Err(io::Error::other(format!("`{path}` is a symbolic link")));
        }
        File::open(path)
    }
}

impl PlainFile {
    /// Opens a file that the user named: links are followed, but what they lead to must be a regular file of at most
    /// `limit` bytes.
    ///
    /// # Errors
    /// There is none, or it is a pipe, a device, a directory, too large, or cannot be read.
    pub fn open(path: &Utf8Path, limit: u64) -> io::Result<Self> {
        #[cfg(unix)]
        let file = {
            use rustix::fs::{Mode, OFlags};
            let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::RDONLY | OFlags::CLOEXEC;
            rustix::fs::open(path.as_std_path(), flags, Mode::empty())
                .map(File::from)
                .map_err(|errno| named(path, errno))?
        };
        #[cfg(not(unix))]
        let file = File::open(path)?;
        Self::of(file, path.to_owned(), limit)
    }

    fn of(file: File, path: Utf8PathBuf, limit: u64) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other(format!("`{path}` is not a regular file")));
        }
        let size = metadata.len();
        if size > limit {
            return Err(too_large(&path, limit));
        }
        Ok(Self { stamp: Stamp::from(&metadata), path, file, size, limit })
    }

    /// The path by which it was opened, for messages.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// The open file alone, to be locked.
    pub fn into_file(self) -> fs_err::File {
        fs_err::File::from_parts(self.file, self.path)
    }

    /// Its size in bytes when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its stamp when it was opened.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// All its bytes, from the start.
    ///
    /// # Errors
    /// Reading failed, or it has grown beyond the limit since it was opened.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // A size is only announced: one that no memory holds is an error, and ends nothing.
        bytes.try_reserve_exact(usize::try_from(self.size).unwrap_or(usize::MAX))?;
        let mut file = &self.file;
        file.rewind()?;
        // Not every file has its size in its metadata (those of /proc have none).
        file.take(self.limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > self.limit {
            return Err(too_large(&self.path, self.limit));
        }
        Ok(bytes)
    }

    /// All its text, from the start.
    ///
    /// # Errors
    /// As [`PlainFile::read`]; and it is not UTF-8.
    pub fn read_text(&self) -> io::Result<String> {
        String::from_utf8(self.read()?)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("`{}` is not UTF-8", self.path)))
    }

    /// Copies all its bytes, and tells what they were.
    ///
    /// # Errors
    /// Reading or writing failed, or it has grown beyond the limit since it was opened.
    pub fn copy_to(&self, to: impl Write) -> io::Result<Copied> {
        let mut file = &self.file;
        file.rewind()?;
        let copied = copy(file.take(self.limit.saturating_add(1)), to)?;
        if copied.size > self.limit { Err(too_large(&self.path, self.limit)) } else { Ok(copied) }
    }
}

/// Copies bytes to their end, and tells what they were.
///
/// # Errors
/// Reading or writing failed.
pub(crate) fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<Copied> {
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0_u64, vec![0_u8; 1 << 16]);
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        size += count as u64;
        hash.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
    }
    Ok(Copied { size, sha256: super::hex(&hash.finalize()) })
}

fn too_large(path: &Utf8Path, limit: u64) -> io::Error {
    let limit = match limit >> 30 {
        0 => format!("{} MiB", limit >> 20),
        gib => format!("{gib} GiB"),
    };
    io::Error::new(io::ErrorKind::FileTooLarge, format!("`{path}` is larger than {limit}"))
}

/// What the system said of a path, in words.
#[cfg(unix)]
fn named(path: &Utf8Path, errno: rustix::io::Errno) -> io::Error {
    use rustix::io::Errno;
    let error = io::Error::from(errno);
    match errno {
        // What Linux and the BSDs say of a link where none may be.
        Errno::LOOP | Errno::MLINK => io::Error::other(format!("`{path}` is a symbolic link, or inside one")),
        // A pipe, socket or device that nobody answers for.
        Errno::NXIO => io::Error::other(format!("`{path}` is not a regular file")),
        _ => io::Error::new(error.kind(), format!("cannot open `{path}`: {error}")),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    struct Place {
        _held: tempfile::TempDir,
        dir: Utf8PathBuf,
    }

    fn place() -> Place {
        let held = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(held.path()).unwrap().canonicalize_utf8().unwrap();
        fs_err::create_dir_all(dir.join("in/deep")).unwrap();
        fs_err::write(dir.join("in/deep/file"), "inside").unwrap();
        fs_err::write(dir.join("secret"), "outside").unwrap();
        Place { _held: held, dir }
    }

    #[test]
    fn a_file_beneath_is_read_hashed_and_copied_by_one_handle() {
        let place = place();
        let dir = UntrustedDir::open(&place.dir.join("in")).unwrap();
        let file = dir.file("deep/file".into(), SMALL).unwrap();
        // Another file of the name changes nothing.
        fs_err::remove_file(place.dir.join("in/deep/file")).unwrap();
        fs_err::write(place.dir.join("in/deep/file"), "another").unwrap();
        assert_eq!(file.read_text().unwrap(), "inside");
        let mut to = Vec::new();
        let copied = file.copy_to(&mut to).unwrap();
        assert_eq!((to.as_slice(), copied.size), (b"inside".as_slice(), 6));
        assert_eq!(copied.sha256, crate::util::files::sha256("inside"));
        assert_eq!(dir.file_at(&place.dir.join("in/deep/file"), SMALL).unwrap().read().unwrap(), b"another");
    }

    #[test]
    fn nothing_outside_is_opened() {
        let place = place();
        let inside = place.dir.join("in");
        let dir = UntrustedDir::open(&inside).unwrap();
        std::os::unix::fs::symlink(place.dir.join("secret"), inside.join("link")).unwrap();
        std::os::unix::fs::symlink(&place.dir, inside.join("up")).unwrap();
        std::os::unix::fs::symlink("deep", inside.join("near")).unwrap();
        for bad in ["../secret", "deep/../../secret", "", ".", "/etc/passwd", "link", "up/secret", "near/file", "deep"]
        {
            let error = dir.file(bad.into(), SMALL).expect_err(bad);
            assert_ne!(error.kind(), io::ErrorKind::NotFound, "{bad}: {error}");
        }
        let forged = Utf8PathBuf::from(format!("{inside}/deep/../../secret"));
        assert!(dir.file_at(&forged, SMALL).is_err());
        assert!(dir.file_at(&place.dir.join("secret"), SMALL).is_err());
        assert_eq!(dir.read_text("none".into(), SMALL).unwrap(), None);
    }

    #[test]
    fn pipes_devices_and_large_files_are_refused_at_once() {
        let place = place();
        let pipe = place.dir.join("in/pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let dir = UntrustedDir::open(&place.dir.join("in")).unwrap();
        assert!(dir.file("pipe".into(), SMALL).unwrap_err().to_string().contains("not a regular file"));
        assert!(PlainFile::open(&pipe, SMALL).is_err());
        assert!(PlainFile::open("/dev/zero".into(), SMALL).is_err());
        let sparse = place.dir.join("in/sparse");
        fs_err::File::create(&sparse).unwrap().file().set_len(LARGE + 1).unwrap();
        let error = dir.file("sparse".into(), LARGE).unwrap_err();
        assert!(error.to_string().ends_with("is larger than 4 GiB"), "{error}");
    }

    #[test]
    fn a_file_that_grows_is_read_up_to_the_limit() {
        let place = place();
        let path = place.dir.join("in/deep/file");
        let file = PlainFile::open(&path, 8).unwrap();
        fs_err::write(&path, "more than eight bytes").unwrap();
        assert_eq!(file.read().unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(file.copy_to(io::sink()).is_err());
    }
}
