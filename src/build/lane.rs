//! A lane: one cargo invocation for one or more cells; and when it fails, who is to blame.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use crate::build::cargo::{self, Invocation, Outcome, Progress, Start};
use crate::build::container::{Container, USAGE};
use crate::build::jobserver::{self, Seat, Share};
use crate::build::lane_files;
use crate::build::setup::{self, LaneEnvironment};
use crate::build::{Artifact, CellOutcome, CellResult, Failure, Job};
use crate::machine::{CrossFacts, cargo_command, rust_command};
use crate::plan::container;
use crate::plan::diagnose::{self, BUILD_SCRIPT_FAILED, LINK_FAILED};
use crate::plan::{CellPlan, Lane, RouteKind};
use crate::report::{Phase, Reporter};
use crate::util::error::{Error, Result};
use crate::util::files::{self, LARGE, SMALL, UntrustedDir};

/// Runs the plan's lanes, at the same time where there are cores for it. What came of them is told in the plan's order.
pub fn run_lanes(job: &Job<'_>) -> Result<Vec<CellOutcome>> {
    let shared = Shared::default();
    let outcomes = jobserver::run_all(job, job.plan.lanes.len(), |index, seat| {
        let lane = &job.plan.lanes[index];
        let cells: Vec<&CellPlan> = lane.cells.iter().filter_map(|id| job.plan.cell(id)).collect();
        if job.interrupt.came().is_some() {
            return Ok(cells.iter().map(|cell| interrupted(cell, Duration::ZERO)).collect());
        }
        let started = Instant::now();
        let outcomes = run_lane(job, lane, &cells, seat, &shared);
        let ended = job.reporter.debug(Phase::Build, format!("cargo invocation {}", lane.id)).code("lane");
        ended.took(started.elapsed()).cpu(seat.cpu()).send();
        outcomes
    })?;
    Ok(outcomes.into_iter().flatten().collect())
}

/// What the lanes of a run have in common.
#[derive(Debug, Default)]
struct Shared {
    told: Told,
    /// Held while a lane is set up: lanes write scripts for this machine to the same place, and what one brings into the
    /// cache (libc++) the next is to find there.
    setup: Mutex<()>,
}

fn interrupted(cell: &CellPlan, took: Duration) -> CellOutcome {
    CellOutcome { id: cell.cell.id.clone(), result: CellResult::Interrupted, took }
}

fn run_lane(job: &Job<'_>, lane: &Lane, cells: &[&CellPlan], seat: &Seat, shared: &Shared) -> Result<Vec<CellOutcome>> {
    let dir = job.convoy_dir.join(&lane.id);
    fs_err::create_dir_all(&dir)?;
    let started = Instant::now();
    let mut outcomes = Vec::new();
    let told = &shared.told;
    let container = Container::of(job, lane, cells)?;
    if let Some(container) = &container
        && let Err(complaint) = container.fetch(lane, cells)?
    {
        let failed = |cell: &&CellPlan| {
            let result = CellResult::Failed(not_fetched(&complaint));
            finish(job, cell, result, started.elapsed(), told)
        };
        return Ok(cells.iter().map(failed).collect());
    }
    // Compilers and tools are those of the image.
    let inside = cells.iter().find_map(|cell| cell.image.as_ref()).map(|image| container::inside(job.host, image));
    let job = &match (&inside, &container) {
        (Some(host), Some(container)) => Job { host, exe: container.program(), ..job.clone() },
        _ => job.clone(),
    };
    if dir.read_dir_utf8()?.next().is_some() {
        lane_files::wait_for_cargo(&dir, job.interrupt, || {
            let message = "waiting for a cargo process of an earlier run in this project to finish";
            job.reporter.info(Phase::Build, message).code("waiting").send();
        })?;
    }
    let (mut environment, broken) = {
        let _alone = shared.setup.lock().unwrap_or_else(PoisonError::into_inner);
        setup::prepare(job, cells)?
    };
    environment.seat = seat.clone();
    if job.interrupt.came().is_some() {
        return Ok(cells.iter().map(|cell| interrupted(cell, started.elapsed())).collect());
    }
    for (id, error) in &broken {
        let cell = cells.iter().find(|cell| cell.cell.id == *id);
        let result = CellResult::Failed(setup_failed(error));
        outcomes.extend(cell.map(|cell| finish(job, cell, result, started.elapsed(), told)));
    }
    let cells: Vec<&CellPlan> = cells.iter().filter(|cell| !broken.contains_key(&cell.cell.id)).copied().collect();
    let cells = cells.as_slice();
    if cells.is_empty() {
        return Ok(outcomes);
    }
    for cell in cells {
        let key = environment.keys.get(&cell.cell.target).map(String::as_str).unwrap_or_default();
        clear_when_changed(&dir, &cell.cell.target, key)?;
        let words = cell.route.map_or("", |route| route.name());
        let words = cell.inner_route.map_or(words.to_owned(), |inner| format!("{words} ({inner})"));
        job.reporter.info(Phase::Build, format!("route {words}")).target(&cell.cell.id).send();
    }

    let ready = Ready { job, lane, environment: &environment, dir: &dir, container: container.as_ref(), started, told };
    outcomes.extend(ready.build(cells)?);
    Ok(outcomes)
}

