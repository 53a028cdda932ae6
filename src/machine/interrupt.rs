//! Signals: the children end, nothing half-written stays.

use std::collections::BTreeSet;
use std::fs::TryLockError;
use std::io;
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use crate::util::error::{Error, Exit, Result};
use crate::util::pipe;

/// How long children may take to end by themselves.
#[cfg(unix)]
const GRACE: Duration = Duration::from_secs(5);

/// How often a lock or a dying child is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// Whether a signal came, and the process groups to end when one does. One that does not listen ([`Interrupt::default`])
/// leaves signals to what the system does with them.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    listens: bool,
    signal: Arc<AtomicI32>,
    /// How many signals came.
    count: Arc<AtomicU32>,
    groups: Arc<Mutex<BTreeSet<u32>>>,
    /// Folders whose file system has no locks.
    without_locks: Arc<Mutex<BTreeSet<Utf8PathBuf>>>,
}

impl Interrupt {
    /// Listens from now on.
    pub fn listen() -> std::io::Result<Self> {
        let interrupt = Self { listens: true, ..Self::default() };
        #[cfg(unix)]
        {
            use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
            let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])?;
            let heard = interrupt.clone();
            std::thread::spawn(move || {
                for signal in signals.forever() {
                    // The first one tells how convoy ends; who sends another does not want to wait.
                    let _ = heard.signal.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
                    heard.count.fetch_add(1, Ordering::SeqCst);
                    let groups = heard.groups().clone();
                    groups.into_iter().for_each(|group| heard.end_group(group));
                }
            });
        }
        Ok(interrupt)
    }

    /// One that treats children as if it listened.
    #[cfg(test)]
    pub(crate) fn listening() -> Self {
        Self { listens: true, ..Self::default() }
    }

    /// The exit code of the signal that came, if one did.
    pub fn came(&self) -> Option<Exit> {
        match self.signal.load(Ordering::SeqCst) {
            0 => None,
            1 => Some(Exit::Hangup),
            15 => Some(Exit::Terminate),
            _ => Some(Exit::Interrupt),
        }
    }

    /// An error when a signal came.
    pub fn check(&self) -> Result<()> {
        self.came().map_or(Ok(()), |signal| Err(Error::interrupted(signal)))
    }

    /// Gives a command a group of its own, so that a signal reaches it and its children through us, once.
    pub fn set_process_group(&self, command: &mut Command) {
        #[cfg(unix)]
        if self.listens {
            use std::os::unix::process::CommandExt;
            command.process_group(0);
        }
    }

    /// Ends this child's group when a signal comes, until what is returned is dropped; by then the child must have been
    /// waited for.
    #[must_use]
    pub fn watch(&self, child: u32) -> Watched<'_> {
        if self.listens {
            self.groups().insert(child);
            // One that came before the child was there is handed on.
            if self.came().is_some() {
                self.end_group(child);
            }
        }
        Watched { interrupt: self, child }
    }

    /// Ends a child's group: with patience at the first signal, at once at another.
    fn end_group(&self, group: u32) {
        if self.count.load(Ordering::SeqCst) > 1 { kill_group(group) } else { end_group(group) }
    }

    /// Ends a child that took too long, and what it started, as a signal would; then it can be waited for.
    pub fn end(&self, child: &mut std::process::Child) {
        #[cfg(unix)]
        if self.listens {
            end_group(child.id());
            return;
        }
        // It may have ended in this very moment.
        let _ = child.kill();
    }

    /// The same with force, at once.
    pub fn kill(&self, child: &mut std::process::Child) {
        #[cfg(unix)]
        if self.listens {
            kill_group(child.id());
            return;
        }
        // It may have ended in this very moment.
        let _ = child.kill();
    }

    /// Runs a command to its end; a signal ends it.
    pub fn output(&self, command: &mut Command) -> Result<std::io::Result<Output>> {
        self.set_process_group(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Ok(Err(error)),
        };
        let watched = self.watch(child.id());
        let output = child.wait_with_output();
        drop(watched);
        self.check()?;
        Ok(output)
    }

    /// Runs a command to its end and hands it what `input` writes, while `output` reads what it says; a signal ends it.
    pub fn talk<T>(
        &self,
        command: &mut Command,
        input: impl FnOnce(ChildStdin) -> io::Result<()> + Send,
        output: impl FnOnce(ChildStdout) -> T,
    ) -> Result<io::Result<Talk<T>>> {
        self.set_process_group(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Ok(Err(error)),
        };
        let watched = self.watch(child.id());
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Error::work("internal error: a child process has no pipes"));
        };
        // All at once: a full pipe would stop the child.
        let (output, input, stderr) = std::thread::scope(|scope| {
            let input = scope.spawn(move || input(stdin));
            let stderr = scope.spawn(move || pipe::read_tail(stderr, pipe::TAIL).text);
            let output = output(stdout);
            let died = |_| Err(io::Error::other("internal error: a writer thread panicked"));
            (output, input.join().unwrap_or_else(died), stderr.join().unwrap_or_default())
        });
        let status = child.wait();
        drop(watched);
        self.check()?;
        Ok(status.map(|status| Talk { status, output, input, stderr }))
    }

    /// Waits for a file's lock; `waiting` is called once, when another process holds it. Where the file system has no locks
    /// it goes on without, as cargo does, and [`Interrupt::take_without_locks`] tells the folder.
    ///
    /// # Errors
    /// A signal came, or the lock failed in another way.
    pub fn lock(&self, file: &fs_err::File, waiting: impl FnOnce()) -> Result<()> {
        self.lock_by(file.path(), || file.file().try_lock(), waiting)
    }

    fn lock_by(
        &self,
        path: &std::path::Path,
        mut try_lock: impl FnMut() -> std::result::Result<(), TryLockError>,
        waiting: impl FnOnce(),
    ) -> Result<()> {
        let mut waiting = Some(waiting);
        loop {
            match try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(TryLockError::Error(error)) if has_no_locks(&error) => {
                    let folder = path.parent().and_then(|folder| Utf8Path::from_path(folder));
                    self.without_locks().extend(folder.map(Utf8Path::to_owned));
                    return Ok(());
                }
                Err(TryLockError::Error(error)) => {
                    return Err(Error::work(format!("could not lock `{}`", path.display())).because(error));
                }
            }
            self.check()?;
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The folders, since this was last asked, in which files could not be locked because their file system
    /// has no locks.
    pub fn take_without_locks(&self) -> BTreeSet<Utf8PathBuf> {
        std::mem::take(&mut *self.without_locks())
    }

    fn without_locks(&self) -> MutexGuard<'_, BTreeSet<Utf8PathBuf>> {
        self.without_locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn groups(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file could not be locked because its file system, or the server of it, has no locks.
pub(crate) fn has_no_locks(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let none = [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP];
        if none.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
            return true;
        }
    }
    error.kind() == io::ErrorKind::Unsupported
}

