//! Reading PE.

use std::borrow::Cow;
use std::collections::HashSet;

use object::LittleEndian as LE;
use object::pe::{self, IMAGE_FILE_DLL, ImageDosHeader, ImageFileHeader};
use object::read::coff::CoffHeader as _;
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader as _, Import, PeFile};
use object::{Object as _, pod};

use super::unreadable::{few, inside};
use super::{Facts, Inspection, Kind, Linkage, NewerImport, Pe, Unreadable};
use crate::model::architecture::name_of;
use crate::model::windows::{Dll, Exported, Releases, Windows};
use crate::util::files::Budget;

/// The longest name that a file of Windows can have.
const LONGEST_NAME: usize = 255;

/// The size of one COFF symbol.
const SYMBOL_SIZE: u64 = 18;

pub(super) fn inspect<H: ImageNtHeaders>(bytes: &[u8]) -> Result<Inspection, Unreadable> {
    refuse_truncated::<H>(bytes)?;
    let file = PeFile::<H>::parse(bytes)?;
    let header = file.nt_headers().file_header();
    let optional = file.nt_headers().optional_header();

    let mut budget = Budget::new(bytes.len());
    let mut names = Names::default();
    let arch = name_of(file.architecture(), true);
    let mut account = Account::new(&arch);
    if let Some(table) = file.import_table()? {
        let mut descriptors = table.descriptors()?;
        while let Some(descriptor) = descriptors.next()? {
            let dll = table.name(descriptor.name.get(LE))?;
            names.push(dll, &mut budget)?;
            // The copy of the table that the loader leaves as it is; some linkers write none.
            let thunks = match descriptor.original_first_thunk.get(LE) {
                0 => descriptor.first_thunk.get(LE),
                thunks => thunks,
            };
            let mut of_dll = account.of(dll, false);
            let mut thunks = table.thunks(thunks)?;
            while let Some(thunk) = thunks.next::<H>()? {
                of_dll.add(table.import::<H>(thunk)?, &mut budget)?;
            }
        }
    }
    let mut delayed = Names::default();
    if let Some(table) = file.delay_load_import_table()? {
        let mut descriptors = table.descriptors()?;
        while let Some(descriptor) = descriptors.next()? {
            let dll = table.name(descriptor.dll_name_rva.get(LE))?;
            delayed.push(dll, &mut budget)?;
            let mut of_dll = account.of(dll, true);
            let mut thunks = table.thunks(descriptor.import_name_table_rva.get(LE))?;
            while let Some(thunk) = thunks.next::<H>()? {
                of_dll.add(table.import::<H>(thunk)?, &mut budget)?;
            }
        }
    }
    let delay_loaded = delayed.list;
    for name in &delay_loaded {
        names.push(name.as_bytes(), &mut budget)?;
    }
    let needed = names.list;

    let is_dll = header.characteristics.get(LE).contains(IMAGE_FILE_DLL);
    let promises = optional.dll_characteristics();
    let movable = promises.contains(pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE);
    Ok(Inspection {
        arch: arch.clone(),
        bits: if file.is_64() { 64 } else { 32 },
        kind: match (is_dll, movable) {
            (true, _) => Kind::SharedLibrary,
            (false, true) => Kind::Pie,
            (false, false) => Kind::Executable,
        },
        linkage: if needed.is_empty() { Linkage::Static } else { Linkage::Dynamic },
        // The linker version of the header is a number that every linker fills in after its own fashion.
        linker: None,
        stripped: header.number_of_symbols.get(LE) == 0,
        needed,
        cpu: None,
        facts: Facts::Pe(Pe {
            subsystem: match optional.subsystem() {
                pe::IMAGE_SUBSYSTEM_WINDOWS_CUI => "console".to_owned(),
                pe::IMAGE_SUBSYSTEM_WINDOWS_GUI => "windows".to_owned(),
                other => other.0.to_string(),
            },
            delay_loaded,
            imports: account.count,
            not_exported: account.not_exported,
            newer: account.newer,
            unaccounted: account.unaccounted.list,
            randomized: movable,
            no_execute: promises.contains(pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT),
            guarded: promises.contains(pe::IMAGE_DLLCHARACTERISTICS_GUARD_CF),
        }),
    })
}

/// Imports, held against what the DLLs of Windows export.
struct Account<'data> {
    arch: &'data str,
    count: usize,
    not_exported: Vec<String>,
    newer: Vec<NewerImport>,
    unaccounted: Names<'data>,
}

/// The same for the imports from one DLL.
struct DllAccount<'a, 'data> {
    account: &'a mut Account<'data>,
    name: &'data [u8],
    /// The name as text, where a file can have it.
    text: Option<&'data str>,
    known: Option<&'static Dll>,
    delayed: bool,
}

impl<'data> Account<'data> {
    fn new(arch: &'data str) -> Self {
        Self { arch, count: 0, not_exported: Vec::new(), newer: Vec::new(), unaccounted: Names::default() }
    }

