//! Probing this machine. What a tool says of itself is remembered under its path, size and modification time.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use camino::{Utf8Path, Utf8PathBuf};
use object::read::elf::ElfFile;
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Glibc};
use crate::error::{Error, Result};
use crate::host::{CacheDir, GccFacts, HostFacts, Rustc, Stamp, ZigFacts, on_path, rust_command};
use crate::needs::NeedKind;
use crate::provision::zig as pinned;

/// Looks at this machine, as seen from a project's folder (a `rust-toolchain.toml` there chooses the toolchain).
pub fn probe(dir: &Utf8Path, catalog: &Catalog, cache: &CacheDir) -> Result<HostFacts> {
    let memory = Memory::open(cache);
    let (rust, zig, gcc) = std::thread::scope(|scope| {
        let rust = scope.spawn(|| rust(dir, &memory));
        let zig = scope.spawn(|| zig(cache, &memory));
        let gcc: BTreeMap<String, GccFacts> = catalog
            .targets
            .iter()
            .filter_map(|target| {
                let prefix = &target.gcc.as_ref()?.prefix;
                Some((target.triple.clone(), gcc(prefix, &memory)?))
            })
            .collect();
        (rust.join(), zig.join(), gcc)
    });
    let died = |_| Error::work("a probe of this machine ended abnormally");
    let (rustc, toolchain) = rust.map_err(died)??;
    let zig = zig.map_err(died)?;
    let zig_unavailable = if zig.is_none() { pinned::unavailable() } else { None };

    let cargo = rustc.sysroot.join("bin").join(format!("cargo{}", std::env::consts::EXE_SUFFIX));
    let cargo = memory.ask(&cargo, || output(rust_command(&cargo).arg("--version")).ok()).unwrap_or_default();
    memory.close(cache);

    let rustlib = rustc.sysroot.join("lib/rustlib");
    let rust_lld = rustlib.join(&rustc.host).join("bin").join(format!("rust-lld{}", std::env::consts::EXE_SUFFIX));
    Ok(HostFacts {
        std: installed_std(&rustlib)?,
        refused_std: BTreeMap::new(),
        refused_src: None,
        rust_src: rustlib.join("src/rust/library/Cargo.lock").exists(),
        rust_lld: rust_lld.exists().then_some(rust_lld),
        linker: ["cc", "gcc", "clang"].into_iter().find_map(on_path),
        glibc: host_glibc(&rustc.host),
        tools: NeedKind::tools().filter_map(|tool| Some((tool.to_owned(), on_path(tool)?))).collect(),
        user: BTreeMap::new(),
        cargo: cargo.trim().trim_start_matches("cargo ").to_owned(),
        toolchain,
        rustc,
        zig,
        zig_unavailable,
        gcc,
    })
}

/// A cross gcc for a triple outside the catalog, by the name that distributions give it.
pub fn foreign_gcc(triple: &str, cache: &CacheDir) -> Option<GccFacts> {
    let parts: Vec<&str> = triple.split('-').collect();
    let prefix = match parts.as_slice() {
        [arch, _, "windows", "gnu"] => format!("{arch}-w64-mingw32"),
        ["riscv64gc", _, os, abi] => format!("riscv64-{os}-{abi}"),
        [arch, _, os @ "linux", abi] => format!("{arch}-{os}-{abi}"),
        _ => return None,
    };
    let memory = Memory::open(cache);
    let facts = gcc(&prefix, &memory);
    memory.close(cache);
    facts
}

