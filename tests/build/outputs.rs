//! What convoy prints and keeps: JSON by its schemas, words for people, its cache, completions, exit codes.

use crate::support::{HELLO, Project, ids, require, rows, run, tool};
use serde_json::Value;

const NATIVE: &str = "x86_64-unknown-linux-gnu";
const MUSL: &str = "x86_64-unknown-linux-musl";

fn schema(project: &Project, kind: &str) -> Value {
    project.convoy(["schema", kind]).ends(0).json()
}

#[track_caller]
fn fits(schema: &Value, value: &Value) {
    let faults = crate::support::schema::faults(schema, value);
    assert!(faults.is_empty(), "{faults:#?}\nin {value:#}");
}

#[test]
fn every_json_output_is_valid_by_its_schema_and_alone_on_standard_output() {
    require!(Target(MUSL), Target("aarch64-apple-darwin"));
    let project = Project::hello("json");
    let targets = format!("{MUSL},linux/amd64,darwin/arm64,sparc64-unknown-linux-gnu");
    let plan = project.convoy(["plan", "--json", "-t", &targets]).ends(3);
    fits(&schema(&project, "plan"), &plan.json());
    assert_eq!(plan.json()["kind"], "plan");

    let events = project.dir.join("events.jsonl");
    let build = project.build(&targets).arg("--json").arg("--events").arg(&events).ends(3);
    fits(&schema(&project, "manifest"), &build.json());
    assert_eq!(build.json(), project.manifest_json());
    build.says("Failed 1 of 4 targets; 3 verified binaries in dist");
    let event = schema(&project, "event");
    let text = fs_err::read_to_string(&events).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 5, "{text}");
    for line in &lines {
        fits(&event, line);
        assert_eq!(line["run_id"], lines[0]["run_id"]);
    }
    // On standard output when asked, and then alone.
    let done = project.build(MUSL).arg("--events=-").ends(0);
    for line in done.stdout.lines() {
        fits(&event, &serde_json::from_str(line).unwrap());
    }
    project
        .build(MUSL)
        .args(["--events=-", "--json"])
        .ends(2)
        .says("cannot be used together: both write to standard output");

    let known = project.convoy(["targets", "--json"]).ends(0);
    fits(&schema(&project, "targets"), &known.json());
    let file = project.dist(&format!("{MUSL}/hello"));
    let verified = project.convoy(["verify", "--json", file.as_str(), "missing"]).ends(5);
    fits(&schema(&project, "verify"), &verified.json());
    fits(&schema(&project, "cache"), &project.convoy(["cache", "list", "--json"]).ends(0).json());
    let checked =
        project.convoy(["cache", "verify", "--json"]).env("CONVOY_CACHE_DIR", project.dir.join("cache")).ends(0);
    fits(&schema(&project, "cache-verify"), &checked.json());
    fits(&schema(&project, "why"), &project.convoy(["why", "hello", "-t", MUSL, "--json"]).ends(0).json());
    fits(&schema(&project, "doctor"), &project.convoy(["doctor", "-t", MUSL, "--json"]).ends(0).json());
    fits(&schema(&project, "supply"), &project.convoy(["supply", "list", "--json"]).ends(0).json());
    if crate::support::engine::engine().is_some() {
        let images = project.convoy(["images", "list", "--json"]).env("CONVOY_ENGINE", "auto").ends(0);
        fits(&schema(&project, "images"), &images.json());
    }
    let all = project.convoy(["schema"]).ends(0).json();
    assert_eq!(all.as_object().unwrap().len(), 12);

    // The checker does find faults.
    let mut broken = build.json();
    broken["artifacts"][0]["size"] = "big".into();
    assert!(!crate::support::schema::faults(&schema(&project, "manifest"), &broken).is_empty());
    let mut lacking = build.json();
    lacking["failed"][0].as_object_mut().unwrap().remove("code");
    assert_eq!(
        crate::support::schema::faults(&schema(&project, "manifest"), &lacking),
        ["$.failed[0]: \"code\" is missing"]
    );
}

