//! What `build` and `plan` share: read the project and the machine at the same time, settle, decide.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::command::current_dir;
use crate::command::sysroots::Locked;
use crate::config::{self, Environment, Settings};
use crate::error::{Error, Result};
use crate::evidence::{self, Evidence};
use crate::graph::{Bin, Graph, Resolver, Slice, checksums};
use crate::host::{self, CacheDir, HostFacts, UserFlags};
use crate::interrupt::Interrupt;
use crate::needs::{self, Knowledge, Need, NeedKind, Side, Table};
use crate::plan::{self, Cell, CellInput, Plan, RouteKind, matrix};
use crate::report::{Phase, Reporter, Style};
use crate::request::Selection;

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
    /// What is to be said at every run.
    pub warnings: Vec<Warning>,
    /// The files whose change changes any of this.
    pub read: Vec<Utf8PathBuf>,
}

impl Project {
    /// The folder below cargo's target folder that is convoy's own.
    pub fn convoy_dir(&self) -> Utf8PathBuf {
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
    forced: BTreeMap<String, Vec<RouteKind>>,
    /// The routes that failed, by the cell's id, each with the cause: in earlier runs, and in this one.
    pub failed: BTreeMap<String, BTreeMap<RouteKind, String>>,
    /// The active packages, by the cell's id.
    pub slices: BTreeMap<String, Arc<Slice>>,
    /// What packages show of themselves.
    pub evidence: BTreeMap<String, Evidence>,
    /// What `cargo metadata` printed.
    pub metadata: String,
    /// `Convoy.lock`.
    pub locked: Locked,
}

/// Whether cargo may go online while the graph is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// `plan` resolves nothing online.
    Never,
    /// As the user's flags say.
    Allowed,
}

/// Reads the project and the machine, and plans, for those who only look: nothing is resolved online, and a signal ends
/// the process at once.
pub(super) fn look(selection: &Selection, style: Style) -> Result<(Reporter, Prepared)> {
    let reporter = Reporter::new(run_id(), style, None)?;
    let prepared = prepare(selection, Network::Never, &CacheDir::find()?, &reporter, &Interrupt::default())?;
    reporter.clear();
    Ok((reporter, prepared))
}

/// Names one run.
pub(super) fn run_id() -> String {
    format!("{}-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"), std::process::id())
}

