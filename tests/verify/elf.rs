//! ELF on 64-bit machines: linkage, loader, glibc, architecture.

use crate::support::require;
use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::model::catalog::Glibc;
use cargo_convoy::verify::link::{ArmAttributes, ArmObjects};
use cargo_convoy::verify::{Facts, Kind, Linkage, Unreadable, inspect as inspect_bytes, judge, not_checked};

use super::toolchain::{AARCH64_GCC, ARM_GCC, HOST_GCC, run, workspace};
use super::{expect, inferred, inspect, message, violations, warnings};

const GNU: &str = "aarch64-unknown-linux-gnu";
const MUSL: &str = "aarch64-unknown-linux-musl";

/// `pthread_create` moved to libc in glibc 2.34.
const THREADS: &str = "#include <pthread.h>\n\
    static void *work(void *p) { return p; }\n\
    int main(void) { pthread_t t; return pthread_create(&t, 0, work, 0); }";

fn program(dir: &Utf8Path, compiler: &str, flags: &[&str]) -> Utf8PathBuf {
    let (source, out) = (dir.join("threads.c"), dir.join("program"));
    fs_err::write(&source, THREADS).unwrap();
    run(compiler, &[&[source.as_str(), "-o", out.as_str()], flags].concat());
    out
}

fn glibc(minor: u32) -> Glibc {
    Glibc { major: 2, minor }
}

#[test]
fn glibc_above_the_floor_is_refused_and_names_the_symbols() {
    require!(Tool(AARCH64_GCC));
    let dir = workspace("glibc");
    let inspection = inspect(program(&dir, AARCH64_GCC, &[]));
    assert_eq!((inspection.kind, inspection.linkage), (Kind::Pie, Linkage::Dynamic));
    assert_eq!(inspection.interpreter(), Some("/lib/ld-linux-aarch64.so.1"));
    assert_eq!(inspection.needed, ["libc.so.6"]);
    assert_eq!(inspection.glibc(), Some(glibc(34)));
    assert_eq!(inferred(&inspection).as_deref(), Some(GNU));
    assert!(not_checked(&inspection, GNU)[0].message.contains("minimum glibc version"));

    let mut expectation = expect(GNU);
    expectation.floor = Some(glibc(28));
    let findings = judge(&inspection, &expectation);
    assert_eq!(violations(&findings), ["glibc-too-new"]);
    let said = message(&findings, "glibc-too-new");
    assert!(said.contains("pthread_create") && said.contains("must start on 2.28"), "{said}");

    expectation.floor = Some(glibc(36));
    let findings = judge(&inspection, &expectation);
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec![]), "{findings:#?}");
}

#[test]
fn glibc_above_the_default_floor_warns_with_the_remedy() {
    require!(Tool(AARCH64_GCC));
    let dir = workspace("glibc-default");
    let findings = judge(&inspect(program(&dir, AARCH64_GCC, &[])), &expect(GNU));
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec!["glibc-above-default"]));
    assert!(message(&findings, "glibc-above-default").contains("use `-t aarch64-unknown-linux-gnu.2.31`"));
}

#[test]
fn packed_relocations_need_a_glibc_that_reads_them() {
    let dir = workspace("relr");
    // No symbol of it is newer than 2.34; what asks for 2.36 is the form of its relocations.
    let inspection = inspect(program(&dir, HOST_GCC, &["-Wl,-z,pack-relative-relocs", "-fPIE", "-pie"]));
    assert_eq!(inspection.glibc(), Some(glibc(36)));
    let mut expectation = expect("x86_64-unknown-linux-gnu");
    expectation.floor = Some(glibc(35));
    let findings = judge(&inspection, &expectation);
    assert!(message(&findings, "glibc-too-new").contains("GLIBC_ABI_DT_RELR"), "{findings:#?}");
}

#[test]
fn dynamic_under_static_is_refused() {
    require!(Tool(AARCH64_GCC));
    let dir = workspace("static");
    let findings = judge(&inspect(program(&dir, AARCH64_GCC, &[])), &expect(MUSL));
    assert_eq!(violations(&findings), ["dynamic-not-static"]);
    assert!(message(&findings, "dynamic-not-static").contains("needs libc.so.6"));

    for (flags, kind) in [(["-static"], Kind::Executable), (["-static-pie"], Kind::Pie)] {
        let inspection = inspect(program(&dir, AARCH64_GCC, &flags));
        assert_eq!((inspection.kind, inspection.linkage), (kind, Linkage::Static));
        let findings = judge(&inspection, &expect(MUSL));
        assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec![]), "{findings:#?}");
        assert_eq!(inferred(&inspection).as_deref(), Some(MUSL));
    }
}

#[test]
fn another_loader_is_refused() {
    require!(Tool(AARCH64_GCC));
    let dir = workspace("loader");
    let loader = "-Wl,--dynamic-linker=/nix/store/ld-linux-aarch64.so.1";
    let findings = judge(&inspect(program(&dir, AARCH64_GCC, &[loader])), &expect(GNU));
    assert_eq!(violations(&findings), ["wrong-interpreter"]);
}

