//! rustc flags, features and environment reach the compiler exactly once, whatever their source; and paths may hold spaces.

use crate::support::{Project, ids, require, rows, run, tool, zig};

const MUSL: &str = "x86_64-unknown-linux-musl";

/// Prints the flags that this very program was compiled with, as its build script sees them, and what came of them.
fn teller(name: &str) -> Project {
    Project::empty(name)
        .manifest("teller", "[features]\none = []\ntwo = []\n")
        .file(
            "build.rs",
            "fn main() {\n    let flags = std::env::var(\"CARGO_ENCODED_RUSTFLAGS\").unwrap();\n    \
             println!(\"cargo::rustc-env=FLAGS={}\", flags.replace('\\x1f', \"|\"));\n    \
             println!(\"cargo::rerun-if-env-changed=TOLD\");\n    \
             println!(\"cargo::rustc-env=TOLD={}\", std::env::var(\"TOLD\").unwrap_or_default());\n}\n",
        )
        .file(
            "src/main.rs",
            "#![allow(unexpected_cfgs)]\nfn main() {\n    println!(\"flags|{}|\", env!(\"FLAGS\"));\n    \
             println!(\"alpha={} beta={} spaced={} one={} two={} told={}\", cfg!(alpha), cfg!(beta), cfg!(say = \"two words\"), \
             cfg!(feature = \"one\"), cfg!(feature = \"two\"), env!(\"TOLD\"));\n}\n",
        )
}

/// Builds for musl and runs what came.
fn told(project: &Project, edit: impl FnOnce(crate::support::Convoy) -> crate::support::Convoy) -> String {
    edit(project.build(MUSL)).ends(0);
    run(project.dist(&format!("{MUSL}/teller")), &[])
}

#[track_caller]
fn once(told: &str, flag: &str) {
    assert_eq!(told.matches(flag).count(), 1, "`{flag}` once in\n{told}");
}

#[test]
fn rustflags_reach_rustc_once_beside_convoys_own() {
    require!(Target(MUSL));
    let project = teller("rustflags");
    let told = told(&project, |convoy| convoy.env("RUSTFLAGS", "--cfg alpha"));
    assert!(told.contains("alpha=true beta=false"), "{told}");
    once(&told, "|alpha|");
}

#[test]
fn encoded_rustflags_keep_a_space_inside_a_flag_and_beat_the_others() {
    require!(Target(MUSL));
    let project = teller("encoded");
    project.write(".cargo/config.toml", "[build]\nrustflags = [\"--cfg\", \"beta\"]\n");
    let told = told(&project, |convoy| {
        convoy
            .env("CARGO_ENCODED_RUSTFLAGS", "--cfg\u{1f}alpha\u{1f}--cfg\u{1f}say=\"two words\"")
            .env("RUSTFLAGS", "--cfg never")
    });
    assert!(told.contains("alpha=true beta=false spaced=true"), "{told}");
    once(&told, "say=\"two words\"");
    assert!(!told.contains("never"), "{told}");
}

#[test]
fn build_rustflags_of_the_configuration_are_not_lost() {
    require!(Target(MUSL), Target("aarch64-unknown-linux-musl"), Tool("qemu-aarch64-static"));
    let project = teller("build-rustflags");
    project.write(".cargo/config.toml", "[build]\nrustflags = [\"--cfg\", \"beta\", \"--cfg\", 'say=\"two words\"']\n");
    // aarch64 gets flags of convoy's own, which would make cargo ignore these.
    let targets = format!("{MUSL},aarch64-unknown-linux-musl");
    project.build(&targets).ends(0);
    let native = run(project.dist(&format!("{MUSL}/teller")), &[]);
    let qemu = tool("qemu-aarch64-static");
    let foreign = run(qemu, &[project.dist("aarch64-unknown-linux-musl/teller").as_str()]);
    for told in [native, foreign] {
        assert!(told.contains("alpha=false beta=true spaced=true"), "{told}");
        once(&told, "|beta|");
    }
}

#[test]
fn flags_of_the_targets_own_tables_are_merged_and_given_once() {
    require!(Target(MUSL));
    let project = teller("target-rustflags");
    project.write(
        ".cargo/config.toml",
        &format!(
            "[build]\nrustflags = [\"--cfg\", \"never\"]\n[target.{MUSL}]\nrustflags = [\"--cfg\", \"beta\"]\n\
             [target.'cfg(target_env = \"musl\")']\nrustflags = [\"--cfg\", 'say=\"two words\"']\n"
        ),
    );
    let variable = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS";
    let told = told(&project, |convoy| convoy.env(variable, "--cfg alpha"));
    assert!(told.contains("alpha=true beta=true spaced=true"), "{told}");
    for flag in ["|alpha|", "|beta|", "say=\"two words\""] {
        once(&told, flag);
    }
    assert!(!told.contains("never"), "cargo ignores build.rustflags where the target has its own: {told}");
}

