//! What `build` and `plan` share: read the project and the machine at the same time, settle, decide.

mod demand;
mod locate;
mod metadata;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::command::current_dir;
use crate::command::locked::Locked;
use crate::machine::engine::Engine;
use crate::machine::interrupt::Interrupt;
use crate::machine::{self, CacheDir, HostFacts, Rustc, UserFlags};
use crate::model::catalog::Catalog;
use crate::model::request::Selection;
use crate::model::sysroot::SysrootKey;
use crate::plan::{self, Cell, CellInput, Plan, RouteKind, matrix};
use crate::project::config::{self, ConfigFile, Environment, Origin, Settings};
use crate::project::evidence::{Evidence, Source};
use crate::project::graph::{Bin, Graph, Resolver, Slice};
use crate::project::needs::{self, Need, NeedKind, Side};
use crate::report::{Phase, Reporter, Style};
use crate::util::error::{Error, Result};
use crate::util::suggest::did_you_mean;

pub(super) use demand::{environment, helpers};
pub(super) use locate::{Members, engine_choice, find_manifest, find_workspace};
use locate::{is_workspace, only, settings_files};
use metadata::MetadataQuery;
pub(super) use metadata::Network;

/// Everything that the work needs. It can be kept from one run to the next ([`crate::command::kept`]).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Project {
    /// Where the command was started.
    pub cwd: Utf8PathBuf,
    /// The manifest, when the user named one.
    pub manifest_path: Option<Utf8PathBuf>,
    pub workspace_root: Utf8PathBuf,
    pub target_dir: Utf8PathBuf,
    pub dist_dir: Utf8PathBuf,
    pub profile: String,
    pub host: HostFacts,
    pub flags: UserFlags,
    pub bins: Vec<Bin>,
    pub plan: Plan,
    /// The folders of each cell's packages: their count is about the crates to compile, their sources declare symbols.
    pub packages: BTreeMap<String, Vec<Utf8PathBuf>>,
    /// The names of the project's own packages.
    pub names: BTreeSet<String>,
    /// What is to be said at every run.
    pub warnings: Vec<Warning>,
    /// The files whose change changes any of this.
    pub read: Vec<Utf8PathBuf>,
}

impl Project {
    /// The folders of local packages.
    pub(crate) fn local_packages(&self) -> Vec<Utf8PathBuf> {
        let manifests = self.read.iter().filter(|file| file.file_name() == Some("Cargo.toml"));
        manifests.filter_map(|file| file.parent()).map(Utf8Path::to_owned).collect()
    }

    /// The workspace, the folders of local packages outside of it, and the manifests that these inherit from.
    pub(crate) fn sources(&self) -> Vec<Utf8PathBuf> {
        let mut sources = vec![self.workspace_root.clone()];
        for dir in self.local_packages() {
            if dir.starts_with(&self.workspace_root) {
                continue;
            }
            let mut above = dir.ancestors().skip(1).map(|dir| dir.join("Cargo.toml"));
            sources.extend(above.find(|manifest| is_workspace(manifest)));
            sources.push(dir);
        }
        sources
    }

    /// The folder below cargo's target folder that is convoy's own.
    pub(crate) fn convoy_dir(&self) -> Utf8PathBuf {
        self.target_dir.join("convoy")
    }
}

/// Something that somebody should know.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Warning {
    pub target: Option<String>,
    pub code: String,
    pub message: String,
}

