//! Whether a target's own Debian packages, unpacked, serve a cell: which release, which packages, and why not.

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::Machine;
use crate::model::catalog::{Catalog, Glibc, Target};
use crate::model::supply::SupplyKind;
use crate::model::sysroot::{Archive, Suite, Suites, SysrootKey, SysrootPlan};
use crate::plan::provision::refuse;
use crate::plan::route::{Refusal, Situation};
use crate::plan::{Cell, CellPlan, Provision, Status};
use crate::project::config::{Forbidden, Source, TargetSettings};
use crate::project::needs::{Need, NeedKind, Side, Table};

/// A sysroot that serves a cell.
#[derive(Clone, Debug)]
pub(crate) struct SysrootOffer {
    /// What it is made of.
    pub plan: SysrootPlan,
    /// Its release.
    pub suite: &'static Suite,
    /// What has to be provisioned first; none if it is present.
    pub provision: Option<Provision>,
}

impl SysrootOffer {
    /// The glibc that the binary will start on: the floor that was asked for, else that of the libraries.
    pub(crate) fn floor(&self, situation: &Situation<'_>) -> Glibc {
        let asked = situation.cell.floor.filter(|_| !situation.cell.floor_by_default);
        asked.unwrap_or(self.suite.glibc)
    }

    /// For the sentence that says why a route was taken.
    pub(crate) fn words(&self) -> String {
        format!("; libraries from a sysroot of {} ({})", self.suite.release, self.plan.key)
    }
}

/// A sysroot with the libraries that a cell needs.
pub(super) fn offer(situation: &Situation<'_>) -> Result<SysrootOffer, Refusal> {
    let (cell, machine, settings) = (situation.cell, situation.machine, situation.settings);
    let supply = &settings.supply;
    if !supply.allows(SupplyKind::Sysroot) {
        return Err(Refusal::new("sysroots are not listed in `supply.order`"));
    }
    let (key, suite) = key(cell, situation.target, settings, machine)?;
    let packages = packages(situation, suite)?;
    let by_pkg_config = |need: &&Need| {
        let library = Table::embedded().libraries.get(&need.name);
        need.side == Side::Target && library.is_some_and(|library| library.pkg_config.is_some())
    };
    if let Some(need) = situation.needs.iter().filter(|need| need.blocks()).find(by_pkg_config)
        && !machine.tools.contains_key("pkg-config")
    {
        return Err(Refusal::new(format!(
            "pkg-config, which build scripts use to find {} in a sysroot, is missing on this machine",
            need.name
        ))
        .hint("install pkg-config"));
    }
    if let Some(need) = of_this_machine_too(situation) {
        return Err(Refusal::new(format!(
            "a build script needs {} for this machine too (crate `{}`), and cargo uses the same settings for both",
            need.name, need.package
        )));
    }
    let name = key.to_string();
    if let Some(refused) = situation.attempt.sysroots.get(&name) {
        return Err(Refusal {
            reason: format!("the sysroot {name} could not be prepared: {}", refused.reason),
            hint: refused.hint.clone(),
            broken: refused.work,
        });
    }
    let archive = supply.archive();
    let present = machine.sysroots.get(&name).is_some_and(|sysroot| packages.is_subset(&sysroot.requested));
    let provision = if present { None } else { Some(bring(situation, &archive, &name)?) };
    Ok(SysrootOffer { plan: SysrootPlan { key, packages, archive }, suite, provision })
}

/// The sysroot that a cell takes libraries from where it takes them from one, whatever it needs and whatever else this
/// machine has; none where there can be none for it.
pub(crate) fn key_of(cell: &Cell, machine: &Machine, catalog: &Catalog) -> Option<SysrootKey> {
    key(cell, catalog.target(&cell.target), &cell.settings, machine).ok().map(|(key, _)| key)
}

fn key(
    cell: &Cell,
    target: Option<&Target>,
    settings: &TargetSettings,
    machine: &Machine,
) -> Result<(SysrootKey, &'static Suite), Refusal> {
    let architecture = architecture(cell, target, settings)?;
    let suite = suite(cell, machine, architecture)?;
    let of = settings.own_archive.then(|| cell.target.to_string());
    Ok((SysrootKey { suite: suite.name.clone(), architecture: architecture.to_owned(), of }, suite))
}

