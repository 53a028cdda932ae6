//! ABI, CPU level, system and page size of other architectures than ARM, and WebAssembly.

use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::verify::{Expectation, Inspection, Unreadable, inspect as inspect_bytes, judge};

use super::toolchain::{HOST_GCC, run, workspace, zig};
use super::{expect, inferred, inspect, message, violations, warnings};
use crate::support::require;

/// A program without any library.
const ALONE: &str = "void _start(void) { for (;;) ; }";

const RISCV: &str = "riscv64gc-unknown-linux-musl";

/// Links [`ALONE`] for one of zig's targets.
fn by_zig(dir: &Utf8Path, target: &str, flags: &[&str]) -> Utf8PathBuf {
    let (source, out) = (dir.join("alone.c"), dir.join("alone"));
    fs_err::write(&source, ALONE).unwrap();
    let words = ["cc", "-target", target, "-nostdlib", "-static", source.as_str(), "-o", out.as_str()];
    run(&zig(), &[&words[..], flags].concat());
    out
}

fn promising(triple: &str, cpu: &str) -> Expectation {
    Expectation { cpu: Some(cpu.to_owned()), ..expect(triple) }
}

/// The file with other flags in its header.
fn with_flags(path: &Utf8Path, edit: impl Fn(u32) -> u32) -> Inspection {
    let mut bytes = fs_err::read(path).unwrap();
    let flags = u32::from_le_bytes(bytes[48..52].try_into().unwrap());
    bytes[48..52].copy_from_slice(&edit(flags).to_le_bytes());
    inspect_bytes(&bytes).unwrap()
}

#[test]
fn extensions_of_riscv_are_held_against_the_promise() {
    require!(Zig);
    let dir = workspace("riscv");
    let plain = by_zig(&dir, "riscv64-linux-musl", &[]);
    let findings = judge(&inspect(&plain), &expect(RISCV));
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec![]), "{findings:#?}");
    assert_eq!(inferred(&inspect(&plain)).as_deref(), Some(RISCV));
    assert!(inspect(&plain).cpu.unwrap().starts_with("RVimafdc_"));
    // Single precision in registers, double in memory.
    let other = with_flags(&plain, |flags| flags & !0x6 | 0x2);
    assert_eq!(violations(&judge(&other, &expect(RISCV))), ["wrong-abi"]);

    let more = inspect(by_zig(&dir, "riscv64-linux-musl", &["-mcpu=baseline_rv64+zba+zbb"]));
    let findings = judge(&more, &expect(RISCV));
    assert_eq!(violations(&findings), ["cpu-level-too-high"]);
    assert!(message(&findings, "cpu-level-too-high").starts_with("uses the extensions zba, zbb, which"));
    assert_eq!(violations(&judge(&more, &promising(RISCV, "rva20u64"))), ["cpu-level-too-high"]);
    assert_eq!(violations(&judge(&more, &promising(RISCV, "rva22u64"))), [""; 0]);
    assert_eq!(warnings(&judge(&more, &promising(RISCV, "sifive-u74"))), ["cpu-unknown"]);
}

#[test]
fn abis_and_page_sizes_of_power_and_loongarch() {
    require!(Zig);
    let dir = workspace("power");
    for (target, triple, mask) in [
        ("powerpc64le-linux-musl", "powerpc64le-unknown-linux-musl", 0x3),
        ("loongarch64-linux-musl", "loongarch64-unknown-linux-musl", 0x7),
    ] {
        let right = by_zig(&dir, target, &["-Wl,-z,max-page-size=65536"]);
        let findings = judge(&inspect(&right), &expect(triple));
        assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec![]), "{triple}: {findings:#?}");
        let other = with_flags(&right, |flags| flags & !mask | 1);
        assert_eq!(violations(&judge(&other, &expect(triple))), ["wrong-abi"], "{triple}");
        let small = by_zig(&dir, target, &["-Wl,-z,max-page-size=4096"]);
        assert_eq!(violations(&judge(&inspect(small), &expect(triple))), ["page-alignment-too-small"], "{triple}");
    }
}

#[test]
fn the_level_of_x86_64_that_a_linker_wrote() {
    let dir = workspace("x86-64");
    let (source, out) = (dir.join("alone.c"), dir.join("alone"));
    fs_err::write(&source, ALONE).unwrap();
    let link = ["-nostdlib", "-static", "-Wl,-z,x86-64-v3", source.as_str(), "-o", out.as_str()];
    run(HOST_GCC, &link);
    let inspection = inspect(&out);
    assert_eq!(inspection.cpu.as_deref(), Some("x86-64-v3"));
    let triple = "x86_64-unknown-linux-musl";
    let findings = judge(&inspection, &expect(triple));
    assert_eq!(violations(&findings), ["cpu-level-too-high"]);
    assert!(message(&findings, "cpu-level-too-high").starts_with("uses x86-64-v3, which `x86_64-unknown-linux-musl`"));
    assert_eq!(violations(&judge(&inspection, &promising(triple, "x86-64-v2"))), ["cpu-level-too-high"]);
    assert_eq!(violations(&judge(&inspection, &promising(triple, "x86-64-v4"))), [""; 0]);
    assert_eq!(warnings(&judge(&inspection, &promising(triple, "haswell"))), ["cpu-unknown"]);
}

