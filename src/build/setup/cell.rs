//! The environment of one cell: its compilers, its linker, its flags, and the key that says when all must be built anew.

use camino::{Utf8Path, Utf8PathBuf};

use super::cmake::Tools;
use super::sysroot::{self, Tree};
use super::wrappers::Wrappers;
use super::{
    LaneEnvironment, builtin, empty_libraries, libclang, lower, rustflags_config, set_bindgen, set_toolchain,
    set_variables,
};
use crate::build::Job;
use crate::build::wrapper::Driver;
use crate::model::catalog::in_capitals;
use crate::model::triple::Triple;
use crate::plan::route::CTools;
use crate::plan::{CellPlan, Linker, ZigTool};
use crate::project::needs::{Need, NeedKind, Side};
use crate::provision::windows;
use crate::util::error::Result;
use crate::util::shell;

/// Writes the wrappers of a cell, and adds to its lane's environment.
///
/// # Errors
/// A file cannot be written, or a compiler does not answer.
pub(super) fn prepare(job: &Job<'_>, cell: &CellPlan, lane: &mut LaneEnvironment) -> Result<()> {
    let dir = job.convoy_dir.join("tools").join(&cell.cell.id);
    let tree = Tree::of(job, cell)?;
    let wrappers = Wrappers::new(job, &dir, tree.as_ref(), cell.image.is_some())?;
    let mut key = vec![format!("{:?} {:?}", cell.route, cell.setup), job.host.rustc.version.clone()];
    key.extend(cell.image.as_ref().map(|image| image.reference.clone()));
    let own = job.plan.lanes.iter().find(|lane| lane.cells.contains(&cell.cell.id)).map(|lane| &lane.env);
    key.extend(own.into_iter().flatten().map(|(name, value)| format!("{name}={value}")));
    let rustflags = cell.setup.rustflags.clone();
    let mut cell = CellSetup {
        job,
        cell,
        triple: &cell.cell.target,
        tree: tree.as_ref(),
        wrappers,
        dir: &dir,
        lane,
        rustflags,
        key,
    };
    cell.compilers()?;
    cell.libraries();
    cell.linker()?;
    cell.libclang()?;
    cell.finish()
}

/// One cell on its way into the environment of its lane.
struct CellSetup<'a> {
    job: &'a Job<'a>,
    cell: &'a CellPlan,
    triple: &'a Triple,
    /// The sysroot that it builds against.
    tree: Option<&'a Tree>,
    wrappers: Wrappers<'a>,
    dir: &'a Utf8Path,
    lane: &'a mut LaneEnvironment,
    rustflags: Vec<String>,
    /// Everything that, when it changes, makes what was built worthless.
    key: Vec<String>,
}

