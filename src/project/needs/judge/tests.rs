//! What packages need, by their rows, their scripts and their link blocks.

use super::*;
use crate::project::evidence::LinkBlock;

const LINUX: &str = "x86_64-unknown-linux-gnu";
const ARM: &str = "aarch64-unknown-linux-gnu";
const MAC: &str = "aarch64-apple-darwin";
const WINDOWS: &str = "x86_64-pc-windows-gnu";

fn package(name: &str) -> Package {
    Package { id: name.to_owned(), name: name.to_owned(), version: "1.0.0".to_owned(), ..Package::default() }
}

fn scripted(name: &str, build_dependencies: &[&str]) -> Package {
    Package {
        has_build_script: true,
        build_dependencies: build_dependencies.iter().map(|name| (*name).to_owned()).collect(),
        ..package(name)
    }
}

fn read(calls: Vec<Call>) -> Evidence {
    Evidence { script: Script::Read, calls, links: Vec::new() }
}

fn call(what: What, guards: &[Guard]) -> Call {
    Call { what, guards: guards.to_vec(), place: "build.rs:7".to_owned() }
}

fn helper(name: &str) -> What {
    What::Helper(name.to_owned())
}

/// Each ask as `name confidence`.
fn told(package: &Package, triple: &str, evidence: Evidence) -> Vec<String> {
    let evidence = [(package.id.clone(), evidence)].into();
    let (user, env) = (BTreeMap::new(), BTreeMap::new());
    let knowledge = Knowledge { evidence: &evidence, user: &user, env: &env };
    let asks = asked(package, Circumstances::new(triple, LINUX, &env), knowledge);
    asks.iter().map(|ask| format!("{} {:?}", ask.name, ask.confidence).to_lowercase()).collect()
}

#[test]
fn the_script_decides_and_not_its_build_dependencies() {
    let cc = scripted("some-sys", &["cc", "cmake", "pkg-config"]);
    assert_eq!(told(&cc, ARM, read(vec![])), [""; 0]);
    assert_eq!(told(&cc, ARM, read(vec![call(helper("cc"), &[])])), ["c-compiler likely"]);
    let cmake = [call(helper("cmake"), &[])];
    assert_eq!(
        told(&cc, ARM, read(cmake.into())),
        ["cmake likely", "make likely", "c-compiler likely", "cxx-compiler likely"]
    );
}

#[test]
fn guards_are_held_against_features_and_target() {
    let feature = Guard::Feature { name: "use_system".to_owned(), on: false };
    let linux = Guard::Target { cfg: "cfg(target_os = \"linux\")".to_owned(), holds: true };
    let calls = || {
        read(vec![
            call(helper("cc"), std::slice::from_ref(&feature)),
            call(helper("nasm-rs"), std::slice::from_ref(&linux)),
        ])
    };
    let plain = scripted("some-sys", &["cc"]);
    let system = Package { features: ["use-system".to_owned()].into(), ..plain.clone() };
    assert_eq!(told(&plain, ARM, calls()), ["c-compiler likely", "nasm likely"]);
    assert_eq!(told(&plain, MAC, calls()), ["c-compiler likely"]);
    assert_eq!(told(&system, MAC, calls()), [""; 0]);
}

#[test]
fn what_only_the_running_script_knows_blocks_nothing_but_asks_for_a_compiler() {
    let unknown = [Guard::Unknown];
    let calls = vec![call(helper("cc"), &unknown), call(helper("bindgen"), &unknown)];
    assert_eq!(told(&scripted("some-sys", &["cc"]), ARM, read(calls)), ["c-compiler likely", "libclang unknown"]);
}

#[test]
fn a_library_that_is_compiled_when_it_is_not_found_is_no_need() {
    let probe = |optional| What::PkgConfig { name: Some("zlib".to_owned()), optional };
    let package = scripted("some-sys", &["pkg-config", "cc"]);
    assert_eq!(told(&package, ARM, read(vec![call(probe(false), &[])])), ["zlib likely"]);
    assert_eq!(told(&package, ARM, read(vec![call(probe(true), &[])])), [""; 0]);
    let both = vec![call(probe(false), &[]), call(helper("cc"), &[])];
    assert_eq!(told(&package, ARM, read(both)), ["c-compiler likely"]);
}

