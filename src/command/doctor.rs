//! `cargo convoy doctor`: what this machine offers against what the project needs.

use std::collections::BTreeSet;

use crate::command::prepare::{Prepared, look};
use crate::command::print_json;
use crate::command::why::Ways;
use crate::command::workspace::Planned;
use crate::machine::engine::Engine;
use crate::model::request::{EngineChoice, Selection};
use crate::model::supply::SupplyKind;
use crate::plan::remedy::{self, RemedyKind};
use crate::plan::{CellPlan, DEBIAN_ARCHIVE, Status};
use crate::project::needs::{Need, NeedKind, Side};
use crate::report::{DoctorCell, DoctorReport, Lack, OfferRow, Style, advice};
use crate::util::error::{Exit, Result};

pub(super) fn doctor(selection: &Selection, json: bool, style: Style) -> Result<Exit> {
    let (reporter, mut prepared) = look(selection, style)?;
    // `doctor` shows what this machine offers even if no target needs it.
    prepared.ask_engine();
    let report = report(&prepared)?;
    if json {
        print_json(&report)?;
    } else {
        reporter.text(&advice::doctor(&report, style));
    }
    Ok(if prepared.planned.plan.has_blocked() { Exit::Blocked } else { Exit::Success })
}

fn report(prepared: &Prepared) -> Result<DoctorReport> {
    let ways = Ways::new(prepared)?;
    let machine = &prepared.planned.machine;
    let cells: Vec<DoctorCell> = prepared.planned.plan.cells.iter().map(|cell| examined(cell, &ways)).collect();
    let remedies: Vec<remedy::Remedy> = cells
        .iter()
        .flat_map(|cell| &cell.lacks)
        // One way for each lack: where two install it, the first.
        .filter_map(|lack| lack.remedies.iter().find(|remedy| remedy.kind == RemedyKind::Install).cloned())
        .collect();
    let mut commands = remedy::install_commands(&remedies);
    let mut configuration = Vec::new();
    if lacks_archive(prepared) {
        commands.push("sudo apt-get install debian-archive-keyring".to_owned());
        configuration.extend(DEBIAN_ARCHIVE.map(str::to_owned));
    }
    Ok(DoctorReport {
        schema: 1,
        kind: "doctor".to_owned(),
        host: machine.rustc.host.to_string(),
        offers: offers(prepared),
        commands,
        configuration,
        cells,
    })
}

/// Whether libraries could come in a sysroot, if only apt knew an archive of Debian.
fn lacks_archive(prepared: &Prepared) -> bool {
    let Planned { machine, plan, .. } = &prepared.planned;
    let foreign = machine.apt.as_ref().is_some_and(|apt| apt.mirror.is_none());
    let lacking = |cell: &CellPlan| {
        let unmet = |need: &Need| need.kind == NeedKind::SystemLibrary && need.blocks() && need.supply.is_none();
        cell.status == Status::Blocked && cell.cell.target.is_glibc() && cell.needs.iter().any(unmet)
    };
    foreign && prepared.project.settings.supply.mirrors.is_none() && plan.cells.iter().any(lacking)
}

fn examined(cell: &CellPlan, ways: &Ways<'_>) -> DoctorCell {
    let lacks = cell.needs.iter().filter(|need| ways.met(need, cell).is_none()).map(|need| Lack {
        kind: need.kind,
        name: need.name.clone(),
        package: need.package.clone(),
        remedies: ways.remedies(need, &[cell]),
    });
    DoctorCell {
        id: cell.cell.id.clone(),
        status: cell.status,
        route: cell.route,
        because: cell.because.clone(),
        hint: cell.hint.clone(),
        lacks: lacks.collect(),
    }
}

