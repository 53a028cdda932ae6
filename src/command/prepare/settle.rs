//! Settings and cells of a project, and warnings about what in its configuration means nothing.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::locate::{Members, only, settings_files};
use super::metadata::MetadataQuery;
use crate::command::workspace::Warning;
use crate::machine::interrupt::Interrupt;
use crate::machine::{self, CacheDir, Machine, Rustc};
use crate::model::catalog::Catalog;
use crate::model::code::Code;
use crate::model::request::Selection;
use crate::plan::{Cell, matrix};
use crate::project::config::{self, ConfigFile, Environment, Origin, Settings};
use crate::project::graph::Graph;
use crate::util::error::{Error, Result};
use crate::util::suggest::{did_you_mean, nearest};

pub(super) fn unknown_key(message: String) -> Warning {
    Warning { target: None, code: Code::UnknownKey, message }
}

/// What configuration comes to.
pub(super) struct Settled {
    pub settings: Settings,
    pub cells: Vec<Cell>,
    /// Where members of the workspace could have a `Convoy.toml` that is not read.
    pub strays: Vec<Utf8PathBuf>,
    pub warnings: Vec<Warning>,
}

/// Settles the configuration of a project.
///
/// # Errors
/// A file cannot be read, or it or the command line names something that does not exist.
pub(super) fn settled(
    query: &MetadataQuery<'_>,
    graph: &Graph,
    root: &Utf8Path,
    cargo: &cargo_config2::Config,
    machine: &Machine,
    cache: &CacheDir,
) -> Result<Settled> {
    let selected = graph.selected_manifests(query.selection, Some(&query.manifest.to_owned()))?;
    let files = settings_files(only(&selected).map(|manifest| &**manifest), root, query.cwd)?;
    let mut warnings: Vec<Warning> = Vec::new();
    warnings.extend(files.iter().flat_map(|file| file.warnings.iter().cloned()).map(unknown_key));
    let strays: Vec<Utf8PathBuf> =
        graph.member_dirs().filter(|dir| *dir != root).map(|dir| dir.join("Convoy.toml")).collect();
    warnings.extend(strays.iter().filter(|stray| stray.is_file()).map(|stray| unread_settings(stray, root)));
    let environment = Environment { offline: offline_by(cargo), ..Environment::of_process() };
    let settings = config::settle(query.selection, &environment, &files, root, query.cwd)?;
    let rustc_targets = OnceCell::new();
    let rustc_targets = || known_targets(&rustc_targets, &machine.rustc, query.cwd, cache);
    let cells = settled_cells(&settings, machine, &rustc_targets)?;
    check_routes(query.selection, &cells)?;
    warnings.extend(unknown_tables(&files, &cells, Catalog::embedded(), &rustc_targets)?.into_iter().map(unknown_key));
    Ok(Settled { settings, cells, strays, warnings })
}

/// What sets cargo's `net.offline`, where that is true. cargo takes the variable over its files.
pub(super) fn offline_by(cargo: &cargo_config2::Config) -> Option<Origin> {
    let by_variable = std::env::var_os("CARGO_NET_OFFLINE").is_some();
    cargo.net.offline.filter(|offline| *offline).map(|_| match by_variable {
        true => Origin::Environment("CARGO_NET_OFFLINE"),
        false => Origin::File(".cargo/config.toml".to_owned()),
    })
}

/// rustc's targets, asked for once, when the first word needs them.
fn known_targets<'a>(
    known: &'a OnceCell<Vec<String>>,
    rustc: &Rustc,
    cwd: &Utf8Path,
    cache: &CacheDir,
) -> Result<&'a [String]> {
    match known.get() {
        Some(known) => Ok(known),
        None => machine::remembered_targets(cwd, rustc, cache).map(|asked| known.get_or_init(|| asked).as_slice()),
    }
}

