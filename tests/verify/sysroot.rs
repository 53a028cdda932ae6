//! Binaries held against the sysroot that they were linked with: small ones made here by real compilers, so that what a
//! wrong link does can be planted.

use crate::support::require;
use std::sync::{Arc, LazyLock};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::build::smoke::{Smoke, smoke};
use cargo_convoy::machine::interrupt::Interrupt;
use cargo_convoy::model::catalog::Catalog;
use cargo_convoy::model::sysroot::{Libraries, Library, LinkedAgainst, SysrootKey, read_control, runtime_packages};
use cargo_convoy::project::graph::Bin;
use cargo_convoy::release::Artifact;
use cargo_convoy::release::Checker;
use cargo_convoy::verify::{Expectation, Finding, Inspection, judge};
use proptest::prelude::*;

use super::toolchain::{AARCH64_GCC, ARM_GCC, HOST_GCC, run, workspace};
use super::{expect, inspect, message, violations, warnings};

/// A compiler, its triple, and Debian's names for it.
struct Machine {
    gcc: &'static str,
    triple: &'static str,
    multiarch: &'static str,
    architecture: &'static str,
}

const ARM: Machine = Machine {
    gcc: ARM_GCC,
    triple: "armv7-unknown-linux-gnueabihf",
    multiarch: "arm-linux-gnueabihf",
    architecture: "armhf",
};
const AARCH64: Machine = Machine {
    gcc: AARCH64_GCC,
    triple: "aarch64-unknown-linux-gnu",
    multiarch: "aarch64-linux-gnu",
    architecture: "arm64",
};

/// A folder laid out as convoy lays out a sysroot, with this machine's cross glibc in it.
struct Made {
    machine: Machine,
    dir: Utf8PathBuf,
    against: LinkedAgainst,
}

impl Made {
    fn new(name: &str, machine: Machine) -> Self {
        let dir = workspace(name);
        let root = dir.join("sysroot/root");
        let lib = root.join("usr/lib").join(machine.multiarch);
        fs_err::create_dir_all(&lib).unwrap();
        let key = SysrootKey { suite: "bookworm".to_owned(), architecture: machine.architecture.to_owned(), of: None };
        let against = LinkedAgainst { key, digest: "1".to_owned(), root, multiarch: machine.multiarch.to_owned() };
        let made = Self { machine, dir, against };
        for name in ["libc.so.6", "libm.so.6", "libpthread.so.0", "libgcc_s.so.1"] {
            made.add_from_cross(name);
        }
        let loader = expect(made.machine.triple).target.unwrap().expect.interpreter.unwrap();
        made.add_from_cross(Utf8Path::new(&loader).file_name().unwrap());
        made
    }

    fn lib(&self) -> Utf8PathBuf {
        self.against.root.join("usr/lib").join(self.machine.multiarch)
    }

    fn add_from_cross(&self, name: &str) {
        let from = run(self.machine.gcc, &[&format!("-print-file-name={name}")]);
        fs_err::copy(from, self.lib().join(name)).unwrap();
    }

    /// A shared library with `odd_old` in version ODD_1, and `odd_new` in ODD_2 where it is the newer one.
    fn library(&self, folder: &Utf8Path, newer: bool, flags: &[&str]) {
        fs_err::create_dir_all(folder).unwrap();
        let (source, map) = (self.dir.join("odd.c"), self.dir.join("odd.map"));
        let mut text = "int odd_old(void) { return 1; }\n".to_owned();
        let mut versions = "ODD_1 { global: odd_old; local: *; };\n".to_owned();
        if newer {
            text.push_str("int odd_new(void) { return 2; }\n");
            versions.push_str("ODD_2 { global: odd_new; } ODD_1;\n");
        }
        fs_err::write(&source, text).unwrap();
        fs_err::write(&map, versions).unwrap();
        let script = format!("-Wl,--version-script={map}");
        let out = folder.join("libodd.so.1.0");
        let base = ["-shared", "-fPIC", source.as_str(), "-Wl,-soname,libodd.so.1", "-o", out.as_str()];
        let versioned = [script.as_str()];
        run(self.machine.gcc, &[&base[..], if flags.is_empty() { &versioned[..] } else { flags }].concat());
        for link in ["libodd.so.1", "libodd.so"] {
            let _ = fs_err::remove_file(folder.join(link));
            fs_err::os::unix::fs::symlink("libodd.so.1.0", folder.join(link)).unwrap();
        }
    }