/// A lane whose cargo can be started.
struct Ready<'a> {
    job: &'a Job<'a>,
    lane: &'a Lane,
    environment: &'a setup::LaneEnvironment,
    dir: &'a Utf8Path,
    container: Option<&'a Container<'a>>,
    started: Instant,
    told: &'a Told,
}

impl Ready<'_> {
    fn was_interrupted(&self) -> bool {
        self.job.interrupt.came().is_some()
    }

    fn interrupted(&self, cell: &CellPlan) -> CellOutcome {
        interrupted(cell, self.started.elapsed())
    }

    fn finished(&self, cell: &CellPlan, result: CellResult) -> CellOutcome {
        finish(self.job, cell, result, self.started.elapsed(), self.told)
    }

    /// Runs cargo for all cells, and once more for each that it did not build.
    fn build(&self, cells: &[&CellPlan]) -> Result<Vec<CellOutcome>> {
        let mut done: Vec<(String, Duration)> = Vec::new();
        let invoked = invoke(self.job, self.lane, cells, self.environment, self.dir, self.container, |cell| {
            done.push((cell.to_owned(), self.started.elapsed()));
        });
        let outcome = match invoked {
            Err(_) if self.was_interrupted() => return Ok(cells.iter().map(|cell| self.interrupted(cell)).collect()),
            // What an engine cannot do is no reason for other lanes to end.
            Err(error) if self.container.is_some() => {
                let failed = |cell: &&CellPlan| self.finished(cell, CellResult::Failed(setup_failed(&error)));
                return Ok(cells.iter().map(failed).collect());
            }
            outcome => outcome?,
        };
        let (mut outcomes, mut unfinished) = (Vec::new(), Vec::new());
        for &cell in cells {
            let Some(artifacts) = artifacts(self.job, self.dir, cell, &outcome) else {
                unfinished.push(cell);
                continue;
            };
            let took = done.iter().find(|(id, _)| *id == cell.cell.id).map(|(_, took)| *took);
            let took = took.unwrap_or_else(|| self.started.elapsed());
            outcomes.push(finish(self.job, cell, CellResult::Built(artifacts), took, self.told));
        }
        // cargo's messages carry no triple, and a failed build script names only the host side. So each unfinished cell of
        // a shared lane runs once alone on the same folder, where all that was built is fresh, and its own run tells why.
        // A lane that stopped before the first unit (a broken manifest, an unknown feature) would only say the same again.
        let compiled =
            outcome.any_artifact || !outcome.diagnostics.is_empty() || outcome.complaints.contains(BUILD_SCRIPT);
        let tell_apart = cells.len() > 1 && compiled && outcome.fault.is_none();
        for cell in unfinished {
            outcomes.push(match tell_apart {
                _ if self.was_interrupted() => self.interrupted(cell),
                true => self.build_alone(cell)?,
                false => self.finished(cell, CellResult::Failed(failure(&outcome, self.dir))),
            });
        }
        Ok(outcomes)
    }

    /// Runs cargo for one cell that was not built with the others.
    fn build_alone(&self, cell: &CellPlan) -> Result<CellOutcome> {
        let outcome = invoke(self.job, self.lane, &[cell], self.environment, self.dir, self.container, |_| {});
        if self.was_interrupted() {
            return Ok(self.interrupted(cell));
        }
        let outcome = match outcome {
            Err(error) if self.container.is_some() => {
                return Ok(self.finished(cell, CellResult::Failed(setup_failed(&error))));
            }
            outcome => outcome?,
        };
        let result = match artifacts(self.job, self.dir, cell, &outcome) {
            Some(artifacts) => CellResult::Built(artifacts),
            None => CellResult::Failed(failure(&outcome, self.dir)),
        };
        Ok(self.finished(cell, result))
    }
}

