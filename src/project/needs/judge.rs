//! One slice of the graph → its needs.

use std::collections::{BTreeMap, BTreeSet};

use super::circumstances::Ternary;
use super::{Circumstances, Confidence, Need, NeedKind, Side, Table};
use crate::model::catalog::tools;
use crate::model::needs::{BuildDependency, Rule};
use crate::model::triple::Triple;
use crate::project::config::UserNeeds;
use crate::project::evidence::{Call, Evidence, Guard, Script, What, same_feature};
use crate::project::graph::{Package, Slice};

/// Everything that is known besides the graph.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Knowledge<'a> {
    /// What packages show of themselves, by package id.
    pub evidence: &'a BTreeMap<String, Evidence>,
    /// What the user's configuration says of crates, by name.
    pub user: &'a BTreeMap<String, UserNeeds>,
    /// The environment that build scripts will see.
    pub env: &'a BTreeMap<String, String>,
}

/// How many dependency paths a need carries.
const PATHS: usize = 4;

/// The needs of a slice of the graph, the most telling first.
pub(crate) fn judge(slice: &Slice, target: &str, host: &str, knowledge: Knowledge<'_>) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::new();
    for (side, packages, triple) in [(Side::Target, &slice.target, target), (Side::Host, &slice.host, host)] {
        let circumstances = Circumstances::new(triple, host, knowledge.env);
        for package in packages {
            let asks = asked(package, circumstances, knowledge);
            if asks.is_empty() {
                continue;
            }
            let paths = slice.paths_to(&package.id, PATHS);
            let paths = if paths.is_empty() { vec![vec![package.name.clone()]] } else { paths };
            needs.extend(asks.into_iter().map(|ask| Need {
                kind: ask.kind,
                name: ask.name,
                side,
                package: package.name.clone(),
                version: package.version.clone(),
                paths: paths.clone(),
                evidence: ask.evidence,
                confidence: ask.confidence,
                by_pkg_config: ask.by_pkg_config,
                loaded: ask.loaded,
                supply: None,
            }));
        }
    }
    needs.extend(host_linker(slice));
    needs.sort_by(|a, b| {
        (a.kind, a.side, a.confidence, &a.package, &a.name).cmp(&(b.kind, b.side, b.confidence, &b.package, &b.name))
    });
    needs
}

/// Something that one package asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What is needed.
    pub kind: NeedKind,
    /// Its name.
    pub name: String,
    evidence: String,
    confidence: Confidence,
    by_pkg_config: bool,
    loaded: bool,
}

/// The asks of one package; each thing once, with the surest evidence.
#[derive(Debug, Default)]
struct Asks(Vec<Asked>);

impl Asks {
    fn add(&mut self, kind: NeedKind, name: &str, evidence: &str, confidence: Confidence) {
        let (name, evidence) = (name.to_owned(), evidence.to_owned());
        self.put(Asked { kind, name, evidence, confidence, by_pkg_config: false, loaded: false });
    }

    /// A library that is found in a way of its own.
    fn add_library(&mut self, name: &str, evidence: &str, confidence: Confidence, by_pkg_config: bool, loaded: bool) {
        let (kind, name, evidence) = (NeedKind::SystemLibrary, name.to_owned(), evidence.to_owned());
        self.put(Asked { kind, name, evidence, confidence, by_pkg_config, loaded });
    }

    fn put(&mut self, ask: Asked) {
        match self.0.iter_mut().find(|other| other.kind == ask.kind && other.name == ask.name) {
            // A library that is linked by name as well is still asked of pkg-config.
            Some(other) if other.confidence == ask.confidence => {
                other.by_pkg_config |= ask.by_pkg_config;
                other.loaded |= ask.loaded;
            }
            Some(other) if other.confidence < ask.confidence => {}
            Some(other) => *other = ask,
            None => self.0.push(ask),
        }
    }

    fn add_tool(&mut self, tool: &str, evidence: &str, confidence: Confidence) {
        match tool {
            "cc" => self.add(NeedKind::CCompiler, NeedKind::CCompiler.name(), evidence, confidence),
            "c++" => self.add(NeedKind::CxxCompiler, NeedKind::CxxCompiler.name(), evidence, confidence),
            tool => self.add(NeedKind::Tool, tool, evidence, confidence),
        }
    }
}

