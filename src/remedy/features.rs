//! Ways out by features: of the crate that needs something, and of the crates on the way to it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Remedy, RemedyKind};
use crate::graph::{Closure, FeatureTables, Package, Slice};
use crate::needs::{self, Need, Side};

/// A dependency path to a need, with the features that open each step.
#[derive(Clone, Debug)]
pub struct Chain<'a> {
    /// The packages, from a selected one to the one that needs something.
    pub steps: Vec<Step<'a>>,
}

/// One package of a chain.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// The package.
    pub package: &'a Package,
    /// Its active features that bring the next package; empty where it always brings it.
    pub opened_by: Vec<String>,
}

/// The paths to a package with what opens each step, the shortest first.
pub fn chains<'a>(slice: &'a Slice, side: Side, id: &str, tables: &FeatureTables, limit: usize) -> Vec<Chain<'a>> {
    let packages = match side {
        Side::Target => [&slice.target, &slice.host],
        Side::Host => [&slice.host, &slice.target],
    };
    let by_id = |id: &str| packages.iter().flat_map(|list| list.iter()).find(|package| package.id == id);
    let chain = |path: Vec<String>| {
        let packages: Vec<&Package> = path.iter().filter_map(|id| by_id(id)).collect();
        let steps = packages.iter().enumerate().map(|(index, package)| Step {
            package,
            opened_by: packages.get(index + 1).map(|next| opened_by(package, next, tables)).unwrap_or_default(),
        });
        Chain { steps: steps.collect() }
    };
    slice.id_paths_to(id, limit).into_iter().map(chain).collect()
}

fn opened_by(package: &Package, next: &Package, tables: &FeatureTables) -> Vec<String> {
    let Some(table) = tables.get(&package.id) else { return Vec::new() };
    let key = table.dependencies.iter().find(|d| d.name == next.name && d.optional).map(|d| d.key());
    let Some(key) = key else { return Vec::new() };
    let direct = |feature: &&String| {
        table.features.get(*feature).is_some_and(|list| {
            list.iter().any(|item| item == &format!("dep:{key}") || item == key || item.starts_with(&format!("{key}/")))
        })
    };
    package.features.iter().filter(direct).cloned().collect()
}

/// Words in the names of features that build a library from source, or do without it.
const PROMISING: &[&str] = &[
    "vendor", "vendored", "bundle", "bundled", "static", "source", "src", "build", "builtin", "internal", "embed",
    "embedded", "rustls", "ring", "pure", "rust", "compile", "prebuilt",
];

