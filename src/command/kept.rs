//! Keeping what was prepared from one run to the next, under a digest of everything it was made from: the command line,
//! the environment, manifests, lock, configuration and the tools' own files. When nothing changed, a build starts cargo
//! at once; cargo itself then finds out what is fresh.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::build::learned;
use crate::command::prepare::{Prepared, helpers};
use crate::command::workspace::Planned;
use crate::machine::CacheDir;
use crate::model::request::Selection;
use crate::plan::container::included;
use crate::plan::{CellPlan, Status};
use crate::project::evidence::{self, Evidence, Source};
use crate::util::files::{self, PlainFile};
use crate::util::stamp::{Stamp, this_program};

const ROOM: &str = "plans";

/// Variables that shells and terminals change all the time and no build looks at.
const NOISE: &[&str] = &[
    "_",
    "SHLVL",
    "OLDPWD",
    "PWD",
    "TERM",
    "COLORTERM",
    "COLUMNS",
    "LINES",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "TMUX",
    "TMUX_PANE",
    "WINDOWID",
    "SSH_CLIENT",
    "SSH_CONNECTION",
    "SSH_TTY",
    "CONVOY_COLOR",
];

#[derive(Debug, Deserialize, Serialize)]
struct Kept {
    version: String,
    environment: String,
    files: Vec<(Utf8PathBuf, Option<Stamp>)>,
    /// What local packages showed of themselves.
    evidence: Vec<(Source, Evidence)>,
    planned: Planned,
}

/// What an earlier run prepared for the same command line, when nothing that it was made from has changed.
pub(super) fn recall(cache: &CacheDir, selection: &Selection, cwd: &Utf8Path) -> Option<Planned> {
    let kept: Kept = cache.recall(ROOM, &key(selection, cwd))?;
    let same = kept.version == this_program()
        && kept.environment == environment()
        && kept.files.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
        && evidence::is_unchanged(&kept.evidence, helpers, cache);
    if !same {
        return None;
    }
    Some(kept.planned)
}

/// Keeps a project whose plan is settled: nothing is blocked, and nothing remains to be provisioned.
pub(super) fn remember(cache: &CacheDir, selection: &Selection, prepared: &Prepared) {
    let planned = &prepared.planned;
    let settled = |cell: &CellPlan| cell.status == Status::Buildable && cell.provision.is_empty();
    // No file tells that an engine's images are still there.
    let in_image = planned.plan.cells.iter().any(|cell| cell.image.is_some());
    if in_image || !planned.plan.cells.iter().all(settled) {
        return;
    }
    let files = read_files(planned).into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect();
    let kept = Kept {
        version: this_program(),
        environment: environment(),
        files,
        evidence: prepared.local_evidence(),
        planned: planned.clone(),
    };
    // A cache that cannot be written only costs time.
    let _ = cache.remember(ROOM, &key(selection, &planned.workspace.cwd), &kept);
}

fn key(selection: &Selection, cwd: &Utf8Path) -> String {
    let words = serde_json::to_string(selection).unwrap_or_default();
    files::sha256(format!("{cwd}\0{words}"))
}

/// A digest, because the environment may hold secrets.
fn environment() -> String {
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| !NOISE.iter().any(|n| name == n)).collect();
    variables.sort();
    files::sha256(format!("{variables:?}"))
}

