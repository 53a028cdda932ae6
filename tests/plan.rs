//! Every decision of the planner, with no process started: synthetic machines × needs × target words.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use cargo_convoy::catalog::{Catalog, DEFAULT_MATRIX};
use cargo_convoy::config::{Origin, Settings, SupplySettings, SupplySource, TargetSettings, Valued};
use cargo_convoy::host::{AptFacts, FoundBy, FoundLibrary, GccFacts, HostFacts, Rustc, UserTool, UserTools, ZigFacts};
use cargo_convoy::needs::{Confidence, Need, NeedKind, Side};
use cargo_convoy::plan::{self, CellInput, Linker, Plan, RouteKind, Status, matrix, route::CTools};
use cargo_convoy::sysroot::{RefusedSysroot, Sysroot};

const HOST: &str = "x86_64-unknown-linux-gnu";

/// A machine with rustup's tools and nothing else; pip would bring zig.
fn bare() -> HostFacts {
    HostFacts {
        rustc: Rustc {
            version: "1.95.0 (59807616e 2026-04-14)".to_owned(),
            host: HOST.to_owned(),
            sysroot: "/rust".into(),
        },
        toolchain: Some("stable-x86_64-unknown-linux-gnu".to_owned()),
        std: Catalog::embedded().targets.iter().map(|target| target.triple.clone()).collect(),
        rust_lld: Some("/rust/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld".into()),
        glibc: Some("2.36".parse().unwrap()),
        ..HostFacts::default()
    }
}

/// The same, with a C compiler, zig and the usual build tools.
fn developer() -> HostFacts {
    HostFacts {
        linker: Some("/usr/bin/cc".into()),
        cxx: Some("/usr/bin/c++".into()),
        zig: Some(ZigFacts { path: "/opt/zig/zig".into(), version: "0.17.1".to_owned() }),
        tools: ["cmake", "make", "perl"]
            .map(|name| (name.to_owned(), Utf8PathBuf::from(format!("/usr/bin/{name}"))))
            .into(),
        ..bare()
    }
}

/// The same, with Debian's cross compilers, whose glibc is this one.
fn with_gcc(glibc: Option<&str>) -> HostFacts {
    let gcc = [
        ("aarch64-unknown-linux-gnu", "aarch64-linux-gnu"),
        ("armv7-unknown-linux-gnueabihf", "arm-linux-gnueabihf"),
        ("x86_64-pc-windows-gnu", "x86_64-w64-mingw32"),
    ];
    let facts = |prefix: &str| GccFacts {
        prefix: prefix.to_owned(),
        cc: format!("/usr/bin/{prefix}-gcc").into(),
        cxx: Some(format!("/usr/bin/{prefix}-g++").into()),
        ar: Some(format!("/usr/bin/{prefix}-ar").into()),
        version: "12.2.0".to_owned(),
        glibc: glibc.map(|text| text.parse().unwrap()).filter(|_| !prefix.ends_with("mingw32")),
        static_cxx: None,
        fault: None,
    };
    HostFacts {
        gcc: gcc.into_iter().map(|(triple, prefix)| (triple.to_owned(), facts(prefix))).collect(),
        ..developer()
    }
}

fn need(kind: NeedKind, package: &str) -> Need {
    Need {
        kind,
        name: if kind == NeedKind::SystemLibrary { "foo".to_owned() } else { kind.name().to_owned() },
        side: if kind == NeedKind::HostLinker { Side::Host } else { Side::Target },
        package: package.to_owned(),
        version: "1.0.0".to_owned(),
        paths: vec![vec!["app".to_owned(), "middle".to_owned(), package.to_owned()]],
        evidence: "this test says so".to_owned(),
        confidence: Confidence::Known,
        by_pkg_config: false,
        loaded: false,
        supply: None,
    }
}

fn c() -> Vec<Need> {
    vec![need(NeedKind::CCompiler, "zstd-sys"), need(NeedKind::HostLinker, "zstd-sys")]
}

fn cxx() -> Vec<Need> {
    vec![need(NeedKind::CxxCompiler, "cxx-user"), need(NeedKind::HostLinker, "cxx-user")]
}

/// One question to the planner.
struct Question {
    words: Vec<String>,
    host: HostFacts,
    needs: Vec<Need>,
    provision: bool,
    supply: SupplySettings,
    tables: Vec<(String, TargetSettings)>,
    routes: Option<Vec<RouteKind>>,
    failed: BTreeMap<RouteKind, String>,
}

fn ask(words: &[&str], host: HostFacts) -> Question {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Question {
        words,
        host,
        needs: Vec::new(),
        provision: true,
        supply: SupplySettings::default(),
        tables: Vec::new(),
        routes: None,
        failed: BTreeMap::new(),
    }
}

