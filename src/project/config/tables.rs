//! The tables of a configuration file that are about one target or one crate.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde::Deserialize;

use super::container::{self, ContainerSettings};
use super::supply::SupplySettings;
use crate::model::catalog::{Glibc, tools};
use crate::model::request::RouteKind;
use crate::util::suggest::did_you_mean;

/// One `[target."<triple, platform or device>"]` table.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", default)]
pub struct TargetSettings {
    /// Order of preference; one entry forces it.
    pub routes: Option<Vec<RouteKind>>,
    /// The glibc floor.
    #[serde(deserialize_with = "floor")]
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
    pub(super) fn overlay(&mut self, over: &TargetSettings) {
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

    /// What it says, by its keys, for `plan -v`.
    pub(super) fn entries(&self) -> Vec<(String, String)> {
        let mut words = Vec::new();
        let mut say = |key: &str, value: Option<String>| words.extend(value.map(|value| (key.to_owned(), value)));
        let some = |text: String| (!text.is_empty()).then_some(text);
        say(
            "routes",
            self.routes.as_ref().map(|routes| routes.iter().map(|r| r.name()).collect::<Vec<_>>().join(", ")),
        );
        say("glibc", self.glibc.map(|glibc| glibc.to_string()));
        say("cpu", self.cpu.clone());
        say("build-std", self.build_std.map(|build| build.to_string()));
        say("features", some(self.features.join(", ")));
        say("rustflags", some(self.rustflags.join(" ")));
        // Values may be secrets.
        say("env", some(self.env.keys().map(String::as_str).collect::<Vec<_>>().join(", ")));
        words.extend(self.supply.entries().into_iter().map(|(key, value)| (format!("supply.{key}"), value)));
        words.extend(self.container.entries().into_iter().map(|(key, value)| (format!("container.{key}"), value)));
        words
    }

    /// The same, its files taken from a folder.
    pub(super) fn in_dir(mut self, dir: &Utf8Path) -> Self {
        self.supply = self.supply.in_dir(dir);
        self.container = self.container.in_dir(dir);
        self
    }
}

/// A floor that Rust's own std can start on.
fn floor<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Glibc>, D::Error> {
    let floor = Glibc::deserialize(deserializer)?;
    if floor < Glibc::OLDEST {
        let oldest = Glibc::OLDEST;
        return Err(serde::de::Error::custom(format!(
            "glibc {floor} is older than {oldest}, which Rust's standard library requires"
        )));
    }
    Ok(Some(floor))
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
            serde::de::Error::custom(format!("unknown tool `{word}`{near}"))
        }),
    };
    Vec::<String>::deserialize(deserializer)?.into_iter().map(name).collect()
}
