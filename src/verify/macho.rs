//! Reading Mach-O.

use std::collections::{BTreeSet, HashSet};

use object::endian::{BigEndian, Endianness};
use object::macho::{self, MH_DYLIB, MH_EXECUTE, MH_OBJECT, MH_PIE, MH_TWOLEVEL};
use object::read::macho::{
    CodeDirectory, LoadCommandVariant, MachHeader, MachOFile, Nlist as _, Section as _, Segment as _,
};
use object::read::{ImportFlags, NameOrOrdinal};
use object::{Object as _, macho::BuildVersionCommand};
use sha2::{Digest as _, Sha256};

use super::unreadable::{few, inside};
use super::{DynamicSymbol, Facts, Inspection, Kind, Linkage, MachO, Signature, Unreadable};
use crate::model::architecture::name_of;
use crate::util::files::Budget;

/// Pages of a code signature are 4 or 16 KiB; anything beyond this is damage.
const MAX_PAGE_SHIFT: u8 = 20;

/// Code directories by SHA-256 in one signature; macOS knows one and five alternatives.
const MAX_DIRECTORIES: usize = 6;

pub(super) fn inspect<H: MachHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<Inspection, Unreadable> {
    refuse_truncated::<H>(bytes)?;
    let file = MachOFile::<H>::parse(bytes)?;
    let (header, endian) = (file.macho_header(), file.endian());
    let kind = match header.filetype(endian) {
        MH_EXECUTE if header.flags(endian).contains(MH_PIE) => Kind::Pie,
        MH_EXECUTE => Kind::Executable,
        MH_DYLIB => Kind::SharedLibrary,
        MH_OBJECT => return Err(Unreadable::Object),
        other => return Err(Unreadable::Foreign(format!("Mach-O file type {}", other.0))),
    };

    let mut version = Version::default();
    let mut signature = Signature::Missing;
    let mut budget = Budget::new(bytes.len());
    let (mut needed, mut seen) = (Vec::new(), HashSet::new());
    let mut dylibs = 0;
    let mut commands = file.macho_load_commands()?;
    while let Some(command) = commands.next()? {
        match command.variant()? {
            LoadCommandVariant::Dylib(dylib) => {
                dylibs += 1;
                few(dylibs, "libraries")?;
                let path = command.string(endian, dylib.dylib.name)?;
                let text = budget.name(path)?;
                if seen.insert(path) {
                    needed.push(text);
                }
            }
            LoadCommandVariant::BuildVersion(build, _) => version = Version::of_build(build, endian),
            LoadCommandVariant::VersionMin(min) => {
                version = Version {
                    platform: (command.cmd() == macho::LC_VERSION_MIN_MACOSX).then(|| "macos".to_owned()),
                    min_os: Some(dotted(min.version.get(endian).0)),
                    sdk: Some(dotted(min.sdk.get(endian).0)),
                };
            }
            LoadCommandVariant::LinkeditData(data) if command.cmd() == macho::LC_CODE_SIGNATURE => {
                signature = match data.code_signature(endian, bytes) {
                    Ok(_) if signature != Signature::Missing => {
                        Signature::Broken("the file has two code signatures".to_owned())
                    }
                    Ok(blobs) => check_signature(&blobs, bytes, data.dataoff.get(endian).into()),
                    Err(error) => Signature::Broken(error.to_string()),
                };
            }
            _ => {}
        }
    }
    Ok(Inspection {
        arch: name_of(file.architecture(), file.is_little_endian()),
        bits: if header.is_type_64() { 64 } else { 32 },
        kind,
        linkage: if needed.is_empty() { Linkage::Static } else { Linkage::Dynamic },
        linker: None,
        // Undefined symbols always stay: the loader binds them.
        stripped: !file.macho_symbol_table().iter().any(|symbol| !symbol.is_undefined()),
        needed,
        cpu: None,
        facts: Facts::MachO(MachO {
            platform: version.platform,
            min_os: version.min_os,
            sdk: version.sdk,
            signature,
            dynamic_lookup: dynamic_lookup(&file, &mut budget)?,
        }),
    })
}

