//! What may be put on this machine: nothing is planned to be brought that `--offline` or `--no-provision` forbids.

use std::collections::BTreeSet;

use cargo_convoy::machine::Machine;
use cargo_convoy::plan::{ProvisionKind, Status};
use cargo_convoy::report::{Style, table};

use crate::containers::{cmake, with_engine};
use crate::question::*;

/// A question whose only answer brings this kind of thing.
fn question(kind: ProvisionKind) -> Question {
    let nothing_installed = Machine { std: BTreeSet::new(), ..developer() };
    match kind {
        ProvisionKind::Zig => ask(&["linux/arm64"], Machine { zig: None, ..developer() }).needs(c()),
        ProvisionKind::Std => ask(&["x86_64-unknown-linux-musl"], nothing_installed),
        ProvisionKind::RustSrc => {
            ask(&["linux/arm64"], nothing_installed).table("linux/arm64", |table| table.build_std = Some(true))
        }
        ProvisionKind::Sysroot => ask(&["linux/arm64"], with_apt(with_gcc(Some("2.36")))).needs(openssl()),
        ProvisionKind::Image => ask(&["linux/arm64.2.36"], with_engine(bare(), |_| {})).never_zig().needs(cmake()),
    }
}

const KINDS: [ProvisionKind; 5] =
    [ProvisionKind::Zig, ProvisionKind::Std, ProvisionKind::RustSrc, ProvisionKind::Sysroot, ProvisionKind::Image];

#[test]
fn every_kind_of_thing_is_brought_only_where_that_is_allowed() {
    let mut told = String::new();
    for kind in KINDS {
        let kinds = |question: Question| -> Vec<ProvisionKind> {
            question.plan().cells[0].provision.iter().map(|provision| provision.kind).collect()
        };
        assert_eq!(kinds(question(kind)), [kind]);
        for (word, question) in [
            ("offline", question(kind).offline()),
            ("never", question(kind).never_provision()),
            ("both", question(kind).offline().never_provision()),
        ] {
            let plan = question.plan();
            let cell = &plan.cells[0];
            assert_eq!((cell.status, cell.provision.len()), (Status::Blocked, 0), "{kind:?} {word}");
            let hint = cell.hint.as_deref().unwrap_or("-").replace('\n', "\n    hint: ");
            told += &format!("{kind:?}, {word}: {}\n    hint: {hint}\n", without_digests(&cell.because));
        }
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_sysroot_whose_packages_were_fetched_is_unpacked_offline() {
    let fetched = || {
        let mut host = with_apt(with_gcc(Some("2.36")));
        host.fetched_sysroots.insert("bookworm/arm64".to_owned());
        ask(&["linux/arm64"], host).needs(openssl())
    };
    let plan = fetched().offline().plan();
    assert_eq!(plan.cells[0].provision[0].kind, ProvisionKind::Sysroot);
    assert_eq!(fetched().never_provision().plan().cells[0].status, Status::Blocked);
}

#[test]
fn a_plan_lists_once_what_is_fetched_once_and_counts_no_blocked_target() {
    let host = || Machine { zig: None, std: BTreeSet::from([HOST.to_owned()]), ..developer() };
    let told = |question: Question| table::plan(&question.plan(), Style::default());
    let here = || Machine { zig: None, ..developer() };
    let words = ["linux/arm64", "linux/arm/v7", "darwin/arm64"];
    let told = [
        told(ask(&words, host()).needs(c())),
        told(ask(&["linux/arm64"], host()).needs(c())),
        told(ask(&["x86_64-unknown-linux-musl", "linux/arm64"], here()).never_provision()),
        told(ask(&["x86_64-unknown-linux-musl", "linux/amd64", "linux/arm64"], here()).never_provision()),
        told(ask(&["linux/arm64"], here()).never_provision()),
    ];
    insta::assert_snapshot!(told.join("\n\n"));
}
