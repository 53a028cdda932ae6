//! Builds that fail, and tools that misbehave: fake tools are found before the real ones.

use crate::support::{HELLO, Project, ids, require, rows, run, tool};
use camino::Utf8PathBuf;

const AMD64: &str = "x86_64-unknown-linux-gnu";
pub const MUSL: &str = "x86_64-unknown-linux-musl";
pub const ARM64_MUSL: &str = "aarch64-unknown-linux-musl";

/// The three in one lane, none of which needs C or zig.
pub fn three() -> String {
    [AMD64, MUSL, ARM64_MUSL].join(",")
}

/// cargo of the toolchain, without rustup's proxy before it.
fn real_cargo() -> Utf8PathBuf {
    match std::env::var("CARGO") {
        Ok(cargo) => cargo.into(),
        Err(_) => tool("cargo"),
    }
}

/// A cargo that runs these lines of shell before the real one.
pub fn with_cargo(project: &Project, lines: &str) -> Utf8PathBuf {
    project.script("fake/cargo", &format!("#!/bin/sh\n{lines}\nexec '{}' \"$@\"\n", real_cargo()))
}

// Who is to blame.

#[test]
fn a_compile_error_of_one_target_is_told_under_its_name_and_the_others_finish() {
    require!(Target(MUSL), Target(ARM64_MUSL));
    let project = Project::empty("compile-error").manifest("hello", "").file(
        "src/main.rs",
        "#[cfg(all(target_env = \"musl\", target_arch = \"x86_64\"))]\ncompile_error!(\"not for this one\");\n\
         fn main() { println!(\"hello 42\"); }\n",
    );
    let done = project.build(&three()).ends(1);
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), [ARM64_MUSL, AMD64]);
    let failed = rows(&manifest, "failed");
    assert_eq!(failed.keys().collect::<Vec<_>>(), [MUSL]);
    assert_eq!(failed[MUSL]["status"], "failed");
    assert_eq!(failed[MUSL]["code"], "compile-failed");
    assert_eq!(run(project.dist(&format!("{AMD64}/hello")), &[]), "hello 42\n");
    assert!(!project.dist(MUSL).exists());

    done.says("error[x86_64-unknown-linux-musl]: could not compile `hello`");
    assert_eq!(done.stderr.matches("error: not for this one").count(), 1, "the diagnostics once:\n{done}");
    let log = fs_err::read_to_string(project.dir.join(format!("target/convoy/logs/{MUSL}.log"))).unwrap();
    assert!(log.contains("error: not for this one"), "{log}");
    let log = fs_err::read_to_string(project.dir.join(format!("target/convoy/logs/{AMD64}.log"))).unwrap();
    assert!(log.contains("--keep-going"), "{log}");
}

/// Registers of another architecture, and a directive of another object format.
#[test]
fn inline_assembly_of_the_wrong_kind_fails_its_own_targets_only() {
    const MSVC: &str = "x86_64-pc-windows-msvc";
    require!(Target(MSVC), Target(ARM64_MUSL));
    let project = Project::empty("inline-assembly").manifest("hello", "").file(
        "src/main.rs",
        "#[cfg(target_env = \"msvc\")]\ncore::arch::global_asm!(\".type nothing, @function\");\n\
         fn answer() -> u32 {\n    let answer;\n    unsafe { core::arch::asm!(\"mov eax, 42\", out(\"eax\") answer) };\n    \
         answer\n}\nfn main() { println!(\"hello {}\", answer()); }\n",
    );
    let done = project.build(&[AMD64, ARM64_MUSL, MSVC].join(",")).ends(1);
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), [AMD64]);
    assert_eq!(run(project.dist(&format!("{AMD64}/hello")), &[]), "hello 42\n");
    let failed = rows(&manifest, "failed");
    assert_eq!(failed.keys().collect::<Vec<_>>(), [ARM64_MUSL, MSVC]);
    for (triple, says) in [(ARM64_MUSL, "invalid register `eax`"), (MSVC, "expected absolute expression")] {
        done.says(&format!("error[{triple}]: could not compile `hello`"));
        done.says(says);
        assert_eq!(failed[triple]["code"], "compile-failed", "{:#}", failed[triple]);
    }
    assert!(!done.stderr.contains("--crate-name"), "rustc's arguments fill a page:\n{done}");
}

