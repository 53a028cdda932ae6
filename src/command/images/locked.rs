//! The images of a plan beside what Convoy.lock says of them.

use std::collections::{BTreeMap, BTreeSet};

use super::ImageProvisioner;
use crate::command::prepare::Prepared;
use crate::machine::engine::Engine;
use crate::machine::engine::made_image;
use crate::model::code::Code;
use crate::model::recipe::Recipe;
use crate::plan::Plan;
use crate::plan::container::{ImagePlan, ImageSource};
use crate::project::lock::{ConvoyLock, LockedImage};
use crate::provision::image::Images;
use crate::report::Phase;
use crate::util::error::{Error, Result};

/// An image that Convoy.lock is to know.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// What it is called: a name of the user's, or that of the recipe.
    pub name: String,
    /// The recipe, where convoy composes it.
    pub recipe: Option<Recipe>,
    /// The images that serve for it here.
    references: BTreeSet<String>,
    /// Where a team keeps it.
    pub registry: Option<String>,
}

impl Wish {
    /// The image that serves for it.
    fn reference(&self) -> &str {
        self.references.first().unwrap_or(&self.name)
    }

    /// As it is on a machine that has no image yet.
    pub(crate) fn exact(mut self) -> Self {
        self.references = [self.name.clone()].into();
        self
    }
}

/// What came of holding an image against the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It is what is locked, or nothing can be locked of it.
    Same,
    /// The lock says something else now, or something for the first time.
    Locked,
    /// It is not what is locked, and the lock stays.
    Differs,
}

/// The images of a plan that can be locked.
pub(super) fn wishes(plan: &Plan) -> Vec<Wish> {
    let mut wishes: BTreeMap<String, Wish> = BTreeMap::new();
    for cell in &plan.cells {
        let Some(image) = &cell.image else { continue };
        let (name, recipe) = match (&image.wanted, named(image)) {
            (Some(recipe), _) => (recipe.tag(), Some(recipe.clone())),
            (None, Some(name)) => (name.to_owned(), None),
            (None, None) => continue,
        };
        let registry = cell.container.registry.clone();
        let wish = Wish { name: name.clone(), recipe, references: BTreeSet::new(), registry };
        wishes.entry(name).or_insert(wish).references.insert(image.reference.clone());
    }
    wishes.into_values().collect()
}

/// The user's own image that a registry may have: itself, or what it starts from. One that is named by a digest needs no
/// lock.
pub(super) fn named(image: &ImagePlan) -> Option<&str> {
    let name = match &image.source {
        ImageSource::Named => &image.reference,
        ImageSource::Derived { from, .. } => from,
        ImageSource::Composed(_) | ImageSource::Dockerfile { .. } => return None,
    };
    Some(name.as_str()).filter(|name| !name.contains('@'))
}

/// How an image differs from what is locked.
enum Difference {
    None,
    /// Nothing is locked.
    New(LockedImage),
    /// The same is locked, and less of it: the entry with what is known here besides.
    More(LockedImage),
    /// Something else is locked.
    Changed(LockedImage, Vec<String>),
    /// Something is locked that a registry knows, and this image no registry knows.
    Unknown,
}

