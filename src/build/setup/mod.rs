//! A plan's setups → wrapper scripts, environment and cargo arguments of a lane.

mod cmake;
mod libclang;
mod scripts;
mod sysroot;
mod variables;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use crate::build::Job;
use crate::build::jobserver::Seat;
use crate::model::catalog::in_capitals;
use crate::plan::route::CTools;
use crate::plan::{CellPlan, Linker};
use crate::project::needs::{Need, NeedKind, Side};
use crate::provision::darwin::Language;
use crate::util::error::{Error, Result};
use crate::util::files;
use crate::util::shell;
use cmake::{Toolchain, Tools};
use scripts::Scripts;
use sysroot::{Builtin, Tree};

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
        for variable in [format!("CARGO_TARGET_{}_LINKER", in_capitals(host)), format!("CC_{}", lower(host))] {
            lane.set.entry(variable).or_insert_with(|| compiler.to_string());
        }
    }
    let on_this_machine = cells.iter().all(|cell| cell.image.is_none());
    if let Some(tool) = job.plan.host_linker.as_ref().filter(|_| on_this_machine) {
        let dir = job.convoy_dir.join("tools").join("host");
        let scripts = Scripts::new(job, &dir, None)?;
        let host = &job.host.rustc.host;
        let variable = format!("CARGO_TARGET_{}_LINKER", in_capitals(host));
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

fn prepare_cell(job: &Job<'_>, cell: &CellPlan, lane: &mut LaneEnvironment) -> Result<()> {
    let triple = &cell.cell.target;
    let setup = &cell.setup;
    let dir = job.convoy_dir.join("tools").join(&cell.cell.id);
    let tree = Tree::of(job, cell)?;
    let tree = tree.as_ref();
    let scripts = Scripts::new(job, &dir, tree)?;
    let mut rustflags = setup.rustflags.clone();
    let mut key = vec![format!("{:?} {:?}", cell.route, setup), job.host.rustc.version.clone()];
    key.extend(cell.image.as_ref().map(|image| image.reference.clone()));
    let own = job.plan.lanes.iter().find(|lane| lane.cells.contains(&cell.cell.id)).map(|lane| &lane.env);
    key.extend(own.into_iter().flatten().map(|(name, value)| format!("{name}={value}")));

    let user = job.host.user.get(triple);
    let user_cc = user.is_some_and(|user| user.cc.is_some());
    match &setup.c {
        CTools::Inherit => {}
        CTools::Gcc { cc, cxx, ar } if !user_cc => {
            let (cc, cxx) = match tree {
                None => (cc.clone(), cxx.clone()),
                Some(tree) => {
                    let builtin = builtin(job, triple, cc, cxx.as_deref(), tree)?;
                    key.push(builtin.headers.to_string());
                    let wrap = |compiler: &Utf8Path, name: &str| scripts.compiler(compiler, name, tree, &builtin);
                    let cxx = cxx.as_ref().map(|cxx| wrap(cxx, "g++")).transpose()?;
                    (wrap(cc, "gcc")?, cxx)
                }
            };
            lane.set.insert(format!("CC_{}", lower(triple)), cc.to_string());
            if let Some(cxx) = &cxx {
                lane.set.insert(format!("CXX_{}", lower(triple)), cxx.to_string());
            }
            if let Some(ar) = ar {
                lane.set.insert(format!("AR_{}", lower(triple)), ar.to_string());
            }
            if tree.is_some() {
                let tools = Tools { cc, cxx, ar: ar.clone(), ranlib: None, zig: false };
                set_toolchain(&scripts, triple, &tools, lane)?;
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
            for (name, value) in [("CC", &cc), ("CXX", &cxx), ("AR", &ar), ("RANLIB", &ranlib)] {
                lane.set.insert(format!("{name}_{}", lower(triple)), value.to_string());
            }
            let tools = Tools { cc, cxx: Some(cxx), ar: Some(ar), ranlib: Some(ranlib), zig: true };
            set_toolchain(&scripts, triple, &tools, lane)?;
            key.push(scripts.zig_version.clone());
            if triple.contains("-windows-") {
                // winapi's bundled import libraries are GNU ld's and clash with zig's.
                lane.set.insert("WINAPI_NO_BUNDLED_LIBRARIES".to_owned(), "1".to_owned());
                lane.path.extend(scripts.dlltool(triple)?);
            }
        }
        CTools::Gcc { .. } | CTools::Zig(_) => {}
    }
    if let Some(tree) = tree {
        // Build scripts remember where they found things, and not all look again when a variable changes.
        key.extend([tree.digest.clone(), tree.root.to_string()]);
        set_variables(tree, cell, lane);
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
            match tree {
                None => Some(path.clone()),
                Some(tree) => {
                    let cxx = match &setup.c {
                        CTools::Gcc { cxx, .. } => cxx.as_deref(),
                        _ => None,
                    };
                    let builtin = builtin(job, triple, path, cxx, tree)?;
                    Some(scripts.compiler(path, "gcc", tree, &builtin)?)
                }
            }
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
        lane.set.insert(format!("CARGO_TARGET_{}_LINKER", in_capitals(triple)), linker.to_string());
    }

    if !setup.first_libraries.is_empty() {
        rustflags.push(format!("-Lnative={}", scripts.first_libraries(&setup.first_libraries)?));
    }
    let by_libclang = |need: &Need| need.kind == NeedKind::Tool && need.side == Side::Target && need.name == "libclang";
    if tree.is_none() && *triple != job.host.rustc.host && cell.needs.iter().any(by_libclang) {
        let beside = || job.host.tools.get("libclang").and_then(|libclang| libclang::headers(libclang));
        let own = job.host.libclang_headers.clone().or_else(beside);
        let own_words = own.as_ref().map(|headers| shell::quote(&format!("-isystem{headers}"))).unwrap_or_default();
        let of_libc = match &setup.c {
            CTools::Zig(tool) if !user_cc => sysroot::clang_words_of_zig(&scripts.zig_headers(tool)?, own.is_none()),
            _ => String::new(),
        };
        set_bindgen(triple, format!("{own_words} {of_libc}").trim(), lane);
        // Before 0.58 bindgen knows this name alone; libclang's own folder is the same for all targets.
        let plain = "BINDGEN_EXTRA_CLANG_ARGS";
        if std::env::var_os(plain).is_none() && own.is_some() {
            lane.set.insert(plain.to_owned(), own_words);
        }
    }
    let handed_on = job.flags.to_hand_on(triple);
    if !rustflags.is_empty() || !handed_on.is_empty() {
        // An array keeps spaces inside a flag; the user's come last, so that theirs win.
        let all: Vec<&str> = rustflags.iter().chain(handed_on).map(String::as_str).collect();
        lane.config.push(rustflags_config(triple, all));
    }
    lane.keys.insert(triple.clone(), key.join("\n"));
    Ok(())
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
fn set_toolchain(scripts: &Scripts<'_>, triple: &str, tools: &Tools, lane: &mut LaneEnvironment) -> Result<()> {
    let nothing = scripts.dir.join("nothing");
    // The parts of a C library, which the compiler has by itself: some projects stop where cmake finds none.
    let parts: &[&str] = if triple.contains("-linux-") { &["c", "dl", "m", "pthread", "rt", "util"] } else { &[] };
    write_empty(&nothing.join("usr/lib"), parts)?;
    let toolchain = Toolchain {
        triple,
        native: !tools.zig && triple == scripts.job.host.rustc.host,
        cc: &tools.cc,
        cxx: tools.cxx.as_deref(),
        ar: tools.ar.as_deref(),
        ranlib: tools.ranlib.as_deref(),
        zig: tools.zig,
        tree: scripts.tree,
        nothing: &nothing,
        built: &scripts.job.convoy_dir,
    };
    let file = scripts.write(&format!("{triple}.cmake"), &toolchain.text())?;
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
