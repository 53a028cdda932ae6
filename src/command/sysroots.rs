//! Bringing the sysroots that a plan asks for.

use std::time::Instant;

use crate::command::prepare::Prepared;
use crate::machine::interrupt::Interrupt;
use crate::machine::{AptFacts, CacheDir};
use crate::model::code::Code;
use crate::model::request::Selection;
use crate::model::sysroot::{Sysroot, SysrootPlan};
use crate::plan::Refused;
use crate::project::config::Forbidden;
use crate::project::lock::LockedSysroot;
use crate::provision::sysroot::{Limits, Progress, Sysroots};
use crate::report::table::size_text;
use crate::report::{Phase, Reporter};
use crate::util::error::{Error, Result};
use crate::util::plural::counted;

/// A plan with what the lock asked for before: that stays in it.
pub(super) fn with_earlier_packages(plan: &SysrootPlan, prepared: &Prepared) -> SysrootPlan {
    let mut plan = plan.clone();
    plan.packages.extend(prepared.locked.lock.get(&plan.key).into_iter().flat_map(|old| old.requested.clone()));
    plan
}

/// What provisions sysroots.
pub(super) struct SysrootProvisioner<'a> {
    pub selection: &'a Selection,
    pub cache: &'a CacheDir,
    pub reporter: &'a Reporter,
    pub interrupt: &'a Interrupt,
    /// Why nothing may go over the network, if so.
    pub offline: Option<Forbidden>,
}

impl SysrootProvisioner<'_> {
    /// Provisions a sysroot that the plan names: the locked packages, or else those that the archive has now, which are
    /// then locked. A refusal is recorded in the attempt, for the next plan.
    pub(super) fn provision(&self, name: &str, prepared: &mut Prepared) -> Result<()> {
        let wanted = |plan: &&SysrootPlan| plan.key.to_string() == name;
        let Some(plan) = prepared.planned.plan.sysroots.iter().find(wanted).cloned() else { return Ok(()) };
        let known = prepared.locked.lock.get(&plan.key).filter(|locked| locked.covers(&plan.packages)).cloned();
        let started = Instant::now();
        let apt = prepared.planned.machine.apt.as_ref();
        let provisioned = match known {
            Some(locked) => {
                let provisioned =
                    self.sysroots(apt, &|progress| self.tell(name, progress)).bring(&locked, &plan.archive)?;
                provisioned.map(|sysroot| (locked, sysroot))
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
        if provisioned.is_ok() {
            let done = format!("the sysroot {name}");
            self.reporter.debug(Phase::Provision, done).took(started.elapsed()).send();
        }
        self.settle(name, provisioned, prepared)
    }

    fn settle(
        &self,
        name: &str,
        provisioned: std::result::Result<(LockedSysroot, Sysroot), Refused>,
        prepared: &mut Prepared,
    ) -> Result<()> {
        match provisioned {
            Ok((locked, sysroot)) => {
                self.lock(locked, prepared)?;
                prepared.planned.machine.sysroots.insert(name.to_owned(), sysroot);
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
        let Some(apt) = &prepared.planned.machine.apt else {
            let reason = "apt, which resolves its packages, is missing on this machine".to_owned();
            return Err(Refused { reason, hint: None, work: false });
        };
        let names: Vec<&str> = plan.packages.iter().map(String::as_str).collect();
        let message = format!("the packages of {} (resolved with apt): {}", plan.key, names.join(", "));
        self.reporter.info(Phase::Provision, message).send();
        Ok(apt)
    }

    fn sysroots<'b>(&'b self, apt: Option<&'b AptFacts>, progress: &'b dyn Fn(Progress)) -> Sysroots<'b> {
        let limits = Limits::default();
        Sysroots { apt, cache: self.cache, offline: self.offline.as_ref(), limits, interrupt: self.interrupt, progress }
    }

    fn tell(&self, name: &str, progress: Progress) {
        const MIB: u64 = 1 << 20;
        let step = |message: &str, done: usize, total: usize| {
            self.reporter.info(Phase::Provision, message).target(name).progress(done, total).send();
        };
        match progress {
            Progress::Waiting => {
                let message = "waiting for another run to finish downloading packages";
                self.reporter.info(Phase::Provision, message).target(name).code(Code::Waiting).send();
            }
            Progress::NoFixes => {
                let message = format!(
                    "the packages of {name} do not include Debian's security fixes, because no security archive was \
                     found next to the mirror; set `security` under `[supply]` in `Convoy.toml`"
                );
                self.reporter.warning(Phase::Provision, message).code(Code::NoSecurityFixes).send();
            }
            Progress::Chosen { packages, bytes } => {
                let message = format!(
                    "the sysroot {name}: {}, {}",
                    counted(packages, "Debian package", "Debian packages"),
                    size_text(bytes)
                );
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
                "packages that {} needs are missing from `Convoy.lock`, and `--locked` does not allow changing it",
                plan.key
            )
        } else {
            format!(
                "`Convoy.lock` does not exist, so the packages of {} are not locked, and `--locked` does not allow \
                 creating it",
                plan.key
            )
        };
        Err(Error::usage(told).hint("run `cargo convoy supply update`, and commit `Convoy.lock`"))
    }

    fn refuse(&self, name: &str, refused: Refused, prepared: &mut Prepared) -> Result<()> {
        self.interrupt.check()?;
        self.reporter
            .warning(Phase::Provision, format!("the sysroot {name}: {}", refused.reason))
            .code(Code::SysrootMissing)
            .send();
        prepared.attempt.sysroots.insert(name.to_owned(), refused);
        Ok(())
    }
}