#[test]
fn a_library_that_a_script_asks_pkg_config_for_is_found_no_other_way() {
    let link = What::LinkLib { kind: String::new(), name: "z".to_owned() };
    let probe = What::PkgConfig { name: Some("zlib".to_owned()), optional: false };
    let package = scripted("some-sys", &["pkg-config"]);
    let (user, env) = (BTreeMap::new(), BTreeMap::new());
    for (calls, expected) in [(vec![&link], false), (vec![&probe], true), (vec![&link, &probe], true)] {
        let calls = calls.into_iter().map(|what| call(what.clone(), &[])).collect();
        let evidence = [(package.id.clone(), read(calls))].into();
        let knowledge = Knowledge { evidence: &evidence, user: &user, env: &env };
        let asks = asked(&package, Circumstances::new(MAC, LINUX, &env), knowledge);
        let output: Vec<_> = asks.iter().map(|ask| (ask.name.as_str(), ask.by_pkg_config)).collect();
        assert_eq!(output, [("zlib", expected)]);
    }
}

#[test]
fn a_shared_library_beside_what_is_compiled_is_a_need() {
    let link = |kind: &str, name: &str| What::LinkLib { kind: kind.to_owned(), name: name.to_owned() };
    let package = scripted("squeeze", &["cmake"]);
    let calls = |kind: &str, name: &str| vec![call(helper("cc"), &[]), call(link(kind, name), &[])];
    assert_eq!(told(&package, ARM, read(calls("dylib", "snappy"))), ["c-compiler likely", "snappy likely"]);
    assert_eq!(told(&package, ARM, read(calls("", "snappy"))), ["c-compiler likely"]);
    assert_eq!(told(&package, ARM, read(calls("dylib", "squeeze"))), ["c-compiler likely"]);
}

#[test]
fn an_unreadable_script_is_judged_by_the_manifest() {
    let broken = |build: &[&str]| {
        let evidence =
            Evidence { script: Script::Unreadable("build.rs:1: expected `;`".to_owned()), ..Evidence::default() };
        told(&scripted("some-sys", build), ARM, evidence)
    };
    assert_eq!(broken(&["cc", "pkg-config"]), ["c-compiler likely"]);
    assert_eq!(broken(&["pkg-config"]), ["some-sys likely"]);
    assert_eq!(broken(&["autocfg"]), [""; 0]);
}

#[test]
fn link_blocks_are_needs_of_the_target_they_are_for() {
    let block = |name: &str, kind: &str, cfg: Option<&str>| LinkBlock {
        name: name.to_owned(),
        kind: kind.to_owned(),
        cfgs: cfg.into_iter().map(str::to_owned).collect(),
        place: "src/lib.rs:3".to_owned(),
    };
    let evidence = || Evidence {
        links: vec![
            block("Security", "framework", Some("cfg(target_vendor = \"apple\")")),
            block("udev", "dylib", Some("cfg(target_os = \"linux\")")),
            block("user32", "dylib", Some("cfg(windows)")),
            block("m", "dylib", None),
            block("nobody-knows-it", "dylib", None),
            block("lost", "dylib", Some("cfg(undeclared)")),
        ],
        ..Evidence::default()
    };
    let plain = package("some");
    assert_eq!(told(&plain, ARM, evidence()), ["libudev likely", "nobody-knows-it unknown"]);
    assert_eq!(told(&plain, MAC, evidence()), ["security likely", "nobody-knows-it unknown"]);
    assert_eq!(told(&plain, WINDOWS, evidence()), ["user32 likely", "m likely", "nobody-knows-it likely"]);
}

#[test]
fn a_row_comes_before_the_package_and_the_user_before_the_row() {
    let openssl = scripted("openssl-sys", &["cc", "pkg-config"]);
    let shown = told(&openssl, ARM, read(vec![call(helper("cmake"), &[])]));
    assert_eq!(shown, ["c-compiler known", "openssl known"]);
    let user = [("openssl-sys".to_owned(), UserNeeds { tools: vec!["perl".to_owned()], libraries: Vec::new() })];
    let (evidence, user, env) = (BTreeMap::new(), user.into(), BTreeMap::new());
    let knowledge = Knowledge { evidence: &evidence, user: &user, env: &env };
    let asks = asked(&openssl, Circumstances::new(ARM, LINUX, &env), knowledge);
    assert_eq!(asks.iter().map(|ask| ask.name.as_str()).collect::<Vec<_>>(), ["perl"]);
}
