//! A plan's setups → wrappers, environment and cargo arguments of a lane.

mod cell;
mod cmake;
mod libclang;
mod sysroot;
mod variables;
mod wrappers;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use crate::build::Job;
use crate::build::jobserver::Seat;
use crate::build::wrapper::Driver;
use crate::model::catalog::in_capitals;
use crate::plan::CellPlan;
use crate::util::error::{Error, Result};
use crate::util::files;
use cmake::{Toolchain, Tools};
use sysroot::{Builtin, Tree};
use wrappers::Wrappers;

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
    /// Where its job tokens come from.
    pub seat: Seat,
}

/// Writes the wrappers and gathers the environment for the cells of a lane. With it come the cells for which that could
/// not be done, by their ids.
pub(super) fn prepare(job: &Job<'_>, cells: &[&CellPlan]) -> Result<(LaneEnvironment, BTreeMap<String, Error>)> {
    let mut lane = LaneEnvironment::default();
    let mut broken = BTreeMap::new();
    if job.flags.from_environment() {
        // These would make cargo ignore the flags set for each target; they are handed on there instead.
        lane.remove.extend(["RUSTFLAGS".to_owned(), "CARGO_ENCODED_RUSTFLAGS".to_owned()]);
    }
    for cell in cells {
        if let Err(error) = cell::prepare(job, cell, &mut lane) {
            broken.insert(cell.cell.id.clone(), error);
        }
    }
    if let Some(compiler) = unnamed_cc(job) {
        let host = &job.host.rustc.host;
        for variable in [format!("CARGO_TARGET_{}_LINKER", in_capitals(host)), format!("CC_{}", lower(host))] {
            lane.set.entry(variable).or_insert_with(|| compiler.to_string());
        }
    }
    let on_this_machine = cells.iter().all(|cell| cell.image.is_none());
    if let Some(tool) = job.plan.host_linker.as_ref().filter(|_| on_this_machine) {
        let dir = job.convoy_dir.join("tools").join("host");
        let wrappers = Wrappers::new(job, &dir, None, false)?;
        let host = &job.host.rustc.host;
        let variable = format!("CARGO_TARGET_{}_LINKER", in_capitals(host));
        let linker = wrappers.zig_linker("host-gcc", tool)?;
        lane.set.entry(variable).or_insert_with(|| linker.to_string());
        for (name, compiler) in [
            ("CC", wrappers.zig_compiler("host-cc", Driver::C, tool)?),
            ("CXX", wrappers.zig_compiler("host-c++", Driver::Cxx, tool)?),
        ] {
            lane.set.entry(format!("{name}_{}", lower(host))).or_insert_with(|| compiler.to_string());
        }
        lane.set.entry(format!("AR_{}", lower(host))).or_insert(wrappers.zig_tool("host-ar", "ar")?.to_string());
    }
    Ok((lane, broken))
}

/// This machine's own compiler, where rustc and the `cc` crate would not find it: both ask for `cc`, and some machines
/// have only `gcc` or `clang`.
fn unnamed_cc<'a>(job: &'a Job<'_>) -> Option<&'a Utf8Path> {
    let compiler = job.host.linker.as_deref().filter(|compiler| compiler.file_stem() != Some("cc"))?;
    let user = job.host.user.get(job.host.rustc.host.as_str());
    user.is_none_or(|user| user.linker.is_none() && user.cc.is_none()).then_some(compiler)
}

fn lower(triple: &str) -> String {
    triple.replace('-', "_")
}

impl LaneEnvironment {
    /// Sets a variable for one target, and takes away the spelling with dashes, at which helper crates look first.
    fn set_for(&mut self, name: &str, triple: &str, value: impl Into<String>) {
        self.remove.push(format!("{name}_{triple}"));
        self.set.insert(format!("{name}_{}", lower(triple)), value.into());
    }
}

/// A target's flags for `--config`. The triple in quotes, as there are some with a dot (`thumbv8m.main-none-eabi`), which
/// cargo would take for another key.
fn rustflags_config(triple: &str, flags: Vec<&str>) -> String {
    format!("target.\"{triple}\".rustflags={}", toml::Value::from(flags))
}

