//! Sysroots: Debian packages of a target, resolved and fetched by apt with folders of its own, and unpacked here.
//!
//! [`Sysroots::resolve`] chooses the packages, which `Convoy.lock` then keeps; [`Sysroots::bring`] makes the tree from
//! them, always the same one. Both end in a reason where they cannot: other targets still finish.

mod apt;
mod apt_output;
mod cmake;
mod contents;
mod deb;
mod fault;
mod fetch;
mod index;
mod packed;
mod place;
mod resolve;
mod script;
mod source;
mod stanza;
mod tree;
mod verify;

use std::io;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};

pub use apt::Limits;
pub use contents::{verify_packages, verify_sysroots};
pub(crate) use packed::Packed;
pub use packed::unpack;
pub(crate) use verify::{Unsigned, Verified};

use crate::machine::interrupt::Interrupt;
use crate::machine::{AptFacts, CacheDir};
use crate::model::sysroot::address::security_root;
use crate::model::sysroot::{Archive, Security, Sysroot, SysrootKey, SysrootPlan};
use crate::plan::Refused;
use crate::project::config::Forbidden;
use crate::project::lock::{ConvoyLock, LockedSysroot};
use crate::util::error::{Error, Result};
use crate::util::files;

const ROOM: &str = "sysroots";
/// What a sysroot was made from: written last, so that a sysroot with it is whole.
const MADE_FROM: &str = "sysroot.toml";
/// Its modification time is the last use.
const USED: &str = "used";
/// Work that a run began; the rename at its end takes the name away.
const BEGUN: &str = ".bringing-";

/// Reads all of a package file, and writes its files' contents one after another: for the fuzz target.
#[cfg(any(fuzzing, test))]
pub(crate) fn read_package(deb: &[u8], to: &mut dyn io::Write) -> std::result::Result<(), String> {
    let to = std::cell::RefCell::new(to);
    let take = |_: &Utf8Path, member: deb::Member<'_>| {
        if let deb::Member::File(file) = member {
            io::copy(file.contents, &mut *to.borrow_mut())?;
        }
        Ok(())
    };
    deb::read(deb, take, take).map_err(|fault| fault.reason)
}

/// What goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Another run does the same work: this one waits for it.
    Waiting,
    /// Packages are chosen without the fixes between point releases: the archive that has them is missing.
    NoFixes,
    /// The signed index of an archive is fetched, and packages are held against it.
    Checking,
    /// These packages are brought: their number, and the bytes of their files.
    Chosen {
        /// How many.
        packages: usize,
        /// Bytes to fetch, where none is there.
        bytes: u64,
    },
    /// Packages are fetched.
    Fetching {
        /// Bytes that are there.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// Packages are unpacked.
    Unpacking {
        /// Packages that are unpacked.
        done: usize,
        /// Packages in all.
        total: usize,
    },
}

/// All that it takes to bring sysroots to this machine.
#[derive(Clone, Copy)]
pub struct Sysroots<'a> {
    /// apt, where there is one.
    pub apt: Option<&'a AptFacts>,
    /// Where sysroots are kept.
    pub cache: &'a CacheDir,
    /// Why only what is in the cache may be used, if so.
    pub offline: Option<&'a Forbidden>,
    /// How long servers may take.
    pub limits: Limits,
    /// Ends apt when a signal comes.
    pub interrupt: &'a Interrupt,
    /// Hears what goes on.
    pub progress: &'a dyn Fn(Progress),
}

impl std::fmt::Debug for Sysroots<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sysroots").field("apt", &self.apt).field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// Why work stopped: an error ends the command, a refusal only the cells that want the sysroot.
#[derive(Debug)]
enum Stop {
    Error(Error),
    Refused(Refused),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// The cache's disk refuses.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        let hint = fault::disk_hint(&error);
        Self::Refused(Refused { reason: format!("could not use the cache: {error}"), hint, work: true })
    }
}

impl Stop {
    /// Something that was chosen already and could not be had.
    fn work(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused(Refused { reason: reason.into(), hint: Some(hint.into()), work: true })
    }

    /// Something that cannot be chosen.
    fn choice(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused(Refused { reason: reason.into(), hint: Some(hint.into()), work: false })
    }
}

