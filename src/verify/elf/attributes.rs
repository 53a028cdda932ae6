//! The build attributes of RISC-V and IBM Z. Those of 32-bit ARM are read for objects too: [`crate::verify::link`].

use std::collections::BTreeSet;

use object::elf::{SHT_GNU_ATTRIBUTES, SHT_RISCV_ATTRIBUTES, SectionType};
use object::endian::Endianness;
use object::read::elf::{ElfFile, FileHeader, SectionHeader as _};

use super::super::attributes::{Value, each};
use super::super::{Unreadable, unreadable::few};
use crate::util::files::Budget;

/// `Tag_RISCV_arch`, a string.
const TAG_RISCV_ARCH: u64 = 5;
/// `Tag_GNU_S390_ABI_Vector`; 2 for code that passes arguments in vector registers.
const TAG_S390_VECTOR: u64 = 8;

/// The extensions of RISC-V that a file says it needs; none where it says nothing.
pub(super) fn riscv_extensions<E: FileHeader<Endian = Endianness>>(
    file: &ElfFile<'_, E>,
    budget: &mut Budget,
) -> Result<Option<BTreeSet<String>>, Unreadable> {
    let mut arch = None;
    stated(file, SHT_RISCV_ATTRIBUTES, b"riscv", |tag, value| {
        if let (TAG_RISCV_ARCH, Value::Text(text)) = (tag, value) {
            arch = Some(budget.name(text)?);
        }
        Ok(())
    })?;
    arch.map(|arch| {
        few(arch.matches('_').count(), "extensions")?;
        Ok(extensions(&arch))
    })
    .transpose()
}

/// Whether a file of IBM Z passes arguments in vector registers; none where it does not say.
pub(super) fn s390_vector<E: FileHeader<Endian = Endianness>>(
    file: &ElfFile<'_, E>,
) -> Result<Option<bool>, Unreadable> {
    let mut vector = None;
    stated(file, SHT_GNU_ATTRIBUTES, b"gnu", |tag, value| {
        if let (TAG_S390_VECTOR, Value::Number(number)) = (tag, value) {
            vector = Some(number == 2);
        }
        Ok(())
    })?;
    Ok(vector)
}

/// Hands on what a vendor states in the first section of a kind: strings in odd tags, numbers in even ones.
fn stated<'data, E: FileHeader<Endian = Endianness>>(
    file: &ElfFile<'data, E>,
    kind: SectionType,
    vendor: &[u8],
    take: impl FnMut(u64, Value<'data>) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    let (endian, data) = (file.endian(), file.data());
    match file.elf_section_table().iter().find(|section| section.sh_type(endian) == kind) {
        Some(section) => each::<E, _>(endian, section.data(endian, data)?, vendor, |tag| !tag.is_multiple_of(2), take),
        None => Ok(()),
    }
}

/// The extensions in `rv64i2p1_m2p0_zicsr2p0`: letters, or words that begin with `z`, `s` or `x`, each with a version.
fn extensions(arch: &str) -> BTreeSet<String> {
    let arch = arch.strip_prefix("rv64").or(arch.strip_prefix("rv32")).unwrap_or(arch);
    let mut all = BTreeSet::new();
    for chunk in arch.split('_').filter(|chunk| !chunk.is_empty()) {
        if chunk.starts_with(['z', 's', 'x']) {
            all.insert(without_version(chunk).to_owned());
            continue;
        }
        // Letters may stand in a row, with or without versions: `imafd`, `i2p1m2p0`.
        let mut characters = chunk.chars().peekable();
        while let Some(letter) = characters.next() {
            all.insert(letter.to_string());
            let digits = |c: &char| c.is_ascii_digit();
            if characters.peek().is_some_and(digits) {
                while characters.next_if(digits).is_some() {}
                if characters.next_if(|c| *c == 'p').is_some() {
                    while characters.next_if(digits).is_some() {}
                }
            }
        }
    }
    all
}

/// `zba1p0` is `zba`, and `zve32x1p0` is `zve32x`.
fn without_version(word: &str) -> &str {
    let digits = |text: &str| text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let minor = digits(word);
    match word[..minor].strip_suffix('p') {
        Some(head) if minor < word.len() && digits(head) < head.len() => &head[..digits(head)],
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::extensions;

    #[test]
    fn extensions_are_read_as_linkers_write_them() {
        let read = |arch: &str| extensions(arch).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(read("rv64i2p1_m2p0_a2p1_f2p2_d2p2_c2p0_zicsr2p0_zmmul1p0"), "a c d f i m zicsr zmmul");
        assert_eq!(read("rv64imafdc_zve32x1p0_zvl128b1p0_zba"), "a c d f i m zba zve32x zvl128b");
        assert_eq!(read("rv32e1p9m2p0"), "e m");
        assert_eq!(read("p_zp_z1p_z12p3p4"), "p z12p z1p zp");
        assert_eq!(read(""), "");
    }
}
