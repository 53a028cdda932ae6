//! Settings: command line > environment (`CONVOY_*`) > `Convoy.toml` > `[package.metadata.convoy]` >
//! `[workspace.metadata.convoy]` > `Cross.toml` > default; each value with its origin.

mod container;
mod cross;
mod file;
mod image;
mod supply;
mod volume;

use std::collections::BTreeMap;
use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use crate::catalog::{Catalog, DEFAULT_MATRIX, Glibc, tools};
use crate::error::{Error, Result};
use crate::request::{EngineChoice, RouteKind, Selection};
use crate::suggest::did_you_mean;
use crate::sysroot::Archive;
pub use container::{ContainerSettings, ImageSource, PreBuild, ToolchainSource};
#[cfg(any(fuzzing, test))]
pub(crate) use cross::parse as parse_cross;
pub use cross::{cross_deb_arch, cross_file, cross_variables, load_cross};
pub use file::{ConfigFile, load, metadata_files};
pub use supply::{SupplySettings, SupplySource};
pub use volume::{Mount, Volume};

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

/// A `[needs.<crate>]` table: it replaces all that convoy knows of the crate.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", default)]
pub struct UserNeeds {
    /// `cc`, `c++`, or tools, by their names in `targets/tools.toml`.
    #[serde(deserialize_with = "known_tools")]
    pub tools: Vec<String>,
    /// Libraries, by their names in pkg-config.
    pub libraries: Vec<String>,
}

/// Tools by their own names, for those that are called by an executable's. One that is not known could never be found.
fn known_tools<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<String>, D::Error> {
    let name = |word: String| match word.as_str() {
        "cc" | "gcc" => Ok("cc".to_owned()),
        "c++" | "g++" => Ok("c++".to_owned()),
        _ => tools::name_of(&word).map(str::to_owned).ok_or_else(|| {
            let near = did_you_mean(&word, tools::tools().keys().map(String::as_str).chain(["cc", "c++"]));
            serde::de::Error::custom(format!("`{word}` is no tool that convoy knows{near}"))
        }),
    };
    Vec::<String>::deserialize(deserializer)?.into_iter().map(name).collect()
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
    /// Whether things may be brought to this machine.
    pub provision: Valued<bool>,
    /// Whether nothing may go over the network.
    pub offline: bool,
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
    /// `[target."…"]` tables, in order of rising weight, by the word they are written under.
    pub tables: Vec<(String, TargetSettings)>,
}

/// One `[target."<triple, platform or device>"]` table.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", default)]
pub struct TargetSettings {
    /// Order of preference; one entry forces it.
    pub routes: Option<Vec<RouteKind>>,
    /// The glibc floor.
    pub glibc: Option<Glibc>,
    /// Features to add.
    pub features: Vec<String>,
    /// rustc flags to add.
    pub rustflags: Vec<String>,
    /// Environment of the build.
    pub env: BTreeMap<String, String>,
    /// rustc's name of the CPU.
    pub cpu: Option<String>,
    /// Whether std is built from source.
    pub build_std: Option<bool>,
    /// Where libraries come from.
    pub supply: SupplySettings,
    /// How its container is made.
    #[serde(deserialize_with = "container::one_source")]
    pub container: ContainerSettings,
    /// Whether its mirrors are its own, and not those of `[supply]`.
    #[serde(skip)]
    pub own_archive: bool,
}

impl TargetSettings {
    fn overlay(&mut self, over: &TargetSettings) {
        let over = over.clone();
        let TargetSettings { routes, glibc, features, rustflags, env, cpu, build_std, supply, container, .. } = over;
        self.routes = routes.or(self.routes.take());
        self.glibc = glibc.or(self.glibc);
        self.cpu = cpu.or(self.cpu.take());
        self.build_std = build_std.or(self.build_std);
        self.features.extend(features);
        self.rustflags.extend(rustflags);
        self.env.extend(env);
        self.own_archive |= supply.mirrors.is_some();
        self.supply.overlay(supply);
        self.container.overlay(container);
    }

    /// The same, its files taken from a folder.
    fn in_dir(mut self, dir: &Utf8Path) -> Self {
        self.supply = self.supply.in_dir(dir);
        self.container = self.container.in_dir(dir);
        self
    }
}

/// The environment variables that settle something.
#[derive(Clone, Debug, Default)]
pub struct Environment {
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
}

impl Environment {
    /// Reads them from this process.
    pub fn of_process() -> Self {
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            targets: read("CONVOY_TARGETS"),
            dist_dir: read("CONVOY_DIST_DIR"),
            profile: read("CONVOY_PROFILE"),
            provision: read("CONVOY_PROVISION"),
            engine: read("CONVOY_ENGINE"),
            cross_config: read("CROSS_CONFIG"),
        }
    }
}

