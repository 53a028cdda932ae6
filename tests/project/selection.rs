//! Packages and binaries are selected as cargo selects them, and what is wrong with a project is named.

use camino::Utf8Path;

use super::{NATIVE, workspace};
use crate::support::{HELLO, Project, run};

#[test]
fn no_cargo_toml() {
    // In no folder above, either.
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    for command in ["build", "plan", "init"] {
        let done = crate::support::Convoy::new(dir, [command]).ends(2);
        done.says("error: could not find `Cargo.toml`")
            .says("hint: change to a Cargo project, or specify one with `--manifest-path`");
    }
    crate::support::Convoy::new(dir, ["build", "--manifest-path", "nowhere/Cargo.toml"]).ends(2).says("does not exist");
    crate::support::Convoy::new(dir, ["build", "--manifest-path", "."])
        .ends(2)
        .says("is a directory")
        .says("hint: use");
    assert_eq!(dir.read_dir_utf8().unwrap().count(), 0);
}

#[test]
fn a_broken_cargo_toml() {
    let project = Project::hello("broken").file("Cargo.toml", "[package\nname = \"x\"\n");
    let done = project.build(NATIVE).ends(2);
    done.says("error: cargo could not load this project").says("Cargo.toml:1");
    let project = project.file(
        "Cargo.toml",
        "[package]\nname = \"x\"\nedition = \"2024\"\n[dependencies]\ny = { path = \"y\" }\n[workspace]\n",
    );
    project.build(NATIVE).ends(2).says("error: cargo could not load this project");
}

#[test]
fn no_bin_in_the_package() {
    let project = Project::empty("no-bin").manifest("shelf", "").file("src/lib.rs", "");
    project.build(NATIVE).ends(2).says("error: no binaries to build in shelf").says("add a `src/main.rs`");
}

#[test]
fn a_bin_that_is_switched_off() {
    let project = Project::empty("switched-off")
        .manifest(
            "hello",
            "[features]\ncli = []\n[[bin]]\nname = \"hello\"\nrequired-features = [\"cli\"]\npath = \"src/main.rs\"\n",
        )
        .file("src/main.rs", HELLO);
    project.build(NATIVE).ends(2).says("hint: add `-F cli`, which binary `hello` requires");
    project.build(NATIVE).arg("--bin=hello").ends(2).says("requires the features cli");
    project.build(NATIVE).arg("--bin=helo").ends(2).says("no binary named `helo`");
    project.build(NATIVE).arg("-Fcli").ends(0);
    project.build(NATIVE).arg("-Fclo").ends(2).says("clo");
}

#[test]
fn two_bins_of_one_name() {
    let project = workspace("one-name", "tool", "tool");
    let done = project.build(NATIVE).ends(2);
    done.says("binary `tool` is defined twice: in package `one` and in package `two`")
        .says("hint: select one package with `-p`");
    assert!(!project.dir.join("target").exists(), "it is said before compiling");
    project.build(NATIVE).arg("-ptwo").ends(0);
    assert_eq!(run(project.dist(&format!("{NATIVE}/tool")), &[]), "two\n");
    project.build(NATIVE).arg("-ptow").ends(2).says("package `tow` is not a member").says("did you mean `two`?");
}

#[test]
fn packages_are_named_as_cargo_names_them() {
    let project = workspace("specs", "first", "second");
    let bins = |spec: &str| -> Vec<String> {
        let manifest = project.build(NATIVE).args(["--json", "-p", spec]).ends(0).json();
        manifest["artifacts"].as_array().unwrap().iter().map(|row| row["bin"].as_str().unwrap().to_owned()).collect()
    };
    let url = format!("path+file://{}/two#0.1.0", project.dir);
    for spec in ["two", "two@0.1.0", "two@0.1", "tw?", &url] {
        assert_eq!(bins(spec), ["second"], "{spec}");
    }
    assert_eq!(bins("[ot]*"), ["first", "second"]);
    let done = project.convoy(["plan", "-t", NATIVE, "-p", "two@9.9.9"]).ends(2);
    done.says("package `two@9.9.9` is not a member of the workspace: `two` has version 0.1.0");
    done.says("hint: use `two` or `two@0.1.0`");
    project.build(NATIVE).arg("-ptwo@latest").ends(2).says("`latest` is not a version");
    project.build(NATIVE).arg("-p./two").ends(2).says("is a path");
    project.build(NATIVE).args(["--workspace", "--exclude", "o*"]).ends(0);
    assert_eq!(project.manifest_json()["artifacts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_workspace_is_selected_as_cargo_selects() {
    let project = workspace("selected", "first", "second");
    project.build(NATIVE).arg("--workspace").ends(0);
    let bins = |project: &Project| -> Vec<String> {
        let manifest = project.manifest_json();
        manifest["artifacts"].as_array().unwrap().iter().map(|row| row["bin"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(bins(&project), ["first", "second"]);
    // In a member's folder cargo takes that member; dist stays the workspace's, and is exactly this run.
    project.build(NATIVE).dir(&project.dir.join("two")).ends(0);
    assert_eq!(bins(&project), ["second"]);
    assert!(!project.dist(&format!("{NATIVE}/first")).exists());
    project.build(NATIVE).arg("--manifest-path=one/Cargo.toml").ends(0);
    assert_eq!(bins(&project), ["first"]);
    project.build(NATIVE).arg("--bin=second").ends(0);
    assert_eq!(bins(&project), ["second"]);
}
