//! Real compilers and linkers for the tests. A missing one fails the test with its name: a check that was not made must
//! not look like a check that passed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

pub const ARM_GCC: &str = "arm-linux-gnueabihf-gcc";
pub const AARCH64_GCC: &str = "aarch64-linux-gnu-gcc";
pub const MINGW_GCC: &str = "x86_64-w64-mingw32-gcc";
pub const HOST_GCC: &str = "gcc";

/// A folder of one test, emptied first.
pub fn workspace(name: &str) -> Utf8PathBuf {
    let dir = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join("verify").join(name);
    let _ = fs_err::remove_dir_all(&dir);
    fs_err::create_dir_all(&dir).unwrap();
    dir
}

/// Runs a tool; it must succeed.
pub fn run(tool: &str, args: &[&str]) -> String {
    let output = Command::new(tool)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("`{tool}` is needed by this test and cannot be started: {error}"));
    assert!(output.status.success(), "{tool} {args:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Compiles C text to an object.
pub fn object(dir: &Utf8Path, compiler: &[&str], flags: &[&str], name: &str, text: &str) -> String {
    let source = dir.join(format!("{name}.c"));
    let object = dir.join(format!("{name}.o"));
    fs_err::write(&source, text).unwrap();
    let mut args = compiler[1..].to_vec();
    args.extend(flags);
    args.extend(["-c", source.as_str(), "-o", object.as_str()]);
    run(compiler[0], &args);
    object.into_string()
}

/// rustup's lld.
pub fn rust_lld() -> String {
    let sysroot = run("rustc", &["--print", "sysroot"]);
    let version = run("rustc", &["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let lld = PathBuf::from(sysroot).join("lib/rustlib").join(host).join("bin/rust-lld");
    assert!(lld.is_file(), "`{}` is needed by this test and is not there", lld.display());
    lld.into_os_string().into_string().unwrap()
}

/// zig's own binary: named by `CONVOY_TEST_ZIG`, on PATH, or in the `ziglang` wheel.
pub fn zig() -> String {
    if let Ok(zig) = std::env::var("CONVOY_TEST_ZIG") {
        return zig;
    }
    if Command::new("zig").arg("version").output().is_ok_and(|output| output.status.success()) {
        return "zig".to_owned();
    }
    let find = "import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), 'zig'))";
    match Command::new("python3").args(["-c", find]).output() {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).unwrap().trim().to_owned(),
        _ => {
            panic!("`zig` is needed by this test: set CONVOY_TEST_ZIG, put zig on PATH, or install the `ziglang` wheel")
        }
    }
}

/// Links through the shim; the linker must succeed.
pub fn shim(linker: &str, target: &str, args: &[&str]) {
    let head = ["--linker", linker, "--target", target, "--"];
    let code = cargo_convoy::build::shim::run(head.iter().chain(args).map(OsString::from)).unwrap();
    assert_eq!(code, 0, "{linker} {args:?}");
}
