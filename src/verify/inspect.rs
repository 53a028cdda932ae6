//! Bytes → [`Inspection`], whatever the format.

use object::FileKind;
use object::read::macho::{FatArch, MachOFatFile32, MachOFatFile64};

use super::unreadable::few;
use super::{Inspection, Unreadable, elf, macho, pe, wasm};
use crate::model::architecture::name_of;

/// Reads a binary. Never panics, whatever the bytes.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, Unreadable> {
    if bytes.is_empty() {
        return Err(Unreadable::Empty);
    }
    if let Some(script) = bytes.strip_prefix(b"#!") {
        let line = script.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(&line[..line.len().min(80)]);
        return Err(Unreadable::Script(format!("#!{}", line.trim_end())));
    }
    if bytes.starts_with(b"\0asm") {
        return wasm::inspect(bytes);
    }
    match FileKind::parse(bytes) {
        Ok(FileKind::Elf32) => elf::inspect::<object::elf::FileHeader32<object::Endianness>>(bytes),
        Ok(FileKind::Elf64) => elf::inspect::<object::elf::FileHeader64<object::Endianness>>(bytes),
        Ok(FileKind::Pe32) => pe::inspect::<object::pe::ImageNtHeaders32>(bytes),
        Ok(FileKind::Pe64) => pe::inspect::<object::pe::ImageNtHeaders64>(bytes),
        Ok(FileKind::MachO32) => macho::inspect::<object::macho::MachHeader32<object::Endianness>>(bytes),
        Ok(FileKind::MachO64) => macho::inspect::<object::macho::MachHeader64<object::Endianness>>(bytes),
        Ok(FileKind::MachOFat32) => Err(fat(MachOFatFile32::parse(bytes)?.arches())),
        Ok(FileKind::MachOFat64) => Err(fat(MachOFatFile64::parse(bytes)?.arches())),
        Ok(FileKind::Archive) => Err(Unreadable::Archive),
        Ok(FileKind::Coff | FileKind::CoffBig | FileKind::CoffImport) => Err(Unreadable::Object),
        Ok(kind) => Err(Unreadable::Foreign(format!("{kind:?}"))),
        Err(_) if starts_as_binary(bytes) => Err(Unreadable::Truncated("the file header".to_owned())),
        Err(_) => Err(Unreadable::Foreign("unknown format".to_owned())),
    }
}

/// Whether these are the first bytes of a format whose header is longer.
fn starts_as_binary(bytes: &[u8]) -> bool {
    [&b"\x7fELF"[..], b"MZ", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\0asm"]
        .iter()
        .any(|magic| bytes.starts_with(magic))
}

fn fat(arches: &[impl FatArch]) -> Unreadable {
    if let Err(damage) = few(arches.len(), "slices") {
        return damage;
    }
    Unreadable::Fat(arches.iter().map(|arch| name_of(arch.architecture(), true)).collect())
}
