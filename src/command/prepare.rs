//! What `build` and `plan` share: read the project and the machine at the same time, settle, decide.

mod demand;
mod locate;
mod metadata;
mod settle;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};

use crate::command::current_dir;
use crate::command::locked::Locked;
use crate::command::workspace::{Planned, Warning, Workspace};
use crate::machine::engine::Engine;
use crate::machine::interrupt::Interrupt;
use crate::machine::{self, CacheDir, Machine, UserFlags};
use crate::model::catalog::Catalog;
use crate::model::code::Code;
use crate::model::request::Selection;
use crate::model::sysroot::SysrootKey;
use crate::plan::{self, Attempt, Cell, CellPlan, Plan, RouteKind, Status};
use crate::project::config::{self, Environment, Settings};
use crate::project::evidence::{Evidence, Source};
use crate::project::graph::{Graph, Resolver, Slice};
use crate::project::needs::{self, Need, NeedKind, Side};
use crate::report::{Phase, Reporter, Style};
use crate::util::error::{Error, Result};

pub(super) use demand::{environment, helpers};
pub(super) use locate::is_workspace;
pub(super) use locate::{Members, engine_choice, find_manifest, find_workspace};
use metadata::MetadataQuery;
pub(super) use metadata::Network;
use settle::{Settled, settled, triples_of, unknown_crates, unknown_key, wanted_triples};

/// A project that was read and planned, and what it takes to plan it again.
#[derive(Debug)]
pub(super) struct Prepared {
    pub planned: Planned,
    pub project: plan::Project,
    pub attempt: Attempt,
    /// The active packages, by the cell's id.
    pub slices: BTreeMap<String, Arc<Slice>>,
    /// The packages that no row of the table describes, so that their own files are read.
    sources: Vec<Source>,
    /// What the files of those packages show.
    pub evidence: BTreeMap<String, Evidence>,
    /// The output of `cargo metadata`.
    pub metadata: String,
    /// `Convoy.lock`.
    pub locked: Locked,
    /// The images that were pulled or built in this run, by their names.
    pub new_images: BTreeSet<String>,
    cache: CacheDir,
}

/// Reads the project and the machine, and plans, for those who only look: nothing is resolved online, and a signal ends
/// the process at once.
pub(super) fn look(selection: &Selection, style: Style) -> Result<(Reporter, Prepared)> {
    let reporter = Reporter::new(run_id(), style, None)?;
    let prepared = prepare(selection, Network::Never, &CacheDir::find()?, &reporter, &Interrupt::default())?;
    reporter.clear();
    Ok((reporter, prepared))
}

/// Names one run. Processes of two containers may have one number, and start in one second.
pub(super) fn run_id() -> String {
    let chance = RandomState::new().build_hasher().finish();
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    format!("{now}-{}-{:06x}", std::process::id(), chance & 0x00ff_ffff)
}

/// Reads the project and the machine, and plans.
pub(super) fn prepare(
    selection: &Selection,
    network: Network,
    cache: &CacheDir,
    reporter: &Reporter,
    interrupt: &Interrupt,
) -> Result<Prepared> {
    let prepared = prepare_anew(selection, network, cache, reporter, interrupt)?;
    prepared.locked.lock.require_unedited()?;
    Ok(prepared)
}

