//! What meets a library need for a cell. To add a kind of supply: a variant of [`SupplyKind`], and its line in [`find`].

use crate::darwin;
use crate::host::{FoundBy, HostFacts};
use crate::needs::{Need, NeedKind, Side, Supply, SupplyKind, Table};
use crate::plan::Cell;
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
    if need.kind == NeedKind::ImportLibrary || table.libraries.get(&need.name).is_some_and(|l| l.windows && triple.contains("-windows-")) {
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

/// Whether a need is one that a supply meets.
pub(super) fn is_supplied(kind: NeedKind) -> bool {
    matches!(kind, NeedKind::SystemLibrary | NeedKind::Framework | NeedKind::ImportLibrary)
}