    fn of(&mut self, name: &'data [u8], delayed: bool) -> DllAccount<'_, 'data> {
        // A name that no file can have is none that is known.
        let text = std::str::from_utf8(name).ok().filter(|name| name.len() <= LONGEST_NAME);
        let known = text.and_then(|name| Windows::embedded().dll(name));
        DllAccount { account: self, name, text, known, delayed }
    }
}

impl DllAccount<'_, '_> {
    fn add(&mut self, import: Import<'_>, budget: &mut Budget) -> Result<(), Unreadable> {
        // Each counts, however short its name is: descriptors may share their tables.
        budget.take(1)?;
        if let Import::Name(_, name) = import {
            budget.take(name.len())?;
            if self.add_newer(&String::from_utf8_lossy(name))? {
                return Ok(());
            }
        }
        let Some(known) = self.known else { return self.account.unaccounted.push_once(self.name, budget) };
        let (exported, name) = match import {
            Import::Ordinal(number) => match known.exports_ordinal(number) {
                Some(false) => (Exported::No, Cow::Owned(format!("#{number}"))),
                Some(true) | None => (Exported::Yes, Cow::default()),
            },
            Import::Name(_, name) => {
                let name = String::from_utf8_lossy(name);
                (known.exports(&name, self.account.arch), name)
            }
        };
        let only = match exported {
            Exported::Yes => {
                self.account.count += 1;
                return Ok(());
            }
            Exported::No => String::new(),
            Exported::Elsewhere(architectures) => format!(" (only on {})", architectures.join(" and ")),
        };
        few(self.account.not_exported.len() + 1, "imports that no DLL exports")?;
        self.account.not_exported.push(format!("{}!{name}{only}", String::from_utf8_lossy(self.name)));
        Ok(())
    }

    /// Adds a function that the oldest supported Windows does not have; says whether it is one.
    fn add_newer(&mut self, name: &str) -> Result<bool, Unreadable> {
        let Some(dll) = self.text else { return Ok(false) };
        let Some(release) = Releases::embedded().newer(dll, name, self.account.arch) else { return Ok(false) };
        few(self.account.newer.len() + 1, "imports that only a newer Windows has")?;
        self.account.count += 1;
        self.account.newer.push(NewerImport {
            import: format!("{dll}!{name}"),
            since: release.name.clone(),
            build: release.build,
            delayed: self.delayed,
        });
        Ok(true)
    }
}

/// Names of DLLs, each once, in their order.
#[derive(Default)]
struct Names<'data> {
    list: Vec<String>,
    seen: HashSet<&'data [u8]>,
    /// With those that were there already.
    count: usize,
}

impl<'data> Names<'data> {
    fn push(&mut self, name: &'data [u8], budget: &mut Budget) -> Result<(), Unreadable> {
        self.count += 1;
        few(self.count, "imported DLLs")?;
        // Looking for a name reads all of it, whether it is new or not.
        budget.take(name.len())?;
        if self.seen.insert(name) {
            self.list.push(String::from_utf8_lossy(name).into_owned());
        }
        Ok(())
    }

    /// The same for a name that comes many times in a row.
    fn push_once(&mut self, name: &'data [u8], budget: &mut Budget) -> Result<(), Unreadable> {
        match self.seen.contains(name) {
            true => Ok(()),
            false => self.push(name, budget),
        }
    }
}

/// All that the headers announce must be there. `object` reads lazily and would not miss the tail of a file.
fn refuse_truncated<H: ImageNtHeaders>(bytes: &[u8]) -> Result<(), Unreadable> {
    let len = bytes.len();
    let truncated = |what: &str| Unreadable::Truncated(what.to_owned());
    let (dos, _) = pod::from_bytes::<ImageDosHeader>(bytes).map_err(|()| truncated("the file header"))?;
    let nt = u64::from(dos.nt_headers_offset());
    inside(len, nt, size_of::<H>() as u64, || "the PE header".to_owned())?;
    let mut offset = nt;
    let (headers, _) = H::parse(bytes, &mut offset)?;
    let header: &ImageFileHeader = headers.file_header();
    let sections = header.sections(bytes, offset).map_err(|_| truncated("the section headers"))?;
    for section in sections.iter() {
        // Uninitialised data takes no place in the file.
        if section.pointer_to_raw_data.get(LE) != 0 {
            inside(len, section.pointer_to_raw_data.get(LE).into(), section.size_of_raw_data.get(LE).into(), || {
                format!("section `{}`", String::from_utf8_lossy(section.raw_name()))
            })?;
        }
    }
    let symbols = u64::from(header.pointer_to_symbol_table.get(LE));
    if symbols != 0 {
        let strings = symbols + u64::from(header.number_of_symbols.get(LE)) * SYMBOL_SIZE;
        inside(len, strings, 4, || "the symbol table".to_owned())?;
        // The table of names begins with its own length.
        let size = usize::try_from(strings)
            .ok()
            .and_then(|start| bytes.get(start..)?.first_chunk())
            .map_or(0, |size| u32::from_le_bytes(*size));
        inside(len, strings, size.into(), || "the symbol names".to_owned())?;
    }
    Ok(())
}
