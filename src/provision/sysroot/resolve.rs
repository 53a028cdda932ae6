//! Choosing packages: apt resolves, and checks the archive's signature.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::apt::{PrivateApt, Said};
use super::told::{self, Unresolved};
use super::{Stop, Sysroots};
use crate::files;
use crate::host::AptFacts;
use crate::lock::{LockedSysroot, is_word};
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
        if let Some(fault) = private.update(root, &key.suite, &key.architecture, self.interrupt)? {
            return Ok(Err(fault));
        }
        let Some(release) = release_of(&private.lists()) else {
            return Ok(Err(format!("the index of `{}` at {} names no date", key.suite, told::shown(root))));
        };
        if !release.names.contains(&key.suite) {
            let shown = told::shown(root);
            return Ok(Err(format!(
                "the archive {shown} gives `{}` in place of `{}`",
                release.names.join(" or "),
                key.suite
            )));
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
        let taken_for = said.stdout.lines().find(|line| line.starts_with("Note, selecting ") && is_pattern(line));
        if !said.success || taken_for.is_some() {
            let unresolved = match taken_for.and_then(|line| line.rsplit('\'').nth(1)) {
                Some(pattern) => Unresolved::Unknown([pattern.to_owned()].into()),
                None => told::unresolved(&said.all),
            };
            return Err(self.unresolved(&private, key, root, unresolved));
        }
        let packages = chosen(&said, root).map_err(|reason| Stop::choice(reason, "this is a fault of convoy"))?;
        let requested = plan.packages.clone();
        let (origin, date) = (release.origin, release.date);
        Ok(Ok(LockedSysroot { key: key.clone(), requested, origin, date, packages }))
    }

    /// apt's own folders for a key, a mirror and a keyring: what one trusts, another need not.
    fn apt_room(&self, key: &SysrootKey, root: &str, keyring: Option<&Utf8Path>) -> Result<Utf8PathBuf, Stop> {
        let digest = files::sha256(format!("{key}\0{root}\0{keyring:?}"));
        let dir = self.cache.room(ROOM)?.join(format!("{}-{}-{}", key.suite, key.architecture, &digest[..16]));
        fs_err::create_dir_all(&dir)?;
        Ok(dir)
    }

    fn unresolved(&self, apt: &PrivateApt<'_>, key: &SysrootKey, root: &str, unresolved: Unresolved) -> Stop {
        let root = told::shown(root);
        match unresolved {
            Unresolved::Unknown(names) => {
                let near = self.nearest_names(apt, &names);
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                let reason = format!("the archive {root} has no package {} in `{}`", names.join(", "), key.suite);
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`? Its name in `{}` may be another", key.suite),
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
        }
    }

    /// The package whose name is most like one of these.
    fn nearest_names(&self, apt: &PrivateApt<'_>, names: &BTreeSet<String>) -> Option<String> {
        let known = apt.names(self.interrupt)?;
        names.iter().find_map(|name| nearest(name, known.lines())).map(str::to_owned)
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

/// Whether apt took a name for a pattern, which is a good guess for people only.
fn is_pattern(note: &str) -> bool {
    note.contains(" for regex '") || note.contains(" for glob '") || note.contains(" for task '")
}

/// The Release file that apt has fetched.
fn release_of(lists: &Utf8Path) -> Option<told::Release> {
    let mut files: Vec<Utf8PathBuf> = lists.read_dir_utf8().ok()?.flatten().map(|entry| entry.into_path()).collect();
    files.sort();
    let file = files.iter().find(|file| file.as_str().ends_with("_InRelease"));
    let file = file.or_else(|| files.iter().find(|file| file.as_str().ends_with("_Release")))?;
    told::release(&fs_err::read_to_string(file).ok()?)
}

fn chosen(said: &Said, root: &str) -> Result<Vec<crate::lock::LockedPackage>, String> {
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
