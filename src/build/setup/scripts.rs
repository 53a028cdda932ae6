//! Wrapper scripts: zig as compiler and linker, linkers that write down what they linked, compilers for a sysroot.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::sysroot::{self, Builtin, Tree};
use crate::build::Job;
use crate::plan::ZigTool;
use crate::provision::darwin::{self, Language};
use crate::provision::mingw::{self, Runtime};
use crate::report::Phase;
use crate::util::error::{Error, Result};
use crate::util::files;
use crate::util::shell::quote;

/// Wrapper scripts of one cell, in a folder of their own.
pub(super) struct Scripts<'a> {
    pub job: &'a Job<'a>,
    pub dir: &'a Utf8Path,
    pub zig_version: String,
    /// The sysroot that the cell builds against.
    pub tree: Option<&'a Tree>,
}

impl<'a> Scripts<'a> {
    pub(crate) fn new(job: &'a Job<'a>, dir: &'a Utf8Path, tree: Option<&'a Tree>) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        let zig_version = job.host.zig.as_ref().map(|zig| zig.version.clone()).unwrap_or_default();
        Ok(Self { job, dir, zig_version, tree })
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
            let told = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            return Err(Error::work(format!("zig could not list its headers for {}: {told}", tool.target)));
        }
        Ok(String::from_utf8_lossy(&done.stdout).lines().map(|line| line.trim().into()).collect())
    }

    /// Written only when it differs: build tools look at a compiler's modification time.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<Utf8PathBuf> {
        let path = self.dir.join(name);
        if fs_err::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(path);
        }
        let file = tempfile::NamedTempFile::new_in(self.dir)?;
        fs_err::write(file.path(), text)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs_err::set_permissions(file.path(), std::fs::Permissions::from_mode(0o755))?;
        }
        file.persist(&path).map_err(|error| error.error)?;
        Ok(path)
    }

    fn zig_call(&self, subcommand: &str, tool: &ZigTool, extra: &[&str], exported: &str) -> Result<String> {
        let mut words = vec![quote(self.job.exe.as_str()), "zig".to_owned(), subcommand.to_owned(), "--".to_owned()];
        words.extend(extra.iter().map(|word| (*word).to_owned()));
        // zig turns on a sanitizer by itself, whose runtime is nowhere.
        // `=all` would do as well, but zig then still compiles that runtime, which takes 20 seconds a target.
        words.push("-fno-sanitize=undefined".to_owned());
        words.extend(tool.mcpu.iter().map(|mcpu| format!("-mcpu={mcpu}")));
        words.extend(["-target".to_owned(), tool.target.clone()]);
        let version = self.job.host.rustc.version.split(' ').next().unwrap_or_default();
        let (arrange, before, after) = self.tree.map(sysroot::zig_words).unwrap_or_default();
        words.extend(before);
        words.push("\"$@\"".to_owned());
        words.extend(after);
        Ok(format!(
            "#!/bin/sh\n{arrange}{exported}export CARGO_ZIGBUILD_ZIG_COMMAND={}\nexport CARGO_ZIGBUILD_ZIG_VERSION={}\n\
             export CARGO_ZIGBUILD_RUSTC_VERSION={version}\nexport CARGO_ZIGBUILD_CACHE_DIR={}\n\
             exec {}\n",
            quote(self.zig()?.as_str()),
            self.zig_version,
            quote(self.job.cache.room("zig")?.as_str()),
            words.join(" "),
        ))
    }

    pub(crate) fn zig_compiler(&self, name: &str, subcommand: &str, tool: &ZigTool) -> Result<Utf8PathBuf> {
        self.write(name, &self.zig_call(subcommand, tool, &[], "")?)
    }

    /// The name ends in `-gcc`: rustc infers from it how to speak to the linker.
    pub(crate) fn zig_linker(&self, name: &str, tool: &ZigTool) -> Result<Utf8PathBuf> {
        // Without `-g` zig strips what it links.
        self.announce_runtime(tool)?;
        let runtime = self.mingw_runtime(tool)?;
        let exported = runtime.map(|runtime| format!("export {}={}\n", mingw::VARIABLE, quote(runtime.dir().as_str())));
        self.write(name, &self.zig_call("cc", tool, &["-g"], &exported.unwrap_or_default())?)
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
        self.write(&format!("{}-{name}", tree.multiarch), &sysroot::gcc_script(compiler, tree, builtin))
    }

    pub(crate) fn zig_tool(&self, name: &str, tool: &str) -> Result<Utf8PathBuf> {
        self.write(name, &format!("#!/bin/sh\nexec {} {tool} \"$@\"\n", quote(self.zig()?.as_str())))
    }

    /// rustc looks for mingw's dlltool on PATH to make import libraries; zig's stands in where there is none.
    pub(crate) fn dlltool(&self, triple: &str) -> Result<Option<Utf8PathBuf>> {
        let arch = triple.split('-').next().unwrap_or_default();
        let name = format!("{arch}-w64-mingw32-dlltool");
        if which::which(&name).is_ok() {
            return Ok(None);
        }
        self.zig_tool(&name, "dlltool")?;
        Ok(Some(self.dir.to_owned()))
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
            match fs_err::remove_file(&link) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
            #[cfg(unix)]
            fs_err::os::unix::fs::symlink(library, &link)?;
        }
        Ok(dir)
    }

    /// A linker that writes down what it linked.
    pub(crate) fn recording(&self, triple: &str, name: &str, linker: &Utf8Path) -> Result<Utf8PathBuf> {
        // The record looks for libraries where the linker does; what the linker's own wrapper adds it would not see.
        let dirs = self.tree.map(sysroot::zig_library_dirs).unwrap_or_default();
        let script = format!(
            "#!/bin/sh\nexec {} link --target {triple} --linker {} -- \"$@\"{}\n",
            quote(self.job.exe.as_str()),
            quote(linker.as_str()),
            dirs.iter().map(|word| format!(" {word}")).collect::<String>(),
        );
        self.write(name, &script)
    }

    pub(crate) fn darwin_compiler(&self, triple: &str, language: Language, tool: &ZigTool) -> Result<Utf8PathBuf> {
        let name = match language {
            Language::C => format!("{triple}-cc"),
            Language::Cxx => format!("{triple}-c++"),
        };
        self.write(&name, &darwin::compiler_script(self.zig()?, language, &tool.target))
    }

    /// The stub folder and, for C++, zig's own libc++.
    pub(crate) fn darwin(&self, triple: &str, libcxx: Option<&ZigTool>) -> Result<darwin::Settings> {
        let stubs = darwin::write_stubs(&self.job.cache.room("darwin")?)?;
        let libcxx = match libcxx {
            None => None,
            Some(tool) => {
                let dest = self.job.cache.room("libcxx")?.join(format!("{}-zig-{}", tool.target, self.zig_version));
                if !dest.is_dir() {
                    let message = format!("libc++ for {triple} (built once by zig, takes a minute or two)");
                    self.job.reporter.info(Phase::Provision, message).send();
                    darwin::provision_libcxx(self.zig()?, &tool.target, &dest, self.job.interrupt)?;
                }
                Some(dest)
            }
        };
        Ok(darwin::link_settings(&stubs, libcxx.as_deref()))
    }
}
