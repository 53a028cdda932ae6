//! A distribution's cross gcc, or the compiler that the user configured for the target.

use crate::machine::{FoundBy, GccFacts};
use crate::model::catalog::Glibc;
use crate::model::cpu;
use crate::plan::sysroot::{SysrootOffer, require_gcc};

use super::{
    CTools, Linker, Offer, Refusal, Setup, Situation, c_users, floor_refusal, in_image_hint, named, page_size_flag,
    require_tools, target_needs,
};
use crate::project::needs::NeedKind;

pub(super) fn offer(situation: &Situation<'_>, sysroot: Option<&SysrootOffer>) -> Result<Offer, Refusal> {
    let (cell, machine) = (situation.cell, situation.machine);
    if let Some(linker) = machine.user.get(cell.target.as_str()).and_then(|user| user.linker.as_ref()) {
        require_tools(situation)?;
        // Whether it holds a floor is not known before the link; verification tells.
        return Ok(Offer {
            because: format!("the linker is set to {}", named(linker)),
            setup: Setup {
                rustflags: page_size_flag(situation.target, true).into_iter().collect(),
                ..Setup::default()
            },
            ..Offer::default()
        });
    }
    let gcc = working_gcc(situation)?;
    let GccFacts { prefix, cc, cxx, ar, version, glibc, static_cxx, .. } = gcc;
    let cxx_user = target_needs(situation.needs, &[NeedKind::CxxCompiler]).first().map(|need| &need.package);
    if let (Some(package), None) = (cxx_user, cxx) {
        return Err(Refusal::new(format!("crate `{package}` needs a C++ compiler, but `{prefix}-g++` is not on PATH"))
            .hint(format!("install `{prefix}-g++`")));
    }
    if let Some(sysroot) = sysroot {
        require_gcc(sysroot, &format!("{prefix}-gcc"), version)?;
    }
    let libdir = pkg_config_libdir(situation).filter(|_| sysroot.is_none());
    // Libraries of this machine were linked against its glibc, so the floor that nobody asked for rises to it.
    let floor = glibc
        .filter(|glibc| cell.floor_by_default && cell.floor.is_some_and(|floor| *glibc > floor) && libdir.is_some());
    if cell.floor.is_some()
        && floor.is_none()
        && sysroot.is_none()
        && let Some(refusal) = floor_refusal(cell, &format!("`{prefix}-gcc` {version}"), *glibc)
    {
        return Err(refusal);
    }
    require_tools(situation)?;
    let mut rustflags: Vec<String> = page_size_flag(situation.target, true).into_iter().collect();
    if cell.target.is_mingw() {
        // gcc's own runtime is a DLL that Windows does not ship.
        rustflags.push("-Clink-arg=-static-libgcc".to_owned());
    }
    // Windows has no libstdc++, so the program carries it.
    let carries_cxx = cell.target.is_windows() && cxx_user.is_some();
    Ok(Offer {
        because: because(situation, gcc, floor, sysroot.is_some()),
        floor,
        setup: Setup {
            linker: Linker::Driver(cc.clone()),
            c: CTools::Gcc { cc: cc.clone(), cxx: cxx.clone(), ar: ar.clone() },
            rustflags,
            cflags: cell.cpu.iter().map(|cpu| cpu::gcc_flag(&cell.target, cpu)).collect(),
            record_link: false,
            pkg_config_libdir: libdir,
            sysroot: None,
            first_libraries: static_cxx.iter().filter(|_| carries_cxx).cloned().collect(),
        },
        ..Offer::default()
    })
}

/// The target's gcc, where there is one and its trial did not fail.
fn working_gcc<'a>(situation: &Situation<'a>) -> Result<&'a GccFacts, Refusal> {
    let (cell, machine) = (situation.cell, situation.machine);
    let prefix = match situation.target {
        Some(target) => target.gcc.as_ref().map(|gcc| gcc.prefix.clone()),
        None => machine.gcc.get(cell.target.as_str()).map(|gcc| gcc.prefix.clone()),
    };
    let Some(prefix) = prefix else {
        return Err(match situation.target {
            Some(target) if target.expect.arm.is_some_and(|arm| arm.version == 6) => Refusal::new(
                "the armhf compilers and libraries of distributions are built for ARMv7, and their binaries crash on \
                 ARMv6",
            ),
            _ => Refusal::new(format!("no known distribution package of gcc for {}", cell.target)),
        });
    };
    let Some(gcc) = machine.gcc.get(cell.target.as_str()) else {
        let package = situation.target.and_then(|target| target.gcc.as_ref()?.debian.first());
        let package = package.map(|package| format!(" (Debian, Ubuntu: {package})")).unwrap_or_default();
        let place = if situation.in_image { "in the image" } else { "on PATH" };
        return Err(Refusal::new(format!("`{prefix}-gcc` is not {place}")).hint(match situation.in_image {
            true => in_image_hint(&format!("`{prefix}-gcc`"), situation),
            false => format!("install `{prefix}-gcc`{package}"),
        }));
    };
    match &gcc.fault {
        Some(fault) => Err(Refusal::new(fault.clone()).hint(format!("fix or uninstall `{prefix}-gcc`"))),
        None => Ok(gcc),
    }
}

/// Why a gcc builds a cell; `floor` is the one that this machine's libraries raise the cell's to.
fn because(situation: &Situation<'_>, gcc: &GccFacts, floor: Option<Glibc>, in_sysroot: bool) -> String {
    let place = if situation.in_image { "in the image" } else { "is on PATH" };
    let mut because = format!("`{}-gcc` {} {place}", gcc.prefix, gcc.version);
    match (floor, situation.cell.floor) {
        _ if in_sysroot => {}
        (Some(floor), _) => {
            because += &format!("; this machine's libraries for it raise the minimum glibc version to {floor}");
        }
        (None, Some(floor)) => because += &format!(" and supports the minimum glibc version {floor}"),
        (None, None) => {}
    }
    if let Some(users) = c_users(situation) {
        because += &format!("; compiles the C code of {users}");
    }
    because
}

/// Where this machine's libraries for the target are, when some of them are wanted.
fn pkg_config_libdir(situation: &Situation<'_>) -> Option<String> {
    let found = situation.machine.libraries.get(situation.cell.target.as_str())?;
    let machine = found.values().any(|library| library.by == FoundBy::Machine);
    situation.target.filter(|_| machine)?.pkg_config_libdir()
}
