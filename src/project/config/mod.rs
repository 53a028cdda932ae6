//! Settings: command line > environment (`CONVOY_*`) > `Convoy.toml` > `[package.metadata.convoy]` >
//! `[workspace.metadata.convoy]` > `Cross.toml` > default; each value with its origin.

mod container;
mod cross;
mod file;
mod image;
mod provisioning;
mod supply;
mod tables;
mod volume;

use std::collections::BTreeMap;
use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};

use crate::model::catalog::{Catalog, DEFAULT_MATRIX, WindowsRuntime};
use crate::model::request::{EngineChoice, RouteKind, Selection};
use crate::model::sysroot::Archive;
use crate::util::error::{Error, Result};
pub use container::{ContainerSettings, ImageSource};
pub(crate) use container::{PreBuild, ToolchainSource};
#[cfg(any(fuzzing, test))]
pub(crate) use cross::parse as parse_cross;
pub(crate) use cross::{cross_file, cross_variables, load_cross};
pub use file::load;
pub(crate) use file::{ConfigFile, metadata_files};
pub(crate) use provisioning::Source;
pub use provisioning::{Forbidden, Provisioning};
pub use supply::SupplySettings;
pub use tables::{TargetSettings, UserNeeds};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag.
    CommandLine,
    /// An environment variable.
    Environment(&'static str),
    /// A file, as shown to people.
    File(String),
    /// Nothing was said.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::CommandLine => f.write_str("command line"),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::File(path) => f.write_str(path),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valued<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

/// All that is settled before planning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Target words.
    pub targets: Valued<Vec<String>>,
    /// Where verified binaries go; absolute.
    pub dist_dir: Valued<Utf8PathBuf>,
    /// cargo's profile.
    pub profile: Valued<String>,
    /// What may be put on this machine, and whether the network may be used.
    pub provisioning: Provisioning,
    /// Which target the platform of 64-bit Windows is.
    pub windows: Valued<WindowsRuntime>,
    /// Whether blocked targets are attempted all the same.
    pub ignore_needs: bool,
    /// `[needs.<crate>]` tables: what crates ask of the machine, where the user knows better.
    pub needs: BTreeMap<String, UserNeeds>,
    /// `[supply]`: where libraries come from.
    pub supply: SupplySettings,
    /// `[container]`: how containers are made; which engine makes them is settled in `engine`.
    pub container: ContainerSettings,
    /// The container engine.
    pub engine: Valued<EngineChoice>,
    /// Whether std is built from source, where a Cross.toml says it of every target.
    pub build_std: Option<bool>,
    /// `[target."…"]` tables, in order of rising weight; those of one file stand together.
    pub tables: Vec<TargetTable>,
    /// The route of all targets, by `--route ROUTE`.
    pub route: Option<RouteKind>,
    /// What each file says for all targets, in order of rising weight: the origin of `supply`, `container` and `build_std`.
    pub sources: Vec<GeneralTable>,
}

/// What is said for the targets that a word means: a `[target."…"]` table, or `--route WORD=ROUTE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetTable {
    /// A target word, or the id of a cell.
    pub word: String,
    /// What is said.
    pub settings: TargetSettings,
    /// Where.
    pub origin: Origin,
}

/// What one file says for all targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneralTable {
    /// The file.
    pub origin: Origin,
    /// `[supply]`.
    pub supply: SupplySettings,
    /// `[container]`.
    pub container: ContainerSettings,
    /// Whether std is built from source.
    pub build_std: Option<bool>,
}

/// The environment variables that settle something, and what cargo's configuration says of the network.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `CONVOY_TARGETS`: a comma list.
    pub targets: Option<String>,
    /// `CONVOY_DIST_DIR`.
    pub dist_dir: Option<String>,
    /// `CONVOY_PROFILE`.
    pub profile: Option<String>,
    /// `CONVOY_PROVISION`: `auto` or `never`.
    pub provision: Option<String>,
    /// `CONVOY_ENGINE`: `docker`, `podman`, `none` or `auto`.
    pub engine: Option<String>,
    /// `CROSS_CONFIG`: the file that cross reads in place of `Cross.toml`.
    pub cross_config: Option<String>,
    /// What sets cargo's `net.offline`, where that is true; the caller reads cargo's configuration.
    pub offline: Option<Origin>,
}

impl Environment {
    /// Reads them from this process.
    pub(crate) fn of_process() -> Self {
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            targets: read("CONVOY_TARGETS"),
            dist_dir: read("CONVOY_DIST_DIR"),
            profile: read("CONVOY_PROFILE"),
            provision: read("CONVOY_PROVISION"),
            engine: read("CONVOY_ENGINE"),
            cross_config: read("CROSS_CONFIG"),
            offline: None,
        }
    }
}