/// What one package asks for.
pub(crate) fn asked(package: &Package, circumstances: Circumstances<'_>, knowledge: Knowledge<'_>) -> Vec<Asked> {
    let mut asks = Asks::default();
    if let Some(user) = knowledge.user.get(&package.name) {
        for tool in &user.tools {
            asks.add_tool(tool, "set in `Convoy.toml`", Confidence::Known);
        }
        for library in &user.libraries {
            asks.add(NeedKind::SystemLibrary, library_key(library), "set in `Convoy.toml`", Confidence::Known);
        }
    } else if let Some((row, rules)) = Table::embedded().asks(package, circumstances) {
        let evidence = format!("targets/needs.toml, based on {} {}", row.name, row.read);
        for rule in rules {
            known(rule, circumstances, &evidence, &mut asks);
        }
    } else {
        shown(package, circumstances, knowledge.evidence.get(&package.id), &mut asks);
    }
    asks.0
}

fn known(rule: &Rule, circumstances: Circumstances<'_>, evidence: &str, asks: &mut Asks) {
    for tool in &rule.tools {
        asks.add_tool(tool, evidence, Confidence::Known);
    }
    for library in &rule.libraries {
        asks.add_library(library, evidence, Confidence::Known, rule.by_pkg_config, rule.loaded);
    }
    if circumstances.os() == "macos" {
        for framework in &rule.frameworks {
            asks.add(NeedKind::Framework, framework, evidence, Confidence::Known);
        }
    }
    if circumstances.os() == "windows" {
        for library in &rule.import_libraries {
            asks.add(NeedKind::ImportLibrary, library, evidence, Confidence::Known);
        }
    }
    for (name, value) in &rule.set {
        let assignment = format!("{}={value}", circumstances.named(name));
        asks.add(NeedKind::Variable, &assignment, evidence, Confidence::Known);
    }
    if let Some(what) = &rule.download {
        asks.add(NeedKind::Download, what, evidence, Confidence::Known);
    }
    if let Some(why) = &rule.unsupported {
        asks.add(NeedKind::Unsupported, why, evidence, Confidence::Known);
    }
}

/// What the package itself shows.
fn shown(package: &Package, circumstances: Circumstances<'_>, evidence: Option<&Evidence>, asks: &mut Asks) {
    let empty = Evidence::default();
    let evidence = evidence.unwrap_or(&empty);
    if package.has_build_script {
        match &evidence.script {
            Script::Read => script(package, circumstances, evidence, asks),
            Script::Unreadable(why) => {
                manifest(package, circumstances, &format!(" (its build script could not be analyzed: {why})"), asks)
            }
            Script::None => manifest(package, circumstances, "", asks),
        }
    }
    link_blocks(package, circumstances, evidence, asks);
}

/// From the manifest alone, where the build script could not be read.
fn manifest(package: &Package, circumstances: Circumstances<'_>, remark: &str, asks: &mut Asks) {
    let table = Table::embedded();
    let helpers: Vec<_> = package.build_dependencies.iter().filter_map(|name| table.helpers.get(name)).collect();
    for helper in &helpers {
        let evidence = format!("build-dependency on `{}`{remark}", helper.name);
        for tool in tools_of(helper, circumstances) {
            asks.add_tool(tool, &evidence, Confidence::Likely);
        }
    }
    let compiles = helpers.iter().any(|helper| compiles(&helper.tools));
    if let Some(helper) = helpers.iter().find(|helper| helper.finds_library).filter(|_| !compiles) {
        let library = package.links.as_deref().unwrap_or(&package.name);
        let evidence =
            format!("build-dependency on `{}`, and no build-dependency that compiles C{remark}", helper.name);
        asks.add(NeedKind::SystemLibrary, library_key(library), &evidence, Confidence::Likely);
    }
}

/// What a helper starts for a target.
fn tools_of<'a>(helper: &'a BuildDependency, circumstances: Circumstances<'_>) -> impl Iterator<Item = &'a str> {
    let triple = Triple::from(circumstances.triple);
    let resources = match (helper.compiles_resources, triple.is_msvc(), triple.is_mingw()) {
        (true, true, _) => Some("llvm-rc"),
        (true, _, true) => Some("windres"),
        _ => None,
    };
    helper.tools.iter().map(String::as_str).chain(resources)
}

fn compiles(tools: &[String]) -> bool {
    tools.iter().any(|tool| tool == "cc" || tool == "c++")
}

