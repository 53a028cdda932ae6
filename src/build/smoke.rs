//! Smoke runs: a binary is started once with `--version`, natively, under qemu-user with the target's CPU, or under wine.
//! What a container built is started in a container of its image, where that can be; elsewhere with few variables.

use std::ffi::OsString;
use std::io::{Read, Seek};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use crate::machine::engine::EngineFacts;
use crate::machine::interrupt::Interrupt;
use crate::machine::on_path;
use crate::model::catalog::{Catalog, Target};
use crate::model::code::Code;
use crate::model::cpu;
use crate::model::triple::Triple;
use crate::plan::container::{Confinement, Mount, Start};
use crate::provision::engine::caller;
use crate::util::error::Result;
use crate::verify::{Finding, Level};

/// Long enough for wine to set itself up on a slow machine.
const LIMIT: Duration = Duration::from_secs(120);

/// What a program may know of this machine's environment: dependencies that a container kept from it end in the program,
/// too. A `*` is for any letters.
const VARIABLES: [&str; 16] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TERM",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "DISPLAY",
    "LD_LIBRARY_PATH",
    "QEMU_*",
    "WINE*",
    "RUST_BACKTRACE",
];

/// A binary to start.
#[derive(Clone, Copy, Debug)]
pub struct Smoke<'a> {
    /// The file.
    pub binary: &'a Utf8Path,
    /// Its target.
    pub triple: &'a str,
    /// What the catalog knows of that.
    pub target: Option<&'a Target>,
    /// Whether it needs no loader.
    pub is_static: bool,
    /// This machine's own triple.
    pub host: &'a str,
    /// The device's CPU.
    pub cpu: Option<&'a str>,
    /// The folder of the sysroot that it was linked against: its libraries are taken from there.
    pub root: Option<&'a Utf8Path>,
    /// Where it was built, if in a container.
    pub image: Option<SmokeImage<'a>>,
}

/// An image to start a binary in.
#[derive(Clone, Copy, Debug)]
pub struct SmokeImage<'a> {
    /// The engine.
    pub engine: &'a EngineFacts,
    /// The image.
    pub reference: &'a str,
    /// What the container's labels name: this machine and cache.
    pub machine: &'a str,
    /// The same of this run.
    pub run: &'a str,
}

/// One way to start a binary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Way {
    program: Utf8PathBuf,
    args: Vec<String>,
    /// Variables of the emulator's.
    env: Vec<(&'static str, &'static str)>,
    /// What it reads besides the binary.
    reads: Vec<Utf8PathBuf>,
    /// Whether only this machine has what it takes.
    on_host_only: bool,
}

/// How a start went.
enum Ended {
    /// There was nothing that ran.
    NotStarted(String),
    Status(ExitStatus, String),
    TooLong,
}

/// Starts a binary; says what came of it. No emulator is a violation, because the run was asked for.
///
/// # Errors
/// A signal came, or a temporary file could not be written.
pub fn smoke(smoke: &Smoke<'_>, interrupt: &Interrupt) -> Result<Finding> {
    let found = |level, code, message: String| Ok(Finding { level, code, message });
    let ways = match smoke.ways(&|name| on_path(name)) {
        Ok(ways) => ways,
        Err(why) => return found(Level::Violation, Code::SmokeNotRun, why),
    };
    let mut last = String::new();
    for way in ways {
        let image = smoke.image.filter(|image| image.engine.mounts() && !way.on_host_only);
        let ended = match image {
            Some(image) => in_image(smoke, &way, image, interrupt)?,
            None => start_on_host(&way, interrupt)?,
        };
        match ended {
            Ended::NotStarted(why) => last = why,
            Ended::Status(status, output) => {
                return Ok(judge(signal_of(status, image.is_some()), status.code(), &output));
            }
            Ended::TooLong => {
                return found(
                    Level::Warning,
                    Code::SmokeUnending,
                    format!("did not exit within {} s", LIMIT.as_secs()),
                );
            }
        }
    }
    found(Level::Violation, Code::SmokeFailed, format!("could not be run: {last}"))
}