/// How a talk with a command went.
#[derive(Debug)]
pub struct Talk<T> {
    /// How it ended.
    pub status: ExitStatus,
    /// What was read of its standard output.
    pub output: T,
    /// Whether all was written; one that ends early leaves a broken pipe.
    pub input: io::Result<()>,
    /// What it said on its standard error.
    pub stderr: String,
}

/// A child that ends when a signal comes.
#[derive(Debug)]
pub struct Watched<'a> {
    interrupt: &'a Interrupt,
    child: u32,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if !self.interrupt.listens {
            return;
        }
        if self.interrupt.came().is_some() {
            // cargo dies at once; a build script of its may not.
            bury(self.child);
        }
        self.interrupt.groups().remove(&self.child);
    }
}

#[cfg(unix)]
fn pid(group: u32) -> Option<rustix::process::Pid> {
    i32::try_from(group).ok().and_then(rustix::process::Pid::from_raw)
}

#[cfg(unix)]
fn end_group(group: u32) {
    use rustix::process::{Signal, kill_process_group, test_kill_process_group};
    let Some(pid) = pid(group) else { return };
    // A group that already ended is no error.
    let _ = kill_process_group(pid, Signal::TERM);
    std::thread::spawn(move || {
        std::thread::sleep(GRACE);
        if test_kill_process_group(pid).is_ok() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    });
}

#[cfg(unix)]
fn kill_group(group: u32) {
    let Some(pid) = pid(group) else { return };
    // A group that already ended is no error.
    let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
}

/// Waits until nothing of a group is left, with force after the grace period.
#[cfg(unix)]
fn bury(group: u32) {
    use rustix::process::test_kill_process_group;
    let Some(pid) = pid(group) else { return };
    let started = std::time::Instant::now();
    // A little longer than the grace period: then the kill is on its way.
    while test_kill_process_group(pid).is_ok() && started.elapsed() < GRACE + Duration::from_secs(1) {
        std::thread::sleep(PAUSE);
    }
}

#[cfg(not(unix))]
fn end_group(_: u32) {}

#[cfg(not(unix))]
fn kill_group(_: u32) {}

#[cfg(not(unix))]
fn bury(_: u32) {}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_second_signal_is_no_request() {
        for (count, wanted) in [(1, Some(7)), (2, None)] {
            let interrupt = Interrupt::listening();
            let mut command = Command::new("sh");
            command.args(["-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"]);
            interrupt.set_process_group(&mut command);
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            child.stdout.take().unwrap().read_exact(&mut [0; 6]).unwrap();
            interrupt.count.store(count, Ordering::SeqCst);
            interrupt.end_group(child.id());
            assert_eq!(child.wait().unwrap().code(), wanted, "after {count}");
        }
    }

    #[test]
    fn a_file_system_without_locks_is_worked_on_and_told() {
        let interrupt = Interrupt::default();
        let path = std::path::Path::new("/srv/nfs/convoy/.lock");
        let no_locks = [rustix::io::Errno::NOLCK, rustix::io::Errno::NOSYS, rustix::io::Errno::OPNOTSUPP];
        for errno in no_locks {
            let mut tries = [rustix::io::Errno::INTR, errno].into_iter();
            let try_lock = || Err(TryLockError::Error(tries.next().unwrap().into()));
            interrupt.lock_by(path, try_lock, || panic!("nobody holds it")).unwrap();
        }
        assert_eq!(interrupt.take_without_locks(), ["/srv/nfs/convoy".into()].into());
        assert!(interrupt.take_without_locks().is_empty(), "it is told once");
        let broken = || Err(TryLockError::Error(rustix::io::Errno::IO.into()));
        let error = interrupt.lock_by(path, broken, || {}).unwrap_err();
        assert_eq!(error.to_string(), "could not lock `/srv/nfs/convoy/.lock`");
    }
}
