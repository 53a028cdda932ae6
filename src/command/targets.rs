//! `cargo convoy targets`: the catalog, and the routes possible on this machine.

use crate::command::prepare::engine_choice;
use crate::command::{current_dir, print_json, say};
use crate::machine::{self, CacheDir, HostFacts};
use crate::model::catalog::Catalog;
use crate::plan::route::{self, Situation};
use crate::plan::{Cell, RouteKind};
use crate::project::config::{Provisioning, TargetSettings};
use crate::report::{Style, TargetRow, TargetsReport};
use crate::util::error::{Exit, Result};

pub(super) fn targets(json: bool, style: Style) -> Result<Exit> {
    let catalog = Catalog::embedded();
    let cwd = current_dir()?;
    let cache = CacheDir::find()?;
    let mut host = machine::probe(&cwd, catalog, &cache)?;
    let triples: Vec<&str> = catalog.targets.iter().map(|target| target.triple.as_str()).collect();
    host.user = machine::user_tools(&machine::cargo_config(&cwd, &host.rustc.host)?, &triples, &host.rustc.host);
    host.engine = machine::engine::engine(engine_choice()?, &cache);
    let report = TargetsReport {
        schema: 1,
        kind: "targets".to_owned(),
        targets: catalog.targets.iter().map(|target| row(&target.triple, catalog, &host)).collect(),
    };
    if json {
        print_json(&report)?;
        return Ok(Exit::Success);
    }
    let mut rows = vec![vec!["target".to_owned(), "platform".to_owned(), "available routes".to_owned()]];
    for row in &report.targets {
        let routes: Vec<&str> = row.routes.iter().map(|route| route.name()).collect();
        let routes = if routes.is_empty() { "none".to_owned() } else { routes.join(", ") };
        let first = vec![row.triple.clone(), row.platform.clone().unwrap_or_else(|| "-".to_owned()), routes];
        rows.push(first);
    }
    let mut text = crate::report::table::lines(&rows, style);
    text.push_str("\n\n");
    let mut devices = vec![["device", "cpu", "glibc", "description"].map(str::to_owned).to_vec()];
    for device in &catalog.devices {
        devices.push(vec![device.name.clone(), device.cpu.clone(), device.floor.to_string(), device.note.clone()]);
    }
    text.push_str(&crate::report::table::lines(&devices, style));
    text.push_str("\n\ngroups: linux, darwin, windows, pi, all\n");
    say(&text);
    Ok(Exit::Success)
}

fn row(triple: &str, catalog: &Catalog, host: &HostFacts) -> TargetRow {
    let target = catalog.target(triple);
    let floor = target.and_then(|target| target.default_floor).filter(|_| triple != host.rustc.host);
    let cell = Cell {
        id: triple.to_owned(),
        target: triple.to_owned(),
        floor,
        floor_by_default: true,
        platform: target.and_then(|target| target.platform.clone()),
        ..Cell::default()
    };
    let situation = Situation {
        cell: &cell,
        target,
        needs: &[],
        needs_inside: &[],
        host,
        catalog,
        provisioning: &Provisioning::unlimited(),
        settings: &TargetSettings::default(),
        in_image: false,
    };
    TargetRow {
        triple: triple.to_owned(),
        floor: target.and_then(|target| target.default_floor).map(|floor| floor.to_string()),
        devices: catalog.devices.iter().filter(|d| d.target == triple).map(|d| d.name.clone()).collect(),
        installed: host.std.contains(triple),
        routes: RouteKind::ALL.into_iter().filter(|kind| route::offer(*kind, &situation).is_ok()).collect(),
        platform: cell.platform.clone(),
    }
}
