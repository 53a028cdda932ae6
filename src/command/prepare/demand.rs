//! What the dependencies ask of the C world, from what is known of them and what they show of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::Utf8Path;

use crate::config::Settings;
use crate::evidence::{self, Evidence};
use crate::graph::{Graph, Slice, checksums};
use crate::host::{CacheDir, HostFacts};
use crate::interrupt::Interrupt;
use crate::needs::{self, Knowledge, Need, NeedKind, Side, Table};
use crate::plan::{Cell, matrix};
use crate::report::{Phase, Reporter};

/// What those packages show of themselves of which nothing else is known.
pub(super) fn shown(
    graph: &Graph,
    slices: &BTreeMap<String, Arc<Slice>>,
    settings: &Settings,
    root: &Utf8Path,
    cache: &CacheDir,
    reporter: &Reporter,
    interrupt: &Interrupt,
) -> BTreeMap<String, Evidence> {
    let packages = needs::unread(slices.values().map(|slice| &**slice), &settings.needs);
    let ids: Vec<&str> = packages.iter().map(|package| package.id.as_str()).collect();
    let lock = fs_err::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    let sources = graph.sources(&ids, &checksums(&lock));
    let helpers = Table::embedded().helpers.keys().cloned().collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let started = Instant::now();
    let progress = |done: usize, total: usize| {
        // What was read before is there at once, and not worth a word.
        if started.elapsed() > READING_IS_LONG {
            let message = "reading what the crates show of their needs, once a machine";
            reporter.info(Phase::Plan, message).target("crates").progress(done, total).send();
        }
    };
    evidence::gather(&sources, &helpers, cache, threads, &progress, &|| interrupt.came().is_some())
}

/// Those of the variables that are set. Only that counts, and their values may be secrets. `*_NAME` is set when any
/// variable ends so: build scripts put the target before it.
pub(super) fn set_variables(
    names: &BTreeSet<&str>,
    environment: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let set = |name: &str| match name.strip_prefix('*') {
        Some(end) => environment.keys().any(|own| own.ends_with(end)),
        None => environment.contains_key(name),
    };
    names.iter().filter(|name| set(name)).map(|name| ((*name).to_owned(), String::new())).collect()
}

/// From when on reading sources is shown.
const READING_IS_LONG: Duration = Duration::from_millis(300);

/// The needs of every cell.
pub(super) fn judged(
    slices: &BTreeMap<String, Arc<Slice>>,
    cells: &[Cell],
    settings: &Settings,
    host: &HostFacts,
    evidence: &BTreeMap<String, Evidence>,
) -> BTreeMap<String, Vec<Need>> {
    let judge = |cell: &Cell| {
        let slice = slices.get(&cell.id)?;
        let env = environment(host, settings, cell);
        let knowledge = Knowledge { evidence, user: &settings.needs, env: &env };
        Some((cell.id.clone(), needs::judge(slice, &cell.target, &host.rustc.host, knowledge)))
    };
    cells.iter().filter_map(judge).collect()
}

/// What the build scripts of a cell will see of the variables that count.
pub(in crate::command) fn environment(host: &HostFacts, settings: &Settings, cell: &Cell) -> BTreeMap<String, String> {
    let mut env = host.env.clone();
    env.extend(settings.for_names(matrix::names_of(cell)).env);
    env
}

/// The libraries that are needed, by the triple that they are needed for.
pub(super) fn wanted(
    needs: &BTreeMap<String, Vec<Need>>,
    cells: &[Cell],
    host: &HostFacts,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for cell in cells {
        let libraries = needs.get(&cell.id).into_iter().flatten().filter(|need| need.kind == NeedKind::SystemLibrary);
        for need in libraries {
            let triple = match need.side {
                Side::Target => &cell.target,
                Side::Host => &host.rustc.host,
            };
            wanted.entry(triple.clone()).or_default().insert(need.name.clone());
        }
    }
    wanted
}

/// Whether a sysroot may come into question: a library that this machine does not have, or a word of the user's.
pub(super) fn wants_sysroots(
    needs: &BTreeMap<String, Vec<Need>>,
    cells: &[Cell],
    settings: &Settings,
    host: &HostFacts,
) -> bool {
    cells.iter().filter(|cell| cell.target.contains("-linux-gnu")).any(|cell| {
        let supply = settings.for_names(matrix::names_of(cell)).supply;
        let here = host.libraries.get(&cell.target);
        let lacking = |need: &Need| {
            need.kind == NeedKind::SystemLibrary
                && need.side == Side::Target
                && (!cell.floor_by_default || here.is_none_or(|here| !here.contains_key(&need.name)))
        };
        supply.prefers_sysroot()
            || !supply.packages.is_empty()
            || needs.get(&cell.id).into_iter().flatten().any(lacking)
    })
}
