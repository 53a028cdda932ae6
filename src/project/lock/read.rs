//! The text of a lock → the lock. Nothing of it is taken on trust: paths become files and addresses, digests become
//! names in the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use camino::{Utf8Component, Utf8PathBuf};
use serde::{Deserialize, Deserializer, de};

use super::{ConvoyLock, LARGEST_PACKAGE, LockedImage, LockedPackage, LockedSysroot, READ, VERSION, damaged};
use crate::model::sysroot::SysrootKey;
use crate::util::error::{Error, Result};

pub(super) fn parse(text: &str, name: &str) -> Result<ConvoyLock> {
    let at = |span: Option<Range<usize>>| {
        let line = span.map(|span| text[..text.floor_char_boundary(span.start)].matches('\n').count() + 1);
        line.map(|line| format!("{name}:{line}")).unwrap_or_else(|| name.to_owned())
    };
    let refused = |error: toml::de::Error| damaged(format!("{}: {}", at(error.span()), error.message()));
    // Another version may have any other form, so it is looked at before all else.
    let Versioned { version } = toml::from_str(text).map_err(refused)?;
    if !READ.map(i64::from).contains(&version) {
        let newer = version > i64::from(VERSION);
        let error =
            Error::usage(format!("{name} has format version {version}, but this version of convoy supports {VERSION}"));
        return Err(if newer {
            error.hint("update cargo-convoy")
        } else {
            error.hint("remove the file; the next build writes a new one")
        });
    }
    let file: File = toml::from_str(text).map_err(refused)?;
    let mut lock = ConvoyLock::default();
    for raw in file.sysroot {
        let span = raw.span();
        let refused = |message: String| damaged(format!("{}: {message}", at(Some(span.clone()))));
        let mut raw = raw.into_inner();
        let checksum = raw.checksum.take();
        let mut locked = sysroot(raw).map_err(refused)?;
        locked.packages.sort();
        let edited = match checksum {
            Some(checksum) => checksum != locked.checksum(),
            None if version < i64::from(VERSION) => false,
            None => return Err(refused(format!("sysroot {} has no checksum", locked.key))),
        };
        if edited {
            lock.edited.insert(locked.key.clone());
        }
        lock.sysroots.push(locked);
    }
    lock.sysroots.sort_by(|a, b| a.key.cmp(&b.key));
    if let Some(twice) = lock.sysroots.windows(2).find(|pair| pair[0].key == pair[1].key) {
        return Err(damaged(format!("{name}: sysroot {} is listed twice", twice[0].key)));
    }
    for raw in file.image {
        let span = raw.span();
        let locked = image(raw.into_inner()).map_err(|message| damaged(format!("{}: {message}", at(Some(span)))))?;
        lock.images.push(locked);
    }
    lock.images.sort();
    let keys: BTreeSet<_> = lock.images.iter().map(LockedImage::key).collect();
    if keys.len() != lock.images.len() {
        return Err(damaged(format!("{name}: an image is listed twice")));
    }
    Ok(lock)
}

fn image(raw: Image) -> Result<LockedImage, String> {
    match raw {
        Image { base: Some(base), base_digest, recipe: Some(recipe), packages: Some(packages), name: None, digest } => {
            if let Some(name) = packages.keys().find(|name| !is_word(name)) {
                return Err(format!("`{name}` is not a valid Debian name"));
            }
            if !is_digest(&recipe) {
                return Err(format!("`{recipe}` is not a SHA-256 checksum (64 lowercase hexadecimal digits)"));
            }
            if let Some(other) = base_digest.iter().find(|text| !is_id(text) && !is_exact_image(text)) {
                return Err(format!("`{other}` is neither `NAME@sha256:…` nor an image id"));
            }
            if let Some(other) = digest.iter().find(|text| !is_exact_image(text)) {
                return Err(format!("`{other}` is not `NAME@sha256:…`"));
            }
            Ok(LockedImage::Composed { base, base_digest, digest, recipe, packages })
        }
        Image {
            base: None,
            base_digest: None,
            recipe: None,
            packages: None,
            name: Some(name),
            digest: Some(digest),
        } => {
            if !is_id(&digest) {
                return Err(format!("`{digest}` is not a registry digest (`sha256:…`)"));
            }
            Ok(LockedImage::Named { name, digest })
        }
        _ => Err("an image requires `base`, `recipe` and `packages`, or `name` and `digest`".to_owned()),
    }
}

