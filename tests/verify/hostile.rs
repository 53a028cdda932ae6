//! Bytes that nobody meant to be read: truncated, mutated, random. Nothing may panic, and nothing cut may pass.

use crate::support::require;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use cargo_convoy::model::catalog::Catalog;
use cargo_convoy::model::sysroot::{LinkedAgainst, Sysroot, SysrootKey};
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
    require!(Tool(ARM_GCC), Tool(AARCH64_GCC), Tool(MINGW_GCC), Zig);
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

/// An ELF file of one loaded segment, with this dynamic segment. `blob` lies at the address [`BLOB`].
fn elf(dynamic: &[(u64, u64)], blob: &[u8]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    let word = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
    let entries: Vec<u64> = dynamic.iter().chain([&(0, 0)]).flat_map(|(tag, value)| [*tag, *value]).collect();
    let table = BLOB + blob.len() as u64;
    let size = table + entries.len() as u64 * 8;
    [3, 62].into_iter().for_each(|value| half(&mut file, value));
    file.extend(1_u32.to_le_bytes());
    [0, 64, 0].into_iter().for_each(|value| word(&mut file, value));
    file.extend(0_u32.to_le_bytes());
    [64, 56, 2, 0, 0, 0].into_iter().for_each(|value| half(&mut file, value));
    for (kind, start, length) in [(1_u64, 0, size), (2, table, size - table)] {
        let entry = [kind | 7 << 32, start, start, start, length, length, 4096];
        entry.into_iter().for_each(|value| word(&mut file, value));
    }
    file.extend(blob);
    entries.into_iter().for_each(|value| word(&mut file, value));
    file
}

const BLOB: u64 = 64 + 2 * 56;
const DT_STRTAB: (u64, u64) = (5, BLOB);

fn damaged(bytes: &[u8], word: &str) {
    match inspect(bytes) {
        Err(Unreadable::Damaged(why)) => assert!(why.contains(word), "{why}"),
        other => panic!("{:?}", other.map(|inspection| inspection.needed.len())),
    }
}

#[test]
fn tables_that_share_one_long_name_are_refused() {
    let long = [vec![b'n'; 60_000], vec![0]].concat();
    let needed = |count: u64| elf(&(0..count).map(|at| (1, at)).chain([DT_STRTAB]).collect::<Vec<_>>(), &long);
    assert_eq!(inspect(&needed(4)).unwrap().needed.len(), 4);
    damaged(&needed(2000), "longer than the file");
    damaged(&needed(5000), "needed libraries");

    // One library, and any number of versions of it, all of one name.
    let mut blob = long.clone();
    blob.resize(60_004, 0);
    // vn_version and vn_cnt, vn_file, vn_aux, vn_next.
    blob.extend([0x1_0001_u32, 0, 16, 0].into_iter().flat_map(u32::to_le_bytes));
    for entry in 0..2000 {
        // vna_hash, vna_flags and vna_other, vna_name, vna_next.
        let next = if entry < 1999 { 16 } else { 0 };
        blob.extend([0_u32, 0x2_0000, 0, next].into_iter().flat_map(u32::to_le_bytes));
    }
    damaged(&elf(&[DT_STRTAB, (0x6fff_fffe, BLOB + 60_004)], &blob), "longer than the file");
}

#[test]
fn a_chain_of_versions_that_bites_its_tail_ends() {
    // vn_next and vna_next lead forward only; what they can do is to overlap.
    let mut blob = vec![0; 4];
    blob.extend((0..60_000_u32).flat_map(|_| 1_u32.to_le_bytes()));
    examine(&elf(&[DT_STRTAB, (0x6fff_fffe, BLOB + 4)], &blob));
}

#[test]
fn mach_o_names_and_libraries_are_counted() {
    let mut header: Vec<u8> = Vec::new();
    let mut words = |values: &[u32]| header.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    let (symbols, text) = (3000_u32, 60_000_u32);
    let start = 32 + 24;
    // MH_EXECUTE for arm64, flat names; LC_SYMTAB.
    words(&[0xfeed_facf, 0x0100_000c, 0, 2, 1, 24, 0x0020_0000, 0]);
    words(&[2, 24, start, symbols, start + symbols * 16, text]);
    for at in 0..symbols {
        words(&[at, 1, 0, 0]);
    }
    let mut bytes = header.clone();
    bytes.extend(vec![b'n'; text as usize - 1]);
    bytes.push(0);
    damaged(&bytes, "longer than the file");

    let count = 5000_u32;
    let mut bytes: Vec<u8> = Vec::new();
    let mut words = |values: &[u32]| bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    words(&[0xfeed_facf, 0x0100_000c, 0, 2, count, count * 32, 0x0020_0085, 0]);
    for number in 0..count {
        // LC_LOAD_DYLIB with a short name of its own.
        words(&[0xc, 32, 24, 0, 0, 0, 0x6100_0000 | number, 0]);
    }
    damaged(&bytes, "libraries");
}