/// The crates could not be fetched ahead of a container, which has no network.
fn not_fetched(complaint: &str) -> Failure {
    let error = diagnose::cargo::error(complaint);
    Failure {
        code: "fetch-failed",
        message: format!("could not download the crates: {}", error.lines().next().unwrap_or_default()),
        diagnostics: complaint.to_owned(),
        hint: Some("check the network connection; after `cargo fetch`, `--offline` works without it".to_owned()),
        cause: None,
    }
}

/// The word for a container that did not come to its end.
pub(crate) const ENGINE_FAILED: &str = "engine-failed";

/// What cargo says of a build script that failed.
const BUILD_SCRIPT: &str = "failed to run custom build command for";

/// convoy could not do its own part for a cell.
fn setup_failed(error: &Error) -> Failure {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        message.push_str(&format!(": {source}"));
        cause = source.source();
    }
    let hint = error.hint_text().map(str::to_owned);
    Failure { code: "setup-failed", message, diagnostics: String::new(), hint, cause: None }
}

/// Diagnostics that were already shown, and under which cell's name.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<BTreeMap<String, String>>);

fn finish(job: &Job<'_>, cell: &CellPlan, result: CellResult, took: Duration, told: &Told) -> CellOutcome {
    let id = &cell.cell.id;
    match &result {
        CellResult::Built(artifacts) => {
            let names: Vec<&str> = artifacts.iter().map(|artifact| artifact.bin.name.as_str()).collect();
            job.reporter.info(Phase::Build, names.join(", ")).target(id).took(took).send();
        }
        CellResult::Failed(failure) if failure.cause.is_none() => tell_failure(job.reporter, id, failure, took, told),
        CellResult::Failed(_) => {}
        CellResult::Interrupted => {}
    }
    CellOutcome { id: id.clone(), result, took }
}

/// Says why a cell failed, with what cargo printed.
pub(crate) fn tell_failure(reporter: &Reporter, id: &str, failure: &Failure, took: Duration, told: &Told) {
    let report = reporter.error(Phase::Build, failure.message.clone()).target(id).code(failure.code).took(took);
    let diagnostics = failure.diagnostics.trim_end();
    // Held until it is said: another lane's "above" must be above.
    let mut told = told.0.lock().unwrap_or_else(PoisonError::into_inner);
    // The same mistake in the user's code fails every target: once is enough to read.
    match told.get(diagnostics) {
        _ if diagnostics.is_empty() => report.send(),
        Some(other) => report.below(format!("        same errors as for {other}, above")).send(),
        None => {
            report.below(diagnostics).send();
            told.insert(diagnostics.to_owned(), id.to_owned());
        }
    }
}

