//! The decision about one cell: which route takes it, with which supplies, or why nothing does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::machine::Machine;
use crate::machine::engine::Engine;
use crate::model::catalog::Catalog;
use crate::model::cpu;
use crate::model::sysroot::SysrootPlan;
use crate::plan::attempt::Attempt;
use crate::plan::lanes::Placement;
use crate::plan::route::{self, Offer, Refusal, Situation};
use crate::plan::{
    Cell, CellInput, CellPlan, Project, Rejected, RouteKind, Setup, Status, container, is_forced, supply,
};
use crate::project::config::ContainerSettings;
use crate::project::needs::{Need, NeedKind};

/// What was decided about every cell.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub cells: Vec<CellPlan>,
    /// What lane each may share; none for those that are blocked.
    pub placements: Vec<Option<Placement>>,
    /// The sysroots that they take libraries from, by the cell's id.
    pub sysroots: BTreeMap<String, SysrootPlan>,
}

impl FromIterator<(CellPlan, Option<Placement>, Option<SysrootPlan>)> for Decided {
    fn from_iter<I: IntoIterator<Item = (CellPlan, Option<Placement>, Option<SysrootPlan>)>>(decided: I) -> Self {
        let mut all = Self::default();
        for (cell, placement, sysroot) in decided {
            all.sysroots.extend(sysroot.map(|sysroot| (cell.cell.id.clone(), sysroot)));
            all.cells.push(cell);
            all.placements.push(placement);
        }
        all
    }
}

/// Decides for one cell.
pub(super) fn cell(
    input: &CellInput,
    machine: &Machine,
    project: &Project,
    attempt: &Attempt,
    catalog: &Catalog,
) -> (CellPlan, Option<Placement>, Option<SysrootPlan>) {
    let cell = &input.cell;
    let considered = considered(&input.needs, project.settings.ignore_needs);
    let considered_inside =
        input.needs_inside.as_ref().map(|needs| self::considered(needs, project.settings.ignore_needs));
    let situation = Situation {
        cell,
        target: catalog.target(&cell.target),
        needs: &considered,
        needs_inside: considered_inside.as_deref().unwrap_or(&considered),
        machine,
        attempt,
        catalog,
        settings: &cell.settings,
        provisioning: &project.settings.provisioning,
        image_files: &project.image_files,
        in_image: false,
    };
    let order = cell.settings.routes.clone().unwrap_or_else(|| route::default_order(cell, machine));
    let mut survey = Survey::of(&order, &situation);
    match survey.choose(&situation) {
        Some((kind, offer)) => buildable(input, kind, offer, survey.rejected, &situation),
        None => (survey.blocked(input, &order, &situation), None, None),
    }
}

/// The needs that are looked at. What a compiler is needed for is never left out: it decides what a lane is set up with.
fn considered(needs: &[Need], ignore: bool) -> Vec<Need> {
    let compiler =
        |need: &Need| matches!(need.kind, NeedKind::CCompiler | NeedKind::CxxCompiler | NeedKind::HostLinker);
    needs.iter().filter(|need| !ignore || compiler(need)).cloned().collect()
}

/// What the routes answer for one cell.
#[derive(Debug, Default)]
struct Survey<'a> {
    /// The first offer of a route that did not fail before.
    taken: Option<(RouteKind, Offer)>,
    /// The first offer of a route that failed, with the cause.
    last_resort: Option<(RouteKind, Offer, &'a str)>,
    /// The routes that would work and failed before, by their causes.
    passed_over: Vec<(&'a str, Vec<&'static str>)>,
    /// All that were not taken.
    rejected: Vec<Rejected>,
    hints: Vec<String>,
    /// Why a container does not work.
    no_container: Option<Refusal>,
    /// Whether convoy could not do its own work for one of them.
    broken: bool,
}