#[test]
fn a_cfg_table_alone_beats_build_rustflags_as_in_cargo() {
    require!(Target(MUSL), Target("aarch64-unknown-linux-musl"), Tool("qemu-aarch64-static"));
    let project = teller("cfg-rustflags");
    project.write(
        ".cargo/config.toml",
        "[build]\nrustflags = [\"--cfg\", \"never\"]\n[target.'cfg(target_env = \"musl\")']\nrustflags = [\"--cfg\", \"beta\"]\n",
    );
    let targets = "aarch64-unknown-linux-musl";
    project.build(targets).ends(0);
    let qemu = tool("qemu-aarch64-static");
    let told = run(qemu, &[project.dist("aarch64-unknown-linux-musl/teller").as_str()]);
    assert!(told.contains("beta=true"), "{told}");
    once(&told, "|beta|");
    assert!(!told.contains("never"), "{told}");
}

#[test]
fn features_flags_and_environment_of_a_targets_table() {
    require!(Target(MUSL));
    let project = teller("table");
    project.write(
        "Convoy.toml",
        &format!(
            "[target.\"{MUSL}\"]\nfeatures = [\"one\"]\nrustflags = [\"--cfg\", 'say=\"two words\"']\nenv = {{ TOLD = \"by table\" }}\n"
        ),
    );
    let told_by_table = told(&project, |convoy| {
        convoy.arg("-F").arg("two").env("RUSTFLAGS", "--cfg alpha").env("TOLD", "by environment")
    });
    let line = "alpha=true beta=false spaced=true one=true two=true told=by table";
    assert!(told_by_table.contains(line), "{told_by_table}");
    once(&told_by_table, "|alpha|");
    once(&told_by_table, "say=\"two words\"");

    // Another target of the same command has none of it.
    project.build(&format!("{MUSL},linux/amd64")).env("TOLD", "by environment").ends(0);
    let other = run(project.dist("x86_64-unknown-linux-gnu/teller"), &[]);
    assert!(other.contains("alpha=false beta=false spaced=false one=false two=false told=by environment"), "{other}");
}

#[test]
fn changed_flags_are_noticed_without_cleaning() {
    require!(Target(MUSL));
    let project = teller("changed");
    let first = told(&project, |convoy| convoy.env("RUSTFLAGS", "--cfg alpha"));
    let second = told(&project, |convoy| convoy.env("RUSTFLAGS", "--cfg beta"));
    let third = told(&project, |convoy| convoy);
    assert!(first.contains("alpha=true beta=false"), "{first}");
    assert!(second.contains("alpha=false beta=true"), "{second}");
    assert!(third.contains("alpha=false beta=false"), "{third}");
}

#[test]
fn a_projects_path_may_hold_braces() {
    require!(Target(MUSL));
    for name in ["a{b}", "{workspace-root}", "a{b"] {
        let project = Project::hello(name);
        project.build(MUSL).ends(0);
        assert_eq!(run(project.dist(&format!("{MUSL}/hello")), &[]), "hello 42\n");
    }
    // Only where the user's own build folder would be taken for the lane's is there no way.
    let project = Project::hello("own{x}").file(".cargo/config.toml", "[build]\nbuild-dir = \"elsewhere\"\n");
    project.build(MUSL).ends(5).says("as a template variable of `build.build-dir`");
}

#[test]
fn project_and_cache_paths_may_hold_spaces_and_quotes() {
    require!(
        Target("aarch64-unknown-linux-gnu"),
        Target("armv7-unknown-linux-gnueabihf"),
        Target("aarch64-apple-darwin"),
        Zig,
        Tool("qemu-aarch64-static"),
        Tool("aarch64-linux-gnu-gcc")
    );
    let dir = crate::support::workspace("spaces").join("it's a project");
    let project = Project { dir }
        .with_own_versions()
        .manifest("hello-c", "[build-dependencies]\ncc = \"1\"\n")
        .file("build.rs", "fn main() {\n    cc::Build::new().file(\"src/sum.c\").compile(\"sum\");\n}\n")
        .file("src/sum.c", "int sum(int a, int b) { return a + b; }\n")
        .file(
            "src/main.rs",
            "unsafe extern \"C\" { fn sum(a: i32, b: i32) -> i32; }\nfn main() { println!(\"{}\", unsafe { sum(40, 2) }); }\n",
        );
    let tools = crate::support::toolbox(&project.dir.join("zig is here"), &[("zig", &zig())]);
    project
        .build("linux/arm64,darwin/arm64,linux/amd64,linux/arm/v7")
        .arg("--route=linux/arm64=zig")
        .arg("--route=linux/arm/v7=zig")
        .env("CONVOY_CACHE_DIR", project.dir.join("a cache"))
        .path_first(&tools)
        .ends(0);
    let entries = project.dir.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned());
    let known = ["Cargo.toml", "Cargo.lock", "a cache", "build.rs", "dist", "src", "target", "zig is here"];
    let foreign: Vec<String> = entries.filter(|name| !known.contains(&name.as_str())).collect();
    assert_eq!(foreign, [""; 0], "nothing else appears in the project");
    let manifest = project.manifest_json();
    assert_eq!(ids(&manifest, "artifacts").len(), 4);
    assert_eq!(rows(&manifest, "artifacts")["aarch64-unknown-linux-gnu"]["route"], "zig");
    let qemu = tool("qemu-aarch64-static");
    let program = project.dist("aarch64-unknown-linux-gnu/hello-c");
    assert_eq!(run(qemu, &["-L", "/usr/aarch64-linux-gnu", program.as_str()]), "42\n");
    assert!(project.dir.join("a cache/v1/CACHEDIR.TAG").is_file());
}

