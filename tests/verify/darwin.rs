//! Mach-O, linked by rust-lld against a stub as convoy does.

use crate::support::require;
use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::verify::link;
use cargo_convoy::verify::{Facts, Signature, Unreadable, inspect as inspect_bytes, judge, not_checked};

use super::toolchain::{object, rust_lld, shim, workspace, zig};
use super::{expect, inferred, inspect, message, violations, warnings};

const ARM64: &str = "aarch64-apple-darwin";
const AMD64: &str = "x86_64-apple-darwin";

const STUB: &str = "--- !tapi-tbd\ntbd-version: 4\ntargets: [ x86_64-macos, arm64-macos ]\n\
    install-name: '/usr/lib/libSystem.B.dylib'\nexports:\n  - targets: [ x86_64-macos, arm64-macos ]\n\
    \x20   symbols: [ dyld_stub_binder ]\n...\n";

const CALLS_PUTS: &str = "int puts(const char *); int main(void) { return puts(\"hi\"); }";
const CALLS_SQLITE: &str = "int puts(const char *); int sqlite3_open(const char *, void **);\n\
    int main(void) { void *db; puts(\"hi\"); return sqlite3_open(\"x\", &db); }";

struct Machine {
    triple: &'static str,
    zig: &'static str,
    arch: &'static str,
    min_os: &'static str,
}

const MACHINES: [Machine; 2] = [
    // Bound by chained fixups.
    Machine { triple: ARM64, zig: "aarch64-macos.11.0-none", arch: "arm64", min_os: "11.0" },
    // Bound by opcodes, as systems before 12 read them.
    Machine { triple: AMD64, zig: "x86_64-macos.10.12-none", arch: "x86_64", min_os: "10.12" },
];

fn link(dir: &Utf8Path, machine: &Machine, text: &str, more: &[&str]) -> Utf8PathBuf {
    let zig = zig();
    // Without the stack protector: its symbols are the compiler's, and these tests count symbols.
    let object = object(dir, &[&zig, "cc"], &["-target", machine.zig, "-fno-stack-protector"], "main", text);
    let (stub, out) = (dir.join("libSystem.tbd"), dir.join("program"));
    fs_err::write(&stub, STUB).unwrap();
    let mut args = vec!["-flavor", "darwin", "-arch", machine.arch];
    args.extend(["-platform_version", "macos", machine.min_os, machine.min_os]);
    args.extend(["-undefined", "dynamic_lookup", "-L", dir.as_str(), "-lSystem", &object, "-o", out.as_str()]);
    args.extend(more);
    shim(&rust_lld(), machine.triple, &args);
    out
}

#[test]
fn symbols_of_the_system_are_accounted_for() {
    require!(Zig);
    for machine in &MACHINES {
        let dir = workspace(&format!("darwin-right-{}", machine.arch));
        let program = link(&dir, machine, CALLS_PUTS, &[]);
        let inspection = inspect(&program);
        let Facts::MachO(macho) = &inspection.facts else { panic!("{inspection:?}") };
        let looked_up: Vec<&str> = macho.dynamic_lookup.iter().map(|symbol| symbol.name.as_str()).collect();
        assert_eq!(looked_up, ["_puts"], "{}", machine.arch);
        assert_eq!(inspection.min_os(), Some(machine.min_os));
        assert_eq!(inspection.needed, ["/usr/lib/libSystem.B.dylib"]);
        let mut expectation = expect(machine.triple);
        expectation.link = link::record_for(&program);
        let findings = judge(&inspection, &expectation);
        assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec![]), "{findings:#?}");
        assert_eq!(inferred(&inspection).as_deref(), Some(machine.triple));
        assert!(not_checked(&inspection, machine.triple)[0].message.contains("symbols that crates declare"));
    }
}

#[test]
fn an_unaccounted_symbol_is_refused_with_the_object_that_wants_it() {
    require!(Zig);
    for machine in &MACHINES {
        let dir = workspace(&format!("darwin-symbol-{}", machine.arch));
        let program = link(&dir, machine, CALLS_SQLITE, &[]);
        let inspection = inspect(&program);
        let mut expectation = expect(machine.triple);
        expectation.link = link::record_for(&program);
        let findings = judge(&inspection, &expectation);
        assert_eq!(violations(&findings), ["darwin-symbol-unaccounted"]);
        let said = message(&findings, "darwin-symbol-unaccounted");
        assert!(said.starts_with("the symbol `_sqlite3_open`, used by main.o, is not in any macOS library"), "{said}");

        // Declared by a crate of the graph.
        expectation.declared_symbols = BTreeSet::from(["_sqlite3_open".to_owned()]);
        assert_eq!(violations(&judge(&inspection, &expectation)), [""; 0]);

        // The file alone: refused as well, and what is not known is said.
        let findings = judge(&inspection, &expect(machine.triple));
        assert_eq!(violations(&findings), ["darwin-symbol-unaccounted"]);
        assert_eq!(warnings(&findings), ["darwin-symbols-lone-file"]);
    }
}

