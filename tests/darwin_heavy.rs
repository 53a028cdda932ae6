//! The long tests of links for macOS: real programs, C and C++ through zig. Minutes on a cold machine, so they are ignored:
//! `cargo test --test darwin_heavy -- --ignored`.

mod darwin_support;

use darwin_support::{Project, TARGETS, build, install, zig_env};

/// zstd, ring, bundled SQLite (C by zig) and chrono.
#[test]
#[ignore = "compiles SQLite, zstd and ring twice"]
fn c_by_zig() {
    let dependencies = "zstd = \"=0.13.3\"\nring = \"=0.17.14\"\nchrono = \"=0.4.42\"\n\
        rusqlite = { version = \"=0.37.0\", features = [\"bundled\"] }";
    let main = "fn main() {
        let packed = zstd::encode_all(&b\"hello\"[..], 3).unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, &packed);
        let key = ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).is_ok();
        let base = rusqlite::Connection::open_in_memory().unwrap();
        let one: i64 = base.query_row(\"select 1\", [], |row| row.get(0)).unwrap();
        println!(\"{digest:?} {key} {one} {}\", chrono::Local::now());
    }";
    let project = Project::new("c-user", dependencies, main);
    for target in TARGETS {
        let env = zig_env(target);
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (&**name, &**value)).collect();
        let binary = build(&project, target, &env);
        assert_eq!(binary.unaccounted(), [""; 0], "{target}");
        let looked_up: Vec<&String> = binary.dynamic.iter().filter(|symbol| !symbol.starts_with("_CF")).collect();
        assert_eq!(looked_up, ["_kCFAllocatorSystemDefault"; 0], "{target}");
    }
}

const CPP: &str = r#"
#include <charconv>
#include <iostream>
#include <stdexcept>
#include <string>
#include <unordered_map>
extern "C" int count(int n) {
    std::unordered_map<std::string, int> map;
    char text[64];
    for (int i = 0; i < n; i++) {
        auto end = std::to_chars(text, text + sizeof text, i * 1.5).ptr;
        map[std::string(text, end)] = i;
    }
    try {
        if (n > 3) throw std::runtime_error("too many");
    } catch (const std::exception &error) {
        std::cout << error.what();
    }
    std::cout << map.size() << std::endl;
    return (int)map.size();
}
"#;

#[test]
#[ignore = "zig builds libc++ twice"]
fn cxx_by_zig() {
    let manifest = "\n[build-dependencies]\ncc = \"=1.2.62\"";
    let main = "unsafe extern \"C\" { fn count(n: i32) -> i32; } fn main() { println!(\"{}\", unsafe { count(5) }) }";
    let build_rs = "fn main() {
        println!(\"cargo:rerun-if-changed=count.cpp\");
        cc::Build::new().cpp(true).std(\"c++17\").file(\"count.cpp\").compile(\"count\");
    }";
    let project =
        Project::new("cxx-user", manifest, main).file("build.rs", build_rs).file("count.cpp", CPP).with_libcxx();
    for target in TARGETS {
        let env = zig_env(target);
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (&**name, &**value)).collect();
        let binary = build(&project, target, &env);
        assert_eq!(binary.dynamic, std::collections::BTreeSet::new(), "{target}");
        assert_eq!(binary.dylibs, ["/usr/lib/libSystem.B.dylib"], "{target}: libc++ is inside");
    }
}

