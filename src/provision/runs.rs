//! Marks of runs: a locked file for each, so that a later run can tell which containers were left behind.
//!
//! An engine may be shared with others. So a container is only taken for an orphan when its labels name this machine and
//! this cache, and the mark of its run is no longer locked.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use crate::machine::CacheDir;
use crate::machine::engine::{EngineFacts, EngineKind};
use crate::machine::interrupt::{Interrupt, has_no_locks};
use crate::plan::container::{LABEL_MACHINE, LABEL_RUN, container_filter};
use crate::util::error::Result;
use crate::util::files;

const ROOM: &str = "runs";

/// A run that starts containers. Its mark is locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct RunMark {
    /// This machine and cache.
    pub machine: String,
    /// The run.
    pub run: String,
    file: Utf8PathBuf,
    _lock: std::fs::File,
}

impl RunMark {
    /// Marks a run, whose containers are this engine's.
    pub(crate) fn set(cache: &CacheDir, run: &str, engine: Option<EngineKind>) -> Result<Self> {
        let room = cache.room(ROOM)?;
        let machine = machine(cache)?;
        let file = room.join(run);
        let mut lock = loop {
            let lock = fs_err::File::create(&file)?;
            lock_mark(lock.file())?;
            // Before it was locked, another run may have taken it for one that was left.
            if file.exists() {
                break lock;
            }
        };
        lock.write_all(engine.map_or("", EngineKind::name).as_bytes())?;
        Ok(Self { machine, run: run.to_owned(), file, _lock: lock.into_file() })
    }
}

impl Drop for RunMark {
    fn drop(&mut self) {
        // A mark that stays is unlocked, and goes with the next reaping.
        let _ = fs_err::remove_file(&self.file);
    }
}

/// What tells this machine and cache from others that use the same engine.
fn machine(cache: &CacheDir) -> Result<String> {
    let room = cache.room(ROOM)?;
    let file = room.join(".cache-id");
    let id = fs_err::read_to_string("/etc/machine-id").unwrap_or_default();
    let digest = |own: &str| files::sha256(format!("{} {}", id.trim(), own.trim()))[..32].to_owned();
    if let Some(own) = own_id(&file) {
        return Ok(digest(&own));
    }
    let beside = tempfile::NamedTempFile::new_in(&room)?;
    // Unique, as two caches at one place of different file systems are two.
    let own = format!("{:?} {} {}", std::time::SystemTime::now(), std::process::id(), cache.root());
    let own = format!("{}\n{}\n", files::sha256(own), inode(&beside.as_file().metadata()?));
    fs_err::write(beside.path(), &own)?;
    if file.exists() {
        // That of the cache which this one was copied from.
        beside.persist(&file).map_err(|error| error.error)?;
    } else {
        // Of two runs that come at once, both take what the first has written.
        let _ = beside.persist_noclobber(&file);
    }
    Ok(digest(&fs_err::read_to_string(&file)?))
}

/// What a cache is named by, unless the file is a copy: a CI restores caches on many machines, which are not one.
fn own_id(file: &Utf8Path) -> Option<String> {
    let own = fs_err::read_to_string(file).ok()?;
    let copied = own.lines().nth(1) != Some(inode(&file.metadata().ok()?).to_string().as_str());
    (!copied).then_some(own)
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    metadata.ino()
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

/// The engines that runs had which left their marks, as they were killed.
pub(crate) fn left_behind(cache: &CacheDir) -> Result<BTreeSet<EngineKind>> {
    let room = cache.room(ROOM)?;
    Ok(marks(&room)?.iter().filter(|mark| is_left(mark)).filter_map(|mark| engine_of(mark)).collect())
}

/// Removes the containers of runs of this machine that were killed; gives how many.
pub(crate) fn reap(engine: &EngineFacts, cache: &CacheDir, interrupt: &Interrupt) -> Result<usize> {
    let room = cache.room(ROOM)?;
    let own = machine(cache)?;
    let format = format!("{{{{.ID}}}}\t{{{{.Label \"{LABEL_MACHINE}\"}}}}\t{{{{.Label \"{LABEL_RUN}\"}}}}");
    let mut list = Command::new(&engine.program);
    list.args(["ps", "--all", "--no-trunc", "--filter", &container_filter(), "--format", &format]);
    // An engine that went away is told by whoever needs it, and what it ran may still be there when it comes back.
    let Ok(listed) = interrupt.output(&mut list)? else { return Ok(0) };
    if !listed.status.success() {
        return Ok(0);
    }
    let mut orphans = Vec::new();
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let [id, machine, run] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        // A run that ended leaves no mark and no container: without a mark it is of another cache, of which this is a copy.
        if machine == own && is_mark(run) && is_left(&room.join(run)) {
            orphans.push(id.to_owned());
        }
    }
    if !orphans.is_empty() {
        let mut remove = Command::new(&engine.program);
        // One that ended in this moment is gone by itself.
        if interrupt.output(remove.args(["rm", "--force"]).args(&orphans))?.is_err() {
            return Ok(0);
        }
    }
    for mark in marks(&room)?.iter().filter(|mark| engine_of(mark).is_none_or(|kind| kind == engine.kind)) {
        remove_if_left(mark);
    }
    Ok(orphans.len())
}

