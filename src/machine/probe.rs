//! Probing this machine. What a tool says of itself is remembered under its path, size and modification time.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use camino::{Utf8Path, Utf8PathBuf};
use object::read::elf::ElfFile;
use serde::{Deserialize, Serialize};

use super::ask::output;
use super::trial::{self, Language};
use crate::machine::engine::Engine;
use crate::machine::{CacheDir, CrossFacts, GccFacts, Machine, Rustc, System, ZigFacts, on_path, rust_command, zig};
use crate::model::architecture::Architecture;
use crate::model::catalog::{Catalog, Glibc, Target, tools};
use crate::util::error::{Error, Result};
use crate::util::stamp::Stamp;

/// Looks at this machine, as seen from a project's folder (a `rust-toolchain.toml` there chooses the toolchain).
pub(crate) fn probe(dir: &Utf8Path, catalog: &Catalog, cache: &CacheDir) -> Result<Machine> {
    let memory = Memory::open(cache);
    let (rust, zig, gcc) = std::thread::scope(|scope| {
        let rust = scope.spawn(|| rust(dir, &memory));
        let zig = scope.spawn(|| zig(dir, cache, &memory));
        let gcc: BTreeMap<String, GccFacts> = catalog
            .targets
            .iter()
            .filter_map(|target| {
                let prefix = &target.gcc.as_ref()?.prefix;
                Some((target.triple.to_string(), gcc(prefix, Some(target), &memory)?))
            })
            .collect();
        (rust.join(), zig.join(), gcc)
    });
    let died = |_| Error::work("internal error: a thread that inspects this machine panicked");
    let (rustc, toolchain) = rust.map_err(died)??;
    let zig = zig.map_err(died)?;
    let zig_unavailable = if zig.is_none() { zig::unavailable() } else { None };

    let cargo = rustc.sysroot.join("bin").join(format!("cargo{}", std::env::consts::EXE_SUFFIX));
    let cargo =
        memory.ask("version", &cargo, || output(rust_command(&cargo).arg("--version")).ok()).unwrap_or_default();

    let rustlib = rustc.sysroot.join("lib/rustlib");
    let rust_lld =
        rustlib.join(rustc.host.as_str()).join("bin").join(format!("rust-lld{}", std::env::consts::EXE_SUFFIX));
    let (linker, linker_fault) = native_compiler(&["cc", "gcc", "clang"], Language::C, &memory);
    let (cxx, cxx_fault) = native_compiler(&["c++", "g++", "clang++"], Language::Cxx, &memory);
    let facts = Machine {
        std: installed_std(&rustlib)?,
        published_std: published_std(&rustlib, &memory),
        rust_src: rustlib.join("src/rust/library/Cargo.lock").exists(),
        rust_lld: rust_lld.exists().then_some(rust_lld),
        linker,
        cxx,
        linker_fault,
        cxx_fault,
        system: system(),
        glibc: host_glibc(&rustc.host),
        tools: tools::tools().iter().filter_map(|(name, tool)| Some((name.clone(), locate(tool)?))).collect(),
        libraries: BTreeMap::new(),
        apt: None,
        sysroots: BTreeMap::new(),
        fetched_sysroots: BTreeSet::new(),
        cross: cross(&rustc),
        xwin: on_path("cargo-xwin"),
        vendor_dirs: BTreeMap::new(),
        engine: Engine::Unasked,
        image_facts: BTreeMap::new(),
        libclang_headers: None,
        env: BTreeMap::new(),
        user: BTreeMap::new(),
        cargo: cargo.trim().trim_start_matches("cargo ").to_owned(),
        toolchain,
        rustc,
        zig,
        zig_unavailable,
        gcc,
    };
    memory.close(cache);
    Ok(facts)
}

/// cross, and the name that keeps it from updating the toolchain.
fn cross(rustc: &Rustc) -> Option<CrossFacts> {
    let program = on_path("cross")?;
    let version = rustc.version.split(' ').next()?.to_owned();
    let named = rustc.sysroot.parent()?.join(format!("{version}-{}", rustc.host));
    // rustup's folder may hold it as a link to the channel's.
    let same =
        named.canonicalize_utf8().ok().filter(|named| rustc.sysroot.canonicalize_utf8().is_ok_and(|s| s == *named));
    Some(CrossFacts { program, toolchain: same.map(|_| version) })
}

