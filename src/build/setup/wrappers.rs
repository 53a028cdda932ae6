//! The wrappers of a cell: zig as compiler and linker, linkers that write down what they linked, compilers for a sysroot.

use std::collections::BTreeMap;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::sysroot::{self, Builtin, Tree};
use crate::build::Job;
use crate::build::shim::Mingw;
use crate::build::wrapper::file::{self, Place};
use crate::build::wrapper::{Driver, Start, Wrapper};
use crate::model::triple::Triple;
use crate::plan::ZigTool;
use crate::plan::route::{Role, StandIn, stand_ins};
use crate::project::needs::{Need, NeedKind, Side};
use crate::provision::mingw::{self, Runtime};
use crate::provision::windows::Libraries;
use crate::provision::{darwin, libcxx};
use crate::report::Phase;
use crate::util::error::{Error, Result};
use crate::util::files;

/// The wrappers of one cell, in a directory of their own.
pub(super) struct Wrappers<'a> {
    pub job: &'a Job<'a>,
    pub dir: &'a Utf8Path,
    pub zig_version: String,
    /// The sysroot that the cell builds against.
    pub tree: Option<&'a Tree>,
    /// Where the wrappers are started.
    place: Place<'a>,
}

impl<'a> Wrappers<'a> {
    pub(crate) fn new(job: &'a Job<'a>, dir: &'a Utf8Path, tree: Option<&'a Tree>, in_container: bool) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        let zig_version = job.host.zig.as_ref().map(|zig| zig.version.clone()).unwrap_or_default();
        let place = if in_container { Place::Container } else { Place::Machine(&job.exe) };
        Ok(Self { job, dir, zig_version, tree, place })
    }

    fn zig(&self) -> Result<&'a Utf8Path> {
        // Provisioning ends the run before a lane starts when zig could not be brought.
        let zig = self
            .job
            .host
            .zig
            .as_ref()
            .ok_or_else(|| Error::work("internal error: the plan uses zig, which is missing"))?;
        Ok(&zig.path)
    }

    /// The folders of zig's C library headers for a target.
    pub(crate) fn zig_headers(&self, tool: &ZigTool) -> Result<Vec<Utf8PathBuf>> {
        let mut command = Command::new(self.zig()?);
        command.args(["libc", "-includes", "-target", &tool.target]);
        let done = self.job.interrupt.output(&mut command)??;
        if !done.status.success() {
            let answer = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            return Err(Error::work(format!("zig could not list its headers for {}: {answer}", tool.target)));
        }
        Ok(String::from_utf8_lossy(&done.stdout).lines().map(|line| line.trim().into()).collect())
    }

    fn write(&self, name: &str, wrapper: &Wrapper) -> Result<Utf8PathBuf> {
        wrapper.write(self.dir, name, self.place)
    }

    /// The file that tells cmake of the compilers.
    pub(crate) fn toolchain_file(&self, triple: &str, text: &str) -> Result<Utf8PathBuf> {
        file::write_if_different(self.dir, &format!("{triple}.cmake"), text)
    }

    /// zig as cargo-zigbuild starts it, with the words `first` before all others.
    fn zigbuild(&self, driver: Driver, tool: &ZigTool, first: &[&str]) -> Result<Wrapper> {
        let mut before: Vec<String> = first.iter().map(|word| (*word).to_owned()).collect();
        // zig turns on a sanitizer by itself, whose runtime is nowhere.
        // `=all` would do as well, but zig then still compiles that runtime, which takes 20 seconds a target.
        before.push("-fno-sanitize=undefined".to_owned());
        before.extend(tool.mcpu.iter().map(|mcpu| format!("-mcpu={mcpu}")));
        before.extend(["-target".to_owned(), tool.target.clone()]);
        let cache = self.job.cache.room("zig")?;
        let version = self.job.host.rustc.version.split(' ').next().unwrap_or_default();
        let env = [
            ("ZIG_COMMAND", self.zig()?.as_str()),
            ("ZIG_VERSION", self.zig_version.as_str()),
            ("RUSTC_VERSION", version),
            ("CACHE_DIR", cache.as_str()),
        ];
        let env: BTreeMap<String, String> =
            env.map(|(name, value)| (format!("CARGO_ZIGBUILD_{name}"), value.to_owned())).into();
        let wrapper = Wrapper::of(Start::Zigbuild { convoy: self.job.exe.clone(), driver });
        let wrapper = Wrapper { before, env, ..wrapper };
        Ok(match self.tree {
            Some(tree) => sysroot::zig_with(tree, wrapper),
            None => wrapper,
        })
    }

    pub(crate) fn zig_compiler(&self, name: &str, driver: Driver, tool: &ZigTool) -> Result<Utf8PathBuf> {
        self.write(name, &self.zigbuild(driver, tool, &[])?)
    }

    /// The name ends in `-gcc`: rustc infers from it how to speak to the linker.
    pub(crate) fn zig_linker(&self, name: &str, tool: &ZigTool) -> Result<Utf8PathBuf> {
        // Without `-g` zig strips what it links.
        let mut wrapper = self.zigbuild(Driver::C, tool, &["-g"])?;
        self.announce_runtime(tool)?;
        let runtime = self.mingw_runtime(tool)?;
        wrapper.env.extend(runtime.map(|runtime| (mingw::VARIABLE.to_owned(), runtime.dir().to_string())));
        self.write(name, &wrapper)
    }

    /// zig compiles its compiler's runtime with the first link for a target, without a word.
    fn announce_runtime(&self, tool: &ZigTool) -> Result<()> {
        let place = std::env::var("ZIG_GLOBAL_CACHE_DIR").unwrap_or_default();
        let cpu = tool.mcpu.as_deref().unwrap_or_default();
        let key =
            format!("zig-runtime-{}", files::sha256(format!("{} {} {cpu} {place}", self.zig_version, tool.target)));
        if self.job.cache.recall::<bool>("probes", &key).is_none() {
            let message = format!("zig's runtime for {} (compiled once, takes about 10 seconds)", tool.target);
            self.job.reporter.info(Phase::Provision, message).send();
            self.job.cache.remember("probes", &key, &true)?;
        }
        Ok(())
    }

    /// The part of MinGW's runtime that most programs need, compiled where it is not there yet.
    fn mingw_runtime(&self, tool: &ZigTool) -> Result<Option<Runtime>> {
        let Some(zig) = &self.job.host.zig else { return Ok(None) };
        let runtime = Runtime::of(self.job.cache, zig, &tool.target)?;
        if let Some(runtime) = runtime.as_ref().filter(|runtime| !runtime.is_ready()) {
            let message = "MinGW's runtime for x86_64 (compiled once by zig, takes about 10 seconds)";
            self.job.reporter.info(Phase::Provision, message).send();
            runtime.prepare(self.job.interrupt)?;
        }
        Ok(runtime)
    }

    /// A gcc or clang whose headers and libraries are the sysroot's. Build scripts infer the names of its tools, and rustc
    /// how to speak to a linker, from the prefix and from `gcc`.
    pub(crate) fn compiler(
        &self,
        compiler: &Utf8Path,
        name: &str,
        tree: &Tree,
        builtin: &Builtin,
    ) -> Result<Utf8PathBuf> {
        self.write(&format!("{}-{name}", tree.multiarch), &sysroot::gcc_for(compiler, tree, builtin))
    }

    pub(crate) fn zig_tool(&self, name: &str, tool: &str) -> Result<Utf8PathBuf> {
        self.write(name, &Wrapper::zig_tool(self.zig()?, tool))
    }

    /// zig under the names of tools that this machine lacks; gives the directory to put on PATH. `needs` are the cell's.
    pub(crate) fn stand_ins(&self, triple: &Triple, tool: &ZigTool, needs: &[Need]) -> Result<Utf8PathBuf> {
        let dir = self.dir.join(format!("{triple}-stand-ins"));
        fs_err::create_dir_all(&dir)?;
        let zig = self.zig()?;
        let needed = |name: &str| {
            let is = |need: &Need| need.kind == NeedKind::Tool && need.side == Side::Target && need.name == name;
            needs.iter().any(is)
        };
        for StandIn { program, role, tool: name } in stand_ins(triple) {
            // Others than those that are known to ask for a clang would take it as this machine's own.
            let unasked = role == Role::Clang && !name.is_some_and(needed);
            if unasked || which::which(&program).is_ok() {
                // What stood in before a tool was installed would hide it.
                files::remove_if_there(&dir.join(&program))?;
                continue;
            }
            let wrapper = match role {
                Role::Clang => Wrapper::plain_zig(zig, Driver::C, &tool.target),
                Role::Archiver => Wrapper::zig_tool(zig, "ar"),
                Role::Dlltool => Wrapper::zig_tool(zig, "dlltool"),
                Role::LlvmRc => Wrapper::llvm_rc(zig),
                Role::Windres => Wrapper::windres(zig, triple.architecture_word()),
            };
            wrapper.write(&dir, &program, self.place)?;
        }
        Ok(dir)
    }

    /// A folder with links to libraries, for the linker to look into first.
    pub(crate) fn first_libraries(&self, libraries: &[Utf8PathBuf]) -> Result<Utf8PathBuf> {
        let dir = self.dir.join("first");
        fs_err::create_dir_all(&dir)?;
        for library in libraries {
            let link = dir.join(library.file_name().unwrap_or_default());
            if fs_err::read_link(&link).is_ok_and(|old| old == *library) {
                continue;
            }
            files::remove_if_there(&link)?;
            #[cfg(unix)]
            fs_err::os::unix::fs::symlink(library, &link)?;
        }
        Ok(dir)
    }

    /// A linker that writes down what it linked.
    pub(crate) fn recording(&self, triple: &str, name: &str, linker: &Utf8Path) -> Result<Utf8PathBuf> {
        self.shim(triple, name, linker, None)
    }

    fn shim(&self, triple: &str, name: &str, linker: &Utf8Path, mingw: Option<Mingw>) -> Result<Utf8PathBuf> {
        let (convoy, target) = (self.job.exe.clone(), triple.to_owned());
        let start = Start::Recording { convoy, linker: linker.to_owned(), target, mingw };
        // The record looks for libraries where the linker does; what the linker's own wrapper adds it would not see.
        let after = self.tree.map(sysroot::zig_library_dirs).unwrap_or_default();
        self.write(name, &Wrapper { after, ..Wrapper::of(start) })
    }

    /// cmake without what is said to Visual Studio.
    pub(crate) fn cmake(&self, cmake: &Utf8Path) -> Result<Utf8PathBuf> {
        self.write("cmake", &Wrapper::cmake(cmake))
    }

    /// zig itself, without what cargo-zigbuild adapts for linking.
    pub(crate) fn plain_zig_compiler(&self, triple: &str, driver: Driver, tool: &ZigTool) -> Result<Utf8PathBuf> {
        let name = format!("{triple}-{}", driver.name());
        self.write(&name, &Wrapper::plain_zig(self.zig()?, driver, &tool.target))
    }

    /// The import libraries of Windows, and the start-up code.
    pub(crate) fn windows(&self, triple: &Triple) -> Result<Libraries> {
        let rustc = &self.job.host.rustc;
        let libraries = Libraries::of(&self.job.cache.room("windows")?, rustc, triple);
        if !libraries.are_ready() {
            let message = format!("import libraries of Windows for {triple} (made once, takes a few seconds)");
            self.job.reporter.info(Phase::Provision, message).send();
            libraries.prepare(rustc, triple, self.job.interrupt)?;
        }
        Ok(libraries)
    }

    /// `rust-lld` for Windows MSVC. With C code that zig compiled (`c`) it gets what that code asks of MinGW's runtime.
    pub(crate) fn windows_linker(&self, triple: &str, rust_lld: &Utf8Path, c: Option<&ZigTool>) -> Result<Utf8PathBuf> {
        let mingw = match c.zip(self.job.host.zig.as_ref()) {
            Some((tool, zig)) => Runtime::single(self.job.cache, zig, &tool.target)?
                .map(|runtime| Mingw { runtime: runtime.dir().to_owned(), zig: zig.path.clone() }),
            None => None,
        };
        // rustc takes its own lld's way of speaking from this name.
        self.shim(triple, "rust-lld", rust_lld, mingw)
    }

    /// zig's C++ standard library for Windows: its archives.
    pub(crate) fn windows_libcxx(&self, triple: &str, tool: &ZigTool) -> Result<Vec<Utf8PathBuf>> {
        let dir = self.libcxx(triple, libcxx::WINDOWS, tool)?;
        Ok(libcxx::WINDOWS.libraries(&dir).collect())
    }

    /// The directory of zig's C++ standard library.
    fn libcxx(&self, triple: &str, kind: libcxx::Kind, tool: &ZigTool) -> Result<Utf8PathBuf> {
        let dest = self.job.cache.room("libcxx")?.join(format!("{}-zig-{}", tool.target, self.zig_version));
        if !dest.is_dir() {
            let message = format!("libc++ for {triple} (built once by zig, takes a minute or two)");
            self.job.reporter.info(Phase::Provision, message).send();
            libcxx::provision_libcxx(self.zig()?, kind, &tool.target, &dest, self.job.interrupt)?;
        }
        Ok(dest)
    }

    /// The stub folder and, for C++, zig's own libc++.
    pub(crate) fn darwin(&self, triple: &str, libcxx: Option<&ZigTool>) -> Result<darwin::Settings> {
        let stubs = darwin::write_stubs(&self.job.cache.room("darwin")?)?;
        let libcxx = match libcxx {
            None => None,
            Some(tool) => Some(self.libcxx(triple, libcxx::MACOS, tool)?),
        };
        Ok(darwin::link_settings(&stubs, libcxx.as_deref()))
    }
}