/// From the build script's own calls.
fn script(package: &Package, circumstances: Circumstances<'_>, evidence: &Evidence, asks: &mut Asks) {
    let table = Table::embedded();
    let reached: Vec<(&Call, bool)> = evidence
        .calls
        .iter()
        .filter_map(|call| match reached(&call.guards, package, circumstances) {
            Some(true) => Some((call, true)),
            None => Some((call, false)),
            Some(false) => None,
        })
        .collect();
    let helper_compiles = |name: &String| table.helpers.get(name).is_some_and(|helper| compiles(&helper.tools));
    let compiles_own =
        reached.iter().any(|(call, _)| matches!(&call.what, What::Helper(name) if helper_compiles(name)));
    let os = circumstances.os();
    for (call, sure) in reached {
        let sureness = if sure { Confidence::Likely } else { Confidence::Unknown };
        match &call.what {
            What::Helper(name) => {
                let Some(helper) = table.helpers.get(name) else { continue };
                let text = format!("{}: uses `{name}`", call.place);
                for tool in tools_of(helper, circumstances) {
                    // A compiler costs nothing to give, so that one is not left to chance.
                    let compiler = tool == "cc" || tool == "c++";
                    asks.add_tool(tool, &text, if compiler { Confidence::Likely } else { sureness });
                }
            }
            What::Cxx => asks.add_tool("c++", &format!("{}: compiles C++", call.place), Confidence::Likely),
            What::PkgConfig { name, optional } => {
                // What is not found is compiled, or done without.
                if compiles_own || *optional {
                    continue;
                }
                let library = name.as_deref().or(package.links.as_deref()).unwrap_or(&package.name);
                let text = format!("{}: asks pkg-config for {library}", call.place);
                asks.add_library(library_key(library), &text, sureness, true, false);
            }
            What::Command(program) => {
                let Some((name, tool)) = tool_of(program) else { continue };
                let sureness = if tool.often_optional { Confidence::Unknown } else { sureness };
                asks.add_tool(name, &format!("{}: runs `{program}`", call.place), sureness);
            }
            What::LinkLib { kind, name } if kind == "framework" => {
                if os == "macos" {
                    let text = format!("{}: links the framework {name}", call.place);
                    asks.add(NeedKind::Framework, name, &text, sureness);
                }
            }
            What::LinkLib { kind, name } => {
                let key = link_key(name);
                // What a script compiles it links statically; a shared library that it names so is another's.
                let compiled = compiles_own && !(kind == "dylib" && table.libraries.contains_key(key));
                if kind == "static" || compiled || of_the_system(name, os) {
                    continue;
                }
                // A name that convoy knows no library by may come with a compiler, or be made by the script itself.
                let sureness = if table.libraries.contains_key(key) { sureness } else { Confidence::Unknown };
                asks.add(NeedKind::SystemLibrary, key, &format!("{}: links -l{name}", call.place), sureness);
            }
        }
    }
}

/// The tool that an executable belongs to; none for what every machine has, or convoy does not know.
fn tool_of(program: &str) -> Option<(&'static str, &'static tools::Tool)> {
    let belongs = |tool: &tools::Tool| tool.any_of.iter().chain(&tool.all_of).any(|name| name == program);
    tools::tools().iter().find(|(_, tool)| belongs(tool)).map(|(name, tool)| (name.as_str(), tool))
}

/// Whether a call is reached.
fn reached(guards: &[Guard], package: &Package, circumstances: Circumstances<'_>) -> Ternary {
    Guard::all_hold(guards, &|guard| match guard {
        Guard::Feature { name, on } => Some(package.features.iter().any(|feature| same_feature(feature, name)) == *on),
        Guard::Target { cfg, holds } => circumstances.target_is(cfg, &package.features).map(|truth| truth == *holds),
        Guard::Host { cfg, holds } => circumstances.host_is(cfg, &package.features).map(|truth| truth == *holds),
        Guard::Env { name, set } => Some(circumstances.is_set(name) == *set),
        // Whether pkg-config knows a library for another architecture depends on more than is known here.
        _ => None,
    })
}

