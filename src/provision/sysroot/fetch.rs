//! Package files: kept in the cache under their SHA-256, which is looked at here whoever brought them.

use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::apt::PrivateApt;
use super::{Progress, Stop, Sysroots, begin, remove_begun, room, told};
use crate::files;
use crate::host::{AptFacts, CacheDir};
use crate::lock::{LockedPackage, LockedSysroot};
use crate::sysroot::Archive;

const ROOM: &str = "debs";
/// The name that the locked date gets in an address of `[supply] snapshot`.
const DATE: &str = "{date}";
/// Files that apt fetches in one go: their names must fit a command line.
const AT_ONCE: usize = 300;

/// The room of package files.
#[derive(Clone, Debug)]
pub(super) struct Debs {
    dir: Utf8PathBuf,
}

impl Debs {
    pub(super) fn of(cache: &CacheDir) -> Self {
        Self { dir: cache.root().join(ROOM) }
    }

    /// Makes the room, too.
    pub(super) fn room(cache: &CacheDir) -> Result<Self, Stop> {
        Ok(Self { dir: room(cache, ROOM)? })
    }

    pub(super) fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    pub(super) fn path(&self, sha256: &str) -> Utf8PathBuf {
        self.dir.join(format!("{sha256}.deb"))
    }

    /// Whether a package is here and whole.
    fn holds(&self, package: &LockedPackage) -> bool {
        is_it(&self.path(&package.sha256), package).unwrap_or(false)
    }
}

/// Whether a file is a package's.
fn is_it(file: &Utf8Path, package: &LockedPackage) -> io::Result<bool> {
    if file.metadata()?.len() != package.size {
        return Ok(false);
    }
    Ok(files::sha256(fs_err::read(file)?) == package.sha256)
}

/// Where packages may come from.
enum Source<'a> {
    /// A folder of this machine.
    Folder(Utf8PathBuf),
    /// What apt fetches from.
    Server(&'a AptFacts),
}

/// Why packages are still missing, by source, as a sentence.
type Reasons = Vec<String>;

impl Sysroots<'_> {
    /// Makes sure that all package files of a sysroot are in the cache.
    pub(super) fn fetch(&self, locked: &LockedSysroot, archive: &Archive) -> Result<(), Stop> {
        let missing = |debs: &Debs| -> Vec<&LockedPackage> {
            let mut missing: Vec<_> = locked.packages.iter().filter(|package| !debs.holds(package)).collect();
            // The smallest first: it tells quickly whether a server answers at all.
            missing.sort_by_key(|package| package.size);
            missing
        };
        if missing(&Debs::of(self.cache)).is_empty() {
            return Ok(());
        }
        let debs = Debs::room(self.cache)?;
        let _lock = self.lock(debs.dir())?;
        let mut left = missing(&debs);
        if left.is_empty() {
            return Ok(());
        }
        if self.offline {
            let reason = format!("{} not in the cache, and nothing may be fetched", are(&left, locked));
            let hint = "run once without --offline, or bring them with `cargo convoy supply unpack FILE`";
            return Err(Stop::work(reason, hint));
        }
        remove_begun(debs.dir())?;
        let mut work = Fetching { own: self, debs: &debs, locked, total: left.iter().map(|p| p.size).sum(), done: 0 };
        let mut reasons = Reasons::new();
        for root in self.roots(archive, locked) {
            if left.is_empty() {
                break;
            }
            match self.source(&root) {
                Some(Source::Folder(dir)) => work.copy(&dir, &mut left, &mut reasons)?,
                Some(Source::Server(apt)) => work.download(apt, &root, &mut left, &mut reasons)?,
                None => reasons.push(format!("this machine has no apt to fetch from {} with", told::shown(&root))),
            }
        }
        if left.is_empty() { Ok(()) } else { Err(refused(&left, locked, &reasons)) }
    }

    /// Where to look, in order.
    fn roots(&self, archive: &Archive, locked: &LockedSysroot) -> Vec<String> {
        let mut roots = self.mirrors(archive);
        let date = locked.date.strftime("%Y%m%dT%H%M%SZ").to_string();
        roots.extend(archive.snapshot.iter().map(|snapshot| snapshot.replace(DATE, &date)));
        roots.iter().map(|root| root.trim_end_matches('/').to_owned()).collect()
    }

    /// The mirrors of an archive: those that configuration names, else this machine's own.
    pub(super) fn mirrors(&self, archive: &Archive) -> Vec<String> {
        if archive.mirrors.is_empty() {
            self.apt.and_then(|apt| apt.mirror.clone()).into_iter().collect()
        } else {
            archive.mirrors.clone()
        }
    }

    fn source(&self, root: &str) -> Option<Source<'_>> {
        let folder = root.strip_prefix("file:").or_else(|| root.strip_prefix("copy:"));
        match folder {
            Some(path) => Some(Source::Folder(told::decoded(path.strip_prefix("//").unwrap_or(path))?.into())),
            None => self.apt.map(Source::Server),
        }
    }
}

/// `package `x` 1.0 and 3 more of sysroot bookworm/armhf are`.
fn are(left: &[&LockedPackage], locked: &LockedSysroot) -> String {
    let Some(first) = left.first() else { return String::new() };
    let first = format!("package `{}` {}", first.name, first.version);
    match left.len() - 1 {
        0 => format!("{first} of sysroot {} is", locked.key),
        more => format!("{first} and {more} more of sysroot {} are", locked.key),
    }
}