#[test]
fn the_system_of_a_bsd_program() {
    let dir = workspace("bsd");
    let noted = |owner: &str, version: u32| {
        let (source, out) = (dir.join("noted.c"), dir.join("noted"));
        let size = owner.len() + 1;
        let note = format!(
            "__attribute__((section(\".note.tag\"), aligned(4), used)) static const struct {{\n\
             unsigned a, b, c; char name[{}]; unsigned version; }} note = {{ {size}, 4, 1, \"{owner}\", {version}u }};\n",
            size.next_multiple_of(4)
        );
        fs_err::write(&source, note + ALONE).unwrap();
        run(HOST_GCC, &["-nostdlib", "-static", "-Wl,--build-id=none", source.as_str(), "-o", out.as_str()]);
        inspect(&out)
    };
    let (freebsd, netbsd) = ("x86_64-unknown-freebsd", "x86_64-unknown-netbsd");
    assert_eq!(violations(&judge(&noted("FreeBSD", 1_400_097), &expect(freebsd))), [""; 0]);
    assert_eq!(violations(&judge(&noted("FreeBSD", 1_500_000), &expect(freebsd))), ["min-os-too-new"]);
    assert_eq!(violations(&judge(&noted("NetBSD", 1_001_000_000), &expect(netbsd))), [""; 0]);
    assert_eq!(violations(&judge(&noted("NetBSD", 1_001_000_000), &expect(freebsd))), ["wrong-platform"]);
    assert_eq!(warnings(&judge(&noted("Other", 1), &expect(freebsd))), ["min-os-unknown"]);
}

/// A section of a module.
fn section(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind, u8::try_from(content.len()).unwrap()], content].concat()
}

fn text(name: &str) -> Vec<u8> {
    [&[u8::try_from(name.len()).unwrap()], name.as_bytes()].concat()
}

/// A module with one import and one function, which it exports.
fn module(interface: &str, function: &str, export: &str) -> Vec<u8> {
    let import = [&[1][..], &text(interface), &text(function), &[0, 0]].concat();
    let exported = [&[1][..], &text(export), &[0, 1]].concat();
    let sections = [
        section(1, &[1, 0x60, 0, 0]),
        section(2, &import),
        section(3, &[1, 0]),
        section(7, &exported),
        section(10, &[1, 2, 0, 0x0b]),
    ];
    [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat()
}

#[test]
fn a_module_may_ask_for_wasi_and_nothing_else() {
    let triple = "wasm32-wasip1";
    let judged = |bytes: &[u8]| judge(&inspect_bytes(bytes).unwrap(), &expect(triple));
    let right = module("wasi_snapshot_preview1", "fd_write", "_start");
    let inspection = inspect_bytes(&right).unwrap();
    assert_eq!((inspection.arch.as_str(), inspection.bits, inspection.stripped), ("wasm32", 32, true));
    assert_eq!(inferred(&inspection).as_deref(), Some(triple));
    let findings = judged(&right);
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec![]), "{findings:#?}");

    let findings = judged(&module("env", "deflate", "_start"));
    assert_eq!(violations(&findings), ["import-not-in-wasi"]);
    assert!(message(&findings, "import-not-in-wasi").starts_with("imports `deflate` of `env`, which"));
    let unknown = module("wasi_snapshot_preview1", "fd_teleport", "_start");
    assert_eq!(violations(&judged(&unknown)), ["import-not-in-wasi"]);
    let library = module("wasi_snapshot_preview1", "fd_write", "add");
    assert_eq!(violations(&judged(&library)), ["not-a-program"]);
}

#[test]
fn a_module_that_is_cut_or_of_another_kind_is_refused() {
    let right = module("wasi_snapshot_preview1", "fd_write", "_start");
    for cut in 0..right.len() {
        let Ok(inspection) = inspect_bytes(&right[..cut]) else { continue };
        // Without its last sections a module is one that starts nothing.
        let findings = judge(&inspection, &expect("wasm32-wasip1"));
        assert!(!violations(&findings).is_empty(), "cut to {cut} of {} bytes", right.len());
    }
    assert!(matches!(inspect_bytes(b"\0asm\x0d\0\x01\0"), Err(Unreadable::Foreign(_))));
    // A size beyond the end, and a count of four thousand million.
    assert!(inspect_bytes(b"\0asm\x01\0\0\0\x02\xff\xff\xff\xff\x0f\x01").is_err());
    assert!(inspect_bytes(b"\0asm\x01\0\0\0\x02\x05\xff\xff\xff\xff\x0f").is_err());
}
