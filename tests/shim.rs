//! Faults are injected by tools that stand before the real ones, and by signals.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::Signal;
use support::{Convoy, HELLO, Project, ids, is_running, rows, run, rustup_tools, tool, wait_for};

const AMD64: &str = "x86_64-unknown-linux-gnu";
const MUSL: &str = "x86_64-unknown-linux-musl";
const ARM64_MUSL: &str = "aarch64-unknown-linux-musl";

/// The three in one lane, none of which needs C or zig.
fn three() -> String {
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
fn with_cargo(project: &Project, lines: &str) -> Utf8PathBuf {
    project.script("fake/cargo", &format!("#!/bin/sh\n{lines}\nexec '{}' \"$@\"\n", real_cargo()))
}

// Who is to blame.

#[test]
fn a_compile_error_of_one_target_is_told_under_its_name_and_the_others_finish() {
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

#[test]
fn a_failed_build_script_of_one_target_is_told_under_its_name() {
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

// Provisioning.

/// A rustup that answers for `target add` and `component add` as one does whose server has no such file.
fn refusing_rustup(project: &Project) -> Utf8PathBuf {
    let path = rustup_tools(&project.dir.join("path"));
    for name in ["cc", "ld", "as"] {
        fs_err::os::unix::fs::symlink(tool(name), path.join(name)).unwrap();
    }
    fs_err::remove_file(path.join("rustup")).unwrap();
    project.script(
        "path/rustup",
        "#!/bin/sh\necho \"$*\" >>\"${0%/*}/asked\"\n\
         echo \"info: downloading component 'rust-std' for 'powerpc64le-unknown-linux-musl'\" >&2\n\
         echo \"error: component 'rust-std' for target 'powerpc64le-unknown-linux-musl' is unavailable for download for channel 'stable'\" >&2\n\
         exit 1\n",
    );
    path
}

#[test]
fn a_std_that_rustup_cannot_bring_blocks_its_target_and_no_other() {
    let project = Project::hello("no-std");
    let path = refusing_rustup(&project);
    let missing = "powerpc64le-unknown-linux-musl";
    let done = project.build(&format!("{missing},{MUSL}")).path_only(&path).ends(3);
    done.says(
        "rustup could not install the standard library for powerpc64le-unknown-linux-musl: component 'rust-std' for \
         target",
    )
    .says("hint: set `build-std = true` under [target.\"powerpc64le-unknown-linux-musl\"] in `Convoy.toml`");
    let asked = fs_err::read_to_string(path.join("asked")).unwrap();
    assert_eq!(asked.lines().count(), 1, "{asked}");
    assert!(asked.starts_with("target add --toolchain ") && asked.trim().ends_with(missing), "{asked}");
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), [MUSL]);
    assert_eq!(rows(&manifest, "failed")[missing]["status"], "blocked");

    // With the user's leave std is built, and rustup is asked for its source at most.
    project.write("Convoy.toml", &format!("[target.{missing}]\nbuild-std = true\n"));
    let plan = project.convoy(["plan", "--json", "-t", missing]).path_only(&path).ends(0).json();
    assert_eq!(plan["cells"][0]["status"], "buildable");
    let brought = plan["cells"][0]["provision"].as_array().unwrap();
    assert!(brought.iter().all(|brought| brought["kind"] == "rust-src"), "{plan:#}");
}

#[test]
fn nothing_is_asked_of_rustup_where_nothing_may_be_brought() {
    let project = Project::hello("never");
    let path = refusing_rustup(&project);
    let done = project.build("powerpc64le-unknown-linux-musl").arg("--no-provision").path_only(&path).ends(3);
    done.says("`--no-provision` is set").says("hint: remove `--no-provision`, or run `rustup target add --toolchain");
    project.convoy(["plan", "-t", "powerpc64le-unknown-linux-musl"]).path_only(&path).ends(0);
    assert!(!path.join("asked").exists());
}

/// No zig anywhere, and a Python of the test's own.
fn without_zig(project: &Project, python: &str) -> Convoy {
    let path = project.dir.join("path");
    let names = ["cargo", "rustc", "rustup", "cc", "ld", "as", "sh", "sleep"].map(|name| (name, tool(name)));
    support::toolbox(&path, &names.each_ref().map(|(n, p)| (*n, p.as_path())));
    project.script("path/python3", python);
    let targets = format!("linux/arm64,{MUSL}");
    project.build(&targets).env("CONVOY_CACHE_DIR", project.dir.join("cache")).path_only(&path)
}

#[test]
fn a_python_without_pip_blocks_what_needs_zig() {
    let project = Project::hello("no-pip");
    let done = without_zig(
        &project,
        "#!/bin/sh\ncase \"$*\" in *find_spec*) exit 0;; esac\necho 'No module named pip' >&2\nexit 1\n",
    )
    .ends(3);
    done.says("could not be installed").says("has no pip");
    assert_eq!(ids(&project.manifest_json(), "artifacts"), [MUSL]);
}

#[test]
fn no_network_blocks_what_needs_zig_and_no_half_of_it_stays() {
    let project = Project::hello("no-network");
    let python = run(tool("python3"), &["-c", "import sys; print(sys.executable)"]);
    // This machine's Python may have the wheel installed; the real pip is what is wanted of it.
    let script = format!("#!/bin/sh\ncase \"$*\" in *find_spec*) exit 0;; esac\nexec '{}' \"$@\"\n", python.trim());
    let done = without_zig(&project, &script)
        .env("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        .env("PIP_RETRIES", "0")
        .env("PIP_DEFAULT_TIMEOUT", "2")
        .env_remove("PIP_FIND_LINKS")
        .ends(3);
    done.says("warning: could not install zig").says("zig is missing on this machine and could not be installed");
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), [MUSL]);
    assert_eq!(rows(&manifest, "failed")["aarch64-unknown-linux-gnu"]["status"], "blocked");
    let left: Vec<String> = project
        .dir
        .join("cache/v1/zig")
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_owned())
        .collect();
    assert_eq!(left, [".lock"]);
}