impl Smoke<'_> {
    /// The ways to start it, the best first; `on_path` finds programs of this machine.
    fn ways(&self, on_path: &dyn Fn(&str) -> Option<Utf8PathBuf>) -> std::result::Result<Vec<Way>, String> {
        let native = self.native();
        match self.emulated(on_path) {
            Ok(way) => Ok(native.into_iter().chain([way]).collect()),
            Err(_) if native.is_some() => Ok(native.into_iter().collect()),
            Err(why) => Err(why),
        }
    }

    /// By itself, or by the sysroot's own loader: this machine need not have the libraries, nor an older release's.
    fn native(&self) -> Option<Way> {
        let loader = self.target.and_then(|target| target.expect.interpreter.as_deref());
        let startable = self.is_static || self.root.is_some() && loader.is_some();
        if self.triple != self.host && !(startable && starts_natively(&self.triple.into(), &self.host.into())) {
            return None;
        }
        Some(match (self.root.filter(|_| !self.is_static), loader) {
            (Some(root), Some(loader)) => {
                let multiarch = self.target.and_then(|target| target.multiarch.as_deref()).unwrap_or_default();
                Way {
                    program: root.join(loader.trim_start_matches('/')),
                    args: vec!["--library-path".to_owned(), library_path(root, multiarch), self.binary.to_string()],
                    reads: vec![root.to_owned()],
                    ..Way::default()
                }
            }
            _ => Way { program: self.binary.to_owned(), ..Way::default() },
        })
    }

    fn emulated(&self, on_path: &dyn Fn(&str) -> Option<Utf8PathBuf>) -> std::result::Result<Way, String> {
        let Some(target) = self.target else { return Err(format!("no known emulator for {}", self.triple)) };
        if let Some(name) = &target.smoke.qemu {
            return self.by_qemu(target, name, on_path);
        }
        if let Some(name) = &target.smoke.wasm {
            let runtime = on_path(name).ok_or_else(|| format!("{name} is not on PATH"))?;
            return Ok(Way {
                program: runtime,
                args: vec![self.binary.to_string()],
                on_host_only: true,
                ..Way::default()
            });
        }
        let Some(name) = &target.smoke.wine else {
            return Err(format!("no known emulator for {} on this machine", self.triple));
        };
        let wine = on_path(name).or_else(|| on_path("wine")).ok_or_else(|| "wine is not on PATH".to_owned())?;
        Ok(Way {
            program: wine,
            args: vec![self.binary.to_string()],
            // wine's loader tells a missing DLL there and nowhere else: the exit code could be the program's own.
            env: vec![("WINEDEBUG", "-all,err+module")],
            on_host_only: true,
            ..Way::default()
        })
    }

    fn by_qemu(
        &self,
        target: &Target,
        name: &str,
        on_path: &dyn Fn(&str) -> Option<Utf8PathBuf>,
    ) -> std::result::Result<Way, String> {
        let static_qemu = on_path(&format!("{name}-static"));
        // One that is not static needs libraries of this machine.
        let on_host_only = static_qemu.is_none();
        let Some(qemu) = static_qemu.or_else(|| on_path(name)) else {
            return Err(format!("neither {name}-static nor {name} is on PATH (Debian, Ubuntu: qemu-user-static)"));
        };
        let mut way = Way { reads: vec![qemu.clone()], program: qemu, on_host_only, ..Way::default() };
        let mut add = |words: &[&str]| way.args.extend(words.iter().map(|word| (*word).to_owned()));
        let level = self.cpu.and_then(|cpu| cpu::level(&target.triple, cpu)).and_then(|level| level.qemu.as_deref());
        if let Some(cpu) = level.or(emulated(name, self.cpu)).or(target.smoke.cpu.as_deref()) {
            add(&["-cpu", cpu]);
        }
        if !target.expect.r#static && target.other_archive_arch.is_some() && self.root.is_none() {
            // Debian's armhf libraries are ARMv7: on an ARMv6 CPU they, not the binary, end with SIGILL.
            return Err(format!("the libraries for {} are missing on this machine", self.triple));
        }
        if !target.expect.r#static {
            let multiarch = target.multiarch.as_deref().unwrap_or_default();
            // Debian names the directory of a cross compiler's libraries as its tools, and its own by the multiarch name.
            let gcc = target.gcc.as_ref().map(|gcc| gcc.prefix.as_str());
            let cross: Vec<Utf8PathBuf> =
                [Some(multiarch), gcc].into_iter().flatten().map(|name| Utf8Path::new("/usr").join(name)).collect();
            let cross = cross.iter().find(|dir| dir.join("lib").is_dir());
            if let Some(root) = self.root.or(cross.map(|dir| &**dir)) {
                add(&["-L", root.as_str()]);
            }
            if let Some(root) = self.root {
                add(&["-E", &format!("LD_LIBRARY_PATH={}", library_path(root, multiarch))]);
            }
        }
        add(&[self.binary.as_str()]);
        way.reads.extend(self.root.map(Utf8Path::to_owned));
        Ok(way)
    }
}

