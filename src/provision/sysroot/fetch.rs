//! Package files: kept in the cache under their SHA-256, which is looked at here whoever brought them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::apt::PrivateApt;
use super::index::Listing;
use super::source::{self, Source};
use super::{Progress, Stop, Sysroots, apt_output, begin, remove_begun, room};
use crate::machine::CacheDir;
use crate::model::sysroot::Archive;
use crate::model::sysroot::address::decoded;
use crate::project::config::Forbidden;
use crate::project::lock::{LockedPackage, LockedSysroot};
use crate::util::credentials::without_credentials;
use crate::util::files::PlainFile;

const ROOM: &str = "debs";
/// Files that apt fetches in one go: their names must fit a command line.
pub(super) const AT_ONCE: usize = 300;

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
        is_it(&self.path(&package.sha256), package, io::sink()).unwrap_or(false)
    }
}

/// Whether a file is a package's; its bytes are copied while they are looked at.
fn is_it(file: &Utf8Path, package: &LockedPackage, to: impl io::Write) -> io::Result<bool> {
    let copied = PlainFile::open(file, package.size)?.copy_to(to)?;
    Ok(copied.size == package.size && copied.sha256 == package.sha256)
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
        if let Some(Forbidden { reason, hint }) = self.offline {
            let reason = format!("{} not in the cache, and {reason}", are(&left, locked));
            let hint = format!("{hint}, or import them with `cargo convoy supply unpack FILE`");
            return Err(Stop::work(reason, hint));
        }
        remove_begun(debs.dir())?;
        let total = left.iter().fold(0_u64, |sum, package| sum.saturating_add(package.size));
        let mut work = Fetching { own: self, debs: &debs, locked, archive, total, done: 0, denied: BTreeSet::new() };
        let mut reasons = Reasons::new();
        let mut sources = Source::mirrors(&self.mirrors(archive), archive);
        sources.extend(Source::snapshot(archive, locked.date));
        for source in &sources {
            if left.is_empty() {
                break;
            }
            work.take_from(source, &mut left, &mut reasons)?;
        }
        if left.is_empty() { Ok(()) } else { Err(refused(&left, locked, &reasons)) }
    }

    /// The mirrors of an archive: those that configuration names, else this machine's own.
    pub(super) fn mirrors(&self, archive: &Archive) -> Vec<String> {
        if archive.mirrors.is_empty() {
            self.apt.and_then(|apt| apt.mirror.clone()).into_iter().collect()
        } else {
            archive.mirrors.clone()
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
    let why = if reasons.is_empty() { "no mirror is configured".to_owned() } else { reasons.join("; ") };
    let hint = "run `cargo convoy supply update` to use the archive's current packages, set `snapshot` under \
                `[supply]` in `Convoy.toml` \
                to an archive of old packages, or import them with `cargo convoy supply unpack FILE` from a machine \
                that has them (`cargo convoy supply pack FILE`)";
    Stop::work(format!("{} not available: {why}", are(left, locked)), hint)
}

/// One attempt to get the missing packages of a sysroot.
struct Fetching<'a> {
    own: &'a Sysroots<'a>,
    debs: &'a Debs,
    locked: &'a LockedSysroot,
    archive: &'a Archive,
    total: u64,
    done: u64,
    /// The packages of which a signed index has other files; only another signed index makes up for that.
    denied: BTreeSet<String>,
}