#[test]
fn a_link_that_fails_leaves_no_record_of_an_earlier_one() {
    let project = Project::empty("stale-record");
    let record = project.write("out.convoy-link.json", "{}");
    project.convoy(["link", "--linker", tool("false").as_str(), "--", "-o", "out"]).ends(1);
    assert!(!record.exists(), "it would speak for whatever comes there");
}

#[test]
fn two_runs_at_once_bring_zig_once() {
    let home = support::workspace("zig-twice");
    let cache = home.join("cache");
    // A pip that takes its time, so that both runs have planned to bring zig, and unpacks a package whose zig is the real
    // one.
    let python = format!(
        "#!/bin/sh\ncase \"$*\" in *find_spec*|*'import pip'*) : >\"{home}/$OWN\"; exit 0;; esac\n\
         left=3000\nwhile [ $left -gt 0 ] && ! {{ [ -e '{home}/zig-first.here' ] && [ -e '{home}/zig-second.here' ]; }}; do\n\
         sleep 0.1; left=$((left - 1))\ndone\n\
         while [ \"$1\" != --target ]; do shift; done\necho \"$2\" >>'{home}/asked'\nmkdir -p \"$2/ziglang\"\n\
         echo '#!/bin/sh' >\"$2/ziglang/zig\"\nchmod +x \"$2/ziglang/zig\"\nsleep 1\n\
         echo 'exec \"{zig}\" \"$@\"' >>\"$2/ziglang/zig\"\n",
        zig = support::zig(),
    );
    // What killed runs may have left behind.
    let room = cargo_convoy::machine::CacheDir::at(&cache.join("v1")).room("zig").unwrap();
    fs_err::create_dir_all(room.join(cargo_convoy::model::zig::version())).unwrap();
    fs_err::create_dir_all(room.join(".bringing-old/unpacked/ziglang")).unwrap();
    let projects = ["zig-first", "zig-second"].map(Project::hello);
    let running = projects.each_ref().map(|project| {
        let path = rustup_tools(&project.dir.join("path"));
        for name in ["cc", "ld", "as", "sh", "sleep", "mkdir", "chmod"] {
            fs_err::os::unix::fs::symlink(tool(name), path.join(name)).unwrap();
        }
        project.script("path/python3", &python);
        let here = format!("{}.here", project.dir.file_name().unwrap());
        let build = project.build("linux/arm64").env("OWN", here).env("CONVOY_CACHE_DIR", &cache);
        build.path_only(&path).starts()
    });
    for running in running {
        let done = running.wait();
        assert_eq!(done.code, Some(0), "{done}");
        done.says("Preparing zig").says("Finished 1 verified binary");
    }
    assert_eq!(fs_err::read_to_string(home.join("asked")).unwrap().lines().count(), 1);
    assert!(!room.join(".bringing-old").exists());
}

// Signals.

