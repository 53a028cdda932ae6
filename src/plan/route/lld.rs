//! rustup's std and `rust-lld` alone: no C compiler, nothing to install.

use crate::machine::Machine;
use crate::model::catalog::{ArmLevel, LldKind};

use super::{Linker, Offer, Refusal, Setup, Situation, c_users, page_size_flag, require_tools};

pub(super) fn offer(situation: &Situation<'_>) -> Result<Offer, Refusal> {
    let (cell, machine) = (situation.cell, situation.machine);
    if let Some(linker) = machine.user.get(cell.target.as_str()).and_then(|user| user.linker.as_ref()) {
        return Err(Refusal::new(format!("the linker is set by {}", linker.origin)));
    }
    let kind = match situation.target {
        Some(target) => target.lld.as_ref().map(|lld| lld.kind),
        // Outside the catalog: rustc's own specification links musl by itself.
        None => cell.target.is_musl().then_some(LldKind::SelfContained),
    };
    let Some(kind) = kind else {
        return Err(Refusal::new(format!(
            "the standard library for {} does not include a C runtime to link with",
            cell.target
        )));
    };
    let of_std = matches!(kind, LldKind::SelfContained | LldKind::Wasi);
    if of_std {
        require_c_runtime(situation)?;
    }
    if let Some(users) = c_users(situation) {
        return Err(Refusal::new(format!("a C compiler is required by {users}")));
    }
    let rust_lld = require_rust_lld(situation)?;
    require_tools(situation)?;
    let (how, linker) = match kind {
        LldKind::SelfContained | LldKind::Wasi => {
            ("the standard library includes a C runtime", Linker::RustLld(rust_lld))
        }
        LldKind::DarwinStubs => (links_against_stubs(situation.machine), Linker::Darwin { rust_lld, libcxx: None }),
        LldKind::ImportLibraries => (
            "links against generated import libraries (no SDK needed)",
            Linker::Windows { rust_lld, c: None, libcxx: false },
        ),
    };
    let mut rustflags: Vec<String> = page_size_flag(situation.target, false).into_iter().collect();
    if let Some(lld) = situation.target.and_then(|target| target.lld.as_ref()) {
        rustflags.extend(lld.link_args.iter().map(|arg| format!("-Clink-arg={arg}")));
    }
    let arm32 = ArmLevel::of_triple(&situation.cell.target).is_some();
    Ok(Offer {
        because: format!("pure Rust; {how}"),
        setup: Setup { record_link: arm32 || kind == LldKind::DarwinStubs, linker, rustflags, ..Setup::default() },
        ..Offer::default()
    })
}

/// How macOS programs are linked.
pub(super) fn links_against_stubs(machine: &Machine) -> &'static str {
    match machine.vendor_dirs.contains_key("SDKROOT") {
        true => "links against generated stubs (no SDK needed, so `SDKROOT` is ignored)",
        false => "links against generated stubs (no SDK needed)",
    }
}

/// The C runtime that comes with rustup's std, and with no other.
pub(super) fn require_c_runtime(situation: &Situation<'_>) -> Result<(), Refusal> {
    if situation.builds_std() && !situation.machine.std.contains(situation.cell.target.as_str()) {
        return Err(Refusal::new("a standard library built from source does not include a C runtime to link with"));
    }
    Ok(())
}

/// rustup's `rust-lld`.
pub(super) fn require_rust_lld(situation: &Situation<'_>) -> Result<camino::Utf8PathBuf, Refusal> {
    situation.machine.rust_lld.clone().ok_or_else(|| {
        Refusal::new("rust-lld is missing from this Rust toolchain").hint("use a toolchain installed by rustup")
    })
}
