//! Where people keep their sources, crates and cargo's files, and whose files a container writes.

use std::os::unix::fs::MetadataExt as _;

use super::helpers::{AMD64, CargoHome, Mounted, build, in_container, says_hello};
use crate::support::containers::{compiler_image, hand_over, with_c};
use crate::support::engine::{Engine, engine, podman_rootful, podman_rootless};
use crate::support::{Project, run, tool};

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