fn is_id(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(is_digest)
}

/// A name of a registry's with a digest, as an engine's command line takes it.
fn is_exact_image(text: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
    let is_name = |name: &str| name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.bytes().all(of_name);
    text.split_once('@').is_some_and(|(name, digest)| is_name(name) && is_id(digest))
}

fn sysroot(raw: Sysroot) -> Result<LockedSysroot, String> {
    let Sysroot { suite, architecture, of, requested, origin, date, package, checksum: _ } = raw;
    let key = SysrootKey { suite, architecture, of };
    let mut names = BTreeSet::new();
    for package in &package {
        if package.architecture != "all" && package.architecture != key.architecture {
            return Err(format!(
                "package `{}` of sysroot {key} has the architecture {}",
                package.name, package.architecture
            ));
        }
        if !names.insert(&package.name) {
            return Err(format!("package `{}` is listed twice in sysroot {key}", package.name));
        }
    }
    if let Some(large) = package.iter().find(|package| package.size > LARGEST_PACKAGE) {
        return Err(format!(
            "package `{}` of sysroot {key} has an implausible size of {} bytes",
            large.name, large.size
        ));
    }
    if package.is_empty() {
        return Err(format!("sysroot {key} has no packages"));
    }
    let packages = package.into_iter().map(LockedPackage::from).collect();
    Ok(LockedSysroot { key, requested, origin, date, packages })
}

#[derive(Deserialize)]
struct Versioned {
    version: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "version")]
    _version: i64,
    #[serde(default)]
    sysroot: Vec<toml::Spanned<Sysroot>>,
    #[serde(default)]
    image: Vec<toml::Spanned<Image>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    base: Option<String>,
    #[serde(rename = "base-digest")]
    base_digest: Option<String>,
    recipe: Option<String>,
    packages: Option<BTreeMap<String, String>>,
    name: Option<String>,
    digest: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sysroot {
    #[serde(deserialize_with = "word")]
    suite: String,
    #[serde(deserialize_with = "word")]
    architecture: String,
    #[serde(default, deserialize_with = "some_word")]
    of: Option<String>,
    requested: BTreeSet<String>,
    origin: String,
    date: jiff::Timestamp,
    checksum: Option<String>,
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Package {
    #[serde(deserialize_with = "word")]
    name: String,
    version: String,
    #[serde(deserialize_with = "word")]
    architecture: String,
    #[serde(deserialize_with = "path")]
    path: Utf8PathBuf,
    size: u64,
    #[serde(deserialize_with = "digest")]
    sha256: String,
}

impl From<Package> for LockedPackage {
    fn from(raw: Package) -> Self {
        let Package { name, version, architecture, path, size, sha256 } = raw;
        Self { name, version, architecture, path, size, sha256 }
    }
}

/// A name of a package, an architecture, a suite or a triple; each becomes a file's name somewhere.
pub(crate) fn is_word(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
    text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && text.bytes().all(inner)
}

/// Whether a path leads from an archive's root to a package file, and nowhere else.
pub(crate) fn is_pool_path(path: &str) -> bool {
    let plain = |part| matches!(part, Utf8Component::Normal(_));
    let written = path.split('/').all(|part| !["", ".", ".."].contains(&part));
    written
        && Utf8PathBuf::from(path).components().all(plain)
        && path.ends_with(".deb")
        && !path.contains(|c: char| c.is_control() || c == '\\')
}

pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_word(&text) { Ok(text) } else { Err(de::Error::custom(format!("`{text}` is not a valid Debian name"))) }
}

fn some_word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    word(deserializer).map(Some)
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Utf8PathBuf, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_pool_path(&text) {
        Ok(text.into())
    } else {
        Err(de::Error::custom(format!("`{text}` is not the path of a package in an archive")))
    }
}

fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_digest(&text) {
        Ok(text)
    } else {
        Err(de::Error::custom(format!("`{text}` is not a SHA-256 checksum (64 lowercase hexadecimal digits)")))
    }
}
