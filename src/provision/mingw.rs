//! MinGW's runtime for links by zig. Before its first link for Windows zig compiles all of it, about 440 sources, which takes
//! two to four minutes on two cores; a Rust program uses about 30 of them. So the start-up code and what most programs use
//! are compiled into convoy's cache, what a link asks for besides is added when it does, and zig is pointed there as to an
//! installed C library. Where that does not do, zig goes its own, long way.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};

use crate::machine::interrupt::Interrupt;
use crate::machine::{CacheDir, ZigFacts};
use crate::model::zig;
use crate::util::error::{Error, Result};
use crate::util::files;

/// Which source defines which symbols; made by `ci/mingw-runtime`.
const TABLE: &str = include_str!("../../targets/zig-mingw.tsv");

/// The name of the variable by which a wrapper tells where the runtime is.
pub(crate) const VARIABLE: &str = "ZIG_MINGW_RUNTIME";

/// The directory of the cache that holds it.
const ROOM: &str = "mingw";

/// zig's name of the target whose sources are in the table.
const TARGET: &str = "x86_64-windows-gnu";

/// zig's names of other targets for which single sources of the table do as well: the runtime is not complete there.
const SINGLE: [&str; 3] = [TARGET, "aarch64-windows-gnu", "x86-windows-gnu"];

/// How directories end whose runtime has no start-up code: what links there has its own.
const SINGLE_ENDING: &str = "-single";

/// The start-up code of programs and of libraries: the file's name, its source, a flag of its own.
const START: [(&str, &str, &str); 2] =
    [("crt2.obj", "crt/crtexe.c", "-fno-function-sections"), ("dllcrt2.obj", "crt/crtdll.c", "-fno-function-sections")];

/// What the start-up code and Rust's std ask for.
const FIRST: [&str; 27] = [
    "_CRT_MT",
    "_MINGW_INSTALL_DEBUG_MATHERR",
    "__RUNTIME_PSEUDO_RELOC_LIST__",
    "__getmainargs",
    "__globallocalestatus",
    "__imp___initenv",
    "__local_stdio_printf_options",
    "__main",
    "__mingw_GetSectionForAddress",
    "__mingw_SEH_error_handler",
    "__mingw_TLScallback",
    "__mingw_app_type",
    "__mingw_initltsdrot_force",
    "__mingw_setusermatherr",
    "__native_startup_state",
    "__p___initenv",
    "__xi_z",
    "_amsg_exit",
    "_commode",
    "_dowildcard",
    "_fmode",
    "_fpreset",
    "_matherr",
    "_newmode",
    "_pei386_runtime_relocator",
    "_setargv",
    "fprintf",
];

/// What zig itself compiles these sources with.
const FLAGS: [&str; 20] = [
    "--no-default-config",
    "-fno-lto",
    "-fhosted",
    "-nostdinc",
    "-DNDEBUG",
    "-O2",
    "-mred-zone",
    "-fno-omit-frame-pointer",
    "-fno-stack-protector",
    "-fbuiltin",
    "-ffunction-sections",
    "-fdata-sections",
    "-fasynchronous-unwind-tables",
    "-w",
    "-std=gnu11",
    "-D__USE_MINGW_ANSI_STDIO=0",
    "-D__MSVCRT_VERSION__=0x700",
    "-D_WIN32_WINNT=0x0f00",
    "-DCRTDLL=1",
    "-DHAVE_CONFIG_H",
];

