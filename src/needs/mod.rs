//! Graph × target → needs: what the dependencies ask of the C world. Pure.
//!
//! Judged from build-dependencies and `links` keys, with `targets/needs.toml` where these mislead.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::graph::{Package, Slice};

/// What a dependency asks of the machine for one target.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Need {
    /// What is needed.
    pub kind: NeedKind,
    /// Its name: of a library, or that of the kind.
    pub name: String,
    /// For which side: the target's binary, or build scripts and proc-macros on this machine.
    pub side: Side,
    /// The package that asks.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Dependency paths from a selected package to it.
    pub paths: Vec<Vec<String>>,
    /// How we know.
    pub evidence: String,
    /// How sure we are.
    pub confidence: Confidence,
    /// What meets it; none where nothing does, and for tools.
    pub supply: Option<Supply>,
}

/// A kind of need.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NeedKind {
    /// A C compiler for the target.
    CCompiler,
    /// A C++ compiler and its standard library.
    CxxCompiler,
    /// A linker for the host's own build scripts and proc-macros.
    HostLinker,
    /// cmake.
    Cmake,
    /// make.
    Make,
    /// perl.
    Perl,
    /// nasm.
    Nasm,
    /// A library of the target's own system.
    SystemLibrary,
}

impl NeedKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            NeedKind::CCompiler => "c-compiler",
            NeedKind::CxxCompiler => "cxx-compiler",
            NeedKind::HostLinker => "host-linker",
            NeedKind::Cmake => "cmake",
            NeedKind::Make => "make",
            NeedKind::Perl => "perl",
            NeedKind::Nasm => "nasm",
            NeedKind::SystemLibrary => "system-library",
        }
    }

    /// The executable that must be on PATH, for needs that are one.
    pub fn tool(self) -> Option<&'static str> {
        match self {
            NeedKind::Cmake | NeedKind::Make | NeedKind::Perl | NeedKind::Nasm => Some(self.name()),
            _ => None,
        }
    }

    /// Every executable that a need can be.
    pub fn tools() -> impl Iterator<Item = &'static str> {
        [NeedKind::Cmake, NeedKind::Make, NeedKind::Perl, NeedKind::Nasm].into_iter().filter_map(NeedKind::tool)
    }
}

/// Which side of a cross-compilation a need is on.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The binary that is built.
    Target,
    /// Build scripts and proc-macros on this machine.
    Host,
}

/// How sure a need is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// From `targets/needs.toml`, or cargo's own rule.
    Known,
    /// From the manifest; the build script may do otherwise.
    Likely,
}

/// What meets a library need for one target.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Supply {
    /// What kind of supply.
    pub kind: SupplyKind,
    /// Its name.
    pub name: String,
    /// Its version, where known.
    pub version: Option<String>,
}

/// A kind of supply.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SupplyKind {
    /// The host's own package, for the host's own triple.
    Host,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    build: BTreeMap<String, Vec<NeedKind>>,
    probe: Probe,
    #[serde(rename = "crate")]
    crates: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Probe {
    crates: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Row {
    name: String,
    /// The version of the crate that the row was read from.
    read: String,
    library: Option<String>,
    unless_build_dependency: Option<String>,
    unless_feature: Option<String>,
    #[serde(default)]
    none: bool,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // Embedded and checked by a test below.
    toml::from_str(include_str!("../../targets/needs.toml"))
        .unwrap_or_else(|error| panic!("embedded targets/needs.toml: {error}"))
});

/// The needs of a slice of the graph, the most telling first: libraries, compilers, tools, the host's linker.
pub fn judge(slice: &Slice, target_is_host: bool) -> Vec<Need> {
    let mut needs = Vec::new();
    for package in slice.target.iter().filter(|package| package.has_build_script) {
        for (kind, name, evidence, confidence) in asks(package) {
            needs.push(Need {
                kind,
                supply: (kind == NeedKind::SystemLibrary && target_is_host).then(|| Supply {
                    kind: SupplyKind::Host,
                    name: name.clone(),
                    version: None,
                }),
                name,
                side: Side::Target,
                package: package.name.clone(),
                version: package.version.clone(),
                paths: vec![slice.path_to(package)],
                evidence,
                confidence,
            });
        }
    }
    needs.extend(host_linker(slice));
    needs.sort_by(|a, b| rank(a.kind).cmp(&rank(b.kind)).then_with(|| a.package.cmp(&b.package)));
    needs
}

