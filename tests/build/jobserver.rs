//! Lanes at the same time: real cargo, real make and real cmake share the tokens of one pipe, however a lane ends.

use std::collections::BTreeMap;

use crate::support::engine::engine;
use crate::support::{Convoy, Done, HELLO, Project, Running, ids, is_running, require, rows, tool, wait_for};
use camino::Utf8Path;
use rustix::process::Signal;
use serde_json::Value;

const AMD64: &str = "x86_64-unknown-linux-gnu";
const ARM64: &str = "aarch64-unknown-linux-gnu";
const MUSL: &str = "x86_64-unknown-linux-musl";
const ARM64_MUSL: &str = "aarch64-unknown-linux-musl";

/// An environment of its own gives a target a lane of its own.
const TWO_LANES: &str = "[target.x86_64-unknown-linux-musl]\nenv = { OWN = \"1\" }\n";
const THREE_LANES: &str = "[target.x86_64-unknown-linux-musl]\nenv = { OWN = \"1\" }\n\
                           [target.aarch64-unknown-linux-musl]\nenv = { OWN = \"2\" }\n";

/// Puts a mark into the file `marks` where a process begins and where it ends.
fn marker(project: &Project, name: &str, first: &str, slow: &str) -> camino::Utf8PathBuf {
    let marks = project.dir.join("marks");
    // A lane is known by its folder below convoy's own: in rustc's words, or in what a build script starts tools with.
    let lane = "lane=$(echo \"$OUT_DIR/ $*\" | grep -o '/target/convoy/[^/ ]*/' | grep -v /tools/ | head -n 1)";
    let begin = format!("{lane}\necho \"+ $lane\" >>'{marks}'");
    let end = format!("echo \"- $lane\" >>'{marks}'");
    project.script(name, &format!("#!/bin/sh\n{first}\n{begin}\n{slow}\n\"$@\"\ncode=$?\n{end}\nexit $code\n"))
}

/// What cargo asks of rustc before it builds is no job.
const ASKS: &str =
    "case \" $* \" in *' --crate-name ___ '*) exec \"$@\";; *' --crate-name '*) ;; *) exec \"$@\";; esac";

fn rustc_marker(project: &Project) -> camino::Utf8PathBuf {
    marker(project, "rustc-marker", ASKS, "")
}

/// A marked rustc that waits for a second lane to begin: on a busy machine the first could be through before that.
fn meeting_rustc(project: &Project) -> camino::Utf8PathBuf {
    marker(project, "rustc-marker", ASKS, &meets_another_lane(project))
}

/// Shell lines that wait for a mark of a second lane, five minutes at most.
fn meets_another_lane(project: &Project) -> String {
    let marks = project.dir.join("marks");
    format!(
        "left=3000\nwhile [ $left -gt 0 ] && [ \"$(grep '^+' '{marks}' | sort -u | wc -l)\" -lt 2 ]; do\n    \
         sleep 0.1\n    left=$((left - 1))\ndone"
    )
}

/// The most marked processes at once, and the most lanes.
fn peaks(project: &Project) -> (usize, usize) {
    let mut lanes: BTreeMap<String, usize> = BTreeMap::new();
    let (mut processes, mut together) = (0, 0);
    for line in fs_err::read_to_string(project.dir.join("marks")).unwrap().lines() {
        let (sign, lane) = line.split_once(' ').unwrap();
        let running = lanes.entry(lane.to_owned()).or_default();
        match sign {
            "+" => *running += 1,
            _ => *running -= 1,
        }
        processes = processes.max(lanes.values().sum());
        together = together.max(lanes.values().filter(|running| **running > 0).count());
    }
    assert!(lanes.values().all(|running| *running == 0), "{lanes:?}");
    (processes, together)
}

