//! Deciding: machine × project × what was tried → [`Plan`]. Pure: no process, no file, no clock, no environment.

mod attempt;
pub mod container;
mod decide;
pub(crate) mod diagnose;
mod lanes;
pub mod matrix;
mod provision;
pub(crate) mod remedy;
pub mod route;
mod supply;
mod sysroot;

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::Utf8PathBuf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::model::catalog::{Catalog, Glibc};
use crate::model::sysroot::{SysrootKey, SysrootPlan};
use crate::model::triple::Triple;
use crate::plan::container::ImagePlan;
use crate::project::config::{ContainerSettings, Settings, TargetSettings};
use crate::project::needs::{Need, NeedKind};
pub use attempt::{Attempt, Refused};
use decide::Decided;
pub(crate) use provision::Provision;
pub use provision::ProvisionKind;
pub use route::{Linker, RouteKind, Setup, ZigTool};
pub(crate) use supply::met;
pub(crate) use sysroot::{DEBIAN_ARCHIVE, key_of as sysroot_key};

/// One thing to build: the selected bins for a target, a floor and a CPU.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Cell {
    /// The target's id in plan, manifest, logs and `dist/<id>/`. It depends only on the requested target and on its
    /// configuration.
    pub id: String,
    /// rustc's target triple.
    pub target: Triple,
    /// The minimum glibc version; null if there is none.
    pub floor: Option<Glibc>,
    /// Whether nobody asked for that floor: it may rise with the libraries that are linked.
    pub floor_by_default: bool,
    /// rustc's name of the CPU to build for; null for the target's default.
    pub cpu: Option<String>,
    /// The platform, as `os/arch[/variant]`.
    pub platform: Option<String>,
    /// The devices that this build is for.
    pub devices: Vec<String>,
    /// The words that mean it, for `--route` and `[target]` tables.
    pub names: Vec<String>,
    /// Whether its binaries are to be joined with those of another architecture as well.
    #[serde(default)]
    pub universal: bool,
    /// What configuration and `--route` say for it: all of it holds for each device that it serves.
    #[serde(skip)]
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
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct CellPlan {
    /// The cell.
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
    pub image: Option<ImagePlan>,
    /// The route used in the container.
    pub inner_route: Option<RouteKind>,
    /// How its container is made and confined.
    #[serde(skip)]
    pub container: ContainerSettings,
    /// The cargo invocation that builds it; null if blocked.
    pub lane: Option<String>,
    /// How to fix a block, or other advice.
    pub hint: Option<String>,
    /// Whether it is blocked because convoy could not do its own work in this run.
    pub broken: bool,
    /// How the lane is set up for this cell.
    pub setup: Setup,
}

/// A cargo invocation: one environment and target directory, for one or more targets.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Lane {
    /// Its name, and that of its directory under `<target-dir>/convoy/`.
    pub id: String,
    /// The route of its targets; `mixed` if they differ.
    pub route: String,
    /// The ids of its targets.
    pub cells: Vec<String>,
    /// The container image that it runs in.
    pub image: Option<String>,
    /// Features added by configuration for the cells of this lane.
    pub features: Vec<String>,
    /// Environment added by configuration for the cells of this lane.
    pub env: BTreeMap<String, String>,
    /// Whether std is built from source.
    pub build_std: bool,
}

/// What a build will do for every target, and why. Its published form is [`crate::report::PlanReport`].
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Plan {
    /// The cargo invocations, in order.
    pub lanes: Vec<Lane>,
    /// All targets, in the requested order.
    pub cells: Vec<CellPlan>,
    /// The sysroots that provide libraries.
    pub sysroots: Vec<SysrootPlan>,
    /// The linker for the host's own build scripts and proc-macros; none where cargo's own choice works.
    pub host_linker: Option<ZigTool>,
}

impl Plan {
    /// One in which nothing is decided.
    pub fn empty() -> Self {
        Self { lanes: Vec::new(), cells: Vec::new(), sysroots: Vec::new(), host_linker: None }
    }
}

/// A project, as far as planning goes.
#[derive(Clone, Debug)]
pub struct Project {
    /// What is to be built, in the requested order.
    pub cells: Vec<CellInput>,
    /// The settings that hold for all cells.
    pub settings: Settings,
    /// The Dockerfiles and scripts that the user's images are made from, with their contents.
    pub image_files: BTreeMap<Utf8PathBuf, String>,
}

/// One cell, and what its dependencies need.
#[derive(Clone, Debug)]
pub struct CellInput {
    /// The cell, before a route raised its floor.
    pub cell: Cell,
    /// What the dependency graph asks for its target.
    pub needs: Vec<Need>,
    /// The same in a container, which has fewer of this machine's variables; none where it is no different.
    pub needs_inside: Option<Vec<Need>>,
}

/// Whether the order of routes leaves no choice.
pub(crate) fn is_forced(routes: Option<&[RouteKind]>) -> bool {
    routes.is_some_and(|routes| routes.len() == 1)
}

/// Decides for every cell: the machine's facts, the project and what was tried in this run give the plan, and nothing else.
pub fn plan(machine: &Machine, project: &Project, attempt: &Attempt, catalog: &Catalog) -> Plan {
    let decided = project.cells.iter().map(|input| decide::cell(input, machine, project, attempt, catalog));
    let Decided { mut cells, mut placements, sysroots } = decided.collect();
    lanes::share_images(&mut cells, machine);
    for (cell, placement) in cells.iter().zip(&mut placements) {
        if let Some(placement) = placement {
            placement.image = cell.image.as_ref().map(|image| (image.reference.clone(), cell.container.clone()));
        }
    }
    let lanes = lanes::assign(&mut cells, placements);
    let needs_zig = |cell: &CellPlan| {
        let links = cell.needs.iter().any(|need| need.kind == NeedKind::HostLinker);
        cell.status == Status::Buildable && cell.image.is_none() && links
    };
    let host_linker = !machine.links_itself() && cells.iter().any(needs_zig);
    Plan {
        lanes,
        sysroots: sysroot::gather(&cells, sysroots),
        cells,
        host_linker: host_linker.then(|| route::zig_for_host(machine, catalog)),
    }
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