impl Sysroots<'_> {
    /// Chooses the packages of a plan from what the archive has now, and makes their tree.
    ///
    /// Fixes that nobody asked for must not keep a target from being built: where the index of the security archive lists
    /// files that are gone (of a release that gets no more of them, or an architecture that the mirror leaves out), the
    /// release as it was published serves, and [`Progress::NoFixes`] says so. Fixes that configuration names are insisted
    /// on.
    ///
    /// # Errors
    /// The user ended the run, or the disk refused.
    pub fn choose_and_bring(
        &self,
        plan: &SysrootPlan,
    ) -> Result<std::result::Result<(LockedSysroot, Sysroot), Refused>> {
        let brought = self.try_to_bring(plan)?;
        let gone = brought.as_ref().is_err_and(|refused| refused.work);
        if !gone || plan.archive.security.is_some() || !self.has_fixes_beside(&plan.archive) {
            return Ok(brought);
        }
        (self.progress)(Progress::NoFixes);
        let without = Archive { security: Some(Security::Off), ..plan.archive.clone() };
        self.try_to_bring(&SysrootPlan { archive: without, ..plan.clone() })
    }

    fn try_to_bring(&self, plan: &SysrootPlan) -> Result<std::result::Result<(LockedSysroot, Sysroot), Refused>> {
        let locked = match self.resolve(plan)? {
            Ok(locked) => locked,
            Err(refused) => return Ok(Err(refused)),
        };
        let brought = self.bring(&locked, &plan.archive)?;
        Ok(brought.map(|sysroot| (locked, sysroot)))
    }

    /// Whether security fixes are looked for beside a mirror without anybody having asked for them.
    fn has_fixes_beside(&self, archive: &Archive) -> bool {
        let own = self.apt.iter().filter_map(|apt| apt.mirror.as_ref());
        archive.mirrors.iter().chain(own).any(|mirror| security_root(mirror).is_some())
    }
}

fn settled<T>(result: std::result::Result<T, Stop>) -> Result<std::result::Result<T, Refused>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Refused(refused)) => Ok(Err(refused)),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// The sysroot of these packages, when an earlier run has brought it.
pub fn in_cache(cache: &CacheDir, locked: &LockedSysroot) -> Option<Sysroot> {
    let digest = locked.digest();
    let dir = home(&cache.root().join(ROOM), &locked.key, &digest);
    let root = dir.join("root");
    // A folder's name is short, and whoever makes two sets of packages with one name may try for long.
    let same = made_from(&dir).is_some_and(|made| made.digest() == digest);
    (same && root.is_dir()).then(|| Sysroot { root, digest, requested: locked.requested.clone() })
}

/// What a folder of the room was made from; none where it is begun, damaged or not ours.
fn made_from(dir: &Utf8Path) -> Option<LockedSysroot> {
    let made = ConvoyLock::read(&dir.join(MADE_FROM)).ok()??;
    match made.sysroots() {
        [locked] => Some(locked.clone()),
        _ => None,
    }
}

/// Whether every package file of a sysroot is in the cache, so that neither apt nor network is needed for it.
pub(crate) fn is_fetched(cache: &CacheDir, locked: &LockedSysroot) -> bool {
    let debs = fetch::Debs::of(cache);
    // Their digests are looked at when they are unpacked.
    let here = |package: &crate::project::lock::LockedPackage| {
        debs.path(&package.sha256).metadata().is_ok_and(|metadata| metadata.len() == package.size)
    };
    locked.packages.iter().all(here)
}

/// The kept parts of a package's control archive (`control`, `shlibs`, `symbols`): a folder for each package.
pub fn control_dir(sysroot: &Sysroot) -> Utf8PathBuf {
    sysroot.root.with_file_name("control")
}

/// Marks a sysroot as used now.
pub(crate) fn touch(sysroot: &Sysroot) {
    let stamp = sysroot.root.with_file_name(USED);
    // A cache that cannot be written only lacks the date.
    let _ = fs_err::write(stamp, "");
}

fn home(room: &Utf8Path, key: &SysrootKey, digest: &str) -> Utf8PathBuf {
    room.join(format!("{}-{}-{}", key.suite, key.architecture, &digest[..32]))
}

/// A sysroot in the cache, as `cargo convoy supply list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSysroot {
    /// What it was made from.
    pub locked: LockedSysroot,
    /// Its folder.
    pub dir: Utf8PathBuf,
    /// Bytes of all files in it.
    pub bytes: u64,
    /// When a build last used it.
    pub used: Option<SystemTime>,
}

/// All sysroots in the cache, sorted by folder.
pub fn list(cache: &CacheDir) -> Result<Vec<KeptSysroot>> {
    let room = cache.root().join(ROOM);
    let entries = match room.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut kept = Vec::new();
    for entry in entries {
        let dir = entry?.into_path();
        let Some(locked) = made_from(&dir) else { continue };
        let used = dir.join(USED).metadata().and_then(|metadata| metadata.modified()).ok();
        kept.push(KeptSysroot { locked, bytes: size(&dir), used, dir });
    }
    kept.sort_by(|a, b| a.dir.cmp(&b.dir));
    Ok(kept)
}

fn size(dir: &Utf8Path) -> u64 {
    let entries = dir.read_dir_utf8().into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        let metadata = entry.path().symlink_metadata().ok()?;
        Some(if metadata.is_dir() { size(entry.path()) } else { metadata.len() })
    });
    sizes.sum()
}

