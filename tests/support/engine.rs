//! The container engines of this machine, a second one that shares no files with the tests, and a registry.
//!
//! `ci/setup` installs all of them. Where one is missing, the test is skipped or fails, as `needs` says.

mod registry;
mod second;

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::geteuid;

use super::needs::{Need, are_met, or_skip, skip};
use super::{Convoy, Done, environment, link_toolchain, run, tool};
#[allow(unused_imports, reason = "some test programs need no registry")]
pub use registry::{Registry, registry};
#[allow(unused_imports, reason = "some test programs need no second engine")]
pub use second::{SecondEngine, second_engine, second_engine_with_files};

/// The plain user that `ci/setup` adds where the tests run as root.
const USER: &str = "convoy-test";

/// One at a time: two tests may ask for the same image.
static MAKING: Mutex<()> = Mutex::new(());

/// A container engine, as it is reached from this test.
#[derive(Clone, Debug)]
pub struct Engine {
    /// `docker` or `podman`.
    pub program: &'static str,
    env: Vec<(&'static str, String)>,
    user: Option<User>,
}

/// Another user than the one who tests.
#[derive(Clone, Debug)]
struct User {
    name: &'static str,
    home: Utf8PathBuf,
}

/// The Docker engine of this machine.
pub fn engine() -> Option<Engine> {
    static FOUND: LazyLock<Result<Engine, String>> = LazyLock::new(|| {
        let engine = Engine { program: "docker", env: Vec::new(), user: None };
        engine.answers()?;
        Ok(engine)
    });
    required("a container engine", &FOUND)
}

/// Podman as root.
pub fn podman_rootful() -> Option<Engine> {
    if !is_root("podman as root") {
        return None;
    }
    static FOUND: LazyLock<Result<Engine, String>> = LazyLock::new(|| podman(None, &[&[], &[CONFIGURED]]));
    required("podman as root", &FOUND)
}

/// Podman of a plain user: the one who tests, or for root the one that `ci/setup` adds.
pub fn podman_rootless() -> Option<Engine> {
    static FOUND: LazyLock<Result<Engine, String>> = LazyLock::new(|| {
        if !geteuid().is_root() {
            return podman(None, &[&[], &[CONFIGURED]]);
        }
        let passwd = fs_err::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
        let home = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == USER);
        let home = home.ok_or_else(|| format!("no user {USER}: `ci/setup` adds one"))?[5];
        // Left alone, podman 4.3 chooses vfs, which copies every layer.
        podman(Some(User { name: USER, home: home.into() }), &[&[OVERLAY], &[OVERLAY, CONFIGURED], &[CONFIGURED]])
    });
    required("podman of a plain user", &FOUND)
}

/// Whether root runs the tests. A plain user, who cannot do what only root may, is told what is skipped.
pub fn is_root(what: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        skip(&format!("{what}: the tests do not run as root"));
    }
    root
}

/// The engine, or what a test needs that has none.
fn required(what: &str, found: &LazyLock<Result<Engine, String>>) -> Option<Engine> {
    // Images are made with packages of Debian, and projects use crates of the registry.
    if !are_met(&[Need::Network]) {
        return None;
    }
    let found = LazyLock::force(found).clone();
    or_skip(found.map_err(|reason| format!("{what} (run `ci/setup`): {reason}")))
}

