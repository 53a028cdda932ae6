//! What goes into containers: which image, what it is made from, and what keeps a target out of one.

use std::collections::{BTreeMap, BTreeSet};

use cargo_convoy::machine::Machine;
use cargo_convoy::machine::engine::{Engine, EngineFacts, ImageFacts, PresentImage};
use cargo_convoy::model::catalog::Catalog;
use cargo_convoy::model::recipe::Recipe;
use cargo_convoy::model::sysroot::Suites;
use cargo_convoy::plan::{ProvisionKind, Refused, RouteKind};
use cargo_convoy::project::needs::{Need, NeedKind, Side};

use crate::question::*;

/// An engine that answers, and these facts of it.
pub fn with_engine(host: Machine, edit: impl FnOnce(&mut EngineFacts)) -> Machine {
    let Engine::Found(mut engine) = Engine::imagined("amd64") else { unreachable!("an imagined engine is one") };
    edit(&mut engine);
    Machine { engine: Engine::Found(engine), ..host }
}

/// A crate that builds a C++ library with cmake, and reads headers with libclang.
pub fn cmake() -> Vec<Need> {
    let tool = |name: &str| Need { name: name.to_owned(), side: Side::Host, ..need(NeedKind::Tool, "shapes-sys") };
    let mut needs = cxx();
    needs.extend([tool("cmake"), tool("libclang")]);
    needs
}

const FOUR: [&str; 4] = ["linux/amd64", "linux/arm64", "linux/arm/v7", "windows/amd64"];

#[test]
fn what_no_tool_here_can_build_shares_one_image_and_one_lane() {
    insta::assert_snapshot!(ask(&FOUR, with_engine(bare(), |_| {})).never_zig().needs(cmake()).told());
}

#[test]
fn what_this_machine_can_do_is_done_without_a_container() {
    let mut host = with_gcc(Some("2.31"));
    host.tools.insert("libclang".to_owned(), "/usr/lib/libclang.so".into());
    let told = ask(&FOUR, with_engine(host, |_| {})).needs(cmake()).told();
    assert!(!told.contains("container"), "{told}");
    // Only what lacks something here goes into one: its compiler is missing.
    let mut host = with_gcc(Some("2.31"));
    host.zig = None;
    host.gcc.remove("aarch64-unknown-linux-gnu");
    insta::assert_snapshot!(ask(&FOUR, with_engine(host, |_| {})).never_zig().needs(c()).told());
}

#[test]
fn a_container_is_judged_by_the_variables_that_enter_it() {
    // OPENSSL_DIR of this machine takes the need away outside alone.
    let outside = cmake();
    let inside: Vec<Need> = openssl().into_iter().chain(cmake()).collect();
    let question = || ask(&["linux/arm64"], with_engine(with_apt(bare()), |_| {})).never_zig().needs(outside.clone());
    let without = question().told();
    assert!(!without.contains("openssl") && without.contains("container"), "{without}");
    let told = question().needs_inside(inside).told();
    assert!(told.contains("sysroot") && told.contains("libssl-dev"), "{told}");
}

#[test]
fn libraries_come_from_the_same_sysroots() {
    let mut host = with_apt(bare());
    host.gcc.clear();
    host.tools.clear();
    let all: Vec<Need> = openssl().into_iter().chain(cmake()).collect();
    insta::assert_snapshot!(
        ask(&["linux/arm64", "linux/arm/v7"], with_engine(host, |_| {})).never_zig().needs(all).told()
    );
}

