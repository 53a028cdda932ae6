//! What goes wrong around a lane in a container, and what people's machines are like: a real engine throughout.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::Signal;
use serde_json::Value;
use support::containers::{compiler_image, containers_of, hand_over, wait_for_the_build_script, with_c};
use support::crates::crate_registry;
use support::engine::{Engine, engine, is_root, podman_rootful, podman_rootless, second_engine_with_files};
use support::{Convoy, Project, Running, rows, run, tool, wait_for};

/// Where the build script of the projects says that it runs.
const BEGUN: &str = "    std::fs::write(out.join(\"begun\")";

const AMD64: &str = "x86_64-unknown-linux-gnu";

/// A build in a container, for this machine's own platform.
fn build(project: &Project) -> Convoy {
    in_container(project.build(AMD64))
}

fn in_container(convoy: Convoy) -> Convoy {
    convoy.args(["--route", "container", "--profile", "dev"]).env("CONVOY_ENGINE", "docker")
}

/// Its build script waits by now.
fn waiting(project: &Project, build: Convoy) -> Running {
    project.write("wait", "yes");
    let mut running = build.starts();
    wait_for_the_build_script(project, &mut running);
    project.write("wait", "no");
    running
}

fn says_hello(project: &Project) {
    assert_eq!(run(project.dist(&format!("{AMD64}/hello")), &[]), "hello 42\n");
    let manifest = project.manifest_json();
    let row = &rows(&manifest, "artifacts")[AMD64];
    assert_eq!((&row["route"], &row["verified"]), (&"container".into(), &true.into()), "{row:#}");
}

/// The only failed cell.
fn failed(project: &Project) -> Value {
    rows(&project.manifest_json(), "failed")[AMD64].clone()
}

/// A mount of root's that goes with the value.
struct Mounted(Utf8PathBuf);

impl Mounted {
    /// None where only root may mount: the test then says so.
    fn new(place: &Utf8Path, args: &[&[&str]]) -> Option<Self> {
        if !is_root("no mount") {
            return None;
        }
        let mounted = Self(place.to_owned());
        args.iter().for_each(|args| drop(run("mount", args)));
        Some(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").args(["--lazy", self.0.as_str()]).status();
    }
}

#[test]
fn a_signal_ends_the_container_too() {
    let Some(engine) = engine() else { return };
    let project = with_c(Project::empty("signals"), &compiler_image(&engine));
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        if project.dir.join("target").exists() {
            fs_err::remove_dir_all(project.dir.join("target")).unwrap();
        }
        let running = waiting(&project, build(&project));
        assert_eq!(containers_of(&engine, &project).len(), 1);
        running.signal(signal);
        let done = running.wait();
        assert_eq!(done.code, Some(code), "{done}");
        assert_eq!(containers_of(&engine, &project), Vec::<String>::new());
    }
    build(&project).ends(0);
    says_hello(&project);
}

#[test]
fn what_a_killed_run_left_is_removed_with_the_next_start_and_nothing_else() {
    let Some(engine) = engine() else { return };
    let image = compiler_image(&engine);
    let [killed, other, next] = ["killed", "other", "next"].map(|name| with_c(Project::empty(name), &image));
    // Of an earlier run of this test that failed.
    for project in [&killed, &other, &next] {
        containers_of(&engine, project).iter().for_each(|id| drop(engine.run(&["rm", "--force", id])));
    }
    // Three runs of one machine and cache.
    let cache = killed.dir.join("cache");
    let build = |project: &Project| build(project).env("CONVOY_CACHE_DIR", &cache);

    let going_on = waiting(&other, build(&other));
    let running = waiting(&killed, build(&killed));
    let left = containers_of(&engine, &killed);
    assert_eq!(left.len(), 1);
    running.signal(Signal::KILL);
    running.wait();
    assert_eq!(containers_of(&engine, &killed), left, "nobody could end it");

    let label = |key: &str| {
        let format = format!("{{{{index .Config.Labels \"io.cargo-convoy.{key}\"}}}}");
        engine.run(&["inspect", "--format", &format, &left[0]]).trim().to_owned()
    };
    let (machine, run_label) = (label("machine"), label("run"));
    assert!(!machine.is_empty() && !run_label.is_empty());
    // Somebody else's who uses this engine, too; and one that only looks like convoy's.
    let stranger = Stranger::start(
        &engine,
        &image,
        &["io.cargo-convoy.machine=other", &format!("io.cargo-convoy.run={run_label}")],
    );
    let odd = Stranger::start(
        &engine,
        &image,
        &[&format!("io.cargo-convoy.machine={machine}"), "io.cargo-convoy.run=../runs"],
    );

    build(&next).ends(0).says("removed 1 container");
    assert_eq!(containers_of(&engine, &killed), Vec::<String>::new());
    assert_eq!(containers_of(&engine, &other).len(), 1, "its run goes on");
    assert!(stranger.runs() && odd.runs());
    going_on.signal(Signal::TERM);
    assert_eq!(going_on.wait().code, Some(143));
}

