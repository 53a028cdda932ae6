//! An image as an engine describes it, and whether it belongs to convoy. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::made::MadeImage;
use crate::model::recipe::{LABEL, Recipe};

/// What the names of images begin with that convoy makes.
const OWN: &str = "cargo-convoy/";

/// What the names of images begin with that are made from something of the user's.
pub(crate) const OWN_IMAGES: &str = "cargo-convoy/own:";

/// An image made by convoy.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct PresentImage {
    /// A name that the engine knows it by.
    pub reference: String,
    /// The engine's id.
    pub id: String,
    /// The registry that it was taken from; none where it was built here.
    #[serde(default)]
    pub registry: Option<String>,
    /// What it was made from; none where the labels are of another version of convoy, or of what somebody else made
    /// another image from.
    pub recipe: Option<Recipe>,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was made, as the engine writes it.
    pub created: String,
}

/// An image as an engine describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeenImage {
    /// The engine's own id.
    pub id: String,
    /// Its names with their tags; convoy's own as convoy writes them.
    pub names: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// `name@sha256:…` of the registries that it came from or went to.
    pub digests: Vec<String>,
    /// The digest of the manifest of this very architecture, where the engine tells it.
    pub manifest: Option<String>,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was made, as the engine writes it.
    pub created: String,
}

/// An image that convoy made, as people want to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConvoyImage {
    /// The engine's own id.
    pub id: String,
    /// The names that convoy gave it; none where a newer image took them over.
    pub names: Vec<String>,
    /// Names that somebody else gave it.
    pub others: Vec<String>,
    /// What the image was made from.
    pub made: MadeFrom,
    /// The recipe, where its label can be read.
    pub recipe: Option<Recipe>,
    /// Whether this convoy would make and use it so.
    pub current: bool,
    /// Its size in bytes, including layers shared with other images.
    pub bytes: u64,
    /// When it was made, as the engine writes it.
    pub created: String,
}

/// What an image is made from.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MadeFrom {
    /// A base image and Debian packages.
    Packages,
    /// The user's own Dockerfile or image.
    #[serde(rename = "own")]
    User,
}

impl SeenImage {
    /// The images of what `image inspect` prints.
    pub(crate) fn read_all(output: &str) -> Result<Vec<Self>, String> {
        let all: Vec<Value> =
            serde_json::from_str(output).map_err(|error| format!("could not parse its output: {error}"))?;
        Ok(all.iter().map(Self::read).collect())
    }

    fn read(image: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let labels = [&image["Config"]["Labels"], &image["Labels"]].into_iter().find_map(Value::as_object);
        let labels = labels.into_iter().flatten();
        Self {
            id: text(&image["Id"]),
            names: list(&image["RepoTags"]).into_iter().map(plain_name).collect(),
            labels: labels.map(|(name, value)| (name.clone(), text(value))).collect(),
            digests: list(&image["RepoDigests"]),
            manifest: image["Digest"].as_str().map(str::to_owned),
            bytes: image["Size"].as_u64().unwrap_or(0),
            created: text(&image["Created"]),
        }
    }

    /// As an image that plans can take, when convoy's cache knows that it made this very image: a name is anybody's to give,
    /// and a label anybody's to write.
    pub(crate) fn as_present(&self, made: Option<&MadeImage>) -> Option<PresentImage> {
        let made = made.filter(|made| made.is(&self.id))?;
        let recipe = Recipe::of_labels(&self.labels)?;
        let tag = recipe.tag();
        let reference = self.names.iter().find(|name| **name == tag);
        let reference = reference.or_else(|| self.names.iter().find(|name| is_copy(name, &tag)));
        Some(PresentImage {
            reference: reference?.clone(),
            id: self.id.clone(),
            registry: made.registry.clone(),
            recipe: Some(recipe),
            bytes: self.bytes,
            created: self.created.clone(),
        })
    }

