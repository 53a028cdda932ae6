//! Images that a plan needs: provisioned, inspected, compared with Convoy.lock, and used to run apt.

pub(super) mod commands;
mod locked;

use std::cell::OnceCell;
use std::time::Instant;

use crate::command::prepare::Prepared;
use crate::command::workspace::Planned;
use crate::machine::engine::{Engine, EngineFacts, EngineKind};
use crate::machine::interrupt::Interrupt;
use crate::machine::{self, AptFacts, CacheDir, Machine};
use crate::model::code::Code;
use crate::model::request::{EngineChoice, Selection};
use crate::plan::container::ImagePlan;
use crate::plan::{Attempt, CellPlan, Plan, Refused};
use crate::project::config::{Forbidden, Source};
use crate::provision::image::{Came, Images, Origin, Step};
use crate::provision::runs::{RunMark, left_behind, reap};
use crate::report::{Phase, Reporter};
use crate::util::error::{Error, Exit, Result};
use crate::util::plural::counted;

/// What provisions images.
pub(super) struct ImageProvisioner<'a> {
    pub selection: &'a Selection,
    pub cache: &'a CacheDir,
    pub reporter: &'a Reporter,
    pub interrupt: &'a Interrupt,
    pub run: &'a str,
    pub mark: &'a OnceCell<RunMark>,
}

