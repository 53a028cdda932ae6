//! `cargo metadata` → the packages and features that are active for a target, host side and target side apart.

mod read;
mod spec;
mod tables;
mod walk;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};

use camino::{Utf8Path, Utf8PathBuf};
use guppy::PackageId;
use guppy::graph::cargo::{CargoOptions, CargoResolverVersion, CargoSet, InitialsPlatform};
use guppy::graph::feature::{FeatureId, FeatureLabel};
use guppy::graph::{BuildTargetId, BuildTargetKind, PackageGraph, PackageMetadata};
use guppy::platform::{Platform, PlatformSpec, TargetFeatures};
use serde::{Deserialize, Serialize};

use crate::model::request::{Features, Selection};
use crate::project::evidence::Source;
use crate::util::error::{Error, Result};
use crate::util::suggest::nearest;
pub(crate) use spec::{PackageSpec, PartialVersion};
pub(crate) use tables::{Closure, FeatureTable, FeatureTables};
use walk::{Compiled, Side, Walk};

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
    /// The ids of the cells whose own features turn it on; none where it is built for every cell.
    pub only: Option<BTreeSet<String>>,
}

impl Bin {
    /// Whether it is built for a cell.
    pub fn is_of(&self, cell: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(cell))
    }
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
    /// For each node the least number of steps from a selected package.
    steps: Vec<usize>,
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
        let steps = &self.steps;
        let mut found = Vec::new();
        // The number of paths grows without bound in a large graph. A path that is begun is worth its own steps and the
        // least that are missing, so that the shortest is found first and on the way to it nothing else is followed.
        let mut queue = BinaryHeap::from([Reverse((steps[start], vec![start]))]);
        let mut tries = 0;
        while let Some(Reverse((_, path))) = queue.pop() {
            let Some(&last) = path.last() else { continue };
            if steps[last] == 0 {
                found.push(path.iter().rev().copied().collect());
                if found.len() == limit {
                    break;
                }
                continue;
            }
            for parent in &self.parents[last] {
                if !path.contains(parent) && tries < 20_000 {
                    tries += 1;
                    let path: Vec<usize> = path.iter().copied().chain([*parent]).collect();
                    queue.push(Reverse((steps[*parent].saturating_add(path.len()), path)));
                }
            }
        }
        found
    }

    /// For each node the length of the shortest path from a selected package.
    fn steps_from(&self, roots: &[usize]) -> Vec<usize> {
        let mut children = vec![Vec::new(); self.nodes.len()];
        for (child, parents) in self.parents.iter().enumerate() {
            parents.iter().for_each(|parent| children[*parent].push(child));
        }
        let mut steps = vec![usize::MAX; self.nodes.len()];
        let mut queue: VecDeque<usize> = roots.iter().copied().collect();
        roots.iter().for_each(|root| steps[*root] = 0);
        while let Some(node) = queue.pop_front() {
            for child in &children[node] {
                if steps[*child] == usize::MAX {
                    steps[*child] = steps[node] + 1;
                    queue.push_back(*child);
                }
            }
        }
        steps
    }
}

impl Graph {
    /// Reads the output of `cargo metadata`.
    pub fn from_metadata(json: &str) -> Result<Self> {
        Ok(Self { packages: read::packages(json)?, resolver: CargoResolverVersion::V3 })
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

    /// The names of the workspace's packages and of its path dependencies.
    pub fn local_names(&self) -> BTreeSet<String> {
        let local = self.packages.packages().filter(|package| package.source().is_local());
        local.map(|package| package.name().to_owned()).collect()
    }

    /// The folders of the workspace's members.
    pub fn member_dirs(&self) -> impl Iterator<Item = &Utf8Path> {
        self.packages.workspace().iter().filter_map(|member| member.manifest_path().parent())
    }

    /// The names of all packages, for whatever target.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.packages.packages().map(|package| package.name())
    }

