//! What the dependencies ask of the C world, from what is known of them and what they show of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::Utf8Path;

use crate::machine::interrupt::Interrupt;
use crate::machine::{self, CacheDir, Machine};
use crate::plan::container;
use crate::plan::{Cell, CellInput};
use crate::project::config::{ContainerSettings, Settings};
use crate::project::evidence::{self, Evidence, Source};
use crate::project::graph::{Graph, Slice, checksums};
use crate::project::needs::{self, Knowledge, Need, NeedKind, Side, Table};
use crate::report::{Phase, Reporter};
use crate::util::error::Result;

/// Where packages are read, and with what.
pub(super) struct Look<'a> {
    /// Where the command was started.
    pub cwd: &'a Utf8Path,
    /// The workspace.
    pub root: &'a Utf8Path,
    /// The variables that build scripts see.
    pub environment: &'a BTreeMap<String, String>,
    pub cache: &'a CacheDir,
    pub reporter: &'a Reporter,
    pub interrupt: &'a Interrupt,
}

/// The cells with what their dependencies need, and how that is known.
pub(super) struct Demand {
    pub cells: Vec<CellInput>,
    pub sources: Vec<Source>,
    pub evidence: BTreeMap<String, Evidence>,
}

/// Judges what the cells' packages need; adds to the machine's facts the variables that count and the libraries that were
/// looked for.
///
/// # Errors
/// A signal came.
pub(super) fn judge(
    graph: &Graph,
    slices: &BTreeMap<String, Arc<Slice>>,
    cells: Vec<Cell>,
    settings: &Settings,
    machine: &mut Machine,
    look: &Look<'_>,
) -> Result<Demand> {
    let (sources, evidence) = shown(graph, slices, settings, look);
    look.interrupt.check()?;
    let names = needs::variables(evidence.values());
    machine.env.extend(set_variables(&names, look.environment));
    let inside = Inside::read(look.cwd, look.root);
    let judged = |cell: Cell| {
        let Some(slice) = slices.get(&cell.id) else {
            return CellInput { cell, needs: Vec::new(), needs_inside: None };
        };
        let judge = |env: &BTreeMap<String, String>| {
            let knowledge = Knowledge { evidence: &evidence, user: &settings.needs, env };
            needs::judge(slice, &cell.target, &machine.rustc.host, knowledge)
        };
        let env = environment(machine, &cell);
        let mut env_inside = inside.counting(&cell.settings.container, &names);
        env_inside.extend(cell.settings.env.clone());
        let needs_inside = (env_inside != env).then(|| judge(&env_inside));
        CellInput { needs: judge(&env), needs_inside, cell }
    };
    let cells: Vec<CellInput> = cells.into_iter().map(judged).collect();
    machine.libraries = machine::find_libraries(&wanted(&cells, machine), &machine.rustc.host, look.cache);
    Ok(Demand { cells, sources, evidence })
}

/// What those packages show of themselves of which nothing else is known, by id; and where they are.
fn shown(
    graph: &Graph,
    slices: &BTreeMap<String, Arc<Slice>>,
    settings: &Settings,
    Look { root, cache, reporter, interrupt, .. }: &Look<'_>,
) -> (Vec<Source>, BTreeMap<String, Evidence>) {
    let packages = needs::unread(slices.values().map(|slice| &**slice), &settings.needs);
    let ids: Vec<&str> = packages.iter().map(|package| package.id.as_str()).collect();
    let lock = fs_err::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    let sources = graph.sources(&ids, &checksums(&lock));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let started = Instant::now();
    let progress = |done: usize, total: usize| {
        // What was read before is there at once, and not worth a word.
        if started.elapsed() > READING_IS_LONG {
            let message = "analyzing crates (once per machine)";
            reporter.info(Phase::Plan, message).target("crates").progress(done, total).send();
        }
    };
    let evidence = evidence::gather(&sources, &helpers(), cache, threads, &progress, &|| interrupt.came().is_some());
    (sources, evidence)
}

/// The crates whose use by a build script is of interest.
pub(in crate::command) fn helpers() -> BTreeSet<String> {
    Table::embedded().helpers.keys().cloned().collect()
}

/// Those of the variables that are set. Only that counts, and their values may be secrets. `*_NAME` is set when any
/// variable ends so: build scripts put the target before it.
fn set_variables(names: &BTreeSet<&str>, environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let set = |name: &str| match name.strip_prefix('*') {
        Some(end) => environment.keys().any(|own| own.ends_with(end)),
        None => environment.contains_key(name),
    };
    names.iter().filter(|name| set(name)).map(|name| ((*name).to_owned(), String::new())).collect()
}

/// From when on reading sources is shown.
const READING_IS_LONG: Duration = Duration::from_millis(300);

