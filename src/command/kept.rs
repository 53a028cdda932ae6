//! Keeping what was prepared from one run to the next, under a digest of everything it was made from: the command line,
//! the environment, manifests, lock, configuration and the tools' own files. When nothing changed, a build starts cargo
//! at once; cargo itself then finds out what is fresh.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::command::prepare::Project;
use crate::files;
use crate::host::{CacheDir, Stamp, this_program};
use crate::learned;
use crate::plan::{CellPlan, Setup, Status, ZigTool};
use crate::request::Selection;

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
    project: Project,
    // The parts of the plan that its JSON leaves out.
    setups: Vec<Setup>,
    lanes: Vec<(Vec<String>, BTreeMap<String, String>, bool)>,
    host_linker: Option<ZigTool>,
}

/// What an earlier run prepared for the same command line, when nothing that it was made from has changed.
pub(super) fn recall(cache: &CacheDir, selection: &Selection, cwd: &Utf8Path) -> Option<Project> {
    let kept: Kept = cache.recall(ROOM, &key(selection, cwd))?;
    let same = kept.version == this_program()
        && kept.environment == environment()
        && kept.files.iter().all(|(path, stamp)| Stamp::of(path) == *stamp);
    if !same {
        return None;
    }
    let Kept { mut project, setups, lanes, host_linker, .. } = kept;
    for (cell, setup) in project.plan.cells.iter_mut().zip(setups) {
        cell.setup = setup;
    }
    for (lane, (features, env, build_std)) in project.plan.lanes.iter_mut().zip(lanes) {
        (lane.features, lane.env, lane.build_std) = (features, env, build_std);
    }
    project.plan.host_linker = host_linker;
    Some(project)
}

/// Keeps a project whose plan is settled: nothing is blocked and nothing is still to be brought.
pub(super) fn remember(cache: &CacheDir, selection: &Selection, project: &Project) {
    let settled = |cell: &CellPlan| cell.status == Status::Buildable && cell.provision.is_empty();
    // No file tells that an engine's images are still there.
    let in_image = project.plan.cells.iter().any(|cell| cell.image.is_some());
    if in_image || !project.plan.cells.iter().all(settled) {
        return;
    }
    let files = read_files(project).into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect();
    let plan = &project.plan;
    let kept = Kept {
        version: this_program(),
        environment: environment(),
        files,
        setups: plan.cells.iter().map(|cell| cell.setup.clone()).collect(),
        lanes: plan.lanes.iter().map(|l| (l.features.clone(), l.env.clone(), l.build_std)).collect(),
        host_linker: plan.host_linker.clone(),
        project: project.clone(),
    };
    // A cache that cannot be written only costs time.
    let _ = cache.remember(ROOM, &key(selection, &project.cwd), &kept);
}

fn key(selection: &Selection, cwd: &Utf8Path) -> String {
    let said = serde_json::to_string(selection).unwrap_or_default();
    files::sha256(format!("{cwd}\0{said}"))
}

/// A digest, because the environment may hold secrets.
fn environment() -> String {
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| !NOISE.iter().any(|n| name == n)).collect();
    variables.sort();
    files::sha256(format!("{variables:?}"))
}

/// Every file and folder that the project was made from. A folder's stamp changes when something appears in it: a new
/// workspace member, a new bin, a new tool on PATH, a new std.
fn read_files(project: &Project) -> Vec<Utf8PathBuf> {
    let mut files = project.read.clone();
    files.push(learned::file(&project.convoy_dir()));
    for manifest in &project.read {
        let Some(dir) = manifest.parent() else { continue };
        files.extend([dir.join("src"), dir.join("src/bin")]);
        // A new member appears beside the others; what lies beside the workspace itself is none.
        files.extend(dir.parent().filter(|_| dir != project.workspace_root).map(Utf8Path::to_owned));
    }
    let cargo_home = std::env::var("CARGO_HOME").map(Utf8PathBuf::from).ok();
    let home = std::env::var("HOME").map(Utf8PathBuf::from).ok();
    let cargo_home = cargo_home.or_else(|| home.as_ref().map(|home| home.join(".cargo")));
    for dir in project.cwd.ancestors().chain(project.workspace_root.ancestors()) {
        for name in [".cargo/config.toml", ".cargo/config", "rust-toolchain", "rust-toolchain.toml"] {
            files.push(dir.join(name));
        }
    }
    files.extend(cargo_home.iter().flat_map(|dir| [dir.join("config.toml"), dir.join("config")]));
    let rustup_home = std::env::var("RUSTUP_HOME").map(Utf8PathBuf::from).ok();
    let rustup_home = rustup_home.or_else(|| home.map(|home| home.join(".rustup")));
    files.extend(rustup_home.map(|dir| dir.join("settings.toml")));

    let host = &project.host;
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
    files.extend(host.sysroots.values().map(|sysroot| sysroot.root.clone()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    files.extend(std::env::split_paths(&path).filter_map(|dir| Utf8PathBuf::from_path_buf(dir).ok()));
    files.sort();
    files.dedup();
    files
}
