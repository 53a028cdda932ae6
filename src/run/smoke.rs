//! Smoke runs: a binary is started once with `--version`, natively, under qemu-user with the target's CPU, or under wine.

use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use crate::catalog::{Catalog, Target};
use crate::error::Result;
use crate::host::on_path;
use crate::interrupt::Interrupt;
use crate::verify::{Finding, Level};

/// Long enough for wine to set itself up on a slow machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Starts a binary; says what came of it. No emulator is a violation, because the run was asked for. `root` is the folder
/// of the sysroot that it was linked against: qemu takes its libraries from there.
pub fn smoke(
    binary: &Utf8Path,
    triple: &str,
    target: Option<&Target>,
    host: &str,
    cpu: Option<&str>,
    root: Option<&Utf8Path>,
    interrupt: &Interrupt,
) -> Result<Finding> {
    let found = |level, code: &str, message: String| Ok(Finding { level, code: code.to_owned(), message });
    let not_run = |why: String| found(Level::Violation, "smoke-not-run", why);
    let mut command = if triple == host {
        match (root, target.and_then(|target| target.expect.interpreter.as_deref())) {
            // By the sysroot's own loader: this machine need not have the libraries, nor an older release's.
            (Some(root), Some(interpreter)) => {
                let mut command = Command::new(root.join(interpreter.trim_start_matches('/')));
                let multiarch = target.and_then(|target| target.multiarch.as_deref()).unwrap_or_default();
                command.arg("--library-path").arg(library_path(root, multiarch)).arg(binary);
                command
            }
            _ => Command::new(binary),
        }
    } else {
        let Some(target) = target else { return not_run(format!("no emulator is known for {triple}")) };
        if let Some(name) = &target.smoke.qemu {
            let Some(qemu) = on_path(&format!("{name}-static")).or_else(|| on_path(name)) else {
                return not_run(format!(
                    "neither {name}-static nor {name} is on PATH (Debian, Ubuntu: qemu-user-static)"
                ));
            };
            let mut command = Command::new(qemu);
            if let Some(cpu) = emulated(name, cpu).or(target.smoke.cpu.as_deref()) {
                command.arg("-cpu").arg(cpu);
            }
            if !target.expect.r#static && target.debian_arch.is_none() && root.is_none() {
                // Debian's armhf libraries are ARMv7: on an ARMv6 CPU they, not the binary, end with SIGILL.
                return not_run(format!("this machine has no libraries for {triple} to start it with"));
            }
            if !target.expect.r#static {
                let multiarch = target.multiarch.as_deref().unwrap_or_default();
                let cross = Utf8PathBuf::from(format!("/usr/{multiarch}"));
                if let Some(root) = root.or(cross.is_dir().then_some(&cross)) {
                    command.arg("-L").arg(root);
                }
                if let Some(root) = root {
                    command.arg("-E").arg(format!("LD_LIBRARY_PATH={}", library_path(root, multiarch)));
                }
            }
            command.arg(binary);
            command
        } else if let Some(name) = &target.smoke.wine {
            let Some(wine) = on_path(name).or_else(|| on_path("wine")) else {
                return not_run("wine is not on PATH".to_owned());
            };
            let mut command = Command::new(wine);
            // wine's loader tells a missing DLL there and nowhere else: the exit code could be the program's own.
            command.arg(binary).env("WINEDEBUG", "-all,err+module");
            command
        } else {
            return not_run(format!("no emulator is known for {triple} on this machine"));
        }
    };
    interrupt.own_group(&mut command);
    // A file, not a pipe: a program may write more than a pipe holds, and wine's server keeps a pipe open for long.
    let mut stderr = tempfile::tempfile()?;
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr.try_clone()?);
    let started = command.spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return found(Level::Violation, "smoke-failed", format!("could not be started: {error}")),
    };
    let _watched = interrupt.watch(child.id());
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                interrupt.check()?;
                let mut told = Vec::new();
                stderr.rewind()?;
                stderr.take(4096).read_to_end(&mut told)?;
                return Ok(judge(status, &complaint(&String::from_utf8_lossy(&told))));
            }
            Ok(None) if begun.elapsed() > LIMIT => {
                // It may have ended in this very moment.
                let _ = child.kill();
                let _ = child.wait();
                return found(Level::Warning, "smoke-unending", format!("still ran after {} s", LIMIT.as_secs()));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return found(Level::Violation, "smoke-failed", format!("could not be waited for: {error}")),
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
    let own = root.join("usr/lib").join(multiarch);
    let is_library = |name: &str| name.starts_with("lib") && name.contains(".so");
    let entries = |dir: &Utf8Path| dir.read_dir_utf8().into_iter().flatten().flatten();
    let mut inner: Vec<Utf8PathBuf> = entries(&own)
        .map(|entry| entry.into_path())
        .filter(|dir| dir.is_dir() && entries(dir).any(|entry| is_library(entry.file_name())))
        .collect();
    inner.sort();
    let all: Vec<String> = [own, root.join("lib").join(multiarch)].into_iter().chain(inner).map(String::from).collect();
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
        Some(dll) => format!("{WINE_LOADER} this wine has no {dll}; a newer one may"),
        None => line.to_owned(),
    }
}

