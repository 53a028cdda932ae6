//! `Convoy.lock`, beside `Cargo.lock`: exactly which packages the project's sysroots hold, and what its images are, so
//! that a later build, on another machine, uses the same. Reading and writing it are the only effects here.

mod image;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::files;
use crate::sysroot::SysrootKey;
pub use image::LockedImage;
pub(crate) use read::{is_digest, is_pool_path, is_word};

/// The file's name.
pub const FILE_NAME: &str = "Convoy.lock";

/// The newest version of the file that is known.
pub const VERSION: u32 = 2;

/// The version of a file without images. Whoever knows that one alone refuses a file with images, and is to hear that it
/// is newer, and not that it is damaged.
const VERSION_WITHOUT_IMAGES: u32 = 1;

/// How a sysroot is made from its packages; another way gives it another digest.
const UNPACKING: u32 = 1;

const HEAD: &str = "\
# Written by cargo-convoy: the packages of this project's sysroots. Commit it, and every machine builds with the same.
# `cargo convoy supply update` moves it on.
";

const HEAD_OF_IMAGES: &str = "\
# The images that it is built in are known by their packages, or by their digest; `cargo convoy images update` moves them on.
";

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConvoyLock {
    /// The sysroots, sorted by key; each key stands once.
    sysroots: Vec<LockedSysroot>,
    /// The images, sorted; each stands once.
    images: Vec<LockedImage>,
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
        let text = match fs_err::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(damaged(format!("{} is not UTF-8", shown(path))));
            }
            Err(error) => return Err(error.into()),
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
            Error::work(format!("{} could not be written", shown(path)))
                .because(error)
                .hint("make its folder writable, so that the next build uses the same packages")
        })?;
        Ok(true)
    }

    /// The file's text.
    pub fn text(&self) -> Result<String> {
        #[derive(Serialize)]
        struct File<'a> {
            version: u32,
            #[serde(rename = "sysroot", skip_serializing_if = "<[LockedSysroot]>::is_empty")]
            sysroots: &'a [LockedSysroot],
            #[serde(rename = "image", skip_serializing_if = "<[LockedImage]>::is_empty")]
            images: &'a [LockedImage],
        }
        let (version, more) = match self.images.is_empty() {
            true => (VERSION_WITHOUT_IMAGES, ""),
            false => (VERSION, HEAD_OF_IMAGES),
        };
        let file = File { version, sysroots: &self.sysroots, images: &self.images };
        let body = toml::to_string(&file).map_err(|error| Error::work("the lock has no TOML form").because(error))?;
        Ok(format!("{HEAD}{more}{body}"))
    }

    /// The sysroots, sorted by key.
    pub fn sysroots(&self) -> &[LockedSysroot] {
        &self.sysroots
    }

    /// What is locked for a key.
    pub fn get(&self, key: &SysrootKey) -> Option<&LockedSysroot> {
        self.sysroots.iter().find(|locked| locked.key == *key)
    }

    /// Locks a sysroot, in place of what was locked for its key.
    pub fn set(&mut self, mut locked: LockedSysroot) {
        locked.packages.sort();
        self.sysroots.retain(|other| other.key != locked.key);
        self.sysroots.push(locked);
        self.sysroots.sort_by(|a, b| a.key.cmp(&b.key));
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

    /// Forgets every sysroot but these: what no cell asks for any more is not kept.
    pub fn retain(&mut self, keys: &BTreeSet<SysrootKey>) {
        self.sysroots.retain(|locked| keys.contains(&locked.key));
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

    /// Whether these packages were asked for when it was chosen; then nothing is to be chosen anew.
    pub fn covers(&self, packages: &BTreeSet<String>) -> bool {
        self.requested.is_superset(packages)
    }

    /// Bytes of all package files.
    pub fn size(&self) -> u64 {
        self.packages.iter().map(|package| package.size).sum()
    }
}

/// What is new about packages, each in a word or two: by their names, with their versions.
pub fn changes<'a>(old: &BTreeMap<&'a str, &'a str>, new: &BTreeMap<&'a str, &'a str>) -> Vec<String> {
    let changed = new.iter().filter_map(|(name, version)| match old.get(name) {
        Some(known) if known == version => None,
        Some(known) => Some(format!("{name} {known} → {version}")),
        None => Some(format!("{name} {version} is new")),
    });
    changed.collect()
}

fn shown(path: &Utf8Path) -> &str {
    path.file_name().unwrap_or(path.as_str())
}

fn damaged(message: impl Into<String>) -> Error {
    Error::usage(message).hint("restore it from version control, or remove it and let convoy choose packages anew")
}

#[cfg(test)]
mod tests;
