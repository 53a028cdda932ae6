//! Libraries that this machine does not have, from the plan to the verified binary: real archives, real crates.
//!
//! The files beside this one put faults into archives and try the compilers; tests/plan/ has the decisions.

use std::process::Command;

use crate::support::{Project, codes, ids, require, rows, run, tool};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

const ARMV7: &str = "armv7-unknown-linux-gnueabihf";
const ARM64: &str = "aarch64-unknown-linux-gnu";
const AMD64: &str = "x86_64-unknown-linux-gnu";
/// This machine's own triple, for systems older than it.
const OLDER: &str = "x86_64-unknown-linux-gnu.2.31";

/// The small programs of tests/fixtures/libraries.
fn libraries(name: &str) -> Project {
    let project = Project::empty(name);
    let from = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/libraries");
    for file in ["Cargo.toml", "Cargo.lock", "c", "cxx", "bindings"] {
        run(tool("cp"), &["-r", from.join(file).as_str(), project.dir.as_str()]);
    }
    fetch(&project);
    project
}

/// `plan` downloads nothing, and no other test may have done it.
fn fetch(project: &Project) {
    run(tool("cargo"), &["fetch", "--quiet", "--manifest-path", project.dir.join("Cargo.toml").as_str()]);
}

/// A program that takes ALSA from the system, which is quickly linked.
fn alsa(name: &str) -> Project {
    let project = Project::empty(name).manifest("player", "[dependencies]\nalsa-sys = \"0.3\"\n").file(
        "src/main.rs",
        "fn main() {\n    let version = unsafe { std::ffi::CStr::from_ptr(alsa_sys::snd_asoundlib_version()) };\n    \
             println!(\"alsa {}\", version.to_str().unwrap());\n}\n",
    );
    fetch(&project);
    project
}

/// The folder of the sysroot that a project's binaries for an architecture were linked against.
fn root(project: &Project, architecture: &str) -> Utf8PathBuf {
    let manifest = project.manifest_json();
    let artifacts = manifest["artifacts"].as_array().unwrap();
    let row = artifacts.iter().find(|row| row["sysroot"]["architecture"] == architecture).unwrap();
    let list = project.convoy(["supply", "list", "--json"]).ends(0).json();
    let sysroots = list["sysroots"].as_array().unwrap();
    let listed = sysroots.iter().find(|listed| listed["digest"] == row["sysroot"]["digest"]).unwrap();
    listed["root"].as_str().unwrap().into()
}

/// Runs a binary of dist with the libraries of its sysroot.
fn under_qemu(project: &Project, qemu: &str, cpu: &str, architecture: &str, binary: &str) -> String {
    let root = root(project, architecture);
    run(tool(qemu), &["-cpu", cpu, "-L", root.as_str(), project.dist(binary).as_str()])
}

fn hashes(project: &Project) -> Vec<(String, String)> {
    let manifest = project.manifest_json();
    let artifacts = manifest["artifacts"].as_array().unwrap();
    artifacts.iter().map(|row| (row["path"].to_string(), row["sha256"].to_string())).collect()
}

/// What builds for both ARMs by gcc and by zig need, and starting the programs.
macro_rules! require_builds {
    () => {
        require!(
            Target(ARM64),
            Target(ARMV7),
            Zig,
            Network,
            Tool("apt-get"),
            Tool("aarch64-linux-gnu-gcc"),
            Tool("arm-linux-gnueabihf-gcc"),
            Tool("qemu-aarch64-static"),
            Tool("qemu-arm-static")
        );
    };
}

