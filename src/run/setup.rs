//! A plan's setups → wrapper scripts, environment and cargo arguments of a lane.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use crate::darwin::{self, Language};
use crate::error::{Error, Result};
use crate::files;
use crate::plan::route::CTools;
use crate::plan::{CellPlan, Linker, ZigTool};
use crate::report::Phase;
use crate::run::Job;

/// What a lane's cargo is started with.
#[derive(Clone, Debug, Default)]
pub(super) struct LaneEnvironment {
    /// Variables to set.
    pub set: BTreeMap<String, String>,
    /// Variables to take away.
    pub remove: Vec<String>,
    /// Folders to put before PATH.
    pub path: Vec<Utf8PathBuf>,
    /// `--config` arguments.
    pub config: Vec<String>,
    /// What each target's artifacts depend on besides cargo's own fingerprint, by triple.
    pub keys: BTreeMap<String, String>,
}

/// Writes the scripts and gathers the environment for the cells of a lane. With it come the cells for which that could
/// not be done, by their ids.
pub(super) fn prepare(job: &Job<'_>, cells: &[&CellPlan]) -> Result<(LaneEnvironment, BTreeMap<String, Error>)> {
    let mut lane = LaneEnvironment::default();
    let mut broken = BTreeMap::new();
    if job.flags.from_environment() {
        // These would make cargo ignore the flags set for each target; they are handed on there instead.
        lane.remove.extend(["RUSTFLAGS".to_owned(), "CARGO_ENCODED_RUSTFLAGS".to_owned()]);
    }
    for cell in cells {
        if let Err(error) = prepare_cell(job, cell, &mut lane) {
            broken.insert(cell.cell.id.clone(), error);
        }
    }
    if let Some(compiler) = unnamed_cc(job) {
        let host = &job.host.rustc.host;
        for variable in [format!("CARGO_TARGET_{}_LINKER", upper(host)), format!("CC_{}", lower(host))] {
            lane.set.entry(variable).or_insert_with(|| compiler.to_string());
        }
    }
    if let Some(tool) = &job.plan.host_linker {
        let dir = job.convoy_dir.join("tools").join("host");
        let scripts = Scripts::new(job, &dir)?;
        let host = &job.host.rustc.host;
        let variable = format!("CARGO_TARGET_{}_LINKER", upper(host));
        let linker = scripts.zig_linker("host-gcc", tool)?;
        lane.set.entry(variable).or_insert_with(|| linker.to_string());
        for (name, script) in [
            ("CC", scripts.zig_compiler("host-cc", "cc", tool)?),
            ("CXX", scripts.zig_compiler("host-c++", "c++", tool)?),
        ] {
            lane.set.entry(format!("{name}_{}", lower(host))).or_insert_with(|| script.to_string());
        }
        lane.set.entry(format!("AR_{}", lower(host))).or_insert(scripts.zig_tool("host-ar", "ar")?.to_string());
    }
    Ok((lane, broken))
}

/// This machine's own compiler, where rustc and the `cc` crate would not find it: both ask for `cc`, and some machines
/// have only `gcc` or `clang`.
fn unnamed_cc<'a>(job: &'a Job<'_>) -> Option<&'a Utf8Path> {
    let compiler = job.host.linker.as_deref().filter(|compiler| compiler.file_stem() != Some("cc"))?;
    let user = job.host.user.get(&job.host.rustc.host);
    user.is_none_or(|user| user.linker.is_none() && user.cc.is_none()).then_some(compiler)
}

fn upper(triple: &str) -> String {
    triple.to_uppercase().replace(['-', '.'], "_")
}

fn lower(triple: &str) -> String {
    triple.replace('-', "_")
}

