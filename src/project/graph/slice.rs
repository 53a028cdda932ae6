//! The active packages of one target, and the paths that lead to them.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};

use camino::Utf8PathBuf;
use guppy::PackageId;
use guppy::graph::PackageGraph;

/// The packages that are active for one target.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// What ends in the binary.
    pub target: Vec<Package>,
    /// Build scripts' dependencies and proc-macros, on this machine.
    pub host: Vec<Package>,
    /// Every active package, as `(id, name)`.
    nodes: Vec<(String, String)>,
    /// For each node, the nodes that depend on it.
    pub(super) parents: Vec<Vec<usize>>,
    index: HashMap<String, usize>,
    /// For each node the least number of steps from a selected package.
    pub(super) steps: Vec<usize>,
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
    pub(super) fn node(&mut self, id: &str, packages: &PackageGraph) -> usize {
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
    pub(super) fn steps_from(&self, roots: &[usize]) -> Vec<usize> {
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
