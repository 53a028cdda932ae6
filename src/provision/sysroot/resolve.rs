//! Choosing packages: apt resolves, and checks the archive's signature.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::apt::{PrivateApt, Said};
use super::told::{self, Release, Unresolved};
use super::{Stop, Sysroots, room};
use crate::files;
use crate::host::AptFacts;
use crate::lock::{LockedPackage, LockedSysroot, is_word};
use crate::suggest::nearest;
use crate::sysroot::{SysrootKey, SysrootPlan};

const ROOM: &str = "apt";
/// How the archive whose armhf is ARMv7 calls itself.
const DEBIAN: &str = "Debian";

impl Sysroots<'_> {
    pub(super) fn choose(&self, plan: &SysrootPlan) -> Result<LockedSysroot, Stop> {
        let key = &plan.key;
        let odd = plan.packages.iter().find(|name| !is_word(name));
        if let Some(name) = odd {
            return Err(Stop::choice(format!("`{name}` is no name of a Debian package"), "see `[supply] packages`"));
        }
        if !is_word(&key.suite) || !is_word(&key.architecture) {
            return Err(Stop::choice(format!("`{key}` names no suite and architecture of Debian's"), "see `[supply]`"));
        }
        if self.offline {
            let reason = format!("the packages of sysroot {key} are not chosen yet, and nothing may be fetched");
            return Err(Stop::choice(reason, "run once without --offline: Convoy.lock then keeps the choice"));
        }
        let Some(apt) = self.apt else {
            let reason = format!("this machine has no apt, which chooses the packages of sysroot {key}");
            let hint = "build once on a Debian or Ubuntu machine and commit Convoy.lock; `cargo convoy supply pack` there \
                        and `cargo convoy supply unpack` here bring the packages";
            return Err(Stop::choice(reason, hint));
        };
        let mirrors = self.mirrors(&plan.archive);
        if mirrors.is_empty() {
            let reason = format!("this machine ({}) has no Debian archive among its apt sources", apt.distribution);
            return Err(Stop::choice(reason, no_mirror(apt)));
        }
        let mut reasons = Vec::new();
        for root in &mirrors {
            match self.ask(apt, root.trim_end_matches('/'), plan)? {
                Ok(locked) => return Ok(locked),
                Err(reason) => reasons.push(reason),
            }
        }
        let hint = "check `[supply] mirrors` and `keyring`, and whether this machine reaches the archive";
        Err(Stop::choice(reasons.join("; "), hint))
    }

    /// Resolves against one mirror; why its index cannot be used, if so.
    fn ask(&self, apt: &AptFacts, root: &str, plan: &SysrootPlan) -> Result<Result<LockedSysroot, String>, Stop> {
        let SysrootPlan { key, packages, archive } = plan;
        if !root.contains(':') || root.contains(|c: char| c.is_control() || "[]\"".contains(c)) {
            return Ok(Err(format!("`{}` is no address of an archive", told::shown(root))));
        }
        let keyring = archive.keyring.as_deref().or(apt.keyring.as_deref());
        let dir = self.apt_room(key, root, keyring)?;
        let _lock = self.lock(&dir)?;
        let private = PrivateApt::prepare(apt, &dir, &key.architecture, keyring, self.limits)?;
        if let Some(fault) = private.update(root, &key.suite, self.interrupt)? {
            return Ok(Err(fault));
        }
        let Some(release) = release_of(&private.lists()) else {
            return Ok(Err(format!("the index of `{}` at {} names no date", key.suite, told::shown(root))));
        };
        if let Some(fault) = release.lacks(key) {
            return Ok(Err(format!("the archive {} {fault}", told::shown(root))));
        }
        if release.origin == DEBIAN && key.of.as_deref().is_some_and(is_armv6) {
            let reason = format!(
                "the archive {} is Debian's, whose armhf is ARMv7: an ARMv6 machine stops at it",
                told::shown(root)
            );
            let hint =
                "name an archive for ARMv6, such as Raspbian's, by `mirrors` and `keyring` in `[target.X.supply]`";
            return Err(Stop::choice(reason, hint));
        }
        let said = private.print_uris(packages, self.interrupt)?;
        if !said.success {
            return Err(self.unresolved(&private, key, root, told::unresolved(&said.all))?);
        }
        let chosen = chosen(&said, root).map_err(|reason| Stop::choice(reason, "this is a fault of convoy"))?;
        let patterns = self.taken_for_patterns(&private, packages, &chosen)?;
        if !patterns.is_empty() {
            return Err(self.unresolved(&private, key, root, Unresolved::Unknown(patterns))?);
        }
        let requested = plan.packages.clone();
        let (origin, date) = (release.origin, release.date);
        Ok(Ok(LockedSysroot { key: key.clone(), requested, origin, date, packages: chosen }))
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

    /// apt's own folders for a key, a mirror and a keyring: what one trusts, another need not.
    fn apt_room(&self, key: &SysrootKey, root: &str, keyring: Option<&Utf8Path>) -> Result<Utf8PathBuf, Stop> {
        let digest = files::sha256(format!("{key}\0{root}\0{keyring:?}"));
        let dir = room(self.cache, ROOM)?.join(format!("{}-{}-{}", key.suite, key.architecture, &digest[..16]));
        fs_err::create_dir_all(&dir)?;
        Ok(dir)
    }

    fn unresolved(
        &self,
        apt: &PrivateApt<'_>,
        key: &SysrootKey,
        root: &str,
        unresolved: Unresolved,
    ) -> Result<Stop, Stop> {
        let root = told::shown(root);
        Ok(match unresolved {
            Unresolved::Unknown(names) => {
                let known = apt.names(false, self.interrupt)?.unwrap_or_default();
                let near = names.iter().find_map(|name| nearest(name, known.lines()));
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                let reason = format!("the archive {root} has no package {} in `{}`", names.join(", "), key.suite);
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`? Debian's releases do not all call it the same"),
                    None => format!("it may be called otherwise in `{}`: see `[supply] packages`", key.suite),
                };
                Stop::choice(reason, hint)
            }
            Unresolved::Conflict(lines) => {
                let reason = format!("the packages of sysroot {key} do not go together: {}", lines.join("; "));
                Stop::choice(reason, "leave one of them out, or build what needs them as two projects")
            }
            Unresolved::Other(words) => {
                Stop::choice(format!("apt could not choose the packages of sysroot {key}: {words}"), "see `[supply]`")
            }
        })
    }
}

impl Release {
    /// Why an archive does not serve a key, though its index is in order: apt only notes such things.
    fn lacks(&self, key: &SysrootKey) -> Option<String> {
        let SysrootKey { suite, architecture, .. } = key;
        if !self.names.contains(suite) {
            Some(format!("gives `{}` in place of `{suite}`", self.names.join(" or ")))
        } else if !self.architectures.contains(architecture) {
            Some(format!("has no packages for {architecture} in `{suite}`"))
        } else if !self.components.iter().any(|component| component == "main") {
            Some(format!("has no component `main` in `{suite}`"))
        } else {
            None
        }
    }
}

/// What to do where no mirror is known; the lines can be pasted.
fn no_mirror(apt: &AptFacts) -> String {
    let keyring = match &apt.keyring {
        Some(_) => "",
        None => ", with its keyring as `keyring = \"…\"` (package debian-archive-keyring)",
    };
    format!("name one in Convoy.toml: `[supply]` with `mirrors = [\"http://…/debian\"]`{keyring}")
}

fn is_armv6(triple: &str) -> bool {
    triple.starts_with("arm-") || triple.starts_with("armv6")
}

/// The Release file that apt has fetched.
fn release_of(lists: &Utf8Path) -> Option<Release> {
    let mut files: Vec<Utf8PathBuf> = lists.read_dir_utf8().ok()?.flatten().map(|entry| entry.into_path()).collect();
    files.sort();
    let file = files.iter().find(|file| file.as_str().ends_with("_InRelease"));
    let file = file.or_else(|| files.iter().find(|file| file.as_str().ends_with("_Release")))?;
    told::release(&fs_err::read_to_string(file).ok()?)
}

fn chosen(said: &Said, root: &str) -> Result<Vec<LockedPackage>, String> {
    let mut packages = Vec::new();
    for line in said.stdout.lines() {
        packages.extend(told::package(line, root)?);
    }
    if packages.is_empty() {
        return Err("apt chose no package".to_owned());
    }
    packages.sort();
    Ok(packages)
}
