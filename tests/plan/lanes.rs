//! Which cells share a cargo invocation.

use cargo_convoy::machine::Machine;
use cargo_convoy::model::catalog::DEFAULT_MATRIX;

use crate::question::*;

fn lanes(question: Question) -> String {
    let plan = question.plan();
    plan.lanes.iter().map(|lane| format!("{} ({}): {}\n", lane.id, lane.route, lane.cells.join(", "))).collect()
}

#[test]
fn all_that_can_share_an_environment_is_one_invocation() {
    insta::assert_snapshot!(lanes(ask(DEFAULT_MATRIX, with_gcc(Some("2.31"))).needs(c())), @"main (mixed): x86_64-unknown-linux-gnu, aarch64-unknown-linux-gnu, armv7-unknown-linux-gnueabihf, x86_64-apple-darwin, aarch64-apple-darwin, x86_64-pc-windows-gnu");
}

#[test]
fn floors_and_devices_of_one_triple_are_apart() {
    let words = ["linux/arm64.2.28", "linux/arm64.2.36", "pi-4", "pi-5", "x86_64-unknown-linux-musl"];
    insta::assert_snapshot!(lanes(ask(&words, developer())));
}

#[test]
fn the_hosts_triple_with_a_floor_stands_alone() {
    insta::assert_snapshot!(lanes(ask(&["linux/amd64.2.28", "linux/arm64", "darwin/arm64"], developer())));
}

#[test]
fn features_environment_and_a_built_std_are_apart() {
    let words =
        ["linux/arm64", "linux/arm/v7", "linux/amd64", "darwin/arm64", "windows/amd64", "x86_64-unknown-linux-musl"];
    let question = ask(&words, Machine { rust_src: true, ..developer() })
        .table("linux/arm/v7", |table| table.features = vec!["small".to_owned()])
        .table("linux/arm64", |table| table.features = vec!["small".to_owned()])
        .table("darwin/arm64", |table| table.env = [("X".to_owned(), "1".to_owned())].into())
        .table("x86_64-unknown-linux-musl", |table| table.build_std = Some(true))
        // Flags are each target's own, and so no reason for another invocation.
        .table("windows/amd64", |table| table.rustflags = vec!["-Cdebuginfo=1".to_owned()]);
    insta::assert_snapshot!(lanes(question));
}

#[test]
fn a_blocked_cell_is_in_no_lane() {
    let plan = ask(&["linux/arm64", "x86_64-unknown-linux-musl"], Machine { zig: None, ..developer() })
        .never_provision()
        .plan();
    assert!(plan.has_blocked());
    assert_eq!(plan.lanes.len(), 1);
    assert_eq!(plan.lanes[0].cells, ["x86_64-unknown-linux-musl"]);
    assert_eq!(plan.cell("aarch64-unknown-linux-gnu").unwrap().lane, None);
}

/// Every setting reached the one binary that devices share, whoseever it was.
#[test]
fn what_is_said_of_one_device_reaches_no_lane_of_another() {
    let question = |words: &[&str]| {
        ask(words, developer())
            .table("pi-5", |table| table.rustflags = vec!["-Ctarget-feature=+lse".to_owned()])
            .table("pi-4", |table| table.env = [("X".to_owned(), "1".to_owned())].into())
            .table("pi-3-64", |table| table.features = vec!["small".to_owned()])
    };
    let plan = question(&["pi"]).plan();
    let cell = plan.cell("pi-aarch64").unwrap();
    assert_eq!(cell.cell.devices, ["pi-zero-2-64"]);
    assert!(!cell.setup.rustflags.iter().any(|flag| flag.contains("lse")), "{:?}", cell.setup.rustflags);
    let lane = plan.lanes.iter().find(|lane| lane.cells.contains(&"pi-aarch64".to_owned())).unwrap();
    assert!(lane.env.is_empty() && lane.features.is_empty(), "{lane:?}");
    assert!(plan.cell("pi-5").unwrap().setup.rustflags.contains(&"-Ctarget-feature=+lse".to_owned()));
    insta::assert_snapshot!(lanes(question(&["pi"])));
}
