//! What the lock says of an image: enough to tell whether another one is the same, and nothing that only one machine
//! knows.

use std::collections::BTreeMap;

use serde::Serialize;

/// An image that targets are built in.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(untagged)]
pub enum LockedImage {
    /// One that convoy composes.
    Composed {
        /// The image that it starts from, for people.
        base: String,
        /// The very one: `name@sha256:…` where a registry knows it, else the engine's id. None where that is not known.
        #[serde(rename = "base-digest", skip_serializing_if = "Option::is_none")]
        base_digest: Option<String>,
        /// `name@sha256:…` of the image in the registry that a team keeps it in; none where it is in none.
        #[serde(skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
        /// The digest of the recipe that a machine without images would follow.
        recipe: String,
        /// The versions of the recipe's packages, by their names.
        packages: BTreeMap<String, String>,
    },
    /// One that the user names.
    Named {
        /// The name, as the user writes it.
        name: String,
        /// The digest that its registry knows it by.
        digest: String,
    },
}

/// What tells one entry from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key<'a> {
    /// The digest of a recipe.
    Recipe(&'a str),
    /// A name.
    Name(&'a str),
}

impl LockedImage {
    pub(super) fn key(&self) -> Key<'_> {
        match self {
            LockedImage::Composed { recipe, .. } => Key::Recipe(recipe),
            LockedImage::Named { name, .. } => Key::Name(name),
        }
    }

    pub(super) fn digest(&self) -> Option<&str> {
        match self {
            LockedImage::Composed { digest, .. } => digest.as_deref(),
            LockedImage::Named { digest, .. } => Some(digest),
        }
    }

    /// The same with what only another entry about the same image knows: a machine that took it from a registry does not know
    /// what it was built from, and one that built it does not know the registry's digest.
    #[must_use]
    pub fn with_missing_of(mut self, other: &LockedImage) -> Self {
        if let (
            LockedImage::Composed { base_digest, digest, .. },
            LockedImage::Composed { base_digest: other_base, digest: other_digest, .. },
        ) = (&mut self, other)
        {
            *base_digest = base_digest.take().or_else(|| other_base.clone());
            *digest = digest.take().or_else(|| other_digest.clone());
        }
        self
    }

    /// How it differs from what was locked of it before; nothing where it does not.
    pub fn changes(&self, before: &LockedImage) -> Vec<String> {
        match (before, self) {
            (
                LockedImage::Composed { packages: old, base_digest: old_base, digest: old_digest, .. },
                LockedImage::Composed { packages: new, base_digest: new_base, digest: new_digest, .. },
            ) => {
                let mut changes: Vec<String> = moved("base image", old_base.as_deref(), new_base.as_deref()).collect();
                changes.extend(moved("image", old_digest.as_deref(), new_digest.as_deref()));
                changes.extend(super::changes(&versions(old), &versions(new)));
                changes
            }
            (LockedImage::Named { digest: old, .. }, LockedImage::Named { digest: new, .. }) if old == new => {
                Vec::new()
            }
            (LockedImage::Named { digest: old, .. }, LockedImage::Named { digest: new, .. }) => {
                vec![format!("{old} → {new}")]
            }
            _ => vec!["different kind of image".to_owned()],
        }
    }
}

/// That a digest is another one. What one side does not know is no difference.
fn moved(what: &str, old: Option<&str>, new: Option<&str>) -> impl Iterator<Item = String> {
    let known = old.zip(new).filter(|(old, new)| old != new);
    known.map(|(old, new)| format!("{what} {old} → {new}")).into_iter()
}

fn versions(packages: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    packages.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect()
}
