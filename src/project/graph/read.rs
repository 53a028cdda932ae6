//! What `cargo metadata` prints, as guppy takes it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use guppy::CargoMetadata;
use guppy::graph::PackageGraph;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::util::error::{Error, Result};

/// Begins the names of features that no manifest can have: cargo allows no colon there.
pub(super) const OURS: &str = "convoy:";

pub(super) fn packages(json: &str) -> Result<PackageGraph> {
    let text = named_apart(json)?;
    let graph = CargoMetadata::parse_json(text).and_then(CargoMetadata::build_graph);
    graph.map_err(broken)
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::work("could not parse the output of `cargo metadata`").because(error)
}

/// An optional dependency that no feature names as `dep:NAME` has an implicit feature of its name in guppy 0.19.1, even
/// where the manifest gives a feature of that name another meaning; there, cargo has no implicit one. So uucore's
/// `time = ["jiff"]` would bring the crate `time` and not `jiff`. Such a dependency is named in a feature that nothing
/// turns on.
fn named_apart(json: &str) -> Result<Cow<'_, str>> {
    let metadata: Metadata<'_> = serde_json::from_str(json).map_err(broken)?;
    let mut patched = String::new();
    let mut taken = 0;
    for package in &metadata.packages {
        let shadowed = package.shadowed()?;
        if shadowed.is_empty() {
            continue;
        }
        // The table is a part of the whole text, which is copied up to behind its brace: to read and write all of it again
        // would cost as much as guppy's own reading.
        let table = package.features.get();
        let behind_brace = table.as_ptr().addr() - json.as_ptr().addr() + 1;
        patched.push_str(&json[taken..behind_brace]);
        for name in shadowed {
            patched.push_str(&format!("\"{OURS}{name}\":[\"dep:{name}\"],"));
        }
        taken = behind_brace;
    }
    if taken == 0 {
        return Ok(Cow::Borrowed(json));
    }
    patched.push_str(&json[taken..]);
    Ok(Cow::Owned(patched))
}

/// The part of the metadata that tells which dependencies are meant.
#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    packages: Vec<Package<'a>>,
}

#[derive(Deserialize)]
struct Package<'a> {
    #[serde(borrow)]
    dependencies: Vec<Dependency<'a>>,
    #[serde(borrow)]
    features: &'a RawValue,
}

#[derive(Deserialize)]
struct Dependency<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    rename: Option<Cow<'a, str>>,
    optional: bool,
}

impl<'a> Package<'a> {
    /// The optional dependencies that no feature names, and whose name a feature has. That feature stands in the table,
    /// so the table is not empty then.
    fn shadowed(&self) -> Result<BTreeSet<&str>> {
        let optional = || self.dependencies.iter().filter(|dependency| dependency.optional);
        if optional().next().is_none() {
            return Ok(BTreeSet::new());
        }
        let features: BTreeMap<Cow<'a, str>, Vec<Cow<'a, str>>> =
            serde_json::from_str(self.features.get()).map_err(broken)?;
        let names = optional().map(|dependency| &**dependency.rename.as_ref().unwrap_or(&dependency.name));
        let is_named = |name: &str| {
            features.values().flatten().any(|value| value.strip_prefix("dep:").is_some_and(|dep| dep == name))
        };
        Ok(names.filter(|name| features.contains_key(*name) && !is_named(name)).collect())
    }
}
