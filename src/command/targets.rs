//! `cargo convoy targets`: the catalog, and the routes possible on this machine.

use std::collections::BTreeMap;

use crate::command::prepare::engine_choice;
use crate::command::{current_dir, print_json, say};
use crate::machine::{self, CacheDir, Machine};
use crate::model::catalog::{Catalog, UNIVERSAL, Universal};
use crate::plan::route::{self, Situation};
use crate::plan::{Attempt, Cell, RouteKind};
use crate::project::config::{Provisioning, TargetSettings};
use crate::report::{EmulatorRow, Style, TargetRow, TargetsReport};
use crate::util::error::{Exit, Result};

pub(super) fn targets(json: bool, style: Style) -> Result<Exit> {
    let catalog = Catalog::embedded();
    let cwd = current_dir()?;
    let cache = CacheDir::find()?;
    let mut facts = machine::probe(&cwd, catalog, &cache)?;
    let triples: Vec<&str> = catalog.targets.iter().map(|target| target.triple.as_str()).collect();
    let cargo = machine::cargo_config(&cwd, &facts.rustc.host)?;
    facts.user = machine::user_tools(&cargo, &triples, &facts.rustc.host);
    facts.engine = machine::engine::engine(engine_choice()?, &cache);
    let report = TargetsReport {
        schema: 1,
        kind: "targets".to_owned(),
        targets: catalog.targets.iter().map(|target| row(&target.triple, catalog, &facts)).collect(),
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
    let Universal { platform, halves, .. } = UNIVERSAL;
    text.push_str(&format!("\n\n{platform}: {} in one file\n", halves.join(" and ")));
    text.push_str("groups: linux, darwin, windows, pi, all\n");
    say(&text);
    Ok(Exit::Success)
}

fn row(triple: &str, catalog: &Catalog, machine: &Machine) -> TargetRow {
    let target = catalog.target(triple);
    let floor = target.and_then(|target| target.default_floor).filter(|_| triple != machine.rustc.host);
    let cell = Cell {
        id: triple.to_owned(),
        target: triple.into(),
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
        machine,
        attempt: &Attempt::default(),
        catalog,
        provisioning: &Provisioning::unlimited(),
        image_files: &BTreeMap::new(),
        settings: &TargetSettings::default(),
        in_image: false,
    };
    TargetRow {
        triple: triple.to_owned(),
        floor: target.and_then(|target| target.default_floor).map(|floor| floor.to_string()),
        devices: catalog.devices.iter().filter(|d| d.target == triple).map(|d| d.name.clone()).collect(),
        installed: machine.std.contains(triple),
        routes: RouteKind::ALL.into_iter().filter(|kind| route::offer(*kind, &situation).is_ok()).collect(),
        emulator: target.and_then(|target| {
            let smoke = &target.smoke;
            let program = smoke.qemu.as_ref().or(smoke.wine.as_ref()).or(smoke.wasm.as_ref())?;
            Some(EmulatorRow { program: program.clone(), cpu: smoke.cpu.clone() })
        }),
        platform: cell.platform.clone(),
    }
}
