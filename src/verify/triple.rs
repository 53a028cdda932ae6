//! What a target triple alone tells, for triples outside the catalog.

use crate::model::architecture::Architecture;
use crate::model::catalog::Format;

/// What follows from the words of a triple. Unknown words tell nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Implied {
    /// The file format of its system.
    pub format: Option<Format>,
    /// The instruction set, as inspections name it.
    pub arch: Option<&'static str>,
}

impl Implied {
    pub(crate) fn of(triple: &str) -> Self {
        let mut words = triple.split('-');
        let arch = words.next().unwrap_or_default();
        let system = |names: &[&str]| words.clone().any(|word| names.iter().any(|name| word.starts_with(name)));
        let format = if system(&["windows", "uefi", "cygwin"]) {
            Some(Format::Pe)
        } else if system(&["darwin", "macos", "ios", "tvos", "watchos", "visionos"]) {
            Some(Format::MachO)
        } else if system(&[
            "linux",
            "android",
            "freebsd",
            "netbsd",
            "openbsd",
            "dragonfly",
            "illumos",
            "solaris",
            "fuchsia",
        ]) {
            Some(Format::Elf)
        } else {
            None
        };
        let arch = match arch {
            "x86_64" if triple.ends_with("x32") => Some("x32"),
            "aarch64" if triple.ends_with("ilp32") => Some("aarch64_ilp32"),
            _ => Architecture::of_triple(triple).map(|known| known.name.as_str()),
        };
        Self { format, arch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::Catalog;

    #[test]
    fn the_rules_agree_with_the_catalog() {
        for target in &Catalog::embedded().targets {
            let expect = &target.expect;
            let implied = Implied::of(&target.triple);
            assert_eq!(implied, Implied { format: Some(expect.format), arch: Some(&expect.arch) }, "{}", target.triple);
        }
    }

    #[test]
    fn unknown_words_tell_nothing() {
        assert_eq!(Implied::of("wasm32-unknown-unknown"), Implied { format: None, arch: None });
        assert_eq!(Implied::of("aarch64-apple-ios-sim").format, Some(Format::MachO));
        assert_eq!(Implied::of("armv5te-unknown-linux-gnueabi").arch, Some("arm"));
        assert_eq!(Implied::of("riscv64gc-unknown-linux-gnu").arch, Some("riscv64"));
        assert_eq!(Implied::of("x86_64-unknown-linux-gnux32").arch, Some("x32"));
        assert_eq!(Implied::of(""), Implied { format: None, arch: None });
    }
}
