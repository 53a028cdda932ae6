//! Starting what a wrapper stands for.

use std::ffi::OsString;
use std::process::Command;

use crate::build::shim;
use crate::build::wrapper::call::Call;
use crate::build::wrapper::{CXX_VARIABLE, file};
use crate::util::error::{Error, Result};

/// Does the work of a wrapper, if this process was started as one: the exit code is that of the program behind it. None
/// if it was started as cargo-convoy. `args` begins with the program's name.
///
/// # Errors
/// The wrapper's file cannot be read, or the program behind it cannot be started.
pub(super) fn run(args: &[OsString]) -> Result<Option<i32>> {
    let Some((wrapper, args)) = file::started(args)? else { return Ok(None) };
    match wrapper.call(args, std::env::var_os(CXX_VARIABLE)) {
        Call::Program { program, args, env } => {
            let mut command = Command::new(&program);
            command.args(args).envs(env);
            let failed = |error| Error::work(format!("could not start `{program}`")).because(error);
            replace(&mut command).map(Some).map_err(failed)
        }
        Call::Shim { linker, target, args, mingw } => {
            shim::link(&shim::Call { linker: linker.into(), target: Some(target), args, mingw }).map(Some)
        }
    }
}

/// Puts a program in the place of this process, and comes back only if it cannot be started.
#[cfg(unix)]
fn replace(command: &mut Command) -> std::io::Result<i32> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec())
}

/// A process cannot be replaced here: the program's exit code becomes this one's.
#[cfg(not(unix))]
fn replace(command: &mut Command) -> std::io::Result<i32> {
    Ok(command.status()?.code().unwrap_or(1))
}
