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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            LockedImage::Composed { .. } => None,
            LockedImage::Named { digest, .. } => Some(digest),
        }
    }

    /// How it differs from what was locked of it before; nothing where it does not.
    pub fn changes(&self, before: &LockedImage) -> Vec<String> {
        match (before, self) {
            (LockedImage::Composed { packages: old, .. }, LockedImage::Composed { packages: new, .. }) => {
                let mut changes = super::changes(&versions(old), &versions(new));
                changes
                    .extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("{name} is gone")));
                changes
            }
            (LockedImage::Named { digest: old, .. }, LockedImage::Named { digest: new, .. }) if old == new => {
                Vec::new()
            }
            (LockedImage::Named { digest: old, .. }, LockedImage::Named { digest: new, .. }) => {
                vec![format!("{old} → {new}")]
            }
            _ => vec!["it is another kind of image".to_owned()],
        }
    }
}

fn versions(packages: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    packages.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect()
}
