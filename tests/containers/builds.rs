//! The container route, from the plan to the verified binary: a real engine, real crates, real emulators.
//!
//! tests/plan/ has the decisions, faults.rs beside this file what goes wrong.

use std::sync::Mutex;

use crate::support::engine::{composed_images, engine};
use crate::support::{Convoy, Project, ids, require, rows, run, rustup_tools, tool, toolbox};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

const ARMV7: &str = "armv7-unknown-linux-gnueabihf";
const ARM64: &str = "aarch64-unknown-linux-gnu";
const AMD64: &str = "x86_64-unknown-linux-gnu";
const WINDOWS: &str = "x86_64-pc-windows-gnu";

/// One at a time: each uses all cores, and an image is made once.
static ALONE: Mutex<()> = Mutex::new(());

/// A machine with rustup's tools and an engine's client: no C compiler, no cmake, no libclang, no zig, no Python, no apt.
struct Machine {
    path: Utf8PathBuf,
    cache: Utf8PathBuf,
}

impl Machine {
    fn new(project: &Project) -> Self {
        let path = rustup_tools(&project.dir.join("path"));
        toolbox(&path, &[("docker", &tool("docker"))]);
        // Sysroots and what was found out of images serve all of these tests.
        let cache = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join("container-cache");
        Self { path, cache }
    }

    fn on(&self, convoy: Convoy) -> Convoy {
        let convoy = convoy.env("CONVOY_ENGINE", "auto").env("CONVOY_CACHE_DIR", &self.cache);
        convoy.env("CARGO_PROFILE_DEV_DEBUG", "0").path_only(&self.path)
    }

    /// The folder of a sysroot for an architecture.
    fn root(&self, architecture: &str) -> Utf8PathBuf {
        let entries = self.cache.join("v1/sysroots").read_dir_utf8().unwrap().flatten();
        let own = entries.map(|entry| entry.into_path().join("root"));
        let whole = |root: &Utf8PathBuf| root.as_str().contains(&format!("bookworm-{architecture}-"));
        // The one with most in it.
        own.filter(whole).max_by_key(|root| root.join("usr/include").read_dir_utf8().unwrap().count()).unwrap()
    }
}

/// The programs of tests/fixtures/containers.
fn fixtures(name: &str) -> Project {
    let project = Project::empty(name);
    let from = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/containers");
    for file in ["Cargo.toml", "Cargo.lock", "libraries", "tools"] {
        run(tool("cp"), &["-r", from.join(file).as_str(), project.dir.as_str()]);
    }
    // `plan` downloads nothing, and no other test may have done it.
    run(tool("cargo"), &["fetch", "--quiet", "--manifest-path", project.dir.join("Cargo.toml").as_str()]);
    project
}

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn artifact<'a>(manifest: &'a Value, id: &str, bin: &str) -> &'a Value {
    let mut all = manifest["artifacts"].as_array().unwrap().iter();
    all.find(|row| row["id"] == id && row["bin"] == bin).unwrap_or_else(|| panic!("no {bin} for {id} in {manifest:#}"))
}

#[test]
fn what_no_tool_of_this_machine_can_build_comes_out_of_a_container() {
    if engine().is_none() {
        return;
    }
    let _alone = alone();
    let project = fixtures("bare");
    let machine = Machine::new(&project);
    let linux = format!("{ARM64},{ARMV7},{AMD64}");
    let done = machine.on(project.build(&linux).args(["--workspace", "--profile", "dev"])).ends(0);
    done.says("route container (gcc)").says("verified binaries");
    let manifest = project.manifest_json();
    for bin in ["openssl", "postgres", "alsa", "dbus", "hid", "shapes", "bound", "messages"] {
        for id in [ARM64, ARMV7, AMD64] {
            let row = artifact(&manifest, id, bin);
            assert_eq!((&row["route"], &row["verified"]), (&"container".into(), &true.into()), "{row:#}");
        }
        for (qemu, cpu, architecture, id) in
            [("qemu-arm-static", "cortex-a7", "armhf", ARMV7), ("qemu-aarch64-static", "cortex-a53", "arm64", ARM64)]
        {
            let binary = project.dist(&format!("{id}/{bin}"));
            let told = run(tool(qemu), &["-cpu", cpu, "-L", machine.root(architecture).as_str(), binary.as_str()]);
            let wanted = match bin {
                "openssl" => "openssl: OpenSSL 3.",
                "postgres" => "postgres: 15",
                "alsa" => "alsa: 1.2.8",
                "dbus" => "dbus: 1.14.",
                "hid" => "hidapi: 0.",
                "shapes" => "libstdc++: 12, 4 -1",
                "bound" => "clock: ",
                _ => "message: 7 bytes, you 3",
            };
            assert!(told.starts_with(wanted), "{id}/{bin}: {told}");
        }
    }
    // One container for all of them: build scripts and proc-macros were compiled once.
    let plan = machine.on(project.convoy(["plan", "--json", "--workspace", "-t", &linux])).ends(0).json();
    assert_eq!(plan["lanes"].as_array().unwrap().len(), 1, "{}", plan["lanes"]);
    for (kind, told) in [("plan", &plan), ("manifest", &manifest)] {
        let schema = project.convoy(["schema", kind]).ends(0).json();
        assert_eq!(crate::support::schema::faults(&schema, told), Vec::<String>::new());
    }
    assert!(plan["lanes"][0]["image"].as_str().unwrap().starts_with("cargo-convoy/tools:bookworm-"), "{plan:#}");
}