/// Libraries that touch macOS, each with a program that uses them.
const LIBRARY_USERS: &[(&str, &str, &str)] = &[
    (
        "sysinfo",
        "",
        "let s = sysinfo::System::new_all(); println!(\"{:?}\", (s.cpus().len(), sysinfo::Disks::new_with_refreshed_list(), sysinfo::Networks::new_with_refreshed_list(), sysinfo::Components::new_with_refreshed_list(), sysinfo::Users::new_with_refreshed_list().len()));",
    ),
    (
        "notify",
        "",
        "use notify::Watcher as _; let (tx, rx) = std::sync::mpsc::channel(); let mut w = notify::recommended_watcher(tx).unwrap(); w.watch(std::path::Path::new(\".\"), notify::RecursiveMode::Recursive).unwrap(); for e in rx { println!(\"{e:?}\") }",
    ),
    (
        "arboard",
        "",
        "let mut c = arboard::Clipboard::new().unwrap(); println!(\"{:?} {:?}\", c.get_text(), c.get_image().map(|i| i.width)); c.set_text(\"x\").unwrap();",
    ),
    (
        "native-tls",
        "",
        "let c = native_tls::TlsConnector::new().unwrap(); let s = std::net::TcpStream::connect(\"x:443\").unwrap(); c.connect(\"x\", s).unwrap(); println!(\"{}\", native_tls::Identity::from_pkcs12(&[], \"\").is_ok());",
    ),
    (
        "cpal",
        "",
        "use cpal::traits::*; let h = cpal::default_host(); for d in h.devices().unwrap() { println!(\"{:?}\", d.supported_output_configs().map(|c| c.count())) }",
    ),
    (
        "keyring",
        ", features = [\"apple-native\"]",
        "let e = keyring::Entry::new(\"a\", \"b\").unwrap(); e.set_password(\"x\").unwrap(); println!(\"{:?}\", e.get_password());",
    ),
    (
        "metal",
        "",
        "for d in metal::Device::all() { d.new_command_queue().new_command_buffer().commit(); println!(\"{}\", d.name()) }",
    ),
    ("rfd", "", "println!(\"{:?}\", rfd::FileDialog::new().pick_file()); rfd::MessageDialog::new().show();"),
    (
        "system-configuration",
        "",
        "let s = system_configuration::dynamic_store::SCDynamicStoreBuilder::new(\"x\").build(); println!(\"{:?}\", s.map(|s| s.get_proxies()));",
    ),
    (
        "battery",
        "",
        "for b in battery::Manager::new().unwrap().batteries().unwrap() { println!(\"{:?}\", b.map(|b| b.state())) }",
    ),
    (
        "winit",
        "",
        "struct A; impl winit::application::ApplicationHandler for A { fn resumed(&mut self, e: &winit::event_loop::ActiveEventLoop) { e.create_window(Default::default()).unwrap().set_title(\"x\") } fn window_event(&mut self, _: &winit::event_loop::ActiveEventLoop, _: winit::window::WindowId, e: winit::event::WindowEvent) { println!(\"{e:?}\") } } winit::event_loop::EventLoop::new().unwrap().run_app(&mut A).unwrap();",
    ),
];

const VERSIONS: &[(&str, &str)] = &[];

#[test]
#[ignore = "compiles a dozen crates twice"]
fn popular_libraries_are_accounted_for() {
    let mut open = Vec::new();
    for &(name, features, main) in LIBRARY_USERS {
        let version = VERSIONS.iter().find(|(known, _)| *known == name).map_or("*", |(_, version)| version);
        let dependency = format!("{name} = {{ version = \"{version}\"{features} }}");
        let project = Project::new(&format!("uses-{name}"), &dependency, &format!("fn main() {{ {main} }}"));
        for target in TARGETS {
            let env = zig_env(target);
            let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (&**name, &**value)).collect();
            let binary = build(&project, target, &env);
            println!("{name} {target}: {} looked up, {} bound", binary.dynamic.len(), binary.bound.len());
            open.extend(binary.unaccounted().into_iter().map(|symbol| format!("{name} {target}: {symbol}")));
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
#[ignore = "compiles four programs twice"]
fn popular_programs_are_accounted_for() {
    let mut open = Vec::new();
    for (package, bin) in [("fd-find", "fd"), ("ripgrep", "rg"), ("bat", "bat"), ("du-dust", "dust")] {
        for target in TARGETS {
            let env = zig_env(target);
            let binary = install(package, bin, target, &env);
            println!("{package} {target}: {} looked up, {} bound", binary.dynamic.len(), binary.bound.len());
            open.extend(binary.unaccounted().into_iter().map(|symbol| format!("{package} {target}: {symbol}")));
        }
    }
    assert_eq!(open, [""; 0]);
}
