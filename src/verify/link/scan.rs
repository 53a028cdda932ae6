//! What the objects of a link line say: ARM levels, and who wants which symbol.

use std::collections::{BTreeMap, HashMap, HashSet};

use camino::{Utf8Path, Utf8PathBuf};
use object::endian::Endianness;
use object::read::archive::ArchiveFile;
use object::read::elf::{FileHeader, SectionHeader};
use object::read::macho::{MachHeader, Nlist};
use object::{FileKind, elf, macho};

use super::{ArmAttributes, ArmObjects, MAX_NAMED};
use crate::util::files::{Budget, brief};

/// How many inputs that could not be read are named.
const MAX_UNREAD: usize = 100;

/// Collects over all objects of a link.
#[derive(Debug, Default)]
pub struct Scan {
    arm: BTreeMap<ArmAttributes, (usize, Vec<String>)>,
    wanted: HashMap<String, Vec<String>>,
    defined: HashSet<String>,
    unread: Vec<String>,
}

/// The sum of a scan, in the form of the record.
#[derive(Debug)]
pub struct Scanned {
    pub arm: Vec<ArmObjects>,
    pub wanted_by: BTreeMap<String, Vec<String>>,
    pub unread: Vec<String>,
}

impl Scan {
    /// Takes one file of the link line into account. `read` gives the bytes of a thin archive's members.
    pub fn add(&mut self, path: &Utf8Path, bytes: &[u8], read: &dyn Fn(&Utf8Path) -> Option<Vec<u8>>) {
        let name = &*brief(path.file_name().unwrap_or(path.as_str()));
        if matches!(FileKind::parse(bytes), Ok(FileKind::Archive)) {
            if self.add_archive(path, name, bytes, read).is_none() {
                self.unread(name);
            }
        } else {
            self.add_object(name, bytes);
        }
    }

    /// Takes note of a file that exists and cannot be read.
    pub fn add_unread(&mut self, path: &Utf8Path) {
        self.unread(path.file_name().unwrap_or(path.as_str()));
    }

    /// A person needs a few of these, and verification only whether there are any.
    fn unread(&mut self, name: &str) {
        if self.unread.len() < MAX_UNREAD {
            self.unread.push(brief(name).into_owned());
        }
    }

    fn add_archive(
        &mut self,
        path: &Utf8Path,
        name: &str,
        bytes: &[u8],
        read: &dyn Fn(&Utf8Path) -> Option<Vec<u8>>,
    ) -> Option<()> {
        let archive = ArchiveFile::parse(bytes).ok()?;
        let mut budget = Budget::new(bytes.len());
        for member in archive.members() {
            let member = member.ok()?;
            // Members share one table of names.
            budget.take(member.name().len()).ok()?;
            let member_name = String::from_utf8_lossy(member.name());
            // rustc's metadata: no code, whatever it is wrapped in.
            if member_name.ends_with(".rmeta") {
                continue;
            }
            let object = format!("{name}({})", brief(&member_name));
            if archive.is_thin() {
                let dir = path.parent().unwrap_or(Utf8Path::new(""));
                match read(&dir.join(Utf8PathBuf::from(&*member_name))) {
                    Some(bytes) => self.add_object(&object, &bytes),
                    None => self.unread(&object),
                }
            } else {
                self.add_object(&object, member.data(bytes).ok()?);
            }
        }
        Some(())
    }

    fn add_object(&mut self, name: &str, bytes: &[u8]) {
        let seen = match FileKind::parse(bytes) {
            Ok(FileKind::Elf32) => self.add_arm(name, bytes),
            Ok(FileKind::MachO64) => self.add_macho(name, bytes),
            // What the linker would compile itself can hide anything.
            _ if is_bitcode(bytes) => None,
            // Linker scripts, stubs, shared libraries, values of options, other formats: no claim to collect.
            _ => Some(()),
        };
        if seen.is_none() {
            self.unread(name);
        }
    }

