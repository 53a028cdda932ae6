//! An engine that does not see this machine's files: they are sent to it, and what it built comes back.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::{Duration, SystemTime};

use camino::Utf8Path;
use rustix::process::Signal;

use crate::support::containers::{compiler_image, hand_over, with_c};
use crate::support::engine::{Engine, engine, second_engine};
use crate::support::{Convoy, Done, Project, codes, environment, ids, rows, run, wait_for};

fn build(project: &Project, engine: &Engine) -> Convoy {
    let convoy = project.convoy(["build", "-t", "linux/arm64,linux/amd64", "--route", "container", "-v"]);
    convoy.env("CONVOY_ENGINE", "docker").on(engine)
}

/// What cargo itself said.
fn log(project: &Project, id: &str) -> String {
    fs_err::read_to_string(project.dir.join("target/convoy/logs").join(format!("{id}.log"))).unwrap()
}

fn hello(project: &Project) -> String {
    run(project.dist("x86_64-unknown-linux-gnu/hello"), &[])
}

/// The files of a folder, but for these folders.
fn files(dir: &Utf8Path, without: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in folder.read_dir_utf8().unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(dir).unwrap();
            if without.contains(&path.as_str()) {
                continue;
            }
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path().to_owned()),
                false => found.push(path.to_string()),
            }
        }
    }
    found.sort();
    found
}

fn containers(engine: &Engine) -> String {
    engine.run(&["ps", "--all", "--format", "{{.Names}}"])
}

fn volumes(engine: &Engine, kind: &str) -> Vec<String> {
    let filter = format!("label=io.cargo-convoy.volume={kind}");
    engine.run(&["volume", "ls", "--quiet", "--filter", &filter]).lines().map(str::to_owned).collect()
}

/// A file as an editor leaves it that keeps its time, or a clock that goes wrong.
fn write_long_ago(path: &Utf8Path, text: &str) {
    fs_err::write(path, text).unwrap();
    let file = fs_err::File::options().append(true).open(path).unwrap();
    file.file().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
}