    /// A program that calls the functions named, linked against the `libodd` of a folder.
    fn program(&self, folder: &Utf8Path, calls: &[&str], flags: &[&str]) -> Inspection {
        inspect(self.program_file(folder, calls, flags))
    }

    fn program_file(&self, folder: &Utf8Path, calls: &[&str], flags: &[&str]) -> Utf8PathBuf {
        let (source, out) = (self.dir.join("main.c"), self.dir.join("program"));
        let declared: String = calls.iter().map(|name| format!("int {name}(void);\n")).collect();
        let called: Vec<String> = calls.iter().map(|name| format!("{name}()")).collect();
        let text = format!(
            "#include <stdio.h>\n{declared}int main(void) {{ return puts(\"hi\") + {}; }}\n",
            called.join(" + ")
        );
        fs_err::write(&source, text).unwrap();
        let search = format!("-L{folder}");
        let page = "-Wl,-z,max-page-size=65536";
        run(self.machine.gcc, &[&[source.as_str(), "-o", out.as_str(), page, &search, "-lodd"], flags].concat());
        out
    }

    fn expectation(&self) -> Expectation {
        let floor = Some("2.36".parse().unwrap());
        Expectation { sysroot: Some(self.against.clone()), floor, ..expect(self.machine.triple) }
    }

    fn judge(&self, inspection: &Inspection) -> Vec<Finding> {
        let libraries =
            Libraries::load(&self.against, inspection.bits, &inspection.needed, inspection.interpreter()).unwrap();
        judge(inspection, &Expectation { libraries: Some(Arc::new(libraries)), ..self.expectation() })
    }
}

#[test]
fn all_symbols_of_the_sysroots_own_libraries_resolve() {
    require!(Tool(ARM_GCC), Tool(AARCH64_GCC));
    for (name, machine) in [("sysroot-right-arm", ARM), ("sysroot-right-aarch64", AARCH64)] {
        let made = Made::new(name, machine);
        made.library(&made.lib(), true, &[]);
        let inspection = made.program(&made.lib(), &["odd_old", "odd_new"], &[]);
        let findings = made.judge(&inspection);
        assert_eq!(
            (violations(&findings), warnings(&findings)),
            (Vec::<&str>::new(), Vec::<&str>::new()),
            "{findings:#?}"
        );
        let said = message(&findings, "sysroot");
        assert!(said.contains("symbols found in 2 libraries of the sysroot bookworm/"), "{said}");
    }
}

#[test]
fn a_symbol_of_another_version_of_the_library_is_refused() {
    require!(Tool(ARM_GCC), Tool(AARCH64_GCC));
    let made = Made::new("sysroot-symbol", ARM);
    let elsewhere = made.dir.join("elsewhere");
    made.library(&made.lib(), false, &[]);
    made.library(&elsewhere, true, &[]);
    let findings = made.judge(&made.program(&elsewhere, &["odd_old", "odd_new"], &[]));
    assert_eq!(violations(&findings), ["symbol-not-in-sysroot"]);
    let said = message(&findings, "symbol-not-in-sysroot");
    assert!(said.contains("odd_new@ODD_2 of libodd.so.1") && !said.contains("odd_old"), "{said}");
    assert!(said.contains("bookworm/armhf"), "{said}");
}

#[test]
fn a_symbol_without_a_version_is_looked_for_in_all() {
    require!(Tool(AARCH64_GCC));
    let made = Made::new("sysroot-unversioned", AARCH64);
    let elsewhere = made.dir.join("elsewhere");
    // No version script: the symbols have no version, and the hash table is the old kind or the new one.
    made.library(&made.lib(), false, &["-Wl,--hash-style=sysv"]);
    made.library(&elsewhere, true, &["-Wl,--hash-style=gnu"]);
    let findings = made.judge(&made.program(&elsewhere, &["odd_old", "odd_new"], &[]));
    assert_eq!(violations(&findings), ["symbol-not-in-sysroot"]);
    let said = message(&findings, "symbol-not-in-sysroot");
    assert!(said.starts_with("uses odd_new, which no library of the sysroot"), "{said}");
    assert_eq!(violations(&made.judge(&made.program(&elsewhere, &["odd_old"], &[]))), [""; 0]);
    // The loader lets a library without versions meet a reference that has one.
    made.library(&elsewhere, true, &[]);
    assert_eq!(violations(&made.judge(&made.program(&elsewhere, &["odd_old"], &[]))), [""; 0]);
}

