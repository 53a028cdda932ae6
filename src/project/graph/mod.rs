//! `cargo metadata` → the packages and features that are active for a target, host side and target side apart.

mod read;
mod resolver;
mod select;
mod slice;
mod spec;
mod tables;
mod walk;

use std::collections::{BTreeSet, HashMap, HashSet};

use camino::{Utf8Path, Utf8PathBuf};
use guppy::PackageId;
use guppy::graph::cargo::{CargoOptions, CargoResolverVersion, CargoSet, InitialsPlatform};
use guppy::graph::{BuildTargetId, PackageGraph, PackageMetadata};
use guppy::platform::{Platform, PlatformSpec, TargetFeatures};
use serde::Deserialize;

use crate::model::request::Selection;
use crate::project::evidence::Source;
use crate::util::error::{Error, Result};
pub use resolver::Resolver;
pub use select::Bin;
pub use slice::{Package, Slice};
pub(crate) use spec::{PackageSpec, PartialVersion};
pub(crate) use tables::{Closure, FeatureTable, FeatureTables};
use walk::{Compiled, Side, Walk};

/// The whole dependency graph of a project.
#[derive(Debug)]
pub struct Graph {
    packages: PackageGraph,
    resolver: CargoResolverVersion,
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
                Error::usage(format!("target `{triple}` is not supported by this version of convoy")).because(error)
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
