//! Real C and C++ libraries of a sysroot, found by pkg-config, cmake, bindgen and the linker alone, with gcc and with zig.
//!
//! The plans are made by hand: what is tried is how a lane is set up for a sysroot, whoever decides for one.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crate::support::sysroots::{elsewhere, newest, sysroot};
use crate::support::{Project, environment, require, run, tool, zig};
use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::build::{CellResult, Job, run_lanes};
use cargo_convoy::machine::interrupt::Interrupt;
use cargo_convoy::machine::{GccFacts, Machine, Rustc, UserFlags, ZigFacts};
use cargo_convoy::model::catalog::Catalog;
use cargo_convoy::model::request::{Features, Selection};
use cargo_convoy::model::sysroot::Sysroot;
use cargo_convoy::plan::route::CTools;
use cargo_convoy::plan::{Cell, CellPlan, Lane, Linker, Plan, RouteKind, Setup, Status, ZigTool};
use cargo_convoy::project::graph::Bin;
use cargo_convoy::report::{Reporter, Style};

const ARMV7: &str = "armv7-unknown-linux-gnueabihf";
const ARM64: &str = "aarch64-unknown-linux-gnu";
const AMD64: &str = "x86_64-unknown-linux-gnu";

const BULLSEYE: &[&str] =
    &["libc6-dev", "libstdc++-10-dev", "libssl-dev", "zlib1g-dev", "libsqlite3-dev", "libsnappy-dev"];
const BOOKWORM: &[&str] = &["libc6-dev", "libssl-dev", "zlib1g-dev", "libsqlite3-dev"];

/// A program that tells the versions of libraries which are found in different ways.
///
/// - OpenSSL: by the `openssl` crate, with pkg-config;
/// - zlib: by cmake's `find_package`, and SQLite by cmake's own use of pkg-config;
/// - SQLite again: its header by bindgen, the library by nothing but the linker's folders;
/// - Snappy, a C++ library, by a C++ file with `<string>`.
///
/// Assertions in C and C++ bring `__FILE__` of the sysroot's headers into the bytes.
///
/// The tests take turns with it: what is compiled for this machine is then compiled once.
static TELLER: LazyLock<Mutex<Project>> = LazyLock::new(|| {
    let project = Project::empty("teller")
        .manifest(
            "teller",
            "[features]\ncxx = []\n[dependencies]\nopenssl = \"0.10\"\n[build-dependencies]\ncc = \"1\"\ncmake = \"0.1\"\n\
             bindgen = { version = \"0.72\", default-features = false, features = [\"runtime\"] }\n\
             [profile.dev]\nopt-level = 0\n[profile.dev.build-override]\ndebug = false\n",
        )
        .file("build.rs", BUILD)
        .file("csrc/CMakeLists.txt", CMAKE)
        .file("csrc/asks.c", ASKS)
        .file("csrc/strings.cpp", STRINGS)
        .file("csrc/wanted.h", "#include <sqlite3.h>\n#include <limits.h>\n")
        .file("src/main.rs", MAIN);
    Mutex::new(project)
});

fn teller() -> MutexGuard<'static, Project> {
    TELLER.lock().unwrap_or_else(PoisonError::into_inner)
}

const BUILD: &str = r#"
fn main() {
    println!("cargo::rerun-if-changed=csrc");
    let out = cmake::Config::new("csrc").build();
    println!("cargo::rustc-link-search=native={}/lib", out.display());
    println!("cargo::rustc-link-lib=static=asks");
    println!("cargo::rustc-link-lib=z");
    println!("cargo::rustc-link-lib=sqlite3");
    let bindings = bindgen::Builder::default().header("csrc/wanted.h").allowlist_function("sqlite3_libversion");
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap());
    bindings.generate().unwrap().write_to_file(out.join("bindings.rs")).unwrap();
    if std::env::var_os("CARGO_FEATURE_CXX").is_some() {
        cc::Build::new().cpp(true).file("csrc/strings.cpp").compile("strings");
        println!("cargo::rustc-link-lib=snappy");
    }
}
"#;

