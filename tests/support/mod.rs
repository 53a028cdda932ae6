//! Test projects on disk, and `cargo-convoy` run on them as a person would.
//!
//! What a test needs beyond Rust and a C compiler it says first (`needs`). Whatever it starts sees the environment of the
//! tests only (`environment`).
// Several test programs share this room; none uses all of it.
#![allow(dead_code, clippy::unwrap_used)]

pub mod archive;
pub mod containers;
pub mod crates;
pub mod engine;
pub mod environment;
pub mod needs;
pub mod schema;
pub mod sysroots;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

#[allow(unused_imports, reason = "some test programs need nothing")]
pub(crate) use needs::require;

/// Long enough for a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(300);

pub const HELLO: &str = "fn main() { println!(\"hello {}\", 6 * 7); }\n";

/// A directory of one test, emptied first and left for a look afterwards. Its path contains the test program and the
/// module that asks for it, so names must differ within a module only.
#[track_caller]
pub fn workspace(name: &str) -> Utf8PathBuf {
    static OWNERS: Mutex<BTreeMap<Utf8PathBuf, String>> = Mutex::new(BTreeMap::new());
    let module = Utf8Path::new(std::panic::Location::caller().file()).file_stem().unwrap();
    // Outside every cargo workspace, or cargo would take the project for a forgotten member.
    let dir = environment::scratch().join(needs::program()).join(module).join(name);
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let owner = OWNERS.lock().unwrap().entry(dir.clone()).or_insert_with(|| test.clone()).clone();
    assert_eq!(owner, test, "two tests use the directory {dir}");
    if dir.exists() {
        fs_err::remove_dir_all(&dir).unwrap();
    }
    fs_err::create_dir_all(&dir).unwrap();
    dir
}

/// A cargo project of one test.
#[derive(Debug)]
pub struct Project {
    pub dir: Utf8PathBuf,
}

/// What a test that passed has built is in nobody's way: all tests together build many gigabytes. With `CONVOY_TEST_KEEP=1`
/// it stays.
impl Drop for Project {
    fn drop(&mut self) {
        if !std::thread::panicking() && std::env::var_os("CONVOY_TEST_KEEP").is_none_or(|keep| keep != "1") {
            // A file of another user's or a mount may be in the way; then the next run tries again.
            let _ = fs_err::remove_dir_all(self.dir.join("target"));
        }
    }
}

impl Project {
    /// A package that only needs std and says `hello 42`.
    #[track_caller]
    pub fn hello(name: &str) -> Self {
        Self::empty(name).manifest("hello", "").file("src/main.rs", HELLO)
    }

    /// A folder without anything in it.
    #[track_caller]
    pub fn empty(name: &str) -> Self {
        Self { dir: workspace(name) }
    }

    /// A manifest with these lines below `[package]`.
    pub fn manifest(self, package: &str, more: &str) -> Self {
        let text = format!(
            "[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{more}\n[workspace]\n\
             [profile.release]\ndebug = false\n"
        );
        self.file("Cargo.toml", &text)
    }

    /// With the versions of this repository's own lock file: crates that are in it are on this machine, and need no network.
    pub fn with_own_versions(self) -> Self {
        self.file("Cargo.lock", include_str!("../../Cargo.lock"))
    }

    pub fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    pub fn write(&self, path: &str, text: &str) -> Utf8PathBuf {
        let path = self.dir.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        path
    }

    /// An executable script.
    pub fn script(&self, path: &str, text: &str) -> Utf8PathBuf {
        let path = self.write(path, text);
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub fn dist(&self, path: &str) -> Utf8PathBuf {
        self.dir.join("dist").join(path)
    }

    pub fn manifest_json(&self) -> Value {
        let path = self.dist("manifest.json");
        serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
    }

    /// `cargo-convoy ARGS` in this project.
    pub fn convoy<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Convoy {
        Convoy::new(&self.dir, args)
    }

    /// `cargo-convoy build -t TARGETS`.
    pub fn build(&self, targets: &str) -> Convoy {
        self.convoy(["build", "-t", targets])
    }
}

/// `cargo-convoy`, about to run.
#[derive(Debug)]
pub struct Convoy {
    command: Command,
}

impl Convoy {
    pub fn new<S: AsRef<OsStr>>(dir: &Utf8Path, args: impl IntoIterator<Item = S>) -> Self {
        Self::by(env!("CARGO_BIN_EXE_cargo-convoy"), dir, args)
    }