/// Every file and folder that the project was made from. A folder's stamp changes when something appears in it: a new
/// workspace member, a new bin, a new tool on PATH, a new std.
fn read_files(planned: &Planned) -> Vec<Utf8PathBuf> {
    let mut files = planned.workspace.read.clone();
    // Of the workspace, and of those that path dependencies outside of it belong to.
    files.push(planned.workspace.root.join("Cargo.toml"));
    files.extend(planned.workspace.sources().into_iter().filter(|source| source.is_file()));
    files.push(learned::file(&planned.workspace.convoy_dir()));
    for manifest in &planned.workspace.read {
        let Some(dir) = manifest.parent() else { continue };
        // Their contents are the evidence's; here it is whether they are there.
        files.extend([dir.join("build.rs"), dir.join("src"), dir.join("src/bin")]);
        let bins = dir.join("src/bin").read_dir_utf8().into_iter().flatten().flatten();
        files.extend(bins.filter(|bin| bin.path().is_dir()).map(|bin| bin.path().join("main.rs")));
        // A new member appears beside the others; what lies beside the workspace itself is none.
        files.extend(dir.parent().filter(|_| dir != planned.workspace.root).map(Utf8Path::to_owned));
    }
    let cargo_home = std::env::var("CARGO_HOME").map(Utf8PathBuf::from).ok();
    let home = std::env::var("HOME").map(Utf8PathBuf::from).ok();
    let cargo_home = cargo_home.or_else(|| home.as_ref().map(|home| home.join(".cargo")));
    let mut configs = Vec::new();
    for dir in planned.workspace.cwd.ancestors().chain(planned.workspace.root.ancestors()) {
        configs.extend([dir.join(".cargo/config.toml"), dir.join(".cargo/config")]);
        files.extend([dir.join("rust-toolchain"), dir.join("rust-toolchain.toml")]);
    }
    configs.extend(cargo_home.iter().flat_map(|dir| [dir.join("config.toml"), dir.join("config")]));
    files.extend(with_included(configs));
    let rustup_home = std::env::var("RUSTUP_HOME").map(Utf8PathBuf::from).ok();
    let rustup_home = rustup_home.or_else(|| home.map(|home| home.join(".rustup")));
    files.extend(rustup_home.map(|dir| dir.join("settings.toml")));

    let host = &planned.machine;
    let sysroot = &host.rustc.sysroot;
    files.extend([sysroot.join("bin/rustc"), sysroot.join("bin/cargo"), sysroot.join("lib/rustlib")]);
    files.extend(host.std.iter().map(|triple| sysroot.join("lib/rustlib").join(triple).join("lib")));
    // The names of the toolchain, one of which cross goes by.
    files.extend(host.cross.as_ref().and(sysroot.parent()).map(Utf8Path::to_owned));
    files.extend(host.rust_lld.clone());
    files.extend(host.linker.clone());
    files.extend(host.zig.as_ref().map(|zig| zig.path.clone()));
    files.extend(host.gcc.values().flat_map(|gcc| [Some(gcc.cc.clone()), gcc.cxx.clone(), gcc.ar.clone()]).flatten());
    files.extend(host.tools.values().cloned());
    files.extend(host.libraries.values().flat_map(BTreeMap::values).map(|library| library.file.clone()));
    files.extend(host.sysroots.values().map(|sysroot| sysroot.root.clone()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    files.extend(std::env::split_paths(&path).filter_map(|dir| Utf8PathBuf::from_path_buf(dir).ok()));
    files.sort();
    files.dedup();
    files
}

/// cargo's configuration files with those that they include, also where these are missing.
fn with_included(mut configs: Vec<Utf8PathBuf>) -> Vec<Utf8PathBuf> {
    let mut at = 0;
    while let Some(config) = configs.get(at).cloned() {
        at += 1;
        // One that cannot be read, or does not parse, includes nothing: cargo has said so by now.
        let text = PlainFile::open(&config, files::SMALL).and_then(|file| file.read_text()).unwrap_or_default();
        let dir = config.parent().unwrap_or(Utf8Path::new(""));
        let more: Vec<_> = included(&text, dir).into_iter().filter(|path| !configs.contains(path)).collect();
        configs.extend(more);
    }
    configs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn included_configuration_counts_also_where_it_includes_itself_or_is_missing() {
        let held = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(held.path()).unwrap();
        fs_err::write(dir.join("config.toml"), "include = ['a.toml', { path = 'deep/b.toml' }]").unwrap();
        fs_err::write(dir.join("a.toml"), "include = 'config.toml'").unwrap();
        let found = with_included(vec![dir.join("config.toml"), dir.join("config")]);
        assert_eq!(found, ["config.toml", "config", "a.toml", "deep/b.toml"].map(|name| dir.join(name)));
    }
}
