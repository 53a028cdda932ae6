//! Graphs that are large or deep, and projects whose dependencies are not all here.

use std::time::{Duration, Instant};

use crate::support::{Done, Project, environment, require};
use cargo_convoy::model::request::Selection;
use cargo_convoy::project::graph::{Graph, Slice};
use serde_json::{Value, json};

const HOST: &str = "x86_64-unknown-linux-gnu";

fn id(name: &str) -> String {
    format!("path+file:///work/{name}#0.1.0")
}

/// What `cargo metadata` prints for packages `p0` (a bin), `p1`, …, each with its dependencies.
fn metadata(dependencies: &[Vec<usize>]) -> String {
    let all: Vec<String> = (0..dependencies.len()).map(|index| format!("p{index}")).collect();
    let packages: Vec<Value> = all
        .iter()
        .zip(dependencies)
        .map(|(name, dependencies)| {
            let declared: Vec<Value> = dependencies
                .iter()
                .map(|to| {
                    json!({
                        "name": all[*to], "source": null, "req": "*", "kind": null, "rename": null, "optional": false,
                        "uses_default_features": true, "features": ["a"], "target": null, "registry": null,
                        "path": format!("/work/{}", all[*to]),
                    })
                })
                .collect();
            let kind = if name == "p0" { "bin" } else { "lib" };
            // Features in a circle, that lead to those of the next package.
            let next: Vec<String> = dependencies.iter().map(|to| format!("{}/b", all[*to])).collect();
            let b: Vec<String> = std::iter::once("a".to_owned()).chain(next).collect();
            json!({
                "name": name, "version": "0.1.0", "id": id(name), "license": null, "license_file": null,
                "description": null, "source": null, "dependencies": declared,
                "targets": [{
                    "kind": [kind], "crate_types": [kind], "name": name, "src_path": format!("/work/{name}/src/x.rs"),
                    "edition": "2024", "doc": true, "doctest": false, "test": true,
                }],
                "features": { "default": [], "a": ["b"], "b": b }, "manifest_path": format!("/work/{name}/Cargo.toml"),
                "metadata": null, "publish": null, "authors": [], "categories": [], "keywords": [], "readme": null,
                "repository": null, "homepage": null, "documentation": null, "edition": "2024", "links": null,
                "default_run": null, "rust_version": null,
            })
        })
        .collect();
    let nodes: Vec<Value> = all
        .iter()
        .zip(dependencies)
        .map(|(name, dependencies)| {
            let ids: Vec<String> = dependencies.iter().map(|to| id(&all[*to])).collect();
            let deps: Vec<Value> = dependencies
                .iter()
                .map(|to| json!({ "name": all[*to], "pkg": id(&all[*to]), "dep_kinds": [{ "kind": null, "target": null }] }))
                .collect();
            json!({ "id": id(name), "dependencies": ids, "deps": deps, "features": ["a", "b", "default"] })
        })
        .collect();
    json!({
        "packages": packages, "workspace_members": [id("p0")], "workspace_default_members": [id("p0")],
        "resolve": { "nodes": nodes, "root": id("p0") }, "target_directory": "/work/target", "version": 1,
        "workspace_root": "/work/p0", "metadata": null,
    })
    .to_string()
}

/// The slice of a graph, whose every package is active with both its features.
fn slice(dependencies: &[Vec<usize>]) -> Slice {
    let text = metadata(dependencies);
    let started = Instant::now();
    let graph = Graph::from_metadata(&text).unwrap();
    let slice = graph.slice(&Selection::default(), None, &[], "aarch64-apple-darwin", HOST).unwrap();
    assert_eq!(slice.target.len(), dependencies.len());
    assert!(slice.target.iter().skip(1).all(|package| package.features.contains("b")));
    let took = started.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
    // Of the whole test program, with the metadata as made here.
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")).unwrap();
    let peak: u64 = peak.trim().parse().unwrap();
    assert!(peak < 1_500_000, "{peak} kB");
    slice
}

const LARGE: usize = 5_000;

#[test]
fn a_chain_of_five_thousand_packages() {
    let chain: Vec<Vec<usize>> = (0..LARGE).map(|at| if at + 1 < LARGE { vec![at + 1] } else { Vec::new() }).collect();
    let slice = slice(&chain);
    let path = slice.path_to(slice.target.last().unwrap());
    assert_eq!(path.len(), LARGE);
    assert_eq!([path[0].as_str(), path[LARGE - 1].as_str()], ["p0", "p4999"]);
}

