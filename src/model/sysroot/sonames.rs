//! `targets/sonames.tsv` (written by `ci/sonames`): which sonames a binary is bound to when it is linked against a
//! library of one of Debian's releases, and so which releases it starts on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Suite, Suites};

/// A soname that a binary needs, and the releases that have it.
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
    /// Sonames of packages that were renamed when their `time_t` grew, by suite.
    time64: BTreeSet<(&'static str, &'static str)>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::default();
    for line in include_str!("../../../targets/sonames.tsv").lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split('\t');
        let (Some(library), Some(suite), Some(sonames)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let sonames: Vec<&str> = sonames.split(' ').collect();
        if library == "t64" {
            table.time64.extend(sonames.iter().map(|soname| (*soname, suite)));
            continue;
        }
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
pub(crate) fn of(library: &str, suite: &str) -> &'static [&'static str] {
    TABLE.bound.get(library).and_then(|suites| suites.get(suite)).map_or(&[], Vec::as_slice)
}

/// The suites that have a soname, oldest first; none where that is not known.
pub(crate) fn suites(soname: &str) -> Vec<&'static Suite> {
    let having = TABLE.suites.get(soname);
    Suites::embedded().all().iter().filter(|suite| having.is_some_and(|own| own.contains(&*suite.name))).collect()
}

/// Whether a suite's library with this soname has a 64-bit `time_t` on an architecture (Debian's name) where older suites'
/// have a 32-bit one: it loads, and is passed structs of the wrong layout.
pub(crate) fn is_time64(soname: &str, suite: &Suite, architecture: &str) -> bool {
    suite.time64.iter().any(|own| own == architecture) && TABLE.time64.contains(&(soname, suite.name.as_str()))
}

/// Those of a binary's needed libraries that are known, with the releases where it can use them. `architecture` is
/// Debian's name of the binary's, where it is known.
pub(crate) fn known(needed: &[String], architecture: Option<&str>) -> Vec<Soname> {
    let row = |soname: &String| {
        let usable = |suite: &&Suite| !architecture.is_some_and(|own| is_time64(soname, suite, own));
        let releases: Vec<String> =
            suites(soname).into_iter().filter(usable).map(|suite| suite.release.clone()).collect();
        (!releases.is_empty()).then(|| Soname { soname: soname.clone(), releases })
    };
    needed.iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::needs::Table as Needs;

    #[test]
    fn libraries_and_releases() {
        let releases = |soname: &str| suites(soname).into_iter().map(|suite| &*suite.release).collect::<Vec<&str>>();
        assert_eq!(of("openssl", "bullseye"), ["libssl.so.1.1", "libcrypto.so.1.1"]);
        assert_eq!(of("openssl", "bookworm"), ["libssl.so.3", "libcrypto.so.3"]);
        assert_eq!(of("openssl", "sid"), [""; 0]);
        assert_eq!(releases("libssl.so.1.1"), ["Debian 11"]);
        assert_eq!(releases("libssl.so.3"), ["Debian 12", "Debian 13"]);
        assert_eq!(releases("libasound.so.2"), ["Debian 11", "Debian 12", "Debian 13"]);
        assert_eq!(releases("libnobody-has-this.so.1"), [""; 0]);
        let needed = ["libc.so.6", "libssl.so.1.1"].map(str::to_owned);
        let on_arm = known(&needed, Some("armhf"));
        let known = known(&needed, None);
        assert_eq!(on_arm, known);
        assert_eq!(known.len(), 1, "glibc is judged by its floor: {known:?}");
        assert_eq!(known[0].releases, ["Debian 11"]);
    }

    #[test]
    fn where_time_grew_an_older_binary_has_no_use_for_the_library() {
        let needed = ["libssl.so.3", "libz.so.1"].map(str::to_owned);
        let releases = |architecture| {
            known(&needed, architecture).into_iter().map(|row| row.releases.join(", ")).collect::<Vec<_>>()
        };
        assert_eq!(releases(Some("arm64")), ["Debian 12, Debian 13", "Debian 11, Debian 12, Debian 13"]);
        assert_eq!(releases(Some("armhf")), ["Debian 12", "Debian 11, Debian 12, Debian 13"]);
    }

    #[test]
    fn every_row_names_a_library_and_a_suite_and_is_well_formed() {
        let (needs, suites) = (Needs::embedded(), Suites::embedded());
        for line in include_str!("../../../targets/sonames.tsv").lines().filter(|line| !line.starts_with('#')) {
            let [library, suite, sonames] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            assert!(["-", "t64"].contains(&library) || needs.libraries.contains_key(library), "no library `{library}`");
            assert!(suites.named(suite).is_some(), "no suite `{suite}`");
            assert!(sonames.split(' ').all(|soname| soname.contains(".so")), "{line}");
        }
        assert!(TABLE.bound.len() > 120, "{} libraries", TABLE.bound.len());
    }
}