const CMAKE: &str = r#"
cmake_minimum_required(VERSION 3.10)
project(asks C)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(SQLITE REQUIRED sqlite3)
message(STATUS "zlib is ${ZLIB_LIBRARIES}, sqlite ${SQLITE_VERSION}")
add_library(asks STATIC asks.c)
target_compile_definitions(asks PRIVATE SQLITE_SEEN="${SQLITE_VERSION}")
target_link_libraries(asks ZLIB::ZLIB)
install(TARGETS asks DESTINATION lib)
"#;

const ASKS: &str = r#"
#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>
const char *zlib_says(void) {
    struct stat seen;
    assert(stat("/", &seen) == 0 && INT_MAX > 0);
    return zlibVersion();
}
const char *sqlite_seen(void) { return SQLITE_SEEN; }
"#;

const STRINGS: &str = r#"
#include <cassert>
#include <cstdlib>
#include <iostream>
#include <snappy.h>
#include <string>
#include <vector>
extern "C" int squeezed() {
    std::string out, text(1000, 'a');
    try {
        snappy::Compress(text.data(), text.size(), &out);
        throw std::vector<int>(1, int(out.size()));
    } catch (const std::vector<int> &sizes) {
        std::cout << "snappy " << (sizes.at(0) < 100 ? "squeezes" : "does not") << std::endl;
        return sizes.at(0);
    }
}
"#;

const MAIN: &str = r#"
mod bindings {
    #![allow(non_camel_case_types, non_upper_case_globals, non_snake_case, dead_code)]
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}
unsafe extern "C" {
    fn zlib_says() -> *const std::ffi::c_char;
    fn sqlite_seen() -> *const std::ffi::c_char;
    #[cfg(feature = "cxx")]
    fn squeezed() -> i32;
}
fn main() {
    let text = |pointer| unsafe { std::ffi::CStr::from_ptr(pointer) }.to_str().unwrap();
    println!("{}", openssl::version::version());
    println!("zlib {}", unsafe { text(zlib_says()) });
    println!("sqlite {} {}", unsafe { text(sqlite_seen()) }, unsafe { text(bindings::sqlite3_libversion()) });
    #[cfg(feature = "cxx")]
    assert!(unsafe { squeezed() } > 0);
}
"#;

/// What one lane is made of.
struct Try<'a> {
    route: RouteKind,
    cells: Vec<(&'static str, Option<&'a Sysroot>)>,
    features: &'static [&'static str],
}

/// Builds in a project, and gives each cell's program.
fn build(project: &Project, lane: &str, tried: &Try<'_>) -> BTreeMap<String, Utf8PathBuf> {
    let manifest_path = project.dir.join("Cargo.toml");
    let said = run("rustc", &["-vV"]);
    let told = |word: &str| said.lines().find_map(|line| line.strip_prefix(word)).unwrap().trim().to_owned();
    let mut host = Machine {
        rustc: Rustc { version: told("release:"), host: told("host:").into(), sysroot: Utf8PathBuf::new() },
        zig: Some(ZigFacts { path: zig(), version: run(zig(), &["version"]).trim().to_owned() }),
        linker: Some(tool("cc")),
        ..Machine::default()
    };
    let mut cells = Vec::new();
    for (triple, sysroot) in &tried.cells {
        let name = sysroot.map(|_| format!("of {triple}"));
        host.sysroots.extend(name.clone().zip(sysroot.cloned()));
        cells.push(cell(triple, name, tried.route, &mut host));
    }
    let ids = cells.iter().map(|cell| cell.cell.id.clone()).collect();
    let lanes = vec![Lane {
        id: lane.to_owned(),
        route: tried.route.name().to_owned(),
        cells: ids,
        image: None,
        features: Vec::new(),
        env: BTreeMap::new(),
        build_std: false,
    }];
    let plan = Plan { lanes, cells, sysroots: Vec::new(), host_linker: None };
    let list = tried.features.iter().map(|name| (*name).to_owned()).collect();
    let selection = Selection { features: Features { list, ..Features::default() }, ..Selection::default() };
    run("cargo", &["generate-lockfile", "--quiet", "--manifest-path", manifest_path.as_str()]);
    let package_id = run("cargo", &["pkgid", "--manifest-path", manifest_path.as_str()]).trim().to_owned();
    let (name, version) = ("teller".to_owned(), "0.1.0".to_owned());
    let bins = [Bin { name: name.clone(), package: name, version, package_id, only: None }];
    let convoy_dir = project.dir.join("target/convoy");
    let job = Job {
        build_dir: false,
        plan: &plan,
        selection: &selection,
        profile: "dev",
        bins: &bins,
        host: &host,
        flags: &UserFlags::default(),
        cache: &environment::convoy_cache(),
        convoy_dir,
        manifest_path: Some(manifest_path),
        cwd: project.dir.clone(),
        exe: env!("CARGO_BIN_EXE_cargo-convoy").into(),
        sources: Vec::new(),
        crate_dirs: &Default::default(),
        dist_dir: project.dir.join("dist"),
        packages: Vec::new(),
        machine: String::new(),
        run: String::new(),
        crates: BTreeMap::new(),
        reporter: &Reporter::new("test".to_owned(), Style::default(), None).unwrap(),
        interrupt: &Interrupt::default(),
    };
    let outcomes = run_lanes(&job).unwrap();
    let built = outcomes.into_iter().map(|outcome| match outcome.result {
        CellResult::Built(artifacts) => (outcome.id, artifacts[0].path.clone()),
        other => panic!("{}: {other:#?}", outcome.id),
    });
    built.collect()
}

