//! rustc's target triple, taken apart once.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::model::architecture::Architecture;
use crate::model::catalog::Format;

/// A target triple, such as `aarch64-unknown-linux-gnu`. It is a string that knows what its words mean.
///
/// ```
/// use cargo_convoy::model::triple::{Os, Triple};
/// let triple = Triple::from("armv7-unknown-linux-gnueabihf");
/// assert!(triple.is_glibc() && triple.os() == Os::Linux && triple.starts_with("armv7"));
/// ```
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(from = "String", into = "String")]
pub struct Triple {
    text: String,
    os: Os,
    libc: Libc,
}

/// The operating system of a triple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Os {
    /// Linux with a C library of its own; Android is another system.
    Linux,
    /// Windows.
    Windows,
    /// macOS and Apple's other systems.
    Apple,
    /// Another Unix, whose programs are ELF files.
    Unix,
    /// A runtime of WebAssembly with WASI.
    Wasi,
    /// Anything else, or none.
    #[default]
    Other,
}

/// The C library that a triple names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Libc {
    /// glibc, or MinGW's on Windows.
    Gnu,
    /// musl.
    Musl,
    /// Microsoft's.
    Msvc,
    /// Another one, or none that the triple names.
    #[default]
    Other,
}

impl Triple {
    fn new(text: String) -> Self {
        let words: Vec<&str> = text.split('-').skip(1).collect();
        let any = |names: &[&str]| words.iter().any(|word| names.iter().any(|name| word.starts_with(name)));
        let os = if any(&["windows", "uefi", "cygwin"]) {
            Os::Windows
        } else if any(&["darwin", "macos", "ios", "tvos", "watchos", "visionos"]) {
            Os::Apple
        } else if any(&["linux"]) && !any(&["android"]) {
            Os::Linux
        } else if any(&["android", "freebsd", "netbsd", "openbsd", "dragonfly", "illumos", "solaris", "fuchsia"]) {
            Os::Unix
        } else if any(&["wasi"]) {
            Os::Wasi
        } else {
            Os::Other
        };
        let abi = words.last().copied().unwrap_or_default();
        let libc = if abi.starts_with("gnu") {
            Libc::Gnu
        } else if abi.starts_with("musl") {
            Libc::Musl
        } else if abi == "msvc" {
            Libc::Msvc
        } else {
            Libc::Other
        };
        Self { text, os, libc }
    }

    /// The triple as rustc writes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its operating system.
    pub fn os(&self) -> Os {
        self.os
    }

    /// Whether its programs run on Linux.
    pub fn is_linux(&self) -> bool {
        self.os == Os::Linux
    }

    /// Whether its programs run on Windows.
    pub fn is_windows(&self) -> bool {
        self.os == Os::Windows
    }

    /// Whether its programs run on one of Apple's systems.
    pub fn is_apple(&self) -> bool {
        self.os == Os::Apple
    }

    /// Whether its programs run on macOS.
    pub fn is_macos(&self) -> bool {
        self.text.ends_with("-apple-darwin")
    }

    /// Whether its programs use glibc.
    pub fn is_glibc(&self) -> bool {
        self.os == Os::Linux && self.libc == Libc::Gnu
    }

    /// Whether its programs use musl.
    pub fn is_musl(&self) -> bool {
        self.os == Os::Linux && self.libc == Libc::Musl
    }

    /// Whether its programs are WebAssembly modules.
    pub fn is_wasm(&self) -> bool {
        self.os == Os::Wasi
    }

    /// Whether it is a Windows target with MinGW's C library.
    pub fn is_mingw(&self) -> bool {
        self.os == Os::Windows && self.libc == Libc::Gnu
    }

    /// Whether it is a Windows target with Microsoft's C library.
    pub fn is_msvc(&self) -> bool {
        self.os == Os::Windows && self.libc == Libc::Msvc
    }