/// Reads the project and the machine, and plans.
pub(super) fn prepare(
    selection: &Selection,
    network: Network,
    cache: &CacheDir,
    reporter: &Reporter,
    interrupt: &Interrupt,
) -> Result<Prepared> {
    let catalog = Catalog::embedded();
    let cwd = current_dir()?;
    let manifest = find_manifest(selection, &cwd)?;
    let read = |triples: &BTreeSet<String>, more: &BTreeSet<String>| {
        metadata(selection, more, network, &manifest, &cwd, interrupt, triples)
    };
    let [all, none] = [BTreeSet::new(), BTreeSet::new()];
    let (whole, facts) = std::thread::scope(|scope| {
        let whole = scope.spawn(|| read(&all, &none));
        let facts = host::probe(&cwd, catalog, cache);
        (whole.join(), facts)
    });
    let whole = whole.map_err(|_| Error::work("reading the project ended abnormally"))??;
    let failed = |told: String| metadata_failed(&told, network);
    let (metadata, mut host) = match whole {
        Ok(json) => (json, facts?),
        // Who builds for some platforms need not have fetched the crates of all.
        Err(told) if crates_are_lacking(&told) => {
            let host = facts?;
            let triples = wanted_triples(selection, &manifest, &cwd, &host, interrupt)?;
            (read(&triples, &none)?.map_err(failed)?, host)
        }
        Err(told) => return Err(failed(told)),
    };

    let graph = Graph::from_metadata(&metadata)?;
    let root = graph.workspace_root();
    let resolver = Resolver::of_manifest(&fs_err::read_to_string(root.join("Cargo.toml"))?);
    let graph = graph.with_resolver(resolver);
    // cargo selects by the manifest only where it was pointed to a package.
    let bins = graph.bins(selection, Some(&manifest))?;

    let files = settings_files(&manifest, &root)?;
    let mut warnings: Vec<Warning> = Vec::new();
    let unknown_key = |message: String| Warning { target: None, code: "unknown-key".to_owned(), message };
    warnings.extend(files.iter().flat_map(|file| file.warnings.iter().cloned()).map(unknown_key));
    let settings = config::settle(selection, &Environment::of_process(), &files, &root, &cwd)?;

    let (cells, known) = settled_cells(&settings, &host, &cwd)?;
    // A target's own features may bring dependencies that the graph does not have yet.
    let more = cells.iter().flat_map(|cell| settings.for_names(matrix::names_of(cell)).features).collect();
    let (graph, metadata) = if more == none {
        (graph, metadata)
    } else {
        let wider = match read(&all, &more)? {
            Err(told) if crates_are_lacking(&told) => read(&triples_of(&cells, &host), &more)?,
            wider => wider,
        };
        let wider = wider.map_err(failed)?;
        (Graph::from_metadata(&wider)?.with_resolver(resolver), wider)
    };
    for cell in cells.iter().filter(|cell| catalog.target(&cell.target).is_none()) {
        host.gcc.extend(host::foreign_gcc(&cell.target, cache).map(|gcc| (cell.target.clone(), gcc)));
        warnings.push(Warning {
            target: Some(cell.id.clone()),
            code: "target-not-in-catalog".to_owned(),
            message: "not in the catalog: it is tried, and verified as far as it is known".to_owned(),
        });
    }
    warnings.extend(unknown_tables(&settings, &cells, catalog, &known).into_iter().map(unknown_key));

    let mut triples: Vec<&str> = cells.iter().map(|cell| cell.target.as_str()).collect();
    triples.push(&host.rustc.host);
    triples.sort_unstable();
    triples.dedup();
    let user = host::user_tools(&cwd, &triples, &host.rustc.host)?;
    let flags = host::user_flags(&cwd, &triples, &host.rustc.host)?;
    host.user = user;

    let forced = forced_routes(selection, &cells)?;
    let slices = slices(&graph, selection, &manifest, &cells, &settings, &host)?;
    let target_dir = selection.target_dir.as_ref().map_or_else(|| graph.target_directory(), |dir| cwd.join(dir));
    let mut read = graph.local_manifests();
    read.extend([root.join("Cargo.lock"), root.join("Convoy.toml"), root.join("Convoy.lock")]);
    let packages = slices
        .iter()
        .map(|(id, slice)| (id.clone(), slice.target.iter().map(|package| package.dir.clone()).collect()))
        .collect();
    let mut project = Project {
        manifest_path: selection.manifest_path.as_ref().map(|_| manifest),
        workspace_root: root,
        target_dir,
        dist_dir: settings.dist_dir.value.clone(),
        profile: settings.profile.value.clone(),
        bins,
        plan: Plan {
            schema: 1,
            kind: "plan".to_owned(),
            lanes: Vec::new(),
            cells: Vec::new(),
            sysroots: Vec::new(),
            host_linker: None,
        },
        packages,
        cwd,
        host,
        flags,
        warnings,
        read,
    };
    let evidence = shown(&graph, &slices, &settings, &project.workspace_root, cache, reporter, interrupt);
    interrupt.check()?;
    project.host.env.extend(set_variables(&needs::variables(evidence.values())));
    let needs = judged(&slices, &cells, &settings, &project.host, &evidence);
    project.host.libraries =
        host::find_libraries(&wanted(&needs, &cells, &project.host), &project.host.rustc.host, cache);
    let locked = Locked::read(project.workspace_root.join("Convoy.lock"))?;
    if wants_sysroots(&needs, &cells, &settings, &project.host) {
        project.host.apt = host::apt(cache);
        locked.look_up(cache, &mut project.host, reporter);
    }
    let mut prepared = Prepared {
        locked,
        project,
        settings,
        cells,
        needs,
        forced,
        failed: BTreeMap::new(),
        slices,
        evidence,
        metadata,
    };
    prepared.recall();
    prepared.decide();
    // Taking a graph of many hundred packages apart costs as much as judging it, and the process gives it back anyway.
    std::mem::forget(graph);
    Ok(prepared)
}