/// Whether an emulator speaks: under its own name, of what it cannot do.
fn is_emulators(told: &str) -> bool {
    let who = told.split(':').next().unwrap_or_default();
    let who = who.strip_suffix("-static").unwrap_or(who);
    Catalog::embedded().targets.iter().any(|target| target.smoke.qemu.as_deref() == Some(who))
}

/// A program that knows no `--version` ends with a code of its own and has started all the same; a signal, or a code that
/// loaders and emulators use, means that it did not.
fn judge(status: std::process::ExitStatus, told: &str) -> Finding {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    let loader = is_emulators(told)
        || ["error while loading", "GLIBC_", "Could not open '/lib", "unable to find CPU model", WINE_LOADER]
            .iter()
            .any(|s| told.contains(s));
    let told = told.trim_start_matches(WINE_LOADER).trim();
    let told = if told.is_empty() { String::new() } else { format!(": {told}") };
    let (level, code, message) = match (signal, status.code()) {
        (Some(signal), _) => (Level::Violation, "smoke-failed", format!("ended by signal {signal}{told}")),
        (None, Some(code @ (126 | 127))) => {
            (Level::Violation, "smoke-failed", format!("did not start (code {code}){told}"))
        }
        (None, code) if loader => {
            (Level::Violation, "smoke-failed", format!("did not start (code {}){told}", code.unwrap_or(-1)))
        }
        (None, code) => (Level::Ok, "smoke-started", format!("started and ended with code {}", code.unwrap_or(-1))),
    };
    Finding { level, code: code.to_owned(), message }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_sysroots_own_folders_come_first_and_plugins_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        for file in ["pulseaudio/libpulsecommon-16.1.so", "blas/libblas.so.3", "pkgconfig/x.pc", "engines-3/afalg.so"] {
            let file = root.join("usr/lib/arm-linux-gnueabihf").join(file);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, "").unwrap();
        }
        let path = library_path(root, "arm-linux-gnueabihf").replace(root.as_str(), "");
        assert_eq!(
            path,
            "/usr/lib/arm-linux-gnueabihf:/lib/arm-linux-gnueabihf:/usr/lib/arm-linux-gnueabihf/blas:\
             /usr/lib/arm-linux-gnueabihf/pulseaudio"
        );
    }

    #[test]
    fn a_dll_that_wine_lacks_is_no_start() {
        let stderr = "it looks like wine32 is missing, you should install it.\n0024:err:module:import_dll Library \
            bcryptprimitives.dll (which is needed by L\"Z:\\\\a.exe\") not found\n0024:err:module:LdrInitializeThunk \
            Importing dlls for L\"Z:\\\\a.exe\" failed, status c0000135\n";
        let status = <std::process::ExitStatus as std::os::unix::process::ExitStatusExt>::from_raw(53 << 8);
        let finding = judge(status, &complaint(stderr));
        assert_eq!(finding.level, Level::Violation);
        insta::assert_snapshot!(
            finding.message,
            @"did not start (code 53): this wine has no bcryptprimitives.dll; a newer one may"
        );
    }

    #[test]
    fn what_an_emulator_cannot_do_is_no_start() {
        let status = <std::process::ExitStatus as std::os::unix::process::ExitStatusExt>::from_raw(1 << 8);
        for told in ["unable to find CPU model 'cortex-a53'", "qemu-arm-static: cannot do that", "qemu-aarch64: no"] {
            assert_eq!(judge(status, told).code, "smoke-failed", "{told}");
        }
        assert_eq!(judge(status, "qemu-tool: unknown option").code, "smoke-started");
        assert_eq!(emulated("qemu-arm", Some("cortex-a53")), Some("max"));
        assert_eq!(emulated("qemu-arm", Some("cortex-a7")), Some("cortex-a7"));
        assert_eq!(emulated("qemu-aarch64", Some("cortex-a53")), Some("cortex-a53"));
        assert_eq!(emulated("qemu-arm", Some("arm1176jzf-s")), None);
    }

    #[test]
    fn a_code_of_the_programs_own_is_a_start() {
        let status = <std::process::ExitStatus as std::os::unix::process::ExitStatusExt>::from_raw(2 << 8);
        let finding = judge(status, &complaint("error: unexpected argument '--version' found\n"));
        assert_eq!((finding.level, finding.code.as_str()), (Level::Ok, "smoke-started"));
    }
}