/// Settles everything. `files` in order of rising weight; relative paths of the command line and the environment are
/// taken from `cwd`, those of a file from the workspace.
pub(crate) fn settle(
    selection: &Selection,
    environment: &Environment,
    files: &[ConfigFile],
    workspace_root: &Utf8Path,
    cwd: &Utf8Path,
) -> Result<Settings> {
    let targets = targets(selection, environment, files)?;
    let provision_variable = provision_variable(environment)?;
    let sources = general_tables(files, workspace_root);
    let engine_variable = environment.engine.as_deref().map(engine_of).transpose()?;
    Ok(Settings {
        targets,
        dist_dir: pick(
            selection.dist_dir.as_ref().map(|dir| cwd.join(dir)),
            environment.dist_dir.as_ref().map(|dir| ("CONVOY_DIST_DIR", cwd.join(dir))),
            files,
            |file| file.table.dist_dir.as_ref().map(|dir| workspace_root.join(dir)),
            workspace_root.join("dist"),
        ),
        profile: pick(
            selection.profile.clone(),
            environment.profile.clone().map(|profile| ("CONVOY_PROFILE", profile)),
            files,
            |file| file.table.profile.clone(),
            "release".to_owned(),
        ),
        provisioning: Provisioning::new(
            pick(
                selection.no_provision.then_some(false),
                provision_variable,
                files,
                |file| file.table.provision.map(|provision| provision == file::ProvisionMode::Auto),
                true,
            ),
            match (selection.offline, environment.offline.clone()) {
                (true, _) => Valued { value: true, origin: Origin::CommandLine },
                (false, Some(origin)) => Valued { value: true, origin },
                (false, None) => Valued { value: false, origin: Origin::Default },
            },
        ),
        windows: pick(None, None, files, |file| file.table.windows, WindowsRuntime::default()),
        ignore_needs: selection.ignore_needs,
        needs: files.iter().flat_map(|file| file.table.needs.clone()).collect(),
        supply: sources.iter().fold(SupplySettings::default(), |mut supply, source| {
            supply.overlay(source.supply.clone());
            supply
        }),
        container: sources.iter().fold(ContainerSettings::default(), |mut container, source| {
            container.overlay(source.container.clone());
            container
        }),
        engine: pick(
            selection.engine,
            engine_variable.map(|engine| ("CONVOY_ENGINE", engine)),
            files,
            |file| file.table.container.engine,
            EngineChoice::default(),
        ),
        build_std: sources.iter().rev().find_map(|source| source.build_std),
        tables: target_tables(selection, files, workspace_root),
        route: selection.routes.iter().rfind(|forced| forced.target.is_none()).map(|forced| forced.route),
        sources,
    })
}

