//! 32-bit ARM: v7 code under v6, by every linker.

use crate::support::require;
use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::verify::link;
use cargo_convoy::verify::{Facts, judge};

use super::toolchain::{ARM_GCC, object, run, rust_lld, shim, workspace, zig};
use super::{expect, inferred, inspect, message, violations, warnings};

const V6: &str = "arm-unknown-linux-musleabihf";
const V7: &str = "armv7-unknown-linux-musleabihf";
const PAGES: &str = "-Wl,-z,max-page-size=65536";

const START: &str = "float half(float); void _start(void) { volatile float f = half(3); for (;;) (void)f; }";
const HALF: &str = "float half(float f) { return f / 2; }";

fn start(dir: &Utf8Path) -> String {
    object(dir, &[ARM_GCC], &["-marm", "-march=armv6", "-mfpu=vfp"], "start", START)
}

fn half(dir: &Utf8Path, flags: &[&str]) -> String {
    object(dir, &[ARM_GCC], flags, "half", HALF)
}

fn v6_half(dir: &Utf8Path) -> String {
    half(dir, &["-marm", "-mcpu=arm1176jzf-s", "-mfpu=vfp"])
}

fn neon_half(dir: &Utf8Path) -> String {
    half(dir, &["-march=armv7-a", "-mfpu=neon"])
}

/// Links with GNU ld, which merges the attributes.
fn by_gcc(dir: &Utf8Path, objects: &[&str]) -> Utf8PathBuf {
    let out = dir.join("program");
    run(ARM_GCC, &[&["-nostdlib", "-static", PAGES, "-o", out.as_str()], objects].concat());
    out
}

fn by_lld(dir: &Utf8Path, args: &[&str]) -> Utf8PathBuf {
    let out = dir.join("program");
    shim(&rust_lld(), V6, &[&["-flavor", "gnu", "-z", "max-page-size=65536", "-o", out.as_str()], args].concat());
    out
}

#[test]
fn v6_code_is_right_under_v6() {
    require!(Tool(ARM_GCC));
    let dir = workspace("arm-v6");
    let program = by_gcc(&dir, &[&start(&dir), &v6_half(&dir)]);
    let inspection = inspect(&program);
    assert_eq!(inspection.cpu.as_deref(), Some("ARMv6KZ VFPv2 hard-float"));
    let findings = judge(&inspection, &expect(V6));
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec![]), "{findings:#?}");
    assert_eq!(inferred(&inspection).as_deref(), Some(V6));
}

#[test]
fn v7_code_under_v6_by_gcc_is_refused() {
    require!(Tool(ARM_GCC));
    let dir = workspace("arm-gcc");
    let program = by_gcc(&dir, &[&start(&dir), &neon_half(&dir)]);
    let inspection = inspect(&program);
    assert_eq!(inspection.cpu.as_deref(), Some("ARMv7 VFPv3 NEON hard-float"));
    let findings = judge(&inspection, &expect(V6));
    assert_eq!(violations(&findings), ["arm-level-too-high"]);
    assert!(message(&findings, "arm-level-too-high").starts_with("the linked file uses ARMv7, VFPv3, NEON, but `arm-"));
    assert_eq!(inferred(&inspection).as_deref(), Some(V7));

    // The same file under v7: NEON may be guarded, as in ring, and so is said, not refused.
    let findings = judge(&inspection, &expect(V7));
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec!["arm-neon"]));
    // A CPU that has it.
    let mut device = expect(V7);
    device.cpu = Some("cortex-a7".to_owned());
    let findings = judge(&inspection, &device);
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec![]), "{findings:#?}");
}