/// The libraries that zig links every program for Windows against, which it does not with an installed C library.
const LIBRARIES: [&str; 20] = [
    "api-ms-win-crt-conio-l1-1-0",
    "api-ms-win-crt-convert-l1-1-0",
    "api-ms-win-crt-environment-l1-1-0",
    "api-ms-win-crt-filesystem-l1-1-0",
    "api-ms-win-crt-heap-l1-1-0",
    "api-ms-win-crt-locale-l1-1-0",
    "api-ms-win-crt-math-l1-1-0",
    "api-ms-win-crt-multibyte-l1-1-0",
    "api-ms-win-crt-private-l1-1-0",
    "api-ms-win-crt-process-l1-1-0",
    "api-ms-win-crt-runtime-l1-1-0",
    "api-ms-win-crt-stdio-l1-1-0",
    "api-ms-win-crt-string-l1-1-0",
    "api-ms-win-crt-time-l1-1-0",
    "api-ms-win-crt-utility-l1-1-0",
    "advapi32",
    "kernel32",
    "ntdll",
    "shell32",
    "user32",
];

/// One source of the runtime.
#[derive(Debug)]
struct Source {
    /// Beneath zig's `lib/libc/mingw`.
    path: &'static str,
    /// Flags of its own.
    flags: Vec<&'static str>,
}

#[derive(Debug)]
struct Table {
    sources: Vec<Source>,
    /// Symbol → the index of its source.
    defined_by: BTreeMap<&'static str, usize>,
}

static EMBEDDED: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table { sources: Vec::new(), defined_by: BTreeMap::new() };
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split('\t');
        let (Some(path), Some(flags), Some(symbols)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let index = table.sources.len();
        table.sources.push(Source { path, flags: flags.split_whitespace().collect() });
        for symbol in symbols.split(' ') {
            table.defined_by.entry(symbol).or_insert(index);
        }
    }
    table
});

/// How often a link may ask for more of the runtime: what is added may ask for more itself.
const ROUNDS: usize = 40;

/// What came of asking for symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// Sources that define some of them were compiled: the link may succeed now.
    Some,
    /// None of them is MinGW's.
    None,
    /// Some may be among those that the table leaves out: identifiers of COM and DirectX.
    Unknown,
}

/// The part of MinGW's runtime that is compiled, in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    dir: Utf8PathBuf,
    zig: Utf8PathBuf,
}

/// What came of a link.
#[derive(Debug)]
pub(crate) enum Linked {
    /// It is linked, or nothing can be added that it lacks.
    Ended(Output),
    /// zig should link in its own way.
    Unsettled(Output),
}

