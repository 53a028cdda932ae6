//! `cargo metadata` → the packages and features that are active for a target, host side and target side apart.

mod tables;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use camino::Utf8PathBuf;
use guppy::graph::cargo::{CargoOptions, CargoResolverVersion, CargoSet};
use guppy::graph::feature::{FeatureId, FeatureLabel, FeatureSet};
use guppy::graph::{BuildTargetId, BuildTargetKind, PackageGraph, PackageLink, PackageMetadata};
use guppy::platform::{Platform, TargetFeatures};
use guppy::{CargoMetadata, PackageId};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::evidence::Source;
use crate::request::{Features, Selection};
use crate::suggest::nearest;
pub use tables::{Closure, FeatureTable, FeatureTables};

/// The whole dependency graph of a project.
#[derive(Debug)]
pub struct Graph {
    packages: PackageGraph,
    resolver: CargoResolverVersion,
}

/// A bin that will be built.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bin {
    /// Its name.
    pub name: String,
    /// The package it belongs to.
    pub package: String,
    /// That package's version.
    pub version: String,
    /// cargo's id of that package.
    pub package_id: String,
}

/// The packages that are active for one target.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// What ends in the binary.
    pub target: Vec<Package>,
    /// Build scripts' dependencies and proc-macros, on this machine.
    pub host: Vec<Package>,
    /// Every active package, as `(id, name)`.
    nodes: Vec<(String, String)>,
    /// Who brings whom: for each node the nodes that depend on it.
    parents: Vec<Vec<usize>>,
    index: HashMap<String, usize>,
    /// The selected packages.
    roots: Vec<usize>,
}

/// One active package.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// cargo's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its folder.
    pub dir: Utf8PathBuf,
    /// Its `links` key.
    pub links: Option<String>,
    /// Whether it has a build script.
    pub has_build_script: bool,
    /// Whether it is a proc-macro.
    pub is_proc_macro: bool,
    /// The features that are on.
    pub features: BTreeSet<String>,
    /// Its active build-dependencies, by crate name.
    pub build_dependencies: BTreeSet<String>,
    /// Its active dependencies, by crate name.
    pub dependencies: BTreeSet<String>,
}

impl Slice {
    fn node(&mut self, id: &str, packages: &PackageGraph) -> usize {
        if let Some(index) = self.index.get(id) {
            return *index;
        }
        let name = packages.metadata(&PackageId::new(id)).map(|package| package.name().to_owned());
        self.nodes.push((id.to_owned(), name.unwrap_or_default()));
        self.parents.push(Vec::new());
        self.index.insert(id.to_owned(), self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    /// The shortest dependency path from a selected package, by names.
    pub fn path_to(&self, package: &Package) -> Vec<String> {
        self.paths_to(&package.id, 1).pop().unwrap_or_else(|| vec![package.name.clone()])
    }

    /// Dependency paths from selected packages to the package of this id, by names, the shortest first.
    pub fn paths_to(&self, id: &str, limit: usize) -> Vec<Vec<String>> {
        let names = |path: Vec<usize>| path.iter().map(|node| self.nodes[*node].1.clone()).collect();
        self.node_paths_to(id, limit).into_iter().map(names).collect()
    }

    /// The same, by ids.
    pub fn id_paths_to(&self, id: &str, limit: usize) -> Vec<Vec<String>> {
        let ids = |path: Vec<usize>| path.iter().map(|node| self.nodes[*node].0.clone()).collect();
        self.node_paths_to(id, limit).into_iter().map(ids).collect()
    }

    fn node_paths_to(&self, id: &str, limit: usize) -> Vec<Vec<usize>> {
        let Some(&start) = self.index.get(id) else { return Vec::new() };
        let mut found = Vec::new();
        let mut queue = VecDeque::from([vec![start]]);
        // In a large graph the number of paths grows without bound; the shortest come first.
        let mut steps = 0;
        while let Some(path) = queue.pop_front() {
            let Some(&last) = path.last() else { continue };
            if self.roots.contains(&last) {
                found.push(path.iter().rev().copied().collect());
                if found.len() == limit {
                    break;
                }
                continue;
            }
            for parent in &self.parents[last] {
                if !path.contains(parent) && steps < 20_000 {
                    steps += 1;
                    queue.push_back(path.iter().copied().chain([*parent]).collect());
                }
            }
        }
        found
    }
}

impl Graph {
    /// Reads the output of `cargo metadata`.
    pub fn from_metadata(json: &str) -> Result<Self> {
        let broken = |error: guppy::Error| Error::work("could not read what `cargo metadata` printed").because(error);
        let metadata = CargoMetadata::parse_json(json).map_err(broken)?;
        let packages = metadata.build_graph().map_err(broken)?;
        Ok(Self { packages, resolver: CargoResolverVersion::V3 })
    }

    /// With the resolver that the workspace's manifest chooses; `cargo metadata` does not tell it.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = match resolver {
            Resolver::V1 => CargoResolverVersion::V1,
            Resolver::V2 => CargoResolverVersion::V2,
            Resolver::V3 => CargoResolverVersion::V3,
        };
        self
    }

