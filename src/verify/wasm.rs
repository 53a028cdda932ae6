//! Reading WebAssembly modules.

use std::collections::BTreeSet;

use wasmparser::{Chunk, Encoding, ExternalKind, Parser, Payload, TypeRef};

use super::unreadable::few;
use super::{Facts, Inspection, Kind, Linkage, Unreadable, Wasm, WasmImport};
use crate::util::files::Budget;

/// The function that a runtime starts a program with.
const START: &str = "_start";

/// Imports of one module. WASI has about fifty functions.
const MOST_IMPORTS: usize = 1 << 16;

pub(super) fn inspect(bytes: &[u8]) -> Result<Inspection, Unreadable> {
    let mut budget = Budget::new(bytes.len());
    let mut seen = Module::default();
    let mut parser = Parser::new(0);
    let mut rest = bytes;
    loop {
        let chunk = parser.parse(rest, true).map_err(|error| {
            if error.message().starts_with("unexpected end") {
                Unreadable::Truncated("a section".to_owned())
            } else {
                Unreadable::Damaged(error.message().to_owned())
            }
        })?;
        let Chunk::Parsed { consumed, payload } = chunk else {
            return Err(Unreadable::Truncated("a section".to_owned()));
        };
        match payload {
            Payload::End(_) => break,
            Payload::CodeSectionStart { count, size, .. } => {
                // What functions do is not looked at.
                seen.bodies = count;
                let size = size as usize;
                let code = rest.get(consumed..).unwrap_or_default();
                rest = code.get(size..).ok_or_else(|| Unreadable::Truncated("the code section".to_owned()))?;
                parser.skip_section();
                continue;
            }
            payload => seen.take(payload, &mut budget)?,
        }
        rest = &rest[consumed..];
    }
    if seen.functions != seen.bodies {
        return Err(Unreadable::Truncated("the code section".to_owned()));
    }
    if seen.data_count.is_some_and(|count| count != seen.data) {
        return Err(Unreadable::Truncated("the data section".to_owned()));
    }
    let needed: BTreeSet<String> = seen.imports.iter().map(|import| import.module.clone()).collect();
    Ok(Inspection {
        arch: if seen.wide { "wasm64" } else { "wasm32" }.to_owned(),
        bits: if seen.wide { 64 } else { 32 },
        kind: if seen.starts { Kind::Executable } else { Kind::SharedLibrary },
        linkage: Linkage::Static,
        linker: None,
        stripped: !seen.names,
        needed: needed.into_iter().collect(),
        cpu: None,
        facts: Facts::Wasm(Wasm { imports: seen.imports }),
    })
}

/// What its sections hold.
#[derive(Default)]
struct Module {
    imports: Vec<WasmImport>,
    functions: u32,
    bodies: u32,
    data_count: Option<u32>,
    data: u32,
    /// Whether its memory has addresses of 64 bits.
    wide: bool,
    starts: bool,
    names: bool,
}

impl Module {
    fn take(&mut self, payload: Payload<'_>, budget: &mut Budget) -> Result<(), Unreadable> {
        let damaged = |error: wasmparser::BinaryReaderError| Unreadable::Damaged(error.message().to_owned());
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => {
                return Err(Unreadable::Foreign("a WebAssembly component".to_owned()));
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(damaged)?;
                    if self.imports.len() == MOST_IMPORTS {
                        return Err(Unreadable::Damaged("it has too many imports".to_owned()));
                    }
                    self.wide |= matches!(import.ty, TypeRef::Memory(memory) if memory.memory64);
                    self.imports.push(WasmImport {
                        module: budget.name(import.module.as_bytes())?,
                        name: budget.name(import.name.as_bytes())?,
                    });
                }
            }
            Payload::FunctionSection(section) => self.functions = section.count(),
            Payload::MemorySection(section) => {
                few(section.count() as usize, "memories")?;
                for memory in section {
                    self.wide |= memory.map_err(damaged)?.memory64;
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.map_err(damaged)?;
                    self.starts |= export.kind == ExternalKind::Func && export.name == START;
                }
            }
            Payload::DataCountSection { count, .. } => self.data_count = Some(count),
            Payload::DataSection(section) => self.data = section.count(),
            Payload::CustomSection(section) => self.names |= section.name() == "name",
            _ => {}
        }
        Ok(())
    }
}
