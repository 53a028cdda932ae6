//! Scripts in the shapes that well-known packages have.

mod conditions;

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::project::evidence::Source;
use crate::project::evidence::rust::STACK;

/// A package with a build script, and other files.
fn reading(files: &[(&str, &str)]) -> Reading {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    for (path, text) in files {
        fs_err::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
        fs_err::write(dir.join(path), text).unwrap();
    }
    let helpers = ["cc", "cmake", "bindgen", "pkg_config", "vcpkg", "openssl_src", "prost_build", "nasm_rs"];
    read(&package(dir), Utf8Path::new(files[0].0), &helpers.map(str::to_owned).into())
}

fn package(dir: &Utf8Path) -> PackageFiles {
    PackageFiles::of(&Source { dir: dir.to_owned(), ..Source::default() })
}

fn shown(guard: &Guard) -> String {
    let not = |holds: bool| if holds { "" } else { "!" };
    let list = |list: &[Guard]| list.iter().map(shown).collect::<Vec<_>>().join(", ");
    let cfg = |cfg: &str| cfg.trim_start_matches("cfg(").trim_end_matches(')').replace(" = ", "=").replace('"', "");
    match guard {
        Guard::Feature { name, on } => format!("{}+{name}", not(*on)),
        Guard::Target { cfg: text, holds } => format!("{}{}", not(*holds), cfg(text)),
        Guard::Host { cfg: text, holds } => format!("{}host:{}", not(*holds), cfg(text)),
        Guard::Env { name, set } => format!("{}${name}", not(*set)),
        Guard::Library { name, found } => format!("{}lib:{name}", not(*found)),
        Guard::Unknown => "?".to_owned(),
        Guard::All(guards) => format!("all({})", list(guards)),
        Guard::Any(guards) => format!("any({})", list(guards)),
    }
}

/// What a script shows, one line for each call, with its conditions.
fn calls_in(files: &[(&str, &str)]) -> String {
    let reading = reading(files);
    assert_eq!(reading.script, Script::Read);
    let mut text = String::new();
    for call in reading.calls {
        let what = match call.what {
            What::Helper(name) => name,
            What::Cxx => "c++".to_owned(),
            What::PkgConfig { name, optional } => {
                format!("probe {}{}", name.as_deref().unwrap_or("?"), if optional { " (optional)" } else { "" })
            }
            What::Command(name) => format!("run {name}"),
            What::LinkLib { kind, name } => format!("link {kind}={name}"),
        };
        let guards: Vec<String> = call.guards.iter().map(shown).collect();
        writeln!(text, "{what}{}{}", if guards.is_empty() { "" } else { " | " }, guards.join(" & ")).unwrap();
    }
    text
}

