//! `cargo convoy images`: the images that convoy made, on this machine's engine and in a team's registry.

use crate::cli::{SelectedArgs, parse_engine};
use crate::model::code::Code;
use clap::{Args, Subcommand};
use std::cell::OnceCell;
use std::collections::BTreeSet;

use super::ImageProvisioner;
use super::locked::{Held, Wish, wishes};
use crate::command::prepare::{Network, Prepared, engine_choice, prepare, run_id};
use crate::command::{Failed, print_json, say};
use crate::machine::engine::{ConvoyImage, Engine, EngineFacts, MadeFrom};
use crate::machine::interrupt::Interrupt;
use crate::machine::{self, CacheDir};
use crate::model::request::{EngineChoice, Selection};
use crate::plan::Refused;
use crate::plan::container::{ImagePlan, ImageSource};
use crate::project::config::Source;
use crate::provision::image::{self, Came, Origin};
use crate::report::table::size_text;
use crate::report::{ImagesReport, ListedImage, Phase, Reporter, Style};
use crate::util::error::{Error, Exit, Result};
use crate::util::plural::counted;

#[derive(Debug, Subcommand)]
pub enum ImagesCommand {
    /// List the images built by convoy
    List(ImagesListArgs),
    /// Remove the images built by convoy (a dry run unless --force is given)
    Clean {
        /// Container engine: docker, podman, or auto (the first that works)
        #[arg(long, value_name = "ENGINE", value_parser = parse_engine)]
        engine: Option<EngineChoice>,
        /// Remove the images instead of only listing them
        #[arg(long)]
        force: bool,
    },
    /// Build missing images, and push all of them to `container.registry`
    Push(Box<SelectedArgs>),
    /// Rebuild the images with current packages, and update Convoy.lock
    Update(Box<SelectedArgs>),
}

#[derive(Args, Debug)]
pub struct ImagesListArgs {
    /// Container engine: docker, podman, or auto (the first that works)
    #[arg(long, value_name = "ENGINE", value_parser = parse_engine)]
    pub engine: Option<EngineChoice>,
    /// Print the output as JSON
    #[arg(long)]
    pub json: bool,
}

pub(in crate::command) fn images(command: ImagesCommand, style: Style) -> Result<Exit, Failed> {
    match command {
        ImagesCommand::List(args) => Ok(list(args.engine, args.json)?),
        ImagesCommand::Clean { engine, force } => Ok(clean(engine, force)?),
        ImagesCommand::Push(args) => Ok(push(&args.validate()?, style)?),
        ImagesCommand::Update(args) => Ok(update(&args.validate()?, style)?),
    }
}

fn list(choice: Option<EngineChoice>, json: bool) -> Result<Exit> {
    let engine = engine(choice)?;
    let images = machine::engine::convoy_images(&engine)?;
    if json {
        let images = images.iter().map(listed).collect();
        print_json(&ImagesReport { schema: 1, kind: "images".to_owned(), engine: engine.kind, images })?;
    } else {
        say(&listing(&engine, &images));
    }
    Ok(Exit::Success)
}

fn clean(choice: Option<EngineChoice>, force: bool) -> Result<Exit> {
    let engine = engine(choice)?;
    let images = machine::engine::convoy_images(&engine)?;
    if !force || images.is_empty() {
        say(&listing(&engine, &images));
        if !images.is_empty() {
            let bytes: u64 = images.iter().map(|image| image.bytes).sum();
            say(&format!(
                "{} in total; nothing was removed; pass `--force` to remove all of these\n",
                size_text(bytes)
            ));
        }
        return Ok(Exit::Success);
    }
    let interrupt = Interrupt::listen()?;
    let mut exit = Exit::Success;
    let (mut count, mut bytes) = (0_usize, 0_u64);
    for image in &images {
        let names = if image.names.is_empty() { std::slice::from_ref(&image.id) } else { image.names.as_slice() };
        let mut gone = true;
        for name in names {
            if let Err(output) = image::remove(&engine, name, &interrupt)? {
                say(&format!("could not remove {name}: {output}\n"));
                (gone, exit) = (false, Exit::Work);
            }
        }
        if let Some(other) = image.others.first().filter(|_| gone) {
            say(&format!("removed the name {}, but kept the image, which is also named {other}\n", names.join(", ")));
        } else if gone {
            count += 1;
            bytes += image.bytes;
        }
    }
    say(&format!("removed {} ({})\n", counted(count, "image", "images"), size_text(bytes)));
    Ok(exit)
}

