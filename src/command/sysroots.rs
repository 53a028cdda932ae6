//! Bringing the sysroots that a plan asks for.

use std::time::Instant;

use crate::command::prepare::Prepared;
use crate::error::{Error, Result};
use crate::host::{AptFacts, CacheDir, Refused};
use crate::interrupt::Interrupt;
use crate::lock::LockedSysroot;
use crate::provision::sysroot::{Limits, Progress, Sysroots};
use crate::report::table::size_text;
use crate::report::{Phase, Reporter};
use crate::request::Selection;
use crate::sysroot::address::security_root;
use crate::sysroot::{Archive, Security, Sysroot, SysrootPlan};

/// Whether security fixes are looked for beside a mirror without anybody having asked for them.
fn has_fixes_beside(archive: &Archive, prepared: &Prepared) -> bool {
    let own = prepared.project.host.apt.iter().filter_map(|apt| apt.mirror.as_ref());
    archive.mirrors.iter().chain(own).any(|mirror| security_root(mirror).is_some())
}

/// Who brings sysroots.
pub(super) struct Bringer<'a> {
    pub selection: &'a Selection,
    pub cache: &'a CacheDir,
    pub reporter: &'a Reporter,
    pub interrupt: &'a Interrupt,
    /// Whether nothing may go over the network.
    pub offline: bool,
}

