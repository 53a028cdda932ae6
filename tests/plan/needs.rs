//! What of the C world each target can be given, and what is said where nothing gives it.

use cargo_convoy::machine::{FoundBy, FoundLibrary, Machine};
use cargo_convoy::plan::Status;
use cargo_convoy::project::needs::{Confidence, Need, NeedKind};

use crate::question::*;

#[test]
fn a_missing_build_tool_is_named_with_who_wants_it() {
    let host = Machine { tools: Default::default(), ..with_gcc(Some("2.31")) };
    let needs = vec![
        need(NeedKind::CCompiler, "rdkafka-sys"),
        Need { name: "cmake".to_owned(), ..need(NeedKind::Tool, "rdkafka-sys") },
        need(NeedKind::HostLinker, "rdkafka-sys"),
    ];
    insta::assert_snapshot!(ask(&["linux/arm64", "linux/amd64", "darwin/arm64"], host).needs(needs).told());
}

#[test]
fn a_system_library_needs_a_supply_for_the_target() {
    let needs = vec![need(NeedKind::SystemLibrary, "foo-sys"), need(NeedKind::HostLinker, "foo-sys")];
    let words = ["linux/arm64", "linux/amd64", "darwin/arm64"];
    let found = |triples: &[&str], by: FoundBy| Machine {
        libraries: triples
            .iter()
            .map(|triple| {
                let library = FoundLibrary { version: Some("1.2".to_owned()), by, file: "/usr/lib/foo.pc".into() };
                ((*triple).to_owned(), [("foo".to_owned(), library)].into())
            })
            .collect(),
        ..with_gcc(Some("2.31"))
    };
    let arm = "aarch64-unknown-linux-gnu";
    let none = ask(&words, with_gcc(Some("2.31"))).needs(needs.clone()).told();
    let host = ask(&words, found(&[HOST], FoundBy::Machine)).needs(needs.clone()).told();
    let both = ask(&words, found(&[HOST, arm], FoundBy::Machine)).needs(needs.clone()).told();
    let user = ask(&words, found(&[arm], FoundBy::User)).needs(needs).told();
    insta::assert_snapshot!(format!("{none}\n== host\n{host}\n== both\n{both}\n== user\n{user}"));
}

#[test]
fn what_macos_and_windows_have_themselves_is_supplied() {
    let named = |kind, name: &str| Need { name: name.to_owned(), ..need(kind, "some-sys") };
    let needs = vec![named(NeedKind::Framework, "Security"), named(NeedKind::SystemLibrary, "zlib")];
    let unknown = vec![named(NeedKind::Framework, "Teleport")];
    let mac = ask(&["darwin/arm64"], developer()).needs(needs).told();
    let none = ask(&["darwin/arm64"], developer()).needs(unknown).told();
    let windows = ask(&["windows/amd64"], developer()).needs(vec![named(NeedKind::ImportLibrary, "ws2_32")]).told();
    insta::assert_snapshot!(format!("{mac}\n{none}\n{windows}"));
}

#[test]
fn what_only_pkg_config_finds_is_not_supplied_by_macos() {
    let asked = Need { by_pkg_config: true, ..library("zlib", "some-sys") };
    insta::assert_snapshot!(ask(&["darwin/arm64"], developer()).needs(vec![asked.clone()]).told());
    // Who leads pkg-config to one is believed.
    let mut host = developer();
    let found = FoundLibrary { version: None, by: FoundBy::User, file: "/opt/mac/zlib.pc".into() };
    host.libraries.insert("aarch64-apple-darwin".to_owned(), [("zlib".to_owned(), found)].into());
    let plan = ask(&["darwin/arm64"], host).needs(vec![asked]).plan();
    assert_eq!(plan.cells[0].status, Status::Buildable);
}

#[test]
fn a_library_that_the_build_script_loads_is_this_machines_own() {
    let needs = vec![Need { loaded: true, ..library("hdf5", "hdf5-sys") }, need(NeedKind::HostLinker, "hdf5-sys")];
    let mut host = with_apt(with_gcc(Some("2.36")));
    let without = ask(&[HOST, "linux/arm64"], host.clone()).needs(needs.clone()).told();
    for triple in [HOST, "aarch64-unknown-linux-gnu"] {
        let found = FoundLibrary { version: None, by: FoundBy::Machine, file: "/usr/lib/hdf5.pc".into() };
        host.libraries.insert(triple.to_owned(), [("hdf5".to_owned(), found)].into());
    }
    let with = ask(&[HOST, "linux/arm64"], host).needs(needs).told();
    insta::assert_snapshot!(format!("{without}\n== with packages of both\n{with}"));
}

#[test]
fn what_no_route_changes_is_said_at_once() {
    let named = |kind, name: &str| Need { name: name.to_owned(), ..need(kind, "some-sys") };
    let unsupported = vec![named(NeedKind::Unsupported, "it speaks to Linux alone")];
    let maybe = vec![Need { confidence: Confidence::Unknown, ..named(NeedKind::Tool, "meson") }];
    let blocked = ask(&["darwin/arm64"], developer()).needs(unsupported).told();
    let open = ask(&["linux/arm64"], developer()).needs(maybe).told();
    insta::assert_snapshot!(format!("{blocked}\n{open}"));
}
