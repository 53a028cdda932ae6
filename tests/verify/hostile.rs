//! Bytes that nobody meant to be read: truncated, mutated, random. Nothing may panic, and nothing cut may pass.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use cargo_convoy::catalog::Catalog;
use cargo_convoy::sysroot::{LinkedAgainst, Sysroot, SysrootKey};
use cargo_convoy::verify::{Expectation, Unreadable, infer, inspect, judge};
use proptest::prelude::*;

use super::toolchain::{AARCH64_GCC, ARM_GCC, HOST_GCC, MINGW_GCC, object, run, rust_lld, workspace, zig};

/// Small real binaries of every format and linker.
static BINARIES: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let dir = workspace("hostile");
    let source = dir.join("main.c");
    fs_err::write(&source, "int puts(const char *); int main(void) { return puts(\"hi\"); }").unwrap();
    let mut binaries = Vec::new();
    let mut add = |name, path: &camino::Utf8Path| binaries.push((name, fs_err::read(path).unwrap()));
    for (name, compiler, flags) in [
        ("ELF64 dynamic", AARCH64_GCC, &[][..]),
        ("ELF64 stripped", HOST_GCC, &["-s"]),
        ("ELF32 dynamic", ARM_GCC, &[]),
        ("PE", MINGW_GCC, &[]),
        ("PE stripped", MINGW_GCC, &["-s"]),
    ] {
        // mingw adds `.exe` to a name that has none.
        let out = dir.join("out.exe");
        run(compiler, &[flags, &[source.as_str(), "-o", out.as_str()]].concat());
        add(name, &out);
    }
    let stub = dir.join("libSystem.tbd");
    fs_err::write(
        &stub,
        "--- !tapi-tbd\ntbd-version: 4\ntargets: [ x86_64-macos, arm64-macos ]\n\
         install-name: '/usr/lib/libSystem.B.dylib'\nexports:\n  - targets: [ x86_64-macos, arm64-macos ]\n    \
         symbols: [ dyld_stub_binder, _puts ]\n...\n",
    )
    .unwrap();
    let (zig, lld) = (zig(), rust_lld());
    for (name, target, arch, min_os) in [
        ("Mach-O arm64", "aarch64-macos.11.0-none", "arm64", "11.0"),
        ("Mach-O x86_64", "x86_64-macos.10.12-none", "x86_64", "10.12"),
    ] {
        let object =
            object(&dir, &[&zig, "cc"], &["-target", target], "mac", &fs_err::read_to_string(&source).unwrap());
        let out = dir.join(arch);
        let head = ["-flavor", "darwin", "-arch", arch, "-platform_version", "macos", min_os, min_os];
        run(&lld, &[&head[..], &["-L", dir.as_str(), "-lSystem", &object, "-o", out.as_str()]].concat());
        add(name, &out);
    }
    binaries
});

/// All that is done with bytes that can be read.
fn examine(bytes: &[u8]) {
    let catalog = Catalog::embedded();
    if let Ok(inspection) = inspect(bytes) {
        infer(&inspection, catalog);
        inspection.used_symbols();
        for triple in catalog.targets.iter().map(|target| target.triple.as_str()).chain(["made-up-triple"]) {
            let expectation = Expectation::of_triple(triple, catalog);
            judge(&inspection, &expectation);
            let key = SysrootKey { suite: "bullseye".to_owned(), architecture: "armhf".to_owned(), of: None };
            let nowhere = Sysroot { root: "root".into(), digest: String::new(), requested: BTreeSet::new() };
            let sysroot = Some(LinkedAgainst::new(&key, &nowhere, "arm-linux-gnueabihf"));
            judge(&inspection, &Expectation { sysroot, libraries: Some(Arc::default()), ..expectation });
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for (name, bytes) in BINARIES.iter() {
        inspect(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let cuts = (0..bytes.len()).step_by(97).chain(bytes.len().saturating_sub(64)..bytes.len()).chain(0..600);
        for cut in cuts {
            assert!(inspect(&bytes[..cut]).is_err(), "{name} cut to {cut} of {} bytes passes", bytes.len());
        }
        let half = inspect(&bytes[..bytes.len() / 2]).unwrap_err();
        assert!(matches!(half, Unreadable::Truncated(_)), "{name}: {half}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn random_bytes_do_not_panic(
        magic in prop::sample::select(vec![
            &b""[..], b"\x7fELF\x01\x01\x01", b"\x7fELF\x02\x01\x01", b"\x7fELF\x02\x02\x01", b"MZ",
            b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xca\xfe\xba\xbe", b"!<arch>\n",
        ]),
        tail in prop::collection::vec(any::<u8>(), 0..2048),
    ) {
        examine(&[magic, &tail].concat());
    }

    #[test]
    fn mutated_binaries_do_not_panic(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
        // Most of what matters stands in the headers.
        head in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = which.get(&BINARIES).1.clone();
        let reach = if head { bytes.len().min(1024) } else { bytes.len() };
        for (place, value) in edits {
            bytes[place.index(reach)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        examine(&bytes);
    }
}