/// Debian's name of the cell's architecture, in an archive whose binaries run on it.
fn architecture<'a>(cell: &Cell, target: Option<&'a Target>, settings: &TargetSettings) -> Result<&'a str, Refusal> {
    let triple = &cell.target;
    if !triple.is_glibc() {
        let why = if triple.is_musl() { "Debian's libraries require glibc" } else { "Debian does not support it" };
        return Err(Refusal::new(format!("no sysroot is available for {triple}: {why}")));
    }
    let target = target.filter(|target| target.multiarch.is_some());
    if let Some(architecture) = target.and_then(|target| target.debian_arch.as_deref()) {
        return Ok(architecture);
    }
    match target.and_then(|target| target.other_archive_arch.as_deref()) {
        Some(architecture) if settings.own_archive => Ok(architecture),
        Some(_) => Err(Refusal::new(format!("Debian's packages do not run on {triple}")).hint(format!(
            "set `mirrors` and `keyring` under `[target.\"{triple}\".supply]` in `Convoy.toml` to an archive that is \
             built for this target (for ARMv6: Raspbian)"
        ))),
        None => Err(Refusal::new(format!("no known Debian architecture for {triple}"))),
    }
}

fn suite(cell: &Cell, machine: &Machine, architecture: &str) -> Result<&'static Suite, Refusal> {
    let suites = Suites::embedded();
    let native = cell.target == machine.rustc.host;
    let floor = match cell.floor.filter(|_| !cell.floor_by_default) {
        Some(floor) => Some(floor),
        // What is built for this very machine is to start on it.
        None if native => suites.for_floor(None, architecture).map(|suite| suite.glibc).min(machine.glibc),
        None => None,
    };
    suites.for_floor(floor, architecture).ok_or_else(|| {
        let floor = floor.map(|floor| floor.to_string()).unwrap_or_default();
        let oldest = suites.all().first();
        let known = oldest.map(|suite| format!(" ({} has {})", suite.release, suite.glibc)).unwrap_or_default();
        let hint = oldest.map(|suite| {
            format!("use `-t {}.{}` if that minimum glibc version is acceptable", cell.target, suite.glibc)
        });
        let reason = format!("no supported Debian release has libraries for a minimum glibc version of {floor}{known}");
        Refusal { reason, hint, broken: false }
    })
}

/// The Debian packages to ask for.
fn packages(situation: &Situation<'_>, suite: &Suite) -> Result<BTreeSet<String>, Refusal> {
    let configured = &situation.settings.supply.packages;
    let table = Table::embedded();
    // Headers and C runtime belong to the same release as the libraries.
    let mut packages = BTreeSet::from(["libc6-dev".to_owned()]);
    packages.extend(configured.iter().cloned());
    let mut cxx = false;
    for need in situation.needs.iter().filter(|need| need.side == Side::Target) {
        match need.kind {
            NeedKind::CxxCompiler => cxx = true,
            NeedKind::SystemLibrary => {
                let library = table.libraries.get(&need.name);
                let known = library.map(|library| library.debian_in(&suite.name)).unwrap_or_default();
                packages.extend(known.iter().cloned());
                cxx |= library.is_some_and(|library| library.cxx);
                // A library that the table does not know comes from the configured packages, or not at all.
                if known.is_empty() && configured.is_empty() && need.blocks() {
                    return Err(Refusal::new(format!("no known Debian package provides {}", need.name)).hint(format!(
                        "add the package that provides {} to `supply.packages` in `Convoy.toml`",
                        need.name
                    )));
                }
            }
            _ => {}
        }
    }
    if cxx {
        packages.insert(format!("libstdc++-{}-dev", suite.gcc));
    }
    Ok(packages)
}

/// For the machine's own triple, a library that build scripts need besides the program.
fn of_this_machine_too<'a>(situation: &Situation<'a>) -> Option<&'a Need> {
    let native = situation.cell.target == situation.machine.rustc.host;
    let both = |need: &&Need| need.side == Side::Host && need.kind == NeedKind::SystemLibrary && need.blocks();
    situation.needs.iter().filter(|_| native).find(both)
}