    /// The workspace's folder.
    pub fn workspace_root(&self) -> Utf8PathBuf {
        self.packages.workspace().root().to_owned()
    }

    /// Where cargo would build.
    pub fn target_directory(&self) -> Utf8PathBuf {
        self.packages.workspace().target_directory().to_owned()
    }

    /// The manifests whose change changes the graph: those of the workspace and of its path dependencies.
    pub fn local_manifests(&self) -> Vec<Utf8PathBuf> {
        self.packages
            .packages()
            .filter(|package| package.source().is_local())
            .map(|package| package.manifest_path().to_owned())
            .collect()
    }

    /// The packages that the command line selects, as cargo would.
    fn selected(&self, selection: &Selection, manifest: Option<&Utf8PathBuf>) -> Result<Vec<PackageMetadata<'_>>> {
        let workspace = self.packages.workspace();
        if selection.workspace {
            return Ok(workspace.iter().collect());
        }
        if !selection.packages.is_empty() {
            return selection
                .packages
                .iter()
                .map(|spec| {
                    let name = spec.split('@').next().unwrap_or(spec);
                    workspace.member_by_name(name).map_err(|_| {
                        let near = nearest(name, workspace.iter().map(|member| member.name()));
                        let error = Error::usage(format!("package `{spec}` is not a member of the workspace"));
                        match near {
                            Some(near) => error.hint(format!("did you mean `{near}`?")),
                            None => error,
                        }
                    })
                })
                .collect();
        }
        // cargo takes the member whose manifest it was pointed to; at the root, the workspace's default members.
        let at_root = manifest.is_none_or(|manifest| manifest.parent() == Some(workspace.root()));
        let member = manifest.and_then(|manifest| workspace.iter().find(|m| m.manifest_path() == manifest));
        if let Some(member) = member.filter(|_| !at_root) {
            return Ok(vec![member]);
        }
        Ok(workspace.default_members().collect())
    }

    /// The bins that will be built, in order of package and name.
    pub fn bins(&self, selection: &Selection, manifest: Option<&Utf8PathBuf>) -> Result<Vec<Bin>> {
        let selected = self.selected(selection, manifest)?;
        let mut all = Vec::new();
        let mut lacking = Vec::new();
        for package in &selected {
            let active = self.root_features(package, &selection.features);
            for target in package.build_targets().filter(|t| matches!(t.kind(), BuildTargetKind::Binary)) {
                let BuildTargetId::Binary(name) = target.id() else { continue };
                // cargo skips a bin whose required features are off, unless it is asked for by name.
                let missing: Vec<&String> =
                    target.required_features().iter().filter(|feature| !active.contains(feature.as_str())).collect();
                let bin = Bin {
                    name: name.to_owned(),
                    package: package.name().to_owned(),
                    version: package.version().to_string(),
                    package_id: package.id().repr().to_owned(),
                };
                if missing.is_empty() || selection.features.all { all.push(bin) } else { lacking.push((bin, missing)) }
            }
        }
        if !selection.bins.is_empty() {
            for name in &selection.bins {
                if all.iter().any(|bin| &bin.name == name) {
                    continue;
                }
                if let Some((bin, missing)) = lacking.iter().find(|(bin, _)| &bin.name == name) {
                    let list: Vec<&str> = missing.iter().map(|f| f.as_str()).collect();
                    return Err(Error::usage(format!(
                        "bin `{}` of package `{}` requires the features {}",
                        bin.name,
                        bin.package,
                        list.join(", ")
                    ))
                    .hint(format!("add `-F {}`", list.join(","))));
                }
                let error = Error::usage(format!("no bin `{name}` in the selected packages"));
                return Err(match nearest(name, all.iter().map(|bin| bin.name.as_str())) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error,
                });
            }
            all.retain(|bin| selection.bins.contains(&bin.name));
        }
        if all.is_empty() {
            let names: Vec<&str> = selected.iter().map(PackageMetadata::name).collect();
            let error = Error::usage(format!("no bin to build in {}", names.join(", ")));
            return Err(match lacking.first() {
                Some((bin, missing)) => {
                    let list: Vec<&str> = missing.iter().map(|f| f.as_str()).collect();
                    error.hint(format!("bin `{}` requires `-F {}`", bin.name, list.join(",")))
                }
                None => error.hint("cargo convoy builds binaries: add a src/main.rs, or choose a package with `-p`"),
            });
        }
        all.sort();
        let mut by_name: BTreeMap<&str, &Bin> = BTreeMap::new();
        for bin in &all {
            if let Some(other) = by_name.insert(&bin.name, bin) {
                return Err(Error::usage(format!(
                    "two bins are called `{}`: one of package `{}` and one of package `{}`",
                    bin.name, other.package, bin.package
                ))
                .hint("choose one package with `-p`, or rename a bin"));
            }
        }
        Ok(all)
    }

    /// The features of a workspace package that the command line turns on, with all they imply inside the package.
    fn root_features<'g>(&'g self, package: &PackageMetadata<'g>, features: &Features) -> BTreeSet<&'g str> {
        let wanted = self.initial_features(package, features);
        let query = self.packages.feature_graph().query_forward(wanted.iter().copied());
        let set = match query {
            Ok(query) => query.resolve(),
            Err(_) => return BTreeSet::new(),
        };
        set.features_for(package.id())
            .ok()
            .flatten()
            .map(|list| list.named_features().collect::<BTreeSet<_>>())
            .unwrap_or_default()
    }

    fn initial_features<'g>(&'g self, package: &PackageMetadata<'g>, features: &Features) -> Vec<FeatureId<'g>> {
        let graph = self.packages.feature_graph();
        let mut wanted = vec![FeatureId::base(package.id())];
        if features.all {
            if let Ok(all) = graph.all_features_for(package.id()) {
                wanted.extend(&all);
            }
            return wanted;
        }
        if !features.no_default && package.has_default_feature() {
            wanted.push(package.default_feature_id());
        }
        for word in &features.list {
            let name = match word.split_once('/') {
                Some((owner, name)) if owner == package.name() => name,
                // `dependency/feature`: cargo judges it; the base feature of the package stands.
                Some(_) => continue,
                None => word.as_str(),
            };
            let owned = package.named_features().find(|feature| *feature == name);
            let label = owned.map(FeatureLabel::Named).or_else(|| {
                package
                    .direct_links()
                    .find(|link| link.dep_name() == name)
                    .map(|link| FeatureLabel::OptionalDependency(link.dep_name()))
            });
            let id = label.map(|label| FeatureId::new(package.id(), label));
            wanted.extend(id.filter(|id| graph.metadata(*id).is_ok()));
        }
        wanted
    }

    /// Where the packages of these ids have their build scripts and sources. `checksums` as [`checksums`] reads them.
    pub fn sources(&self, ids: &[&str], checksums: &HashMap<(String, String), String>) -> Vec<Source> {
        let source = |id: &&str| {
            let package = self.packages.metadata(&PackageId::new(*id)).ok()?;
            let mut build_script = None;
            let mut roots = Vec::new();
            for target in package.build_targets() {
                match target.id() {
                    BuildTargetId::BuildScript => build_script = Some(target.path().to_owned()),
                    BuildTargetId::Library | BuildTargetId::Binary(_) => roots.push(target.path().to_owned()),
                    _ => {}
                }
            }
            let (name, version) = (package.name().to_owned(), package.version().to_string());
            let registry = package.source().is_crates_io() || package.source().external_source().is_some();
            let checksum = checksums.get(&(name.clone(), version.clone())).filter(|_| registry).cloned();
            let dir = package.manifest_path().parent().map(Utf8PathBuf::from).unwrap_or_default();
            Some(Source { id: (*id).to_owned(), name, version, dir, build_script, roots, checksum })
        };
        ids.iter().filter_map(source).collect()
    }

    /// The packages that are active for a target.
    pub fn slice(
        &self,
        selection: &Selection,
        manifest: Option<&Utf8PathBuf>,
        extra_features: &[String],
        target: &str,
        host: &str,
    ) -> Result<Slice> {
        let platform = |triple: &str| {
            Platform::new(triple.to_owned(), TargetFeatures::Unknown)
                .map_err(|error| Error::usage(format!("target `{triple}` is not known to this version")).because(error))
        };
        let mut features = selection.features.clone();
        features.list.extend(extra_features.iter().cloned());
        let graph = self.packages.feature_graph();
        let mut initial = Vec::new();
        let roots = self.selected(selection, manifest)?;
        for package in &roots {
            initial.extend(self.initial_features(package, &features));
        }
        let broken = |error: guppy::Error| Error::work("could not resolve the dependency graph").because(error);
        let initials: FeatureSet<'_> = graph.resolve_ids(initial).map_err(broken)?;
        // Features of other workspace members are not unified in: cargo builds the selection alone.
        let mut options = CargoOptions::new();
        options
            .set_resolver(self.resolver)
            .set_include_dev(false)
            .set_host_platform(platform(host)?)
            .set_target_platform(platform(target)?);
        let set = CargoSet::new(initials, graph.resolve_none(), &options).map_err(broken)?;

        let mut build_dependencies: HashMap<&PackageId, BTreeSet<String>> = HashMap::new();
        for link in set.build_dep_links() {
            build_dependencies.entry(link.from().id()).or_default().insert(link.to().name().to_owned());
        }
        let dependencies = |links: &mut dyn Iterator<Item = PackageLink<'_>>| {
            let mut by_package: HashMap<String, BTreeSet<String>> = HashMap::new();
            for link in links {
                let from = link.from().id().repr().to_owned();
                by_package.entry(from).or_default().insert(link.to().name().to_owned());
            }
            by_package
        };
        let describe = |features: &FeatureSet<'_>, dependencies: &HashMap<String, BTreeSet<String>>| -> Vec<Package> {
            features
                .packages_with_features(guppy::graph::DependencyDirection::Forward)
                .map(|list| {
                    let package = list.package();
                    Package {
                        id: package.id().repr().to_owned(),
                        name: package.name().to_owned(),
                        version: package.version().to_string(),
                        dir: package.manifest_path().parent().map(Utf8PathBuf::from).unwrap_or_default(),
                        links: package.links().map(str::to_owned),
                        has_build_script: package.has_build_script(),
                        is_proc_macro: package.is_proc_macro(),
                        features: list.named_features().map(str::to_owned).collect(),
                        build_dependencies: build_dependencies.get(package.id()).cloned().unwrap_or_default(),
                        dependencies: dependencies.get(package.id().repr()).cloned().unwrap_or_default(),
                    }
                })
                .collect()
        };
        let links = set
            .target_links()
            .chain(set.host_links())
            .chain(set.build_dep_links())
            .chain(set.proc_macro_links())
            .map(|link| (link.from().id(), link.to().id()));
        let mut slice = Slice {
            target: describe(set.target_features(), &dependencies(&mut set.target_links())),
            host: describe(set.host_features(), &dependencies(&mut set.host_links())),
            ..Slice::default()
        };
        for (from, to) in links {
            let [from, to] = [from, to].map(|id| slice.node(id.repr(), &self.packages));
            if !slice.parents[to].contains(&from) {
                slice.parents[to].push(from);
            }
        }
        for root in &roots {
            let node = slice.node(root.id().repr(), &self.packages);
            slice.roots.push(node);
        }
        Ok(slice)
    }
}