/// A cell as the plan would have it.
fn cell(triple: &str, sysroot: Option<String>, route: RouteKind, host: &mut Machine) -> CellPlan {
    let target = Catalog::embedded().target(triple).unwrap();
    let own = triple == host.rustc.host;
    let (linker, c) = if route == RouteKind::Zig {
        let known = target.zig.as_ref().unwrap();
        let tool = ZigTool { target: format!("{}.2.31", known.target), mcpu: known.mcpu.clone() };
        (Linker::Zig(tool.clone()), CTools::Zig(tool))
    } else {
        let prefix = target.gcc.as_ref().map(|gcc| format!("{}-", gcc.prefix)).filter(|_| !own).unwrap_or_default();
        let (cc, cxx) = (tool(&format!("{prefix}gcc")), Some(tool(&format!("{prefix}g++"))));
        let ar = Some(tool(&format!("{prefix}ar")));
        let facts = GccFacts {
            prefix,
            cc: cc.clone(),
            cxx: cxx.clone(),
            ar: ar.clone(),
            version: "12".to_owned(),
            glibc: None,
            static_cxx: None,
            headers: None,
            fault: None,
        };
        host.gcc.insert(triple.to_owned(), facts);
        (Linker::Driver(cc.clone()), CTools::Gcc { cc, cxx, ar })
    };
    let record_link = route == RouteKind::Zig && triple.starts_with("arm");
    let rustflags = target.max_page_size.iter().map(|size| format!("-Clink-arg=-Wl,-z,max-page-size={size}")).collect();
    CellPlan {
        cell: Cell {
            id: triple.to_owned(),
            target: triple.into(),
            floor: Some("2.31".parse().unwrap()),
            ..Cell::default()
        },
        status: Status::Buildable,
        route: Some(route),
        because: String::new(),
        rejected: Vec::new(),
        needs: Vec::new(),
        provision: Vec::new(),
        lane: Some("main".to_owned()),
        sysroot: None,
        image: None,
        inner_route: None,
        container: Default::default(),
        broken: false,
        hint: None,
        setup: Setup { linker, c, rustflags, record_link, sysroot, ..Setup::default() },
    }
}

/// What a program says when it runs with the sysroot's libraries.
fn says(triple: &str, program: &Utf8Path, sysroot: &Sysroot) -> String {
    let root = &sysroot.root;
    match triple {
        ARMV7 => run(tool("qemu-arm-static"), &["-L", root.as_str(), program.as_str()]),
        ARM64 => run(tool("qemu-aarch64-static"), &["-L", root.as_str(), program.as_str()]),
        _ => {
            let libraries = root.join("usr/lib/x86_64-linux-gnu");
            let loader = root.join("lib64/ld-linux-x86-64.so.2");
            run(loader, &["--library-path", libraries.as_str(), program.as_str()])
        }
    }
}

