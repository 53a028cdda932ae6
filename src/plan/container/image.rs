//! Images that lanes run in.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine::engine::{EngineFacts, PresentImage};
use crate::model::recipe::Recipe;
use crate::model::sysroot::Suites;

/// The container image that a target is built in.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct ImagePlan {
    /// Its name in the container engine.
    pub reference: String,
    /// Where it comes from.
    #[serde(flatten)]
    pub source: ImageSource,
    /// Whether the container engine already has it.
    pub present: bool,
    /// Whether its own cargo and rustc are used instead of this machine's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub brings_rust: bool,
    /// What is asked for, where convoy composes it: an image that is here may have more. It is the same on a machine that
    /// has no image yet.
    #[serde(skip)]
    #[schemars(skip)]
    pub wanted: Option<Recipe>,
    /// The registry that a composed image may come from.
    #[serde(skip)]
    #[schemars(skip)]
    pub registry: Option<String>,
}

/// Where an image comes from.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "source")]
pub enum ImageSource {
    /// Made by convoy from a base image and Debian packages.
    Composed(Recipe),
    /// The user's own image.
    Named,
    /// The user's own image, in which shell commands are run once.
    Derived {
        /// The image.
        from: String,
        /// Shell commands to run.
        pre_build: Vec<String>,
    },
    /// Built from the user's own Dockerfile.
    Dockerfile {
        /// The Dockerfile.
        file: String,
        /// The build context directory.
        context: String,
        /// Build arguments, as `NAME=value`.
        build_args: Vec<String>,
        /// Shell commands to run after it is built.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pre_build: Vec<String>,
    },
}

impl ImagePlan {
    /// Notes among an engine's facts that it has this image now, by its id.
    pub fn note_in(&self, engine: &mut EngineFacts, id: &str) {
        match &self.source {
            ImageSource::Composed(recipe) => engine.images.push(PresentImage {
                reference: self.reference.clone(),
                id: id.to_owned(),
                recipe: Some(recipe.clone()),
                registry: self.registry.clone(),
                bytes: 0,
                created: String::new(),
            }),
            _ => engine.others.push(self.reference.clone()),
        }
        engine.pin(&self.reference, id);
    }

    /// A name for folders of what is built in it.
    pub fn short(&self) -> String {
        // A registry's copy is the same image.
        let name = self.recipe().map_or_else(|| self.reference.clone(), Recipe::tag);
        crate::util::files::sha256(name)[..12].to_owned()
    }

    /// What is to be composed on a machine that has no image yet.
    pub fn composed(recipe: Recipe, registry: Option<String>) -> Self {
        Self {
            registry,
            reference: recipe.tag(),
            present: false,
            brings_rust: recipe.rust.is_some(),
            source: ImageSource::Composed(recipe.clone()),
            wanted: Some(recipe),
        }
    }

    /// Whether only a look into it tells what it has: it is not made from a release that convoy knows.
    pub fn is_opaque(&self) -> bool {
        self.recipe().is_none_or(|recipe| Suites::embedded().named(&recipe.suite).is_none())
    }

    /// The recipe, where convoy makes it.
    pub fn recipe(&self) -> Option<&Recipe> {
        match &self.source {
            ImageSource::Composed(recipe) => Some(recipe),
            ImageSource::Named | ImageSource::Derived { .. } | ImageSource::Dockerfile { .. } => None,
        }
    }
}

/// What is planned for a recipe: an image that is there already and has all of it, or one to be made. Of those that a
/// registry gave, only this registry's count.
pub(crate) fn plan_for(recipe: Recipe, registry: Option<&str>, present: &[PresentImage]) -> ImagePlan {
    match covering(present, &recipe, registry) {
        Some((image, larger)) => ImagePlan {
            reference: image.reference.clone(),
            present: true,
            brings_rust: recipe.rust.is_some(),
            source: ImageSource::Composed(larger.clone()),
            wanted: Some(recipe),
            registry: registry.map(str::to_owned),
        },
        None => ImagePlan::composed(recipe, registry.map(str::to_owned)),
    }
}

/// The smallest image that is there and has all that a recipe asks for.
fn covering<'a>(
    images: &'a [PresentImage],
    wanted: &Recipe,
    registry: Option<&str>,
) -> Option<(&'a PresentImage, &'a Recipe)> {
    let allowed = images.iter().filter(|image| image.registry.is_none() || image.registry.as_deref() == registry);
    let known = allowed.filter_map(|image| Some((image, image.recipe.as_ref()?)));
    let covers = known.filter(|(_, recipe)| recipe.covers(wanted));
    covers.min_by_key(|(image, recipe)| (recipe.packages.len(), &image.reference))
}

