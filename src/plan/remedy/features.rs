//! Ways out by features: of the crate that needs something, and of the crates on the way to it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Remedy, RemedyKind};
use crate::project::graph::{Closure, FeatureTable, FeatureTables, Package, Slice};
use crate::project::needs::{self, Need, Side};

/// A dependency path to a need, with the features that open each step.
#[derive(Clone, Debug)]
pub(crate) struct Chain<'a> {
    /// The packages, from a selected one to the one that needs something.
    pub steps: Vec<Step<'a>>,
}

/// One package of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Step<'a> {
    /// The package.
    pub package: &'a Package,
    /// Its active features that enable the next package; empty if it always depends on it.
    pub opened_by: Vec<String>,
}

/// The paths to a package with what opens each step, the shortest first.
pub(crate) fn chains<'a>(
    slice: &'a Slice,
    side: Side,
    id: &str,
    tables: &FeatureTables,
    limit: usize,
) -> Vec<Chain<'a>> {
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
pub(crate) fn features(
    need: &Need,
    slice: &Slice,
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
    for chain in chains {
        let Some(last) = chain.steps.last() else { continue };
        for (index, step) in chain.steps.iter().enumerate() {
            let Some(table) = tables.get(&step.package.id) else { continue };
            for feature in table.features.keys() {
                let promising = feature.split(['-', '_']).any(|word| PROMISING.contains(&word));
                if promising
                    && !step.package.features.contains(feature)
                    && let Some(then_needs) = around(need, slice, (step.package, feature), last.package, tables, judged)
                {
                    add(index, turn_on(chain, index, feature, then_needs));
                }
            }
        }
    }
    for (package, opener) in common_openers(slice, chains, tables) {
        let distance = slice.path_to(package).len() - 1;
        let (Some(chain), Some(table)) = (chains.first(), tables.get(&package.id)) else { continue };
        add(distance, leave_out(chain, distance == 0, package, &opener, table));
    }
    found.sort_by_key(|(index, remedy)| (remedy.kind, *index, remedy.then_needs.len(), remedy.text.len()));
    found.into_iter().map(|(_, remedy)| remedy).collect()
}

/// The features through which all chains pass, each with its package: to leave out one of them is enough.
fn common_openers<'a>(slice: &'a Slice, chains: &[Chain<'a>], tables: &FeatureTables) -> Vec<(&'a Package, String)> {
    let of_chain = |chain: &Chain<'a>| -> Vec<(&'a Package, String)> {
        let steps = chain.steps.iter();
        steps.filter_map(|step| Some(origin(slice, step.package, step.opened_by.first()?, tables))).collect()
    };
    let all: Vec<Vec<_>> = chains.iter().map(of_chain).collect();
    let same = |one: &(&Package, String), other: &(&Package, String)| one.0.id == other.0.id && one.1 == other.1;
    let mut common: Vec<(&'a Package, String)> = Vec::new();
    for candidate in all.first().into_iter().flatten() {
        let in_all = all.iter().all(|list| list.iter().any(|other| same(candidate, other)));
        if in_all && !common.iter().any(|other| same(candidate, other)) {
            common.push(candidate.clone());
        }
    }
    common
}

/// What would be needed instead with a feature of some package on; none where the need stays.
fn around(
    need: &Need,
    slice: &Slice,
    (start, feature): (&Package, &str),
    goal: &Package,
    tables: &FeatureTables,
    judged: &dyn Fn(&Package) -> Vec<needs::Asked>,
) -> Option<Vec<String>> {
    // A feature turns on features of dependencies, and these theirs; on the way it may bring crates that are new.
    let packages: Vec<&Package> = slice.target.iter().chain(&slice.host).collect();
    let mut features: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut brought: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut goal_brings: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<(&Package, String)> = vec![(start, feature.to_owned())];
    while let Some((package, feature)) = open.pop() {
        let known = features.entry(&package.id).or_default();
        if package.features.contains(&feature) || !known.insert(feature.clone()) {
            continue;
        }
        let table = tables.get(&package.id)?;
        let Closure { features: own, dependencies, of_dependencies } = table.closure(&feature);
        known.extend(own);
        let has = |name: &str| package.dependencies.contains(name) || package.build_dependencies.contains(name);
        for key in &dependencies {
            let name = table.crate_of(key);
            if !has(name) {
                brought.entry(name.to_owned()).or_default();
                if package.id == goal.id {
                    goal_brings.insert(name.to_owned());
                }
            }
        }
        for (key, feature) in &of_dependencies {
            let name = table.crate_of(key);
            // The crate is often there already, for the sake of another.
            match packages.iter().find(|other| other.name == name && other.id != package.id) {
                Some(dependency) if has(name) || dependencies.contains(key) => {
                    open.push((dependency, feature.clone()));
                }
                _ => {
                    if let Some(list) = brought.get_mut(name) {
                        list.insert(feature.clone());
                    }
                }
            }
        }
    }
    let mut package = goal.clone();
    package.features.extend(features.remove(goal.id.as_str())?);
    package.build_dependencies.extend(goal_brings.iter().cloned());
    package.dependencies.extend(goal_brings);
    let then = judged(&package);
    if then.iter().any(|ask| ask.kind == need.kind && ask.name == need.name) {
        return None;
    }
    let before = judged(goal);
    let mut names: BTreeSet<String> =
        then.into_iter().filter(|ask| !before.contains(ask)).map(|ask| ask.name).collect();
    for (name, features) in brought {
        if !packages.iter().any(|package| package.name == name) {
            let new = Package { name, features, has_build_script: true, ..Package::default() };
            names.extend(judged(&new).into_iter().map(|ask| ask.name));
        }
    }
    Some(names.into_iter().collect())
}

