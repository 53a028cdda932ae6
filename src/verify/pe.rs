//! Reading PE.

use std::collections::HashSet;

use object::LittleEndian as LE;
use object::pe::{self, IMAGE_FILE_DLL, ImageDosHeader, ImageFileHeader};
use object::read::coff::CoffHeader as _;
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader as _, PeFile};
use object::{Object as _, pod};

use super::unreadable::{few, inside};
use super::{Facts, Inspection, Kind, Linkage, Pe, Unreadable};
use crate::model::architecture::name_of;
use crate::util::files::Budget;

/// The size of one COFF symbol.
const SYMBOL_SIZE: u64 = 18;

pub(super) fn inspect<H: ImageNtHeaders>(bytes: &[u8]) -> Result<Inspection, Unreadable> {
    refuse_truncated::<H>(bytes)?;
    let file = PeFile::<H>::parse(bytes)?;
    let header = file.nt_headers().file_header();
    let optional = file.nt_headers().optional_header();

    let mut budget = Budget::new(bytes.len());
    let mut names = Names::default();
    if let Some(table) = file.import_table()? {
        let mut descriptors = table.descriptors()?;
        while let Some(descriptor) = descriptors.next()? {
            names.push(table.name(descriptor.name.get(LE))?, &mut budget)?;
        }
    }
    let mut delayed = Names::default();
    if let Some(table) = file.delay_load_import_table()? {
        let mut descriptors = table.descriptors()?;
        while let Some(descriptor) = descriptors.next()? {
            delayed.push(table.name(descriptor.dll_name_rva.get(LE))?, &mut budget)?;
        }
    }
    let delay_loaded = delayed.list;
    for name in &delay_loaded {
        names.push(name.as_bytes(), &mut budget)?;
    }
    let needed = names.list;

    let is_dll = header.characteristics.get(LE).contains(IMAGE_FILE_DLL);
    let movable = optional.dll_characteristics().contains(pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE);
    Ok(Inspection {
        arch: name_of(file.architecture(), true),
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
        }),
    })
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