impl Runtime {
    /// The one for a target, where convoy knows its sources: of the pinned zig, with its library beside it.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub(crate) fn of(cache: &CacheDir, facts: &ZigFacts, target: &str) -> Result<Option<Self>> {
        if target != TARGET || facts.version != zig::version() || !library(&facts.path).is_dir() {
            return Ok(None);
        }
        let dir = cache.room(ROOM)?.join(format!("{}-{TARGET}", facts.version));
        Ok(Some(Self { dir, zig: facts.path.clone() }))
    }

    /// The one for objects that are linked without MinGW's start-up code, from which they get single functions.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub(crate) fn single(cache: &CacheDir, facts: &ZigFacts, target: &str) -> Result<Option<Self>> {
        if !SINGLE.contains(&target) || facts.version != zig::version() || !library(&facts.path).is_dir() {
            return Ok(None);
        }
        let dir = cache.room(ROOM)?.join(format!("{}-{target}{SINGLE_ENDING}", facts.version));
        fs_err::create_dir_all(dir.join("objects"))?;
        Ok(Some(Self { dir, zig: facts.path.clone() }))
    }

    /// The one that a wrapper names.
    pub(crate) fn at(dir: &Utf8Path, zig: &Utf8Path) -> Self {
        Self { dir: dir.to_owned(), zig: zig.to_owned() }
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    /// The file that tells zig of it, as `zig libc` has it.
    pub(crate) fn libc_file(&self) -> Utf8PathBuf {
        self.dir.join("libc.txt")
    }

    fn is_x86(&self) -> bool {
        self.clang_target().starts_with("i686")
    }

    /// clang's name of the target, as the directory has zig's.
    fn clang_target(&self) -> String {
        let name = self.dir.file_name().unwrap_or_default().trim_end_matches(SINGLE_ENDING);
        let architecture =
            SINGLE.iter().find(|target| name.ends_with(*target)).and_then(|target| target.split('-').next());
        let architecture = match architecture.unwrap_or("x86_64") {
            "x86" => "i686",
            other => other,
        };
        format!("{architecture}-unknown-windows-gnu")
    }

    /// The archive of what is compiled.
    pub(crate) fn archive(&self) -> Utf8PathBuf {
        self.dir.join("libmingw32.lib")
    }

    /// Whether what most programs need is there.
    pub(crate) fn is_ready(&self) -> bool {
        self.archive().is_file() && self.libc_file().is_file()
    }

    /// The words that a link needs besides.
    pub(crate) fn link_words() -> impl Iterator<Item = String> {
        LIBRARIES.iter().map(|library| format!("-l{library}"))
    }

    /// Compiles what most programs need, unless it is there.
    ///
    /// # Errors
    /// zig could not compile it, the disk is full, or a signal came.
    pub(crate) fn prepare(&self, interrupt: &Interrupt) -> Result<()> {
        if self.is_ready() {
            return Ok(());
        }
        fs_err::create_dir_all(self.dir.join("objects"))?;
        let _lock = self.lock(interrupt)?;
        if self.is_ready() {
            return Ok(());
        }
        let start: Vec<(Utf8PathBuf, &str, Vec<&str>)> =
            START.iter().map(|(name, path, flag)| (self.dir.join(name), *path, vec![*flag])).collect();
        self.compile(&start, interrupt)?;
        let wanted: BTreeSet<usize> =
            FIRST.iter().filter_map(|symbol| EMBEDDED.defined_by.get(symbol).copied()).collect();
        self.compile_sources(&wanted, interrupt)?;
        let text = libc_text(&headers(&self.zig), &self.dir);
        files::replace(&self.libc_file(), text)
    }

    /// Compiles the sources that define these symbols and are not there yet.
    ///
    /// # Errors
    /// As [`Runtime::prepare`].
    pub(crate) fn add(&self, symbols: &BTreeSet<String>, interrupt: &Interrupt) -> Result<Added> {
        let _lock = self.lock(interrupt)?;
        // 32-bit x86 has an underscore before every name of C, and the table is another architecture's.
        let plain = |symbol: &'_ str| match symbol.strip_prefix("__imp_") {
            Some(name) if self.is_x86() => format!("__imp_{}", name.strip_prefix('_').unwrap_or(name)),
            None if self.is_x86() => symbol.strip_prefix('_').unwrap_or(symbol).to_owned(),
            _ => symbol.to_owned(),
        };
        let wanted: BTreeSet<usize> =
            symbols.iter().filter_map(|symbol| EMBEDDED.defined_by.get(&*plain(symbol)).copied()).collect();
        let missing: BTreeSet<usize> =
            wanted.into_iter().filter(|index| !self.object(&EMBEDDED.sources[*index]).is_file()).collect();
        if !missing.is_empty() {
            self.compile_sources(&missing, interrupt)?;
            return Ok(Added::Some);
        }
        Ok(if symbols.iter().any(|symbol| is_identifier(symbol)) { Added::Unknown } else { Added::None })
    }

    /// Links, and compiles what is missing of the runtime, until nothing is.
    ///
    /// # Errors
    /// The linker cannot be started, or as [`Runtime::prepare`].
    pub(crate) fn link(&self, interrupt: &Interrupt, once: impl Fn() -> Result<Output>) -> Result<Linked> {
        let mut done = once()?;
        for _ in 0..ROUNDS {
            if done.status.success() {
                break;
            }
            let missing = missing_symbols(&String::from_utf8_lossy(&done.stderr));
            if missing.is_empty() {
                return Ok(Linked::Unsettled(done));
            }
            match self.add(&missing, interrupt)? {
                Added::Some => done = once()?,
                Added::Unknown => return Ok(Linked::Unsettled(done)),
                Added::None => break,
            }
        }
        Ok(Linked::Ended(done))
    }

    fn lock(&self, interrupt: &Interrupt) -> Result<fs_err::File> {
        let lock = fs_err::File::create(self.dir.join(".lock"))?;
        interrupt.lock(&lock, || {})?;
        Ok(lock)
    }

    fn object(&self, source: &Source) -> Utf8PathBuf {
        let name = source.path.rsplit_once('.').map_or(source.path, |(stem, _)| stem).replace('/', "-");
        self.dir.join("objects").join(format!("{name}.obj"))
    }

    fn compile_sources(&self, indexes: &BTreeSet<usize>, interrupt: &Interrupt) -> Result<()> {
        let sources = indexes.iter().map(|index| &EMBEDDED.sources[*index]);
        let all: Vec<_> = sources.map(|source| (self.object(source), source.path, source.flags.clone())).collect();
        self.compile(&all, interrupt)?;
        // In the table's order, which is zig's: of two that define a symbol the first is taken.
        let objects: Vec<Utf8PathBuf> =
            EMBEDDED.sources.iter().map(|source| self.object(source)).filter(|object| object.is_file()).collect();
        let beside = tempfile::Builder::new().prefix(".archive-").tempdir_in(&self.dir)?;
        let archive = beside.path().join("libmingw32.lib");
        let mut command = Command::new(&self.zig);
        command.args(["ar", "--format=coff", "rcs"]).arg(&archive).args(&objects);
        self.run(&mut command, "an archive of MinGW's runtime", interrupt)?;
        fs_err::rename(&archive, self.archive())?;
        Ok(())
    }

    /// Compiles files, as many at a time as the machine has cores.
    fn compile(&self, files: &[(Utf8PathBuf, &str, Vec<&str>)], interrupt: &Interrupt) -> Result<()> {
        let left = Mutex::new(files.iter());
        let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(files.len());
        std::thread::scope(|scope| {
            let work = || -> Result<()> {
                while let Some((object, source, flags)) = next() {
                    self.compile_one(object, source, flags, interrupt)?;
                }
                Ok(())
            };
            let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            let died = |_| Err(Error::work("internal error: a thread that compiles MinGW's runtime panicked"));
            running.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(died))
        })
    }

    fn compile_one(&self, object: &Utf8Path, source: &str, flags: &[&str], interrupt: &Interrupt) -> Result<()> {
        let mingw = library(&self.zig);
        let lib = mingw.ancestors().nth(2).unwrap_or(&mingw);
        let beside = tempfile::Builder::new().prefix(".compiling-").tempdir_in(&self.dir)?;
        let output = beside.path().join("object");
        let mut command = Command::new(&self.zig);
        command.arg("clang").arg(mingw.join(source)).args(["-target", &self.clang_target()]).args(FLAGS);
        command.args(["-D_CRTBLD", "-D_SYSCRT=1"]);
        for include in [lib.join("include"), lib.join("libc/include/any-windows-any")] {
            command.arg("-isystem").arg(include);
        }
        command.arg("-I").arg(mingw.join("include")).args(flags).arg("-c").arg("-o").arg(&output);
        self.run(&mut command, source, interrupt)?;
        fs_err::rename(&output, object)?;
        Ok(())
    }

    fn run(&self, command: &mut Command, what: &str, interrupt: &Interrupt) -> Result<()> {
        let failed = || Error::work(format!("zig could not build {what} of MinGW's runtime"));
        let done = interrupt.output(command.stdin(Stdio::null()))?.map_err(|error| failed().because(error))?;
        if done.status.success() {
            return Ok(());
        }
        let complaint = String::from_utf8_lossy(&done.stderr);
        Err(failed().because(complaint.lines().next().unwrap_or("zig gave no reason").to_owned()))
    }
}