#[test]
fn programs_on_system_libraries_come_out_verified_without_root_engine_or_configuration() {
    require_builds!();
    let project = libraries("c");
    let done = project
        .build(&format!("{ARMV7},{ARM64},{OLDER},x86_64-unknown-linux-musl"))
        .args(["-p", "c-libraries", "--profile", "dev", "--smoke"])
        // A plain machine: no engine answers.
        .env("DOCKER_HOST", "unix:///nowhere")
        .ends(3);
    done.says("libssl3").says("libssl1.1").says("Debian's libraries require glibc");
    let manifest = project.manifest_json();
    assert_eq!(manifest["artifacts"].as_array().unwrap().len(), 18);
    assert_eq!(ids(&manifest, "failed"), ["x86_64-unknown-linux-musl"]);
    for (qemu, cpu, architecture, id) in
        [("qemu-arm-static", "cortex-a7", "armhf", ARMV7), ("qemu-aarch64-static", "cortex-a53", "arm64", ARM64)]
    {
        let told = |bin: &str| under_qemu(&project, qemu, cpu, architecture, &format!("{id}/{bin}"));
        assert!(told("openssl").starts_with("openssl: OpenSSL 3."));
        assert_eq!(told("alsa"), "alsa: 1.2.8\n");
        assert_eq!(told("udev"), "udev: a context\n");
        assert!(told("dbus").starts_with("dbus: 1.14."));
        assert!(told("pulse").starts_with("pulse: 16."));
        let databases = told("databases");
        assert!(databases.contains("postgres: 15") && databases.contains("sqlite: 3.40.1"), "{databases}");
        assert!(databases.contains("mariadb: 3."), "{databases}");
    }
    for row in manifest["artifacts"].as_array().unwrap() {
        assert!(codes(row, "ok").contains(&"sysroot".to_owned()), "{row}");
        let packages: Vec<&str> =
            row["runtime_packages"].as_array().unwrap().iter().filter_map(|row| row["package"].as_str()).collect();
        assert!(packages.contains(&"libc6"), "{row}");
        if row["bin"] == "openssl" {
            let wanted = if row["target"] == AMD64 { "libssl1.1" } else { "libssl3" };
            assert!(packages.contains(&wanted), "{row}");
            let warned = codes(row, "warning").contains(&"soname-gone".to_owned());
            assert_eq!(warned, row["target"] == AMD64, "{row}");
        }
    }
    // Pure and library targets of one environment share a lane; the machine's own triple stands alone.
    let plan =
        project.convoy(["plan", "-p", "c-libraries", "--json", "-t", &format!("{ARMV7},{ARM64},{OLDER},darwin/arm64")]);
    let plan = plan.output().json();
    assert_eq!(plan["lanes"].as_array().unwrap().len(), 2, "{}", plan["lanes"]);
    let openssl = plan["cells"][0]["needs"].as_array().unwrap().iter().find(|need| need["name"] == "openssl").unwrap();
    assert_eq!(openssl["supply"]["kind"], "sysroot", "{openssl}");
    assert_eq!(openssl["supply"]["name"], "libssl-dev", "{openssl}");
    let bound = openssl["supply"]["sonames"].as_array().unwrap();
    assert!(bound.iter().any(|soname| soname["soname"] == "libssl.so.3"), "{openssl}");
}

#[test]
fn a_cxx_library_by_cmake_and_a_user_of_bindgen() {
    require_builds!();
    let project = libraries("cxx");
    let build = || project.build(&format!("{ARMV7},{ARM64},{OLDER}")).args(["--profile", "dev", "--smoke"]);
    build().args(["-p", "cxx-library", "-p", "bindings"]).ends(0);
    let told =
        |bin: &str| under_qemu(&project, "qemu-aarch64-static", "cortex-a53", "arm64", &format!("{ARM64}/{bin}"));
    assert!(told("cxx-library").starts_with("snappy: 10109, 10000 to 47"));
    assert_eq!(told("bindings"), "sqlite: 3.40.1, bound to 3040001\n");
    let routes = build().args(["-p", "cxx-library", "--route", "zig"]).ends(3);
    routes.says("is a C++ library built with libstdc++");
}