impl CellSetup<'_> {
    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.lane.set.insert(format!("{name}_{}", lower(self.triple)), value.into());
    }

    /// Whether the user has chosen the C compiler for the target.
    fn user_cc(&self) -> bool {
        self.job.host.user.get(self.triple.as_str()).is_some_and(|user| user.cc.is_some())
    }

    /// What compiles C and C++ for the target.
    fn compilers(&mut self) -> Result<()> {
        if self.user_cc() {
            return Ok(());
        }
        match &self.cell.setup.c {
            CTools::Inherit => Ok(()),
            CTools::Gcc { cc, cxx, ar } => self.gcc(cc, cxx.as_deref(), ar.as_deref()),
            CTools::Zig(tool) => self.zig(tool),
        }
    }

    fn gcc(&mut self, cc: &Utf8Path, cxx: Option<&Utf8Path>, ar: Option<&Utf8Path>) -> Result<()> {
        let (cc, cxx) = match self.tree {
            None => (cc.to_owned(), cxx.map(Utf8Path::to_owned)),
            Some(tree) => {
                let builtin = builtin(self.job, self.triple, cc, cxx, tree)?;
                self.key.push(builtin.headers.to_string());
                let wrap = |compiler: &Utf8Path, name: &str| self.wrappers.compiler(compiler, name, tree, &builtin);
                let cxx = cxx.map(|cxx| wrap(cxx, "g++")).transpose()?;
                (wrap(cc, "gcc")?, cxx)
            }
        };
        self.set("CC", cc.as_str());
        if let Some(cxx) = &cxx {
            self.set("CXX", cxx.as_str());
        }
        if let Some(ar) = ar {
            self.set("AR", ar.as_str());
        }
        if self.tree.is_some() {
            let tools = Tools { cc, cxx, ar: ar.map(Utf8Path::to_owned), ranlib: None, zig: false };
            set_toolchain(&self.wrappers, self.triple, &tools, self.lane)?;
        }
        Ok(())
    }

    fn zig(&mut self, tool: &ZigTool) -> Result<()> {
        let (triple, wrappers) = (self.triple, &self.wrappers);
        let msvc = matches!(self.cell.setup.linker, Linker::Windows { .. });
        let compiler = |driver: Driver, name: &str| match triple.is_apple() || msvc {
            true => wrappers.plain_zig_compiler(triple, driver, tool),
            false => wrappers.zig_compiler(&format!("{triple}-{name}"), driver, tool),
        };
        let (cc, cxx) = (compiler(Driver::C, "cc")?, compiler(Driver::Cxx, "c++")?);
        // The `cc` crate speaks to archivers for this target as to Microsoft's, unless they have this name.
        let ar = wrappers.zig_tool(&format!("{triple}-{}", if msvc { "llvm-ar" } else { "ar" }), "ar")?;
        let ranlib = wrappers.zig_tool(&format!("{triple}-ranlib"), "ranlib")?;
        for (name, value) in [("CC", &cc), ("CXX", &cxx), ("AR", &ar), ("RANLIB", &ranlib)] {
            self.set(name, value.as_str());
        }
        let tools = Tools { cc, cxx: Some(cxx), ar: Some(ar), ranlib: Some(ranlib), zig: true };
        set_toolchain(&self.wrappers, triple, &tools, self.lane)?;
        self.key.push(self.wrappers.zig_version.clone());
        if triple.is_windows() {
            self.lane.path.push(self.wrappers.stand_ins(triple, tool, &self.cell.needs)?);
        }
        if msvc {
            // The `cmake` crate would look for Visual Studio.
            let cmake = self.job.host.tools.get("cmake").map(|cmake| self.wrappers.cmake(cmake)).transpose()?;
            let generator = cmake.as_ref().map(|_| "Unix Makefiles".to_owned());
            for (name, value) in [("CMAKE_GENERATOR", generator), ("CMAKE", cmake.map(Utf8PathBuf::into_string))] {
                let name = format!("{name}_{}", lower(triple));
                if let Some(value) = value.filter(|_| std::env::var_os(&name).is_none()) {
                    self.lane.set.insert(name, value);
                }
            }
        } else if triple.is_windows() {
            // winapi's bundled import libraries are GNU ld's and clash with zig's.
            self.lane.set.insert("WINAPI_NO_BUNDLED_LIBRARIES".to_owned(), "1".to_owned());
        }
        Ok(())
    }

    /// Where build scripts find libraries, and with which flags they compile C.
    fn libraries(&mut self) {
        if let Some(tree) = self.tree {
            // Build scripts remember where they found things, and not all look again when a variable changes.
            self.key.extend([tree.digest.clone(), tree.root.to_string()]);
            set_variables(tree, self.cell, self.lane);
        }
        if let Some(libdir) = &self.cell.setup.pkg_config_libdir {
            self.set("PKG_CONFIG_LIBDIR", libdir.as_str());
            self.set("PKG_CONFIG_ALLOW_CROSS", "1");
        }
        let variables =
            self.cell.needs.iter().filter(|need| need.kind == NeedKind::Variable && need.side == Side::Target);
        for (name, value) in variables.filter_map(|need| need.name.split_once('=')) {
            self.lane.set.insert(name.to_owned(), value.to_owned());
        }
        let cflags = self.cell.setup.cflags.join(" ");
        for name in ["CFLAGS", "CXXFLAGS"].into_iter().filter(|_| !cflags.is_empty()) {
            let own = std::env::var(format!("{name}_{}", lower(self.triple)));
            let own = own.map(|own| format!("{own} ")).unwrap_or_default();
            self.set(name, format!("{own}{cflags}"));
        }
    }

    /// What links for the target.
    fn linker(&mut self) -> Result<()> {
        if let Some(linker) = self.chosen_linker()? {
            let variable = format!("CARGO_TARGET_{}_LINKER", in_capitals(self.triple));
            self.lane.set.insert(variable, linker.to_string());
        }
        let first = &self.cell.setup.first_libraries;
        if !first.is_empty() {
            self.rustflags.push(format!("-Lnative={}", self.wrappers.first_libraries(first)?));
        }
        Ok(())
    }

    fn chosen_linker(&mut self) -> Result<Option<Utf8PathBuf>> {
        let (triple, records) = (self.triple, self.cell.setup.record_link);
        match &self.cell.setup.linker {
            Linker::Inherit => Ok(None),
            Linker::Driver(path) => {
                self.key.extend(self.job.host.gcc.get(triple.as_str()).map(|gcc| gcc.version.clone()));
                let Some(tree) = self.tree else { return Ok(Some(path.clone())) };
                let cxx = match &self.cell.setup.c {
                    CTools::Gcc { cxx, .. } => cxx.as_deref(),
                    _ => None,
                };
                let builtin = builtin(self.job, triple, path, cxx, tree)?;
                self.wrappers.compiler(path, "gcc", tree, &builtin).map(Some)
            }
            Linker::Zig(tool) => {
                self.key.push(self.wrappers.zig_version.clone());
                let linker = self.wrappers.zig_linker(&format!("{triple}-gcc"), tool)?;
                Ok(Some(match records {
                    true => self.wrappers.recording(triple, &format!("{triple}-recording-gcc"), &linker)?,
                    false => linker,
                }))
            }
            Linker::RustLld(path) => {
                self.rustflags.push(format!("-Lnative={}", empty_libraries(self.dir)?));
                Ok(Some(match records {
                    // rustc takes its own lld's way of speaking from this name.
                    true => self.wrappers.recording(triple, "rust-lld", path)?,
                    false => path.clone(),
                }))
            }
            Linker::Darwin { rust_lld, libcxx } => {
                let darwin = self.wrappers.darwin(triple, libcxx.as_ref())?;
                self.lane.set.extend(darwin.env);
                self.rustflags.extend(darwin.rustflags);
                self.wrappers.recording(triple, "rust-lld", rust_lld).map(Some)
            }
            Linker::Windows { rust_lld, c, libcxx } => {
                let libraries = self.wrappers.windows(triple)?;
                // After all others: a library of that name which a crate or the user has is taken first.
                self.rustflags.push(format!("-Clink-arg=/LIBPATH:{}", libraries.dir()));
                let Some(tool) = c else {
                    return self.wrappers.windows_linker(triple, rust_lld, None).map(Some);
                };
                self.rustflags.extend(windows::mingw_flags(triple).map(|flag| format!("-Clink-arg={flag}")));
                if *libcxx {
                    let libraries = self.wrappers.windows_libcxx(triple, tool)?;
                    self.rustflags.extend(libraries.iter().map(|library| format!("-Clink-arg={library}")));
                }
                self.wrappers.windows_linker(triple, rust_lld, Some(tool)).map(Some)
            }
        }
    }

    /// Where bindgen's libclang finds headers, without a sysroot.
    fn libclang(&mut self) -> Result<()> {
        let by_libclang =
            |need: &Need| need.kind == NeedKind::Tool && need.side == Side::Target && need.name == "libclang";
        let host = self.job.host;
        if self.tree.is_some() || *self.triple == host.rustc.host || !self.cell.needs.iter().any(by_libclang) {
            return Ok(());
        }
        let beside = || host.tools.get("libclang").and_then(|libclang| libclang::headers(libclang));
        let own = host.libclang_headers.clone().or_else(beside);
        let own_words = own.as_ref().map(|headers| shell::quote(&format!("-isystem{headers}"))).unwrap_or_default();
        let of_libc = match &self.cell.setup.c {
            CTools::Zig(tool) if !self.user_cc() => {
                sysroot::clang_words_of_zig(&self.wrappers.zig_headers(tool)?, own.is_none())
            }
            _ => String::new(),
        };
        set_bindgen(self.triple, format!("{own_words} {of_libc}").trim(), self.lane);
        // Before 0.58 bindgen knows this name alone; libclang's own directory is the same for all targets.
        let plain = "BINDGEN_EXTRA_CLANG_ARGS";
        if std::env::var_os(plain).is_none() && own.is_some() {
            self.lane.set.insert(plain.to_owned(), own_words);
        }
        Ok(())
    }

    /// The flags for rustc, and the key.
    fn finish(self) -> Result<()> {
        let handed_on = self.job.flags.to_hand_on(self.triple);
        if !self.rustflags.is_empty() || !handed_on.is_empty() {
            // An array keeps spaces inside a flag; the user's come last, so that theirs win.
            let all: Vec<&str> = self.rustflags.iter().chain(handed_on).map(String::as_str).collect();
            self.lane.config.push(rustflags_config(self.triple, all));
        }
        self.lane.keys.insert(self.triple.to_string(), self.key.join("\n"));
        Ok(())
    }
}