#[test]
fn a_cc_crate_that_ends_options_before_files_compiles_with_zig() {
    require!(Target(MUSL), Target("aarch64-apple-darwin"), Zig, Network);
    // This version does so for every compiler that it takes for clang.
    let project = Project::empty("end-of-options")
        .manifest("answer", "[build-dependencies]\ncc = \"=1.2.8\"\n")
        .file("build.rs", "fn main() {\n    cc::Build::new().file(\"answer.c\").compile(\"answer\");\n}\n")
        .file("answer.c", "int answer(void) { return 42; }\n")
        .file(
            "src/main.rs",
            "unsafe extern \"C\" {\n    safe fn answer() -> i32;\n}\n\nfn main() {\n    println!(\"{}\", answer());\n}\n",
        );
    project.build(&format!("{MUSL},darwin/arm64")).ends(0);
    assert_eq!(run(project.dist(&format!("{MUSL}/answer")), &[]), "42\n");
}

#[test]
fn bindgen_reads_the_headers_of_the_target_and_not_of_this_machine() {
    require!(
        Target(MUSL),
        Target("aarch64-unknown-linux-gnu"),
        Target("armv7-unknown-linux-gnueabihf"),
        Target("x86_64-pc-windows-gnu"),
        Target("aarch64-apple-darwin"),
        Zig,
        Network
    );
    // What each C library says of itself.
    let header = "#include <limits.h>\n#include <stdio.h>\n#include <wchar.h>\n#if defined(__MINGW32__)\nenum { WHICH = 3 };\n\
        #elif defined(__APPLE__)\nenum { WHICH = 4 };\n#elif defined(__GLIBC__)\nenum { WHICH = 2 };\n#else\nenum { WHICH = 1 };\n#endif\n";
    let project = Project::empty("bindgen")
        .manifest("which", "[build-dependencies]\nbindgen = { version = \"0.72\", default-features = false, features = [\"runtime\"] }\n")
        .file("which.h", header)
        .file(
            "build.rs",
            "fn main() {\n    let out = std::path::PathBuf::from(std::env::var(\"OUT_DIR\").unwrap());\n    \
             bindgen::Builder::default().header(\"which.h\").allowlist_var(\"WHICH\").allowlist_item(\"WHICH\")\n        \
             .generate().unwrap().write_to_file(out.join(\"which.rs\")).unwrap();\n}\n",
        )
        .file(
            "src/main.rs",
            "#![allow(non_upper_case_globals, non_camel_case_types, dead_code)]\n\
             include!(concat!(env!(\"OUT_DIR\"), \"/which.rs\"));\n\
             #[cfg(target_env = \"musl\")]\nconst WANTED: u32 = 1;\n#[cfg(all(target_os = \"linux\", target_env = \"gnu\"))]\nconst WANTED: u32 = 2;\n\
             #[cfg(windows)]\nconst WANTED: u32 = 3;\n#[cfg(target_os = \"macos\")]\nconst WANTED: u32 = 4;\n\
             const _: () = assert!(WHICH as u32 == WANTED);\nfn main() {\n    println!(\"{}\", WHICH as u32);\n}\n",
        );
    let targets = format!("{MUSL},aarch64-unknown-linux-gnu.2.31,linux/arm/v7,windows/amd64,darwin/arm64");
    project.build(&targets).args(["--route", "zig", "--profile", "dev"]).ends(0);
}

