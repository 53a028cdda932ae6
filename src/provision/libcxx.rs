//! zig's C++ standard library, for targets whose C++ zig compiles and `rust-lld` links: macOS and Windows MSVC.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use std::fs::TryLockError;
use std::process::{Command, Output};

use crate::machine::interrupt::Interrupt;
use crate::provision::mingw;
use crate::util::error::{Error, Result};
use crate::util::files;

/// How the names of directories begin in which a run is at work.
const BEGUN: &str = ".libcxx-";

/// A program that uses libc++, so that zig builds its own copy.
const USES_LIBCXX: &str = "#include <iostream>\nint main() { try { std::cout << 1; } catch (...) {} }\n";

/// A kind of library that zig builds.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The archives, as zig names them.
    archives: &'static [&'static str],
    /// Whether the first archive is to have the others in it, too: a crate links that one alone.
    join: bool,
    /// Whether zig would compile MinGW's whole runtime first, which nothing here asks for.
    without_libc: bool,
}

/// libc++ for macOS.
pub const MACOS: Kind = Kind { archives: &["libc++.a", "libc++abi.a"], join: true, without_libc: false };

/// libc++ for Windows, with what unwinds.
pub const WINDOWS: Kind = Kind { archives: &["c++.lib", "c++abi.lib", "unwind.lib"], join: false, without_libc: true };

impl Kind {
    /// The archives in a directory that [`provision_libcxx`] made.
    pub fn libraries(self, dir: &Utf8Path) -> impl Iterator<Item = Utf8PathBuf> {
        self.archives.iter().map(move |name| dir.join(name))
    }
}

/// Brings zig's libc++ for `target`, zig's name of it, to the folder `dest`, unless it is there.
///
/// zig ships libc++ as source and builds it when it links a C++ program, a minute or two, once for each target and
/// minimum OS. `dest` is written beside and then renamed: of two runs at once one wins.
///
/// # Errors
/// zig could not build it, the disk is full, or a signal came.
pub fn provision_libcxx(
    zig: &Utf8Path,
    kind: Kind,
    target: &str,
    dest: &Utf8Path,
    interrupt: &Interrupt,
) -> Result<()> {
    if dest.is_dir() {
        return Ok(());
    }
    let failed = |what: String| Error::work(format!("zig could not build libc++ for {target}: {what}"));
    let parent = dest.parent().ok_or_else(|| failed(format!("{dest} has no parent directory")))?;
    fs::create_dir_all(parent)?;
    let _building = remove_leftovers(parent)?;
    let work = tempfile::Builder::new().prefix(BEGUN).tempdir_in(parent)?;
    let path =
        Utf8Path::from_path(work.path()).ok_or_else(|| failed("the path of its directory is not UTF-8".to_owned()))?;
    let cache = path.join("cache");
    let run = |command: &mut Command| {
        command
            .current_dir(path)
            // A cache of its own: whatever lies there was built for this target.
            .env("ZIG_GLOBAL_CACHE_DIR", &cache)
            .env("ZIG_LOCAL_CACHE_DIR", &cache);
        interrupt.output(command)?.map_err(|error| failed(format!("could not start {zig}")).because(error))
    };
    let complaint = |output: &Output| String::from_utf8_lossy(&output.stderr).trim().to_owned();
    fs::write(path.join("main.cpp"), USES_LIBCXX)?;
    let mut link = Command::new(zig);
    link.args(["c++", "-target", target, "-O2", "main.cpp", "-o", "main"]);
    if kind.without_libc {
        // An installed C library without a file: the link fails, after libc++ is built.
        let include = mingw::headers(zig);
        fs::write(path.join("libc.txt"), mingw::libc_text(&include, &path.join("none")))?;
        link.env("ZIG_LIBC", path.join("libc.txt"));
    }
    let linked = run(&mut link)?;
    if !linked.status.success() && !kind.without_libc {
        return Err(failed(complaint(&linked)));
    }
    let found: Option<Vec<Utf8PathBuf>> = kind.archives.iter().map(|name| only_archive(&cache, name)).collect();
    let found = found.ok_or_else(|| match complaint(&linked).lines().next() {
        Some(line) => failed(line.to_owned()),
        None => failed(format!("not all of {} are in its cache", kind.archives.join(", "))),
    })?;
    let out = tempfile::Builder::new().prefix(BEGUN).tempdir_in(parent)?;
    let out_path =
        Utf8Path::from_path(out.path()).ok_or_else(|| failed("the path of its directory is not UTF-8".to_owned()))?;
    let targets: Vec<Utf8PathBuf> = kind.libraries(out_path).collect();
    for (archive, target) in found.iter().zip(&targets).skip(usize::from(kind.join)) {
        fs::copy(archive, target)?;
    }
    if let (Some(first), true) = (targets.first(), kind.join) {
        // `L` adds the members of an archive, not the archive.
        let joined = run(Command::new(zig).args(["ar", "qLcs"]).arg(first).args(&found))?;
        if !joined.status.success() {
            return Err(failed(complaint(&joined)));
        }
    }
    files::publish(out, dest)
}

/// Removes what runs that were killed left in a directory, unless another run builds there; the lock that is handed on keeps
/// others from removing what is built now. Several may build at once. None where the file system has no locks.
fn remove_leftovers(dir: &Utf8Path) -> Result<Option<fs::File>> {
    let lock = fs::File::create(dir.join(".lock"))?;
    match lock.file().try_lock() {
        Ok(()) => {
            files::remove_begun(dir, BEGUN)?;
            lock.file().unlock()?;
        }
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(_)) => return Ok(None),
    }
    // Only ever taken by others for as long as removing takes.
    Ok(lock.file().lock_shared().is_ok().then_some(lock))
}

/// The one file of that name in zig's cache (`o/<digest>/<name>`); none where there are several.
fn only_archive(cache: &Utf8Path, name: &str) -> Option<Utf8PathBuf> {
    let folders = cache.join("o").read_dir_utf8().ok()?;
    let mut found = folders.flatten().map(|folder| folder.path().join(name)).filter(|path| path.is_file());
    found.next().filter(|_| found.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_removed_unless_another_builds() {
        let held = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(held.path()).unwrap();
        fs::create_dir(dir.join(".libcxx-old")).unwrap();
        let building = remove_leftovers(dir).unwrap();
        assert!(building.is_some() && !dir.join(".libcxx-old").exists());
        fs::create_dir(dir.join(".libcxx-new")).unwrap();
        let second = remove_leftovers(dir).unwrap();
        assert!(second.is_some() && dir.join(".libcxx-new").exists(), "the first is at work there");
        drop((building, second));
        remove_leftovers(dir).unwrap();
        assert!(!dir.join(".libcxx-new").exists());
    }
}
