//! What meets a library need for a cell. To add a kind of supply: a variant of [`SupplyKind`], its line in [`find`], and its
//! turn in [`settle`].

use crate::machine::{FoundBy, Machine};
use crate::model::catalog::Glibc;
use crate::model::darwin;
use crate::model::request::RouteKind;
use crate::model::supply::SupplyKind;
use crate::model::sysroot::sonames;
use crate::model::triple::Triple;
use crate::plan::container;
use crate::plan::route::{Refusal, Situation, blocking};
use crate::plan::sysroot::{self, SysrootOffer};
use crate::plan::{Cell, CellPlan};
use crate::project::config::{Provisioning, Source};
use crate::project::needs::{Need, NeedKind, Side, Supply, Table};

/// What meets a need for a library, a framework or a DLL of the target's system; none where nothing does.
pub(super) fn find(
    need: &Need,
    cell: &Cell,
    route: RouteKind,
    machine: &Machine,
    sysroot: Option<&SysrootOffer>,
) -> Option<Supply> {
    let supply = |kind, version| Some(Supply { kind, name: need.name.clone(), version, sonames: Vec::new() });
    let triple = match need.side {
        Side::Target => &cell.target,
        Side::Host => &machine.rustc.host,
    };
    let table = Table::embedded();
    let library = table.libraries.get(&need.name);
    if need.loaded && triple != &machine.rustc.host {
        return None;
    }
    let unpacked = need.side == Side::Target && need.kind == NeedKind::SystemLibrary && !need.loaded;
    if let Some(sysroot) = sysroot.filter(|_| unpacked) {
        // What the table does not know is among the user's own packages.
        let known = library.map(|library| library.debian_in(&sysroot.suite.name)).unwrap_or_default();
        let name = if known.is_empty() { "supply.packages".to_owned() } else { known.join(" ") };
        let bound: Vec<String> =
            sonames::of(&need.name, &sysroot.suite.name).iter().map(|name| (*name).into()).collect();
        return Some(Supply {
            kind: SupplyKind::Sysroot,
            name,
            version: None,
            sonames: sonames::known(&bound, Some(&sysroot.plan.key.architecture)),
        });
    }
    // pkg-config knows nothing here of what another machine's system always has.
    let linked = !need.by_pkg_config || triple == &machine.rustc.host;
    if linked && is_of_system(need, triple, &machine.rustc.host) {
        return supply(SupplyKind::System, None);
    }
    let found = machine.libraries.get(triple.as_str())?.get(&need.name)?;
    let served = match found.by {
        FoundBy::User => true,
        // Built against this machine's glibc: the host's own compiler links it, and a cross gcc that has the same.
        FoundBy::Machine => match need.side {
            Side::Host => true,
            Side::Target => match route {
                RouteKind::Host => holds(cell, machine.glibc),
                RouteKind::Gcc => {
                    let glibc = machine.gcc.get(cell.target.as_str()).and_then(|gcc| gcc.glibc);
                    cell.target != machine.rustc.host && (cell.floor_by_default || holds(cell, glibc))
                }
                _ => false,
            },
        },
    };
    let kind = match found.by {
        FoundBy::User => SupplyKind::User,
        FoundBy::Machine => SupplyKind::Host,
    };
    served.then(|| supply(kind, found.version.clone())).flatten()
}

/// Whether what needs a glibc keeps the floor of a cell.
fn holds(cell: &Cell, glibc: Option<Glibc>) -> bool {
    cell.floor.is_none_or(|floor| glibc.is_none_or(|glibc| glibc <= floor))
}

/// Whether the target's own system always has it, so that a program may just link it.
fn is_of_system(need: &Need, triple: &Triple, host: &Triple) -> bool {
    let library = Table::embedded().libraries.get(&need.name);
    let links = library.map(|library| library.link.as_slice()).unwrap_or_default();
    if triple.is_macos() && triple != host {
        return match need.kind {
            NeedKind::Framework => darwin::ships_framework(&need.name),
            _ if links.is_empty() => darwin::ships_library(&need.name),
            _ => links.iter().all(|link| darwin::ships_library(link)),
        };
    }
    need.kind == NeedKind::ImportLibrary || library.is_some_and(|l| l.windows && triple.is_windows())
}

