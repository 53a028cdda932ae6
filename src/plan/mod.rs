//! Deciding: needs × host facts × settings → [`Plan`]. Pure: no process, no file, no clock, no environment.

pub mod container;
pub(crate) mod diagnose;
pub mod matrix;
mod provision;
pub(crate) mod remedy;
pub mod route;
mod supply;
mod sysroot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine::HostFacts;
use crate::machine::engine::Engine;
use crate::model::catalog::{Catalog, Glibc};
use crate::model::sysroot::{SysrootKey, SysrootPlan};
use crate::plan::container::ImagePlan;
use crate::project::config::{ContainerSettings, Settings, TargetSettings};
use crate::project::needs::{Need, NeedKind};
pub(crate) use provision::Provision;
pub use provision::ProvisionKind;
pub(crate) use route::Refusal;
pub use route::{Linker, RouteKind, Setup, ZigTool};
pub(crate) use supply::met;
pub(crate) use sysroot::{DEBIAN_ARCHIVE, key_of as sysroot_key};

/// One thing to build: the selected bins for a target, a floor and a CPU.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Cell {
    /// The target's id in plan, manifest, logs and `dist/<id>/`. It depends only on the requested target and on its
    /// configuration.
    pub id: String,
    /// rustc's target triple.
    pub target: String,
    /// The minimum glibc version; null if there is none.
    pub floor: Option<Glibc>,
    /// Whether nobody asked for that floor: it may rise with the libraries that are linked.
    #[serde(skip)]
    #[schemars(skip)]
    pub floor_by_default: bool,
    /// rustc's name of the CPU to build for; null for the target's default.
    pub cpu: Option<String>,
    /// The platform, as `os/arch[/variant]`.
    pub platform: Option<String>,
    /// The devices that this build is for.
    pub devices: Vec<String>,
    /// The words that mean it, for `--route` and `[target]` tables.
    #[serde(skip)]
    #[schemars(skip)]
    pub names: Vec<String>,
    /// What configuration and `--route` say for it: all of it holds for each device that it serves.
    #[serde(skip)]
    #[schemars(skip)]
    pub settings: Arc<TargetSettings>,
}

/// Whether a target can be built on this machine.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// A route is available.
    Buildable,
    /// No route is available; no build is attempted.
    Blocked,
}

/// A rejected route.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Rejected {
    /// The route.
    pub route: RouteKind,
    /// The reason.
    pub reason: String,
}

/// The plan for one target.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct CellPlan {
    /// The cell.
    #[serde(flatten)]
    pub cell: Cell,
    /// Whether it can be built on this machine.
    pub status: Status,
    /// The route that is used; null if blocked.
    pub route: Option<RouteKind>,
    /// The reason for this route, or for the block.
    pub because: String,
    /// The routes that were rejected.
    pub rejected: Vec<Rejected>,
    /// What the dependencies need for this target.
    pub needs: Vec<Need>,
    /// What will be downloaded and installed before the build.
    pub provision: Vec<Provision>,
    /// The sysroot that provides its libraries.
    pub sysroot: Option<SysrootKey>,
    /// The container image that it is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImagePlan>,
    /// The route used in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner_route: Option<RouteKind>,
    /// How its container is made and confined.
    #[serde(skip)]
    #[schemars(skip)]
    pub container: ContainerSettings,
    /// The cargo invocation that builds it; null if blocked.
    pub lane: Option<String>,
    /// How to fix a block, or other advice.
    pub hint: Option<String>,
    /// Whether it is blocked because convoy could not do its own work in this run.
    #[serde(skip)]
    #[schemars(skip)]
    pub broken: bool,
    /// How the lane is set up for this cell; not part of the JSON contract.
    #[serde(skip)]
    #[schemars(skip)]
    pub setup: Setup,
}

/// A cargo invocation: one environment and target directory, for one or more targets.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Lane {
    /// Its name, and that of its directory under `<target-dir>/convoy/`.
    pub id: String,
    /// The route of its targets; `mixed` if they differ.
    pub route: String,
    /// The ids of its targets.
    pub cells: Vec<String>,
    /// The container image that it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Features added by configuration for the cells of this lane.
    #[serde(skip)]
    #[schemars(skip)]
    pub features: Vec<String>,
    /// Environment added by configuration for the cells of this lane.
    #[serde(skip)]
    #[schemars(skip)]
    pub env: BTreeMap<String, String>,
    /// Whether std is built from source.
    #[serde(skip)]
    #[schemars(skip)]
    pub build_std: bool,
}

