//! Reading ELF.

use std::collections::BTreeMap;

use object::Object as _;
use object::elf::{self, DT_FLAGS_1, DT_NEEDED, DT_NULL, DT_SONAME, ET_CORE, ET_DYN, ET_EXEC, ET_REL, PT_LOAD};
use object::endian::Endianness;
use object::read::elf::{Dyn as _, ElfFile, FileHeader, ProgramHeader as _, SectionHeader as _, Sym as _};

use super::inspection::arch_name;
use super::unreadable::inside;
use super::{Elf, Facts, Inspection, Kind, Linkage, UndefinedSymbol, Unreadable, VersionNeed, arm};
use crate::catalog::{FloatAbi, Glibc};
use crate::link::ArmAttributes;

/// No real program asks for more symbol versions; a damaged table can pretend to have billions.
const MAX_VERSIONS: usize = 1 << 16;

/// How often all names may be as long as the file: symbols share strings, but a damaged table can share one long string
/// a million times.
const SHARED_NAMES: usize = 16;

pub(super) fn inspect<E: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<Inspection, Unreadable> {
    refuse_truncated::<E>(bytes)?;
    let file = ElfFile::<E>::parse(bytes)?;
    let (header, endian) = (file.elf_header(), file.endian());
    match header.e_type(endian) {
        ET_EXEC | ET_DYN => {}
        ET_REL => return Err(Unreadable::Object),
        ET_CORE => return Err(Unreadable::Foreign("a core dump".to_owned())),
        other => return Err(Unreadable::Foreign(format!("ELF of type {}", other.0))),
    }

    let dynamic = Dynamic::read(&file)?;
    let interpreter = interpreter(&file)?;
    let linkage = if interpreter.is_some() || !dynamic.needed.is_empty() { Linkage::Dynamic } else { Linkage::Static };
    let kind = match header.e_type(endian) {
        ET_EXEC => Kind::Executable,
        // A shared library may have an interpreter (libc.so.6 does), but then it also has a name.
        _ if dynamic.pie || (interpreter.is_some() && !dynamic.has_soname) => Kind::Pie,
        _ => Kind::SharedLibrary,
    };
    let (versions, undefined) = wanted(&file)?;
    let comment = comment(&file);
    let arch = file.architecture();
    let arm = match arch {
        object::Architecture::Arm => ArmAttributes::of_elf(header, bytes)?,
        _ => None,
    };
    let float_abi = match arch {
        object::Architecture::Arm => {
            arm.and_then(|arm| arm.float_abi()).or_else(|| float_abi(header.e_flags(endian).0))
        }
        _ => None,
    };
    Ok(Inspection {
        arch: arch_name(arch, header.is_little_endian()),
        bits: if header.is_class_64() { 64 } else { 32 },
        kind,
        linkage,
        linker: comment.as_deref().and_then(linker),
        stripped: file.elf_symbol_table().is_empty(),
        needed: dynamic.needed,
        cpu: arm.and_then(|arm| arm::cpu_text(&arm, float_abi)),
        facts: Facts::Elf(Elf {
            interpreter,
            glibc: highest_glibc(&versions),
            versions,
            undefined,
            load_alignment: load_alignment(&file),
            arm,
            float_abi,
            comment: comment.is_some(),
            section_headers: !file.elf_section_table().is_empty(),
        }),
    })
}

/// All that the headers announce must be there. `object` reads lazily and would not miss the tail of a file.
fn refuse_truncated<E: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<(), Unreadable> {
    let len = bytes.len();
    inside(len, 0, size_of::<E>() as u64, || "the file header".to_owned())?;
    let header = E::parse(bytes)?;
    let endian = header.endian()?;
    let (phoff, shoff) = (header.e_phoff(endian).into(), header.e_shoff(endian).into());
    let table = |entry: u16, count: u16| u64::from(entry) * u64::from(count);
    inside(len, phoff, table(header.e_phentsize(endian), header.e_phnum(endian)), || "the program headers".to_owned())?;
    inside(len, shoff, table(header.e_shentsize(endian), header.e_shnum(endian)), || "the section headers".to_owned())?;
    for (index, segment) in header.program_headers(endian, bytes)?.iter().enumerate() {
        let (offset, size) = (segment.p_offset(endian).into(), segment.p_filesz(endian).into());
        inside(len, offset, size, || format!("segment {index}"))?;
    }
    for (index, section) in header.section_headers(endian, bytes)?.iter().enumerate() {
        if !matches!(section.sh_type(endian), elf::SHT_NOBITS | elf::SHT_NULL) {
            let (offset, size) = (section.sh_offset(endian).into(), section.sh_size(endian).into());
            inside(len, offset, size, || format!("section {index}"))?;
        }
    }
    Ok(())
}

