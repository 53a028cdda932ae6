//! Looking for zig: in convoy's cache, where its files must be those that were published, and in the `ziglang` Python package.

pub(crate) mod python;
pub(crate) mod wheel;

use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::machine::CacheDir;
use crate::model::zig::{version, wheels};
use crate::util::files::Checked;
use crate::util::files::{PlainFile, SMALL};
use crate::util::stamp::Stamp;

/// Its room in the cache.
pub(crate) const ROOM: &str = "zig";

/// zig's program in a package, where it is there.
pub(crate) fn binary(package: &Utf8Path) -> Option<Utf8PathBuf> {
    let path = package.join(format!("zig{}", std::env::consts::EXE_SUFFIX));
    path.is_file().then_some(path)
}

/// Where the installed version is kept.
pub(crate) fn home(room: &Utf8Path) -> Utf8PathBuf {
    room.join(version())
}

/// The zig that an earlier run installed, if it is still what was published. Everything is read once, and again when zig or
/// the list of its files was replaced: a cache that was restored or copied has new files.
pub fn in_cache(cache: &CacheDir) -> Option<Utf8PathBuf> {
    look(cache).and_then(Result::ok)
}

/// The same; where it is not what was published, what is wrong with it.
pub(crate) fn look(cache: &CacheDir) -> Option<Result<Utf8PathBuf, String>> {
    let home = home(&cache.root().join(ROOM));
    let zig = binary(&home.join(wheel::PACKAGE))?;
    let now = Known::of(&home, &zig);
    if now.is_some() && cache.recall::<Known>("probes", &checked_key()) == now {
        return Some(Ok(zig));
    }
    let contents = check(&home);
    Some(match contents.faults.first() {
        None => {
            remember(cache, now.as_ref());
            Ok(zig)
        }
        Some(first) if contents.faults.len() == 1 => Err(first.clone()),
        Some(first) => Err(format!("{first}, and {} more", contents.faults.len() - 1)),
    })
}

fn check(home: &Utf8Path) -> Checked {
    let pinned: Vec<&str> = wheels().iter().map(|wheel| wheel.contents.as_str()).collect();
    wheel::check(home, version(), &pinned)
}

/// Reads every file of the zig in the cache; none where there is no zig.
pub(crate) fn verify(cache: &CacheDir) -> Option<Checked> {
    let home = home(&cache.root().join(ROOM));
    home.is_dir().then(|| check(&home))
}

/// The files by which a zig that was checked is known again.
#[derive(Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Known {
    zig: Stamp,
    record: Option<Stamp>,
}

impl Known {
    /// Of a zig and the directory that holds its package.
    pub(crate) fn of(home: &Utf8Path, zig: &Utf8Path) -> Option<Self> {
        Some(Self { zig: Stamp::of(zig)?, record: Stamp::of(&wheel::record(home, version())) })
    }
}

fn checked_key() -> String {
    format!("zig-{}", version())
}

/// Remembers that a zig was compared with what was published.
pub(crate) fn remember(cache: &CacheDir, checked: Option<&Known>) {
    // A cache that cannot be written only costs time.
    let _ = checked.map(|checked| cache.remember("probes", &checked_key(), checked));
}

/// A wheel that was found, as it is remembered.
#[derive(Debug, Deserialize, Serialize)]
struct Wheel {
    /// The Python whose wheel it is.
    python: Utf8PathBuf,
    zig: Utf8PathBuf,
    stamp: Stamp,
}