#[test]
fn a_failed_build_script_of_one_target_is_told_under_its_name() {
    require!(Target(MUSL), Target(ARM64_MUSL));
    let project = Project::empty("build-script")
        .manifest("hello", "[dependencies]\ninner = { path = \"inner\" }\n")
        .file("src/main.rs", HELLO)
        .file("inner/Cargo.toml", "[package]\nname = \"inner\"\nversion = \"1.2.3\"\nedition = \"2024\"\n")
        .file("inner/src/lib.rs", "")
        .file(
            "inner/build.rs",
            "fn main() {\n    let target = std::env::var(\"TARGET\").unwrap();\n    if target.starts_with(\"aarch64\") {\n        \
             eprintln!(\"inner finds no widget for {target}\");\n        std::process::exit(3);\n    }\n}\n",
        );
    let done = project.build(&three()).ends(1);
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), [AMD64, MUSL]);
    let failed = rows(&manifest, "failed");
    assert_eq!(failed.keys().collect::<Vec<_>>(), [ARM64_MUSL]);
    assert_eq!(failed[ARM64_MUSL]["code"], "build-script-failed");
    assert!(failed[ARM64_MUSL]["message"].as_str().unwrap().contains("inner v1.2.3"), "{:#}", failed[ARM64_MUSL]);
    done.says("error[aarch64-unknown-linux-musl]: failed to run custom build command for `inner v1.2.3");
    assert_eq!(done.stderr.matches("inner finds no widget").count(), 1, "{done}");
}

#[test]
fn two_targets_that_fail_differently_keep_their_own_reasons() {
    require!(Target(MUSL), Target(ARM64_MUSL));
    let project = Project::empty("two-failures")
        .manifest("hello", "")
        .file(
            "src/main.rs",
            "#[cfg(target_arch = \"aarch64\")]\ncompile_error!(\"no arm\");\nfn main() { println!(\"hello 42\"); }\n",
        )
        .file(
            "build.rs",
            "fn main() {\n    println!(\"cargo::rerun-if-changed=build.rs\");\n    let target = std::env::var(\"TARGET\").unwrap();\n    \
             assert!(target != \"x86_64-unknown-linux-musl\", \"no musl\");\n}\n",
        );
    project.build(&three()).ends(1);
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), [AMD64]);
    let failed = rows(&manifest, "failed");
    assert_eq!(failed[MUSL]["code"], "build-script-failed");
    assert_eq!(failed[ARM64_MUSL]["code"], "compile-failed");
    let log = fs_err::read_to_string(project.dir.join(format!("target/convoy/logs/{ARM64_MUSL}.log"))).unwrap();
    assert!(log.contains("no arm") && !log.contains("no musl"), "{log}");
}

#[test]
fn two_targets_that_fail_at_their_first_crate_are_told_apart() {
    require!(Target(MUSL), Target(ARM64_MUSL));
    let project = Project::empty("first-crate").manifest("hello", "").file(
        "src/main.rs",
        "#[cfg(target_arch = \"aarch64\")]\ncompile_error!(\"no arm\");\n\
         #[cfg(target_arch = \"x86_64\")]\ncompile_error!(\"no amd\");\nfn main() {}\n",
    );
    let done = project.build(&format!("{MUSL},{ARM64_MUSL}")).ends(1);
    for (target, own, other) in [(MUSL, "no amd", "no arm"), (ARM64_MUSL, "no arm", "no amd")] {
        let log = fs_err::read_to_string(project.dir.join(format!("target/convoy/logs/{target}.log"))).unwrap();
        assert!(log.contains(own) && !log.contains(other), "{target}: {log}");
        assert_eq!(done.stderr.matches(&format!("error: {own}")).count(), 1, "{done}");
    }
}

