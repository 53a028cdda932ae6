//! An installed `cross`, for those who have images and a Cross.toml that fit it. Only taken when it is asked for.

use super::{Offer, Refusal, Setup, Situation};

pub(super) fn offer(situation: &Situation<'_>) -> Result<Offer, Refusal> {
    let Some(cross) = &situation.machine.cross else {
        return Err(Refusal::new("`cross` is not on PATH").hint("run `cargo install cross`"));
    };
    let version = situation.machine.rustc.version.split(' ').next().unwrap_or_default();
    if cross.toolchain.is_none() {
        // cross brings whatever it is started with up to date, unless that is named by its version.
        return Err(Refusal::new(format!(
            "`cross` would update this toolchain, because it is not installed under its version number ({version})"
        ))
        .hint(format!("run `rustup toolchain install {version}`, or use `--route container`")));
    }
    Ok(Offer {
        // Whether its image has what is needed, and holds a floor, is not known before; verification tells.
        because: format!("`cross` ({}) was requested; its image is not inspected", cross.program),
        setup: Setup::default(),
        ..Offer::default()
    })
}
