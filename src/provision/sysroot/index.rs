//! An archive's signed index, and what it says of packages that a lock names.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;

use super::apt::{PrivateApt, Setup};
use super::apt_output::{self, IndexFault, Release};
use super::fetch::AT_ONCE;
use super::source::Source;
use super::stanza::{self, Described};
use super::{Stop, Sysroots, room};
use crate::machine::AptFacts;
use crate::machine::interrupt::Interrupt;
use crate::model::sysroot::{Archive, SysrootKey};
use crate::project::lock::{LockedPackage, LockedSysroot};
use crate::util::files::{self, PlainFile, SMALL};

const ROOM: &str = "apt";
/// The checksum of the entry of a lock that was last found in this index as a whole.
const FOUND: &str = "found";

/// The index of a source, with apt in the folder that holds it.
#[derive(Debug)]
pub(super) struct Index<'a> {
    pub(super) apt: PrivateApt<'a>,
    pub(super) release: Release,
    /// The roots that it is of.
    pub(super) roots: Vec<String>,
    /// Why security fixes are not in it, where there might be some.
    pub(super) without: Option<String>,
    /// The date of its newest part.
    pub(super) date: Timestamp,
    dir: Utf8PathBuf,
    interrupt: &'a Interrupt,
    _lock: fs_err::File,
}

/// What an index says of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// It has this very file.
    Signed,
    /// It has another file of this version.
    Otherwise,
    /// It does not have this version; these it has.
    Absent(Vec<String>),
}

impl<'s> Sysroots<'s> {
    /// The keys that an archive must be signed with: those that configuration names, else Debian's own. Never all that
    /// apt trusts on this machine, some of which sign for others.
    pub(super) fn keyring<'k>(&self, archive: &'k Archive, apt: &'k AptFacts) -> Option<&'k Utf8Path> {
        archive.keyring.as_deref().or(apt.keyring.as_deref())
    }

    /// apt in the folder that is kept for a source, with its lock held.
    pub(super) fn private_apt<'a>(
        &self,
        apt: &'a AptFacts,
        source: &Source,
        key: &SysrootKey,
        keyring: Option<&Utf8Path>,
    ) -> Result<(PrivateApt<'a>, Utf8PathBuf, fs_err::File), Stop> {
        room(self.cache, ROOM)?;
        let dir = self.folder(source, key, keyring);
        fs_err::create_dir_all(&dir)?;
        let lock = self.lock(&dir)?;
        let setup = Setup { architecture: &key.architecture, keyring, source, limits: self.limits };
        Ok((PrivateApt::prepare(apt, &dir, &setup)?, dir, lock))
    }

    /// The folder that is kept for a source: what one keyring trusts, another need not.
    fn folder(&self, source: &Source, key: &SysrootKey, keyring: Option<&Utf8Path>) -> Utf8PathBuf {
        let digest = files::sha256(format!("{key}\0{source:?}\0{keyring:?}"));
        self.cache.root().join(ROOM).join(format!("{}-{}-{}", key.suite, key.architecture, &digest[..16]))
    }

    /// Whether all of a sysroot was found in the index of a source before; nothing of that changes.
    pub(super) fn has_found(&self, source: &Source, locked: &LockedSysroot, keyring: Option<&Utf8Path>) -> bool {
        let found = self.folder(source, &locked.key, keyring).join(FOUND);
        let found = PlainFile::open(&found, SMALL).and_then(|file| file.read_text());
        found.is_ok_and(|found| found == locked.checksum())
    }

    /// Fetches the index of a source, and checks its signature; why it cannot be used, if so.
    pub(super) fn index<'a>(
        &'a self,
        apt: &'a AptFacts,
        source: &Source,
        key: &SysrootKey,
        keyring: &Utf8Path,
    ) -> Result<Result<Index<'a>, IndexFault>, Stop> {
        let (apt, dir, lock) = self.private_apt(apt, source, key, Some(keyring))?;
        let root = source.main.plain();
        let (roots, without) = match apt.update(&key.suite, self.interrupt)? {
            Ok(updated) => (updated.roots.into_iter().map(str::to_owned).collect::<Vec<_>>(), updated.without),
            Err(fault) => return Ok(Err(fault)),
        };
        let fault = |reason: String| Ok(Err(IndexFault { reason, dead: false, missing: None }));
        let releases = releases(&apt.lists());
        let security = apt_output::security_suite(&key.suite);
        let fixes = releases.iter().find(|release| release.names.contains(&security));
        if roots.len() > 1 && fixes.is_none() {
            return fault(format!("the archive {} returns another suite instead of `{security}`", roots[1]));
        }
        let own = releases.iter().find(|release| release.names.contains(&key.suite));
        let own = own.or_else(|| releases.iter().find(|release| !release.names.contains(&security)));
        let Some(release) = own.cloned() else {
            return fault(format!("the index of `{}` at {root} has no date", key.suite));
        };
        if let Some(lack) = release.lacks(key) {
            return fault(format!("the archive {root} {lack}"));
        }
        let date = fixes.map_or(release.date, |fixes| fixes.date.max(release.date));
        Ok(Ok(Index { apt, release, roots, without, date, dir, interrupt: self.interrupt, _lock: lock }))
    }
}

