//! What the DLLs of Windows export, since which release, and which import library leads to which: `targets/windows/`.

mod releases;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use serde::Deserialize;

pub use releases::{Release, Releases};

use crate::util::files::sha256;

const EXPORTS: &str = include_str!("../../targets/windows/exports.txt");

const LIBRARIES: &str = include_str!("../../targets/windows/libraries.toml");

/// The architectures that the lists are about.
const ARCHITECTURES: [&str; 3] = ["aarch64", "x86", "x86_64"];

/// What is known of the DLLs of Windows.
#[derive(Debug)]
pub struct Windows {
    /// Import libraries that stand for one DLL, by name.
    libraries: BTreeMap<&'static str, Library>,
    /// Libraries of the SDK that are none of those.
    names: Names,
    /// Every DLL, by its name in lower case.
    dlls: HashMap<String, Dll>,
}

/// All that a DLL exports, whatever its import libraries are.
#[derive(Debug, Default)]
pub struct Dll {
    /// Each name with the only architectures that have it; none where others may have it too.
    names: HashMap<&'static str, Option<Vec<&'static str>>>,
    ordinals: HashSet<u16>,
}

/// Whether a DLL exports a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exported<'a> {
    /// As far as is known.
    Yes,
    /// On no architecture.
    No,
    /// On these architectures only, and the one in question is none of them.
    Elsewhere(&'a [&'static str]),
}

impl Dll {
    /// Whether it exports a name on an architecture, as [`crate::model::architecture`] names it.
    pub fn exports(&self, name: &str, architecture: &str) -> Exported<'_> {
        match self.names.get(name) {
            None => Exported::No,
            Some(Some(only)) if ARCHITECTURES.contains(&architecture) && !only.contains(&architecture) => {
                Exported::Elsewhere(only)
            }
            Some(_) => Exported::Yes,
        }
    }

    /// Whether it exports something by a number; none where its list has names alone.
    pub fn exports_ordinal(&self, number: u16) -> Option<bool> {
        (!self.ordinals.is_empty()).then(|| self.ordinals.contains(&number))
    }
}

/// An import library that stands for one DLL.
#[derive(Debug)]
pub struct Library {
    /// The DLL.
    pub dll: &'static str,
    /// What it exports.
    pub exports: Vec<Export>,
}

/// Something that a DLL exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The name that programs have for it.
    pub name: &'static str,
    /// How 32-bit code calls it.
    pub call: Call,
    /// Whether it is no function.
    pub data: bool,
    /// Its number, where it has no name.
    pub ordinal: Option<u16>,
    /// Its name in the DLL, where `name` is another spelling of it for C programs.
    alias_of: Option<&'static str>,
    /// The architectures that are known to have it, as [`crate::model::architecture`] names them; empty where all have it.
    architectures: Vec<&'static str>,
    /// Whether the other architectures are known not to have it.
    only: bool,
}

/// How 32-bit x86 code calls a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The caller removes the arguments.
    C,
    /// The function removes that many bytes of arguments.
    Standard(u16),
    /// The same, with the first two in registers.
    Fast(u16),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Names {
    collections: BTreeMap<String, Vec<String>>,
    c_runtime: CRuntime,
    constants: Listed,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CRuntime {
    names: Vec<String>,
    libraries: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    names: Vec<String>,
}

static WINDOWS: LazyLock<Windows> = LazyLock::new(|| {
    let names =
        toml::from_str(LIBRARIES).unwrap_or_else(|error| panic!("embedded targets/windows/libraries.toml: {error}"));
    let libraries = parse(EXPORTS);
    let mut dlls: HashMap<String, Dll> = HashMap::new();
    for library in libraries.values() {
        let dll = dlls.entry(library.dll.to_ascii_lowercase()).or_default();
        dll.ordinals.extend(library.exports.iter().filter_map(|export| export.ordinal));
        for export in &library.exports {
            let only = export.only.then_some(&export.architectures);
            // The libraries of one DLL add up: what one of them has for sure is there.
            match dll.names.entry(export.exported_name()) {
                Entry::Vacant(entry) => _ = entry.insert(only.cloned()),
                Entry::Occupied(mut entry) => match (entry.get_mut(), only) {
                    (Some(known), Some(more)) => known.extend(more),
                    (known, _) => *known = None,
                },
            }
        }
    }
    Windows { libraries, names, dlls }
});

fn parse(text: &'static str) -> BTreeMap<&'static str, Library> {
    let mut libraries = BTreeMap::new();
    let mut last: Option<(&str, Library)> = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, dll)) = line.strip_prefix('[').and_then(|line| line.trim_end_matches(']').split_once(' ')) {
            libraries.extend(last.replace((name, Library { dll, exports: Vec::new() })));
        } else if let (Some((_, library)), Some(export)) = (&mut last, Export::parse(line)) {
            library.exports.push(export);
        }
    }
    libraries.extend(last);
    libraries
}

impl Export {
    fn parse(line: &'static str) -> Option<Self> {
        let mut words = line.split(' ');
        let name = words.next().filter(|name| !name.is_empty())?;
        let mut export = Self {
            name,
            call: Call::C,
            data: false,
            ordinal: None,
            alias_of: None,
            architectures: Vec::new(),
            only: false,
        };
        for word in words {
            if let Some(bytes) = word.strip_prefix("@@") {
                export.call = Call::Fast(bytes.parse().ok()?);
            } else if let Some(bytes) = word.strip_prefix('@') {
                export.call = Call::Standard(bytes.parse().ok()?);
            } else if let Some(number) = word.strip_prefix('#') {
                export.ordinal = Some(number.parse().ok()?);
            } else if let Some(name) = word.strip_prefix('=') {
                export.alias_of = Some(name);
            } else if word == "data" {
                export.data = true;
            } else if word == "only" {
                export.only = true;
            } else {
                export.architectures.push(word);
            }
        }
        Some(export)
    }