/// The first that is given: by flag, by variable, by the last file that has it, by default.
fn pick<T: Clone>(
    flag: Option<T>,
    variable: Option<(&'static str, T)>,
    files: &[ConfigFile],
    read: impl Fn(&ConfigFile) -> Option<T>,
    default: T,
) -> Valued<T> {
    if let Some(value) = flag {
        return Valued { value, origin: Origin::CommandLine };
    }
    if let Some((name, value)) = variable {
        return Valued { value, origin: Origin::Environment(name) };
    }
    for file in files.iter().rev() {
        if let Some(value) = read(file) {
            return Valued { value, origin: Origin::File(file.name.clone()) };
        }
    }
    Valued { value: default, origin: Origin::Default }
}

fn targets(selection: &Selection, environment: &Environment, files: &[ConfigFile]) -> Result<Valued<Vec<String>>> {
    let words = |text: &String| text.split([',', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect();
    let targets: Valued<Vec<String>> = pick(
        (!selection.targets.is_empty()).then(|| selection.targets.clone()),
        environment.targets.as_ref().map(|text| ("CONVOY_TARGETS", words(text))),
        files,
        |file| file.table.targets.clone(),
        DEFAULT_MATRIX.iter().map(|word| (*word).to_owned()).collect(),
    );
    if targets.value.is_empty() {
        return Err(Error::usage(format!("`targets` is empty ({})", targets.origin))
            .hint("specify at least one target, or remove the setting to build the default targets"));
    }
    Ok(targets)
}

fn provision_variable(environment: &Environment) -> Result<Option<(&'static str, bool)>> {
    match environment.provision.as_deref() {
        None => Ok(None),
        Some("auto") => Ok(Some(("CONVOY_PROVISION", true))),
        Some("never") => Ok(Some(("CONVOY_PROVISION", false))),
        Some(other) => {
            Err(Error::usage(format!("invalid value `{other}` for `CONVOY_PROVISION`")).hint("use `auto` or `never`"))
        }
    }
}

/// What each file says for all targets.
fn general_tables(files: &[ConfigFile], workspace_root: &Utf8Path) -> Vec<GeneralTable> {
    let table = |file: &ConfigFile| GeneralTable {
        origin: Origin::File(file.name.clone()),
        supply: file.table.supply.clone().in_dir(workspace_root),
        container: file.table.container.clone().in_dir(workspace_root),
        build_std: file.table.build_std,
    };
    files.iter().map(table).collect()
}

/// The tables of files, and the routes of the command line, which outweigh them.
fn target_tables(selection: &Selection, files: &[ConfigFile], workspace_root: &Utf8Path) -> Vec<TargetTable> {
    let of_file = |file: &ConfigFile| {
        let origin = Origin::File(file.name.clone());
        let tables = file.table.target.clone().into_iter();
        tables.map(move |(word, settings)| TargetTable {
            word,
            settings: settings.in_dir(workspace_root),
            origin: origin.clone(),
        })
    };
    let forced = selection.routes.iter().filter_map(|forced| {
        let settings = TargetSettings { routes: Some(vec![forced.route]), ..TargetSettings::default() };
        Some(TargetTable { word: forced.target.clone()?, settings, origin: Origin::CommandLine })
    });
    files.iter().flat_map(of_file).chain(forced).collect()
}

fn engine_of(text: &str) -> Result<EngineChoice> {
    EngineChoice::from_name(text).ok_or_else(|| {
        Error::usage(format!("invalid value `{text}` for `CONVOY_ENGINE`"))
            .hint("use `docker`, `podman`, `none` or `auto`")
    })
}

impl Settings {
    /// What is said for a cell that goes by these names, the most specific last. Of several tables of one file that mean
    /// it the most specific wins, whatever their order; a file that weighs more beats one that weighs less. Lists add up.
    pub fn for_names<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> TargetSettings {
        let names: Vec<&str> = names.into_iter().collect();
        let mut merged = TargetSettings {
            supply: self.supply.clone(),
            container: self.container.clone(),
            build_std: self.build_std,
            ..TargetSettings::default()
        };
        let mut forced = self.route.map(|route| vec![route]);
        for source in self.tables.chunk_by(|a, b| a.origin == b.origin) {
            let place = |table: &TargetTable| {
                let word = Catalog::embedded().canonical(&table.word);
                names.iter().rposition(|name| *name == word)
            };
            let mut tables: Vec<_> = source.iter().filter_map(|table| Some((place(table)?, &table.settings))).collect();
            tables.sort_by_key(|(place, _)| *place);
            if source[0].origin == Origin::CommandLine {
                forced = tables.last().and_then(|(_, settings)| settings.routes.clone()).or(forced);
            } else {
                tables.iter().for_each(|(_, settings)| merged.overlay(settings));
            }
        }
        merged.routes = forced.or(merged.routes);
        merged
    }

    /// Where the packages of a sysroot come from: the archive that all share, or the one of a triple's own.
    pub fn archive_of(&self, triple: Option<&str>) -> Archive {
        let platform = triple.and_then(|triple| Catalog::embedded().target(triple)?.platform.as_deref());
        self.for_names(triple.into_iter().chain(platform)).supply.archive()
    }

    /// The files that images are made from.
    pub fn container_files(&self) -> impl Iterator<Item = &Utf8Path> {
        let tables = self.tables.iter().map(|table| &table.settings.container);
        std::iter::once(&self.container).chain(tables).flat_map(ContainerSettings::files)
    }

    /// Each value with its key and its origin, for `plan -v`.
    pub fn origins(&self) -> Vec<(String, String, String)> {
        let row = |key: &str, value: &str, origin: &Origin| (key.to_owned(), value.to_owned(), origin.to_string());
        let mut rows = vec![
            row("targets", &self.targets.value.join(", "), &self.targets.origin),
            row("dist-dir", self.dist_dir.value.as_str(), &self.dist_dir.origin),
            row("profile", &self.profile.value, &self.profile.origin),
        ];
        rows.extend(self.provisioning.origins().map(|(key, value, origin)| row(key, value, origin)));
        if self.windows.origin != Origin::Default {
            rows.push(row("windows", self.windows.value.name(), &self.windows.origin));
        }
        rows.push(row("engine", self.engine.value.name(), &self.engine.origin));
        rows.extend(self.route.map(|route| row("routes", route.name(), &Origin::CommandLine)));
        rows.extend(self.general_origins());
        for TargetTable { word, settings, origin } in &self.tables {
            rows.extend(
                settings.entries().iter().map(|(key, value)| row(&format!("target.{word}.{key}"), value, origin)),
            );
        }
        rows
    }

    /// What is said for all targets: of a value the file that weighs most, of a list every file that adds to it.
    fn general_origins(&self) -> Vec<(String, String, String)> {
        let general = |table: &GeneralTable| TargetSettings {
            supply: table.supply.clone(),
            container: table.container.clone(),
            build_std: table.build_std,
            ..TargetSettings::default()
        };
        let counts: BTreeMap<String, String> = TargetSettings {
            supply: self.supply.clone(),
            container: self.container.clone(),
            build_std: self.build_std,
            ..TargetSettings::default()
        }
        .entries()
        .into_iter()
        .collect();
        let mut rows = Vec::new();
        for table in self.sources.iter().rev() {
            for (key, value) in general(table).entries().into_iter().rev() {
                let adds = LISTS.iter().any(|list| key.ends_with(list));
                let known = rows.iter().any(|(other, ..): &(String, String, String)| *other == key);
                if adds && counts.contains_key(&key) || !known && counts.get(&key) == Some(&value) {
                    rows.push((key, value, table.origin.to_string()));
                }
            }
        }
        rows.reverse();
        rows
    }
}

/// The keys whose values add up over files.
const LISTS: [&str; 5] = [".packages", ".dockerfile-args", ".pre-build", ".passthrough", ".volumes"];
