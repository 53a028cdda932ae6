//! Windows MSVC targets with no file of Microsoft's: import libraries and start-up code of convoy's own.

use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::util::files::sha256;

use crate::support::{Project, environment, ids, require, rows, run, rustup_tools, tool, toolbox};

const AMD64: &str = "x86_64-pc-windows-msvc";
const ARM64: &str = "aarch64-pc-windows-msvc";
const I686: &str = "i686-pc-windows-msvc";
const GNU: &str = "x86_64-pc-windows-gnu";

/// What programs ask of the C runtime and of Windows: threads, thread-local data with destructors, unwinding, deep
/// stacks, processes, sockets, files, floating point and 128 bits.
const PROGRAM: &str = r#"
use std::cell::RefCell;
use std::io::{Read, Write};

struct Said(&'static str);
impl Drop for Said {
    fn drop(&mut self) {
        println!("dropped {}", self.0);
    }
}
thread_local! { static LOCAL: RefCell<Option<Said>> = const { RefCell::new(None) }; }

#[inline(never)]
fn deep(depth: u32) -> u64 {
    let space = std::hint::black_box([depth; 5000]);
    if depth == 0 { 1 } else { deep(depth - 1) + u64::from(space[4999] == depth) }
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("child") {
        std::process::exit(7);
    }
    std::panic::set_hook(Box::new(|_| {}));
    let caught = std::panic::catch_unwind(|| { let _said = Said("while unwinding"); panic!("boom") });
    println!("caught {}", caught.is_err());
    std::thread::spawn(|| LOCAL.with(|it| *it.borrow_mut() = Some(Said("at the thread's end")))).join().unwrap();
    println!("deep {}", deep(20));
    let child = std::process::Command::new(std::env::current_exe().unwrap()).arg("child").status().unwrap();
    println!("child {:?}", child.code());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || std::net::TcpStream::connect(address).unwrap().write_all(b"over the wire").unwrap());
    let mut text = String::new();
    listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
    client.join().unwrap();
    println!("{text}");
    println!("{:.4} {} {}", 2f64.powf(0.5).sin(), u128::MAX / 3, i64::MAX / std::hint::black_box(7));
    let map: std::collections::HashMap<_, _> = [(1, "one")].into();
    println!("{map:?}");
}
"#;

const OUTPUT: &str = "dropped while unwinding\ncaught true\ndropped at the thread's end\ndeep 21\nchild Some(7)\n\
                      over the wire\n0.9878 113427455640312821154458202477256070485 1317624576693539401\n{1: \"one\"}\n";

/// Starts a Windows program, and gives what it prints. Debian 12's wine lacks a DLL that Rust's std asks for random numbers; the one
/// beside the program is for the test alone.
fn start(project: &Project, program: &Utf8Path, compiler: &str) -> String {
    let dlls = project.dir.join("dlls");
    fs_err::create_dir_all(&dlls).unwrap();
    let source = project.write(
        "dlls/random.c",
        "#include <windows.h>\n#include <ntsecapi.h>\n__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) \
         { return RtlGenRandom(data, size); }\n",
    );
    let dll = dlls.join("bcryptprimitives.dll");
    run(compiler, &["-shared", "-o", dll.as_str(), source.as_str(), "-ladvapi32"]);
    let done = environment::command("wine")
        .env("WINEDEBUG", "-all")
        .env("WINEPREFIX", environment::scratch().join("wine"))
        .env("WINEPATH", &dlls)
        .arg(program)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap().replace('\r', "")
}

fn program(project: &Project, triple: &str) -> Utf8PathBuf {
    project.dist(&format!("{triple}/hello.exe"))
}

#[test]
fn pure_rust_links_for_all_three_architectures_with_rust_alone() {
    require!(Target(AMD64), Target(ARM64), Target(I686));
    let project = Project::empty("pure").manifest("hello", "").file("src/main.rs", PROGRAM);
    let done = project.build(&format!("{AMD64},{ARM64},{I686}")).ends(0);
    done.says("3 verified binaries");
    let manifest = project.manifest_json();
    for row in rows(&manifest, "artifacts").values() {
        assert_eq!(row["route"], "lld", "{row}");
        assert!(row["findings"].to_string().contains("all exported by Windows"), "{row}");
        let needed = row["needed"].to_string().to_lowercase();
        assert!(!needed.contains("vcruntime") && !needed.contains("msvcp"), "{needed}");
        // The program knows its debug information by the file's name alone.
        let debug_info = project.dist(row["debug_info"]["path"].as_str().unwrap());
        assert_eq!(sha256(fs_err::read(&debug_info).unwrap()), row["debug_info"]["sha256"]);
        let bytes = fs_err::read(project.dist(row["path"].as_str().unwrap())).unwrap();
        let names: Vec<_> = bytes.windows(10).filter(|window| window.ends_with(b"hello.pdb")).collect();
        assert!(names.iter().any(|name| name[0] == 1 || name[0] == 0), "{names:?}");
    }
    let sums = fs_err::read_to_string(project.dist("SHA256SUMS")).unwrap();
    assert!(sums.contains("x86_64-pc-windows-msvc/hello.pdb"), "{sums}");
    done.says("Windows 10");
}

