//! C and C++ for darwin: zig compiles, `rust-lld` links.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use std::fs::TryLockError;
use std::process::Command;

use crate::machine::interrupt::Interrupt;
use crate::util::error::{Error, Result};
use crate::util::files;
use crate::util::shell::quote;

/// How the names of directories begin in which a run is at work.
const BEGUN: &str = ".libcxx-";

/// A program that uses libc++, so that zig builds its own copy.
const USES_LIBCXX: &str = "#include <iostream>\nint main() { std::cout << 1; }\n";

/// The language that a compiler script stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// `zig cc`; also assembly.
    C,
    /// `zig c++`.
    Cxx,
}

/// zig's name of a darwin target: `aarch64-macos.11.0-none`. `min_os` is `MACOSX_DEPLOYMENT_TARGET` where the user has
/// set it, else the catalog's.
pub fn zig_target(arch: &str, min_os: &str) -> String {
    format!("{arch}-macos.{min_os}-none")
}

/// The text of a compiler script (`CC_<target>`, `CXX_<target>`): runs zig's own binary for `target`.
///
/// Build scripts take it for a clang of Apple's and pass what only that understands, or what names another machine:
/// `--target=arm64-apple-macosx`, `-arch`, `-isysroot <the stubs>` (which hold no headers; zig brings its own),
/// `-mmacosx-version-min`. zig refuses the `--` that some versions of the `cc` crate put before files
/// (<https://github.com/ziglang/zig/issues/14837>). zig's own default of instrumenting unoptimised C is switched off: its runtime is only there
/// when zig links (<https://github.com/ziglang/zig/issues/23052>).
pub fn compiler_script(zig: &Utf8Path, language: Language, target: &str) -> String {
    let driver = match language {
        Language::C => "cc",
        Language::Cxx => "c++",
    };
    let zig = quote(zig.as_str());
    format!(
        r#"#!/bin/sh
# Written by cargo-convoy: {driver} for {target}.
# With a darwin target zig 0.17.1 leaves an empty a.o behind when it is asked for its version, as the cc crate does.
[ "$*" = --version ] && exec {zig} {driver} --version
count=$#
while [ "$count" -gt 0 ]; do
  argument=$1
  shift
  count=$((count - 1))
  case $argument in
    -- | --target=* | -mmacosx-version-min=* | -mmacos-version-min=* | -isysroot?*) ;;
    -target | -arch | -isysroot) if [ "$count" -gt 0 ]; then shift; count=$((count - 1)); fi ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec {zig} {driver} -target {target} -fno-sanitize=undefined "$@"
"#
    )
}

/// The text of an archiver script (`AR_<target>`, `RANLIB_<target>`): a host's own `ar` writes no index of Mach-O
/// objects.
pub fn archiver_script(zig: &Utf8Path, tool: &str) -> String {
    format!("#!/bin/sh\n# Written by cargo-convoy.\nexec {} {tool} \"$@\"\n", quote(zig.as_str()))
}

/// Brings zig's libc++ for `target` (see [`zig_target`]) to the folder `dest`, unless it is there: `libc++.a`, which
/// holds libc++abi too, because a crate links `c++` alone, and `libc++abi.a` for those that name it.
///
/// zig ships libc++ as source and builds it when it links a C++ program, a minute or two, once for each target and
/// minimum OS. `dest` is written beside and then renamed: of two runs at once one wins.
pub fn provision_libcxx(zig: &Utf8Path, target: &str, dest: &Utf8Path, interrupt: &Interrupt) -> Result<()> {
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
    let run = |args: &[&str]| {
        let mut command = Command::new(zig);
        command
            .args(args)
            .current_dir(path)
            // A cache of its own: whatever lies there was built for this target.
            .env("ZIG_GLOBAL_CACHE_DIR", &cache)
            .env("ZIG_LOCAL_CACHE_DIR", &cache);
        let output =
            interrupt.output(&mut command)?.map_err(|error| failed(format!("could not start {zig}")).because(error))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        }
    };
    fs::write(path.join("main.cpp"), USES_LIBCXX)?;
    run(&["c++", "-target", target, "-O2", "main.cpp", "-o", "main"])?;
    let libcxx = only_archive(&cache, "libc++.a").ok_or_else(|| failed("no libc++.a in its cache".to_owned()))?;
    let libcxxabi =
        only_archive(&cache, "libc++abi.a").ok_or_else(|| failed("no libc++abi.a in its cache".to_owned()))?;
    let out = tempfile::Builder::new().prefix(BEGUN).tempdir_in(parent)?;
    let both = out.path().join("libc++.a");
    let both = Utf8Path::from_path(&both).ok_or_else(|| failed("the path of its directory is not UTF-8".to_owned()))?;
    // `L` adds the members of an archive, not the archive.
    run(&["ar", "qLcs", both.as_str(), libcxx.as_str(), libcxxabi.as_str()])?;
    fs::copy(&libcxxabi, out.path().join("libc++abi.a"))?;
    super::publish(out, dest)
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
    fn the_scripts_quote_zigs_path() {
        let script = archiver_script(Utf8Path::new("/o'clock zig/zig"), "ar");
        assert!(script.ends_with("exec '/o'\\''clock zig/zig' ar \"$@\"\n"), "{script}");
    }

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

    #[cfg(unix)]
    #[test]
    fn the_compiler_script_drops_what_apples_clang_alone_knows() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("cc");
        // `echo` in place of zig: what it is started with is what is printed.
        fs::write(&script, compiler_script(Utf8Path::new("echo"), Language::C, "aarch64-macos.11.0-none")).unwrap();
        let run = |args: &[&str]| {
            let output = Command::new("sh").arg(&script).args(args).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
        };
        let ours = "cc -target aarch64-macos.11.0-none -fno-sanitize=undefined";
        assert_eq!(
            run(&["-O2", "--target=arm64-apple-macosx", "-arch", "arm64", "-isysroot", "/s", "-c", "a b.c", "-o", "x"]),
            format!("{ours} -O2 -c a b.c -o x")
        );
        assert_eq!(run(&["-mmacosx-version-min=11.0", "-target", "x", "-E"]), format!("{ours} -E"));
        assert_eq!(run(&["-c", "--", "a.c"]), format!("{ours} -c a.c"));
        assert_eq!(run(&["-arch"]), ours);
        assert_eq!(run(&[]), ours);
    }
}
