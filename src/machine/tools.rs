//! Finding and starting this machine's tools.

use std::ffi::OsStr;
use std::process::Command;

use camino::Utf8PathBuf;

/// An executable on PATH.
pub(crate) fn on_path(name: &str) -> Option<Utf8PathBuf> {
    Utf8PathBuf::from_path_buf(which::which(name).ok()?).ok()
}

/// A command that may be one of rustup's proxies, or start one: it must not install the toolchain that a project names.
pub(crate) fn rust_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("RUSTUP_AUTO_INSTALL", "0");
    command
}

/// The cargo that started us, so that the toolchain stays the one that was asked for.
pub(crate) fn cargo_command() -> Command {
    rust_command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