#[test]
fn a_weak_symbol_may_be_absent() {
    require!(Tool(ARM_GCC), Tool(AARCH64_GCC));
    let made = Made::new("sysroot-weak", ARM);
    made.library(&made.lib(), false, &["-Wl,--hash-style=gnu"]);
    let source = "int odd_new(void) __attribute__((weak));\nint main(void) { return odd_new ? odd_new() : 0; }\n";
    let (file, out) = (made.dir.join("weak.c"), made.dir.join("weak"));
    fs_err::write(&file, source).unwrap();
    let (page, search) = ("-Wl,-z,max-page-size=65536", format!("-L{}", made.lib()));
    run(ARM_GCC, &[file.as_str(), "-o", out.as_str(), page, &search, "-Wl,--no-as-needed", "-lodd"]);
    let inspection = inspect(&out);
    assert!(inspection.needed.contains(&"libodd.so.1".to_owned()));
    assert_eq!(violations(&made.judge(&inspection)), [""; 0]);
    assert!(inspection.used_symbols().iter().all(|(name, _)| *name != "odd_new"));
}

#[test]
fn a_library_that_the_sysroot_lacks_is_refused() {
    require!(Tool(ARM_GCC), Tool(AARCH64_GCC));
    let made = Made::new("sysroot-library", AARCH64);
    let elsewhere = made.dir.join("elsewhere");
    made.library(&elsewhere, true, &[]);
    let inspection = made.program(&elsewhere, &["odd_old"], &[]);
    let findings = made.judge(&inspection);
    assert_eq!(violations(&findings), ["library-not-in-sysroot"]);
    let said = message(&findings, "library-not-in-sysroot");
    assert!(said.contains("libodd.so.1") && said.contains("`supply.packages`"), "{said}");

    // One of the other word size is not it, and one that is damaged is told as such.
    let arm = Made::new("sysroot-library-32", ARM);
    arm.library(&made.lib(), true, &[]);
    assert_eq!(violations(&made.judge(&inspection)), ["library-not-in-sysroot"]);
    fs_err::write(made.lib().join("libodd.so.1.0"), b"\x7fELF\x02\x01\x01 cut").unwrap();
    let findings = made.judge(&inspection);
    assert!(message(&findings, "library-not-in-sysroot").contains("damaged"), "{findings:#?}");
}

#[test]
fn a_newer_glibc_than_the_sysroots_is_refused() {
    require!(Tool(AARCH64_GCC));
    let made = Made::new("sysroot-glibc", AARCH64);
    made.library(&made.lib(), true, &[]);
    let inspection = made.program(&made.lib(), &["odd_old"], &[]);
    // A glibc that has nothing but `puts` of another version, as an older one has less.
    let (source, map) = (made.dir.join("libc.c"), made.dir.join("libc.map"));
    fs_err::write(&source, "int puts(const char *s) { return !s; }\n").unwrap();
    fs_err::write(&map, "GLIBC_2.17 { global: puts; local: *; };\n").unwrap();
    let libc = made.lib().join("libc.so.6");
    let script = format!("-Wl,--version-script={map}");
    let flags = ["-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libc.so.6", &script, "-o", libc.as_str()];
    run(AARCH64_GCC, &[&[source.as_str()], &flags[..]].concat());
    let findings = made.judge(&inspection);
    assert_eq!(violations(&findings), ["symbol-not-in-sysroot"]);
    let said = message(&findings, "symbol-not-in-sysroot");
    assert!(said.contains("__libc_start_main@GLIBC_2.34") && said.contains(" of libc.so.6,"), "{said}");
    assert!(!said.contains("puts"), "{said}");

    // Without any glibc nothing is said of it but that.
    for name in ["libc.so.6", "ld-linux-aarch64.so.1"] {
        fs_err::remove_file(made.lib().join(name)).unwrap();
    }
    let findings = made.judge(&inspection);
    assert_eq!(violations(&findings), [""; 0]);
    assert!(warnings(&findings).contains(&"glibc-not-in-sysroot"), "{findings:#?}");
}