#[test]
fn a_newer_system_than_promised_is_refused() {
    require!(Zig);
    let dir = workspace("darwin-min-os");
    let machine = Machine { triple: ARM64, zig: "aarch64-macos.13.0-none", arch: "arm64", min_os: "13.1" };
    let inspection = inspect(link(&dir, &machine, CALLS_PUTS, &[]));
    let findings = judge(&inspection, &expect(ARM64));
    assert_eq!(violations(&findings), ["min-os-too-new"]);
    assert!(message(&findings, "min-os-too-new").contains("requires macOS 13.1, but must run on 11.0"));
}

#[test]
fn a_library_that_macos_does_not_bring_is_refused() {
    require!(Zig);
    let dir = workspace("darwin-dylib");
    let stub = STUB.replace("/usr/lib/libSystem.B.dylib", "@rpath/libodd.dylib").replace("dyld_stub_binder", "_odd");
    fs_err::write(dir.join("libodd.tbd"), stub).unwrap();
    let text = "int odd(void); int main(void) { return odd(); }";
    let inspection = inspect(link(&dir, &MACHINES[0], text, &["-lodd"]));
    let findings = judge(&inspection, &expect(ARM64));
    assert_eq!(violations(&findings), ["dylib-not-shipped"]);
    assert!(message(&findings, "dylib-not-shipped").starts_with("needs `@rpath/libodd.dylib`"));
}

#[test]
fn apple_silicon_needs_a_signature_that_fits() {
    require!(Zig);
    let dir = workspace("darwin-signature");
    let program = link(&dir, &MACHINES[0], CALLS_PUTS, &[]);
    let mut bytes = fs_err::read(&program).unwrap();
    let signature = |bytes: &[u8]| match inspect_bytes(bytes).unwrap().facts {
        Facts::MachO(macho) => macho.signature,
        other => panic!("{other:?}"),
    };
    assert_eq!(signature(&bytes), Signature::AdHoc);

    // A tool that edits the file after linking.
    let text = bytes.windows(3).position(|window| window == b"hi\0").unwrap();
    bytes[text] = b'H';
    assert!(matches!(signature(&bytes), Signature::Broken(_)));
    let findings = judge(&inspect_bytes(&bytes).unwrap(), &expect(ARM64));
    assert_eq!(violations(&findings), ["code-signature-broken"]);

    let unsigned = inspect(link(&dir, &MACHINES[0], CALLS_PUTS, &["-no_adhoc_codesign"]));
    assert_eq!(violations(&judge(&unsigned, &expect(ARM64))), ["code-signature-missing"]);
    let intel = inspect(link(&dir, &MACHINES[1], CALLS_PUTS, &["-no_adhoc_codesign"]));
    assert_eq!(violations(&judge(&intel, &expect(AMD64))), [""; 0]);
}

#[test]
fn a_universal_binary_says_what_it_holds() {
    require!(Zig);
    let dir = workspace("darwin-fat");
    let slices: Vec<Vec<u8>> =
        MACHINES.iter().map(|machine| fs_err::read(link(&dir, machine, CALLS_PUTS, &[])).unwrap()).collect();
    // fat_header and two fat_arch, big-endian; each slice on a 16 KiB page.
    let mut fat = Vec::new();
    let mut word = |value: u32| fat.extend(value.to_be_bytes());
    word(0xcafe_babe);
    word(2);
    let mut offset = 0x4000;
    for (cpu, slice) in [0x0100_000c, 0x0100_0007].into_iter().zip(&slices) {
        for value in [cpu, 0, offset, slice.len() as u32, 14] {
            word(value);
        }
        offset += slice.len().next_multiple_of(0x4000) as u32;
    }
    for slice in &slices {
        fat.resize(fat.len().next_multiple_of(0x4000), 0);
        fat.extend(slice);
    }
    let unreadable = inspect_bytes(&fat).unwrap_err();
    assert_eq!(unreadable, Unreadable::Fat(vec!["aarch64".to_owned(), "x86_64".to_owned()]));
    assert!(unreadable.to_string().contains("darwin/universal"));
}