/// Every bin's file, when cargo named them all.
fn artifacts(job: &Job<'_>, dir: &Utf8Path, cell: &CellPlan, outcome: &Outcome) -> Option<Vec<Artifact>> {
    // cross sees the project at a place of its own, and packages are named by their places.
    let moved = is_cross(&[cell]);
    let mut bins = job.bins.iter().filter(|bin| bin.is_of(&cell.cell.id)).peekable();
    // Other targets may have some by their own features; one without any has nothing to give.
    bins.peek()?;
    bins.map(|bin| {
        let of_bin = |(package, name, _): &&(String, String, Utf8PathBuf)| {
            (moved || *package == bin.package_id) && *name == bin.name
        };
        let named = outcome.executables.iter().filter(of_bin);
        named.filter_map(|(_, _, file)| Artifact::of(bin, dir, &cell.cell.target, file)).find(|it| it.open().is_ok())
    })
    .collect()
}

/// Less free space than this makes a full disk the likely cause: what did not fit is gone again when one looks.
const SCARCE: u64 = 256 << 20;

/// The free space of a folder's disk; none where that cannot be told.
fn free_bytes(dir: &Utf8Path) -> Option<u64> {
    #[cfg(unix)]
    return rustix::fs::statvfs(dir.as_std_path()).ok().map(|disk| disk.f_bavail * disk.f_frsize);
    #[cfg(not(unix))]
    None
}

/// Why an executable that was named is none to publish, if so.
fn not_usable(dir: &Utf8Path, file: &Utf8Path) -> Option<String> {
    match UntrustedDir::open(dir).and_then(|lane| lane.file_at(file, LARGE)) {
        Ok(_) => None,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("cargo reported success, but its output file does not exist: {file}"))
        }
        Err(error) => Some(format!("cargo reported success, but its output file cannot be used: {error}")),
    }
}

fn failure(outcome: &Outcome, dir: &Utf8Path) -> Failure {
    let all = format!("{}\n{}", outcome.diagnostics, outcome.complaints);
    let plain = anstream::adapter::strip_str(&all).to_string();
    let diagnostics = match (outcome.diagnostics.trim(), outcome.complaints.trim()) {
        ("", complaints) => complaints.to_owned(),
        // rustc said it better than cargo's summary, except when a build script also failed.
        (diagnostics, complaints) if complaints.contains(BUILD_SCRIPT) => {
            format!("{diagnostics}\n{complaints}")
        }
        (diagnostics, _) => diagnostics.to_owned(),
    };
    // A linker that maps its output into memory does not get an error from a full disk but SIGBUS.
    let bus = plain.contains("SIGBUS") && free_bytes(dir).is_some_and(|free| free < SCARCE);
    if bus || plain.contains("No space left on device") {
        return Failure {
            code: "disk-full",
            message: "the disk is full".to_owned(),
            diagnostics,
            hint: Some("free some disk space, or set `--target-dir` to a directory on another disk".to_owned()),
            cause: None,
        };
    }
    if let Some(fault) = &outcome.fault {
        let (message, hint) = fault.said();
        return Failure { code: ENGINE_FAILED, message, diagnostics, hint: Some(hint), cause: None };
    }
    if outcome.success {
        return Failure {
            code: "artifact-missing",
            message: outcome
                .executables
                .iter()
                .find_map(|(_, _, file)| not_usable(dir, file))
                .unwrap_or_else(|| "cargo reported success, but built no binary".to_owned()),
            diagnostics,
            hint: Some("check whether the binary is disabled for this target".to_owned()),
            cause: None,
        };
    }
    let first = |needle: &str| plain.lines().find(|line| line.contains(needle)).map(|line| line.trim().to_owned());
    let (code, message) = if let Some(line) = first(BUILD_SCRIPT) {
        (BUILD_SCRIPT_FAILED, line.trim_start_matches("error: ").to_owned())
    } else if let Some(line) = ["linking with", "linker `", "could not exec the linker"]
        .iter()
        .find_map(|words| first(&format!("error: {words}")))
    {
        (LINK_FAILED, line.trim_start_matches("error: ").to_owned())
    } else if let Some(line) = first("error: could not compile") {
        ("compile-failed", line.trim_start_matches("error: ").to_owned())
    } else {
        let begins = |line: &&str| line.starts_with("error: ") || line.starts_with("error[");
        let line = plain.lines().map(str::trim).find(begins).unwrap_or("cargo failed without an error message");
        ("cargo-failed", line.trim_start_matches("error: ").to_owned())
    };
    match diagnose::cause(code, &plain) {
        Some(cause) => {
            let (message, hint) = (cause.message.clone(), Some(cause.hint.clone()));
            Failure { code, message, diagnostics, hint, cause: Some(cause) }
        }
        None => Failure { code, message, diagnostics, hint: None, cause: None },
    }
}

