//! The published form of a plan: the output of `cargo convoy plan --json`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::catalog::Glibc;
use crate::model::sysroot::{SysrootKey, SysrootPlan};
use crate::plan::container::ImagePlan;
use crate::plan::{CellPlan, Lane, Plan, Provision, Rejected, RouteKind, Status};
use crate::project::needs::Need;

/// What a build will do for every target, and why: the output of `cargo convoy plan --json`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Plan")]
pub struct PlanReport<'a> {
    /// Version of this format; increased when a field is removed or changes its meaning.
    pub schema: u32,
    /// Always `plan`.
    pub kind: &'static str,
    /// The cargo invocations, in order.
    pub lanes: Vec<LaneRow<'a>>,
    /// All targets, in the requested order.
    pub cells: Vec<CellRow<'a>>,
    /// The sysroots that provide libraries.
    pub sysroots: &'a [SysrootPlan],
}

/// A cargo invocation: one environment and target directory, for one or more targets.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Lane")]
pub struct LaneRow<'a> {
    /// Its name, and that of its directory under `<target-dir>/convoy/`.
    pub id: &'a str,
    /// The route of its targets; `mixed` if they differ.
    pub route: &'a str,
    /// The ids of its targets.
    pub cells: &'a [String],
    /// The container image that it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<&'a str>,
}

/// The plan for one target.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CellPlan")]
pub struct CellRow<'a> {
    /// The target's id in plan, manifest, logs and `dist/<id>/`. It depends only on the requested target and on its
    /// configuration.
    pub id: &'a str,
    /// rustc's target triple.
    pub target: &'a str,
    /// The minimum glibc version; null if there is none.
    pub floor: Option<Glibc>,
    /// rustc's name of the CPU to build for; null for the target's default.
    pub cpu: Option<&'a str>,
    /// The platform, as `os/arch[/variant]`.
    pub platform: Option<&'a str>,
    /// The devices that this build is for.
    pub devices: &'a [String],
    /// Whether it can be built on this machine.
    pub status: Status,
    /// The route that is used; null if blocked.
    pub route: Option<RouteKind>,
    /// The reason for this route, or for the block.
    pub because: &'a str,
    /// The routes that were rejected.
    pub rejected: &'a [Rejected],
    /// What the dependencies need for this target.
    pub needs: &'a [Need],
    /// What will be downloaded and installed before the build.
    pub provision: &'a [Provision],
    /// The sysroot that provides its libraries.
    pub sysroot: Option<&'a SysrootKey>,
    /// The container image that it is built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<&'a ImagePlan>,
    /// The route used in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner_route: Option<RouteKind>,
    /// The cargo invocation that builds it; null if blocked.
    pub lane: Option<&'a str>,
    /// How to fix a block, or other advice. Alternatives are on lines of their own.
    pub hint: Option<&'a str>,
}

impl<'a> From<&'a Plan> for PlanReport<'a> {
    fn from(plan: &'a Plan) -> Self {
        Self {
            schema: 1,
            kind: "plan",
            lanes: plan.lanes.iter().map(LaneRow::from).collect(),
            cells: plan.cells.iter().map(CellRow::from).collect(),
            sysroots: &plan.sysroots,
        }
    }
}

impl<'a> From<&'a Lane> for LaneRow<'a> {
    fn from(lane: &'a Lane) -> Self {
        Self { id: &lane.id, route: &lane.route, cells: &lane.cells, image: lane.image.as_deref() }
    }
}

impl<'a> From<&'a CellPlan> for CellRow<'a> {
    fn from(planned: &'a CellPlan) -> Self {
        let cell = &planned.cell;
        Self {
            id: &cell.id,
            target: &cell.target,
            floor: cell.floor,
            cpu: cell.cpu.as_deref(),
            platform: cell.platform.as_deref(),
            devices: &cell.devices,
            status: planned.status,
            route: planned.route,
            because: &planned.because,
            rejected: &planned.rejected,
            needs: &planned.needs,
            provision: &planned.provision,
            sysroot: planned.sysroot.as_ref(),
            image: planned.image.as_ref(),
            inner_route: planned.inner_route,
            lane: planned.lane.as_deref(),
            hint: planned.hint.as_deref(),
        }
    }
}
