//! An ELF file as its loader sees it: the dynamic segment, and what that points to. The loader never reads section
//! headers, so what these say (or that they were removed) changes nothing.
//!
//! The rules are those of glibc's `elf/rtld.c`, `elf/get-dynamic-info.h` and `elf/dl-version.c`.

use object::elf::{
    self, DT_FLAGS_1, DT_GNU_HASH, DT_HASH, DT_JMPREL, DT_MIPS_SYMTABNO, DT_NEEDED, DT_NULL, DT_PLTREL, DT_PLTRELSZ,
    DT_REL, DT_RELA, DT_RELASZ, DT_RELSZ, DT_SONAME, DT_STRTAB, DT_SYMTAB, DT_VERNEED, DT_VERSYM, DynamicTag, EM_ALPHA,
    EM_MIPS, EM_S390, PT_DYNAMIC, PT_LOAD, Vernaux, Verneed, Versym,
};
use object::endian::Endianness;
use object::pod::{self, Pod};
use object::read::elf::{
    Dyn as _, ElfFile, FileHeader, GnuHashTable, HashTable, ProgramHeader as _, Rel as _, Rela as _, SectionHeader as _,
};

use super::super::Unreadable;
use super::super::unreadable::few;
use crate::util::files::{Budget, MOST_VERSIONS};

/// The loaded segments, by the addresses that they are linked for.
struct Memory<'data, E: FileHeader<Endian = Endianness>> {
    segments: &'data [E::ProgramHeader],
    endian: Endianness,
    data: &'data [u8],
}

impl<'data, E: FileHeader<Endian = Endianness>> Memory<'data, E> {
    /// The bytes of the file from an address to the end of its segment.
    fn at(&self, address: u64) -> Option<&'data [u8]> {
        // Segments are mapped in their order: a later one lies over an earlier.
        let loaded = self.segments.iter().rev().filter(|segment| segment.p_type(self.endian) == PT_LOAD);
        loaded.into_iter().find_map(|segment| {
            let offset = address.checked_sub(segment.p_vaddr(self.endian).into())?;
            let bytes = segment.data(self.endian, self.data).ok()?;
            bytes.get(usize::try_from(offset).ok()?..).filter(|rest| !rest.is_empty())
        })
    }

    /// As many `T`s from an address as its segment holds, at most `count`.
    fn array<T: Pod>(&self, address: u64, count: usize) -> Option<&'data [T]> {
        let bytes = self.at(address)?;
        pod::slice_from_bytes(bytes, count.min(bytes.len() / size_of::<T>())).ok().map(|(array, _)| array)
    }
}

/// The dynamic segment.
pub(super) struct Dynamic<'data, E: FileHeader<Endian = Endianness>> {
    memory: Memory<'data, E>,
    /// Of each tag the last one counts.
    entries: Vec<(DynamicTag, u64)>,
}

/// A symbol version that the loader demands of a library.
pub(super) struct Demand<'data> {
    pub library: &'data [u8],
    pub version: &'data [u8],
    pub weak: bool,
    /// What ties symbols to it.
    pub index: u16,
}

/// The dynamic symbols.
pub(super) struct Symbols<'data, E: FileHeader> {
    pub list: &'data [E::Sym],
    strings: &'data [u8],
    versions: &'data [Versym<Endianness>],
}

impl<'data, E: FileHeader<Endian = Endianness>> Dynamic<'data, E> {
    /// Without a dynamic segment there is nothing in it.
    pub(crate) fn read(file: &ElfFile<'data, E>) -> Result<Self, Unreadable> {
        let (endian, data) = (file.endian(), file.data());
        let memory = Memory::<E> { segments: file.elf_program_headers(), endian, data };
        few(memory.segments.len(), "segments")?;
        // The loader takes the last one, from where it lies in memory.
        let segment = memory.segments.iter().rev().find(|segment| segment.p_type(endian) == PT_DYNAMIC);
        let mut entries = Vec::new();
        if let Some(segment) = segment {
            let listed = match memory.array::<E::Dyn>(segment.p_vaddr(endian).into(), usize::MAX) {
                Some(listed) => listed,
                None => segment.dynamic(endian, data)?.unwrap_or_default(),
            };
            let listed = listed.iter().map(|entry| (entry.d_tag(endian), entry.d_val(endian).into()));
            entries.extend(listed.take_while(|(tag, _)| *tag != DT_NULL));
        }
        Ok(Self { memory, entries })
    }

