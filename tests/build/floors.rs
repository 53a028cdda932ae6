//! Several floors and devices of one triple, floors that change, and programs that run under an emulator.

use crate::support::{Project, codes, ids, require, rows, run, tool};
use camino::Utf8Path;
use serde_json::Value;

const ARM64: &str = "aarch64-unknown-linux-gnu";

/// The newest glibc symbol version that a file asks for, read by binutils and not by us.
fn newest_glibc(file: &Utf8Path) -> (u32, u32) {
    let told = run(tool("readelf"), &["--version-info", "--wide", file.as_str()]);
    let versions = told.split("GLIBC_").skip(1).filter_map(|rest| {
        let text: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let mut parts = text.split('.').map(|part| part.parse().unwrap());
        Some((parts.next()?, parts.next()?))
    });
    versions.max().unwrap()
}

fn floor(row: &Value) -> &str {
    row["glibc"]["floor"].as_str().unwrap()
}

/// A program whose C code tells the glibc that it was compiled against: `__GLIBC_MINOR__` is the headers'.
fn glibc_teller(name: &str, manifest: &str, build: &str) -> Project {
    Project::empty(name)
        .with_own_versions()
        .manifest("teller", manifest)
        .file("build.rs", build)
        .file("csrc/told.c", "#include <features.h>\nint told(void) { return __GLIBC_MINOR__; }\n")
        .file(
            "csrc/CMakeLists.txt",
            "cmake_minimum_required(VERSION 3.10)\nproject(told C)\nadd_library(told STATIC told.c)\n\
             install(TARGETS told DESTINATION lib)\n",
        )
        .file(
            "src/main.rs",
            "unsafe extern \"C\" { fn told() -> i32; }\nfn main() { println!(\"2.{}\", unsafe { told() }); }\n",
        )
}

const WITH_CC: (&str, &str) = (
    "[build-dependencies]\ncc = \"1\"\n",
    "fn main() {\n    println!(\"cargo::rerun-if-changed=build.rs\");\n    cc::Build::new().file(\"csrc/told.c\").compile(\"told\");\n}\n",
);

/// It says itself that only its sources matter, as many do: nothing but a cleared folder makes it run again.
const WITH_CMAKE: (&str, &str) = (
    "[build-dependencies]\ncmake = \"0.1\"\n",
    "fn main() {\n    println!(\"cargo::rerun-if-changed=csrc\");\n    let dst = cmake::Config::new(\"csrc\").build();\n    \
     println!(\"cargo::rustc-link-search=native={}/lib\", dst.display());\n    println!(\"cargo::rustc-link-lib=static=told\");\n}\n",
);

fn run_arm64(program: &Utf8Path) -> String {
    run(tool("qemu-aarch64-static"), &["-cpu", "cortex-a53", "-L", "/usr/aarch64-linux-gnu", program.as_str()])
}

