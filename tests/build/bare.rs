//! A machine with rustup's tools and nothing else: no cc, no python, no zig. Not even a shell is on PATH.

use crate::support::{Project, ids, require, rows, run, rustup_tools, toolbox, zig};
use camino::Utf8PathBuf;

const MUSL: &str = "x86_64-unknown-linux-musl";

fn serde_user(name: &str) -> Project {
    Project::empty(name)
        .with_own_versions()
        .manifest(
            "deriver",
            "[dependencies]\nserde = { version = \"1\", features = [\"derive\"] }\n[profile.dev]\ndebug = false\n",
        )
        .file(
            "src/main.rs",
            "#[derive(serde::Serialize)]\nstruct Point { x: i32 }\nfn is<T: serde::Serialize>(_: &T) -> bool { true }\n\
             fn main() { let point = Point { x: 42 }; println!(\"{} {}\", point.x, is(&point)); }\n",
        )
}

/// A PATH with rustup's tools alone, and a cache folder without zig.
fn bare(project: &Project) -> (Utf8PathBuf, Utf8PathBuf) {
    (rustup_tools(&project.dir.join("path")), project.dir.join("cache"))
}

#[test]
fn hello_for_darwin_and_musl() {
    require!(Tool("rustup"), Target(MUSL), Target("aarch64-apple-darwin"));
    let project = Project::hello("hello");
    let (path, cache) = bare(&project);
    let targets = format!("{MUSL},darwin/arm64");
    project.build(&targets).arg("--no-provision").env("CONVOY_CACHE_DIR", &cache).path_only(&path).ends(0);
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), ["aarch64-apple-darwin", MUSL]);
    for row in rows(&manifest, "artifacts").values() {
        assert_eq!(row["route"], "lld");
    }
    assert_eq!(run(project.dist(&format!("{MUSL}/hello")), &[]), "hello 42\n");
}

#[test]
fn a_proc_macro_is_blocked_with_that_sentence_where_zig_may_not_be_brought() {
    require!(Tool("rustup"), Target(MUSL), Target("aarch64-apple-darwin"));
    let project = serde_user("blocked");
    let (path, cache) = bare(&project);
    let done = project
        .build(&format!("{MUSL},darwin/arm64"))
        .arg("--no-provision")
        .env("CONVOY_CACHE_DIR", &cache)
        .path_only(&path)
        .ends(3);
    done.says(
        "`serde_derive` has a build script or is a proc-macro, and so needs a linker for this machine: no C compiler \
         on PATH, and zig is missing on this machine, and `--no-provision` is set",
    )
    .says("hint: install gcc or clang, or put `zig` on PATH");
    let manifest = project.manifest_json();
    for row in rows(&manifest, "failed").values() {
        assert_eq!((&row["status"], &row["code"]), (&"blocked".into(), &"blocked".into()));
        assert!(row["message"].as_str().unwrap().starts_with("`serde_derive`"), "{row:#}");
    }
    assert_eq!(ids(&manifest, "failed").len(), 2);
}

#[test]
fn without_python_zig_cannot_be_brought_and_that_is_the_reason() {
    require!(Tool("rustup"), Target(MUSL));
    let project = serde_user("no-python");
    let (path, cache) = bare(&project);
    let done = project.build(MUSL).env("CONVOY_CACHE_DIR", &cache).path_only(&path).ends(3);
    done.says("zig is missing on this machine and could not be installed: no Python on PATH");
}