/// What the dynamic section says, found as the loader finds it: through the program headers.
#[derive(Default)]
struct Dynamic {
    needed: Vec<String>,
    has_soname: bool,
    pie: bool,
}

impl Dynamic {
    fn read<E: FileHeader<Endian = Endianness>>(file: &ElfFile<'_, E>) -> Result<Self, Unreadable> {
        let (endian, data) = (file.endian(), file.data());
        let mut found = Self::default();
        let segments = file.elf_program_headers();
        for segment in segments {
            let Some(entries) = segment.dynamic(endian, data)? else { continue };
            let entries: Vec<(elf::DynamicTag, u64)> = entries
                .iter()
                .map(|entry| (entry.d_tag(endian), entry.d_val(endian).into()))
                .take_while(|(tag, _)| *tag != DT_NULL)
                .collect();
            let strtab = entries.iter().find(|(tag, _)| *tag == elf::DT_STRTAB).map(|(_, address)| *address);
            for (tag, value) in entries {
                match tag {
                    DT_NEEDED => {
                        let name = strtab
                            .and_then(|strtab| strtab.checked_add(value))
                            .and_then(|address| string_at::<E>(segments, endian, data, address))
                            .ok_or_else(|| Unreadable::Damaged("a needed library has no name".to_owned()))?;
                        found.needed.push(name);
                    }
                    DT_SONAME => found.has_soname = true,
                    DT_FLAGS_1 => found.pie = value & elf::DF_1_PIE.0 != 0,
                    _ => {}
                }
            }
        }
        Ok(found)
    }
}

fn string_at<E: FileHeader<Endian = Endianness>>(
    segments: &[E::ProgramHeader],
    endian: Endianness,
    data: &[u8],
    address: u64,
) -> Option<String> {
    let rest = segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD).find_map(|segment| {
        let offset = address.checked_sub(segment.p_vaddr(endian).into())?;
        segment.data(endian, data).ok()?.get(usize::try_from(offset).ok()?..)
    })?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

fn interpreter<E: FileHeader<Endian = Endianness>>(file: &ElfFile<'_, E>) -> Result<Option<String>, Unreadable> {
    for segment in file.elf_program_headers() {
        if let Some(path) = segment.interpreter(file.endian(), file.data())? {
            return Ok(Some(String::from_utf8_lossy(path).into_owned()));
        }
    }
    Ok(None)
}

/// The texts that compilers and linkers left; none without such a section.
fn comment<E: FileHeader<Endian = Endianness>>(file: &ElfFile<'_, E>) -> Option<Vec<String>> {
    let (endian, data) = (file.endian(), file.data());
    let (_, section) = file.elf_section_table().section_by_name(endian, b".comment")?;
    let texts = section.data(endian, data).ok()?.split(|byte| *byte == 0);
    Some(texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect())
}

/// lld and mold sign their work; GNU ld and gold leave nothing there.
fn linker(comment: &[String]) -> Option<String> {
    let signature = comment.iter().find_map(|text| match text.strip_prefix("Linker: ") {
        None if text.starts_with("mold ") => Some(text.as_str()),
        signature => signature,
    })?;
    // What follows in parentheses is the place of the source and its commit.
    Some(signature.split(" (").next().unwrap_or(signature).to_owned())
}

fn load_alignment<E: FileHeader<Endian = Endianness>>(file: &ElfFile<'_, E>) -> Option<u64> {
    let endian = file.endian();
    file.elf_program_headers()
        .iter()
        .filter(|segment| segment.p_type(endian) == PT_LOAD && segment.p_memsz(endian).into() > 0)
        .map(|segment| segment.p_align(endian).into())
        .min()
}

fn float_abi(flags: u32) -> Option<FloatAbi> {
    if flags & elf::EF_ARM_ABI_FLOAT_HARD != 0 {
        Some(FloatAbi::Hard)
    } else if flags & elf::EF_ARM_ABI_FLOAT_SOFT != 0 {
        Some(FloatAbi::Soft)
    } else {
        None
    }
}