#[test]
fn v7_code_under_v6_by_lld_is_refused_with_the_link_record_and_said_without() {
    require!(Tool(ARM_GCC));
    let dir = workspace("arm-lld");
    let program = by_lld(&dir, &[&start(&dir), &neon_half(&dir)]);
    let inspection = inspect(&program);
    // lld kept the first object's attributes: the file alone claims to be right.
    assert_eq!(inspection.cpu.as_deref(), Some("ARMv6 VFPv2 hard-float"));
    assert!(inspection.linker.as_deref().is_some_and(|linker| linker.starts_with("LLD ")), "{:?}", inspection.linker);

    let findings = judge(&inspection, &expect(V6));
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec!["arm-level-unchecked"]));
    assert!(message(&findings, "arm-level-unchecked").contains("first object file only"));

    let mut expectation = expect(V6);
    expectation.link = link::record_for(&program);
    let findings = judge(&inspection, &expectation);
    assert_eq!(violations(&findings), ["arm-level-too-high"]);
    assert!(message(&findings, "arm-level-too-high").starts_with("half.o uses ARMv7, VFPv3, NEON"), "{findings:#?}");

    // Taking lld's name out does not make the file trusted.
    run("arm-linux-gnueabihf-objcopy", &["-R", ".comment", program.as_str()]);
    let findings = judge(&inspect(&program), &expect(V6));
    assert!(message(&findings, "arm-level-unchecked").starts_with("the file does not state which linker"));
}

#[test]
fn a_v7_member_of_a_library_behind_a_response_file_is_found() {
    require!(Tool(ARM_GCC));
    let dir = workspace("arm archive");
    let archive = dir.join("libhalf.a");
    run("ar", &["rcs", archive.as_str(), &neon_half(&dir)]);
    let response = dir.join("args");
    let escape = |text: &str| text.replace(' ', "\\ ");
    fs_err::write(&response, format!("-L{}\n-Bstatic\n-lhalf\n", escape(dir.as_str()))).unwrap();
    let program = by_lld(&dir, &[&start(&dir), &format!("@{response}")]);
    let mut expectation = expect(V6);
    expectation.link = link::record_for(&program);
    let findings = judge(&inspect(&program), &expectation);
    assert!(message(&findings, "arm-level-too-high").starts_with("libhalf.a(half.o) uses"), "{findings:#?}");
}

#[test]
fn v7_code_under_v6_by_zig_is_refused() {
    require!(Tool(ARM_GCC), Zig);
    let dir = workspace("arm-zig");
    let program = dir.join("program");
    let (start, half) = (start(&dir), neon_half(&dir));
    let cpu = "-mcpu=generic+v6+strict_align+vfp2-d32";
    let args = ["cc", "-target", V6_ZIG, cpu, "-nostdlib", "-static", &start, &half, "-o", program.as_str()];
    shim(&zig(), V6, &args);
    let inspection = inspect(&program);
    assert_eq!(inspection.cpu.as_deref(), Some("ARMv6 VFPv2 hard-float"));
    assert_eq!(warnings(&judge(&inspection, &expect(V6))), ["arm-level-unchecked"]);
    let mut expectation = expect(V6);
    expectation.link = link::record_for(&program);
    let findings = judge(&inspection, &expectation);
    assert_eq!(violations(&findings), ["arm-level-too-high"], "{findings:#?}");
    assert!(message(&findings, "arm-level-too-high").starts_with("half.o uses ARMv7"));
}

const V6_ZIG: &str = "arm-linux-musleabihf";

#[test]
fn a_right_link_by_lld_is_right_with_its_record() {
    require!(Tool(ARM_GCC));
    let dir = workspace("arm-lld-right");
    let program = by_lld(&dir, &[&start(&dir), &v6_half(&dir)]);
    let mut expectation = expect(V6);
    expectation.link = link::record_for(&program);
    let findings = judge(&inspect(&program), &expectation);
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec![]), "{findings:#?}");
}