fn prepare_cell(job: &Job<'_>, cell: &CellPlan, lane: &mut LaneEnvironment) -> Result<()> {
    let triple = &cell.cell.target;
    let setup = &cell.setup;
    let dir = job.convoy_dir.join("tools").join(&cell.cell.id);
    let scripts = Scripts::new(job, &dir)?;
    let mut rustflags = setup.rustflags.clone();
    let mut key = vec![format!("{:?} {:?}", cell.route, setup), job.host.rustc.version.clone()];

    let user = job.host.user.get(triple);
    let user_cc = user.is_some_and(|user| user.cc.is_some());
    match &setup.c {
        CTools::Inherit => {}
        CTools::Gcc { cc, cxx, ar } if !user_cc => {
            lane.set.insert(format!("CC_{}", lower(triple)), cc.to_string());
            if let Some(cxx) = cxx {
                lane.set.insert(format!("CXX_{}", lower(triple)), cxx.to_string());
            }
            if let Some(ar) = ar {
                lane.set.insert(format!("AR_{}", lower(triple)), ar.to_string());
            }
        }
        CTools::Zig(tool) if !user_cc => {
            let (cc, cxx) = if triple.ends_with("-apple-darwin") {
                (
                    scripts.darwin_compiler(triple, Language::C, tool)?,
                    scripts.darwin_compiler(triple, Language::Cxx, tool)?,
                )
            } else {
                (
                    scripts.zig_compiler(&format!("{triple}-cc"), "cc", tool)?,
                    scripts.zig_compiler(&format!("{triple}-c++"), "c++", tool)?,
                )
            };
            let ar = scripts.zig_tool(&format!("{triple}-ar"), "ar")?;
            let ranlib = scripts.zig_tool(&format!("{triple}-ranlib"), "ranlib")?;
            let cmake = scripts.cmake_toolchain(triple, &cc, &cxx, &ar, &ranlib)?;
            for (name, value) in
                [("CC", cc), ("CXX", cxx), ("AR", ar), ("RANLIB", ranlib), ("CMAKE_TOOLCHAIN_FILE", cmake)]
            {
                lane.set.insert(format!("{name}_{}", lower(triple)), value.to_string());
            }
            key.push(scripts.zig_version.clone());
            if triple.contains("-windows-") {
                // winapi's bundled import libraries are GNU ld's and clash with zig's.
                lane.set.insert("WINAPI_NO_BUNDLED_LIBRARIES".to_owned(), "1".to_owned());
                lane.path.extend(scripts.dlltool(triple)?);
            }
        }
        CTools::Gcc { .. } | CTools::Zig(_) => {}
    }
    if let Some(libdir) = &setup.pkg_config_libdir {
        for (name, value) in [("PKG_CONFIG_LIBDIR", libdir.as_str()), ("PKG_CONFIG_ALLOW_CROSS", "1")] {
            lane.set.insert(format!("{name}_{}", lower(triple)), value.to_owned());
        }
    }
    if !setup.cflags.is_empty() {
        let value = setup.cflags.join(" ");
        for name in ["CFLAGS", "CXXFLAGS"] {
            let variable = format!("{name}_{}", lower(triple));
            let own = std::env::var(&variable).map(|own| format!("{own} ")).unwrap_or_default();
            lane.set.insert(variable, format!("{own}{value}"));
        }
    }

    let linker = match &setup.linker {
        Linker::Inherit => None,
        Linker::Driver(path) => {
            let version = job.host.gcc.get(triple).map(|gcc| gcc.version.clone());
            key.extend(version);
            Some(path.clone())
        }
        Linker::Zig(tool) => {
            key.push(scripts.zig_version.clone());
            let linker = scripts.zig_linker(&format!("{triple}-gcc"), tool)?;
            Some(if setup.record_link {
                scripts.recording(triple, &format!("{triple}-recording-gcc"), &linker)?
            } else {
                linker
            })
        }
        Linker::RustLld(path) => {
            rustflags.push(format!("-Lnative={}", empty_libraries(&dir)?));
            Some(if setup.record_link {
                // rustc takes its own lld's way of speaking from this name.
                scripts.recording(triple, "rust-lld", path)?
            } else {
                path.clone()
            })
        }
        Linker::Darwin { rust_lld, libcxx } => {
            let darwin = scripts.darwin(triple, libcxx.as_ref())?;
            lane.set.extend(darwin.env);
            rustflags.extend(darwin.rustflags);
            Some(scripts.recording(triple, "rust-lld", rust_lld)?)
        }
    };
    if let Some(linker) = linker {
        lane.set.insert(format!("CARGO_TARGET_{}_LINKER", upper(triple)), linker.to_string());
    }

    if !setup.first_libraries.is_empty() {
        rustflags.push(format!("-Lnative={}", scripts.first_libraries(&setup.first_libraries)?));
    }
    let handed_on = job.flags.to_hand_on(triple);
    if !rustflags.is_empty() || !handed_on.is_empty() {
        // An array keeps spaces inside a flag; the user's come last, so that theirs win.
        let all: Vec<&str> = rustflags.iter().chain(handed_on).map(String::as_str).collect();
        let list = toml::Value::from(all).to_string();
        lane.config.push(format!("target.{triple}.rustflags={list}"));
    }
    lane.keys.insert(triple.clone(), key.join("\n"));
    Ok(())
}