/// What the file asks of its libraries: symbol versions and symbols.
fn wanted<E: FileHeader<Endian = Endianness>>(
    file: &ElfFile<'_, E>,
) -> Result<(Vec<VersionNeed>, Vec<UndefinedSymbol>), Unreadable> {
    let (endian, data, sections) = (file.endian(), file.data(), file.elf_section_table());
    // The loader demands every entry; the index only ties symbols to it.
    let (mut versions, mut by_index) = (Vec::new(), BTreeMap::new());
    if let Some((mut needs, strings)) = sections.gnu_verneed(endian, data)? {
        let strings = sections.strings(endian, data, strings)?;
        while let Some((need, mut names)) = needs.next()? {
            let library = String::from_utf8_lossy(need.file(endian, strings)?).into_owned();
            while let Some(version) = names.next()? {
                if versions.len() == MAX_VERSIONS {
                    return Err(Unreadable::Damaged("the table of symbol versions has no end".to_owned()));
                }
                by_index.insert(version.vna_other(endian).index(), versions.len());
                versions.push(VersionNeed {
                    library: library.clone(),
                    version: String::from_utf8_lossy(version.name(endian, strings)?).into_owned(),
                    weak: version.vna_flags.get(endian).contains(elf::VER_FLG_WEAK),
                    symbols: Vec::new(),
                });
            }
        }
    }
    let indices = sections.gnu_versym(endian, data)?.map(|(indices, _)| indices);
    let symbols = file.elf_dynamic_symbol_table();
    let mut undefined = Vec::new();
    let mut budget = data.len().saturating_mul(SHARED_NAMES);
    for (position, symbol) in symbols.iter().enumerate() {
        let index = indices.and_then(|indices| indices.get(position)).map(|index| index.0.get(endian).index());
        let version = index.and_then(|index| by_index.get(&index).copied());
        // One with a library's version is that library's, even where the program holds a copy of it.
        if symbol.is_local() || !(symbol.is_undefined(endian) || version.is_some()) {
            continue;
        }
        let name = symbols.symbol_name(endian, symbol)?;
        budget = budget
            .checked_sub(name.len())
            .ok_or_else(|| Unreadable::Damaged("the table of symbols has no end".to_owned()))?;
        let name = String::from_utf8_lossy(name).into_owned();
        if let Some(version) = version {
            versions[version].symbols.push(name.clone());
        }
        undefined.push(UndefinedSymbol { name, version, weak: symbol.is_weak() });
    }
    Ok((versions, undefined))
}

fn highest_glibc(versions: &[VersionNeed]) -> Option<Glibc> {
    versions.iter().filter(|need| !need.weak).filter_map(|need| glibc_of(&need.version)).max()
}

/// The glibc that first had a symbol version.
pub(super) fn glibc_of(version: &str) -> Option<Glibc> {
    match version.strip_prefix("GLIBC_")? {
        // Not a symbol's version: packed relative relocations, which the loader reads since 2.36.
        "ABI_DT_RELR" => Some(Glibc { major: 2, minor: 36 }),
        number => {
            // 2.2.5 and its like are older than every floor; the patch level decides nothing.
            let mut parts = number.splitn(3, '.');
            format!("{}.{}", parts.next()?, parts.next()?).parse().ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glibc_versions_of_symbols() {
        let glibc = |minor| Some(Glibc { major: 2, minor });
        assert_eq!(glibc_of("GLIBC_2.34"), glibc(34));
        assert_eq!(glibc_of("GLIBC_2.2.5"), glibc(2));
        assert_eq!(glibc_of("GLIBC_ABI_DT_RELR"), glibc(36));
        assert_eq!(glibc_of("GLIBC_PRIVATE"), None);
        assert_eq!(glibc_of("GLIBCXX_3.4.30"), None);
    }

    #[test]
    fn a_weak_version_does_not_raise_the_floor() {
        let need = |version: &str, weak| VersionNeed {
            library: "libc.so.6".to_owned(),
            version: version.to_owned(),
            weak,
            symbols: Vec::new(),
        };
        let versions = [need("GLIBC_2.39", true), need("GLIBC_2.17", false), need("GLIBC_2.4", false)];
        assert_eq!(highest_glibc(&versions), Some(Glibc { major: 2, minor: 17 }));
    }
}