#[test]
fn import_descriptors_of_a_pe_are_counted() {
    require!(Tool(ARM_GCC), Tool(AARCH64_GCC), Tool(MINGW_GCC), Zig);
    let (_, bytes) = BINARIES.iter().find(|(name, _)| *name == "PE stripped").unwrap();
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    // A last section of its own, with 5 000 descriptors that all name one DLL.
    let nt = word(bytes, 0x3c) as usize;
    let sections = usize::from(u16::from_le_bytes(bytes[nt + 6..nt + 8].try_into().unwrap()));
    let optional = usize::from(u16::from_le_bytes(bytes[nt + 20..nt + 22].try_into().unwrap()));
    let last = nt + 24 + optional + (sections - 1) * 40;
    let build = |count: u32, name: usize| {
        let mut bytes = bytes.clone();
        let (address, start) = (word(&bytes, last + 12), bytes.len() as u32);
        let size = (count + 1) * 20 + name as u32 + 1;
        for (at, value) in [(8, size), (16, size), (20, start)] {
            bytes[last + at..last + at + 4].copy_from_slice(&value.to_le_bytes());
        }
        let at = address + (count + 1) * 20;
        // The directory of imports is the second.
        bytes[nt + 24 + 112 + 8..][..8].copy_from_slice(&[address.to_le_bytes(), size.to_le_bytes()].concat());
        // No function: the table of each is the zeros at the end.
        let thunks = address + count * 20;
        for _ in 0..count {
            bytes.extend([thunks, 0, 0, at, thunks].iter().flat_map(|value| value.to_le_bytes()));
        }
        bytes.extend([0; 20]);
        bytes.extend(vec![b'n'; name]);
        bytes.push(0);
        bytes
    };
    assert_eq!(inspect(&build(10, 5)).unwrap().needed, ["nnnnn"]);
    damaged(&build(5000, 5), "imported DLLs");
    damaged(&build(2000, 60_000), "longer than the file");
}

#[test]
fn a_fat_file_of_many_slices_says_so_briefly() {
    let mut bytes = [0xcafe_babe_u32, 5000].map(u32::to_be_bytes).concat();
    bytes.extend(vec![0; 5000 * 20]);
    damaged(&bytes, "slices");
    let few = [&0xcafe_babe_u32.to_be_bytes()[..], &50_u32.to_be_bytes(), &vec![0; 50 * 20]].concat();
    let said = inspect(&few).unwrap_err().to_string();
    assert!(said.contains("and 46 more"), "{said}");
}

#[test]
fn long_names_are_cut_in_messages() {
    let name = [vec![b'x'; 5000], vec![0]].concat();
    let inspection = inspect(&elf(&[(1, 0), DT_STRTAB, (0x6fff_fffb, 0x0800_0000)], &name)).unwrap();
    assert_eq!(inspection.needed[0].len(), 5000);
    let findings = judge(&inspection, &Expectation::of_triple("x86_64-unknown-linux-musl", Catalog::embedded()));
    let said = findings.iter().map(|finding| finding.message.as_str()).collect::<String>();
    assert!(said.contains(&"x".repeat(200)) && !said.contains(&"x".repeat(201)), "{said}");
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
}

#[test]
fn mutated_binaries_do_not_panic() {
    require!(Tool(ARM_GCC), Tool(AARCH64_GCC), Tool(MINGW_GCC), Zig);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) };
    proptest!(config, |(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
        // Most of what matters stands in the headers.
        head in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    )| {
        let mut bytes = which.get(&BINARIES).1.clone();
        let reach = if head { bytes.len().min(1024) } else { bytes.len() };
        for (place, value) in edits {
            bytes[place.index(reach)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        examine(&bytes);
    });
}