    /// As one of convoy's own, if it is one; `made_last` tells of an image without a name whether its last step is
    /// convoy's.
    pub(crate) fn as_convoy_image(&self, made_last: impl FnOnce() -> bool) -> Option<ConvoyImage> {
        let recipe = self.labels.get(LABEL).and_then(|text| Recipe::from_text(text));
        let tag = recipe.as_ref().map(Recipe::tag);
        let is_own = |name: &&String| {
            name.starts_with(OWN_IMAGES)
                || self.labels.contains_key(LABEL)
                    && (name.starts_with(OWN) || tag.as_deref().is_some_and(|tag| is_copy(name, tag)))
        };
        let (names, others): (Vec<_>, Vec<_>) = self.names.iter().partition(is_own);
        let users = names.iter().any(|name| name.starts_with(OWN_IMAGES));
        let nameless = self.names.is_empty() && self.labels.contains_key(LABEL);
        if names.is_empty() && !(nameless && made_last()) {
            return None;
        }
        let cloned = |names: Vec<&String>| names.into_iter().cloned().collect();
        Some(ConvoyImage {
            id: self.id.clone(),
            made: if users { MadeFrom::User } else { MadeFrom::Packages },
            current: !names.is_empty() && (users || Recipe::of_labels(&self.labels).is_some()),
            // That of the image that it starts from is another image's.
            recipe: recipe.filter(|_| !users),
            names: cloned(names),
            others: cloned(others),
            bytes: self.bytes,
            created: self.created.clone(),
        })
    }

    /// The digests that the registry of a name knows the image by, the one for every architecture first.
    pub(crate) fn registry_digests(&self, name: &str) -> Vec<String> {
        let repository = repository(name);
        let of_registry = |text: &String| {
            let (from, digest) = text.split_once('@')?;
            // Podman gives images that never were in a registry a digest, too.
            (is_same(from, repository) && !from.starts_with("localhost/")).then(|| digest.to_owned())
        };
        let mut found: Vec<String> = self.digests.iter().filter_map(of_registry).collect();
        found.sort_by_key(|digest| Some(digest) == self.manifest.as_ref());
        found
    }
}

/// A name as convoy writes it: Podman says of names without a registry that they are this machine's.
fn plain_name(name: String) -> String {
    match name.strip_prefix("localhost/") {
        Some(plain) if plain.starts_with(OWN) => plain.to_owned(),
        _ => name,
    }
}

/// Whether a name is that of a composed image where some registry keeps it.
fn is_copy(name: &str, tag: &str) -> bool {
    let last = |name: &str| name.rsplit('/').next().map(str::to_owned);
    name.contains('/') && last(name) == last(tag)
}