impl ImageProvisioner<'_> {
    /// Holds the images that a settled plan builds in against Convoy.lock. What was brought in this run, or stands in no
    /// lock so far, is locked; an older image that differs is told of. With `--locked` either ends the run. Gives whether all
    /// could be asked: an image that cannot is noted among the host's facts, for the next plan.
    pub(crate) fn hold(&self, prepared: &mut Prepared) -> Result<bool> {
        let mut all = true;
        for wish in wishes(&prepared.planned.plan) {
            if let Err(error) = self.hold_one(&wish, prepared) {
                all = false;
                self.refuse_for(wish.reference(), error, &mut prepared.attempt)?;
            }
        }
        Ok(all)
    }

    /// The same for one image.
    pub(super) fn hold_one(&self, wish: &Wish, prepared: &mut Prepared) -> Result<Held> {
        let Engine::Found(mut engine) = prepared.planned.machine.engine.clone() else { return Ok(Held::Same) };
        self.ready(&prepared.planned.machine)?;
        let mut difference = difference(wish, &self.images(&engine)?, &prepared.locked.lock)?;
        let mut fresh = wish.references.iter().any(|reference| prepared.new_images.contains(reference));
        // A team's image may be the one that is locked.
        let offline = prepared.project.settings.provisioning.forbids_network().is_some();
        if let (Difference::Changed(..), false, false, Some(recipe), Some(registry)) =
            (&difference, fresh, offline, &wish.recipe, &wish.registry)
            && wish.references.iter().eq([&wish.name])
        {
            let digest = prepared.locked.lock.published(&recipe.digest());
            let pulled =
                self.images(&engine)?.pull_composed(recipe, &wish.name, registry, digest, &|step| self.tell(step))?;
            if let Some(id) = pulled {
                fresh = true;
                engine.pin(&wish.name, &id);
                difference = self::difference(wish, &self.images(&engine)?, &prepared.locked.lock)?;
                prepared.planned.machine.engine = Engine::Found(engine);
            }
        }
        let name = &wish.name;
        let (image, message) = match difference {
            Difference::None => return Ok(Held::Same),
            Difference::More(_) if self.selection.locked => return Ok(Held::Same),
            Difference::More(image) => {
                prepared.locked.lock.set_image(image);
                prepared.locked.write(self.reporter);
                return Ok(Held::Same);
            }
            Difference::New(_) if self.selection.locked => return Err(not_locked(name, prepared)),
            Difference::New(image) => (image, format!("added the image {name} to `Convoy.lock`")),
            Difference::Changed(_, changes) if self.selection.locked => {
                return Err(changed(name, &listed(&changes)));
            }
            Difference::Unknown if self.selection.locked => return Err(changed(name, NO_REGISTRY)),
            Difference::Changed(image, changes) if fresh => {
                (image, format!("updated the image {name} in `Convoy.lock`: {}", listed(&changes)))
            }
            Difference::Changed(_, changes) => return Ok(self.tell_of_difference(name, &listed(&changes))),
            Difference::Unknown => return Ok(self.tell_of_difference(name, NO_REGISTRY)),
        };
        prepared.locked.lock.set_image(image);
        prepared.locked.write(self.reporter);
        self.reporter.info(Phase::Provision, message).code(Code::ImageLocked).send();
        Ok(Held::Locked)
    }

    /// Keeps what names a published image for good, where the lock may change.
    pub(super) fn lock_published(&self, wish: &Wish, published: Option<String>, prepared: &mut Prepared) {
        let Some(recipe) = wish.recipe.as_ref().filter(|_| published.is_some() && !self.selection.locked) else {
            return;
        };
        let Some(mut image) = prepared.locked.lock.composed(&recipe.digest()).cloned() else { return };
        if let LockedImage::Composed { digest, .. } = &mut image {
            *digest = published;
        }
        prepared.locked.lock.set_image(image);
        prepared.locked.write(self.reporter);
    }

    /// With `--locked`, nothing is built or pulled that the lock does not hold.
    pub(super) fn may_provision(&self, image: &ImagePlan, prepared: &Prepared) -> Result<()> {
        let recipe = image.wanted.as_ref().filter(|_| self.selection.locked);
        match recipe.filter(|recipe| prepared.locked.lock.composed(&recipe.digest()).is_none()) {
            Some(recipe) => Err(not_locked(&recipe.tag(), prepared)),
            None => Ok(()),
        }
    }

    fn tell_of_difference(&self, name: &str, how: &str) -> Held {
        let message = format!(
            "the image {name} on this machine differs from the one in `Convoy.lock` ({how}); run `cargo convoy images \
             update` to rebuild it and update `Convoy.lock`"
        );
        self.reporter.warning(Phase::Provision, message).code(Code::ImageDiffers).send();
        Held::Differs
    }
}

const NO_REGISTRY: &str = "it is not in any registry, so it has no digest to compare";

