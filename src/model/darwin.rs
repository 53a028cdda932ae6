//! What is known of macOS's libraries and frameworks: `targets/darwin/*`, read once.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use serde::Deserialize;

const LIBSYSTEM: &str = include_str!("../../targets/darwin/libsystem.txt");
const LIBRARIES: &str = include_str!("../../targets/darwin/libraries.toml");
const FRAMEWORKS: &str = include_str!("../../targets/darwin/frameworks.toml");

/// The embedded data; broken data is a defect that a unit test finds.
pub(crate) static DATA: LazyLock<Data> = LazyLock::new(|| match Data::read(LIBSYSTEM, LIBRARIES, FRAMEWORKS) {
    Ok(data) => data,
    Err(error) => unreachable!("embedded darwin data: {error}"),
});

/// What is known of macOS's libraries and frameworks.
#[derive(Debug)]
pub(crate) struct Data {
    /// libSystem's link names and install name.
    pub system: System,
    /// libSystem's exports.
    pub system_exports: Vec<Export>,
    /// The names of `system_exports`, of any architecture.
    pub system_names: HashSet<String>,
    /// Libraries beside libSystem.
    pub libraries: Vec<Library>,
    /// Frameworks by name.
    pub frameworks: BTreeMap<String, Framework>,
}

/// libSystem.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct System {
    pub names: Vec<String>,
    pub install_name: String,
}

/// A library of `/usr/lib`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Library {
    pub names: Vec<String>,
    pub install_name: String,
    #[serde(default)]
    pub symbols: Vec<Export>,
    #[serde(default)]
    pub prefixes: Vec<String>,
}

/// A framework.
#[derive(Debug)]
pub(crate) struct Framework {
    /// Where the program looks for it on the user's machine.
    pub install_name: String,
    /// Which symbols are its own.
    pub family: Family,
}

/// Which symbols are a framework's own; the data file says what each kind of prefix means.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Family {
    #[serde(default)]
    pub names: Vec<String>,
    #[serde(default)]
    pub classes: Vec<String>,
    #[serde(default)]
    pub prefixes: Vec<String>,
    #[serde(default)]
    pub symbols: Vec<String>,
    #[serde(default)]
    pub includes: Vec<String>,
}

/// An exported symbol.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(from = "String")]
pub(crate) struct Export {
    pub name: String,
    /// The one architecture that has it, in Apple's spelling; none where all have it.
    pub only: Option<String>,
}

impl From<String> for Export {
    fn from(line: String) -> Self {
        match line.split_once(' ') {
            Some((name, only)) => Self { name: name.to_owned(), only: Some(only.to_owned()) },
            None => Self { name: line, only: None },
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LibrariesFile {
    system: System,
    library: Vec<Library>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrameworksFile {
    public: Vec<String>,
    private: Vec<String>,
    versions: BTreeMap<String, String>,
    family: BTreeMap<String, Family>,
}

impl Data {
    fn read(libsystem: &str, libraries: &str, frameworks: &str) -> Result<Self, toml::de::Error> {
        let LibrariesFile { system, library } = toml::from_str(libraries)?;
        let FrameworksFile { public, private, versions, mut family } = toml::from_str(frameworks)?;
        let system_exports: Vec<Export> = libsystem
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| Export::from(line.to_owned()))
            .collect();
        let frameworks = (public.into_iter().map(|name| ("Frameworks", name)))
            .chain(private.into_iter().map(|name| ("PrivateFrameworks", name)))
            .map(|(folder, name)| {
                let version = versions.get(&name).map_or("A", String::as_str);
                let install_name = format!("/System/Library/{folder}/{name}.framework/Versions/{version}/{name}");
                let family = family.remove(&name).unwrap_or_default();
                (name, Framework { install_name, family })
            })
            .collect();
        let system_names = system_exports.iter().map(|export| export.name.clone()).collect();
        Ok(Self { system, system_exports, system_names, libraries: library, frameworks })
    }
}

/// Whether macOS has a framework of this name.
pub(crate) fn ships_framework(name: &str) -> bool {
    DATA.frameworks.contains_key(name)
}

/// Whether macOS has a library of this link name that a stub is written for.
pub(crate) fn ships_library(name: &str) -> bool {
    let data = &*DATA;
    let names = data.libraries.iter().flat_map(|library| &library.names);
    names.chain(&data.system.names).any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_data_is_sound() {
        let data = Data::read(LIBSYSTEM, LIBRARIES, FRAMEWORKS).unwrap();
        assert!(data.system_exports.len() > 9000);
        let architectures = [None, Some("x86_64"), Some("arm64")];
        for export in data.system_exports.iter().chain(data.libraries.iter().flat_map(|library| &library.symbols)) {
            assert!(architectures.contains(&export.only.as_deref()), "{export:?}");
        }
        let mut names = BTreeSet::new();
        for name in data.system.names.iter().chain(data.libraries.iter().flat_map(|library| &library.names)) {
            assert!(names.insert(name), "two libraries are called {name}");
        }
        for (name, framework) in &data.frameworks {
            for included in &framework.family.includes {
                assert!(data.frameworks.contains_key(included) || names.contains(included), "{name}: {included}");
            }
        }
    }

    #[test]
    fn every_family_and_version_names_a_framework() {
        let file: FrameworksFile = toml::from_str(FRAMEWORKS).unwrap();
        let listed: Vec<&String> = file.public.iter().chain(&file.private).collect();
        assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "a framework is listed twice");
        for name in file.family.keys().chain(file.versions.keys()) {
            assert!(listed.contains(&name), "{name}");
        }
    }

    #[test]
    fn libsystem_has_what_programs_and_compilers_ask_for() {
        for name in [
            "_malloc",
            "_getentropy",
            "___stack_chk_fail",
            "__tlv_bootstrap",
            "dyld_stub_binder",
            "__Unwind_Resume",
            "__availability_version_check",
            "___chkstk_darwin",
            "_CCRandomGenerateBytes",
            "_readdir$INODE64",
            "_OBJC_CLASS_$_OS_dispatch_queue",
        ] {
            assert!(DATA.system_names.contains(name), "{name}");
        }
        assert!(!DATA.system_names.iter().any(|name| name.starts_with("$ld$")));
    }
}
