//! Conditions under which a script links or compiles.

use super::*;

#[test]
fn features_decide() {
    // As zstd-sys: by feature a way to build, and the system's library.
    check(
        r#"
        #[cfg(feature = "cmake")]
        fn compile() { cmake::Config::new("zstd").build(); }
        #[cfg(not(feature = "cmake"))]
        fn compile() { cc::Build::new().compile("zstd"); print(&"rustc-link-lib=static=zstd"); }
        fn print(s: &dyn std::fmt::Display) { if !cfg!(feature = "non-cargo") { println!("cargo:{}", s); } }
        #[cfg(feature = "bindgen")]
        fn bindings() { bindgen::Builder::default().header("zstd.h").generate().unwrap(); }
        #[cfg(not(feature = "bindgen"))]
        fn bindings() {}
        fn system() -> Vec<PathBuf> {
            let library = pkg_config::Config::new().statik(true).probe("libzstd").expect("no zstd");
            library.include_paths
        }
        fn main() {
            let paths = if cfg!(feature = "pkg-config") || std::env::var_os("ZSTD_SYS_USE_PKG_CONFIG").is_some() {
                system()
            } else { compile(); vec![] };
            bindings();
        }
        "#,
        &[
            "pkg-config | any(+pkg-config, $ZSTD_SYS_USE_PKG_CONFIG)",
            "probe libzstd | any(+pkg-config, $ZSTD_SYS_USE_PKG_CONFIG)",
            "cmake | !+pkg-config & !$ZSTD_SYS_USE_PKG_CONFIG & +cmake",
            "cc | !+pkg-config & !$ZSTD_SYS_USE_PKG_CONFIG & !+cmake",
            "link static=zstd | !+pkg-config & !$ZSTD_SYS_USE_PKG_CONFIG & !+cmake & !+non-cargo",
            "bindgen | +bindgen",
        ],
    );
    // As alsa-sys and others: the environment tells of features, statements have attributes.
    check(
        r#"
        fn main() {
            #[cfg(feature = "a")]
            cc::Build::new();
            #[cfg(feature = "b")]
            { cmake::build("b"); return; }
            let c = std::env::var("CARGO_FEATURE_C_D").is_ok();
            if !c { bindgen::builder(); }
        }
        "#,
        &["cc | +a", "cmake | +b", "bindgen | !+b & !+c-d"],
    );
}

#[test]
fn the_target_decides() {
    check(
        r#"
        use std::env;
        fn main() {
            let os = env::var("CARGO_CFG_TARGET_OS").unwrap();
            let target = env::var("TARGET").expect("TARGET");
            if os == "linux" || env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("musl") { run("one"); }
            if target.contains("msvc") { run("two"); } else if !target.ends_with("-apple-darwin") { run("three"); }
            match os.as_str() {
                "macos" | "ios" => println!("cargo:rustc-link-lib=framework=Security"),
                "windows" if is_env("gnu") => println!("cargo::rustc-link-lib=ws2_32"),
                _ => run("four"),
            }
            if env::var_os("CARGO_CFG_WINDOWS").is_some() && cfg!(windows) { run("five"); }
            if matches!(&*os, "android" | "haiku") || ["a", "b"].contains(&os.as_str()) { run("six"); }
            if env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|f| f.split(',').any(|f| f == "unix")) { run("seven"); }
        }
        fn is_env(name: &str) -> bool { env::var("CARGO_CFG_TARGET_ENV").map_or(false, |own| own == name) }
        fn run(name: &str) { std::process::Command::new(name).status().unwrap(); }
        "#,
        &[
            "run one | any(target_os=linux, target_env=musl)",
            "run two | target_env=msvc",
            "run three | !target_env=msvc & any(!target_vendor=apple, !target_os=macos)",
            "link framework=Security | any(target_os=macos, target_os=ios)",
            "link =ws2_32 | target_os=windows & target_env=gnu",
            "run four | !target_os=macos & !target_os=ios & any(!target_os=windows, !target_env=gnu)",
            "run five | windows & host:windows",
            "run six | any(target_os=android, target_os=haiku, target_os=a, target_os=b)",
            "run seven | target_family=unix",
        ],
    );
}

