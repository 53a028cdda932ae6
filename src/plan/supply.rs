//! What meets a library need for a cell. To add a kind of supply: a variant of [`SupplyKind`], and its line in [`find`].

use crate::darwin;
use crate::host::{FoundBy, HostFacts};
use crate::needs::{Need, NeedKind, Side, Supply, SupplyKind, Table};
use crate::plan::{Cell, CellPlan, route};
use crate::request::RouteKind;

/// What meets a need for a library, a framework or a DLL of the target's system; none where nothing does.
pub(super) fn find(need: &Need, cell: &Cell, route: RouteKind, host: &HostFacts) -> Option<Supply> {
    let supply = |kind, version| Some(Supply { kind, name: need.name.clone(), version });
    let triple = match need.side {
        Side::Target => &cell.target,
        Side::Host => &host.rustc.host,
    };
    let table = Table::embedded();
    let links = table.libraries.get(&need.name).map(|library| library.link.as_slice()).unwrap_or_default();
    if triple.ends_with("-apple-darwin") && triple != &host.rustc.host {
        let ships = match need.kind {
            NeedKind::Framework => darwin::ships_framework(&need.name),
            _ if links.is_empty() => darwin::ships_library(&need.name),
            _ => links.iter().all(|link| darwin::ships_library(link)),
        };
        if ships {
            return supply(SupplyKind::System, None);
        }
    }
    if need.kind == NeedKind::ImportLibrary
        || table.libraries.get(&need.name).is_some_and(|l| l.windows && triple.contains("-windows-"))
    {
        return supply(SupplyKind::System, None);
    }
    let found = host.libraries.get(triple)?.get(&need.name)?;
    let served = match found.by {
        FoundBy::User => true,
        // Built against this machine's glibc: the host's own compiler links it, and a cross gcc that has the same.
        FoundBy::Machine => match need.side {
            Side::Host => true,
            Side::Target => match route {
                RouteKind::Host => true,
                RouteKind::Gcc => cell.target != host.rustc.host,
                RouteKind::Lld | RouteKind::Zig => false,
            },
        },
    };
    let kind = match found.by {
        FoundBy::User => SupplyKind::User,
        FoundBy::Machine => SupplyKind::Host,
    };
    served.then(|| supply(kind, found.version.clone())).flatten()
}

/// What meets a need of a planned cell, in words; none where nothing does.
pub fn met(need: &Need, planned: &CellPlan, host: &HostFacts, offline: bool) -> Option<String> {
    let own = planned.cell.target == host.rustc.host;
    match need.kind {
        NeedKind::SystemLibrary | NeedKind::Framework | NeedKind::ImportLibrary => {
            let on_some_route = || {
                let order = route::default_order(&planned.cell, host);
                order.into_iter().find_map(|route| find(need, &planned.cell, route, host))
            };
            let supply = need.supply.clone().or_else(on_some_route)?;
            let version = supply.version.map(|version| format!(" {version}")).unwrap_or_default();
            Some(match supply.kind {
                SupplyKind::Host => format!("this machine's own package{version}"),
                SupplyKind::System => "the target's own system has it".to_owned(),
                SupplyKind::Sysroot => format!("a sysroot: {}", supply.name),
                SupplyKind::User => format!("your PKG_CONFIG_* variables{version}"),
            })
        }
        NeedKind::Tool => host.tools.get(&need.name).map(|path| path.to_string()),
        NeedKind::HostLinker => host_compiler(host),
        NeedKind::CCompiler | NeedKind::CxxCompiler if need.side == Side::Host || own => {
            let own = if need.kind == NeedKind::CxxCompiler { &host.cxx } else { &host.linker };
            own.as_ref().map(|path| path.to_string()).or_else(|| host_compiler(host))
        }
        NeedKind::CCompiler | NeedKind::CxxCompiler => match planned.route {
            Some(route) => Some(format!("the route {route}")),
            None if host.zig.is_some() => Some("zig".to_owned()),
            None if host.zig_unavailable.is_none() => Some("zig, to be brought".to_owned()),
            None => host.gcc.get(&planned.cell.target).map(|gcc| gcc.cc.to_string()),
        },
        NeedKind::Download => (!offline).then(|| "the network".to_owned()),
        NeedKind::Unsupported => None,
    }
}

fn host_compiler(host: &HostFacts) -> Option<String> {
    let zig = || match (&host.zig, &host.zig_unavailable) {
        (Some(_), _) => Some("zig".to_owned()),
        (None, None) => Some("zig, to be brought".to_owned()),
        (None, Some(_)) => None,
    };
    host.linker.as_ref().map(|path| path.to_string()).or_else(zig)
}

/// Whether a need is one that a supply meets.
pub(super) fn is_supplied(kind: NeedKind) -> bool {
    matches!(kind, NeedKind::SystemLibrary | NeedKind::Framework | NeedKind::ImportLibrary)
}
