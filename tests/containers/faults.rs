//! What goes wrong around a lane in a container: signals, killed runs, engines that stop, images and disks. A real engine
//! throughout.

use rustix::process::Signal;

use super::helpers::{AMD64, Mounted, build, failed, says_hello, waiting};
use crate::support::containers::{compiler_image, containers_of, hand_over, wait_for_the_build_script, with_c};
use crate::support::engine::{Engine, engine, second_engine_with_files};
use crate::support::{Project, rows, wait_for};

/// Where the build script of the projects says that it runs.
const BEGUN: &str = "    std::fs::write(out.join(\"begun\")";

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
    project.write("src/main.rs", crate::support::HELLO);
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
    done.says("the container exited before cargo did");
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
