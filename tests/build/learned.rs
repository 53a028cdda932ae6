//! A route that fails for a tool's sake gives way to the next one, and the next plan knows it. Real compilers, real links.

use std::collections::BTreeMap;

use crate::support::{Convoy, HELLO, Project, ids, require, rows, tool};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

/// With the floor of Debian 12's own cross gcc, so that gcc comes before zig.
const WORD: &str = "aarch64-unknown-linux-gnu.2.36";
/// The id of its cell.
const CELL: &str = WORD;
const MUSL: &str = "aarch64-unknown-linux-musl";

/// A build script that compiles a line of C with an option that clang alone knows.
const CLANG_ONLY: &str = r#"
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").unwrap().replace('-', "_");
    let Ok(compiler) = std::env::var(format!("CC_{target}")) else { return };
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap());
    std::fs::write(out.join("x.c"), "int x(void) { return 1; }\n").unwrap();
    let mut command = std::process::Command::new(compiler);
    command.arg("-fcolor-diagnostics").arg("-Weverything").arg("-c").arg(out.join("x.c")).arg("-o").arg(out.join("x.o"));
    assert!(command.status().unwrap().success(), "the C of this crate does not compile");
}
"#;

/// A package whose own build script is this one.
fn scripted(name: &str, script: &str) -> Project {
    Project::hello(name).file("build.rs", script)
}

/// A cargo that writes down how it is called, each call a line.
fn counting(project: &Project) -> Utf8PathBuf {
    let cargo = std::env::var("CARGO").map_or_else(|_| tool("cargo"), Utf8PathBuf::from);
    let calls = project.dir.join("calls");
    project.script("fake/cargo", &format!("#!/bin/sh\necho \"$*\" >>'{calls}'\nexec '{cargo}' \"$@\"\n"))
}

/// How cargo was called since the last question.
fn calls(project: &Project) -> Vec<String> {
    let file = project.dir.join("calls");
    let calls = fs_err::read_to_string(&file).unwrap_or_default();
    let _ = fs_err::remove_file(file);
    calls.lines().map(str::to_owned).collect()
}

/// How often cargo built since the last question.
fn builds(project: &Project) -> usize {
    calls(project).iter().filter(|call| call.starts_with("build ")).count()
}

fn build(project: &Project, targets: &str) -> Convoy {
    // Names the tools that these tests need, where they are missing.
    tool("aarch64-linux-gnu-gcc");
    crate::support::zig();
    project.build(targets).env("CARGO", counting(project))
}

fn routes(manifest: &Value) -> BTreeMap<String, String> {
    let rows = rows(manifest, "artifacts");
    rows.into_iter().map(|(id, row)| (id, row["route"].as_str().unwrap().to_owned())).collect()
}

fn route(project: &Project, id: &str) -> String {
    routes(&project.manifest_json())[id].clone()
}

fn planned(project: &Project, targets: &str) -> Value {
    project.convoy(["plan", "--json", "-t", targets]).ends(0).json()["cells"][0].clone()
}

fn learned(project: &Project) -> Utf8PathBuf {
    project.dir.join("target/convoy/learned.json")
}