/// Whose package manager this machine has: its release file says.
fn system() -> System {
    if cfg!(target_os = "macos") {
        return System::MacOs;
    }
    let text = fs_err::read_to_string("/etc/os-release").unwrap_or_default();
    let words = text
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split(' '));
    for word in words {
        match word {
            "debian" | "ubuntu" | "raspbian" => return System::Debian,
            "fedora" | "rhel" | "centos" => return System::Fedora,
            "arch" => return System::Arch,
            _ => {}
        }
    }
    System::Other
}

/// A compiler for this machine itself that really compiles and links; where there is none, why the first on PATH does not.
fn native_compiler(names: &[&str], language: Language, memory: &Memory) -> (Option<Utf8PathBuf>, Option<String>) {
    let mut first = None;
    for compiler in names.iter().filter_map(|name| on_path(name)) {
        match fault(&compiler, language, None, memory) {
            None => return (Some(compiler), None),
            Some(fault) => first = first.or(Some(fault)),
        }
    }
    (None, first)
}

/// Why a compiler does not serve a target, or this machine itself. Only a pass is remembered: what a compiler lacks may be
/// installed beside it, and a full disk or a busy machine passes.
fn fault(compiler: &Utf8Path, language: Language, target: Option<&Target>, memory: &Memory) -> Option<String> {
    let mut fault = None;
    memory.ask(&format!("trial {language:?}"), compiler, || {
        fault = trial::fault(compiler, language, target);
        fault.is_none().then(String::new)
    });
    fault
}

/// Where a tool of build scripts is.
fn locate(tool: &tools::Tool) -> Option<Utf8PathBuf> {
    if let Some(library) = &tool.library {
        return (library == "libclang").then(libclang).flatten();
    }
    let all: Option<Vec<Utf8PathBuf>> = tool.all_of.iter().map(|name| on_path(name)).collect();
    tool.any_of.iter().find_map(|name| on_path(name)).or_else(|| all?.into_iter().next())
}

/// libclang, where the `clang-sys` crate looks for it.
fn libclang() -> Option<Utf8PathBuf> {
    let is_it = |path: &Utf8PathBuf| {
        let name = path.file_name().unwrap_or_default();
        name == "libclang.dylib"
            || name == "libclang.so"
            || (name.starts_with("libclang.so.") || name.starts_with("libclang-") && name.contains(".so"))
    };
    let within = |dir: Utf8PathBuf| {
        let files = dir.read_dir_utf8().ok()?;
        let mut found: Vec<Utf8PathBuf> = files.flatten().map(|file| file.into_path()).filter(is_it).collect();
        found.sort();
        found.into_iter().next()
    };
    if let Ok(path) = std::env::var("LIBCLANG_PATH") {
        let path = Utf8PathBuf::from(path);
        return if path.is_file() { Some(path) } else { within(path) };
    }
    let llvm = Utf8PathBuf::from("/usr/lib").read_dir_utf8().into_iter().flatten().flatten();
    let mut llvm: Vec<Utf8PathBuf> =
        llvm.filter(|dir| dir.file_name().starts_with("llvm")).map(|dir| dir.into_path().join("lib")).collect();
    llvm.sort_by(|a, b| b.cmp(a));
    let multiarch = Catalog::embedded().targets.iter().filter_map(|target| target.multiarch.as_ref());
    let fixed = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/opt/llvm/lib", "/usr/local/opt/llvm/lib"];
    llvm.into_iter()
        .chain(multiarch.map(|dir| Utf8PathBuf::from(format!("/usr/lib/{dir}"))))
        .chain(fixed.map(Utf8PathBuf::from))
        .find_map(within)
}