#[test]
fn an_image_that_is_here_and_has_all_is_taken_whatever_more_it_has() {
    let suite = Suites::embedded().named("bookworm").unwrap();
    let mut packages = cargo_convoy::model::recipe::standard_packages(HOST, suite);
    packages.insert("gfortran".to_owned());
    let recipe = |packages: &BTreeSet<String>| Recipe {
        base: "debian:bookworm-slim".to_owned(),
        suite: "bookworm".to_owned(),
        packages: packages.clone(),
        pre_build: Vec::new(),
        rust: None,
    };
    let present = |recipe: Recipe| PresentImage {
        reference: recipe.tag(),
        id: format!("sha256:{}", recipe.digest()),
        registry: None,
        recipe: Some(recipe),
        bytes: 0,
        created: String::new(),
    };
    let larger = recipe(&packages);
    let mut smaller = packages.clone();
    smaller.remove("g++");
    let host = with_engine(bare(), |engine| engine.images = vec![present(recipe(&smaller)), present(larger.clone())]);
    let plan = ask(&FOUR, host).never_zig().needs(cmake()).plan();
    for cell in &plan.cells {
        let image = cell.image.as_ref().unwrap();
        assert!(image.present && image.reference == larger.tag(), "{image:?}");
        assert!(cell.provision.iter().all(|brought| brought.kind != ProvisionKind::Image), "{:?}", cell.provision);
    }
    // With nothing here, one image has what each of them wants.
    let plan = ask(&FOUR, with_engine(bare(), |_| {})).never_zig().needs(cmake()).plan();
    let names: BTreeSet<&str> = plan.cells.iter().map(|cell| cell.image.as_ref().unwrap().reference.as_str()).collect();
    assert_eq!((names.len(), plan.lanes.len()), (1, 1));
}

#[test]
fn a_base_whose_release_is_not_known_promises_nothing_before_a_look_into_it() {
    let question = |host: Machine, base: &str| {
        let base = base.to_owned();
        ask(&["linux/amd64"], host)
            .never_zig()
            .routes(&[RouteKind::Container])
            .container(move |own| own.base = Some(base))
    };
    for base in ["ubuntu:24.04", "registry.example/bullseye-proxy/alpine"] {
        let plan = question(with_engine(bare(), |_| {}), base).plan();
        let cell = &plan.cells[0];
        let image = cell.image.as_ref().unwrap();
        assert_eq!(image.recipe().unwrap().suite, "unknown");
        assert!(cell.because.ends_with("which has to be inspected first"), "{}", cell.because);
        assert!(cell.provision.iter().any(|provision| provision.name == image.reference), "{:?}", cell.provision);
        // What was found is what counts, also of an image that was there before.
        let mut host = with_engine(bare(), |engine| image.note_in(engine, "sha256:0"));
        let plan = question(host.clone(), base).plan();
        assert!(plan.cells[0].because.ends_with("which has to be inspected first"), "{}", plan.cells[0].because);
        assert_eq!(plan.cells[0].provision.len(), 1);
        let facts = ImageFacts {
            cc: Some("/usr/bin/cc".into()),
            glibc: Some("2.39".parse().unwrap()),
            ..ImageFacts::default()
        };
        host.image_facts.insert(image.reference.clone(), facts);
        let plan = question(host, base).plan();
        let told = format!("{} {:?}", plan.cells[0].because, plan.cells[0].rejected);
        assert!(told.contains("2.39") && !told.contains("2.36"), "{told}");
    }
}

#[test]
fn what_keeps_a_target_out_of_a_container_is_said() {
    let question = |host: Machine| ask(&["linux/arm64"], host).never_zig().needs(cmake());
    let silent = Engine::None {
        reason: "`docker` is on PATH, but its engine does not respond".to_owned(),
        hint: Some("start the engine".to_owned()),
    };
    let refused = Engine::None { reason: "containers are disabled (`engine = \"none\"`)".to_owned(), hint: None };
    let engine = || with_engine(bare(), |_| {});
    let mut not_built = BTreeMap::new();
    let Some(image) = question(engine()).plan().cells[0].image.clone() else { panic!("no image") };
    for suite in Suites::embedded().all() {
        let base = format!("debian:{}-slim", suite.name);
        let Some(recipe) = image.recipe() else { panic!("not composed") };
        let mut recipe = Recipe { base, suite: suite.name.clone(), ..recipe.clone() };
        recipe.packages = usual(&recipe);
        let why = Refused { reason: "build failed: E: no".to_owned(), hint: Some("look".to_owned()), work: true };
        not_built.insert(recipe.tag(), why);
    }
    let told = [
        ("its engine does not respond", question(Machine { engine: silent, ..bare() })),
        ("none may be used", question(Machine { engine: refused, ..bare() })),
        ("never provision", question(engine()).never_provision()),
        ("offline", question(engine()).offline()),
        ("the image could not be had", question(engine()).refused(|attempt| attempt.images = not_built)),
        ("an older ARM", ask(&["linux/arm/v6", "pi-zero"], engine()).never_zig().needs(c())),
        ("no libraries without apt or sysroot", question(Machine { apt: None, ..engine() }).needs(openssl())),
        ("macOS, which no image has tools for", ask(&["darwin/arm64"], engine()).never_zig().needs(c())),
    ];
    let told: Vec<String> =
        told.into_iter().map(|(title, question)| format!("== {title}\n{}", question.told())).collect();
    insta::assert_snapshot!(told.join(
        "
"
    ));
}

