//! Build attributes of ELF files: a section of tags and values, in the form of the ARM ABI, which RISC-V and GNU took over.

use object::endian::Endianness;
use object::read::elf::{AttributesSection, FileHeader};

/// The scope of the whole file. Those of single sections and symbols were never used by a compiler and are deprecated.
const TAG_FILE: u8 = 1;

/// A number and a string, with every vendor.
const TAG_COMPATIBILITY: u64 = 32;

/// The value of a tag.
pub(super) enum Value<'data> {
    /// A number.
    Number(u64),
    /// A string.
    Text(&'data [u8]),
}

/// Hands on the attributes of the whole file, of one vendor. Which tags have strings is up to the vendor.
pub(super) fn each<'data, Elf: FileHeader<Endian = Endianness>, Error: From<object::read::Error>>(
    endian: Endianness,
    section: &'data [u8],
    vendor: &[u8],
    is_text: impl Fn(u64) -> bool,
    mut take: impl FnMut(u64, Value<'data>) -> Result<(), Error>,
) -> Result<(), Error> {
    let section = AttributesSection::<Elf>::new(endian, section)?;
    let mut subsections = section.subsections()?;
    while let Some(subsection) = subsections.next()? {
        if subsection.vendor() != vendor {
            continue;
        }
        let mut scopes = subsection.subsubsections();
        while let Some(scope) = scopes.next()? {
            if scope.tag().0 != TAG_FILE {
                continue;
            }
            let mut reader = scope.attributes();
            while let Some(tag) = reader.read_tag()? {
                if tag == TAG_COMPATIBILITY {
                    reader.read_integer()?;
                    reader.read_string()?;
                } else if is_text(tag) {
                    take(tag, Value::Text(reader.read_string()?))?;
                } else {
                    take(tag, Value::Number(reader.read_integer()?))?;
                }
            }
        }
    }
    Ok(())
}