/// A container that is not convoy's, or not certainly.
struct Stranger {
    engine: Engine,
    id: String,
}

impl Stranger {
    fn start(engine: &Engine, image: &str, labels: &[&str]) -> Self {
        let mut args = vec!["run", "--detach", "--init", "--network", "none"];
        labels.iter().for_each(|label| args.extend(["--label", label]));
        args.extend([image, "sleep", "600"]);
        Self { engine: engine.clone(), id: engine.run(&args).trim().to_owned() }
    }

    fn runs(&self) -> bool {
        self.engine.run(&["inspect", "--format", "{{.State.Running}}", &self.id]).trim() == "true"
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.engine.try_run(&["rm", "--force", &self.id]);
    }
}

#[test]
fn an_engine_that_stops_in_mid_build_is_told_of() {
    let (Some(first), Some(mut engine)) = (engine(), second_engine_with_files()) else { return };
    let image = compiler_image(&first);
    hand_over(&image, &first, &engine);
    let project = with_c(Project::empty("engine-stops"), &image);
    let both = format!("{AMD64},aarch64-apple-darwin");
    project.write("src/main.rs", support::HELLO);
    // A target that needs no container comes out all the same.
    let convoy = project.build(&both).args(["--route", &format!("{AMD64}=container"), "--profile", "dev", "-j", "2"]);
    let convoy = convoy.env("CONVOY_ENGINE", "docker").on(&engine);
    project.write(
        "build.rs",
        &fs_err::read_to_string(project.dir.join("build.rs")).unwrap().replace(
            BEGUN,
            &format!("    if std::env::var(\"TARGET\").unwrap().contains(\"darwin\") {{ return; }}\n{BEGUN}"),
        ),
    );
    project.write("wait", "yes");
    let mut running = convoy.starts();
    wait_for("the container", || {
        assert!(!running.has_ended());
        !containers_of(&engine, &project).is_empty() && project.dir.join("target/convoy/logs").exists()
    });
    wait_for_the_build_script(&project, &mut running);
    engine.stop();
    let done = running.wait();
    assert_eq!(done.code, Some(5), "{done}");
    done.says("the container ended before cargo did");
    let manifest = project.manifest_json();
    assert_eq!(rows(&manifest, "failed")[AMD64]["code"], "engine-failed");
    assert_eq!(rows(&manifest, "artifacts")["aarch64-apple-darwin"]["verified"], true);
    // And where it is gone altogether.
    build(&project).on(&engine).ends(3).says("its engine does not respond");
}

#[test]
fn an_image_that_cannot_be_built_is_told_with_the_line_that_failed() {
    let Some(engine) = engine() else { return };
    engine.base_image("bookworm");
    let project = with_c(Project::empty("image-fails"), "unused");
    project.write("Convoy.toml", "[container]\ndockerfile = \"tools/Dockerfile\"\n");
    let step = format!("echo made-it-{} && cat /no/such/file", std::process::id());
    project.write("tools/Dockerfile", &format!("FROM debian:bookworm-slim\nRUN {step}\nRUN true\n"));
    let done = build(&project).ends(5);
    done.says("cat: /no/such/file: No such file or directory").says_not("No such container");
    assert_eq!(failed(&project)["status"], "failed");
    let left = engine.run(&["ps", "--all", "--no-trunc", "--format", "{{.Command}}"]);
    assert!(!left.contains(&step), "the step's container stayed: {left}");
    // A package that the release does not have.
    project.write("Convoy.toml", "[container]\npackages = [\"no-such-package\"]\n");
    build(&project).ends(5).says("Unable to locate package no-such-package");
    // A line of the user's.
    let pre_build = format!(
        "[container]\nimage = \"{}\"\npre-build = [\"true\", \"echo it broke >&2; false\"]\n",
        compiler_image(&engine)
    );
    project.write("Convoy.toml", &pre_build);
    build(&project).ends(5).says("it broke");
    // A file that is not there.
    project.write("Convoy.toml", "[container]\ndockerfile = \"nowhere\"\n");
    build(&project).ends(3).says("could not read");
    // Once it is mended, it is built.
    project.write("Convoy.toml", &format!("[container]\nimage = \"{}\"\n", compiler_image(&engine)));
    build(&project).ends(0);
    says_hello(&project);
}