#[test]
fn people_are_told_on_standard_error_and_without_colours_in_a_pipe() {
    let project = Project::hello("human");
    project.write("src/main.rs", "fn main() { let unused = 1; oh no }\n");
    for args in [
        &["build", "-t", NATIVE, "-v"][..],
        &["plan", "-t", NATIVE, "-v"],
        &["targets"],
        &["verify", "src/main.rs"],
        &["cache", "list"],
        &["build", "-t", "nowhere"],
    ] {
        let output = crate::support::Convoy::new(&project.dir, args).output();
        assert_eq!(output.stdout, "", "{args:?}: {output}");
        assert!(!output.stderr.is_empty() && !output.stderr.contains('\u{1b}'), "{args:?}: {output}");
    }
    let colored = project.convoy(["build", "-t", NATIVE, "--color", "always"]).ends(1);
    assert!(colored.stderr.contains("\u{1b}[") && colored.stdout.is_empty(), "{colored}");
    let log = fs_err::read_to_string(project.dir.join(format!("target/convoy/logs/{NATIVE}.log"))).unwrap();
    assert!(!log.contains('\u{1b}'), "{log}");
    let quiet = Project::hello("quiet");
    assert_eq!(quiet.build(NATIVE).arg("-q").ends(0).stderr, "");
}

#[test]
fn cache_clean_is_a_dry_run_unless_forced() {
    require!(Target("aarch64-apple-darwin"));
    let project = Project::hello("cache");
    let cache = project.dir.join("cache");
    let convoy = |args: &[&str]| project.convoy(args).env("CONVOY_CACHE_DIR", &cache);
    convoy(&["cache", "list"]).ends(0).says("empty");
    convoy(&["cache", "clean", "--force"]).ends(0);
    assert!(!cache.exists());
    convoy(&["build", "-t", "darwin/arm64", "--no-provision"]).ends(0);
    let listed = convoy(&["cache", "list", "--json"]).ends(0).json();
    assert!(listed["entries"].as_array().unwrap().iter().any(|entry| entry["room"] == "darwin"), "{listed:#}");
    convoy(&["cache", "clean"]).ends(0).says("nothing was removed; pass `--force`");
    assert_eq!(convoy(&["cache", "list", "--json"]).ends(0).json(), listed);
    convoy(&["cache", "clean", "--force"]).ends(0).says("removed");
    let left = convoy(&["cache", "list", "--json"]).ends(0).json();
    assert_eq!(left["entries"].as_array().unwrap().len(), 0, "{left:#}");
    // What a running convoy uses stays; what was remembered can go at any time.
    convoy(&["build", "-t", "darwin/arm64", "--no-provision"]).ends(0);
    let using = fs_err::File::open(cache.join("v1/.in-use")).unwrap();
    using.file().lock_shared().unwrap();
    convoy(&["cache", "clean", "--force"]).ends(5).says("kept darwin: in use by a running `cargo convoy`");
    assert!(cache.join("v1/darwin").read_dir_utf8().unwrap().next().is_some());
    drop(using);
    // As does a mark by which the containers of a killed run are found, and a room that another run has locked.
    project.write("cache/v1/runs/killed", "docker");
    project.write("cache/v1/runs/.cache-id", "1");
    project.write("cache/v1/apt/bookworm/.lock", "");
    project.write("cache/v1/zig/.bringing-old/file", "");
    let locked = fs_err::File::open(project.write("cache/v1/zig/.lock", "")).unwrap();
    locked.file().lock().unwrap();
    let done = convoy(&["cache", "clean", "--force"]).ends(5);
    done.says("kept zig: in use by a running")
        .says("kept runs: it records containers, which are removed by the next build");
    drop(locked);
    fs_err::remove_file(cache.join("v1/runs/killed")).unwrap();
    convoy(&["cache", "clean", "--force"]).ends(0);
    let left = |room: &str| {
        let entries = cache.join("v1").join(room).read_dir_utf8().unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!([left("runs"), left("darwin"), left("zig"), left("apt")].concat(), [".lock"]);
    // What nobody published and nobody unpacked is told, and never used.
    let zig = format!("cache/v1/zig/{}/ziglang/zig", cargo_convoy::model::zig::version());
    project.script(&zig, "#!/bin/sh\necho 99.9.9\n");
    project.write("cache/v1/debs/0123.deb", "");
    let done = convoy(&["cache", "verify", "--json"]).ends(5);
    done.says("2 of 2 cache entries are damaged").says("hint: run `cargo convoy cache clean");
    let told = done.json();
    let rooms: Vec<&str> =
        told["entries"].as_array().unwrap().iter().map(|entry| entry["room"].as_str().unwrap()).collect();
    assert_eq!(rooms, ["zig", "debs"]);
    convoy(&["cache", "verify"]).ends(5).says("`0123.deb` has different contents").says("RECORD`) is missing");
    convoy(&["plan", "-t", "linux/arm64"]).output().says_not("99.9.9");
    convoy(&["cache", "clean", "--force"]).ends(0);
    convoy(&["cache", "verify"]).ends(0);
    // Nor does anything go that is in no room of convoy's.
    project.write("cache/v1/mine/file", "mine");
    convoy(&["cache", "clean", "--force"]).ends(0);
    assert!(cache.join("v1/mine/file").exists());
    // A folder that is not convoy's is not emptied.
    fs_err::remove_file(cache.join("v1/CACHEDIR.TAG")).unwrap();
    convoy(&["cache", "clean", "--force"]).ends(5).says("has no CACHEDIR.TAG");
    assert!(cache.join("v1/mine/file").exists());
    // All that is needed is made anew.
    fs_err::remove_dir_all(&cache).unwrap();
    convoy(&["build", "-t", "darwin/arm64", "--no-provision"]).ends(0);
}

#[test]
fn a_cache_that_cannot_be_written_stops_only_what_needs_it() {
    require!(Target("aarch64-apple-darwin"));
    let project = Project::hello("no-cache");
    project.build(NATIVE).env("CONVOY_CACHE_DIR", "/proc/convoy").ends(0);
    // The stubs of macOS live in the cache; the other target of the same invocation still finishes.
    let done = project.build(&format!("{NATIVE},darwin/arm64")).env("CONVOY_CACHE_DIR", "/proc/convoy").ends(5);
    done.says("error[aarch64-apple-darwin]").says("/proc/convoy");
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), [NATIVE]);
    assert_eq!(rows(&manifest, "failed")["aarch64-apple-darwin"]["code"], "setup-failed");
}