/// MinGW's sources in zig's library, which lies beside the program; on PATH there may be a link to that.
fn library(zig: &Utf8Path) -> Utf8PathBuf {
    let zig = zig.canonicalize_utf8().unwrap_or_else(|_| zig.to_owned());
    zig.parent().unwrap_or(&zig).join("lib/libc/mingw")
}

/// The headers of its C library for Windows.
pub(super) fn headers(zig: &Utf8Path) -> Utf8PathBuf {
    library(zig).parent().map(|libc| libc.join("include/any-windows-any")).unwrap_or_default()
}

/// What tells zig of an installed C library, as `zig libc` has it.
pub(super) fn libc_text(include: &Utf8Path, dir: &Utf8Path) -> String {
    format!(
        "include_dir={include}\nsys_include_dir={include}\ncrt_dir={dir}\nmsvc_lib_dir=\nkernel32_lib_dir=\n\
         gcc_dir=\ndarwin_sdk_dir=\n"
    )
}

/// Whether a symbol is named as COM's and DirectX's identifiers are.
fn is_identifier(symbol: &str) -> bool {
    const BEGINNINGS: [&str; 12] =
        ["IID_", "CLSID_", "GUID_", "LIBID_", "DIID_", "SID_", "FMTID_", "CATID_", "KS", "MF", "FOLDERID_", "PKEY_"];
    BEGINNINGS.iter().any(|beginning| symbol.starts_with(beginning))
        || symbol.contains("GUID")
        || symbol.contains("_IID")
}