fn turn_on(chain: &Chain<'_>, index: usize, feature: &str, then_needs: Vec<String>) -> Remedy {
    let package = chain.steps[index].package;
    let (text, command) = match index {
        0 => (
            format!("enable the feature `{feature}` of `{}`", package.name),
            format!("cargo convoy build -F {feature}"),
        ),
        1 => (
            format!("enable the feature `{feature}` of `{}`", package.name),
            format!("cargo add {} --features {feature}", package.name),
        ),
        _ => (
            format!(
                "enable the feature `{feature}` of `{}` {} by adding your own dependency on it (features are shared)",
                package.name, package.version
            ),
            // Of a shorter version `cargo add` does not find the features.
            format!("cargo add {}@{} --features {feature}", package.name, without_build(&package.version)),
        ),
    };
    Remedy { kind: RemedyKind::Feature, text, command: Some(command), then_needs }
}

fn without_build(version: &str) -> &str {
    version.split('+').next().unwrap_or(version)
}

/// Where the user can turn a feature off: climbs from a package's feature to the feature of a package that depends on it
/// and turns it on, as far as that goes.
fn origin<'a>(slice: &'a Slice, package: &'a Package, feature: &str, tables: &FeatureTables) -> (&'a Package, String) {
    let packages: Vec<&Package> = slice.target.iter().chain(&slice.host).collect();
    let (mut own, mut feature) = (package, feature.to_owned());
    let mut seen = BTreeSet::new();
    while seen.insert((own.id.clone(), feature.clone())) {
        let turns_on = |parent: &Package| -> Option<String> {
            let depends = parent.dependencies.contains(&own.name) || parent.build_dependencies.contains(&own.name);
            let (table, own_table) = (tables.get(&parent.id).filter(|_| depends)?, tables.get(&own.id)?);
            let on = |candidate: &&String| {
                let closure = table.closure(candidate);
                let of_own = closure.of_dependencies.iter().filter(|(key, _)| table.crate_of(key) == own.name);
                candidate.as_str() != "default"
                    && of_own.into_iter().any(|(_, on)| own_table.closure(on).features.contains(&feature))
            };
            parent.features.iter().find(on).cloned()
        };
        let parents = packages.iter().filter_map(|parent| Some((*parent, turns_on(parent)?)));
        // Of several, the nearest to the user's own manifest.
        let Some((parent, candidate)) = parents.min_by_key(|(parent, _)| slice.path_to(parent).len()) else { break };
        (own, feature) = (parent, candidate);
    }
    (own, feature)
}

/// A feature that leads to the need can be left out; those with a word in common are what to take instead.
fn leave_out(chain: &Chain<'_>, root: bool, package: &Package, opener: &str, table: &FeatureTable) -> Remedy {
    let name = &package.name;
    let goal = chain.steps.last().map(|step| step.package.name.as_str()).unwrap_or_default();
    let after = chain.steps.iter().skip_while(|step| step.package.id != package.id).nth(1);
    let next = after.map(|step| step.package.name.as_str()).unwrap_or_default();
    let mut text = format!("disable the feature `{opener}` of `{name}`");
    let closure = table.closure(opener);
    let words: BTreeSet<&str> = opener.split(['-', '_']).filter(|word| word.len() > 2).collect();
    // One that turns on something, and not what is to be left out.
    let instead: Vec<&str> = table
        .features
        .keys()
        .filter(|feature| !package.features.contains(*feature) && feature.as_str() != opener)
        .filter(|feature| feature.split(['-', '_']).any(|word| words.contains(word)) || is_twin(opener, feature))
        .filter(|feature| {
            let other = table.closure(feature);
            let something = !other.dependencies.is_empty() || !other.of_dependencies.is_empty();
            something
                && !other.features.contains(opener)
                && other.of_dependencies.intersection(&closure.of_dependencies).next().is_none()
                && !other.dependencies.iter().any(|key| table.crate_of(key) == next)
        })
        .map(String::as_str)
        .take(4)
        .collect();
    let by_default = table.closure("default").features.contains(opener);
    if by_default {
        text += if root { " (a default feature)" } else { " (a default feature: set `default-features = false`)" };
    }
    text += &format!(", which requires `{goal}`");
    if !instead.is_empty() {
        text += &format!("; alternatives: {}", instead.join(", "));
    }
    let mut command = None;
    let direct = table.features.get("default").filter(|list| root && list.iter().any(|item| item == opener));
    if let Some(list) = direct {
        let mut kept: Vec<&str> = list.iter().map(String::as_str).filter(|item| *item != opener).collect();
        kept.extend(instead.first().filter(|_| instead.len() == 1));
        let list = if kept.is_empty() { String::new() } else { format!(" -F {}", kept.join(",")) };
        command = Some(format!("cargo convoy build --no-default-features{list}"));
    }
    Remedy { kind: RemedyKind::LeaveOut, text, command, then_needs: Vec::new() }
}

/// The two TLS stacks that crates offer for choice are called by names without a word in common.
fn is_twin(opener: &str, other: &str) -> bool {
    opener.contains("native-tls") && other.contains("rustls")
}