/// What a build will do for every target, and why: the output of `cargo convoy plan --json`.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Plan {
    /// Version of this format; increased when a field is removed or changes its meaning.
    pub schema: u32,
    /// Always `plan`.
    pub kind: String,
    /// The cargo invocations, in order.
    pub lanes: Vec<Lane>,
    /// All targets, in the requested order.
    pub cells: Vec<CellPlan>,
    /// The sysroots that provide libraries.
    pub sysroots: Vec<SysrootPlan>,
    /// The linker for the host's own build scripts and proc-macros; none where cargo's own choice works.
    #[serde(skip)]
    #[schemars(skip)]
    pub host_linker: Option<ZigTool>,
}

impl Plan {
    /// One in which nothing is decided.
    pub fn empty() -> Self {
        let kind = "plan".to_owned();
        Self { schema: 1, kind, lanes: Vec::new(), cells: Vec::new(), sysroots: Vec::new(), host_linker: None }
    }
}

/// What planning is about, for one cell.
#[derive(Debug)]
pub struct CellInput {
    /// The cell.
    pub cell: Cell,
    /// What the dependency graph asks for its target.
    pub needs: Vec<Need>,
    /// The same in a container, which has fewer of this machine's variables; none where it is no different.
    pub needs_inside: Option<Vec<Need>>,
    /// Routes that failed here before, each with the cause. They are passed over while another one is offered.
    pub failed: BTreeMap<RouteKind, String>,
}

/// Whether the order of routes leaves no choice.
pub(crate) fn is_forced(routes: Option<&[RouteKind]>) -> bool {
    routes.is_some_and(|routes| routes.len() == 1)
}

/// Decides for every cell.
pub fn plan(cells: Vec<CellInput>, host: &HostFacts, settings: &Settings, catalog: &Catalog) -> Plan {
    let mut planned = Vec::new();
    let mut placements = Vec::new();
    let mut sysroots = BTreeMap::new();
    for input in cells {
        let (cell, placement, sysroot) = plan_cell(input, host, settings, catalog);
        sysroots.extend(sysroot.map(|sysroot| (cell.cell.id.clone(), sysroot)));
        planned.push(cell);
        placements.push(placement);
    }
    share_images(&mut planned, host);
    for (cell, placement) in planned.iter().zip(&mut placements) {
        if let Some(placement) = placement {
            placement.image = cell.image.as_ref().map(|image| (image.reference.clone(), cell.container.clone()));
        }
    }
    let lanes = assign_lanes(&mut planned, placements);
    let needs_host_zig = !host.links_itself()
        && planned.iter().any(|cell| {
            cell.status == Status::Buildable
                && cell.image.is_none()
                && cell.needs.iter().any(|need| need.kind == NeedKind::HostLinker)
        });
    Plan {
        schema: 1,
        kind: "plan".to_owned(),
        lanes,
        sysroots: sysroot::gather(&planned, sysroots),
        cells: planned,
        host_linker: needs_host_zig.then(|| route::zig_for_host(host, catalog)),
    }
}

/// One image for all cells that can share one.
fn share_images(cells: &mut [CellPlan], host: &HostFacts) {
    let Engine::Found(engine) = &host.engine else { return };
    let mut images: Vec<&mut ImagePlan> = cells.iter_mut().filter_map(|cell| cell.image.as_mut()).collect();
    container::unify(&mut images, &engine.images);
    for cell in cells {
        let Some(image) = cell.image.as_ref().filter(|image| image.recipe().is_some()) else { continue };
        let known = image.present && (!image.is_opaque() || host.image_facts.contains_key(&image.reference));
        cell.provision.retain(|provision| provision.kind != ProvisionKind::Image || !known);
        for provision in cell.provision.iter_mut().filter(|provision| provision.kind == ProvisionKind::Image) {
            provision.name.clone_from(&image.reference);
        }
    }
}

/// What decides which lane a cell may share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Placement {
    features: Vec<String>,
    env: BTreeMap<String, String>,
    build_std: bool,
    image: Option<(String, ContainerSettings)>,
    /// Its linker would also serve build scripts and proc-macros.
    alone: bool,
}

