//! zig behind convoy's wrappers.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use camino::Utf8Path;
use cargo_zigbuild::Zig;

use crate::machine::interrupt::Interrupt;
use crate::provision::mingw::{self, Linked, Runtime};
use crate::util::error::{Error, Exit, Result};

/// Runs zig in the place of a compiler or linker.
pub(super) fn zig(mut zig: Zig) -> Result<Exit> {
    if let Zig::Cc { args } | Zig::Cxx { args } = &mut zig {
        end_of_options(args);
    }
    if let (Zig::Cc { args }, Some(runtime)) = (&zig, runtime())
        && let Some(exit) = link_with(&runtime, args)?
    {
        return Ok(exit);
    }
    zig.execute().map_err(|error| Error::work(format!("{error:#}")))?;
    Ok(Exit::Success)
}

/// The MinGW runtime that the wrapper names.
fn runtime() -> Option<Runtime> {
    let dir = std::env::var(mingw::VARIABLE).ok()?;
    let zig = std::env::var("CARGO_ZIGBUILD_ZIG_COMMAND").ok()?;
    Some(Runtime::at(Utf8Path::new(&dir), Utf8Path::new(&zig))).filter(Runtime::is_ready)
}

/// Links against the part of MinGW's runtime that is compiled, and compiles what is missing of it. None where zig is to
/// link in its own way.
fn link_with(runtime: &Runtime, args: &[String]) -> Result<Option<Exit>> {
    match runtime.link(&Interrupt::default(), || link_once(runtime, args))? {
        Linked::Unsettled(_) => Ok(None),
        Linked::Ended(done) => {
            show(&done);
            Ok(Some(if done.status.success() { Exit::Success } else { Exit::BuildFailed }))
        }
    }
}

/// One try, in a process of its own: cargo-zigbuild ends the process when zig fails.
fn link_once(runtime: &Runtime, args: &[String]) -> Result<Output> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["zig", "cc", "--"]).args(args).args(Runtime::link_words());
    command.env("ZIG_LIBC", runtime.libc_file()).env_remove(mingw::VARIABLE).stdin(Stdio::null());
    command.output().map_err(|error| Error::work("could not start zig").because(error))
}

fn show(done: &Output) {
    // A linker whose words nobody reads has still linked.
    let _ = std::io::stdout().write_all(&done.stdout);
    let _ = std::io::stderr().write_all(&done.stderr);
}

/// zig refuses the `--` that some versions of the `cc` crate put between options and files
/// (<https://github.com/ziglang/zig/issues/14837>).
fn end_of_options(args: &mut Vec<String>) {
    let Some(end) = args.iter().position(|arg| arg == "--") else { return };
    args.remove(end);
    for file in args[end..].iter_mut().filter(|file| file.starts_with('-')) {
        file.insert_str(0, "./");
    }
}

#[cfg(test)]
mod tests {
    use super::end_of_options;

    #[test]
    fn what_follows_the_end_of_options_are_files() {
        let ended = |args: &[&str]| {
            let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            end_of_options(&mut args);
            args.join(" ")
        };
        assert_eq!(ended(&["-O2", "-c", "--", "a.c", "-b.c"]), "-O2 -c a.c ./-b.c");
        assert_eq!(ended(&["-c", "a.c"]), "-c a.c");
        assert_eq!(ended(&["-c", "a.c", "--"]), "-c a.c");
    }
}