/// The symbols that a linker misses, by what it prints; empty where it failed for another reason as well.
pub(crate) fn missing_symbols(stderr: &str) -> BTreeSet<String> {
    // The name of the program that prints it comes first.
    const ERROR: &str = ": error: ";
    const UNDEFINED: &str = "undefined symbol: ";
    // How lld ends a list that is longer than it prints.
    const MORE: &str = "too many errors emitted";
    let mut missing = BTreeSet::new();
    for (program, error) in stderr.lines().filter_map(|line| line.split_once(ERROR)) {
        if !["lld-link", "rust-lld"].contains(&program) || error.starts_with(MORE) {
            continue;
        }
        let Some(symbol) = error.strip_prefix(UNDEFINED) else { return BTreeSet::new() };
        let imported = symbol.strip_prefix("__declspec(dllimport) ").map(|symbol| format!("__imp_{symbol}"));
        missing.insert(imported.unwrap_or_else(|| symbol.to_owned()));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_that_of_the_pinned_zig_and_has_what_is_compiled_first() {
        assert!(TABLE.starts_with(&format!("# zig {}, x86_64", zig::version())), "run ci/mingw-runtime");
        let unknown: Vec<_> = FIRST.iter().filter(|symbol| !EMBEDDED.defined_by.contains_key(**symbol)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(EMBEDDED.sources.len() > 200);
        assert!(EMBEDDED.sources.iter().all(|source| !source.path.contains("..") && !source.path.starts_with('/')));
    }

    #[test]
    fn what_a_linker_misses() {
        let stderr = "lld-link: error: undefined symbol: puts\n>>> referenced by m.obj:(main)\n\n\
                      lld-link: error: undefined symbol: __declspec(dllimport) __initenv\n";
        assert_eq!(missing_symbols(stderr), ["__imp___initenv", "puts"].map(str::to_owned).into());
        let more = "rust-lld: error: undefined symbol: puts\nrust-lld: error: too many errors emitted, stopping now\n";
        assert_eq!(missing_symbols(more), ["puts".to_owned()].into());
        let other = "lld-link: error: undefined symbol: puts\nlld-link: error: duplicate symbol: main\n";
        assert_eq!(missing_symbols(other), BTreeSet::new());
        assert!(is_identifier("IID_IUnknown") && is_identifier("FOLDERID_Downloads") && !is_identifier("sum"));
    }
}
