//! `Convoy.lock`, beside `Cargo.lock`: exactly which packages the project's sysroots hold, and what its images are, so
//! that a later build, on another machine, uses the same. Reading and writing it are the only effects here.

mod image;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use serde::Serialize;

use crate::model::sysroot::SysrootKey;
use crate::util::error::{Error, Result};
use crate::util::files::{self, LARGE, PlainFile, SMALL};
pub(crate) use image::LockedImage;
pub(crate) use read::{is_digest, is_pool_path, is_word};

/// The file's name.
pub(crate) const FILE_NAME: &str = "Convoy.lock";

/// The version that is written. Since this one each sysroot carries a checksum of its entry; version 1 had no images.
pub(crate) const VERSION: u32 = 3;

/// The versions that are read.
const READ: [u32; 3] = [1, 2, VERSION];

/// The largest package file, in bytes; Debian's own stay below 2 GiB.
pub(crate) const LARGEST_PACKAGE: u64 = LARGE;

/// How a sysroot is made from its packages; another way gives it another digest.
const UNPACKING: u32 = 1;

const HEAD: &str = "\
# Written by cargo-convoy; do not edit. Commit this file, so that every machine builds with the same packages.
# `cargo convoy supply update` updates it; `cargo convoy supply verify` checks it against the archive's signed index.
";

const HEAD_OF_IMAGES: &str = "\
# Images are recorded with their packages, or by their digest; `cargo convoy images update` updates them.
";

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConvoyLock {
    /// The sysroots, sorted by key; each key stands once.
    sysroots: Vec<LockedSysroot>,
    /// The images, sorted; each stands once.
    images: Vec<LockedImage>,
    /// The sysroots whose entries were changed by something other than convoy.
    edited: BTreeSet<SysrootKey>,
}

/// What a sysroot holds.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct LockedSysroot {
    /// Which.
    #[serde(flatten)]
    pub key: SysrootKey,
    /// The packages that were asked for.
    pub requested: BTreeSet<String>,
    /// Whose archive it is, as its Release file says: `Debian`, `Raspbian`.
    pub origin: String,
    /// When the archive was in this state.
    pub date: Timestamp,
    /// What was asked for and what that depends on, sorted by name.
    #[serde(rename = "package")]
    pub packages: Vec<LockedPackage>,
}