impl Fetching<'_> {
    fn tell(&self, more: u64) {
        (self.own.progress)(Progress::Fetching { done: (self.done + more).min(self.total), total: self.total });
    }

    /// Takes what a source has of the missing packages. Where its signed index can be had, they are held against it first.
    fn take_from(
        &mut self,
        source: &Source,
        left: &mut Vec<&LockedPackage>,
        reasons: &mut Reasons,
    ) -> Result<(), Stop> {
        let key = &self.locked.key;
        let prepared = match self.own.apt {
            None => None,
            Some(apt) => {
                let keyring = self.own.keyring(self.archive, apt);
                if let Some(keyring) = keyring.filter(|_| !self.own.has_found(source, self.locked, keyring)) {
                    match self.judge(source, keyring, left)? {
                        Ok(()) => {}
                        // It does not answer for files, either.
                        Err(fault) if fault.dead => {
                            reasons.push(fault.reason);
                            return Ok(());
                        }
                        Err(_) => {}
                    }
                }
                Some(self.own.private_apt(apt, source, key, keyring)?)
            }
        };
        let (denied, mut asked): (Vec<&LockedPackage>, Vec<_>) =
            std::mem::take(left).into_iter().partition(|package| self.denied.contains(&package.sha256));
        if let Some(package) = denied.first() {
            let (name, root) = (&package.name, source.main.plain());
            reasons
                .push(format!("the signed index of {root} or of another mirror lists a different file for `{name}`"));
        }
        for root in source.roots() {
            if asked.is_empty() {
                break;
            }
            match (source::folder(root), &prepared) {
                (Some(dir), _) => self.copy(Utf8Path::new(&dir), &mut asked, reasons)?,
                (None, Some((apt, ..))) => self.download(apt, root.plain(), &mut asked, reasons)?,
                (None, None) => {
                    reasons.push(format!("apt, which downloads from {}, is missing on this machine", root.plain()))
                }
            }
        }
        left.extend(denied);
        left.append(&mut asked);
        Ok(())
    }

    /// Holds packages against the signed index of a source; why that cannot be had, if so.
    fn judge(
        &mut self,
        source: &Source,
        keyring: &Utf8Path,
        packages: &[&LockedPackage],
    ) -> Result<Result<(), apt_output::IndexFault>, Stop> {
        let Some(apt) = self.own.apt else { return Ok(Ok(())) };
        (self.own.progress)(Progress::Checking);
        let index = match self.own.index(apt, source, &self.locked.key, keyring)? {
            Ok(index) => index,
            Err(fault) => return Ok(Err(fault)),
        };
        let listings = index.judge(packages)?;
        for (package, listing) in packages.iter().zip(&listings) {
            match listing {
                Listing::Signed => _ = self.denied.remove(&package.sha256),
                Listing::Otherwise => _ = self.denied.insert(package.sha256.clone()),
                // The archive has moved on. What it had before may still be there.
                Listing::Absent(_) => {}
            }
        }
        if packages.len() == self.locked.packages.len() && listings.iter().all(|listing| *listing == Listing::Signed) {
            index.remember(self.locked);
        }
        Ok(Ok(()))
    }

    /// Takes a file when it is the right one: what is kept are the very bytes that were looked at.
    fn take(&mut self, file: &Utf8Path, package: &LockedPackage, dir: &Utf8Path) -> Result<bool, Stop> {
        let copy = dir.join("checked");
        if !is_it(file, package, fs_err::File::create(&copy)?)? {
            return Ok(false);
        }
        fs_err::rename(copy, self.debs.path(&package.sha256))?;
        self.done += package.size;
        Ok(true)
    }

    fn copy(&mut self, archive: &Utf8Path, left: &mut Vec<&LockedPackage>, reasons: &mut Reasons) -> Result<(), Stop> {
        let (_guard, dir) = begin(self.debs.dir())?;
        let mut faults = BTreeMap::new();
        for package in std::mem::take(left) {
            self.own.interrupt.check()?;
            let from = archive.join(&package.path);
            let taken = match PlainFile::open(&from, package.size) {
                Ok(_) => self.take(&from, package, &dir)?,
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => false,
                Err(error) => {
                    faults.entry(package.name.clone()).or_insert(error.to_string());
                    false
                }
            };
            if !taken {
                faults
                    .entry(package.name.clone())
                    .or_insert_with(|| format!("{archive} has a different file in its place"));
                left.push(package);
            }
            self.tell(0);
        }
        reasons.extend(left.first().and_then(|package| faults.remove(&package.name)));
        Ok(())
    }

    fn download(
        &mut self,
        apt: &PrivateApt<'_>,
        root: &str,
        left: &mut Vec<&LockedPackage>,
        reasons: &mut Reasons,
    ) -> Result<(), Stop> {
        let (_guard, dir) = begin(self.debs.dir())?;
        let into = dir.join("debs");
        apt.folder_for_files(&into)?;
        // One by itself first: a server that does not answer is not asked for each of a hundred.
        let mut waiting = std::mem::take(left).into_iter();
        let mut batch: Vec<&LockedPackage> = waiting.by_ref().take(1).collect();
        let mut reason = None;
        while !batch.is_empty() {
            let addresses: BTreeMap<&str, String> = batch
                .iter()
                .map(|package| {
                    (package.sha256.as_str(), format!("{root}/{}", apt_output::encoded(package.path.as_str())))
                })
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
                if file.is_file() && self.take(&file, package, &dir)? {
                    fs_err::remove_file(file)?;
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
        // Of what is only elsewhere another root of the source may tell.
        reasons.extend(reason.filter(|_| !left.is_empty()));
        Ok(())
    }
}

/// Why a server did not give a file, and whether it gives none at all.
fn why_not(said: &str, address: &str, root: &str) -> (String, bool) {
    let failed = apt_output::failed_files(said);
    let own = failed.iter().find(|(failed, _)| decoded(&without_credentials(failed)) == decoded(address));
    let Some((_, reason)) = own.or(failed.first()) else {
        return (format!("the archive {root} did not return the file"), false);
    };
    if reason.starts_with("404") || reason.starts_with("File not found") {
        (format!("the archive {root} no longer has it"), false)
    } else if reason.contains("Hash Sum mismatch") || reason.contains("unexpected size") {
        (format!("the archive {root} has a different file in its place"), false)
    } else if let Some(reason) = apt_output::unreachable(reason) {
        (format!("the archive {root} {reason}"), true)
    } else {
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        (format!("download from the archive {root} failed: {reason}"), false)
    }
}

/// Reads a whole package for whoever packs it.
pub(super) fn whole(debs: &Debs, package: &LockedPackage) -> Result<Vec<u8>, Stop> {
    let mut bytes = Vec::new();
    if is_it(&debs.path(&package.sha256), package, &mut bytes).unwrap_or(false) {
        return Ok(bytes);
    }
    let reason = format!("package `{}` in the cache was modified by something else", package.name);
    Err(Stop::work(reason, "run the command again to download it again"))
}
