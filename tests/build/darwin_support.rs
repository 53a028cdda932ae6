//! Builds projects for macOS with the recipe of `cargo_convoy::verify::darwin` and reads the binaries.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::build::wrapper::file::Place;
use cargo_convoy::build::wrapper::{Driver, Wrapper};
use cargo_convoy::provision::{darwin as provision, libcxx};
use cargo_convoy::verify::darwin::{self, Account};
use fs_err as fs;
use object::macho;
use object::read::macho::{LoadCommandVariant, MachHeader as _, MachOFile64, Nlist as _};
use object::{Endianness, Object as _, ObjectSymbol as _};

use crate::support::{environment, zig};

pub const TARGETS: [&str; 2] = ["x86_64-apple-darwin", "aarch64-apple-darwin"];

/// Kept between runs, so that only the first one compiles dependencies.
static WORK: LazyLock<Utf8PathBuf> = LazyLock::new(|| environment::scratch().join("darwin"));

/// A project on disk.
pub struct Project {
    pub name: String,
    dir: Utf8PathBuf,
    libcxx: bool,
}

impl Project {
    /// A binary crate with these lines below `[dependencies]`.
    pub fn new(name: &str, dependencies: &str, main: &str) -> Self {
        let manifest = format!(
            "[workspace]\n[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             [dependencies]\n{dependencies}\n"
        );
        let project = Self { name: name.to_owned(), dir: WORK.join(name), libcxx: false };
        project.file("Cargo.toml", &manifest).file("src/main.rs", main)
    }

    /// Adds a file; one that is there with the same text is left alone, for cargo looks at its time.
    pub fn file(self, path: &str, text: &str) -> Self {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if fs::read_to_string(&path).ok().as_deref() != Some(text) {
            fs::write(path, text).unwrap();
        }
        self
    }

    /// Links zig's libc++.
    pub fn with_libcxx(mut self) -> Self {
        self.libcxx = true;
        self
    }
}

/// What a test wants to know of a Mach-O binary.
#[derive(Debug)]
pub struct Binary {
    /// Install names of what it loads.
    pub dylibs: Vec<String>,
    /// Symbols that are bound to one library, with that library.
    pub bound: BTreeMap<String, String>,
    /// Symbols that are looked up at start.
    pub dynamic: BTreeSet<String>,
    /// Minimum macOS.
    pub min_os: Option<(u16, u8)>,
    /// Whether it holds a code signature.
    pub signed: bool,
    declared: BTreeSet<String>,
}

impl Binary {
    pub fn account(&self, symbol: &str) -> Account {
        darwin::account(symbol, &self.dylibs, &self.declared)
    }

    pub fn unaccounted(&self) -> Vec<String> {
        self.dynamic.iter().filter(|symbol| self.account(symbol) == Account::Unaccounted).cloned().collect()
    }

    /// One line for who follows a long test.
    pub fn summary(&self) -> String {
        let (bound, looked_up) = (self.bound.len(), self.dynamic.len());
        format!("{bound} bound, {looked_up} looked up, unaccounted: {:?}", self.unaccounted())
    }

    /// The library at an index of the load commands, which begins at 1.
    fn library(&self, index: Option<u8>) -> String {
        let index = index.expect("a symbol that is neither looked up nor bound to a library");
        self.dylibs[usize::from(index) - 1].clone()
    }

    fn read(path: &Utf8Path, declared: BTreeSet<String>) -> Self {
        let data = fs::read(path).unwrap();
        let file = MachOFile64::<Endianness>::parse(&*data).unwrap();
        let endian = file.endian();
        let mut binary = Self {
            dylibs: Vec::new(),
            bound: BTreeMap::new(),
            dynamic: BTreeSet::new(),
            min_os: None,
            signed: false,
            declared,
        };
        let version = |version: macho::Version| Some((version.major(), version.minor()));
        let mut commands = file.macho_header().load_commands(endian, &*data, 0).unwrap();
        while let Some(command) = commands.next().unwrap() {
            match command.variant().unwrap() {
                LoadCommandVariant::Dylib(dylib) => {
                    let name = command.string(endian, dylib.dylib.name).unwrap();
                    binary.dylibs.push(String::from_utf8(name.to_vec()).unwrap());
                }
                LoadCommandVariant::BuildVersion(build, _) => binary.min_os = version(build.minos.get(endian)),
                LoadCommandVariant::VersionMin(min) => binary.min_os = version(min.version.get(endian)),
                LoadCommandVariant::LinkeditData(data) if data.cmd.get(endian) == macho::LC_CODE_SIGNATURE => {
                    binary.signed = true;
                }
                _ => {}
            }
        }
        for symbol in file.symbols().filter(|symbol| symbol.is_undefined()) {
            let name = symbol.name().unwrap().to_owned();
            match symbol.macho_symbol().library_ordinal(endian) {
                macho::DYNAMIC_LOOKUP_ORDINAL => drop(binary.dynamic.insert(name)),
                ordinal => drop(binary.bound.insert(name, binary.library(ordinal.index()))),
            }
        }
        binary
    }
}

