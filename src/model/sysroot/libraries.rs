//! The shared libraries of a sysroot that one program needs, and what these need in turn, found as the target's loader
//! would find them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use super::library::Library;
use super::{Sysroot, SysrootKey};
use crate::util::error::{Error, Result};

/// More symbolic links in one path are a circle.
const MAX_LINKS: usize = 40;

/// The sysroot that a binary was linked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedAgainst {
    /// Which.
    pub key: SysrootKey,
    /// The digest of what is in it.
    pub digest: String,
    /// Its folder: `usr/lib/<multiarch>`, …
    pub root: Utf8PathBuf,
    /// Debian's multiarch folder name of the target.
    pub multiarch: String,
}

impl LinkedAgainst {
    /// From a plan's name and what is on this machine.
    pub fn new(key: &SysrootKey, sysroot: &Sysroot, multiarch: &str) -> Self {
        Self {
            key: key.clone(),
            digest: sysroot.digest.clone(),
            root: sysroot.root.clone(),
            multiarch: multiarch.to_owned(),
        }
    }

    /// The folder with the packages' control files: `<package>/control`, `…/shlibs`, `…/symbols`.
    pub fn control(&self) -> Utf8PathBuf {
        self.root.with_file_name("control")
    }
}

/// What a program can find in a sysroot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Libraries {
    /// By the names under which they are needed.
    found: BTreeMap<String, Library>,
    /// The names that are not there, with what is wrong with the file where there is one.
    absent: BTreeMap<String, Option<String>>,
}

impl Libraries {
    /// Reads the libraries that a program of 32 or 64 `bits` needs, and those that they need in turn. What is not there, or
    /// damaged, is remembered as such; an error is a sysroot that is gone.
    pub fn load(against: &LinkedAgainst, bits: u8, needed: &[String], interpreter: Option<&str>) -> Result<Self> {
        let root = &against.root;
        if !root.is_dir() {
            return Err(
                Error::work(format!("the sysroot {} is no longer in `{root}`", against.key)).hint("build again")
            );
        }
        // The loader is a library too: it has symbols that programs use.
        let loader = interpreter.and_then(|path| Utf8Path::new(path).file_name());
        let mut queue: VecDeque<(String, Vec<String>)> =
            needed.iter().map(String::as_str).chain(loader).map(|name| (name.to_owned(), Vec::new())).collect();
        let mut asked: BTreeSet<String> = queue.iter().map(|(name, _)| name.clone()).collect();
        let folders = Folders::new(root, &against.multiarch);
        let mut libraries = Self::default();
        while let Some((name, runpath)) = queue.pop_front() {
            match folders.find(&name, &runpath, bits) {
                Ok((library, folder)) => {
                    let origin =
                        |path: &String| path.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", folder.as_str());
                    let runpath: Vec<String> = library.runpath.iter().map(origin).collect();
                    for next in &library.needed {
                        if asked.insert(next.clone()) {
                            queue.push_back((next.clone(), runpath.clone()));
                        }
                    }
                    libraries.found.insert(name, library);
                }
                Err(damage) => {
                    libraries.absent.insert(name, damage);
                }
            }
        }
        Ok(libraries)
    }

    /// The library with this name.
    pub fn get(&self, name: &str) -> Option<&Library> {
        self.found.get(name)
    }

    /// Whether the sysroot contains glibc; without it, glibc's symbols cannot be checked.
    pub fn has_glibc(&self) -> bool {
        self.found.contains_key("libc.so.6")
    }

    /// What is wrong with the file of a library that was needed and could not be read.
    pub fn damage(&self, name: &str) -> Option<&str> {
        self.absent.get(name)?.as_deref()
    }

    /// The name of the library that meets a reference; the first one, as the loader takes it, is not told apart.
    pub fn exporter(&self, symbol: &str, version: Option<&str>) -> Option<&str> {
        self.found.iter().find(|(_, library)| library.exports(symbol, version)).map(|(name, _)| name.as_str())
    }
}

/// Where the target's loader looks, as folders inside the root.
struct Folders<'a> {
    root: &'a Utf8Path,
    standard: Vec<Utf8PathBuf>,
    /// Where Debian keeps those of several libraries with one name; a link to the chosen one is made when a package is
    /// installed, which those of a sysroot never are.
    alternatives: Vec<Utf8PathBuf>,
}