/// The same for commands that replace the entries of a Convoy.lock that was edited.
pub(super) fn prepare_anew(
    selection: &Selection,
    network: Network,
    cache: &CacheDir,
    reporter: &Reporter,
    interrupt: &Interrupt,
) -> Result<Prepared> {
    let cwd = current_dir()?;
    let manifest = find_manifest(selection.manifest_path.as_deref(), &cwd)?;
    let query = MetadataQuery { selection, network, manifest: &manifest, cwd: &cwd, interrupt };
    let (metadata, mut machine) = metadata_and_machine(&query, cache)?;
    let graph = Graph::from_metadata(&metadata)?;
    let root = graph.workspace_root();
    let resolver = Resolver::of_manifest(&fs_err::read_to_string(root.join("Cargo.toml"))?);
    let graph = graph.with_resolver(resolver);
    let cargo = machine::cargo_config(&cwd, &machine.rustc.host)?;
    let Settled { settings, cells, strays, mut warnings } = settled(&query, &graph, &root, &cargo, &machine, cache)?;

    let cell_features = cell_features(&cells);
    // cargo selects by the manifest only where it was pointed to a package.
    let bins = graph.bins(selection, Some(&manifest), &cell_features)?;
    let triples = triples_of(&cells, &machine);
    let (graph, metadata) = with_cell_features(&query, (graph, metadata), resolver, &cell_features, &triples)?;
    warnings.extend(unlisted_targets(&cells, &mut machine, cache));
    warnings.extend(unknown_crates(&settings, &graph).map(unknown_key));
    let environment = machine::build_environment(&cargo);
    let flags = add_configured(&mut machine, &triples, &cargo, &cwd, &environment)?;

    let slices = slices(&graph, selection, &manifest, &cells, &machine)?;
    let target_dir = selection.target_dir.as_ref().map_or_else(|| graph.target_directory(), |dir| cwd.join(dir));
    let packages = slices
        .iter()
        .map(|(id, slice)| (id.clone(), slice.target.iter().map(|package| package.dir.clone()).collect()))
        .collect();
    let look = demand::Look { cwd: &cwd, root: &root, environment: &environment, cache, reporter, interrupt };
    let demand = demand::judge(&graph, &slices, cells, &settings, &mut machine, &look)?;
    let locked = Locked::read(root.join("Convoy.lock"))?;
    if demand::wants_sysroots(&demand.cells, &machine) {
        machine.apt = machine::apt(cache);
        let started = Instant::now();
        locked.look_up(cache, &mut machine);
        reporter.debug(Phase::Plan, "looked up the sysroots of `Convoy.lock`").took(started.elapsed()).send();
    }
    let workspace = Workspace {
        read: files_read(&graph, &settings, strays, &root, &cwd),
        manifest_path: selection.manifest_path.as_ref().map(|_| manifest.clone()),
        root,
        target_dir,
        dist_dir: settings.dist_dir.value.clone(),
        profile: settings.profile.value.clone(),
        bins,
        packages,
        names: graph.local_names(),
        cwd,
        flags,
        warnings,
    };
    let demand::Demand { cells, sources, evidence } = demand;
    let image_files = image_files(&settings);
    let mut prepared = Prepared {
        planned: Planned { workspace, machine, plan: Plan::empty() },
        project: plan::Project { cells, settings, image_files },
        attempt: Attempt::default(),
        slices,
        sources,
        evidence,
        metadata,
        locked,
        new_images: BTreeSet::new(),
        cache: cache.clone(),
    };
    prepared.recall();
    prepared.decide();
    drop_aside(graph);
    Ok(prepared)
}

/// The features that configuration adds to cells, by their ids.
fn cell_features(cells: &[Cell]) -> Vec<(String, Vec<String>)> {
    let with_features = cells.iter().filter(|cell| !cell.settings.features.is_empty());
    with_features.map(|cell| (cell.id.clone(), cell.settings.features.clone())).collect()
}

/// Warns of targets outside of the catalog, and looks for their compilers.
fn unlisted_targets(cells: &[Cell], machine: &mut Machine, cache: &CacheDir) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for cell in cells.iter().filter(|cell| Catalog::embedded().target(&cell.target).is_none()) {
        machine.gcc.extend(machine::foreign_gcc(&cell.target, cache).map(|gcc| (cell.target.to_string(), gcc)));
        warnings.push(Warning {
            target: Some(cell.id.clone()),
            code: Code::TargetNotInCatalog,
            message: "not a supported target; it is built on a best-effort basis, with limited verification".to_owned(),
        });
    }
    warnings
}

/// The files that the user's images are made from. The plan says which of them is missing.
fn image_files(settings: &Settings) -> BTreeMap<Utf8PathBuf, String> {
    let files = settings.container_files();
    files.filter_map(|file| Some((file.to_owned(), fs_err::read_to_string(file).ok()?))).collect()
}

