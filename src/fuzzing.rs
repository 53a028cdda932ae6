//! The entry points of the fuzz targets in `fuzz/`: what reads bytes and texts that strangers made, each by itself. Built for
//! fuzzing and for the tests, which run the seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::LazyLock;

use camino::Utf8Path;

use crate::model::catalog::{Catalog, Format, Glibc};
use crate::project::evidence;
use crate::project::lock::ConvoyLock;
use crate::provision::sysroot;
use crate::report::{Style, VerifiedFile, escape, table};
use crate::verify::link::fuzzing as link;
use crate::verify::{Expectation, Facts, Inspection, infer, inspect, judge, not_checked};

/// Whether an input was of the kind that a target is for; others are not worth keeping.
pub type Wanted = bool;

/// `verify` of an ELF file.
pub fn elf(bytes: &[u8]) -> Wanted {
    bytes.starts_with(b"\x7fELF") && binary(bytes)
}

/// `verify` of a PE file.
pub fn pe(bytes: &[u8]) -> Wanted {
    bytes.starts_with(b"MZ") && binary(bytes)
}

/// `verify` of a Mach-O file, fat ones too.
pub fn macho(bytes: &[u8]) -> Wanted {
    let magics = [[0xfe, 0xed, 0xfa], [0xcf, 0xfa, 0xed], [0xce, 0xfa, 0xed], [0xca, 0xfe, 0xba]];
    magics.iter().any(|magic| bytes.starts_with(magic)) && binary(bytes)
}

/// `verify` of a WebAssembly module.
pub fn wasm(bytes: &[u8]) -> Wanted {
    bytes.starts_with(b"\0asm") && binary(bytes)
}

/// All that is done with the bytes of a program.
fn binary(bytes: &[u8]) -> Wanted {
    let catalog = Catalog::embedded();
    let Ok(inspection) = inspect(bytes) else { return true };
    let inferred = infer(&inspection, catalog);
    let own = inferred.as_deref().unwrap_or("made-up-triple");
    for triple in [own, of_format(&inspection)] {
        for floor in [None, Some(Glibc { major: 2, minor: 17 })] {
            let expectation = Expectation { floor, ..Expectation::of_triple(triple, catalog) };
            let mut findings = judge(&inspection, &expectation);
            findings.extend(not_checked(&inspection, triple));
            let row = VerifiedFile {
                file: String::new(),
                target: None,
                inferred: false,
                verified: false,
                inspection: None,
                findings,
            };
            let shown = table::verified(&row, Style::default());
            assert!(!escape::terminal(&shown, true).contains('\u{1b}'));
        }
    }
    inspection.used_symbols();
    // Invalid UTF-8 is replaced, so that the JSON never fails.
    assert!(serde_json::to_vec(&inspection).is_ok());
    true
}

/// The target whose judge looks at most of such a file.
fn of_format(inspection: &Inspection) -> &'static str {
    match (&inspection.facts, inspection.format()) {
        (Facts::Elf(elf), _) if elf.arm.is_some() => "armv7-unknown-linux-gnueabihf",
        (Facts::Elf(elf), _) if elf.extensions.is_some() => "riscv64gc-unknown-linux-gnu",
        (Facts::Elf(elf), _) if elf.system.is_some() => "x86_64-unknown-freebsd",
        (_, Format::Elf) => "x86_64-unknown-linux-gnu",
        (_, Format::Pe) => "x86_64-pc-windows-gnu",
        (_, Format::MachO) => "aarch64-apple-darwin",
        (_, Format::Wasm) => "wasm32-wasip1",
    }
}

/// What the linker shim reads of an object or an archive.
pub fn archive(bytes: &[u8]) -> Wanted {
    link::scan(bytes);
    true
}

/// A package file: every member of both its trees.
pub fn deb(bytes: &[u8]) -> Wanted {
    // What is refused is refused by an error.
    let _ = sysroot::read_package(bytes, &mut io::sink());
    bytes.starts_with(b"!<arch>\n")
}

/// `Convoy.lock`: what can be read can be written, and then is the same.
pub fn convoy_lock(bytes: &[u8]) -> Wanted {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    if let Ok(lock) = ConvoyLock::parse(text, "Convoy.lock") {
        let written = lock.text();
        let again = written.as_ref().ok().map(|text| ConvoyLock::parse(text, "Convoy.lock").ok());
        assert!(again.flatten().is_some_and(|again| again == lock), "{written:?}");
        lock.sysroots().iter().for_each(|sysroot| {
            sysroot.size();
            sysroot.digest();
        });
    }
    true
}

/// A link line, one argument a line. After an empty line begins a response file; these are `@1`, `@2`, ….
pub fn link_line(bytes: &[u8]) -> Wanted {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let parts: Vec<&str> = text.split("\n\n").collect();
    let files: BTreeMap<String, &str> = (1..).zip(&parts[1..]).map(|(n, part)| (n.to_string(), *part)).collect();
    let args: Vec<String> = parts[0].lines().map(str::to_owned).collect();
    link::line(&args, &|path| files.get(path.as_str()).map(|text| (*text).to_owned()));
    true
}

/// `Cross.toml`.
pub fn cross_toml(bytes: &[u8]) -> Wanted {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    // What is refused is refused by an error.
    let _ = crate::project::config::parse_cross(text, "Cross.toml");
    true
}

/// A build script, interpreted without being run.
pub fn evidence(bytes: &[u8]) -> Wanted {
    static DIR: LazyLock<tempfile::TempDir> =
        LazyLock::new(|| tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for build scripts: {error}")));
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let dir = Utf8Path::from_path(DIR.path()).unwrap_or(Utf8Path::new("."));
    let written = fs_err::write(dir.join("build.rs"), text);
    assert!(written.is_ok(), "{written:?}");
    let helpers: BTreeSet<String> = ["cc", "cmake", "bindgen", "pkg_config", "vcpkg"].map(str::to_owned).into();
    evidence::read_script(dir, "build.rs".into(), &helpers);
    crate::verify::darwin::declared_in_package(dir);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Targets by their names, which are those of their seeds' directories.
    type Target = (&'static str, fn(&[u8]) -> Wanted);

    const TARGETS: [Target; 10] = [
        ("elf", elf),
        ("pe", pe),
        ("macho", macho),
        ("wasm", wasm),
        ("archive", archive),
        ("deb", deb),
        ("convoy_lock", convoy_lock),
        ("link_line", link_line),
        ("cross_toml", cross_toml),
        ("evidence", evidence),
    ];

    #[test]
    fn every_target_has_seeds_and_takes_them() {
        let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        for (name, target) in TARGETS {
            assert!(root.join("fuzz_targets").join(name).with_extension("rs").is_file(), "{name}");
            let mut count = 0;
            for seed in fs_err::read_dir(root.join("seeds").join(name)).unwrap() {
                let bytes = fs_err::read(seed.unwrap().path()).unwrap();
                assert!(bytes.len() < 24 << 10, "{name}: seeds are small");
                assert!(target(&bytes), "{name}");
                count += 1;
            }
            assert!(count > 1, "{name}");
        }
    }
}
