//! Holding a lock against archives: each package is to be in a signed index, with the digest that the lock has.

use super::index::Listing;
use super::resolve::no_keyring;
use super::source::Source;
use super::{Stop, Sysroots};
use crate::model::sysroot::Archive;
use crate::project::config::Forbidden;
use crate::project::lock::{LockedPackage, LockedSysroot};

/// What came of holding a sysroot against the indexes of its archives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The roots of the archives whose signed indexes were looked at.
    pub indexes: Vec<String>,
    /// Why others could not be.
    pub faults: Vec<String>,
    /// The packages that are in none of them.
    pub unsigned: Vec<Unsigned>,
}

/// A package that no signed index has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    /// Which.
    pub package: LockedPackage,
    /// What the indexes have instead.
    pub reason: String,
}

impl Sysroots<'_> {
    pub(super) fn hold(&self, locked: &LockedSysroot, archive: &Archive) -> Result<Verified, Stop> {
        let key = &locked.key;
        if let Some(Forbidden { reason, hint }) = self.offline {
            return Err(Stop::work(format!("cannot download the index, because {reason}"), hint));
        }
        let Some(apt) = self.apt else {
            let reason = "apt, which verifies the signature of the archive, is missing on this machine";
            return Err(Stop::work(reason, "run it on a Debian or Ubuntu machine, for example in CI"));
        };
        let Some(keyring) = self.keyring(archive, apt) else { return Err(no_keyring(key)) };
        let mut verified = Verified::default();
        let mut left: Vec<(&LockedPackage, String)> =
            locked.packages.iter().map(|package| (package, "no signed index is available".to_owned())).collect();
        let mut sources = Source::mirrors(&self.mirrors(archive), archive);
        sources.extend(Source::snapshot(archive, locked.date));
        for source in sources {
            if left.is_empty() {
                break;
            }
            let index = match self.index(apt, &source, key, keyring)? {
                Ok(index) => index,
                Err(fault) => {
                    verified.faults.push(fault.reason);
                    continue;
                }
            };
            verified.indexes.extend(index.roots.iter().cloned());
            verified.faults.extend(index.without.clone());
            let packages: Vec<&LockedPackage> = left.iter().map(|(package, _)| *package).collect();
            let text = index.judge(&packages)?;
            left = left
                .into_iter()
                .zip(text)
                .filter_map(|((package, before), text)| Some((package, stronger(before, reason(&text)?))))
                .collect();
        }
        let unsigned = |(package, reason): (&LockedPackage, String)| Unsigned { package: package.clone(), reason };
        verified.unsigned = left.into_iter().map(unsigned).collect();
        Ok(verified)
    }
}

const OTHERWISE: &str = "the index lists a different file for this version";

fn reason(text: &Listing) -> Option<String> {
    match text {
        Listing::Signed => None,
        Listing::Otherwise => Some(OTHERWISE.to_owned()),
        Listing::Absent(versions) if versions.is_empty() => Some("the index does not list this package".to_owned()),
        Listing::Absent(versions) => Some(format!("the index lists {} instead", versions.join(", "))),
    }
}

/// That a file was changed says more than that it is gone.
fn stronger(before: String, now: String) -> String {
    if before == OTHERWISE { before } else { now }
}