impl ImageProvisioner<'_> {
    /// Marks the run as one that has containers, and removes those of runs that were killed; gives what names this machine.
    pub(crate) fn ready(&self, host: &Machine) -> Result<String> {
        if let Some(mark) = self.mark.get() {
            return Ok(mark.machine.clone());
        }
        let engine = match &host.engine {
            Engine::Found(engine) => Some(engine),
            _ => None,
        };
        let mark = RunMark::set(self.cache, self.run, engine.map(|engine| engine.kind))?;
        let machine = mark.machine.clone();
        // Just looked at: nobody else sets it.
        let _ = self.mark.set(mark);
        engine.map(|engine| self.reap(engine)).transpose()?;
        Ok(machine)
    }

    /// Removes the containers of runs that were killed, also where this run has none: they still write into projects.
    pub(crate) fn clear(&self, may: EngineChoice) -> Result<()> {
        if may == EngineChoice::None || self.mark.get().is_some() {
            return Ok(());
        }
        for kind in left_behind(self.cache)? {
            let choice = match kind {
                EngineKind::Docker => EngineChoice::Docker,
                EngineKind::Podman => EngineChoice::Podman,
            };
            if let Engine::Found(engine) = machine::engine::engine(choice, self.cache) {
                self.reap(&engine)?;
            }
        }
        Ok(())
    }

    fn reap(&self, engine: &EngineFacts) -> Result<()> {
        let orphans = reap(engine, self.cache, self.interrupt)?;
        if orphans > 0 {
            let message =
                format!("removed {} left behind by a killed run", counted(orphans, "container", "containers"));
            self.reporter.info(Phase::Provision, message).code(Code::OrphansRemoved).send();
        }
        Ok(())
    }

    fn images<'b>(&'b self, engine: &'b EngineFacts) -> Result<Images<'b>> {
        let mark = self
            .mark
            .get()
            .ok_or_else(|| Error::work("internal error: a container was about to start before its run was recorded"))?;
        Ok(Images { engine, cache: self.cache, mark, interrupt: self.interrupt })
    }

    /// Provisions an image of the plan. A refusal is recorded in the attempt, for the next plan.
    pub(crate) fn provision(&self, name: &str, prepared: &mut Prepared) -> Result<()> {
        let Some(plan) = planned(&prepared.planned.plan, name) else { return Ok(()) };
        let Engine::Found(engine) = prepared.planned.machine.engine.clone() else { return Ok(()) };
        self.may_provision(&plan, prepared)?;
        let started = Instant::now();
        match self.provision_planned(&plan, engine, prepared) {
            Ok(Ok(())) => {}
            Ok(Err(refused)) => return self.refuse(name, refused, &mut prepared.attempt),
            Err(error) => return self.refuse_for(name, error, &mut prepared.attempt),
        }
        let done = format!("the image {name}");
        self.reporter.debug(Phase::Provision, done).took(started.elapsed()).send();
        Ok(())
    }

    fn provision_planned(
        &self,
        plan: &ImagePlan,
        mut engine: EngineFacts,
        prepared: &mut Prepared,
    ) -> Result<Result<(), Refused>> {
        self.ready(&prepared.planned.machine)?;
        let (name, dir) = (plan.reference.as_str(), prepared.planned.workspace.convoy_dir());
        let images = self.images(&engine)?;
        if let Some(forbidden) = prepared.project.settings.provisioning.forbids(Source::Network)
            && images.present(plan)?.is_none()
        {
            return Ok(Err(image_missing(&forbidden, engine.kind, name)));
        }
        let lock = &prepared.locked.lock;
        let digest = match plan.recipe() {
            Some(recipe) => lock.published(&recipe.digest()),
            None => locked::named(plan).and_then(|name| lock.digest_of(name)),
        };
        let origin = Origin { registry: plan.registry.as_deref(), digest };
        let id = match images.bring(plan, origin, &|step| self.tell(step))? {
            Ok((Came::Before, id)) => id,
            Ok((Came::Now, id)) => {
                prepared.new_images.insert(name.to_owned());
                id
            }
            Err(refused) => return Ok(Err(refused)),
        };
        // What is looked at from here on is what will be started.
        engine.pin(name, &id);
        let images = self.images(&engine)?;
        let shares = images.shares_files(name, &[&dir])?;
        let host = &mut prepared.planned.machine;
        if plan.is_opaque() {
            host.image_facts.insert(name.to_owned(), images.look_into(name)?);
        }
        if let Engine::Found(engine) = &mut host.engine {
            engine.shares_files = Some(shares);
            plan.note_in(engine, &id);
        }
        Ok(Ok(()))
    }

    /// Finds out whether containers see this machine's files, ahead of the first one that is to build. An image that was
    /// there already was not tried when it was provisioned.
    pub(crate) fn try_files(&self, planned: &mut Planned) -> Result<()> {
        let Some(image) = planned.plan.lanes.iter().find_map(|lane| lane.image.clone()) else { return Ok(()) };
        self.ready(&planned.machine)?;
        let dir = planned.workspace.convoy_dir();
        let Engine::Found(engine) = &mut planned.machine.engine else { return Ok(()) };
        if engine.shares_files.is_none() {
            let tried = self.images(engine)?.shares_files(&image, &[&dir]);
            self.interrupt.check()?;
            // Where no container can be started, the lane that wants one says so, and others go on.
            engine.shares_files = tried.ok();
        }
        if engine.shares_files == Some(false) {
            let message = format!("{} cannot access this machine's files; they are sent to it", engine.kind.name());
            self.reporter.info(Phase::Provision, message).code(Code::FilesSent).send();
        }
        Ok(())
    }

    fn tell(&self, step: Step<'_>) {
        let message = match step {
            Step::Pulling(name) => format!("the image {name} (downloading)"),
            Step::Building(name) => format!("the image {name} (built once, takes a minute or two)"),
            Step::NotPulled(name, output) => {
                let message = format!("could not update the image {name}; using the one on this machine: {output}");
                return self.reporter.info(Phase::Provision, message).code(Code::ImageNotPulled).send();
            }
            Step::NotTheSame(name) => {
                let message = format!("the image {name} was built from a different recipe and is not used");
                return self.reporter.warning(Phase::Provision, message).code(Code::ImageNotTheSame).send();
            }
        };
        self.reporter.info(Phase::Provision, message).send();
    }

    /// On a machine without apt, the apt of an image downloads the packages of a sysroot.
    pub(crate) fn lend_apt(&self, sysroot: &str, prepared: &mut Prepared) -> Result<()> {
        let host = &mut prepared.planned.machine;
        if host.apt.is_some() {
            return Ok(());
        }
        let takes = |cell: &&CellPlan| cell.sysroot.as_ref().is_some_and(|key| key.to_string() == sysroot);
        let image = prepared.planned.plan.cells.iter().filter(takes).find_map(|cell| cell.image.clone());
        let (Some(image), Engine::Found(engine)) = (image, host.engine.clone()) else { return Ok(()) };
        if prepared.attempt.images.contains_key(&image.reference) {
            return Ok(());
        }
        self.ready(host)?;
        match self.apt_of(&image.reference, &engine) {
            Ok(apt) => host.apt = apt,
            Err(error) => self.refuse_for(&image.reference, error, &mut prepared.attempt)?,
        }
        Ok(())
    }

    /// The apt of an image, as it downloads packages for this machine; none if it cannot.
    fn apt_of(&self, name: &str, engine: &EngineFacts) -> Result<Option<AptFacts>> {
        let images = self.images(engine)?;
        // What its apt fetches is to come to a folder of this machine.
        if !images.shares_files(name, &[])? {
            let message = format!(
                "apt in the image {name} cannot download packages for this machine, because the engine cannot access \
                 this machine's files"
            );
            self.reporter.warning(Phase::Provision, message).send();
            return Ok(None);
        }
        let apt = images.look_into(name)?.apt;
        Ok(apt.map(|apt| AptFacts { through: images.through(name, self.cache.root()), ..apt }))
    }

    /// An image that fails convoy's own work keeps only its own targets from being built; a signal ends the run.
    fn refuse_for(&self, name: &str, error: Error, attempt: &mut Attempt) -> Result<()> {
        if self.interrupt.came().is_some() || error.exit() != Exit::Work {
            return Err(error);
        }
        self.refuse(name, refused(&error), attempt)
    }

    fn refuse(&self, name: &str, refused: Refused, attempt: &mut Attempt) -> Result<()> {
        self.interrupt.check()?;
        self.reporter
            .warning(Phase::Provision, format!("the image {name}: {}", refused.reason))
            .code(Code::ImageMissing)
            .send();
        attempt.images.insert(name.to_owned(), refused);
        Ok(())
    }
}

/// An image of the user that is missing, and may not be pulled.
fn image_missing(forbidden: &Forbidden, engine: EngineKind, name: &str) -> Refused {
    let reason = format!("it is not on this machine, and {}", forbidden.reason);
    Refused { reason, hint: Some(forbidden.hint_or(&format!("run `{} pull {name}`", engine.name()))), work: false }
}

fn refused(error: &Error) -> Refused {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Refused { reason: format!("{error}{cause}"), hint: error.hint_text().map(str::to_owned), work: true }
}

/// An image of a plan.
fn planned(plan: &Plan, name: &str) -> Option<ImagePlan> {
    plan.cells.iter().filter_map(|cell| cell.image.as_ref()).find(|image| image.reference == name).cloned()
}