/// Whether a label can be the name of a mark: labels are anybody's.
fn is_mark(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains('/')
}

fn marks(room: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let files = room.read_dir_utf8()?.flatten();
    Ok(files.filter(|file| is_mark(file.file_name())).map(|file| file.into_path()).collect())
}

/// The engine that a mark names.
fn engine_of(mark: &Utf8Path) -> Option<EngineKind> {
    let name = fs_err::read_to_string(mark).ok()?;
    [EngineKind::Docker, EngineKind::Podman].into_iter().find(|kind| kind.name() == name)
}

/// Locks a mark. Where there are no locks it is taken for one of a run that goes on, for ever: its containers stay.
fn lock_mark(file: &std::fs::File) -> std::io::Result<()> {
    loop {
        match file.lock() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if has_no_locks(&error) => return Ok(()),
            ended => return ended,
        }
    }
}

/// Whether a mark is there and its run does not go on.
fn is_left(mark: &Utf8Path) -> bool {
    fs_err::File::open(mark).is_ok_and(|file| file.file().try_lock().is_ok())
}

/// Removes a mark while it is locked, so that a run which sets it in this moment notices.
fn remove_if_left(mark: &Utf8Path) {
    let Ok(file) = fs_err::File::open(mark) else { return };
    if file.file().try_lock().is_ok() {
        // Another run may have done it.
        let _ = fs_err::remove_file(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_locked_for_as_long_as_its_run() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(Utf8Path::from_path(dir.path()).unwrap());
        let mark = RunMark::set(&cache, "one", Some(EngineKind::Podman)).unwrap();
        let file = mark.file.clone();
        assert!(!is_left(&file));
        assert_eq!(machine(&cache).unwrap(), mark.machine);
        remove_if_left(&file);
        assert!(file.exists() && left_behind(&cache).unwrap().is_empty(), "it is not left");
        drop(mark);
        assert!(!is_left(&file) && !file.exists());
        let other = tempfile::tempdir().unwrap();
        let other = CacheDir::at(Utf8Path::from_path(other.path()).unwrap());
        assert_ne!(machine(&other).unwrap(), machine(&cache).unwrap());
    }

    #[test]
    fn a_copied_cache_is_another() {
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [cache, copy] = dirs.each_ref().map(|dir| CacheDir::at(Utf8Path::from_path(dir.path()).unwrap()));
        let first = machine(&cache).unwrap();
        let [from, to] = [&cache, &copy].map(|cache| cache.room(ROOM).unwrap().join(".cache-id"));
        fs_err::copy(from, to).unwrap();
        let second = machine(&copy).unwrap();
        assert_ne!(first, second);
        assert_eq!([machine(&cache).unwrap(), machine(&copy).unwrap()], [first, second], "and stays it");
    }

    #[test]
    fn a_mark_that_was_left_names_its_engine_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(Utf8Path::from_path(dir.path()).unwrap());
        let left = cache.room(ROOM).unwrap().join("killed");
        fs_err::write(&left, "docker").unwrap();
        assert!(is_left(&left));
        assert_eq!(left_behind(&cache).unwrap(), [EngineKind::Docker].into());
        remove_if_left(&left);
        assert!(!left.exists());
        assert!(!is_mark("../../x") && !is_mark(".cache-id") && !is_mark(""), "labels are anybody's");
    }

    #[test]
    fn runs_that_come_while_others_clear_up_keep_their_marks() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(Utf8Path::from_path(dir.path()).unwrap());
        let room = cache.room(ROOM).unwrap();
        std::thread::scope(|scope| {
            for name in ["a", "b"] {
                let (cache, room) = (&cache, &room);
                scope.spawn(move || {
                    for number in 0..200 {
                        let mark = RunMark::set(cache, &format!("{name}-{number}"), None).unwrap();
                        marks(room).unwrap().iter().for_each(|mark| remove_if_left(mark));
                        assert!(mark.file.exists(), "{number}");
                    }
                });
            }
        });
        assert_eq!(marks(&room).unwrap().len(), 0);
    }
}