/// Where a route takes a cell's libraries from: a sysroot, or none of its own where the rest meets every need.
pub(super) fn settle(situation: &Situation<'_>, route: RouteKind) -> Result<Option<SysrootOffer>, Refusal> {
    choose(situation, route).map_err(|lack| lack.refusal(situation, ""))
}

/// What is said of a need that nothing meets.
pub(super) const NO_ROUTE: &str = ", which no route can provide";

/// What none of these routes can be given; `verdict` follows the need's name in the sentence.
pub(super) fn require_any(situation: &Situation<'_>, routes: &[RouteKind], verdict: &str) -> Result<(), Refusal> {
    let mut lacks = Vec::new();
    for route in routes {
        match choose(situation, *route) {
            Ok(_) => return Ok(()),
            Err(lack) => lacks.push(lack),
        }
    }
    // The routes that take sysroots know most.
    let most = lacks.iter().rposition(|lack| lack.sysroot.is_some()).or(lacks.len().checked_sub(1));
    most.map_or(Ok(()), |index| Err(lacks.swap_remove(index).refusal(situation, verdict)))
}

/// What nothing gives.
struct Lack<'a> {
    /// The need; none where the user's own packages are what is lacking.
    need: Option<&'a Need>,
    /// Why no sysroot does.
    sysroot: Option<Refusal>,
}

fn choose<'a>(situation: &Situation<'a>, route: RouteKind) -> Result<Option<SysrootOffer>, Lack<'a>> {
    let (cell, machine, supply) = (situation.cell, situation.machine, &situation.settings.supply);
    let wanted = || blocking(situation).filter(|need| is_supplied(need.kind));
    let in_sysroot = |need: &Need| need.kind == NeedKind::SystemLibrary && need.side == Side::Target;
    let without = |need: &&Need| {
        let found = find(need, cell, route, machine, None);
        // An order without `host` leaves this machine's own packages out.
        found.filter(|found| found.kind != SupplyKind::Host || !in_sysroot(need) || supply.allows(SupplyKind::Host))
    };
    let takes_sysroots = matches!(route, RouteKind::Host | RouteKind::Gcc | RouteKind::Zig) && cell.target.is_linux();
    let Some(unmet) = wanted().find(|need| without(need).is_none()) else {
        if let Some(cell) = floor_by_sysroot(situation, route).filter(|_| takes_sysroots) {
            let offer = sysroot::offer(&Situation { cell: &cell, ..*situation });
            return offer.map(Some).map_err(|why| Lack { need: None, sysroot: Some(why) });
        }
        let preferred = supply.prefers_sysroot() && wanted().any(in_sysroot);
        let asked = preferred || !supply.packages.is_empty();
        if !(asked && takes_sysroots && sysroot::serves(situation.target)) {
            return Ok(None);
        }
        return match sysroot::offer(situation) {
            Ok(offer) => Ok(Some(offer)),
            // Packages that were asked for by name are not left out in silence.
            Err(why) if !supply.packages.is_empty() => Err(Lack { need: None, sysroot: Some(why) }),
            Err(_) => Ok(None),
        };
    };
    if unmet.loaded {
        let why = Refusal::new("its build script loads the library, so it has to be installed on this machine");
        return Err(Lack { need: Some(unmet), sysroot: Some(why) });
    }
    if unmet.by_pkg_config && in_sysroot(unmet) && is_of_system(unmet, &cell.target, &machine.rustc.host) {
        let why = Refusal::new(
            "the target's system has it, but the build script only asks pkg-config, which does not find it",
        );
        return Err(Lack { need: Some(unmet), sysroot: Some(why) });
    }
    if !in_sysroot(unmet) || !takes_sysroots {
        return Err(Lack { need: Some(unmet), sysroot: None });
    }
    let by_user =
        machine.libraries.get(cell.target.as_str()).into_iter().flatten().any(|(_, found)| found.by == FoundBy::User);
    if by_user {
        let why = Refusal::new("no sysroot is used, because your PKG_CONFIG_* variables set where its libraries are");
        return Err(Lack { need: Some(unmet), sysroot: Some(why) });
    }
    // What the user set is not wrapped, and would look among its own headers and libraries.
    let tools = machine.user.get(cell.target.as_str()).map(|user| [user.linker.as_ref(), user.cc.as_ref()]);
    if let Some(tool) = tools.into_iter().flatten().flatten().next() {
        let why = Refusal::new(format!("no sysroot is used with a compiler or linker set by {}", tool.origin));
        return Err(Lack { need: Some(unmet), sysroot: Some(why) });
    }
    let offer = sysroot::offer(situation).map_err(|why| Lack { need: Some(unmet), sysroot: Some(why) })?;
    match wanted().find(|need| find(need, cell, route, machine, Some(&offer)).is_none()) {
        Some(need) => Err(Lack { need: Some(need), sysroot: None }),
        None => Ok(Some(offer)),
    }
}