fn rank(kind: NeedKind) -> u8 {
    match kind {
        NeedKind::SystemLibrary => 0,
        NeedKind::CxxCompiler => 1,
        NeedKind::CCompiler => 2,
        NeedKind::HostLinker => 4,
        _ => 3,
    }
}

type Ask = (NeedKind, String, String, Confidence);

fn asks(package: &Package) -> Vec<Ask> {
    let table = &*TABLE;
    if let Some(row) = table.crates.iter().find(|row| row.name == package.name) {
        let waived = row.unless_build_dependency.as_ref().is_some_and(|dep| package.build_dependencies.contains(dep))
            || row.unless_feature.as_ref().is_some_and(|feature| package.features.contains(feature));
        if row.none {
            return Vec::new();
        }
        if let Some(library) = row.library.as_ref().filter(|_| !waived) {
            let evidence = format!("targets/needs.toml, read from {} {}", row.name, row.read);
            return vec![(NeedKind::SystemLibrary, library.clone(), evidence, Confidence::Known)];
        }
    }
    let mut asks: Vec<Ask> = Vec::new();
    for dependency in &package.build_dependencies {
        for kind in table.build.get(dependency).into_iter().flatten() {
            if !asks.iter().any(|(other, ..)| other == kind) {
                let evidence = format!("build-dependency on `{dependency}`");
                asks.push((*kind, kind.name().to_owned(), evidence, Confidence::Likely));
            }
        }
    }
    let probe = package.build_dependencies.iter().find(|dependency| table.probe.crates.contains(dependency));
    if let Some(probe) = probe.filter(|_| asks.is_empty()) {
        let library = package.links.clone().unwrap_or_else(|| package.name.clone());
        let evidence = format!("build-dependency on `{probe}` and none that compiles C");
        asks.push((NeedKind::SystemLibrary, library, evidence, Confidence::Likely));
    }
    asks
}

fn host_linker(slice: &Slice) -> Option<Need> {
    let (package, evidence) = slice
        .host
        .iter()
        .find(|package| package.is_proc_macro)
        .map(|package| (package, "it is a proc-macro"))
        .or_else(|| {
            let script = slice.target.iter().chain(&slice.host).find(|package| package.has_build_script);
            script.map(|package| (package, "it has a build script"))
        })?;
    Some(Need {
        kind: NeedKind::HostLinker,
        name: NeedKind::HostLinker.name().to_owned(),
        side: Side::Host,
        package: package.name.clone(),
        version: package.version.clone(),
        paths: vec![slice.path_to(package)],
        evidence: evidence.to_owned(),
        confidence: Confidence::Known,
        supply: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, build_dependencies: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            has_build_script: true,
            build_dependencies: build_dependencies.iter().map(|d| (*d).to_owned()).collect(),
            ..Package::default()
        }
    }

    fn kinds(package: &Package) -> Vec<NeedKind> {
        asks(package).into_iter().map(|(kind, ..)| kind).collect()
    }

    #[test]
    fn build_dependencies_tell_what_a_script_starts() {
        assert_eq!(kinds(&package("ring", &["cc"])), [NeedKind::CCompiler]);
        assert_eq!(kinds(&package("zstd-sys", &["cc", "pkg-config"])), [NeedKind::CCompiler]);
        assert_eq!(kinds(&package("alsa-sys", &["pkg-config"])), [NeedKind::SystemLibrary]);
        assert_eq!(
            kinds(&package("rdkafka-sys", &["cmake"])),
            [NeedKind::CCompiler, NeedKind::CxxCompiler, NeedKind::Cmake]
        );
    }

    #[test]
    fn a_links_key_alone_is_no_need() {
        let rayon = Package { links: Some("rayon-core".to_owned()), ..package("rayon-core", &[]) };
        assert_eq!(kinds(&rayon), []);
    }

    #[test]
    fn vendored_openssl_needs_no_library() {
        assert_eq!(kinds(&package("openssl-sys", &["cc", "pkg-config"])), [NeedKind::SystemLibrary]);
        assert_eq!(
            kinds(&package("openssl-sys", &["cc", "openssl-src", "pkg-config"])),
            [NeedKind::CCompiler, NeedKind::Perl, NeedKind::Make]
        );
    }
}