impl<'a> Folders<'a> {
    fn new(root: &'a Utf8Path, multiarch: &str) -> Self {
        let multiarch_dir = format!("/usr/lib/{multiarch}");
        let standard =
            [multiarch_dir.as_str(), &format!("/lib/{multiarch}"), "/usr/lib", "/lib"].map(Utf8PathBuf::from).to_vec();
        let mut alternatives: Vec<Utf8PathBuf> = inside(root, Utf8Path::new(&multiarch_dir))
            .and_then(|dir| dir.read_dir_utf8().ok())
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| Utf8Path::new(&multiarch_dir).join(entry.file_name()))
            .collect();
        alternatives.sort();
        Self { root, standard, alternatives }
    }

    /// A library and its folder inside the root; else what is wrong with the one that has its name, if there is one.
    fn find(
        &self,
        name: &str,
        runpath: &[String],
        bits: u8,
    ) -> std::result::Result<(Library, Utf8PathBuf), Option<String>> {
        let mut damage = None;
        // A name with a slash is a path; no folder is searched for it.
        let places: Vec<Utf8PathBuf> = if name.contains('/') {
            vec![Utf8PathBuf::from(name)]
        } else {
            let runpath_dirs = runpath.iter().map(Utf8PathBuf::from);
            runpath_dirs
                .chain(self.standard.iter().chain(&self.alternatives).cloned())
                .map(|dir| dir.join(name))
                .collect()
        };
        for place in places.iter().filter(|place| place.is_absolute()) {
            let Some(file) = inside(self.root, place).filter(|file| file.is_file()) else { continue };
            let read = fs_err::read(&file).map_err(|error| error.to_string());
            match read.and_then(|bytes| Library::parse(&bytes)) {
                // As the loader does: one of another word size is not the one that is meant.
                Ok(library) if library.bits == bits => {
                    let folder = place.parent().unwrap_or(Utf8Path::new("/")).to_owned();
                    return Ok((library, folder));
                }
                Ok(_) => {}
                Err(why) => damage = damage.or(Some(why)),
            }
        }
        Err(damage)
    }
}

/// A path of the target as one of this machine: its links are followed as the target would, absolute ones within the root.
fn inside(root: &Utf8Path, path: &Utf8Path) -> Option<Utf8PathBuf> {
    let parts = |path: &Utf8Path| -> Vec<String> {
        let mut parts: Vec<String> = path
            .components()
            .filter(|part| matches!(part, Utf8Component::Normal(_) | Utf8Component::ParentDir))
            .map(|part| part.as_str().to_owned())
            .collect();
        parts.reverse();
        parts
    };
    let (mut rest, mut at, mut links) = (parts(path), root.to_owned(), 0);
    while let Some(part) = rest.pop() {
        if part == ".." {
            if at != root {
                at.pop();
            }
            continue;
        }
        let Ok(target) = at.join(&part).read_link_utf8() else {
            at.push(part);
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return None;
        }
        if target.is_absolute() {
            at = root.to_owned();
        }
        rest.extend(parts(&target));
    }
    Some(at)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use fs_err::os::unix::fs::symlink;

    #[test]
    fn links_stay_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        fs_err::create_dir_all(root.join("usr/lib/deep")).unwrap();
        fs_err::write(root.join("usr/lib/libx.so.1.2"), "x").unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("libx.so.1.2", root.join("usr/lib/libx.so.1")).unwrap();
        symlink("/lib/libx.so.1", root.join("usr/lib/deep/libx.so")).unwrap();
        symlink("../../../../../etc/passwd", root.join("usr/lib/out")).unwrap();
        symlink("circle", root.join("usr/lib/circle")).unwrap();
        let found = |path: &str| inside(root, Utf8Path::new(path));
        assert_eq!(found("/usr/lib/deep/libx.so"), Some(root.join("usr/lib/libx.so.1.2")));
        assert_eq!(found("/lib/deep/../libx.so.1"), Some(root.join("usr/lib/libx.so.1.2")));
        assert_eq!(found("/usr/lib/out"), Some(root.join("etc/passwd")));
        assert_eq!(found("/usr/lib/circle"), None);
        assert_eq!(found("/usr/lib/none"), Some(root.join("usr/lib/none")));
    }

    #[test]
    fn a_sysroot_that_is_gone_says_so() {
        let against = LinkedAgainst {
            key: SysrootKey { suite: "bookworm".to_owned(), architecture: "armhf".to_owned(), of: None },
            digest: String::new(),
            root: "/nonexistent/sysroot".into(),
            multiarch: "arm-linux-gnueabihf".to_owned(),
        };
        let error = Libraries::load(&against, 32, &[], None).unwrap_err();
        assert!(error.to_string().contains("bookworm/armhf") && error.hint_text().is_some(), "{error}");
    }
}