/// The registry's checksums in a `Cargo.lock`, by name and version; a name and version that two registries have is left
/// out.
pub fn checksums(lock: &str) -> HashMap<(String, String), String> {
    #[derive(Deserialize)]
    struct Lock {
        #[serde(default)]
        package: Vec<Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        name: String,
        version: String,
        checksum: Option<String>,
    }
    let Ok(lock) = toml::from_str::<Lock>(lock) else { return HashMap::new() };
    let mut found: HashMap<(String, String), Option<String>> = HashMap::new();
    for Locked { name, version, checksum } in lock.package {
        found.entry((name, version)).and_modify(|twice| *twice = None).or_insert(checksum);
    }
    found.into_iter().filter_map(|(key, checksum)| Some((key, checksum?))).collect()
}

/// cargo's feature resolver, as the workspace's manifest chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// Edition 2015 and 2018.
    V1,
    /// Edition 2021.
    V2,
    /// Edition 2024.
    V3,
}

impl Resolver {
    /// Reads it from the workspace root's manifest: `resolver`, else what the root package's edition implies.
    pub fn of_manifest(text: &str) -> Resolver {
        #[derive(serde::Deserialize)]
        struct Manifest {
            workspace: Option<Section>,
            package: Option<Section>,
        }
        #[derive(serde::Deserialize)]
        struct Section {
            resolver: Option<String>,
            edition: Option<toml::Value>,
            package: Option<Inherited>,
        }
        #[derive(serde::Deserialize)]
        struct Inherited {
            edition: Option<String>,
        }
        let Ok(manifest) = toml::from_str::<Manifest>(text) else { return Resolver::V3 };
        let sections = [&manifest.workspace, &manifest.package];
        let explicit = sections.iter().find_map(|section| section.as_ref()?.resolver.clone());
        let edition = || {
            let edition = manifest.package.as_ref()?.edition.as_ref()?;
            let inherited = || manifest.workspace.as_ref()?.package.as_ref()?.edition.clone();
            edition.as_str().map(str::to_owned).or_else(inherited)
        };
        match explicit.as_deref() {
            Some("1") => Resolver::V1,
            Some("2") => Resolver::V2,
            Some(_) => Resolver::V3,
            None => match edition().as_deref() {
                Some("2021") => Resolver::V2,
                Some(newer) if newer > "2021" => Resolver::V3,
                _ => Resolver::V1,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Resolver;

    #[test]
    fn the_resolver_is_read_as_cargo_reads_it() {
        for (text, resolver) in [
            ("[package]\nname='a'", Resolver::V1),
            ("[package]\nedition='2021'", Resolver::V2),
            ("[package]\nedition='2024'", Resolver::V3),
            ("[package]\nedition='2024'\nresolver='1'", Resolver::V1),
            ("[workspace]\nresolver='2'", Resolver::V2),
            ("[workspace]\nmembers=[]", Resolver::V1),
            ("[workspace.package]\nedition='2024'\n[package]\nedition.workspace=true", Resolver::V3),
        ] {
            assert_eq!(Resolver::of_manifest(text), resolver, "{text}");
        }
    }
}