/// Builds a project for a target by the recipe and reads its binary.
pub fn build(project: &Project, target: &str, env: &[(String, String)]) -> Binary {
    let mut cargo = cargo(target, project.libcxx);
    // Unoptimised: quicker, and fewer names are optimised away.
    cargo
        .args(["build", "--target", target])
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .envs(env.iter().map(|(name, value)| (name, value)))
        .current_dir(&project.dir);
    let folder = WORK.join("target").join(&project.name);
    run(cargo.arg("--target-dir").arg(&folder));
    let declared = declared(&project.dir);
    Binary::read(&folder.join(target).join("debug").join(&project.name), declared)
}

/// Installs a package of the registry for a target by the recipe and reads its binary. Its crates' declarations are not
/// looked at: the families alone must account for it.
pub fn install(package: &str, bin: &str, target: &str, env: &[(String, String)]) -> Binary {
    let root = WORK.join("install").join(target);
    let mut cargo = cargo(target, false);
    cargo.args(["install", package, "--locked", "--force", "--target", target, "--root"]).arg(&root);
    run(cargo.arg("--target-dir").arg(WORK.join("target/install")).envs(env.iter().map(|(name, value)| (name, value))));
    Binary::read(&root.join("bin").join(bin), BTreeSet::new())
}

fn cargo(target: &str, libcxx: bool) -> Command {
    let mut cargo = environment::command("cargo");
    let folder = WORK.join("with space");
    let stubs = provision::write_stubs(&folder).unwrap();
    // As the linker shim does: a script of any name.
    let linker = script(&folder, "shim", &format!("#!/bin/sh\nexec {} \"$@\"\n", rust_lld()));
    let arch = target.split('-').next().unwrap();
    let zig_target = provision::zig_target(arch, if arch == "x86_64" { "10.12" } else { "11.0" });
    let libcxx = libcxx.then(|| {
        let folder = WORK.join(format!("libcxx-{zig_target}"));
        libcxx::provision_libcxx(&zig(), libcxx::MACOS, &zig_target, &folder, &Default::default()).unwrap();
        folder
    });
    let settings = provision::link_settings(&stubs, libcxx.as_deref());
    let flags = serde_json::to_string(&settings.rustflags).unwrap();
    cargo.args(["--config", &format!("target.{target}.rustflags={flags}")]);
    cargo.args(["--config", &format!("target.{target}.linker={}", serde_json::to_string(&linker).unwrap())]);
    cargo.envs(settings.env).env("RUSTUP_AUTO_INSTALL", "0");
    cargo
}

/// What makes zig the C compiler for a darwin target.
pub fn zig_env(target: &str) -> Vec<(String, String)> {
    let arch = target.split('-').next().unwrap();
    let zig_target = provision::zig_target(arch, if arch == "x86_64" { "10.12" } else { "11.0" });
    let folder = WORK.join("wrappers").join(target);
    fs::create_dir_all(&folder).unwrap();
    let zig = zig();
    let wrappers = [
        ("CC", Wrapper::plain_zig(&zig, Driver::C, &zig_target)),
        ("CXX", Wrapper::plain_zig(&zig, Driver::Cxx, &zig_target)),
        ("AR", Wrapper::zig_tool(&zig, "ar")),
        ("RANLIB", Wrapper::zig_tool(&zig, "ranlib")),
    ];
    let convoy = Place::Machine(env!("CARGO_BIN_EXE_cargo-convoy").into());
    wrappers
        .into_iter()
        .map(|(variable, wrapper)| {
            let path = wrapper.write(&folder, variable, convoy).unwrap();
            (format!("{variable}_{}", target.replace('-', "_")), path.into_string())
        })
        .collect()
}

/// Writes a script, once: one that another test runs must not be rewritten.
fn script(folder: &Utf8Path, name: &str, text: &str) -> Utf8PathBuf {
    use std::os::unix::fs::PermissionsExt as _;

    fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    if fs::read_to_string(&path).ok().as_deref() != Some(text) {
        let beside = tempfile::NamedTempFile::new_in(folder).unwrap();
        fs::write(beside.path(), text).unwrap();
        fs::set_permissions(beside.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        beside.into_temp_path().persist(&path).unwrap();
    }
    path
}

/// What the packages of a project's graph declare.
fn declared(dir: &Utf8Path) -> BTreeSet<String> {
    let mut cargo = environment::command("cargo");
    let output = run(cargo.args(["metadata", "--format-version", "1"]).current_dir(dir));
    let metadata: serde_json::Value = serde_json::from_str(&output).unwrap();
    let manifests =
        metadata["packages"].as_array().unwrap().iter().map(|package| package["manifest_path"].as_str().unwrap());
    manifests.flat_map(|path| darwin::declared_in_package(Utf8Path::new(path).parent().unwrap())).collect()
}

/// rustup's `rust-lld`.
fn rust_lld() -> Utf8PathBuf {
    let print = |what: &str| run(environment::command("rustc").args(["--print", what]));
    let libdir = Utf8PathBuf::from(print("target-libdir").trim());
    let linker = libdir.with_file_name("bin").join("rust-lld");
    assert!(linker.is_file(), "the toolchain has no {linker}");
    linker
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