impl Index<'_> {
    /// What it says of packages with these names.
    pub(super) fn described(&self, names: &[&str]) -> Result<Vec<Described>, Stop> {
        let mut found = Vec::new();
        for names in names.chunks(AT_ONCE) {
            found.extend(stanza::paragraphs(&self.apt.show(names.iter().copied(), self.interrupt)?));
        }
        Ok(found)
    }

    /// Holds packages against it, in their order.
    pub(super) fn judge(&self, packages: &[&LockedPackage]) -> Result<Vec<Listing>, Stop> {
        let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
        let mut known: BTreeMap<String, Vec<Described>> = BTreeMap::new();
        for described in self.described(&names)? {
            known.entry(described.name.clone()).or_default().push(described);
        }
        Ok(packages
            .iter()
            .map(|package| listing(package, known.get(&package.name).map_or(&[], Vec::as_slice)))
            .collect())
    }

    /// Remembers that all of a sysroot is in it.
    pub(super) fn remember(&self, locked: &LockedSysroot) {
        // A cache that cannot be written only costs time.
        let _ = files::replace(&self.dir.join(FOUND), locked.checksum());
    }
}

fn listing(package: &LockedPackage, known: &[Described]) -> Listing {
    let same_build =
        |described: &&Described| described.version == package.version && described.architecture == package.architecture;
    let mut builds = known.iter().filter(same_build).peekable();
    if builds.peek().is_none() {
        return Listing::Absent(known.iter().map(|described| described.version.clone()).collect());
    }
    match builds.any(|described| described.sha256.as_deref() == Some(package.sha256.as_str())) {
        true => Listing::Signed,
        false => Listing::Otherwise,
    }
}

/// The Release files that apt has fetched.
fn releases(lists: &Utf8Path) -> Vec<Release> {
    let mut files: Vec<Utf8PathBuf> =
        lists.read_dir_utf8().into_iter().flatten().flatten().map(|entry| entry.into_path()).collect();
    files.sort();
    let release = |file: &&Utf8PathBuf| file.as_str().ends_with("_InRelease") || file.as_str().ends_with("_Release");
    let text = |file: &Utf8PathBuf| PlainFile::open(file, SMALL).and_then(|file| file.read_text()).ok();
    files.iter().filter(release).filter_map(text).filter_map(|text| apt_output::release(&text)).collect()
}

impl Release {
    /// Why an archive does not serve a key, though its index is in order: apt only notes such things.
    fn lacks(&self, key: &SysrootKey) -> Option<String> {
        let SysrootKey { suite, architecture, .. } = key;
        if !self.names.contains(suite) {
            Some(format!("returns `{}` instead of `{suite}`", self.names.join(" or ")))
        } else if !self.architectures.contains(architecture) {
            Some(format!("has no packages for {architecture} in `{suite}`"))
        } else if !self.components.iter().any(|component| component == "main") {
            Some(format!("has no component `main` in `{suite}`"))
        } else {
            None
        }
    }
}
