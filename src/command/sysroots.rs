//! Bringing the sysroots that a plan asks for.

use std::time::Instant;

use crate::command::prepare::Prepared;
use crate::machine::interrupt::Interrupt;
use crate::machine::{AptFacts, CacheDir, Refused};
use crate::model::request::Selection;
use crate::model::sysroot::{Sysroot, SysrootPlan};
use crate::project::lock::LockedSysroot;
use crate::provision::sysroot::{Limits, Progress, Sysroots};
use crate::report::table::size_text;
use crate::report::{Phase, Reporter};
use crate::util::error::{Error, Result};

/// A plan with what the lock asked for before: that stays in it.
pub(super) fn with_earlier_packages(plan: &SysrootPlan, prepared: &Prepared) -> SysrootPlan {
    let mut plan = plan.clone();
    plan.packages.extend(prepared.locked.lock.get(&plan.key).into_iter().flat_map(|old| old.requested.clone()));
    plan
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
        let started = Instant::now();
        let apt = prepared.project.host.apt.as_ref();
        let brought = match known {
            Some(locked) => {
                let brought =
                    self.sysroots(apt, &|progress| self.tell(name, progress)).bring(&locked, &plan.archive)?;
                brought.map(|sysroot| (locked, sysroot))
            }
            None => {
                self.may_lock(&plan, prepared)?;
                let plan = with_earlier_packages(&plan, prepared);
                match self.needs_apt(&plan, prepared) {
                    Ok(apt) => {
                        self.sysroots(Some(apt), &|progress| self.tell(name, progress)).choose_and_bring(&plan)?
                    }
                    Err(refused) => Err(refused),
                }
            }
        };
        if brought.is_ok() {
            let done = format!("the sysroot {name}");
            self.reporter.debug(Phase::Provision, done).took(started.elapsed()).send();
        }
        self.settle(name, brought, prepared)
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

    /// What the archive has now for exactly what a plan asks for.
    pub(super) fn choose(
        &self,
        plan: &SysrootPlan,
        prepared: &Prepared,
    ) -> Result<std::result::Result<LockedSysroot, Refused>> {
        let apt = match self.needs_apt(plan, prepared) {
            Ok(apt) => apt,
            Err(refused) => return Ok(Err(refused)),
        };
        let started = Instant::now();
        let name = plan.key.to_string();
        let chosen = self.sysroots(Some(apt), &|progress| self.tell(&name, progress)).resolve(plan);
        self.reporter.debug(Phase::Provision, format!("the package list of {name}")).took(started.elapsed()).send();
        chosen
    }

    /// apt, and a line that says what it is asked for.
    fn needs_apt<'p>(&self, plan: &SysrootPlan, prepared: &'p Prepared) -> std::result::Result<&'p AptFacts, Refused> {
        let Some(apt) = &prepared.project.host.apt else {
            let reason = "apt, which resolves its packages, is missing on this machine".to_owned();
            return Err(Refused { reason, hint: None, work: false });
        };
        let names: Vec<&str> = plan.packages.iter().map(String::as_str).collect();
        let message = format!("the packages of {} (by apt): {}", plan.key, names.join(", "));
        self.reporter.info(Phase::Provision, message).send();
        Ok(apt)
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
                let message = "waiting for another run to finish downloading packages";
                self.reporter.info(Phase::Provision, message).target(name).code("waiting").send();
            }
            Progress::NoFixes => {
                let message = format!(
                    "the packages of {name} do not include Debian's security fixes: the mirror has no security archive \
                     beside it; set `security` in `[supply]`"
                );
                self.reporter.warning(Phase::Provision, message).code("no-security-fixes").send();
            }
            Progress::Chosen { packages, bytes } => {
                let message = format!("the sysroot {name}: {packages} Debian packages, {}", size_text(bytes));
                self.reporter.info(Phase::Provision, message).send();
            }
            Progress::Checking => {
                let message = "checking the packages against the archive's signed index";
                self.reporter.info(Phase::Provision, message).target(name).send();
            }
            Progress::Fetching { done, total } => {
                step("MiB downloaded", (done / MIB) as usize, (total / MIB) as usize);
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
            format!(
                "packages that {} needs are missing in `Convoy.lock`, and `--locked` does not allow changing it",
                plan.key
            )
        } else {
            format!(
                "there is no `Convoy.lock` with the packages of {}, and `--locked` does not allow creating one",
                plan.key
            )
        };
        Err(Error::usage(told).hint("run `cargo convoy supply update`, and commit `Convoy.lock`"))
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
