//! The graph against cargo's own: what `Graph::slice` says of a target, and what `cargo build --unit-graph` would
//! compile for it. For every package: on which side, with which features, with which dependencies, and whether its
//! build script runs.
//!
//! Real programs, with the `Cargo.lock` that they are published with. Three run always, the many with
//! `cargo test --test project unit_graph -- --ignored`; `CONVOY_TEST_PROGRAMS=bat,uv` chooses among them.

mod workspace;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use crate::support::{Done, environment, require, workspace};
use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::model::request::Selection;
use cargo_convoy::project::graph::{Graph, Package, Resolver};
use serde::Deserialize;

const TARGETS: [&str; 5] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "armv7-unknown-linux-gnueabihf",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-gnu",
];

/// Proc-macros, dependencies of one platform, and build-dependencies whose features are apart from the target's.
const FEW: [(&str, &str); 3] = [("hexyl", "0.17.0"), ("zoxide", "0.10.0"), ("lsd", "1.2.0")];

/// Different resolvers, sizes, and ways to depend on C and on one platform.
const MANY: [(&str, &str); 36] = [
    ("ripgrep", "15.2.0"),
    ("nu", "0.115.1"),
    ("du-dust", "1.2.7"),
    ("bat", "0.26.1"),
    ("fd-find", "10.5.0"),
    ("mcfly", "0.9.4"),
    ("zeekstd_cli", "0.4.5"),
    ("jwt-cli", "6.2.0"),
    ("starship", "1.27.0"),
    ("just", "1.59.0"),
    ("tokei", "15.0.0"),
    ("hyperfine", "1.20.0"),
    ("git-delta", "0.20.1"),
    ("bottom", "0.15.0"),
    ("procs", "0.14.12"),
    ("sd", "1.0.0"),
    ("xh", "0.26.3"),
    ("cargo-nextest", "0.9.151"),
    ("cargo-deny", "0.20.2"),
    ("cargo-edit", "0.13.13"),
    ("cargo-zigbuild", "0.24.1"),
    ("cross", "0.2.5"),
    ("mdbook", "0.5.4"),
    ("miniserve", "0.35.0"),
    ("oha", "1.16.0"),
    ("gitui", "0.28.1"),
    ("dprint", "0.64.3"),
    ("broot", "1.62.0"),
    ("zellij", "0.45.1"),
    ("coreutils", "0.12.0"),
    ("watchexec-cli", "1.20.5"),
    ("sccache", "0.19.0"),
    ("wasm-pack", "0.15.1"),
    ("uv", "0.12.5"),
    ("yazi-fm", "26.5.6"),
    ("gping", "1.21.0"),
];

/// What is compiled of one package on one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Compiled {
    features: BTreeSet<String>,
    dependencies: BTreeSet<String>,
    build_dependencies: BTreeSet<String>,
    build_script: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Target,
    Host,
}

type Sides = BTreeMap<(Side, String), Compiled>;

#[derive(Deserialize)]
struct UnitGraph {
    units: Vec<Unit>,
}

#[derive(Deserialize)]
struct Unit {
    pkg_id: String,
    target: UnitTarget,
    /// None is the host.
    platform: Option<String>,
    mode: String,
    features: BTreeSet<String>,
    dependencies: Vec<Edge>,
}

#[derive(Deserialize)]
struct UnitTarget {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Edge {
    index: usize,
}

impl Unit {
    fn side(&self) -> Side {
        if self.platform.is_some() { Side::Target } else { Side::Host }
    }

