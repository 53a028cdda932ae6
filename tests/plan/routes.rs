//! Which route is taken on which machine, and why the others are not.

use cargo_convoy::machine::Machine;
use cargo_convoy::model::catalog::DEFAULT_MATRIX;
use cargo_convoy::plan::{Attempt, RouteKind};
use cargo_convoy::project::config::TargetSettings;
use cargo_convoy::project::needs::NeedKind;

use crate::question::*;

#[test]
fn the_default_matrix_on_a_bare_machine() {
    insta::assert_snapshot!(ask(DEFAULT_MATRIX, bare()).told());
}

#[test]
fn the_default_matrix_of_a_crate_with_c_on_a_developers_machine() {
    insta::assert_snapshot!(ask(DEFAULT_MATRIX, developer()).needs(c()).told());
}

#[test]
fn the_default_matrix_of_a_crate_with_c_and_cross_compilers_of_an_old_enough_glibc() {
    insta::assert_snapshot!(ask(DEFAULT_MATRIX, with_gcc(Some("2.31"))).needs(c()).told());
}

#[test]
fn a_cross_gcc_whose_glibc_is_newer_than_the_floor_is_passed_over() {
    let words = ["linux/arm64", "linux/arm/v7", "linux/arm64.2.36"];
    insta::assert_snapshot!(ask(&words, with_gcc(Some("2.34"))).told());
}

#[test]
fn a_cross_gcc_whose_glibc_is_not_known_holds_no_floor() {
    insta::assert_snapshot!(ask(&["linux/arm64"], with_gcc(None)).told());
}

#[test]
fn every_musl_target_links_with_rustups_std_alone() {
    let words = [
        "x86_64-unknown-linux-musl",
        "aarch64-unknown-linux-musl",
        "armv7-unknown-linux-musleabihf",
        "arm-unknown-linux-musleabihf",
    ];
    insta::assert_snapshot!(ask(&words, bare()).never_provision().told());
}

#[test]
fn darwin_pure_with_c_and_with_cpp() {
    let words = ["darwin/amd64", "darwin/arm64"];
    let pure = ask(&words, bare()).told();
    let with_c = ask(&words, developer()).needs(c()).told();
    let with_cxx = ask(&words, developer()).needs(cxx()).told();
    insta::assert_snapshot!(format!("pure\n{pure}\nC\n{with_c}\nC++\n{with_cxx}"));
}

#[test]
fn armv6_is_never_built_by_a_distributions_gcc() {
    let told = ask(&["linux/arm/v6", "pi-zero"], with_gcc(Some("2.31"))).told();
    let forced = ask(&["linux/arm/v6"], with_gcc(Some("2.31"))).routes(&[RouteKind::Gcc]).told();
    insta::assert_snapshot!(format!("{told}\nforced\n{forced}"));
}

#[test]
fn the_host_with_and_without_a_floor() {
    let plain = ask(&["linux/amd64"], developer()).told();
    let kept = ask(&["linux/amd64.2.36"], developer()).told();
    let older = ask(&["linux/amd64.2.28"], developer()).told();
    let blocked = ask(&["linux/amd64.2.28"], Machine { zig: None, ..developer() }).never_provision().told();
    insta::assert_snapshot!(format!("{plain}\n{kept}\n{older}\n{blocked}"));
}

#[test]
fn a_triple_outside_the_catalog_is_tried() {
    let words = ["powerpc64-unknown-linux-gnu", "i586-unknown-linux-musl", "sparc64-unknown-linux-gnu"];
    insta::assert_snapshot!(ask(&words, developer()).told());
}

// What is missing.

#[test]
fn no_zig_and_nothing_may_be_brought() {
    let host = Machine { zig: None, ..developer() };
    insta::assert_snapshot!(ask(DEFAULT_MATRIX, host).needs(c()).never_provision().told());
}