#[test]
fn a_build_script_that_one_compiler_refuses_is_built_with_the_next_and_that_is_remembered() {
    require!(Target("aarch64-unknown-linux-gnu"), Zig, Tool("aarch64-linux-gnu-gcc"));
    let project = scripted("clang-only", CLANG_ONLY);
    let done = build(&project, WORD).ends(0);
    done.says(&format!(
        "Building {CELL}: route gcc failed (crate `hello` 0.1.0: the C compiler does not support the option \
         `-fcolor-diagnostics`); trying route zig"
    ));
    // What was mended on the way is no error, and its text is in a log.
    done.says_not("error").says_not("panicked");
    let log = fs_err::read_to_string(project.dir.join(format!("target/convoy/logs/{CELL}.gcc.log"))).unwrap();
    assert!(log.contains("unrecognized command-line option"), "{log}");
    assert_eq!(builds(&project), 2);
    assert_eq!(route(&project, CELL), "zig");
    let row = &rows(&project.manifest_json(), "artifacts")[CELL];
    assert!(row["because"].as_str().unwrap().contains("gcc failed in an earlier build"), "{row:#}");

    let plan = planned(&project, WORD);
    assert_eq!(plan["route"], "zig");
    let rejected = plan["rejected"].as_array().unwrap().iter().find(|rejected| rejected["route"] == "gcc").unwrap();
    let reason = rejected["reason"].as_str().unwrap();
    assert!(
        reason
            .starts_with("failed in an earlier build: crate `hello` 0.1.0: the C compiler does not support the option"),
        "{reason}"
    );
    assert!(reason.contains(&format!("to try it again, use `--route {CELL}=gcc`")), "{reason}");

    // A plan that is made, and one that is kept: one cargo each, and nothing is compiled again.
    for _ in 0..2 {
        let done = build(&project, WORD).ends(0);
        done.says_not("failed (");
        assert_eq!(builds(&project), 1);
        assert_eq!(route(&project, CELL), "zig");
        let log = fs_err::read_to_string(project.dir.join(format!("target/convoy/logs/{CELL}.log"))).unwrap();
        assert!(!log.contains("Compiling"), "{log}");
    }

    // Another floor is another matter.
    assert_eq!(planned(&project, "aarch64-unknown-linux-gnu.2.37")["route"], "gcc");

    // What cannot be read is as good as nothing.
    fs_err::write(learned(&project), "{ broken").unwrap();
    build(&project, WORD).ends(0).says("trying route zig");
    assert_eq!(builds(&project), 2);
    assert_eq!(planned(&project, WORD)["route"], "zig");

    // Other dependencies may be better ones.
    fs_err::create_dir_all(project.dir.join("other/src")).unwrap();
    project.write("other/Cargo.toml", "[package]\nname = \"other\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
    project.write("other/src/lib.rs", "");
    let manifest = fs_err::read_to_string(project.dir.join("Cargo.toml")).unwrap();
    let manifest = manifest.replace("[workspace]", "[dependencies]\nother = { path = \"other\" }\n[workspace]");
    project.write("Cargo.toml", &manifest);
    assert_eq!(planned(&project, WORD)["route"], "gcc");
}

#[test]
fn a_forced_route_is_tried_once_and_when_it_works_that_is_remembered_too() {
    require!(Target("aarch64-unknown-linux-gnu"), Zig, Tool("aarch64-linux-gnu-gcc"));
    let project = scripted("forced", CLANG_ONLY);
    let done = build(&project, WORD).args(["--route", "gcc"]).ends(1);
    assert_eq!(builds(&project), 1);
    assert!(!learned(&project).exists());
    done.says(&format!(
        "error[{CELL}]: crate `hello` 0.1.0: the C compiler does not support the option `-fcolor-diagnostics`"
    ))
    .says("the C of this crate does not compile")
    .says("hint: remove the option; it is set by the crate's build script or by `CFLAGS`\n")
    .says("hint: see the full log in target/convoy/logs");
    let row = &rows(&project.manifest_json(), "failed")[CELL];
    assert_eq!(row["code"], "build-script-failed");
    assert_eq!(row["cause"], "option-refused");
    assert_eq!(row["route"], "gcc");
    assert!(row["message"].as_str().unwrap().starts_with("crate `hello` 0.1.0: the C compiler"), "{row:#}");

    project.write("Convoy.toml", "[target.\"linux/arm64\"]\nroutes = [\"gcc\"]\n");
    build(&project, WORD).ends(1);
    assert_eq!(builds(&project), 1);
    fs_err::remove_file(project.dir.join("Convoy.toml")).unwrap();

    build(&project, WORD).ends(0).says("trying route zig");
    assert_eq!(builds(&project), 2);
    // Mended by hand: gcc works when it is asked, and is the plan's choice again.
    project.write("build.rs", "fn main() {}\n");
    assert_eq!(planned(&project, WORD)["route"], "zig");
    build(&project, WORD).args(["--route", &format!("{CELL}=gcc")]).ends(0);
    assert_eq!(planned(&project, WORD)["route"], "gcc");
}

#[test]
fn a_library_that_one_linker_alone_has() {
    require!(Target("aarch64-unknown-linux-gnu"), Zig, Tool("aarch64-linux-gnu-gcc"));
    // gcc's own OpenMP; zig brings none.
    let project = scripted("library", "fn main() { println!(\"cargo::rustc-link-lib=gomp\"); }\n")
        .file("Convoy.toml", "[target.\"linux/arm64\"]\nroutes = [\"zig\", \"gcc\"]\n");
    let done = build(&project, WORD).ends(0);
    done.says("route zig failed (crate `hello`: the linker could not find the library `gomp`); trying route gcc");
    assert_eq!(builds(&project), 2);
    assert_eq!(route(&project, CELL), "gcc");
    assert_eq!(planned(&project, WORD)["route"], "gcc");
    build(&project, WORD).ends(0).says_not("failed (");
    assert_eq!(builds(&project), 1);
}

#[test]
fn a_kept_plan_is_planned_anew_when_its_route_fails() {
    require!(Target("aarch64-unknown-linux-gnu"), Zig, Tool("aarch64-linux-gnu-gcc"));
    // Nothing that a plan is made from changes when the build script begins to compile C, so the plan is the kept one.
    let script =
        CLANG_ONLY.replace("build.rs\");", "marked\");\n    if !std::path::Path::new(\"marked\").exists() { return }");
    let project = scripted("kept", &script);
    build(&project, WORD).ends(0);
    assert_eq!(route(&project, CELL), "gcc");
    project.write("marked", "");
    calls(&project);
    build(&project, WORD).ends(0).says("trying route zig");
    let calls = calls(&project);
    let words: Vec<&str> = calls.iter().filter_map(|call| call.split(' ').next()).collect();
    assert_eq!(words, ["build", "metadata", "build"]);
    assert_eq!(route(&project, CELL), "zig");
    build(&project, WORD).ends(0);
    assert_eq!(builds(&project), 1);
}

#[test]
fn others_of_a_lane_are_not_built_again() {
    require!(Target("aarch64-unknown-linux-gnu"), Target(MUSL), Zig, Tool("aarch64-linux-gnu-gcc"));
    let project = scripted("lane", CLANG_ONLY);
    // lld compiles no C, so that the build script has nothing to do for musl.
    let done = build(&project, &format!("{WORD},{MUSL}")).ends(0);
    done.says(&format!("Building {CELL}: route gcc failed"));
    assert_eq!(
        routes(&project.manifest_json()),
        [(CELL, "zig"), (MUSL, "lld")].map(|(a, b)| (a.into(), b.into())).into()
    );
    let calls = calls(&project);
    let last = calls.last().unwrap();
    assert!(last.contains("--target aarch64-unknown-linux-gnu ") && !last.contains(MUSL), "{calls:#?}");
}

#[test]
fn where_every_route_fails_nothing_is_remembered() {
    require!(Target("aarch64-unknown-linux-gnu"), Zig, Tool("aarch64-linux-gnu-gcc"));
    let project = scripted("every", "fn main() { println!(\"cargo::rustc-link-lib=nowhere_to_be_found\"); }\n");
    for _ in 0..2 {
        let done = build(&project, WORD).ends(1);
        assert_eq!(builds(&project), 2);
        done.says(
            "route gcc failed (crate `hello`: the linker could not find the library `nowhere_to_be_found`); trying \
             route zig",
        )
        .says(&format!("error[{CELL}]: crate `hello`: the linker could not find the library `nowhere_to_be_found`"));
        let row = &rows(&project.manifest_json(), "failed")[CELL];
        assert_eq!(
            (&row["code"], &row["cause"], &row["route"]),
            (&"link-failed".into(), &"library-missing".into(), &"zig".into())
        );
        assert!(!learned(&project).exists());
    }
    // Nor where the last one fails for the code's sake; but the first one's failure stays known.
    project.write("build.rs", CLANG_ONLY);
    project.write("src/main.rs", "fn main() { nowhere() }\n");
    build(&project, WORD).ends(1).says("trying route zig").says("cannot find function `nowhere`");
    assert_eq!(builds(&project), 2);
    let row = &rows(&project.manifest_json(), "failed")[CELL];
    assert_eq!((&row["code"], &row["route"]), (&"compile-failed".into(), &"zig".into()));
    project.write("src/main.rs", HELLO);
    build(&project, WORD).ends(0);
    assert_eq!(builds(&project), 1);
}

#[test]
fn the_users_own_mistakes_are_tried_once() {
    require!(Target("aarch64-unknown-linux-gnu"), Zig, Tool("aarch64-linux-gnu-gcc"));
    let once = |name: &str, script: &str, main: &str, code: &str| {
        // The plan would see in the script that a tool is missing, and not let it come to a failure.
        let project = scripted(name, script).file("src/main.rs", main).file("Convoy.toml", "[needs.hello]\n");
        let done = build(&project, WORD).ends(1);
        done.says_not("trying");
        assert_eq!(builds(&project), 1, "{done}");
        let row = rows(&project.manifest_json(), "failed")[CELL].clone();
        assert_eq!(row["code"], code);
        assert_eq!(row["route"], "gcc");
        assert!(!learned(&project).exists());
        row["cause"].clone()
    };
    let compile = once("mistake", "fn main() {}\n", "fn main() { let x: u32 = \"no\"; }\n", "compile-failed");
    let panic = once("assertion", "fn main() { panic!(\"not on a Tuesday\"); }\n", HELLO, "build-script-failed");
    assert_eq!((compile, panic), (Value::Null, Value::Null));
    // A tool of this machine is no route's.
    let tool = "fn main() { std::process::Command::new(\"nasm\").env(\"PATH\", \"\").status().expect(\"failed to run nasm\"); }\n";
    assert_eq!(once("tool", tool, HELLO, "build-script-failed"), "tool-missing");
}

/// No zig anywhere but in what this pip unpacks.
fn with_pip(project: &Project, python: &str) -> Convoy {
    let path = project.dir.join("path");
    let cross = ["gcc", "g++", "ar", "ld", "as"].map(|name| format!("aarch64-linux-gnu-{name}"));
    let names = ["cargo", "rustc", "rustup", "cc", "ld", "as", "sh", "mkdir", "chmod"].into_iter();
    let names = names.chain(cross.iter().map(String::as_str)).map(|name| (name, tool(name))).collect::<Vec<_>>();
    let names: Vec<(&str, &Utf8Path)> = names.iter().map(|(name, path)| (*name, path.as_path())).collect();
    crate::support::toolbox(&path, &names);
    project.script("path/python3", python);
    project.build(WORD).env("CONVOY_CACHE_DIR", project.dir.join("cache")).path_only(&path)
}

#[test]
fn what_the_next_route_asks_for_is_brought() {
    require!(Target("aarch64-unknown-linux-gnu"), Zig, Tool("aarch64-linux-gnu-gcc"));
    let project = scripted("brought", CLANG_ONLY);
    let python = format!(
        "#!/bin/sh\ncase \"$*\" in *find_spec*|*'import pip'*) exit 0;; esac\n\
         while [ \"$1\" != --target ]; do shift; done\nmkdir -p \"$2/ziglang\"\n\
         printf '#!/bin/sh\\nexec \"{zig}\" \"$@\"\\n' >\"$2/ziglang/zig\"\nchmod +x \"$2/ziglang/zig\"\n",
        zig = crate::support::zig(),
    );
    with_pip(&project, &python).ends(0).says("trying route zig").says("Preparing zig");
    assert_eq!(route(&project, CELL), "zig");
}

#[test]
fn where_the_next_route_cannot_be_had_the_failure_stands() {
    require!(Target("aarch64-unknown-linux-gnu"), Zig, Tool("aarch64-linux-gnu-gcc"));
    let project = scripted("not-brought", CLANG_ONLY);
    let python = "#!/bin/sh\ncase \"$*\" in *find_spec*|*'import pip'*) exit 0;; esac\necho 'no network' >&2\nexit 1\n";
    let done = with_pip(&project, python).ends(1);
    done.says("could not install zig").says("the C compiler does not support the option `-fcolor-diagnostics`");
    assert_eq!(ids(&project.manifest_json(), "artifacts"), [""; 0]);
    let row = &rows(&project.manifest_json(), "failed")[CELL];
    assert_eq!(row["route"], "gcc");
    assert!(!learned(&project).exists());
}
