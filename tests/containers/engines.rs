//! The engines that the tests of the container route stand on: what they promise is held here, once.

use crate::support::engine::{Engine, engine, podman_rootful, podman_rootless, registry, second_engine};
use crate::support::{Convoy, Project, is_running, require, workspace};

/// A container with convoy's isolation writes a file that belongs to the caller.
fn holds(engine: &Engine, name: &str) {
    let image = engine.base_image("bookworm");
    let dir = workspace(name);
    engine.own(&dir);
    let (uid, gid) = engine.ids();
    let (user, volume) = (format!("{uid}:{gid}"), format!("{dir}:{dir}"));
    let mut args = vec!["run", "--rm", "--init", "--network", "none", "--read-only", "--tmpfs", "/tmp:exec"];
    args.extend(["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", &user, "--volume", &volume]);
    if engine.is_rootless() {
        args.push("--userns=keep-id");
    }
    let script = "cp /bin/true /tmp/true && /tmp/true && ! touch /no 2>/dev/null && id -u >\"$0/seen\"";
    let seen = dir.join("seen");
    args.extend([image.as_str(), "sh", "-euc", script, dir.as_str()]);
    engine.run(&args);
    assert_eq!(fs_err::read_to_string(&seen).unwrap().trim(), uid.to_string());
    let owner = std::os::unix::fs::MetadataExt::uid(&fs_err::metadata(&seen).unwrap());
    assert_eq!(owner, uid);
}

#[test]
fn docker() {
    let Some(engine) = engine() else { return };
    holds(&engine, "docker");
}

#[test]
fn podman_as_root() {
    let Some(engine) = podman_rootful() else { return };
    assert!(!engine.is_rootless());
    holds(&engine, "podman_as_root");
}

#[test]
fn podman_as_a_plain_user() {
    let Some(engine) = podman_rootless() else { return };
    assert!(engine.is_rootless());
    holds(&engine, "podman_as_a_plain_user");
    let project = Project::hello("plain_user");
    engine.own(&project.dir);
    Convoy::new(&project.dir, ["build", "-t", "linux/amd64"]).on(&engine).ends(0);
    let owner = std::os::unix::fs::MetadataExt::uid(&fs_err::metadata(project.dist("manifest.json")).unwrap());
    assert_eq!(owner, engine.ids().0);
}

#[test]
fn a_second_engine_sees_no_file_of_a_test() {
    let Some(second) = second_engine() else { return };
    let first = engine().unwrap();
    let dir = workspace("second");
    fs_err::write(dir.join("nonce"), "here").unwrap();
    let volume = format!("{dir}:/seen");
    let list =
        |engine: &Engine| engine.run(&["run", "--rm", "--volume", &volume, "debian:bookworm-slim", "ls", "/seen"]);
    assert_eq!(list(&second), "");
    first.base_image("bookworm");
    // And the machine's own engine lost nothing by it, its network least of all.
    assert_eq!(list(&first), "nonce\n");
    let pid = second.pid();
    drop(second);
    assert!(!is_running(pid));
    assert_eq!(list(&first), "nonce\n");
}

#[test]
fn a_registry_takes_and_gives_images() {
    require!(Tool("docker-registry"));
    let Some(docker) = engine() else { return };
    let registry = registry();
    let (base, name) = (docker.base_image("bookworm"), format!("{}/team/base:1", registry.address()));
    docker.run(&["tag", &base, &name]);
    docker.run(&["push", &name]);
    docker.run(&["rmi", &name]);
    docker.run(&["pull", &name]);
    docker.run(&["rmi", &name]);
    for engine in [podman_rootful(), podman_rootless()].into_iter().flatten() {
        let engine = engine.trusting(&registry);
        engine.run(&["pull", &name]);
        engine.run(&["rmi", &name]);
    }
}