#[test]
fn two_floors_and_two_devices_of_one_triple_in_one_command() {
    require!(Target(ARM64), Zig, Tool("qemu-aarch64-static"), Tool("aarch64-linux-gnu-gcc"), Tool("readelf"));
    let (manifest, build) = WITH_CC;
    let project = glibc_teller("four", manifest, build);
    project.build("linux/arm64.2.28,linux/arm64.2.36,pi-4,pi-5").ends(0);
    let manifest = project.manifest_json();
    let rows = rows(&manifest, "artifacts");
    let wanted = [
        ("aarch64-unknown-linux-gnu.2.28", "2.28", None),
        ("aarch64-unknown-linux-gnu.2.36", "2.36", None),
        ("pi-4", "2.31", Some("pi-4")),
        ("pi-5", "2.36", Some("pi-5")),
    ];
    assert_eq!(rows.keys().map(String::as_str).collect::<Vec<_>>(), wanted.map(|(id, ..)| id));
    for (id, asked, device) in wanted {
        let row = &rows[id];
        assert_eq!(row["path"], format!("{id}/teller"));
        assert_eq!(row["target"], ARM64);
        assert_eq!(floor(row), asked);
        let devices: Vec<&str> = row["devices"].as_array().unwrap().iter().map(|d| d.as_str().unwrap()).collect();
        assert_eq!(devices, device.into_iter().collect::<Vec<_>>());
        let file = project.dist(&format!("{id}/teller"));
        let minor: u32 = asked.strip_prefix("2.").unwrap().parse().unwrap();
        assert!(newest_glibc(&file) <= (2, minor), "{id}: {:?}", newest_glibc(&file));
        // Under the CPU of a Pi 3, which all but the Pi 4's and 5's own builds promise.
        let cpu = if device.is_some() { "max" } else { "cortex-a53" };
        let told = run(tool("qemu-aarch64-static"), &["-cpu", cpu, "-L", "/usr/aarch64-linux-gnu", file.as_str()]);
        assert_eq!(told.trim(), asked, "{id} was compiled against its own floor's headers");
    }
    let sums = fs_err::read_to_string(project.dist("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 4);
    run("sh", &["-c", &format!("cd '{}' && sha256sum --quiet --check SHA256SUMS", project.dir.join("dist"))]);
}

#[test]
fn a_changed_floor_gives_the_right_binary_without_cleaning() {
    require!(Target(ARM64), Zig, Tool("cmake"), Tool("qemu-aarch64-static"), Tool("aarch64-linux-gnu-gcc"), Network);
    for (name, (manifest, build)) in [("changed-cc", WITH_CC), ("changed-cmake", WITH_CMAKE)] {
        tool("cmake");
        let project = glibc_teller(name, manifest, build);
        let program = |floor: &str| project.dist(&format!("{ARM64}.{floor}/teller"));
        for asked in ["2.31", "2.36", "2.31"] {
            project.build(&format!("linux/arm64.{asked}")).arg("--route=zig").ends(0);
            let manifest = project.manifest_json();
            assert_eq!(floor(&rows(&manifest, "artifacts")[&format!("{ARM64}.{asked}")]), asked);
            assert_eq!(run_arm64(&program(asked)).trim(), asked, "{name}: C was compiled anew");
        }
        // Another compiler is another key too.
        project.build("linux/arm64.2.36").arg("--route=gcc").ends(0);
        let minor = newest_of_cross_gcc();
        assert_eq!(run_arm64(&program("2.36")).trim(), format!("2.{minor}"), "{name}: C was compiled anew by gcc");
    }
}

/// What `__GLIBC_MINOR__` is for Debian's cross gcc.
fn newest_of_cross_gcc() -> String {
    let file = crate::support::workspace("features").join("f.c");
    fs_err::write(&file, "#include <features.h>\nMINOR __GLIBC_MINOR__\n").unwrap();
    let told = run(tool("aarch64-linux-gnu-gcc"), &["-E", "-P", file.as_str()]);
    told.lines().find_map(|line| line.strip_prefix("MINOR ")).unwrap().to_owned()
}

#[test]
fn an_unchanged_target_is_not_built_again() {
    require!(Target("x86_64-unknown-linux-musl"), Target("aarch64-unknown-linux-musl"));
    let project = Project::hello("unchanged");
    project.build("aarch64-unknown-linux-musl").ends(0);
    let file = project.dist("aarch64-unknown-linux-musl/hello");
    let before = fs_err::metadata(&file).unwrap().modified().unwrap();
    project.build("aarch64-unknown-linux-musl,x86_64-unknown-linux-musl").ends(0);
    assert_eq!(fs_err::metadata(&file).unwrap().modified().unwrap(), before);
}

#[test]
fn a_build_folder_of_the_users_does_not_defeat_the_clearing() {
    require!(Target(ARM64), Zig, Tool("cmake"), Tool("qemu-aarch64-static"), Tool("aarch64-linux-gnu-gcc"), Network);
    let (manifest, build) = WITH_CMAKE;
    let project = glibc_teller("build-dir", manifest, build);
    project.write(".cargo/config.toml", "[build]\nbuild-dir = \"elsewhere\"\n");
    for asked in ["2.31", "2.36"] {
        project.build(&format!("linux/arm64.{asked}")).arg("--route=zig").ends(0);
        assert_eq!(run_arm64(&project.dist(&format!("{ARM64}.{asked}/teller"))).trim(), asked);
    }
}

const PRINTER: &str = "use std::collections::BTreeMap;\nfn main() {\n    let words = \"the quick brown fox the lazy dog the end\";\n    \
    let mut count = BTreeMap::new();\n    for word in words.split(' ') { *count.entry(word).or_insert(0u64) += 1; }\n    \
    let mut x = 0.1f64;\n    for _ in 0..50 { x = 3.7 * x * (1.0 - x); }\n    \
    let hash = words.bytes().fold(0xcbf29ce484222325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100000001b3));\n    \
    let threads: Vec<u64> = (0..4u64).map(|n| std::thread::spawn(move || n * n)).map(|t| t.join().unwrap()).collect();\n    \
    println!(\"{count:?} {x:.12} {hash:016x} {threads:?}\");\n}\n";

#[test]
fn arm_programs_run_under_their_cpu_and_print_what_the_native_one_prints() {
    require!(
        Target("aarch64-unknown-linux-musl"),
        Target(ARM64),
        Target("armv7-unknown-linux-gnueabihf"),
        Zig,
        Tool("qemu-aarch64-static"),
        Tool("qemu-arm-static"),
        Tool("aarch64-linux-gnu-gcc"),
        Tool("arm-linux-gnueabihf-gcc")
    );
    let project = Project::empty("printer").manifest("printer", "").file("src/main.rs", PRINTER);
    let emulated = [
        ("aarch64-unknown-linux-gnu", "qemu-aarch64-static", "cortex-a53", Some("/usr/aarch64-linux-gnu")),
        ("aarch64-unknown-linux-musl", "qemu-aarch64-static", "cortex-a53", None),
        ("armv7-unknown-linux-gnueabihf", "qemu-arm-static", "cortex-a7", Some("/usr/arm-linux-gnueabihf")),
    ];
    let mut targets = vec!["linux/amd64"];
    targets.extend(emulated.map(|(target, ..)| target));
    let done = project.build(&targets.join(",")).arg("--smoke").arg("--json").ends(0);
    let native = run(project.dist("x86_64-unknown-linux-gnu/printer"), &[]);
    assert!(native.contains("\"the\": 3"), "{native}");
    for (target, qemu, cpu, root) in emulated {
        let program = project.dist(&format!("{target}/printer"));
        let mut args = vec!["-cpu", cpu];
        args.extend(root.iter().flat_map(|root| ["-L", root]));
        args.push(program.as_str());
        assert_eq!(run(tool(qemu), &args), native, "{target}");
    }
    for (id, row) in rows(&done.json(), "artifacts") {
        assert!(codes(&row, "ok").contains(&"smoke-started".to_owned()), "{id}: {row:#}");
    }
}

#[test]
fn a_smoke_run_without_an_emulator_is_a_violation() {
    require!(Tool("rustup"), Target("aarch64-unknown-linux-musl"));
    let project = Project::hello("no-emulator");
    let done = project
        .build("aarch64-unknown-linux-musl,x86_64-unknown-linux-gnu")
        .arg("--smoke")
        .path_only(&crate::support::toolbox(
            &project.dir.join("path"),
            &["cargo", "rustc", "rustup", "cc"]
                .map(|name| (name, tool(name)))
                .each_ref()
                .map(|(n, p)| (*n, p.as_path())),
        ))
        .ends(4);
    done.says("neither qemu-aarch64-static nor qemu-aarch64 is on PATH");
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), ["x86_64-unknown-linux-gnu"]);
    let failed = &rows(&manifest, "failed")["aarch64-unknown-linux-musl"];
    assert_eq!((&failed["status"], &failed["code"]), (&"rejected".into(), &"smoke-not-run".into()));
}

