//! Import libraries: archives that name what a DLL exports, and hold no code.

use std::io::Cursor;

use ar_archive_writer::{
    ArchiveKind, COFFShortExport, DEFAULT_OBJECT_READER, MachineTypes, NewArchiveMember, ObjectReader,
    write_archive_to_stream, write_import_library,
};
use camino::Utf8Path;
use object::read::archive::ArchiveFile;

use crate::model::windows::Library;
use crate::util::error::{Error, Result};

/// An archive without a member.
pub(super) const EMPTY: &[u8] = b"!<arch>\n";

/// A member of an archive: its name, and its bytes.
pub(super) type Member = (String, Vec<u8>);

/// What makes an import library for these DLLs on an architecture.
///
/// # Errors
/// The architecture is none that Windows has.
pub(super) fn members(libraries: &[&Library], architecture: &str) -> Result<Vec<Member>, String> {
    let machine = match architecture {
        "x86_64" => MachineTypes::AMD64,
        "aarch64" => MachineTypes::ARM64,
        "x86" => MachineTypes::I386,
        other => return Err(format!("Windows does not run on {other}")),
    };
    let mut members = Vec::new();
    for library in libraries {
        let exports: Vec<COFFShortExport> = library
            .exports
            .iter()
            .filter(|export| export.is_on(architecture))
            .map(|export| COFFShortExport {
                name: export.symbol(architecture),
                ext_name: None,
                symbol_name: None,
                import_name: export.ordinal.is_none().then(|| export.exported_name().to_owned()),
                export_as: None,
                ordinal: export.ordinal.unwrap_or(0),
                noname: export.ordinal.is_some(),
                data: export.data,
                private: false,
                constant: false,
            })
            .collect();
        if exports.is_empty() {
            continue;
        }
        let mut bytes = Cursor::new(Vec::new());
        write_import_library(&mut bytes, library.dll, &exports, machine, false, false, &[])
            .map_err(|error| format!("{}: {error}", library.dll))?;
        let bytes = bytes.into_inner();
        let archive = ArchiveFile::parse(&*bytes).map_err(|error| error.to_string())?;
        for member in archive.members() {
            let member = member.map_err(|error| error.to_string())?;
            let data = member.data(&*bytes).map_err(|error| error.to_string())?;
            members.push((String::from_utf8_lossy(member.name()).into_owned(), data.to_vec()));
        }
    }
    Ok(members)
}

/// Writes an archive with its table of symbols.
pub(super) fn write(path: &Utf8Path, members: Vec<Member>) -> Result<()> {
    let members: Vec<NewArchiveMember<'_>> =
        members.into_iter().map(|(name, bytes)| NewArchiveMember::new(bytes, &READER, name)).collect();
    let mut archive = Cursor::new(Vec::new());
    write_archive_to_stream(&mut archive, &members, ArchiveKind::Coff, false, Some(false))
        .map_err(|error| Error::work(format!("could not write {path}")).because(error))?;
    fs_err::write(path, archive.into_inner())?;
    Ok(())
}

/// Objects, and what import libraries have in place of objects.
static READER: ObjectReader = ObjectReader { get_symbols, ..DEFAULT_OBJECT_READER };

fn get_symbols(bytes: &[u8], add: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<bool> {
    match short_import(bytes) {
        Some((symbol, is_data)) => {
            add(&[b"__imp_", symbol].concat())?;
            if !is_data {
                add(symbol)?;
            }
            Ok(true)
        }
        None => (DEFAULT_OBJECT_READER.get_symbols)(bytes, add),
    }
}

/// The symbol of a short import, and whether it is data.
/// Its form: <https://learn.microsoft.com/windows/win32/debug/pe-format#import-library-format>.
fn short_import(bytes: &[u8]) -> Option<(&[u8], bool)> {
    const SIGNATURE: [u8; 4] = [0, 0, 0xFF, 0xFF];
    const HEADER: usize = 20;
    let rest = bytes.strip_prefix(&SIGNATURE)?;
    let kind = rest.get(HEADER - 6)? & 0b11;
    let symbol = bytes.get(HEADER..)?.split(|byte| *byte == 0).next()?;
    Some((symbol, kind == 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::windows::Windows;

    fn symbols(name: &str, architecture: &str) -> Vec<String> {
        let windows = Windows::embedded();
        let (_, parts) = windows.import_libraries().find(|(other, _)| *other == name).unwrap();
        let held = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(held.path()).unwrap().join("x.lib");
        write(&path, members(&parts, architecture).unwrap()).unwrap();
        let bytes = fs_err::read(&path).unwrap();
        let archive = ArchiveFile::parse(&*bytes).unwrap();
        let symbols = archive.symbols().unwrap().unwrap();
        symbols.map(|symbol| String::from_utf8_lossy(symbol.unwrap().name()).into_owned()).collect()
    }

    #[test]
    fn functions_and_data_have_the_symbols_of_their_architecture() {
        for (architecture, symbol) in
            [("x86_64", "CreateFileW"), ("aarch64", "CreateFileW"), ("x86", "_CreateFileW@28")]
        {
            let symbols = symbols("kernel32", architecture);
            assert!(symbols.contains(&symbol.to_owned()), "{architecture}");
            assert!(symbols.contains(&format!("__imp_{symbol}")), "{architecture}");
            assert!(symbols.contains(&"__IMPORT_DESCRIPTOR_KERNEL32".to_owned()));
        }
        let data = "__dcrt_initial_narrow_environment";
        let private = symbols("api-ms-win-crt-private-l1-1-0", "x86_64");
        assert!(private.contains(&format!("__imp_{data}")) && !private.contains(&data.to_owned()));
    }

    #[test]
    fn a_collection_leads_to_each_of_its_dlls() {
        let symbols = symbols("runtimeobject", "x86_64");
        for symbol in ["RoInitialize", "WindowsCreateString", "RoOriginateError"] {
            assert!(symbols.contains(&symbol.to_owned()), "{symbol}");
        }
        assert!(members(&[], "s390x").is_err());
    }
}
