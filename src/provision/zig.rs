//! Bringing zig: the `ziglang` Python package, by pip, pinned to a tested version and to the hashes of its files.

use camino::Utf8Path;

use crate::machine::interrupt::Interrupt;
use crate::machine::zig::{Known, ROOM, binary, home, look, python, remember, wheel};
use crate::machine::{CacheDir, ZigFacts};
use crate::model::zig::{version, wheels};
use crate::util::error::{Error, Result};
use crate::util::files;

/// Work that a run began; the rename at its end takes the name away.
const BEGUN: &str = ".bringing-";

/// A zig that is in the cache now.
#[derive(Debug)]
pub(crate) struct Installed {
    /// The zig.
    pub facts: ZigFacts,
    /// What was wrong with the one that was there before; none where there was none.
    pub replaced: Option<String>,
}

/// Brings zig into the tool's cache. Two runs at once are safe: the second waits and finds it there.
pub(crate) fn ensure_installed(cache: &CacheDir, interrupt: &Interrupt) -> Result<Installed> {
    let room = cache.room(ROOM)?;
    let lock = fs_err::File::create(room.join(".lock"))?;
    interrupt.lock(&lock, || {})?;
    let installed = |path, replaced| Installed { facts: ZigFacts { path, version: version().to_owned() }, replaced };
    let replaced = match look(cache) {
        Some(Ok(path)) => return Ok(installed(path, None)),
        Some(Err(fault)) => Some(fault),
        None => None,
    };
    files::remove_begun(&room, BEGUN)?;
    let hint = "install zig or the Python package `ziglang`, or use `--route` to choose another route";
    let python = python::find().ok_or_else(|| Error::work("could not install zig: no Python on PATH").hint(hint))?;
    let beside = tempfile::Builder::new().prefix(BEGUN).tempdir_in(&room)?;
    let unpacked = beside.path().join("unpacked");
    install(&python, &beside.path().join("requirements.txt"), &unpacked, interrupt)
        .map_err(|error| error.hint(hint))?;
    let target = home(&room);
    if target.exists() {
        // Left by a run that was killed in between, or damaged.
        fs_err::remove_dir_all(&target)?;
    }
    files::sync_file_system(&room)?;
    fs_err::rename(&unpacked, &target)?;
    let zig = binary(&target.join(wheel::PACKAGE));
    let zig = zig.ok_or_else(|| Error::work("the Python package `ziglang` does not contain zig").hint(hint))?;
    // pip has just compared the package with its pinned hash.
    remember(cache, Known::of(&target, &zig).as_ref());
    Ok(installed(zig, replaced))
}

/// Has pip unpack the pinned package.
fn install(
    python: &Utf8Path,
    requirements: &std::path::Path,
    unpacked: &std::path::Path,
    interrupt: &Interrupt,
) -> Result<()> {
    let hashes: Vec<String> = wheels().iter().map(|wheel| format!("--hash=sha256:{}", wheel.sha256)).collect();
    fs_err::write(requirements, format!("ziglang=={} {}\n", version(), hashes.join(" ")))?;
    let mut pip = python::command(python);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"])
        .args(["--no-compile", "--only-binary=:all:", "--require-hashes", "--requirement"])
        .arg(requirements)
        .arg("--target")
        .arg(unpacked)
        // A user's pip settings must not redirect the target.
        .env_remove("PIP_TARGET")
        .env_remove("PIP_PREFIX")
        .env_remove("PIP_USER");
    let done = interrupt
        .output(&mut pip)?
        .map_err(|error| Error::work(format!("could not start `{python}`")).because(error))?;
    if !done.status.success() {
        let text = String::from_utf8_lossy(&done.stderr);
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("pip gave no reason");
        return Err(Error::work(format!("could not install zig {}: {last}", version())));
    }
    Ok(())
}