/// The container engine, and the crates for whose tools a container is taken.
fn engine(prepared: &Prepared) -> Option<OfferRow> {
    let Planned { machine, plan, .. } = &prepared.planned;
    let in_container = plan.cells.iter().filter(|cell| cell.image.is_some());
    let lacking = in_container.flat_map(|cell| &cell.needs).filter(|need| match need.kind {
        NeedKind::Tool => !machine.tools.contains_key(&need.name),
        NeedKind::HostLinker => machine.linker.is_none(),
        NeedKind::CCompiler | NeedKind::CxxCompiler => need.side == Side::Target || machine.linker.is_none(),
        _ => false,
    });
    let needed_by: BTreeSet<&str> = lacking.map(|need| need.package.as_str()).collect();
    let row = OfferRow {
        name: "container engine".to_owned(),
        path: None,
        version: None,
        fault: None,
        needed_by: needed_by.into_iter().map(str::to_owned).collect(),
    };
    match &machine.engine {
        Engine::Unasked => None,
        // Who disabled it does not miss it.
        Engine::None { .. } if prepared.project.settings.engine.value == EngineChoice::None => None,
        Engine::None { reason, .. } => Some(OfferRow { fault: Some(reason.clone()), ..row }),
        Engine::Found(engine) => {
            let version = Some(format!("{} {}", engine.kind.name(), engine.version));
            Some(OfferRow { path: Some(engine.program.to_string()), version, ..row })
        }
    }
}

/// Compilers, zig and the container engine always; other tools and libraries where something asks for them.
fn offers(prepared: &Prepared) -> Vec<OfferRow> {
    let machine = &prepared.planned.machine;
    let needs: Vec<&Need> = prepared.planned.plan.cells.iter().flat_map(|cell| &cell.needs).collect();
    let needed_by = |means: &dyn Fn(&Need) -> bool| {
        let set: BTreeSet<String> = needs.iter().filter(|need| means(need)).map(|need| need.package.clone()).collect();
        set.into_iter().collect::<Vec<_>>()
    };
    let row = |name: &str, path: Option<String>, version: Option<String>| OfferRow {
        name: name.to_owned(),
        path,
        version,
        fault: None,
        needed_by: Vec::new(),
    };
    let text = |path: &Option<camino::Utf8PathBuf>| path.as_ref().map(|path| path.to_string());
    let short = |version: &str| version.split(' ').next().map(str::to_owned);
    let rustc = machine.rustc.sysroot.join("bin/rustc").to_string();
    let zig_path = machine.zig.as_ref().map(|zig| zig.path.to_string());
    let mut rows = vec![
        row("rustc", Some(rustc), short(&machine.rustc.version)),
        OfferRow { fault: machine.linker_fault.clone(), ..row("cc (this machine)", text(&machine.linker), None) },
        OfferRow { fault: machine.cxx_fault.clone(), ..row("c++ (this machine)", text(&machine.cxx), None) },
        OfferRow {
            fault: machine.zig_unavailable.as_ref().map(|why| format!("could not be installed: {why}")),
            ..row("zig", zig_path, machine.zig.as_ref().map(|zig| zig.version.clone()))
        },
    ];
    rows.extend(engine(prepared));
    if let Some(apt) = &machine.apt {
        let in_sysroot = |need: &Need| need.supply.as_ref().is_some_and(|supply| supply.kind == SupplyKind::Sysroot);
        rows.push(OfferRow {
            fault: apt.mirror.is_none().then(|| format!("no Debian archive configured ({})", apt.distribution)),
            needed_by: needed_by(&in_sysroot),
            ..row("apt (libraries)", Some(apt.apt_get.to_string()), None)
        });
    }
    let targets: BTreeSet<&str> = prepared.planned.plan.cells.iter().map(|cell| cell.cell.target.as_str()).collect();
    for gcc in machine.gcc.iter().filter(|(triple, _)| targets.contains(triple.as_str())).map(|(_, gcc)| gcc) {
        let name = format!("{}-gcc", gcc.prefix);
        rows.push(OfferRow {
            fault: gcc.fault.clone(),
            ..row(&name, Some(gcc.cc.to_string()), Some(gcc.version.clone()))
        });
    }
    let tools: BTreeSet<&str> =
        needs.iter().filter(|need| need.kind == NeedKind::Tool).map(|need| need.name.as_str()).collect();
    for tool in tools {
        rows.push(OfferRow {
            needed_by: needed_by(&|need| need.kind == NeedKind::Tool && need.name == tool),
            ..row(tool, machine.tools.get(tool).map(|path| path.to_string()), None)
        });
    }
    for (triple, libraries) in &machine.libraries {
        for (name, library) in libraries {
            rows.push(OfferRow {
                needed_by: needed_by(&|need| need.kind == NeedKind::SystemLibrary && &need.name == name),
                ..row(&format!("{name} for {triple}"), Some(library.file.to_string()), library.version.clone())
            });
        }
    }
    rows
}
