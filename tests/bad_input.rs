//! Bad input: a clear error, the right exit code, and nothing lost.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::process::Command;
use std::time::Duration;

use camino::Utf8Path;
use serde_json::Value;
use support::{Done, HELLO, Project, ids, run, tool, wait_for};

const MUSL: &str = "x86_64-unknown-linux-musl";

// The project.

#[test]
fn no_cargo_toml() {
    // In no folder above, either.
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    for command in ["build", "plan", "init"] {
        let done = support::Convoy::new(dir, [command]).ends(2);
        done.says("error: could not find `Cargo.toml`")
            .says("hint: change to a Cargo project, or specify one with `--manifest-path`");
    }
    support::Convoy::new(dir, ["build", "--manifest-path", "nowhere/Cargo.toml"]).ends(2).says("does not exist");
    support::Convoy::new(dir, ["build", "--manifest-path", "."]).ends(2).says("is a directory").says("hint: use");
    assert_eq!(dir.read_dir_utf8().unwrap().count(), 0);
}

#[test]
fn a_broken_cargo_toml() {
    let project = Project::hello("broken").file("Cargo.toml", "[package\nname = \"x\"\n");
    let done = project.build(MUSL).ends(2);
    done.says("error: cargo could not load this project").says("Cargo.toml:1");
    let project = project.file(
        "Cargo.toml",
        "[package]\nname = \"x\"\nedition = \"2024\"\n[dependencies]\ny = { path = \"y\" }\n[workspace]\n",
    );
    project.build(MUSL).ends(2).says("error: cargo could not load this project");
}

#[test]
fn no_bin_in_the_package() {
    let project = Project::empty("no-bin").manifest("shelf", "").file("src/lib.rs", "");
    project.build(MUSL).ends(2).says("error: no binaries to build in shelf").says("add a `src/main.rs`");
}

#[test]
fn a_bin_that_is_switched_off() {
    let project = Project::empty("switched-off")
        .manifest(
            "hello",
            "[features]\ncli = []\n[[bin]]\nname = \"hello\"\nrequired-features = [\"cli\"]\npath = \"src/main.rs\"\n",
        )
        .file("src/main.rs", HELLO);
    project.build(MUSL).ends(2).says("hint: add `-F cli`, which binary `hello` requires");
    project.build(MUSL).arg("--bin=hello").ends(2).says("requires the features cli");
    project.build(MUSL).arg("--bin=helo").ends(2).says("no binary named `helo`");
    project.build(MUSL).arg("-Fcli").ends(0);
    project.build(MUSL).arg("-Fclo").ends(2).says("clo");
}

/// Two members, each with these bins.
fn workspace(name: &str, first: &str, second: &str) -> Project {
    let member = |package: &str, bin: &str| {
        format!(
            "[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             [[bin]]\nname = \"{bin}\"\npath = \"src/main.rs\"\n"
        )
    };
    Project::empty(name)
        .file("Cargo.toml", "[workspace]\nmembers = [\"one\", \"two\"]\nresolver = \"3\"\n")
        .file("one/Cargo.toml", &member("one", first))
        .file("one/src/main.rs", "fn main() { println!(\"one\"); }\n")
        .file("two/Cargo.toml", &member("two", second))
        .file("two/src/main.rs", "fn main() { println!(\"two\"); }\n")
}

#[test]
fn two_bins_of_one_name() {
    let project = workspace("one-name", "tool", "tool");
    let done = project.build(MUSL).ends(2);
    done.says("binary `tool` is defined twice: in package `one` and in package `two`")
        .says("hint: select one package with `-p`");
    assert!(!project.dir.join("target").exists(), "it is said before compiling");
    project.build(MUSL).arg("-ptwo").ends(0);
    assert_eq!(run(project.dist(&format!("{MUSL}/tool")), &[]), "two\n");
    project.build(MUSL).arg("-ptow").ends(2).says("package `tow` is not a member").says("did you mean `two`?");
}