/// cargo's metadata of the project, and this machine: both are asked at once.
fn metadata_and_machine(query: &MetadataQuery<'_>, cache: &CacheDir) -> Result<(String, Machine)> {
    let [all, none] = [BTreeSet::new(), BTreeSet::new()];
    let (whole, facts) = std::thread::scope(|scope| {
        let whole = scope.spawn(|| query.ask(&all, &none));
        let facts = machine::probe(query.cwd, Catalog::embedded(), cache);
        (whole.join(), facts)
    });
    let whole = whole.map_err(|_| Error::work("internal error: the thread that reads the project panicked"))??;
    match whole {
        Ok(json) => Ok((json, facts?)),
        // Who builds for some platforms need not have fetched the crates of all.
        Err(failure) if failure.crates_are_lacking() => {
            let host = facts?;
            let triples = wanted_triples(query.selection, query.manifest, query.cwd, &host, cache, query.interrupt)?;
            Ok((query.ask(&triples, &none)??, host))
        }
        Err(failure) => Err(failure.into()),
    }
}

/// The graph with the targets' own features: these may enable dependencies that it does not have yet.
fn with_cell_features(
    query: &MetadataQuery<'_>,
    narrow: (Graph, String),
    resolver: Resolver,
    cell_features: &[(String, Vec<String>)],
    triples: &BTreeSet<String>,
) -> Result<(Graph, String)> {
    let more: BTreeSet<String> = cell_features.iter().flat_map(|(_, features)| features.iter().cloned()).collect();
    if more.is_empty() {
        return Ok(narrow);
    }
    let wider = match query.ask(&BTreeSet::new(), &more)? {
        Err(failure) if failure.crates_are_lacking() => query.ask(triples, &more)??,
        wider => wider?,
    };
    Ok((Graph::from_metadata(&wider)?.with_resolver(resolver), wider))
}

/// Adds to this machine's facts what cargo's configuration and the environment say of tools; gives the flags.
fn add_configured(
    machine: &mut Machine,
    triples: &BTreeSet<String>,
    cargo: &cargo_config2::Config,
    cwd: &Utf8Path,
    environment: &BTreeMap<String, String>,
) -> Result<UserFlags> {
    let triples: Vec<&str> = triples.iter().map(String::as_str).collect();
    let flags = machine::user_flags(cargo, cwd, &triples, &machine.rustc.host)?;
    machine.user = machine::user_tools(cargo, &triples, &machine.rustc.host);
    machine.env = needs::set_of(&needs::Table::embedded().variables, environment);
    machine.vendor_dirs = machine::vendor_dirs(Catalog::embedded().vendor_variables(), environment);
    Ok(flags)
}

/// The files that a plan depends on.
fn files_read(
    graph: &Graph,
    settings: &Settings,
    strays: Vec<Utf8PathBuf>,
    root: &Utf8Path,
    cwd: &Utf8Path,
) -> Vec<Utf8PathBuf> {
    let mut read = graph.local_manifests();
    read.extend(strays);
    read.extend([root.join("Cargo.lock"), root.join("Convoy.toml"), root.join("Convoy.lock")]);
    read.push(config::cross_file(&Environment::of_process(), root, cwd));
    read.extend(settings.container_files().map(Utf8Path::to_owned));
    read
}

/// Drops a value in a thread of its own, which the process does not wait for: to take a graph of many hundred packages apart
/// takes as long as to judge it.
pub(super) fn drop_aside(value: impl Send + 'static) {
    // Where no thread can be had, the value is dropped with the closure, here.
    let _ = std::thread::Builder::new().name("drop".to_owned()).spawn(move || drop(value));
}

impl Prepared {
    /// The packages whose files may change, with what they show of themselves.
    pub(crate) fn local_evidence(&self) -> Vec<(Source, Evidence)> {
        let local = self.sources.iter().filter(|source| source.checksum.is_none());
        local.filter_map(|source| Some((source.clone(), self.evidence.get(&source.id)?.clone()))).collect()
    }

    /// Plans from what is known now; again after something was provisioned or refused. The container engine is asked when a
    /// cell has no other way.
    pub(crate) fn decide(&mut self) {
        self.plan_now();
        let wants = |cell: &CellPlan| {
            let routes = cell.cell.settings.routes.as_deref();
            let allowed = routes.is_none_or(|routes| routes.contains(&RouteKind::Container));
            let failed = self.attempt.failed.get(&cell.cell.id);
            let failed = failed.is_some_and(|failed| cell.route.is_some_and(|route| failed.contains_key(&route)));
            // An order of the user's may put it before what works.
            let passed_over = cell.rejected.iter().any(|rejected| rejected.route == RouteKind::Container);
            allowed && (cell.status == Status::Blocked || failed || passed_over)
        };
        if self.planned.machine.engine == Engine::Unasked && self.planned.plan.cells.iter().any(wants) {
            self.ask_engine();
            self.plan_now();
        }
    }

