//! The notes of an ELF file: for which version of FreeBSD or NetBSD it was made, and which level of x86-64 it needs.

use object::elf::GNU_PROPERTY_X86_ISA_1_NEEDED;
use object::endian::{Endian as _, Endianness};
use object::read::elf::{ElfFile, FileHeader, NoteIterator, ProgramHeader as _, SectionHeader as _};

use super::super::{Unreadable, unreadable::few};

/// The first kind of note of FreeBSD and NetBSD: the version of the system.
const NT_VERSION: u32 = 1;
const NT_GNU_PROPERTY_TYPE_0: u32 = 5;

/// What its notes say.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The name and version of its system, such as `freebsd` and `14.0`.
    pub system: Option<(&'static str, String)>,
    /// The level of x86-64 that it needs, 1 to 4.
    pub isa: Option<u8>,
}

impl Notes {
    /// Reads the notes of the segments, which the kernel reads, and else those of the sections.
    pub(super) fn read<E: FileHeader<Endian = Endianness>>(file: &ElfFile<'_, E>) -> Result<Self, Unreadable> {
        let (endian, data) = (file.endian(), file.data());
        let mut notes = Self::default();
        let mut count = 0;
        for segment in file.elf_program_headers() {
            if let Some(list) = segment.notes(endian, data)? {
                notes.take::<E>(list, endian, &mut count)?;
            }
        }
        if count == 0 {
            for section in file.elf_section_table().iter() {
                if let Some(list) = section.notes(endian, data)? {
                    notes.take::<E>(list, endian, &mut count)?;
                }
            }
        }
        Ok(notes)
    }

    fn take<E: FileHeader<Endian = Endianness>>(
        &mut self,
        mut list: NoteIterator<'_, E>,
        endian: Endianness,
        count: &mut usize,
    ) -> Result<(), Unreadable> {
        while let Some(note) = list.next()? {
            *count += 1;
            few(*count, "notes")?;
            let number = || {
                let bytes = note.desc().get(..4)?.try_into().ok()?;
                Some(endian.read_u32(bytes))
            };
            match (note.name(), note.n_type(endian).0) {
                (b"FreeBSD", NT_VERSION) => {
                    self.system = number().map(|it| ("freebsd", format!("{}.{}", it / 100_000, it / 1000 % 100)));
                }
                (b"NetBSD", NT_VERSION) => {
                    self.system =
                        number().map(|it| ("netbsd", format!("{}.{}", it / 100_000_000, it / 1_000_000 % 100)));
                }
                (b"GNU", NT_GNU_PROPERTY_TYPE_0) => {
                    let Some(mut properties) = note.gnu_properties(endian) else { continue };
                    while let Some(property) = properties.next()? {
                        *count += 1;
                        few(*count, "notes")?;
                        if property.pr_type() == GNU_PROPERTY_X86_ISA_1_NEEDED {
                            self.isa = isa(property.data_u32(endian)?).max(self.isa);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The highest level that a set of `GNU_PROPERTY_X86_ISA_1_*` holds.
fn isa(bits: u32) -> Option<u8> {
    let highest = u8::try_from(32 - bits.leading_zeros()).ok()?;
    (highest > 0).then_some(highest)
}

#[cfg(test)]
mod tests {
    use super::isa;

    #[test]
    fn the_highest_level_counts() {
        assert_eq!([isa(0), isa(1), isa(3), isa(4), isa(0xf)], [None, Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!(isa(u32::MAX), Some(32));
    }
}
