//! A route that fails for a tool's sake gives way to the next one, and that is remembered for the runs to come.

use std::collections::{BTreeMap, BTreeSet};

use super::{Build, shorten};
use crate::build::learned::{self, Memory, Subject};
use crate::build::{self, CellOutcome, CellResult};
use crate::command::prepare::{Network, Prepared, prepare};
use crate::command::workspace::Planned;
use crate::machine::CacheDir;
use crate::model::code::Code;
use crate::plan::diagnose::{Cause, Scope};
use crate::plan::{self, Cell, CellPlan, Linker, Plan, RouteKind, Status};
use crate::project::graph::Slice;
use crate::report::Phase;
use crate::util::error::Result;
use crate::util::files;

/// The routes that failed in this run, by the cell's id, each with the cause.
type Tried = BTreeMap<String, BTreeMap<RouteKind, String>>;

impl Prepared {
    /// Learns from earlier runs which routes failed.
    pub(in crate::command) fn recall(&mut self) {
        let memory = Memory::read(&learned::file(&self.planned.workspace.convoy_dir()));
        // Every run comes here, and hardly one has anything to recall.
        if memory.is_empty() {
            return;
        }
        let subjects = self.subjects();
        for cell in self.project.cells.iter().map(|input| &input.cell) {
            if let Some(subject) = subjects.get(&cell.id) {
                self.attempt.failed.insert(cell.id.clone(), memory.failed(cell, subject, &self.planned.machine));
            }
        }
    }

    fn subjects(&self) -> BTreeMap<String, Subject> {
        let lock = files::sha256(fs_err::read(self.planned.workspace.root.join("Cargo.lock")).unwrap_or_default());
        let subject =
            |cell: &Cell, slice: &Slice| Subject::new(slice.target.iter().chain(&slice.host), &lock, &cell.settings);
        let cells = self.cells().filter_map(|cell| Some((cell, self.slices.get(&cell.id)?)));
        cells.map(|(cell, slice)| (cell.id.clone(), subject(cell, slice))).collect()
    }

    fn is_forced(&self, id: &str) -> bool {
        let cell = self.cells().find(|cell| cell.id == id);
        cell.is_none_or(|cell| plan::is_forced(cell.settings.routes.as_deref()))
    }
}

impl Build<'_> {
    /// Tries the routes that are left for cells that failed because of a tool. `planned` and `outcomes` then tell of each
    /// cell's last attempt.
    pub(super) fn retry(
        &self,
        planned: &mut Planned,
        mut prepared: Option<Prepared>,
        outcomes: &mut [CellOutcome],
        cache: &CacheDir,
    ) -> Result<()> {
        let mut tried = Tried::new();
        let result = self.attempts(planned, &mut prepared, outcomes, &mut tried, cache);
        if let Some(prepared) = &prepared {
            learn(prepared, planned, outcomes, &tried);
        }
        result
    }

    fn attempts(
        &self,
        planned: &mut Planned,
        prepared: &mut Option<Prepared>,
        outcomes: &mut [CellOutcome],
        tried: &mut Tried,
        cache: &CacheDir,
    ) -> Result<()> {
        let mut attempted: BTreeSet<String> = outcomes.iter().map(|outcome| outcome.id.clone()).collect();
        while self.interrupt.came().is_none() {
            let failed: Vec<(String, RouteKind, Cause)> = outcomes
                .iter()
                .filter(|outcome| attempted.contains(&outcome.id))
                .filter_map(|outcome| {
                    let route = planned.plan.cell(&outcome.id)?.route?;
                    Some((outcome.id.clone(), route, cause(outcome)?.clone()))
                })
                .filter(|(_, _, cause)| cause.scope != Scope::All)
                .collect();
            if failed.is_empty() {
                break;
            }
            let prepared = match prepared {
                Some(prepared) => prepared,
                // The plan was a kept one. When the project cannot be read any more, the failure is the news.
                None => match prepare(self.selection, Network::Allowed, cache, self.reporter, self.interrupt) {
                    Ok(anew) => prepared.insert(anew),
                    Err(_) => break,
                },
            };
            for (id, route, cause) in &failed {
                let tried = tried.entry(id.clone()).or_default();
                tried.insert(*route, cause.message.clone());
                if cause.scope == Scope::Machine && *route != RouteKind::Container {
                    for other in OWN_ROUTES {
                        tried.entry(other).or_insert_with(|| cause.message.clone());
                    }
                }
                // What failed in earlier runs may work by now, and all that is left is tried.
                prepared.attempt.failed.insert(id.clone(), tried.clone());
            }
            prepared.decide();
            let mut again = BTreeSet::new();
            for (id, route, cause) in &failed {
                let Some(next) = next(planned, prepared, outcomes, tried, id) else { continue };
                let message = format!("route {route} failed ({}); trying route {next}", cause.message);
                self.reporter.info(Phase::Build, message).target(id).code(Code::RouteFailed).send();
                again.insert(id.clone());
            }
            tell_ways_out(prepared, outcomes, &failed, &again);
            if again.is_empty() {
                break;
            }
            self.provision(prepared, cache)?;
            // What could not be provisioned may have ruled the route out.
            again.retain(|id| next(planned, prepared, outcomes, tried, id).is_some());
            if again.is_empty() {
                break;
            }
            for (id, route, _) in failed.iter().filter(|(id, _, _)| again.contains(id)) {
                let logs = planned.workspace.convoy_dir().join("logs");
                let (log, aside) = (logs.join(format!("{id}.log")), logs.join(format!("{id}.{route}.log")));
                // Only for a later look.
                if fs_err::rename(&log, &aside).is_ok() {
                    let aside = shorten(&aside, &planned.workspace.cwd);
                    self.reporter
                        .debug(Phase::Build, format!("the log of route {route} is in {aside}"))
                        .target(id)
                        .send();
                }
            }
            let mut sub = prepared.planned.clone();
            sub.plan = only(&sub.plan, &again);
            self.images(cache).try_files(&mut sub)?;
            let anew = build::run_lanes(&self.job(&sub, cache)?)?;
            for anew in anew {
                let old = outcomes.iter_mut().find(|outcome| outcome.id == anew.id);
                let planned = planned.plan.cells.iter_mut().find(|cell| cell.cell.id == anew.id);
                if let (Some(old), Some(planned), Some(cell)) = (old, planned, sub.plan.cell(&anew.id)) {
                    *planned = cell.clone();
                    old.took += anew.took;
                    old.result = anew.result;
                }
            }
            // A tool that was installed is a fact of this machine now.
            planned.machine = sub.machine;
            attempted = again;
        }
        Ok(())
    }
}

