//! `Convoy.lock` of a project: what it holds, and what is here of it.

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use crate::machine::{CacheDir, Machine};
use crate::model::code::Code;
use crate::project::lock::ConvoyLock;
use crate::provision::sysroot;
use crate::report::{Phase, Reporter};
use crate::util::error::Result;

/// How long another run may take to write the same file. It takes milliseconds, unless it was stopped.
const LONGEST_WRITE: Duration = Duration::from_secs(5);

/// The project's lock, and where it lies.
#[derive(Clone, Debug)]
pub(super) struct Locked {
    pub path: Utf8PathBuf,
    pub lock: ConvoyLock,
    /// What the file said when it was last read or written here.
    known: ConvoyLock,
    /// Whether the file is there.
    pub exists: bool,
}

impl Locked {
    /// What a file says; none of it where there is no file.
    pub(super) fn read(path: Utf8PathBuf) -> Result<Self> {
        let lock = ConvoyLock::read(&path)?;
        let exists = lock.is_some();
        let lock = lock.unwrap_or_default();
        Ok(Self { exists, known: lock.clone(), lock, path })
    }

    /// Writes it down. A build goes on where that is not possible.
    pub(super) fn write(&mut self, reporter: &Reporter) {
        if let Err(error) = self.merge() {
            let message =
                format!("could not write `Convoy.lock`, so another build may use different packages: {error}");
            reporter.warning(Phase::Provision, message).code(Code::LockNotWritten).send();
        }
    }

    /// Applies what changed here to what the file says now: another run, with another target folder, may have written it
    /// meanwhile, and its entries stay.
    fn merge(&mut self) -> Result<()> {
        let _only = lock_dir(&self.path);
        let now = ConvoyLock::read(&self.path)?.unwrap_or_default();
        let merged = now.with_changes(&self.known, &self.lock);
        merged.write(&self.path)?;
        self.exists = true;
        self.known = merged.clone();
        self.lock = merged;
        Ok(())
    }

    /// Tells the host's facts which locked sysroots are here, or could be unpacked without apt and network.
    pub(super) fn look_up(&self, cache: &CacheDir, host: &mut Machine) {
        for locked in self.lock.sysroots() {
            let name = locked.key.to_string();
            if let Some(sysroot) = sysroot::in_cache(cache, locked) {
                host.sysroots.insert(name, sysroot);
            } else if sysroot::is_fetched(cache, locked) {
                host.fetched_sysroots.insert(name);
            }
        }
    }
}

/// Keeps others from writing a file until the handle is dropped, by a lock of the folder that it is in: nothing is left
/// beside it. Where there are no such locks the last one to write wins, as before.
fn lock_dir(file: &Utf8Path) -> Option<std::fs::File> {
    let dir = fs_err::File::open(file.parent()?).ok()?.into_parts().0;
    let started = Instant::now();
    while let Err(std::fs::TryLockError::WouldBlock) = dir.try_lock() {
        if started.elapsed() > LONGEST_WRITE {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sysroot::SysrootKey;
    use crate::project::lock::{LockedPackage, LockedSysroot};
    use crate::report::Style;

    fn sysroot(architecture: &str) -> LockedSysroot {
        let package = LockedPackage {
            name: "libc6-dev".to_owned(),
            version: "1".to_owned(),
            architecture: architecture.to_owned(),
            path: "pool/main/x_1.deb".into(),
            size: 1,
            sha256: "a".repeat(64),
        };
        let key = SysrootKey { suite: "bookworm".to_owned(), architecture: architecture.to_owned(), of: None };
        let requested = ["libc6-dev".to_owned()].into();
        let date = "2026-07-11T10:16:37Z".parse().unwrap();
        LockedSysroot { key, requested, origin: "Debian".to_owned(), date, packages: vec![package] }
    }

    #[test]
    fn runs_at_once_keep_each_others_entries() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("Convoy.lock");
        let architectures = ["amd64", "arm64", "armel", "armhf", "i386", "mips64el", "ppc64el", "s390x"];
        std::thread::scope(|scope| {
            // All have read it before any writes it.
            let runs = architectures.map(|name| (name, Locked::read(path.clone()).unwrap()));
            for (name, mut run) in runs {
                scope.spawn(move || {
                    run.lock.set(sysroot(name));
                    let style = Style { verbose: 0, quiet: true, color: false, progress: false };
                    run.write(&Reporter::new("run".to_owned(), style, None).unwrap());
                });
            }
        });
        let found = ConvoyLock::read(&path).unwrap().unwrap();
        let names: Vec<&str> = found.sysroots().iter().map(|locked| locked.key.architecture.as_str()).collect();
        assert_eq!(names, architectures);
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
        // What one forgets, and what another adds meanwhile.
        let [mut one, mut other] = [(); 2].map(|()| Locked::read(path.clone()).unwrap());
        one.lock.forget(&sysroot("i386").key);
        other.lock.set(sysroot("riscv64"));
        one.merge().unwrap();
        other.merge().unwrap();
        assert!(other.lock.get(&sysroot("riscv64").key).is_some() && other.lock.get(&sysroot("i386").key).is_none());
        assert_eq!(ConvoyLock::read(&path).unwrap().unwrap(), other.lock);
    }
}
