//! The feature tables of packages, as their manifests write them: for ways out of a need, which the resolved graph alone
//! does not show.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use crate::util::error::{Error, Result};

/// The feature tables of every package, by cargo's id.
#[derive(Debug)]
pub(crate) struct FeatureTables(HashMap<String, FeatureTable>);

/// One package's features and dependencies.
#[derive(Debug, Deserialize)]
pub(crate) struct FeatureTable {
    id: String,
    /// Each feature and what it turns on: features, `dep:name`, `name/feature`, `name?/feature`.
    pub features: BTreeMap<String, Vec<String>>,
    /// Its dependencies on others.
    pub dependencies: Vec<Dependency>,
}

/// One dependency as the manifest has it.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The crate.
    pub name: String,
    /// What the manifest calls it, where that differs.
    pub rename: Option<String>,
    /// Whether a feature must turn it on.
    pub optional: bool,
}

impl Dependency {
    /// The name by which the manifest's features speak of it.
    pub(crate) fn key(&self) -> &str {
        self.rename.as_deref().unwrap_or(&self.name)
    }
}

/// What a feature turns on, all that follows included.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Closure {
    /// Features of the package itself.
    pub features: BTreeSet<String>,
    /// Optional dependencies, by the manifest's name.
    pub dependencies: BTreeSet<String>,
    /// Features of dependencies, as `(name, feature)`.
    pub of_dependencies: BTreeSet<(String, String)>,
}

impl FeatureTables {
    /// Reads the output of `cargo metadata`.
    pub(crate) fn from_metadata(json: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Metadata {
            packages: Vec<FeatureTable>,
        }
        let metadata: Metadata = serde_json::from_str(json)
            .map_err(|error| Error::work("could not parse the output of `cargo metadata`").because(error))?;
        Ok(Self(metadata.packages.into_iter().map(|table| (table.id.clone(), table)).collect()))
    }

    /// The table of a package.
    pub(crate) fn get(&self, id: &str) -> Option<&FeatureTable> {
        self.0.get(id)
    }
}

impl FeatureTable {
    /// What a feature turns on. A table whose features name each other in a circle ends.
    pub(crate) fn closure(&self, feature: &str) -> Closure {
        let mut closure = Closure::default();
        let mut open = vec![feature.to_owned()];
        while let Some(name) = open.pop() {
            if !closure.features.insert(name.clone()) {
                continue;
            }
            let Some(list) = self.features.get(&name) else {
                // An optional dependency that no feature speaks of by `dep:` is a feature of its own name.
                if self.dependencies.iter().any(|dependency| dependency.optional && dependency.key() == name) {
                    closure.dependencies.insert(name);
                }
                continue;
            };
            for item in list {
                if let Some(dependency) = item.strip_prefix("dep:") {
                    closure.dependencies.insert(dependency.to_owned());
                } else if let Some((dependency, feature)) = item.split_once('/') {
                    let weak = dependency.strip_suffix('?');
                    if weak.is_none() && self.is_optional(dependency) {
                        closure.dependencies.insert(dependency.to_owned());
                    }
                    let name = weak.unwrap_or(dependency).to_owned();
                    closure.of_dependencies.insert((name, feature.to_owned()));
                } else {
                    open.push(item.clone());
                }
            }
        }
        closure
    }

    /// Whether a dependency must be turned on by a feature.
    pub(crate) fn is_optional(&self, key: &str) -> bool {
        self.dependencies.iter().any(|dependency| dependency.key() == key && dependency.optional)
    }

    /// The crate that the manifest calls by this name.
    pub(crate) fn crate_of<'a>(&'a self, key: &'a str) -> &'a str {
        let named = self.dependencies.iter().find(|dependency| dependency.key() == key);
        named.map_or(key, |dependency| &dependency.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> FeatureTables {
        let json = serde_json::json!({ "packages": [{
            "id": "a",
            "features": {
                "default": ["tls", "http2"],
                "tls": ["native"],
                "native": ["dep:native-tls", "native-tls?/alpn"],
                "http2": ["h2/std"],
                "circle": ["back"],
                "back": ["circle"],
                "vendored": ["native-tls/vendored"],
            },
            "dependencies": [
                { "name": "native-tls", "rename": null, "optional": true },
                { "name": "hyper-h2", "rename": "h2", "optional": true },
                { "name": "log", "rename": null, "optional": true },
            ],
        }]});
        FeatureTables::from_metadata(&json.to_string()).unwrap()
    }

    #[test]
    fn what_a_feature_turns_on() {
        let tables = tables();
        let table = tables.get("a").unwrap();
        let words = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        let default = table.closure("default");
        assert_eq!(words(&default.features), "default http2 native tls");
        assert_eq!(words(&default.dependencies), "h2 native-tls");
        assert!(default.of_dependencies.contains(&("native-tls".to_owned(), "alpn".to_owned())));
        assert_eq!(words(&table.closure("log").dependencies), "log");
        assert_eq!(words(&table.closure("circle").features), "back circle");
        assert_eq!(words(&table.closure("vendored").dependencies), "native-tls");
        assert_eq!(table.crate_of("h2"), "hyper-h2");
    }
}