/// What a compiler itself has: known of an image's, else it is asked.
fn builtin(job: &Job<'_>, triple: &str, cc: &Utf8Path, cxx: Option<&Utf8Path>, tree: &Tree) -> Result<Builtin> {
    match job.host.gcc.get(triple).and_then(|gcc| gcc.headers.clone()) {
        Some(headers) => Ok(Builtin { headers, cxx: Vec::new() }),
        None => Builtin::ask(cc, cxx, tree, job.interrupt),
    }
}

/// The file that tells cmake of the cell's compilers.
fn set_toolchain(wrappers: &Wrappers<'_>, triple: &str, tools: &Tools, lane: &mut LaneEnvironment) -> Result<()> {
    let nothing = wrappers.dir.join("nothing");
    // The parts of a C library, which the compiler has by itself: some projects stop where cmake finds none.
    let parts: &[&str] = if triple.contains("-linux-") { &["c", "dl", "m", "pthread", "rt", "util"] } else { &[] };
    write_empty(&nothing.join("usr/lib"), parts)?;
    let toolchain = Toolchain {
        triple,
        native: !tools.zig && triple == wrappers.job.host.rustc.host,
        cc: &tools.cc,
        cxx: tools.cxx.as_deref(),
        ar: tools.ar.as_deref(),
        ranlib: tools.ranlib.as_deref(),
        zig: tools.zig,
        tree: wrappers.tree,
        nothing: &nothing,
        built: &wrappers.job.convoy_dir,
    };
    let file = wrappers.toolchain_file(triple, &toolchain.text())?;
    let name = format!("CMAKE_TOOLCHAIN_FILE_{}", lower(triple));
    // A file of the user's own for this target names what it needs.
    if std::env::var_os(&name).is_none() {
        lane.set.insert(name, file.to_string());
    }
    Ok(())
}

/// What leads pkg-config, bindgen and crates with variables of their own to a sysroot. Several targets share one cargo,
/// so every variable names its target.
fn set_variables(tree: &Tree, cell: &CellPlan, lane: &mut LaneEnvironment) {
    let triple = &cell.cell.target;
    for (name, value) in [
        ("PKG_CONFIG_LIBDIR", tree.pkg_config_libdir()),
        ("PKG_CONFIG_SYSROOT_DIR", tree.root.to_string()),
        ("PKG_CONFIG_ALLOW_CROSS", "1".to_owned()),
        // Where the user has one for this machine, it would be looked into first.
        ("PKG_CONFIG_PATH", String::new()),
    ] {
        lane.set_for(name, triple, value);
    }
    set_bindgen(triple, &sysroot::clang_words(tree), lane);
    for (name, value) in variables::of_needs(tree, &cell.needs, triple) {
        if std::env::var_os(&name).is_none() {
            lane.set.insert(name, value);
        }
    }
}

/// What leads bindgen to the target's headers; it would take this machine's.
fn set_bindgen(triple: &str, words: &str, lane: &mut LaneEnvironment) {
    let name = "BINDGEN_EXTRA_CLANG_ARGS";
    // As bindgen looks it up. The user's words come last, so that theirs win.
    let own = [format!("{name}_{triple}"), format!("{name}_{}", lower(triple)), name.to_owned()];
    let own = own.iter().find_map(|name| std::env::var(name).ok());
    let own = own.map(|own| format!(" {own}")).unwrap_or_default();
    lane.set_for(name, triple, format!("{words}{own}"));
}

/// musl has all of its C library in one file, and empty ones by the other names, for those who ask for `-ldl` or `-lm`.
/// rustup's std brings the one file alone.
fn empty_libraries(dir: &Utf8Path) -> Result<Utf8PathBuf> {
    let dir = dir.join("empty");
    write_empty(&dir, &["crypt", "dl", "m", "pthread", "resolv", "rt", "util", "xnet"])?;
    Ok(dir)
}

/// Archives without a member.
fn write_empty(dir: &Utf8Path, names: &[&str]) -> Result<()> {
    fs_err::create_dir_all(dir)?;
    for name in names {
        let path = dir.join(format!("lib{name}.a"));
        if !path.is_file() {
            files::replace(&path, b"!<arch>\n")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_the_whole_triple() {
        for triple in ["thumbv8m.main-none-eabi", "aarch64-unknown-linux-gnu"] {
            let config: toml::Table = rustflags_config(triple, vec!["-Ca=b c"]).parse().unwrap();
            assert_eq!(config["target"][triple]["rustflags"][0].as_str(), Some("-Ca=b c"));
        }
    }
}