impl Sysroots<'_> {
    /// Chooses the packages of a sysroot: what is asked for and what that depends on, as the archive is now.
    pub fn resolve(&self, plan: &SysrootPlan) -> Result<std::result::Result<LockedSysroot, Refused>> {
        settled(self.choose(plan))
    }

    /// Makes a sysroot of exactly these packages, or finds it in the cache.
    pub fn bring(&self, locked: &LockedSysroot, archive: &Archive) -> Result<std::result::Result<Sysroot, Refused>> {
        settled(self.make(locked, archive))
    }

    /// Holds each package of a sysroot against the signed indexes of its archives.
    pub fn verify(&self, locked: &LockedSysroot, archive: &Archive) -> Result<std::result::Result<Verified, Refused>> {
        settled(self.hold(locked, archive))
    }

    /// Writes one file with a lock and all of its packages, for a machine that cannot fetch them. `archive` gives where
    /// the packages of a key come from.
    pub fn pack(
        &self,
        lock: &ConvoyLock,
        archive: &dyn Fn(&SysrootKey) -> Archive,
        file: &Utf8Path,
    ) -> Result<std::result::Result<Packed, Refused>> {
        settled(self.pack_all(lock, archive, file))
    }

    fn make(&self, locked: &LockedSysroot, archive: &Archive) -> std::result::Result<Sysroot, Stop> {
        if let Some(found) = in_cache(self.cache, locked) {
            touch(&found);
            return Ok(found);
        }
        (self.progress)(Progress::Chosen { packages: locked.packages.len(), bytes: locked.size() });
        self.fetch(locked, archive)?;
        let room = room(self.cache, ROOM)?;
        let _lock = self.lock(&room)?;
        if let Some(found) = in_cache(self.cache, locked) {
            touch(&found);
            return Ok(found);
        }
        remove_begun(&room)?;
        let (_guard, tree) = begin(&room)?;
        self.unpack(locked, &tree)?;
        contents::write(&tree)?;
        fs_err::write(tree.join(USED), "")?;
        let mut made = ConvoyLock::default();
        made.set(locked.clone());
        fs_err::write(tree.join(MADE_FROM), made.text()?)?;
        let target = home(&room, &locked.key, &locked.digest());
        if target.exists() {
            // Damaged: the look above did not find a sysroot in it.
            fs_err::remove_dir_all(&target)?;
        }
        files::sync_file_system(&room)?;
        fs_err::rename(&tree, &target)?;
        let damaged =
            || Stop::work(format!("sysroot {} disappeared from the cache", locked.key), "run the command again");
        in_cache(self.cache, locked).ok_or_else(damaged)
    }

    fn unpack(&self, locked: &LockedSysroot, into: &Utf8Path) -> std::result::Result<(), Stop> {
        let debs = fetch::Debs::of(self.cache);
        let total = locked.packages.len();
        let mut done = |done| (self.progress)(Progress::Unpacking { done, total });
        done(0);
        let unpacked = tree::unpack(locked, |sha256| debs.path(sha256), into, self.interrupt, &mut done)?;
        unpacked.map_err(|(package, fault)| {
            let package = package.map(|package| format!("package `{}` {} ", package.name, package.version));
            let reason = format!("{}{} (sysroot {})", package.unwrap_or_default(), fault.reason, locked.key);
            Stop::Refused(Refused { reason, hint: fault.hint, work: true })
        })
    }

    /// One run at a time in a room of the cache; the others wait and then find what it made.
    fn lock(&self, room: &Utf8Path) -> std::result::Result<fs_err::File, Stop> {
        let lock = fs_err::File::create(room.join(".lock"))?;
        self.interrupt.lock(&lock, || (self.progress)(Progress::Waiting))?;
        Ok(lock)
    }
}

/// A room of the cache. Only the disk can refuse it, and then other targets still finish.
fn room(cache: &CacheDir, name: &str) -> std::result::Result<Utf8PathBuf, Stop> {
    cache.room(name).map_err(|error| {
        let hint = "free some disk space, or set `CONVOY_CACHE_DIR` to a writable directory";
        Stop::work(format!("could not use the cache: {error}"), hint)
    })
}

/// A folder in a room for work that has begun, which goes with the guard unless it is renamed.
fn begin(room: &Utf8Path) -> std::result::Result<(tempfile::TempDir, Utf8PathBuf), Stop> {
    let guard = tempfile::Builder::new().prefix(BEGUN).tempdir_in(room)?;
    let name = guard.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let tree = room.join(name).join("tree");
    fs_err::create_dir(&tree)?;
    Ok((guard, tree))
}

/// What runs that were killed left behind; only for whoever holds the room's lock.
fn remove_begun(room: &Utf8Path) -> std::result::Result<(), Stop> {
    Ok(files::remove_begun(room, BEGUN)?)
}
