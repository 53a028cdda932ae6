//! Real compilers and linkers for the tests.

use std::ffi::OsString;
use std::path::PathBuf;

use camino::Utf8Path;

use crate::support;
pub use crate::support::workspace;

pub const ARM_GCC: &str = "arm-linux-gnueabihf-gcc";
pub const AARCH64_GCC: &str = "aarch64-linux-gnu-gcc";
pub const MINGW_GCC: &str = "x86_64-w64-mingw32-gcc";
pub const HOST_GCC: &str = "gcc";

/// Runs a tool; it must succeed.
#[track_caller]
pub fn run(tool: &str, args: &[&str]) -> String {
    support::run(tool, args).trim().to_owned()
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

/// zig's own binary, which the test has required.
#[track_caller]
pub fn zig() -> String {
    support::zig().into_string()
}

/// Links through the shim; the linker must succeed.
pub fn shim(linker: &str, target: &str, args: &[&str]) {
    let head = ["--linker", linker, "--target", target, "--"];
    let code = cargo_convoy::build::shim::run(head.iter().chain(args).map(OsString::from)).unwrap();
    assert_eq!(code, 0, "{linker} {args:?}");
}
