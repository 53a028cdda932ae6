//! Sysroots: a target's own Debian packages, unpacked and never installed. Here is what names one and what is known of
//! it; [`crate::plan`] decides for one, [`crate::provision`] installs it.

pub(crate) mod address;
mod debversion;
mod libraries;
mod library;
mod runtime;
mod shlibs;
pub(crate) mod sonames;
mod suites;

use std::collections::BTreeSet;
use std::fmt;

use camino::Utf8PathBuf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use libraries::{Libraries, LinkedAgainst};
pub use library::Library;
pub(crate) use runtime::RuntimePackage;
pub use runtime::{read_control, runtime_packages};
pub(crate) use sonames::Soname;
pub(crate) use suites::Suite;
pub use suites::Suites;

/// Identifies a sysroot. A project has one per key, with the packages that all of its targets need.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
pub struct SysrootKey {
    /// Debian's name of the release, such as `bookworm`.
    pub suite: String,
    /// Debian's name of the architecture, such as `armhf`.
    pub architecture: String,
    /// The target triple, if it has its own mirrors in the configuration (such as Raspbian for ARMv6); null otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

impl fmt::Display for SysrootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.suite, self.architecture)?;
        match &self.of {
            Some(triple) => write!(f, " of {triple}"),
            None => Ok(()),
        }
    }
}

/// Where packages come from.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Archive {
    /// Roots of archives (the folders that hold `dists` and `pool`), tried in order.
    pub mirrors: Vec<String>,
    /// The keys that must have signed the archive; none for those that apt trusts on this machine.
    pub keyring: Option<Utf8PathBuf>,
    /// Where old packages stay: the root of an archive with `{date}` (`20261122T000000Z`) in it.
    pub snapshot: Option<String>,
    /// Where the fixes between point releases are; none for the archive beside each of the others, where it has one.
    pub security: Option<Security>,
}

/// Where an archive's security fixes come from, as configuration says.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// From the archive with this root, which must have the suite.
    Root(String),
    /// From nowhere.
    Off,
}

/// A sysroot that a plan requires.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct SysrootPlan {
    /// Which.
    #[serde(flatten)]
    pub key: SysrootKey,
    /// The requested Debian packages, without their dependencies.
    pub packages: BTreeSet<String>,
    /// Where they come from.
    #[serde(skip)]
    #[schemars(skip)]
    pub archive: Archive,
}

/// A sysroot on this machine.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Sysroot {
    /// Its folder: `usr/include`, `usr/lib/<multiarch>`, …
    pub root: Utf8PathBuf,
    /// Digest of its contents.
    pub digest: String,
    /// The packages that were asked for.
    pub requested: BTreeSet<String>,
}
