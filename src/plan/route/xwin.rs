//! An installed `cargo-xwin`, which fetches Microsoft's SDK and compiles C with `clang-cl`, for code that convoy's own way to
//! build for MSVC does not serve. Only taken when it is asked for: the licence of what it fetches is the user's to accept.

use super::{Offer, Refusal, Situation, require_tools};

pub(super) fn offer(situation: &Situation<'_>) -> Result<Offer, Refusal> {
    let triple = &situation.cell.target;
    if !triple.is_msvc() {
        return Err(Refusal::new(format!("`cargo-xwin` builds for the `-pc-windows-msvc` targets, not for {triple}"))
            .hint("name the target that it is for: `--route x86_64-pc-windows-msvc=xwin`"));
    }
    let Some(xwin) = &situation.machine.xwin else {
        return Err(Refusal::new("`cargo-xwin` is not on PATH").hint("run `cargo install cargo-xwin`"));
    };
    require_tools(situation)?;
    // What it has fetched, and what is still to be fetched, it knows best.
    Ok(Offer {
        because: format!("`cargo-xwin` ({xwin}) was requested; it fetches Microsoft's SDK by itself"),
        ..Offer::default()
    })
}
