//! Trying compilers: a line is compiled and linked, and the bytes that come out are read.

use std::process::Command;

use camino::Utf8Path;
use object::{Architecture, BinaryFormat, Object};

use super::ask::output;
use crate::model::architecture::name_of;
use crate::model::catalog::{Format, Target};

/// The language of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    C,
    Cxx,
}

/// Why a gcc-like compiler does not serve a target; none where it does. `target` is none for this machine itself.
pub(super) fn fault(compiler: &Utf8Path, language: Language, target: Option<&Target>) -> Option<String> {
    attempt(compiler, language, target).err()
}

fn attempt(compiler: &Utf8Path, language: Language, target: Option<&Target>) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| format!("could not create a temporary directory: {error}"))?;
    let (name, text) = match language {
        Language::C => ("trial.c", "int main(void) { return 0; }\n"),
        Language::Cxx => ("trial.cpp", "#include <string>\nint main() { return std::string().size(); }\n"),
    };
    let source = folder.path().join(name);
    let object = folder.path().join("trial.o");
    let program = folder.path().join("trial");
    fs_err::write(&source, text).map_err(|error| error.to_string())?;
    let run = |step: &str, command: &mut Command| match output(command) {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().find(|line| line.contains("error")).or(text.lines().next()).unwrap_or_default();
            Err(format!("`{compiler}` cannot {step} a trivial program: {}", line.trim()))
        }
    };
    run("compile", Command::new(compiler).arg("-c").arg(&source).arg("-o").arg(&object))?;
    if let Some(target) = target {
        let bytes = fs_err::read(&object).map_err(|_| format!("`{compiler}` wrote no object file"))?;
        let made =
            object::File::parse(&*bytes).map(|file| (file.format(), file.architecture(), file.is_little_endian()));
        let right = made.is_ok_and(|(format, arch, little)| is_for(target, format, arch, little));
        if !right {
            return Err(match made {
                Ok((format, arch, _)) => {
                    format!("`{compiler}` generates object files for another target ({format:?}, {arch:?})")
                }
                Err(_) => format!("`{compiler}` generates object files in an unknown format"),
            });
        }
    }
    run("link", Command::new(compiler).arg(&object).arg("-o").arg(&program))
}

fn is_for(target: &Target, format: BinaryFormat, architecture: Architecture, little_endian: bool) -> bool {
    let format_right = match target.expect.format {
        Format::Elf => format == BinaryFormat::Elf,
        Format::Pe => format == BinaryFormat::Coff,
        Format::MachO => format == BinaryFormat::MachO,
        Format::Wasm => format == BinaryFormat::Wasm,
    };
    format_right && name_of(architecture, little_endian) == target.expect.arch
}