#[test]
fn an_image_without_a_shell_is_refused_and_says_nothing_of_the_engine() {
    let Some(engine) = engine() else { return };
    let project = with_c(Project::empty("no-shell"), "cargo-convoy-test/nothing:1");
    project.write("nothing/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    engine.run(&["build", "--tag", "cargo-convoy-test/nothing:1", project.dir.join("nothing").as_str()]);
    // What is found out of an engine is kept there.
    let cache = Project::empty("no-shell-cache");
    let build = || build(&project).env("CONVOY_CACHE_DIR", &cache.dir);
    build()
        .ends(5)
        .says("the image cargo-convoy-test/nothing:1 has no `/bin/sh`")
        .says_not("cannot access this machine's files");
    assert!(!project.dist(AMD64).exists());
    project.write("Convoy.toml", &format!("[container]\nimage = \"{}\"\n", compiler_image(&engine)));
    build().ends(0).says_not("cannot access this machine's files");
    says_hello(&project);
}

#[test]
fn a_full_disk_is_called_by_its_name() {
    let Some(engine) = engine() else { return };
    let project = with_c(Project::empty("full-disk"), &compiler_image(&engine));
    build(&project).ends(0);
    fs_err::remove_dir_all(project.dir.join("target")).unwrap();
    let target = project.dir.join("target");
    fs_err::create_dir(&target).unwrap();
    let Some(_small) = Mounted::new(&target, &[&["-t", "tmpfs", "-o", "size=64m", "small", target.as_str()]]) else {
        return;
    };
    project.write("wait", "fill");
    build(&project).ends(5).says("the disk is full").says("free some disk space");
    assert_eq!(failed(&project)["code"], "disk-full");
    assert!(!project.dist(&format!("{AMD64}/hello")).exists(), "what is there is of this run");
    project.write("wait", "no");
    fs_err::remove_dir_all(target.join("convoy")).unwrap();
    build(&project).ends(0);
    says_hello(&project);
}

#[test]
fn sources_that_nobody_may_write_to_are_built() {
    let Some(engine) = engine() else { return };
    let project = with_c(Project::empty("read-only"), &compiler_image(&engine));
    run(tool("cargo"), &["generate-lockfile", "--quiet", "--manifest-path", project.dir.join("Cargo.toml").as_str()]);
    let own = project.dir.as_str();
    let outside = Project::empty("read-only-out");
    let Some(_closed) = Mounted::new(&project.dir, &[&["--bind", own, own], &["-o", "remount,bind,ro", own]]) else {
        return;
    };
    assert!(fs_err::write(project.dir.join("new"), "").is_err());
    let (target, dist) = (outside.dir.join("target"), outside.dir.join("dist"));
    build(&project).args(["--target-dir", target.as_str(), "--dist-dir", dist.as_str()]).ends(0);
    assert_eq!(run(dist.join(AMD64).join("hello"), &[]), "hello 42\n");
}

#[test]
fn a_path_may_hold_spaces_other_letters_commas_and_a_leading_dash() {
    let Some(engine) = engine() else { return };
    let above = Project::empty("odd-paths");
    let project = Project { dir: above.dir.join("-größe \"neu\", 2 'x'") };
    let project = with_c(project, &compiler_image(&engine));
    build(&project).ends(0);
    says_hello(&project);
    // Named from above it, where its first letter is a dash.
    fs_err::remove_dir_all(project.dir.join("dist")).unwrap();
    let manifest = format!("--manifest-path={}/Cargo.toml", project.dir.file_name().unwrap());
    in_container(above.build(AMD64)).arg(manifest).ends(0);
    says_hello(&project);
}

#[test]
fn a_workspace_may_use_crates_that_lie_outside_of_it_and_of_git() {
    let Some(engine) = engine() else { return };
    let image = compiler_image(&engine);
    let above = Project::empty("elsewhere");
    let library = |dir: &str, name: &str, dependencies: &str, source: &str| {
        let manifest = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{dependencies}");
        above.write(&format!("{dir}/Cargo.toml"), &manifest);
        above.write(&format!("{dir}/src/lib.rs"), source);
    };
    library("libraries/near", "near", "[dependencies]\nfar = { path = \"../../far/off\" }\n", "pub use far::six;\n");
    library("far/off", "far", "", "pub fn six() -> i32 { 6 }\n");
    library("upstream", "upstream", "", "pub fn seven() -> i32 { 7 }\n");
    let upstream = above.dir.join("upstream");
    let git = |args: &[&str]| {
        let own = ["-C", upstream.as_str(), "-c", "user.name=t", "-c", "user.email=t@example.invalid"];
        run(tool("git"), &[&own[..], args].concat());
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "one"]);
    let project = Project { dir: above.dir.join("work/app") };
    project.write(
        "Cargo.toml",
        &format!(
            "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\n\
             near = {{ path = \"../../libraries/near\" }}\nupstream = {{ git = \"file://{upstream}\" }}\n[workspace]\n"
        ),
    );
    project.write("src/main.rs", "fn main() { println!(\"hello {}\", near::six() * upstream::seven()); }\n");
    project.write("Convoy.toml", &format!("[container]\nimage = \"{image}\"\n"));
    // Of its own, so that this repository stays in nobody's.
    let home = CargoHome::new(&above, "home");
    build(&project).env("CARGO_HOME", &home.dir).ends(0);
    says_hello(&project);
    // The revision is the one of Cargo.lock, and nothing is fetched again.
    fs_err::remove_dir_all(&upstream).unwrap();
    fs_err::remove_dir_all(project.dir.join("target")).unwrap();
    build(&project).env("CARGO_HOME", &home.dir).args(["--locked", "--offline"]).ends(0);
    says_hello(&project);
}

