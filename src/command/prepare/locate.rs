//! Where a project is: its manifest, its workspace, and the files that may hold its settings.

use camino::{Utf8Path, Utf8PathBuf};

use crate::command::current_dir;
use crate::config::{self, ConfigFile, Environment, Settings};
use crate::error::{Error, Result};
use crate::host;
use crate::interrupt::Interrupt;
use crate::request::{EngineChoice, Selection};

/// Whether a manifest is the root of a workspace.
pub(super) fn is_workspace(manifest: &Utf8Path) -> bool {
    let text = fs_err::read_to_string(manifest).unwrap_or_default();
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("workspace"))
}

/// The manifest that cargo would take, so that its absence is said before anything starts.
pub(super) fn find_manifest(selection: &Selection, cwd: &Utf8Path) -> Result<Utf8PathBuf> {
    if let Some(path) = &selection.manifest_path {
        let path = cwd.join(path);
        if path.is_dir() {
            return Err(Error::usage(format!("--manifest-path `{path}` is a folder"))
                .hint(format!("use `--manifest-path {}`", path.join("Cargo.toml"))));
        }
        if !path.is_file() {
            return Err(Error::usage(format!("--manifest-path `{path}` does not exist")));
        }
        return Ok(path.canonicalize_utf8()?);
    }
    cwd.ancestors()
        .map(|dir| dir.join("Cargo.toml"))
        .find(|path| path.is_file())
        .map(|path| path.canonicalize_utf8().unwrap_or(path))
        .ok_or_else(|| {
            Error::usage(format!("no Cargo.toml in `{cwd}` or a folder above it"))
                .hint("go to a Cargo project, or name one with --manifest-path")
        })
}

/// The files that may hold settings.
pub(super) fn settings_files(manifest: &Utf8Path, root: &Utf8Path, cwd: &Utf8Path) -> Result<Vec<ConfigFile>> {
    let root_path = root.join("Cargo.toml");
    let mut manifests: Vec<&Utf8Path> = vec![&root_path];
    if manifest != root_path {
        manifests.push(manifest);
    }
    let cross = config::load_cross(&Environment::of_process(), root, cwd)?;
    let mut files: Vec<ConfigFile> = cross.into_iter().collect();
    files.extend(config::metadata_files(&manifests, root)?);
    files.extend(config::load(&root.join("Convoy.toml"))?);
    Ok(files)
}

/// The folder of the workspace that a manifest belongs to.
pub(super) fn workspace_root(manifest: &Utf8Path, cwd: &Utf8Path, interrupt: &Interrupt) -> Result<Utf8PathBuf> {
    let mut command = host::cargo_command();
    command.current_dir(cwd).args(["locate-project", "--workspace", "--message-format=plain", "--manifest-path"]);
    let done = interrupt.output(command.arg(manifest))??;
    let told = String::from_utf8_lossy(&done.stdout);
    let root = Utf8Path::new(told.trim()).parent().filter(|_| done.status.success());
    root.map(Utf8Path::to_owned).ok_or_else(|| Error::work("`cargo locate-project` did not name the workspace"))
}

/// The workspace's folder and its settings, for commands that need no graph.
pub(in crate::command) fn find_workspace(manifest_path: Option<&Utf8Path>) -> Result<(Utf8PathBuf, Settings)> {
    let cwd = current_dir()?;
    let selection = Selection { manifest_path: manifest_path.map(Utf8Path::to_owned), ..Selection::default() };
    let manifest = find_manifest(&selection, &cwd)?;
    let root = workspace_root(&manifest, &cwd, &Interrupt::default())?;
    let files = settings_files(&manifest, &root, &cwd)?;
    let settings = config::settle(&selection, &Environment::of_process(), &files, &root, &cwd)?;
    Ok((root, settings))
}

/// The container engine that settings choose, in a project or outside of one.
pub(in crate::command) fn engine_choice() -> Result<EngineChoice> {
    let cwd = current_dir()?;
    if cwd.ancestors().any(|dir| dir.join("Cargo.toml").is_file()) {
        return Ok(find_workspace(None)?.1.engine.value);
    }
    let settings = config::settle(&Selection::default(), &Environment::of_process(), &[], &cwd, &cwd)?;
    Ok(settings.engine.value)
}