/// One image for all cells that can share one, unless each has its own already: it has the packages of all.
pub(crate) fn unify(images: &mut [&mut ImagePlan], present: &[PresentImage]) {
    let merge_key = |image: &ImagePlan| image.recipe().map(|recipe| (recipe.merge_key(), image.registry.clone()));
    let keys: BTreeSet<_> = images.iter().filter_map(|image| merge_key(image)).collect();
    for key in keys {
        let of_key = |image: &&mut &mut ImagePlan| merge_key(image).as_ref() == Some(&key);
        let mut same: Vec<&mut &mut ImagePlan> = images.iter_mut().filter(of_key).collect();
        // What is asked for, and not what an image that is here has besides.
        let recipes = same.iter().filter_map(|image| image.wanted.clone().or_else(|| image.recipe().cloned()));
        let Some(whole) = recipes.reduce(|mut whole, recipe| {
            whole.packages.extend(recipe.packages);
            if let (Some(rust), Some(more)) = (&mut whole.rust, recipe.rust) {
                rust.targets.extend(more.targets);
            }
            whole
        }) else {
            continue;
        };
        let plan = plan_for(whole, key.1.as_deref(), present);
        let shared = plan.present || same.iter().any(|image| !image.present);
        for image in &mut same {
            if shared {
                ***image = plan.clone();
            } else {
                image.wanted.clone_from(&plan.wanted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::recipe::bookworm as recipe;

    fn there(reference: &str, packages: &[&str]) -> PresentImage {
        PresentImage {
            reference: reference.to_owned(),
            id: format!("sha256:{reference}"),
            registry: None,
            recipe: Some(recipe(packages)),
            bytes: 1,
            created: String::new(),
        }
    }

    fn unified(wanted: &[&[&str]], present: &[PresentImage]) -> Vec<String> {
        let mut plans: Vec<ImagePlan> =
            wanted.iter().map(|packages| plan_for(recipe(packages), None, present)).collect();
        let mut all: Vec<&mut ImagePlan> = plans.iter_mut().collect();
        unify(&mut all, present);
        plans.into_iter().map(|plan| plan.reference).collect()
    }

    #[test]
    fn what_is_asked_for_is_the_same_whatever_is_here() {
        let wanted = |present: &[PresentImage]| {
            let mut plans = [plan_for(recipe(&["cmake"]), None, present), plan_for(recipe(&["go"]), None, present)];
            let mut all: Vec<&mut ImagePlan> = plans.iter_mut().collect();
            unify(&mut all, present);
            plans.map(|plan| plan.wanted)
        };
        let both = [Some(recipe(&["cmake", "go"])), Some(recipe(&["cmake", "go"]))];
        assert_eq!(wanted(&[]), both);
        assert_eq!(wanted(&[there("large", &["cmake", "go", "java"])]), both);
        assert_eq!(wanted(&[there("a", &["cmake"]), there("b", &["go"])]), both);
    }

    #[test]
    fn what_a_registry_gave_is_only_for_those_who_name_it() {
        let given = PresentImage { registry: Some("r.example/team".to_owned()), ..there("large", &["cmake", "go"]) };
        let taken = |registry| plan_for(recipe(&["cmake"]), registry, std::slice::from_ref(&given)).present;
        assert_eq!([None, Some("r.example/other"), Some("r.example/team")].map(taken), [false, false, true]);
    }

    #[test]
    fn cells_share_an_image_with_the_tools_of_all() {
        let both = recipe(&["cmake", "go"]).tag();
        assert_eq!(unified(&[&["cmake"], &["go"]], &[]), [both.clone(), both.clone()]);
        // One that is there and has more.
        let large = there("large", &["cmake", "go", "java"]);
        assert_eq!(unified(&[&["cmake"], &["go"]], std::slice::from_ref(&large)), ["large", "large"]);
        // The smallest that is enough.
        assert_eq!(unified(&[&["cmake"]], &[large, there("small", &["cmake"])]), ["small"]);
        // Nothing is made where each has its own.
        let apart = [there("a", &["cmake"]), there("b", &["go"])];
        assert_eq!(unified(&[&["cmake"], &["go"]], &apart), ["a", "b"]);
        // Nothing that no cell asks for is made because it happens to be here.
        assert_eq!(
            unified(&[&["cmake"], &["perl"]], &[there("a", &["cmake", "go"])]),
            vec![recipe(&["cmake", "perl"]).tag(); 2]
        );
        assert_eq!(unified(&[&["cmake"], &["go"], &["java"]], &apart), vec![recipe(&["cmake", "go", "java"]).tag(); 3]);
    }
}