#[test]
fn a_proc_macro_builds_with_zig_on_path_as_this_machines_linker() {
    require!(Tool("rustup"), Target(MUSL), Target("aarch64-apple-darwin"), Zig);
    let project = serde_user("zig-on-path");
    let (path, cache) = bare(&project);
    toolbox(&path, &[("zig", &zig())]);
    let targets = format!("{MUSL},darwin/arm64");
    project
        .build(&targets)
        .args(["--profile=dev", "--no-provision"])
        .env("CONVOY_CACHE_DIR", &cache)
        .path_only(&path)
        .ends(0);
    assert_eq!(run(project.dist(&format!("{MUSL}/deriver")), &[]), "42 true\n");
    assert_eq!(ids(&project.manifest_json(), "artifacts").len(), 2);

    // The same zig, found in convoy's own cache.
    let mut package = zig().canonicalize_utf8().unwrap();
    package.pop();
    fs_err::remove_file(path.join("zig")).unwrap();
    let version = cargo_convoy::model::zig::version();
    let home = cache.join("v1/zig").join(version);
    toolbox(&home, &[("ziglang", &package)]);
    // Its list of files comes with it, and tells that it is the published one.
    let record = format!("ziglang-{version}.dist-info/RECORD");
    fs_err::create_dir_all(home.join(&record).parent().unwrap()).unwrap();
    fs_err::copy(package.with_file_name("").join(&record), home.join(&record)).unwrap();
    project
        .build("linux/amd64")
        .args(["--profile=dev", "--no-provision"])
        .env("CONVOY_CACHE_DIR", &cache)
        .path_only(&path)
        .ends(0);
    let manifest = project.manifest_json();
    assert_eq!(rows(&manifest, "artifacts")["x86_64-unknown-linux-gnu"]["route"], "zig");
    assert_eq!(run(project.dist("x86_64-unknown-linux-gnu/deriver"), &[]), "42 true\n");
}

#[test]
fn a_machine_whose_compiler_is_not_called_cc() {
    require!(Tool("rustup"), Target(MUSL));
    let project = Project::hello("gcc-alone").file("build.rs", "fn main() {}\n");
    let (path, cache) = bare(&project);
    toolbox(
        &path,
        &["gcc", "as", "ld"].map(|name| (name, crate::support::tool(name))).each_ref().map(|(n, p)| (*n, p.as_path())),
    );
    let targets = format!("{MUSL},linux/amd64");
    project.build(&targets).arg("--no-provision").env("CONVOY_CACHE_DIR", &cache).path_only(&path).ends(0);
    let manifest = project.manifest_json();
    assert_eq!(rows(&manifest, "artifacts")["x86_64-unknown-linux-gnu"]["route"], "host");
}

#[test]
fn no_rust_at_all() {
    let project = Project::hello("no-rust");
    let path = toolbox(&project.dir.join("path"), &[]);
    let done = project.build(MUSL).env("CONVOY_CACHE_DIR", project.dir.join("cache")).path_only(&path).ends(5);
    done.says("could not start `").says("hint: check that");
}

/// Whatever says that there is no network, nothing is started that needs one.
#[test]
fn zig_is_not_fetched_where_the_network_may_not_be_used() {
    require!(Tool("rustup"), Target("aarch64-unknown-linux-gnu"));
    let project = Project::hello("offline");
    let (path, cache) = bare(&project);
    let log = project.dir.join("python-calls");
    // No zig is installed, and there is a pip that could fetch it.
    project.script(
        "path/python3",
        &format!("#!/bin/sh\necho \"$*\" >>'{log}'\ncase \"$*\" in *install*) exit 1 ;; esac\n"),
    );
    let build = || project.build("linux/arm64").env("CONVOY_CACHE_DIR", &cache).path_only(&path);
    let by_pip = || fs_err::read_to_string(&log).unwrap_or_default().contains("pip install");
    let told = |done: crate::support::Done, word: &str| {
        done.says(&format!("zig is missing on this machine, and {word} is set")).says_not("Preparing");
        assert!(!by_pip(), "{}", fs_err::read_to_string(&log).unwrap());
    };
    told(build().arg("--offline").ends(3), "`--offline`");
    told(build().env("CARGO_NET_OFFLINE", "true").ends(3), "`CARGO_NET_OFFLINE`");
    project.write(".cargo/config.toml", "[net]\noffline = true\n");
    told(build().env_remove("CARGO_NET_OFFLINE").ends(3), "`offline`");
    let plan = project.convoy(["plan", "-v", "-t", "linux/arm64"]).env("CONVOY_CACHE_DIR", &cache).path_only(&path);
    plan.env_remove("CARGO_NET_OFFLINE").ends(3).says("offline = true (.cargo/config.toml)");
    build().env("CARGO_NET_OFFLINE", "false").ends(3);
    assert!(by_pip(), "it would have been fetched");
}