#[test]
fn five_thousand_packages_that_share_much() {
    // Layers of ten, each package of which depends on the whole next layer: 10^500 ways lead to the last.
    let layers = |at: usize| -> Vec<usize> {
        let next = at.div_ceil(10) * 10 + 1;
        (next..(next + 10).min(LARGE)).collect()
    };
    let slice = slice(&(0..LARGE).map(layers).collect::<Vec<_>>());
    let last = slice.target.iter().max_by_key(|package| package.name[1..].parse::<usize>().unwrap()).unwrap();
    let path = slice.path_to(last);
    assert_eq!([path[0].as_str(), path[path.len() - 1].as_str()], ["p0", "p4999"]);
    assert_eq!(path.len(), 501);
}

#[test]
fn one_package_that_all_others_want() {
    let star = |at: usize| {
        if at == 0 {
            (1..LARGE).collect()
        } else if at + 1 < LARGE {
            vec![LARGE - 1]
        } else {
            Vec::new()
        }
    };
    let slice = slice(&(0..LARGE).map(star).collect::<Vec<_>>());
    let last = slice.target.iter().find(|package| package.name == "p4999").unwrap();
    assert_eq!(slice.path_to(last), ["p0", "p4999"]);
    assert_eq!(slice.paths_to(&last.id, 3).len(), 3);
}

/// Only the crates of two platforms were ever fetched.
#[test]
fn crates_of_other_platforms_that_were_never_fetched() {
    require!(Network);
    let manifest = "[dependencies]\ncfg-if = \"=1.0.4\"\n[target.'cfg(windows)'.dependencies]\nwindows-link = \"=0.2.1\"\n\
        [target.'cfg(target_os = \"linux\")'.dependencies]\nitoa = \"=1.0.15\"\n";
    let project = Project::empty("fetched").manifest("hello", manifest).file("src/main.rs", crate::support::HELLO);
    let home = project.dir.join("cargo-home");
    let mut fetch = environment::cargo();
    fetch.current_dir(&project.dir).env("CARGO_HOME", &home).args(["fetch", "--quiet"]);
    let done = fetch.args(["--target", HOST, "--target", "aarch64-unknown-linux-gnu"]).output().unwrap();
    assert!(done.status.success(), "{}", Done::from(done));

    // The targets of the configuration, and those of the command line.
    project.write("Convoy.toml", "targets = [\"aarch64-unknown-linux-gnu\"]\n");
    for args in [&["plan", "--json"][..], &["plan", "--json", "--offline", "-t", "aarch64-unknown-linux-gnu"]] {
        let plan = project.convoy(args).env("CARGO_HOME", &home).ends(0).json();
        assert_eq!(plan["cells"][0]["target"], "aarch64-unknown-linux-gnu", "{plan:#}");
    }
    let args = ["plan", "-t", "aarch64-unknown-linux-gnu,x86_64-pc-windows-gnu"];
    let done = project.convoy(args).env("CARGO_HOME", &home).ends(5);
    done.says("the dependencies are not on this machine").says("windows-link");
}

/// What only one target's configuration turns on.
#[test]
fn a_dependency_of_one_targets_own_feature() {
    let manifest =
        "[features]\nmore = [\"dep:c-code\"]\n[dependencies]\nc-code = { path = \"c-code\", optional = true }\n";
    let project = Project::empty("own-feature").manifest("hello", manifest).file("src/main.rs", crate::support::HELLO);
    // The build-dependency shows that C is compiled.
    let c = "[package]\nname = \"c-code\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[build-dependencies]\ncc = { path = \"../cc\" }\n";
    let project = project
        .file("c-code/Cargo.toml", c)
        .file("c-code/src/lib.rs", "")
        .file("c-code/build.rs", crate::support::HELLO);
    let cc = "[package]\nname = \"cc\"\nversion = \"1.2.0\"\nedition = \"2024\"\n";
    let project = project.file("cc/Cargo.toml", cc).file("cc/src/lib.rs", "");
    project.write("Convoy.toml", "[target.aarch64-unknown-linux-gnu]\nfeatures = [\"more\"]\n");
    let plan =
        project.convoy(["plan", "--json", "-t", "aarch64-unknown-linux-gnu,aarch64-unknown-linux-musl"]).output();
    let needs = |cell: usize| plan.json()["cells"][cell]["needs"].to_string();
    assert!(needs(0).contains("c-code"), "{plan}");
    assert!(!needs(1).contains("c-code"), "{plan}");
}
