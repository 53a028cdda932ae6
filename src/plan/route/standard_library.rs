//! The standard library of a target.

use crate::plan::Provision;
use crate::plan::provision::refuse;

use super::{Offer, Refusal, Situation};

/// The std of the target: installed, brought by rustup, or built.
pub(super) fn require(situation: &Situation<'_>, offer: &mut Offer) -> Result<(), Refusal> {
    let machine = situation.machine;
    let triple = &situation.cell.target;
    if situation.builds_std() {
        offer.build_std = true;
        if !machine.rust_src {
            let lacking = format!("the standard library for {triple} has to be built, but its source is not installed");
            let Some(toolchain) = &machine.toolchain else {
                let hint = "this toolchain is not managed by rustup; install the standard library's source in the same \
                            way as rustc";
                return Err(Refusal::new(lacking).hint(hint));
            };
            let hint = format!("run `rustup component add --toolchain {toolchain} rust-src`");
            if let Some(why) = &situation.attempt.rust_src {
                return Err(Refusal::new(format!("{lacking}: rustup could not install it: {why}")).hint(hint));
            }
            let source = Provision::rust_src(toolchain, situation.provisioning);
            offer.provision.push(source.map_err(|forbidden| refuse(lacking, &forbidden, &hint))?);
        }
        return Ok(());
    }
    if machine.std.contains(triple.as_str()) {
        return Ok(());
    }
    let Some(toolchain) = &machine.toolchain else {
        return Err(Refusal::new(format!("rustc {} has no standard library for {triple}", machine.rustc.version))
            .hint(format!(
                "this toolchain is not managed by rustup; install the standard library for {triple} in the same way as \
                 rustc"
            )));
    };
    let from_source =
        format!("set `build-std = true` under `[target.\"{triple}\"]` in `Convoy.toml` to build it from source");
    if machine.published_std.as_ref().is_some_and(|published| !published.contains(triple.as_str())) {
        return Err(Refusal::new(format!("rustup has no standard library for {triple}")).hint(from_source));
    }
    let command = format!("rustup target add --toolchain {toolchain} {triple}");
    if let Some(why) = situation.attempt.std.get(triple.as_str()) {
        return Err(Refusal::new(format!("rustup could not install the standard library for {triple}: {why}"))
            .hint(from_source));
    }
    let std = Provision::std(triple, toolchain, situation.provisioning).map_err(|forbidden| {
        refuse(format!("the standard library for {triple} is not installed"), &forbidden, &format!("run `{command}`"))
    })?;
    offer.provision.push(std);
    Ok(())
}