/// A folder of cargo's, with this machine's own configuration and crates.
struct CargoHome {
    dir: Utf8PathBuf,
}

impl CargoHome {
    fn new(project: &Project, name: &str) -> Self {
        let own = std::env::var("CARGO_HOME").unwrap_or_else(|_| std::env::var("HOME").unwrap() + "/.cargo");
        let (own, dir) = (Utf8PathBuf::from(own), project.dir.join(name));
        fs_err::create_dir_all(&dir).unwrap();
        fs_err::create_dir_all(own.join("registry")).unwrap();
        fs_err::os::unix::fs::symlink(own.join("registry"), dir.join("registry")).unwrap();
        if own.join("config.toml").exists() {
            fs_err::copy(own.join("config.toml"), dir.join("config.toml")).unwrap();
        }
        Self { dir }
    }
}

#[test]
fn cargos_own_folder_may_be_a_link() {
    let Some(engine) = engine() else { return };
    let project = with_c(Project::empty("linked-home"), &compiler_image(&engine));
    let outside = Project::empty("linked-home-itself");
    let home = CargoHome::new(&outside, "real");
    let link = outside.dir.join("link");
    fs_err::os::unix::fs::symlink(&home.dir, &link).unwrap();
    build(&project).env("CARGO_HOME", &link).ends(0);
    says_hello(&project);
}

