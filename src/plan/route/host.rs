//! The machine's own triple, as cargo builds it.

use super::{Offer, Refusal, Setup, Situation, gcc, named, page_size_flag, require_tools};
use crate::plan::sysroot::SysrootOffer;

pub(super) fn offer(situation: &Situation<'_>, sysroot: Option<&SysrootOffer>) -> Result<Offer, Refusal> {
    let (cell, host) = (situation.cell, situation.host);
    if cell.target != host.rustc.host {
        return Err(Refusal::new(format!("this machine is {}", host.rustc.host)));
    }
    if sysroot.is_some() {
        // Against a sysroot this machine's own gcc is set up as a cross gcc is.
        let mut offer = gcc::offer(situation, sysroot)?;
        offer.because = format!("this machine's own triple; {}", offer.because);
        return Ok(offer);
    }
    if let Some(floor) = cell.floor
        && host.glibc.is_none_or(|glibc| glibc > floor)
    {
        let own = host.glibc.map_or("unknown".to_owned(), |glibc| glibc.to_string());
        return Err(Refusal::new(format!("this machine's glibc is {own}, and the floor asked is {floor}")));
    }
    let user = host.user.get(&cell.target);
    let linker = user.and_then(|user| user.linker.as_ref());
    if host.linker.is_none() && linker.is_none() {
        return Err(Refusal::new("no cc is on PATH to link with").hint("install gcc or clang"));
    }
    require_tools(situation)?;
    let because = match linker {
        Some(linker) => format!("this machine's own triple, linked by {}", named(linker)),
        None => "this machine's own triple".to_owned(),
    };
    let rustflags = page_size_flag(situation.target, true).into_iter().collect();
    Ok(Offer { because, setup: Setup { rustflags, ..Setup::default() }, ..Offer::default() })
}