/// A name without tag and digest.
pub(crate) fn repository(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        // The colon of a registry's port is followed by a path.
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// Whether two repositories are one: engines write the registry that they ask by default, and its folder for names without
/// one, or leave both out.
fn is_same(one: &str, other: &str) -> bool {
    let whole = |path: &str| if path.contains('/') { path.to_owned() } else { format!("library/{path}") };
    match (with_registry(one), with_registry(other)) {
        ((None, one), (Some(_), other)) => whole(one) == other,
        ((Some(_), one), (None, other)) => one == whole(other),
        (one, other) => one == other,
    }
}

/// The registry of a repository, where one is named, and the rest.
fn with_registry(repository: &str) -> (Option<&str>, &str) {
    match repository.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        _ => (None, repository),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            base: "debian:bookworm-slim".to_owned(),
            suite: "bookworm".to_owned(),
            packages: ["gcc".to_owned()].into(),
            pre_build: vec!["echo \"$HOME\" \\".to_owned()],
            rust: None,
        }
    }

    fn image(names: &[&str]) -> SeenImage {
        let recipe = serde_json::Value::String(recipe().text());
        let names = serde_json::to_string(names).unwrap();
        let output = format!(
            r#"[{{"Id":"sha256:1","RepoTags":{names},"RepoDigests":null,"Size":7,"Created":"2026-11-25T13:12:54Z",
                 "Config":{{"Labels":{{"io.cargo-convoy.form":"2","io.cargo-convoy.recipe":{recipe}}}}}}}]"#
        );
        SeenImage::read_all(&output).unwrap().remove(0)
    }

    #[test]
    fn plans_take_what_the_cache_knows_and_nothing_that_only_a_label_says() {
        let tag = recipe().tag();
        let made = MadeImage { id: "1".to_owned(), registry: Some("r.example".to_owned()), ..MadeImage::default() };
        let present = |image: &SeenImage| image.as_present(Some(&made));
        let here = present(&image(&[&format!("localhost/{tag}")])).unwrap();
        assert_eq!((here.reference.as_str(), here.recipe.as_ref(), here.bytes), (tag.as_str(), Some(&recipe()), 7));
        assert_eq!((here.id.as_str(), here.registry.as_deref()), ("sha256:1", Some("r.example")));
        // Pushed: a name more.
        let remote = format!("127.0.0.1:5000/team/{}", tag.trim_start_matches(OWN));
        assert_eq!(present(&image(&[&remote, &tag])).unwrap().reference, tag);
        assert_eq!(present(&image(&[&remote])).unwrap().reference, remote);
        // The same labels and the same name, on an image that somebody else made.
        assert_eq!(image(&[&tag]).as_present(None), None);
        let other = MadeImage { id: "sha256:2".to_owned(), ..MadeImage::default() };
        assert_eq!(image(&[&tag, "evil.example/tools:1"]).as_present(Some(&other)), None);
        assert_eq!(present(&image(&["team/builder:1"])), None);
        assert_eq!(present(&image(&[])), None);
        // Another form, and a recipe that says more than this convoy knows.
        let mut other = image(&[&tag]);
        other.labels.insert("io.cargo-convoy.form".to_owned(), "0".to_owned());
        assert_eq!(present(&other), None);
        let mut other = image(&[&tag]);
        other.labels.insert(LABEL.to_owned(), recipe().text().replacen('{', "{\"more\":1,", 1));
        assert_eq!(present(&other), None);
    }

    #[test]
    fn only_what_convoy_made_and_named_is_its_own() {
        let tag = recipe().tag();
        let never = || panic!("its names tell");
        let own = image(&[&tag, "team/builder:1"]).as_convoy_image(never).unwrap();
        assert_eq!((own.names, own.others), (vec![tag.clone()], vec!["team/builder:1".to_owned()]));
        assert!(own.current && own.recipe.is_some() && own.made == MadeFrom::Packages);
        assert_eq!(image(&["team/builder:1"]).as_convoy_image(never), None);
        // Labels are inherited from what a Dockerfile starts from.
        let own = image(&["cargo-convoy/own:1"]).as_convoy_image(never).unwrap();
        assert!(own.made == MadeFrom::User && own.recipe.is_none() && own.current);
        assert_eq!(image(&[]).as_convoy_image(|| false), None);
        assert!(!image(&[]).as_convoy_image(|| true).unwrap().current);
        let mut unlabelled = image(&[&tag]);
        unlabelled.labels.clear();
        assert_eq!(unlabelled.as_convoy_image(never), None);
        let mut old = image(&[&tag]);
        old.labels.insert(LABEL.to_owned(), "{}".to_owned());
        assert!(!old.as_convoy_image(never).unwrap().current);
    }

    #[test]
    fn a_digest_is_that_of_the_registry_of_the_name() {
        let seen = |digests: &[&str]| SeenImage {
            digests: digests.iter().map(|digest| (*digest).to_owned()).collect(),
            manifest: Some("sha256:one".to_owned()),
            ..SeenImage::default()
        };
        let podman = seen(&["hub.example/library/debian@sha256:one", "hub.example/library/debian@sha256:all"]);
        assert_eq!(podman.registry_digests("debian:bookworm-slim"), ["sha256:all", "sha256:one"]);
        assert_eq!(seen(&["debian@sha256:all"]).registry_digests("hub.example/library/debian"), ["sha256:all"]);
        assert!(
            seen(&["localhost/debian@sha256:x", "r.example/debian@sha256:y"]).registry_digests("debian").is_empty()
        );
        assert_eq!(seen(&["r.example:5000/a/b@sha256:y"]).registry_digests("r.example:5000/a/b:1"), ["sha256:y"]);
        assert_eq!(repository("r.example:5000/a/b"), "r.example:5000/a/b");
        assert_eq!(repository("r.example:5000/a/b:1@sha256:y"), "r.example:5000/a/b");
    }
}