#[test]
fn a_registrys_token_is_not_seen_inside() {
    let Some(engine) = engine() else { return };
    let (first, second) = ("Bearer-hunter", format!("two-{}", std::process::id()));
    let token = format!("{first}{second}");
    let registry = crate_registry("private-answer", "pub fn answer() -> i32 { 42 }\n", &token);
    let project = with_c(Project::empty("token"), &compiler_image(&engine));
    let index = registry.index();
    project.write(
        "Cargo.toml",
        "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\n\
         private-answer = { version = \"0.1\", registry = \"private\" }\n[workspace]\n",
    );
    project.write("src/main.rs", "fn main() { println!(\"hello {}\", private_answer::answer()); }\n");
    // Looks for the token wherever it could be: the environment of all processes, cargo's folder, the project's own.
    project.write("build.rs", &LOOKS_FOR_IT.replace("FIRST", first).replace("SECOND", &second));
    // In every place where people put it.
    project.write(".cargo/config.toml", &format!("[registries.private]\nindex = \"{index}\"\ntoken = \"{token}\"\n"));
    project.write(".cargo/credentials.toml", &format!("[registries.private]\ntoken = \"{token}\"\n"));
    let outside = Project::empty("token-home");
    let home = CargoHome::new(&outside, "home");
    // cargo's index and crates of this registry go to a folder that is thrown away.
    fs_err::remove_file(home.dir.join("registry")).unwrap();
    let own = home.dir.join("config.toml");
    let providers = "[registry]\nglobal-credential-providers = [\"cargo:token\"]\n";
    fs_err::write(&own, format!("{}{providers}", fs_err::read_to_string(&own).unwrap_or_default())).unwrap();
    fs_err::write(home.dir.join("credentials.toml"), format!("[registries.private]\ntoken = \"{token}\"\n")).unwrap();
    let build = || {
        build(&project)
            .env("CARGO_HOME", &home.dir)
            .env("CARGO_REGISTRIES_PRIVATE_TOKEN", &token)
            .env("FROM_OUTSIDE", &token)
    };
    build().ends(0);
    says_hello(&project);
    assert!(registry.served().iter().any(|path| path.ends_with("/download")), "{registry:?}");
    // The same build script finds it where it is handed in.
    project.write(
        "Convoy.toml",
        &format!("[container]\nimage = \"{}\"\npassthrough = [\"FROM_OUTSIDE\"]\n", compiler_image(&engine)),
    );
    build().ends(1).says("the token is in");
}

const LOOKS_FOR_IT: &str = r##"use std::path::Path;
fn main() {
    let token = ["FIRST", "SECOND"].concat();
    let holds = |text: &[u8]| text.windows(token.len()).any(|part| part == token.as_bytes());
    let mut read = 0;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["environ", "cmdline"] {
            let Ok(text) = std::fs::read(process.path().join(file)) else { continue };
            read += 1;
            assert!(!holds(&text), "the token is in {:?}", process.path().join(file));
        }
    }
    assert!(read > 2, "processes are seen");
    let home = std::env::var_os("CARGO_HOME").unwrap();
    let mut open = vec![Path::new(&home).to_owned(), std::env::current_dir().unwrap(), "/tmp".into(), "/run".into()];
    let mut files = 0;
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                // What was built holds parts of it only.
                if path.file_name().is_none_or(|name| name != "target" && name != "dist") { open.push(path); }
            } else if let Ok(text) = std::fs::read(&path) {
                files += 1;
                assert!(!holds(&text), "the token is in {path:?}");
            }
        }
    }
    assert!(files > 5, "files are seen");
}
"##;

#[test]
fn a_container_may_do_only_what_a_build_must() {
    let Some(engine) = engine() else { return };
    let image = compiler_image(&engine);
    let project = with_c(Project::empty("confined"), &image);
    project.write("build.rs", LOOKS_AROUND);
    project.write("wanted", "lo no no");
    build(&project).ends(0);
    let more = "network = true\nmemory = \"768m\"\ncpus = \"0.5\"\n";
    project.write("Convoy.toml", &format!("[container]\nimage = \"{image}\"\n{more}"));
    project.write("wanted", "more 805306368 50000");
    build(&project).ends(0);
    says_hello(&project);
}

const LOOKS_AROUND: &str = r##"use std::fs;
fn main() {
    println!("cargo:rerun-if-changed=wanted");
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!((field("CapEff:").as_str(), field("NoNewPrivs:").as_str()), ("0000000000000000", "1"));
    let home = std::env::var("CARGO_HOME").unwrap();
    let here = std::env::current_dir().unwrap().to_str().unwrap().to_owned();
    for place in [&here, &format!("{here}/src"), &home, &format!("{home}/registry")] {
        assert!(fs::write(format!("{place}/new"), "").is_err(), "{place} can be written to");
    }
    let mut names: Vec<_> = fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let interfaces = if names == ["lo"] { "lo" } else { "more" };
    // The older control groups, or the newer.
    let read = |paths: [&str; 2]| paths.into_iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let memory = read(["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"]);
    let memory = memory.trim().parse::<u64>().ok().filter(|bytes| *bytes < 1 << 40);
    let cpus = read(["/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu.max"]);
    let cpus = cpus.split_whitespace().next().and_then(|quota| quota.parse::<u64>().ok());
    let told = |limit: Option<u64>| limit.map_or("no".to_owned(), |limit| limit.to_string());
    assert_eq!(format!("{interfaces} {} {}", told(memory), told(cpus)), fs::read_to_string("wanted").unwrap());
    cc::Build::new().file("src/answer.c").compile("answer");
}
"##;

