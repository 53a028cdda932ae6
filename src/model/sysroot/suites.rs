//! `targets/suites.toml`: Debian's releases.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::model::architecture::Architecture;
use crate::model::catalog::Glibc;

/// A release.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Suite {
    /// Its name in the archive.
    pub name: String,
    /// Its name for people.
    pub release: String,
    /// The glibc of its libraries.
    pub glibc: Glibc,
    /// The gcc whose libstdc++ it has.
    pub gcc: u32,
    /// The LLVM of its `libclang-dev`.
    pub llvm: u32,
    /// The folder of its libclang's own headers, below `clang`.
    pub clang: String,
    /// Whether it is taken where no floor is asked.
    #[serde(default)]
    pub default: bool,
    /// The 32-bit architectures whose libraries have a 64-bit `time_t`.
    #[serde(default)]
    pub time64: Vec<String>,
}

/// All releases, oldest first.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suites {
    suite: Vec<Suite>,
}

static SUITES: LazyLock<Suites> = LazyLock::new(|| {
    // Embedded and checked by a test below.
    toml::from_str(include_str!("../../../targets/suites.toml"))
        .unwrap_or_else(|error| panic!("embedded targets/suites.toml: {error}"))
});

impl Suites {
    /// The embedded ones.
    pub fn embedded() -> &'static Suites {
        &SUITES
    }

    /// All of them, oldest first.
    pub fn all(&self) -> &[Suite] {
        &self.suite
    }

    /// The one with this name.
    pub fn named(&self, name: &str) -> Option<&Suite> {
        self.suite.iter().find(|suite| suite.name == name)
    }

    /// The one that an image is of, as far as its name says: `debian:bookworm-slim`, `registry.example/debian:12`. A word that
    /// is only a part of another, or of the path in a registry, says nothing.
    pub fn of_image(&self, name: &str) -> Option<&Suite> {
        let name = name.split('@').next().unwrap_or(name);
        let last = name.rsplit('/').next().unwrap_or(name);
        let word = |word: &str| last.split(|c: char| !c.is_ascii_alphanumeric()).any(|own| own == word);
        let number = last.strip_prefix("debian:").map(|tag| tag.split(['.', '-']).next().unwrap_or(tag));
        let is_of = |suite: &&Suite| {
            word(&suite.name) || number.is_some_and(|number| suite.release.strip_prefix("Debian ") == Some(number))
        };
        self.suite.iter().find(is_of)
    }

    /// The one for an architecture and a floor: the newest whose glibc keeps it; without a floor the default one. None
    /// where every release is too new.
    pub fn for_floor(&self, floor: Option<Glibc>, architecture: &str) -> Option<&Suite> {
        let has = |suite: &&Suite| self.has(suite, architecture);
        let mut fitting = self.suite.iter().rev().filter(has);
        match floor {
            Some(floor) => fitting.find(|suite| suite.glibc <= floor),
            // The oldest where the default one does not have the architecture yet.
            None => fitting.clone().find(|suite| suite.default).or_else(|| fitting.next_back()),
        }
    }

    /// Whether a release has libraries for an architecture, by Debian's name, that Rust programs can use.
    fn has(&self, suite: &Suite, architecture: &str) -> bool {
        let place = |name: &str| self.suite.iter().position(|suite| suite.name == name);
        let since = Architecture::of_machine(architecture).and_then(|known| known.since.as_deref());
        !suite.time64.iter().any(|other| other == architecture)
            && since.is_none_or(|since| place(&suite.name) >= place(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_of_an_images_own_name_tell_its_release() {
        let of_image = |name| Suites::embedded().of_image(name).map(|suite| suite.name.as_str());
        for (name, suite) in [
            ("debian:bookworm-slim", Some("bookworm")),
            ("rust:1.91-slim-trixie", Some("trixie")),
            ("registry.example:5000/team/debian:bullseye@sha256:00", Some("bullseye")),
            ("registry.example/debian:12.5-slim", Some("bookworm")),
            ("registry.example/bullseye-proxy/alpine", None),
            ("team/tools:bookwormish", None),
            ("ubuntu:24.04", None),
            ("fedora:40", None),
            ("team/builder:12", None),
        ] {
            assert_eq!(of_image(name), suite, "{name}");
        }
    }

    #[test]
    fn the_floor_chooses_the_release() {
        let suites = Suites::embedded();
        assert!(suites.all().is_sorted_by_key(|suite| (suite.glibc, suite.gcc)));
        let chosen = |floor: Option<&str>, architecture| {
            let floor = floor.map(|floor| floor.parse().unwrap());
            suites.for_floor(floor, architecture).map(|suite| suite.name.as_str())
        };
        assert_eq!(chosen(None, "arm64"), Some("bookworm"));
        assert_eq!(chosen(Some("2.28"), "arm64"), None);
        assert_eq!(chosen(Some("2.31"), "arm64"), Some("bullseye"));
        assert_eq!(chosen(Some("2.35"), "arm64"), Some("bullseye"));
        assert_eq!(chosen(Some("2.36"), "arm64"), Some("bookworm"));
        assert_eq!(chosen(Some("2.41"), "arm64"), Some("trixie"));
        assert_eq!(chosen(Some("2.41"), "armhf"), Some("bookworm"));
        assert_eq!(chosen(None, "armhf"), Some("bookworm"));
        // Debian 13 was the first with it.
        assert_eq!(chosen(None, "riscv64"), Some("trixie"));
        assert_eq!(chosen(Some("2.36"), "riscv64"), None);
    }
}
