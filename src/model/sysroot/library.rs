//! One shared library: bytes → what it needs and what it exports. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use object::FileKind;
use object::elf::{self, DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, FileHeader32, FileHeader64};
use object::endian::Endianness;
use object::read::elf::{ElfFile, FileHeader, Sym as _};

/// No real library defines more versions; a damaged table can pretend to have billions.
const MAX_VERSIONS: usize = 1 << 15;

/// How often all names may be as long as the file: symbols share strings, but a damaged table can share one long string
/// a million times.
const SHARED_NAMES: usize = 16;

/// What a shared library says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Its own name.
    pub soname: Option<String>,
    /// 32 or 64.
    pub bits: u8,
    /// The libraries that it needs in turn.
    pub needed: Vec<String>,
    /// The folders where it wants these looked for first, as written (`$ORIGIN/…`).
    pub runpath: Vec<String>,
    /// The symbol versions that it defines; empty for a library without versions.
    pub versions: BTreeSet<String>,
    /// Its symbols, each with the versions that it has; none is the version of a symbol that has none.
    exports: HashMap<String, Vec<Option<String>>>,
}

impl Library {
    /// Reads a library. Never panics, whatever the bytes; the error says what is wrong with them.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        match FileKind::parse(bytes) {
            Ok(FileKind::Elf32) => read::<FileHeader32<Endianness>>(bytes, 32),
            Ok(FileKind::Elf64) => read::<FileHeader64<Endianness>>(bytes, 64),
            _ => Err("not an ELF file".to_owned()),
        }
    }

    /// Whether a reference to this symbol is met here, by the loader's rules: one that asks for no version takes any, and
    /// a symbol without a version meets every reference.
    pub fn exports(&self, name: &str, version: Option<&str>) -> bool {
        self.exports.get(name).is_some_and(|own| {
            version.is_none_or(|wanted| own.iter().any(|own| own.as_deref().is_none_or(|own| own == wanted)))
        })
    }

    /// Whether the loader is content when a program asks this library for a version: one without any lets all pass.
    pub fn has_version(&self, version: &str) -> bool {
        self.versions.is_empty() || self.versions.contains(version)
    }
}

fn read<E: FileHeader<Endian = Endianness>>(bytes: &[u8], bits: u8) -> Result<Library, String> {
    let damaged = |error: object::read::Error| error.to_string();
    let file = ElfFile::<E>::parse(bytes).map_err(damaged)?;
    let (endian, sections) = (file.endian(), file.elf_section_table());
    if file.elf_header().e_type(endian) != elf::ET_DYN {
        return Err("an ELF file, but not a shared library".to_owned());
    }
    if sections.is_empty() {
        return Err("a library without section headers".to_owned());
    }
    let symbols = file.elf_dynamic_symbol_table();

    let mut library = Library {
        soname: None,
        bits,
        needed: Vec::new(),
        runpath: Vec::new(),
        versions: BTreeSet::new(),
        exports: HashMap::new(),
    };
    let dynamic = file.elf_dynamic_table().map_err(damaged)?;
    for entry in &dynamic {
        let text = || dynamic.string(entry).map(|text| String::from_utf8_lossy(text).into_owned()).map_err(damaged);
        match entry.tag {
            DT_NEEDED => library.needed.push(text()?),
            DT_SONAME => library.soname = Some(text()?),
            DT_RPATH | DT_RUNPATH => library.runpath.extend(text()?.split(':').map(str::to_owned)),
            _ => {}
        }
    }

    let mut names = BTreeMap::new();
    if let Some((mut definitions, strings)) = sections.gnu_verdef(endian, bytes).map_err(damaged)? {
        let strings = sections.strings(endian, bytes, strings).map_err(damaged)?;
        while let Some((definition, mut texts)) = definitions.next().map_err(damaged)? {
            if names.len() == MAX_VERSIONS {
                return Err("the symbol version table has too many entries".to_owned());
            }
            // The first text is the version's name, the others are its parents'; the base is the library's own name.
            let base = definition.vd_flags.get(endian).contains(elf::VER_FLG_BASE);
            if let Some(text) = texts.next().map_err(damaged)?
                && !base
            {
                let name = String::from_utf8_lossy(text.name(endian, strings).map_err(damaged)?).into_owned();
                library.versions.insert(name.clone());
                names.insert(definition.vd_ndx.get(endian), name);
            }
        }
    }

    let indices = sections.gnu_versym(endian, bytes).map_err(damaged)?.map(|(indices, _)| indices);
    let mut budget = bytes.len().saturating_mul(SHARED_NAMES);
    for (position, symbol) in symbols.iter().enumerate() {
        let hidden = matches!(symbol.st_visibility(), elf::STV_HIDDEN | elf::STV_INTERNAL);
        if symbol.is_undefined(endian) || symbol.is_local() || hidden {
            continue;
        }
        let version = match indices.and_then(|indices| indices.get(position)).map(|own| own.0.get(endian).index()) {
            None | Some(elf::VER_NDX_GLOBAL) => None,
            Some(index) => match names.get(&index) {
                Some(name) => Some(name.clone()),
                // Local to the library, or a version that nobody defines: not for others.
                None => continue,
            },
        };
        let name = symbols.symbol_name(endian, symbol).map_err(damaged)?;
        budget = budget.checked_sub(name.len()).ok_or("the symbol table has too many names")?;
        library.exports.entry(String::from_utf8_lossy(name).into_owned()).or_default().push(version);
    }
    Ok(library)
}
