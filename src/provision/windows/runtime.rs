//! The pieces of a C runtime that are not in Windows, compiled by the rustc that is there for the target.

use std::process::{Command, Stdio};
use std::sync::LazyLock;

use camino::Utf8Path;

use super::import_library::Member;
use crate::machine::Rustc;
use crate::machine::interrupt::Interrupt;
use crate::model::triple::Triple;
use crate::util::error::{Error, Result};
use crate::util::files::sha256;

/// A source, and the words to compile it with. Each becomes a member of its own, so that the linker takes what is asked for.
struct Source {
    name: &'static str,
    text: &'static str,
    cfg: Option<&'static str>,
}

macro_rules! source {
    ($name:literal) => {
        source!($name, $name, None)
    };
    ($name:literal, $file:literal, $cfg:expr) => {
        Source {
            name: $name,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/targets/windows/runtime/", $file, ".rs")),
            cfg: $cfg,
        }
    };
}

const SOURCES: [Source; 19] = [
    source!("main", "entry", Some("entry=\"main\"")),
    source!("wmain", "entry", Some("entry=\"wmain\"")),
    source!("winmain", "entry", Some("entry=\"WinMain\"")),
    source!("wwinmain", "entry", Some("entry=\"wWinMain\"")),
    source!("dll"),
    source!("dll_main"),
    source!("initialize"),
    source!("tls"),
    source!("symbols"),
    source!("stack"),
    source!("cookie"),
    source!("stack_protector"),
    source!("guard"),
    source!("constructors"),
    source!("nan"),
    source!("strtok_r", "posix", Some("function=\"strtok_r\"")),
    source!("mempcpy", "posix", Some("function=\"mempcpy\"")),
    source!("frexpf", "posix", Some("function=\"frexpf\"")),
    source!("hypotf", "posix", Some("function=\"hypotf\"")),
];

/// What compiles each of them; small code that a debugger needs nothing of.
const FLAGS: [&str; 14] = [
    "--edition",
    "2021",
    "--crate-type",
    "lib",
    "--emit",
    "obj",
    "-Copt-level=2",
    "-Cpanic=abort",
    "-Ccodegen-units=1",
    "-Cdebuginfo=0",
    "--cap-lints",
    "allow",
    "--color",
    "never",
];

/// What the sources and the way they are compiled are, in short.
pub(super) fn digest() -> &'static str {
    static DIGEST: LazyLock<String> = LazyLock::new(|| {
        let sources = SOURCES.iter().map(|source| format!("{}\0{}\0{:?}\0", source.name, source.text, source.cfg));
        sha256(format!("{FLAGS:?}{}", sources.collect::<String>()))
    });
    &DIGEST
}

/// Compiles them into a directory.
///
/// # Errors
/// rustc could not do that.
pub(super) fn objects(rustc: &Rustc, triple: &Triple, dir: &Utf8Path, interrupt: &Interrupt) -> Result<Vec<Member>> {
    fs_err::create_dir_all(dir)?;
    let compiler = rustc.sysroot.join("bin").join(format!("rustc{}", std::env::consts::EXE_SUFFIX));
    let compile = |source: &Source| -> Result<Member> {
        let failed = || {
            Error::work(format!("rustc could not compile convoy's start-up code `{}` for {triple}", source.name))
                .hint("use Rust 1.82 or newer")
        };
        let (file, object) = (dir.join(format!("{}.rs", source.name)), dir.join(format!("{}.obj", source.name)));
        fs_err::write(&file, source.text)?;
        let mut command = Command::new(&compiler);
        command.args(FLAGS).args(["--target", triple.as_str(), "--crate-name", source.name]);
        command.args(source.cfg.iter().flat_map(|cfg| ["--cfg", cfg])).arg(&file).arg("-o").arg(&object);
        command.current_dir(dir).stdin(Stdio::null());
        let done = interrupt.output(&mut command)?.map_err(|error| failed().because(error))?;
        if !done.status.success() {
            let complaint = String::from_utf8_lossy(&done.stderr);
            let error = complaint.lines().find(|line| line.starts_with("error")).unwrap_or("it gave no reason");
            return Err(failed().because(error.to_owned()));
        }
        Ok((format!("{}.obj", source.name), fs_err::read(&object)?))
    };
    SOURCES.iter().map(compile).collect()
}