impl Bringer<'_> {
    /// Brings one that the plan names: what is locked, else what the archive has now, which is then locked. A refusal is
    /// noted among the host's facts, for the next plan.
    pub(super) fn bring(&self, name: &str, prepared: &mut Prepared) -> Result<()> {
        let wanted = |plan: &&SysrootPlan| plan.key.to_string() == name;
        let Some(plan) = prepared.project.plan.sysroots.iter().find(wanted).cloned() else { return Ok(()) };
        let known = prepared.locked.lock.get(&plan.key).filter(|locked| locked.covers(&plan.packages)).cloned();
        if let Some(locked) = known {
            let brought = self.unpack(name, &locked, &plan, prepared)?;
            return self.settle(name, brought, prepared);
        }
        self.may_lock(&plan, prepared)?;
        let mut brought = self.choose_and_unpack(name, &plan, prepared)?;
        let gone = brought.as_ref().is_err_and(|refused| refused.work);
        if gone && plan.archive.security.is_none() && has_fixes_beside(&plan.archive, prepared) {
            // An index of security fixes may name files that are gone: of a release that gets no more of them, or of an
            // architecture that the mirror leaves out. Nobody asked for these, so the release as it was published serves.
            self.tell(name, Progress::NoFixes);
            let without = Archive { security: Some(Security::Off), ..plan.archive.clone() };
            brought = self.choose_and_unpack(name, &SysrootPlan { archive: without, ..plan }, prepared)?;
        }
        self.settle(name, brought, prepared)
    }

    fn choose_and_unpack(
        &self,
        name: &str,
        plan: &SysrootPlan,
        prepared: &Prepared,
    ) -> Result<std::result::Result<(LockedSysroot, Sysroot), Refused>> {
        match self.resolve(plan, prepared)? {
            Ok(locked) => self.unpack(name, &locked, plan, prepared),
            Err(refused) => Ok(Err(refused)),
        }
    }

    fn unpack(
        &self,
        name: &str,
        locked: &LockedSysroot,
        plan: &SysrootPlan,
        prepared: &Prepared,
    ) -> Result<std::result::Result<(LockedSysroot, Sysroot), Refused>> {
        let started = Instant::now();
        let message =
            format!("the sysroot {name}: {} Debian packages, {}", locked.packages.len(), size_text(locked.size()));
        self.reporter.info(Phase::Provision, message).send();
        let progress = |progress: Progress| self.tell(name, progress);
        let apt = prepared.project.host.apt.as_ref();
        let brought = self.sysroots(apt, &progress).bring(locked, &plan.archive)?;
        if brought.is_ok() {
            let done = format!("the sysroot {name} is here");
            self.reporter.debug(Phase::Provision, done).took(started.elapsed()).send();
        }
        Ok(brought.map(|sysroot| (locked.clone(), sysroot)))
    }

    fn settle(
        &self,
        name: &str,
        brought: std::result::Result<(LockedSysroot, Sysroot), Refused>,
        prepared: &mut Prepared,
    ) -> Result<()> {
        match brought {
            Ok((locked, sysroot)) => {
                self.lock(locked, prepared)?;
                prepared.project.host.sysroots.insert(name.to_owned(), sysroot);
                Ok(())
            }
            Err(refused) => self.refuse(name, refused, prepared),
        }
    }

    /// What the archive has now; what the lock asked for before stays in it.
    pub(super) fn resolve(
        &self,
        plan: &SysrootPlan,
        prepared: &Prepared,
    ) -> Result<std::result::Result<LockedSysroot, Refused>> {
        let mut plan = plan.clone();
        plan.packages.extend(prepared.locked.lock.get(&plan.key).into_iter().flat_map(|old| old.requested.clone()));
        self.choose(&plan, prepared)
    }

    /// What the archive has now for exactly what a plan asks for.
    pub(super) fn choose(
        &self,
        plan: &SysrootPlan,
        prepared: &Prepared,
    ) -> Result<std::result::Result<LockedSysroot, Refused>> {
        let Some(apt) = &prepared.project.host.apt else {
            let reason = "this machine has no apt to resolve its packages with".to_owned();
            return Ok(Err(Refused { reason, hint: None, work: false }));
        };
        let names: Vec<&str> = plan.packages.iter().map(String::as_str).collect();
        let message = format!("the packages of {} (apt): {}", plan.key, names.join(", "));
        self.reporter.info(Phase::Provision, message).send();
        let started = Instant::now();
        let name = plan.key.to_string();
        let chosen = self.sysroots(Some(apt), &|progress| self.tell(&name, progress)).resolve(plan);
        self.reporter.debug(Phase::Provision, format!("asked for {name}")).took(started.elapsed()).send();
        chosen
    }

    fn sysroots<'b>(&'b self, apt: Option<&'b AptFacts>, progress: &'b dyn Fn(Progress)) -> Sysroots<'b> {
        let limits = Limits::default();
        Sysroots { apt, cache: self.cache, offline: self.offline, limits, interrupt: self.interrupt, progress }
    }

    fn tell(&self, name: &str, progress: Progress) {
        const MIB: u64 = 1 << 20;
        let step = |message: &str, done: usize, total: usize| {
            self.reporter.info(Phase::Provision, message).target(name).progress(done, total).send();
        };
        match progress {
            Progress::Waiting => {
                let message = "another run brings packages: waiting for it";
                self.reporter.info(Phase::Provision, message).target(name).code("waiting").send();
            }
            Progress::NoFixes => {
                let message = format!(
                    "the packages of {name} are chosen without Debian's security fixes: there is no archive of them beside \
                     the mirror now; name it by `[supply] security`"
                );
                self.reporter.warning(Phase::Provision, message).code("no-security-fixes").send();
            }
            Progress::Checking => {
                let message = "holding the packages against the archive's signed index";
                self.reporter.info(Phase::Provision, message).target(name).send();
            }
            Progress::Fetching { done, total } => {
                step("MiB fetched", (done / MIB) as usize, (total / MIB) as usize);
            }
            Progress::Unpacking { done, total } => step("packages unpacked", done, total),
        }
    }

    /// Keeps what was chosen, for later builds and other machines.
    pub(super) fn lock(&self, locked: LockedSysroot, prepared: &mut Prepared) -> Result<()> {
        let lock = &prepared.locked.lock;
        if lock.get(&locked.key) == Some(&locked) && !lock.edited().contains(&locked.key) {
            return Ok(());
        }
        prepared.locked.lock.set(locked);
        prepared.locked.write(self.reporter);
        Ok(())
    }

    fn may_lock(&self, plan: &SysrootPlan, prepared: &Prepared) -> Result<()> {
        if !self.selection.locked {
            return Ok(());
        }
        let told = if prepared.locked.exists {
            format!("Convoy.lock does not hold all that {} is to have, and `--locked` forbids to change it", plan.key)
        } else {
            format!(
                "there is no Convoy.lock to take the packages of {} from, and `--locked` forbids to write one",
                plan.key
            )
        };
        Err(Error::usage(told).hint("run `cargo convoy supply update`, and commit Convoy.lock"))
    }

    fn refuse(&self, name: &str, refused: Refused, prepared: &mut Prepared) -> Result<()> {
        self.interrupt.check()?;
        self.reporter
            .warning(Phase::Provision, format!("the sysroot {name}: {}", refused.reason))
            .code("sysroot-missing")
            .send();
        prepared.project.host.refused_sysroots.insert(name.to_owned(), refused);
        Ok(())
    }
}