#[track_caller]
fn check(triple: &str, program: &Utf8Path, sysroot: &Sysroot, wanted: &[&str]) {
    let said = says(triple, program, sysroot);
    for words in wanted {
        assert!(said.contains(words), "{triple}: `{words}` is not said in\n{said}");
    }
    let glibc = newest(program, "GLIBC");
    assert!(glibc <= (2, 31), "{triple}: GLIBC_{}.{}", glibc.0, glibc.1);
    let bytes = fs_err::read(program).unwrap();
    for path in [sysroot.root.as_str(), sysroot.root.file_name().unwrap()] {
        let found = bytes.windows(path.len()).filter(|window| *window == path.as_bytes()).count();
        assert_eq!(found, 0, "{triple}: the cache's place is in the bytes of {program}");
    }
}

const OLD: [&str; 3] = ["OpenSSL 1.1.1", "zlib 1.2.11", "sqlite 3.34.1 3.34.1"];
const SQUEEZES: &str = "snappy squeezes";

/// What builds by gcc against a sysroot need, and starting the programs.
macro_rules! require_gcc_builds {
    () => {
        require!(
            Target(ARM64),
            Target(ARMV7),
            Network,
            Tool("apt-get"),
            Tool("cmake"),
            Tool("aarch64-linux-gnu-gcc"),
            Tool("arm-linux-gnueabihf-gcc"),
            Tool("qemu-aarch64-static"),
            Tool("qemu-arm-static")
        );
    };
}

#[test]
fn gcc_takes_c_and_cxx_from_the_sysroot_alone_wherever_it_is() {
    require_gcc_builds!();
    let project = teller();
    let armhf = sysroot("bullseye", "armhf", BULLSEYE);
    let arm64 = sysroot("bullseye", "arm64", BULLSEYE);
    let tried = |armhf, arm64| {
        let tried =
            Try { route: RouteKind::Gcc, cells: vec![(ARMV7, Some(armhf)), (ARM64, Some(arm64))], features: &["cxx"] };
        build(&project, "main", &tried)
    };
    let programs = tried(&armhf, &arm64);
    let wanted = [OLD.as_slice(), &[SQUEEZES]].concat();
    check(ARMV7, &programs[ARMV7], &armhf, &wanted);
    check(ARM64, &programs[ARM64], &arm64, &wanted);
    let before = [ARMV7, ARM64].map(|triple| fs_err::read(&programs[triple]).unwrap());

    // Another place of the cache: everything is built again, to the same bytes.
    let dir = project.dir.join("another,caché@+");
    for name in ["a", "b"] {
        fs_err::create_dir_all(dir.join(name)).unwrap();
    }
    let programs = tried(&elsewhere(&armhf, &dir.join("a")), &elsewhere(&arm64, &dir.join("b")));
    let after = [ARMV7, ARM64].map(|triple| fs_err::read(&programs[triple]).unwrap());
    assert!(before == after, "the cache's place changes the bytes");

    // Another sysroot under the same name: what was built with the old one does not stay.
    let stamp = project.dir.join("target/convoy/main").join(format!("{ARM64}.convoy-key"));
    let key = fs_err::read_to_string(stamp).unwrap();
    assert!(key.contains(&arm64.digest), "{key}");
}

#[test]
fn this_machines_own_gcc_keeps_an_older_floor() {
    require_gcc_builds!();
    let project = teller();
    let amd64 = sysroot("bullseye", "amd64", BULLSEYE);
    let tried = |route, features| build(&project, "own", &Try { route, cells: vec![(AMD64, Some(&amd64))], features });
    let programs = tried(RouteKind::Gcc, &["cxx"][..]);
    check(AMD64, &programs[AMD64], &amd64, &[OLD.as_slice(), &[SQUEEZES]].concat());
    let programs = tried(RouteKind::Zig, &[]);
    check(AMD64, &programs[AMD64], &amd64, &OLD);
}