#[test]
fn files_go_to_an_engine_that_does_not_see_them_and_binaries_come_back() {
    let (Some(first), Some(mut second)) = (engine(), second_engine()) else { return };
    let image = compiler_image(&first);
    hand_over(&image, &first, &second);
    let project = with_c(Project::empty("remote"), &image);
    let lane = project.dir.join("target/convoy").join(format!("container-{}", short(&image)));

    // A signal while the toolchain is on its way.
    let mut started = build(&project, &second).starts();
    wait_for("the toolchain to be on its way", || {
        assert!(!started.has_ended(), "the build ended before it was signalled");
        containers(&second).contains("convoy-toolchain-")
    });
    let filling = containers(&second).lines().find(|name| name.contains("toolchain")).unwrap().to_owned();
    started.signal(Signal::TERM);
    assert_eq!(started.wait().code, Some(143));
    assert_eq!(containers(&second), "");

    // Somebody else's run brings the toolchain: it is waited for, and as it does not come to its end this one brings it.
    second.run(&["run", "--detach", "--rm", "--name", &filling, "--network", "none", &image, "sleep", "600"]);
    let events = project.dir.join("target/events.jsonl");
    let mut started = build(&project, &second).arg("--events").arg(&events).starts();
    wait_for("the other run to be told of", || {
        assert!(!started.has_ended(), "the build ended although another one brings its toolchain");
        fs_err::read_to_string(&events).is_ok_and(|text| text.contains("waiting for another run to send rustc"))
    });
    assert!(!started.has_ended());
    second.run(&["rm", "--force", &filling]);
    let done = started.wait();
    assert_eq!(done.code, Some(0), "{done}");
    done.says("docker cannot access this machine's files; they are sent to it").says("to the container engine");
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), ["aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"]);
    for row in rows(&manifest, "artifacts").values() {
        assert_eq!(row["route"], "container");
        assert_eq!(row["verified"], true);
        assert!(codes(row, "violation").is_empty());
    }
    assert_eq!(hello(&project), "hello 42\n");

    // Nothing came that was not asked for.
    assert_eq!(
        files(&project.dir, &["target", "dist"]),
        ["Cargo.lock", "Cargo.toml", "Convoy.lock", "Convoy.toml", "build.rs", "src/answer.c", "src/main.rs", "wait"]
    );
    let binary = "x86_64-unknown-linux-gnu/release/hello";
    assert_eq!(
        files(&lane, &[]),
        [
            "aarch64-unknown-linux-gnu.convoy-key",
            "aarch64-unknown-linux-gnu/release/hello",
            "cpu-usage",
            "ended",
            "x86_64-unknown-linux-gnu.convoy-key",
            binary,
        ]
    );
    assert_eq!(containers(&second), "");

    // The second time nothing is built, and nothing is fetched.
    let before = fs_err::metadata(lane.join(binary)).unwrap();
    let done = build(&project, &second).ends(0);
    done.says_not("rustc 1").says_not("crates of");
    for id in ["aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"] {
        let log = log(&project, id);
        assert!(log.contains("Finished") && !log.contains("Compiling"), "{log}");
    }
    let after = fs_err::metadata(lane.join(binary)).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));

    // What changed is built, whatever its time says.
    write_long_ago(&project.dir.join("src/answer.c"), "int answer(void) { return 43; }\n");
    build(&project, &second).ends(0);
    assert_eq!(hello(&project), "hello 43\n");
    // What is gone here is gone there.
    fs_err::rename(project.dir.join("src/answer.c"), project.dir.join("answer.c")).unwrap();
    build(&project, &second).ends(1).says("answer.c");
    fs_err::rename(project.dir.join("answer.c"), project.dir.join("src/answer.c")).unwrap();

    // A signal in mid-build.
    fs_err::write(project.dir.join("wait"), "yes").unwrap();
    let mut started = build(&project, &second).starts();
    wait_for("the build script", || {
        assert!(!started.has_ended(), "the build ended before it was signalled");
        let name = containers(&second).lines().find(|name| !name.contains("fill")).map(str::to_owned);
        name.is_some_and(|name| second.try_run(&["top", &name]).stdout.contains("build-script"))
    });
    started.signal(Signal::INT);
    assert_eq!(started.wait().code, Some(130));
    assert_eq!(containers(&second), "");
    fs_err::write(project.dir.join("wait"), "no").unwrap();

    // Somebody cleans the engine: what was sent is not there any more.
    for kind in ["sources", "crates", "std"] {
        for name in volumes(&second, kind) {
            second.run(&["volume", "rm", &name]);
        }
    }
    build(&project, &second).ends(0);
    assert_eq!(hello(&project), "hello 43\n");

    // An older state of this machine, as of a backup: what is there is newer than what is remembered here.
    let remembered = project.dir.join("target/convoy/streamed");
    let aside = project.dir.join("target/streamed");
    run("cp", &["-a", remembered.as_str(), aside.as_str()]);
    write_long_ago(&project.dir.join("src/answer.c"), "int answer(void) { return 44; }\n");
    build(&project, &second).ends(0);
    assert_eq!(hello(&project), "hello 44\n");
    fs_err::remove_dir_all(&remembered).unwrap();
    fs_err::rename(&aside, &remembered).unwrap();
    write_long_ago(&project.dir.join("src/answer.c"), "int answer(void) { return 43; }\n");
    build(&project, &second).ends(0);
    assert_eq!(hello(&project), "hello 43\n");

    listed_and_removed(&second);
    second.stop();
    let done = build(&project, &second).output();
    assert!(matches!(done.code, Some(3 | 5)), "{done}");
}

/// What `images clean` works with.
fn listed_and_removed(engine: &Engine) {
    let told = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "remote::lists_volumes", "--ignored", "--nocapture"])
        .envs(engine.command().get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .unwrap();
    let told = Done::from(told);
    assert_eq!(told.code, Some(0), "{told}");
    assert!(volumes(engine, "toolchain").is_empty(), "{told}");
}

/// In a process of its own, as the engine is found by the environment.
#[test]
#[ignore = "a part of another test"]
fn lists_volumes() {
    use cargo_convoy::machine::engine::Engine;
    use cargo_convoy::plan::container::VolumeKind;
    use cargo_convoy::provision::volumes;
    let Engine::Found(engine) = cargo_convoy::machine::engine::engine(
        cargo_convoy::model::request::EngineChoice::Docker,
        &environment::convoy_cache(),
    ) else {
        panic!("no engine")
    };
    let interrupt = cargo_convoy::machine::interrupt::Interrupt::default();
    let list = volumes::list(&engine, &interrupt).unwrap();
    let of = |kind| list.iter().filter(move |volume| volume.kind == Some(kind)).collect::<Vec<_>>();
    let toolchain = of(VolumeKind::Toolchain)[0];
    assert!(toolchain.what.starts_with("rustc 1.") && toolchain.machine.is_none(), "{toolchain:?}");
    assert!(toolchain.bytes.is_some_and(|bytes| bytes > 100 << 20), "{toolchain:?}");
    let sources = of(VolumeKind::Sources)[0];
    assert!(sources.machine.is_some() && sources.bytes.is_none(), "{sources:?}");
    volumes::remove(&engine, &toolchain.name, &interrupt).unwrap();
    let error = volumes::remove(&engine, &toolchain.name, &interrupt).unwrap_err();
    assert!(error.to_string().contains(&toolchain.name), "{error}");
}

/// What the folder of an image's lanes is named by.
fn short(image: &str) -> String {
    cargo_convoy::util::files::sha256(image)[..12].to_owned()
}