    fn is_build_script(&self) -> bool {
        self.target.kind == ["custom-build"]
    }
}

/// `pkg_id` without its place: what a person can read, and the name.
fn shown(id: &str) -> String {
    let (place, fragment) = id.rsplit_once('#').unwrap_or(("", id));
    if fragment.contains('@') {
        return fragment.to_owned();
    }
    let folder = place.rsplit('/').next().unwrap_or_default();
    let folder = folder.split('?').next().unwrap_or_default().trim_end_matches(".git");
    format!("{folder}@{fragment}")
}

impl UnitGraph {
    /// By side and package. A build script is compiled on the host whatever its package is for; where it runs is the
    /// side of its package.
    fn sides(&self, names: &BTreeMap<String, String>) -> Sides {
        let mut sides = Sides::new();
        // Libraries, proc-macros and bins of other packages.
        let others = |unit: &Unit| -> BTreeSet<String> {
            let edges = unit.dependencies.iter().map(|edge| &self.units[edge.index]);
            let others = edges.filter(|other| other.pkg_id != unit.pkg_id && !other.is_build_script());
            others.map(|other| names[&other.pkg_id].clone()).collect()
        };
        for unit in &self.units {
            let key = (unit.side(), unit.pkg_id.clone());
            match unit.mode.as_str() {
                "run-custom-build" => {
                    let compiled = sides.entry(key).or_default();
                    compiled.build_script = true;
                    for script in unit.dependencies.iter().map(|edge| &self.units[edge.index]) {
                        if script.pkg_id == unit.pkg_id && script.mode == "build" {
                            assert_eq!(script.features, unit.features, "{}", unit.pkg_id);
                            compiled.build_dependencies.extend(others(script));
                        }
                    }
                }
                "build" if unit.is_build_script() => {}
                "build" => {
                    let others = others(unit);
                    let compiled = sides.entry(key).or_default();
                    compiled.features.extend(unit.features.iter().cloned());
                    compiled.dependencies.extend(others);
                }
                mode => panic!("`{mode}` of {}", unit.pkg_id),
            }
        }
        for unit in self.units.iter().filter(|unit| !unit.is_build_script() || unit.mode == "run-custom-build") {
            // Every unit of a package has the same features on one side, or the comparison would mean nothing.
            let compiled = sides.get(&(unit.side(), unit.pkg_id.clone()));
            assert_eq!(compiled.map(|compiled| &compiled.features), Some(&unit.features), "{}", unit.pkg_id);
        }
        sides
    }
}

/// A project, and what of it is built.
#[derive(Clone, Debug)]
struct Case {
    dir: Utf8PathBuf,
    /// The member that cargo is pointed to, below `dir`.
    member: &'static str,
    selection: Selection,
    /// The triples whose crates are here; all without one.
    fetched: Vec<&'static str>,
}

impl Case {
    fn new(dir: &Utf8Path) -> Self {
        Self { dir: dir.to_owned(), member: "", selection: Selection::default(), fetched: Vec::new() }
    }

    fn manifest(&self) -> Utf8PathBuf {
        self.dir.join(self.member).join("Cargo.toml").canonicalize_utf8().unwrap()
    }

    /// What convoy reads; the flags are those of `command/prepare/metadata.rs`.
    fn graph(&self) -> (Graph, String) {
        let mut args = ["metadata", "--format-version=1", "--offline", "--locked"].map(str::to_owned).to_vec();
        let mut features = self.selection.features.clone();
        if let [package] = self.selection.packages.as_slice() {
            for feature in features.list.iter_mut().filter(|feature| !feature.contains('/')) {
                *feature = format!("{package}/{feature}");
            }
        }
        args.extend(features.to_args());
        args.extend(self.fetched.iter().map(|triple| format!("--filter-platform={triple}")));
        let json = cargo(&self.manifest(), &args).unwrap_or_else(|told| panic!("{told}"));
        let graph = Graph::from_metadata(&json).unwrap();
        let manifest = fs_err::read_to_string(graph.workspace_root().join("Cargo.toml")).unwrap();
        (graph.with_resolver(Resolver::of_manifest(&manifest)), json)
    }

    fn units(&self, target: &str) -> UnitGraph {
        // Nothing is compiled: a program may ask for a newer compiler.
        let profile = ["--profile", "release", "--target", target, "--offline", "--locked", "--ignore-rust-version"];
        let mut args = ["build", "--unit-graph", "-Zunstable-options"].map(str::to_owned).to_vec();
        args.extend(profile.map(str::to_owned));
        match self.selection.bins.as_slice() {
            [] => args.push("--bins".to_owned()),
            bins => args.extend(bins.iter().map(|bin| format!("--bin={bin}"))),
        }
        args.extend(self.selection.packages.iter().map(|package| format!("--package={package}")));
        args.extend(self.selection.workspace.then(|| "--workspace".to_owned()));
        args.extend(self.selection.features.to_args());
        let json = cargo(&self.manifest(), &args).unwrap_or_else(|told| panic!("{target}: {told}"));
        serde_json::from_str(&json).unwrap()
    }

    /// The differences of each target, a line each.
    fn differences(&self, targets: &[&str]) -> BTreeMap<String, Vec<String>> {
        let (graph, json) = self.graph();
        let metadata: serde_json::Value = serde_json::from_str(&json).unwrap();
        let names = metadata["packages"].as_array().unwrap().iter().map(|package| {
            let text = |key: &str| package[key].as_str().unwrap().to_owned();
            (text("id"), text("name"))
        });
        let names: BTreeMap<String, String> = names.collect();
        let compare = |target: &&str| {
            let slice = graph.slice(&self.selection, Some(&self.manifest()), &[], target, HOST).unwrap();
            let mut ours = Sides::new();
            for (side, packages) in [(Side::Target, &slice.target), (Side::Host, &slice.host)] {
                ours.extend(packages.iter().map(|package| ((side, package.id.clone()), compiled(package))));
            }
            ((*target).to_owned(), differences(&self.units(target).sides(&names), &ours))
        };
        targets.iter().map(compare).collect()
    }

