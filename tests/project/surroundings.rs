//! What is around a project: Python, caches, the network, lock files, toolchains.

use super::NATIVE;
use crate::support::{HELLO, Project, require, tool};

#[test]
fn nothing_of_the_current_directory_is_run_as_python_code() {
    require!(Tool("rustup"), Tool("python3"));
    let project = Project::hello("python-here");
    let path = crate::support::rustup_tools(&project.dir.join("path"));
    // Python itself, and no script that looks for one.
    let python = crate::support::run("python3", &["-c", "import sys; print(sys.executable)"]);
    fs_err::os::unix::fs::symlink(python.trim(), path.join("python3")).unwrap();
    for name in ["sh", "cc", "ld", "as"] {
        fs_err::os::unix::fs::symlink(crate::support::tool(name), path.join(name)).unwrap();
    }
    let marker = project.dir.join("ran");
    let code = format!("open({:?}, 'a').write(__name__)\n", marker.as_str());
    let zig = format!("#!/bin/sh\necho zig >>'{marker}'\necho 99.9.9\n");
    for dir in ["", "vendor/"] {
        project.write(&format!("{dir}ziglang/__init__.py"), &code.replace("__name__", "'ziglang'"));
        project.script(&format!("{dir}ziglang/zig"), &zig);
    }
    for module in ["pip", "site", "importlib"] {
        project.write(&format!("{module}/__init__.py"), &code);
        project.write(&format!("{module}/__main__.py"), &code);
    }
    let cache = project.dir.join("cache");
    let build = ["build", "-t", "linux/arm64", "--route", "zig", "--no-provision"];
    for args in [&["targets"][..], &["plan", "-t", "linux/arm64"], &["doctor", "-t", "linux/arm64"], &build] {
        for pythonpath in [None, Some(".:"), Some("")] {
            let convoy = project.convoy(args).path_only(&path).env("CONVOY_CACHE_DIR", &cache);
            let convoy = convoy.env_remove("PYTHONPATH").env_remove("PYTHONSAFEPATH");
            let done = match pythonpath {
                Some(pythonpath) => convoy.env("PYTHONPATH", pythonpath).output(),
                None => convoy.output(),
            };
            assert!(!marker.exists(), "{args:?} {pythonpath:?}: {}\n{done}", fs_err::read_to_string(&marker).unwrap());
            done.says_not("99.9.9");
        }
    }
    // A package that PYTHONPATH really names is not the project's to give either, and nobody remembers it.
    let vendor = project.dir.join("vendor");
    let plan = |convoy: crate::support::Convoy| {
        convoy.path_only(&path).env("CONVOY_CACHE_DIR", &cache).env_remove("PYTHONSAFEPATH").output()
    };
    plan(project.convoy(["plan", "-t", "linux/arm64"]).env("PYTHONPATH", &vendor)).says_not("99.9.9");
    let other = Project::hello("python-elsewhere");
    plan(other.convoy(["plan", "-t", "linux/arm64"]).env("PYTHONPATH", &vendor)).says("zig 99.9.9");
    plan(other.convoy(["plan", "-t", "linux/arm64"])).says_not("99.9.9");
}

