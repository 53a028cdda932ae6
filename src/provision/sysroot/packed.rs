//! A packed file: a tar with a copy of the lock, then every package that it names. For a machine without a network, and
//! for a CI's cache.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use camino::Utf8Path;

use super::fetch::{self, Debs};
use super::{Stop, Sysroots, begin, remove_begun};
use crate::error::{Error, Result};
use crate::files;
use crate::host::CacheDir;
use crate::interrupt::Interrupt;
use crate::lock::{ConvoyLock, FILE_NAME, LockedPackage};
use crate::sysroot::{Archive, SysrootKey};

const FOLDER: &str = "debs";
/// More than any lock: a foreign file is not read into memory as a whole.
const LONGEST_LOCK: u64 = 64 * 1024 * 1024;

/// What a packed file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The lock.
    pub lock: ConvoyLock,
    /// Package files.
    pub packages: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Every package of a lock, by its digest.
fn packages(lock: &ConvoyLock) -> BTreeMap<&str, &LockedPackage> {
    let all = lock.sysroots().iter().flat_map(|sysroot| &sysroot.packages);
    all.map(|package| (package.sha256.as_str(), package)).collect()
}

fn packed(lock: &ConvoyLock) -> Packed {
    let all = packages(lock);
    let (packages, bytes) = (all.len(), all.values().map(|package| package.size).sum());
    Packed { lock: lock.clone(), packages, bytes }
}

impl Sysroots<'_> {
    pub(super) fn pack_all(
        &self,
        lock: &ConvoyLock,
        archive: &dyn Fn(&SysrootKey) -> Archive,
        file: &Utf8Path,
    ) -> Result<Packed, Stop> {
        for locked in lock.sysroots() {
            self.fetch(locked, &archive(&locked.key))?;
        }
        let debs = Debs::of(self.cache);
        let unwritable = |error: std::io::Error| {
            Error::work(format!("{file} could not be written")).because(error).hint("choose another place for it")
        };
        let dir = file.parent().filter(|dir| !dir.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
        // Written beside and renamed, so that nobody takes half of it for the whole.
        let mut beside = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // Made for others to read, unlike most temporary files.
            beside.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut beside = beside.tempfile_in(dir).map_err(unwritable)?;
        {
            let mut builder = tar::Builder::new(std::io::BufWriter::new(beside.as_file_mut()));
            append(&mut builder, FILE_NAME, lock.text()?.as_bytes()).map_err(unwritable)?;
            for package in packages(lock).into_values() {
                self.interrupt.check()?;
                let bytes = fetch::whole(&debs, package)?;
                append(&mut builder, &format!("{FOLDER}/{}.deb", package.sha256), &bytes).map_err(unwritable)?;
            }
            builder.into_inner().and_then(|mut file| file.flush()).map_err(unwritable)?;
        }
        beside.persist(file).map_err(|error| unwritable(error.error))?;
        Ok(packed(lock))
    }
}

fn append<W: Write>(builder: &mut tar::Builder<W>, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    // No times and no owners: the same packages make the same file.
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, bytes)
}

/// Takes the packages of a packed file into the cache. A file that is damaged, or is something else, changes nothing.
pub fn unpack(file: &Utf8Path, cache: &CacheDir, interrupt: &Interrupt) -> Result<Packed> {
    let opened =
        fs_err::File::open(file).map_err(|error| Error::usage(format!("{file} cannot be read")).because(error))?;
    let mut archive = tar::Archive::new(std::io::BufReader::new(opened));
    let foreign = || {
        Error::usage(format!("{file} is no file of `cargo convoy supply pack`"))
            .hint("name the file that `cargo convoy supply pack FILE` wrote")
    };
    let damaged = |what: String| {
        Error::work(format!("{file} is damaged: {what}; nothing of it was taken"))
            .hint("copy it again from the machine that packed it")
    };
    let mut entries = archive.entries().map_err(|_| foreign())?;
    let lock = match entries.next() {
        Some(Ok(mut entry)) if entry.path().is_ok_and(|path| path.as_os_str() == FILE_NAME) => {
            let mut text = String::new();
            entry.by_ref().take(LONGEST_LOCK).read_to_string(&mut text).map_err(|_| foreign())?;
            ConvoyLock::parse(&text, &format!("{FILE_NAME} in {file}"))?
        }
        _ => return Err(foreign()),
    };
    let known = packages(&lock);

    let debs = Debs::room(cache).map_err(plain)?;
    let room = fs_err::File::create(debs.dir().join(".lock"))?;
    interrupt.lock(&room, || {})?;
    let (_guard, dir) = remove_begun(debs.dir()).and_then(|()| begin(debs.dir())).map_err(plain)?;
    let mut found = BTreeSet::new();
    for entry in entries {
        interrupt.check()?;
        let mut entry = entry.map_err(|error| damaged(error.to_string()))?;
        let path = entry.path().map_err(|error| damaged(error.to_string()))?.into_owned();
        let digest = path.to_str().and_then(|path| path.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".deb"));
        let Some(package) = digest.and_then(|digest| known.get(digest)) else {
            return Err(damaged(format!("its lock does not name `{}`", path.display())));
        };
        let mut bytes = Vec::new();
        let read = entry.by_ref().take(package.size + 1).read_to_end(&mut bytes);
        read.map_err(|error| damaged(error.to_string()))?;
        if files::sha256(&bytes) != package.sha256 {
            return Err(damaged(format!("package `{}` {} has a wrong SHA-256", package.name, package.version)));
        }
        fs_err::write(dir.join(&package.sha256), bytes)?;
        found.insert(package.sha256.as_str());
    }
    let missing = known.values().find(|package| !found.contains(package.sha256.as_str()));
    if let Some(package) = missing {
        return Err(damaged(format!("package `{}` {} is missing in it", package.name, package.version)));
    }
    for digest in found {
        fs_err::rename(dir.join(digest), debs.path(digest))?;
    }
    Ok(packed(&lock))
}

/// A refusal as an error, where no other target can go on.
fn plain(stop: Stop) -> Error {
    match stop {
        Stop::Error(error) => error,
        Stop::Refused(refused) => {
            let error = Error::work(refused.reason);
            match refused.hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        }
    }
}
