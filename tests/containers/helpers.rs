//! Builds in a container for the platform of this machine.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::support::containers::wait_for_the_build_script;
use crate::support::engine::is_root;
use crate::support::{Convoy, Project, Running, environment, rows, run};

pub const AMD64: &str = "x86_64-unknown-linux-gnu";

/// A build in a container, for this machine's own platform.
pub fn build(project: &Project) -> Convoy {
    in_container(project.build(AMD64))
}

pub fn in_container(convoy: Convoy) -> Convoy {
    convoy.args(["--route", "container", "--profile", "dev"]).env("CONVOY_ENGINE", "docker")
}

/// Its build script waits by now.
pub fn waiting(project: &Project, build: Convoy) -> Running {
    project.write("wait", "yes");
    let mut running = build.starts();
    wait_for_the_build_script(project, &mut running);
    project.write("wait", "no");
    running
}

pub fn says_hello(project: &Project) {
    assert_eq!(run(project.dist(&format!("{AMD64}/hello")), &[]), "hello 42\n");
    let manifest = project.manifest_json();
    let row = &rows(&manifest, "artifacts")[AMD64];
    assert_eq!((&row["route"], &row["verified"]), (&"container".into(), &true.into()), "{row:#}");
}

/// The only failed cell.
pub fn failed(project: &Project) -> Value {
    rows(&project.manifest_json(), "failed")[AMD64].clone()
}

/// A mount of root's that goes with the value.
pub struct Mounted(Utf8PathBuf);

impl Mounted {
    /// None where only root may mount: the test then says so.
    pub fn new(place: &Utf8Path, args: &[&[&str]]) -> Option<Self> {
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

/// A folder of cargo's, with this machine's own configuration and crates.
pub struct CargoHome {
    pub dir: Utf8PathBuf,
}

impl CargoHome {
    pub fn new(project: &Project, name: &str) -> Self {
        let (own, dir) = (environment::cargo_home(), project.dir.join(name));
        fs_err::create_dir_all(&dir).unwrap();
        fs_err::create_dir_all(own.join("registry")).unwrap();
        fs_err::os::unix::fs::symlink(own.join("registry"), dir.join("registry")).unwrap();
        if own.join("config.toml").exists() {
            fs_err::copy(own.join("config.toml"), dir.join("config.toml")).unwrap();
        }
        Self { dir }
    }
}
