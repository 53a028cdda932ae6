//! A second Docker engine.

use std::ffi::OsString;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};

use super::super::{is_running, run, tool, wait_for};
use super::{Engine, engine, is_root};

/// What the names of second engines begin with; a bridge's has 15 letters at most.
const SECOND: &str = "cvt";

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
    if !is_root("a second container engine") {
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