#[test]
fn one_program_at_two_floors_keeps_each_with_gcc_and_with_zig() {
    require_builds!();
    let project = alsa("floors");
    for route in ["gcc", "zig"] {
        let floors = format!("{ARM64}.2.31,{ARM64}.2.36");
        project.build(&floors).args(["--profile", "dev", "--smoke", "--route", route]).ends(0);
        let manifest = project.manifest_json();
        let rows = rows(&manifest, "artifacts");
        let seen = |floor: &str| rows[&format!("{ARM64}.{floor}")]["glibc"]["seen"].as_str().unwrap().to_owned();
        let minor = |seen: String| seen.strip_prefix("2.").unwrap().parse::<u32>().unwrap();
        assert!(minor(seen("2.31")) <= 31 && minor(seen("2.36")) <= 36, "{manifest:#}");
        // Each takes what its floor has, not what both have.
        assert!(minor(seen("2.36")) > 31, "{manifest:#}");
    }
}

#[test]
fn the_lock_gives_another_machine_the_same_bytes_without_network() {
    require_builds!();
    let project = alsa("second-machine");
    project.build(ARM64).ends(0);
    let first = hashes(&project);
    let packed = project.dir.join("packages.tar");
    project.convoy(["supply", "pack", packed.as_str()]).ends(0).says("wrote");
    fs_err::remove_dir_all(project.dir.join("target")).unwrap();
    fs_err::remove_dir_all(project.dir.join("dist")).unwrap();

    let cache = project.dir.join("another-cache");
    let elsewhere = |convoy: crate::support::Convoy| convoy.env("CONVOY_CACHE_DIR", cache.as_str());
    elsewhere(project.build(ARM64))
        .args(["--offline", "--locked"])
        .ends(3)
        .says("not in convoy's cache")
        .says("supply unpack");
    elsewhere(project.convoy(["supply", "unpack", packed.as_str()])).ends(0).says("packages");
    elsewhere(project.build(ARM64)).args(["--offline", "--locked"]).ends(0);
    assert_eq!(hashes(&project), first);
    let list = elsewhere(project.convoy(["supply", "list"])).ends(0);
    list.says("bookworm/arm64").says("last used");
    // What was unpacked may go at any time.
    elsewhere(project.convoy(["cache", "clean", "--force"])).ends(0);
    elsewhere(project.build(ARM64)).arg("--locked").ends(0);
    assert_eq!(hashes(&project), first);
}

#[test]
fn the_lock_is_written_once_and_changed_only_when_that_may_be() {
    require_builds!();
    let project = alsa("lock");
    let lock = project.dir.join("Convoy.lock");
    project
        .build(ARM64)
        .arg("--locked")
        .ends(2)
        .says("`Convoy.lock` does not exist")
        .says("hint: run `cargo convoy supply update`");
    assert!(!lock.exists());
    project.convoy(["plan", "-t", ARM64]).ends(0).says("the sysroot bookworm/arm64, for aarch64-unknown-linux-gnu");
    assert!(!lock.exists());
    project.convoy(["supply", "update", "-t", ARM64]).ends(0).says("packages locked");
    let text = fs_err::read_to_string(&lock).unwrap();
    assert!(text.contains("version = 3") && text.contains("libasound2-dev"), "{text}");
    project.convoy(["supply", "update", "-t", ARM64]).ends(0).says("none changed");
    project.build(ARM64).args(["--locked", "--profile", "dev"]).ends(0);
    assert_eq!(fs_err::read_to_string(&lock).unwrap(), text);

    // Another package is not in it.
    project.write("Convoy.toml", "[supply]\npackages = [\"libbz2-dev\"]\n");
    project.build(ARM64).args(["--locked", "--profile", "dev"]).ends(2).says("are missing from `Convoy.lock`");
    project.build(ARM64).args(["--profile", "dev"]).ends(0);
    assert!(fs_err::read_to_string(&lock).unwrap().contains("libbz2-dev"));
    // What was asked for before stays, so that commands with other features do not change it to and fro.
    fs_err::remove_file(project.dir.join("Convoy.toml")).unwrap();
    project.build(ARM64).args(["--locked", "--profile", "dev"]).ends(0);

    // Nor is it anybody's to edit.
    let edited = fs_err::read_to_string(&lock).unwrap().replacen("requested = [", "requested = [\"libssl-dev\", ", 1);
    fs_err::write(&lock, &edited).unwrap();
    for command in ["build", "plan"] {
        let done = project.convoy([command, "-t", ARM64]).ends(2);
        done.says("checksum mismatch for `bookworm/arm64`").says("hint: restore it from version control");
    }
    let verified = project.convoy(["supply", "verify", "--json"]).ends(5);
    let report = verified.says("something other than convoy").json();
    let schema = project.convoy(["schema", "supply-verify"]).ends(0).json();
    assert_eq!(crate::support::schema::faults(&schema, &report), Vec::<String>::new());
    assert_eq!((&report["verified"], &report["sysroots"][0]["edited"]), (&false.into(), &true.into()));
    project.convoy(["supply", "update", "-t", ARM64]).ends(0);
    project.convoy(["supply", "verify"]).ends(0).says("bookworm/arm64: ").says("are in the signed index of");

    fs_err::write(&lock, "version = 4\n").unwrap();
    project.build(ARM64).ends(2).says("Convoy.lock");
}