/// Settles everything. `files` in order of rising weight; relative paths of the command line and the environment are
/// taken from `cwd`, those of a file from the workspace.
pub fn settle(
    selection: &Selection,
    environment: &Environment,
    files: &[ConfigFile],
    workspace_root: &Utf8Path,
    cwd: &Utf8Path,
) -> Result<Settings> {
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
            .hint("name at least one target, or leave the key out for the default matrix"));
    }
    let provision_variable = match environment.provision.as_deref() {
        None => None,
        Some("auto") => Some(("CONVOY_PROVISION", true)),
        Some("never") => Some(("CONVOY_PROVISION", false)),
        Some(other) => {
            return Err(Error::usage(format!("CONVOY_PROVISION is `{other}`")).hint("use `auto` or `never`"));
        }
    };
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
        provision: pick(
            selection.no_provision.then_some(false),
            provision_variable,
            files,
            |file| file.table.provision.map(|provision| provision == file::ProvisionMode::Auto),
            true,
        ),
        offline: selection.offline,
        ignore_needs: selection.ignore_needs,
        needs: files.iter().flat_map(|file| file.table.needs.clone()).collect(),
        supply: files.iter().fold(SupplySettings::default(), |mut supply, file| {
            supply.overlay(file.table.supply.clone().in_dir(workspace_root));
            supply
        }),
        container: files.iter().fold(ContainerSettings::default(), |mut container, file| {
            container.overlay(file.table.container.clone().in_dir(workspace_root));
            container
        }),
        engine: pick(
            selection.engine,
            engine_variable.map(|engine| ("CONVOY_ENGINE", engine)),
            files,
            |file| file.table.container.engine,
            EngineChoice::default(),
        ),
        build_std: files.iter().rev().find_map(|file| file.table.build_std),
        tables: files
            .iter()
            .flat_map(|file| file.table.target.clone())
            .map(|(word, table)| (word, table.in_dir(workspace_root)))
            .collect(),
    })
}

fn engine_of(text: &str) -> Result<EngineChoice> {
    EngineChoice::from_name(text).ok_or_else(|| {
        Error::usage(format!("CONVOY_ENGINE is `{text}`")).hint("use `docker`, `podman`, `none` or `auto`")
    })
}

impl Settings {
    /// What the tables say for a cell that goes by these names.
    pub fn for_names<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> TargetSettings {
        let names: Vec<&str> = names.into_iter().collect();
        let mut merged = TargetSettings {
            supply: self.supply.clone(),
            container: self.container.clone(),
            build_std: self.build_std,
            ..TargetSettings::default()
        };
        for (word, table) in &self.tables {
            if names.contains(&word.as_str()) {
                merged.overlay(table);
            }
        }
        merged
    }

    /// Where the packages of a sysroot come from: the archive that all share, or the one of a triple's own.
    pub fn archive_of(&self, triple: Option<&str>) -> Archive {
        let platform = triple.and_then(|triple| Catalog::embedded().target(triple)?.platform.as_deref());
        self.for_names(triple.into_iter().chain(platform)).supply.archive()
    }

    /// The files that images are made from.
    pub fn container_files(&self) -> impl Iterator<Item = &Utf8Path> {
        let tables = self.tables.iter().map(|(_, table)| &table.container);
        std::iter::once(&self.container).chain(tables).flat_map(ContainerSettings::files)
    }

    /// Each value's origin, for `plan -v`.
    pub fn origins(&self) -> Vec<(String, String, String)> {
        let mut rows = vec![
            ("targets".to_owned(), self.targets.value.join(", "), self.targets.origin.to_string()),
            ("dist-dir".to_owned(), self.dist_dir.value.to_string(), self.dist_dir.origin.to_string()),
            ("profile".to_owned(), self.profile.value.clone(), self.profile.origin.to_string()),
            (
                "provision".to_owned(),
                if self.provision.value { "auto" } else { "never" }.to_owned(),
                self.provision.origin.to_string(),
            ),
            ("engine".to_owned(), self.engine.value.to_string(), self.engine.origin.to_string()),
        ];
        if self.supply != SupplySettings::default() {
            rows.push(("supply".to_owned(), self.supply.said().join("; "), "configuration".to_owned()));
        }
        let container = self.container.said();
        if !container.is_empty() {
            rows.push(("container".to_owned(), container.join("; "), "configuration".to_owned()));
        }
        if let Some(build_std) = self.build_std {
            rows.push(("build-std".to_owned(), build_std.to_string(), "configuration".to_owned()));
        }
        for (word, table) in &self.tables {
            let mut said = Vec::new();
            said.extend(table.routes.as_ref().map(|r| {
                let names: Vec<&str> = r.iter().map(|route| route.name()).collect();
                format!("routes = {}", names.join(", "))
            }));
            said.extend(table.glibc.map(|glibc| format!("glibc = {glibc}")));
            said.extend(table.cpu.as_ref().map(|cpu| format!("cpu = {cpu}")));
            said.extend(table.build_std.map(|build| format!("build-std = {build}")));
            if !table.features.is_empty() {
                said.push(format!("features = {}", table.features.join(", ")));
            }
            if !table.rustflags.is_empty() {
                said.push(format!("rustflags = {}", table.rustflags.join(" ")));
            }
            // Values may be secrets.
            said.extend(table.env.keys().map(|name| format!("env {name}")));
            said.extend(table.supply.said().into_iter().map(|said| format!("supply.{said}")));
            said.extend(table.container.said().into_iter().map(|said| format!("container.{said}")));
            rows.push((format!("target.{word}"), said.join("; "), "configuration".to_owned()));
        }
        rows
    }
}
