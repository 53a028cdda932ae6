//! Wrappers as cargo and build scripts start them: by their path, by their name on PATH, and where no first line of a
//! script can name convoy.

use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::support::{tool, workspace};
use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::build::wrapper::file::Place;
use cargo_convoy::build::wrapper::{Driver, Headers, Start, Wrapper};
use cargo_convoy::verify::link;

/// One at a time: a process that another test starts inherits, for a moment, the open file of a wrapper that is being
/// written, and Linux starts no file that is open for writing.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const CONVOY: &str = env!("CARGO_BIN_EXE_cargo-convoy");

/// convoy at another path.
fn convoy_at(dir: &Utf8Path) -> Utf8PathBuf {
    fs_err::create_dir_all(dir).unwrap();
    let path = dir.join("cargo-convoy");
    if fs_err::hard_link(CONVOY, &path).is_err() {
        fs_err::copy(CONVOY, &path).unwrap();
    }
    path
}

/// A compiler that tells its arguments and two variables, and ends with the exit code 7.
fn teller(dir: &Utf8Path) -> Wrapper {
    Wrapper {
        before: ["-c", "printf '%s\\n' \"$A\" \"$CPLUS_INCLUDE_PATH\" \"$@\"; exit 7", "sh", "--sysroot=/a b"]
            .map(str::to_owned)
            .to_vec(),
        after: vec!["-L'lib".to_owned()],
        headers: Headers { c: vec!["-idirafter".to_owned()], cxx: vec!["/c++".into()] },
        env: [("A".to_owned(), "a \"value\"".to_owned())].into(),
        ..Wrapper::of(Start::Tool { path: dir.join("it's a shell") })
    }
}

fn told(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

const WANTED: &str = "a \"value\"\n/own:/c++\n--sysroot=/a b\nwrapper\na \"b\" c\n-idirafter\n-L'lib\n";

/// Writes a wrapper for convoy at a path, and starts it in all ways. Gives its first bytes.
fn try_with(convoy: &Utf8Path, dir: &Utf8Path) -> Vec<u8> {
    fs_err::create_dir_all(dir).unwrap();
    let shell = dir.join("it's a shell");
    if !shell.exists() {
        fs_err::os::unix::fs::symlink("/bin/sh", &shell).unwrap();
    }
    let path = teller(dir).write(dir, "x-gcc", Place::Machine(convoy)).unwrap();
    // The first argument is the word by which convoy itself would be asked for a wrapper.
    let run = |command: &mut Command| {
        command.args(["wrapper", "a \"b\" c"]).env("CPLUS_INCLUDE_PATH", "/own").output().unwrap()
    };
    assert_eq!(told(&run(&mut Command::new(&path))), WANTED);
    assert_eq!(told(&run(Command::new("x-gcc").env("PATH", dir))), WANTED);
    assert_eq!(told(&run(Command::new("./x-gcc").current_dir(dir))), WANTED);

    let copied = dir.join("linked");
    let start =
        Start::Recording { convoy: convoy.to_owned(), linker: tool("cp"), target: "aarch64-x".to_owned(), mingw: None };
    let recording = Wrapper::of(start).write(dir, "x-recording-gcc", Place::Machine(convoy)).unwrap();
    assert_ne!(fs_err::read(&recording).unwrap(), fs_err::read(&path).unwrap());
    // cp in place of a linker: it does what it is told, and has no `-o`.
    let done = Command::new(&recording).args([shell.as_str(), copied.as_str()]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    assert!(copied.is_file());
    let failed = Command::new(&recording).args(["-o", copied.as_str()]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert_eq!(link::record_for(&copied), None);

    let zig = Wrapper::of(Start::Zigbuild { convoy: convoy.to_owned(), driver: Driver::C });
    let zig = Wrapper { env: [("CARGO_ZIGBUILD_ZIG_COMMAND".to_owned(), tool("echo").into_string())].into(), ..zig };
    let zig = Wrapper { before: ["-target", "x86_64-linux-musl"].map(str::to_owned).to_vec(), ..zig };
    let mut env = zig.env.clone();
    for (name, value) in [("CARGO_ZIGBUILD_ZIG_VERSION", "0.15.1"), ("CARGO_ZIGBUILD_RUSTC_VERSION", "1.91.0")] {
        env.insert(name.to_owned(), value.to_owned());
    }
    let zig = Wrapper { env, ..zig }.write(dir, "x-zig", Place::Machine(convoy)).unwrap();
    let done = Command::new(&zig).args(["-c", "a b.c"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "cc -target x86_64-linux-musl -c a b.c\n", "{done:?}");
    fs_err::read(&path).unwrap()[..2].to_vec()
}

#[test]
fn a_wrapper_is_a_text_that_names_convoy() {
    let _alone = alone();
    let dir = workspace("wrapper-text");
    // A path that is short, wherever the tests are.
    let short = tempfile::tempdir().unwrap();
    let convoy = convoy_at(Utf8Path::from_path(short.path()).unwrap());
    assert_eq!(try_with(&convoy, &dir.join("with a blank")), b"#!");
}

#[test]
fn where_convoys_path_has_a_blank_the_wrapper_is_a_copy_of_convoy() {
    let _alone = alone();
    let dir = workspace("wrapper-blank");
    let first = try_with(&convoy_at(&dir.join("it's a \"home\"")), &dir);
    assert_ne!(first, b"#!");
}

#[test]
fn where_convoys_path_is_long_the_wrapper_is_a_copy_of_convoy() {
    let _alone = alone();
    let dir = workspace("wrapper-long");
    let convoy = convoy_at(&dir.join("a".repeat(200)).join("b".repeat(100)));
    assert!(convoy.as_str().len() > 255);
    assert_ne!(try_with(&convoy, &dir), b"#!");
}

#[test]
fn what_a_wrapper_cannot_start_is_named() {
    let _alone = alone();
    let dir = workspace("wrapper-missing");
    let missing = Wrapper::of(Start::Tool { path: dir.join("no-gcc") });
    let path = missing.write(&dir, "x-gcc", Place::Machine(CONVOY.into())).unwrap();
    let done = Command::new(&path).output().unwrap();
    assert_eq!(done.status.code(), Some(5), "{done:?}");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.starts_with(&format!("error: could not start `{dir}/no-gcc`\n  cause: ")), "{said}");
}
