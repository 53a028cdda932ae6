//! ELF on 64-bit machines: linkage, loader, glibc, architecture.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::catalog::Glibc;
use cargo_convoy::link::{ArmAttributes, ArmObjects};
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
    let dir = workspace("glibc");
    let inspection = inspect(program(&dir, AARCH64_GCC, &[]));
    assert_eq!((inspection.kind, inspection.linkage), (Kind::Pie, Linkage::Dynamic));
    assert_eq!(inspection.interpreter(), Some("/lib/ld-linux-aarch64.so.1"));
    assert_eq!(inspection.needed, ["libc.so.6"]);
    assert_eq!(inspection.glibc(), Some(glibc(34)));
    assert_eq!(inferred(&inspection).as_deref(), Some(GNU));
    assert!(not_checked(&inspection, GNU)[0].message.contains("glibc floor"));

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
    let dir = workspace("glibc-default");
    let findings = judge(&inspect(program(&dir, AARCH64_GCC, &[])), &expect(GNU));
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec!["glibc-above-default"]));
    assert!(message(&findings, "glibc-above-default").contains("ask for `aarch64-unknown-linux-gnu.2.31`"));
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
    let dir = workspace("library");
    let inspection = inspect(program(&dir, AARCH64_GCC, &["-shared", "-fPIC", "-Wl,-soname,libx.so.1"]));
    assert_eq!(inspection.kind, Kind::SharedLibrary);
    assert!(violations(&judge(&inspection, &expect(GNU))).contains(&"not-a-program"));
}

#[test]
fn libraries_beyond_the_base_system_are_named() {
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
    assert!(message(&findings, "target-not-in-catalog").contains("nothing follows from its name"));
}

#[test]
fn without_section_headers_nothing_is_taken_for_granted() {
    let dir = workspace("no-sections");
    let mut bytes = fs_err::read(program(&dir, AARCH64_GCC, &["-s"])).unwrap();
    // e_shoff, e_shnum and e_shstrndx of a 64-bit ELF, as `sstrip` zeroes them.
    bytes[0x28..0x30].fill(0);
    bytes[0x3c..0x40].fill(0);
    let inspection = inspect_bytes(&bytes).unwrap();
    assert_eq!(inspection.needed, ["libc.so.6"], "the loader's own way does not need section headers");
    let findings = judge(&inspection, &expect(GNU));
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec!["no-section-headers", "glibc-unknown"]));
}

#[test]
fn an_inspection_survives_json() {
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
    assert_eq!(unreadable(b"MZ").finding().code, "truncated");
}

#[test]
fn arm_objects_group_in_records() {
    // The form of the record on disk, which another version of convoy may read.
    let group = ArmObjects {
        attributes: ArmAttributes { cpu_arch: Some(10), ..ArmAttributes::default() },
        count: 5,
        objects: vec!["a.o".to_owned()],
    };
    let record = cargo_convoy::link::LinkRecord {
        schema: 1,
        linker: "ld".into(),
        output: "x".into(),
        arm: vec![group],
        wanted_by: BTreeMap::new(),
        unread: Vec::new(),
    };
    let json = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<cargo_convoy::link::LinkRecord>(&json).unwrap(), record);
}