/// The cell with its floor asked for, where only an older release's C library lets the image's compiler hold it.
fn floor_by_sysroot(situation: &Situation<'_>, route: RouteKind) -> Option<Cell> {
    let Situation { cell, machine, in_image: true, .. } = situation else { return None };
    let gcc = machine.gcc.get(cell.target.as_str()).filter(|_| matches!(route, RouteKind::Host | RouteKind::Gcc))?;
    let held = cell.floor? >= gcc.glibc?;
    (!held).then(|| Cell { floor_by_default: false, ..Cell::clone(cell) })
}

impl Lack<'_> {
    fn refusal(self, situation: &Situation<'_>, common: &str) -> Refusal {
        let cell = situation.cell;
        let Some(need) = self.need else {
            let mut refusal = self.sysroot.unwrap_or_else(|| Refusal::new("no sysroot is available"));
            refusal.reason = format!("`supply.packages` requires a sysroot{common}; {}", refusal.reason);
            return refusal;
        };
        let what = match need.kind {
            NeedKind::Framework => "the framework",
            _ => "the system library",
        };
        let (whose, native) = match need.side {
            Side::Target => (cell.target.as_str(), cell.target == situation.machine.rustc.host),
            Side::Host => ("this machine", true),
        };
        let mut refusal = Refusal::new(format!(
            "crate `{}` {} needs {what} {} for {whose}{common}",
            need.package, need.version, need.name
        ));
        if need.kind == NeedKind::Framework {
            return refusal;
        }
        let debian = Table::embedded().libraries.get(&need.name).map(|library| library.debian.join(" "));
        let hint = match debian.filter(|debian| native && !debian.is_empty()) {
            Some(packages) => format!("install {} (Debian: {packages})", need.name),
            None => format!("run `cargo convoy why {}` to see what requires it and how to fix it", need.package),
        };
        refusal.hint = Some(hint);
        if let Some(Refusal { reason, hint, broken }) = self.sysroot {
            refusal.reason += &format!("; {reason}");
            refusal.broken = broken;
            refusal.hint = hint.or(refusal.hint);
        }
        refusal
    }
}

/// What would meet a need of a blocked cell on one of these routes, so that what really blocks stands out.
pub(super) fn on_some_route(need: &Need, routes: &[RouteKind], situation: &Situation<'_>) -> Option<Supply> {
    let supply = |route: &RouteKind| {
        let sysroot = settle(situation, *route).ok().flatten();
        find(need, situation.cell, *route, situation.machine, sysroot.as_ref())
    };
    routes.iter().filter(|_| is_supplied(need.kind)).find_map(supply)
}