impl<'a> Survey<'a> {
    /// Asks the routes in order until one is taken.
    fn of(order: &[RouteKind], situation: &Situation<'a>) -> Self {
        let cell = situation.cell;
        let failed =
            situation.attempt.failed.get(&cell.id).filter(|_| !is_forced(situation.settings.routes.as_deref()));
        let mut survey = Self::default();
        for &kind in order {
            match route::offer(kind, situation) {
                Ok(offer) => {
                    let Some(cause) = failed.and_then(|failed| failed.get(&kind)) else {
                        survey.taken = Some((kind, offer));
                        break;
                    };
                    survey.pass_over(kind, offer, cause, &cell.id);
                }
                Err(refusal) => survey.refused(kind, refusal),
            }
        }
        survey
    }

    fn pass_over(&mut self, kind: RouteKind, offer: Offer, cause: &'a str, id: &str) {
        let reason = format!("failed in an earlier build: {cause}; to try it again, use `--route {id}={kind}`");
        self.rejected.push(Rejected { route: kind, reason });
        match self.passed_over.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, routes)) => routes.push(kind.name()),
            None => self.passed_over.push((cause, vec![kind.name()])),
        }
        self.last_resort.get_or_insert((kind, offer, cause));
    }

    fn refused(&mut self, kind: RouteKind, refusal: Refusal) {
        self.broken |= refusal.broken;
        self.rejected.push(Rejected { route: kind, reason: refusal.reason.clone() });
        match kind {
            RouteKind::Container => self.no_container = Some(refusal),
            _ => self.hints.extend(refusal.hint),
        }
    }

    /// The route that builds the cell, with the reason in full.
    fn choose(&mut self, situation: &Situation<'_>) -> Option<(RouteKind, Offer)> {
        if let Some((kind, mut offer)) = self.taken.take() {
            if kind == RouteKind::Container && self.passed_over.is_empty() {
                if let Some(lack) = self.lack(offer.inner, situation) {
                    offer.because = format!("{lack}; {}", offer.because);
                }
            } else {
                for (cause, routes) in &self.passed_over {
                    offer.because += &format!("; {} failed in an earlier build ({cause})", routes.join(" and "));
                }
            }
            return Some((kind, offer));
        }
        let (kind, mut offer, cause) = self.last_resort.take()?;
        self.rejected.retain(|rejected| rejected.route != kind);
        offer.because += &format!("; it failed in an earlier build ({cause}), but there is no other route");
        let engine = self.no_container.take().filter(|_| route::may_be_in_container(situation));
        offer.hint = offer.hint.or(engine.and_then(|no| no.hint));
        Some((kind, offer))
    }

    /// What this machine lacks for a cell that is built in a container: what no route can do without, else what the route
    /// that builds inside of it lacks outside. None where a container is asked for.
    fn lack(&self, inner: Option<RouteKind>, situation: &Situation<'_>) -> Option<String> {
        let last = self.rejected.last()?;
        let same = self.rejected.iter().find(|rejected| Some(rejected.route) == inner);
        // A container can, after all.
        let common = route::common_refusal(situation, "").map(|common| common.reason);
        common.or_else(|| Some(same.unwrap_or(last).reason.clone()))
    }

    /// The plan of a cell that no route builds.
    fn blocked(self, input: &CellInput, order: &[RouteKind], situation: &Situation<'_>) -> CellPlan {
        let Self { rejected, mut hints, no_container, broken, .. } = self;
        let no_container = no_container.filter(|_| route::may_be_in_container(situation));
        // Where no tool of this machine may be taken, it does not matter what it lacks.
        let own_tools = order.iter().any(|kind| *kind != RouteKind::Container && !kind.is_foreign());
        let common = route::common_refusal(situation, supply::NO_ROUTE).filter(|_| own_tools);
        let mut because = blocked_because(&rejected, common.as_ref());
        if let Some(common) = common {
            // What a route lacks besides is of no use before this is mended.
            hints = common.hint.into_iter().collect();
            if let Some(Refusal { reason, .. }) = no_container.as_ref().filter(|no| no.reason != common.reason) {
                because += &format!("; a container cannot be used either: {reason}");
            }
        }
        if let Some(hint) = no_container.and_then(|no| no.hint) {
            // All that a container does not lack it gives.
            if let Engine::Found(_) = situation.machine.engine {
                hints.clear();
            }
            hints.push(hint);
        }
        let mut seen = BTreeSet::new();
        let hints: Vec<&str> = hints.iter().flat_map(|hint| hint.lines()).filter(|hint| seen.insert(*hint)).collect();
        let order = route::default_order(&input.cell, situation.machine);
        let mut needs = input.needs.clone();
        for need in &mut needs {
            need.supply = supply::on_some_route(need, &order, situation);
        }
        CellPlan {
            status: Status::Blocked,
            route: None,
            because,
            rejected,
            needs,
            provision: Vec::new(),
            sysroot: None,
            image: None,
            inner_route: None,
            container: ContainerSettings::default(),
            lane: None,
            hint: (!hints.is_empty()).then(|| hints.join("\n")),
            broken,
            setup: Setup::default(),
            cell: input.cell.clone(),
        }
    }
}