#[test]
fn what_a_library_needs_in_turn_is_found_by_its_own_path() {
    require!(Tool(AARCH64_GCC));
    let made = Made::new("sysroot-turn", AARCH64);
    made.library(&made.lib().join("private"), true, &[]);
    // `libouter` finds `libodd` in a folder of its own and hands its symbols on.
    let source = made.dir.join("outer.c");
    fs_err::write(&source, "int odd_new(void); int outer(void) { return odd_new(); }\n").unwrap();
    let (out, search) = (made.lib().join("libouter.so"), format!("-L{}/private", made.lib()));
    let flags = ["-shared", "-fPIC", "-Wl,-soname,libouter.so", "-Wl,-rpath,$ORIGIN/private", &search];
    run(AARCH64_GCC, &[&[source.as_str(), "-o", out.as_str()], &flags[..], &["-lodd"]].concat());
    let libraries = Libraries::load(&made.against, 64, &["libouter.so".to_owned()], None).unwrap();
    assert_eq!(libraries.exporter("odd_new", Some("ODD_2")), Some("libodd.so.1"));
    assert_eq!(libraries.exporter("outer", None), Some("libouter.so"));
}

#[test]
fn sonames_that_newer_releases_lack_are_told_with_the_way_out() {
    require!(Tool(ARM_GCC), Tool(AARCH64_GCC));
    let made = Made::new("sysroot-gone", AARCH64);
    let (source, lib) = (made.dir.join("ssl.c"), made.lib());
    fs_err::write(&source, "int odd_old(void) { return 1; }\n").unwrap();
    let out = lib.join("libodd.so");
    run(AARCH64_GCC, &["-shared", "-fPIC", source.as_str(), "-Wl,-soname,libssl.so.1.1", "-o", out.as_str()]);
    fs_err::rename(&out, lib.join("libssl.so.1.1")).unwrap();
    fs_err::os::unix::fs::symlink("libssl.so.1.1", &out).unwrap();
    let mut made = made;
    made.against.key.suite = "bullseye".to_owned();
    let inspection = made.program(&lib, &["odd_old"], &[]);
    let said = made.judge(&inspection);
    let said = message(&said, "soname-gone");
    assert!(
        said.contains("libssl.so.1.1, which is in Debian 11 but no longer in Debian 12 and Debian 13, where"),
        "{said}"
    );
    assert!(said.contains("`-t aarch64-unknown-linux-gnu.2.36`") && said.contains("`vendored`"), "{said}");
    // On 32-bit ARM the newest release has it with another time_t.
    let mut on_arm = made.expectation();
    on_arm.sysroot = Some(made.against.clone());
    if let Some(sysroot) = &mut on_arm.sysroot {
        sysroot.key.suite = "bookworm".to_owned();
        sysroot.key.architecture = "armhf".to_owned();
    }
    let mut three = inspection.clone();
    three.needed = vec!["libssl.so.3".to_owned()];
    let said = judge(&three, &on_arm);
    assert!(message(&said, "soname-time64").starts_with("on armhf, Debian 13 has libssl.so.3 with"), "{said:#?}");
    on_arm.sysroot = Some(made.against.clone());
    assert!(!warnings(&judge(&three, &on_arm)).contains(&"soname-time64"));

    // The newest release has no newer one.
    made.against.key.suite = "trixie".to_owned();
    assert!(!warnings(&made.judge(&inspection)).contains(&"soname-gone"));
}

#[test]
fn the_checker_judges_against_the_sysroot_and_remembers_its_digest() {
    require!(Tool(ARM_GCC), Tool(AARCH64_GCC));
    let mut made = Made::new("sysroot-checker", ARM);
    let elsewhere = made.dir.join("elsewhere");
    made.library(&made.lib(), true, &[]);
    let control = made.against.control().join("libodd1");
    fs_err::create_dir_all(&control).unwrap();
    fs_err::write(control.join("control"), "Package: libodd1\nVersion: 1.0-3\n").unwrap();
    let symbols = "libodd.so.1 libodd1 #MINVER#\n ODD_1@ODD_1 0.9\n odd_old@ODD_1 0.9\n odd_new@ODD_2 1.0~rc1\n";
    fs_err::write(control.join("symbols"), symbols).unwrap();
    let file = made.program_file(&made.lib(), &["odd_old", "odd_new"], &[]);
    let memory = made.dir.join("memory");
    fs_err::create_dir_all(&memory).unwrap();
    let mut checker = Checker::open(&memory);
    let text = || "program".to_owned();
    let bin = Bin { name: text(), package: text(), version: text(), package_id: text(), only: None };
    let artifact = Artifact { bin, root: made.dir.clone(), path: file };
    let mut check = |made: &Made| checker.check(&artifact, made.expectation(), &Vec::new).unwrap();

    let checked = check(&made);
    assert_eq!(violations(&checked.findings), [""; 0], "{:#?}", checked.findings);
    let [package] = &checked.runtime_packages[..] else { panic!("{:?}", checked.runtime_packages) };
    assert_eq!((package.package.as_str(), package.version.as_deref()), ("libodd1", Some("1.0~rc1")));
    assert_eq!(package.library, "libodd.so.1");

    // Another sysroot in the same place: known by its digest alone.
    made.library(&elsewhere, false, &[]);
    fs_err::copy(elsewhere.join("libodd.so.1.0"), made.lib().join("libodd.so.1.0")).unwrap();
    assert_eq!(violations(&check(&made).findings), [""; 0], "the same digest is the same sysroot");
    made.against.digest = "2".to_owned();
    assert_eq!(violations(&check(&made).findings), ["symbol-not-in-sysroot"]);
    assert!(read_control(&made.against.control()).iter().any(|control| control.package == "libodd1"));
    assert_eq!(runtime_packages(&["libodd.so.1".to_owned()], &[], &[]), []);
}