fn invoke(
    job: &Job<'_>,
    lane: &Lane,
    cells: &[&CellPlan],
    environment: &LaneEnvironment,
    dir: &Utf8Path,
    container: Option<&Container<'_>>,
    mut finished: impl FnMut(&str),
) -> Result<Outcome> {
    let share = match container {
        Some(container) => container.share(&environment.seat),
        None => environment.seat.on_host(),
    };
    let invocation = invocation(job, lane, cells, environment, &share, dir);
    let start = match container {
        Some(container) => container.start(lane, cells, environment, &invocation, &share, dir)?,
        None if is_cross(cells) => Start { command: cross(job, &invocation, dir)?, input: None },
        None => Start { command: command(job, environment, &invocation)?, input: None },
    };
    let logs_dir = job.convoy_dir.join("logs");
    fs_err::create_dir_all(&logs_dir)?;
    let mut logs = cells
        .iter()
        .map(|cell| files::new_file(&logs_dir.join(format!("{}.log", cell.cell.id))))
        .collect::<Result<Vec<_>>>()?;
    let homes: Vec<(Utf8PathBuf, &CellPlan)> = cells.iter().map(|cell| (dir.join(&cell.cell.target), *cell)).collect();
    let mut counts = vec![0; cells.len()];
    let of_cell = |cell: &&CellPlan| -> Vec<&str> {
        job.bins.iter().filter(|bin| bin.is_of(&cell.cell.id)).map(|bin| bin.name.as_str()).collect()
    };
    let bins: Vec<Vec<&str>> = cells.iter().map(of_cell).collect();
    let mut bins_done = vec![0; cells.len()];
    for cell in cells {
        let total = job.crates.get(&cell.cell.id).copied().unwrap_or(0);
        job.reporter.info(Phase::Build, "").target(&cell.cell.id).progress(0, total).send();
    }
    let progress = |progress: Progress<'_>| {
        let Progress::Unit { crate_name, file } = progress;
        let Some(index) = homes.iter().position(|(home, _)| file.starts_with(home)) else { return };
        let (_, cell) = &homes[index];
        counts[index] += 1;
        let total = job.crates.get(&cell.cell.id).copied().unwrap_or(0);
        job.reporter.info(Phase::Build, crate_name).target(&cell.cell.id).progress(counts[index], total).send();
        if bins[index].contains(&crate_name) {
            bins_done[index] += 1;
            if bins_done[index] >= bins[index].len() {
                finished(&cell.cell.id);
            }
        }
    };
    let verbose = job.reporter.style().verbose > 1;
    // cross mounts the folder at a place of its own.
    let moved = is_cross(cells).then_some((Utf8Path::new("/target"), dir));
    let echo = |text: &str| job.reporter.text(text);
    let mut outcome = cargo::run(start, job.interrupt, &mut logs, progress, verbose, moved, echo);
    if let (Some(container), Ok(told)) = (container, &mut outcome) {
        let fetched = match job.interrupt.came() {
            None => container.fetch_built(dir, told),
            Some(_) => Ok(()),
        };
        // What was not fetched tells nothing of how cargo ended, but its own words do.
        let cargo_said = !told.diagnostics.is_empty() || told.complaints.contains(BUILD_SCRIPT);
        match fetched {
            Err(error) if told.success => outcome = Err(error),
            Err(_) if cargo_said => {}
            _ if told.success => {}
            _ => told.fault = container.fault(dir, &told.complaints),
        }
    }
    if let Some(container) = container
        && (job.interrupt.came().is_some() || !outcome.as_ref().is_ok_and(|outcome| outcome.success))
    {
        container.remove();
    }
    if container.is_some() {
        lane_files::clear_set_id(dir)?;
    }
    let mut outcome = outcome?;
    if container.is_some() {
        // The engine's client used nothing to speak of.
        outcome.cpu = container::cpu_used(&lane_files::text_of_lane(dir, USAGE).ok().flatten().unwrap_or_default());
    }
    environment.seat.count(&outcome);
    Ok(outcome)
}

