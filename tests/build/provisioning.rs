//! What convoy downloads for a build: what fails blocks its own targets only.

use camino::Utf8PathBuf;

use super::faults::MUSL;
use crate::support::{Convoy, Project, ids, require, rows, run, rustup_tools, tool};

/// A rustup that answers for `target add` and `component add` as one does whose server has no such file.
fn refusing_rustup(project: &Project) -> Utf8PathBuf {
    let path = rustup_tools(&project.dir.join("path"));
    for name in ["cc", "ld", "as"] {
        fs_err::os::unix::fs::symlink(tool(name), path.join(name)).unwrap();
    }
    fs_err::remove_file(path.join("rustup")).unwrap();
    project.script(
        "path/rustup",
        "#!/bin/sh\necho \"$*\" >>\"${0%/*}/asked\"\n\
         echo \"info: downloading component 'rust-std' for 'powerpc64le-unknown-linux-musl'\" >&2\n\
         echo \"error: component 'rust-std' for target 'powerpc64le-unknown-linux-musl' is unavailable for download for channel 'stable'\" >&2\n\
         exit 1\n",
    );
    path
}

#[test]
fn a_std_that_rustup_cannot_bring_blocks_its_target_and_no_other() {
    require!(Tool("rustup"), Target(MUSL));
    let project = Project::hello("no-std");
    let path = refusing_rustup(&project);
    let missing = "powerpc64le-unknown-linux-musl";
    let done = project.build(&format!("{missing},{MUSL}")).path_only(&path).ends(3);
    done.says(
        "rustup could not install the standard library for powerpc64le-unknown-linux-musl: component 'rust-std' for \
         target",
    )
    .says("hint: set `build-std = true` under `[target.\"powerpc64le-unknown-linux-musl\"]` in `Convoy.toml`");
    let asked = fs_err::read_to_string(path.join("asked")).unwrap();
    assert_eq!(asked.lines().count(), 1, "{asked}");
    assert!(asked.starts_with("target add --toolchain ") && asked.trim().ends_with(missing), "{asked}");
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), [MUSL]);
    assert_eq!(rows(&manifest, "failed")[missing]["status"], "blocked");

    // With the user's leave std is built, and rustup is asked for its source at most.
    project.write("Convoy.toml", &format!("[target.{missing}]\nbuild-std = true\n"));
    let plan = project.convoy(["plan", "--json", "-t", missing]).path_only(&path).ends(0).json();
    assert_eq!(plan["cells"][0]["status"], "buildable");
    let brought = plan["cells"][0]["provision"].as_array().unwrap();
    assert!(brought.iter().all(|brought| brought["kind"] == "rust-src"), "{plan:#}");
}

#[test]
fn nothing_is_asked_of_rustup_where_nothing_may_be_brought() {
    require!(Tool("rustup"));
    let project = Project::hello("never");
    let path = refusing_rustup(&project);
    let done = project.build("powerpc64le-unknown-linux-musl").arg("--no-provision").path_only(&path).ends(3);
    done.says("`--no-provision` is set").says("hint: remove `--no-provision`\n");
    done.says("hint: run `rustup target add --toolchain");
    project.convoy(["plan", "-t", "powerpc64le-unknown-linux-musl"]).path_only(&path).ends(0);
    assert!(!path.join("asked").exists());
}

/// No zig anywhere, and a Python of the test's own.
pub fn without_zig(project: &Project, python: &str) -> Convoy {
    let path = project.dir.join("path");
    let names = ["cargo", "rustc", "rustup", "cc", "ld", "as", "sh", "sleep"].map(|name| (name, tool(name)));
    crate::support::toolbox(&path, &names.each_ref().map(|(n, p)| (*n, p.as_path())));
    project.script("path/python3", python);
    let targets = format!("linux/arm64,{MUSL}");
    project.build(&targets).env("CONVOY_CACHE_DIR", project.dir.join("cache")).path_only(&path)
}

#[test]
fn a_python_without_pip_blocks_what_needs_zig() {
    require!(Tool("rustup"), Target(MUSL), Target("aarch64-unknown-linux-gnu"));
    let project = Project::hello("no-pip");
    let done = without_zig(
        &project,
        "#!/bin/sh\ncase \"$*\" in *find_spec*) exit 0;; esac\necho 'No module named pip' >&2\nexit 1\n",
    )
    .ends(3);
    done.says("could not be installed").says("has no pip");
    assert_eq!(ids(&project.manifest_json(), "artifacts"), [MUSL]);
}

