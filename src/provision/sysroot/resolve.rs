//! Choosing packages: apt resolves, and checks the archive's signature.

use std::collections::BTreeSet;

use super::apt::{AptOutput, PrivateApt};
use super::apt_output::{self, Unresolved};
use super::index::Index;
use super::source::Source;
use super::stanza::{self, Described};
use super::{Progress, Stop, Sysroots};
use crate::machine::AptFacts;
use crate::model::sysroot::{SysrootKey, SysrootPlan};
use crate::project::config::Forbidden;
use crate::project::lock::{LockedPackage, LockedSysroot, is_word};
use crate::util::suggest::nearest;

/// How the archive whose armhf is ARMv7 calls itself.
const DEBIAN: &str = "Debian";

impl Sysroots<'_> {
    pub(super) fn choose(&self, plan: &SysrootPlan) -> Result<LockedSysroot, Stop> {
        let key = &plan.key;
        let odd = plan.packages.iter().find(|name| !is_word(name));
        if let Some(name) = odd {
            return Err(Stop::choice(
                format!("`{name}` is not a valid Debian package name"),
                "correct `packages` under `[supply]` in `Convoy.toml`",
            ));
        }
        if !is_word(&key.suite) || !is_word(&key.architecture) {
            return Err(Stop::choice(
                format!("`{key}` is not a valid Debian suite and architecture"),
                "correct `[supply]`",
            ));
        }
        if let Some(Forbidden { reason, hint }) = self.offline {
            let reason = format!("the packages of sysroot {key} are not locked yet, and {reason}");
            return Err(Stop::choice(reason, format!("{hint}; that run writes the packages to `Convoy.lock`")));
        }
        let Some(apt) = self.apt else {
            let reason = format!("apt, which resolves the packages of sysroot {key}, is missing on this machine");
            let hint = "build once on a Debian or Ubuntu machine and commit `Convoy.lock`; then run `cargo convoy \
                        supply pack` there and `cargo convoy supply unpack` here";
            return Err(Stop::choice(reason, hint));
        };
        let mirrors = self.mirrors(&plan.archive);
        if mirrors.is_empty() {
            let reason = format!("apt on this machine ({}) has no Debian archive configured", apt.distribution);
            return Err(Stop::choice(reason, no_mirror(apt)));
        }
        if self.keyring(&plan.archive, apt).is_none() {
            return Err(no_keyring(key));
        }
        let mut reasons = Vec::new();
        for source in Source::mirrors(&mirrors, &plan.archive) {
            match self.ask(apt, &source, plan)? {
                Ok(locked) => return Ok(locked),
                Err(reason) => reasons.push(reason),
            }
        }
        let hint = "check the network connection, and `mirrors` and `keyring` under `[supply]` in `Convoy.toml`";
        Err(Stop::choice(reasons.join("; "), hint))
    }

    /// Resolves against one source; why its index cannot be used, if so.
    fn ask(&self, apt: &AptFacts, source: &Source, plan: &SysrootPlan) -> Result<Result<LockedSysroot, String>, Stop> {
        let SysrootPlan { key, packages, archive } = plan;
        for root in source.roots().map(|root| root.plain()) {
            if !root.contains(':') || root.contains(|c: char| c.is_control() || "[]\"".contains(c)) {
                return Ok(Err(format!("`{root}` is not the URL of an archive")));
            }
        }
        let Some(keyring) = self.keyring(archive, apt) else { return Err(no_keyring(key)) };
        let index = match self.index(apt, source, key, keyring)? {
            Ok(index) => index,
            Err(fault) => return Ok(Err(fault.reason)),
        };
        if index.without.is_some() {
            (self.progress)(Progress::NoFixes);
        }
        let root = source.main.plain();
        if index.release.origin == DEBIAN && key.of.as_deref().is_some_and(is_armv6) {
            let reason =
                format!("the archive {root} is Debian's, whose armhf packages are built for ARMv7 and crash on ARMv6");
            let table = key.of.as_deref().unwrap_or_default();
            let hint = format!(
                "set `mirrors` and `keyring` under `[target.\"{table}\".supply]` in `Convoy.toml` to an archive for ARMv6, \
                 such as Raspbian"
            );
            return Err(Stop::choice(reason, hint));
        }
        let text = index.apt.print_uris(packages, self.interrupt)?;
        if !text.success {
            return Err(self.unresolved(&index.apt, key, root, apt_output::unresolved(&text.all))?);
        }
        let roots: Vec<&str> = index.roots.iter().map(String::as_str).collect();
        let chosen = chosen(&text, &roots)
            .map_err(|reason| Stop::choice(reason, "this is a bug in cargo-convoy; please report it"))?;
        let patterns = self.taken_for_patterns(&index.apt, packages, &chosen)?;
        if !patterns.is_empty() {
            return Err(self.unresolved(&index.apt, key, root, Unresolved::Unknown(patterns))?);
        }
        let chosen = needed(&index, packages, chosen)?;
        let (origin, requested) = (index.release.origin.clone(), packages.clone());
        let locked = LockedSysroot { key: key.clone(), requested, origin, date: index.date, packages: chosen };
        // It is what the index says: nobody needs to hold it against it again.
        index.remember(&locked);
        Ok(Ok(locked))
    }

    /// The names that no package has, and that apt took for a pattern: a good guess for people only.
    fn taken_for_patterns(
        &self,
        apt: &PrivateApt<'_>,
        asked: &BTreeSet<String>,
        chosen: &[LockedPackage],
    ) -> Result<BTreeSet<String>, Stop> {
        let mut left = asked.clone();
        chosen.iter().for_each(|package| _ = left.remove(&package.name));
        if !left.is_empty() {
            // Another package may provide it.
            let known = apt.names(true, self.interrupt)?.unwrap_or_default();
            known.lines().for_each(|name| _ = left.remove(name));
        }
        Ok(left)
    }

    fn unresolved(
        &self,
        apt: &PrivateApt<'_>,
        key: &SysrootKey,
        root: &str,
        unresolved: Unresolved,
    ) -> Result<Stop, Stop> {
        Ok(match unresolved {
            Unresolved::Unknown(names) => {
                let known = apt.names(false, self.interrupt)?.unwrap_or_default();
                let near = names.iter().find_map(|name| nearest(name, known.lines()));
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                let reason = format!("the archive {root} has no package {} in `{}`", names.join(", "), key.suite);
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`? Package names differ between Debian releases"),
                    None => format!(
                        "it may have another name in `{}`; correct `packages` under `[supply]` in \
                                     `Convoy.toml`",
                        key.suite
                    ),
                };
                Stop::choice(reason, hint)
            }
            Unresolved::Conflict(lines) => {
                let reason = format!("the packages of sysroot {key} conflict: {}", lines.join("; "));
                Stop::choice(reason, "remove one of them, or build the crates that need them in separate projects")
            }
            Unresolved::Other(words) => Stop::choice(
                format!("apt could not resolve the packages of sysroot {key}: {words}"),
                "check `[supply]`",
            ),
        })
    }
}

/// Nobody else's keys count as Debian's: apt trusts those of every archive that this machine uses.
pub(super) fn no_keyring(key: &SysrootKey) -> Stop {
    let reason = format!("no keyring is configured to verify the archive of sysroot {key}");
    Stop::choice(reason, "install debian-archive-keyring, or set `keyring` under `[supply]` in `Convoy.toml`")
}

/// Those of the chosen packages that what was asked for depends on. apt may keep one that it took on the way to its
/// choice, and a lock with more than is needed is refused where it is unpacked.
fn needed(
    index: &Index<'_>,
    requested: &BTreeSet<String>,
    chosen: Vec<LockedPackage>,
) -> Result<Vec<LockedPackage>, Stop> {
    let names: Vec<&str> = chosen.iter().map(|package| package.name.as_str()).collect();
    let is_chosen = |described: &Described| {
        chosen.iter().any(|package| package.name == described.name && package.version == described.version)
    };
    let described: Vec<Described> = index.described(&names)?.into_iter().filter(is_chosen).collect();
    let unneeded = stanza::misfits(requested, &described).unneeded;
    Ok(chosen.into_iter().filter(|package| !unneeded.contains(&package.name)).collect())
}

/// What to do where no mirror is known; the lines can be pasted.
fn no_mirror(apt: &AptFacts) -> String {
    let keyring = match &apt.keyring {
        Some(_) => "",
        None => " and `keyring = \"…\"` (from the package debian-archive-keyring)",
    };
    format!("set `mirrors = [\"http://…/debian\"]`{keyring} under `[supply]` in `Convoy.toml`")
}

fn is_armv6(triple: &str) -> bool {
    triple.starts_with("arm-") || triple.starts_with("armv6")
}

fn chosen(text: &AptOutput, roots: &[&str]) -> Result<Vec<LockedPackage>, String> {
    let mut packages = Vec::new();
    for line in text.stdout.lines() {
        packages.extend(apt_output::package(line, roots)?);
    }
    if packages.is_empty() {
        return Err("apt selected no packages".to_owned());
    }
    packages.sort();
    Ok(packages)
}