/// What those packages show of themselves of which nothing else is known.
fn shown(
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
fn set_variables(names: &BTreeSet<&str>) -> BTreeMap<String, String> {
    let set = |name: &str| match name.strip_prefix('*') {
        Some(end) => std::env::vars_os().any(|(own, _)| own.to_str().is_some_and(|own| own.ends_with(end))),
        None => std::env::var_os(name).is_some(),
    };
    names.iter().filter(|name| set(name)).map(|name| ((*name).to_owned(), String::new())).collect()
}

/// From when on reading sources is shown.
const READING_IS_LONG: Duration = Duration::from_millis(300);

/// The needs of every cell.
fn judged(
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
pub(super) fn environment(host: &HostFacts, settings: &Settings, cell: &Cell) -> BTreeMap<String, String> {
    let mut env = host.env.clone();
    env.extend(settings.for_names(matrix::names_of(cell)).env);
    env
}

/// The libraries that are needed, by the triple that they are needed for.
fn wanted(needs: &BTreeMap<String, Vec<Need>>, cells: &[Cell], host: &HostFacts) -> BTreeMap<String, BTreeSet<String>> {
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
fn wants_sysroots(needs: &BTreeMap<String, Vec<Need>>, cells: &[Cell], settings: &Settings, host: &HostFacts) -> bool {
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

impl Prepared {
    /// Plans from what is known now; again after something was brought or refused.
    pub fn decide(&mut self) {
        let inputs = self
            .cells
            .iter()
            .map(|cell| {
                let settings = self.settings.for_names(matrix::names_of(cell));
                let needs = self.needs.get(&cell.id).cloned().unwrap_or_default();
                let routes = self.routes(cell);
                let failed = self.failed.get(&cell.id).cloned().unwrap_or_default();
                CellInput { cell: cell.clone(), needs, settings, routes, failed }
            })
            .collect();
        self.project.plan = plan::plan(inputs, &self.project.host, &self.settings, Catalog::embedded());
    }

    /// The routes that the user allows for a cell, in the order of their choice.
    pub fn routes(&self, cell: &Cell) -> Option<Vec<RouteKind>> {
        let configured = || self.settings.for_names(matrix::names_of(cell)).routes;
        self.forced.get(&cell.id).cloned().or_else(configured)
    }
}

/// The manifest that cargo would take, so that its absence is said before anything starts.
fn find_manifest(selection: &Selection, cwd: &Utf8Path) -> Result<Utf8PathBuf> {
    if let Some(path) = &selection.manifest_path {
        let path = cwd.join(path);
        if path.is_dir() {
            return Err(Error::usage(format!("--manifest-path `{path}` is a folder"))
                .hint(format!("use `--manifest-path {}`", path.join("Cargo.toml"))));
        }
        if !path.is_file() {
            return Err(Error::usage(format!("--manifest-path `{path}` does not exist")));
        }
        return Ok(path.canonicalize_utf8()?);
    }
    cwd.ancestors()
        .map(|dir| dir.join("Cargo.toml"))
        .find(|path| path.is_file())
        .map(|path| path.canonicalize_utf8().unwrap_or(path))
        .ok_or_else(|| {
            Error::usage(format!("no Cargo.toml in `{cwd}` or a folder above it"))
                .hint("go to a Cargo project, or name one with --manifest-path")
        })
}

/// The files that may hold settings.
fn settings_files(manifest: &Utf8Path, root: &Utf8Path) -> Result<Vec<config::ConfigFile>> {
    let root_path = root.join("Cargo.toml");
    let mut manifests: Vec<&Utf8Path> = vec![&root_path];
    if manifest != root_path {
        manifests.push(manifest);
    }
    let mut files = config::metadata_files(&manifests, root)?;
    files.extend(config::load(&root.join("Convoy.toml"))?);
    Ok(files)
}

/// The cells, and rustc's targets where these had to be asked for.
fn settled_cells(settings: &Settings, host: &HostFacts, cwd: &Utf8Path) -> Result<(Vec<Cell>, Vec<String>)> {
    let catalog = Catalog::embedded();
    let words = &settings.targets.value;
    let known = if matrix::needs_target_list(words, catalog) { host::rustc_targets(cwd)? } else { Vec::new() };
    let cells =
        matrix::cells(words, catalog, &host.rustc.host, &known, &|names| settings.for_names(names.iter().copied()))?;
    Ok((cells, known))
}

/// The triples that are built for, and this machine's: known without the graph.
fn wanted_triples(
    selection: &Selection,
    manifest: &Utf8Path,
    cwd: &Utf8Path,
    host: &HostFacts,
    interrupt: &Interrupt,
) -> Result<BTreeSet<String>> {
    let root = &workspace_root(manifest, cwd, interrupt)?;
    let files = settings_files(manifest, root)?;
    let settings = config::settle(selection, &Environment::of_process(), &files, root, cwd)?;
    let (cells, _) = settled_cells(&settings, host, cwd)?;
    Ok(triples_of(&cells, host))
}

/// The folder of the workspace that a manifest belongs to.
fn workspace_root(manifest: &Utf8Path, cwd: &Utf8Path, interrupt: &Interrupt) -> Result<Utf8PathBuf> {
    let mut command = host::cargo_command();
    command.current_dir(cwd).args(["locate-project", "--workspace", "--message-format=plain", "--manifest-path"]);
    let done = interrupt.output(command.arg(manifest))??;
    let told = String::from_utf8_lossy(&done.stdout);
    let root = Utf8Path::new(told.trim()).parent().filter(|_| done.status.success());
    root.map(Utf8Path::to_owned).ok_or_else(|| Error::work("`cargo locate-project` did not name the workspace"))
}

/// The workspace's folder and its settings, for commands that need no graph.
pub(super) fn find_workspace(manifest_path: Option<&Utf8Path>) -> Result<(Utf8PathBuf, Settings)> {
    let cwd = current_dir()?;
    let selection = Selection { manifest_path: manifest_path.map(Utf8Path::to_owned), ..Selection::default() };
    let manifest = find_manifest(&selection, &cwd)?;
    let root = workspace_root(&manifest, &cwd, &Interrupt::default())?;
    let files = settings_files(&manifest, &root)?;
    let settings = config::settle(&selection, &Environment::of_process(), &files, &root, &cwd)?;
    Ok((root, settings))
}

fn triples_of(cells: &[Cell], host: &HostFacts) -> BTreeSet<String> {
    cells.iter().map(|cell| cell.target.clone()).chain([host.rustc.host.clone()]).collect()
}

/// Whether cargo says that a crate which the lock file names is not here and cannot be brought.
fn crates_are_lacking(told: &str) -> bool {
    told.contains("failed to download `")
}

/// What `cargo metadata` prints, or what it says when it fails; with more features than the command line names, and of the
/// crates for these triples alone where some are named.
/// cargo's first resolver turns on features for crates of every platform, so that with some triples alone a feature may
/// be missed there.
fn metadata(
    selection: &Selection,
    more: &BTreeSet<String>,
    network: Network,
    manifest: &Utf8Path,
    cwd: &Utf8Path,
    interrupt: &Interrupt,
    triples: &BTreeSet<String>,
) -> Result<std::result::Result<String, String>> {
    let mut command = host::cargo_command();
    command.current_dir(cwd).args(["metadata", "--format-version=1", "--manifest-path"]).arg(manifest);
    let mut features = selection.features.clone();
    features.list.extend(more.iter().cloned());
    if let [package] = selection.packages.as_slice() {
        // `cargo metadata` knows no `-p`; a feature of one member is named with its owner.
        let owner = package.split('@').next().unwrap_or(package);
        for feature in features.list.iter_mut().filter(|feature| !feature.contains('/')) {
            *feature = format!("{owner}/{feature}");
        }
    }
    command.args(features.to_args());
    command.args(triples.iter().flat_map(|triple| ["--filter-platform", triple]));
    if selection.locked {
        command.arg("--locked");
    }
    if selection.offline || network == Network::Never {
        command.arg("--offline");
    }
    let done = interrupt.output(&mut command)?.map_err(|error| {
        Error::work("could not start `cargo`").because(error).hint("is Rust installed and on PATH?")
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) })
}

/// What it means that `cargo metadata` failed: the project's fault, or a network's.
fn metadata_failed(told: &str, network: Network) -> Error {
    // RUST_BACKTRACE makes rustup tell where in rustup it stopped.
    let cause = told.split("Stack backtrace:").next().unwrap_or(told);
    let cause = cause.trim().trim_start_matches("error: ").to_owned();
    let has = |needle: &str| told.contains(needle);
    // First, because cargo's advice speaks of the network and of `--offline`.
    if has("cannot update the lock file") || has("--locked") {
        return Error::usage("Cargo.lock does not match the manifests, and `--locked` forbids to change it")
            .because(cause)
            .hint("run `cargo update --workspace`, or leave `--locked` out");
    }
    if network == Network::Never && (has("--offline") || has("offline")) {
        return Error::work("the dependencies are not on this machine, and `plan` resolves nothing online")
            .because(cause)
            .hint("run `cargo fetch` once");
    }
    if has("failed to download")
        || has("Could not resolve host")
        || has("network")
        || has("failed to get")
        || has("offline")
    {
        return Error::work("the dependencies could not be fetched")
            .because(cause)
            .hint("is the network there? With everything fetched once, `--offline` works without it");
    }
    if has("is not installed") && has("toolchain") {
        return Error::work("the project asks for a toolchain that is not installed")
            .because(cause)
            .hint("install it with rustup, or set RUSTUP_TOOLCHAIN to an installed one");
    }
    Error::usage("cargo cannot read this project").because(cause)
}

/// A `[target."…"]` table that no target can mean is a typing error.
fn unknown_tables(settings: &Settings, cells: &[Cell], catalog: &Catalog, known: &[String]) -> Vec<String> {
    let means = |word: &String| {
        cells.iter().any(|cell| matrix::names_of(cell).any(|name| name == word))
            || catalog.target(word).is_some()
            || catalog.platform(word).is_some()
            || catalog.device(word).is_some()
            || known.contains(word)
    };
    let odd = settings.tables.iter().map(|(word, _)| word).filter(|word| !means(word));
    odd.map(|word| {
        let words = catalog.targets.iter().flat_map(|t| [Some(t.triple.as_str()), t.platform.as_deref()]).flatten();
        let near = crate::suggest::nearest(word, words).map(|near| format!("; did you mean `{near}`?"));
        format!("[target.\"{word}\"] means no target of this run{}", near.unwrap_or_default())
    })
    .collect()
}

/// `--route` for each cell: one that names the cell beats one for all.
fn forced_routes(selection: &Selection, cells: &[Cell]) -> Result<BTreeMap<String, Vec<RouteKind>>> {
    let mut forced = BTreeMap::new();
    for route in selection.routes.iter().filter(|route| route.target.is_none()) {
        forced.extend(cells.iter().map(|cell| (cell.id.clone(), vec![route.route])));
    }
    for route in &selection.routes {
        let Some(word) = &route.target else { continue };
        let mut met = false;
        for cell in cells.iter().filter(|cell| matrix::names_of(cell).any(|name| name == word)) {
            forced.insert(cell.id.clone(), vec![route.route]);
            met = true;
        }
        if !met {
            let names: Vec<&str> = cells.iter().flat_map(matrix::names_of).collect();
            let error = Error::usage(format!("--route names `{word}`, which is no target of this run"));
            return Err(match crate::suggest::nearest(word, names) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            });
        }
    }
    Ok(forced)
}

/// The active packages of every cell; cells of one triple and the same features share a slice.
fn slices(
    graph: &Graph,
    selection: &Selection,
    manifest: &Utf8PathBuf,
    cells: &[Cell],
    settings: &Settings,
    host: &HostFacts,
) -> Result<BTreeMap<String, Arc<Slice>>> {
    let keyed: Vec<(&Cell, (String, Vec<String>))> = cells
        .iter()
        .map(|cell| {
            let features = settings.for_names(matrix::names_of(cell)).features;
            (cell, (cell.target.clone(), features))
        })
        .collect();
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
                let slice = handle.join().map_err(|_| Error::work("resolving the graph ended abnormally"))??;
                Ok((key.clone(), Arc::new(slice)))
            })
            .collect::<Result<BTreeMap<_, _>>>()
    })?;
    Ok(keyed.into_iter().map(|(cell, key)| (cell.id.clone(), made[&key].clone())).collect())
}