/// The cells; rustc's targets are asked for where a word needs them.
fn settled_cells<'a>(
    settings: &Settings,
    machine: &Machine,
    rustc_targets: &dyn Fn() -> Result<&'a [String]>,
) -> Result<Vec<Cell>> {
    let catalog = Catalog::embedded();
    let words = &settings.targets.value;
    let rustc_targets = if matrix::needs_target_list(words, catalog) { rustc_targets()? } else { &[] };
    let newest_glibc = Some(matrix::newest_glibc(machine));
    let known = matrix::Known {
        catalog,
        host: &machine.rustc.host,
        rustc_targets,
        newest_glibc,
        windows: settings.windows.value,
    };
    matrix::cells(words, &known, &|names| settings.for_names(names.iter().map(String::as_str)))
}

/// The triples that are built for, and this machine's: known without the graph.
pub(super) fn wanted_triples(
    selection: &Selection,
    manifest: &Utf8Path,
    cwd: &Utf8Path,
    machine: &Machine,
    cache: &CacheDir,
    interrupt: &Interrupt,
) -> Result<BTreeSet<String>> {
    let members = Members::find(manifest, cwd, interrupt)?;
    let root = &members.workspace_root;
    let files = settings_files(members.selected(selection, manifest), root, cwd)?;
    let settings = config::settle(selection, &Environment::of_process(), &files, root, cwd)?;
    let rustc_targets = OnceCell::new();
    let cells = settled_cells(&settings, machine, &|| known_targets(&rustc_targets, &machine.rustc, cwd, cache))?;
    Ok(triples_of(&cells, machine))
}

pub(super) fn triples_of(cells: &[Cell], machine: &Machine) -> BTreeSet<String> {
    cells.iter().map(|cell| cell.target.to_string()).chain([machine.rustc.host.to_string()]).collect()
}

/// A member's Convoy.toml says nothing to anybody.
fn unread_settings(stray: &Utf8Path, root: &Utf8Path) -> Warning {
    let shown = stray.strip_prefix(root).unwrap_or(stray);
    Warning {
        target: None,
        code: Code::UnreadSettings,
        message: format!("`{shown}` is ignored: settings belong in the `Convoy.toml` of the workspace root"),
    }
}

/// A `[target."…"]` table that no target can mean is a typing error; one of a target that this run does not build is none.
fn unknown_tables<'a>(
    files: &[ConfigFile],
    cells: &[Cell],
    catalog: &Catalog,
    rustc_targets: &dyn Fn() -> Result<&'a [String]>,
) -> Result<Vec<String>> {
    let known = |word: &String| {
        matrix::is_known(word, catalog) || cells.iter().any(|cell| cell.names.iter().any(|name| name == word))
    };
    let tables = files.iter().filter(|file| !file.of_cross).flat_map(|file| &file.table.target);
    let mut warnings = Vec::new();
    for (word, _) in tables.filter(|(word, _)| !known(word)) {
        if rustc_targets()?.iter().any(|triple| matrix::names_target(word, triple)) {
            continue;
        }
        let words = catalog.targets.iter().flat_map(|t| [Some(t.triple.as_str()), t.platform.as_deref()]).flatten();
        let devices = catalog.devices.iter().map(|device| device.name.as_str());
        let near = did_you_mean(word, words.chain(devices));
        warnings.push(format!("unknown target, platform, device or group in `[target.\"{word}\"]`{near}"));
    }
    Ok(warnings)
}

/// `[needs]` tables of crates that no target of this project has.
pub(super) fn unknown_crates<'a>(settings: &'a Settings, graph: &'a Graph) -> impl Iterator<Item = String> + 'a {
    settings
        .needs
        .keys()
        .filter(|name| !graph.names().any(|own| own == *name))
        .map(|name| format!("`[needs.{name}]` matches no crate of this project{}", did_you_mean(name, graph.names())))
}

/// Each `--route WORD=ROUTE` must mean a target of this run. What it says is in the cells' settings.
fn check_routes(selection: &Selection, cells: &[Cell]) -> Result<()> {
    let names = || cells.iter().flat_map(|cell| &cell.names);
    let mut words = selection.routes.iter().filter_map(|route| route.target.as_ref());
    let is_meant = |word: &&String| {
        let word = Catalog::embedded().canonical(word);
        names().any(|name| *name == word)
    };
    let Some(word) = words.find(|word| !is_meant(word)) else { return Ok(()) };
    let error = Error::usage(format!("`--route {word}=…` matches no target of this run"));
    Err(match nearest(word, names().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    })
}
