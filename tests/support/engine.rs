//! The container engines of this machine, a second one that shares no files with the tests, and a registry.
//!
//! Where an engine is not to be had, a test says that it was skipped and ends; `CONVOY_TEST_REQUIRE_ENGINE=1` makes that a
//! failure. `ci/setup` brings all of them.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::{Convoy, Done, is_running, link_toolchain, run, tool, wait_for};

/// The plain user that `ci/setup` adds where the tests run as root.
const USER: &str = "convoy-test";

/// What the names of second engines begin with; a bridge's has 15 letters at most.
const SECOND: &str = "cvt";

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
    or_skip("no container engine", FOUND.clone())
}

/// Podman as root.
pub fn podman_rootful() -> Option<Engine> {
    if !is_root("no rootful podman") {
        return None;
    }
    static FOUND: LazyLock<Result<Engine, String>> = LazyLock::new(|| podman(None, &[&[], &[CONFIGURED]]));
    or_skip("no rootful podman", FOUND.clone())
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
    or_skip("no rootless podman", FOUND.clone())
}

/// Gives what was found, or says in the runner's own output that the test is skipped, and why.
#[track_caller]
pub fn or_skip<T>(what: &str, found: Result<T, String>) -> Option<T> {
    let reason = match found {
        Ok(found) => return Some(found),
        Err(reason) => reason,
    };
    assert!(
        std::env::var_os("CONVOY_TEST_REQUIRE_ENGINE").is_none_or(|value| value != "1"),
        "{what}, and CONVOY_TEST_REQUIRE_ENGINE asks for it: {reason}"
    );
    skipped(what, &reason);
    None
}

/// Whether root runs the tests. A plain user, who cannot do what only root may, is told what is skipped.
pub fn is_root(what: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        skipped(what, "the tests do not run as root");
    }
    root
}

fn skipped(what: &str, reason: &str) {
    let test = std::thread::current();
    // Not by `eprintln!`, which a passing test's runner keeps to itself.
    let _ = writeln!(std::io::stderr(), "skipped: {what}: {}: {reason}", test.name().unwrap_or_default());
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
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new(tool("setpriv"));
                command.args(["--reuid", user.name, "--regid", user.name, "--init-groups"]).arg(program);
                for (name, _) in std::env::vars_os() {
                    let text = name.to_string_lossy();
                    // root's own folders, which a plain user may not even look into.
                    let foreign = text.starts_with("XDG_")
                        || ["CARGO", "CARGO_HOME", "RUSTUP_HOME", "CONVOY_CACHE_DIR", "DOCKER_CONFIG"]
                            .contains(&&*text);
                    if foreign {
                        command.env_remove(&name);
                    }
                }
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
            let tar = run(script, &["--tar", suite]);
            let tar = Utf8Path::new(tar.trim_end());
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
        let Some(user) = &engine.user else { return self };
        let old = self.command;
        let reached = engine.command_of("test").arg("-x").arg(old.get_program()).status().unwrap();
        assert!(reached.success(), "{} cannot reach {:?}: a folder above it is closed", user.name, old.get_program());
        let mut command = engine.command_of(old.get_program());
        command.args(old.get_args());
        let mut path = vec![Engine::toolchain_of(user).join("bin").into_std_path_buf()];
        let outer = std::env::var_os("PATH").unwrap_or_default();
        let home = std::env::var_os("HOME").unwrap_or_default();
        path.extend(std::env::split_paths(&outer).filter(|dir| home.is_empty() || !dir.starts_with(Path::new(&home))));
        command.env("PATH", std::env::join_paths(path).unwrap());
        for (name, value) in old.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(dir) = old.get_current_dir() {
            command.current_dir(dir);
        }
        Self { command }
    }
}

/// A Docker engine of its own, which sees none of the tests' files: the folders that they work in are empty for it.
#[derive(Debug)]
pub struct SecondEngine {
    engine: Engine,
    dockerd: Child,
    /// That of its bridge, too.
    name: String,
    /// Its socket, and what it writes down while it runs.
    run: Utf8PathBuf,
}