#[test]
fn a_library_that_must_be_found_is_not_optional() {
    for script in [
        "fn main() { pkg_config::probe_library(\"x\").unwrap(); }",
        "fn main() { let mut c = pkg_config::Config::new(); c.atleast_version(\"1\"); c.probe(\"x\").expect(\"x\"); }",
        "fn main() -> Result<(), E> { pkg_config::Config::new().probe(\"x\")?; Ok(()) }",
        "fn main() { if pkg_config::probe_library(\"x\").is_err() { panic!(\"no x\") } }",
        "fn main() { let Ok(x) = pkg_config::probe_library(\"x\") else { std::process::exit(1) }; }",
        "fn main() { if let Err(e) = find() { eprintln!(\"{e}\"); std::process::exit(1); } }
         fn find() -> Result<L, E> { let l = pkg_config::probe_library(\"x\")?; Ok(l) }",
        "fn main() { match pkg_config::probe_library(\"x\") {
             Err(E::Failure { output }) => panic!(\"{output}\"), Err(e) => panic!(\"{e}\"), Ok(l) => {} } }",
        "fn main() { pkg_config::probe_library(\"x\").unwrap_or_else(|e| panic!(\"{e}\")); }",
    ] {
        check(script, &["pkg-config", "probe x"]);
    }
    for script in [
        "fn main() { pkg_config::probe_library(\"x\").ok(); }",
        "fn main() { if pkg_config::probe_library(\"x\").is_ok() { println!(\"cargo:rustc-cfg=x\"); } }",
        "fn main() { match pkg_config::probe_library(\"x\") { Ok(_) => {} Err(e) => println!(\"{e}\") } }",
        "fn main() { let _ = find(); } fn find() -> Result<(), E> { pkg_config::probe_library(\"x\")?; Ok(()) }",
        "fn main() { if let Ok(_) = pkg_config::probe_library(\"x\") { return; } if !other() { panic!(\"neither\") } }",
    ] {
        check(script, &["pkg-config", "probe x (optional)"]);
    }
    // Either will do.
    check(
        "fn main() { pkg_config::probe_library(\"x\").or_else(|_| pkg_config::probe_library(\"y\")).unwrap(); }",
        &["pkg-config", "probe x (optional)", "probe y (optional) | !lib:x"],
    );
    // The name comes from a list, and is not known.
    check(
        "fn main() { for name in [\"x\", \"y\"] { pkg_config::probe_library(name).unwrap(); } }",
        &["pkg-config", "probe x", "probe y"],
    );
    check("fn main() { pkg_config::probe_library(&name()).unwrap(); }", &["pkg-config", "probe ?"]);
}

#[test]
fn what_follows_an_early_return_knows_why_it_is_reached() {
    // As libz-sys and libgit2-sys.
    check(
        r#"
        use std::env;
        fn system() -> bool {
            match pkg_config::Config::new().range_version("1".."2").probe("z") {
                Ok(lib) => { for path in lib.include_paths { println!("{path}"); } true }
                Err(_) => false,
            }
        }
        fn main() {
            let target = env::var("TARGET").unwrap();
            let vendored = env::var("CARGO_FEATURE_VENDORED").is_ok();
            let forced = env::var_os("NO_VENDOR").map_or(false, |value| value != "0");
            if forced {
                if !system() { panic!("not found"); }
                return;
            }
            if target.contains("android") {
                println!("cargo:rustc-link-lib=z");
                return;
            }
            if !vendored && system() {
                return;
            }
            if target.contains("windows") && vcpkg::find_package("z").is_ok() {
                return;
            }
            let mut build = cc::Build::new();
            build.compile("z");
        }
        "#,
        &[
            "pkg-config | $NO_VENDOR & ?",
            "probe z | $NO_VENDOR & ?",
            "link =z | any(!$NO_VENDOR, ?) & target_os=android",
            "pkg-config | any(!$NO_VENDOR, ?) & !target_os=android & !+vendored",
            "probe z | any(!$NO_VENDOR, ?) & !target_os=android & !+vendored",
            "vcpkg | any(!$NO_VENDOR, ?) & !target_os=android & any(+vendored, !lib:z) & windows",
            "cc | any(!$NO_VENDOR, ?) & !target_os=android & any(+vendored, !lib:z) & any(!windows, ?)",
        ],
    );
}

#[test]
fn macros_that_choose_by_configuration() {
    check(
        r#"
        cfg_if::cfg_if! {
            if #[cfg(feature = "a")] { fn build() { cc::Build::new(); } }
            else if #[cfg(windows)] { fn build() { vcpkg::find_package("a").unwrap(); } }
            else { fn build() { cmake::build("a"); } }
        }
        fn main() {
            build();
            let x = cfg_select! { feature = "b" => { bindgen::builder() } _ => { () } };
        }
        "#,
        &["cc | +a", "vcpkg | !+a & host:windows", "cmake | !+a & !host:windows", "bindgen | +b"],
    );
}