/// All that the headers announce must be there. `object` reads lazily and would not miss the tail of a file.
fn refuse_truncated<H: MachHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<(), Unreadable> {
    let len = bytes.len();
    inside(len, 0, size_of::<H>() as u64, || "the file header".to_owned())?;
    let header = H::parse(bytes, 0)?;
    let endian = header.endian()?;
    inside(len, size_of::<H>() as u64, header.sizeofcmds(endian).into(), || "the load commands".to_owned())?;
    let mut commands = header.load_commands(endian, bytes, 0)?;
    while let Some(command) = commands.next()? {
        if let Some((segment, data)) = H::Segment::from_command(command)? {
            let name = || format!("segment `{}`", String::from_utf8_lossy(segment.name()));
            inside(len, segment.fileoff(endian).into(), segment.filesize(endian).into(), name)?;
            for section in segment.sections(endian, data)? {
                if let Some((offset, size)) = section.file_range(endian, 0) {
                    inside(len, offset, size, || format!("section `{}`", String::from_utf8_lossy(section.name())))?;
                }
            }
        }
        match command.variant()? {
            LoadCommandVariant::Symtab(symtab) => {
                let (offset, size) = (symtab.stroff.get(endian), symtab.strsize.get(endian));
                inside(len, offset.into(), size.into(), || "the symbol names".to_owned())?;
            }
            LoadCommandVariant::LinkeditData(data) => {
                let (offset, size) = (data.dataoff.get(endian), data.datasize.get(endian));
                let what = if command.cmd() == macho::LC_CODE_SIGNATURE { "the code signature" } else { "link data" };
                inside(len, offset.into(), size.into(), || what.to_owned())?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[derive(Default)]
struct Version {
    platform: Option<String>,
    min_os: Option<String>,
    sdk: Option<String>,
}

impl Version {
    fn of_build(build: &BuildVersionCommand<Endianness>, endian: Endianness) -> Self {
        Self {
            platform: Some(match build.platform.get(endian) {
                macho::PLATFORM_MACOS => "macos".to_owned(),
                other => other.0.to_string(),
            }),
            min_os: Some(dotted(build.minos.get(endian).0)),
            sdk: Some(dotted(build.sdk.get(endian).0)),
        }
    }
}

/// `xxxx.yy.zz` in nibbles, as people write it.
fn dotted(version: u32) -> String {
    let (major, minor, patch) = (version >> 16, (version >> 8) & 0xff, version & 0xff);
    if patch == 0 { format!("{major}.{minor}") } else { format!("{major}.{minor}.{patch}") }
}

/// The symbols that the loader looks for in every loaded library, read from what the loader itself reads: chained
/// fixups, else bind opcodes, else the symbol table. The symbol table is read too, for symbols that are kept though
/// nothing binds them yet.
fn dynamic_lookup<H: MachHeader<Endian = Endianness>>(
    file: &MachOFile<'_, H>,
    budget: &mut Budget,
) -> Result<Vec<DynamicSymbol>, Unreadable> {
    let endian = file.endian();
    let flat = !file.macho_header().flags(endian).contains(MH_TWOLEVEL);
    let mut found = BTreeSet::new();
    for import in file.imports()? {
        let import = import?;
        // A few bytes of opcodes can bind one symbol any number of times.
        budget.take(1)?;
        let dynamic = match import.flags() {
            ImportFlags::MachOBind { dylib, .. } => dylib == macho::BIND_SPECIAL_DYLIB_FLAT_LOOKUP,
            ImportFlags::MachO { n_desc, .. } => n_desc.library() == macho::DYNAMIC_LOOKUP_ORDINAL,
            _ => false,
        };
        if let NameOrOrdinal::Name(name) = import.name()
            && (dynamic || flat)
        {
            found.insert((budget.name(name)?, import.is_weak()));
        }
    }
    let symbols = file.macho_symbol_table();
    for symbol in symbols.iter().filter(|symbol| !symbol.is_stab() && symbol.is_undefined()) {
        let description = symbol.n_desc(endian);
        if flat || description.library() == macho::DYNAMIC_LOOKUP_ORDINAL {
            let name = budget.name(symbol.name(endian, symbols.strings())?)?;
            found.insert((name, description.contains(macho::N_WEAK_REF)));
        }
    }
    // Needed by one place and weak in another is needed.
    let needed: BTreeSet<String> = found.iter().filter(|(_, weak)| !weak).map(|(name, _)| name.clone()).collect();
    found.retain(|(name, weak)| !weak || !needed.contains(name));
    Ok(found.into_iter().map(|(name, weak)| DynamicSymbol { name, weak }).collect())
}

/// Compares the contents with the signature, as the kernel of Apple silicon does page by page before it runs them: a
/// tool that changed the file after the linker signed it leaves a program that is killed at start.
fn check_signature(signature: &object::read::macho::CodeSignature<'_>, bytes: &[u8], start: u64) -> Signature {
    let mut checked = false;
    let mut ad_hoc = false;
    let mut directories = 0;
    for blob in signature.blobs() {
        let directory = match blob.and_then(|blob| blob.code_directory()) {
            Ok(Some(directory)) => directory,
            Ok(None) => continue,
            Err(error) => return Signature::Broken(error.to_string()),
        };
        // Another hash is an older alternative beside SHA-256.
        if directory.header().hash_type != macho::CS_HASHTYPE_SHA256 {
            continue;
        }
        // Each costs the hash of the whole file.
        directories += 1;
        if directories > MAX_DIRECTORIES {
            return Signature::Broken("it has too many code directories".to_owned());
        }
        if let Err(reason) = compare_pages(&directory, bytes, start) {
            return Signature::Broken(reason);
        }
        checked = true;
        ad_hoc = directory.header().flags.get(BigEndian).contains(macho::CS_ADHOC);
    }
    match (checked, ad_hoc) {
        (false, _) => Signature::Broken("it has no SHA-256 hash of the contents".to_owned()),
        (true, true) => Signature::AdHoc,
        (true, false) => Signature::Signed,
    }
}

fn compare_pages(directory: &CodeDirectory<'_>, bytes: &[u8], start: u64) -> Result<(), String> {
    let header = directory.header();
    if header.page_size > MAX_PAGE_SHIFT {
        return Err("its page size is not supported by macOS".to_owned());
    }
    let code = usize::try_from(directory.code_limit()).ok().and_then(|limit| bytes.get(..limit));
    let code = code.ok_or("it covers more than the file contains")?;
    if directory.code_limit() < start {
        return Err("it covers only a part of the file".to_owned());
    }
    // A shift of 0 means one page of any length.
    let page = if header.page_size == 0 { code.len().max(1) } else { 1 << header.page_size };
    let pages = code.chunks(page);
    if pages.len() != header.n_code_slots.get(BigEndian) as usize {
        return Err("it has a different number of pages than the file".to_owned());
    }
    for (index, page) in (0u32..).zip(pages) {
        let hash = directory.code_hash(index).map_err(|error| error.to_string())?;
        if hash != &Sha256::digest(page)[..] {
            return Err(format!("page {index} was changed after it was signed"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_written_as_people_do() {
        assert_eq!(dotted(0x000b_0000), "11.0");
        assert_eq!(dotted(0x000a_0c00), "10.12");
        assert_eq!(dotted(0x000a_0f07), "10.15.7");
    }
}
