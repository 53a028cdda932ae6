//! Images: pulled or built, looked into, and whether what is mounted in one is this machine's own.

mod look;

use std::process::{Command, Output};

use camino::Utf8Path;

use super::engine::{self, caller, failing_line, last_line, output_of};
use super::runs::RunMark;
use crate::machine::CacheDir;
use crate::machine::engine::{EngineFacts, EngineKind, Identity, MadeImage, SeenImage, repository};
use crate::machine::engine::{made_image, remember_made};
use crate::machine::interrupt::Interrupt;
use crate::model::recipe::{Recipe, run_lines};
use crate::plan::Refused;
use crate::plan::container::{Confinement, ImagePlan, ImageSource, Mount, PROXIES, Start};
use crate::util::error::{Error, Result};
use crate::util::files;

/// Who brings images.
#[derive(Debug)]
pub(crate) struct Images<'a> {
    /// The engine.
    pub engine: &'a EngineFacts,
    /// The tool's cache.
    pub cache: &'a CacheDir,
    /// The run that containers belong to.
    pub mark: &'a RunMark,
    /// Signals.
    pub interrupt: &'a Interrupt,
}

/// What goes on, and may take a while; or why it takes another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// An image is pulled.
    Pulling(&'a str),
    /// An image is built.
    Building(&'a str),
    /// A registry does not give an image: its name there, and why.
    NotPulled(&'a str, &'a str),
    /// What a registry has under an image's name was made from something else.
    NotTheSame(&'a str),
}

/// How an image came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// It was there.
    Before,
    /// It was pulled or built just now.
    Now,
}

/// Where an image may come from, besides being built.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin<'a> {
    /// Where a team keeps composed images.
    pub registry: Option<&'a str>,
    /// The digest that a named image must have, or `name@sha256:…` of a composed one in the registry.
    pub digest: Option<&'a str>,
}

