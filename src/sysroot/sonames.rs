//! `targets/sonames.tsv` (written by `ci/sonames`): which sonames a binary is bound to when it is linked against a
//! library of one of Debian's releases, and so which releases it starts on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Suite, Suites};

/// A soname that a binary needs, and who has it.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Soname {
    /// The soname: `libssl.so.3`.
    pub soname: String,
    /// The releases that have it, oldest first: `Debian 12`.
    pub releases: Vec<String>,
}

#[derive(Debug, Default)]
struct Table {
    /// By library and suite.
    bound: BTreeMap<&'static str, BTreeMap<&'static str, Vec<&'static str>>>,
    /// The suites that have a soname.
    suites: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::default();
    for line in include_str!("../../targets/sonames.tsv").lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split('\t');
        let (Some(library), Some(suite), Some(sonames)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let sonames: Vec<&str> = sonames.split(' ').collect();
        for soname in &sonames {
            table.suites.entry(soname).or_default().insert(suite);
        }
        // Without a library: what a release has for old programs, though nothing new is linked against it.
        if library != "-" {
            table.bound.entry(library).or_default().insert(suite, sonames);
        }
    }
    table
});

/// The sonames that linking against a library (its key in `targets/needs.toml`) of a suite binds to; none where that is
/// not known, and for a library that is only headers or only static.
pub fn of(library: &str, suite: &str) -> &'static [&'static str] {
    TABLE.bound.get(library).and_then(|suites| suites.get(suite)).map_or(&[], Vec::as_slice)
}

/// The suites that have a soname, oldest first; none where that is not known.
pub fn suites(soname: &str) -> Vec<&'static Suite> {
    let having = TABLE.suites.get(soname);
    Suites::embedded().all().iter().filter(|suite| having.is_some_and(|own| own.contains(&*suite.name))).collect()
}

/// The names of the releases that have a soname, oldest first (`Debian 12`); none where that is not known.
pub fn releases(soname: &str) -> Vec<&'static str> {
    suites(soname).into_iter().map(|suite| suite.release.as_str()).collect()
}

/// Those of a binary's needed libraries that are known, with their releases.
pub fn known(needed: &[String]) -> Vec<Soname> {
    let row = |soname: &String| {
        let releases: Vec<String> = releases(soname).into_iter().map(str::to_owned).collect();
        (!releases.is_empty()).then(|| Soname { soname: soname.clone(), releases })
    };
    needed.iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::needs::Table as Needs;

    #[test]
    fn libraries_and_releases() {
        assert_eq!(of("openssl", "bullseye"), ["libssl.so.1.1", "libcrypto.so.1.1"]);
        assert_eq!(of("openssl", "bookworm"), ["libssl.so.3", "libcrypto.so.3"]);
        assert_eq!(of("openssl", "sid"), [""; 0]);
        assert_eq!(releases("libssl.so.1.1"), ["Debian 11"]);
        assert_eq!(releases("libssl.so.3"), ["Debian 12", "Debian 13"]);
        assert_eq!(releases("libasound.so.2"), ["Debian 11", "Debian 12", "Debian 13"]);
        assert_eq!(releases("libnobody-has-this.so.1"), [""; 0]);
        let needed = ["libc.so.6", "libssl.so.1.1"].map(str::to_owned);
        let known = known(&needed);
        assert_eq!(known.len(), 1, "glibc is judged by its floor: {known:?}");
        assert_eq!(known[0].releases, ["Debian 11"]);
    }

    #[test]
    fn every_row_names_a_library_and_a_suite_and_is_well_formed() {
        let (needs, suites) = (Needs::embedded(), Suites::embedded());
        for line in include_str!("../../targets/sonames.tsv").lines().filter(|line| !line.starts_with('#')) {
            let [library, suite, sonames] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            assert!(library == "-" || needs.libraries.contains_key(library), "no library `{library}`");
            assert!(suites.named(suite).is_some(), "no suite `{suite}`");
            assert!(sonames.split(' ').all(|soname| soname.contains(".so")), "{line}");
        }
        assert!(TABLE.bound.len() > 120, "{} libraries", TABLE.bound.len());
    }
}