/// As the amd64 assembly of zstd is, when it is assembled for ARM.
#[test]
fn an_object_without_code_makes_no_claim() {
    require!(Tool(ARM_GCC), Zig);
    let dir = workspace("arm-no-code");
    let source = dir.join("other.S");
    let empty = dir.join("other.o");
    fs_err::write(&source, "#ifdef __x86_64__\n.globl fast\nfast: ret\n#endif\n").unwrap();
    let cpu = "-mcpu=generic+v7a+vfp3-d32+thumb2-neon";
    run(&zig(), &["cc", "-target", V6_ZIG, cpu, "-c", source.as_str(), "-o", empty.as_str()]);
    let program = by_lld(&dir, &[&start(&dir), empty.as_str(), &v6_half(&dir)]);
    let mut expectation = expect(V6);
    expectation.link = link::record_for(&program);
    let findings = judge(&inspect(&program), &expectation);
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec![]), "{findings:#?}");
}

#[test]
fn start_code_that_zigs_assembler_marks_as_neon_is_no_cause_for_a_warning() {
    require!(Tool(ARM_GCC), Zig);
    let dir = workspace("arm-zig-start");
    let zig = zig();
    let source = dir.join("start.S");
    let start = dir.join("start.o");
    fs_err::write(&source, ".globl _start\n_start: b _start\n").unwrap();
    let cpu = "-mcpu=generic+v7a+vfp3-d32+thumb2-neon";
    run(&zig, &["cc", "-target", V6_ZIG, cpu, "-c", source.as_str(), "-o", start.as_str()]);
    let half = half(&dir, &["-march=armv7-a", "-mfpu=vfpv3-d16"]);
    let program = by_lld(&dir, &[start.as_str(), &half]);
    let inspection = inspect(&program);
    assert_eq!(inspection.cpu.as_deref(), Some("ARMv7 VFPv3 NEON hard-float"));
    // As zig links: its start code is not on the command line.
    let mut expectation = expect(V7);
    expectation.link = link::record_for(&program);
    expectation.link.as_mut().unwrap().arm.retain(|group| group.objects == ["half.o"]);
    let findings = judge(&inspection, &expectation);
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec![]), "{findings:#?}");
}

#[test]
fn bitcode_on_the_link_line_is_said() {
    require!(Tool(ARM_GCC));
    let dir = workspace("arm-bitcode");
    let program = by_lld(&dir, &[&start(&dir), &v6_half(&dir)]);
    let mut record = link::record_for(&program).unwrap();
    record.unread = vec!["liblto.rlib(lto.o)".to_owned()];
    let mut expectation = expect(V6);
    expectation.link = Some(record);
    let findings = judge(&inspect(&program), &expectation);
    assert!(
        message(&findings, "arm-level-unchecked").starts_with("could not read liblto.rlib(lto.o)"),
        "{findings:#?}"
    );
}

#[test]
fn soft_float_under_hard_float_is_refused() {
    require!(Tool(ARM_GCC));
    let dir = workspace("arm-soft");
    let flags = ["-marm", "-march=armv6", "-mfloat-abi=soft"];
    let start = object(&dir, &[ARM_GCC], &flags, "start", START);
    let half = half(&dir, &flags);
    let out = dir.join("program");
    run(ARM_GCC, &["-nostdlib", "-static", "-mfloat-abi=soft", PAGES, "-o", out.as_str(), &start, &half, "-lgcc"]);
    let findings = judge(&inspect(&out), &expect(V6));
    assert!(message(&findings, "wrong-float-abi").contains("soft-float ABI, but"), "{findings:#?}");
}

#[test]
fn small_pages_are_refused() {
    require!(Tool(ARM_GCC));
    let dir = workspace("arm-pages");
    let out = dir.join("program");
    let small = "-Wl,-z,max-page-size=4096";
    run(ARM_GCC, &["-nostdlib", "-static", small, "-o", out.as_str(), &start(&dir), &v6_half(&dir)]);
    let inspection = inspect(&out);
    let Facts::Elf(elf) = &inspection.facts else { panic!("{inspection:?}") };
    assert_eq!(elf.load_alignment, Some(4096));
    let findings = judge(&inspection, &expect(V6));
    assert_eq!(violations(&findings), ["page-alignment-too-small"]);
    assert!(message(&findings, "page-alignment-too-small").contains("-z max-page-size=65536"));
}