impl Images<'_> {
    /// Makes sure that an image is there, and gives its id: why it cannot be had, if so.
    pub(crate) fn bring(
        &self,
        plan: &ImagePlan,
        origin: Origin<'_>,
        step: &dyn Fn(Step<'_>),
    ) -> Result<Result<(Came, String), Refused>> {
        if let Some(id) = self.present(plan)? {
            return Ok(Ok((Came::Before, id)));
        }
        let done = match (&plan.source, origin) {
            (ImageSource::Named, Origin { digest: Some(digest), .. }) => {
                self.pull_exactly(&plan.reference, digest, step)?
            }
            (ImageSource::Derived { from, .. }, Origin { digest: Some(digest), .. }) if !self.has(from)? => {
                match self.pull_exactly(from, digest, step)? {
                    Ok(_) => self.make(plan, false, step)?,
                    refused => refused,
                }
            }
            (ImageSource::Composed(recipe), Origin { registry: Some(registry), digest }) => {
                match self.pull_composed(recipe, &plan.reference, registry, digest, step)? {
                    Some(id) => Ok(id),
                    None => self.make(plan, false, step)?,
                }
            }
            _ => self.make(plan, false, step)?,
        };
        Ok(done.map(|id| (Came::Now, id)))
    }

    /// The id of a planned image, where the engine has it. One that convoy makes must be known to this cache: whoever may use
    /// the engine can give its name to another image. It is made anew then, which is quick where the engine still has its
    /// layers.
    pub(crate) fn present(&self, plan: &ImagePlan) -> Result<Option<String>> {
        let Some(seen) = self.inspect(self.engine.image(&plan.reference))? else { return Ok(None) };
        let ours = || {
            made_image(self.cache, &seen.id)
                .is_some_and(|made| made.references.contains(&plan.reference) && made.is_for(plan.registry.as_deref()))
        };
        Ok((matches!(plan.source, ImageSource::Named) || ours()).then_some(seen.id))
    }

    /// Makes an image anew, from what archives and registries have now, and gives its id.
    pub(crate) fn renew(&self, plan: &ImagePlan, step: &dyn Fn(Step<'_>)) -> Result<Result<String, Refused>> {
        let old = self.inspect(&plan.reference)?;
        let made = self.make(plan, true, step)?;
        if let (Ok(new), Some(old)) = (&made, old)
            && !matches!(plan.source, ImageSource::Named)
            && old.names == [plan.reference.as_str()]
            && *new != old.id
        {
            // It lost its name. Where a container still runs in it, it stays.
            let _ = self.run(self.command().args(["rmi", &old.id]))?;
        }
        Ok(made)
    }

    /// Makes an image from what it comes from, and gives its id.
    fn make(&self, plan: &ImagePlan, anew: bool, step: &dyn Fn(Step<'_>)) -> Result<Result<String, Refused>> {
        let made = self.make_any(plan, anew, step)?;
        if let (Ok(id), false) = (&made, matches!(plan.source, ImageSource::Named)) {
            let base = match &plan.source {
                ImageSource::Composed(recipe) => self.exact(&recipe.base)?,
                _ => None,
            };
            let references = [plan.reference.clone()].into();
            remember_made(self.cache, MadeImage { id: id.clone(), references, base, ..MadeImage::default() });
        }
        Ok(made)
    }

    fn make_any(&self, plan: &ImagePlan, anew: bool, step: &dyn Fn(Step<'_>)) -> Result<Result<String, Refused>> {
        let options: &[&str] = if anew { &["--no-cache"] } else { &[] };
        match &plan.source {
            ImageSource::Named => {
                step(Step::Pulling(&plan.reference));
                match self.pull_named(&plan.reference)? {
                    // One that no registry has, or none that can be reached, stays as it is.
                    Err(refused) if anew && self.has(&plan.reference)? => {
                        step(Step::NotPulled(&plan.reference, &refused.reason));
                        self.id(&plan.reference).map(Ok)
                    }
                    pulled => Ok(pulled),
                }
            }
            ImageSource::Composed(recipe) => {
                step(Step::Building(&plan.reference));
                self.build_recipe(plan, recipe, options)
            }
            ImageSource::Derived { from, pre_build } => {
                if anew || !self.has(from)? {
                    step(Step::Pulling(from));
                    // What it cannot be had for, the builder says.
                    let _ = self.pull(from)?;
                }
                step(Step::Building(&plan.reference));
                self.build_text(&plan.reference, &format!("FROM {from}\n{}", run_lines(pre_build)), options)
            }
            ImageSource::Dockerfile { file, context, build_args, pre_build } => {
                step(Step::Building(&plan.reference));
                let (file, context) = (Utf8Path::new(file), Utf8Path::new(context));
                if pre_build.is_empty() {
                    return self.build(&plan.reference, file, context, build_args, options);
                }
                // Another run may build the same at the same time.
                let between = format!("{}-dockerfile-{}", plan.reference, self.mark.run.to_lowercase());
                if let Err(refused) = self.build(&between, file, context, build_args, options)? {
                    return Ok(Err(refused));
                }
                let text = format!("FROM {between}\n{}", run_lines(pre_build));
                let built = self.build_text(&plan.reference, &text, options)?;
                // Only a name: what was made from it stays.
                let _ = self.run(self.command().args(["rmi", "--no-prune", &between]))?;
                Ok(built)
            }
        }
    }

    /// Pulls what a digest names, and gives it the name.
    fn pull_exactly(&self, name: &str, digest: &str, step: &dyn Fn(Step<'_>)) -> Result<Result<String, Refused>> {
        let exact = format!("{}@{digest}", repository(name));
        step(Step::Pulling(&exact));
        let pulled = self.pull_named(&exact)?;
        if let Ok(id) = &pulled {
            self.says(&["tag", id, name])?;
        }
        Ok(pulled)
    }

    fn pull_named(&self, name: &str) -> Result<Result<String, Refused>> {
        if let Err(answer) = self.pull(name)? {
            return Ok(Err(Refused {
                reason: format!("download failed: {answer}"),
                hint: Some("check its name, and log in to its registry if necessary".to_owned()),
                work: true,
            }));
        }
        self.id(name).map(Ok)
    }

    /// Takes a composed image from where a team keeps them, under convoy's own name, and gives its id; none where that did
    /// not work. What a tag means there is decided by everybody who may push: a digest that Convoy.lock has beats it, and
    /// either way the labels must hold the very recipe.
    pub(crate) fn pull_composed(
        &self,
        recipe: &Recipe,
        reference: &str,
        registry: &str,
        digest: Option<&str>,
        step: &dyn Fn(Step<'_>),
    ) -> Result<Option<String>> {
        let tag = in_registry(registry, &recipe.tag());
        // Of another registry it may be gone, or not for this project.
        let locked = digest.filter(|digest| repository(digest) == repository(&tag));
        let remote = locked.unwrap_or(&tag);
        step(Step::Pulling(remote));
        if let Err(answer) = self.pull(remote)? {
            step(Step::NotPulled(remote, &answer));
            return Ok(None);
        }
        let seen = self.inspect(remote)?.unwrap_or_default();
        if Recipe::of_labels(&seen.labels).as_ref() != Some(recipe) {
            step(Step::NotTheSame(remote));
            return Ok(None);
        }
        self.says(&["tag", &seen.id, reference])?;
        if let (Some(locked), EngineKind::Docker) = (locked, self.engine.kind) {
            // A name by a digest would keep the image when its names are removed; Podman removes it with the last of these.
            let _ = self.run(self.command().args(["rmi", "--no-prune", locked]))?;
        }
        let digest = locked.map(str::to_owned).or_else(|| exact(&seen, &tag));
        let references = [reference.to_owned()].into();
        let registry = Some(registry.to_owned());
        remember_made(self.cache, MadeImage { id: seen.id.clone(), references, registry, digest, base: None });
        Ok(Some(seen.id))
    }

    /// What a name means on this engine now: `name@sha256:…` where a registry knows it, else the id.
    fn exact(&self, name: &str) -> Result<Option<String>> {
        let Some(seen) = self.inspect(name)? else { return Ok(None) };
        let id = || format!("sha256:{}", seen.id.trim_start_matches("sha256:"));
        Ok(Some(exact(&seen, name).unwrap_or_else(id)))
    }

    /// The id of an image that is there.
    fn id(&self, name: &str) -> Result<String> {
        let seen = self.inspect(name)?;
        seen.map(|seen| seen.id)
            .ok_or_else(|| Error::work(format!("the image {name} disappeared from the container engine")))
    }

    fn build_recipe(&self, plan: &ImagePlan, recipe: &Recipe, options: &[&str]) -> Result<Result<String, Refused>> {
        let built = self.build_text(&plan.reference, &recipe.dockerfile(), options)?;
        Ok(built.map_err(|refused| match refused.reason.contains(&recipe.base) {
            true => Refused {
                hint: Some(format!(
                    "load the base image {} into the container engine (`ci/base-image` in cargo-convoy's sources makes \
                     it from Debian packages), or set another one with `container.base`",
                    recipe.base
                )),
                ..refused
            },
            false => refused,
        }))
    }

    /// Builds from a Dockerfile that copies nothing.
    fn build_text(&self, reference: &str, dockerfile: &str, options: &[&str]) -> Result<Result<String, Refused>> {
        let context = tempfile::Builder::new().prefix("image-").tempdir_in(self.cache.room("engines")?)?;
        let context = Utf8Path::from_path(context.path())
            .ok_or_else(|| Error::work("the path of the cache directory is not UTF-8"))?;
        let file = context.join("Dockerfile");
        fs_err::write(&file, dockerfile)?;
        self.build(reference, &file, context, &[], options)
    }

    fn build(
        &self,
        reference: &str,
        file: &Utf8Path,
        context: &Utf8Path,
        build_args: &[String],
        options: &[&str],
    ) -> Result<Result<String, Refused>> {
        // The name may be another's by the time it could be asked for.
        let answer = tempfile::Builder::new().prefix("id-").tempdir_in(self.cache.room("engines")?)?;
        let id_file = answer.path().join("id");
        let mut command = self.command();
        // A step that failed leaves no container behind.
        command.args(["build", "--force-rm", "--tag", reference, "--file", file.as_str()]).args(options);
        command.arg("--iidfile").arg(&id_file);
        if (self.engine.kind, self.engine.identity) == (EngineKind::Podman, Identity::Kept) {
            // Its own network wants a helper that may not be there.
            command.arg("--network=host");
        }
        let proxies = PROXIES.iter().filter(|name| std::env::var_os(name).is_some()).map(|name| (*name).to_owned());
        for argument in build_args.iter().cloned().chain(proxies) {
            command.args(["--build-arg", &argument]);
        }
        // The classic builder's words, which every engine has, are read when it fails.
        let done = self.run(command.arg(context))?;
        if done.status.success() {
            return self.id(fs_err::read_to_string(id_file)?.trim()).map(Ok);
        }
        let answer = output_of(&done);
        let reason = failing_line(&answer);
        let log = self.cache.room("engines")?.join("last-failed-build.log");
        // Only for a later look.
        let hint = files::replace(&log, &answer).is_ok().then(|| format!("see the builder's full output in {log}"));
        Ok(Err(Refused { reason: format!("build failed: {reason}"), hint, work: true }))
    }

    /// Whether the engine has an image.
    pub(crate) fn has(&self, reference: &str) -> Result<bool> {
        Ok(self.run(self.command().args(["image", "inspect", reference]))?.status.success())
    }

    /// What the engine tells of an image; none where it has none of this name.
    pub(crate) fn inspect(&self, reference: &str) -> Result<Option<SeenImage>> {
        let done = self.run(self.command().args(["image", "inspect", reference]))?;
        if !done.status.success() {
            return Ok(None);
        }
        let mut all = SeenImage::read_all(&String::from_utf8_lossy(&done.stdout)).map_err(Error::work)?;
        Ok(all.pop())
    }

    fn pull(&self, reference: &str) -> Result<Result<(), String>> {
        let done = self.run(self.command().args(["pull", "--quiet", reference]))?;
        Ok(if done.status.success() { Ok(()) } else { Err(last_line(&output_of(&done))) })
    }

    /// Publishes a composed image where a team keeps them: gives its name there, and `name@sha256:…` where the engine tells it.
    pub(crate) fn push(&self, reference: &str, registry: &str) -> Result<(String, Option<String>)> {
        let remote = in_registry(registry, reference);
        let id = self.id(self.engine.image(reference))?;
        self.says(&["tag", &id, &remote])?;
        self.says(&["push", &remote])
            .map_err(|error| error.hint("check `container.registry`, and log in to the registry if necessary"))?;
        let digest = self.inspect(&id)?.and_then(|seen| exact(&seen, &remote));
        if let Some(made) = made_image(self.cache, &id) {
            remember_made(self.cache, MadeImage { digest: digest.clone(), ..made });
        }
        Ok((remote, digest))
    }

    /// A container for a question, with `/bin/sh` for what follows.
    fn container(&self, reference: &str, mounts: &[Mount]) -> Command {
        let mut command = self.command();
        command.args(self.start(reference, mounts, &Confinement::default()).args("/bin/sh"));
        command
    }

    /// The words that start a program of an image with its network, and a folder of this machine to write to.
    pub(crate) fn through(&self, reference: &str, dir: &Utf8Path) -> Vec<String> {
        let confinement = Confinement { network: true, ..Confinement::default() };
        let words = self.start(reference, &[Mount::write(dir)], &confinement).args("/usr/bin/env");
        std::iter::once(self.engine.program.to_string()).chain(words).collect()
    }

    fn start<'b>(&'b self, image: &'b str, mounts: &'b [Mount], confinement: &'b Confinement) -> Start<'b> {
        Start {
            engine: self.engine,
            image: self.engine.image(image),
            name: None,
            machine: &self.mark.machine,
            run: &self.mark.run,
            user: caller(),
            mounts,
            volumes: &[],
            confinement,
        }
    }

    fn command(&self) -> Command {
        Command::new(&self.engine.program)
    }

    fn run(&self, command: &mut Command) -> Result<Output> {
        engine::run(self.engine, self.interrupt, command)
    }

    fn says(&self, args: &[&str]) -> Result<String> {
        engine::says(self.engine, self.interrupt, args)
    }
}

/// Removes an image's name, and the image where that was its last one: why that did not work, if so.
pub(crate) fn remove(engine: &EngineFacts, name: &str, interrupt: &Interrupt) -> Result<Result<(), String>> {
    let done = engine::run(engine, interrupt, Command::new(&engine.program).args(["rmi", name]))?;
    Ok(if done.status.success() { Ok(()) } else { Err(last_line(&output_of(&done))) })
}

/// `name@sha256:…` of an image in the registry of a name, where the engine knows that.
fn exact(seen: &SeenImage, name: &str) -> Option<String> {
    let digest = seen.registry_digests(name).into_iter().find(|digest| digest.starts_with("sha256:"))?;
    Some(format!("{}@{digest}", repository(name)))
}

/// Where a registry keeps a composed image.
fn in_registry(registry: &str, reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    format!("{}/{name}", registry.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_keeps_an_image_by_its_own_name_and_tag() {
        assert_eq!(in_registry("r.example:5000/team/", "cargo-convoy/tools:b-1"), "r.example:5000/team/tools:b-1");
    }
}
