//! Universal (fat) Mach-O files: several binaries in one, each for another architecture.

use object::FileKind;
use object::read::macho::{FatArch, MachOFatFile32, MachOFatFile64};

use super::unreadable::{few, inside};
use super::{Finding, Inspection, Unreadable, inspect};
use crate::model::architecture::name_of;
use crate::model::code::Code;

/// One of the binaries.
#[derive(Debug)]
pub struct Slice<'data> {
    /// The architecture that the table names.
    pub arch: String,
    /// Its bytes.
    pub bytes: &'data [u8],
}

/// The binaries of a fat file, in its order.
///
/// # Errors
/// It is another kind of file, or damaged: an entry is outside of the file, overlaps another or is there twice.
pub fn slices(bytes: &[u8]) -> Result<Vec<Slice<'_>>, Unreadable> {
    match FileKind::parse(bytes) {
        Ok(FileKind::MachOFat32) => slices_of(bytes, MachOFatFile32::parse(bytes)?.arches()),
        Ok(FileKind::MachOFat64) => slices_of(bytes, MachOFatFile64::parse(bytes)?.arches()),
        _ => Err(Unreadable::Foreign("not a universal Mach-O".to_owned())),
    }
}

fn slices_of<'data>(bytes: &'data [u8], entries: &[impl FatArch]) -> Result<Vec<Slice<'data>>, Unreadable> {
    few(entries.len(), "slices")?;
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut slices: Vec<Slice<'_>> = Vec::new();
    for entry in entries {
        let arch = name_of(entry.architecture(), true);
        let (start, size) = entry.file_range();
        inside(bytes.len(), start, size, || format!("the slice for {arch}"))?;
        let aligned = 1_u64.checked_shl(entry.align()).is_some_and(|align| start.is_multiple_of(align));
        let end = start + size;
        let overlaps = ranges.iter().any(|(other, other_end)| start < *other_end && *other < end);
        if overlaps || !aligned || slices.iter().any(|slice| slice.arch == arch) {
            return Err(Unreadable::Damaged(format!("the slice for {arch} is misplaced or there twice")));
        }
        ranges.push((start, end));
        slices.push(Slice { arch, bytes: entry.data(bytes)? });
    }
    Ok(slices)
}

/// The finding for a file that was joined from verified binaries and read back.
pub(crate) fn joined(targets: &str) -> Finding {
    Finding::ok(Code::Universal, format!("holds the verified binaries of {targets}, byte for byte"))
}

/// Reads each binary of a fat file.
///
/// # Errors
/// One of them, or the table, cannot be read.
pub fn inspect_slices(bytes: &[u8]) -> Result<Vec<Inspection>, Unreadable> {
    let inspected = slices(bytes)?.into_iter().map(|slice| {
        let inspection = inspect(slice.bytes)?;
        match inspection.arch == slice.arch {
            true => Ok(inspection),
            false => Err(Unreadable::Damaged(format!("the slice for {} is for {}", slice.arch, inspection.arch))),
        }
    });
    inspected.collect()
}
