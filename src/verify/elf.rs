//! Reading ELF.

mod attributes;
mod loader;
mod notes;

use std::collections::{BTreeMap, BTreeSet};

use object::Object as _;
use object::elf::{self, ET_CORE, ET_DYN, ET_EXEC, ET_REL, PT_LOAD};
use object::endian::Endianness;
use object::read::elf::{ElfFile, FileHeader, ProgramHeader as _, SectionHeader as _, Sym as _};

use self::loader::Dynamic;
use self::notes::Notes;
use super::inspection::System;
use super::unreadable::inside;
use super::{Elf, Facts, Inspection, Kind, Linkage, UndefinedSymbol, Unreadable, VersionNeed, arm, judge};
use crate::model::architecture::name_of;
use crate::model::catalog::{FloatAbi, Glibc};
use crate::util::files::Budget;
use crate::verify::link::ArmAttributes;

pub(super) fn inspect<E: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<Inspection, Unreadable> {
    refuse_truncated::<E>(bytes)?;
    let file = ElfFile::<E>::parse(bytes)?;
    let (header, endian) = (file.elf_header(), file.endian());
    match header.e_type(endian) {
        ET_EXEC | ET_DYN => {}
        ET_REL => return Err(Unreadable::Object),
        ET_CORE => return Err(Unreadable::Foreign("a core dump".to_owned())),
        other => return Err(Unreadable::Foreign(format!("ELF file type {}", other.0))),
    }

    let mut budget = Budget::new(bytes.len());
    let dynamic = Dynamic::read(&file)?;
    let needed = dynamic.needed(&mut budget)?;
    let interpreter = interpreter(&file, &mut budget)?;
    let linkage = if interpreter.is_some() || !needed.is_empty() { Linkage::Dynamic } else { Linkage::Static };
    let kind = match header.e_type(endian) {
        ET_EXEC => Kind::Executable,
        // A shared library may have an interpreter (libc.so.6 does), but then it also has a name.
        _ if dynamic.is_pie() || (interpreter.is_some() && !dynamic.has_soname()) => Kind::Pie,
        _ => Kind::SharedLibrary,
    };
    let (versions, undefined) = wanted(&file, &dynamic, &mut budget)?;
    let comment = comment(&file);
    let linker = comment.and_then(|comment| linker(comment, &mut budget));
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
    let extensions = match arch {
        object::Architecture::Riscv64 | object::Architecture::Riscv32 => {
            attributes::riscv_extensions(&file, &mut budget)?
        }
        _ => None,
    };
    let vector_abi = match arch {
        object::Architecture::S390x => attributes::s390_vector(&file)?,
        _ => None,
    };
    let notes = Notes::read(&file)?;
    let cpu = arm.and_then(|arm| arm::cpu_text(&arm, float_abi));
    let cpu = cpu.or(notes.isa.map(judge::level_name)).or(extensions.as_ref().map(riscv_name));
    Ok(Inspection {
        arch: name_of(arch, header.is_little_endian()),
        bits: if header.is_class_64() { 64 } else { 32 },
        kind,
        linkage,
        linker,
        stripped: file.elf_symbol_table().is_empty(),
        needed,
        cpu,
        facts: Facts::Elf(Elf {
            interpreter,
            glibc: highest_glibc(&versions),
            versions,
            undefined,
            load_alignment: load_alignment(&file),
            arm,
            float_abi,
            flags: header.e_flags(endian).0,
            extensions,
            x86_64_level: notes.isa,
            vector_abi,
            system: notes.system.map(|(name, version)| System { name: name.to_owned(), version }),
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

/// The extensions of RISC-V as people write them: letters in their usual order, then words.
fn riscv_name(extensions: &BTreeSet<String>) -> String {
    const ORDER: &str = "iemafdqcbvh";
    let mut letters: Vec<&String> = extensions.iter().filter(|name| name.len() == 1).collect();
    letters.sort_by_key(|letter| ORDER.find(letter.as_str()).unwrap_or(ORDER.len()));
    let words = extensions.iter().filter(|name| name.len() > 1).map(|word| format!("_{word}"));
    format!("RV{}", letters.into_iter().cloned().chain(words).collect::<String>())
}

fn interpreter<E: FileHeader<Endian = Endianness>>(
    file: &ElfFile<'_, E>,
    budget: &mut Budget,
) -> Result<Option<String>, Unreadable> {
    for segment in file.elf_program_headers() {
        if let Some(path) = segment.interpreter(file.endian(), file.data())? {
            return Ok(Some(budget.name(path)?));
        }
    }
    Ok(None)
}

/// The texts that compilers and linkers left, each ended by a zero byte; none without such a section.
fn comment<'data, E: FileHeader<Endian = Endianness>>(file: &ElfFile<'data, E>) -> Option<&'data [u8]> {
    let (endian, data) = (file.endian(), file.data());
    let (_, section) = file.elf_section_table().section_by_name(endian, b".comment")?;
    section.data(endian, data).ok()
}

/// lld and mold sign their work; GNU ld and gold leave nothing there.
fn linker(comment: &[u8], budget: &mut Budget) -> Option<String> {
    let signature = comment.split(|byte| *byte == 0).find_map(|text| match text.strip_prefix(b"Linker: ") {
        None if text.starts_with(b"mold ") => Some(text),
        signature => signature,
    })?;
    let signature = budget.name(signature).ok()?;
    // What follows in parentheses is the place of the source and its commit.
    Some(signature.split(" (").next().unwrap_or(&signature).to_owned())
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
    dynamic: &Dynamic<'_, E>,
    budget: &mut Budget,
) -> Result<(Vec<VersionNeed>, Vec<UndefinedSymbol>), Unreadable> {
    let endian = file.endian();
    // The loader demands every entry; the index only ties symbols to it.
    let (mut versions, mut by_index) = (Vec::new(), BTreeMap::new());
    for demand in dynamic.demands()? {
        by_index.insert(demand.index, versions.len());
        versions.push(VersionNeed {
            library: budget.name(demand.library)?,
            version: budget.name(demand.version)?,
            weak: demand.weak,
            symbols: Vec::new(),
        });
    }
    let symbols = dynamic.symbols(file)?;
    let mut undefined = Vec::new();
    for (position, symbol) in symbols.list.iter().enumerate() {
        let index = symbols.version(position, endian);
        let version = index.and_then(|index| by_index.get(&index).copied());
        // One with a library's version is that library's, even where the program holds a copy of it.
        if symbol.is_local() || !(symbol.is_undefined(endian) || version.is_some()) {
            continue;
        }
        let name = budget.name(symbols.name(symbol.st_name(endian))?)?;
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
