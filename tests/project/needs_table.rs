//! Each row of `targets/needs.toml` against the manifest of the version that it was read from.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use cargo_convoy::project::needs::Table;
use serde::Deserialize;

/// What the rows' conditions may speak of: taken from each crate's manifest by `ci/needs-manifests`.
#[derive(Deserialize)]
struct Manifest {
    version: String,
    features: BTreeSet<String>,
    build_dependencies: BTreeSet<String>,
    dependencies: BTreeSet<String>,
    build_script: bool,
}

#[test]
fn every_condition_speaks_of_what_the_manifest_has() {
    let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/needs-manifests.json");
    let manifests: BTreeMap<String, Manifest> = serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap();
    let mut faults = Vec::new();
    for row in Table::embedded().rows() {
        let name = &row.name;
        let Some(manifest) = manifests.get(name) else {
            faults.push(format!("{name}: no manifest is kept of it: run ci/needs-manifests"));
            continue;
        };
        if manifest.version != row.read {
            faults.push(format!("{name}: read from {}, and the manifest kept is of {}", row.read, manifest.version));
        }
        for rule in &row.needs {
            for feature in rule.features.iter().chain(&rule.unless_features) {
                if !manifest.features.contains(feature) {
                    faults.push(format!("{name}: has no feature `{feature}`"));
                }
            }
            for dependency in rule.build_dependencies.iter().chain(&rule.unless_build_dependencies) {
                if !manifest.build_dependencies.contains(dependency) {
                    faults.push(format!("{name}: has no build-dependency `{dependency}`"));
                }
            }
            for dependency in rule.dependencies.iter().chain(&rule.unless_dependencies) {
                if !manifest.dependencies.contains(dependency) {
                    faults.push(format!("{name}: has no dependency `{dependency}`"));
                }
            }
            let scripted = !rule.tools.is_empty() || rule.download.is_some();
            // A library that others' build scripts call (openssl-src, prost-build) asks through them.
            let for_scripts = ["-src", "-build", "-config", "bindgen", "cxx"].iter().any(|word| name.contains(word));
            if scripted && !manifest.build_script && !for_scripts {
                faults.push(format!("{name}: starts {:?} and has no build script", rule.tools));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