impl std::ops::Deref for SecondEngine {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

/// Starts a second engine, with the base image of bookworm; it ends with the value, or with the thread that asked for it.
///
/// Its containers reach the network by `--network host` only. It has a bridge of its own instead of none: an engine that
/// is started with `--bridge=none` removes the bridge of this machine's engine.
pub fn second_engine() -> Option<SecondEngine> {
    // The first four are the tests' own.
    let mut hidden = vec![env!("CARGO_MANIFEST_DIR").into(), env!("CARGO_TARGET_TMPDIR").into(), "/tmp".into()];
    hidden.extend(["HOME", "CARGO_HOME", "RUSTUP_HOME", "CONVOY_CACHE_DIR"].iter().filter_map(std::env::var_os));
    start_second(hidden)
}

/// A second engine that sees this machine's files: one that a test may stop.
pub fn second_engine_with_files() -> Option<SecondEngine> {
    start_second(Vec::new())
}

fn start_second(mut hidden: Vec<OsString>) -> Option<SecondEngine> {
    engine()?;
    if !is_root("no second container engine") {
        return None;
    }
    sweep();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{SECOND}{}n{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let (run_dir, data) = places(&name);
    fs_err::create_dir_all(&run_dir).unwrap();
    fs_err::create_dir_all(&data).unwrap();
    run("ip", &["link", "add", &name, "type", "bridge"]);
    // The other engine's configuration and containerd.
    hidden.extend(["/etc/docker".into(), "/run/containerd".into()]);
    let script = "run=$1 data=$2 bridge=$3; shift 3\n\
                  for dir; do [ ! -d \"$dir\" ] || mount -t tmpfs -o mode=0755 hidden \"$dir\"; done\n\
                  cd /; exec setpriv --pdeathsig TERM dockerd --host \"unix://$run/docker.sock\" --data-root \"$data\" \
                  --exec-root \"$run/exec\" --pidfile \"$run/pid\" --bridge \"$bridge\" --iptables=false --ip-masq=false \
                  --ip-forward=false";
    let log = fs_err::File::create(run_dir.join("log")).unwrap().into_parts().0;
    let dockerd = Command::new(tool("unshare"))
        .args(["--mount", "sh", "-euc", script, "-", run_dir.as_str(), data.as_str(), &name])
        .args(hidden)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let env = vec![("DOCKER_HOST", format!("unix://{run_dir}/docker.sock"))];
    let engine = Engine { program: "docker", env, user: None };
    let mut second = SecondEngine { engine, dockerd, name, run: run_dir };
    wait_for("the second engine", || {
        if let Some(status) = second.dockerd.try_wait().unwrap() {
            panic!("dockerd ended: {status}\n{}", fs_err::read_to_string(second.run.join("log")).unwrap());
        }
        second.answers().is_ok()
    });
    second.base_image("bookworm");
    Some(second)
}

/// Where a second engine keeps its socket, and its images.
fn places(name: &str) -> (Utf8PathBuf, Utf8PathBuf) {
    (Utf8Path::new("/run").join(name), Utf8Path::new("/var/lib").join(name))
}

fn remove(name: &str) {
    let (run, data) = places(name);
    let _ = Command::new("ip").args(["link", "del", name]).output();
    let _ = fs_err::remove_dir_all(data);
    let _ = fs_err::remove_dir_all(run);
}

/// Removes what second engines left whose tests were killed.
fn sweep() {
    let entries = fs_err::read_dir("/run").unwrap();
    for name in entries.filter_map(|entry| entry.unwrap().file_name().into_string().ok()) {
        let Some((pid, _)) = name.strip_prefix(SECOND).and_then(|rest| rest.split_once('n')) else { continue };
        if pid.parse().is_ok_and(|pid| !is_running(pid)) {
            remove(&name);
        }
    }
}

impl SecondEngine {
    pub fn pid(&self) -> i32 {
        i32::try_from(self.dockerd.id()).unwrap()
    }

    /// A polite end, as of a service that is stopped.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let started = Instant::now();
        while self.dockerd.try_wait().unwrap().is_none() {
            if started.elapsed() > Duration::from_secs(40) {
                self.signal(Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, signal: Signal) {
        // It may have ended by itself.
        let _ = kill_process(Pid::from_child(&self.dockerd), signal);
    }
}

impl Drop for SecondEngine {
    fn drop(&mut self) {
        if matches!(self.dockerd.try_wait(), Ok(None)) {
            self.stop();
        }
        // Its containerd ends with it, unless it was killed.
        let containerd = self.run.join("exec/containerd/containerd.pid");
        if let Some(pid) = fs_err::read_to_string(containerd).ok().and_then(|text| text.trim().parse::<i32>().ok())
            && is_running(pid)
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
        remove(&self.name);
    }
}

/// A registry for images on the loopback interface, empty at first.
#[derive(Debug)]
pub struct Registry {
    server: Child,
    dir: tempfile::TempDir,
    port: u16,
}

/// Starts a registry; it ends with the value, or with the thread that asked for it.
pub fn registry() -> Registry {
    let dir = tempfile::tempdir().unwrap();
    fs_err::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = Utf8Path::from_path(dir.path()).unwrap();
    let config = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n\
         storage: {{filesystem: {{rootdirectory: \"{place}/data\"}}, delete: {{enabled: true}}}}\n"
    );
    fs_err::write(place.join("config.yml"), config).unwrap();
    let trust = format!("[[registry]]\nlocation = \"127.0.0.1:{port}\"\ninsecure = true\n");
    fs_err::write(place.join("registries.conf"), trust).unwrap();
    let server = Command::new(tool("setpriv"))
        .args(["--pdeathsig", "TERM"])
        .args([tool("docker-registry").as_str(), "serve", place.join("config.yml").as_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs_err::File::create(place.join("log")).unwrap().into_parts().0)
        .spawn()
        .unwrap();
    let mut registry = Registry { server, dir, port };
    wait_for("the registry", || {
        if let Some(status) = registry.server.try_wait().unwrap() {
            panic!("docker-registry ended: {status}\n{}", fs_err::read_to_string(registry.dir().join("log")).unwrap());
        }
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    registry
}

impl Registry {
    /// What an image's name begins with.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn dir(&self) -> &Utf8Path {
        Utf8Path::from_path(self.dir.path()).unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