#[test]
fn a_cache_of_somebody_elses_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = Project::hello("foreign-cache");
    let cache = project.dir.join("cache");
    let plan = || project.convoy(["plan", "-t", "linux/arm64"]).env("CONVOY_CACHE_DIR", &cache);
    plan().output().says_not("cache directory");
    assert_eq!(cache.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let mode = |dir: &str, mode| {
        fs_err::set_permissions(cache.join(dir), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for dir in ["", "v1"] {
        mode(dir, 0o1777);
        plan().ends(5).says("other users can write to the cache directory").says("run `chmod go-w ");
        mode(dir, 0o700);
    }
    if crate::support::engine::is_root("no directory of another user") {
        crate::support::run("chown", &["-R", "65534", cache.as_str()]);
        plan().ends(5).says("belongs to another user (user id 65534)").says("set `CONVOY_CACHE_DIR`");
        // Who became root for this command keeps the cache.
        plan().env("SUDO_UID", "65534").output().says_not("cache directory");
    }
}

#[test]
fn a_directory_with_files_of_somebody_elses_does_not_become_the_cache() {
    let project = Project::hello("no-cache-dir");
    let file = project.write("srv/v1/customers/db.sqlite", "data");
    let convoy = |args: &[&str]| project.convoy(args).env("CONVOY_CACHE_DIR", project.dir.join("srv"));
    convoy(&["build", "-t", "linux/amd64"])
        .ends(5)
        .says("has no CACHEDIR.TAG written by convoy")
        .says("hint: set `CONVOY_CACHE_DIR` to an empty directory");
    convoy(&["cache", "clean", "--force"]).ends(5).says("has no CACHEDIR.TAG written by convoy");
    assert_eq!(fs_err::read_to_string(&file).unwrap(), "data");
    assert_eq!(project.dir.join("srv/v1").read_dir_utf8().unwrap().count(), 1);
    // Nor does the tag of another tool make it convoy's, nor convoy's own a directory that it does not know.
    let tag = project.write("srv/v1/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    convoy(&["cache", "clean", "--force"]).ends(5);
    let other = project.convoy(["plan", "-t", "linux/amd64"]).env("CONVOY_CACHE_DIR", project.dir.join("cache"));
    other.output();
    fs_err::copy(project.dir.join("cache/v1/CACHEDIR.TAG"), tag).unwrap();
    convoy(&["cache", "clean", "--force"]).ends(0);
    assert_eq!(fs_err::read_to_string(&file).unwrap(), "data");
}

#[test]
fn no_network_and_nothing_fetched() {
    let project =
        Project::empty("offline").manifest("user", "[dependencies]\nitoa = \"1\"\n").file("src/main.rs", HELLO);
    let home = project.dir.join("cargo-home");
    fs_err::create_dir(&home).unwrap();
    // A registry on a port where nobody listens.
    fs_err::write(
        home.join("config.toml"),
        "[source.crates-io]\nreplace-with = \"nowhere\"\n[source.nowhere]\nregistry = \"sparse+http://127.0.0.1:9/\"\n[net]\nretry = 0\n",
    )
    .unwrap();
    let done = project.build(NATIVE).env("CARGO_HOME", &home).ends(5);
    done.says("error: failed to download the dependencies").says("hint: check the network connection");
    project.build(NATIVE).arg("--offline").env("CARGO_HOME", &home).ends(5).says("itoa");
    let done = project.convoy(["plan", "-t", NATIVE]).env("CARGO_HOME", &home).ends(5);
    done.says("`plan` does not use the network").says("hint: run `cargo fetch`");
    assert!(!project.dir.join("dist").exists());
}

#[test]
fn a_missing_path_dependency_is_the_projects_fault_whatever_its_name() {
    let project = Project::empty("no-network-thing")
        .manifest("user", "[dependencies]\nnetwork-thing = { path = \"offline/network-thing\" }\n")
        .file("src/main.rs", HELLO);
    for command in ["plan", "build"] {
        let done = project.convoy([command, "-t", NATIVE]).ends(2);
        done.says("error: cargo could not load this project")
            .says("offline/network-thing/Cargo.toml")
            .says_not("fetch");
    }
    let project = Project::empty("no-such-version")
        .manifest("user", "[dependencies]\ndownload = { path = \"network\", version = \"7\" }\n")
        .file("src/main.rs", HELLO)
        .file("network/Cargo.toml", "[package]\nname = \"download\"\nversion = \"0.1.0\"\n")
        .file("network/src/lib.rs", "");
    for command in ["plan", "build"] {
        let done = project.convoy([command, "-t", NATIVE]).ends(2);
        done.says("cargo could not load this project").says("cause: failed to select a version");
    }
}

#[test]
fn a_lock_file_that_does_not_match() {
    let project = Project::hello("locked");
    project.build(NATIVE).ends(0);
    let project = project.manifest("renamed", "");
    let before = fs_err::read_to_string(project.dir.join("Cargo.lock")).unwrap();
    for args in [&["--locked"][..], &["--frozen"], &["--", "--locked"], &["--", "--frozen"], &["--", "-v", "--locked"]]
    {
        project.build(NATIVE).args(args).ends(2).says("`Cargo.lock` needs to be updated");
    }
    assert_eq!(fs_err::read_to_string(project.dir.join("Cargo.lock")).unwrap(), before);
}

#[test]
fn a_toolchain_that_is_not_installed_is_told_and_not_installed() {
    require!(Tool("rustup"));
    // No such version exists, so that even a rustup that tries installs nothing.
    let project = Project::hello("toolchain").file("rust-toolchain.toml", "[toolchain]\nchannel = \"1.999.0\"\n");
    let path = project.dir.join("path");
    let asked = project.dir.join("asked");
    for name in ["cargo", "rustc", "rustup"] {
        let line = format!("echo \"{name} ${{RUSTUP_AUTO_INSTALL-unset}}\" >>'{asked}'");
        project.script(&format!("path/{name}"), &format!("#!/bin/sh\n{line}\nexec '{}' \"$@\"\n", tool(name)));
    }
    for command in ["build", "plan", "targets"] {
        let done = project
            .convoy([command])
            .path_first(&path)
            .env_remove("CARGO")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("RUSTUP_AUTO_INSTALL")
            .ends(5);
        done.says("1.999.0").says("is not installed");
    }
    // Every child is told to leave the toolchains alone.
    let asked = fs_err::read_to_string(asked).unwrap();
    assert!(asked.lines().count() >= 5 && asked.lines().all(|line| line.ends_with(" 0")), "{asked}");
}