/// A cross gcc for a triple outside the catalog, by the name that distributions give it.
pub(crate) fn foreign_gcc(triple: &str, cache: &CacheDir) -> Option<GccFacts> {
    let parts: Vec<&str> = triple.split('-').collect();
    let prefix = match parts.as_slice() {
        [arch, _, "windows", "gnu"] => format!("{arch}-w64-mingw32"),
        [arch, _, os @ "linux", abi] => {
            let arch = Architecture::of_triple(triple).map_or(*arch, |known| known.gnu(arch));
            format!("{arch}-{os}-{abi}")
        }
        _ => return None,
    };
    let memory = Memory::open(cache);
    let facts = gcc(&prefix, None, &memory);
    memory.close(cache);
    facts
}

/// Every triple that rustc knows.
pub(crate) fn rustc_targets(dir: &Utf8Path) -> Result<Vec<String>> {
    let text = output(rust_command("rustc").current_dir(dir).args(["--print", "target-list"]))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The same, remembered for each rustc.
pub(crate) fn remembered_targets(dir: &Utf8Path, rustc: &Rustc, cache: &CacheDir) -> Result<Vec<String>> {
    let key = format!("targets-{}", crate::util::files::sha256(format!("{}\0{}", rustc.version, rustc.sysroot)));
    if let Some(known) = cache.recall::<Vec<String>>("probes", &key).filter(|known| !known.is_empty()) {
        return Ok(known);
    }
    let targets = rustc_targets(dir)?;
    // A cache that cannot be written only costs time.
    let _ = cache.remember("probes", &key, &targets);
    Ok(targets)
}

fn installed_std(rustlib: &Utf8Path) -> Result<std::collections::BTreeSet<String>> {
    let mut found = std::collections::BTreeSet::new();
    for entry in fs_err::read_dir(rustlib)? {
        let Ok(path) = Utf8PathBuf::from_path_buf(entry?.path()) else { continue };
        let is_std = path
            .join("lib")
            .read_dir_utf8()
            .is_ok_and(|mut files| files.any(|file| file.is_ok_and(|file| file.file_name().starts_with("libstd-"))));
        if is_std {
            found.extend(path.file_name().map(str::to_owned));
        }
    }
    Ok(found)
}

/// What rustup's own list of the toolchain's components says. It is a large file, and is read once.
fn published_std(rustlib: &Utf8Path, memory: &Memory) -> Option<BTreeSet<String>> {
    let list = rustlib.join("multirust-channel-manifest.toml");
    let found = memory.ask("published-std", &list, || Some(targets_of_std(&fs_err::read_to_string(&list).ok()?)))?;
    // A list of another shape tells nothing.
    Some(found.split_whitespace().map(str::to_owned).collect()).filter(|found: &BTreeSet<_>| !found.is_empty())
}

/// The targets that a channel's manifest has a standard library for, with spaces between.
fn targets_of_std(manifest: &str) -> String {
    let of = |line: &str| Some(line.strip_prefix("[pkg.rust-std.target.")?.strip_suffix(']')?.to_owned());
    let mut lines = manifest.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        found.extend(of(line).filter(|_| lines.next().is_some_and(|line| line.ends_with("true"))));
    }
    found.join(" ")
}

/// The toolchain that holds in the project's folder, and its name in rustup.
fn rust(dir: &Utf8Path, memory: &Memory) -> Result<(Rustc, Option<String>)> {
    // rustup's proxies decide by folder and environment, so the real compiler's folder is asked for each time; what it
    // says of itself is remembered.
    let rustc = std::env::var("RUSTC").ok().filter(|path| !path.is_empty()).unwrap_or_else(|| "rustc".to_owned());
    let sysroot = match sibling_of_cargo() {
        Some(sysroot) if rustc == "rustc" => sysroot,
        _ => Utf8PathBuf::from(output(rust_command(&rustc).current_dir(dir).args(["--print", "sysroot"]))?.trim()),
    };
    let real = sysroot.join("bin").join(format!("rustc{}", std::env::consts::EXE_SUFFIX));
    let verbose = memory.ask("version", &real, || output(rust_command(&rustc).current_dir(dir).arg("-vV")).ok());
    let verbose =
        verbose.ok_or_else(|| Error::work(format!("`{rustc} -vV` failed")).hint("check that Rust is installed"))?;
    let field =
        |name: &str| verbose.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned());
    let host = field("host:").ok_or_else(|| Error::work(format!("`{rustc} -vV` printed no host")))?;
    let version = verbose.lines().next().unwrap_or_default().trim_start_matches("rustc ").to_owned();
    // rustup keeps toolchains under `toolchains/<name>`; another layout is not rustup's.
    let name = sysroot.parent().filter(|parent| parent.file_name() == Some("toolchains")).and(sysroot.file_name());
    let toolchain = name.filter(|_| on_path("rustup").is_some()).map(str::to_owned);
    Ok((Rustc { version, host: host.into(), sysroot }, toolchain))
}