/// The environment variables that guards look at.
pub(crate) fn variables<'a>(evidence: impl IntoIterator<Item = &'a Evidence>) -> BTreeSet<&'a str> {
    fn collect<'a>(guards: &'a [Guard], names: &mut BTreeSet<&'a str>) {
        for guard in guards {
            match guard {
                Guard::Env { name, .. } => {
                    names.insert(name);
                }
                Guard::All(guards) | Guard::Any(guards) => collect(guards, names),
                _ => {}
            }
        }
    }
    let mut names = BTreeSet::new();
    for call in evidence.into_iter().flat_map(|evidence| &evidence.calls) {
        collect(&call.guards, &mut names);
    }
    names
}

fn link_blocks(package: &Package, circumstances: Circumstances<'_>, evidence: &Evidence, asks: &mut Asks) {
    let os = circumstances.os();
    // Its own build script brings what these blocks name.
    let compiles = asks.0.iter().any(|ask| matches!(ask.kind, NeedKind::CCompiler | NeedKind::CxxCompiler));
    for link in &evidence.links {
        let cfgs: Vec<Guard> = link.cfgs.iter().map(|cfg| Guard::Target { cfg: cfg.clone(), holds: true }).collect();
        let confidence = match reached(&cfgs, package, circumstances) {
            Some(true) => Confidence::Likely,
            None => Confidence::Unknown,
            Some(false) => continue,
        };
        let text = format!("{}: #[link(name = \"{}\")]", link.place, link.name);
        match (link.kind.as_str(), os) {
            ("framework", "macos") => asks.add(NeedKind::Framework, &link.name, &text, confidence),
            ("framework" | "static" | "raw-dylib", _) => {}
            (_, "windows") if confidence == Confidence::Unknown => {}
            (_, "windows") => asks.add(NeedKind::ImportLibrary, &link.name, &text, confidence),
            _ if compiles || of_the_system(&link.name, os) => {}
            // A name that convoy knows no library by may be anything, made by the build script in ways it does not see.
            _ => {
                let key = link_key(&link.name);
                let known = Table::embedded().libraries.contains_key(key);
                match (known, confidence) {
                    (true, confidence) => asks.add(NeedKind::SystemLibrary, key, &text, confidence),
                    (false, Confidence::Unknown) => {}
                    (false, _) => asks.add(NeedKind::SystemLibrary, key, &text, Confidence::Unknown),
                }
            }
        }
    }
}

/// Whether a library comes with every C toolchain for the system.
fn of_the_system(name: &str, os: &str) -> bool {
    const LIBC: &[&str] = &[
        "c", "m", "dl", "pthread", "rt", "util", "gcc", "gcc_s", "gcc_eh", "atomic", "gomp", "resolv", "nsl", "anl",
        "c++", "stdc++", "unwind", "System", "System.B",
    ];
    os == "windows" || LIBC.contains(&name)
}

fn library_key(name: &str) -> &str {
    Table::embedded().by_pkg_config(name).unwrap_or(name)
}

fn link_key(name: &str) -> &str {
    Table::embedded().by_link_name(name).unwrap_or(name)
}

fn host_linker(slice: &Slice) -> Option<Need> {
    let (package, evidence) =
        slice.host.iter().find(|package| package.is_proc_macro).map(|package| (package, "proc-macro")).or_else(
            || {
                let script = slice.target.iter().chain(&slice.host).find(|package| package.has_build_script);
                script.map(|package| (package, "build script"))
            },
        )?;
    Some(Need {
        kind: NeedKind::HostLinker,
        name: NeedKind::HostLinker.name().to_owned(),
        side: Side::Host,
        package: package.name.clone(),
        version: package.version.clone(),
        paths: vec![slice.path_to(package)],
        evidence: evidence.to_owned(),
        confidence: Confidence::Known,
        by_pkg_config: false,
        loaded: false,
        supply: None,
    })
}

/// The packages whose evidence a judgement of these slices looks at, each once.
pub(crate) fn unread<'a>(
    slices: impl IntoIterator<Item = &'a Slice>,
    user: &BTreeMap<String, UserNeeds>,
) -> Vec<&'a Package> {
    let table = Table::embedded();
    let mut seen = BTreeSet::new();
    slices
        .into_iter()
        .flat_map(|slice| slice.target.iter().chain(&slice.host))
        .filter(|package| !user.contains_key(&package.name) && !table.has(&package.name))
        .filter(|package| seen.insert(package.id.as_str()))
        .collect()
}

#[cfg(test)]
mod tests;