#[test]
fn another_project_with_other_tools_uses_the_same_image() {
    if engine().is_none() {
        return;
    }
    let _alone = alone();
    let first = fixtures("first");
    let machine = Machine::new(&first);
    let tools = ["-p", "messages", "--profile", "dev"];
    machine.on(first.build(ARM64).args(tools)).ends(0);
    let before = composed_images();
    let second = fixtures("second");
    let events = second.dir.join("events");
    let packages = ["-p", "hid", "-p", "shapes", "-p", "bound", "-p", "messages"];
    let done = machine
        .on(second.build(WINDOWS).args(packages).args(["--profile", "dev", "--events", events.as_str()]))
        .ends(0);
    done.says_not("built once").says_not("downloading");
    assert_eq!(composed_images(), before, "no image is made");
    let manifest = second.manifest_json();
    for bin in ["hid", "shapes", "bound", "messages"] {
        let row = artifact(&manifest, WINDOWS, bin);
        assert_eq!((&row["route"], &row["verified"]), (&"container".into(), &true.into()), "{row:#}");
    }
}

#[test]
fn without_libraries_the_floor_is_held_as_everywhere() {
    if engine().is_none() {
        return;
    }
    let _alone = alone();
    let project = fixtures("floor");
    let machine = Machine::new(&project);
    machine.on(project.build(&format!("{ARM64},{AMD64}")).args(["-p", "shapes", "--profile", "dev"])).ends(0);
    let manifest = project.manifest_json();
    for id in [ARM64, AMD64] {
        let glibc = &artifact(&manifest, id, "shapes")["glibc"];
        assert_eq!(glibc["floor"], "2.31", "{glibc}");
        let minor: u32 = glibc["seen"].as_str().unwrap().strip_prefix("2.").unwrap().parse().unwrap();
        assert!(minor <= 31, "{glibc}");
    }
    assert_eq!(run(project.dist(&format!("{AMD64}/shapes")), &[]).split(' ').next(), Some("libstdc++:"));
}

#[test]
fn debians_armv7_tools_serve_no_older_arm() {
    if engine().is_none() {
        return;
    }
    let _alone = alone();
    let project = fixtures("armv6");
    let machine = Machine::new(&project);
    let done = machine.on(project.build("pi-zero").args(["-p", "shapes", "--profile", "dev"])).ends(3);
    done.says("ARMv7");
    assert_eq!(ids(&project.manifest_json(), "failed"), ["pi-zero"]);
}

#[test]
fn where_no_engine_answers_the_target_is_blocked_with_that_and_the_way_on() {
    require!(Tool("rustup"), Tool("docker"), Network);
    let project = fixtures("no-engine");
    let machine = Machine::new(&project);
    let shapes = || project.convoy(["plan", "-p", "shapes", "-t", ARM64, "-v"]);
    let gone = machine.on(shapes()).env("DOCKER_HOST", "unix:///nowhere/docker.sock").ends(3);
    gone.says("its engine does not respond").says("start the engine");
    machine.on(shapes()).env("CONVOY_ENGINE", "none").ends(3).says("containers are disabled");
    machine.on(shapes()).args(["--engine", "podman"]).ends(3).says("no container engine on this machine (podman)");
}

#[test]
fn a_host_route_that_fails_for_its_tools_gives_way_to_a_container_and_that_is_remembered() {
    if engine().is_none() {
        return;
    }
    let _alone = alone();
    let project = Project::empty("fallback")
        .manifest("hello-c", "build = \"build.rs\"\n[build-dependencies]\ncc = \"1\"\n")
        .file("build.rs", "fn main() { cc::Build::new().file(\"answer.c\").compile(\"answer\"); }\n")
        .file("answer.c", "#include <stdlib.h>\nint answer(void) { return 42; }\n")
        .file(
            "src/main.rs",
            "unsafe extern \"C\" { fn answer() -> i32; }\nfn main() { println!(\"{}\", unsafe { answer() }); }\n",
        );
    let machine = Machine::new(&project);
    run(tool("cargo"), &["generate-lockfile", "--quiet", "--manifest-path", project.dir.join("Cargo.toml").as_str()]);
    // A cross compiler that passes convoy's trial, and has no headers.
    let real = tool("aarch64-linux-gnu-gcc");
    let broken = format!(
        "#!/bin/sh\nfor word; do case $word in *answer.c) \
         echo \"answer.c:1:10: fatal error: stdlib.h: No such file or directory\" >&2; exit 1;; esac; done\nexec {real} \"$@\"\n"
    );
    project.script("path/aarch64-linux-gnu-gcc", &broken);
    for name in ["cc", "as", "ld", "sh"] {
        toolbox(&machine.path, &[(name, &tool(name))]);
    }
    let target = format!("{ARM64}.2.36");
    let build = || machine.on(project.build(&target).args(["--profile", "dev"]));
    let done = build().ends(0);
    done.says("gcc failed (").says("trying route container");
    assert_eq!(rows(&project.manifest_json(), "artifacts")[&target]["route"], "container");
    let again = build().ends(0);
    again.says("route container").says_not("trying route container");
    let plan = machine.on(project.convoy(["plan", "-t", &target])).ends(0);
    plan.says("gcc failed in an earlier build");
}