impl Question {
    fn needs(mut self, needs: Vec<Need>) -> Self {
        self.needs = needs;
        self
    }

    fn never_provision(mut self) -> Self {
        self.provision = false;
        self
    }

    fn supply(mut self, edit: impl FnOnce(&mut SupplySettings)) -> Self {
        edit(&mut self.supply);
        self
    }

    fn table(mut self, word: &str, edit: impl FnOnce(&mut TargetSettings)) -> Self {
        let mut table = TargetSettings::default();
        edit(&mut table);
        self.tables.push((word.to_owned(), table));
        self
    }

    fn routes(mut self, routes: &[RouteKind]) -> Self {
        self.routes = Some(routes.to_vec());
        self
    }

    fn failed(mut self, route: RouteKind, cause: &str) -> Self {
        self.failed.insert(route, cause.to_owned());
        self
    }

    fn user_linker(mut self, triple: &str, value: &str, origin: &str) -> Self {
        let linker = Some(UserTool { value: value.to_owned(), origin: origin.to_owned() });
        self.host.user.insert(triple.to_owned(), UserTools { linker, cc: None });
        self
    }

    fn plan(self) -> Plan {
        fn valued<T>(value: T) -> Valued<T> {
            Valued { value, origin: Origin::Default }
        }
        let settings = Settings {
            targets: valued(self.words.clone()),
            dist_dir: valued("/project/dist".into()),
            profile: valued("release".to_owned()),
            provision: valued(self.provision),
            offline: false,
            ignore_needs: false,
            needs: [].into(),
            supply: self.supply,
            tables: self.tables,
        };
        let known =
            ["riscv64gc-unknown-linux-gnu", "i686-unknown-linux-musl", "sparc64-unknown-linux-gnu"].map(str::to_owned);
        let configured = |names: &[&str]| settings.for_names(names.iter().copied());
        let cells = matrix::cells(&self.words, Catalog::embedded(), HOST, &known, &configured).unwrap();
        let inputs = cells
            .into_iter()
            .map(|cell| {
                let own = settings.for_names(matrix::names_of(&cell));
                let routes = self.routes.clone().or_else(|| own.routes.clone());
                CellInput { cell, needs: self.needs.clone(), settings: own, routes, failed: self.failed.clone() }
            })
            .collect();
        plan::plan(inputs, &self.host, &settings, Catalog::embedded())
    }

    /// The plan as short text.
    fn told(self) -> String {
        let plan = self.plan();
        let mut text = String::new();
        for cell in &plan.cells {
            let route = cell.route.map_or("BLOCKED", RouteKind::name);
            text += &format!("{}: {route}, {}\n", cell.cell.id, cell.because);
            for brought in &cell.provision {
                let version = brought.version.as_deref().unwrap_or_default();
                text += &format!("  brings {:?} {} {version}\n", brought.kind, brought.name);
            }
            for rejected in &cell.rejected {
                text += &format!("  not {}: {}\n", rejected.route, rejected.reason);
            }
            for need in cell.needs.iter().filter(|need| need.supply.is_some()) {
                let supply = need.supply.as_ref().unwrap();
                text += &format!("  {} by {:?}: {}\n", need.name, supply.kind, supply.name);
            }
            if let Some(hint) = &cell.hint {
                text += &format!("  hint: {hint}\n");
            }
            if cell.route.is_some() {
                text += &format!("  linker {}; C {}\n", linker(&cell.setup.linker), compilers(&cell.setup.c));
                if !cell.setup.rustflags.is_empty() {
                    text += &format!("  rustflags {}\n", cell.setup.rustflags.join(" "));
                }
                if !cell.setup.cflags.is_empty() {
                    text += &format!("  cflags {}\n", cell.setup.cflags.join(" "));
                }
                if cell.setup.record_link {
                    text += "  the link line is recorded\n";
                }
            }
        }
        for sysroot in &plan.sysroots {
            let packages: Vec<&str> = sysroot.packages.iter().map(String::as_str).collect();
            text += &format!("sysroot {}: {}", sysroot.key, packages.join(" "));
            text += &sysroot.archive.mirrors.iter().map(|mirror| format!(" from {mirror}")).collect::<String>();
            text += "\n";
        }
        for lane in &plan.lanes {
            text += &format!("lane {} ({}): {}\n", lane.id, lane.route, lane.cells.join(", "));
        }
        if let Some(zig) = &plan.host_linker {
            text += &format!("this machine's own programs are linked by zig for {}\n", zig.target);
        }
        text
    }
}

