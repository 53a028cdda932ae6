//! The rows of the manifest.

use std::collections::BTreeSet;

use super::{Build, shorten};
use crate::build::Failure;
use crate::command::workspace::Planned;
use crate::model::code::Code;
use crate::plan::{CellPlan, Status};
use crate::release::{FailedRow, FailedStatus, Manifest, Owner, Tool, Toolchain};
use crate::report::Phase;
use crate::util::error::Exit;

impl Build<'_> {
    pub(super) fn empty_manifest(&self, planned: &Planned) -> Manifest {
        let dist = &planned.workspace.dist_dir;
        // No absolute path: the manifest travels. A dist folder inside the workspace is told by its depth.
        let inside = dist.strip_prefix(&planned.workspace.root).ok();
        let relative = inside.map(|rest| vec![".."; rest.components().count()].join("/"));
        Manifest {
            schema: 1,
            kind: "manifest".to_owned(),
            tool: Tool { name: "cargo-convoy".to_owned(), version: crate::VERSION.to_owned() },
            workspace_root: relative.filter(|path| !path.is_empty()),
            profile: planned.workspace.profile.clone(),
            toolchain: Toolchain {
                rustc: planned.machine.rustc.version.clone(),
                cargo: planned.machine.cargo.clone(),
                host: planned.machine.rustc.host.to_string(),
            },
            artifacts: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Says which targets are blocked, and lists them.
    pub(super) fn blocked(&self, planned: &Planned, manifest: &mut Manifest) -> Exit {
        let mut exit = Exit::Success;
        for cell in planned.plan.cells.iter().filter(|cell| cell.status == Status::Blocked) {
            let (cell_exit, status, code) = match cell.broken {
                true => (Exit::Work, FailedStatus::Failed, Code::SupplyFailed),
                false => (Exit::Blocked, FailedStatus::Blocked, Code::Blocked),
            };
            exit = exit.worst(cell_exit);
            self.reporter.error(Phase::Plan, cell.because.clone()).target(&cell.cell.id).code(code).send();
            self.tell_hint(cell.hint.as_deref());
            manifest.failed.push(failed(cell, planned, status, code, &cell.because, cell.hint.clone()));
        }
        exit
    }

    /// Says what to do about a build that failed; gives its row.
    pub(super) fn failed(&self, planned: &Planned, cell: &CellPlan, failure: &Failure) -> FailedRow {
        let log = planned.workspace.convoy_dir().join("logs").join(format!("{}.log", cell.cell.id));
        let log = format!("see the full log in {}", shorten(&log, &planned.workspace.cwd));
        let hint = match &failure.hint {
            Some(hint) if failure.cause.is_some() => format!("{hint}\n{log}"),
            Some(hint) => hint.clone(),
            None => log,
        };
        self.tell_hint(Some(&hint));
        let cause = failure.cause.as_ref().map(|cause| cause.code.clone());
        let row = failed(cell, planned, FailedStatus::Failed, failure.code, &failure.message, Some(hint));
        FailedRow { cause, ..row }
    }
}

pub(super) fn owner(planned: &Planned) -> Owner<'_> {
    Owner { workspace_root: &planned.workspace.root, packages: planned.workspace.names.clone() }
}

pub(super) fn failed(
    cell: &CellPlan,
    planned: &Planned,
    status: FailedStatus,
    code: Code,
    message: &str,
    hint: Option<String>,
) -> FailedRow {
    let packages: BTreeSet<&str> = planned.workspace.bins.iter().map(|bin| bin.package.as_str()).collect();
    FailedRow {
        id: cell.cell.id.clone(),
        package: packages.into_iter().collect::<Vec<_>>().join(", "),
        bin: None,
        target: cell.cell.target.to_string(),
        route: cell.route,
        status,
        code,
        cause: None,
        message: message.to_owned(),
        findings: Vec::new(),
        hint,
    }
}
