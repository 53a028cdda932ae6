//! `targets/suites.toml`: Debian's releases.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::catalog::Glibc;

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
    toml::from_str(include_str!("../../targets/suites.toml"))
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

    /// The one for an architecture and a floor: the newest whose glibc keeps it; without a floor the default one. None
    /// where every release is too new.
    pub fn for_floor(&self, floor: Option<Glibc>, architecture: &str) -> Option<&Suite> {
        let mut fitting =
            self.suite.iter().rev().filter(|suite| !suite.time64.iter().any(|other| other == architecture));
        match floor {
            Some(floor) => fitting.find(|suite| suite.glibc <= floor),
            None => fitting.find(|suite| suite.default),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