    /// The packages that the command line selects, as cargo would.
    fn selected(&self, selection: &Selection, manifest: Option<&Utf8PathBuf>) -> Result<Vec<PackageMetadata<'_>>> {
        let workspace = self.packages.workspace();
        if selection.workspace {
            let excluded = self.members(&selection.exclude)?;
            let excluded: BTreeSet<&PackageId> = excluded.iter().map(PackageMetadata::id).collect();
            return Ok(workspace.iter().filter(|member| !excluded.contains(member.id())).collect());
        }
        if !selection.packages.is_empty() {
            return self.members(&selection.packages);
        }
        // cargo takes the member whose manifest it was pointed to; at the root, the workspace's default members.
        let at_root = manifest.is_none_or(|manifest| manifest.parent() == Some(workspace.root()));
        let member = manifest.and_then(|manifest| workspace.iter().find(|m| m.manifest_path() == manifest));
        if let Some(member) = member.filter(|_| !at_root) {
            return Ok(vec![member]);
        }
        Ok(workspace.default_members().collect())
    }

    /// The members that some specifications name, each once. Every one must name a member.
    fn members(&self, specs: &[String]) -> Result<Vec<PackageMetadata<'_>>> {
        let workspace = self.packages.workspace();
        let mut found: Vec<PackageMetadata<'_>> = Vec::new();
        for text in specs {
            let spec = PackageSpec::parse(text).map_err(|why| Error::usage(format!("package `{text}` {why}")))?;
            let means =
                |member: &PackageMetadata<'_>| spec.matches(member.name(), member.version(), member.id().repr());
            let before = found.len();
            let mut any = false;
            for member in workspace.iter().filter(means) {
                any = true;
                if !found[..before].iter().any(|other| other.id() == member.id()) {
                    found.push(member);
                }
            }
            if !any {
                return Err(self.no_member(text, &spec));
            }
        }
        Ok(found)
    }

    fn no_member(&self, text: &str, spec: &PackageSpec) -> Error {
        let workspace = self.packages.workspace();
        let other = workspace.iter().find(|member| spec.means_another_version_of(member.name(), member.id().repr()));
        if let Some(other) = other {
            let (name, version) = (other.name(), other.version());
            return Error::usage(format!(
                "package `{text}` is not a member of the workspace: `{name}` has version {version}"
            ))
            .hint(format!("use `{name}` or `{name}@{version}`"));
        }
        let error = Error::usage(format!("package `{text}` is not a member of the workspace"));
        let near = spec.name().and_then(|name| nearest(name, workspace.iter().map(|member| member.name())));
        match near {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        }
    }

    /// The manifests of the packages that the command line selects.
    pub fn selected_manifests(
        &self,
        selection: &Selection,
        manifest: Option<&Utf8PathBuf>,
    ) -> Result<Vec<Utf8PathBuf>> {
        let selected = self.selected(selection, manifest)?;
        Ok(selected.iter().map(|package| package.manifest_path().to_owned()).collect())
    }

    /// The bins that will be built, in order of package and name. `own`: the features that a cell has besides.
    pub fn bins(
        &self,
        selection: &Selection,
        manifest: Option<&Utf8PathBuf>,
        own: &[(String, Vec<String>)],
    ) -> Result<Vec<Bin>> {
        let selected = self.selected(selection, manifest)?;
        let mut all = Vec::new();
        let mut lacking = Vec::new();
        for package in &selected {
            let active = self.root_features(package, &selection.features);
            let of_cells = own.iter().map(|(cell, more)| {
                let mut features = selection.features.clone();
                features.list.extend(more.iter().cloned());
                (cell, self.root_features(package, &features))
            });
            let of_cells: Vec<(&String, BTreeSet<&str>)> = of_cells.collect();
            for target in package.build_targets().filter(|t| matches!(t.kind(), BuildTargetKind::Binary)) {
                let BuildTargetId::Binary(name) = target.id() else { continue };
                // cargo skips a bin whose required features are off, unless it is asked for by name.
                let missing: Vec<&String> =
                    target.required_features().iter().filter(|feature| !active.contains(feature.as_str())).collect();
                let mut bin = Bin {
                    name: name.to_owned(),
                    package: package.name().to_owned(),
                    version: package.version().to_string(),
                    package_id: package.id().repr().to_owned(),
                    only: None,
                };
                let turned_on =
                    |active: &BTreeSet<&str>| missing.iter().all(|feature| active.contains(feature.as_str()));
                let only: BTreeSet<String> =
                    of_cells.iter().filter(|(_, active)| turned_on(active)).map(|(cell, _)| (*cell).clone()).collect();
                if missing.is_empty() || selection.features.all {
                    all.push(bin);
                } else if !only.is_empty() {
                    bin.only = Some(only);
                    all.push(bin);
                } else {
                    lacking.push((bin, missing));
                }
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
                        "binary `{}` of package `{}` requires the features {}",
                        bin.name,
                        bin.package,
                        list.join(", ")
                    ))
                    .hint(format!("add `-F {}`", list.join(","))));
                }
                let error = Error::usage(format!("no binary named `{name}` in the selected packages"));
                return Err(match nearest(name, all.iter().map(|bin| bin.name.as_str())) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error,
                });
            }
            all.retain(|bin| selection.bins.contains(&bin.name));
        }
        if all.is_empty() {
            let names: Vec<&str> = selected.iter().map(PackageMetadata::name).collect();
            let error = Error::usage(format!("no binaries to build in {}", names.join(", ")));
            return Err(match lacking.first() {
                Some((bin, missing)) => {
                    let list: Vec<&str> = missing.iter().map(|f| f.as_str()).collect();
                    error.hint(format!("add `-F {1}`, which binary `{0}` requires", bin.name, list.join(",")))
                }
                None => error.hint("add a `src/main.rs`, or select another package with `-p`"),
            });
        }
        all.sort();
        let mut by_name: BTreeMap<&str, &Bin> = BTreeMap::new();
        for bin in &all {
            if let Some(other) = by_name.insert(&bin.name, bin) {
                return Err(Error::usage(format!(
                    "binary `{}` is defined twice: in package `{}` and in package `{}`",
                    bin.name, other.package, bin.package
                ))
                .hint("select one package with `-p`, or rename a binary"));
            }
        }
        Ok(all)
    }

    /// The features of a workspace package that the command line turns on, with all they imply inside the package.
    fn root_features<'g>(&'g self, package: &PackageMetadata<'g>, features: &Features) -> BTreeSet<&'g str> {
        let [wanted, ..] = self.initial_features(package, features);
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

    /// Whether a bin of a selected package is built.
    fn builds_bin<'g>(&'g self, package: &PackageMetadata<'g>, selection: &Selection, features: &Features) -> bool {
        let active = self.root_features(package, features);
        package.build_targets().any(|target| {
            let BuildTargetId::Binary(name) = target.id() else { return false };
            let wanted = selection.bins.is_empty() || selection.bins.iter().any(|bin| bin == name);
            wanted && target.required_features().iter().all(|feature| active.contains(feature.as_str()))
        })
    }

    /// The features that the command line turns on in a selected package, in its dependencies, and in those of its build
    /// script.
    fn initial_features<'g>(&'g self, package: &PackageMetadata<'g>, features: &Features) -> [Vec<FeatureId<'g>>; 3] {
        let graph = self.packages.feature_graph();
        let mut wanted = vec![FeatureId::base(package.id())];
        let [mut of_dependencies, mut of_build_dependencies] = [Vec::new(), Vec::new()];
        if features.all {
            let named = package.named_features().filter(|feature| !feature.starts_with(read::OURS));
            wanted.extend(named.map(|feature| FeatureId::new(package.id(), FeatureLabel::Named(feature))));
        } else if !features.no_default && package.has_default_feature() {
            wanted.push(package.default_feature_id());
        }
        for word in &features.list {
            let (dependency, name) = match word.split_once('/') {
                Some((owner, name)) if owner == package.name() => (None, name),
                Some((dependency, name)) => (Some(dependency), name),
                None => (None, word.as_str()),
            };
            let Some(dependency) = dependency else {
                let named = package.named_features().find(|feature| *feature == name).map(FeatureLabel::Named);
                wanted.extend(named.map(|label| FeatureId::new(package.id(), label)));
                continue;
            };
            // A `?` turns the feature on where the dependency is on already; which ones are is not known yet.
            let (dependency, weak) = dependency.strip_suffix('?').map_or((dependency, false), |name| (name, true));
            for link in package.direct_links().filter(|link| link.dep_name() == dependency && !link.dev_only()) {
                let dependency = link.dep_name();
                let own = [FeatureLabel::OptionalDependency(dependency), FeatureLabel::Named(dependency)];
                wanted.extend(own.map(|label| FeatureId::new(package.id(), label)).into_iter().filter(|_| !weak));
                let to = link.to();
                let named = to.named_features().find(|feature| *feature == name).map(FeatureLabel::Named);
                let named = named.map(|label| FeatureId::new(to.id(), label));
                of_dependencies.extend(named.filter(|_| link.normal().is_present()));
                of_build_dependencies.extend(named.filter(|_| link.build().is_present()));
            }
        }
        // What is not there, cargo has judged.
        wanted.retain(|id| graph.metadata(*id).is_ok());
        [wanted, of_dependencies, of_build_dependencies]
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
            let root = self.packages.workspace().root();
            let bounds = if package.source().is_local() && dir.starts_with(root) { root } else { checkout(&dir) };
            let bounds = bounds.to_owned();
            Some(Source { id: (*id).to_owned(), name, version, dir, bounds, build_script, roots, checksum })
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
            Platform::new(triple.to_owned(), TargetFeatures::Unknown).map(PlatformSpec::from).map_err(|error| {
                Error::usage(format!("target `{triple}` is not supported by this version of cargo-convoy"))
                    .because(error)
            })
        };
        let [target, host] = [platform(target)?, platform(host)?];
        let mut features = selection.features.clone();
        features.list.extend(extra_features.iter().cloned());
        let graph = self.packages.feature_graph();
        // The features of all that is selected are unified, those of other members are not. A selected package without
        // a bin is compiled only where another one depends on it.
        let [mut initials, mut unified, mut of_build] = [Vec::new(), Vec::new(), Vec::new()];
        let mut roots = Vec::new();
        for package in self.selected(selection, manifest)? {
            let [own, of_dependencies, of_build_dependencies] = self.initial_features(&package, &features);
            unified.extend(of_dependencies);
            of_build.extend(of_build_dependencies);
            if self.builds_bin(&package, selection, &features) {
                roots.push(package);
                initials.extend(own);
            } else {
                unified.extend(own);
            }
        }
        let broken = |error: guppy::Error| Error::work("could not resolve the dependency graph").because(error);
        let initials = graph.resolve_ids(initials).map_err(broken)?;
        let unified = graph.resolve_ids(unified).map_err(broken)?;
        let of_build = graph.resolve_ids(of_build).map_err(broken)?;
        let mut options = CargoOptions::new();
        options
            .set_resolver(self.resolver)
            .set_include_dev(false)
            .set_initials_platform(InitialsPlatform::ProcMacrosOnTarget)
            .set_host_platform(host.clone())
            .set_target_platform(target.clone());
        let set = CargoSet::new(initials, unified, &options).map_err(broken)?;
        options.set_initials_platform(InitialsPlatform::Host);
        let of_build = CargoSet::new(of_build, graph.resolve_none(), &options).map_err(broken)?;
        let on_host = set.host_features().union(of_build.host_features());

        let walk = Walk { target: (set.target_features(), &target), host: (&on_host, &host) };
        let mut slice = Slice::default();
        // A package that is compiled for both sides comes twice.
        let mut edges = HashSet::new();
        for compiled in walk.from(roots.iter().copied()) {
            let Compiled { side, package, features, dependencies, build_dependencies } = compiled;
            let node = slice.node(package.id().repr(), &self.packages);
            for dependency in dependencies.iter().chain(&build_dependencies) {
                let dependency = slice.node(dependency.id().repr(), &self.packages);
                if edges.insert((node, dependency)) {
                    slice.parents[dependency].push(node);
                }
            }
            let names = |packages: &[PackageMetadata<'_>]| packages.iter().map(|p| p.name().to_owned()).collect();
            let packages = match side {
                Side::Target => &mut slice.target,
                Side::Host => &mut slice.host,
            };
            packages.push(Package {
                id: package.id().repr().to_owned(),
                name: package.name().to_owned(),
                version: package.version().to_string(),
                dir: package.manifest_path().parent().map(Utf8PathBuf::from).unwrap_or_default(),
                links: package.links().map(str::to_owned),
                has_build_script: package.has_build_script(),
                is_proc_macro: package.is_proc_macro(),
                features: features.into_iter().map(str::to_owned).collect(),
                build_dependencies: names(&build_dependencies),
                dependencies: names(&dependencies),
            });
        }
        let roots: Vec<usize> = roots.iter().map(|root| slice.node(root.id().repr(), &self.packages)).collect();
        slice.steps = slice.steps_from(&roots);
        Ok(slice)
    }
}

/// The folder that cargo checked the repository of a package out into; the package's own where it is of no repository. cargo's
/// own folder has such as `git/checkouts/NAME-HASH/REVISION`.
fn checkout(dir: &Utf8Path) -> &Utf8Path {
    let is_checkout = |dir: &&Utf8Path| {
        dir.parent().and_then(Utf8Path::parent).is_some_and(|checkouts| checkouts.ends_with("git/checkouts"))
    };
    dir.ancestors().find(is_checkout).unwrap_or(dir)
}

/// The registry's checksums in a `Cargo.lock`, by name and version; a name and version that two registries have is left
/// out.
pub(crate) fn checksums(lock: &str) -> HashMap<(String, String), String> {
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