    /// Its first word: the architecture, and often a level or variant of it.
    pub fn architecture_word(&self) -> &str {
        self.text.split('-').next().unwrap_or_default()
    }

    /// Its architecture; none where that is not known.
    pub fn architecture(&self) -> Option<&'static Architecture> {
        Architecture::of_triple(&self.text)
    }

    /// The executable format of its system; none where that is not known.
    pub fn format(&self) -> Option<Format> {
        match self.os {
            Os::Linux | Os::Unix => Some(Format::Elf),
            Os::Windows => Some(Format::Pe),
            Os::Apple => Some(Format::MachO),
            Os::Wasi => Some(Format::Wasm),
            Os::Other => None,
        }
    }

    /// The instruction set and pointer width, as inspections of binaries name it; none where that is not known.
    pub fn instruction_set(&self) -> Option<&'static str> {
        match self.architecture_word() {
            "x86_64" if self.text.ends_with("x32") => Some("x32"),
            "aarch64" if self.text.ends_with("ilp32") => Some("aarch64_ilp32"),
            _ => self.architecture().map(|known| known.name.as_str()),
        }
    }
}

impl From<String> for Triple {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Triple {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl From<Triple> for String {
    fn from(triple: Triple) -> Self {
        triple.text
    }
}

impl Deref for Triple {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

/// As its text, which [`Borrow`] asks for.
impl Hash for Triple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Borrow<str> for Triple {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl AsRef<str> for Triple {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl AsRef<std::ffi::OsStr> for Triple {
    fn as_ref(&self) -> &std::ffi::OsStr {
        self.text.as_ref()
    }
}

impl fmt::Display for Triple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl PartialEq<str> for Triple {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl PartialEq<&str> for Triple {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}

impl PartialEq<String> for Triple {
    fn eq(&self, other: &String) -> bool {
        self.text == *other
    }
}

impl PartialEq<Triple> for str {
    fn eq(&self, other: &Triple) -> bool {
        self == other.text
    }
}

impl PartialEq<Triple> for &str {
    fn eq(&self, other: &Triple) -> bool {
        *self == other.text
    }
}

impl PartialEq<Triple> for String {
    fn eq(&self, other: &Triple) -> bool {
        *self == other.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::Catalog;

    #[test]
    fn words_mean_what_the_catalog_says() {
        for target in &Catalog::embedded().targets {
            assert_eq!(target.triple.format(), Some(target.expect.format), "{}", target.triple);
            assert_eq!(target.triple.instruction_set(), Some(target.expect.arch.as_str()), "{}", target.triple);
            assert_eq!(target.triple.is_musl(), target.triple.contains("-linux-musl"), "{}", target.triple);
        }
    }

    #[test]
    fn other_systems_are_told_apart() {
        let os = |triple: &str| Triple::from(triple).os();
        assert_eq!(os("aarch64-apple-ios-sim"), Os::Apple);
        assert!(Triple::from("aarch64-apple-darwin").is_macos() && !Triple::from("aarch64-apple-ios").is_macos());
        assert_eq!(os("aarch64-linux-android"), Os::Unix);
        assert_eq!(os("x86_64-unknown-freebsd"), Os::Unix);
        assert_eq!([os("wasm32-wasip1"), os("wasm32-unknown-unknown"), os("")], [Os::Wasi, Os::Other, Os::Other]);
        assert!(Triple::from("x86_64-pc-windows-gnullvm").is_mingw());
        assert!(!Triple::from("x86_64-pc-windows-msvc").is_mingw());
        assert!(!Triple::from("aarch64-linux-android").is_glibc());
        let set = |triple: &str| Triple::from(triple).instruction_set();
        assert_eq!(set("armv5te-unknown-linux-gnueabi"), Some("arm"));
        assert_eq!(set("riscv64gc-unknown-linux-gnu"), Some("riscv64"));
        assert_eq!(set("x86_64-unknown-linux-gnux32"), Some("x32"));
        assert_eq!(set(""), None);
    }
}