type Setting = fn(Option<&User>) -> (&'static str, String);

const OVERLAY: Setting = |_| ("STORAGE_DRIVER", "overlay".to_owned());

/// For a machine where limits cannot be raised, or whose cgroups crun does not know.
const CONFIGURED: Setting = |user| {
    let file = private_dir(user).join("containers.conf");
    let runtime = if which::which("runc").is_ok() { "[engine]\nruntime = \"runc\"\n" } else { "" };
    fs_err::write(&file, format!("[containers]\ndefault_ulimits = []\n{runtime}")).unwrap();
    ("CONTAINERS_CONF", file.into_string())
};

/// Names of the images that convoy composed with docker, sorted.
pub fn composed_images() -> Vec<String> {
    let format = "{{.Repository}}:{{.Tag}} {{.ID}}";
    let told = run("docker", &["images", "--filter", "label=io.cargo-convoy.recipe", "--format", format]);
    // Other tests make and publish images of their own.
    let own = told.lines().filter(|line| line.starts_with("cargo-convoy/tools:"));
    let mut names: Vec<String> = own.map(str::to_owned).collect();
    names.sort();
    names
}

/// Podman with the first of these settings with which a container runs.
fn podman(user: Option<User>, settings: &[&[Setting]]) -> Result<Engine, String> {
    let mut reason = String::new();
    for settings in settings {
        let env = settings.iter().map(|setting| setting(user.as_ref())).collect();
        let engine = Engine { program: "podman", env, user: user.clone() };
        match engine.answers().and_then(|()| {
            let image = engine.try_base_image("bookworm")?;
            done(engine.try_run(&["run", "--rm", "--network", "none", &image, "true"]))
        }) {
            Ok(()) => return Ok(engine),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

fn done(done: Done) -> Result<(), String> {
    if done.code == Some(0) { Ok(()) } else { Err(done.stderr.trim().to_owned()) }
}

/// A folder for files that the tests give to an engine's command line.
fn private_dir(user: Option<&User>) -> Utf8PathBuf {
    let dir = user.map_or_else(|| Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join("engine"), |user| user.home.clone());
    fs_err::create_dir_all(&dir).unwrap();
    dir
}

impl Engine {
    /// Its command line, about to run.
    pub fn command(&self) -> Command {
        self.command_of(self.program)
    }

    /// Any program, as the engine's user and with what the engine's command line needs.
    pub fn command_of(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match &self.user {
            None => {
                let mut command = Command::new(program);
                // With the person's home, in which the engine may keep its images.
                command.env_clear().envs(environment::machine());
                command
            }
            Some(user) => {
                let mut command = Command::new(tool("setpriv"));
                command.args(["--reuid", user.name, "--regid", user.name, "--init-groups"]).arg(program);
                // root's own folders, which a plain user may not even look into.
                let foreign = |name: &OsStr| {
                    ["CARGO", "RUSTUP_HOME", "CONVOY_CACHE_DIR", "DOCKER_CONFIG", "PYENV_ROOT", "PIP_CONFIG_FILE"]
                        .iter()
                        .any(|it| name == *it)
                        || name.to_string_lossy().starts_with("XDG_")
                };
                command.env_clear().envs(environment::machine().iter().filter(|(name, _)| !foreign(name)));
                command.env("HOME", &user.home).env("USER", user.name).env("LOGNAME", user.name);
                // podman goes back to the folder it was started in.
                command.current_dir(&user.home);
                command
            }
        };
        command.stdin(Stdio::null()).envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `docker ARGS` or `podman ARGS`, whatever comes of it.
    pub fn try_run(&self, args: &[&str]) -> Done {
        match self.command().args(args).output() {
            Ok(output) => Done::from(output),
            Err(error) => Done { code: None, stdout: String::new(), stderr: format!("{}: {error}", self.program) },
        }
    }

    /// `docker ARGS` or `podman ARGS`, which must succeed.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        let done = self.try_run(args);
        assert_eq!(done.code, Some(0), "{} {args:?}\n{done}", self.program);
        done.stdout
    }

    fn answers(&self) -> Result<(), String> {
        done(self.try_run(&["info", "--format", "ok"]))
    }

    /// `debian:<suite>-slim`, made by `ci/base-image` where the engine does not have it.
    #[track_caller]
    pub fn base_image(&self, suite: &str) -> String {
        self.try_base_image(suite).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_base_image(&self, suite: &str) -> Result<String, String> {
        let _one = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let image = format!("debian:{suite}-slim");
        if self.try_run(&["image", "inspect", &image]).code == Some(0) {
            return Ok(image);
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/ci/base-image");
        if let Some(user) = &self.user {
            // The tar that the one who tests has already.
            let tar = Command::new(script).args(["--tar", suite]).env_clear().envs(environment::machine()).output();
            let tar = Done::from(tar.unwrap());
            assert_eq!(tar.code, Some(0), "{tar}");
            let tar = Utf8Path::new(tar.stdout.trim_end());
            let folder = user.home.join(".cache/cargo-convoy/base-images");
            done(self.command_of("mkdir").args(["-p", folder.as_str()]).output().unwrap().into())?;
            run("ln", &["-f", tar.as_str(), folder.as_str()]);
        }
        let output = self.command_of(script).args(["--engine", self.program, suite]).output().unwrap();
        done(output.into()).map(|()| image)
    }

    /// Whether its containers' root is a plain user outside.
    pub fn is_rootless(&self) -> bool {
        self.program == "podman" && (self.user.is_some() || !geteuid().is_root())
    }

    /// The numbers of the user who runs its command line.
    pub fn ids(&self) -> (u32, u32) {
        let number = |flag: &str| {
            let output = self.command_of("id").arg(flag).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().parse::<u32>().unwrap()
        };
        (number("-u"), number("-g"))
    }

    /// Makes a folder and what is in it belong to the user who runs its command line.
    pub fn own(&self, dir: &Utf8Path) {
        if let Some(user) = &self.user {
            run("chown", &["-R", "--no-dereference", &format!("{0}:{0}", user.name), dir.as_str()]);
        }
    }

    /// It takes images from this registry, which speaks no TLS.
    pub fn trusting(mut self, registry: &Registry) -> Self {
        // Docker trusts all of the loopback interface.
        if self.program == "podman" {
            self.env.push(("CONTAINERS_REGISTRIES_CONF", registry.dir().join("registries.conf").into_string()));
        }
        self
    }

    /// For the plain user, who cannot look into root's home: the toolchain, by hard links.
    fn toolchain_of(user: &User) -> Utf8PathBuf {
        let _one = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let sysroot = run("rustc", &["--print", "sysroot"]);
        let sysroot = Utf8Path::new(sysroot.trim_end());
        let place = user.home.join("toolchain");
        // It says which targets are there; the compiler says its version.
        let same = |file: &str| fs_err::read(sysroot.join(file)).ok() == fs_err::read(place.join(file)).ok();
        if !(place.is_dir() && same("bin/rustc") && same("lib/rustlib/components")) {
            if place.is_dir() {
                fs_err::remove_dir_all(&place).unwrap();
            }
            link_toolchain(sysroot, &place);
        }
        place
    }
}

impl Convoy {
    /// As the engine's user, with what the engine's command line needs.
    ///
    /// A plain user has a CARGO_HOME and a cache of its own, and the toolchain without rustup.
    pub fn on(mut self, engine: &Engine) -> Self {
        for (name, value) in &engine.env {
            self.command.env(name, value);
        }
        let home = environment::home();
        let Some(user) = &engine.user else {
            // Where podman keeps its images.
            if let (Some(home), "podman") = (home, engine.program) {
                self.command.env("HOME", home);
            }
            return self;
        };
        let old = self.command;
        let reached = engine.command_of("test").arg("-x").arg(old.get_program()).status().unwrap();
        assert!(reached.success(), "{} cannot reach {:?}: a folder above it is closed", user.name, old.get_program());
        let mut command = engine.command_of(old.get_program());
        command.args(old.get_args());
        let mut path = vec![Engine::toolchain_of(user).join("bin").into_std_path_buf()];
        let outer = std::env::var_os("PATH").unwrap_or_default();
        path.extend(
            std::env::split_paths(&outer).filter(|dir| !home.as_ref().is_some_and(|home| dir.starts_with(home))),
        );
        command.env("PATH", std::env::join_paths(path).unwrap());
        // What the test itself set.
        for (name, value) in old.get_envs().filter_map(|(name, value)| Some((name, value?))) {
            if name == "CONVOY_ENGINE" || environment::tests().get(name).is_none_or(|common| common != value) {
                command.env(name, value);
            }
        }
        if let Some(dir) = old.get_current_dir() {
            command.current_dir(dir);
        }
        Self { command }
    }
}