    /// Asks what containers can be had, and what they could take libraries from.
    pub(crate) fn ask_engine(&mut self) {
        let machine = &mut self.planned.machine;
        if machine.engine != Engine::Unasked {
            return;
        }
        machine.engine = machine::engine::engine(self.project.settings.engine.value, &self.cache);
        if machine.apt.is_none() {
            machine.apt = machine::apt(&self.cache);
            self.locked.look_up(&self.cache, machine);
        }
    }

    fn plan_now(&mut self) {
        self.planned.plan = plan::plan(&self.planned.machine, &self.project, &self.attempt, Catalog::embedded());
    }

    /// What is to be built, before a route raised any floor.
    pub(crate) fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.project.cells.iter().map(|input| &input.cell)
    }

    /// The sysroots that cells of the project may take libraries from, here or on a machine that has other libraries.
    pub(crate) fn sysroot_keys(&self) -> BTreeSet<SysrootKey> {
        let planned = self.planned.plan.sysroots.iter().map(|plan| plan.key.clone());
        planned.chain(self.cells().filter_map(|cell| self.sysroot_key(cell))).collect()
    }

    /// Whether every cell that may take libraries from a sysroot takes them from there in this plan, so that the plan
    /// says all that is asked of it.
    pub(crate) fn says_all_of(&self, key: &SysrootKey) -> bool {
        let libraries = |cell: &plan::CellPlan| {
            let library = |need: &Need| need.kind == NeedKind::SystemLibrary && need.side == Side::Target;
            cell.status == plan::Status::Blocked || cell.needs.iter().any(library)
        };
        let may_take = self.cells().filter(|cell| self.sysroot_key(cell).as_ref() == Some(key));
        may_take
            .filter_map(|cell| self.planned.plan.cells.iter().find(|planned| planned.cell.id == cell.id))
            .all(|planned| planned.sysroot.as_ref() == Some(key) || !libraries(planned))
    }

    fn sysroot_key(&self, cell: &Cell) -> Option<SysrootKey> {
        plan::sysroot_key(cell, &self.planned.machine, Catalog::embedded())
    }
}

/// The active packages of every cell; cells of one triple and the same features share a slice.
fn slices(
    graph: &Graph,
    selection: &Selection,
    manifest: &Utf8PathBuf,
    cells: &[Cell],
    host: &Machine,
) -> Result<BTreeMap<String, Arc<Slice>>> {
    let keyed: Vec<(&Cell, (String, Vec<String>))> =
        cells.iter().map(|cell| (cell, (cell.target.to_string(), cell.settings.features.clone()))).collect();
    let mut distinct: Vec<&(String, Vec<String>)> = keyed.iter().map(|(_, key)| key).collect();
    distinct.sort();
    distinct.dedup();
    let made = std::thread::scope(|scope| {
        let handles: Vec<_> = distinct
            .into_iter()
            .map(|key| {
                let slice = move || graph.slice(selection, Some(manifest), &key.1, &key.0, &host.rustc.host);
                (key, scope.spawn(slice))
            })
            .collect();
        handles
            .into_iter()
            .map(|(key, handle)| {
                let slice = handle.join().map_err(|_| {
                    Error::work("internal error: the thread that resolves the dependency graph panicked")
                })??;
                Ok((key.clone(), Arc::new(slice)))
            })
            .collect::<Result<BTreeMap<_, _>>>()
    })?;
    Ok(keyed.into_iter().map(|(cell, key)| (cell.id.clone(), made[&key].clone())).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    struct Tells(Sender<()>);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    /// Whoever calls the library gets the memory back.
    #[test]
    fn what_is_dropped_aside_is_dropped() {
        let (send, dropped) = channel();
        super::drop_aside(Tells(send));
        dropped.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    }
}
