//! The shape of `targets/needs.toml`. Read twice: by the build script, so that a mistake in the table ends the build of
//! convoy, and by the library itself. Uses nothing of this crate.

use std::collections::BTreeMap;

use cfg_expr::Expression;
use semver::VersionReq;
use serde::Deserialize;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Rows {
    /// What a build-dependency on a crate means, where the user of it has no row of its own.
    #[serde(default)]
    pub build_dependency: Vec<BuildDependency>,
    /// What single crates ask for.
    #[serde(default, rename = "crate")]
    pub crates: Vec<Row>,
    /// System libraries.
    #[serde(default)]
    pub library: BTreeMap<String, Library>,
}

impl Rows {
    /// Reads the file, with the conditions of every rule.
    ///
    /// # Errors
    /// The text is no such table, or a condition cannot be read; with the row's name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let rows: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for row in &rows.crates {
            for rule in &row.needs {
                rule.conditions().map_err(|error| format!("row `{}`: {error}", row.name))?;
            }
        }
        Ok(rows)
    }
}

/// The conditions of a rule that are more than names.
#[derive(Debug)]
pub struct Conditions {
    /// The targets that it is true of.
    pub target: Target,
    /// The versions of the crate that it is true of; none for all.
    pub versions: Option<VersionReq>,
}

/// For which targets a rule is.
#[derive(Debug)]
pub enum Target {
    /// Any.
    All,
    /// One triple.
    Triple(String),
    /// Those for which an expression holds.
    Cfg(Box<Expression>),
}

impl Rule {
    /// Its conditions on target and version.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn conditions(&self) -> Result<Conditions, String> {
        let cfg = |text: &str| Expression::parse(text).map_err(|error| format!("target `{text}`: {}", error.reason));
        let target = match self.target.as_deref() {
            None => Target::All,
            Some(text) if text.starts_with("cfg(") => Target::Cfg(Box::new(cfg(text)?)),
            Some(text) if is_triple(text) => Target::Triple(text.to_owned()),
            Some(text) => return Err(format!("target `{text}`: it is neither a triple nor `cfg(…)`")),
        };
        let range = |text: &String| VersionReq::parse(text).map_err(|error| format!("versions `{text}`: {error}"));
        Ok(Conditions { target, versions: self.versions.as_ref().map(range).transpose()? })
    }
}

fn is_triple(text: &str) -> bool {
    let plain =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    text.contains('-') && text.split('-').all(plain)
}

/// A helper crate of build scripts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BuildDependency {
    /// The helper's name.
    pub name: String,
    /// What a build script that uses it starts.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Whether it looks for a library of the target's system.
    #[serde(default)]
    pub finds_library: bool,
    /// Whether it compiles resources, for Windows.
    #[serde(default)]
    pub compiles_resources: bool,
}

/// What one crate asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Row {
    /// The crate.
    pub name: String,
    /// The version whose manifest and build script were read.
    pub read: String,
    /// What it asks for; the rules whose conditions hold add up.
    pub needs: Vec<Rule>,
    /// Variables that lead its build script to libraries in a sysroot, for a crate that asks neither pkg-config nor the
    /// linker. Names and values may hold `{TARGET}` and `{target}` (the triple with underscores, in capitals or not),
    /// `{root}`, `{lib}`, `{include}` and `{multiarch-include}`; a name must hold the target, as several targets share
    /// one environment.
    #[serde(default)]
    pub sysroot_env: BTreeMap<String, String>,
}

/// Something asked for under conditions, all of which must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Rule {
    /// `cc`, `c++` or a tool's name.
    pub tools: Vec<String>,
    /// Keys of the `library` tables.
    pub libraries: Vec<String>,
    /// Apple frameworks.
    pub frameworks: Vec<String>,
    /// DLLs beyond what every toolchain for windows-gnu can link against.
    pub import_libraries: Vec<String>,
    /// What the build script fetches over the network.
    pub download: Option<String>,
    /// Why the crate does not compile for such a target.
    pub unsupported: Option<String>,
    /// Variables that its build script reads, and that convoy sets, each with its value. A name holds `{TARGET}` (the
    /// triple in capitals, with underscores), as several targets share one environment. One that is set already stays.
    pub set: BTreeMap<String, String>,
    /// Whether the libraries are looked for with pkg-config and by no other way, so that one which the target's system
    /// has, but no pkg-config here knows, does not serve.
    pub by_pkg_config: bool,
    /// Whether the build script itself loads the libraries, so that only this machine's own serve.
    pub loaded: bool,

    /// At least one of these features is on.
    pub features: Vec<String>,
    /// None of these features is on.
    pub unless_features: Vec<String>,
    /// A triple, or a `cfg(…)` expression.
    pub target: Option<String>,
    /// The target is of another architecture or another operating system than this machine.
    pub cross: bool,
    /// At least one of these crates is an active build-dependency.
    pub build_dependencies: Vec<String>,
    /// None of these crates is an active build-dependency.
    pub unless_build_dependencies: Vec<String>,
    /// At least one of these crates is an active dependency.
    pub dependencies: Vec<String>,
    /// None of these crates is an active dependency.
    pub unless_dependencies: Vec<String>,
    /// At least one of these variables is set (`NAME`) or has that value (`NAME=value`).
    pub env: Vec<String>,
    /// None of these variables is set, or has that value.
    pub unless_env: Vec<String>,
    /// The versions of the crate that it is true of.
    pub versions: Option<String>,
}

/// A system library.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Library {
    /// Its name in pkg-config.
    pub pkg_config: Option<String>,
    /// The names that a linker is given.
    pub link: Vec<String>,
    /// The file of the runtime library that is enough on this machine itself, for build scripts that link it where
    /// pkg-config knows none.
    pub runtime: Option<String>,
    /// Debian's packages with headers and library.
    pub debian: Vec<String>,
    /// The same in Debian 11, where they differ.
    pub debian_bullseye: Vec<String>,
    /// The same in Debian 13, where they differ.
    pub debian_trixie: Vec<String>,
    /// Fedora's.
    pub fedora: Vec<String>,
    /// Arch's.
    pub arch: Vec<String>,
    /// Homebrew's.
    pub brew: Vec<String>,
    /// Whether its interface is C++, and so the distribution's libstdc++.
    pub cxx: bool,
    /// Whether every toolchain for windows-gnu can link against it.
    pub windows: bool,
}

impl Library {
    /// Debian's packages with headers and library in one of its releases.
    pub fn debian_in(&self, suite: &str) -> &[String] {
        let differing = match suite {
            "bullseye" => &self.debian_bullseye,
            "trixie" => &self.debian_trixie,
            _ => &self.debian,
        };
        if differing.is_empty() { &self.debian } else { differing }
    }
}
