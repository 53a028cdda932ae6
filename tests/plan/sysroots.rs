//! Libraries that come in a sysroot: of which release, for which compiler, and what keeps one away.

use cargo_convoy::machine::engine::Engine;
use cargo_convoy::machine::{AptFacts, FoundBy, FoundLibrary, Machine};
use cargo_convoy::model::supply::SupplyKind;
use cargo_convoy::model::sysroot::Sysroot;
use cargo_convoy::plan::{Attempt, Refused};
use cargo_convoy::project::needs::{Need, NeedKind, Side};

use crate::question::*;

#[test]
fn a_library_that_is_not_here_comes_in_a_sysroot_of_its_release() {
    let words = ["linux/amd64", "linux/arm64", "linux/arm/v7", "x86_64-unknown-linux-musl", "darwin/arm64"];
    insta::assert_snapshot!(ask(&words, with_apt(with_gcc(Some("2.36")))).needs(openssl()).told());
}

#[test]
fn the_floor_that_is_asked_chooses_the_release() {
    let words = [
        "x86_64-unknown-linux-gnu.2.31",
        "aarch64-unknown-linux-gnu.2.28",
        "aarch64-unknown-linux-gnu.2.31",
        "aarch64-unknown-linux-gnu.2.36",
        "aarch64-unknown-linux-gnu.2.41",
        "armv7-unknown-linux-gnueabihf.2.41",
    ];
    insta::assert_snapshot!(ask(&words, with_apt(with_gcc(Some("2.36")))).needs(openssl()).told());
}

#[test]
fn zig_serves_a_sysroot_where_no_gcc_is_and_no_library_is_cxx() {
    let words = ["linux/arm64", "linux/arm/v7"];
    insta::assert_snapshot!(ask(&words, with_apt(developer())).needs(openssl()).told());
    let cxx = vec![library("rocksdb", "librocksdb-sys"), need(NeedKind::HostLinker, "librocksdb-sys")];
    let all: Vec<Need> = openssl().into_iter().chain(cxx).collect();
    insta::assert_snapshot!(ask(&["linux/arm64"], with_apt(developer())).needs(all).told());
}

#[test]
fn what_keeps_a_sysroot_away_is_said() {
    let question = |host: Machine| ask(&["linux/arm64"], host).needs(openssl());
    let host = || with_apt(with_gcc(Some("2.36")));
    let mut ubuntu = host();
    ubuntu.apt = ubuntu.apt.map(|apt| AptFacts { distribution: "ubuntu".to_owned(), mirror: None, ..apt });
    let mut without_apt = host();
    without_apt.apt = None;
    let mut without_pkg_config = host();
    without_pkg_config.tools.remove("pkg-config");
    let why = Refused { reason: "the mirror is down".to_owned(), hint: None, work: false };
    let refused = |attempt: &mut Attempt| attempt.sysroots = [("bookworm/arm64".to_owned(), why)].into();
    let mut by_user = host();
    let found = FoundLibrary { version: None, by: FoundBy::User, file: "/opt/arm/lib/pkgconfig/zlib.pc".into() };
    by_user.libraries.insert("aarch64-unknown-linux-gnu".to_owned(), [("zlib".to_owned(), found)].into());
    let mut both = openssl();
    both.push(Need { side: Side::Host, ..library("openssl", "build-tool") });
    let text = [
        ("ubuntu", question(ubuntu)),
        ("no apt", question(without_apt)),
        ("no pkg-config", question(without_pkg_config)),
        ("no engine may be used either", {
            let none = Engine::None { reason: "none is set".to_owned(), hint: None };
            question(Machine { apt: None, engine: none, ..host() })
        }),
        ("refused in this run", question(host()).refused(refused)),
        ("never provision", question(host()).never_provision()),
        ("order without sysroots", question(host()).supply(|supply| supply.order = Some(vec![SupplyKind::Host]))),
        ("the user's own variables", question(by_user)),
        (
            "the user's own linker",
            question(host()).user_linker("aarch64-unknown-linux-gnu", "my-gcc", ".cargo/config.toml"),
        ),
        ("ARMv6", ask(&["linux/arm/v6"], host()).needs(openssl())),
        ("a build script needs it too", ask(&["x86_64-unknown-linux-gnu.2.31"], host()).needs(both)),
        ("an old gcc", {
            let mut host = host();
            host.zig_unavailable = Some("no pip".to_owned());
            host.zig = None;
            host.gcc.values_mut().for_each(|gcc| gcc.version = "9.4.0".to_owned());
            question(host)
        }),
    ];
    let told: String = text.into_iter().map(|(name, question)| format!("== {name}\n{}\n", question.told())).collect();
    insta::assert_snapshot!(told);
}

#[test]
fn configuration_chooses_supply_packages_and_archive() {
    let host = || with_apt(with_gcc(Some("2.36")));
    let machine = || {
        let mut host = host();
        let found =
            FoundLibrary { version: Some("3.0".to_owned()), by: FoundBy::Machine, file: "/usr/lib/openssl.pc".into() };
        let libraries = [("openssl".to_owned(), found)].into();
        host.libraries.insert(HOST.to_owned(), libraries);
        host
    };
    let text = [
        ("host first", ask(&[HOST], machine()).needs(openssl())),
        (
            "sysroot first",
            ask(&[HOST], machine()).needs(openssl()).supply(|supply| {
                supply.order = Some(vec![SupplyKind::Sysroot, SupplyKind::Host]);
            }),
        ),
        (
            "packages for all",
            ask(&["linux/arm64", "darwin/arm64"], host()).supply(|supply| {
                supply.packages = vec!["libfoo-dev".to_owned()];
            }),
        ),
        ("unknown library", {
            let needs = vec![library("foo", "foo-sys")];
            ask(&["linux/arm64"], host()).needs(needs).supply(|supply| supply.packages = vec!["libfoo-dev".to_owned()])
        }),
        ("an archive of its own", {
            ask(&["linux/arm/v6", "linux/arm/v7"], host()).needs(openssl()).table("linux/arm/v6", |table| {
                table.supply.mirrors = Some(vec!["http://raspbian".to_owned()]);
            })
        }),
    ];
    let told: String = text.into_iter().map(|(name, question)| format!("== {name}\n{}\n", question.told())).collect();
    insta::assert_snapshot!(told);
}

#[test]
fn a_sysroot_that_is_here_brings_nothing() {
    let mut host = with_apt(with_gcc(Some("2.36")));
    let requested = ["libc6-dev", "libssl-dev", "zlib1g-dev"].map(str::to_owned).into();
    let sysroot = Sysroot { root: "/cache/root".into(), digest: "00".to_owned(), requested };
    host.sysroots.insert("bookworm/arm64".to_owned(), sysroot);
    let plan = ask(&["linux/arm64"], host).needs(openssl()).plan();
    assert_eq!(plan.cells[0].provision, []);
    assert_eq!(plan.sysroots[0].packages.len(), 2);
}