#[test]
fn what_a_rootless_engine_writes_belongs_to_its_user() {
    let (Some(docker), Some(podman)) = (engine(), podman_rootless()) else { return };
    builds_with_podman("rootless", &docker, &podman);
}

#[test]
fn a_podman_of_root_builds_too() {
    let (Some(docker), Some(podman)) = (engine(), podman_rootful()) else { return };
    builds_with_podman("rootful", &docker, &podman);
}

fn builds_with_podman(name: &str, docker: &Engine, podman: &Engine) {
    let image = compiler_image(docker);
    if podman.try_run(&["image", "inspect", &image]).code != Some(0) {
        hand_over(&image, docker, podman);
    }
    let project = Project::hello(name).file("Convoy.toml", &format!("[container]\nimage = \"{image}\"\n"));
    podman.own(&project.dir);
    let (uid, _) = podman.ids();
    let convoy = project.build(AMD64).args(["--route", "container", "--profile", "dev", "--engine", "podman"]);
    convoy.env_remove("CONVOY_ENGINE").on(podman).ends(0);
    says_hello(&project);
    let mut open = vec![project.dir.clone()];
    let mut seen = 0;
    while let Some(path) = open.pop() {
        let metadata = fs_err::symlink_metadata(&path).unwrap();
        assert_eq!(metadata.uid(), uid, "{path}");
        seen += 1;
        if metadata.is_dir() {
            open.extend(path.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()));
        }
    }
    assert!(seen > 20, "{seen}");
}

/// Says all variables, and all files of the project in which the secret is seen.
const PRIES: &str = r#"use std::path::Path;
fn look(dir: &Path, found: &mut String) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            look(&path, found);
        } else if std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&["hunter", "2"].concat())) {
            found.push_str(&format!("file {}\n", path.display()));
        }
    }
}
fn main() {
    // Naming them is all that it took.
    if std::env::var("CARGO_REGISTRY_TOKEN").is_ok() || std::env::var("AWS_SECRET_ACCESS_KEY").is_ok() {
        println!("cargo:rustc-link-lib=z");
    }
    let mut found: String = std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect();
    look(Path::new("."), &mut found);
    found.push_str(&format!("repository {}", std::fs::read_to_string(".git/config").unwrap()));
    std::fs::write(Path::new(&std::env::var_os("OUT_DIR").unwrap()).join("found"), found).unwrap();
}
"#;

/// The only file of a name in a project's lanes.
fn in_lane(project: &Project, name: &str) -> String {
    let found = run("find", &[project.dir.join("target/convoy").as_str(), "-name", name, "-type", "f"]);
    fs_err::read_to_string(found.trim()).unwrap()
}