#[test]
fn a_kept_plan_is_forgotten_when_something_changes() {
    let project = Project::hello("kept");
    let bins = |edit: &dyn Fn(crate::support::Convoy) -> crate::support::Convoy| -> Vec<String> {
        edit(project.convoy(["build"]).env("CONVOY_TARGETS", NATIVE)).ends(0);
        let manifest = project.manifest_json();
        let row = |row: &Value| format!("{} {}", row["bin"].as_str().unwrap(), manifest["profile"].as_str().unwrap());
        manifest["artifacts"].as_array().unwrap().iter().map(row).collect()
    };
    let plain: &dyn Fn(crate::support::Convoy) -> crate::support::Convoy = &|convoy| convoy;
    assert_eq!(bins(plain), ["hello release"]);
    assert_eq!(bins(plain), ["hello release"]);
    project.write("src/bin/second.rs", HELLO);
    assert_eq!(bins(plain), ["hello release", "second release"], "a new bin");
    project.write("Convoy.toml", "profile = \"dev\"\n");
    assert_eq!(bins(plain), ["hello dev", "second dev"], "a new Convoy.toml");
    assert_eq!(bins(&|convoy| convoy.env("CONVOY_PROFILE", "release")), ["hello release", "second release"]);
    assert_eq!(bins(plain), ["hello dev", "second dev"]);
    fs_err::remove_file(project.dir.join("src/bin/second.rs")).unwrap();
    assert_eq!(bins(plain), ["hello dev"], "a bin that went");
    project.write("Convoy.toml", "profile = \"release\"\n");
    assert_eq!(bins(plain), ["hello release"], "an edited Convoy.toml");
    project.write(".cargo/config.toml", &format!("[target.{NATIVE}]\nlinker = \"/no/such/linker\"\n"));
    let done = project.convoy(["build"]).env("CONVOY_TARGETS", NATIVE).ends(1);
    done.says("/no/such/linker");
}