#[test]
fn what_no_target_asks_for_is_forgotten_by_an_update_of_the_whole_project() {
    require_builds!();
    let project = alsa("forget");
    let lock = || fs_err::read_to_string(project.dir.join("Convoy.lock")).unwrap();
    project.write(
        "Convoy.toml",
        &format!("targets = [\"{ARM64}\", \"{ARMV7}\"]\n[supply]\npackages = [\"libbz2-dev\"]\n"),
    );
    project.convoy(["supply", "update"]).ends(0).says("bookworm/arm64").says("bookworm/armhf");
    let both = lock();
    // A part of the project changes nothing of the rest.
    project.write("Convoy.toml", &format!("targets = [\"{ARM64}\"]\n"));
    project.convoy(["supply", "update", "-t", ARM64]).ends(0).says("bookworm/arm64: ").says("none changed");
    assert_eq!(lock(), both);
    let packed = project.dir.join("packages.tar");
    project.convoy(["supply", "pack", packed.as_str()]).ends(0).says("left out bookworm/armhf");
    project.convoy(["supply", "pack", packed.as_str(), "-t", ARM64, "-t", ARMV7]).ends(0).says_not("left out");
    // The project as a whole does.
    let done = project.convoy(["supply", "update"]).ends(0);
    done.says("libbz2-dev removed")
        .says("bookworm/armhf: removed from `Convoy.lock`, because no target of this project needs");
    let text = lock();
    assert!(text.contains("arm64") && !text.contains("armhf") && !text.contains("libbz2"), "{text}");
    project.convoy(["supply", "update"]).ends(0).says("none changed").says_not("removed");
    assert_eq!(lock(), text);
    project.convoy(["supply", "pack", packed.as_str()]).ends(0).says_not("left out");
}

#[test]
fn what_cannot_be_brought_blocks_its_target_alone() {
    require_builds!();
    let project = alsa("refused");
    project.write("Convoy.toml", "[target.\"linux/arm64\".supply]\npackages = [\"libno-such-thing-dev\"]\n");
    let done = project.build(&format!("{ARM64},{ARMV7}")).args(["--profile", "dev"]).ends(3);
    done.says("libno-such-thing-dev");
    let manifest = project.manifest_json();
    assert_eq!(
        (ids(&manifest, "artifacts"), ids(&manifest, "failed")),
        (vec![ARMV7.to_owned()], vec![ARM64.to_owned()])
    );

    project.write("Convoy.toml", "[supply]\norder = [\"host\"]\n");
    project.build(ARM64).ends(3).says("sysroots are not listed in `supply.order`");
    fs_err::remove_file(project.dir.join("Convoy.toml")).unwrap();
    fs_err::remove_file(project.dir.join("Convoy.lock")).unwrap();
    let nowhere = project.dir.join("empty-cache");
    let convoy = project.build(ARM64).arg("--no-provision").env("CONVOY_CACHE_DIR", nowhere.as_str());
    convoy.ends(3).says("`--no-provision` is set");
    // A machine without apt, and nothing packed.
    let bin = project.dir.join("bin");
    let tools = ["cc", "pkg-config", "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++", "aarch64-linux-gnu-ar"];
    let tools: Vec<(&str, Utf8PathBuf)> = tools.iter().map(|name| (*name, tool(name))).collect();
    let tools: Vec<(&str, &Utf8Path)> = tools.iter().map(|(name, path)| (*name, path.as_path())).collect();
    crate::support::toolbox(&bin, &tools);
    let rust = crate::support::rustup_tools(&project.dir.join("rust"));
    let path = std::env::join_paths([bin.as_std_path(), rust.as_std_path()]).unwrap();
    let convoy = project.convoy(["plan", "-t", ARM64]).env("CONVOY_CACHE_DIR", nowhere.as_str()).env("PATH", path);
    convoy.ends(3).says("apt, which downloads Debian packages, is missing").says("cargo convoy supply unpack FILE");
}