#[test]
fn a_build_script_that_pries_finds_no_secret() {
    let Some(engine) = engine() else { return };
    let config = format!("[container]\nimage = \"{}\"\npassthrough = [\"HANDED_IN\"]\n", compiler_image(&engine));
    let repository =
        "[core]\n\trepositoryformatversion = 0\n[http \"https://h/\"]\n\textraheader = AUTHORIZATION: hunter2\n";
    let project = Project::hello("pries")
        .file("build.rs", PRIES)
        .file("Convoy.toml", &config)
        .file(".git/config", repository)
        .file(".env", "A=hunter2\n")
        .file("tools/.cargo/credentials.toml", "[registry]\ntoken = \"hunter2\"\n")
        .file("target/debug/other", "hunter2")
        .file("target/convoy/tools/other-lane/left", "hunter2");
    let done = build(&project)
        .env("CARGO_REGISTRY_TOKEN", "hunter2")
        .env("AWS_SECRET_ACCESS_KEY", "hunter2")
        .env("HANDED_IN", "the-users-word")
        .env("LIBGIT2_NO_VENDOR", "1")
        .env("OPENSSL_DIR", "/opt/hunter2")
        .env("CARGO_REGISTRIES_TEAM_INDEX", "sparse+https://hunter2@team.example/")
        .arg("-v")
        .ends(0);
    done.says("variables passed to the container: CARGO_REGISTRIES_TEAM_INDEX, HANDED_IN, LIBGIT2_NO_VENDOR");
    let found = in_lane(&project, "found");
    assert!(!found.contains("hunter2") && !found.contains("file "), "{found}");
    assert!(found.contains("HANDED_IN=the-users-word\n") && found.contains("LIBGIT2_NO_VENDOR=1\n"), "{found}");
    assert!(found.contains("repositoryformatversion = 0"), "{found}");
    // Nor does what was handed in stay where another lane, or a cache of the target folder, has it.
    let tools = project.dir.join("target/convoy/tools");
    let left = std::process::Command::new("grep").args(["-r", "the-users-word", tools.as_str()]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    // What a build needs all the same is named.
    let env = project.dir.join(".env");
    project.write("Convoy.toml", &format!("{config}volumes = [\"{env}:{env}:ro\"]\n"));
    build(&project).ends(0);
    assert!(in_lane(&project, "found").contains("file ./.env\n"));
}

/// Writes a message of cargo's own that names a program outside, and gives the binary rights in the background.
const FORGES: &str = r##"use std::os::unix::process::parent_id;
use std::process::{Command, Stdio};
fn main() {
    let var = |name: &str| std::env::var(name).unwrap();
    let out = std::path::PathBuf::from(var("OUT_DIR"));
    let target = out.ancestors().nth(4).unwrap().display().to_string();
    let (dir, exe) = (var("CARGO_MANIFEST_DIR"), format!("{target}/../../../../outside/hello"));
    let kinds = r#""kind":["bin"],"crate_types":["bin"],"name":"hello","edition":"2024","doc":true,"doctest":false,"test":true"#;
    let profile = r#"{"opt_level":"0","debuginfo":0,"debug_assertions":true,"overflow_checks":true,"test":false}"#;
    let line = format!(
        "{{\"reason\":\"compiler-artifact\",\"package_id\":\"path+file://{dir}#hello@0.1.0\",\"manifest_path\":\"{dir}/Cargo.toml\",\
         \"target\":{{{kinds},\"src_path\":\"{dir}/src/main.rs\"}},\"profile\":{profile},\"features\":[],\
         \"filenames\":[\"{exe}\"],\"executable\":\"{exe}\",\"fresh\":false}}\n"
    );
    std::fs::write(format!("/proc/{}/fd/1", parent_id()), line).unwrap();
    let chmod = format!("while :; do chmod 6755 {target}/debug/deps/hello-*; sleep 0.01; done");
    let mut setsid = Command::new("setsid");
    setsid.args(["sh", "-c", &chmod]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    setsid.spawn().unwrap();
}
"##;

#[test]
fn a_build_script_neither_chooses_what_is_published_nor_gives_it_rights() {
    let Some(engine) = engine() else { return };
    let project = Project::hello("forges")
        .file("build.rs", FORGES)
        .file("Convoy.toml", &format!("[container]\nimage = \"{}\"\n", compiler_image(&engine)));
    // A right program for the target, which is none of this package's.
    let other =
        Project::empty("forged").manifest("hello", "").file("src/main.rs", "fn main() { println!(\"private\"); }\n");
    other.build(AMD64).args(["--profile", "dev"]).ends(0);
    project.write("outside/note", "");
    fs_err::copy(other.dist(&format!("{AMD64}/hello")), project.dir.join("outside/hello")).unwrap();
    build(&project).ends(0);
    says_hello(&project);
    let set = run("find", &[project.dir.as_str(), "-type", "f", "-perm", "/6000"]);
    assert_eq!(set, "", "files that give the caller's rights");
}

#[test]
fn what_a_container_built_is_started_in_one() {
    let Some(engine) = engine() else { return };
    let project = Project::empty("smoke");
    let main = format!(
        "fn main() {{\n    let seen = std::path::Path::new(\"{}/Cargo.toml\").exists();\n    \
         if seen || std::env::var_os(\"FROM_OUTSIDE\").is_some() {{\n        std::process::abort();\n    }}\n}}\n",
        project.dir
    );
    let project = project
        .manifest("hello", "")
        .file("src/main.rs", &main)
        .file("Convoy.toml", &format!("[container]\nimage = \"{}\"\n", compiler_image(&engine)));
    build(&project).arg("--smoke").env("FROM_OUTSIDE", "x").ends(0).says("started, exit code 0");
    assert_eq!(containers_of(&engine, &project), Vec::<String>::new());
    // A signal is told from a code inside, too.
    project.write("src/main.rs", "fn main() { std::process::abort(); }\n");
    build(&project).arg("--smoke").ends(4).says("killed by signal 6");
}
