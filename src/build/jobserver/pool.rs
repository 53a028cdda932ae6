//! The pipe with the tokens.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use crate::util::error::Result;

/// A private folder for the pipe, removed at the end. One run at a time is in a project, so what is there before is left
/// from one that was killed.
#[derive(Debug)]
pub(super) struct Folder(Utf8PathBuf);

impl Folder {
    /// Makes it below convoy's own folder of the project.
    pub(crate) fn make(convoy_dir: &Utf8Path) -> Result<Self> {
        let path = convoy_dir.join("jobserver");
        match fs_err::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        fs_err::create_dir(&path)?;
        let folder = Self(path);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs_err::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o700))?;
        }
        Ok(folder)
    }

    /// The pipe's place.
    pub(crate) fn pipe(&self) -> Utf8PathBuf {
        self.0.join("tokens")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The next run tries again.
        let _ = fs_err::remove_dir_all(&self.0);
    }
}

#[cfg(unix)]
pub(super) use unix::Pool;

#[cfg(unix)]
mod unix {
    use std::fs::File;
    use std::io::{self, Write};
    use std::os::fd::{AsRawFd, OwnedFd};

    use camino::{Utf8Path, Utf8PathBuf};
    use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionread};

    /// More tokens would not fit into a pipe where the system has few pages left for its user.
    pub(super) const MOST: usize = 4095;

    /// Both ends of a pipe, inherited by every process that is started while this is here. Kept open, as tokens are gone
    /// with the last one who has a pipe open.
    #[derive(Debug)]
    pub(in super::super) struct Pool {
        read: File,
        write: File,
        fifo: Option<Utf8PathBuf>,
    }

    impl Pool {
        /// A pipe with this many tokens in it. It has this name, where the file system knows named pipes.
        pub(crate) fn filled(path: &Utf8Path, tokens: usize) -> io::Result<Self> {
            let pool = match named(path) {
                Ok(both) => Self { write: both.try_clone()?, read: both, fifo: Some(path.to_owned()) },
                Err(_) => {
                    let (read, write) = io::pipe()?;
                    let [read, write] = [OwnedFd::from(read), OwnedFd::from(write)].map(File::from);
                    Self { read, write, fifo: None }
                }
            };
            for end in [&pool.read, &pool.write] {
                fcntl_setfd(end, FdFlags::empty())?;
            }
            pool.give(tokens)?;
            Ok(pool)
        }

        /// Puts tokens into the pipe.
        pub(crate) fn give(&self, tokens: usize) -> io::Result<()> {
            (&self.write).write_all(&b"+".repeat(tokens.min(MOST)))
        }

        /// How many tokens are in the pipe.
        pub(crate) fn tokens(&self) -> io::Result<u64> {
            Ok(ioctl_fionread(&self.read)?)
        }

        /// The numbers of the descriptors, as make writes them.
        pub(crate) fn numbers(&self) -> String {
            format!("{},{}", self.read.as_raw_fd(), self.write.as_raw_fd())
        }

        /// The pipe's name, where it has one.
        pub(crate) fn fifo(&self) -> Option<&Utf8Path> {
            self.fifo.as_deref()
        }
    }

    #[cfg(not(target_vendor = "apple"))]
    fn named(path: &Utf8Path) -> io::Result<File> {
        use rustix::fs::{CWD, Mode, mkfifoat};
        mkfifoat(CWD, path.as_std_path(), Mode::RUSR | Mode::WUSR)?;
        // Opened for both: who opens one end alone waits until somebody opens the other.
        File::options().read(true).write(true).open(path)
    }

    /// Nobody needs a name here: containers run on a kernel of their own.
    #[cfg(target_vendor = "apple")]
    fn named(_: &Utf8Path) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// There is none: lanes run one after another here.
#[cfg(not(unix))]
#[derive(Debug)]
pub(super) enum Pool {}

#[cfg(not(unix))]
impl Pool {
    pub fn filled(_: &Utf8Path, _: usize) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn give(&self, _: usize) -> io::Result<()> {
        match *self {}
    }

    pub fn tokens(&self) -> io::Result<u64> {
        match *self {}
    }

    pub fn numbers(&self) -> String {
        match *self {}
    }

    pub fn fifo(&self) -> Option<&Utf8Path> {
        match *self {}
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::unix::MOST;
    use super::*;

    #[test]
    fn tokens_are_counted_and_children_take_them_by_number() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::make(Utf8Path::from_path(dir.path()).unwrap()).unwrap();
        let pool = Pool::filled(&folder.pipe(), 3).unwrap();
        assert_eq!(pool.tokens().unwrap(), 3);
        let (read, write) = pool.numbers().split_once(',').map(|(r, w)| (r.to_owned(), w.to_owned())).unwrap();
        let script = format!("dd bs=1 count=2 2>/dev/null </dev/fd/{read}; printf + >/dev/fd/{write}");
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!((output.stdout.as_slice(), pool.tokens().unwrap()), (b"++".as_slice(), 2));
        pool.give(1).unwrap();
        assert_eq!(pool.tokens().unwrap(), 3);
    }

    #[test]
    fn a_pipe_without_a_name_does_as_well() {
        let pool = Pool::filled(Utf8Path::new("/nowhere/tokens"), 2).unwrap();
        assert_eq!((pool.fifo(), pool.tokens().unwrap()), (None, 2));
    }

    #[test]
    fn more_tokens_than_fit_do_not_stop_convoy() {
        let pool = Pool::filled(Utf8Path::new("/nowhere/tokens"), 1_000_000).unwrap();
        assert_eq!(pool.tokens().unwrap(), MOST as u64);
    }

    #[test]
    fn leftovers_of_a_killed_run_are_gone_and_nothing_stays() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let convoy_dir = Utf8Path::from_path(dir.path()).unwrap();
        let killed = Folder::make(convoy_dir).unwrap();
        let _pool = Pool::filled(&killed.pipe(), 1).unwrap();
        std::mem::forget(killed);
        let folder = Folder::make(convoy_dir).unwrap();
        assert!(!folder.pipe().exists());
        let mode = fs_err::metadata(convoy_dir.join("jobserver")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(folder);
        assert_eq!(fs_err::read_dir(convoy_dir).unwrap().count(), 0);
    }
}
