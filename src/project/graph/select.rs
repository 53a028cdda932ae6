//! What the command line selects: packages, as cargo would, and their bins.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use guppy::PackageId;
use guppy::graph::feature::{FeatureId, FeatureLabel};
use guppy::graph::{BuildTargetId, BuildTargetKind, PackageMetadata};
use serde::{Deserialize, Serialize};

use super::{Graph, PackageSpec, read};
use crate::model::request::{Features, Selection};
use crate::util::error::{Error, Result};
use crate::util::suggest::nearest;

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

impl Graph {
    /// The packages that the command line selects, as cargo would.
    pub(super) fn selected(
        &self,
        selection: &Selection,
        manifest: Option<&Utf8PathBuf>,
    ) -> Result<Vec<PackageMetadata<'_>>> {
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
    pub(super) fn builds_bin<'g>(
        &'g self,
        package: &PackageMetadata<'g>,
        selection: &Selection,
        features: &Features,
    ) -> bool {
        let active = self.root_features(package, features);
        package.build_targets().any(|target| {
            let BuildTargetId::Binary(name) = target.id() else { return false };
            let wanted = selection.bins.is_empty() || selection.bins.iter().any(|bin| bin == name);
            wanted && target.required_features().iter().all(|feature| active.contains(feature.as_str()))
        })
    }

    /// The features that the command line turns on in a selected package, in its dependencies, and in those of its build
    /// script.
    pub(super) fn initial_features<'g>(
        &'g self,
        package: &PackageMetadata<'g>,
        features: &Features,
    ) -> [Vec<FeatureId<'g>>; 3] {
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
}
