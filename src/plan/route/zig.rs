//! zig as C compiler for every target, and as linker for all but darwin, where `rust-lld` links against stubs.

use crate::machine::Machine;
use crate::model::architecture::Architecture;
use crate::model::catalog::{ArmLevel, Catalog, Glibc, LldKind, Target};
use crate::model::cpu;
use crate::model::zig as pinned;
use crate::plan::provision::refuse;
use crate::plan::sysroot::{SysrootOffer, refuse_libcxx};
use crate::plan::{Cell, Provision};
use crate::project::needs::NeedKind;

use super::lld::{links_against_stubs, require_c_runtime, require_rust_lld};
use super::{
    CTools, Linker, Offer, Refusal, Setup, Situation, ZigTool, c_users, page_size_flag, require_tools_but, stand_ins,
    target_needs,
};

pub(super) fn offer(situation: &Situation<'_>, sysroot: Option<&SysrootOffer>) -> Result<Offer, Refusal> {
    let (cell, machine) = (situation.cell, situation.machine);
    if let Some(linker) = machine.user.get(cell.target.as_str()).and_then(|user| user.linker.as_ref()) {
        return Err(Refusal::new(format!("the linker is set by {}", linker.origin))
            .hint("remove that setting, or do not force the route"));
    }
    if sysroot.is_some() {
        refuse_libcxx(situation)?;
    }
    let floor = sysroot.map(|sysroot| sysroot.floor(situation)).or(cell.floor);
    let Some(tool) = tool_for(cell, floor, situation.target) else {
        return Err(Refusal::new(format!("zig does not support {}", cell.target)));
    };
    let oldest = situation.target.and_then(|target| target.zig.as_ref()).and_then(|zig| zig.oldest_glibc);
    if let (Some(floor), Some(oldest)) = (floor, oldest.filter(|oldest| floor.is_some_and(|floor| floor < *oldest))) {
        return Err(Refusal::new(format!(
            "zig links for {} against glibc {oldest} and newer, but the minimum glibc version is {floor}",
            cell.target
        ))
        .hint(format!("use `-t {}.{oldest}` if that minimum glibc version is acceptable", cell.target)));
    }
    let provision = require_zig(situation)?;
    let pinned_here = machine.zig.as_ref().is_none_or(|zig| zig.version == pinned::version());
    if let Some(floor) = floor.filter(|floor| pinned_here && *floor > pinned::newest_glibc()) {
        let (version, newest) = (pinned::version(), pinned::newest_glibc());
        return Err(Refusal::new(format!(
            "zig {version} supports glibc up to {newest}, but the minimum glibc version is {floor}"
        ))
        .hint(format!("use `-t {}.{newest}` if that minimum glibc version is acceptable", cell.target)));
    }
    let wasm = cell.target.is_wasm();
    if wasm {
        require_c_only(situation)?;
    }
    let darwin = cell.target.is_macos();
    let msvc =
        situation.target.and_then(|target| target.lld.as_ref()).is_some_and(|lld| lld.kind == LldKind::ImportLibraries);
    let stood_in: Vec<&str> = stand_ins(&cell.target).iter().filter_map(|stand_in| stand_in.tool).collect();
    require_tools_but(situation, &stood_in)?;
    let mut because = match &machine.zig {
        Some(zig) => format!("zig {}", zig.version),
        None => format!("zig {} (to be installed)", pinned::version()),
    };
    because += match floor {
        Some(floor) => format!(" links against glibc {floor}"),
        None if wasm => " with rust-lld, which links with the C runtime of the standard library".to_owned(),
        None if msvc => " with rust-lld, which links against generated import libraries (no SDK needed)".to_owned(),
        None if darwin => format!(" with rust-lld, which {}", links_against_stubs(machine)),
        None => " links".to_owned(),
    }
    .as_str();
    if let Some(users) = c_users(situation) {
        because += &format!("; compiles the C code of {users}");
    }
    let cxx = !target_needs(situation.needs, &[NeedKind::CxxCompiler]).is_empty();
    let (linker, rustflags) = if darwin {
        let rust_lld = require_rust_lld(situation)?;
        (Linker::Darwin { rust_lld, libcxx: cxx.then(|| tool.clone()) }, Vec::new())
    } else if wasm {
        (Linker::RustLld(require_rust_lld(situation)?), Vec::new())
    } else if msvc {
        let rust_lld = require_rust_lld(situation)?;
        (Linker::Windows { rust_lld, c: Some(tool.clone()), libcxx: cxx }, Vec::new())
    } else {
        let mut rustflags: Vec<String> = page_size_flag(situation.target, true).into_iter().collect();
        if situation.builds_std() && cell.target.is_musl() {
            // The C runtime that rustc would look for comes with rustup's std alone; zig has its own.
            rustflags.push("-Clink-self-contained=no".to_owned());
        }
        (Linker::Zig(tool.clone()), rustflags)
    };
    let arm32 = ArmLevel::of_triple(&cell.target).is_some();
    Ok(Offer {
        because,
        provision,
        setup: Setup {
            linker,
            c: CTools::Zig(tool),
            rustflags,
            cflags: Vec::new(),
            // lld keeps only the first object's ARM attributes, and a Mach-O does not name the object behind a symbol.
            record_link: arm32 || darwin,
            pkg_config_libdir: None,
            sysroot: None,
            first_libraries: Vec::new(),
        },
        ..Offer::default()
    })
}