#[test]
fn a_rejected_binary_stays_in_the_target_dir_and_is_told_with_its_findings() {
    require!(Target(ARM64), Zig, Tool("aarch64-linux-gnu-gcc"), Tool("qemu-aarch64-static"));
    // The user's own linker wins and does not know of floors: Debian's gcc links against its own newer glibc.
    let linker = tool("aarch64-linux-gnu-gcc");
    let project = Project::empty("rejected")
        .with_own_versions()
        .manifest("hello", "[build-dependencies]\ncc = \"1\"\n")
        .file("build.rs", "fn main() {\n    cc::Build::new().file(\"src/newer.c\").compile(\"newer\");\n}\n");
    // `__libc_start_main@GLIBC_2.34` alone does it; fmod@GLIBC_2.38 would need a newer Debian.
    project.write("src/newer.c", "int newer(void) { return 42; }\n");
    project.write(
        "src/main.rs",
        "unsafe extern \"C\" { fn newer() -> i32; }\nfn main() { println!(\"{}\", unsafe { newer() }); }\n",
    );
    project.write(".cargo/config.toml", &format!("[target.{ARM64}]\nlinker = \"{linker}\"\n"));
    // A good target of the same command still ends in dist.
    let done = project.build("linux/arm64,linux/amd64").arg("--json").ends(4);
    done.says("GLIBC_2.34").says("inspect the rejected binary in").says("2.31");
    let manifest = project.manifest_json();
    assert_eq!(done.json(), manifest, "`--json` prints the manifest");
    assert_eq!(ids(&manifest, "artifacts"), ["x86_64-unknown-linux-gnu"]);
    assert!(!project.dist(ARM64).exists());
    let failed = &rows(&manifest, "failed")[ARM64];
    assert_eq!(failed["status"], "rejected");
    assert_eq!(failed["route"], "gcc");
    assert_eq!(failed["bin"], "hello");
    assert!(codes(failed, "violation").contains(&"glibc-too-new".to_owned()), "{failed:#}");
    let kept = failed["hint"].as_str().unwrap().rsplit(' ').next().unwrap();
    assert!(project.dir.join(kept).is_file(), "{kept}");

    // With the floor that it has, the same is right.
    project.build("linux/arm64.2.36,linux/amd64").ends(0);
    assert_eq!(run_arm64(&project.dist(&format!("{ARM64}.2.36/hello"))), "42\n");
}