/// The routes by this machine's own tools.
const OWN_ROUTES: [RouteKind; 4] = [RouteKind::Host, RouteKind::Lld, RouteKind::Gcc, RouteKind::Zig];

/// Where nothing is left to try, the plan may know what would give another route.
fn tell_ways_out(
    prepared: &Prepared,
    outcomes: &mut [CellOutcome],
    failed: &[(String, RouteKind, Cause)],
    again: &BTreeSet<String>,
) {
    for (id, ..) in failed.iter().filter(|(id, ..)| !again.contains(id) && !prepared.is_forced(id)) {
        let way = prepared.planned.plan.cell(id).and_then(|cell| cell.hint.clone());
        let outcome = outcomes.iter_mut().find(|outcome| outcome.id == *id);
        if let (Some(way), Some(CellResult::Failed(failure))) = (way, outcome.map(|outcome| &mut outcome.result)) {
            let hint = failure.hint.take().map(|hint| format!("{hint}\n")).unwrap_or_default();
            failure.hint = Some(format!("{hint}{way}"));
        }
    }
}

/// The tool's fault that a cell failed for.
fn cause(outcome: &CellOutcome) -> Option<&Cause> {
    match &outcome.result {
        CellResult::Failed(failure) => failure.cause.as_ref(),
        _ => None,
    }
}

/// The route that is planned for a failed cell now, where it is worth an attempt.
fn next(
    planned: &Planned,
    prepared: &Prepared,
    outcomes: &[CellOutcome],
    tried: &Tried,
    id: &str,
) -> Option<RouteKind> {
    if prepared.is_forced(id) {
        return None;
    }
    let now = prepared.planned.plan.cell(id).filter(|cell| cell.status == Status::Buildable)?;
    let route = now.route.filter(|route| !tried.get(id).is_some_and(|tried| tried.contains_key(route)))?;
    let old = planned.plan.cell(id)?;
    let links = outcomes.iter().any(|outcome| {
        outcome.id == id && matches!(&outcome.result, CellResult::Failed(failure) if failure.code == Code::LinkFailed)
    });
    (!links || !same_linker(old, now)).then_some(route)
}

/// Every route to macOS links with `rust-lld` against the same stubs.
fn same_linker(old: &CellPlan, new: &CellPlan) -> bool {
    matches!((&old.setup.linker, &new.setup.linker), (Linker::Darwin { .. }, Linker::Darwin { .. }))
}

/// These cells of a plan, in the lanes that the whole plan gives them.
fn only(plan: &Plan, ids: &BTreeSet<String>) -> Plan {
    let mut plan = plan.clone();
    plan.cells.retain(|cell| ids.contains(&cell.cell.id));
    for lane in &mut plan.lanes {
        lane.cells.retain(|id| ids.contains(id));
    }
    plan.lanes.retain(|lane| !lane.cells.is_empty());
    plan
}

/// Writes down which routes failed, where that helps the next plan.
fn learn(prepared: &Prepared, planned: &Planned, outcomes: &[CellOutcome], tried: &Tried) {
    let file = learned::file(&planned.workspace.convoy_dir());
    let known = Memory::read(&file);
    let mut memory = known.clone();
    let subjects = prepared.subjects();
    for outcome in outcomes {
        let cell = prepared.cells().find(|cell| cell.id == outcome.id);
        let (Some(cell), Some(subject)) = (cell, subjects.get(&outcome.id)) else { continue };
        let route = planned.plan.cell(&outcome.id).and_then(|planned| planned.route);
        let before = prepared.attempt.failed.get(&outcome.id).cloned().unwrap_or_default();
        let failed = match (&outcome.result, tried.get(&outcome.id)) {
            // Forced routes are another matter than the plan's choice.
            (CellResult::Failed(_) | CellResult::Interrupted, _) if prepared.is_forced(&outcome.id) => continue,
            // Nothing that is left works. Whatever is mended, the next run is to find it.
            (CellResult::Failed(_), Some(tried)) if route.is_some_and(|route| tried.contains_key(&route)) => {
                BTreeMap::new()
            }
            (_, Some(tried)) => tried.clone(),
            (CellResult::Built(_), None) => before.into_iter().filter(|(failed, _)| route != Some(*failed)).collect(),
            (CellResult::Failed(_) | CellResult::Interrupted, None) => continue,
        };
        memory.learn(cell, subject, &failed, &prepared.planned.machine);
    }
    if memory != known {
        // A memory that cannot be written only costs time.
        let _ = memory.write(&file);
    }
}