#[test]
fn a_program_runs_as_it_does_elsewhere() {
    require!(Target(AMD64), Tool("wine"), Tool("x86_64-w64-mingw32-gcc"));
    let project = Project::empty("runs").manifest("hello", "").file("src/main.rs", PROGRAM);
    project.build(AMD64).ends(0);
    assert_eq!(start(&project, &program(&project, AMD64), "x86_64-w64-mingw32-gcc"), OUTPUT);
    // What most projects set for this target means the same here.
    let flags = "-C target-feature=+crt-static -C control-flow-guard";
    project.build(AMD64).env("RUSTFLAGS", flags).ends(0);
    assert_eq!(start(&project, &program(&project, AMD64), "x86_64-w64-mingw32-gcc"), OUTPUT);
}

const C: &str = r#"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void bye(void) { puts("bye"); fflush(stdout); }
static int made;
__attribute__((constructor)) static void make(void) { made = 1; }
int answer(char *text, size_t size) {
    char copy[100000];
    memset(copy, 1, sizeof copy);
    atexit(bye);
    return snprintf(text, size, "%.2f %s %d %d", sqrt(2.0), strdup("text"), isnan(NAN) != 0, made) + copy[99999];
}
"#;

#[test]
fn c_compiled_by_zig_is_linked_and_runs() {
    require!(Target(AMD64), Target(ARM64), Target(I686), Zig, Tool("wine"), Tool("x86_64-w64-mingw32-gcc"));
    let main = "use std::ffi::c_char;\nunsafe extern \"C\" { fn answer(text: *mut c_char, size: usize) -> i32; }\n\
                fn main() {\n    let mut text = [0; 100];\n    let length = unsafe { answer(text.as_mut_ptr(), 100) };\n    \
                println!(\"{} {length}\", unsafe { std::ffi::CStr::from_ptr(text.as_ptr()) }.to_str().unwrap());\n}\n";
    let project = Project::empty("c")
        .manifest("hello", "[build-dependencies]\ncc = \"1\"\n")
        .file("build.rs", "fn main() { cc::Build::new().file(\"src/answer.c\").compile(\"answer\"); }\n")
        .file("src/answer.c", C)
        .file("src/main.rs", main)
        .with_own_versions();
    project.build(&format!("{AMD64},{ARM64},{I686}")).args(["--route", "zig"]).ends(0).says("3 verified binaries");
    let said = start(&project, &program(&project, AMD64), "x86_64-w64-mingw32-gcc");
    assert_eq!(said, "1.41 text 1 1 14\nbye\n");
    // Without optimisation zig protects the stack.
    let all = format!("{AMD64},{ARM64},{I686}");
    project.build(&all).args(["--route", "zig", "--profile", "dev"]).ends(0).says("3 verified binaries");
}

/// ripgrep and others pass a manifest, which lld would merge with its own by a tool of the SDK.
#[test]
fn a_manifest_is_embedded() {
    require!(Target(AMD64));
    let manifest =
        r#"<assembly manifestVersion="1.0" xmlns="urn:schemas-microsoft-com:asm.v1"><longPathAware/></assembly>"#;
    let build = "fn main() {\n    let file = std::path::absolute(\"app.xml\").unwrap();\n    for arg in \
                 [\"/MANIFEST:EMBED\".to_owned(), format!(\"/MANIFESTINPUT:{}\", file.display()), \"/WX\".to_owned()] {\n        \
                 println!(\"cargo::rustc-link-arg-bins={arg}\");\n    }\n}\n";
    let project = Project::hello("manifest").file("app.xml", manifest).file("build.rs", build);
    project.build(AMD64).ends(0);
    let bytes = fs_err::read(program(&project, AMD64)).unwrap();
    assert!(bytes.windows(manifest.len()).any(|window| window == manifest.as_bytes()));
}