    fn add_arm(&mut self, name: &str, bytes: &[u8]) -> Option<()> {
        let header = elf::FileHeader32::<Endianness>::parse(bytes).ok()?;
        let endian = header.endian().ok()?;
        if header.e_machine(endian) != elf::EM_ARM || header.e_type(endian) != elf::ET_REL {
            return Some(());
        }
        // Assembly for another architecture, switched off by the preprocessor, leaves an object without code: what it was
        // assembled for says nothing.
        let sections = header.sections(endian, bytes).ok()?;
        let code = |section: &elf::SectionHeader32<Endianness>| {
            section.sh_flags(endian).contains(elf::SHF_EXECINSTR) && section.sh_size(endian) > 0
        };
        if !sections.iter().any(code) {
            return Some(());
        }
        if let Some(attributes) = ArmAttributes::of_elf(header, bytes).ok()? {
            let (count, names) = self.arm.entry(attributes).or_default();
            *count += 1;
            if names.len() < MAX_NAMED {
                names.push(name.to_owned());
            }
        }
        Some(())
    }

    fn add_macho(&mut self, name: &str, bytes: &[u8]) -> Option<()> {
        let header = macho::MachHeader64::<Endianness>::parse(bytes, 0).ok()?;
        let endian = header.endian().ok()?;
        if header.filetype(endian) != macho::MH_OBJECT {
            return Some(());
        }
        let mut budget = Budget::new(bytes.len());
        let mut commands = header.load_commands(endian, bytes, 0).ok()?;
        while let Some(command) = commands.next().ok()? {
            let Some(symtab) = command.symtab().ok()? else { continue };
            let symbols = symtab.symbols::<macho::MachHeader64<Endianness>, _>(endian, bytes).ok()?;
            for symbol in symbols.iter().filter(|symbol| !symbol.is_stab() && symbol.n_type().contains(macho::N_EXT)) {
                let text = budget.name(symbol.name(endian, symbols.strings()).ok()?).ok()?;
                // An undefined symbol with a value is a common one: the linker makes room for it.
                if symbol.is_undefined() && symbol.n_value(endian) == 0 {
                    let names = self.wanted.entry(text).or_default();
                    if names.len() < MAX_NAMED {
                        names.push(name.to_owned());
                    }
                } else {
                    self.defined.insert(text);
                }
            }
        }
        Some(())
    }

    pub fn finish(self) -> Scanned {
        let defined = self.defined;
        Scanned {
            arm: self
                .arm
                .into_iter()
                .map(|(attributes, (count, objects))| ArmObjects { attributes, count, objects })
                .collect(),
            wanted_by: self.wanted.into_iter().filter(|(symbol, _)| !defined.contains(symbol)).collect(),
            unread: self.unread,
        }
    }
}

/// LLVM's bitcode, bare or wrapped.
fn is_bitcode(bytes: &[u8]) -> bool {
    bytes.starts_with(b"BC\xc0\xde") || bytes.starts_with(&[0xde, 0xc0, 0x17, 0x0b])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_that_share_one_long_name_are_not_collected() {
        let (symbols, text) = (3000_u32, 60_000_u32);
        let start = 32 + 24;
        // MH_OBJECT for arm64 with LC_SYMTAB: undefined symbols that may be anybody's.
        let mut words = vec![0xfeed_facf, 0x0100_000c, 0, 1, 1, 24, 0, 0];
        words.extend([2, 24, start, symbols, start + symbols * 16, text]);
        words.extend((0..symbols).flat_map(|at| [at, 1, 0, 0]));
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.extend(vec![b'n'; text as usize - 1]);
        bytes.push(0);
        let mut scan = Scan::default();
        scan.add("x.o".into(), &bytes, &|_| None);
        assert!(scan.wanted.keys().map(String::len).sum::<usize>() <= 16 * bytes.len());
        assert_eq!(scan.finish().unread, ["x.o"]);
    }

    #[test]
    fn members_that_cannot_be_read_are_named_briefly_and_not_all() {
        // A thin archive: the members' names share one table, and none of them is there.
        let table = format!("{}/\n", "n".repeat(2000));
        let header = |name: &str, size: usize| format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 644);
        let mut archive = format!("!<thin>\n{}{table}", header("//", table.len()));
        (0..150).for_each(|at| archive.push_str(&header(&format!("/{at}"), 0)));
        let mut scan = Scan::default();
        scan.add("libx.a".into(), archive.as_bytes(), &|_| None);
        let unread = scan.finish().unread;
        assert_eq!(unread.last().map(String::as_str), Some("libx.a"));
        assert!(unread.len() <= MAX_UNREAD, "{}", unread.len());
        assert!(unread.iter().all(|name| name.chars().count() <= 220), "{unread:?}");
    }
}