    fn value(&self, tag: DynamicTag) -> Option<u64> {
        self.entries.iter().rev().find(|(found, _)| *found == tag).map(|(_, value)| *value)
    }

    pub(crate) fn has_soname(&self) -> bool {
        self.value(DT_SONAME).is_some()
    }

    pub(crate) fn is_pie(&self) -> bool {
        self.value(DT_FLAGS_1).is_some_and(|flags| flags & elf::DF_1_PIE.0 != 0)
    }

    /// The sonames of the libraries that it loads.
    pub(crate) fn needed(&self, budget: &mut Budget) -> Result<Vec<String>, Unreadable> {
        let offsets: Vec<u64> =
            self.entries.iter().filter(|(tag, _)| *tag == DT_NEEDED).map(|(_, offset)| *offset).collect();
        few(offsets.len(), "needed libraries")?;
        let strings = self.strings().unwrap_or_default();
        let unnamed = || Unreadable::Damaged("a needed library has no name".to_owned());
        offsets.into_iter().map(|offset| Ok(budget.name(string(strings, offset).ok_or_else(unnamed)?)?)).collect()
    }

    fn strings(&self) -> Option<&'data [u8]> {
        self.memory.at(self.value(DT_STRTAB)?)
    }

    /// Every symbol version that the loader demands; it follows the chain and believes no count.
    pub(crate) fn demands(&self) -> Result<Vec<Demand<'data>>, Unreadable> {
        let mut demands = Vec::new();
        let Some(address) = self.value(DT_VERNEED) else { return Ok(demands) };
        let damaged = |what: &str| Unreadable::Damaged(format!("the symbol version table {what}"));
        let endian = self.memory.endian;
        let (table, strings) = (self.memory.at(address), self.strings().unwrap_or_default());
        let mut table = table.ok_or_else(|| damaged("is outside of the file"))?;
        let text = |offset: u32| string(strings, offset.into()).ok_or_else(|| damaged("has no names"));
        let ahead =
            |bytes: &'data [u8], offset: u32| bytes.get(offset as usize..).ok_or_else(|| damaged("is truncated"));
        let mut libraries = 0;
        loop {
            libraries += 1;
            few(libraries, "libraries with symbol versions")?;
            let (need, _) = pod::from_bytes::<Verneed<Endianness>>(table).map_err(|()| damaged("is truncated"))?;
            let library = text(need.vn_file.get(endian))?;
            let mut names = ahead(table, need.vn_aux.get(endian))?;
            loop {
                if demands.len() == MOST_VERSIONS {
                    return Err(damaged("has too many entries"));
                }
                let (name, _) = pod::from_bytes::<Vernaux<Endianness>>(names).map_err(|()| damaged("is truncated"))?;
                demands.push(Demand {
                    library,
                    version: text(name.vna_name.get(endian))?,
                    weak: name.vna_flags.get(endian).contains(elf::VER_FLG_WEAK),
                    index: name.vna_other(endian).index().0,
                });
                match name.vna_next.get(endian) {
                    0 => break,
                    next => names = ahead(names, next)?,
                }
            }
            match need.vn_next.get(endian) {
                0 => return Ok(demands),
                next => table = ahead(table, next)?,
            }
        }
    }

    /// The symbols that it exports, and those that it leaves to its libraries.
    pub(crate) fn symbols(&self, file: &ElfFile<'data, E>) -> Result<Symbols<'data, E>, Unreadable> {
        let Some(address) = self.value(DT_SYMTAB) else {
            return Ok(Symbols { list: &[], strings: &[], versions: &[] });
        };
        let count = self.symbol_count(file, address);
        let list = self.memory.array::<E::Sym>(address, count).filter(|list| list.len() == count);
        let list = list.ok_or_else(|| Unreadable::Damaged("the symbol table is outside of the file".to_owned()))?;
        let versions = self.value(DT_VERSYM).and_then(|address| self.memory.array(address, count));
        Ok(Symbols { list, strings: self.strings().unwrap_or_default(), versions: versions.unwrap_or_default() })
    }

    /// How many symbols there are. No entry says so: the hash table covers all that are exported (the old form: all), the
    /// relocations name those that the loader looks up, and the section may know more.
    fn symbol_count(&self, file: &ElfFile<'data, E>, symbols: u64) -> usize {
        let endian = self.memory.endian;
        let machine = file.elf_header().e_machine(endian);
        if machine == EM_MIPS
            && let Some(count) = self.value(DT_MIPS_SYMTABNO)
        {
            return usize::try_from(count).unwrap_or(usize::MAX);
        }
        // Two systems have old hash tables of 64-bit words; both also have the new form.
        let wide = file.elf_header().is_class_64() && [EM_ALPHA, EM_S390].contains(&machine);
        let old = self.value(DT_HASH).filter(|_| !wide).and_then(|address| {
            let table = HashTable::<E>::parse(endian, self.memory.at(address)?).ok()?;
            Some(table.symbol_table_length())
        });
        let new = self.value(DT_GNU_HASH).and_then(|address| {
            let table = GnuHashTable::<E>::parse(endian, self.memory.at(address)?).ok()?;
            table.symbol_table_length(endian)
        });
        let by_section = file.elf_section_table().iter().find_map(|section| {
            let same = section.sh_type(endian) == elf::SHT_DYNSYM && section.sh_addr(endian).into() == symbols;
            same.then(|| section.sh_size(endian).into() / size_of::<E::Sym>() as u64)
        });
        let counts = [old.unwrap_or(0).into(), new.unwrap_or(0).into(), by_section.unwrap_or(0)];
        let largest = counts.into_iter().max().unwrap_or(0).max(self.relocated().into());
        usize::try_from(largest).unwrap_or(usize::MAX)
    }

    /// One more than the highest number of a symbol that a relocation names.
    fn relocated(&self) -> u32 {
        let endian = self.memory.endian;
        let size = |tag, entry: usize| self.value(tag).map_or(0, |size| usize::try_from(size).unwrap_or(0) / entry);
        let rela = |address, count| {
            let list = self.memory.array::<E::Rela>(address, count).unwrap_or_default();
            list.iter().map(|entry| entry.r_sym(endian, false)).max()
        };
        let rel = |address, count| {
            let list = self.memory.array::<E::Rel>(address, count).unwrap_or_default();
            list.iter().map(|entry| entry.r_sym(endian)).max()
        };
        let with = self.value(DT_RELA).and_then(|address| rela(address, size(DT_RELASZ, size_of::<E::Rela>())));
        let without = self.value(DT_REL).and_then(|address| rel(address, size(DT_RELSZ, size_of::<E::Rel>())));
        let calls = self.value(DT_JMPREL).and_then(|address| match self.value(DT_PLTREL) {
            Some(kind) if kind == DT_RELA.0 as u64 => rela(address, size(DT_PLTRELSZ, size_of::<E::Rela>())),
            _ => rel(address, size(DT_PLTRELSZ, size_of::<E::Rel>())),
        });
        [with, without, calls].into_iter().flatten().max().map_or(0, |highest| highest.saturating_add(1))
    }
}

impl<'data, E: FileHeader<Endian = Endianness>> Symbols<'data, E> {
    pub(crate) fn name(&self, offset: u32) -> Result<&'data [u8], Unreadable> {
        string(self.strings, offset.into()).ok_or_else(|| Unreadable::Damaged("a symbol has no name".to_owned()))
    }

    /// The index of a symbol's version.
    pub(crate) fn version(&self, position: usize, endian: Endianness) -> Option<u16> {
        self.versions.get(position).map(|version| version.0.get(endian).index().0)
    }
}

/// A string of a table, without the zero byte that ends it.
fn string(table: &[u8], offset: u64) -> Option<&[u8]> {
    let rest = table.get(usize::try_from(offset).ok()?..)?;
    Some(&rest[..memchr::memchr(0, rest)?])
}