/// Whether this machine's kernel starts programs of a triple by itself, as far as that can be told from the names.
fn starts_natively(triple: &Triple, host: &Triple) -> bool {
    let (arch, host_arch) = (triple.architecture_word(), host.architecture_word());
    let same = arch == host_arch || host_arch == "x86_64" && ["i686", "i586"].contains(&arch);
    let linux = |triple: &Triple| triple.is_linux() && triple.instruction_set() != Some("x32");
    same && linux(triple) && linux(host)
}

/// On this machine, with few of its variables.
fn start_on_host(way: &Way, interrupt: &Interrupt) -> Result<Ended> {
    let mut command = Command::new(&way.program);
    command.args(&way.args).env_clear().envs(few(std::env::vars_os())).envs(way.env.iter().copied());
    run(command, interrupt, LIMIT)
}

/// The variables that a program may know.
fn few(all: impl Iterator<Item = (OsString, OsString)>) -> impl Iterator<Item = (OsString, OsString)> {
    let may = |name: &str| {
        VARIABLES.iter().any(|known| match known.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *known,
        })
    };
    all.filter(move |(name, _)| name.to_str().is_some_and(may))
}

/// In a container of an image: without a network, and without anything of this machine but the binary and what it needs.
fn in_image(smoke: &Smoke<'_>, way: &Way, image: SmokeImage<'_>, interrupt: &Interrupt) -> Result<Ended> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("convoy-{}-smoke-{}", image.run, COUNT.fetch_add(1, Ordering::Relaxed));
    let mounts: Vec<Mount> =
        [smoke.binary].into_iter().chain(way.reads.iter().map(|it| &**it)).map(Mount::read).collect();
    let start = Start {
        engine: image.engine,
        image: image.reference,
        name: Some(&name),
        machine: image.machine,
        run: image.run,
        user: caller(),
        mounts: &mounts,
        volumes: &[],
        confinement: &Confinement::default(),
    };
    let mut command = Command::new(&image.engine.program);
    command.args(start.args(way.program.as_str())).args(&way.args);
    let ended = run(command, interrupt, LIMIT);
    if !matches!(ended, Ok(Ended::Status(..))) {
        // Its client was ended, and it goes on.
        super::container::remove(image.engine, &name);
    }
    Ok(match ended? {
        Ended::Status(status, output) if status.code() == Some(NOT_STARTED) => Ended::NotStarted(output),
        ended => ended,
    })
}

/// What an engine ends with when a container could not be started.
const NOT_STARTED: i32 = 125;

/// The signal that ended a program; an engine's client tells it by its exit code, as shells do.
fn signal_of(status: ExitStatus, in_image: bool) -> Option<i32> {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Some(signal);
    }
    status.code().filter(|code| in_image && (129..=159).contains(code)).map(|code| code - 128)
}

fn run(mut command: Command, interrupt: &Interrupt, limit: Duration) -> Result<Ended> {
    interrupt.set_process_group(&mut command);
    // A file, not a pipe: a program may write more than a pipe holds, and wine's server keeps a pipe open for long.
    let mut stderr = tempfile::tempfile()?;
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr.try_clone()?);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(Ended::NotStarted(error.to_string())),
    };
    let _watched = interrupt.watch(child.id());
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                interrupt.check()?;
                let mut output = Vec::new();
                stderr.rewind()?;
                stderr.take(4096).read_to_end(&mut output)?;
                return Ok(Ended::Status(status, complaint(&String::from_utf8_lossy(&output))));
            }
            Ok(None) if begun.elapsed() > limit => {
                // With what it started: a program that puts itself into the background leaves some.
                interrupt.kill(&mut child);
                let _ = child.wait();
                return Ok(Ended::TooLong);
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Ok(Ended::NotStarted(format!("could not wait for it to exit: {error}"))),
        }
    }
}