#[test]
fn a_binary_of_another_machine_is_refused() {
    let dir = workspace("machine");
    let inspection = inspect(program(&dir, HOST_GCC, &[]));
    let findings = judge(&inspection, &expect(GNU));
    assert_eq!(violations(&findings), ["wrong-architecture"]);
    assert!(message(&findings, "wrong-architecture").starts_with("the file is for x86_64 (64 bits)"));
    let findings = judge(&inspection, &expect("x86_64-pc-windows-gnu"));
    assert!(violations(&findings).contains(&"wrong-format"), "{findings:#?}");
}

#[test]
fn a_shared_library_is_no_program() {
    require!(Tool(AARCH64_GCC));
    let dir = workspace("library");
    let inspection = inspect(program(&dir, AARCH64_GCC, &["-shared", "-fPIC", "-Wl,-soname,libx.so.1"]));
    assert_eq!(inspection.kind, Kind::SharedLibrary);
    assert!(violations(&judge(&inspection, &expect(GNU))).contains(&"not-a-program"));
}

#[test]
fn libraries_beyond_the_base_system_are_named() {
    require!(Tool(AARCH64_GCC));
    let dir = workspace("foreign-library");
    let library = dir.join("libodd.so.3");
    program(&dir, AARCH64_GCC, &["-shared", "-fPIC", "-Wl,-soname,libodd.so.3"]);
    fs_err::rename(dir.join("program"), &library).unwrap();
    let inspection = inspect(program(&dir, AARCH64_GCC, &["-Wl,--no-as-needed", library.as_str()]));
    let findings = judge(&inspection, &expect(GNU));
    assert!(message(&findings, "needs-libraries").contains("needs libodd.so.3 at start"));
}

#[test]
fn a_triple_outside_the_catalog_is_checked_as_far_as_known() {
    let dir = workspace("outside");
    let inspection = inspect(program(&dir, HOST_GCC, &[]));
    let findings = judge(&inspection, &expect("x86_64-unknown-linux-gnuasan"));
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec!["target-not-in-catalog"]));
    let findings = judge(&inspection, &expect("riscv64gc-unknown-linux-gnu"));
    assert_eq!(violations(&findings), ["wrong-architecture"]);
    let findings = judge(&inspection, &expect("made-up"));
    assert!(message(&findings, "target-not-in-catalog").contains("nothing is known from its name"));
}

/// As `sstrip` leaves a file.
fn without_sections(mut bytes: Vec<u8>) -> Vec<u8> {
    // e_shoff, e_shnum and e_shstrndx.
    let (offset, counts) = if bytes[4] == 2 { (0x28..0x30, 0x3c..0x40) } else { (0x20..0x24, 0x30..0x34) };
    bytes[offset].fill(0);
    bytes[counts].fill(0);
    bytes
}

#[test]
fn without_section_headers_the_loaders_view_is_checked() {
    require!(Tool(AARCH64_GCC));
    let dir = workspace("no-sections");
    let bytes = without_sections(fs_err::read(program(&dir, AARCH64_GCC, &["-s"])).unwrap());
    let inspection = inspect_bytes(&bytes).unwrap();
    assert_eq!(inspection.needed, ["libc.so.6"]);
    let findings = judge(&inspection, &expect(GNU));
    assert_eq!(
        (violations(&findings), warnings(&findings)),
        (vec![], vec!["no-section-headers", "glibc-above-default"])
    );
    let mut expectation = expect(GNU);
    expectation.floor = Some(glibc(28));
    let findings = judge(&inspection, &expectation);
    assert!(message(&findings, "glibc-too-new").contains("pthread_create"), "{findings:#?}");
}

#[test]
fn section_headers_change_nothing_that_the_loader_does() {
    require!(Tool(ARM_GCC), Tool(AARCH64_GCC));
    let dir = workspace("loader-view");
    let flags: [&[&str]; 6] = [
        &[],
        &["-Wl,--hash-style=sysv"],
        &["-Wl,--hash-style=gnu", "-rdynamic"],
        &["-no-pie", "-Wl,-z,now"],
        &["-static"],
        &["-static-pie"],
    ];
    for compiler in [HOST_GCC, AARCH64_GCC, ARM_GCC] {
        // Debian's ARM compiler has no start file for these.
        for flags in flags.into_iter().filter(|flags| compiler != ARM_GCC || *flags != ["-static-pie"]) {
            let bytes = fs_err::read(program(&dir, compiler, flags)).unwrap();
            let (whole, stripped) = (inspect_bytes(&bytes).unwrap(), inspect_bytes(&without_sections(bytes)).unwrap());
            let elf = |inspection: &cargo_convoy::verify::Inspection| match &inspection.facts {
                Facts::Elf(elf) => (elf.versions.clone(), elf.glibc, elf.undefined.clone()),
                other => panic!("{other:?}"),
            };
            assert_eq!(elf(&whole), elf(&stripped), "{compiler} {flags:?}");
            assert_eq!((whole.linkage, &whole.needed), (stripped.linkage, &stripped.needed));
            let dynamic = !flags.iter().any(|flag| flag.starts_with("-static"));
            assert_eq!(
                elf(&whole).2.iter().any(|symbol| symbol.name == "pthread_create"),
                dynamic,
                "{compiler} {flags:?}"
            );
        }
    }
}