#[test]
fn packages_are_named_as_cargo_names_them() {
    let project = workspace("specs", "first", "second");
    let bins = |spec: &str| -> Vec<String> {
        let manifest = project.build(MUSL).args(["--json", "-p", spec]).ends(0).json();
        manifest["artifacts"].as_array().unwrap().iter().map(|row| row["bin"].as_str().unwrap().to_owned()).collect()
    };
    let url = format!("path+file://{}/two#0.1.0", project.dir);
    for spec in ["two", "two@0.1.0", "two@0.1", "tw?", &url] {
        assert_eq!(bins(spec), ["second"], "{spec}");
    }
    assert_eq!(bins("[ot]*"), ["first", "second"]);
    let done = project.convoy(["plan", "-t", MUSL, "-p", "two@9.9.9"]).ends(2);
    done.says("package `two@9.9.9` is not a member of the workspace: `two` has version 0.1.0");
    done.says("hint: use `two` or `two@0.1.0`");
    project.build(MUSL).arg("-ptwo@latest").ends(2).says("`latest` is not a version");
    project.build(MUSL).arg("-p./two").ends(2).says("is a path");
    project.build(MUSL).args(["--workspace", "--exclude", "o*"]).ends(0);
    assert_eq!(project.manifest_json()["artifacts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_workspace_is_selected_as_cargo_selects() {
    let project = workspace("selected", "first", "second");
    project.build(MUSL).arg("--workspace").ends(0);
    let bins = |project: &Project| -> Vec<String> {
        let manifest = project.manifest_json();
        manifest["artifacts"].as_array().unwrap().iter().map(|row| row["bin"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(bins(&project), ["first", "second"]);
    // In a member's folder cargo takes that member; dist stays the workspace's, and is exactly this run.
    project.build(MUSL).dir(&project.dir.join("two")).ends(0);
    assert_eq!(bins(&project), ["second"]);
    assert!(!project.dist(&format!("{MUSL}/first")).exists());
    project.build(MUSL).arg("--manifest-path=one/Cargo.toml").ends(0);
    assert_eq!(bins(&project), ["first"]);
    project.build(MUSL).arg("--bin=second").ends(0);
    assert_eq!(bins(&project), ["second"]);
}

// The command line.

#[test]
fn what_is_not_known_suggests_the_nearest() {
    let project = Project::hello("nearest");
    for (args, says) in [
        (&["build", "-t", "linux/amr64"][..], "did you mean `linux/arm64`?"),
        (&["build", "-t", "pi4"], "did you mean `pi-4`?"),
        (&["build", "-t", "linux/arm"], "did you mean `linux/arm/v7`?"),
        (&["build", "-t", "arm64"], "did you mean `linux/arm64`?"),
        (&["build", "-t", "AArch64.2.28"], "did you mean `linux/arm64`?"),
        (&["build", "-t", "macos"], "did you mean `darwin`?"),
        (&["build", "-t", "x86_64-unknown-linux-gnuu"], "did you mean `x86_64-unknown-linux-gnu`?"),
        (&["build", "-t", "linux/arm64.2.x"], "linux/arm64.2.x"),
        (&["build", "-t", "darwin/arm64.2.31"], "is not supported for aarch64-apple-darwin"),
        (&["build", "--route", "zug"], "did you mean `zig`?"),
        (&["build", "--route", "linux/arm46=zig"], "did you mean `linux/arm64`?"),
        (&["build", "--traget", "x"], "--target"),
        (&["build", "--jso"], "--json"),
        (&["biuld"], "build"),
        (&["cache", "claen"], "clean"),
        (&["schema", "manifets"], "manifest"),
        (&["completions", "bsh"], "bash"),
        (&["verify", "--target", "linux/amr64", "x"], "did you mean `linux/arm64`?"),
        (&["verify", "--target", "linux", "x"], "stands for"),
    ] {
        let done = project.convoy(args).ends(2);
        done.says(says);
        assert_eq!(done.stdout, "", "{args:?}");
    }
    assert!(!project.dir.join("target").exists());
}

#[test]
fn what_convoy_decides_is_not_handed_on_to_cargo() {
    let project = Project::hello("handed-on");
    for (args, right) in [
        (&["--target", "x"][..], "`--target`, before the `--`"),
        (&["--target=x"], "`--target`, before the `--`"),
        (&["--target-dir", "x"], "--target-dir"),
        (&["--profile=dev"], "--profile"),
        (&["--release"], "--profile"),
        (&["--message-format=json"], "--json"),
        (&["--features", "x"], "`--features`, before the `--`"),
        (&["--exclude=x"], "before the `--`"),
    ] {
        let done = project.build(MUSL).arg("--").args(args).ends(2);
        done.says(&format!("`{}` cannot be passed on to cargo", args[0].split('=').next().unwrap())).says(right);
    }
    for (args, name) in [(&["-Fx"][..], "-F"), (&["-px"], "-p"), (&["-Z", "build-std"], "-Zbuild-std")] {
        project.build(MUSL).arg("--").args(args).ends(2).says(&format!("`{name}` cannot be passed on to cargo"));
    }
    for args in [&["-vr"][..], &["--config", "build.target-dir='x'"], &["--examples"], &["--locked=yes"]] {
        project.build(MUSL).arg("--").args(args).ends(2).says("cannot be passed on to cargo");
    }
    // All else goes to cargo.
    project.build(MUSL).arg("--").args(["--config", "profile.release.opt-level=0"]).ends(0);
    let log = fs_err::read_to_string(project.dir.join(format!("target/convoy/logs/{MUSL}.log"))).unwrap();
    assert!(log.contains("--config profile.release.opt-level=0"), "{log}");
    let done = project.build(MUSL).arg("--").args(["--no-such-flag"]).ends(1);
    done.says("--no-such-flag");
    project.build(MUSL).arg("--profile=unheard-of").ends(1).says("profile `unheard-of` is not defined");
}

#[test]
fn both_ways_of_calling_and_help_with_exit_codes() {
    let project = Project::hello("calling");
    project.convoy(["convoy", "plan", "-t", MUSL]).ends(0);
    let help = project.convoy(["convoy", "--help"]).ends(0);
    for code in ["0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "129, 130, 143"] {
        assert!(help.stdout.contains(&format!("\n  {code}")), "{help}");
    }
    project.convoy(["--version"]).ends(0);
    project.convoy([""; 0]).ends(2);
}

// Configuration.

#[test]
fn a_wrong_value_in_convoy_toml_is_shown_with_its_place() {
    let project = Project::hello("wrong-value");
    for (text, says) in [
        ("targets = \"linux\"\n", "Convoy.toml:1:11"),
        ("profile = \"release\"\nprovision = \"sometimes\"\n", "Convoy.toml:2:13"),
        ("[target.\"linux/arm64\"]\nglibc = 2.31\n", "Convoy.toml:2:9"),
        ("[target.\"linux/arm64\"]\nroutes = [\"zug\"]\n", "Convoy.toml:2:11"),
        ("targets = [\n", "Convoy.toml:"),
        ("targets = []\n", "`targets` is empty (Convoy.toml)"),
        ("[container]\nengine = \"lxc\"\n", "Convoy.toml:2:10"),
        (
            "[container]\nvolumes = [\"data:/data\"]\n",
            "Convoy.toml:2:11: `data:/data` is not a valid volume: expected `/host:/inside`",
        ),
        (
            "\n[container]\nimage = \"a\"\ndockerfile = \"b\"\n",
            "Convoy.toml:2:1: `image` and `dockerfile` cannot be used together",
        ),
    ] {
        project.write("Convoy.toml", text);
        project.build(MUSL).env("CONVOY_TARGETS", "").arg("-q").ends(if text == "targets = []\n" { 0 } else { 2 });
        project.convoy(["build"]).ends(2).says(says);
    }
    fs_err::remove_file(project.dir.join("Convoy.toml")).unwrap();
    let metadata = "[package.metadata.convoy]\ntargets = [\"linux/amd64\"]\nprofile = 3\n";
    let project = project.manifest("hello", metadata);
    project.convoy(["build"]).ends(2).says("Cargo.toml:7:11");
    project.convoy(["build"]).env("CONVOY_PROVISION", "sometimes").ends(2);
    let project = project.manifest("hello", "");
    project
        .convoy(["plan"])
        .env("CONVOY_ENGINE", "lxc")
        .ends(2)
        .says("invalid value `lxc` of `CONVOY_ENGINE`")
        .says("hint: use `docker`");
    project.convoy(["plan", "--engine", "dokcer"]).ends(2).says("did you mean `docker`?");
}

#[test]
fn a_cross_toml_is_read_and_what_is_not_followed_is_told() {
    let project = Project::hello("cross-toml");
    project.write(
        "Cross.toml",
        &format!(
            "[build]\nxargo = true\n[build.env]\npassthrough = [\"TOKEN=hunter2\"]\n[target.{MUSL}]\nimage = \"a:1\"\n\
             [target.i686-linux-android]\nimage = \"b\"\n"
        ),
    );
    let done = project.convoy(["plan", "-v", "-t", MUSL, "--engine=none"]).ends(0);
    done.says("warning: Cross.toml: key `build.xargo` is not supported by convoy: use `build-std = true`")
        .says(&format!("target.{MUSL}.container.image = a:1 (Cross.toml)"))
        .says("container.passthrough = TOKEN (Cross.toml)")
        .says("engine = none (command line)")
        .says_not("hunter2")
        .says_not("unknown target, platform, device or group");
    // It does not send a target into a container, and every run tells of it.
    project.build(MUSL).ends(0).says("build.xargo");
    project.build(MUSL).ends(0).says("build.xargo");
    project.write("Cross.toml", "[target.x]\nimage = 3\n");
    project.build(MUSL).ends(2).says("Cross.toml:2:9: invalid image");
    project
        .build(MUSL)
        .env("CROSS_CONFIG", "none.toml")
        .ends(2)
        .says("given by `CROSS_CONFIG` does not exist")
        .says("hint: set it");
    project.write("other.toml", "[target.x]\nrunner = \"native\"\n");
    project.build(MUSL).env("CROSS_CONFIG", "other.toml").ends(0).says("other.toml: key `target.x.runner`");
}

#[test]
fn an_unknown_key_is_a_warning_with_the_nearest() {
    let project = Project::hello("unknown-key");
    project.write("Convoy.toml", &format!("target = {{ }}\ntragets = [\"{MUSL}\"]\n"));
    project.write("Convoy.toml", "tragets = [\"linux\"]\n[target.\"linux/amr64\"]\nrustflag = []\n");
    let done = project.build(MUSL).ends(0);
    done.says("warning: Convoy.toml: unknown key `tragets`; did you mean `targets`?")
        .says("unknown key `target.linux/amr64.rustflag`; did you mean `rustflags`?")
        .says("unknown target, platform, device or group in `[target.\"linux/amr64\"]`; did you mean `linux/arm64`?");
    // At every run, also when the plan is kept.
    project.build(MUSL).ends(0).says("did you mean `targets`?");
}

/// A team's CI jobs build one target each, and share the file.
#[test]
fn a_table_of_a_target_that_this_run_does_not_build_is_no_warning() {
    let project = Project::hello("other-tables");
    let words =
        ["powerpc64-unknown-linux-gnu", "s390x-unknown-linux-gnu.2.31", "pi-4.2.36", "pi", "linux", "pi-aarch64"];
    let tables: String = words.iter().map(|word| format!("[target.\"{word}\"]\nfeatures = []\n")).collect();
    project.write("Convoy.toml", &format!("{tables}[target.powerpc64-unknown-linux-gn]\nfeatures = []\n"));
    let done = project.convoy(["plan", "-t", MUSL]).ends(0);
    done.says("in `[target.\"powerpc64-unknown-linux-gn\"]`");
    assert_eq!(done.stderr.matches("warning").count(), 1, "{done}");
}

#[test]
fn the_command_line_beats_the_environment_beats_the_file() {
    let project = Project::hello("origins");
    project.write("Convoy.toml", &format!("targets = [\"{MUSL}\"]\nprofile = \"dev\"\ndist-dir = \"out\"\n"));
    let done = project.convoy(["plan", "-v"]).env("CONVOY_PROFILE", "release").arg("--dist-dir=there").ends(0);
    done.says(&format!("targets = {MUSL} (Convoy.toml)"))
        .says("profile = release (environment variable CONVOY_PROFILE)")
        .says("there (command line)")
        .says("provision = auto (default)");
    project.convoy(["build"]).ends(0);
    let manifest: Value =
        serde_json::from_slice(&fs_err::read(project.dir.join("out/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["profile"], "dev");
}

#[test]
fn init_never_overwrites() {
    let project = Project::hello("init");
    project.convoy(["init"]).ends(0).says("Convoy.toml");
    let path = project.dir.join("Convoy.toml");
    let text = fs_err::read_to_string(&path).unwrap();
    assert!(text.contains("# targets = ["), "{text}");
    project.build(MUSL).ends(0).says_not("warning");
    fs_err::write(&path, "profile = \"dev\"\n").unwrap();
    project.convoy(["init"]).ends(2).says("already exists");
    assert_eq!(fs_err::read_to_string(&path).unwrap(), "profile = \"dev\"\n");
}

#[test]
fn init_in_a_member_writes_the_file_that_is_read() {
    let project = workspace("init-member", "first", "second");
    let done = project.convoy(["init"]).dir(&project.dir.join("one")).ends(0);
    done.says(&format!("created {}", project.dir.join("Convoy.toml"))).says("applies to all members of the workspace");
    assert!(!project.dir.join("one/Convoy.toml").exists());
    project.convoy(["init", "--manifest-path", "two/Cargo.toml"]).ends(2).says("already exists");
    project.convoy(["plan", "-t", MUSL]).ends(0).says_not("warning");
    // One that somebody wrote there by hand.
    project.write("two/Convoy.toml", "profile = \"dev\"\n");
    let done = project.convoy(["plan", "-t", MUSL]).ends(0);
    done.says("`two/Convoy.toml` is ignored: settings belong in the `Convoy.toml` of the workspace root");
}

// dist.

#[test]
fn a_dist_that_cannot_be_written_is_told_before_compiling() {
    let project = Project::hello("dist");
    project.write("dist", "a file");
    project.build(MUSL).ends(5).says("as the dist directory: it is a file").says("hint: choose another directory");
    assert_eq!(fs_err::read_to_string(project.dir.join("dist")).unwrap(), "a file");
    // Not even root writes there.
    for nowhere in ["/proc/convoy/dist", "/dev/null/dist"] {
        let done = project.build(MUSL).arg("--dist-dir").arg(nowhere).ends(5);
        done.says(&format!("could not write to the dist directory `{nowhere}`"))
            .says("hint: choose another directory with `--dist-dir`");
    }
    assert!(!project.dir.join("target/convoy/main").exists(), "nothing was compiled");
    for nowhere in ["/proc/convoy/target", "/dev/null/target"] {
        project.build(MUSL).arg("--dist-dir=out").arg("--target-dir").arg(nowhere).ends(5).says(nowhere);
    }
}

#[test]
fn dist_is_exactly_this_run_and_foreign_files_survive() {
    let project = Project::hello("exact");
    let arm = "aarch64-unknown-linux-musl";
    project.build(&format!("{MUSL},{arm}")).ends(0);
    project.write("dist/notes.txt", "mine");
    project.write(&format!("dist/{arm}/mine.txt"), "mine");
    project.write(&format!("dist/{MUSL}/mine.txt"), "mine");
    project.build(&format!("{MUSL},x86_64-unknown-linux-gnu")).ends(0);
    assert!(!project.dist(&format!("{arm}/hello")).exists());
    for path in ["notes.txt".to_owned(), format!("{arm}/mine.txt"), format!("{MUSL}/mine.txt")] {
        assert_eq!(fs_err::read_to_string(project.dist(&path)).unwrap(), "mine");
    }
    assert_eq!(ids(&project.manifest_json(), "artifacts"), ["x86_64-unknown-linux-gnu", MUSL]);

    // `--keep` retains files and rows.
    project.build(arm).arg("--keep").ends(0);
    assert_eq!(ids(&project.manifest_json(), "artifacts"), [arm, "x86_64-unknown-linux-gnu", MUSL]);
    run("sh", &["-c", &format!("cd '{}' && sha256sum --quiet --check SHA256SUMS", project.dir.join("dist"))]);
    // And a row that is kept is removed by the next run without it.
    project.build(arm).ends(0);
    assert_eq!(ids(&project.manifest_json(), "artifacts"), [arm]);
    assert!(!project.dist(&format!("{MUSL}/hello")).exists());
    assert!(project.dist("notes.txt").exists());
    // A file that was tampered with is put right, one that was removed is put back.
    fs_err::write(project.dist(&format!("{arm}/hello")), "tampered").unwrap();
    project.build(arm).ends(0);
    assert!(fs_err::metadata(project.dist(&format!("{arm}/hello"))).unwrap().len() > 100_000);
    fs_err::remove_file(project.dist(&format!("{arm}/hello"))).unwrap();
    project.build(arm).ends(0);
    assert!(project.dist(&format!("{arm}/hello")).is_file());
    assert!(!project.manifest_json().to_string().contains(project.dir.as_str()), "no absolute path in the manifest");
}

#[test]
fn a_failed_target_leaves_no_old_binary_that_looks_new() {
    let project = Project::hello("old");
    project.build(MUSL).ends(0);
    project.write("src/main.rs", "fn main() { oh no }\n");
    project.build(MUSL).ends(1);
    assert!(!project.dist(&format!("{MUSL}/hello")).exists());
    assert_eq!(ids(&project.manifest_json(), "artifacts"), [""; 0]);
}

#[test]
fn a_manifest_never_removes_outside_of_dist() {
    let project = Project::hello("outside");
    project.build(MUSL).ends(0);
    let victims = [project.write("victim", "mine"), project.write("elsewhere/victim", "mine")];
    fs_err::os::unix::fs::symlink("../elsewhere", project.dist("link")).unwrap();
    let mut manifest = project.manifest_json();
    let row = manifest["artifacts"][0].clone();
    let paths =
        ["../victim".to_owned(), victims[0].to_string(), "link/victim".to_owned(), "..".to_owned(), String::new()];
    for path in paths {
        let mut bad = row.clone();
        bad["path"] = path.into();
        manifest["artifacts"].as_array_mut().unwrap().push(bad);
    }
    for keep in [true, false] {
        fs_err::write(project.dist("manifest.json"), manifest.to_string()).unwrap();
        let convoy = project.build(MUSL);
        let done = if keep { convoy.arg("--keep").ends(0) } else { convoy.ends(0) };
        for victim in &victims {
            assert_eq!(fs_err::read_to_string(victim).unwrap(), "mine", "{done}");
        }
        let now = project.manifest_json();
        let paths: Vec<&str> =
            now["artifacts"].as_array().unwrap().iter().map(|row| row["path"].as_str().unwrap()).collect();
        assert!(!paths.iter().any(|path| path.contains("..") || path.starts_with('/')), "{paths:?}");
    }
    // One that was cut off names nothing.
    fs_err::write(project.dist("manifest.json"), "{ \"tool\": { \"name\": \"cargo-convoy\"").unwrap();
    project.build(MUSL).ends(0);
}

#[test]
fn a_dist_folder_of_somebody_elses_keeps_its_files() {
    let project = Project::hello("foreign-dist");
    let (manifest, sums) = (project.dist("manifest.json"), project.dist("SHA256SUMS"));
    project.write("dist/manifest.json", "{ \"name\": \"a web page\" }");
    let build = || project.build(MUSL);
    build().ends(5).says(&format!("refusing to replace `{manifest}`")).says("--dist-dir");
    assert_eq!(fs_err::read_to_string(&manifest).unwrap(), "{ \"name\": \"a web page\" }");
    fs_err::remove_file(&manifest).unwrap();
    project.write("dist/SHA256SUMS", "mine");
    build().ends(5).says(&format!("refusing to replace `{sums}`"));
    assert!(!project.dir.join("target/convoy/logs").exists(), "nothing was compiled");
    build().args(["--dist-dir", "out"]).ends(0);
    assert_eq!(fs_err::read_to_string(&sums).unwrap(), "mine");
    fs_err::remove_file(&sums).unwrap();
    build().ends(0);
    build().ends(0);
}

#[test]
fn a_dist_of_two_projects_loses_nothing_of_either() {
    let (first, second) = (Project::hello("dist-first"), Project::empty("dist-second").manifest("other", ""));
    second.write("src/main.rs", HELLO);
    let build =
        |project: &Project| project.build(MUSL).args(["--dist-dir", first.dist("").as_str().trim_end_matches('/')]);
    build(&first).ends(0);
    let done = build(&second).ends(5);
    done.says(&format!("`{MUSL}/hello` of package `hello`"))
        .says("hint: choose another directory")
        .says_not("Compiling");
    assert!(!second.dir.join("target/convoy/main").exists(), "nothing was compiled");
    build(&second).arg("--keep").ends(0);
    build(&first).ends(5).says(&format!("`{MUSL}/other` of package `other`"));
    build(&first).arg("--keep").ends(0);
    for bin in ["hello", "other"] {
        assert!(first.dist(&format!("{MUSL}/{bin}")).is_file(), "{bin}");
    }
    run("sh", &["-c", &format!("cd '{}' && sha256sum --quiet -c SHA256SUMS", first.dist(""))]);
    // Its own directory is a dist as any other, and has a name.
    let done = second.build(MUSL).args(["--dist-dir", "."]).ends(0);
    done.says("Finished 1 verified binary in . in ");
}

#[test]
fn a_full_disk_is_told_and_the_previous_dist_stays() {
    let project = Project::hello("full");
    project.build(MUSL).arg("--target-dir=elsewhere").ends(0);
    let names = || {
        let mut names: Vec<String> =
            project.dir.join("dist").read_dir_utf8().unwrap().map(|e| e.unwrap().file_name().to_owned()).collect();
        names.sort();
        names
    };
    let before = names();
    // A small disk in a mount namespace of the test's own: root, or user namespaces, are needed for it.
    let namespace = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    let exe = env!("CARGO_BIN_EXE_cargo-convoy");
    let in_namespace = |script: &str| {
        let output = Command::new(tool("unshare"))
            .args([namespace, "sh", "-ec", script])
            .current_dir(&project.dir)
            .env_remove("CARGO_BUILD_TARGET_DIR")
            .output()
            .unwrap();
        Done::from(output)
    };
    fs_err::create_dir_all(project.dir.join("small")).unwrap();
    // The target-dir is too small for the build.
    let done = in_namespace(&format!(
        "mount -t tmpfs -o size=64k tmpfs small\nexec '{exe}' build -t {MUSL} --target-dir small --dist-dir out"
    ));
    assert_eq!(done.code, Some(5), "{done}");
    done.says("hint: free some disk space");
    // The dist folder is too small for the binary.
    let done = in_namespace(&format!(
        "cp -r dist/. small\nmount -t tmpfs -o size=128k tmpfs dist\necho mine >dist/mine\n\
         code=0\n'{exe}' build -t {MUSL} --target-dir elsewhere || code=$?\nls -A dist >&2\nexit $code"
    ));
    assert_eq!(done.code, Some(5), "{done}");
    done.says("could not write").says("No space left on device").says("free some disk space");
    assert!(done.stderr.trim_end().ends_with("\nmine"), "nothing half-written stays:\n{done}");
    assert_eq!(names(), before);
}

#[test]
fn of_two_builds_at_once_the_second_waits_and_says_so() {
    let project = Project::hello("twice");
    let gate = project.dir.join("gate");
    project.write(
        "build.rs",
        &format!(
            "fn main() {{\n    println!(\"cargo::rerun-if-changed=build.rs\");\n    std::fs::write(\"{gate}.here\", \"\").unwrap();\n    \
             while !std::path::Path::new(\"{gate}\").exists() {{ std::thread::sleep(std::time::Duration::from_millis(20)); }}\n}}\n"
        ),
    );
    let first = project.build(MUSL).starts();
    wait_for("the first build", || project.dir.join("gate.here").exists());
    let events = project.dir.join("events");
    let mut second = project.build("aarch64-unknown-linux-musl").arg("--events").arg(&events).starts();
    wait_for("the second build", || fs_err::read_to_string(&events).is_ok_and(|text| text.contains("waiting")));
    std::thread::sleep(Duration::from_millis(200));
    assert!(!second.has_ended());
    project.write("gate", "");
    let first = first.wait();
    assert_eq!(first.code, Some(0), "{first}");
    let second = second.wait();
    assert_eq!(second.code, Some(0), "{second}");
    second.says("waiting for another `cargo convoy build` in this project to finish");
    assert_eq!(ids(&project.manifest_json(), "artifacts"), ["aarch64-unknown-linux-musl"]);
}

// The network.

#[test]
fn nothing_of_the_current_directory_is_run_as_python_code() {
    let project = Project::hello("python-here");
    let path = support::rustup_tools(&project.dir.join("path"));
    // Python itself, and no script that looks for one.
    let python = support::run("python3", &["-c", "import sys; print(sys.executable)"]);
    fs_err::os::unix::fs::symlink(python.trim(), path.join("python3")).unwrap();
    for name in ["sh", "cc", "ld", "as"] {
        fs_err::os::unix::fs::symlink(support::tool(name), path.join(name)).unwrap();
    }
    let marker = project.dir.join("ran");
    let code = format!("open({:?}, 'a').write(__name__)\n", marker.as_str());
    let zig = format!("#!/bin/sh\necho zig >>'{marker}'\necho 99.9.9\n");
    for dir in ["", "vendor/"] {
        project.write(&format!("{dir}ziglang/__init__.py"), &code.replace("__name__", "'ziglang'"));
        project.script(&format!("{dir}ziglang/zig"), &zig);
    }
    for module in ["pip", "site", "importlib"] {
        project.write(&format!("{module}/__init__.py"), &code);
        project.write(&format!("{module}/__main__.py"), &code);
    }
    let cache = project.dir.join("cache");
    let build = ["build", "-t", "linux/arm64", "--route", "zig", "--no-provision"];
    for args in [&["targets"][..], &["plan", "-t", "linux/arm64"], &["doctor", "-t", "linux/arm64"], &build] {
        for pythonpath in [None, Some(".:"), Some("")] {
            let convoy = project.convoy(args).path_only(&path).env("CONVOY_CACHE_DIR", &cache);
            let convoy = convoy.env_remove("PYTHONPATH").env_remove("PYTHONSAFEPATH");
            let done = match pythonpath {
                Some(pythonpath) => convoy.env("PYTHONPATH", pythonpath).output(),
                None => convoy.output(),
            };
            assert!(!marker.exists(), "{args:?} {pythonpath:?}: {}\n{done}", fs_err::read_to_string(&marker).unwrap());
            done.says_not("99.9.9");
        }
    }
    // A package that PYTHONPATH really names is not the project's to give either, and nobody remembers it.
    let vendor = project.dir.join("vendor");
    let plan = |convoy: support::Convoy| {
        convoy.path_only(&path).env("CONVOY_CACHE_DIR", &cache).env_remove("PYTHONSAFEPATH").output()
    };
    plan(project.convoy(["plan", "-t", "linux/arm64"]).env("PYTHONPATH", &vendor)).says_not("99.9.9");
    let other = Project::hello("python-elsewhere");
    plan(other.convoy(["plan", "-t", "linux/arm64"]).env("PYTHONPATH", &vendor)).says("zig 99.9.9");
    plan(other.convoy(["plan", "-t", "linux/arm64"])).says_not("99.9.9");
}

#[test]
fn a_cache_of_somebody_elses_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = Project::hello("foreign-cache");
    let cache = project.dir.join("cache");
    let plan = || project.convoy(["plan", "-t", "linux/arm64"]).env("CONVOY_CACHE_DIR", &cache);
    plan().output().says_not("cache directory");
    assert_eq!(cache.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let mode = |dir: &str, mode| {
        fs_err::set_permissions(cache.join(dir), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for dir in ["", "v1"] {
        mode(dir, 0o1777);
        plan().ends(5).says("other users can write to the cache directory").says("run `chmod go-w ");
        mode(dir, 0o700);
    }
    if support::engine::is_root("no directory of another user") {
        support::run("chown", &["-R", "65534", cache.as_str()]);
        plan().ends(5).says("belongs to another user (user id 65534)").says("set `CONVOY_CACHE_DIR`");
        // Who became root for this command keeps the cache.
        plan().env("SUDO_UID", "65534").output().says_not("cache directory");
    }
}

#[test]
fn a_directory_with_files_of_somebody_elses_does_not_become_the_cache() {
    let project = Project::hello("no-cache-dir");
    let file = project.write("srv/v1/customers/db.sqlite", "data");
    let convoy = |args: &[&str]| project.convoy(args).env("CONVOY_CACHE_DIR", project.dir.join("srv"));
    convoy(&["build", "-t", "linux/amd64"])
        .ends(5)
        .says("has no CACHEDIR.TAG written by convoy")
        .says("hint: set `CONVOY_CACHE_DIR` to an empty directory");
    convoy(&["cache", "clean", "--force"]).ends(5).says("has no CACHEDIR.TAG written by convoy");
    assert_eq!(fs_err::read_to_string(&file).unwrap(), "data");
    assert_eq!(project.dir.join("srv/v1").read_dir_utf8().unwrap().count(), 1);
    // Nor does the tag of another tool make it convoy's, nor convoy's own a directory that it does not know.
    let tag = project.write("srv/v1/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    convoy(&["cache", "clean", "--force"]).ends(5);
    let other = project.convoy(["plan", "-t", "linux/amd64"]).env("CONVOY_CACHE_DIR", project.dir.join("cache"));
    other.output();
    fs_err::copy(project.dir.join("cache/v1/CACHEDIR.TAG"), tag).unwrap();
    convoy(&["cache", "clean", "--force"]).ends(0);
    assert_eq!(fs_err::read_to_string(&file).unwrap(), "data");
}

#[test]
fn no_network_and_nothing_fetched() {
    let project =
        Project::empty("offline").manifest("user", "[dependencies]\nitoa = \"1\"\n").file("src/main.rs", HELLO);
    let home = project.dir.join("cargo-home");
    fs_err::create_dir(&home).unwrap();
    // A registry on a port where nobody listens.
    fs_err::write(
        home.join("config.toml"),
        "[source.crates-io]\nreplace-with = \"nowhere\"\n[source.nowhere]\nregistry = \"sparse+http://127.0.0.1:9/\"\n[net]\nretry = 0\n",
    )
    .unwrap();
    let done = project.build(MUSL).env("CARGO_HOME", &home).ends(5);
    done.says("error: failed to download the dependencies").says("hint: check the network connection");
    project.build(MUSL).arg("--offline").env("CARGO_HOME", &home).ends(5).says("itoa");
    let done = project.convoy(["plan", "-t", MUSL]).env("CARGO_HOME", &home).ends(5);
    done.says("`plan` does not use the network").says("hint: run `cargo fetch`");
    assert!(!project.dir.join("dist").exists());
}

#[test]
fn a_missing_path_dependency_is_the_projects_fault_whatever_its_name() {
    let project = Project::empty("no-network-thing")
        .manifest("user", "[dependencies]\nnetwork-thing = { path = \"offline/network-thing\" }\n")
        .file("src/main.rs", HELLO);
    for command in ["plan", "build"] {
        let done = project.convoy([command, "-t", MUSL]).ends(2);
        done.says("error: cargo could not load this project")
            .says("offline/network-thing/Cargo.toml")
            .says_not("fetch");
    }
    let project = Project::empty("no-such-version")
        .manifest("user", "[dependencies]\ndownload = { path = \"network\", version = \"7\" }\n")
        .file("src/main.rs", HELLO)
        .file("network/Cargo.toml", "[package]\nname = \"download\"\nversion = \"0.1.0\"\n")
        .file("network/src/lib.rs", "");
    for command in ["plan", "build"] {
        let done = project.convoy([command, "-t", MUSL]).ends(2);
        done.says("cargo could not load this project").says("cause: failed to select a version");
    }
}

#[test]
fn a_lock_file_that_does_not_match() {
    let project = Project::hello("locked");
    project.build(MUSL).ends(0);
    let project = project.manifest("renamed", "");
    let before = fs_err::read_to_string(project.dir.join("Cargo.lock")).unwrap();
    for args in [&["--locked"][..], &["--frozen"], &["--", "--locked"], &["--", "--frozen"], &["--", "-v", "--locked"]]
    {
        project.build(MUSL).args(args).ends(2).says("`Cargo.lock` needs to be updated");
    }
    assert_eq!(fs_err::read_to_string(project.dir.join("Cargo.lock")).unwrap(), before);
}

#[test]
fn a_toolchain_that_is_not_installed_is_told_and_not_installed() {
    // No such version exists, so that even a rustup that tries installs nothing.
    let project = Project::hello("toolchain").file("rust-toolchain.toml", "[toolchain]\nchannel = \"1.999.0\"\n");
    let path = project.dir.join("path");
    let asked = project.dir.join("asked");
    for name in ["cargo", "rustc", "rustup"] {
        let line = format!("echo \"{name} ${{RUSTUP_AUTO_INSTALL-unset}}\" >>'{asked}'");
        project.script(&format!("path/{name}"), &format!("#!/bin/sh\n{line}\nexec '{}' \"$@\"\n", tool(name)));
    }
    for command in ["build", "plan", "targets"] {
        let done = project
            .convoy([command])
            .path_first(&path)
            .env_remove("CARGO")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("RUSTUP_AUTO_INSTALL")
            .ends(5);
        done.says("1.999.0").says("is not installed");
    }
    // Every child is told to leave the toolchains alone.
    let asked = fs_err::read_to_string(asked).unwrap();
    assert!(asked.lines().count() >= 5 && asked.lines().all(|line| line.ends_with(" 0")), "{asked}");
}

// verify.

#[test]
fn verify_says_of_anything_what_it_is_not() {
    let project = Project::hello("verify");
    project.build(MUSL).ends(0);
    let good = project.dist(&format!("{MUSL}/hello"));
    let bytes = fs_err::read(&good).unwrap();
    let truncated = project.dir.join("truncated");
    fs_err::write(&truncated, &bytes[..bytes.len() / 2]).unwrap();
    let text = project.write("text", "#!/bin/sh\necho a program of sorts\n");
    let empty = project.write("empty", "");
    project.convoy(["verify", good.as_str()]).ends(0);
    project.convoy(["verify", "--target", MUSL, good.as_str()]).ends(0);
    project.convoy(["verify", "--target", "linux/arm64", good.as_str()]).ends(4);
    for (file, code) in [(&truncated, 4), (&text, 4), (&empty, 4), (&project.dir, 5), (&project.dir.join("missing"), 5)]
    {
        let done = project.convoy(["verify", "--json", file.as_str()]).ends(code);
        let row = &done.json()["files"][0];
        assert_eq!((&row["verified"], &row["file"]), (&false.into(), &file.as_str().into()));
        assert!(row["findings"].as_array().unwrap().iter().any(|f| f["level"] == "violation"), "{row:#}");
        let done = project.convoy(["verify", file.as_str()]).ends(code);
        assert_eq!(done.stdout, "");
        done.says(&format!("{file}: rejected"));
    }
    // Nothing is read that has no end, or that no memory holds.
    let (pipe, sparse) = (project.dir.join("pipe"), project.dir.join("sparse"));
    run("mkfifo", &[pipe.as_str()]);
    fs_err::File::create(&sparse).unwrap().set_len(5 << 30).unwrap();
    for (file, why) in
        [(pipe.as_str(), "not a regular file"), ("/dev/zero", "not a regular file"), (sparse.as_str(), "4 GiB")]
    {
        project.convoy(["verify", file]).ends(5).says("violation[unreadable]").says(why);
    }
    // With several, each is told, and the worst is the exit code.
    let all = [good.as_str(), "missing", text.as_str()];
    let done = project.convoy(["verify", "--json"].iter().chain(&all)).ends(4);
    assert_eq!(done.json()["files"].as_array().unwrap().len(), 3);
}

#[test]
fn verify_survives_truncation_anywhere() {
    let project = Project::hello("anywhere");
    project.build(MUSL).ends(0);
    let bytes = fs_err::read(project.dist(&format!("{MUSL}/hello"))).unwrap();
    let lengths = [1, 4, 16, 63, 64, 65, 120, 1000, 4096, bytes.len() - 1].into_iter();
    let files: Vec<String> = lengths
        .map(|length| {
            let path = project.dir.join(format!("first-{length}"));
            fs_err::write(&path, &bytes[..length]).unwrap();
            path.into_string()
        })
        .collect();
    let done = project.convoy(["verify", "--json"].into_iter().chain(files.iter().map(String::as_str))).ends(4);
    for row in done.json()["files"].as_array().unwrap() {
        assert_eq!(row["verified"], false, "{row:#}");
    }
}
