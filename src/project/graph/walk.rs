//! From what is built along the dependencies that are active: what is compiled, and for which side.

use std::collections::{BTreeSet, HashMap};

use guppy::graph::feature::{FeatureLabel, FeatureSet};
use guppy::graph::{BuildTargetId, PackageLink, PackageMetadata};
use guppy::platform::{EnabledTernary, PlatformSpec};
use guppy::{DependencyKind, PackageId};

/// The side of a cross-compilation that a package is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Side {
    Target,
    Host,
}

/// A package that is compiled for one side.
pub(super) struct Compiled<'g> {
    pub side: Side,
    pub package: PackageMetadata<'g>,
    pub features: BTreeSet<&'g str>,
    pub dependencies: Vec<PackageMetadata<'g>>,
    /// Those of the build script that runs for this side.
    pub build_dependencies: Vec<PackageMetadata<'g>>,
}

/// guppy resolves the features as cargo does. Its own links do not tell apart what a package on the host depends on and
/// what its build script does, and they lead to packages that have no library, which cargo passes over.
pub(super) struct Walk<'a, 'g> {
    /// The features of all that may be compiled for the target, and what it is.
    pub target: (&'a FeatureSet<'g>, &'a PlatformSpec),
    /// The same for this machine.
    pub host: (&'a FeatureSet<'g>, &'a PlatformSpec),
}

impl<'g> Walk<'_, 'g> {
    /// The packages whose bins are built come first, then the others, each after one that depends on it.
    pub(crate) fn from(&self, roots: impl IntoIterator<Item = PackageMetadata<'g>>) -> Vec<Compiled<'g>> {
        let mut seen: HashMap<&PackageId, BTreeSet<Side>> = HashMap::new();
        let mut order = Vec::new();
        let mut reach = |side: Side, package: PackageMetadata<'g>, order: &mut Vec<_>| {
            if seen.entry(package.id()).or_default().insert(side) {
                order.push((side, package));
            }
        };
        for root in roots {
            reach(Side::Target, root, &mut order);
            // A bin beside a proc-macro.
            if root.is_proc_macro() {
                reach(Side::Host, root, &mut order);
            }
        }
        let mut all = Vec::new();
        while let Some(&(side, package)) = order.get(all.len()) {
            let compiled = self.compiled(side, package);
            for dependency in &compiled.dependencies {
                let side = if dependency.is_proc_macro() { Side::Host } else { side };
                reach(side, *dependency, &mut order);
            }
            for dependency in &compiled.build_dependencies {
                reach(Side::Host, *dependency, &mut order);
            }
            all.push(compiled);
        }
        all
    }

    fn compiled(&self, side: Side, package: PackageMetadata<'g>) -> Compiled<'g> {
        let (features, platform) = match side {
            Side::Target => self.target,
            Side::Host => self.host,
        };
        let active = |kind: DependencyKind, platform: &PlatformSpec| -> Vec<PackageMetadata<'g>> {
            package
                .direct_links()
                .filter(|link| link.to().build_target(&BuildTargetId::Library).is_some())
                .filter(|link| is_active(features, link, kind, platform))
                .map(|link| link.to())
                .collect()
        };
        let dependencies = active(DependencyKind::Normal, platform);
        let build = package.has_build_script().then(|| active(DependencyKind::Build, self.host.1));
        // The set knows every package that its own graph gave us.
        let list = features.features_for(package.id()).ok().flatten();
        Compiled {
            side,
            package,
            features: list.map(|list| list.named_features().collect()).unwrap_or_default(),
            dependencies,
            build_dependencies: build.unwrap_or_default(),
        }
    }
}

/// An optional dependency counts where it is turned on. What cannot be known, a `cfg(target_feature = …)`, counts too.
fn is_active(features: &FeatureSet<'_>, link: &PackageLink<'_>, kind: DependencyKind, platform: &PlatformSpec) -> bool {
    let status = link.req_for_kind(kind).status();
    let optional = FeatureLabel::OptionalDependency(link.dep_name());
    // An error is a dependency that is never optional.
    let turned_on = features.contains((link.from().id(), optional)).unwrap_or(false);
    let enabled = if turned_on { status.enabled_on(platform) } else { status.required_on(platform) };
    enabled != EnabledTernary::Disabled
}
