//! Manifests that a program for Windows is to hold. A build script passes one as `/MANIFEST:EMBED` and `/MANIFESTINPUT:FILE`,
//! and lld merges it with its own by `mt.exe` of the SDK. Without that the file goes into the program as it is, as a
//! resource, which is what a merge with nothing is.

use std::ffi::{OsStr, OsString};

use camino::Utf8PathBuf;

use crate::util::error::{Error, Result};
use crate::util::files::{self, PlainFile, SMALL};

/// A linker's arguments without those for manifests, and the manifest.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    args: Vec<OsString>,
    embed: bool,
    inputs: Vec<Utf8PathBuf>,
}

impl Asked {
    fn of(args: &[OsString]) -> Self {
        let mut asked = Self::default();
        for arg in args {
            if let Some(file) = option(arg, "manifestinput:") {
                asked.inputs.push(file.trim_matches('"').into());
            } else if option(arg, "manifest:embed").is_some() {
                asked.embed = true;
            } else {
                asked.args.push(arg.clone());
            }
        }
        asked
    }
}

/// What follows the name of an option, which may begin with a slash or a dash, in letters of any case.
fn option<'a>(arg: &'a OsStr, name: &str) -> Option<&'a str> {
    let arg = arg.to_str()?.strip_prefix(['/', '-'])?;
    let (start, rest) = arg.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(rest)
}

/// The arguments with a resource in place of a manifest that is to be merged.
///
/// # Errors
/// There are several manifests, or one cannot be read.
pub(super) fn embedded(args: &[OsString]) -> Result<Vec<OsString>> {
    let asked = Asked::of(args);
    let output = args.iter().find_map(|arg| option(arg, "out:"));
    let (Some(output), true) = (output, asked.embed) else { return Ok(args.to_vec()) };
    let file = match asked.inputs.as_slice() {
        [] => return Ok(args.to_vec()),
        [file] => file,
        several => {
            let names = several.iter().map(Utf8PathBuf::to_string).collect::<Vec<_>>().join(", ");
            return Err(Error::work(format!("cannot merge several manifests: {names}"))
                .hint("pass one manifest only (`/MANIFESTINPUT`)"));
        }
    };
    let unreadable = |error| Error::work(format!("could not read the manifest `{file}`")).because(error);
    let manifest = PlainFile::open(file, SMALL).and_then(|file| file.read()).map_err(unreadable)?;
    let resource = Utf8PathBuf::from(format!("{output}.manifest.res"));
    files::replace(&resource, resource_file(&manifest, is_dll(args)))?;
    let mut args = asked.args;
    args.extend(["/MANIFEST:NO".into(), resource.into_string().into()]);
    Ok(args)
}

fn is_dll(args: &[OsString]) -> bool {
    args.iter().any(|arg| option(arg, "dll").is_some_and(str::is_empty))
}

/// A file of resources with one manifest.
/// Its form: <https://learn.microsoft.com/windows/win32/menurc/resource-file-formats>.
fn resource_file(manifest: &[u8], dll: bool) -> Vec<u8> {
    const MANIFEST: u16 = 24;
    const ENGLISH: u16 = 0x409;
    // A program's manifest has the number 1, a DLL's 2.
    let number: u16 = if dll { 2 } else { 1 };
    let mut file = header(0, 0, 0, 0);
    file.extend(header(manifest.len(), MANIFEST, number, ENGLISH));
    file.extend(manifest);
    file.resize(file.len().next_multiple_of(4), 0);
    file
}

/// The header of a resource whose type and name are numbers.
fn header(size: usize, kind: u16, name: u16, language: u16) -> Vec<u8> {
    const SIZE: u32 = 32;
    const IS_NUMBER: u16 = 0xFFFF;
    const MOVABLE: u16 = 0x30;
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    let mut bytes = [size.to_le_bytes(), SIZE.to_le_bytes()].concat();
    bytes.extend([IS_NUMBER, kind, IS_NUMBER, name].into_iter().flat_map(u16::to_le_bytes));
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend([if kind == 0 { 0 } else { MOVABLE }, language].into_iter().flat_map(u16::to_le_bytes));
    bytes.extend([0; 8]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_manifest_becomes_a_resource() {
        let held = tempfile::tempdir().unwrap();
        let dir = camino::Utf8Path::from_path(held.path()).unwrap();
        let (manifest, output) = (dir.join("app.xml"), dir.join("app.exe"));
        fs_err::write(&manifest, "<assembly/>").unwrap();
        let line = format!("-flavor link /OUT:{output} /MANIFEST:EMBED /manifestinput:{manifest} /WX a.o");
        let made = embedded(&args(&line)).unwrap();
        assert_eq!(made, args(&format!("-flavor link /OUT:{output} /WX a.o /MANIFEST:NO {output}.manifest.res")));
        let bytes = fs_err::read(format!("{output}.manifest.res")).unwrap();
        assert_eq!((bytes.len(), &bytes[64..75]), (76, &b"<assembly/>"[..]));
        let again = format!("{line} /MANIFESTINPUT:{manifest}");
        assert!(embedded(&args(&again)).unwrap_err().to_string().contains("several manifests"));
        assert!(embedded(&args("/OUT:a.exe /MANIFEST:EMBED /MANIFESTINPUT:none.xml")).is_err());
    }

    #[test]
    fn other_links_stay_as_they_are() {
        for line in
            ["a.o /OUT:a.exe", "/OUT:a /MANIFEST:EMBED a.o", "/OUT:a /MANIFESTINPUT:a.xml a.o", "/MANIFEST:NO", ""]
        {
            assert_eq!(embedded(&args(line)).unwrap(), args(line));
        }
    }
}