#[test]
fn images_and_containers_of_the_users_own() {
    let host = || with_engine(bare(), |_| {});
    let question = |host: Machine| ask(&["linux/arm64", "linux/arm/v7"], host).never_zig().needs(c());
    let named = "registry.example/team/builder:1";
    let mut looked_into = host();
    let arm64 = with_gcc(Some("2.31")).gcc["aarch64-unknown-linux-gnu"].clone();
    let facts = ImageFacts {
        cc: Some("/usr/bin/cc".into()),
        glibc: Some("2.31".parse().unwrap()),
        gcc: [("aarch64-linux-gnu".to_owned(), arm64)].into(),
        ..ImageFacts::default()
    };
    let dockerfile = Machine { image_facts: [].into(), ..looked_into.clone() };
    looked_into.image_facts.insert(named.to_owned(), facts);
    let arm = Catalog::embedded().target("aarch64-unknown-linux-gnu").unwrap().triple.clone();
    let told = [
        ("a base", question(host()).container(|own| own.base = Some("registry.example/debian:bookworm".to_owned()))),
        ("packages", question(host()).container(|own| own.packages = vec!["gfortran".to_owned()])),
        ("lines", question(host()).container(|own| own.pre_build = vec!["true".to_owned()])),
        (
            "lines that ask for the target",
            question(host()).container(|own| own.pre_build = vec!["echo $CROSS_TARGET".to_owned()]),
        ),
        ("a name, not looked into yet", question(host()).container(|own| own.image = Some(named.to_owned()))),
        ("a name", question(looked_into.clone()).container(|own| own.image = Some(named.to_owned()))),
        (
            "a name, and lines",
            question(host()).container(|own| {
                own.image = Some(named.to_owned());
                own.pre_build = vec!["true".to_owned()];
            }),
        ),
        (
            "a Dockerfile, and lines",
            question(dockerfile).image_file("/project/ci/Dockerfile", "FROM scratch\nARG CROSS_DEB_ARCH\n").container(
                |own| {
                    own.dockerfile = Some("/project/ci/Dockerfile".into());
                    own.dockerfile_args = [("OWN".to_owned(), "1".to_owned())].into();
                    own.pre_build = vec!["true".to_owned()];
                },
            ),
        ),
        (
            "a Dockerfile that is not there",
            question(host()).container(|own| own.dockerfile = Some("/project/no".into())),
        ),
        (
            "a release whose time is another for 32-bit ARM",
            question(host()).container(|own| own.base = Some("debian:trixie-slim".to_owned())),
        ),
        (
            "one target's own",
            question(host()).table(&arm, |table| table.container.base = Some("debian:trixie-slim".to_owned())),
        ),
        ("asked for", ask(&["linux/amd64"], with_engine(developer(), |_| {})).routes(&[RouteKind::Container])),
    ];
    let told: Vec<String> =
        told.into_iter().map(|(title, question)| format!("== {title}\n{}", question.told())).collect();
    insta::assert_snapshot!(told.join(
        "
"
    ));
}

#[test]
fn rust_comes_with_the_image_where_this_machines_own_does_not_run_inside() {
    let rust = |host: Machine| {
        let plan = ask(&["linux/arm64"], host).never_zig().needs(c()).plan();
        let image = plan.cells[0].image.clone().unwrap_or_else(|| panic!("{}", plan.cells[0].because));
        image.recipe().unwrap().rust.as_ref().map(|rust| (image.recipe().unwrap().base.clone(), rust.version.clone()))
    };
    let version = "1.95.0".to_owned();
    assert_eq!(rust(with_engine(bare(), |_| {})), None);
    let with_rust = Some(("rust:1.95.0-slim-bookworm".to_owned(), version));
    assert_eq!(rust(with_engine(bare(), |engine| engine.architecture = "arm64".to_owned())), with_rust);
    let mut system = with_engine(bare(), |_| {});
    system.rustc.sysroot = "/usr".into();
    assert_eq!(rust(system), with_rust);
}