/// Build scripts start `llvm-rc` or MinGW's `windres`. A machine with neither has zig's resource compiler under both names.
#[test]
fn resources_are_compiled_where_no_resource_compiler_is() {
    require!(Target(AMD64), Target(GNU), Zig, Tool("cc"), Network);
    let build = r#"fn main() {
    winresource::WindowsResource::new().set("ProductName", "Größe").compile().unwrap();
    embed_resource::compile("texts.rc", ["NAME=\"Ferry\""]).manifest_required().unwrap();
}
"#;
    let project = Project::empty("resources")
        .manifest("hello", "[build-dependencies]\nwinresource = \"=0.1.34\"\nembed-resource = \"=3.0.12\"\n")
        .file("src/main.rs", "fn main() {}\n")
        .file("texts.rc", "#include <windows.h>\nSTRINGTABLE\nBEGIN\n1 NAME\nEND\n")
        .file("build.rs", build);
    let path = toolbox(
        &rustup_tools(&project.dir.join("tools")),
        &[("zig", &crate::support::zig()), ("cc", &tool("cc")), ("ld", &tool("ld"))],
    );
    let done = project.build(&format!("{AMD64},{GNU}")).path_only(&path).ends(0);
    done.says("2 verified binaries");
    for (triple, row) in rows(&project.manifest_json(), "artifacts") {
        assert_eq!(row["route"], "zig", "{row}");
        let bytes = fs_err::read(program(&project, &triple)).unwrap();
        for text in ["Größe", "Ferry"] {
            let text: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            assert!(bytes.windows(text.len()).any(|window| window == text), "{triple}");
        }
    }
}

/// The published cargo-xwin with its own cache: convoy's import libraries in the place of Microsoft's, whose licence nobody
/// accepts here.
#[test]
fn a_target_is_handed_to_an_installed_cargo_xwin() {
    require!(Target(AMD64), Target(ARM64), Tool("python3"), Network);
    let project = Project::hello("xwin");
    let build = || project.build(&format!("{AMD64},{ARM64}")).args(["--route", &format!("{AMD64}=xwin")]);
    build().ends(3).says("`cargo-xwin` is not on PATH").says("hint: run `cargo install cargo-xwin`");

    let installed = project.dir.join("xwin");
    run(
        "python3",
        &["-m", "pip", "install", "--quiet", "--no-deps", "--target", installed.as_str(), "cargo-xwin==0.23.1"],
    );
    let build = || build().path_first(&installed.join("bin"));
    let cache = project.dir.join("xwin-cache");
    // What it cannot fetch fails one target alone.
    let offline =
        build().env("XWIN_CACHE_DIR", &cache).env("XWIN_HTTP_RETRIES", "0").env("HTTPS_PROXY", "http://127.0.0.1:9");
    offline.ends(1).says(&format!("error[{AMD64}]: Failed to setup MSVC CRT"));
    assert_eq!(ids(&project.manifest_json(), "artifacts"), [ARM64]);

    project.build(AMD64).ends(0);
    let rooms = fs_err::read_dir(environment::cache().join("v1/windows")).unwrap().map(|entry| entry.unwrap().path());
    let libraries = rooms.into_iter().find(|dir| dir.to_string_lossy().contains(AMD64)).unwrap();
    for dir in ["xwin/crt/lib", "xwin/sdk/lib/um/x86_64", "xwin/sdk/lib/ucrt/x86_64"] {
        fs_err::create_dir_all(cache.join(dir)).unwrap();
    }
    fs_err::os::unix::fs::symlink(libraries, cache.join("xwin/crt/lib/x86_64")).unwrap();
    fs_err::write(cache.join("xwin/DONE"), "x86_64 aarch64\n").unwrap();
    build().env("XWIN_CACHE_DIR", &cache).ends(0).says("2 verified binaries");
    let manifest = project.manifest_json();
    let routes: Vec<_> = rows(&manifest, "artifacts").into_values().map(|row| row["route"].clone()).collect();
    assert_eq!(routes, ["lld", "xwin"]);
    project.build("linux/amd64").args(["--route", "xwin"]).ends(3).says("builds for the `-pc-windows-msvc` targets");
}

#[test]
fn what_windows_does_not_export_is_found() {
    require!(Target(AMD64));
    let main = |library: &str, name: &str| {
        format!(
            "#[link(name = \"{library}\", kind = \"raw-dylib\")] unsafe extern \"system\" {{ fn {name}(); }}\n\
             fn main() {{ unsafe {{ {name}() }} }}\n"
        )
    };
    let project = Project::empty("planted").manifest("hello", "").file("src/main.rs", &main("kernel32", "SleepALot"));
    let done = project.build(AMD64).ends(4);
    done.says("imports what Windows does not export (KERNEL32.dll: SleepALot)");
    assert!(!program(&project, AMD64).exists());
    for runtime in ["vcruntime140", "libodd"] {
        project.write("src/main.rs", &main(runtime, "anything"));
        project.build(AMD64).ends(4).says(&format!("needs `{runtime}.dll`, which is not part of Windows"));
    }
}