/// When cargo started us, its own folder tells the toolchain without a process.
fn sibling_of_cargo() -> Option<Utf8PathBuf> {
    let cargo = Utf8PathBuf::from(std::env::var("CARGO").ok()?);
    let sysroot = cargo.parent()?.parent()?;
    sysroot.join("lib/rustlib").is_dir().then(|| sysroot.to_owned())
}

/// zig's own binary: on PATH, in the tool's cache, or in an installed `ziglang` wheel.
fn zig(dir: &Utf8Path, cache: &CacheDir, memory: &Memory) -> Option<ZigFacts> {
    let facts = |path: Utf8PathBuf| {
        let version = memory.ask("version", &path, || output(Command::new(&path).arg("version")).ok())?;
        version.starts_with(|first: char| first.is_ascii_digit()).then_some(())?;
        Some(ZigFacts { version: version.trim().to_owned(), path })
    };
    on_path("zig")
        .and_then(facts)
        .or_else(|| zig::in_cache(cache).and_then(facts))
        .or_else(|| zig::in_wheel(cache, dir).and_then(facts))
}

fn gcc(prefix: &str, target: Option<&Target>, memory: &Memory) -> Option<GccFacts> {
    let cc = on_path(&format!("{prefix}-gcc"))?;
    // Only what is there is remembered: it may come later, and the compiler stays the same.
    let version = memory.ask("version", &cc, || output(Command::new(&cc).arg("-dumpfullversion")).ok());
    // Windows has no glibc to ask for, and an answer that nobody can give is not remembered.
    let has_glibc = !prefix.ends_with("-mingw32");
    let libc = || output(Command::new(&cc).arg("-print-file-name=libc.so.6")).ok();
    let newest = || newest_glibc(Utf8Path::new(libc()?.trim())).map(|glibc| glibc.to_string());
    let glibc = if has_glibc { memory.ask("glibc", &cc, newest) } else { None };
    let fault = match version {
        Some(_) => fault(&cc, Language::C, target, memory),
        None => Some(format!("could not determine the version of `{cc}`")),
    };
    // gcc answers with the bare name when it has no such file.
    let static_cxx = memory.ask("libstdc++", &cc, || {
        let path = output(Command::new(&cc).arg("-print-file-name=libstdc++.a")).ok()?;
        Some(path.trim().to_owned()).filter(|path| path.contains('/'))
    });
    let cxx = on_path(&format!("{prefix}-g++"));
    let cxx = cxx.filter(|cxx| self::fault(cxx, Language::Cxx, target, memory).is_none());
    Some(GccFacts {
        prefix: prefix.to_owned(),
        cxx,
        ar: on_path(&format!("{prefix}-ar")),
        version: version.unwrap_or_default().trim().to_owned(),
        glibc: glibc.and_then(|glibc| glibc.parse().ok()),
        static_cxx: static_cxx.map(Utf8PathBuf::from),
        headers: None,
        fault,
        cc,
    })
}

/// The newest `GLIBC_` version that a libc.so.6 defines.
fn newest_glibc(libc: &Utf8Path) -> Option<Glibc> {
    let data = fs_err::read(libc).ok()?;
    fn newest<E: object::read::elf::FileHeader<Endian = object::Endianness>>(data: &[u8]) -> Option<Glibc> {
        let file = ElfFile::<E>::parse(data).ok()?;
        let endian = file.endian();
        let sections = file.elf_section_table();
        let (mut definitions, strings) = sections.gnu_verdef(endian, data).ok()??;
        let strings = sections.strings(endian, data, strings).ok()?;
        let mut newest = None;
        while let Ok(Some((_, mut names))) = definitions.next() {
            let Ok(Some(name)) = names.next() else { continue };
            let Ok(name) = name.name(endian, strings) else { continue };
            let version = std::str::from_utf8(name).ok().and_then(|name| name.strip_prefix("GLIBC_")?.parse().ok());
            newest = newest.max(version);
        }
        newest
    }
    match object::FileKind::parse(&*data).ok()? {
        object::FileKind::Elf32 => newest::<object::elf::FileHeader32<object::Endianness>>(&data),
        object::FileKind::Elf64 => newest::<object::elf::FileHeader64<object::Endianness>>(&data),
        _ => None,
    }
}