/// The features that lead around a need, the nearest to the user's own manifest first. `judged` tells what a package
/// with other features would need.
pub fn features(
    need: &Need,
    chains: &[Chain<'_>],
    tables: &FeatureTables,
    judged: &dyn Fn(&Package) -> Vec<needs::Asked>,
) -> Vec<Remedy> {
    // With how far from the user's own manifest it is.
    let mut found: Vec<(usize, Remedy)> = Vec::new();
    let mut add = |index: usize, remedy: Remedy| {
        if !found.iter().any(|(_, other)| other.text == remedy.text) {
            found.push((index, remedy));
        }
    };
    let mut opened = BTreeSet::new();
    for chain in chains {
        for (index, step) in chain.steps.iter().enumerate() {
            let Some(table) = tables.get(&step.package.id) else { continue };
            for feature in table.features.keys() {
                let promising = feature.split(['-', '_']).any(|word| PROMISING.contains(&word));
                if promising
                    && !step.package.features.contains(feature)
                    && let Some(then_needs) = around(need, chain, index, feature, tables, judged)
                {
                    add(index, turn_on(chain, index, feature, then_needs));
                }
            }
            // Several ways to a need may open by one feature.
            let first = step.opened_by.first().map(|opener| (step.package.id.clone(), opener.clone()));
            if let Some(opener) = first
                && opened.insert(opener)
                && let Some(remedy) = leave_out(chain, index, step, tables)
            {
                add(index, remedy);
            }
        }
    }
    found.sort_by_key(|(index, remedy)| (remedy.kind, *index));
    found.into_iter().map(|(_, remedy)| remedy).collect()
}

/// What would be needed instead with a feature of a step on; none where the need stays.
fn around(
    need: &Need,
    chain: &Chain<'_>,
    index: usize,
    feature: &str,
    tables: &FeatureTables,
    judged: &dyn Fn(&Package) -> Vec<needs::Asked>,
) -> Option<Vec<String>> {
    // What the feature turns on is handed down the path to the package that needs something.
    let mut asked: BTreeSet<String> = BTreeSet::from([feature.to_owned()]);
    let mut brought: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (step, next) in chain.steps[index..].iter().zip(chain.steps[index..].iter().skip(1).map(Some).chain([None])) {
        let table = tables.get(&step.package.id)?;
        let mut closure = Closure::default();
        for feature in &asked {
            let one = table.closure(feature);
            closure.features.extend(one.features);
            closure.dependencies.extend(one.dependencies);
            closure.of_dependencies.extend(one.of_dependencies);
        }
        let new = |key: &&String| {
            let name = table.crate_of(key);
            !step.package.dependencies.contains(name) && !step.package.build_dependencies.contains(name)
        };
        for key in closure.dependencies.iter().filter(new) {
            brought.entry(table.crate_of(key).to_owned()).or_default();
        }
        let Some(next) = next else {
            let mut package = step.package.clone();
            package.features.extend(closure.features);
            package.build_dependencies.extend(brought.keys().cloned());
            package.dependencies.extend(brought.keys().cloned());
            let left = judged(&package);
            if left.iter().any(|ask| ask.kind == need.kind && ask.name == need.name) {
                return None;
            }
            let before = judged(step.package);
            let mut then: Vec<needs::Asked> = left.into_iter().filter(|ask| !before.contains(ask)).collect();
            for name in brought.keys() {
                then.extend(judged(&Package { name: name.clone(), has_build_script: true, ..Package::default() }));
            }
            let mut names: Vec<String> = then.into_iter().map(|ask| ask.name).collect();
            names.sort();
            names.dedup();
            return Some(names);
        };
        let of_next = closure.of_dependencies.iter().filter(|(key, _)| table.crate_of(key) == next.package.name);
        asked = of_next.map(|(_, feature)| feature.clone()).collect();
        if asked.is_empty() {
            return None;
        }
    }
    None
}

fn turn_on(chain: &Chain<'_>, index: usize, feature: &str, then_needs: Vec<String>) -> Remedy {
    let package = chain.steps[index].package;
    let (text, command) = match index {
        0 => (
            format!("turn on the feature `{feature}` of `{}`", package.name),
            format!("cargo convoy build -F {feature}"),
        ),
        1 => (
            format!("turn on the feature `{feature}` of `{}`", package.name),
            format!("cargo add {} --features {feature}", package.name),
        ),
        _ => (
            format!(
                "turn on the feature `{feature}` of `{}` {}: a dependency of your own on it does, for the whole graph",
                package.name, package.version
            ),
            format!("cargo add {}@{} --features {feature}", package.name, compatible(&package.version)),
        ),
    };
    Remedy { kind: RemedyKind::Feature, text, command: Some(command), then_needs }
}

/// The shortest requirement that takes the same line of versions.
fn compatible(version: &str) -> String {
    let parts: Vec<&str> = version.split(['.', '+', '-']).take(3).collect();
    match parts.as_slice() {
        ["0", "0", patch] => format!("0.0.{patch}"),
        ["0", minor, ..] => format!("0.{minor}"),
        [major, ..] => (*major).to_owned(),
        [] => version.to_owned(),
    }
}

/// A step that an active feature opens can be closed again; features with a word in common are what to take instead.
fn leave_out(chain: &Chain<'_>, index: usize, step: &Step<'_>, tables: &FeatureTables) -> Option<Remedy> {
    let opener = step.opened_by.first()?;
    let next = chain.steps.get(index + 1)?.package;
    let table = tables.get(&step.package.id)?;
    let words: BTreeSet<&str> = opener.split(['-', '_']).chain(next.name.split(['-', '_'])).collect();
    let brings = |feature: &String| {
        let closure = table.closure(feature);
        closure.dependencies.iter().any(|key| table.crate_of(key) == next.name)
    };
    let instead: Vec<&str> = table
        .features
        .keys()
        .filter(|feature| !step.package.features.contains(*feature) && !brings(feature))
        .filter(|feature| feature.split(['-', '_']).any(|word| words.contains(word) && word.len() > 2))
        .map(String::as_str)
        .take(4)
        .collect();
    let by_default = table.closure("default").features.contains(opener);
    let how = if by_default { " (among its default features: set `default-features = false`)" } else { "" };
    let take = match instead.as_slice() {
        [] => String::new(),
        some => format!(", and take instead what fits of: {}", some.join(", ")),
    };
    let name = &step.package.name;
    let text = format!("leave out the feature `{opener}` of `{name}`{how}, which brings `{}`{take}", next.name);
    let command = (index == 0 && by_default).then(|| "cargo convoy build --no-default-features".to_owned());
    Some(Remedy { kind: RemedyKind::LeaveOut, text, command, then_needs: Vec::new() })
}