#[test]
fn a_binary_for_a_device_may_use_what_its_cpu_has() {
    require!(Target("armv7-unknown-linux-gnueabihf"), Zig, Tool("qemu-arm-static"), Tool("arm-linux-gnueabihf-gcc"));
    let project = Project::hello("device");
    project.build("pi-2").arg("--smoke").ends(0);
    let manifest = project.manifest_json();
    let row = &rows(&manifest, "artifacts")["pi-2"];
    assert_eq!(row["devices"], serde_json::json!(["pi-2"]));
    assert!(codes(row, "ok").contains(&"smoke-started".to_owned()), "{row:#}");
    let file = project.dist("pi-2/hello");
    project.convoy(["verify", "--target", "pi-2", file.as_str()]).ends(0);
    // qemu knows the CPU by that name.
    let root = "/usr/arm-linux-gnueabihf";
    let told = run(tool("qemu-arm-static"), &["-cpu", "cortex-a7", "-L", root, file.as_str()]);
    assert_eq!(told, "hello 42\n");
}

/// 32-bit qemu has no 64-bit CPU, and said so where the program was thought to have started.
#[test]
fn a_device_with_a_64_bit_cpu_is_emulated_with_either_system() {
    require!(
        Target(ARM64),
        Target("armv7-unknown-linux-gnueabihf"),
        Zig,
        Tool("qemu-aarch64-static"),
        Tool("qemu-arm-static")
    );
    let project = Project::hello("device-64");
    project.build("pi-3,pi-3-64,pi-4").arg("--smoke").ends(0);
    let manifest = project.manifest_json();
    let artifacts = rows(&manifest, "artifacts");
    assert_eq!(artifacts.len(), 3, "{artifacts:#?}");
    for row in artifacts.values() {
        assert!(codes(row, "ok").contains(&"smoke-started".to_owned()), "{row:#}");
    }
    assert!(manifest.to_string().contains("started, exit code 0"), "{manifest:#}");
}

/// rustup has no std for ARMv6 musl everywhere; one that is built from source is ARMv6 as well, and so is the program.
#[test]
fn a_std_built_from_source_starts_on_the_oldest_pi() {
    require!(RustSource, Zig, Tool("qemu-arm-static"), Network);
    let target = "arm-unknown-linux-musleabihf";
    let project = Project::hello("built-std").file("Convoy.toml", &format!("[target.{target}]\nbuild-std = true\n"));
    project.build(target).arg("--smoke").ends(0);
    let program = project.dist(&format!("{target}/hello"));
    assert_eq!(run(tool("qemu-arm-static"), &["-cpu", "arm1176", program.as_str()]).trim(), "hello 42");
}