#[test]
fn two_builds_at_once_bring_one_sysroot() {
    require_builds!();
    let projects = [alsa("at-once-1"), alsa("at-once-2")];
    let cache = projects[0].dir.join("cache");
    let started = projects.each_ref().map(|project| {
        project.build(ARM64).args(["--profile", "dev"]).env("CONVOY_CACHE_DIR", cache.as_str()).starts()
    });
    for running in started {
        assert_eq!(running.wait().code, Some(0));
    }
    let sysroots = fs_err::read_dir(cache.join("v1/sysroots")).unwrap();
    let names: Vec<String> = sysroots.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("bookworm-arm64-")).count(), 1, "{names:?}");
    assert!(names.iter().all(|name| name == ".lock" || name.starts_with("bookworm-arm64-")), "{names:?}");
}

#[test]
fn a_machine_that_has_the_library_uses_its_own_unless_told_otherwise() {
    require!(Network, Tool("apt-get"));
    // Both are real: what pkg-config says of this machine decides.
    let has = Command::new("pkg-config").args(["--exists", "alsa"]).status().is_ok_and(|status| status.success());
    let project = alsa("own");
    let supplied =
        |plan: crate::support::Done| plan.json()["cells"][0]["needs"][0]["supply"]["kind"].as_str().map(str::to_owned);
    let own = supplied(project.convoy(["plan", "--json", "-t", AMD64]).ends(0));
    assert_eq!(own.as_deref(), Some(if has { "host" } else { "sysroot" }));
    project.write("Convoy.toml", "[supply]\norder = [\"sysroot\", \"host\"]\n");
    assert_eq!(supplied(project.convoy(["plan", "--json", "-t", AMD64]).ends(0)).as_deref(), Some("sysroot"));
}

#[test]
fn where_apt_knows_no_archive_of_debian_doctor_prints_the_lines_that_name_one() {
    require!(Network, Tool("apt-get"));
    let project = alsa("no-archive");
    // An apt with other sources.
    project.script("bin/apt-get", "#!/bin/sh\nexit 0\n");
    let plain = |args: &[&str]| {
        let cache = project.dir.join("cache");
        project
            .convoy(args)
            .args(["-t", ARM64])
            .path_first(&project.dir.join("bin"))
            .env("CONVOY_CACHE_DIR", cache.as_str())
    };
    plain(&["plan"]).ends(3).says("has no Debian archive configured");
    let told = plain(&["doctor"]).ends(3);
    told.says("no Debian archive configured").says("[supply]").says("debian-archive-keyring.gpg\"");
    let report = plain(&["doctor", "--json"]).ends(3).json();
    // What is printed is what Convoy.toml takes.
    let lines: Vec<&str> = report["configuration"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    project.write("Convoy.toml", &lines.join("\n"));
    plain(&["plan"]).ends(0).says("the sysroot bookworm/arm64, for aarch64-unknown-linux-gnu").says_not("unknown key");
}