/// The variables that a container may have.
#[derive(Debug, Default)]
pub(super) struct Inside {
    /// Those of this process.
    process: BTreeMap<String, String>,
    /// Those of `[env]` in the project's own cargo configuration, which is seen inside; and whether they replace others.
    project: BTreeMap<String, (String, bool)>,
}

impl Inside {
    /// For a build that is started in a folder. cargo's own folder and those above the project are not seen inside.
    pub(crate) fn read(cwd: &Utf8Path, root: &Utf8Path) -> Self {
        let mut project = BTreeMap::new();
        let start = if cwd.starts_with(root) { cwd } else { root };
        for dir in start.ancestors().take_while(|dir| dir.starts_with(root)) {
            let file = ["config", "config.toml"].map(|name| dir.join(".cargo").join(name));
            let text = file.iter().find_map(|file| fs_err::read_to_string(file).ok()).unwrap_or_default();
            for (name, variable) in container::variables(&text, dir) {
                project.entry(name).or_insert(variable);
            }
        }
        Self { process: machine::process_environment(), project }
    }

    /// Those of them that count, and are set in a container with these settings.
    fn counting(&self, settings: &ContainerSettings, names: &BTreeSet<&str>) -> BTreeMap<String, String> {
        let table = &Table::embedded().variables;
        let counted = needs::set_of(table, &self.process);
        let mut env = container::entering(&self.process, &counted, &settings.variables());
        let volumes = settings.mounts(&|name| self.process.get(name).cloned()).unwrap_or_default();
        env.extend(volumes.into_iter().filter_map(|volume| Some((volume.variable?, volume.inside.into_string()))));
        for (name, (value, force)) in &self.project {
            if *force || !env.contains_key(name) {
                env.insert(name.clone(), value.clone());
            }
        }
        let mut counting = needs::set_of(table, &env);
        counting.extend(set_variables(names, &env));
        counting
    }
}

/// What the build scripts of a cell will see of the variables that count.
pub(in crate::command) fn environment(machine: &Machine, cell: &Cell) -> BTreeMap<String, String> {
    let mut env = machine.env.clone();
    env.extend(cell.settings.env.clone());
    env
}

/// The libraries that are needed, known or in a container, by the triple that they are needed for.
fn wanted(cells: &[CellInput], machine: &Machine) -> BTreeMap<String, BTreeSet<String>> {
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for CellInput { cell, needs, needs_inside } in cells {
        let all = needs.iter().chain(needs_inside.iter().flatten());
        for need in all.filter(|need| need.kind == NeedKind::SystemLibrary) {
            let triple = match need.side {
                Side::Target => &cell.target,
                Side::Host => &machine.rustc.host,
            };
            wanted.entry(triple.to_string()).or_default().insert(need.name.clone());
        }
    }
    wanted
}

/// Whether a sysroot may come into question: a library that this machine does not have, or a word of the user's.
pub(super) fn wants_sysroots(cells: &[CellInput], machine: &Machine) -> bool {
    cells.iter().filter(|input| input.cell.target.is_glibc()).any(|CellInput { cell, needs, .. }| {
        let supply = &cell.settings.supply;
        let known = machine.libraries.get(cell.target.as_str());
        let missing = |need: &Need| {
            need.kind == NeedKind::SystemLibrary
                && need.side == Side::Target
                && (!cell.floor_by_default || known.is_none_or(|known| !known.contains_key(&need.name)))
        };
        supply.prefers_sysroot() || !supply.packages.is_empty() || needs.iter().any(missing)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn needs_in_a_container_are_judged_by_the_variables_that_enter_it() {
        let inside = Inside {
            process: map(&[
                ("OPENSSL_DIR", "/opt/ssl"),
                ("LIBGIT2_NO_VENDOR", "1"),
                ("CARGO_REGISTRY_TOKEN", "cio"),
                ("HANDED_IN", "1"),
                ("LIBXML2", "/opt/libxml2.so"),
                ("SQLITE3_LIB_DIR", "/opt/sqlite"),
            ]),
            project: [("BY_CONFIG".to_owned(), ("1".to_owned(), false))].into(),
        };
        // Those that conditions of build scripts name.
        let names = BTreeSet::from(["CARGO_REGISTRY_TOKEN", "HANDED_IN", "BY_CONFIG", "OPENSSL_DIR"]);
        let settings = ContainerSettings { passthrough: vec!["HANDED_IN".to_owned()], ..ContainerSettings::default() };
        let counting = inside.counting(&settings, &names);
        assert_eq!(counting, map(&[("LIBGIT2_NO_VENDOR", "1"), ("HANDED_IN", ""), ("BY_CONFIG", "")]));
        // What a volume is named by holds its place inside.
        let settings =
            ContainerSettings { volumes: vec!["SQLITE3_LIB_DIR".to_owned()], ..ContainerSettings::default() };
        assert_eq!(inside.counting(&settings, &names).get("SQLITE3_LIB_DIR").map(String::as_str), Some("/opt/sqlite"));
    }
}
