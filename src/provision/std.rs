//! rustup's standard libraries. Toolchains are never updated: only a target or a component of the active one is added.

use crate::machine::interrupt::Interrupt;
use crate::machine::rust_command;
use crate::util::error::{Error, Result};

/// What came of asking rustup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is installed now.
    Yes,
    /// rustup could not; its reason, in one line.
    No(String),
}

/// `rustup target add` for the active toolchain.
pub(crate) fn add_target(toolchain: &str, triple: &str, interrupt: &Interrupt) -> Result<Added> {
    rustup(interrupt, &["target", "add", "--toolchain", toolchain, triple])
}

/// `rustup component add` for the active toolchain.
pub(crate) fn add_component(toolchain: &str, component: &str, interrupt: &Interrupt) -> Result<Added> {
    rustup(interrupt, &["component", "add", "--toolchain", toolchain, component])
}

fn rustup(interrupt: &Interrupt, args: &[&str]) -> Result<Added> {
    let done = interrupt
        .output(rust_command("rustup").args(args))?
        .map_err(|error| Error::work("could not start `rustup`").because(error))?;
    if done.status.success() {
        return Ok(Added::Yes);
    }
    let text = String::from_utf8_lossy(&done.stderr);
    let reason = text
        .lines()
        .rev()
        .map(str::trim)
        .find_map(|line| line.strip_prefix("error: "))
        .unwrap_or("rustup gave no reason");
    // rustup's causes hold addresses and paths; the first clause tells enough.
    Ok(Added::No(reason.split(": http").next().unwrap_or(reason).trim_end_matches([':', ' ']).to_owned()))
}