fn linker(linker: &Linker) -> String {
    match linker {
        Linker::Inherit => "inherited".to_owned(),
        Linker::Driver(path) => path.to_string(),
        Linker::Zig(tool) => format!("zig for {}{}", tool.target, mcpu(tool.mcpu.as_deref())),
        Linker::RustLld(_) => "rust-lld".to_owned(),
        Linker::Darwin { libcxx, .. } if libcxx.is_some() => "rust-lld, stubs, zig's libc++".to_owned(),
        Linker::Darwin { .. } => "rust-lld, stubs".to_owned(),
    }
}

fn compilers(c: &CTools) -> String {
    match c {
        CTools::Inherit => "inherited".to_owned(),
        CTools::Gcc { cc, .. } => cc.to_string(),
        CTools::Zig(tool) => format!("zig for {}{}", tool.target, mcpu(tool.mcpu.as_deref())),
    }
}

fn mcpu(mcpu: Option<&str>) -> String {
    mcpu.map(|mcpu| format!(" {mcpu}")).unwrap_or_default()
}

// Routes.

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
    let blocked = ask(&["linux/amd64.2.28"], HostFacts { zig: None, ..developer() }).never_provision().told();
    insta::assert_snapshot!(format!("{plain}\n{kept}\n{older}\n{blocked}"));
}

#[test]
fn a_triple_outside_the_catalog_is_tried() {
    let words = ["riscv64gc-unknown-linux-gnu", "i686-unknown-linux-musl", "sparc64-unknown-linux-gnu"];
    insta::assert_snapshot!(ask(&words, developer()).told());
}

// What is missing.

#[test]
fn no_zig_and_nothing_may_be_brought() {
    let host = HostFacts { zig: None, ..developer() };
    insta::assert_snapshot!(ask(DEFAULT_MATRIX, host).needs(c()).never_provision().told());
}

#[test]
fn zig_cannot_be_brought() {
    let host = HostFacts {
        zig: None,
        zig_unavailable: Some("no Python is on PATH to fetch it with".to_owned()),
        ..developer()
    };
    insta::assert_snapshot!(ask(&["linux/arm64", "darwin/arm64"], host).needs(c()).told());
}

#[test]
fn zig_is_brought_once_and_named_by_every_cell_that_needs_it() {
    let host = HostFacts { zig: None, ..developer() };
    insta::assert_snapshot!(ask(&["linux/arm64", "darwin/arm64"], host).needs(c()).told());
}