fn invocation(
    job: &Job<'_>,
    lane: &Lane,
    cells: &[&CellPlan],
    environment: &LaneEnvironment,
    share: &Share,
    dir: &Utf8Path,
) -> Invocation {
    let selection = job.selection;
    let mut args: Vec<String> = vec!["build".to_owned()];
    let mut add = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));
    if let Some(manifest) = &job.manifest_path {
        add(&["--manifest-path", manifest.as_str()]);
    }
    add(&["--target-dir", dir.as_str(), "--profile", job.profile]);
    for cell in cells {
        add(&["--target", &cell.cell.target]);
    }
    for package in &selection.packages {
        add(&["--package", package]);
    }
    if selection.workspace {
        add(&["--workspace"]);
    }
    for package in &selection.exclude {
        add(&["--exclude", package]);
    }
    if selection.bins.is_empty() {
        add(&["--bins"]);
    }
    for bin in &selection.bins {
        add(&["--bin", bin]);
    }
    let mut features = selection.features.clone();
    features.list.extend(lane.features.iter().cloned());
    let features = features.to_args();
    add(&features.iter().map(String::as_str).collect::<Vec<_>>());
    if selection.locked {
        add(&["--locked"]);
    }
    if selection.offline {
        add(&["--offline"]);
    }
    let words: Vec<&str> = share.args.iter().map(String::as_str).collect();
    add(&words);
    let color = job.reporter.style().color;
    let ansi = if color { "json-diagnostic-rendered-ansi" } else { "json" };
    add(&["--keep-going", &format!("--message-format={ansi}")]);
    add(&["--color", if color { "always" } else { "never" }]);
    for config in &environment.config {
        add(&["--config", config]);
    }
    let mut set = environment.set.clone();
    set.extend(share.env.clone());
    if lane.build_std {
        add(&["-Zbuild-std=std,panic_abort"]);
        if !job.host.rustc.version.contains("nightly") {
            // Lets a stable cargo and rustc take `-Z`: the user asked for std to be built, and rustup has none to bring.
            set.insert("RUSTC_BOOTSTRAP".to_owned(), "1".to_owned());
        }
    }
    add(&selection.cargo_args.iter().map(String::as_str).collect::<Vec<_>>());
    if job.build_dir {
        // The lane's must win: keys and records live there. Not in all projects, as cargo takes `{…}` in it for a variable.
        set.insert("CARGO_BUILD_BUILD_DIR".to_owned(), dir.to_string());
    }
    set.extend(lane.env.clone());
    Invocation { args, set }
}

/// The command that starts cargo on this machine itself.
fn command(job: &Job<'_>, environment: &LaneEnvironment, invocation: &Invocation) -> Result<Command> {
    let mut command = cargo_command();
    command.current_dir(&job.cwd).args(&invocation.args);
    for name in &environment.remove {
        command.env_remove(name);
    }
    if !environment.path.is_empty() {
        let own = std::env::var_os("PATH").unwrap_or_default();
        let dirs =
            environment.path.iter().map(|dir| dir.clone().into_std_path_buf()).chain(std::env::split_paths(&own));
        command.env(
            "PATH",
            std::env::join_paths(dirs)
                .map_err(|error| Error::work("could not add the project's path to PATH").because(error))?,
        );
    }
    command.envs(&invocation.set);
    Ok(command)
}