/// One package file.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Debian's version.
    pub version: String,
    /// The sysroot's architecture, or `all`.
    pub architecture: String,
    /// The file, from the archive's root: `pool/main/…/x.deb`.
    pub path: Utf8PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl ConvoyLock {
    /// Reads a lock; none where there is none. What is not a lock of this version is a usage error with its place.
    pub fn read(path: &Utf8Path) -> Result<Option<Self>> {
        let text = match PlainFile::open(path, SMALL).and_then(|file| file.read_text()) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(damaged(format!("could not read {}", shown(path))).because(error)),
        };
        Self::parse(&text, shown(path)).map(Some)
    }

    /// A lock from its text; `name` is what errors call it.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        read::parse(text, name)
    }

    /// Writes the lock as a whole, when that changes anything; says whether it did.
    pub fn write(&self, path: &Utf8Path) -> Result<bool> {
        let text = self.text()?;
        if fs_err::read(path).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(false);
        }
        files::replace_durably(path, text).map_err(|error| {
            Error::work(format!("could not write {}", shown(path)))
                .because(error)
                .hint("make its directory writable, so that the next build uses the same packages")
        })?;
        Ok(true)
    }

    /// The file's text.
    pub fn text(&self) -> Result<String> {
        #[derive(Serialize)]
        struct File<'a> {
            version: u32,
            #[serde(rename = "sysroot", skip_serializing_if = "Vec::is_empty")]
            sysroots: Vec<Entry<'a>>,
            #[serde(rename = "image", skip_serializing_if = "<[LockedImage]>::is_empty")]
            images: &'a [LockedImage],
        }
        #[derive(Serialize)]
        struct Entry<'a> {
            #[serde(flatten)]
            key: &'a SysrootKey,
            requested: &'a BTreeSet<String>,
            origin: &'a str,
            date: Timestamp,
            checksum: String,
            package: &'a [LockedPackage],
        }
        let entry = |locked| {
            let LockedSysroot { key, requested, origin, date, packages }: &LockedSysroot = locked;
            // What somebody else changed does not become convoy's own by a change of something else.
            let checksum = match self.edited.contains(key) {
                true => String::new(),
                false => locked.checksum(),
            };
            Entry { key, requested, origin, date: *date, checksum, package: packages }
        };
        let more = if self.images.is_empty() { "" } else { HEAD_OF_IMAGES };
        let sysroots = self.sysroots.iter().map(entry).collect();
        let file = File { version: VERSION, sysroots, images: &self.images };
        let body = toml::to_string(&file)
            .map_err(|error| Error::work("internal error: could not serialize `Convoy.lock`").because(error))?;
        Ok(format!("{HEAD}{more}{body}"))
    }

    /// Refuses a lock that was changed by something other than convoy: by hand, or by a merge.
    ///
    /// # Errors
    /// Such entries, by their keys.
    pub fn require_unedited(&self) -> Result<()> {
        if self.edited.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = self.edited.iter().map(|key| format!("`{key}`")).collect();
        let message = format!(
            "{FILE_NAME} was modified by something other than convoy: checksum mismatch for {}",
            keys.join(", ")
        );
        Err(Error::usage(message).hint(
            "restore it from version control, or run `cargo convoy supply update`; `cargo convoy supply verify` shows \
             which packages are in the archive",
        ))
    }

    /// The sysroots whose entries were changed by something other than convoy.
    pub fn edited(&self) -> &BTreeSet<SysrootKey> {
        &self.edited
    }

    /// The sysroots, sorted by key.
    pub fn sysroots(&self) -> &[LockedSysroot] {
        &self.sysroots
    }

    /// What is locked for a key.
    pub fn get(&self, key: &SysrootKey) -> Option<&LockedSysroot> {
        self.place(key).ok().and_then(|place| self.sysroots.get(place))
    }

    /// Locks a sysroot, in place of what was locked for its key.
    pub fn set(&mut self, mut locked: LockedSysroot) {
        locked.packages.sort();
        self.edited.remove(&locked.key);
        match self.place(&locked.key) {
            Ok(place) => self.sysroots[place] = locked,
            Err(place) => self.sysroots.insert(place, locked),
        }
    }

    fn place(&self, key: &SysrootKey) -> std::result::Result<usize, usize> {
        self.sysroots.binary_search_by(|locked| locked.key.cmp(key))
    }

    /// The images, sorted.
    pub fn images(&self) -> &[LockedImage] {
        &self.images
    }

    /// What is locked of the image that another entry is about.
    pub fn same_image(&self, image: &LockedImage) -> Option<&LockedImage> {
        self.images.iter().find(|locked| locked.key() == image.key())
    }

    /// What is locked of a composed image, by the digest of its recipe.
    pub fn composed(&self, recipe: &str) -> Option<&LockedImage> {
        self.images.iter().find(|locked| locked.key() == image::Key::Recipe(recipe))
    }

    /// What is locked of a composed image in a registry: `name@sha256:…`, by the digest of its recipe.
    pub fn published(&self, recipe: &str) -> Option<&str> {
        self.composed(recipe)?.digest()
    }

    /// The digest that is locked for a named image.
    pub fn digest_of(&self, name: &str) -> Option<&str> {
        self.images.iter().find(|locked| locked.key() == image::Key::Name(name))?.digest()
    }

    /// Locks an image, in place of what was locked of it.
    pub fn set_image(&mut self, image: LockedImage) {
        self.images.retain(|other| other.key() != image.key());
        self.images.push(image);
        self.images.sort();
    }

    /// Forgets a sysroot that nothing asks for any more.
    pub fn forget(&mut self, key: &SysrootKey) {
        self.sysroots.retain(|locked| locked.key != *key);
        self.edited.remove(key);
    }

    /// The lock with these sysroots alone, and no images.
    pub fn only(&self, wanted: impl Fn(&SysrootKey) -> bool) -> Self {
        let sysroots = self.sysroots.iter().filter(|locked| wanted(&locked.key)).cloned().collect();
        let edited = self.edited.iter().filter(|key| wanted(key)).cloned().collect();
        Self { sysroots, images: Vec::new(), edited }
    }

    /// This lock with the changes that led from `before` to `after`: two runs that write the same file keep the entries
    /// of both.
    pub fn with_changes(mut self, before: &Self, after: &Self) -> Self {
        let is_new = |locked: &&LockedSysroot| {
            let sealed = before.edited.contains(&locked.key) && !after.edited.contains(&locked.key);
            sealed || before.get(&locked.key) != Some(*locked)
        };
        for locked in after.sysroots.iter().filter(is_new) {
            self.set(locked.clone());
        }
        for gone in before.sysroots.iter().filter(|locked| after.get(&locked.key).is_none()) {
            self.forget(&gone.key);
        }
        for image in after.images.iter().filter(|image| before.same_image(image) != Some(image)) {
            self.set_image(image.clone());
        }
        self
    }
}

impl LockedSysroot {
    /// The digest of what the unpacked sysroot holds. Versions are not enough for it: Raspbian rebuilds packages under
    /// Debian's own versions.
    pub fn digest(&self) -> String {
        let packages: BTreeSet<&str> = self.packages.iter().map(|package| package.sha256.as_str()).collect();
        let mut text = format!("sysroot {UNPACKING}\n");
        for package in packages {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{package}");
        }
        files::sha256(text)
    }

    /// The checksum that its entry in the file carries: of all that it says, in a form that no two entries share. It costs
    /// nothing to look at, and shows an edit by hand or by a merge; against who makes one on purpose see
    /// `cargo convoy supply verify`.
    pub fn checksum(&self) -> String {
        // A struct of strings and numbers has a JSON form.
        files::sha256(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Whether these packages were asked for when it was chosen; then nothing is to be chosen anew.
    pub fn covers(&self, packages: &BTreeSet<String>) -> bool {
        self.requested.is_superset(packages)
    }

    /// Bytes of all package files.
    pub fn size(&self) -> u64 {
        self.packages.iter().fold(0, |sum, package| sum.saturating_add(package.size))
    }
}

/// What changed about packages, each in a word or two: by their names, with their versions.
pub(crate) fn changes<'a>(old: &BTreeMap<&'a str, &'a str>, new: &BTreeMap<&'a str, &'a str>) -> Vec<String> {
    let changed = new.iter().filter_map(|(name, version)| match old.get(name) {
        Some(known) if known == version => None,
        Some(known) => Some(format!("{name} {known} → {version}")),
        None => Some(format!("{name} {version} added")),
    });
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("{name} removed"));
    changed.chain(gone).collect()
}

fn shown(path: &Utf8Path) -> &str {
    path.file_name().unwrap_or(path.as_str())
}

fn damaged(message: impl Into<String>) -> Error {
    Error::usage(message).hint("restore it from version control, or remove it; the next build writes a new one")
}

#[cfg(test)]
mod tests;