#[test]
fn a_failed_link_names_what_is_missing() {
    require!(Target(MUSL));
    let project = Project::empty("link").manifest("hello", "").file(
        "src/main.rs",
        "unsafe extern \"C\" { fn nowhere_to_be_found() -> i32; }\nfn main() { println!(\"{}\", unsafe { nowhere_to_be_found() }); }\n",
    );
    let done = project.build(MUSL).ends(1);
    assert_eq!(rows(&project.manifest_json(), "failed")[MUSL]["code"], "link-failed");
    done.says("nowhere_to_be_found");
}

// Tools that misbehave.

#[test]
fn an_artifact_that_cargo_does_not_name_is_missing() {
    let project = Project::hello("silent-cargo");
    // cargo builds for AMD64, and is silent about it.
    let cargo = with_cargo(&project, "case \"$1\" in build) shift; exec true;; esac");
    let done = project.build(AMD64).env("CARGO", cargo).ends(1);
    done.says("cargo reported success, but built no binary");
    let manifest = project.manifest_json();
    assert_eq!(rows(&manifest, "failed")[AMD64]["code"], "artifact-missing");
    assert_eq!(ids(&manifest, "artifacts"), [""; 0]);
}

#[test]
fn an_artifact_that_cargo_names_and_that_is_not_there() {
    require!(Target(MUSL), Target(ARM64_MUSL));
    let project = Project::hello("lying-cargo");
    project.build(&three()).ends(0);
    // It is built, and gone before anybody looks.
    let gone = project.dir.join(format!("target/convoy/main/{MUSL}/release/hello"));
    let cargo = project.script(
        "fake/cargo",
        &format!("#!/bin/sh\n'{}' \"$@\"\ncode=$?\n[ \"$1\" = build ] && rm -f '{gone}'\nexit $code\n", real_cargo()),
    );
    let done = project.build(&three()).env("CARGO", cargo).ends(1);
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), [ARM64_MUSL, AMD64]);
    assert_eq!(rows(&manifest, "failed")[MUSL]["code"], "artifact-missing");
    done.says("hello");
}

#[test]
fn a_cargo_that_prints_garbage_is_survived() {
    let project = Project::hello("garbage");
    let noise = "case \"$1\" in build) printf 'not json\\n{\"reason\":\"unheard-of\"}\\n{\"reason\":\\n\\377\\376 bytes\\n'; \
                 printf 'stderr \\377\\376\\n' >&2;; esac";
    let cargo = with_cargo(&project, noise);
    project.build(AMD64).env("CARGO", cargo).ends(0);
    assert_eq!(ids(&project.manifest_json(), "artifacts"), [AMD64]);
    let log = fs_err::read_to_string(project.dir.join(format!("target/convoy/logs/{AMD64}.log"))).unwrap();
    assert!(log.contains("not json") && log.contains(" bytes"), "{log}");
}

#[test]
fn metadata_that_is_no_json_is_an_error_of_convoys_work() {
    let project = Project::hello("metadata");
    let cargo = with_cargo(&project, "case \"$1\" in metadata) echo 'what?'; exit 0;; esac");
    project.build(AMD64).env("CARGO", cargo).ends(5).says("could not parse the output of `cargo metadata`");
}

#[test]
fn a_cargo_that_dies_is_a_failed_target() {
    let project = Project::hello("dies");
    let cargo = with_cargo(&project, "case \"$1\" in build) kill -SEGV $$;; esac");
    let done = project.build(AMD64).env("CARGO", cargo).ends(1);
    assert_eq!(rows(&project.manifest_json(), "failed")[AMD64]["code"], "cargo-failed");
    done.says("signal");
}

#[test]
fn a_rustc_that_fails_is_told() {
    let project = Project::hello("rustc");
    let rustc = project.script("fake/rustc", &format!("#!/bin/sh\ncase \"$*\" in *crate-name*hello*) echo 'error: internal compiler error: oh no' >&2; exit 101;; esac\nexec '{}' \"$@\"\n", tool("rustc")));
    let done = project.build(AMD64).env("RUSTC", rustc).ends(1);
    done.says("oh no");
}