/// Whether a lane is handed to cross, which builds one target at a time.
fn is_cross(cells: &[&CellPlan]) -> bool {
    cells.iter().any(|cell| cell.route == Some(RouteKind::Cross))
}

/// The command that starts cross: with its own Cross.toml, images and settings.
fn cross(job: &Job<'_>, invocation: &Invocation, dir: &Utf8Path) -> Result<Command> {
    let Some(CrossFacts { program, toolchain: Some(toolchain) }) = &job.host.cross else {
        return Err(Error::work("internal error: the plan uses cross, which is missing"));
    };
    let mut command = rust_command(program);
    // Of a toolchain that is named by its version cross changes nothing.
    command.current_dir(&job.cwd).arg(format!("+{toolchain}")).args(&invocation.args);
    command.envs(invocation.set.iter().filter(|(name, _)| *name != "CARGO_BUILD_BUILD_DIR"));
    command.env("CARGO_TARGET_DIR", dir);
    // cross 0.2.5 takes a toolchain that rustup lists as the active one for one that is not installed, and "installs" it,
    // which replaces all of it. Named by its folder, it is active under no name.
    command.env("RUSTUP_TOOLCHAIN", &job.host.rustc.sysroot);
    // What cargo set for this very process would lead cross to another cargo.
    command.env_remove("CARGO");
    Ok(command)
}

/// Not every build script asks to be run again when its environment changes (the `cmake` crate does not). So what a
/// target was built with is kept beside its folder, and the folder is cleared when that changes.
fn clear_when_changed(dir: &Utf8Path, triple: &str, key: &str) -> Result<()> {
    let name = format!("{triple}.convoy-key");
    let home = dir.join(triple);
    // What is no plain file (a build script may have put something else there) tells nothing, and is replaced.
    if UntrustedDir::open(dir)?.read_text(Utf8Path::new(&name), SMALL).is_ok_and(|old| old.as_deref() == Some(key)) {
        return Ok(());
    }
    if home.symlink_metadata().is_ok() {
        fs_err::remove_dir_all(&home)?;
    }
    files::replace(&dir.join(name), key)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_key_is_replaced_and_not_read() {
        let held = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(held.path()).unwrap().canonicalize_utf8().unwrap();
        let build = |key: &str| {
            fs_err::create_dir_all(dir.join("t/release")).unwrap();
            clear_when_changed(&dir, "t", key).unwrap();
            dir.join("t").exists()
        };
        assert!(!build("one"), "built with another key");
        assert!(build("one"), "built with the same key");
        fs_err::write(dir.join("outside"), "two").unwrap();
        fs_err::remove_file(dir.join("t.convoy-key")).unwrap();
        std::os::unix::fs::symlink(dir.join("outside"), dir.join("t.convoy-key")).unwrap();
        assert!(!build("two"), "a link counts");
        fs_err::remove_file(dir.join("t.convoy-key")).unwrap();
        assert!(Command::new("mkfifo").arg(dir.join("t.convoy-key")).status().unwrap().success());
        // It does not wait for a writer.
        assert!(!build("two"), "a pipe counts");
        assert!(build("two"), "the pipe was not replaced");
        assert_eq!(fs_err::read_to_string(dir.join("outside")).unwrap(), "two");
    }

    #[test]
    fn the_line_that_is_quoted_is_an_error_and_not_a_line_that_names_one() {
        let quoted = |complaints: &str| {
            let outcome = Outcome { complaints: complaints.to_owned(), ..Outcome::default() };
            failure(&outcome, Utf8Path::new("/")).message
        };
        let complaints =
            "   Compiling thiserror v2.0.0\nwarning: unused variable: `error`\nerror: no space in the registry\n";
        assert_eq!(quoted(complaints), "no space in the registry");
        assert_eq!(quoted("warning: unused variable: `error`\n"), "cargo failed without an error message");
        let complaint = "warning: `a_error` is unused\nerror: failed to get `b`\n\nCaused by:\n  x";
        assert_eq!(not_fetched(complaint).message, "could not download the crates: failed to get `b`");
    }
}