#[test]
fn zig_cannot_be_brought() {
    let host = Machine { zig: None, zig_unavailable: Some("no Python on PATH".to_owned()), ..developer() };
    insta::assert_snapshot!(ask(&["linux/arm64", "darwin/arm64"], host).needs(c()).told());
}

#[test]
fn zig_is_brought_once_and_named_by_every_cell_that_needs_it() {
    let host = Machine { zig: None, ..developer() };
    insta::assert_snapshot!(ask(&["linux/arm64", "darwin/arm64"], host).needs(c()).told());
}

#[test]
fn a_missing_std_is_brought_refused_or_built() {
    let mut missing = developer();
    missing.std.remove("aarch64-unknown-linux-musl");
    let word = ["aarch64-unknown-linux-musl"];
    let build_std = |table: &mut TargetSettings| table.build_std = Some(true);
    let why = "component 'rust-std' is unavailable for download".to_owned();
    let refused = |machine: &Machine| {
        ask(&word, machine.clone()).refused(|attempt| attempt.std = [(word[0].to_owned(), why.clone())].into())
    };
    let no_source = |attempt: &mut Attempt| attempt.rust_src = Some("could not download file".to_owned());
    let source = Machine { rust_src: true, ..missing.clone() };
    let unpublished = Machine { published_std: Some([HOST.to_owned()].into()), ..missing.clone() };
    let no_rustup = Machine { toolchain: None, ..missing.clone() };
    let told = [
        ("brought", ask(&word, missing.clone()).told()),
        ("may not be brought", ask(&word, missing.clone()).never_provision().told()),
        ("no rustup", ask(&word, no_rustup.clone()).told()),
        ("rustup has none", ask(&word, unpublished.clone()).told()),
        ("rustup has none, built", ask(&word, unpublished).table(word[0], build_std).told()),
        ("refused by rustup", refused(&missing).told()),
        ("refused, built", refused(&missing).table(word[0], build_std).told()),
        ("refused, built from a source that is here", refused(&source).table(word[0], build_std).told()),
        ("source may not be brought", refused(&missing).never_provision().table(word[0], build_std).told()),
        ("source refused by rustup", ask(&word, missing.clone()).refused(no_source).table(word[0], build_std).told()),
        ("no source and no rustup", ask(&word, no_rustup).table(word[0], build_std).told()),
    ];
    let told: Vec<String> = told.iter().map(|(title, text)| format!("{title}\n{text}")).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn no_linker_for_this_machine() {
    let needs = || vec![need(NeedKind::HostLinker, "serde_derive")];
    let words = ["x86_64-unknown-linux-musl", "darwin/arm64", "linux/amd64"];
    let with_zig = Machine { linker: None, ..developer() };
    let pip = bare();
    let nothing = Machine { zig_unavailable: Some("no Python on PATH".to_owned()), ..bare() };
    let told = [
        ("zig is the linker", ask(&words, with_zig).needs(needs()).told()),
        ("zig is brought", ask(&words, pip.clone()).needs(needs()).told()),
        ("zig may not be brought", ask(&words, pip.clone()).needs(needs()).never_provision().told()),
        ("zig cannot be brought", ask(&words, nothing).needs(needs()).told()),
        (
            "the user names a linker",
            ask(&words, pip)
                .needs(needs())
                .never_provision()
                .user_linker(HOST, "/opt/mold-cc", "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER")
                .told(),
        ),
    ];
    let told: Vec<String> = told.iter().map(|(title, text)| format!("{title}\n{text}")).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn no_rust_lld() {
    let host = Machine { rust_lld: None, ..bare() };
    let told = ask(&["x86_64-unknown-linux-musl", "darwin/arm64"], host).never_provision().told();
    let zig = ask(&["x86_64-unknown-linux-musl", "darwin/arm64"], Machine { rust_lld: None, ..developer() }).told();
    insta::assert_snapshot!(format!("{told}\nwith zig\n{zig}"));
}

#[test]
fn a_compiler_that_failed_its_trial_is_passed_over() {
    let mut host = with_gcc(Some("2.31"));
    for gcc in host.gcc.values_mut() {
        gcc.fault = Some("`/usr/bin/x-gcc` cannot link a trivial program: cannot find crt1.o".to_owned());
    }
    let no_cxx = Machine { cxx: None, ..developer() };
    let faulty = ask(&["linux/arm64"], host).needs(c()).told();
    let without = ask(&["linux/amd64"], no_cxx).needs(cxx()).told();
    insta::assert_snapshot!(format!("{faulty}\n{without}"));
}

// What the user says.

#[test]
fn a_linker_that_the_user_set_wins_and_is_named() {
    let target = "aarch64-unknown-linux-gnu";
    let told = ask(&["linux/arm64", "linux/amd64"], with_gcc(Some("2.31")))
        .user_linker(target, "/opt/my-gcc", ".cargo/config.toml")
        .told();
    let forced = ask(&["linux/arm64"], with_gcc(Some("2.31")))
        .user_linker(target, "/opt/my-gcc", "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER")
        .routes(&[RouteKind::Zig])
        .told();
    let host = ask(&["linux/amd64"], bare()).user_linker(HOST, "/opt/mold-cc", ".cargo/config.toml").told();
    insta::assert_snapshot!(format!("{told}\nforced to zig\n{forced}\nhost\n{host}"));
}

#[test]
fn forced_routes() {
    let words = ["linux/amd64", "linux/arm64", "x86_64-unknown-linux-musl", "darwin/arm64", "windows/amd64"];
    let told: Vec<String> = RouteKind::ALL
        .iter()
        .map(|route| format!("{route}\n{}", ask(&words, with_gcc(Some("2.31"))).routes(&[*route]).told()))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn routes_in_an_order_of_the_users() {
    let told = ask(&["linux/arm64"], with_gcc(Some("2.31")))
        .table("linux/arm64", |table| table.routes = Some(vec![RouteKind::Zig, RouteKind::Gcc]))
        .told();
    let second = ask(&["linux/arm64"], Machine { zig: None, ..with_gcc(Some("2.31")) })
        .never_provision()
        .table("linux/arm64", |table| table.routes = Some(vec![RouteKind::Zig, RouteKind::Gcc]))
        .told();
    let none = ask(&["linux/arm64"], developer()).routes(&[]).told();
    insta::assert_snapshot!(format!("{told}\n{second}\n{none}"));
}

// What failed here before.

#[test]
fn a_route_that_failed_before_is_passed_over() {
    let gcc = || ask(&["linux/arm64"], with_gcc(Some("2.31"))).failed(RouteKind::Gcc, "the linker finds no `foo`");
    let told = [
        ("another is offered", gcc().told()),
        ("the later one failed", ask(&["linux/arm64"], with_gcc(Some("2.31"))).failed(RouteKind::Zig, "no").told()),
        ("the other is brought", {
            let mut question = gcc();
            question.host.zig = None;
            question.told()
        }),
        ("the other is blocked", {
            let mut question = gcc().never_provision();
            question.host.zig = None;
            question.told()
        }),
        ("both failed", gcc().failed(RouteKind::Zig, "zig has no `bar.h`").told()),
        ("it is gone since", ask(&["linux/arm64"], developer()).failed(RouteKind::Gcc, "no").told()),
        ("forced", gcc().routes(&[RouteKind::Gcc]).told()),
        (
            "forced by configuration",
            gcc().table("linux/arm64", |table| table.routes = Some(vec![RouteKind::Gcc])).told(),
        ),
        ("an order of the user's", gcc().routes(&[RouteKind::Gcc, RouteKind::Zig]).told()),
        (
            "the machine's own triple",
            ask(&["linux/amd64"], developer()).failed(RouteKind::Host, "the linker finds no `foo`").told(),
        ),
    ];
    let told: Vec<String> = told.iter().map(|(title, text)| format!("{title}\n{text}")).collect();
    insta::assert_snapshot!(told.join("\n"));
}
