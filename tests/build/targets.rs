//! Targets beyond the default platforms, and the universal file for macOS, from the command line to `dist`.

use crate::support::{Project, codes, ids, require, rows, run, tool};

const INTEL: &str = "x86_64-apple-darwin";
const SILICON: &str = "aarch64-apple-darwin";
const UNIVERSAL: &str = "universal2-apple-darwin";

#[test]
fn a_universal_file_holds_both_verified_binaries() {
    require!(Target(INTEL), Target(SILICON));
    let project = Project::hello("universal");
    project.build("macos/universal").ends(0);
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), [SILICON, UNIVERSAL, INTEL]);
    let rows = rows(&manifest, "artifacts");
    let row = &rows[UNIVERSAL];
    assert_eq!((row["platform"].as_str(), row["arch"].as_str()), (Some("darwin/universal"), Some("x86_64+aarch64")));
    assert_eq!(codes(row, "ok")[0], "universal");
    let joined = fs_err::read(project.dist(&format!("{UNIVERSAL}/hello"))).unwrap();
    for half in [INTEL, SILICON] {
        let half = fs_err::read(project.dist(&format!("{half}/hello"))).unwrap();
        assert!(joined.windows(half.len()).any(|window| window == half));
    }
    run("sh", &["-c", &format!("cd '{}' && sha256sum --quiet --check SHA256SUMS", project.dir.join("dist"))]);

    let dist = |id: &str| project.dist(&format!("{id}/hello")).into_string();
    let verified = project.convoy(["verify", "--json", &dist(UNIVERSAL)]).ends(0).json();
    assert_eq!(verified["files"][0]["target"], UNIVERSAL);
    project.convoy(["verify", "-t", "darwin/universal", &dist(UNIVERSAL)]).ends(0);
    let half = project.convoy(["verify", "-t", "darwin/universal", &dist(INTEL)]).output();
    assert_ne!(half.code, Some(0));
    half.says("not a universal Mach-O with binaries for");

    // The halves alone: the joined file of before goes.
    project.build("darwin").ends(0);
    assert!(!project.dist(&format!("{UNIVERSAL}/hello")).exists());
}

#[test]
fn a_32_bit_program_starts_and_a_module_is_one() {
    const TRIPLES: [&str; 2] = ["i686-unknown-linux-musl", "wasm32-wasip1"];
    require!(Target(TRIPLES[0]), Target(TRIPLES[1]), Tool("qemu-i386-static"));
    let project = Project::hello("i686-and-wasm");
    project.build("i686-linux-musl,wasi").ends(0);
    assert_eq!(ids(&project.manifest_json(), "artifacts"), TRIPLES);
    let program = project.dist("i686-unknown-linux-musl/hello");
    // The lowest CPU of the target: SSE2, and nothing later.
    assert_eq!(run(tool("qemu-i386-static"), &["-cpu", "pentium3,+sse2", program.as_str()]).trim(), "hello 42");
    assert!(project.dist("wasm32-wasip1/hello.wasm").is_file());
}

#[test]
fn systems_that_need_a_vendors_files_are_blocked_with_their_names() {
    let project = Project::hello("vendors");
    let plan = || project.convoy(["plan", "-t", "armv7-linux-androideabi,aarch64-apple-ios"]);
    let done = plan().output();
    done.says("armv7-linux-androideabi needs the C library and start files of Android's NDK");
    done.says("aarch64-apple-ios needs the iPhoneOS or another SDK of Apple's Xcode");
    done.says("linux-x86_64/bin/armv7a-linux-androideabi24-clang`");
    // Where a variable says that they are.
    let ndk = project.dir.join("ndk");
    fs_err::create_dir(&ndk).unwrap();
    let linker = ndk.join("toolchains/llvm/prebuilt/linux-x86_64/bin/armv7a-linux-androideabi24-clang");
    plan().env("ANDROID_NDK_HOME", &ndk).output().says(&format!("to `{linker}`"));
}

/// The other targets are built, and verified.
#[test]
fn a_variable_of_an_sdk_that_is_not_there_stops_its_own_targets_only() {
    const MACOS: &str = "x86_64-apple-darwin";
    const MSVC: &str = "x86_64-pc-windows-msvc";
    require!(Target(MACOS), Target(MSVC));
    let project = Project::hello("no-sdk");
    let nowhere = project.dir.join("nowhere");
    let mut convoy = project.convoy(["build", "-t", &format!("aarch64-linux-android,{MACOS},{MSVC}")]);
    for variable in [
        "ANDROID_NDK_HOME",
        "SDKROOT",
        "VCINSTALLDIR",
        "VCToolsInstallDir",
        "WindowsSdkDir",
        "LIB",
        "INCLUDE",
        "LIBPATH",
    ] {
        convoy = convoy.env(variable, &nowhere);
    }
    let done = convoy.output();
    done.says(&format!("and `ANDROID_NDK_HOME` is set to {nowhere}, which does not exist"));
    assert_eq!(ids(&project.manifest_json(), "artifacts"), [MACOS, MSVC], "{done}");
    project.convoy(["plan", "-t", MACOS]).env("SDKROOT", &nowhere).output().says("so `SDKROOT` is ignored");
}