/// The zig of an installed `ziglang` wheel. Python is asked once; after that the place is remembered for as long as the same
/// Python is on PATH and the file is the same. `dir` is the directory that convoy was started in: what is beneath the
/// project there, and in no directory that Python itself has for packages, is not taken.
pub fn in_wheel(cache: &CacheDir, dir: &Utf8Path) -> Option<Utf8PathBuf> {
    const KEY: &str = "ziglang-wheel-2";
    let python = python::find()?;
    let known = cache
        .recall::<Wheel>("probes", KEY)
        .filter(|known| known.python == python && Stamp::of(&known.zig).as_ref() == Some(&known.stamp));
    if let Some(known) = known {
        return Some(known.zig);
    }
    const SCRIPT: &str = "import importlib.util, site\n\
        found = importlib.util.find_spec('ziglang')\n\
        print(found.submodule_search_locations[0] if found and found.submodule_search_locations else '')\n\
        print(*site.getsitepackages(), site.getusersitepackages(), sep='\\n')\n";
    let done = python::command(&python).args(["-c", SCRIPT]).output().ok()?;
    let told = String::from_utf8(done.stdout).ok()?;
    let mut lines = told.lines();
    let place = lines.next().map(str::trim).filter(|place| !place.is_empty())?;
    let zig = binary(Utf8Path::new(place))?;
    let pythons_own = lines.any(|site| zig.starts_with(site));
    if !pythons_own {
        // What PYTHONPATH names is asked for each time, as another shell has another.
        return (!is_beneath(&zig, project(dir))).then_some(zig);
    }
    if let Some(stamp) = Stamp::of(&zig) {
        // A cache that cannot be written only costs time.
        let _ = cache.remember("probes", KEY, &Wheel { python, zig: zig.clone(), stamp });
    }
    Some(zig)
}

/// The directory of the project that a directory is in, as cargo finds it: that of the workspace, else of the package; itself
/// where there is none.
fn project(dir: &Utf8Path) -> &Utf8Path {
    let mut package = None;
    for above in dir.ancestors() {
        let manifest = PlainFile::open(&above.join("Cargo.toml"), SMALL).and_then(|file| file.read_text());
        let Ok(text) = manifest else { continue };
        package = package.or(Some(above));
        if text.lines().any(|line| line.trim_start().starts_with("[workspace")) {
            return above;
        }
    }
    package.unwrap_or(dir)
}

fn is_beneath(file: &Utf8Path, dir: &Utf8Path) -> bool {
    let real = |path: &Utf8Path| path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned());
    file.starts_with(dir) || real(file).starts_with(real(dir))
}

/// Why zig cannot be installed on this machine; none if it can.
pub(crate) fn unavailable() -> Option<String> {
    let Some(python) = python::find() else { return Some("no Python on PATH".to_owned()) };
    let works = python::command(&python)
        .args(["-c", "import pip"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    (!works).then(|| format!("{python} has no pip"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_all_of_its_workspace() {
        let held = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(held.path()).unwrap();
        let deep = dir.join("work/member/src");
        fs_err::create_dir_all(&deep).unwrap();
        assert_eq!(project(&deep), deep);
        fs_err::write(dir.join("work/member/Cargo.toml"), "[package]\n").unwrap();
        assert_eq!(project(&deep), dir.join("work/member"));
        fs_err::write(dir.join("work/Cargo.toml"), "[workspace]\n").unwrap();
        assert_eq!(project(&deep), dir.join("work"));
        assert!(is_beneath(&dir.join("work/ziglang/zig"), project(&deep)));
        assert!(!is_beneath(&dir.join("work2/ziglang/zig"), project(&deep)));
    }

    #[test]
    fn a_zig_in_the_cache_that_nobody_published_is_not_taken() {
        let held = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(&Utf8Path::from_path(held.path()).unwrap().join("v1"));
        assert!(look(&cache).is_none());
        let package = home(&cache.room(ROOM).unwrap()).join(wheel::PACKAGE);
        fs_err::create_dir_all(&package).unwrap();
        let zig = package.join(format!("zig{}", std::env::consts::EXE_SUFFIX));
        fs_err::write(&zig, "#!/bin/sh\n").unwrap();
        assert_eq!(in_cache(&cache), None);
        assert!(verify(&cache).is_some_and(|contents| !contents.faults.is_empty()));
        // What pip unpacked is known by its stamp, and no longer when it is replaced.
        remember(&cache, Known::of(&home(&cache.root().join(ROOM)), &zig).as_ref());
        assert_eq!(in_cache(&cache).as_deref(), Some(zig.as_path()));
        fs_err::remove_file(&zig).unwrap();
        fs_err::write(&zig, "#!/bin/sh\n").unwrap();
        assert_eq!(in_cache(&cache), None);
    }
}