    #[track_caller]
    fn is_equal(&self, targets: &[&str]) {
        for (target, lines) in self.differences(targets) {
            assert!(lines.is_empty(), "{} for {target}:\n{}", self.dir, lines.join("\n"));
        }
    }
}

/// Dependencies that are compiled for this machine itself.
const HOST: &str = TARGETS[0];

fn compiled(package: &Package) -> Compiled {
    Compiled {
        features: package.features.clone(),
        dependencies: package.dependencies.clone(),
        build_dependencies: package.build_dependencies.clone(),
        build_script: package.has_build_script,
    }
}

/// cargo's side first; a line for each field of each package that differs.
fn differences(cargo: &Sides, convoy: &Sides) -> Vec<String> {
    let mut lines = Vec::new();
    let keys: BTreeSet<&(Side, String)> = cargo.keys().chain(convoy.keys()).collect();
    for key in keys {
        let at = format!("{:?} {}", key.0, shown(&key.1));
        let (theirs, ours) = match (cargo.get(key), convoy.get(key)) {
            (Some(theirs), Some(ours)) => (theirs, ours),
            (Some(_), None) => {
                lines.push(format!("{at}: cargo compiles it, convoy does not know"));
                continue;
            }
            _ => {
                lines.push(format!("{at}: convoy has it, cargo does not compile it"));
                continue;
            }
        };
        let mut sets = |what: &str, theirs: &BTreeSet<String>, ours: &BTreeSet<String>| {
            let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| {
                these.difference(those).map(String::as_str).collect::<Vec<_>>().join(",")
            };
            if theirs != ours {
                lines.push(format!(
                    "{at}: {what}: only cargo has [{}], only convoy has [{}]",
                    only(theirs, ours),
                    only(ours, theirs)
                ));
            }
        };
        sets("features", &theirs.features, &ours.features);
        sets("dependencies", &theirs.dependencies, &ours.dependencies);
        sets("build-dependencies", &theirs.build_dependencies, &ours.build_dependencies);
        if theirs.build_script != ours.build_script {
            lines.push(format!("{at}: build script: cargo {}, convoy {}", theirs.build_script, ours.build_script));
        }
    }
    lines
}

/// What cargo prints; what it says when it fails. Its unit graph is there for nightly alone, or for who asks so.
fn cargo(manifest: &Utf8Path, args: &[String]) -> Result<String, String> {
    let mut command = environment::cargo();
    // In its folder, for its own `.cargo/config.toml`.
    command.current_dir(manifest.parent().unwrap()).args(args).arg("--manifest-path").arg(manifest);
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTUP_AUTO_INSTALL", "0").stdin(Stdio::null());
    let done = Done::from(command.output().unwrap());
    if done.code == Some(0) { Ok(done.stdout) } else { Err(format!("cargo {}: {done}", args.join(" "))) }
}

/// A crate's published source, unmodified, with all that its lock file names, by cargo's own client.
fn published(name: &str, version: &str) -> Utf8PathBuf {
    let sources = environment::cargo_home().join("registry/src");
    let find = || {
        let registries = sources.read_dir_utf8().into_iter().flatten().flatten();
        let mut dirs = registries.map(|registry| registry.path().join(format!("{name}-{version}")));
        dirs.find(|dir| dir.join(".cargo-ok").is_file())
    };
    let source = find().unwrap_or_else(|| {
        // It unpacks this one crate, and resolves nothing: the crate's own lock file is what is wanted here.
        crate::support::run("cargo", &["info", "--quiet", "--registry=crates-io", &format!("{name}@{version}")]);
        find().unwrap_or_else(|| panic!("cargo brought {name} {version} and its source is not in {sources}"))
    });
    let dir = workspace(name);
    copy(&source, &dir);
    let manifest = dir.join("Cargo.toml");
    cargo(&manifest, &["fetch", "--quiet", "--locked"].map(str::to_owned)).unwrap_or_else(|told| panic!("{told}"));
    dir
}

fn copy(from: &Utf8Path, to: &Utf8Path) {
    fs_err::create_dir_all(to).unwrap();
    for entry in from.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(entry.path(), &to);
        } else if entry.file_name() != ".cargo-ok" {
            fs_err::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn few_programs() {
    require!(Network);
    for (name, version) in FEW {
        let mut case = Case::new(&published(name, version));
        case.is_equal(&TARGETS);
        case.fetched = vec![HOST, TARGETS[4]];
        case.is_equal(&case.fetched);
    }
}

#[test]
#[ignore = "fetches the dependencies of 36 programs"]
fn many_programs() {
    require!(Network);
    let only = std::env::var("CONVOY_TEST_PROGRAMS").unwrap_or_default();
    let mut report = String::new();
    let [mut equal, mut different] = [0, 0];
    for (name, version) in MANY {
        if !only.is_empty() && !only.split(',').any(|word| word == name) {
            continue;
        }
        for (target, lines) in Case::new(&published(name, version)).differences(&TARGETS) {
            if lines.is_empty() {
                equal += 1;
            } else {
                different += 1;
                report += &format!("{name} {version} for {target}:\n  {}\n", lines.join("\n  "));
            }
        }
    }
    println!("{equal} graphs are equal, {different} are not");
    assert!(different == 0, "{report}{equal} graphs are equal, {different} are not");
}
