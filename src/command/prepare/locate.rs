//! Where a project is: its manifest, its workspace, and the files that may hold its settings.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::metadata::{Network, unreadable};
use super::settle::offline_by;
use crate::command::current_dir;
use crate::machine;
use crate::machine::interrupt::Interrupt;
use crate::model::request::{EngineChoice, Selection};
use crate::project::config::{self, ConfigFile, Environment, Settings};
use crate::project::graph::PackageSpec;
use crate::util::error::{Error, Result};

/// Whether a manifest is the root of a workspace.
pub(in crate::command) fn is_workspace(manifest: &Utf8Path) -> bool {
    let text = fs_err::read_to_string(manifest).unwrap_or_default();
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("workspace"))
}

/// The manifest that cargo would take, so that its absence is said before anything starts.
pub(in crate::command) fn find_manifest(manifest_path: Option<&Utf8Path>, cwd: &Utf8Path) -> Result<Utf8PathBuf> {
    if let Some(path) = manifest_path {
        let path = cwd.join(path);
        if path.is_dir() {
            return Err(Error::usage(format!("the path given by `--manifest-path` is a directory: `{path}`"))
                .hint(format!("use `--manifest-path {}`", path.join("Cargo.toml"))));
        }
        if !path.is_file() {
            return Err(Error::usage(format!("the path given by `--manifest-path` does not exist: `{path}`")));
        }
        return Ok(path.canonicalize_utf8()?);
    }
    cwd.ancestors()
        .map(|dir| dir.join("Cargo.toml"))
        .find(|path| path.is_file())
        .map(|path| path.canonicalize_utf8().unwrap_or(path))
        .ok_or_else(|| {
            Error::usage(format!("could not find `Cargo.toml` in `{cwd}` or any parent directory"))
                .hint("change to a Cargo project, or specify one with `--manifest-path`")
        })
}

/// The files that may hold settings. `package` is the manifest of the package that is selected, where it is the only
/// one: its `[package.metadata.convoy]` counts, whatever selected it (`-p`, `--manifest-path`, the directory). Of several
/// selected packages none counts, as targets and profile are those of the whole run.
pub(super) fn settings_files(package: Option<&Utf8Path>, root: &Utf8Path, cwd: &Utf8Path) -> Result<Vec<ConfigFile>> {
    let cross = config::load_cross(&Environment::of_process(), root, cwd)?;
    let mut files: Vec<ConfigFile> = cross.into_iter().collect();
    files.extend(config::metadata_files(&root.join("Cargo.toml"), package)?);
    files.extend(config::load(&root.join("Convoy.toml"))?);
    Ok(files)
}

/// The only one of several; none where there are more.
pub(super) fn only<T>(all: impl IntoIterator<Item = T>) -> Option<T> {
    let mut all = all.into_iter();
    all.next().filter(|_| all.next().is_none())
}

/// The packages of a workspace, known without its dependencies.
#[derive(Debug, Deserialize)]
pub(in crate::command) struct Members {
    pub workspace_root: Utf8PathBuf,
    packages: Vec<Member>,
    /// Cargo before 1.71 does not say it.
    #[serde(default)]
    workspace_default_members: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Member {
    id: String,
    name: String,
    version: semver::Version,
    manifest_path: Utf8PathBuf,
}

impl Member {
    fn is_meant_by(&self, spec: &PackageSpec) -> bool {
        spec.matches(&self.name, &self.version, &self.id)
    }
}

impl Members {
    /// Asks cargo for the workspace that a manifest belongs to. Nothing is resolved, so no crate has to be fetched.
    pub(crate) fn find(manifest: &Utf8Path, cwd: &Utf8Path, interrupt: &Interrupt) -> Result<Self> {
        let mut command = machine::cargo_command();
        command.current_dir(cwd).args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]);
        let done = interrupt.output(command.arg(manifest))??;
        if !done.status.success() {
            return Err(unreadable(&String::from_utf8_lossy(&done.stderr), Network::Allowed));
        }
        serde_json::from_slice(&done.stdout)
            .map_err(|error| Error::work("could not parse the output of `cargo metadata`").because(error))
    }

    /// The manifest of the only selected package; none where several are selected.
    pub(crate) fn selected(&self, selection: &Selection, manifest: &Utf8Path) -> Option<&Utf8Path> {
        let is_default = |member: &&Member| self.workspace_default_members.contains(&member.id);
        let member = if selection.workspace {
            let excluded: Vec<PackageSpec> =
                selection.exclude.iter().flat_map(|text| PackageSpec::parse(text)).collect();
            only(self.packages.iter().filter(|member| !excluded.iter().any(|spec| member.is_meant_by(spec))))
        } else if !selection.packages.is_empty() {
            let specs: Vec<PackageSpec> = selection.packages.iter().flat_map(|text| PackageSpec::parse(text)).collect();
            only(self.packages.iter().filter(|member| specs.iter().any(|spec| member.is_meant_by(spec))))
        } else {
            let own = self.packages.iter().find(|member| member.manifest_path == manifest);
            match manifest.parent() == Some(&*self.workspace_root) && !self.workspace_default_members.is_empty() {
                true => only(self.packages.iter().filter(is_default)),
                false => own,
            }
        };
        member.map(|member| &*member.manifest_path)
    }
}

/// The workspace's folder and its settings, for commands that need no graph.
pub(in crate::command) fn find_workspace(manifest_path: Option<&Utf8Path>) -> Result<(Utf8PathBuf, Settings)> {
    let cwd = current_dir()?;
    let selection = Selection { manifest_path: manifest_path.map(Utf8Path::to_owned), ..Selection::default() };
    let manifest = find_manifest(manifest_path, &cwd)?;
    let members = Members::find(&manifest, &cwd, &Interrupt::default())?;
    let root = members.workspace_root.clone();
    let files = settings_files(members.selected(&selection, &manifest), &root, &cwd)?;
    // No triple: what is said of the network is the same for every machine.
    let offline = offline_by(&machine::cargo_config(&cwd, "")?);
    let environment = Environment { offline, ..Environment::of_process() };
    let settings = config::settle(&selection, &environment, &files, &root, &cwd)?;
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