/// Wrapper scripts of one cell, in a folder of their own.
struct Scripts<'a> {
    job: &'a Job<'a>,
    dir: &'a Utf8Path,
    zig_version: String,
}

impl<'a> Scripts<'a> {
    fn new(job: &'a Job<'a>, dir: &'a Utf8Path) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        let zig_version = job.host.zig.as_ref().map(|zig| zig.version.clone()).unwrap_or_default();
        Ok(Self { job, dir, zig_version })
    }

    fn zig(&self) -> Result<&'a Utf8Path> {
        // Provisioning ends the run before a lane starts when zig could not be brought.
        let zig = self.job.host.zig.as_ref().ok_or_else(|| Error::work("zig is planned for and not there"))?;
        Ok(&zig.path)
    }

    /// Written only when it differs: build tools look at a compiler's modification time.
    fn write(&self, name: &str, text: &str) -> Result<Utf8PathBuf> {
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

    fn zig_call(&self, subcommand: &str, tool: &ZigTool, extra: &[&str]) -> Result<String> {
        let mut words = vec![quote(self.job.exe.as_str()), "zig".to_owned(), subcommand.to_owned(), "--".to_owned()];
        words.extend(extra.iter().map(|word| (*word).to_owned()));
        // zig turns on a sanitizer by itself, whose runtime is nowhere.
        words.push("-fno-sanitize=all".to_owned());
        words.extend(tool.mcpu.iter().map(|mcpu| format!("-mcpu={mcpu}")));
        words.extend(["-target".to_owned(), tool.target.clone()]);
        let version = self.job.host.rustc.version.split(' ').next().unwrap_or_default();
        Ok(format!(
            "#!/bin/sh\nexport CARGO_ZIGBUILD_ZIG_COMMAND={}\nexport CARGO_ZIGBUILD_ZIG_VERSION={}\n\
             export CARGO_ZIGBUILD_RUSTC_VERSION={version}\nexport CARGO_ZIGBUILD_CACHE_DIR={}\n\
             exec {} \"$@\"\n",
            quote(self.zig()?.as_str()),
            self.zig_version,
            quote(self.job.cache.room("zig")?.as_str()),
            words.join(" "),
        ))
    }

    fn zig_compiler(&self, name: &str, subcommand: &str, tool: &ZigTool) -> Result<Utf8PathBuf> {
        self.write(name, &self.zig_call(subcommand, tool, &[])?)
    }

    /// The name ends in `-gcc`: rustc infers from it how to speak to the linker.
    fn zig_linker(&self, name: &str, tool: &ZigTool) -> Result<Utf8PathBuf> {
        // Without `-g` zig strips what it links.
        self.write(name, &self.zig_call("cc", tool, &["-g"])?)
    }

    fn zig_tool(&self, name: &str, tool: &str) -> Result<Utf8PathBuf> {
        self.write(name, &format!("#!/bin/sh\nexec {} {tool} \"$@\"\n", quote(self.zig()?.as_str())))
    }

    /// rustc looks for mingw's dlltool on PATH to make import libraries; zig's stands in where there is none.
    fn dlltool(&self, triple: &str) -> Result<Option<Utf8PathBuf>> {
        let arch = triple.split('-').next().unwrap_or_default();
        let name = format!("{arch}-w64-mingw32-dlltool");
        if which::which(&name).is_ok() {
            return Ok(None);
        }
        self.zig_tool(&name, "dlltool")?;
        Ok(Some(self.dir.to_owned()))
    }

    /// A folder with links to libraries, for the linker to look into first.
    fn first_libraries(&self, libraries: &[Utf8PathBuf]) -> Result<Utf8PathBuf> {
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
    fn recording(&self, triple: &str, name: &str, linker: &Utf8Path) -> Result<Utf8PathBuf> {
        let script = format!(
            "#!/bin/sh\nexec {} link --target {triple} --linker {} -- \"$@\"\n",
            quote(self.job.exe.as_str()),
            quote(linker.as_str())
        );
        self.write(name, &script)
    }

    /// cmake must not look at this machine's own headers and libraries.
    fn cmake_toolchain(
        &self,
        triple: &str,
        cc: &Utf8Path,
        cxx: &Utf8Path,
        ar: &Utf8Path,
        ranlib: &Utf8Path,
    ) -> Result<Utf8PathBuf> {
        let arch = triple.split('-').next().unwrap_or_default();
        let (system, processor) = match triple {
            t if t.contains("-windows-") => ("Windows", "AMD64"),
            t if t.contains("-darwin") => ("Darwin", if arch == "aarch64" { "arm64" } else { arch }),
            _ => ("Linux", arch),
        };
        let mut text = format!(
            "set(CMAKE_SYSTEM_NAME {system})\nset(CMAKE_SYSTEM_PROCESSOR {processor})\n\
             set(CMAKE_C_COMPILER \"{cc}\")\nset(CMAKE_CXX_COMPILER \"{cxx}\")\nset(CMAKE_AR \"{ar}\")\n\
             set(CMAKE_RANLIB \"{ranlib}\")\n\
             set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)\nset(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)\n\
             set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)\nset(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)\n\
             # zig cannot write the dependency file that newer cmake asks its linker for.\n\
             set(CMAKE_C_LINKER_DEPFILE_SUPPORTED FALSE)\nset(CMAKE_CXX_LINKER_DEPFILE_SUPPORTED FALSE)\n"
        );
        if system == "Darwin" {
            // Only asked for by shared libraries, which a Rust binary does not take.
            text.push_str("set(CMAKE_INSTALL_NAME_TOOL \"/bin/true\")\nset(CMAKE_OTOOL \"/bin/true\")\n");
        }
        self.write(&format!("{triple}.cmake"), &text)
    }

    fn darwin_compiler(&self, triple: &str, language: Language, tool: &ZigTool) -> Result<Utf8PathBuf> {
        let name = match language {
            Language::C => format!("{triple}-cc"),
            Language::Cxx => format!("{triple}-c++"),
        };
        self.write(&name, &darwin::compiler_script(self.zig()?, language, &tool.target))
    }

    /// The stub folder and, for C++, zig's own libc++.
    fn darwin(&self, triple: &str, libcxx: Option<&ZigTool>) -> Result<darwin::Settings> {
        let stubs = darwin::write_stubs(&self.job.cache.room("darwin")?)?;
        let libcxx = match libcxx {
            None => None,
            Some(tool) => {
                let dest = self.job.cache.room("libcxx")?.join(format!("{}-zig-{}", tool.target, self.zig_version));
                if !dest.is_dir() {
                    let message = format!("libc++ for {triple} (built once by zig, a minute or two)");
                    self.job.reporter.info(Phase::Provision, message).send();
                    darwin::provision_libcxx(self.zig()?, &tool.target, &dest, self.job.interrupt)?;
                }
                Some(dest)
            }
        };
        Ok(darwin::link_settings(&stubs, libcxx.as_deref()))
    }
}

/// musl has all of its C library in one file, and empty ones by the other names, for those who ask for `-ldl` or `-lm`.
/// rustup's std brings the one file alone.
fn empty_libraries(dir: &Utf8Path) -> Result<Utf8PathBuf> {
    let dir = dir.join("empty");
    fs_err::create_dir_all(&dir)?;
    for name in ["crypt", "dl", "m", "pthread", "resolv", "rt", "util", "xnet"] {
        let path = dir.join(format!("lib{name}.a"));
        if !path.is_file() {
            files::replace(&path, b"!<arch>\n")?;
        }
    }
    Ok(dir)
}

/// A word for the shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