/// The plan of a cell that a route builds, which lane it may share, and the sysroot that it takes libraries from.
fn buildable(
    input: &CellInput,
    kind: RouteKind,
    offer: Offer,
    rejected: Vec<Rejected>,
    situation: &Situation<'_>,
) -> (CellPlan, Option<Placement>, Option<SysrootPlan>) {
    let settings = Arc::clone(&input.cell.settings);
    let inside_needs = input.needs_inside.as_ref().filter(|_| kind == RouteKind::Container);
    let mut needs = inside_needs.unwrap_or(&input.needs).clone();
    let cell = Cell { floor: offer.floor.or(input.cell.floor), ..input.cell.clone() };
    let inside = offer.image.as_ref().map(|image| container::inside(situation.machine, image));
    let inside = inside.as_ref().unwrap_or(situation.machine);
    for need in needs.iter_mut().filter(|need| supply::is_supplied(need.kind)) {
        need.supply = supply::find(need, &cell, offer.inner.unwrap_or(kind), inside, offer.sysroot.as_ref());
    }
    let sysroot = offer.sysroot.map(|sysroot| sysroot.plan);
    let mut setup = offer.setup;
    setup.rustflags.extend(situation.target.iter().flat_map(|target| target.rustflags.clone()));
    setup.rustflags.extend(cell.cpu.as_ref().map(|cpu| cpu::rustc_flag(&cell.target, cpu)));
    setup.rustflags.extend(settings.rustflags.iter().cloned());
    let of_host = cell.target == situation.machine.rustc.host;
    let placement = Placement {
        features: settings.features.clone(),
        env: settings.env.clone(),
        build_std: offer.build_std,
        image: None,
        // In an image build scripts find no libraries of its own release that another one's could be taken for.
        alone: kind.is_foreign() || of_host && offer.image.is_none() && (kind != RouteKind::Host || sysroot.is_some()),
    };
    let planned = CellPlan {
        status: Status::Buildable,
        route: Some(kind),
        because: offer.because,
        rejected,
        needs,
        provision: offer.provision,
        sysroot: sysroot.as_ref().map(|sysroot| sysroot.key.clone()),
        image: offer.image,
        inner_route: offer.inner,
        container: settings.container.clone(),
        lane: None,
        hint: offer.hint,
        broken: false,
        setup,
        cell,
    };
    (planned, Some(placement), sysroot)
}

/// One sentence that names the cause: what no route can do without, else what the routes lack.
fn blocked_because(rejected: &[Rejected], common: Option<&Refusal>) -> String {
    if let Some(common) = common {
        return common.reason.clone();
    }
    match rejected {
        [] => "no route is allowed".to_owned(),
        [one] => format!("{}: {}", one.route.name(), one.reason),
        many => {
            let reasons: Vec<String> = many.iter().map(|r| format!("{}: {}", r.route.name(), r.reason)).collect();
            format!("no route works on this machine ({})", reasons.join("; "))
        }
    }
}