/// Publishes what a machine that has no image yet would compose for this plan.
fn push(selection: &Selection, style: Style) -> Result<Exit> {
    let images = "`images push`";
    refuse_flags(images, "`--offline`", selection.offline)?;
    let command = Command::start(selection, style)?;
    let mut prepared = command.prepare()?;
    let exit = command.tell_of_blocked(&prepared);
    let composed: Vec<Wish> = wishes(&prepared.planned.plan).into_iter().filter(|wish| wish.recipe.is_some()).collect();
    for name in user_image_names(&prepared) {
        let message = format!("the image {name} is your own and is not pushed");
        command.reporter.info(Phase::Plan, message).code(Code::ImageNotPublished).send();
    }
    if composed.is_empty() {
        command.reporter.clear();
        say("nothing to push: no target of this plan is built in an image that convoy builds\n");
        return Ok(exit);
    }
    if composed.iter().any(|wish| wish.registry.is_none()) {
        return Err(Error::usage("no registry is configured to push images to")
            .hint("set `registry = \"registry.example/team\"` under `[container]` in `Convoy.toml`"));
    }
    for wish in composed.into_iter().map(Wish::exact) {
        let (Some(recipe), Some(registry)) = (&wish.recipe, &wish.registry) else { continue };
        let plan = ImagePlan::composed(recipe.clone(), Some(registry.clone()));
        let provisioner = command.provisioner();
        provisioner.may_provision(&plan, &prepared)?;
        let engine = engine_of(&prepared)?;
        provisioner.ready(&prepared.planned.machine)?;
        let images = provisioner.images(&engine)?;
        if let Some(forbidden) = prepared.project.settings.provisioning.forbids(Source::Network)
            && images.present(&plan)?.is_none()
        {
            let output = format!("the image {} is not on this machine, and {}", wish.name, forbidden.reason);
            return Err(Error::work(output).hint(forbidden.hint));
        }
        let digest = prepared.locked.lock.published(&recipe.digest());
        let origin = Origin { registry: Some(registry), digest };
        let provisioned = images.bring(&plan, origin, &|step| provisioner.tell(step))?;
        let (came, id) = provisioned.map_err(|refused| refusal(&wish.name, refused))?;
        if came == Came::Now {
            prepared.new_images.insert(wish.name.clone());
        }
        pin(&mut prepared, &wish.name, &id);
        provisioner.hold_one(&wish, &mut prepared)?;
        let (remote, digest) = provisioner.images(&engine_of(&prepared)?)?.push(&wish.name, registry)?;
        provisioner.lock_published(&wish, digest, &mut prepared);
        command.reporter.info(Phase::Finish, format!("pushing {remote}")).code(Code::ImagePublished).send();
    }
    Ok(exit)
}

/// Makes the images of the plan anew, from what archives and registries have now, and locks them.
fn update(selection: &Selection, style: Style) -> Result<Exit> {
    let what = "`images update`";
    refuse_flags(what, "`--locked`, `--offline` or `--no-provision`", {
        selection.locked || selection.offline || selection.no_provision
    })?;
    let command = Command::start(selection, style)?;
    let mut prepared = command.prepare()?;
    let exit = command.tell_of_blocked(&prepared);
    let mut plans: Vec<ImagePlan> = Vec::new();
    for image in prepared.planned.plan.cells.iter().filter_map(|cell| cell.image.clone()) {
        let registry = image.registry.clone();
        let image = image.wanted.clone().map_or(image, |recipe| ImagePlan::composed(recipe, registry));
        if !plans.iter().any(|known| known.reference == image.reference) {
            plans.push(image);
        }
    }
    if plans.is_empty() {
        command.reporter.clear();
        say("nothing to update: no target of this plan is built in a container\n");
        return Ok(exit);
    }
    let provisioner = command.provisioner();
    let engine = engine_of(&prepared)?;
    provisioner.ready(&prepared.planned.machine)?;
    for plan in &plans {
        let renewed = provisioner.images(&engine)?.renew(plan, &|step| provisioner.tell(step))?;
        let id = renewed.map_err(|refused| refusal(&plan.reference, refused))?;
        pin(&mut prepared, &plan.reference, &id);
        prepared.new_images.insert(plan.reference.clone());
    }
    for wish in wishes(&prepared.planned.plan) {
        // What is made from a user's image was made anew with it.
        prepared.new_images.insert(wish.name.clone());
        let wish = wish.exact();
        let words = match provisioner.hold_one(&wish, &mut prepared)? {
            Held::Same => "unchanged",
            Held::Locked => "updated in `Convoy.lock`",
            Held::Differs => "differs from `Convoy.lock`, which was not changed",
        };
        command.reporter.info(Phase::Finish, format!("{}: {words}", wish.name)).send();
    }
    Ok(exit)
}

fn refuse_flags(what: &str, flags: &str, given: bool) -> Result<()> {
    match given {
        true => Err(Error::usage(format!("{what} cannot be used with {flags}"))),
        false => Ok(()),
    }
}

