//! PE: DLLs that Windows does not bring.

use crate::support::require;
use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::verify::{self, Facts, judge};

use super::toolchain::{MINGW_GCC, object, run, rust_lld, workspace};
use super::{expect, inferred, inspect, message, violations, warnings};

const GNU: &str = "x86_64-pc-windows-gnu";

const DLLTOOL: &str = "x86_64-w64-mingw32-dlltool";

fn program(dir: &Utf8Path, text: &str, flags: &[&str]) -> Utf8PathBuf {
    let (source, out) = (dir.join("program.c"), dir.join("program.exe"));
    fs_err::write(&source, text).unwrap();
    run(MINGW_GCC, &[&[source.as_str(), "-o", out.as_str()], flags].concat());
    out
}

#[test]
fn a_program_of_system_dlls_is_right() {
    require!(Tool(MINGW_GCC));
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

/// A program that loads a DLL with one export when it calls that.
fn delay_loading(dir: &Utf8Path, dll: &str, export: &str, text: &str) -> Utf8PathBuf {
    // lld-link fills the directory of delayed imports; the helper that would load them is a stand-in.
    let library = object(dir, &[MINGW_GCC], &[], "library", &format!("int {export}(void) {{ return 7; }}"));
    let main = object(dir, &[MINGW_GCC], &["-fno-stack-protector"], "main", text);
    let (lib, out) = (dir.join("import.lib"), dir.join("program.exe"));
    let (dll_out, lib_out, out_out) =
        (format!("/out:{}", dir.join(dll)), format!("/implib:{lib}"), format!("/out:{out}"));
    let lld = rust_lld();
    let plain = ["-flavor", "link", "/nodefaultlib"];
    let exported = format!("/export:{export}");
    run(&lld, &[&plain[..], &["/dll", "/noentry", &exported, &dll_out, &lib_out, &library]].concat());
    let delayed = format!("/delayload:{dll}");
    let program = ["/entry:start", "/subsystem:console", &delayed, &out_out, &main, lib.as_str()];
    run(&lld, &[&plain[..], &program].concat());
    out
}

#[test]
fn an_odd_dll_is_refused() {
    require!(Tool(MINGW_GCC));
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
    require!(Tool(MINGW_GCC));
    let dir = workspace("pe-delay");
    let text = "int odd(void); int start(void) { return odd(); } void *__delayLoadHelper2(void) { return 0; }";
    let out = delay_loading(&dir, "libodd-7.dll", "odd", text);

    let inspection = inspect(&out);
    let Facts::Pe(pe) = &inspection.facts else { panic!("{inspection:?}") };
    assert_eq!(pe.delay_loaded, ["libodd-7.dll"]);
    assert_eq!(inspection.needed, ["libodd-7.dll"]);
    assert_eq!(violations(&judge(&inspection, &expect(GNU))), ["dll-not-shipped"]);
}

#[test]
fn the_compilers_own_runtime_dll_is_refused_with_the_remedy() {
    require!(Tool(MINGW_GCC));
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
    require!(Tool(MINGW_GCC));
    let dir = workspace("pe-subsystem");
    let out = program(&dir, "int main(void) { return 0; }", &["-Wl,--subsystem,native"]);
    assert_eq!(violations(&judge(&inspect(&out), &expect(GNU))), ["wrong-subsystem"]);
}

/// A program that imports names from DLLs, whether these have them or not.
fn importing(dir: &Utf8Path, imports: &[(&str, &[&str])]) -> Utf8PathBuf {
    let (mut text, mut calls, mut libraries) = (String::new(), String::new(), Vec::new());
    for (dll, names) in imports {
        let (def, library) = (dir.join(format!("{dll}.def")), dir.join(format!("{dll}.a")).into_string());
        fs_err::write(&def, format!("LIBRARY {dll}\nEXPORTS\n{}\n", names.join("\n"))).unwrap();
        run(DLLTOOL, &["-d", def.as_str(), "-l", &library]);
        libraries.push(library);
        for name in *names {
            text.push_str(&format!("__declspec(dllimport) int {name}(void);\n"));
            calls.push_str(&format!("{name}(); "));
        }
    }
    let libraries: Vec<&str> = libraries.iter().map(String::as_str).collect();
    program(dir, &format!("{text}int main(void) {{ {calls}return 0; }}"), &libraries)
}

#[test]
fn functions_of_a_newer_windows_are_refused() {
    require!(Tool(MINGW_GCC));
    let dir = workspace("pe-newer");
    let imports: [(&str, &[&str]); 3] = [
        ("KERNEL32.dll", &["GetTempPath2W", "FlsGetValue2"]),
        ("api-ms-win-core-ioring-l1-1-0.dll", &["CreateIoRing"]),
        ("IPHLPAPI.DLL", &["GetNetworkConnectivityHint"]),
    ];
    let inspection = inspect(importing(&dir, &imports));
    let Facts::Pe(pe) = &inspection.facts else { panic!("{inspection:?}") };
    let mut newer: Vec<(&str, u32)> = pe.newer.iter().map(|it| (it.import.as_str(), it.build)).collect();
    newer.sort_unstable();
    let all = [
        ("IPHLPAPI.DLL!GetNetworkConnectivityHint", 19041),
        ("KERNEL32.dll!FlsGetValue2", 26100),
        ("KERNEL32.dll!GetTempPath2W", 20348),
        ("api-ms-win-core-ioring-l1-1-0.dll!CreateIoRing", 22000),
    ];
    assert_eq!(newer, all);
    let findings = judge(&inspection, &expect(GNU));
    assert_eq!(violations(&findings), ["import-too-new"]);
    let said = message(&findings, "import-too-new");
    assert!(said.starts_with("imports what Windows 10 1809, the oldest supported Windows, does not have ("), "{said}");
    assert!(said.contains("KERNEL32.dll: GetTempPath2W, since Windows 11 21H2 and Windows Server 2022"), "{said}");
    assert!(
        said.ends_with("load the function when the program runs (`GetProcAddress`), or call an older one"),
        "{said}"
    );
}

#[test]
fn functions_of_windows_10_1809_are_right() {
    require!(Tool(MINGW_GCC));
    let dir = workspace("pe-1809");
    let imports: [(&str, &[&str]); 4] = [
        ("KERNEL32.dll", &["CreatePseudoConsole", "SetThreadDescription"]),
        ("api-ms-win-core-synch-l1-2-0.dll", &["WaitOnAddress"]),
        ("api-ms-win-core-memory-l1-1-6.dll", &["VirtualAlloc2", "MapViewOfFile3"]),
        ("bcryptprimitives.dll", &["ProcessPrng"]),
    ];
    let findings = judge(&inspect(importing(&dir, &imports)), &expect(GNU));
    assert_eq!((violations(&findings), warnings(&findings)), (vec![], vec![]), "{findings:#?}");
}

#[test]
fn a_newer_function_that_is_looked_up_when_called_is_named() {
    require!(Tool(MINGW_GCC));
    let dir = workspace("pe-newer-delayed");
    let text = "int GetTempPath2W(void); int start(void) { return GetTempPath2W(); }\n\
                void *__delayLoadHelper2(void) { return 0; }";
    let out = delay_loading(&dir, "KERNEL32.dll", "GetTempPath2W", text);

    let findings = judge(&inspect(&out), &expect(GNU));
    assert_eq!(violations(&findings), [""; 0]);
    let said = message(&findings, "imports");
    let named = "not in Windows 10 1809, and looked up when called: KERNEL32.dll: GetTempPath2W, since Windows 11 21H2";
    assert!(said.contains(named), "{said}");
}

#[test]
fn an_export_of_another_architecture_is_refused() {
    require!(Tool(MINGW_GCC));
    let dir = workspace("pe-architecture");
    let only = |names: &[&str], machine: u16| {
        let mut bytes = fs_err::read(importing(&dir, &[("KERNEL32.dll", names)])).unwrap();
        let header = u32::from_le_bytes(bytes[0x3C..0x40].try_into().unwrap()) as usize + 4;
        bytes[header..header + 2].copy_from_slice(&machine.to_le_bytes());
        let inspection = verify::inspect(&bytes).unwrap();
        let Facts::Pe(pe) = inspection.facts else { panic!("{inspection:?}") };
        pe.not_exported
    };
    const AMD64: u16 = 0x8664;
    const ARM64: u16 = 0xAA64;
    for machine in [AMD64, ARM64] {
        let not_exported = only(&["InterlockedIncrement", "Sleep"], machine);
        assert_eq!(not_exported, ["KERNEL32.dll!InterlockedIncrement (only on x86)"], "{machine:#x}");
    }
    // MinGW has it for x86_64 only, but in a list that is older for ARM64.
    assert_eq!(only(&["__misaligned_access"], ARM64), [""; 0]);
}