/// A Pi 3 would end with SIGILL where the Pi 5's own flags reached the binary that both share.
#[test]
fn what_is_said_of_one_device_of_a_group_is_in_its_own_binary_alone() {
    require!(Target(ARM64), Zig, Tool("qemu-aarch64-static"), Tool("aarch64-linux-gnu-gcc"));
    let project = Project::empty("group").manifest("teller", "").file(
        "src/main.rs",
        "#![allow(unexpected_cfgs)]\nfn main() { println!(\"five={} group={}\", cfg!(five), cfg!(group)); }\n",
    );
    project.write(
        "Convoy.toml",
        "[target.pi]\nrustflags = [\"--cfg\", \"group\"]\n[target.pi-5]\nrustflags = [\"--cfg\", \"five\"]\n",
    );
    project.build("pi-aarch64").args(["--profile", "dev"]).ends(0);
    let manifest = project.manifest_json();
    let rows = rows(&manifest, "artifacts");
    let devices = |id: &str| rows[id]["devices"].clone();
    assert_eq!(devices("pi-aarch64"), serde_json::json!(["pi-3-64", "pi-zero-2-64", "pi-4"]));
    assert_eq!(devices("pi-5"), serde_json::json!(["pi-5"]));
    for (id, wants) in [("pi-aarch64", "five=false group=true"), ("pi-5", "five=true group=true")] {
        let program = project.dist(&format!("{id}/teller"));
        let told = run(tool("qemu-aarch64-static"), &["-cpu", "max", "-L", "/usr/aarch64-linux-gnu", program.as_str()]);
        assert_eq!(told.trim(), wants, "{id}");
    }
}

#[test]
fn a_route_and_a_table_take_the_word_that_was_typed() {
    require!(Target(ARM64), Zig);
    let project = Project::hello("words");
    project.write("Convoy.toml", &format!("[target.\"{ARM64}.2.36\"]\nrustflags = [\"-Cdebuginfo=1\"]\n"));
    for word in [&format!("{ARM64}.2.36"), "linux/arm64.2.36", "linux/arm64", "linux", ARM64] {
        let forced = format!("{word}=zig");
        let plan = project.convoy(["plan", "--json", "-t", "linux/arm64.2.36", "--route", &forced]).ends(0).json();
        assert_eq!(plan["cells"][0]["id"], format!("{ARM64}.2.36"));
        assert_eq!(plan["cells"][0]["route"], "zig", "{word}: {plan:#}");
    }
    let plan = project.convoy(["plan", "-v", "-t", "linux/arm64.2.36"]).ends(0);
    plan.says(&format!("target.{ARM64}.2.36.rustflags = -Cdebuginfo=1 (Convoy.toml)"));
    let wrong = project.convoy(["plan", "-t", "linux/arm64.2.36", "--route", "linux/arm64.2.28=zig"]).ends(2);
    wrong.says("`--route linux/arm64.2.28=…` matches no target of this run");
}

#[test]
fn the_newest_glibc_of_the_pinned_zig_is_right() {
    require!(Zig, Tool("readelf"));
    use cargo_convoy::model::zig;
    let own = run(crate::support::zig(), &["version"]);
    // The list is that of the pinned version.
    if own.trim() != zig::version() {
        return;
    }
    let list = fs_err::read(crate::support::zig().with_file_name("lib").join("libc/glibc/abilists")).unwrap();
    // The libraries' names, each ended by a zero byte; then the versions, three bytes each. Both begin with their number.
    let mut rest = &list[1..];
    for _ in 0..list[0] {
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        rest = &rest[end + 1..];
    }
    let versions = rest[1..].chunks(3).take(usize::from(rest[0])).map(|version| (version[0].into(), version[1].into()));
    let newest = zig::newest_glibc();
    assert_eq!(versions.max(), Some((newest.major, newest.minor)));
}