/// A build script that hands cargo's jobserver to make, as the `cmake` crate and openssl-src do.
fn make_user(name: &str, lanes: &str) -> Project {
    tool("make");
    let project = Project::empty(name)
        .manifest("hello", "")
        .file("Convoy.toml", lanes)
        .file("src/main.rs", HELLO)
        .file(
            "build.rs",
            "use std::{env, fs, process::Command};\nfn main() {\n    println!(\"cargo::rerun-if-changed=csrc\");\n    \
             let flags = env::var(\"CARGO_MAKEFLAGS\").unwrap();\n    \
             let made = Command::new(\"make\").current_dir(\"csrc\").env(\"MAKEFLAGS\", &flags).output().unwrap();\n    \
             assert!(made.status.success(), \"{made:?}\");\n    \
             let said = String::from_utf8_lossy(&made.stderr);\n    \
             let (jobs, plain) = (env::var(\"NUM_JOBS\").unwrap(), env::var(\"MAKEFLAGS\").unwrap_or_default());\n    \
             let told = format!(\"flags {flags}\\njobs {jobs}\\nplain {plain}\\nsaid {said}\\n\");\n    \
             fs::write(format!(\"told-{}\", env::var(\"TARGET\").unwrap()), told).unwrap();\n}\n",
        );
    let recipe = |file: &str| format!("@'{}' sleep 0.{file}", marker(&project, &format!("mark{file}"), "", ""));
    // Two levels, as a library's makefiles have: make passes the pipe on to the makes that it starts.
    let all = "PARTS = 1 2 3 4 5 6 7 8\n";
    project.write(
        "csrc/Makefile",
        &format!("{all}.PHONY: all sub $(PARTS)\nall: $(PARTS) sub\n$(PARTS):\n\t{}\nsub:\n\t@$(MAKE) --no-print-directory -f Sub.mk\n", recipe("3")),
    );
    project.write("csrc/Sub.mk", &format!("{all}.PHONY: all $(PARTS)\nall: $(PARTS)\n$(PARTS):\n\t{}\n", recipe("2")));
    project
}

/// What a build script wrote down.
fn told(project: &Project, target: &str, what: &str) -> String {
    let told = fs_err::read_to_string(project.dir.join(format!("told-{target}"))).unwrap();
    let told = told.split_once(&format!("{what} ")).unwrap().1;
    if what == "said" { told.trim().to_owned() } else { told.lines().next().unwrap().to_owned() }
}