fn plan_cell(
    input: CellInput,
    host: &HostFacts,
    settings: &Settings,
    catalog: &Catalog,
) -> (CellPlan, Option<Placement>, Option<SysrootPlan>) {
    let CellInput { mut cell, mut needs, needs_inside, mut failed } = input;
    let own = Arc::clone(&cell.settings);
    if is_forced(own.routes.as_deref()) {
        failed.clear();
    }
    // What a compiler is needed for is never left out: it decides what a lane is set up with.
    let compiler =
        |need: &&Need| matches!(need.kind, NeedKind::CCompiler | NeedKind::CxxCompiler | NeedKind::HostLinker);
    let consider = |needs: &Vec<Need>| -> Vec<Need> {
        if settings.ignore_needs { needs.iter().filter(compiler).cloned().collect() } else { needs.clone() }
    };
    let considered = consider(&needs);
    let considered_inside = needs_inside.as_ref().map(consider);
    let situation = route::Situation {
        cell: &cell,
        target: catalog.target(&cell.target),
        needs: &considered,
        needs_inside: considered_inside.as_deref().unwrap_or(&considered),
        host,
        catalog,
        settings: &own,
        provisioning: &settings.provisioning,
        in_image: false,
    };
    let order = own.routes.clone().unwrap_or_else(|| route::default_order(&cell, host));
    let own_tools = order.iter().any(|kind| !matches!(kind, RouteKind::Container | RouteKind::Cross));
    let mut rejected = Vec::new();
    let mut hints: Vec<String> = Vec::new();
    let mut taken = None;
    let mut last_resort = None;
    let mut passed_over: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut broken = false;
    let mut no_container = None;
    for kind in order {
        match route::offer(kind, &situation) {
            Ok(offer) => {
                let Some(cause) = failed.get(&kind) else {
                    taken = Some((kind, offer));
                    break;
                };
                let reason =
                    format!("failed in an earlier build: {cause}; to try it again, use `--route {}={kind}`", cell.id);
                rejected.push(Rejected { route: kind, reason });
                match passed_over.iter_mut().find(|(known, _)| known == cause) {
                    Some((_, routes)) => routes.push(kind.name()),
                    None => passed_over.push((cause, vec![kind.name()])),
                }
                last_resort.get_or_insert((kind, offer));
            }
            Err(refusal) => {
                broken |= refusal.broken;
                rejected.push(Rejected { route: kind, reason: refusal.reason.clone() });
                match kind {
                    RouteKind::Container => no_container = Some(refusal),
                    _ => hints.extend(refusal.hint),
                }
            }
        }
    }
    match (&mut taken, last_resort) {
        (Some((RouteKind::Container, offer)), _) if passed_over.is_empty() => {
            if let Some(lack) = lack(&rejected, offer.inner, &situation) {
                offer.because = format!("{lack}; {}", offer.because);
            }
        }
        (Some((_, offer)), _) => {
            for (cause, routes) in &passed_over {
                offer.because += &format!("; {} failed in an earlier build ({cause})", routes.join(" and "));
            }
        }
        (None, Some((kind, mut offer))) => {
            rejected.retain(|rejected| rejected.route != kind);
            let cause = failed.get(&kind).map(String::as_str).unwrap_or_default();
            offer.because += &format!("; it failed in an earlier build ({cause}), but there is no other route");
            let engine = no_container.take().filter(|_| route::may_be_in_container(&situation));
            offer.hint = offer.hint.or(engine.and_then(|no| no.hint));
            taken = Some((kind, offer));
        }
        (None, None) => {}
    }
    let Some((kind, offer)) = taken else {
        let no_container = no_container.filter(|_| route::may_be_in_container(&situation));
        // Where no tool of this machine may be taken, it does not matter what it lacks.
        let common = route::common_refusal(&situation, supply::NO_ROUTE).filter(|_| own_tools);
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
            if let Engine::Found(_) = host.engine {
                hints.clear();
            }
            hints.push(hint);
        }
        let mut seen = BTreeSet::new();
        hints.retain(|hint| seen.insert(hint.clone()));
        let order = route::default_order(&cell, host);
        let supplies: Vec<_> = needs.iter().map(|need| supply::on_some_route(need, &order, &situation)).collect();
        for (need, supply) in needs.iter_mut().zip(supplies) {
            need.supply = supply;
        }
        let blocked = CellPlan {
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
            hint: (!hints.is_empty()).then(|| hints.join("; or ")),
            broken,
            setup: Setup::default(),
            cell,
        };
        return (blocked, None, None);
    };
    if let Some(needs_inside) = needs_inside.filter(|_| kind == RouteKind::Container) {
        needs = needs_inside;
    }
    cell.floor = offer.floor.or(cell.floor);
    let inside = offer.image.as_ref().map(|image| container::inside(host, image));
    let inside = inside.as_ref().unwrap_or(host);
    for need in needs.iter_mut().filter(|need| supply::is_supplied(need.kind)) {
        need.supply = supply::find(need, &cell, offer.inner.unwrap_or(kind), inside, offer.sysroot.as_ref());
    }
    let sysroot = offer.sysroot.map(|sysroot| sysroot.plan);
    let mut setup = offer.setup;
    if let Some(cpu) = &cell.cpu {
        setup.rustflags.push(format!("-Ctarget-cpu={cpu}"));
    }
    setup.rustflags.extend(own.rustflags.iter().cloned());
    let placement = Placement {
        features: own.features.clone(),
        env: own.env.clone(),
        build_std: offer.build_std,
        image: None,
        // In an image build scripts find no libraries of its own release that another one's could be taken for.
        alone: kind == RouteKind::Cross
            || cell.target == host.rustc.host
                && offer.image.is_none()
                && (kind != RouteKind::Host || sysroot.is_some()),
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
        container: own.container.clone(),
        lane: None,
        hint: offer.hint,
        broken: false,
        setup,
        cell,
    };
    (planned, Some(placement), sysroot)
}