/// A device's own CPU where qemu knows it by that name; where there is none, the target's lowest is meant.
fn emulated<'a>(qemu: &str, cpu: Option<&'a str>) -> Option<&'a str> {
    let cpu = cpu.filter(|cpu| cpu.starts_with("cortex-"))?;
    // The 32-bit one has no 64-bit CPU, which a device with a 32-bit system may have, but one that has all of them.
    const OF_ARM: [&str; 4] = ["cortex-a7", "cortex-a8", "cortex-a9", "cortex-a15"];
    Some(if qemu == "qemu-arm" && !OF_ARM.contains(&cpu) { "max" } else { cpu })
}

/// The folders of a sysroot that hold libraries, as its loader takes them. By itself it finds too few:
/// qemu (7.2) looks up some system calls' paths outside of `-L`, so that a folder which this machine lacks is none; and what
/// Debian chooses when it installs (of several BLAS one) is in a subfolder and has no link.
fn library_path(root: &Utf8Path, multiarch: &str) -> String {
    let multiarch_dir = root.join("usr/lib").join(multiarch);
    let is_library = |name: &str| name.starts_with("lib") && name.contains(".so");
    let entries = |dir: &Utf8Path| dir.read_dir_utf8().into_iter().flatten().flatten();
    let mut inner: Vec<Utf8PathBuf> = entries(&multiarch_dir)
        .map(|entry| entry.into_path())
        .filter(|dir| dir.is_dir() && entries(dir).any(|entry| is_library(entry.file_name())))
        .collect();
    inner.sort();
    let all: Vec<String> =
        [multiarch_dir, root.join("lib").join(multiarch)].into_iter().chain(inner).map(String::from).collect();
    all.join(":")
}

/// How wine's loader begins what it cannot do.
const WINE_LOADER: &str = ":err:module:";

/// The one line of standard error that tells most: wine's loader speaks after wine's own chatter, all others first.
fn complaint(stderr: &str) -> String {
    let lines = || stderr.trim().lines();
    let line = lines().find(|line| line.contains(WINE_LOADER)).or_else(|| lines().next()).unwrap_or_default();
    // As in `0024:err:module:import_dll Library bcryptprimitives.dll (which is needed by L"Z:\\…\\a.exe") not found`.
    match line.split_once("import_dll Library ").and_then(|(_, rest)| rest.split(' ').next()) {
        Some(dll) => format!("{WINE_LOADER} this version of Wine has no {dll}; try a newer one"),
        None => line.to_owned(),
    }
}

/// Whether an emulator speaks: under its own name, of what it cannot do.
fn is_emulators(output: &str) -> bool {
    let who = output.split(':').next().unwrap_or_default();
    let who = who.strip_suffix("-static").unwrap_or(who);
    Catalog::embedded().targets.iter().any(|target| target.smoke.qemu.as_deref() == Some(who))
}

/// A program that knows no `--version` ends with a code of its own and has started all the same; a signal, or a code that
/// loaders and emulators use, means that it did not.
fn judge(signal: Option<i32>, code: Option<i32>, output: &str) -> Finding {
    let loader = is_emulators(output)
        || ["error while loading", "GLIBC_", "Could not open '/lib", "unable to find CPU model", WINE_LOADER]
            .iter()
            .any(|s| output.contains(s));
    let output = output.trim_start_matches(WINE_LOADER).trim();
    let output = if output.is_empty() { String::new() } else { format!(": {output}") };
    let (level, code, message) = match (signal, code) {
        (Some(signal), _) => (Level::Violation, Code::SmokeFailed, format!("killed by signal {signal}{output}")),
        (None, Some(code @ (126 | 127))) => {
            (Level::Violation, Code::SmokeFailed, format!("did not start (exit code {code}){output}"))
        }
        (None, code) if loader => {
            (Level::Violation, Code::SmokeFailed, format!("did not start (exit code {}){output}", code.unwrap_or(-1)))
        }
        (None, code) => (Level::Ok, Code::SmokeStarted, format!("started, exit code {}", code.unwrap_or(-1))),
    };
    Finding { level, code, message }
}

#[cfg(all(test, unix))]
mod tests;