#[test]
fn zig_keeps_its_libc_and_takes_libraries_of_any_age() {
    require!(
        Target(ARM64),
        Target(ARMV7),
        Zig,
        Network,
        Tool("apt-get"),
        Tool("cmake"),
        Tool("qemu-aarch64-static"),
        Tool("qemu-arm-static")
    );
    let project = teller();
    let old = [sysroot("bullseye", "armhf", BULLSEYE), sysroot("bullseye", "arm64", BULLSEYE)];
    let new = [sysroot("bookworm", "armhf", BOOKWORM), sysroot("bookworm", "arm64", BOOKWORM)];
    for ([armhf, arm64], wanted) in [(old, OLD), (new, ["OpenSSL 3.0.", "zlib 1.2.13", "sqlite 3.40.1 3.40.1"])] {
        let cells = vec![(ARMV7, Some(&armhf)), (ARM64, Some(&arm64))];
        let programs = build(&project, "main", &Try { route: RouteKind::Zig, cells, features: &[] });
        // What links against a newer libcrypto starts where that is, and still asks for no newer glibc itself.
        check(ARMV7, &programs[ARMV7], &armhf, &wanted);
        check(ARM64, &programs[ARM64], &arm64, &wanted);
    }
}

const LOOKS: &str = r#"
cmake_minimum_required(VERSION 3.10)
project(looks C)
find_library(FOREIGN NAMES stdc++ gcc_s dbus-1 PATHS /usr/lib /lib)
find_path(HEADER stdio.h)
find_package(PkgConfig)
pkg_check_modules(ANY zlib)
foreach(found FOREIGN HEADER ANY_FOUND)
    if(${found})
        message(FATAL_ERROR "found on this machine: ${${found}}")
    endif()
endforeach()
find_library(MATHS m)
find_path(OWN own.h PATHS ${CMAKE_CURRENT_SOURCE_DIR}/inner)
find_path(GIVEN given.h)
foreach(wanted MATHS OWN GIVEN)
    if(NOT ${wanted})
        message(FATAL_ERROR "not found: ${wanted}")
    endif()
endforeach()
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/empty.c "int looked(void) { return 42; }")
add_library(looks STATIC ${CMAKE_CURRENT_BINARY_DIR}/empty.c)
target_link_libraries(looks ${MATHS})
install(TARGETS looks DESTINATION lib)
"#;

/// The build script stands for two crates: one that has built something, and one that is told where that is.
const LOOKING: &str = r#"
fn main() {
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap());
    std::fs::create_dir_all(out.join("given/include")).unwrap();
    std::fs::write(out.join("given/include/given.h"), "").unwrap();
    // A build script is a process of its own, with this one thread.
    unsafe { std::env::set_var("DEP_GIVEN_ROOT", out.join("given")) };
    let built = cmake::Config::new("csrc").register_dep("GIVEN").build();
    println!("cargo::rustc-link-search=native={}/lib", built.display());
    println!("cargo::rustc-link-lib=static=looks");
}
"#;

#[test]
fn without_a_sysroot_cmake_finds_nothing_of_this_machine() {
    require!(Zig, Network, Tool("cmake"));
    let project = Project::empty("nothing")
        .manifest("teller", "[build-dependencies]\ncmake = \"0.1\"\n")
        .file("build.rs", LOOKING)
        .file("csrc/CMakeLists.txt", LOOKS)
        .file("csrc/inner/own.h", "")
        .file(
            "src/main.rs",
            "unsafe extern \"C\" { fn looked() -> i32; }\nfn main() { println!(\"{}\", unsafe { looked() }); }\n",
        );
    // The machine's own architecture is the one that would be found by mistake.
    for triple in [AMD64, ARM64] {
        let programs =
            build(&project, "main", &Try { route: RouteKind::Zig, cells: vec![(triple, None)], features: &[] });
        assert!(programs[triple].is_file());
    }
}