/// What this machine lacks for a cell that is built in a container: what no route can do without, else what the route that
/// builds inside of it lacks outside. None where a container is asked for.
fn lack(rejected: &[Rejected], inner: Option<RouteKind>, situation: &route::Situation<'_>) -> Option<String> {
    let last = rejected.last()?;
    let same = rejected.iter().find(|rejected| Some(rejected.route) == inner);
    // A container can, after all.
    let common = route::common_refusal(situation, "").map(|common| common.reason);
    common.or_else(|| Some(same.unwrap_or(last).reason.clone()))
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

/// Puts buildable cells into as few cargo invocations as their environments allow.
fn assign_lanes(cells: &mut [CellPlan], placements: Vec<Option<Placement>>) -> Vec<Lane> {
    let mut lanes: Vec<(Lane, Placement, BTreeSet<String>)> = Vec::new();
    for (cell, placement) in cells.iter_mut().zip(placements) {
        let Some(placement) = placement else { continue };
        // cargo folds a repeated `--target`, so cells of one triple never share a lane.
        let shared = lanes.iter_mut().find(|(_, other, triples)| {
            *other == placement && !placement.alone && !placement.build_std && !triples.contains(&cell.cell.target)
        });
        let route = cell.route.map_or("", RouteKind::name);
        match shared {
            Some((lane, _, triples)) => {
                triples.insert(cell.cell.target.clone());
                lane.cells.push(cell.cell.id.clone());
                if lane.route != route {
                    lane.route = "mixed".to_owned();
                }
                cell.lane = Some(lane.id.clone());
            }
            None => {
                let plain = placement == Placement { image: placement.image.clone(), ..Placement::default() };
                let image = cell.image.as_ref();
                // Build scripts of one image may not start in another.
                let main = image.map_or("main".to_owned(), |image| format!("container-{}", image.short()));
                let first_plain = plain && !lanes.iter().any(|(lane, _, _)| lane.id == main);
                let id = match image {
                    _ if first_plain => main,
                    Some(_) => format!("{main}-{}", cell.cell.id),
                    None => cell.cell.id.clone(),
                };
                let lane = Lane {
                    id: id.clone(),
                    route: route.to_owned(),
                    cells: vec![cell.cell.id.clone()],
                    image: image.map(|image| image.reference.clone()),
                    features: placement.features.clone(),
                    env: placement.env.clone(),
                    build_std: placement.build_std,
                };
                lanes.push((lane, placement, BTreeSet::from([cell.cell.target.clone()])));
                cell.lane = Some(id);
            }
        }
    }
    lanes.into_iter().map(|(lane, _, _)| lane).collect()
}

impl Plan {
    /// The cell with this id.
    pub fn cell(&self, id: &str) -> Option<&CellPlan> {
        self.cells.iter().find(|cell| cell.cell.id == id)
    }

    /// Whether a cell is blocked.
    pub fn has_blocked(&self) -> bool {
        self.cells.iter().any(|cell| cell.status == Status::Blocked)
    }
}