fn difference(wish: &Wish, images: &Images<'_>, lock: &ConvoyLock) -> Result<Difference> {
    let found = found(wish, images, lock)?;
    let known = match &found {
        Some(found) => lock.same_image(found),
        None => return Ok(lock.digest_of(&wish.name).map_or(Difference::None, |_| Difference::Unknown)),
    };
    Ok(match (known, found) {
        (None, Some(found)) => Difference::New(found),
        (Some(known), Some(found)) => match found.changes(known) {
            changes if changes.is_empty() => match found.with_missing_of(known) {
                whole if whole == *known => Difference::None,
                whole => Difference::More(whole),
            },
            changes => Difference::Changed(found, changes),
        },
        (_, None) => Difference::None,
    })
}

/// What the lock is to say of an image that is here; none where only this machine knows it.
fn found(wish: &Wish, images: &Images<'_>, lock: &ConvoyLock) -> Result<Option<LockedImage>> {
    if let Some(recipe) = &wish.recipe {
        let mut packages = BTreeMap::new();
        let mut made = None;
        for reference in &wish.references {
            let image = images.inspect(images.engine.image(reference))?;
            let image = image.ok_or_else(|| Error::work(format!("the image {reference} no longer exists")))?;
            packages.extend(images.versions(&image, &recipe.packages)?);
            // One that has more serves here, and is not what another machine would make.
            made = made_image(images.cache, &image.id).filter(|_| wish.references.iter().eq([&wish.name]));
        }
        let (base_digest, digest) = made.map(|made| (made.base, made.digest)).unwrap_or_default();
        let (base, recipe) = (recipe.base.clone(), recipe.digest());
        return Ok(Some(LockedImage::Composed { base, base_digest, digest, recipe, packages }));
    }
    let Some(image) = images.inspect(images.engine.image(&wish.name))? else { return Ok(None) };
    let digests = image.registry_digests(&wish.name);
    let locked = lock.digest_of(&wish.name);
    let digest = digests.iter().find(|digest| Some(digest.as_str()) == locked).or(digests.first());
    // What is of another kind cannot be written down.
    let digest = digest.filter(|digest| digest.starts_with("sha256:"));
    Ok(digest.map(|digest| LockedImage::Named { name: wish.name.clone(), digest: digest.clone() }))
}

fn listed(changes: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = changes.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", changes[..changes.len().min(SHOWN)].join(", "))
}

fn not_locked(name: &str, prepared: &Prepared) -> Error {
    let told = match prepared.locked.exists {
        true => format!("the image {name} is missing from `Convoy.lock`, and `--locked` does not allow changing it"),
        false => {
            format!(
                "`Convoy.lock` does not exist, so the image {name} is not locked, and `--locked` does not allow \
                     creating it"
            )
        }
    };
    refused(told)
}

fn changed(name: &str, how: &str) -> Error {
    refused(format!(
        "the image {name} differs from the one in `Convoy.lock` ({how}), and `--locked` does not allow changing it"
    ))
}

fn refused(told: String) -> Error {
    Error::usage(told).hint("run `cargo convoy images update`, and commit `Convoy.lock`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_changes_are_listed() {
        let changes: Vec<String> = (1..=7).map(|number| format!("p{number} removed")).collect();
        assert_eq!(listed(&changes[..1]), "p1 removed");
        assert!(listed(&changes).ends_with("p5 removed and 2 more"));
    }

    #[test]
    fn an_image_that_is_named_by_its_digest_needs_no_lock() {
        let image = |reference: &str, source| ImagePlan {
            reference: reference.to_owned(),
            source,
            present: true,
            brings_rust: false,
            wanted: None,
            registry: None,
        };
        assert_eq!(named(&image("team/tools:1", ImageSource::Named)), Some("team/tools:1"));
        assert_eq!(named(&image("team/tools@sha256:0", ImageSource::Named)), None);
        let derived = ImageSource::Derived { from: "team/tools:1".to_owned(), pre_build: Vec::new() };
        assert_eq!(named(&image("cargo-convoy/own:1", derived)), Some("team/tools:1"));
    }
}
