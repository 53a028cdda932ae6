//! zig, from the `ziglang` Python package, by pip: pinned to a tested version and to the hashes of its files.

use std::process::{Command, Stdio};
use std::sync::LazyLock;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::host::{CacheDir, ZigFacts, on_path};
use crate::interrupt::Interrupt;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pinned {
    version: String,
    bytes: u64,
    sha256: Vec<String>,
}

static PINNED: LazyLock<Pinned> = LazyLock::new(|| {
    // Embedded and checked by a test below.
    toml::from_str(include_str!("../../targets/zig.toml"))
        .unwrap_or_else(|error| panic!("embedded targets/zig.toml: {error}"))
});

/// The version that is brought.
pub fn version() -> &'static str {
    &PINNED.version
}

/// How much comes over the network, about.
pub fn bytes() -> u64 {
    PINNED.bytes
}

fn binary(package: &Utf8Path) -> Option<Utf8PathBuf> {
    let path = package.join(format!("zig{}", std::env::consts::EXE_SUFFIX));
    path.is_file().then_some(path)
}

fn home(room: &Utf8Path) -> Utf8PathBuf {
    room.join(version())
}

/// The zig that an earlier run brought.
pub fn in_cache(cache: &CacheDir) -> Option<Utf8PathBuf> {
    binary(&home(&cache.root().join("zig")).join("ziglang"))
}

fn python() -> Option<Utf8PathBuf> {
    ["python3", "python"].into_iter().find_map(on_path)
}

/// The zig of an installed `ziglang` wheel. Python is asked once; after that the place is remembered.
pub fn in_wheel(cache: &CacheDir) -> Option<Utf8PathBuf> {
    const KEY: &str = "ziglang-wheel";
    if let Some(known) = cache.recall::<Utf8PathBuf>("probes", KEY).filter(|path| path.is_file()) {
        return Some(known);
    }
    let script =
        "import importlib.util as u; s = u.find_spec('ziglang'); print(s.submodule_search_locations[0] if s else '')";
    let done = Command::new(python()?).args(["-c", script]).stdin(Stdio::null()).output().ok()?;
    let place = String::from_utf8(done.stdout).ok()?;
    let place = place.trim();
    let zig = if place.is_empty() { None } else { binary(Utf8Path::new(place)) }?;
    // A cache that cannot be written only costs time.
    let _ = cache.remember("probes", KEY, &zig);
    Some(zig)
}

/// Why zig cannot be brought to this machine; none when it can.
pub fn unavailable() -> Option<String> {
    let Some(python) = python() else { return Some("no Python is on PATH to fetch it with".to_owned()) };
    let works = Command::new(&python)
        .args(["-c", "import pip"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    (!works).then(|| format!("{python} has no pip to fetch it with"))
}

/// Brings zig into the tool's cache. Two runs at once are safe: the second waits and finds it there.
pub fn bring(cache: &CacheDir, interrupt: &Interrupt) -> Result<ZigFacts> {
    let room = cache.room("zig")?;
    let lock = fs_err::File::create(room.join(".lock"))?;
    interrupt.lock(&lock, || {})?;
    let facts = |path| ZigFacts { path, version: version().to_owned() };
    if let Some(path) = in_cache(cache) {
        return Ok(facts(path));
    }
    let hint =
        "put `zig` on PATH, install the `ziglang` Python package by hand, or use `--route` to take another route";
    let python = python().ok_or_else(|| Error::work("no Python is on PATH to bring zig with").hint(hint))?;
    let beside = tempfile::Builder::new().prefix(".bringing-").tempdir_in(&room)?;
    let requirements = beside.path().join("requirements.txt");
    let hashes: Vec<String> = PINNED.sha256.iter().map(|hash| format!("--hash=sha256:{hash}")).collect();
    fs_err::write(&requirements, format!("ziglang=={} {}\n", version(), hashes.join(" ")))?;
    let unpacked = beside.path().join("unpacked");
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"])
        .args(["--no-compile", "--only-binary=:all:", "--require-hashes", "--requirement"])
        .arg(&requirements)
        .arg("--target")
        .arg(&unpacked)
        // A user's pip settings must not redirect the target.
        .env_remove("PIP_TARGET")
        .env_remove("PIP_PREFIX")
        .env_remove("PIP_USER");
    let done = interrupt
        .output(&mut pip)?
        .map_err(|error| Error::work(format!("could not start `{python}`")).because(error))?;
    if !done.status.success() {
        let told = String::from_utf8_lossy(&done.stderr);
        let last = told.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("pip gave no reason");
        return Err(Error::work(format!("could not bring zig {}: {last}", version())).hint(hint));
    }
    let target = home(&room);
    if target.exists() {
        // Left by a run that was killed in between, or damaged: the check above did not find a zig in it.
        fs_err::remove_dir_all(&target)?;
    }
    fs_err::rename(&unpacked, &target)?;
    in_cache(cache).map(facts).ok_or_else(|| Error::work("the `ziglang` package holds no zig").hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_is_a_version_and_hashes() {
        assert!(version().split('.').count() >= 3);
        assert!(bytes() > 0);
        assert!(PINNED.sha256.iter().all(|hash| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