fn refused(left: &[&LockedPackage], locked: &LockedSysroot, reasons: &Reasons) -> Stop {
    let why = if reasons.is_empty() { "no mirror is known".to_owned() } else { reasons.join("; ") };
    let hint = "`cargo convoy supply update` takes what the archive has now; an archive of old packages can be named by \
                `[supply] snapshot`; `cargo convoy supply unpack FILE` takes them from a file that `cargo convoy supply \
                pack` wrote on a machine that has them";
    Stop::work(format!("{} not to be had: {why}", are(left, locked)), hint)
}

/// One attempt to get the missing packages of a sysroot.
struct Fetching<'a> {
    own: &'a Sysroots<'a>,
    debs: &'a Debs,
    locked: &'a LockedSysroot,
    total: u64,
    done: u64,
}

impl Fetching<'_> {
    fn tell(&self, more: u64) {
        (self.own.progress)(Progress::Fetching { done: (self.done + more).min(self.total), total: self.total });
    }

    /// Takes a fetched file when it is the right one.
    fn take(&mut self, file: &Utf8Path, package: &LockedPackage) -> Result<bool, Stop> {
        if !is_it(file, package)? {
            return Ok(false);
        }
        fs_err::rename(file, self.debs.path(&package.sha256))?;
        self.done += package.size;
        Ok(true)
    }

    fn copy(&mut self, archive: &Utf8Path, left: &mut Vec<&LockedPackage>, reasons: &mut Reasons) -> Result<(), Stop> {
        let (_guard, dir) = begin(self.debs.dir())?;
        let mut faults = BTreeMap::new();
        for package in std::mem::take(left) {
            self.own.interrupt.check()?;
            let from = archive.join(&package.path);
            let copy = dir.join("deb");
            let taken = match fs_err::File::open(&from) {
                Ok(mut from) => {
                    io::copy(&mut from, &mut fs_err::File::create(&copy)?)?;
                    self.take(&copy, package)?
                }
                Err(error) => {
                    faults.entry(package.name.clone()).or_insert(error.to_string());
                    false
                }
            };
            if !taken {
                faults
                    .entry(package.name.clone())
                    .or_insert_with(|| format!("{archive} has another file in its place"));
                left.push(package);
            }
            self.tell(0);
        }
        reasons.extend(left.first().and_then(|package| faults.remove(&package.name)));
        Ok(())
    }

    fn download(
        &mut self,
        facts: &AptFacts,
        root: &str,
        left: &mut Vec<&LockedPackage>,
        reasons: &mut Reasons,
    ) -> Result<(), Stop> {
        let (_guard, dir) = begin(self.debs.dir())?;
        let own = dir.join("apt");
        let apt = PrivateApt::prepare(facts, &own, &self.locked.key.architecture, None, self.own.limits)?;
        let into = dir.join("debs");
        fs_err::create_dir(&into)?;
        // One by itself first: a server that does not answer is not asked for each of a hundred.
        let mut waiting = std::mem::take(left).into_iter();
        let mut batch: Vec<&LockedPackage> = waiting.by_ref().take(1).collect();
        let mut reason = None;
        while !batch.is_empty() {
            let addresses: BTreeMap<&str, String> = batch
                .iter()
                .map(|package| (package.sha256.as_str(), format!("{root}/{}", told::encoded(package.path.as_str()))))
                .collect();
            let files = batch.iter().map(|package| {
                let name = format!("{}.deb", package.sha256);
                (addresses[package.sha256.as_str()].clone(), into.join(name), package.sha256.as_str())
            });
            let said = apt.download(files, &into, self.own.interrupt, &mut |bytes| self.tell(bytes))?;
            let text = said.as_ref().map(|said| said.all.as_str()).unwrap_or_default();
            let mut dead = said.is_none();
            if dead {
                reason = Some(apt.sent_nothing(root));
            }
            for package in std::mem::take(&mut batch) {
                let file = into.join(format!("{}.deb", package.sha256));
                if file.is_file() && self.take(&file, package)? {
                    continue;
                }
                let (why, is_dead) = why_not(text, &addresses[package.sha256.as_str()], root);
                dead |= is_dead;
                reason.get_or_insert(why);
                left.push(package);
            }
            self.tell(0);
            if dead {
                left.extend(waiting.by_ref());
            }
            batch = waiting.by_ref().take(AT_ONCE).collect();
        }
        reasons.extend(reason);
        Ok(())
    }
}

/// Why a server did not give a file, and whether it gives none at all.
fn why_not(said: &str, address: &str, root: &str) -> (String, bool) {
    let root = told::shown(root);
    let address = told::shown(address);
    let failed = told::failed_files(said);
    let own = failed.iter().find(|(failed, _)| told::decoded(&told::shown(failed)) == told::decoded(&address));
    let Some((_, reason)) = own.or(failed.first()) else {
        return (format!("the archive {root} gave no such file"), false);
    };
    if reason.starts_with("404") || reason.starts_with("File not found") {
        (format!("the archive {root} has it no longer"), false)
    } else if reason.contains("Hash Sum mismatch") || reason.contains("unexpected size") {
        (format!("the archive {root} has another file in its place"), false)
    } else if let Some(reason) = told::unreachable(reason) {
        (format!("the archive {root} {reason}"), true)
    } else {
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        (format!("the archive {root} did not give it: {reason}"), false)
    }
}

/// Reads a whole package for whoever packs it.
pub(super) fn whole(debs: &Debs, package: &LockedPackage) -> Result<Vec<u8>, Stop> {
    let bytes = fs_err::read(debs.path(&package.sha256))?;
    if files::sha256(&bytes) == package.sha256 {
        return Ok(bytes);
    }
    let reason = format!("package `{}` in the cache was changed by something else", package.name);
    Err(Stop::work(reason, "start again: it is fetched anew"))
}