    /// Its name in the DLL.
    pub fn exported_name(&self) -> &'static str {
        self.alias_of.unwrap_or(self.name)
    }

    /// Whether the DLL of an architecture has it.
    pub fn is_on(&self, architecture: &str) -> bool {
        self.architectures.is_empty() || self.architectures.contains(&architecture)
    }

    /// The symbol by which an object of an architecture asks for it.
    pub fn symbol(&self, architecture: &str) -> String {
        match self.call {
            // C++ names are decorated already.
            _ if architecture != "x86" || self.name.starts_with('?') => self.name.to_owned(),
            Call::C => format!("_{}", self.name),
            Call::Standard(bytes) => format!("_{}@{bytes}", self.name),
            Call::Fast(bytes) => format!("@{}@{bytes}", self.name),
        }
    }
}

impl Windows {
    /// What is embedded in this program.
    pub fn embedded() -> &'static Self {
        &WINDOWS
    }

    /// What the tables are, in short.
    pub fn digest() -> &'static str {
        static DIGEST: LazyLock<String> = LazyLock::new(|| sha256(format!("{EXPORTS}\0{LIBRARIES}")));
        &DIGEST
    }

    /// Every import library: its name, and the libraries that stand for one DLL and make it up.
    pub fn import_libraries(&self) -> impl Iterator<Item = (&str, Vec<&Library>)> {
        let single = self.libraries.iter().map(|(name, library)| (*name, vec![library]));
        let collections = self.names.collections.iter().map(|(name, parts)| (name.as_str(), self.parts(parts)));
        single.chain(collections)
    }

    fn parts(&self, names: &[String]) -> Vec<&Library> {
        names.iter().filter_map(|name| self.libraries.get(name.as_str())).collect()
    }

    /// What the C runtime is made of, besides convoy's start-up code.
    pub fn c_runtime(&self) -> Vec<&Library> {
        self.parts(&self.names.c_runtime.libraries)
    }

    /// The names by which objects ask for a C runtime.
    pub fn c_runtime_names(&self) -> &[String] {
        &self.names.c_runtime.names
    }

    /// Libraries that only have constants.
    pub fn constants(&self) -> &[String] {
        &self.names.constants.names
    }

    /// A DLL whose exports are known.
    pub fn dll(&self, name: &str) -> Option<&Dll> {
        self.dlls.get(&name.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_windows_exports_is_known_with_its_symbols() {
        let windows = Windows::embedded();
        let export = |library: &str, name: &str| {
            let found = windows.libraries[library].exports.iter().find(|export| export.name == name);
            found.unwrap_or_else(|| panic!("{library} has no {name}")).clone()
        };
        let create = export("kernel32", "CreateFileW");
        assert_eq!(
            (create.symbol("x86").as_str(), create.symbol("aarch64").as_str()),
            ("_CreateFileW@28", "CreateFileW")
        );
        assert_eq!(export("api-ms-win-crt-string-l1-1-0", "strlen").symbol("x86"), "_strlen");
        let handler = export("api-ms-win-crt-private-l1-1-0", "__C_specific_handler");
        assert!(handler.is_on("x86_64") && handler.is_on("aarch64") && !handler.is_on("x86"));
        assert!(export("api-ms-win-crt-private-l1-1-0", "__dcrt_initial_narrow_environment").data);
        let kernel = windows.dll("Kernel32.DLL").unwrap();
        assert_eq!(kernel.exports("CreateFileW", "aarch64"), Exported::Yes);
        assert_eq!(kernel.exports("CreateFileX", "aarch64"), Exported::No);
        // Intrinsics of compilers, except for 32-bit x86.
        assert_eq!(kernel.exports("InterlockedIncrement", "x86"), Exported::Yes);
        assert_eq!(kernel.exports("InterlockedIncrement", "aarch64"), Exported::Elsewhere(&["x86"]));
        let c = windows.dll("ucrtbase.dll").unwrap();
        assert_eq!(c.exports("sinf", "x86"), Exported::Elsewhere(&["aarch64", "x86_64"]));
        // The list for 32-bit x86 has it, and the one for others may just be older.
        assert_eq!(windows.dll("credui.dll").unwrap().exports("DllCanUnloadNow", "aarch64"), Exported::Yes);
        assert!(windows.dll("zlib1.dll").is_none());
    }

    #[test]
    fn the_tables_are_tidy() {
        let windows = Windows::embedded();
        let lists = [&windows.names.c_runtime.libraries].into_iter().chain(windows.names.collections.values());
        for name in lists.flatten() {
            assert!(windows.libraries.contains_key(name.as_str()), "{name} is no library of exports.txt");
        }
        let mut seen: HashSet<&str> = windows.libraries.keys().copied().collect();
        let names = [&windows.names.c_runtime.names, &windows.names.constants.names];
        let names = names.into_iter().flatten().chain(windows.names.collections.keys());
        for name in names {
            assert!(seen.insert(name), "{name} stands twice");
        }
        for (name, library) in &windows.libraries {
            let mut names = HashSet::new();
            for export in &library.exports {
                assert!(names.insert(export.name), "{name}: {} stands twice", export.name);
                assert!(export.architectures.iter().all(|it| ARCHITECTURES.contains(it)), "{name}: {}", export.name);
            }
        }
        assert_eq!(
            EXPORTS.lines().filter(|line| Export::parse(line).is_none() && !line.starts_with(['#', '['])).count(),
            0
        );
    }
}