/// A command that provisions images, and builds nothing else.
struct Command<'a> {
    selection: &'a Selection,
    cache: CacheDir,
    reporter: Reporter,
    interrupt: Interrupt,
    run: String,
    mark: OnceCell<crate::provision::runs::RunMark>,
}

impl<'a> Command<'a> {
    fn start(selection: &'a Selection, style: Style) -> Result<Self> {
        let run = run_id();
        Ok(Self {
            selection,
            cache: CacheDir::find()?,
            reporter: Reporter::new(run.clone(), style, None)?,
            interrupt: Interrupt::listen()?,
            run,
            mark: OnceCell::new(),
        })
    }

    fn prepare(&self) -> Result<Prepared> {
        prepare(self.selection, Network::Allowed, &self.cache, &self.reporter, &self.interrupt)
    }

    fn provisioner(&self) -> ImageProvisioner<'_> {
        let Command { selection, cache, reporter, interrupt, run, mark } = self;
        ImageProvisioner { selection, cache, reporter, interrupt, run, mark }
    }

    fn tell_of_blocked(&self, prepared: &Prepared) -> Exit {
        let mut exit = Exit::Success;
        let blocked = |cell: &&crate::plan::CellPlan| cell.status == crate::plan::Status::Blocked;
        for cell in prepared.planned.plan.cells.iter().filter(blocked) {
            exit = Exit::Blocked;
            self.reporter.error(Phase::Plan, cell.because.clone()).target(&cell.cell.id).code(Code::Blocked).send();
        }
        exit
    }
}

/// The images of a plan that are the user's own.
fn user_image_names(prepared: &Prepared) -> BTreeSet<&str> {
    let images = prepared.planned.plan.cells.iter().filter_map(|cell| cell.image.as_ref());
    let user_images = images.filter(|image| !matches!(image.source, ImageSource::Composed(_)));
    user_images.map(|image| image.reference.as_str()).collect()
}

fn refusal(name: &str, Refused { reason, hint, .. }: Refused) -> Error {
    let error = Error::work(format!("the image {name}: {reason}"));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// From now on a name means this image.
fn pin(prepared: &mut Prepared, name: &str, id: &str) {
    if let Engine::Found(engine) = &mut prepared.planned.machine.engine {
        engine.pin(name, id);
    }
}

fn engine_of(prepared: &Prepared) -> Result<EngineFacts> {
    found(prepared.planned.machine.engine.clone())
}

/// The engine of the user's choice.
fn engine(choice: Option<EngineChoice>) -> Result<EngineFacts> {
    found(machine::engine::engine(choice.map_or_else(engine_choice, Ok)?, &CacheDir::find()?))
}

fn found(engine: Engine) -> Result<EngineFacts> {
    match engine {
        Engine::Found(engine) => Ok(engine),
        Engine::Unasked => Err(Error::work("the container engine was not queried")),
        Engine::None { reason, hint: Some(hint) } => Err(Error::work(reason).hint(hint)),
        Engine::None { reason, hint: None } => Err(Error::work(reason)),
    }
}

fn listing(engine: &EngineFacts, images: &[ConvoyImage]) -> String {
    let mut text = format!("{} {}\n", engine.kind.name(), engine.version);
    for image in images {
        let ListedImage { reference, base, packages, bytes, created, .. } = listed(image);
        let made = match (image.made, base, packages) {
            (MadeFrom::Packages, Some(base), Some(count)) => {
                format!("{base} with {} added", counted(count, "package", "packages"))
            }
            (MadeFrom::Packages, ..) => "built by another version of convoy".to_owned(),
            (MadeFrom::User, ..) => "built from your own image or Dockerfile".to_owned(),
        };
        let created = created.map(|created| format!(", {}", created.strftime("%Y-%m-%d"))).unwrap_or_default();
        text += &format!("  {reference}  {}, {made}{created}\n", size_text(bytes));
        if !image.current {
            text += match image.names.is_empty() {
                true => "    no longer used: replaced by a newer image of the same name\n",
                false => "    no longer used: this version of convoy builds a different image\n",
            };
        }
        for name in image.names.iter().skip(1).chain(&image.others) {
            text += &format!("    also named {name}\n");
        }
    }
    if images.is_empty() {
        text += "  no images built by convoy\n";
    }
    text
}

fn listed(image: &ConvoyImage) -> ListedImage {
    ListedImage {
        reference: image.names.first().unwrap_or(&image.id).clone(),
        names: image.names.iter().chain(&image.others).cloned().collect(),
        made: image.made,
        base: image.recipe.as_ref().map(|recipe| recipe.base.clone()),
        packages: image.recipe.as_ref().map(|recipe| recipe.packages.len()),
        bytes: image.bytes,
        created: image.created.parse().ok(),
        current: image.current,
    }
}