#[track_caller]
fn check(script: &str, expected: &[&str]) {
    let found = calls_in(&[("build.rs", script)]);
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_helper_is_used_where_it_is_called() {
    check("use cc; use pkg_config::Config; fn f(b: &mut cc::Build) {} fn main() {}", &[]);
    check("fn main() { cc::Build::new().file(\"a.c\").compile(\"a\"); }", &["cc"]);
    check("use cc::Build as B; fn main() { B::new().cpp(true).compile(\"a\"); }", &["cc", "c++"]);
    check("extern crate cmake as c; fn main() { let dst = c::build(\"x\"); }", &["cmake"]);
    check(
        "fn main() -> std::io::Result<()> { prost_build::compile_protos(&[\"a\"], &[\"b\"])?; Ok(()) }",
        &["prost-build"],
    );
    check("fn main() { ok(nasm_rs::compile_library(\"a\", &[\"b.asm\"])); } fn ok<T>(_: T) {}", &["nasm-rs"]);
    // A module of one's own goes by the name of a helper.
    check("mod cc { pub fn build() {} } fn main() { cc::build(); }", &[]);
    check("fn unused() { cc::Build::new(); } fn main() {}", &[]);
}

#[test]
fn what_is_put_together_is_not_yet_used() {
    // As bzip2-sys.
    check(
        r#"
        fn main() {
            let mut build = cc::Build::new();
            build.file("a.c").cpp(true);
            if cfg!(not(feature = "static")) && pkg_config::Config::new().probe("bz2").is_ok() {
                return;
            }
            finish(&mut build);
        }
        fn finish(build: &mut cc::Build) { build.warnings(false).compile("bz2"); }
        #[cfg(docsrs)]
        fn main() { cmake::build("docs"); }
        "#,
        &[
            "cc | any(+static, !lib:bz2)",
            "c++ | any(+static, !lib:bz2)",
            "pkg-config | !+static",
            "probe bz2 (optional) | !+static",
        ],
    );
}

#[test]
fn modules_in_files_and_variables_made_for_the_target() {
    // As openssl-sys.
    let main = r#"
        extern crate cc;
        use std::env;
        mod find_normal;
        #[cfg(feature = "vendored")]
        mod find_vendored;
        fn env(name: &str) -> Option<OsString> {
            let prefix = env::var("TARGET").unwrap().to_uppercase().replace('-', "_");
            let prefixed = format!("{prefix}_{name}");
            env_inner(&prefixed).or_else(|| env_inner(name))
        }
        fn env_inner(name: &str) -> Option<OsString> {
            let var = env::var_os(name);
            match var { Some(ref v) => println!("{}", v.to_string_lossy()), None => println!("unset") }
            var
        }
        fn main() {
            #[cfg(feature = "vendored")]
            {
                if env("NO_VENDOR").map_or(true, |s| s == "0") {
                    return find_vendored::get();
                }
            }
            find_normal::get();
            cc::Build::new().file("expando.c").expand();
        }"#;
    let normal = "use super::env;
        pub fn get() { if env(\"SSL_DIR\").is_none() { pkg_config::Config::new().probe(\"openssl\").unwrap(); } }";
    let vendored = "use openssl_src; pub fn get() { openssl_src::Build::new().build(); }";
    let files = [("build/main.rs", main), ("build/find_normal.rs", normal), ("build/find_vendored/mod.rs", vendored)];
    let found = calls_in(&files);
    // Off, or refused by a variable that is set and, as only the script knows, not to `0`.
    let vendored = "any(!+vendored, all(any($*_NO_VENDOR, $NO_VENDOR), any(!$*_NO_VENDOR, ?), \
                    any($*_NO_VENDOR, !$NO_VENDOR, ?)))";
    assert_eq!(
        found.lines().collect::<Vec<_>>(),
        [
            "openssl-src | +vendored & any(all(!$*_NO_VENDOR, !$NO_VENDOR), all($*_NO_VENDOR, ?), \
             all(!$*_NO_VENDOR, $NO_VENDOR, ?))"
                .to_owned(),
            format!("pkg-config | {vendored} & !$*_SSL_DIR & !$SSL_DIR"),
            format!("probe openssl | {vendored} & !$*_SSL_DIR & !$SSL_DIR"),
            format!("cc | {vendored}"),
        ]
    );
    let places: Vec<String> = reading(&files).calls.into_iter().map(|call| call.place).collect();
    assert_eq!(
        places,
        ["build/find_vendored/mod.rs:1", "build/find_normal.rs:2", "build/find_normal.rs:2", "build/main.rs:25"]
    );
}

#[test]
fn included_files_and_modules_by_path() {
    let found = calls_in(&[
        (
            "build.rs",
            r#"
            include!("src/targets.rs");
            mod inner {
                #[cfg_attr(feature = "cmake", path = "by_cmake.rs")]
                #[cfg_attr(not(feature = "cmake"), path = "by_cc.rs")]
                mod way;
                pub use way::build;
                include!("src/more.rs");
            }
            #[path = "scripts/extra.rs"]
            mod extra;
            #[cfg(feature = "never-packaged")]
            mod missing;
            fn main() { let target = std::env::var("TARGET").unwrap();
                if !UNSUPPORTED.iter().any(|part| target.contains(part)) { inner::build(); inner::more(); extra::go(); } }
            "#,
        ),
        ("src/targets.rs", "const UNSUPPORTED: &[&str] = &[\"msvc\", \"wasm32\"];"),
        ("src/more.rs", "pub fn more() { super::extra::other::go() }"),
        ("inner/by_cmake.rs", "pub fn build() { cmake::build(\".\"); }"),
        ("inner/by_cc.rs", "pub fn build() { cc::Build::new(); }"),
        ("scripts/extra.rs", "pub mod other; pub fn go() { std::process::Command::new(\"make\").arg(\"-j\"); }"),
        ("scripts/other.rs", "pub fn go() { std::process::Command::new(\"perl\"); }"),
    ]);
    assert_eq!(
        found.lines().collect::<Vec<_>>(),
        [
            "cmake | !target_env=msvc & !target_arch=wasm32 & +cmake",
            "cc | !target_env=msvc & !target_arch=wasm32 & !+cmake",
            "run perl | !target_env=msvc & !target_arch=wasm32",
            "run make | !target_env=msvc & !target_arch=wasm32",
        ]
    );
}

#[test]
fn commands_by_literal_names() {
    // As tikv-jemalloc-sys.
    check(
        r#"
        use std::process::{self, Command};
        fn make() -> String {
            if cfg!(any(target_os = "freebsd", target_os = "openbsd")) { "gmake" } else { "make" }.to_string()
        }
        fn main() {
            let mut cmd = Command::new("sh");
            cmd.arg("configure");
            run(&mut cmd);
            run(Command::new(make()).arg("-j"));
            Command::new(std::env::var("RUSTC").unwrap()).status();
            Command::new("cargo").status();
            let program = "git";
            if !std::path::Path::new("vendor/configure").exists() { Command::new(program).arg("submodule"); }
            if std::path::Path::new(".git").exists() { process::Command::new("perl"); }
        }
        fn run(cmd: &mut Command) { cmd.status().unwrap(); }
        "#,
        &[
            "run sh",
            "run gmake | any(host:target_os=freebsd, host:target_os=openbsd)",
            "run make | !host:target_os=freebsd & !host:target_os=openbsd",
            "run git",
        ],
    );
}

#[test]
fn printed_libraries() {
    check(
        r#"
        fn main() {
            println!("cargo:rustc-link-lib=z");
            println!("cargo::rustc-link-lib=static:+whole-archive=foo:bar");
            println!("cargo:rustc-link-search=native=/x\ncargo:rustc-link-lib=dylib=y");
            let (kind, out) = (kind(), out());
            println!("cargo:rustc-link-lib={kind}=ssl");
            println!("cargo:rustc-link-lib={}", out.display());
            println!("cargo:rustc-flags=-l stdc++ -L /x");
            let mut libs = vec!["a"];
            if std::env::var("CARGO_CFG_UNIX").is_ok() { libs.push("b"); }
            for lib in &libs { println!("cargo:rustc-link-lib=dylib={lib}"); }
            eprintln!("cargo:rustc-link-lib=no");
        }
        fn kind() -> &'static str { if std::env::var("SSL_STATIC").is_ok() { "static" } else { "dylib" } }
        fn out() -> std::path::PathBuf { todo() }
        "#,
        &[
            "link =z",
            "link static=foo",
            "link dylib=y",
            "link static=ssl | $SSL_STATIC",
            "link dylib=ssl | !$SSL_STATIC",
            "link =stdc++",
            "link dylib=a",
            "link dylib=b | unix",
        ],
    );
}

#[test]
fn what_cannot_be_read_is_told() {
    let reason = |files: &[(&str, &str)]| match reading(files).script {
        Script::Unreadable(reason) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(&[("build.rs", "fn main( {")]), "build.rs: line 1: cannot parse string into token stream");
    assert_eq!(reason(&[("build.rs", "\nfn main(a b) {}")]), "build.rs: line 2: expected `:`");
    assert!(reason(&[("build.rs", "mod other; fn main() {}")]).starts_with("other.rs: "));
    assert_eq!(calls_in(&[("build.rs", "")]), "");
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let script = |script: &str| read(&package(dir), Utf8Path::new(script), &BTreeSet::new()).script;
    assert!(matches!(script("missing/build.rs"), Script::Unreadable(_)));
    assert!(matches!(script("."), Script::Unreadable(_)));
    fs_err::write(dir.join("build.rs"), b"fn main() {} // \xff").unwrap();
    assert_eq!(script("build.rs"), Script::Unreadable("build.rs: it is not UTF-8".to_owned()));
    // Nothing of this machine is read, neither where reading never ends nor where it tells something.
    for outside in
        ["include!(\"/proc/kmsg\");", "#[path = \"/dev/zero\"] mod x;", "include!(\"../../../etc/hostname\");"]
    {
        let script = format!("fn main() {{}} #[cfg(any())] mod y {{ {outside} }}");
        let reason = reason(&[("build.rs", &script)]);
        assert!(reason.contains("it is outside of the package") || reason.contains("No such file"), "{reason}");
    }
    // The calls of the rest are found all the same.
    let half = reading(&[("build.rs", "mod b; fn main() { cc::Build::new(); }"), ("b.rs", "fn (")]);
    assert_eq!((half.calls.len(), half.script != Script::Read), (1, true));
}

#[test]
fn hostile_scripts_end() {
    let deep = |open: &str, close: &str, many| {
        format!("fn main() {{ let x = {}1{}; }}", open.repeat(many), close.repeat(many))
    };
    let long = |first: &str, next: &str, many| format!("fn main() {{ {first}{}; }}", next.repeat(many));
    let mut calls = String::new();
    for at in 0..40 {
        // Each calls the next one twice, under different conditions.
        writeln!(
            calls,
            "fn f{at}() {{ if a{at}() {{ f{next}() }} if cfg!(feature = \"{at}\") {{ f{next}() }} }}",
            next = at + 1
        )
        .unwrap();
    }
    writeln!(calls, "fn f40() {{ cc::Build::new(); }} fn main() {{ f0() }}").unwrap();
    let scripts = [
        deep("(", ")", 100_000),
        deep("{", "}", 100_000),
        deep("!", "", 100_000),
        deep("&", "", 5_900),
        deep("(", ")", 270),
        deep("{", "}", 270),
        deep("f(|| x![", "])", 120),
        long("if a {}", " else if b {}", 1_100),
        long("a", " + a", 100_000),
        long("cc::Build::new()", ".file(\"a.c\")", 600),
        long("if a {}", " else if b {}", 100_000),
        long("x", "?", 5_000),
        "fn main() { f() } fn f() { main(); g() } fn g() { f(); cc::Build::new(); }".to_owned(),
        "mod build; include!(\"build.rs\"); fn main() {}".to_owned(),
        calls,
    ];
    let found = std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || scripts.map(|script| reading(&[("build.rs", &script)])))
        .unwrap()
        .join()
        .unwrap();
    let calls: Vec<usize> = found.iter().map(|reading| reading.calls.len()).collect();
    assert_eq!(calls, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1]);
    let read: Vec<bool> = found.iter().map(|reading| reading.script == Script::Read).collect();
    let refused = [0, 1, 2, 8, 10].map(|at| !read[at]);
    assert_eq!((refused, &read[3..8]), ([true; 5], &[true; 5][..]));
    assert_eq!(found[0].script, Script::Unreadable("build.rs: it is nested too deeply".to_owned()));
}

proptest! {
    #[test]
    fn no_script_panics(text in "(fn main\\(\\)|cc::Build|::new|if |else |match |cfg!|#\\[cfg|env::var|\"X\"|println!|\"cargo:rustc-link-lib=\\{\\}\"|\\.unwrap\\(\\)|=> |[{}()=,;!.&|?]|[a-z ]){0,60}") {
        reading(&[("build.rs", &text)]);
        reading(&[("build.rs", &format!("fn main() {{ {text} }}"))]);
    }
}