const SIGNALS: [(Signal, i32); 4] = [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 130)];

/// All files of a folder with their texts.
fn contents(dir: &Utf8Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in dir.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.push((path.to_string(), fs_err::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

fn pid_in(file: &Utf8Path) -> Option<i32> {
    fs_err::read_to_string(file).ok()?.trim().parse().ok()
}

#[test]
fn a_signal_during_a_build_ends_the_children_and_leaves_dist_as_it_was() {
    let project = Project::hello("signal");
    project.build(&three()).ends(0);
    let before = contents(&project.dir.join("dist"));
    // A build script with a child of its own; both would run for minutes.
    let pids = project.dir.join("pids");
    fs_err::create_dir(&pids).unwrap();
    for (signal, code) in SIGNALS {
        project.write(
            "build.rs",
            &format!(
                "fn main() {{\n    // {code}\n    let child = std::process::Command::new(\"sleep\").arg(\"600\").spawn().unwrap();\n    \
                 std::fs::write(\"{pids}/child\", child.id().to_string()).unwrap();\n    \
                 std::fs::write(\"{pids}/script\", std::process::id().to_string()).unwrap();\n    \
                 std::thread::sleep(std::time::Duration::from_secs(600));\n}}\n"
            ),
        );
        let running = project.build(&three()).starts();
        wait_for("the build script", || pid_in(&pids.join("script")).is_some());
        running.signal(signal);
        let done = running.wait();
        assert_eq!(done.code, Some(code), "{done}");
        done.says("error: interrupted");
        for name in ["script", "child"] {
            let file = pids.join(name);
            let pid = pid_in(&file).unwrap();
            assert!(!is_running(pid), "{name} still runs after {signal:?}");
            fs_err::remove_file(file).unwrap();
        }
        assert_eq!(contents(&project.dir.join("dist")), before);
    }
    // And nothing stands in the way of the next run.
    fs_err::remove_file(project.dir.join("build.rs")).unwrap();
    project.build(&three()).ends(0);
}

#[test]
fn a_cargo_that_a_killed_run_left_behind_is_waited_for() {
    let project = Project::hello("orphan");
    let [begun, go, events] = ["begun", "go", "events"].map(|name| project.dir.join(name));
    let script = format!(
        "fn main() {{\n    std::fs::write(\"{begun}\", \"\").unwrap();\n    while !std::path::Path::new(\"{go}\").exists() {{\n        \
         std::thread::sleep(std::time::Duration::from_millis(20));\n    }}\n}}\n"
    );
    project.write("build.rs", &script);
    let killed = project.build(MUSL).starts();
    wait_for("the build script", || begun.exists());
    killed.signal(Signal::KILL);
    killed.wait();
    let mut next = project.build(MUSL).args(["--events", events.as_str()]).starts();
    let told = || fs_err::read_to_string(&events).unwrap_or_default();
    wait_for("the next run to wait", || {
        told().contains("waiting for a cargo process of an earlier run") || next.has_ended()
    });
    assert!(!next.has_ended(), "{}", told());
    fs_err::write(go, "").unwrap();
    let done = next.wait();
    assert_eq!(done.code, Some(0), "{done}");
}

#[test]
fn a_child_that_ignores_the_signal_is_killed() {
    let project = Project::hello("stubborn");
    let pid = project.dir.join("pid");
    let stubborn = project
        .script("stubborn", &format!("#!/bin/sh\ntrap '' TERM INT HUP\necho $$ >'{pid}'\nwhile :; do sleep 1; done\n"));
    project
        .write("build.rs", &format!("fn main() {{ std::process::Command::new(\"{stubborn}\").status().unwrap(); }}\n"));
    let running = project.build(MUSL).starts();
    wait_for("the build script", || pid_in(&pid).is_some());
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code, Some(143));
    assert!(!is_running(pid_in(&pid).unwrap()));
}

#[test]
fn a_signal_while_zig_is_brought_ends_pip() {
    let project = Project::hello("signal-pip");
    let pid = project.dir.join("pid");
    let python =
        format!("#!/bin/sh\ncase \"$*\" in *find_spec*|*import*) exit 0;; esac\necho $$ >'{pid}'\nexec sleep 600\n");
    let running = without_zig(&project, &python).starts();
    wait_for("pip", || pid_in(&pid).is_some());
    running.signal(Signal::TERM);
    let done = running.wait();
    assert_eq!(done.code, Some(143), "{done}");
    assert!(!is_running(pid_in(&pid).unwrap()));
    assert!(!project.dir.join("dist").exists());
    // What pip had begun is gone.
    let left: Vec<String> =
        project.dir.join("cache/v1/zig").read_dir_utf8().unwrap().map(|e| e.unwrap().file_name().to_owned()).collect();
    assert_eq!(left, [".lock"]);
}

#[test]
fn a_signal_while_the_project_is_read_ends_cargo_metadata() {
    let project = Project::hello("signal-metadata");
    let pid = project.dir.join("pid");
    let cargo = with_cargo(&project, &format!("case \"$1\" in metadata) echo $$ >'{pid}'; exec sleep 600;; esac"));
    let running = project.build(MUSL).env("CARGO", cargo).starts();
    wait_for("cargo metadata", || pid_in(&pid).is_some());
    running.signal(Signal::INT);
    assert_eq!(running.wait().code, Some(130));
    assert!(!is_running(pid_in(&pid).unwrap()));
}

#[test]
fn a_signal_during_a_smoke_run_ends_the_program() {
    let project = Project::empty("signal-smoke").manifest("sleeper", "");
    let pid = project.dir.join("pid");
    project.write(
        "src/main.rs",
        &format!(
            "fn main() {{\n    std::fs::write(\"{pid}\", std::process::id().to_string()).unwrap();\n    \
             std::thread::sleep(std::time::Duration::from_secs(600));\n}}\n"
        ),
    );
    let running = project.build(MUSL).arg("--smoke").starts();
    wait_for("the program", || pid_in(&pid).is_some());
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code, Some(143));
    assert!(!is_running(pid_in(&pid).unwrap()));
    assert!(!project.dir.join("dist").exists());
}

// What zig compiles once.

const WINDOWS: &str = "x86_64-pc-windows-gnu";

/// A program for Windows that calls a function of C, with what it says when it starts.
fn calls(name: &str, function: &str) -> Project {
    Project::empty(name).manifest("caller", "").file(
        "src/main.rs",
        &format!(
            "use std::ffi::c_char;\nunsafe extern \"C\" {{ fn {function}(path: *mut c_char) -> *mut c_char; }}\n\
             fn main() {{\n    let mut path = *b\"/one/two\\0\";\n\
             println!(\"{{:p}}\", unsafe {{ {function}(path.as_mut_ptr().cast()) }});\n}}\n"
        ),
    )
}

#[test]
fn for_windows_zig_compiles_what_a_program_uses_of_mingws_runtime_and_no_sanitizer() {
    let zig = support::zig();
    let project = calls("mingw-runtime", "dirname");
    let [cache, zigs] = ["cache", "zigs-cache"].map(|name| project.dir.join(name));
    let build = |project: &Project| {
        let convoy =
            project.build(WINDOWS).args(["--route", "zig", "--profile", "dev"]).path_first(zig.parent().unwrap());
        convoy.env("CONVOY_CACHE_DIR", &cache).env("ZIG_GLOBAL_CACHE_DIR", &zigs)
    };
    let built = |name: &str| -> usize {
        let count = |dir: &Utf8Path| walk(dir).iter().filter(|file| file.file_name() == Some(name)).count();
        count(&cache) + count(&zigs)
    };

    build(&project).ends(0).says("MinGW's runtime");
    assert!(project.dist(&format!("{WINDOWS}/caller.exe")).is_file());
    // Asked for by this program alone, and added.
    assert_eq!(built("misc-dirname.obj"), 1);
    let objects = walk(&cache).iter().filter(|file| file.extension() == Some("obj")).count();
    assert!((20..60).contains(&objects), "{objects} objects");
    // zig itself made none of it, and no sanitizer's runtime.
    assert_eq!((built("libmingw32.lib"), built("ubsan_rt.lib")), (1, 0));

    // What nobody defines is told as ever, without zig's long way.
    let missing = build(&calls("mingw-missing", "defined_by_nobody")).ends(1);
    missing.says("undefined symbol: defined_by_nobody").says_not("MinGW's runtime");
    assert_eq!(built("libmingw32.lib"), 1);
}

/// All files beneath a directory.
fn walk(dir: &Utf8Path) -> Vec<Utf8PathBuf> {
    let entries: Vec<_> = dir.read_dir_utf8().into_iter().flatten().flatten().collect();
    let files = entries.into_iter().flat_map(|entry| match entry.path().is_dir() {
        true => walk(entry.path()),
        false => vec![entry.into_path()],
    });
    files.collect()
}