/// The sysroot, where its packages may and can come to this machine.
fn bring(situation: &Situation<'_>, archive: &Archive, name: &str) -> Result<Provision, Refusal> {
    let machine = situation.machine;
    let fetched = machine.fetched_sysroots.contains(name);
    let provision = Provision::sysroot(name, fetched, situation.provisioning).map_err(|forbidden| {
        let lacking = format!("the sysroot {name} is not in convoy's cache");
        match situation.provisioning.forbids(Source::ThisMachine) {
            // Then a packed one would not be unpacked either.
            Some(Forbidden { reason, hint }) => Refusal::new(format!("{lacking}, and {reason}")).hint(hint),
            None => refuse(lacking, &forbidden, "import it with `cargo convoy supply unpack FILE`"),
        }
    })?;
    // What is locked and fetched needs no apt.
    if fetched {
        return Ok(provision);
    }
    // An image that convoy composes has an apt, and the archive of its base.
    if situation.in_image && machine.apt.is_none() {
        return Ok(provision);
    }
    let Some(apt) = &machine.apt else {
        return Err(Refusal::new("apt, which downloads Debian packages, is missing on this machine").hint(
            "export the packages on a machine with apt (`cargo convoy supply pack FILE`) and import them here (`cargo \
             convoy supply unpack FILE`)",
        ));
    };
    if archive.mirrors.is_empty() && apt.mirror.is_none() {
        return Err(Refusal::new(format!(
            "apt on this machine ({}) has no Debian archive configured",
            apt.distribution
        ))
        .hint(NO_MIRROR));
    }
    Ok(provision)
}

const NO_MIRROR: &str = "run `cargo convoy doctor` for the lines to add to `Convoy.toml`";

/// The lines of `Convoy.toml` for a machine whose apt knows other archives than Debian's: Ubuntu, the usual CI runner.
pub(crate) const DEBIAN_ARCHIVE: [&str; 3] = [
    "[supply]",
    "mirrors = [\"http://mirror.example/debian\"]  # a Debian mirror: the directory that contains `dists`",
    "keyring = \"/usr/share/keyrings/debian-archive-keyring.gpg\"",
];

/// A compiler compiles no headers of a newer libstdc++ than its own.
pub(super) fn require_gcc(offer: &SysrootOffer, compiler: &str, version: &str) -> Result<(), Refusal> {
    let major: Option<u32> = version.split('.').next().and_then(|major| major.parse().ok());
    let suite = offer.suite;
    match major {
        Some(major) if major >= suite.gcc => Ok(()),
        _ => Err(Refusal::new(format!(
            "`{compiler}` {version} is older than the libstdc++ {} of {}",
            suite.gcc, suite.release
        ))),
    }
}

/// zig has a C++ library of its own, whose types are not those that a distribution's libraries were built with.
pub(super) fn refuse_libcxx(situation: &Situation<'_>) -> Result<(), Refusal> {
    let table = Table::embedded();
    let cxx = situation.needs.iter().find(|need| {
        need.kind == NeedKind::SystemLibrary
            && need.side == Side::Target
            && table.libraries.get(&need.name).is_some_and(|library| library.cxx)
    });
    match cxx {
        Some(need) => Err(Refusal::new(format!(
            "{}, which crate `{}` needs, is a C++ library built with libstdc++, but zig uses libc++",
            need.name, need.package
        ))),
        None => Ok(()),
    }
}

/// Where the linker finds the libraries of a multiarch target.
pub(super) fn serves(target: Option<&Target>) -> bool {
    target.is_some_and(|target| target.multiarch.is_some())
}

/// One sysroot for all cells that take the same release and architecture from the same archive.
pub(super) fn gather(cells: &[CellPlan], wanted: BTreeMap<String, SysrootPlan>) -> Vec<SysrootPlan> {
    let mut gathered: BTreeMap<SysrootKey, SysrootPlan> = BTreeMap::new();
    for cell in cells.iter().filter(|cell| cell.status == Status::Buildable) {
        let Some(plan) = wanted.get(&cell.cell.id) else { continue };
        gathered
            .entry(plan.key.clone())
            .and_modify(|known| known.packages.extend(plan.packages.iter().cloned()))
            .or_insert_with(|| plan.clone());
    }
    gathered.into_values().collect()
}