#[test]
fn a_c_compiler_of_cargos_env_table_is_the_one_that_compiles() {
    require!(Target("aarch64-unknown-linux-gnu"), Tool("aarch64-linux-gnu-gcc"), Zig);
    const TARGET: &str = "aarch64-unknown-linux-gnu";
    let project = Project::empty("env-table")
        .with_own_versions()
        .manifest("hello-c", "[build-dependencies]\ncc = \"1\"\n")
        .file("build.rs", "fn main() { cc::Build::new().file(\"answer.c\").compile(\"answer\"); }\n")
        .file("answer.c", "int answer(void) { return 42; }\n")
        .file(
            "src/main.rs",
            "unsafe extern \"C\" { fn answer() -> i32; }\nfn main() { println!(\"{}\", unsafe { answer() }); }\n",
        );
    let used = project.dir.join("used");
    let own = format!("#!/bin/sh\necho \"$*\" >>'{used}'\nexec {} \"$@\"\n", tool("aarch64-linux-gnu-gcc"));
    let own = project.script("my-gcc", &own);
    project.write(".cargo/config.toml", &format!("[env]\nCC_aarch64_unknown_linux_gnu = \"{own}\"\n"));
    project.build(&format!("{TARGET}.2.36")).ends(0);
    assert!(fs_err::read_to_string(&used).unwrap().contains("answer.c"));
}

#[test]
fn a_targets_changed_environment_reaches_build_scripts_that_do_not_ask_for_it() {
    require!(Target(MUSL));
    let project = Project::empty("changed-env").manifest("teller", "").file(
        "build.rs",
        "fn main() {\n    println!(\"cargo::rerun-if-changed=build.rs\");\n    \
         println!(\"cargo::rustc-env=VALUE={}\", std::env::var(\"VALUE\").unwrap());\n}\n",
    );
    project.write("src/main.rs", "fn main() { println!(\"{}\", env!(\"VALUE\")); }\n");
    for value in ["one", "two"] {
        project.write("Convoy.toml", &format!("[target.{MUSL}]\nenv = {{ VALUE = \"{value}\" }}\n"));
        assert_eq!(told(&project, |convoy| convoy), format!("{value}\n"));
    }
}

#[test]
fn a_bin_that_a_targets_own_feature_turns_on_is_built_for_that_target() {
    require!(Target(MUSL), Target("aarch64-unknown-linux-musl"));
    let other = "aarch64-unknown-linux-musl";
    let bin =
        "[features]\nextra = []\n[[bin]]\nname = \"more\"\npath = \"src/more.rs\"\nrequired-features = [\"extra\"]\n";
    let project = Project::empty("own-bin").manifest("own-bin", bin).file("src/more.rs", crate::support::HELLO);
    let table = format!("[target.{MUSL}]\nfeatures = [\"extra\"]\n");
    project.build(MUSL).ends(2).says("add `-F extra`, which binary");
    project.write("Convoy.toml", &table);
    project.build(MUSL).ends(0);
    assert_eq!(run(project.dist(&format!("{MUSL}/more")), &[]), "hello 42\n");
    // A target without it has nothing, and says so.
    project.build(&format!("{MUSL},{other}")).ends(1).says("check whether the binary is disabled for this target");
    // Beside a bin that every target has.
    project.write("src/main.rs", crate::support::HELLO);
    project.build(&format!("{MUSL},{other}")).ends(0);
    let manifest = project.manifest_json();
    let built: Vec<(&str, &str)> = manifest["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["id"].as_str().unwrap(), row["bin"].as_str().unwrap()))
        .collect();
    assert_eq!(built.iter().filter(|(_, bin)| *bin == "more").collect::<Vec<_>>(), [&(MUSL, "more")]);
    assert_eq!(built.len(), 3, "{built:?}");
}

/// The same build had two configurations, depending on the directory that one stood in.
#[test]
fn a_packages_own_table_counts_when_it_is_the_only_one_selected() {
    let member = |name: &str, more: &str| format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{more}");
    let own = "[package.metadata.convoy]\nprofile = \"bench\"\n";
    let project = Project::empty("package-table")
        .file("Cargo.toml", "[workspace]\nmembers = [\"a\", \"b\"]\nresolver = \"3\"\n")
        .file("a/Cargo.toml", &member("a", ""))
        .file("a/src/main.rs", crate::support::HELLO)
        .file("b/Cargo.toml", &member("b", own))
        .file("b/src/main.rs", crate::support::HELLO);
    let plan = |dir: &str, args: &[&str]| {
        let dir = project.dir.join(dir);
        project.convoy(["plan", "-v", "-t", "x86_64-unknown-linux-musl"]).args(args).dir(&dir).ends(0)
    };
    let counts = "profile = bench (b/Cargo.toml [package.metadata.convoy])";
    for (dir, args) in [
        ("", &["-p", "b"][..]),
        ("a", &["-p", "b"]),
        ("b", &[]),
        ("", &["--manifest-path", "b/Cargo.toml"]),
        ("", &["--workspace", "--exclude", "a"]),
    ] {
        plan(dir, args).says(counts);
    }
    for (dir, args) in [("b", &["-p", "a"][..]), ("b", &["--workspace"]), ("", &[])] {
        plan(dir, args).says("profile = release (default)");
    }
}
