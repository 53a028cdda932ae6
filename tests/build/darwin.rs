//! Links for macOS without an SDK, on real programs: with rustup's `rust-lld`, for both darwin targets.
//!
//! They need (a missing tool fails them) both darwin targets of rustup and the crates registry; `darwin_heavy` holds
//! those that take minutes or zig.

use crate::support::require;
use std::collections::BTreeSet;

use super::darwin_support::{Project, TARGETS, build};
use cargo_convoy::verify::darwin::Account;

#[test]
fn hello_world_binds_exactly() {
    require!(Target("x86_64-apple-darwin"), Target("aarch64-apple-darwin"));
    let project = Project::new("hello", "", "fn main() { println!(\"Hello, world!\"); }");
    for target in TARGETS {
        let binary = build(&project, target, &[]);
        assert_eq!(binary.dynamic, BTreeSet::new(), "{target}: everything is libSystem's");
        assert_eq!(binary.bound.get("_write").map(String::as_str), Some("/usr/lib/libSystem.B.dylib"));
        assert_eq!(binary.dylibs, ["/usr/lib/libSystem.B.dylib"]);
        let min_os = if target.starts_with("x86_64") { (10, 12) } else { (11, 0) };
        assert_eq!(binary.min_os, Some(min_os), "{target}");
        // arm64 macOS starts no unsigned program.
        assert_eq!(binary.signed, target.starts_with("aarch64"), "{target}");
    }
}

#[test]
fn the_users_deployment_target_is_kept() {
    require!(Target("x86_64-apple-darwin"), Target("aarch64-apple-darwin"));
    let project = Project::new("hello-12", "", "fn main() {}");
    let binary = build(&project, TARGETS[1], &[("MACOSX_DEPLOYMENT_TARGET".to_owned(), "12.3".to_owned())]);
    assert_eq!(binary.min_os, Some((12, 3)));
}

#[test]
fn a_forgotten_c_library_is_unaccounted() {
    require!(Target("x86_64-apple-darwin"), Target("aarch64-apple-darwin"));
    let main = "unsafe extern \"C\" { fn sodium_init() -> i32; fn deflate(stream: *mut u8, flush: i32) -> i32; }
        fn main() { unsafe { println!(\"{}\", sodium_init() + deflate(std::ptr::null_mut(), 0)) } }";
    let project = Project::new("planted", "", main);
    for target in TARGETS {
        let unaccounted: Vec<String> = build(&project, target, &[]).unaccounted();
        assert_eq!(unaccounted, ["_deflate", "_sodium_init"], "{target}");
    }
}

#[test]
fn a_listed_library_binds_exactly() {
    require!(Target("x86_64-apple-darwin"), Target("aarch64-apple-darwin"));
    let main = "#[link(name = \"z\")] unsafe extern \"C\" { fn zlibVersion() -> *const std::ffi::c_char; }
        #[link(name = \"sqlite3\")] unsafe extern \"C\" { fn sqlite3_libversion_number() -> i32; }
        fn main() { unsafe { println!(\"{:p} {}\", zlibVersion(), sqlite3_libversion_number()) } }";
    let project = Project::new("listed", "", main);
    for target in TARGETS {
        let binary = build(&project, target, &[]);
        assert_eq!(binary.bound.get("_zlibVersion").map(String::as_str), Some("/usr/lib/libz.1.dylib"));
        assert_eq!(binary.account("_sqlite3_libversion_number"), Account::Library("sqlite3".to_owned()));
        assert_eq!(binary.unaccounted(), [""; 0]);
    }
}

#[test]
fn a_proc_macro_user() {
    require!(Target("x86_64-apple-darwin"), Target("aarch64-apple-darwin"), Network);
    let main = "#[derive(serde::Serialize)] struct S { a: u8 }
        fn needs(_: impl serde::Serialize) {}
        fn main() { needs(S { a: 1 }) }";
    let project = Project::new("serde-user", "serde = { version = \"=1.0.228\", features = [\"derive\"] }", main);
    for target in TARGETS {
        assert_eq!(build(&project, target, &[]).dynamic, BTreeSet::new(), "{target}");
    }
}

#[test]
fn framework_users_are_accounted_for() {
    require!(Target("x86_64-apple-darwin"), Target("aarch64-apple-darwin"), Network);
    // CoreFoundation through iana-time-zone.
    let chrono = "chrono = { version = \"=0.4.42\", default-features = false, features = [\"clock\"] }";
    let project = Project::new("chrono-user", chrono, "fn main() { println!(\"{}\", chrono::Local::now()) }");
    for target in TARGETS {
        let binary = build(&project, target, &[]);
        assert_eq!(binary.account("_CFRelease"), Account::Framework("CoreFoundation".to_owned()), "{target}");
        assert!(binary.dynamic.contains("_CFRelease"));
        assert_eq!(binary.unaccounted(), [""; 0], "{target}");
    }
    // Foundation and libobjc through objc2.
    let project = Project::new("trash-user", "trash = \"=5.2.3\"", "fn main() { trash::delete(\"x\").unwrap() }");
    let binary = build(&project, TARGETS[1], &[]);
    assert_eq!(binary.bound.get("_objc_msgSend").map(String::as_str), Some("/usr/lib/libobjc.A.dylib"));
    assert_eq!(binary.unaccounted(), [""; 0]);
}
