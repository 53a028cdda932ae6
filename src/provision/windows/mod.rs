//! Linking for `*-pc-windows-msvc` with no file of Microsoft's: import libraries made from what the DLLs of Windows export
//! (`targets/windows/exports.txt`), and the few pieces of a C runtime that are not in Windows (`targets/windows/runtime`). All
//! else of the C runtime is the Universal CRT, a part of Windows 10 and later.

mod import_library;
mod runtime;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use crate::machine::Rustc;
use crate::machine::interrupt::Interrupt;
use crate::model::architecture::Architecture;
use crate::model::triple::Triple;
use crate::model::windows::Windows;
use crate::util::error::{Error, Result};
use crate::util::files::{publish, sha256};

/// What makes the linker treat objects of zig's as those of MinGW, which they are: data about unwinding stays with its
/// function, and constructors are listed, and run.
pub(crate) fn mingw_flags(triple: &Triple) -> impl Iterator<Item = &'static str> {
    let x86 = Architecture::of_triple(triple).is_some_and(|known| known.name == "x86");
    let constructors = if x86 { "/INCLUDE:___convoy_constructors" } else { "/INCLUDE:__convoy_constructors" };
    // zig's objects do not say that their exception handlers are in a table, as they have none.
    let handlers = x86.then_some("/SAFESEH:NO");
    ["/LLDMINGW", "/AUTO-IMPORT:NO", constructors].into_iter().chain(handlers)
}

/// The libraries of a target, in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Libraries {
    dir: Utf8PathBuf,
}

impl Libraries {
    /// The ones for a target. They are named by all that they are made from, so another version of convoy or of rustc gets
    /// others.
    pub fn of(parent: &Utf8Path, rustc: &Rustc, triple: &Triple) -> Self {
        let digest = sha256(format!("{}\0{}\0{}", Windows::digest(), runtime::digest(), rustc.version));
        Self { dir: parent.join(format!("{}-{}", triple.as_str(), &digest[..16])) }
    }

    /// Their directory.
    pub fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    /// Whether they are there.
    pub fn are_ready(&self) -> bool {
        self.dir.is_dir()
    }

    /// Makes them, unless they are there. They are written beside and then renamed: of two runs at once one wins.
    ///
    /// # Errors
    /// rustc could not compile the runtime, or the cache cannot be written.
    pub fn prepare(&self, rustc: &Rustc, triple: &Triple, interrupt: &Interrupt) -> Result<()> {
        if self.are_ready() {
            return Ok(());
        }
        let failed = || Error::work(format!("could not make the import libraries of Windows for {triple}"));
        let architecture = Architecture::of_triple(triple).ok_or_else(failed)?;
        let parent = self.dir.parent().ok_or_else(failed)?;
        fs::create_dir_all(parent)?;
        let beside = tempfile::Builder::new().prefix(".windows-").tempdir_in(parent)?;
        let path = Utf8Path::from_path(beside.path()).ok_or_else(failed)?;
        let objects = runtime::objects(rustc, triple, &path.join("objects"), interrupt)?;
        let windows = Windows::embedded();
        for (name, parts) in windows.import_libraries() {
            let members =
                import_library::members(&parts, &architecture.name).map_err(|error| failed().because(error))?;
            import_library::write(&path.join(format!("{name}.lib")), members)?;
        }
        let mut members: Vec<_> = objects.into_iter().collect();
        let imported = import_library::members(&windows.c_runtime(), &architecture.name);
        members.extend(imported.map_err(|error| failed().because(error))?);
        let [first, others @ ..] = windows.c_runtime_names() else { return Err(failed()) };
        let first = path.join(format!("{first}.lib"));
        import_library::write(&first, members)?;
        // An object that asks for two of these gets the same symbols twice, and the linker takes the first it finds.
        for name in others {
            let other = path.join(format!("{name}.lib"));
            // Not every file system has such links.
            fs::hard_link(&first, &other).or_else(|_| fs::copy(&first, &other).map(drop))?;
        }
        for name in windows.constants() {
            fs::write(path.join(format!("{name}.lib")), import_library::EMPTY)?;
        }
        fs::remove_dir_all(path.join("objects"))?;
        publish(beside, &self.dir)
    }
}