/// Every triple that rustc knows.
pub fn rustc_targets(dir: &Utf8Path) -> Result<Vec<String>> {
    let text = output(rust_command("rustc").current_dir(dir).args(["--print", "target-list"]))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn output(command: &mut Command) -> Result<String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let done = command.stdin(Stdio::null()).output().map_err(|error| {
        let hint = format!("is `{shown}` installed and on PATH?");
        Error::work(format!("could not start `{shown}`")).because(error).hint(hint)
    })?;
    if !done.status.success() {
        let told = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(Error::work(format!("`{shown}` failed ({}): {told}", done.status)));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
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
    let verbose = memory.ask(&real, || output(rust_command(&rustc).current_dir(dir).arg("-vV")).ok());
    let verbose = verbose.ok_or_else(|| Error::work(format!("`{rustc} -vV` failed")).hint("is Rust installed?"))?;
    let field =
        |name: &str| verbose.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned());
    let host = field("host:").ok_or_else(|| Error::work(format!("`{rustc} -vV` names no host")))?;
    let version = verbose.lines().next().unwrap_or_default().trim_start_matches("rustc ").to_owned();
    // rustup keeps toolchains under `toolchains/<name>`; another layout is not rustup's.
    let name = sysroot.parent().filter(|parent| parent.file_name() == Some("toolchains")).and(sysroot.file_name());
    let toolchain = name.filter(|_| on_path("rustup").is_some()).map(str::to_owned);
    Ok((Rustc { version, host, sysroot }, toolchain))
}

/// When cargo started us, its own folder tells the toolchain without a process.
fn sibling_of_cargo() -> Option<Utf8PathBuf> {
    let cargo = Utf8PathBuf::from(std::env::var("CARGO").ok()?);
    let sysroot = cargo.parent()?.parent()?;
    sysroot.join("lib/rustlib").is_dir().then(|| sysroot.to_owned())
}

/// zig's own binary: on PATH, in the tool's cache, or in an installed `ziglang` wheel.
fn zig(cache: &CacheDir, memory: &Memory) -> Option<ZigFacts> {
    let facts = |path: Utf8PathBuf| {
        let version = memory.ask(&path, || output(Command::new(&path).arg("version")).ok())?;
        Some(ZigFacts { version: version.trim().to_owned(), path })
    };
    on_path("zig")
        .and_then(facts)
        .or_else(|| pinned::in_cache(cache).and_then(facts))
        .or_else(|| pinned::in_wheel(cache).and_then(facts))
}

fn gcc(prefix: &str, memory: &Memory) -> Option<GccFacts> {
    let cc = on_path(&format!("{prefix}-gcc"))?;
    let told = memory.ask(&cc, || {
        let version = output(Command::new(&cc).arg("-dumpfullversion")).ok()?;
        let libc = output(Command::new(&cc).arg("-print-file-name=libc.so.6")).ok()?;
        let glibc = newest_glibc(Utf8Path::new(libc.trim()));
        Some(format!("{}\n{}", version.trim(), glibc.map(|glibc| glibc.to_string()).unwrap_or_default()))
    })?;
    let (version, glibc) = told.split_once('\n')?;
    Some(GccFacts {
        prefix: prefix.to_owned(),
        cxx: on_path(&format!("{prefix}-g++")),
        ar: on_path(&format!("{prefix}-ar")),
        version: version.to_owned(),
        glibc: glibc.parse().ok(),
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
struct Memory {
    told: Mutex<BTreeMap<Utf8PathBuf, Told>>,
    changed: Mutex<bool>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Told {
    stamp: Stamp,
    text: String,
}

const MEMORY: &str = "tools";

impl Memory {
    fn open(cache: &CacheDir) -> Self {
        Self { told: Mutex::new(cache.recall("probes", MEMORY).unwrap_or_default()), changed: Mutex::new(false) }
    }

    fn ask(&self, path: &Utf8Path, ask: impl FnOnce() -> Option<String>) -> Option<String> {
        let stamp = Stamp::of(path)?;
        let lock = |poisoned: std::sync::PoisonError<_>| poisoned.into_inner();
        if let Some(told) = self.told.lock().unwrap_or_else(lock).get(path).filter(|told| told.stamp == stamp) {
            return Some(told.text.clone());
        }
        let text = ask()?;
        self.told.lock().unwrap_or_else(lock).insert(path.to_owned(), Told { stamp, text: text.clone() });
        *self.changed.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = true;
        Some(text)
    }

    fn close(self, cache: &CacheDir) {
        let lock = |poisoned: std::sync::PoisonError<_>| poisoned.into_inner();
        if self.changed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            // A cache that cannot be written only costs time.
            let _ = cache.remember("probes", MEMORY, &self.told.into_inner().unwrap_or_else(lock));
        }
    }
}