#[test]
fn a_smoke_run_takes_the_sysroots_libraries() {
    require!(Tool(ARM_GCC), Tool(AARCH64_GCC), Tool("qemu-arm-static"), Tool("qemu-aarch64-static"));
    let made = Made::new("sysroot-smoke", ARM);
    let root = &made.against.root;
    fs_err::os::unix::fs::symlink("usr/lib", root.join("lib")).unwrap();
    let loader = "ld-linux-armhf.so.3";
    fs_err::rename(made.lib().join(loader), root.join("usr/lib").join(loader)).unwrap();
    // In a folder that the loader does not know of: where Debian keeps those of which one is chosen at installation.
    let chosen = made.lib().join("odd");
    made.library(&chosen, true, &[]);
    let file = made.program_file(&chosen, &["odd_new"], &[]);
    assert_eq!(violations(&made.judge(&inspect(&file))), [""; 0]);
    let interrupt = Interrupt::listen().unwrap();
    let run = |triple: &str, root: Option<&Utf8Path>| {
        let target = Catalog::embedded().target(triple);
        let host = "x86_64-unknown-linux-gnu";
        smoke(
            &Smoke { binary: &file, triple, target, is_static: false, host, cpu: None, root, image: None },
            &interrupt,
        )
        .unwrap()
    };
    assert_eq!(run(made.machine.triple, Some(root)).code.name(), "smoke-started");
    let alone = run(made.machine.triple, None);
    assert!(alone.code.name() == "smoke-failed" && alone.message.contains("libodd.so.1"), "{alone:?}");

    // No Debian library is for ARMv6; with a sysroot that is (Raspbian's), it is tried.
    let armv6 = "arm-unknown-linux-gnueabihf";
    assert_eq!(run(armv6, None).code.name(), "smoke-not-run");
    assert_ne!(run(armv6, Some(root)).code.name(), "smoke-not-run");
}

/// Real libraries, 32 and 64 bit, with versions and without.
static LIBRARIES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut found = Vec::new();
    for (gcc, name) in [(ARM_GCC, "libc.so.6"), (AARCH64_GCC, "libgcc_s.so.1"), (HOST_GCC, "libm.so.6")] {
        found.push(fs_err::read(run(gcc, &[&format!("-print-file-name={name}")])).unwrap());
    }
    let made = Made::new("sysroot-hostile", AARCH64);
    made.library(&made.lib(), true, &[]);
    found.push(fs_err::read(made.lib().join("libodd.so.1")).unwrap());
    for library in &found {
        Library::parse(library).unwrap();
    }
    found
});

#[test]
fn damaged_libraries_do_not_panic() {
    require!(Tool(ARM_GCC), Tool(AARCH64_GCC));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) };
    proptest!(config, |(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
        // Headers, or the tables of symbols and versions, which come first of what is loaded.
        reach in prop::sample::select(vec![128_usize, 4096, 65536]),
        tail in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    )| {
        let mut bytes = which.get(&LIBRARIES).clone();
        let reach = bytes.len().min(reach);
        for (place, value) in edits {
            let place = place.index(reach);
            // The section headers stand at the end.
            let place = if tail { bytes.len() - 1 - place } else { place };
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(library) = Library::parse(&bytes) {
            library.exports("puts", Some("GLIBC_2.17"));
        }
    });
}