#[test]
fn a_missing_std_is_brought_refused_or_built() {
    let mut missing = developer();
    missing.std.remove("aarch64-unknown-linux-musl");
    let word = ["aarch64-unknown-linux-musl"];
    let build_std = |table: &mut TargetSettings| table.build_std = Some(true);
    let mut refused = missing.clone();
    refused.refused_std.insert(word[0].to_owned(), "component 'rust-std' is unavailable for download".to_owned());
    let source = HostFacts { rust_src: true, ..refused.clone() };
    let mut no_source = missing.clone();
    no_source.refused_src = Some("could not download file".to_owned());
    let no_rustup = HostFacts { toolchain: None, ..missing.clone() };
    let told = [
        ("brought", ask(&word, missing.clone()).told()),
        ("may not be brought", ask(&word, missing.clone()).never_provision().told()),
        ("no rustup", ask(&word, no_rustup.clone()).told()),
        ("refused by rustup", ask(&word, refused.clone()).told()),
        ("refused, built", ask(&word, refused.clone()).table(word[0], build_std).told()),
        ("refused, built from a source that is here", ask(&word, source).table(word[0], build_std).told()),
        ("source may not be brought", ask(&word, refused).never_provision().table(word[0], build_std).told()),
        ("source refused by rustup", ask(&word, no_source).table(word[0], build_std).told()),
        ("no source and no rustup", ask(&word, no_rustup).table(word[0], build_std).told()),
    ];
    let told: Vec<String> = told.iter().map(|(title, text)| format!("{title}\n{text}")).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn no_linker_for_this_machine() {
    let needs = || vec![need(NeedKind::HostLinker, "serde_derive")];
    let words = ["x86_64-unknown-linux-musl", "darwin/arm64", "linux/amd64"];
    let with_zig = HostFacts { linker: None, ..developer() };
    let pip = bare();
    let nothing = HostFacts { zig_unavailable: Some("no Python is on PATH to fetch it with".to_owned()), ..bare() };
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
    let host = HostFacts { rust_lld: None, ..bare() };
    let told = ask(&["x86_64-unknown-linux-musl", "darwin/arm64"], host).never_provision().told();
    let zig = ask(&["x86_64-unknown-linux-musl", "darwin/arm64"], HostFacts { rust_lld: None, ..developer() }).told();
    insta::assert_snapshot!(format!("{told}\nwith zig\n{zig}"));
}

#[test]
fn a_missing_build_tool_is_named_with_who_wants_it() {
    let host = HostFacts { tools: Default::default(), ..with_gcc(Some("2.31")) };
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
    let found = |triples: &[&str], by: FoundBy| HostFacts {
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

#[test]
fn a_compiler_that_failed_its_trial_is_passed_over() {
    let mut host = with_gcc(Some("2.31"));
    for gcc in host.gcc.values_mut() {
        gcc.fault = Some("`/usr/bin/x-gcc` cannot link a line of C: cannot find crt1.o".to_owned());
    }
    let no_cxx = HostFacts { cxx: None, ..developer() };
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
    let second = ask(&["linux/arm64"], HostFacts { zig: None, ..with_gcc(Some("2.31")) })
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

// Lanes.

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
    let question = ask(&words, HostFacts { rust_src: true, ..developer() })
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
    let plan = ask(&["linux/arm64", "x86_64-unknown-linux-musl"], HostFacts { zig: None, ..developer() })
        .never_provision()
        .plan();
    assert!(plan.has_blocked());
    assert_eq!(plan.lanes.len(), 1);
    assert_eq!(plan.lanes[0].cells, ["x86_64-unknown-linux-musl"]);
    assert_eq!(plan.cell("aarch64-unknown-linux-gnu").unwrap().lane, None);
}

// Sysroots.

/// A Debian machine: its apt knows an archive, and pkg-config is there.
fn with_apt(mut host: HostFacts) -> HostFacts {
    host.tools.insert("pkg-config".to_owned(), "/usr/bin/pkg-config".into());
    host.apt = Some(AptFacts {
        apt_get: "/usr/bin/apt-get".into(),
        helper: "/usr/lib/apt/apt-helper".into(),
        distribution: "debian".to_owned(),
        mirror: Some("http://mirror/debian".to_owned()),
        keyring: Some("/usr/share/keyrings/debian-archive-keyring.gpg".into()),
    });
    // This machine's own gcc by its full name.
    let own = GccFacts {
        prefix: "x86_64-linux-gnu".to_owned(),
        cc: "/usr/bin/x86_64-linux-gnu-gcc".into(),
        cxx: Some("/usr/bin/x86_64-linux-gnu-g++".into()),
        ar: None,
        version: "12.2.0".to_owned(),
        glibc: Some("2.36".parse().unwrap()),
        static_cxx: None,
        fault: None,
    };
    host.gcc.insert(HOST.to_owned(), own);
    host
}

fn library(name: &str, package: &str) -> Need {
    Need { name: name.to_owned(), ..need(NeedKind::SystemLibrary, package) }
}

fn openssl() -> Vec<Need> {
    vec![library("openssl", "openssl-sys"), need(NeedKind::HostLinker, "openssl-sys")]
}

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
    let question = |host: HostFacts| ask(&["linux/arm64"], host).needs(openssl());
    let host = || with_apt(with_gcc(Some("2.36")));
    let mut ubuntu = host();
    ubuntu.apt = ubuntu.apt.map(|apt| AptFacts { distribution: "ubuntu".to_owned(), mirror: None, ..apt });
    let mut without_apt = host();
    without_apt.apt = None;
    let mut without_pkg_config = host();
    without_pkg_config.tools.remove("pkg-config");
    let mut refused = host();
    let why = RefusedSysroot { reason: "the mirror is down".to_owned(), hint: None, work: false };
    refused.refused_sysroots.insert("bookworm/arm64".to_owned(), why);
    let mut by_user = host();
    let found = FoundLibrary { version: None, by: FoundBy::User, file: "/opt/arm/lib/pkgconfig/zlib.pc".into() };
    by_user.libraries.insert("aarch64-unknown-linux-gnu".to_owned(), [("zlib".to_owned(), found)].into());
    let mut both = openssl();
    both.push(Need { side: Side::Host, ..library("openssl", "build-tool") });
    let text = [
        ("ubuntu", question(ubuntu)),
        ("no apt", question(without_apt)),
        ("no pkg-config", question(without_pkg_config)),
        ("refused in this run", question(refused)),
        ("never provision", question(host()).never_provision()),
        ("order without sysroots", question(host()).supply(|supply| supply.order = Some(vec![SupplySource::Host]))),
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
                supply.order = Some(vec![SupplySource::Sysroot, SupplySource::Host]);
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
