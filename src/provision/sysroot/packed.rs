//! A packed file: a tar with a copy of the lock, then every package that it names. For a machine without a network, and
//! for a CI's cache.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use camino::Utf8Path;

use super::fetch::{self, Debs};
use super::{Stop, Sysroots, begin, remove_begun};
use crate::machine::CacheDir;
use crate::machine::interrupt::Interrupt;
use crate::model::sysroot::{Archive, SysrootKey};
use crate::project::lock::{ConvoyLock, FILE_NAME, LockedPackage};
use crate::util::error::{Error, Result};
use crate::util::files::{self, LONGEST_NAME, PlainFile, SMALL, UnpackBudget};

const FOLDER: &str = "debs";
/// The largest packed file, in bytes.
const LARGEST: u64 = 1 << 40;

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
    let (packages, bytes) = (all.len(), all.values().fold(0_u64, |sum, package| sum.saturating_add(package.size)));
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
            Error::work(format!("could not write {file}")).because(error).hint("choose another path for the file")
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
    let opened = PlainFile::open(file, LARGEST)
        .map_err(|error| Error::usage(format!("could not read {file}")).because(error))?;
    // It is not compressed, so there is never more in it than it has bytes.
    let budget = UnpackBudget::of_packed(opened.size());
    let reader = budget.reader(std::io::BufReader::new(opened.into_file()));
    let mut archive = tar::Archive::new(reader);
    let taken = take(&mut archive, &budget, file, cache, interrupt);
    match budget.exceeded() {
        Some(reason) => Err(damaged(file, &reason)),
        None => taken,
    }
}

fn foreign(file: &Utf8Path) -> Error {
    Error::usage(format!("{file} was not written by `cargo convoy supply pack`"))
        .hint("specify a file that was written by `cargo convoy supply pack FILE`")
}

fn damaged(file: &Utf8Path, what: &str) -> Error {
    Error::work(format!("{file} is damaged: {what}; nothing was imported"))
        .hint("copy it again from the machine that wrote it")
}

fn take(
    archive: &mut tar::Archive<impl Read>,
    budget: &UnpackBudget,
    file: &Utf8Path,
    cache: &CacheDir,
    interrupt: &Interrupt,
) -> Result<Packed> {
    let broken = |error: std::io::Error| damaged(file, &error.to_string());
    budget.expect_headers();
    let mut entries = archive.entries().map_err(|_| foreign(file))?;
    let lock = match entries.next() {
        Some(Ok(mut entry)) if is_plain(&entry) && entry.path().is_ok_and(|path| path.as_os_str() == FILE_NAME) => {
            budget.expect_contents();
            let mut text = String::new();
            entry.by_ref().take(SMALL).read_to_string(&mut text).map_err(|_| foreign(file))?;
            std::io::copy(&mut entry, &mut std::io::sink()).map_err(broken)?;
            ConvoyLock::parse(&text, &format!("{FILE_NAME} in {file}"))?
        }
        _ => return Err(foreign(file)),
    };
    lock.require_unedited()?;
    let known = packages(&lock);

    let debs = Debs::room(cache).map_err(plain)?;
    let room = fs_err::File::create(debs.dir().join(".lock"))?;
    interrupt.lock(&room, || {})?;
    let (_guard, dir) = remove_begun(debs.dir()).and_then(|()| begin(debs.dir())).map_err(plain)?;
    let mut found = BTreeSet::new();
    budget.expect_headers();
    for entry in entries {
        interrupt.check()?;
        let mut entry = entry.map_err(broken)?;
        budget.expect_contents();
        let package = named(&entry, &known).map_err(|what| damaged(file, &what))?;
        let wrong =
            |what: &str| damaged(file, &format!("package `{}` {} has a wrong {what}", package.name, package.version));
        if entry.size() != package.size {
            return Err(wrong("size"));
        }
        let copied = files::copy(&mut entry, fs_err::File::create(dir.join(&package.sha256))?).map_err(broken)?;
        if copied.sha256 != package.sha256 || copied.size != package.size {
            return Err(wrong("SHA-256"));
        }
        found.insert(package.sha256.as_str());
        budget.expect_headers();
    }
    let missing = known.values().find(|package| !found.contains(package.sha256.as_str()));
    if let Some(package) = missing {
        let what = format!("package `{}` {} is missing", package.name, package.version);
        return Err(damaged(file, &what));
    }
    for digest in found {
        fs_err::rename(dir.join(digest), debs.path(digest))?;
    }
    Ok(packed(&lock))
}

/// Whether an entry is a file as `supply pack` writes them; a sparse one unpacks to as much as it likes.
fn is_plain<R: Read>(entry: &tar::Entry<'_, R>) -> bool {
    entry.header().entry_type() == tar::EntryType::Regular
}

/// The package that an entry is of.
fn named<'k, R: Read>(
    entry: &tar::Entry<'_, R>,
    known: &BTreeMap<&str, &'k LockedPackage>,
) -> std::result::Result<&'k LockedPackage, String> {
    let path = entry.path().map_err(|error| error.to_string())?;
    let name = path.to_str().filter(|name| name.len() <= LONGEST_NAME);
    let digest = name.and_then(|name| name.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".deb"));
    let Some(package) = digest.and_then(|digest| known.get(digest)) else {
        return Err(format!("its `Convoy.lock` does not list `{}`", name.unwrap_or("…")));
    };
    if !is_plain(entry) {
        return Err(format!("`{}` is not a regular file", path.display()));
    }
    Ok(package)
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
