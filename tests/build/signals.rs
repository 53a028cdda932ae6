//! Signals: every child ends, and `dist` is left as it was.

use camino::Utf8Path;
use rustix::process::Signal;

use super::faults::{ARM64_MUSL, MUSL, three, with_cargo};
use super::provisioning::without_zig;
use crate::support::{Project, is_running, require, wait_for};

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
    require!(Target(MUSL), Target(ARM64_MUSL));
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
    require!(Target(MUSL));
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
    require!(Target(MUSL));
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
    require!(Tool("rustup"), Target(MUSL), Target("aarch64-unknown-linux-gnu"));
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
    require!(Target(MUSL));
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
    require!(Target(MUSL));
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
