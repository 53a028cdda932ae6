//! rustup's std and `rust-lld` alone: no C compiler, nothing to install.

use crate::model::catalog::{ArmLevel, LldKind};

use super::{Linker, Offer, Refusal, Setup, Situation, c_users, page_size_flag, require_tools};

pub(super) fn offer(situation: &Situation<'_>) -> Result<Offer, Refusal> {
    let (cell, host) = (situation.cell, situation.host);
    if let Some(linker) = host.user.get(&cell.target).and_then(|user| user.linker.as_ref()) {
        return Err(Refusal::new(format!("the linker is set by {}", linker.origin)));
    }
    let kind = match situation.target {
        Some(target) => target.lld.as_ref().map(|lld| lld.kind),
        // Outside the catalog: rustc's own specification links musl by itself.
        None => cell.target.contains("-linux-musl").then_some(LldKind::SelfContained),
    };
    let Some(kind) = kind else {
        return Err(Refusal::new(format!(
            "the standard library for {} does not include a C runtime to link with",
            cell.target
        )));
    };
    if kind == LldKind::SelfContained && situation.builds_std() && !host.std.contains(&cell.target) {
        return Err(Refusal::new("a standard library built from source does not include a C runtime to link with"));
    }
    if let Some(users) = c_users(situation) {
        return Err(Refusal::new(format!("a C compiler is required by {users}")));
    }
    let rust_lld = require_rust_lld(situation)?;
    require_tools(situation)?;
    let (because, linker) = match kind {
        LldKind::SelfContained => ("pure Rust; the standard library includes a C runtime", Linker::RustLld(rust_lld)),
        LldKind::DarwinStubs => {
            ("pure Rust; links against generated stubs (no SDK needed)", Linker::Darwin { rust_lld, libcxx: None })
        }
    };
    let mut rustflags: Vec<String> = page_size_flag(situation.target, false).into_iter().collect();
    if let Some(lld) = situation.target.and_then(|target| target.lld.as_ref()) {
        rustflags.extend(lld.link_args.iter().map(|arg| format!("-Clink-arg={arg}")));
    }
    let arm32 = ArmLevel::of_triple(&situation.cell.target).is_some();
    Ok(Offer {
        because: because.to_owned(),
        setup: Setup { record_link: arm32 || kind == LldKind::DarwinStubs, linker, rustflags, ..Setup::default() },
        ..Offer::default()
    })
}

/// rustup's `rust-lld`.
pub(super) fn require_rust_lld(situation: &Situation<'_>) -> Result<camino::Utf8PathBuf, Refusal> {
    situation.host.rust_lld.clone().ok_or_else(|| {
        Refusal::new("rust-lld is missing in this Rust toolchain").hint("use a toolchain installed by rustup")
    })
}