fn host_glibc(host: &str) -> Option<Glibc> {
    let target = Catalog::embedded().target(host);
    let multiarch = target.and_then(|target| target.multiarch.clone());
    let candidates =
        multiarch.iter().flat_map(|dir| [format!("/lib/{dir}/libc.so.6"), format!("/usr/lib/{dir}/libc.so.6")]);
    let fixed = ["/lib64/libc.so.6", "/usr/lib64/libc.so.6", "/lib/libc.so.6"].map(str::to_owned);
    candidates.chain(fixed).find_map(|path| newest_glibc(Utf8Path::new(&path)))
}

/// What tools said of themselves in earlier runs.
#[derive(Debug)]
pub(super) struct Memory {
    remembered: Mutex<BTreeMap<String, Remembered>>,
    changed: AtomicBool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Remembered {
    stamp: Stamp,
    text: String,
}

/// A new name whenever what is written down of a tool changes its form.
const MEMORY: &str = "tools-4";

impl Memory {
    pub(super) fn open(cache: &CacheDir) -> Self {
        Self {
            remembered: Mutex::new(cache.recall("probes", MEMORY).unwrap_or_default()),
            changed: AtomicBool::new(false),
        }
    }

    /// What a tool says to a question, asked anew when its file changes. An answer of none is not remembered.
    pub(super) fn ask(&self, question: &str, path: &Utf8Path, ask: impl FnOnce() -> Option<String>) -> Option<String> {
        let stamp = Stamp::of(path)?;
        let key = format!("{question} {path}");
        let lock = |poisoned: std::sync::PoisonError<_>| poisoned.into_inner();
        if let Some(told) = self.remembered.lock().unwrap_or_else(lock).get(&key).filter(|told| told.stamp == stamp) {
            return Some(told.text.clone());
        }
        let text = ask()?;
        self.remembered.lock().unwrap_or_else(lock).insert(key, Remembered { stamp, text: text.clone() });
        self.changed.store(true, Ordering::Relaxed);
        Some(text)
    }

    pub(super) fn close(self, cache: &CacheDir) {
        let lock = |poisoned: std::sync::PoisonError<_>| poisoned.into_inner();
        if self.changed.into_inner() {
            // A cache that cannot be written only costs time.
            let _ = cache.remember("probes", MEMORY, &self.remembered.into_inner().unwrap_or_else(lock));
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_compiler_that_failed_is_tried_again_and_one_that_passed_is_not() {
        let held = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(held.path()).unwrap();
        let compiler = dir.join("cc");
        let part = dir.join("crt1.o");
        // Its last part is not there yet; the compiler itself does not change when it comes.
        let script = format!(
            "#!/bin/sh\necho >>'{dir}/trials'\n[ -e '{part}' ] || {{ echo 'error: no crt1.o' >&2; exit 1; }}\n"
        );
        fs_err::write(&compiler, script).unwrap();
        fs_err::set_permissions(&compiler, std::fs::Permissions::from_mode(0o755)).unwrap();
        let cache = CacheDir::at(&dir.join("cache/v1"));
        let tried = || {
            let memory = Memory::open(&cache);
            let fault = fault(&compiler, Language::C, None, &memory);
            memory.close(&cache);
            fault
        };
        let first = tried().unwrap();
        assert!(first.contains(compiler.as_str()) && first.ends_with("error: no crt1.o"), "{first}");
        fs_err::write(&part, "").unwrap();
        assert_eq!(tried(), None);
        let trials = || fs_err::read_to_string(dir.join("trials")).unwrap().lines().count();
        let before = trials();
        assert_eq!(tried(), None);
        assert_eq!(trials(), before, "a pass is remembered");
    }
}
