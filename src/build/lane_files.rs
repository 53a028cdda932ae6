//! Files of a lane's folder, which what builds there may have put in place itself.

use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use crate::machine::interrupt::Interrupt;
use crate::util::error::Result;
use crate::util::files::UntrustedDir;

/// More bytes than any file has that a container's script writes.
const WORDS: u64 = 64 << 10;

/// How often a lock of cargo's is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// A small file that a lane's container wrote; none where there is none.
///
/// # Errors
/// It is a link, a pipe, large, or no text.
pub(super) fn text_of_lane(dir: &Utf8Path, name: &str) -> io::Result<Option<String>> {
    UntrustedDir::open(dir)?.read_text(Utf8Path::new(name), WORDS)
}

/// Takes the setuid and setgid bits off the files of a lane. A container may give them to files that belong to the caller
/// here, and whoever may start these then has the caller's rights. Nothing may run in the lane any more.
#[cfg(unix)]
pub(super) fn clear_set_id(dir: &Utf8Path) -> io::Result<()> {
    use std::os::fd::{AsFd as _, OwnedFd};

    use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, chmodat, openat, statat};

    const SET_ID: Mode = Mode::SUID.union(Mode::SGID);
    fn clear(dir: &OwnedFd) -> rustix::io::Result<()> {
        for entry in Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if [c".", c".."].contains(&name) {
                continue;
            }
            match entry.file_type() {
                FileType::Directory => {
                    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
                    // One that cannot be read keeps its files from everybody but root, whom no mode stops here.
                    if let Ok(inner) = openat(dir, name, flags, Mode::empty()) {
                        clear(&inner)?;
                    }
                }
                FileType::RegularFile | FileType::Unknown => {
                    let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    let mode = Mode::from_raw_mode(stat.st_mode);
                    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && mode.intersects(SET_ID) {
                        chmodat(dir.as_fd(), name, mode.difference(SET_ID), AtFlags::empty())?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let root = rustix::fs::open(dir.as_std_path(), flags, Mode::empty())?;
    Ok(clear(&root)?)
}

#[cfg(not(unix))]
pub(super) fn clear_set_id(_: &Utf8Path) -> io::Result<()> {
    Ok(())
}

/// Waits for a cargo that builds in a lane: one that a run left behind when it was killed. `waiting` is called once.
///
/// cargo's own locks tell. If cargo inherited convoy's, so would all that it starts, and a compiler cache's server would
/// hold it for long after the build.
pub(super) fn wait_for_cargo(dir: &Utf8Path, interrupt: &Interrupt, waiting: impl Fn()) -> Result<()> {
    let folders = |dir: &Utf8Path| -> Vec<Utf8PathBuf> {
        let entries = dir.read_dir_utf8().into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.into_path())
            .collect()
    };
    // `<profile>/` for this machine, `<triple>/<profile>/` for the others.
    let outer = folders(dir);
    let inner: Vec<Utf8PathBuf> = outer.iter().flat_map(|dir| folders(dir)).collect();
    let lane = UntrustedDir::open(dir)?;
    for file in outer.iter().chain(&inner).map(|dir| dir.join(".cargo-lock")) {
        let Ok(file) = lane.file_at(&file, WORDS) else { continue };
        let file = file.into_file();
        let mut output = false;
        // One that cannot be locked, as on some file systems, cargo has not locked either.
        while matches!(file.file().try_lock(), Err(std::fs::TryLockError::WouldBlock)) {
            interrupt.check()?;
            if !output {
                waiting();
            }
            output = true;
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn lane() -> (tempfile::TempDir, Utf8PathBuf) {
        let held = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(held.path()).unwrap().canonicalize_utf8().unwrap();
        (held, dir)
    }

    #[test]
    fn what_a_container_wrote_is_read_only_where_it_is_a_small_plain_file() {
        let (_held, dir) = lane();
        let name = "cpu-usage";
        assert_eq!(text_of_lane(&dir, name).unwrap(), None);
        std::os::unix::fs::symlink("/proc/version", dir.join(name)).unwrap();
        assert!(text_of_lane(&dir, name).is_err());
        fs_err::remove_file(dir.join(name)).unwrap();
        fs_err::write(dir.join(name), vec![b'1'; 1 << 20]).unwrap();
        assert!(text_of_lane(&dir, name).is_err());
        fs_err::write(dir.join(name), "17").unwrap();
        assert_eq!(text_of_lane(&dir, name).unwrap().as_deref(), Some("17"));
    }

    #[test]
    fn no_file_of_a_lane_keeps_a_bit_that_gives_the_callers_rights() {
        let (_held, dir) = lane();
        let mode = |path: &Utf8Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        let set = |path: &Utf8Path, mode| fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        fs_err::create_dir_all(dir.join("lane/x/release")).unwrap();
        let [inside, plain, outside] = ["lane/x/release/app", "lane/plain", "outside"].map(|name| dir.join(name));
        for (file, bits) in [(&inside, 0o6755), (&plain, 0o640), (&outside, 0o4755)] {
            fs_err::write(file, "").unwrap();
            set(file, bits);
        }
        std::os::unix::fs::symlink(&outside, dir.join("lane/x/link")).unwrap();
        std::os::unix::fs::symlink(&dir, dir.join("lane/up")).unwrap();
        clear_set_id(&dir.join("lane")).unwrap();
        assert_eq!([mode(&inside), mode(&plain), mode(&outside)], [0o755, 0o640, 0o4755]);
    }

    #[test]
    fn a_cargo_that_builds_in_the_lane_is_waited_for() {
        let (_held, dir) = lane();
        let [own, target] = ["release", "t/release"].map(|name| dir.join(name));
        fs_err::create_dir_all(&own).unwrap();
        fs_err::create_dir_all(&target).unwrap();
        fs_err::write(own.join(".cargo-lock"), "").unwrap();
        let cargos = fs_err::File::create(target.join(".cargo-lock")).unwrap();
        cargos.lock().unwrap();
        let waits = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                wait_for_cargo(&dir, &Interrupt::default(), || waits.store(true, std::sync::atomic::Ordering::SeqCst))
            });
            while !waits.load(std::sync::atomic::Ordering::SeqCst) {
                assert!(!waiting.is_finished(), "it did not wait");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            assert!(!waiting.is_finished());
            drop(cargos);
            waiting.join().unwrap().unwrap();
        });
    }
}