/// For a target whose std has a C runtime of its own and nothing for C++: what is needed of it.
fn require_c_only(situation: &Situation<'_>) -> Result<(), Refusal> {
    let triple = &situation.cell.target;
    if let Some(need) = target_needs(situation.needs, &[NeedKind::CxxCompiler]).first() {
        return Err(Refusal::new(format!(
            "crate `{}` needs a C++ standard library for {triple}, and there is none",
            need.package
        )));
    }
    require_c_runtime(situation)
}

/// zig itself: here, or allowed to be brought.
pub(super) fn require_zig(situation: &Situation<'_>) -> Result<Vec<Provision>, Refusal> {
    let machine = situation.machine;
    if machine.zig.is_some() {
        return Ok(Vec::new());
    }
    let hint = "install zig, or the Python package `ziglang`";
    let zig = Provision::zig(situation.provisioning)
        .map_err(|forbidden| refuse("zig is missing on this machine", &forbidden, hint))?;
    if let Some(why) = situation.attempt.zig.as_ref().or(machine.zig_unavailable.as_ref()) {
        return Err(
            Refusal::new(format!("zig is missing on this machine and could not be installed: {why}")).hint(hint)
        );
    }
    Ok(vec![zig])
}

fn tool_for(cell: &Cell, floor: Option<Glibc>, target: Option<&Target>) -> Option<ZigTool> {
    let (name, baseline) = match target {
        Some(target) => {
            let zig = target.zig.as_ref()?;
            (zig.target.clone(), zig.mcpu.clone())
        }
        None => (zig_name(&cell.target)?, rust_baseline(&cell.target).map(str::to_owned)),
    };
    let name = match floor {
        Some(floor) => format!("{name}.{floor}"),
        None => name,
    };
    let mcpu = cell.cpu.as_ref().map(|cpu| cpu::zig_name(&cell.target, cpu)).or(baseline);
    Some(ZigTool { target: name, mcpu })
}

/// zig's name for a triple outside the catalog, where the words map one to one.
pub(crate) fn zig_name(triple: &str) -> Option<String> {
    let parts: Vec<&str> = triple.split('-').collect();
    let (os, abi) = match parts.as_slice() {
        [_, _, os @ ("linux" | "windows"), abi] => (*os, *abi),
        _ => return None,
    };
    let arch = Architecture::of_triple(triple)?.zig.as_ref()?;
    let abi = match (os, abi) {
        ("windows", "gnu" | "gnullvm") => "gnu",
        ("linux", "gnu" | "gnueabi" | "gnueabihf" | "musl" | "musleabi" | "musleabihf") => abi,
        _ => return None,
    };
    Some(format!("{arch}-{os}-{abi}"))
}

/// What rustc compiles for, where zig's own default for a triple outside the catalog is more.
fn rust_baseline(triple: &str) -> Option<&'static str> {
    Architecture::of_triple(triple)?.baseline(triple.split('-').next()?)
}

/// zig as the linker of the host's own build scripts and proc-macros, where no cc is installed.
pub(crate) fn for_host(machine: &Machine, catalog: &Catalog) -> ZigTool {
    // They run on this very machine, so the oldest glibc that zig and Rust both know is always right.
    let floor = machine.rustc.host.is_glibc().then_some(Glibc { major: 2, minor: 17 });
    let name = catalog
        .target(&machine.rustc.host)
        .and_then(|target| target.zig.as_ref().map(|zig| zig.target.clone()))
        .or_else(|| zig_name(&machine.rustc.host))
        .unwrap_or_else(|| "native".to_owned());
    ZigTool { target: floor.map_or(name.clone(), |floor| format!("{name}.{floor}")), mcpu: None }
}
