//! What is known of the images that this cache's convoy made. A label is anybody's to write, and is inherited; the id is a
//! digest of the whole image.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::util::files;

/// An image that convoy built on this machine, or took from the registry that a project names.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct MadeImage {
    /// The engine's id.
    pub id: String,
    /// The names that convoy gave it.
    pub references: BTreeSet<String>,
    /// The registry that it was taken from; none where it was built here.
    #[serde(default)]
    pub registry: Option<String>,
    /// `name@sha256:…` in the registry that it was taken from or published to.
    #[serde(default)]
    pub digest: Option<String>,
    /// What it was built from: `name@sha256:…` where a registry knows that, else the id. None where it was not built here, or
    /// is not made from Debian's packages.
    #[serde(default)]
    pub base: Option<String>,
}

impl MadeImage {
    /// What names it in the cache. Engines write ids with and without `sha256:`.
    pub fn key(id: &str) -> String {
        format!("made-{}", &files::sha256(plain_id(id))[..32])
    }

    /// Whether this is about the image of an id.
    pub fn is(&self, id: &str) -> bool {
        plain_id(&self.id) == plain_id(id)
    }

    /// Whether a project may use it that names this registry, or none. What another project's registry gave is that one's.
    pub fn is_for(&self, registry: Option<&str>) -> bool {
        self.registry.is_none() || self.registry.as_deref() == registry
    }
}

/// An id without the name of its digest.
fn plain_id(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id)
}