/// A project, and what it takes to plan it again.
#[derive(Debug)]
pub(super) struct Prepared {
    pub project: Project,
    pub settings: Settings,
    /// What is asked for, before a route raised any floor.
    pub cells: Vec<Cell>,
    /// What the dependencies ask for, by the cell's id.
    needs: BTreeMap<String, Vec<Need>>,
    /// The same in a container, for the cells where it is different.
    needs_inside: BTreeMap<String, Vec<Need>>,
    /// The routes that failed, by the cell's id, each with the cause: in earlier runs, and in this one.
    pub failed: BTreeMap<String, BTreeMap<RouteKind, String>>,
    /// The active packages, by the cell's id.
    pub slices: BTreeMap<String, Arc<Slice>>,
    /// The packages that show something of themselves.
    sources: Vec<Source>,
    /// What packages show of themselves.
    pub evidence: BTreeMap<String, Evidence>,
    /// What `cargo metadata` printed.
    pub metadata: String,
    /// `Convoy.lock`.
    pub locked: Locked,
    /// The images that were pulled or built in this run, by their names.
    pub brought: BTreeSet<String>,
    /// The tool's cache.
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

/// The same for whoever chooses anew what a Convoy.lock holds that somebody else has changed.
pub(super) fn prepare_anew(
    selection: &Selection,
    network: Network,
    cache: &CacheDir,
    reporter: &Reporter,
    interrupt: &Interrupt,
) -> Result<Prepared> {
    let catalog = Catalog::embedded();
    let cwd = current_dir()?;
    let manifest = find_manifest(selection.manifest_path.as_deref(), &cwd)?;
    let query = MetadataQuery { selection, network, manifest: &manifest, cwd: &cwd, interrupt };
    let (metadata, mut host) = metadata_and_host(&query, cache)?;
    let graph = Graph::from_metadata(&metadata)?;
    let root = graph.workspace_root();
    let resolver = Resolver::of_manifest(&fs_err::read_to_string(root.join("Cargo.toml"))?);
    let graph = graph.with_resolver(resolver);
    let cargo = machine::cargo_config(&cwd, &host.rustc.host)?;
    let Settled { settings, files, strays, mut warnings } = settled(&query, &graph, &root, &cargo)?;

    let rustc_targets = OnceCell::new();
    let rustc_targets = || known_targets(&rustc_targets, &host.rustc, &cwd, cache);
    let cells = settled_cells(&settings, &host, &rustc_targets)?;
    check_routes(selection, &cells)?;
    warnings.extend(unknown_tables(&files, &cells, catalog, &rustc_targets)?.into_iter().map(unknown_key));
    let own: Vec<(String, Vec<String>)> =
        cells.iter().map(|cell| (cell.id.clone(), cell.settings.features.clone())).collect();
    let own: Vec<_> = own.into_iter().filter(|(_, features)| !features.is_empty()).collect();
    // cargo selects by the manifest only where it was pointed to a package.
    let bins = graph.bins(selection, Some(&manifest), &own)?;
    let (graph, metadata) = with_own_features(&query, (graph, metadata), resolver, &own, &triples_of(&cells, &host))?;
    for cell in cells.iter().filter(|cell| catalog.target(&cell.target).is_none()) {
        host.gcc.extend(machine::foreign_gcc(&cell.target, cache).map(|gcc| (cell.target.clone(), gcc)));
        warnings.push(Warning {
            target: Some(cell.id.clone()),
            code: "target-not-in-catalog".to_owned(),
            message: "not a supported target; it is built on a best-effort basis, with limited verification".to_owned(),
        });
    }
    warnings.extend(unknown_crates(&settings, &graph).map(unknown_key));
    let environment = machine::build_environment(&cargo);
    let flags = add_configured(&mut host, &cells, &cargo, &cwd, &environment)?;
    host.image_files = settings
        .container_files()
        .filter_map(|file| Some((file.to_owned(), fs_err::read_to_string(file).ok()?)))
        .collect();

    let slices = slices(&graph, selection, &manifest, &cells, &host)?;
    let target_dir = selection.target_dir.as_ref().map_or_else(|| graph.target_directory(), |dir| cwd.join(dir));
    let packages = slices
        .iter()
        .map(|(id, slice)| (id.clone(), slice.target.iter().map(|package| package.dir.clone()).collect()))
        .collect();
    let mut project = Project {
        read: files_read(&graph, &settings, strays, &root, &cwd),
        manifest_path: selection.manifest_path.as_ref().map(|_| manifest.clone()),
        workspace_root: root,
        target_dir,
        dist_dir: settings.dist_dir.value.clone(),
        profile: settings.profile.value.clone(),
        bins,
        plan: Plan::empty(),
        packages,
        names: graph.local_names(),
        cwd: cwd.clone(),
        host,
        flags,
        warnings,
    };
    let look = demand::Look { cache, reporter, interrupt };
    let demand = demand::judge(&graph, &slices, &cells, &settings, &mut project, &environment, &look)?;
    let locked = Locked::read(project.workspace_root.join("Convoy.lock"))?;
    if demand::wants_sysroots(&demand.needs, &cells, &project.host) {
        project.host.apt = machine::apt(cache);
        let started = Instant::now();
        locked.look_up(cache, &mut project.host);
        reporter.debug(Phase::Plan, "looked up the sysroots of `Convoy.lock`").took(started.elapsed()).send();
    }
    let demand::Demand { needs, needs_inside, sources, evidence } = demand;
    let mut prepared = Prepared {
        locked,
        brought: BTreeSet::new(),
        cache: cache.clone(),
        project,
        settings,
        cells,
        needs,
        needs_inside,
        failed: BTreeMap::new(),
        slices,
        sources,
        evidence,
        metadata,
    };
    prepared.recall();
    prepared.decide();
    drop_aside(graph);
    Ok(prepared)
}

/// cargo's metadata of the project, and this machine: both are asked at once.
fn metadata_and_host(query: &MetadataQuery<'_>, cache: &CacheDir) -> Result<(String, HostFacts)> {
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

fn unknown_key(message: String) -> Warning {
    Warning { target: None, code: "unknown-key".to_owned(), message }
}

/// Settings, and what they were read from.
struct Settled {
    settings: Settings,
    files: Vec<ConfigFile>,
    /// Where members of the workspace could have a `Convoy.toml` that nobody reads.
    strays: Vec<Utf8PathBuf>,
    warnings: Vec<Warning>,
}

fn settled(
    query: &MetadataQuery<'_>,
    graph: &Graph,
    root: &Utf8Path,
    cargo: &cargo_config2::Config,
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
    Ok(Settled { settings, files, strays, warnings })
}

/// The graph with the targets' own features: these may bring dependencies that it does not have yet.
fn with_own_features(
    query: &MetadataQuery<'_>,
    narrow: (Graph, String),
    resolver: Resolver,
    own: &[(String, Vec<String>)],
    triples: &BTreeSet<String>,
) -> Result<(Graph, String)> {
    let more: BTreeSet<String> = own.iter().flat_map(|(_, features)| features.iter().cloned()).collect();
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
    host: &mut HostFacts,
    cells: &[Cell],
    cargo: &cargo_config2::Config,
    cwd: &Utf8Path,
    environment: &BTreeMap<String, String>,
) -> Result<UserFlags> {
    let mut triples: Vec<&str> = cells.iter().map(|cell| cell.target.as_str()).collect();
    triples.push(&host.rustc.host);
    triples.sort_unstable();
    triples.dedup();
    let flags = machine::user_flags(cargo, cwd, &triples, &host.rustc.host)?;
    host.user = machine::user_tools(cargo, &triples, &host.rustc.host);
    host.env = needs::set_of(&needs::Table::embedded().variables, environment);
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

    /// Plans from what is known now; again after something was brought or refused. The container engine is asked when a
    /// cell has no other way.
    pub(crate) fn decide(&mut self) {
        self.plan_now();
        let wants = |cell: &plan::CellPlan| {
            let routes = cell.cell.settings.routes.as_deref();
            let allowed = routes.is_none_or(|routes| routes.contains(&RouteKind::Container));
            let failed = self
                .failed
                .get(&cell.cell.id)
                .is_some_and(|failed| cell.route.is_some_and(|r| failed.contains_key(&r)));
            // An order of the user's may put it before what works.
            let passed_over = cell.rejected.iter().any(|rejected| rejected.route == RouteKind::Container);
            allowed && (cell.status == plan::Status::Blocked || failed || passed_over)
        };
        if self.project.host.engine == Engine::Unasked && self.project.plan.cells.iter().any(wants) {
            self.ask_engine();
            self.plan_now();
        }
    }

    /// Asks what containers can be had, and what they could take libraries from.
    pub(crate) fn ask_engine(&mut self) {
        if self.project.host.engine != Engine::Unasked {
            return;
        }
        let host = &mut self.project.host;
        host.engine = machine::engine::engine(self.settings.engine.value, &self.cache);
        if host.apt.is_none() {
            host.apt = machine::apt(&self.cache);
            self.locked.look_up(&self.cache, host);
        }
    }

    fn plan_now(&mut self) {
        let inputs = self
            .cells
            .iter()
            .map(|cell| {
                let needs = self.needs.get(&cell.id).cloned().unwrap_or_default();
                let failed = self.failed.get(&cell.id).cloned().unwrap_or_default();
                let needs_inside = self.needs_inside.get(&cell.id).cloned();
                CellInput { cell: cell.clone(), needs, needs_inside, failed }
            })
            .collect();
        self.project.plan = plan::plan(inputs, &self.project.host, &self.settings, Catalog::embedded());
    }

    /// The sysroots that cells of the project may take libraries from, here or on a machine that has other libraries.
    pub(crate) fn sysroot_keys(&self) -> BTreeSet<SysrootKey> {
        let planned = self.project.plan.sysroots.iter().map(|plan| plan.key.clone());
        planned.chain(self.cells.iter().filter_map(|cell| self.sysroot_key(cell))).collect()
    }

    /// Whether every cell that may take libraries from a sysroot takes them from there in this plan, so that the plan
    /// says all that is asked of it.
    pub(crate) fn says_all_of(&self, key: &SysrootKey) -> bool {
        let libraries = |cell: &plan::CellPlan| {
            let own = |need: &Need| need.kind == NeedKind::SystemLibrary && need.side == Side::Target;
            cell.status == plan::Status::Blocked || cell.needs.iter().any(own)
        };
        let may_take = self.cells.iter().filter(|cell| self.sysroot_key(cell).as_ref() == Some(key));
        may_take
            .filter_map(|cell| self.project.plan.cells.iter().find(|planned| planned.cell.id == cell.id))
            .all(|planned| planned.sysroot.as_ref() == Some(key) || !libraries(planned))
    }

    fn sysroot_key(&self, cell: &Cell) -> Option<SysrootKey> {
        plan::sysroot_key(cell, &self.project.host, Catalog::embedded())
    }
}

/// What sets cargo's `net.offline`, where that is true. cargo takes the variable over its files.
fn offline_by(cargo: &cargo_config2::Config) -> Option<Origin> {
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
    host: &HostFacts,
    rustc_targets: &dyn Fn() -> Result<&'a [String]>,
) -> Result<Vec<Cell>> {
    let catalog = Catalog::embedded();
    let words = &settings.targets.value;
    let rustc_targets = if matrix::needs_target_list(words, catalog) { rustc_targets()? } else { &[] };
    let newest_glibc = Some(matrix::newest_glibc(host));
    let known = matrix::Known { catalog, host: &host.rustc.host, rustc_targets, newest_glibc };
    matrix::cells(words, &known, &|names| settings.for_names(names.iter().map(String::as_str)))
}

/// The triples that are built for, and this machine's: known without the graph.
fn wanted_triples(
    selection: &Selection,
    manifest: &Utf8Path,
    cwd: &Utf8Path,
    host: &HostFacts,
    cache: &CacheDir,
    interrupt: &Interrupt,
) -> Result<BTreeSet<String>> {
    let members = Members::find(manifest, cwd, interrupt)?;
    let root = &members.workspace_root;
    let files = settings_files(members.selected(selection, manifest), root, cwd)?;
    let settings = config::settle(selection, &Environment::of_process(), &files, root, cwd)?;
    let rustc_targets = OnceCell::new();
    let cells = settled_cells(&settings, host, &|| known_targets(&rustc_targets, &host.rustc, cwd, cache))?;
    Ok(triples_of(&cells, host))
}

fn triples_of(cells: &[Cell], host: &HostFacts) -> BTreeSet<String> {
    cells.iter().map(|cell| cell.target.clone()).chain([host.rustc.host.clone()]).collect()
}

/// A member's Convoy.toml says nothing to anybody.
fn unread_settings(stray: &Utf8Path, root: &Utf8Path) -> Warning {
    let shown = stray.strip_prefix(root).unwrap_or(stray);
    Warning {
        target: None,
        code: "unread-settings".to_owned(),
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
fn unknown_crates<'a>(settings: &'a Settings, graph: &'a Graph) -> impl Iterator<Item = String> + 'a {
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
    let Some(word) = words.find(|word| !names().any(|name| name == *word)) else { return Ok(()) };
    let error = Error::usage(format!("`--route {word}=…` matches no target of this run"));
    Err(match crate::util::suggest::nearest(word, names().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    })
}

/// The active packages of every cell; cells of one triple and the same features share a slice.
fn slices(
    graph: &Graph,
    selection: &Selection,
    manifest: &Utf8PathBuf,
    cells: &[Cell],
    host: &HostFacts,
) -> Result<BTreeMap<String, Arc<Slice>>> {
    let keyed: Vec<(&Cell, (String, Vec<String>))> =
        cells.iter().map(|cell| (cell, (cell.target.clone(), cell.settings.features.clone()))).collect();
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