#[test]
fn no_network_blocks_what_needs_zig_and_no_half_of_it_stays() {
    require!(Tool("rustup"), Target(MUSL), Target("aarch64-unknown-linux-gnu"), Tool("python3"));
    let project = Project::hello("no-network");
    let python = run(tool("python3"), &["-c", "import sys; print(sys.executable)"]);
    // This machine's Python may have the wheel installed; the real pip is what is wanted of it.
    let script = format!("#!/bin/sh\ncase \"$*\" in *find_spec*) exit 0;; esac\nexec '{}' \"$@\"\n", python.trim());
    let done = without_zig(&project, &script)
        .env("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        .env("PIP_RETRIES", "0")
        .env("PIP_DEFAULT_TIMEOUT", "2")
        .env_remove("PIP_FIND_LINKS")
        .ends(3);
    done.says("warning: could not install zig").says("zig is missing on this machine and could not be installed");
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts"), [MUSL]);
    assert_eq!(rows(&manifest, "failed")["aarch64-unknown-linux-gnu"]["status"], "blocked");
    let left: Vec<String> = project
        .dir
        .join("cache/v1/zig")
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_owned())
        .collect();
    assert_eq!(left, [".lock"]);
}

#[test]
fn a_link_that_fails_leaves_no_record_of_an_earlier_one() {
    let project = Project::empty("stale-record");
    let record = project.write("out.convoy-link.json", "{}");
    project.convoy(["link", "--linker", tool("false").as_str(), "--", "-o", "out"]).ends(1);
    assert!(!record.exists(), "it would speak for whatever comes there");
}

#[test]
fn two_runs_at_once_bring_zig_once() {
    require!(Tool("rustup"), Target("aarch64-unknown-linux-gnu"), Zig);
    let home = crate::support::workspace("zig-twice");
    let cache = home.join("cache");
    // A pip that takes its time, so that both runs have planned to bring zig, and unpacks a package whose zig is the real
    // one.
    let python = format!(
        "#!/bin/sh\ncase \"$*\" in *find_spec*|*'import pip'*) : >\"{home}/$OWN\"; exit 0;; esac\n\
         left=3000\nwhile [ $left -gt 0 ] && ! {{ [ -e '{home}/zig-first.here' ] && [ -e '{home}/zig-second.here' ]; }}; do\n\
         sleep 0.1; left=$((left - 1))\ndone\n\
         while [ \"$1\" != --target ]; do shift; done\necho \"$2\" >>'{home}/asked'\nmkdir -p \"$2/ziglang\"\n\
         echo '#!/bin/sh' >\"$2/ziglang/zig\"\nchmod +x \"$2/ziglang/zig\"\nsleep 1\n\
         echo 'exec \"{zig}\" \"$@\"' >>\"$2/ziglang/zig\"\n",
        zig = crate::support::zig(),
    );
    // What killed runs may have left behind.
    let room = cargo_convoy::machine::CacheDir::at(&cache.join("v1")).room("zig").unwrap();
    fs_err::create_dir_all(room.join(cargo_convoy::model::zig::version())).unwrap();
    fs_err::create_dir_all(room.join(".bringing-old/unpacked/ziglang")).unwrap();
    let projects = ["zig-first", "zig-second"].map(Project::hello);
    let running = projects.each_ref().map(|project| {
        let path = rustup_tools(&project.dir.join("path"));
        for name in ["cc", "ld", "as", "sh", "sleep", "mkdir", "chmod"] {
            fs_err::os::unix::fs::symlink(tool(name), path.join(name)).unwrap();
        }
        project.script("path/python3", &python);
        let here = format!("{}.here", project.dir.file_name().unwrap());
        let build = project.build("linux/arm64").env("OWN", here).env("CONVOY_CACHE_DIR", &cache);
        build.path_only(&path).starts()
    });
    for running in running {
        let done = running.wait();
        assert_eq!(done.code, Some(0), "{done}");
        done.says("Preparing zig").says("Finished 1 verified binary");
    }
    assert_eq!(fs_err::read_to_string(home.join("asked")).unwrap().lines().count(), 1);
    assert!(!room.join(".bringing-old").exists());
}