/// What meets a need of a planned cell, in words; none where nothing does.
pub(crate) fn met(need: &Need, planned: &CellPlan, machine: &Machine, provisioning: &Provisioning) -> Option<String> {
    let Some(image) = &planned.image else {
        return met_on_machine(need, planned, planned.route, machine, provisioning);
    };
    if planned.inner_route.is_none() {
        return Some(format!("the image {} (not inspected yet)", image.reference));
    }
    let met = met_on_machine(need, planned, planned.inner_route, &container::inside(machine, image), provisioning)?;
    Some(match need.supply.as_ref().map(|supply| supply.kind) {
        Some(SupplyKind::Host) => met.replace("package on this machine", "package in the image"),
        Some(_) => met,
        None if need.kind == NeedKind::Download => met,
        None => format!("{met}, in a container"),
    })
}

/// The same, where `host` is what the cell is built on by `route`.
fn met_on_machine(
    need: &Need,
    planned: &CellPlan,
    route: Option<RouteKind>,
    machine: &Machine,
    provisioning: &Provisioning,
) -> Option<String> {
    let native = planned.cell.target == machine.rustc.host;
    match route {
        Some(RouteKind::Cross) if !is_supplied(need.kind) => {
            return Some("cross (its image is not inspected)".to_owned());
        }
        Some(RouteKind::Xwin) if matches!(need.kind, NeedKind::CCompiler | NeedKind::CxxCompiler) && !native => {
            return Some("cargo-xwin, with `clang-cl`".to_owned());
        }
        _ => {}
    }
    match need.kind {
        NeedKind::SystemLibrary | NeedKind::Framework | NeedKind::ImportLibrary => {
            let supply = need.supply.clone()?;
            let version = supply.version.map(|version| format!(" {version}")).unwrap_or_default();
            Some(match supply.kind {
                SupplyKind::Host => format!("package on this machine{version}"),
                SupplyKind::System => "part of the target's system".to_owned(),
                SupplyKind::Sysroot => format!("sysroot: {}", supply.name),
                SupplyKind::User => format!("your PKG_CONFIG_* variables{version}"),
            })
        }
        NeedKind::Tool => machine.tools.get(&need.name).map(|path| path.to_string()),
        NeedKind::HostLinker => host_compiler(machine, provisioning),
        NeedKind::CCompiler | NeedKind::CxxCompiler if need.side == Side::Host || native => {
            let compiler = if need.kind == NeedKind::CxxCompiler { &machine.cxx } else { &machine.linker };
            compiler.as_ref().map(|path| path.to_string()).or_else(|| host_compiler(machine, provisioning))
        }
        NeedKind::CCompiler | NeedKind::CxxCompiler => match route {
            Some(route) => Some(format!("route {route}")),
            None => {
                let gcc = || machine.gcc.get(planned.cell.target.as_str()).map(|gcc| gcc.cc.to_string());
                zig(machine, provisioning).map(str::to_owned).or_else(gcc)
            }
        },
        NeedKind::Download => provisioning.forbids_network().is_none().then(|| "the network".to_owned()),
        NeedKind::Variable => Some("set by convoy".to_owned()),
        NeedKind::Unsupported => None,
    }
}

/// zig, in words, if it is present or may be installed.
fn zig(machine: &Machine, provisioning: &Provisioning) -> Option<&'static str> {
    match (&machine.zig, &machine.zig_unavailable) {
        (Some(_), _) => Some("zig"),
        (None, None) if provisioning.forbids(Source::Network).is_none() => Some("zig (to be installed)"),
        (None, _) => None,
    }
}

fn host_compiler(machine: &Machine, provisioning: &Provisioning) -> Option<String> {
    let linker = machine.linker.as_ref().map(|path| path.to_string());
    linker.or_else(|| zig(machine, provisioning).map(str::to_owned))
}

/// Whether a need is one that a supply meets.
pub(super) fn is_supplied(kind: NeedKind) -> bool {
    matches!(kind, NeedKind::SystemLibrary | NeedKind::Framework | NeedKind::ImportLibrary)
}
