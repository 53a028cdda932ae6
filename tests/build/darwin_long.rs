//! The long tests of links for macOS: real programs, C and C++ through zig. Minutes on a cold machine, so they are
//! ignored: `cargo test --test build darwin_long -- --ignored`.

use super::darwin_support::{Project, TARGETS, build, install, zig_env};
use crate::support::require;

/// zstd, ring, bundled SQLite (C by zig) and chrono.
#[test]
#[ignore = "compiles SQLite, zstd and ring twice"]
fn c_by_zig() {
    require!(Target("x86_64-apple-darwin"), Target("aarch64-apple-darwin"), Zig, Network);
    let dependencies = "zstd = \"=0.13.3\"\nring = \"=0.17.14\"\nchrono = \"=0.4.42\"\n\
        rusqlite = { version = \"=0.37.0\", features = [\"bundled\"] }";
    let main = "fn main() {
        let packed = zstd::encode_all(&b\"hello\"[..], 3).unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, &packed);
        let key = ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).is_ok();
        let base = rusqlite::Connection::open_in_memory().unwrap();
        let one: i64 = base.query_row(\"select 1\", [], |row| row.get(0)).unwrap();
        println!(\"{digest:?} {key} {one} {}\", chrono::Local::now());
    }";
    let project = Project::new("c-user", dependencies, main);
    for target in TARGETS {
        let binary = build(&project, target, &zig_env(target));
        assert_eq!(binary.unaccounted(), [""; 0], "{target}");
        let looked_up: Vec<&String> = binary.dynamic.iter().filter(|symbol| !symbol.starts_with("_CF")).collect();
        assert_eq!(looked_up, ["_kCFAllocatorSystemDefault"; 0], "{target}");
    }
}

const CPP: &str = r#"
#include <charconv>
#include <iostream>
#include <stdexcept>
#include <string>
#include <unordered_map>
extern "C" int count(int n) {
    std::unordered_map<std::string, int> map;
    char text[64];
    for (int i = 0; i < n; i++) {
        auto end = std::to_chars(text, text + sizeof text, i * 1.5).ptr;
        map[std::string(text, end)] = i;
    }
    try {
        if (n > 3) throw std::runtime_error("too many");
    } catch (const std::exception &error) {
        std::cout << error.what();
    }
    std::cout << map.size() << std::endl;
    return (int)map.size();
}
"#;

#[test]
#[ignore = "zig builds libc++ twice"]
fn cxx_by_zig() {
    require!(Target("x86_64-apple-darwin"), Target("aarch64-apple-darwin"), Zig, Network);
    let manifest = "\n[build-dependencies]\ncc = \"=1.2.62\"";
    let main = "unsafe extern \"C\" { fn count(n: i32) -> i32; } fn main() { println!(\"{}\", unsafe { count(5) }) }";
    let build_rs = "fn main() {
        println!(\"cargo:rerun-if-changed=count.cpp\");
        cc::Build::new().cpp(true).std(\"c++17\").file(\"count.cpp\").compile(\"count\");
    }";
    let project =
        Project::new("cxx-user", manifest, main).file("build.rs", build_rs).file("count.cpp", CPP).with_libcxx();
    for target in TARGETS {
        let binary = build(&project, target, &zig_env(target));
        assert_eq!(binary.dynamic, std::collections::BTreeSet::new(), "{target}");
        assert_eq!(binary.dylibs, ["/usr/lib/libSystem.B.dylib"], "{target}: libc++ is inside");
    }
}

macro_rules! users {
    ($($name:literal: $dependency:literal),* $(,)?) => {
        [$(($name, $dependency, include_str!(concat!("../fixtures/darwin/", $name, ".rs")))),*]
    };
}

/// Libraries that touch macOS, each with a program that uses it.
const LIBRARY_USERS: [(&str, &str, &str); 12] = users![
    "sysinfo": "\"=0.40.1\"",
    "notify": "\"=8.2.1\"",
    "arboard": "\"=3.7.0\"",
    "native-tls": "\"=0.2.18\"",
    "cpal": "\"=0.18.2\"",
    "keyring": "{ version = \"=3.6.3\", features = [\"apple-native\"] }",
    "metal": "\"=0.33.0\"",
    "rfd": "\"=0.17.2\"",
    "system-configuration": "\"=0.8.0\"",
    "battery": "\"=0.7.8\"",
    "winit": "\"=0.30.13\"",
    "curl": "{ version = \"=0.4.51\", default-features = false }",
];

#[test]
#[ignore = "compiles a dozen crates twice"]
fn popular_libraries_are_accounted_for() {
    require!(Target("x86_64-apple-darwin"), Target("aarch64-apple-darwin"), Zig, Network);
    let mut open = Vec::new();
    for (name, dependency, main) in LIBRARY_USERS {
        let project = Project::new(&format!("uses-{name}"), &format!("{name} = {dependency}"), main);
        for target in TARGETS {
            let binary = build(&project, target, &zig_env(target));
            println!("{name} {target}: {}", binary.summary());
            open.extend(binary.unaccounted().into_iter().map(|symbol| format!("{name} {target}: {symbol}")));
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
#[ignore = "compiles four programs twice"]
fn popular_programs_are_accounted_for() {
    require!(Target("x86_64-apple-darwin"), Target("aarch64-apple-darwin"), Zig, Network);
    let mut open = Vec::new();
    for (package, bin) in [("fd-find", "fd"), ("ripgrep", "rg"), ("bat", "bat"), ("du-dust", "dust")] {
        for target in TARGETS {
            let binary = install(package, bin, target, &zig_env(target));
            println!("{package} {target}: {}", binary.summary());
            open.extend(binary.unaccounted().into_iter().map(|symbol| format!("{package} {target}: {symbol}")));
        }
    }
    assert_eq!(open, [""; 0]);
}
