//! Joins the binaries of both macOS architectures into one file.

use crate::verify::{Slice, Unreadable, slices};

/// The alignment of a binary in the file: Apple silicon has pages of 16 KiB, and Apple's own tools use it for both.
const ALIGNMENT_SHIFT: u32 = 14;

const FAT_MAGIC: u32 = 0xcafe_babe;
const HEADER: usize = 8;
const ENTRY: usize = 20;

/// What joining came to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unjoinable {
    /// A half is no 64-bit Mach-O file, or the joined file is not read as what it was made from.
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    /// Offsets have 32 bits.
    #[error("together, the binaries are larger than 4 GiB")]
    TooLarge,
    /// The same binary cannot be in it twice.
    #[error("the joined file does not hold the binaries that it was made from")]
    Different,
}

/// One file with both binaries, byte for byte: their signatures stay valid. It is read back and compared.
pub(crate) fn join(halves: &[Vec<u8>]) -> Result<Vec<u8>, Unjoinable> {
    let mut header = Vec::new();
    let mut body = Vec::new();
    let count = u32::try_from(halves.len()).map_err(|_| Unjoinable::TooLarge)?;
    header.extend([FAT_MAGIC, count].into_iter().flat_map(u32::to_be_bytes));
    let start = HEADER + ENTRY * halves.len();
    for half in halves {
        let aligned = (start + body.len()).next_multiple_of(1 << ALIGNMENT_SHIFT);
        body.resize(aligned - start, 0);
        let (cpu, subtype) = kind_of(half)?;
        let number = |number: usize| u32::try_from(number).map_err(|_| Unjoinable::TooLarge);
        let entry = [cpu, subtype, number(aligned)?, number(half.len())?, ALIGNMENT_SHIFT];
        header.extend(entry.into_iter().flat_map(u32::to_be_bytes));
        body.extend(half);
    }
    number_fits(start + body.len())?;
    header.extend(body);
    let same = |(slice, half): (&Slice<'_>, &Vec<u8>)| slice.bytes == half.as_slice();
    let read = slices(&header)?;
    if read.len() != halves.len() || !read.iter().zip(halves).all(same) {
        return Err(Unjoinable::Different);
    }
    Ok(header)
}

fn number_fits(size: usize) -> Result<(), Unjoinable> {
    u32::try_from(size).map(drop).map_err(|_| Unjoinable::TooLarge)
}

/// `cputype` and `cpusubtype` of a 64-bit Mach-O file.
fn kind_of(half: &[u8]) -> Result<(u32, u32), Unreadable> {
    const MAGIC_64: [u8; 4] = [0xcf, 0xfa, 0xed, 0xfe];
    let word = |at: usize| half.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    match (half.starts_with(&MAGIC_64), word(4), word(8)) {
        (true, Some(cpu), Some(subtype)) => Ok((cpu, subtype)),
        _ => Err(Unreadable::Foreign("not a 64-bit Mach-O".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(cpu: u32, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = [0xfeed_facf_u32, cpu, 3].into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.resize(length, u8::try_from(cpu & 0xff).unwrap());
        bytes
    }

    #[test]
    fn both_halves_are_in_the_joined_file_as_they_were() {
        let halves = [half(0x0100_0007, 20_000), half(0x0100_000c, 5_000)];
        let joined = join(&halves).unwrap();
        let read = slices(&joined).unwrap();
        assert_eq!(read.iter().map(|slice| slice.arch.as_str()).collect::<Vec<_>>(), ["x86_64", "aarch64"]);
        assert_eq!(read[1].bytes, halves[1]);
        assert_eq!(&joined[..8], [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2]);
        assert_eq!(joined.len(), 49_152 + 5_000);
    }

    #[test]
    fn what_is_no_mach_o_is_refused() {
        assert!(join(&[b"\x7fELF".to_vec(), half(7, 100)]).is_err());
        assert!(join(&[half(7, 100)[..10].to_vec()]).is_err());
    }
}