#[test]
fn a_version_that_the_section_headers_hide_is_seen() {
    let dir = workspace("hidden-version");
    let mut bytes = fs_err::read(program(&dir, HOST_GCC, &[])).unwrap();
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let (table, count) = (word(&bytes, 0x28), usize::from(bytes[0x3c]));
    // SHT_GNU_verneed becomes SHT_PROGBITS; the loader does not look.
    let header = (0..count).map(|n| table + n * 64).find(|at| bytes[at + 4..at + 8] == 0x6fff_fffe_u32.to_le_bytes());
    bytes[header.unwrap() + 4..][..4].copy_from_slice(&1_u32.to_le_bytes());
    let mut expectation = expect("x86_64-unknown-linux-gnu");
    expectation.floor = Some(glibc(17));
    assert_eq!(violations(&judge(&inspect_bytes(&bytes).unwrap(), &expectation)), ["glibc-too-new"]);
}

#[test]
fn a_floor_that_was_asked_for_and_cannot_be_checked_is_not_met() {
    let dir = workspace("unchecked-floor");
    // One that loads libc and asks it for nothing.
    let source = dir.join("nothing.c");
    fs_err::write(&source, "void _start(void) { for (;;); }").unwrap();
    let out = dir.join("nothing");
    let link = ["-nostartfiles", "-Wl,--no-as-needed", "-o", out.as_str(), source.as_str()];
    run(HOST_GCC, &link);
    let triple = "x86_64-unknown-linux-gnu";
    let asked = cargo_convoy::verify::Expectation { floor: Some(glibc(17)), ..expect(triple) };
    let inspection = inspect(&out);
    assert_eq!(warnings(&judge(&inspection, &expect(triple))), ["glibc-unknown"]);
    assert_eq!(violations(&judge(&inspection, &asked)), ["glibc-unknown"]);
    // A static program needs no glibc, unless it is a packer's: that has no section headers.
    let bytes = fs_err::read(program(&dir, HOST_GCC, &["-static"])).unwrap();
    assert_eq!(violations(&judge(&inspect_bytes(&bytes).unwrap(), &asked)), [""; 0]);
    let packed = inspect_bytes(&without_sections(bytes)).unwrap();
    assert_eq!(violations(&judge(&packed, &asked)), ["glibc-unknown"]);
    assert_eq!(violations(&judge(&packed, &expect(triple))), [""; 0]);
}

#[test]
fn an_inspection_survives_json() {
    require!(Tool(ARM_GCC));
    let dir = workspace("json");
    let mut inspection = inspect(program(&dir, ARM_GCC, &[]));
    let Facts::Elf(elf) = &mut inspection.facts else { panic!("{inspection:?}") };
    assert!(elf.arm.is_some() && !elf.versions.is_empty() && !elf.undefined.is_empty());
    // Bulk that is only judged, never told.
    elf.undefined.clear();
    let json = serde_json::to_value(&inspection).unwrap();
    assert_eq!(json["format"], "elf");
    assert_eq!(json["arch"], "arm");
    assert_eq!(serde_json::from_value::<cargo_convoy::verify::Inspection>(json).unwrap(), inspection);
}

#[test]
fn what_is_no_program_says_what_it_is() {
    let dir = workspace("no-program");
    let object = super::toolchain::object(&dir, &[HOST_GCC], &[], "x", "int x;");
    let archive = dir.join("libx.a");
    run("ar", &["rcs", archive.as_str(), &object]);
    let unreadable = |bytes: &[u8]| inspect_bytes(bytes).unwrap_err();
    assert_eq!(unreadable(b""), Unreadable::Empty);
    assert_eq!(unreadable(&fs_err::read(&object).unwrap()), Unreadable::Object);
    assert_eq!(unreadable(&fs_err::read(&archive).unwrap()), Unreadable::Archive);
    assert_eq!(unreadable(b"#!/bin/sh\necho"), Unreadable::Script("#!/bin/sh".to_owned()));
    assert!(matches!(unreadable(b"hello, world, this is text"), Unreadable::Foreign(_)));
    assert!(matches!(unreadable(b"\x7fELF"), Unreadable::Truncated(_)));
    assert_eq!(unreadable(b"MZ").finding().code.name(), "truncated");
}

#[test]
fn arm_objects_group_in_records() {
    // The form of the record on disk, which another version of convoy may read.
    let group = ArmObjects {
        attributes: ArmAttributes { cpu_arch: Some(10), ..ArmAttributes::default() },
        count: 5,
        objects: vec!["a.o".to_owned()],
    };
    let record = cargo_convoy::verify::link::LinkRecord {
        schema: 1,
        linker: "ld".into(),
        output: "x".into(),
        arm: vec![group],
        wanted_by: BTreeMap::new(),
        unread: Vec::new(),
    };
    let json = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<cargo_convoy::verify::link::LinkRecord>(&json).unwrap(), record);
}