    /// Another program, which starts `cargo-convoy`.
    pub fn by<S: AsRef<OsStr>>(program: &str, dir: &Utf8Path, args: impl IntoIterator<Item = S>) -> Self {
        let mut command = environment::command(program);
        command.current_dir(dir).args(args).stdin(Stdio::null());
        Self { command }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub fn dir(mut self, dir: &Utf8Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// This folder is found before the rest of PATH.
    pub fn path_first(self, dir: &Utf8Path) -> Self {
        let path = environment::tests()[OsStr::new("PATH")].clone();
        let dirs = std::iter::once(dir.as_std_path().to_owned()).chain(std::env::split_paths(&path));
        self.env("PATH", std::env::join_paths(dirs).unwrap())
    }

    /// Nothing but this folder is on PATH, and cargo is found there.
    pub fn path_only(self, dir: &Utf8Path) -> Self {
        self.env("PATH", dir).env_remove("CARGO")
    }

    /// Runs to its end, which must be this exit code.
    #[track_caller]
    pub fn ends(mut self, code: i32) -> Done {
        let output = self.command.output().unwrap();
        let done = Done::from(output);
        // The reason first: what shows failures cuts them.
        assert!(done.code == Some(code), "it did not end with {code}:\n{done}\n--- of\n{:?}", self.command);
        done
    }

    /// Runs to its end, whatever that is.
    pub fn output(mut self) -> Done {
        Done::from(self.command.output().unwrap())
    }

    /// Starts, and goes on while the test does other things.
    pub fn starts(mut self) -> Running {
        let child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running { child: Some(child) }
    }
}

/// `cargo-convoy`, running.
#[derive(Debug)]
pub struct Running {
    child: Option<Child>,
}

impl Running {
    pub fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    pub fn wait(mut self) -> Done {
        Done::from(self.child.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A test that failed leaves nothing running.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a run said.
#[derive(Clone, Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "code {:?}\n--- stderr\n{}\n--- stdout\n{}", self.code, self.stderr, self.stdout)
    }
}

impl Done {
    #[track_caller]
    pub fn says(&self, needle: &str) -> &Self {
        // Wrapped lines must not hide a sentence.
        let flat = self.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        let needle = needle.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(&needle), "`{needle}` is not said in\n{self}");
        self
    }

    #[track_caller]
    pub fn says_not(&self, needle: &str) -> &Self {
        assert!(!self.stderr.contains(needle) && !self.stdout.contains(needle), "`{needle}` is said in\n{self}");
        self
    }

    /// Standard output, which is one JSON value and nothing else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }
}

/// The rows of `artifacts` or `failed`, by cell id.
pub fn rows(manifest: &Value, list: &str) -> BTreeMap<String, Value> {
    let rows = manifest[list].as_array().unwrap_or_else(|| panic!("no `{list}` in {manifest:#}"));
    rows.iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row.clone())).collect()
}

/// The ids of these rows.
pub fn ids(manifest: &Value, list: &str) -> Vec<String> {
    rows(manifest, list).into_keys().collect()
}

/// The codes of a row's findings at a level.
pub fn codes(row: &Value, level: &str) -> Vec<String> {
    let findings = row["findings"].as_array().unwrap();
    findings.iter().filter(|f| f["level"] == level).map(|f| f["code"].as_str().unwrap().to_owned()).collect()
}

/// A tool of this machine.
#[track_caller]
pub fn tool(name: &str) -> Utf8PathBuf {
    let found = which::which(name).unwrap_or_else(|_| panic!("`{name}` is needed by this test and is not on PATH"));
    Utf8PathBuf::from_path_buf(found).unwrap()
}

/// A folder that holds only links to these tools.
pub fn toolbox(dir: &Utf8Path, tools: &[(&str, &Utf8Path)]) -> Utf8PathBuf {
    fs_err::create_dir_all(dir).unwrap();
    for (name, target) in tools {
        fs_err::os::unix::fs::symlink(target, dir.join(name)).unwrap();
    }
    dir.to_owned()
}

/// rustup's own tools.
pub fn rustup_tools(dir: &Utf8Path) -> Utf8PathBuf {
    let tools = ["cargo", "rustc", "rustup"].map(|name| (name, tool(name)));
    let tools: Vec<(&str, &Utf8Path)> = tools.iter().map(|(name, path)| (*name, path.as_path())).collect();
    toolbox(dir, &tools)
}

/// A toolchain in another place as well, whole or not at all: by hard links where they reach.
pub fn link_toolchain(sysroot: &Utf8Path, place: &Utf8Path) {
    let new = format!("{place}.new");
    let script = "rm -rf \"$2\"; mkdir -p \"$2\"; cd \"$1\"\n\
                  for part in bin lib libexec; do\n\
                  [ ! -d $part ] || cp -al $part \"$2\" 2>/dev/null || { rm -rf \"$2/$part\"; cp -a $part \"$2\"; }\n\
                  done; mv \"$2\" \"$3\"";
    run("sh", &["-euc", script, "-", sysroot.as_str(), &new, place.as_str()]);
}

/// zig's own binary, which the test has required.
#[track_caller]
pub fn zig() -> Utf8PathBuf {
    needs::find_zig().expect("a test that uses zig begins with `require!(Zig)`")
}

/// Waits until something holds.
#[track_caller]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "still waiting for {what} after {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process runs (a zombie does not).
pub fn is_running(pid: i32) -> bool {
    match fs_err::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !matches!(stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()), Some('Z' | 'X')),
        Err(_) => false,
    }
}

/// Runs a tool; it must succeed.
#[track_caller]
pub fn run(tool: impl AsRef<OsStr>, args: &[&str]) -> String {
    let shown = OsString::from(tool.as_ref());
    let output = environment::command(tool)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{shown:?} is needed by this test and cannot be started: {error}"));
    assert!(output.status.success(), "{shown:?} {args:?}: {}", Done::from(output));
    String::from_utf8(output.stdout).unwrap()
}