fn with_events(project: &Project, convoy: Convoy, code: i32) -> (Done, Vec<Value>) {
    let file = project.dir.join("events.jsonl");
    let _ = fs_err::remove_file(&file);
    let done = convoy.ends(code);
    let text = fs_err::read_to_string(file).unwrap();
    (done, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn build(project: &Project, targets: &[&str], args: &[&str]) -> Convoy {
    project.build(&targets.join(",")).args(args).arg("--events").arg(project.dir.join("events.jsonl"))
}

fn messages(events: &[Value], code: &str) -> Vec<String> {
    events.iter().filter(|e| e["code"] == code).map(|e| e["message"].as_str().unwrap().to_owned()).collect()
}

fn log(project: &Project, id: &str) -> String {
    fs_err::read_to_string(project.dir.join(format!("target/convoy/logs/{id}.log"))).unwrap()
}

#[test]
fn make_and_rustc_of_two_lanes_share_the_tokens() {
    require!(Target(MUSL), Tool("make"));
    for (jobs, least) in [("4", 3), ("2", 2)] {
        let project = make_user(&format!("make-{jobs}"), TWO_LANES);
        let convoy = build(&project, &[AMD64, MUSL], &["-j", jobs]).env("RUSTC_WRAPPER", meeting_rustc(&project));
        let (_, events) = with_events(&project, convoy, 0);
        let most: usize = jobs.parse().unwrap();
        let (processes, lanes) = peaks(&project);
        assert!((least..=most).contains(&processes) && lanes == 2, "-j{jobs}: {processes} of {lanes} lanes");
        assert_eq!(messages(&events, "tokens"), [format!("{jobs} of {jobs} job tokens were returned")]);
        for target in [AMD64, MUSL] {
            assert_eq!(told(&project, target, "said"), "", "make has nothing to complain of");
            assert_eq!(told(&project, target, "jobs"), jobs);
            assert_eq!(told(&project, target, "plain"), "", "a plain `make` stays a sequential one");
            let log = log(&project, target);
            assert!(!log.contains("-j") && !log.contains("warning"), "cargo is told of the pipe alone: {log}");
        }
        assert!(!project.dir.join("target/convoy/jobserver").exists());
        let lanes: Vec<&Value> = events.iter().filter(|event| event["code"] == "lane").collect();
        assert_eq!(lanes.len(), 2);
        for lane in lanes {
            let (wall, cpu) = (lane["duration"].as_f64().unwrap(), lane["cpu"].as_f64().unwrap());
            assert!(cpu > 0.0 && cpu < wall * 4.0, "{lane}");
        }
    }
}

/// A C library of eight files, which the `cmake` crate builds.
fn cmake_user(name: &str) -> Project {
    tool("cmake");
    let project = Project::empty(name)
        .manifest("hello", "[build-dependencies]\ncmake = \"0.1\"\n")
        .file(
            "src/main.rs",
            "unsafe extern \"C\" { fn part7() -> i32; }\nfn main() { println!(\"{}\", unsafe { part7() }); }\n",
        )
        .file(
            "build.rs",
            "fn main() {\n    let dst = cmake::Config::new(\"csrc\").build();\n    \
             println!(\"cargo::rustc-link-search=native={}/lib\", dst.display());\n    \
             println!(\"cargo::rustc-link-lib=static=parts\");\n}\n",
        );
    let parts: Vec<String> = (0..8).map(|n| format!("part{n}.c")).collect();
    for (n, part) in parts.iter().enumerate() {
        project.write(&format!("csrc/{part}"), &format!("int part{n}(void) {{ return {n}; }}\n"));
    }
    project.write(
        "csrc/CMakeLists.txt",
        &format!(
            "cmake_minimum_required(VERSION 3.10)\nproject(parts C)\nadd_library(parts STATIC {})\n\
             install(TARGETS parts DESTINATION lib)\n",
            parts.join(" ")
        ),
    );
    project
}

#[test]
fn cmake_of_two_lanes_shares_the_tokens() {
    require!(Target(ARM64), Zig, Tool("cmake"), Network);
    const FLOORS: [&str; 2] = ["aarch64-unknown-linux-gnu.2.31", "aarch64-unknown-linux-gnu.2.36"];
    let project = cmake_user("cmake");
    let compiler = marker(&project, "cc-marker", "", &format!("{}\nsleep 0.3", meets_another_lane(&project)));
    let convoy = build(&project, &FLOORS, &["-j3", "--route=zig"])
        .env("RUSTC_WRAPPER", rustc_marker(&project))
        .env("CMAKE_C_COMPILER_LAUNCHER", compiler);
    let (_, events) = with_events(&project, convoy, 0);
    let (processes, lanes) = peaks(&project);
    assert!((2..=3).contains(&processes) && lanes == 2, "{processes} processes of {lanes} lanes");
    assert_eq!(messages(&events, "tokens"), ["3 of 3 job tokens were returned"]);
    for id in FLOORS {
        let log = log(&project, id);
        assert!(!log.contains("warning"), "{log}");
    }
    // What make said is in what cargo keeps of a build script's words.
    let said = format!("cat '{}'/target/convoy/*/*/release/build/hello-*/output", project.dir);
    let said = crate::support::run(
        "sh",
        &["-c", &format!("{said} '{}'/target/convoy/*/*/release/build/hello-*/stderr", project.dir)],
    );
    assert!(said.contains("Built target parts"), "{said}");
    no_complaint(&project, "hello-*/stderr");
}

/// The same with one lane on this machine and one in a container, whose Debian has a make of its own.
#[test]
fn cmake_of_a_lane_in_a_container_shares_the_tokens() {
    require!(Target(ARM64), Network);
    if engine().is_none() {
        return;
    }
    let project = cmake_user("cmake-container");
    let compiler = marker(&project, "cc-marker", "", &format!("{}\nsleep 0.3", meets_another_lane(&project)));
    // The only file of the project that can be written to inside.
    project.write("marks", "");
    project.write(
        "Convoy.toml",
        &format!(
            "[container]\npassthrough = [\"CMAKE_C_COMPILER_LAUNCHER\"]\nvolumes = [\"{}\"]\n",
            project.dir.join("marks")
        ),
    );
    let convoy = build(&project, &[AMD64, ARM64], &["-j3", "--route", &format!("{ARM64}=container")])
        .env("CONVOY_ENGINE", "docker")
        .env("CMAKE_C_COMPILER_LAUNCHER", compiler);
    let (_, events) = with_events(&project, convoy, 0);
    let (processes, lanes) = peaks(&project);
    assert!((2..=3).contains(&processes) && lanes == 2, "{processes} processes of {lanes} lanes");
    assert_eq!(messages(&events, "tokens"), ["3 of 3 job tokens were returned"]);
    assert_eq!(rows(&project.manifest_json(), "artifacts")[ARM64]["route"], "container");
    no_complaint(&project, "hello-*/output");
}

/// The most of C's compilers at once that work for a project, and the most lanes they were of, while a build runs.
fn watched(project: &Project, mut running: Running) -> (usize, usize) {
    let (mut processes, mut together) = (0, 0);
    let folder = project.dir.join("target/convoy/");
    while !running.has_ended() {
        let mut lanes = Vec::new();
        for entry in fs_err::read_dir("/proc").unwrap().flatten() {
            let file = |name: &str| fs_err::read(entry.path().join(name)).unwrap_or_default();
            // gcc's own compiler; those in containers are seen, too.
            if file("comm") != b"cc1\n" {
                continue;
            }
            let environment = String::from_utf8_lossy(&file("environ")).into_owned();
            let of =
                environment.split('\0').find_map(|word| word.strip_prefix("OUT_DIR=")?.strip_prefix(folder.as_str()));
            lanes.extend(of.and_then(|rest| rest.split('/').next()).map(str::to_owned));
        }
        processes = processes.max(lanes.len());
        lanes.sort();
        lanes.dedup();
        together = together.max(lanes.len());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let done = running.wait();
    assert_eq!(done.code, Some(0), "{done}");
    (processes, together)
}

/// make of OpenSSL's own makefiles, of a lane on this machine and one in a container.
#[test]
#[ignore = "compiles OpenSSL twice"]
fn openssl_of_a_lane_in_a_container_shares_the_tokens() {
    require!(Target(ARM64), Network);
    if engine().is_none() {
        return;
    }
    let project = openssl_user("openssl-container");
    let convoy = build(&project, &[AMD64, ARM64], &["-j3", "--route", &format!("{ARM64}=container")]);
    let (processes, lanes) = watched(&project, convoy.env("CONVOY_ENGINE", "docker").starts());
    assert!((2..=3).contains(&processes) && lanes == 2, "{processes} processes of {lanes} lanes");
    assert_eq!(rows(&project.manifest_json(), "artifacts")[ARM64]["route"], "container");
    no_complaint(&project, "openssl-sys-*/stderr");
}

/// What make says when it does not reach the pipe is in none of these files of build scripts.
fn no_complaint(project: &Project, files: &str) {
    let said = format!("cat '{}'/target/convoy/*/*/release/build/{files}", project.dir);
    let said = crate::support::run("sh", &["-c", &said]);
    for complaint in ["jobserver unavailable", "jobserver mode", "internal error", "warning: -j"] {
        assert!(!said.contains(complaint), "{said}");
    }
}

fn openssl_user(name: &str) -> Project {
    Project::empty(name)
        .manifest("hello", "[dependencies]\nopenssl-sys = { version = \"0.9\", features = [\"vendored\"] }\n")
        .file("src/main.rs", "fn main() { println!(\"{:x}\", unsafe { openssl_sys::OpenSSL_version_num() }); }\n")
}

/// make of OpenSSL's own makefiles, two levels deep.
#[test]
#[ignore = "compiles OpenSSL twice"]
fn openssl_of_two_lanes_shares_the_tokens() {
    require!(Target(ARM64), Network);
    let project = openssl_user("openssl");
    let mut convoy =
        build(&project, &[AMD64, "aarch64-unknown-linux-gnu.2.36"], &["-j3", "--route", "linux/arm64=gcc"])
            .env("RUSTC_WRAPPER", rustc_marker(&project));
    project.write("Convoy.toml", &format!("[target.{ARM64}]\nenv = {{ OWN = \"1\" }}\n"));
    for (target, compiler) in [(AMD64, "gcc"), (ARM64, "aarch64-linux-gnu-gcc")] {
        // Only what compiles: make's dry questions and configure's are no jobs.
        let asks = format!("set -- '{}' \"$@\"\ncase \" $* \" in *' -c '*) ;; *) exec \"$@\";; esac", tool(compiler));
        convoy = convoy.env(
            &format!("CC_{}", target.replace('-', "_")),
            marker(&project, &format!("marking-{compiler}"), &asks, ""),
        );
    }
    let (_, events) = with_events(&project, convoy, 0);
    let (processes, lanes) = peaks(&project);
    assert!((2..=3).contains(&processes) && lanes == 2, "{processes} processes of {lanes} lanes");
    assert_eq!(messages(&events, "tokens"), ["3 of 3 job tokens were returned"]);
    no_complaint(&project, "openssl-sys-*/stderr");
}

#[test]
fn more_lanes_than_jobs_wait_for_their_turn() {
    require!(Target(MUSL), Target(ARM64_MUSL), Tool("make"));
    let project = make_user("queue", THREE_LANES);
    let convoy = build(&project, &[AMD64, MUSL, ARM64_MUSL], &["-j2"]).env("RUSTC_WRAPPER", meeting_rustc(&project));
    let (done, events) = with_events(&project, convoy, 0);
    assert_eq!(peaks(&project), (2, 2));
    assert_eq!(messages(&events, "tokens"), ["2 of 2 job tokens were returned"]);
    assert_eq!(messages(&events, "lane").len(), 3);
    // In the plan's order, whichever ended first.
    let manifest = project.manifest_json();
    let order: Vec<&str> =
        manifest["artifacts"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(order, [AMD64, MUSL, ARM64_MUSL], "{done}");
}

#[test]
fn one_lane_or_one_job_is_as_without_a_jobserver() {
    require!(Target(MUSL), Tool("make"));
    let project = make_user("one", TWO_LANES);
    let (_, events) = with_events(&project, build(&project, &[MUSL], &["-j3"]), 0);
    assert_eq!(messages(&events, "tokens"), [""; 0]);
    assert!(log(&project, MUSL).contains(" --jobs 3 "), "{}", log(&project, MUSL));
    fs_err::remove_file(project.dir.join("marks")).unwrap();
    let convoy = build(&project, &[AMD64, MUSL], &["-j1"]).env("RUSTC_WRAPPER", rustc_marker(&project));
    let (_, events) = with_events(&project, convoy, 0);
    assert_eq!(messages(&events, "tokens"), [""; 0]);
    assert_eq!(peaks(&project), (1, 1));
    assert!(log(&project, AMD64).contains(" --jobs 1 "), "{}", log(&project, AMD64));
}

#[test]
fn the_number_of_jobs_is_convoys_or_cargos_configuration_and_never_cargos_argument() {
    require!(Target(MUSL), Tool("make"));
    let project = make_user("configured", TWO_LANES).file(".cargo/config.toml", "[build]\njobs = 3\n");
    let (_, events) = with_events(&project, build(&project, &[AMD64, MUSL], &[]), 0);
    assert_eq!(messages(&events, "tokens"), ["3 of 3 job tokens were returned"]);
    for arg in ["-j4", "-j", "--jobs=4", "--jobs"] {
        project.build(MUSL).args(["--", arg]).ends(2).says("use convoy's own `--jobs`, before the `--`");
    }
    // What is no number is cargo's to refuse.
    build(&project, &[AMD64, MUSL], &["-jmany"]).ends(1).says("many");
}

/// A make that starts convoy, with its jobserver or without.
fn by_make(project: &Project, recipe: &str) -> Convoy {
    let exe = env!("CARGO_BIN_EXE_cargo-convoy");
    let events = project.dir.join("events.jsonl");
    let command = format!("'{exe}' build -t {AMD64},{MUSL} --events '{events}'");
    project.write("outer.mk", &format!("all:\n\t{recipe}{command}\n"));
    Convoy::by("make", &project.dir, ["-j3", "-f", "outer.mk"]).env("RUSTC_WRAPPER", rustc_marker(project))
}

#[test]
fn an_outer_jobserver_is_obeyed_where_it_is_there() {
    require!(Target(MUSL), Tool("make"));
    let project = make_user("outer", TWO_LANES);
    let (done, events) = with_events(&project, by_make(&project, "+"), 0);
    assert_eq!(messages(&events, "outer-jobserver").len(), 1, "{done}");
    assert_eq!(messages(&events, "tokens"), [""; 0]);
    let (processes, lanes) = peaks(&project);
    assert!((2..=3).contains(&processes) && lanes == 1, "{processes} processes of {lanes} lanes");
    done.says_not("jobserver unavailable");
    for target in [AMD64, MUSL] {
        assert_eq!(told(&project, target, "said"), "");
    }
}

#[test]
fn an_outer_jobserver_that_is_only_announced_breaks_nothing() {
    require!(Target(MUSL), Tool("make"));
    let project = make_user("announced", TWO_LANES);
    let (_, events) = with_events(&project, by_make(&project, ""), 0);
    // From make 4.4 on it is a named pipe, which is there for every recipe.
    let version = crate::support::run("make", &["--version"]);
    let version = version.lines().next().and_then(|line| line.split_once("Make ")).unwrap().1.split('.');
    let named = version.map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>() >= vec![4, 4];
    assert_eq!(messages(&events, "outer-jobserver").len(), usize::from(named));
    assert_eq!(messages(&events, "tokens").len(), usize::from(!named));
    for target in [AMD64, MUSL] {
        assert_eq!(told(&project, target, "said"), "");
    }
}

/// A cargo that takes two tokens and dies, in the lane of musl.
fn dying_cargo(project: &Project) -> camino::Utf8PathBuf {
    let cargo = std::env::var("CARGO").map_or_else(|_| tool("cargo"), Into::into);
    project.script(
        "fake/cargo",
        &format!(
            "#!/bin/sh\ncase \"$*\" in build*--target\\ {MUSL}*)\n    fd=${{CARGO_MAKEFLAGS##*,}}\n    \
             dd bs=1 count=2 <\"/dev/fd/$fd\" >/dev/null 2>&1\n    kill -KILL $$;;\nesac\nexec '{cargo}' \"$@\"\n"
        ),
    )
}

#[test]
fn a_killed_lane_takes_its_tokens_and_nothing_else() {
    require!(Target(MUSL), Tool("make"));
    let project = make_user("killed", TWO_LANES);
    let convoy = build(&project, &[AMD64, MUSL], &["-j4"]).env("CARGO", dying_cargo(&project));
    let (done, events) = with_events(&project, convoy, 1);
    done.says("error[x86_64-unknown-linux-musl]: cargo failed without an error message");
    assert_eq!(messages(&events, "tokens"), ["2 of 4 job tokens were returned"]);
    assert_eq!(ids(&project.manifest_json(), "artifacts"), [AMD64]);
    // The next run has all of them.
    let (_, events) = with_events(&project, build(&project, &[AMD64, MUSL], &["-j4"]), 0);
    assert_eq!(messages(&events, "tokens"), ["4 of 4 job tokens were returned"]);
}

#[test]
fn the_same_mistake_in_two_lanes_is_told_once_and_in_one_piece() {
    require!(Target(MUSL));
    let project = Project::empty("mistake")
        .manifest("hello", "")
        .file("Convoy.toml", TWO_LANES)
        .file("src/main.rs", "fn main() { let x: u32 = \"no\"; }\n");
    let done = project.build(&format!("{AMD64},{MUSL}")).ends(1);
    assert_eq!(done.stderr.matches("mismatched types").count(), 1, "{done}");
    assert_eq!(done.stderr.matches("same errors as for").count(), 1, "{done}");
    let lines: Vec<&str> = done.stderr.lines().collect();
    let errors = lines.iter().position(|line| line.contains("could not compile `hello`")).unwrap();
    assert!(lines[errors + 1].starts_with("error[E0308]"), "{done}");
    assert_eq!(ids(&project.manifest_json(), "failed"), [AMD64, MUSL]);
}

fn pid_in(file: &Utf8Path) -> Option<i32> {
    fs_err::read_to_string(file).ok()?.trim().parse().ok()
}

/// Build scripts that run for minutes; each writes its process down by its target.
fn sleepers(name: &str) -> Project {
    Project::hello(name).file("Convoy.toml", TWO_LANES).file(
        "build.rs",
        "fn main() {\n    let target = std::env::var(\"TARGET\").unwrap();\n    \
         std::fs::write(format!(\"pid-{target}\"), std::process::id().to_string()).unwrap();\n    \
         std::thread::sleep(std::time::Duration::from_secs(600));\n}\n",
    )
}

#[test]
fn a_signal_ends_all_lanes() {
    require!(Target(MUSL));
    let project = sleepers("signal");
    let files = [AMD64, MUSL].map(|target| project.dir.join(format!("pid-{target}")));
    let running = project.build(&format!("{AMD64},{MUSL}")).starts();
    wait_for("both build scripts", || files.iter().all(|file| pid_in(file).is_some()));
    running.signal(Signal::TERM);
    let done = running.wait();
    assert_eq!(done.code, Some(143), "{done}");
    for file in &files {
        assert!(!is_running(pid_in(file).unwrap()), "{file} still runs");
    }
    assert!(!project.dir.join("target/convoy/jobserver").exists());
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    require!(Target(MUSL));
    let project = sleepers("kill");
    let files = [AMD64, MUSL].map(|target| project.dir.join(format!("pid-{target}")));
    let running = project.build(&format!("{AMD64},{MUSL}")).starts();
    wait_for("both build scripts", || files.iter().all(|file| pid_in(file).is_some()));
    running.signal(Signal::KILL);
    running.wait();
    for file in &files {
        let pid = rustix::process::Pid::from_raw(pid_in(file).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }
    let left = project.dir.join("target/convoy/jobserver");
    assert!(left.join("tokens").exists());
    fs_err::remove_file(project.dir.join("build.rs")).unwrap();
    project.build(&format!("{AMD64},{MUSL}")).ends(0);
    assert!(!left.exists());
}
