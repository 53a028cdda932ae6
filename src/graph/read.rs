//! What `cargo metadata` prints, as guppy takes it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use guppy::CargoMetadata;
use guppy::graph::PackageGraph;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// Begins the names of features that no manifest can have: cargo allows no colon there.
pub(super) const OURS: &str = "convoy:";

pub(super) fn packages(json: &str) -> Result<PackageGraph> {
    let text = named_apart(json)?;
    let graph = CargoMetadata::parse_json(text).and_then(CargoMetadata::build_graph);
    graph.map_err(broken)
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::work("could not read what `cargo metadata` printed").because(error)
}

/// An optional dependency that no feature names as `dep:NAME` has an implicit feature of its name in guppy 0.19.1, even
/// where the manifest gives a feature of that name another meaning; there, cargo has no implicit one. So uucore's
/// `time = ["jiff"]` would bring the crate `time` and not `jiff`. Such a dependency is named in a feature that nothing
/// turns on.
fn named_apart(json: &str) -> Result<Cow<'_, str>> {
    let metadata: Metadata<'_> = serde_json::from_str(json).map_err(broken)?;
    let shadowed: Vec<BTreeSet<Cow<'_, str>>> = metadata.packages.iter().map(Package::shadowed).collect();
    if shadowed.iter().all(BTreeSet::is_empty) {
        return Ok(Cow::Borrowed(json));
    }
    let mut whole: Value = serde_json::from_str(json).map_err(broken)?;
    let packages = whole.get_mut("packages").and_then(Value::as_array_mut).into_iter().flatten();
    for (package, shadowed) in packages.zip(shadowed) {
        let Some(features) = package.get_mut("features").and_then(Value::as_object_mut) else { continue };
        for name in shadowed {
            features.insert(format!("{OURS}{name}"), serde_json::json!([format!("dep:{name}")]));
        }
    }
    Ok(Cow::Owned(whole.to_string()))
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
    features: BTreeMap<Cow<'a, str>, Vec<Cow<'a, str>>>,
}

#[derive(Deserialize)]
struct Dependency<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    rename: Option<Cow<'a, str>>,
    optional: bool,
}

impl Package<'_> {
    /// The optional dependencies that no feature names, and whose name a feature has.
    fn shadowed(&self) -> BTreeSet<Cow<'_, str>> {
        let optional = self.dependencies.iter().filter(|dependency| dependency.optional);
        let names = optional.map(|dependency| dependency.rename.as_ref().unwrap_or(&dependency.name));
        let has_feature = names.filter(|name| self.features.contains_key(*name));
        let is_named = |name: &str| {
            self.features.values().flatten().any(|value| value.strip_prefix("dep:").is_some_and(|dep| dep == name))
        };
        has_feature.filter(|name| !is_named(name)).map(|name| Cow::Borrowed(&**name)).collect()
    }
}
