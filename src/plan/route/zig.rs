//! zig as C compiler for every target, and as linker for all but darwin, where `rust-lld` links against stubs.

use crate::machine::HostFacts;
use crate::model::architecture::Architecture;
use crate::model::catalog::{ArmLevel, Catalog, Glibc, Target};
use crate::model::zig as pinned;
use crate::plan::provision::refuse;
use crate::plan::sysroot::{SysrootOffer, refuse_libcxx};
use crate::plan::{Cell, Provision};
use crate::project::needs::NeedKind;

use super::lld::require_rust_lld;
use super::{
    CTools, Linker, Offer, Refusal, Setup, Situation, ZigTool, c_users, page_size_flag, require_tools, target_needs,
};

pub(super) fn offer(situation: &Situation<'_>, sysroot: Option<&SysrootOffer>) -> Result<Offer, Refusal> {
    let (cell, host) = (situation.cell, situation.host);
    if let Some(linker) = host.user.get(&cell.target).and_then(|user| user.linker.as_ref()) {
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
    let provision = require_zig(situation)?;
    let pinned_here = host.zig.as_ref().is_none_or(|zig| zig.version == pinned::version());
    if let Some(floor) = floor.filter(|floor| pinned_here && *floor > pinned::newest_glibc()) {
        let (version, newest) = (pinned::version(), pinned::newest_glibc());
        return Err(Refusal::new(format!(
            "zig {version} supports glibc up to {newest}, but the minimum glibc version is {floor}"
        ))
        .hint(format!("use `-t {}.{newest}` if that minimum glibc version is acceptable", cell.target)));
    }
    require_tools(situation)?;
    let darwin = cell.target.ends_with("-apple-darwin");
    let mut because = match &host.zig {
        Some(zig) => format!("zig {}", zig.version),
        None => format!("zig {} (to be installed)", pinned::version()),
    };
    because += match floor {
        Some(floor) => format!(" links against glibc {floor}"),
        None if darwin => " with rust-lld, which links against generated stubs (no SDK needed)".to_owned(),
        None => " links".to_owned(),
    }
    .as_str();
    if let Some(users) = c_users(situation) {
        because += &format!("; compiles the C code of {users}");
    }
    let (linker, rustflags) = if darwin {
        let cxx = !target_needs(situation.needs, &[NeedKind::CxxCompiler]).is_empty();
        let rust_lld = require_rust_lld(situation)?;
        (Linker::Darwin { rust_lld, libcxx: cxx.then(|| tool.clone()) }, Vec::new())
    } else {
        let mut rustflags: Vec<String> = page_size_flag(situation.target, true).into_iter().collect();
        if situation.builds_std() && cell.target.contains("-musl") {
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

/// zig itself: here, or allowed to be brought.
pub(super) fn require_zig(situation: &Situation<'_>) -> Result<Vec<Provision>, Refusal> {
    let host = situation.host;
    if host.zig.is_some() {
        return Ok(Vec::new());
    }
    let hint = "install zig, or the Python package `ziglang`";
    let zig = Provision::zig(situation.provisioning)
        .map_err(|forbidden| refuse("zig is missing on this machine", &forbidden, hint))?;
    if let Some(why) = &host.zig_unavailable {
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
    // zig spells CPU names with `_`.
    let mcpu = cell.cpu.as_ref().map(|cpu| cpu.replace('-', "_")).or(baseline);
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
pub(crate) fn for_host(host: &HostFacts, catalog: &Catalog) -> ZigTool {
    // They run on this very machine, so the oldest glibc that zig and Rust both know is always right.
    let floor = host.rustc.host.contains("-linux-gnu").then_some(Glibc { major: 2, minor: 17 });
    let name = catalog
        .target(&host.rustc.host)
        .and_then(|target| target.zig.as_ref().map(|zig| zig.target.clone()))
        .or_else(|| zig_name(&host.rustc.host))
        .unwrap_or_else(|| "native".to_owned());
    ZigTool { target: floor.map_or(name.clone(), |floor| format!("{name}.{floor}")), mcpu: None }
}