#[test]
fn a_kept_plan_is_forgotten_when_a_package_shows_another_need() {
    require!(Target(MUSL));
    let near = "[package]\nname = \"near\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\npath = \"code/lib.rs\"\n";
    let project = Project::empty("kept-evidence")
        .manifest("hello", "[dependencies]\nnear = { path = \"near\" }\n")
        .file("src/main.rs", HELLO)
        .file("near/Cargo.toml", near)
        .file("near/code/lib.rs", "");
    let build = |code: i32| project.build(MUSL).ends(code);
    build(0);
    build(0);
    let links = "fn main() { println!(\"cargo::rustc-link-lib=asound\"); }\n";
    for place in ["build.rs", "near/build.rs"] {
        project.write(place, links);
        build(3).says("alsa");
        project.write(place, "fn main() {}\n");
        build(0);
        project.write(place, links);
        build(3).says("alsa");
        fs_err::remove_file(project.dir.join(place)).unwrap();
        build(0);
    }
    project.write("build.rs", "mod shared { include!(\"near/shared.rs\"); }\nfn main() { shared::go() }\n");
    project.write("near/shared.rs", "pub fn go() {}\n");
    build(0);
    project.write("near/shared.rs", &links.replace("fn main", "pub fn go"));
    build(3).says("alsa");
    fs_err::remove_file(project.dir.join("build.rs")).unwrap();
    build(0);
    project.write("near/code/lib.rs", "#[link(name = \"asound\")]\nunsafe extern \"C\" {}\n");
    build(3).says("alsa");
}

#[test]
fn completions_and_man_pages() {
    let project = Project::hello("docs");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let done = project.convoy(["completions", shell]).ends(0);
        assert!(done.stdout.contains("cargo-convoy") && done.stdout.len() > 1000, "{shell}");
    }
    let script = project.write("complete.bash", &project.convoy(["completions", "bash"]).ends(0).stdout);
    run(tool("bash"), &["-n", script.as_str()]);
    project.convoy(["man", "pages"]).ends(0);
    let pages: Vec<String> =
        project.dir.join("pages").read_dir_utf8().unwrap().map(|page| page.unwrap().file_name().to_owned()).collect();
    assert!(pages.len() > 5 && pages.iter().all(|page| page.ends_with(".1")), "{pages:?}");
    assert!(!pages.iter().any(|page| page.contains("zig") || page.contains("link")), "{pages:?}");
    project.convoy(["man", "/proc/convoy"]).ends(5);
}

#[test]
fn with_several_causes_the_exit_code_is_the_worst() {
    require!(Target("aarch64-unknown-linux-musl"));
    // One is blocked, one fails to compile, one is good: 1 beats 3.
    let project = Project::empty("worst").manifest("hello", "").file(
        "src/main.rs",
        "#[cfg(target_arch = \"aarch64\")]\ncompile_error!(\"no arm\");\nfn main() { println!(\"hello 42\"); }\n",
    );
    let blocked = "sparc64-unknown-linux-gnu";
    project.build(&format!("{blocked},aarch64-unknown-linux-musl,{NATIVE}")).ends(1);
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), [NATIVE]);
    assert_eq!(rows(&manifest, "failed")[blocked]["status"], "blocked");
    project.build(&format!("{blocked},{NATIVE}")).ends(3);
    // All blocked: nothing was attempted, and that is what the manifest says.
    project.build(blocked).ends(3);
    assert_eq!(ids(&project.manifest_json(), "failed"), [blocked]);
}
