//! What people call targets, what is made of several, and systems that need files of their vendors.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Catalog, Target};

/// Words that people type, by the word that convoy has for each.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spellings {
    /// Those that mean nothing else.
    pub(super) same: BTreeMap<String, Vec<String>>,
    /// Those that may.
    pub(super) suggest: BTreeMap<String, Vec<String>>,
}

/// A system whose programs need files that convoy may not hand on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vendor {
    /// Words of the triples that mean it.
    pub(super) words: Vec<String>,
    /// The files that are needed.
    pub needs: String,
    /// The variables that people set to the directory of those files.
    pub variables: Vec<String>,
    /// Where they come from; `{linker}` stands for the linker.
    pub(super) hint: String,
    /// The linker below that directory; `{name}` stands for the triple by the vendor's name.
    linker: Option<String>,
    /// The vendor's names of triples, where they are not Rust's.
    #[serde(default)]
    names: BTreeMap<String, String>,
}

impl Vendor {
    /// What to do to get the files.
    pub fn hint(&self, triple: &str) -> String {
        self.hint.replace("{linker}", self.linker(triple).as_deref().unwrap_or_default())
    }

    /// The linker for a triple, below the directory of those files.
    pub fn linker(&self, triple: &str) -> Option<String> {
        let name = self.names.get(triple).map_or(triple, String::as_str);
        Some(self.linker.as_ref()?.replace("{name}", name))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VendorFile {
    pub(super) vendor: Vec<Vendor>,
}

/// A file that joins the binaries of several targets.
#[derive(Clone, Copy, Debug)]
pub struct Universal {
    /// Its name in place of a triple, as other tools call it.
    pub triple: &'static str,
    /// Its platform.
    pub platform: &'static str,
    /// The triples that it joins.
    pub halves: [&'static str; 2],
}

/// The one that there is: for macOS.
pub const UNIVERSAL: Universal = Universal {
    triple: "universal2-apple-darwin",
    platform: "darwin/universal",
    halves: ["x86_64-apple-darwin", "aarch64-apple-darwin"],
};

impl Universal {
    /// Whether a word means it.
    pub fn is(&self, word: &str) -> bool {
        word == self.triple || word == self.platform
    }
}

/// Which of its two C runtimes a word for 64-bit Windows means: configuration's `windows`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum WindowsRuntime {
    /// mingw-w64's.
    #[default]
    Gnu,
    /// The one that Microsoft's compiler uses.
    Msvc,
}

impl WindowsRuntime {
    /// Its name in configuration.
    pub fn name(self) -> &'static str {
        match self {
            WindowsRuntime::Gnu => "gnu",
            WindowsRuntime::Msvc => "msvc",
        }
    }
}

impl Catalog {
    /// The target that a platform means.
    pub fn target_of_platform(&self, platform: &str, windows: WindowsRuntime) -> Option<&Target> {
        self.targets.iter().find(|target| self.platform_of(target, windows) == Some(platform))
    }

    /// The platform that means a target.
    pub fn platform_of<'a>(&self, target: &'a Target, windows: WindowsRuntime) -> Option<&'a str> {
        let taken = |platform: &str| self.targets.iter().any(|other| other.msvc_platform.as_deref() == Some(platform));
        match windows {
            WindowsRuntime::Gnu => target.platform.as_deref(),
            WindowsRuntime::Msvc => {
                target.msvc_platform.as_deref().or(target.platform.as_deref().filter(|platform| !taken(platform)))
            }
        }
    }

    /// Convoy's word for what people elsewhere call otherwise, and nothing else: `linux/arm64` for `aarch64`.
    pub fn synonym(&self, word: &str) -> Option<&str> {
        find_spelling(&self.spellings.same, word)
    }

    /// A word with convoy's own name in place of a synonym; a glibc floor at its end stays.
    pub fn canonical<'a>(&self, word: &'a str) -> Cow<'a, str> {
        let (name, floor) = split_floor(word);
        match self.synonym(name) {
            Some(own) => floor.map_or_else(|| own.to_owned(), |floor| format!("{own}.{floor}")).into(),
            None => word.into(),
        }
    }

    /// The same for words that may mean something else, such as `x86_64-unknown-linux-musl` for `alpine`.
    pub fn spelling(&self, word: &str) -> Option<&str> {
        self.synonym(word).or_else(|| find_spelling(&self.spellings.suggest, word))
    }

    /// Whose files a triple's programs need; none for most.
    pub fn vendor(&self, triple: &str) -> Option<&Vendor> {
        let is_of = |vendor: &&Vendor| triple.split('-').skip(1).any(|word| vendor.words.iter().any(|own| own == word));
        self.vendors.iter().find(is_of)
    }

    /// The variables that people set to the directory of a vendor's files.
    pub fn vendor_variables(&self) -> impl Iterator<Item = &str> {
        self.vendors.iter().flat_map(|vendor| &vendor.variables).map(String::as_str)
    }
}

/// A target word, apart from the glibc floor that may follow a dot.
pub(crate) fn split_floor(word: &str) -> (&str, Option<&str>) {
    // Neither triples nor platforms nor devices that take a floor hold a dot; rustc's few that do
    // (`thumbv8m.main-none-eabi`) have a letter behind it.
    match word.split_once('.') {
        Some((name, floor)) if floor.starts_with(|c: char| c.is_ascii_digit()) => (name, Some(floor)),
        _ => (word, None),
    }
}

fn find_spelling<'a>(spellings: &'a BTreeMap<String, Vec<String>>, word: &str) -> Option<&'a str> {
    let word = word.to_lowercase();
    spellings.iter().find(|(_, others)| others.contains(&word)).map(|(own, _)| own.as_str())
}
