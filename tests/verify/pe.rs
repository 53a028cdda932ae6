//! PE: DLLs that Windows does not bring.

use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::verify::{Facts, judge};

use super::toolchain::{MINGW_GCC, object, run, rust_lld, workspace};
use super::{expect, inferred, inspect, message, violations, warnings};

const GNU: &str = "x86_64-pc-windows-gnu";

fn program(dir: &Utf8Path, text: &str, flags: &[&str]) -> Utf8PathBuf {
    let (source, out) = (dir.join("program.c"), dir.join("program.exe"));
    fs_err::write(&source, text).unwrap();
    run(MINGW_GCC, &[&[source.as_str(), "-o", out.as_str()], flags].concat());
    out
}

#[test]
fn a_program_of_system_dlls_is_right() {
    let dir = workspace("pe-right");
    let out = program(&dir, "#include <stdio.h>\nint main(void) { return puts(\"hi\") < 0; }", &[]);
    let inspection = inspect(&out);
    assert!(inspection.needed.iter().any(|name| name == "KERNEL32.dll"), "{:?}", inspection.needed);
    let findings = judge(&inspection, &expect(GNU));
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec![]), "{findings:#?}");
    assert_eq!(inferred(&inspection).as_deref(), Some(GNU));
    let Facts::Pe(pe) = &inspection.facts else { panic!("{inspection:?}") };
    assert_eq!(pe.subsystem, "console");
}

#[test]
fn an_odd_dll_is_refused() {
    let dir = workspace("pe-odd");
    let (source, dll) = (dir.join("odd.c"), dir.join("libodd-7.dll"));
    fs_err::write(&source, "__declspec(dllexport) int odd(void) { return 7; }").unwrap();
    run(MINGW_GCC, &["-shared", source.as_str(), "-o", dll.as_str()]);
    let out = program(&dir, "int odd(void); int main(void) { return odd(); }", &[dll.as_str()]);
    let findings = judge(&inspect(&out), &expect(GNU));
    assert_eq!(violations(&findings), ["dll-not-shipped"]);
    assert!(message(&findings, "dll-not-shipped").starts_with("needs `libodd-7.dll`, which is not part of Windows"));

    assert!(violations(&judge(&inspect(&dll), &expect(GNU))).contains(&"not-a-program"));
}

#[test]
fn a_delay_loaded_dll_counts_too() {
    let dir = workspace("pe-delay");
    // lld-link fills the directory of delayed imports; the helper that would load them is a stand-in.
    let odd = object(&dir, &[MINGW_GCC], &[], "odd", "int odd(void) { return 7; }");
    let main = object(
        &dir,
        &[MINGW_GCC],
        &["-fno-stack-protector"],
        "main",
        "int odd(void); int start(void) { return odd(); } void *__delayLoadHelper2(void) { return 0; }",
    );
    let (dll, lib, out) = (dir.join("libodd-7.dll"), dir.join("odd.lib"), dir.join("program.exe"));
    let (dll_out, lib_out, out_out) = (format!("/out:{dll}"), format!("/implib:{lib}"), format!("/out:{out}"));
    let lld = rust_lld();
    let plain = ["-flavor", "link", "/nodefaultlib"];
    run(&lld, &[&plain[..], &["/dll", "/noentry", "/export:odd", &dll_out, &lib_out, &odd]].concat());
    let delay = ["/entry:start", "/subsystem:console", "/delayload:libodd-7.dll"];
    run(&lld, &[&plain[..], &delay, &[&out_out, &main, lib.as_str()]].concat());

    let inspection = inspect(&out);
    let Facts::Pe(pe) = &inspection.facts else { panic!("{inspection:?}") };
    assert_eq!(pe.delay_loaded, ["libodd-7.dll"]);
    assert_eq!(inspection.needed, ["libodd-7.dll"]);
    assert_eq!(violations(&judge(&inspection, &expect(GNU))), ["dll-not-shipped"]);
}

#[test]
fn the_compilers_own_runtime_dll_is_refused_with_the_remedy() {
    let dir = workspace("pe-runtime");
    let text = "#include <pthread.h>\nstatic void *f(void *p) { return p; }\n\
                int main(void) { pthread_t t; return pthread_create(&t, 0, f, 0); }";
    let out = program(&dir, text, &["-lwinpthread"]);
    let findings = judge(&inspect(&out), &expect(GNU));
    let said = message(&findings, "dll-not-shipped");
    assert!(said.starts_with("needs `libwinpthread-1.dll`") && said.contains("link-arg=-static"), "{said}");

    let out = program(&dir, text, &["-static", "-lwinpthread"]);
    assert_eq!(violations(&judge(&inspect(&out), &expect(GNU))), [""; 0]);
}

#[test]
fn a_driver_is_no_program() {
    let dir = workspace("pe-subsystem");
    let out = program(&dir, "int main(void) { return 0; }", &["-Wl,--subsystem,native"]);
    assert_eq!(violations(&judge(&inspect(&out), &expect(GNU))), ["wrong-subsystem"]);
}
