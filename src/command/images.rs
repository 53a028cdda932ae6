//! Images that a plan asks for: brought, looked into, held against Convoy.lock, and lent to apt.

pub(super) mod commands;
mod locked;

use std::cell::OnceCell;
use std::time::Instant;

use crate::command::prepare::{Prepared, Project};
use crate::container::{Engine, EngineFacts, EngineKind, ImagePlan};
use crate::error::{Error, Result};
use crate::host::{self, AptFacts, CacheDir, HostFacts, Refused};
use crate::interrupt::Interrupt;
use crate::plan::{CellPlan, Plan};
use crate::provision::image::{Came, Images, Origin, Step};
use crate::provision::runs::{RunMark, left_behind, reap};
use crate::report::{Phase, Reporter};
use crate::request::{EngineChoice, Selection};

/// Who brings images.
pub(super) struct ImageBringer<'a> {
    pub selection: &'a Selection,
    pub cache: &'a CacheDir,
    pub reporter: &'a Reporter,
    pub interrupt: &'a Interrupt,
    pub run: &'a str,
    pub mark: &'a OnceCell<RunMark>,
}

impl ImageBringer<'_> {
    /// Marks the run as one that has containers, and removes those of runs that were killed; gives what names this machine.
    pub fn ready(&self, host: &HostFacts) -> Result<String> {
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
    pub fn clear(&self, may: EngineChoice) -> Result<()> {
        if may == EngineChoice::None || self.mark.get().is_some() {
            return Ok(());
        }
        for kind in left_behind(self.cache)? {
            let choice = match kind {
                EngineKind::Docker => EngineChoice::Docker,
                EngineKind::Podman => EngineChoice::Podman,
            };
            if let Engine::Found(engine) = host::engine(choice) {
                self.reap(&engine)?;
            }
        }
        Ok(())
    }

    fn reap(&self, engine: &EngineFacts) -> Result<()> {
        let orphans = reap(engine, self.cache, self.interrupt)?;
        if orphans > 0 {
            let message = format!("removed {orphans} container(s) that a killed run left behind");
            self.reporter.info(Phase::Provision, message).code("orphans-removed").send();
        }
        Ok(())
    }

    fn images<'b>(&'b self, engine: &'b EngineFacts) -> Result<Images<'b>> {
        let mark = self.mark.get().ok_or_else(|| Error::work("containers are started before their run is marked"))?;
        Ok(Images { engine, cache: self.cache, mark, interrupt: self.interrupt })
    }

    /// Brings an image of the plan. A refusal is noted among the host's facts, for the next plan.
    pub fn bring(&self, name: &str, prepared: &mut Prepared) -> Result<()> {
        let Some((plan, registry)) = planned(&prepared.project.plan, name) else { return Ok(()) };
        let Engine::Found(engine) = prepared.project.host.engine.clone() else { return Ok(()) };
        self.may_bring(&plan, prepared)?;
        self.ready(&prepared.project.host)?;
        let images = self.images(&engine)?;
        let started = Instant::now();
        let dir = prepared.project.convoy_dir();
        let digest = locked::named(&plan).and_then(|name| prepared.locked.lock.digest_of(name));
        let origin = Origin { registry: registry.as_deref(), digest };
        let may_provision = prepared.settings.provision.value;
        let host = &mut prepared.project.host;
        if (self.selection.offline || !may_provision) && !images.has(name)? {
            return self.refuse(name, not_here(self.selection.offline), host);
        }
        match images.bring(&plan, origin, &|step| self.tell(step))? {
            Ok(Came::Before) => {}
            Ok(Came::Now) => drop(prepared.brought.insert(name.to_owned())),
            Err(refused) => return self.refuse(name, refused, host),
        }
        let shares = match images.shares_files(name, &[&dir]) {
            Ok(shares) => shares,
            Err(error) if self.interrupt.came().is_some() => return Err(error),
            Err(error) => return self.refuse(name, refused(&error), host),
        };
        if plan.recipe().is_none() {
            match images.look_into(name) {
                Ok(facts) => drop(host.image_facts.insert(name.to_owned(), facts)),
                Err(error) if self.interrupt.came().is_some() => return Err(error),
                Err(error) => return self.refuse(name, refused(&error), host),
            }
        }
        if let Engine::Found(engine) = &mut host.engine {
            engine.shares_files = Some(shares);
            engine.have(&plan);
        }
        let done = format!("the image {name} is here");
        self.reporter.debug(Phase::Provision, done).took(started.elapsed()).send();
        Ok(())
    }

    /// Finds out whether containers see this machine's files, ahead of the first one that is to build. An image that was
    /// there already was not tried when it was brought.
    pub fn try_files(&self, project: &mut Project) -> Result<()> {
        let Some(image) = project.plan.lanes.iter().find_map(|lane| lane.image.clone()) else { return Ok(()) };
        self.ready(&project.host)?;
        let dir = project.convoy_dir();
        let Engine::Found(engine) = &mut project.host.engine else { return Ok(()) };
        if engine.shares_files.is_none() {
            let tried = self.images(engine)?.shares_files(&image, &[&dir]);
            self.interrupt.check()?;
            // Where no container can be started, the lane that wants one says so, and others go on.
            engine.shares_files = tried.ok();
        }
        if engine.shares_files == Some(false) {
            let message = format!("{} does not see this machine's files: they are sent to it", engine.kind.name());
            self.reporter.info(Phase::Provision, message).code("files-sent").send();
        }
        Ok(())
    }

    fn tell(&self, step: Step<'_>) {
        let message = match step {
            Step::Pulling(name) => format!("the image {name} (pulled)"),
            Step::Building(name) => format!("the image {name} (built once, a minute or two)"),
            Step::NotPulled(name, told) => {
                let message = format!("the image {name} is not to be had: {told}");
                return self.reporter.info(Phase::Provision, message).code("image-not-pulled").send();
            }
            Step::NotTheSame(name) => {
                let message = format!("the image {name} was made from something else, and is not taken");
                return self.reporter.warning(Phase::Provision, message).code("image-not-the-same").send();
            }
        };
        self.reporter.info(Phase::Provision, message).send();
    }

    /// On a machine without apt, that of an image brings the packages of a sysroot.
    pub fn lend_apt(&self, sysroot: &str, prepared: &mut Prepared) -> Result<()> {
        let host = &mut prepared.project.host;
        if host.apt.is_some() {
            return Ok(());
        }
        let takes = |cell: &&CellPlan| cell.sysroot.as_ref().is_some_and(|key| key.to_string() == sysroot);
        let image = prepared.project.plan.cells.iter().filter(takes).find_map(|cell| cell.image.clone());
        let (Some(image), Engine::Found(engine)) = (image, host.engine.clone()) else { return Ok(()) };
        if host.refused_images.contains_key(&image.reference) {
            return Ok(());
        }
        self.ready(host)?;
        let images = self.images(&engine)?;
        // What its apt fetches is to come to a folder of this machine.
        if !images.shares_files(&image.reference, &[])? {
            let message =
                "its apt cannot bring packages for this machine: the engine does not see this machine's files";
            self.reporter.warning(Phase::Provision, format!("the image {}: {message}", image.reference)).send();
            return Ok(());
        }
        host.apt = images
            .look_into(&image.reference)?
            .apt
            .map(|apt| AptFacts { through: images.through(&image.reference, self.cache.root()), ..apt });
        Ok(())
    }

    fn refuse(&self, name: &str, refused: Refused, host: &mut HostFacts) -> Result<()> {
        self.interrupt.check()?;
        self.reporter
            .warning(Phase::Provision, format!("the image {name}: {}", refused.reason))
            .code("image-missing")
            .send();
        host.refused_images.insert(name.to_owned(), refused);
        Ok(())
    }
}

/// An image of the user's own that is not here, and may not be brought.
fn not_here(offline: bool) -> Refused {
    let (reason, hint) = match offline {
        true => ("it is not here, and `--offline` is set", "build once without `--offline`"),
        false => {
            ("it is not here, and nothing may be provisioned", "pull it, or let convoy do it (`provision = \"auto\"`)")
        }
    };
    Refused { reason: reason.to_owned(), hint: Some(hint.to_owned()), work: false }
}

fn refused(error: &Error) -> Refused {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Refused { reason: format!("{error}{cause}"), hint: error.hint_text().map(str::to_owned), work: true }
}

/// An image of a plan, and the registry that it may be in.
fn planned(plan: &Plan, name: &str) -> Option<(ImagePlan, Option<String>)> {
    let cells = plan.cells.iter().filter_map(|cell| Some((cell.image.clone()?, cell.container.registry.clone())));
    cells.into_iter().find(|(image, _)| image.reference == name)
}
