//! What a test needs beyond Rust and a C compiler. A test says it first: `require!(Zig, Target(MUSL))`.
//!
//! What is missing ends the test with one line on standard error. With `CONVOY_TEST_REQUIRE=all`, which `ci/test` sets, the
//! test fails instead: a check that was not made must not look like a check that passed.

use std::fmt;
use std::io::Write as _;
use std::sync::LazyLock;

use camino::{Utf8Path, Utf8PathBuf};

use super::environment;

/// What some machines do not have.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// A program on PATH.
    Tool(&'static str),
    /// rustup's standard library for a target.
    Target(&'static str),
    /// The source of the standard library.
    RustSource,
    /// zig, wherever [`find_zig`] finds it.
    Zig,
    /// The right to mount a file system, at least in a namespace.
    Mount,
    /// The registry of crates, or an archive of Debian. Nothing is asked of them to find out.
    Network,
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            Self::Tool(name) => which::which(name).is_ok(),
            Self::Target(triple) => {
                let files = rustlib().join(triple).join("lib").read_dir_utf8();
                files
                    .is_ok_and(|mut files| files.any(|file| file.is_ok_and(|it| it.file_name().starts_with("libstd-"))))
            }
            Self::RustSource => rustlib().join("src/rust/library").is_dir(),
            Self::Zig => find_zig().is_some(),
            Self::Mount => {
                let mount = format!("mount -t tmpfs tmpfs '{}'", environment::scratch());
                let trial = environment::command("unshare").args([namespace(), "sh", "-c", &mount]).output();
                trial.is_ok_and(|trial| trial.status.success())
            }
            Self::Network => all_is_required() || std::env::var_os("CONVOY_TEST_NETWORK").is_some_and(|it| it == "1"),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool("rustup") => write!(f, "`rustup` (see https://rustup.rs)"),
            Self::Tool(name) => write!(f, "`{name}` (run `ci/setup`)"),
            Self::Target(triple) => write!(f, "the standard library for {triple} (run `rustup target add {triple}`)"),
            Self::RustSource => write!(f, "the source of std (run `rustup component add rust-src`)"),
            Self::Zig => write!(f, "zig (set `CONVOY_TEST_ZIG`, or put `zig` on PATH)"),
            Self::Mount => write!(f, "the right to mount (run the tests as root, or allow user namespaces)"),
            Self::Network => write!(f, "a network (set `CONVOY_TEST_NETWORK=1`)"),
        }
    }
}

/// Ends the test if something that it needs is missing.
#[allow(unused_macros, reason = "some test programs need nothing")]
macro_rules! require {
    ($($need:expr),+ $(,)?) => {{
        #[allow(unused_imports)]
        use $crate::support::needs::Need::*;
        if !$crate::support::needs::are_met(&[$($need),+]) {
            return;
        }
    }};
}
#[allow(unused_imports, reason = "as above")]
pub(crate) use require;

/// Whether all is here; says what is not, or fails.
#[track_caller]
pub fn are_met(needs: &[Need]) -> bool {
    let missing: Vec<String> = needs.iter().filter(|need| !need.is_met()).map(Need::to_string).collect();
    missing.is_empty() || or_skip::<()>(Err(missing.join(", "))).is_some()
}

/// Gives what was found. What was not found (the error says what is needed) skips the test, or fails it.
#[track_caller]
pub fn or_skip<T>(found: Result<T, String>) -> Option<T> {
    let missing = match found {
        Ok(found) => return Some(found),
        Err(missing) => missing,
    };
    assert!(!all_is_required(), "this test needs {missing}, and CONVOY_TEST_REQUIRE asks for all tests");
    skip(&missing);
    None
}

/// Says that the test, or a part of it, is skipped.
pub fn skip(missing: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    // Not by `eprintln!`, which a passing test's runner keeps to itself. In one piece, as other tests write, too.
    let line = format!("skipped {}::{test}: needs {missing}\n", program());
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Whether a missing tool is a failure.
pub fn all_is_required() -> bool {
    match std::env::var("CONVOY_TEST_REQUIRE").unwrap_or_default().as_str() {
        "all" => true,
        "" => false,
        other => panic!("CONVOY_TEST_REQUIRE is `{other}`, and must be `all` or empty"),
    }
}

/// The name of the test program.
pub fn program() -> String {
    let program = std::env::current_exe().unwrap();
    let program = program.file_stem().unwrap().to_string_lossy().into_owned();
    program.rsplit_once('-').map_or(program.as_str(), |(name, _)| name).to_owned()
}

/// zig's own binary: named by `CONVOY_TEST_ZIG`, on PATH, in the person's cache of convoy, or in the `ziglang` wheel.
pub fn find_zig() -> Option<Utf8PathBuf> {
    static ZIG: LazyLock<Option<Utf8PathBuf>> = LazyLock::new(|| {
        let named = std::env::var_os("CONVOY_TEST_ZIG").filter(|zig| !zig.is_empty());
        if let Some(zig) = named.map(Into::into).or_else(|| which::which("zig").ok()) {
            return Some(Utf8PathBuf::from_path_buf(zig).unwrap());
        }
        // Looked at and not used: what is known of it is written down in a cache.
        let own = cargo_convoy::machine::CacheDir::find().ok()?.root().join("zig");
        let zig = own.join(cargo_convoy::model::zig::version()).join("ziglang/zig");
        if zig.is_file() {
            return Some(zig);
        }
        cargo_convoy::machine::zig::in_wheel(&environment::convoy_cache(), environment::scratch())
    });
    ZIG.clone()
}

/// What gives `unshare` a place to mount in: root, or user namespaces.
pub fn namespace() -> &'static str {
    if rustix::process::geteuid().is_root() { "-m" } else { "-rm" }
}

/// rustc's directory of targets.
fn rustlib() -> &'static Utf8Path {
    static RUSTLIB: LazyLock<Utf8PathBuf> = LazyLock::new(|| {
        // Not by `environment::command`, which asks for zig.
        let output = std::process::Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
        let sysroot = String::from_utf8(output.stdout).unwrap();
        Utf8Path::new(sysroot.trim_end()).join("lib/rustlib")
    });
    &RUSTLIB
}
