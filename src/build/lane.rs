//! A lane: one cargo invocation for one or more cells; and when it fails, who is to blame.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use crate::build::cargo::{self, Outcome, Progress, Start};
use crate::build::container::{Container, USAGE};
use crate::build::failure::{BUILD_SCRIPT, Reported, failure, not_fetched, setup_failed, tell_failure};
use crate::build::invocation::{command, cross, invocation, xwin};
use crate::build::jobserver::{self, Seat};
use crate::build::lane_files;
use crate::build::setup::{self, LaneEnvironment};
use crate::build::{Artifact, CellOutcome, CellResult, Job};
use crate::model::code::Code;
use crate::plan::container;
use crate::plan::{CellPlan, Lane, RouteKind};
use crate::report::Phase;
use crate::util::error::Result;
use crate::util::files::{self, SMALL, UntrustedDir};

/// Runs the plan's lanes, at the same time where there are cores for it. Their results are reported in the plan's order.
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
        let ended = job.reporter.debug(Phase::Build, format!("cargo invocation {}", lane.id)).code(Code::Lane);
        ended.took(started.elapsed()).cpu(seat.cpu()).send();
        outcomes
    })?;
    Ok(outcomes.into_iter().flatten().collect())
}

/// What the lanes of a run have in common.
#[derive(Debug, Default)]
struct Shared {
    output: Reported,
    /// Held while a lane is set up: lanes write wrappers for this machine to the same place, and what one brings into the
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
    let output = &shared.output;
    let container = Container::of(job, lane, cells)?;
    if let Some(container) = &container
        && let Err(complaint) = container.fetch(lane, cells)?
    {
        let failed = |cell: &&CellPlan| {
            let result = CellResult::Failed(not_fetched(&complaint));
            finish(job, cell, result, started.elapsed(), output)
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
            job.reporter.info(Phase::Build, message).code(Code::Waiting).send();
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
        outcomes.extend(cell.map(|cell| finish(job, cell, result, started.elapsed(), output)));
    }
    let cells: Vec<&CellPlan> = cells.iter().filter(|cell| !broken.contains_key(&cell.cell.id)).copied().collect();
    let cells = cells.as_slice();
    if cells.is_empty() {
        return Ok(outcomes);
    }
    for cell in cells {
        let key = environment.keys.get(cell.cell.target.as_str()).map(String::as_str).unwrap_or_default();
        clear_when_changed(&dir, &cell.cell.target, key)?;
        let words = cell.route.map_or("", |route| route.name());
        let words = cell.inner_route.map_or(words.to_owned(), |inner| format!("{words} ({inner})"));
        job.reporter.info(Phase::Build, format!("route {words}")).target(&cell.cell.id).send();
    }

    let ready =
        Ready { job, lane, environment: &environment, dir: &dir, container: container.as_ref(), started, output };
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
    output: &'a Reported,
}

impl Ready<'_> {
    fn was_interrupted(&self) -> bool {
        self.job.interrupt.came().is_some()
    }

    fn interrupted(&self, cell: &CellPlan) -> CellOutcome {
        interrupted(cell, self.started.elapsed())
    }

    fn finished(&self, cell: &CellPlan, result: CellResult) -> CellOutcome {
        finish(self.job, cell, result, self.started.elapsed(), self.output)
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
            outcomes.push(finish(self.job, cell, CellResult::Built(artifacts), took, self.output));
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

fn finish(job: &Job<'_>, cell: &CellPlan, result: CellResult, took: Duration, output: &Reported) -> CellOutcome {
    let id = &cell.cell.id;
    match &result {
        CellResult::Built(artifacts) => {
            let names: Vec<&str> = artifacts.iter().map(|artifact| artifact.bin.name.as_str()).collect();
            job.reporter.info(Phase::Build, names.join(", ")).target(id).took(took).send();
        }
        CellResult::Failed(failure) if failure.cause.is_none() => tell_failure(job.reporter, id, failure, took, output),
        CellResult::Failed(_) => {}
        CellResult::Interrupted => {}
    }
    CellOutcome { id: id.clone(), result, took }
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
        None => {
            let command = match cells.first().map(|cell| (cell.route, cell)) {
                Some((Some(RouteKind::Cross), _)) => cross(job, &invocation, dir)?,
                Some((Some(RouteKind::Xwin), cell)) => xwin(job, cell, environment, &invocation)?,
                _ => command(job, environment, &invocation)?,
            };
            Start { command, input: None }
        }
    };
    let logs_dir = job.convoy_dir.join("logs");
    fs_err::create_dir_all(&logs_dir)?;
    let mut logs = cells
        .iter()
        .map(|cell| files::new_file(&logs_dir.join(format!("{}.log", cell.cell.id))))
        .collect::<Result<Vec<_>>>()?;
    let homes: Vec<(Utf8PathBuf, &CellPlan)> =
        cells.iter().map(|cell| (dir.join(cell.cell.target.as_str()), *cell)).collect();
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
    if let (Some(container), Ok(output)) = (container, &mut outcome) {
        let fetched = match job.interrupt.came() {
            None => container.fetch_built(dir, output),
            Some(_) => Ok(()),
        };
        // What was not fetched tells nothing of how cargo ended, but its own words do.
        let cargo_said = !output.diagnostics.is_empty() || output.complaints.contains(BUILD_SCRIPT);
        match fetched {
            Err(error) if output.success => outcome = Err(error),
            Err(_) if cargo_said => {}
            _ if output.success => {}
            _ => output.fault = container.fault(dir, &output.complaints),
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

/// Whether a lane is handed to cross, which builds one target at a time.
fn is_cross(cells: &[&CellPlan]) -> bool {
    cells.iter().any(|cell| cell.route == Some(RouteKind::Cross))
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
        assert!(std::process::Command::new("mkfifo").arg(dir.join("t.convoy-key")).status().unwrap().success());
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
