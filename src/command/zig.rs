//! zig behind convoy's wrapper scripts.

use cargo_zigbuild::Zig;

use crate::error::{Error, Exit, Result};

/// Runs zig in the place of a compiler or linker.
pub(super) fn zig(mut zig: Zig) -> Result<Exit> {
    if let Zig::Cc { args } | Zig::Cxx { args } = &mut zig {
        end_of_options(args);
    }
    zig.execute().map_err(|error| Error::work(format!("{error:#}")))?;
    Ok(Exit::Success)
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
