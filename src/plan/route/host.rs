//! The machine's own triple, as cargo builds it.

use super::{Offer, Refusal, Setup, Situation, gcc, named, page_size_flag, require_tools};
use crate::machine::{HostFacts, System};
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
        let reason = host.linker_fault.clone().unwrap_or_else(|| "no cc is on PATH to link with".to_owned());
        return Err(Refusal::new(reason).hint(linker_hint(host)));
    }
    require_tools(situation)?;
    let because = match linker {
        Some(linker) => format!("this machine's own triple, linked by {}", named(linker)),
        None => "this machine's own triple".to_owned(),
    };
    let rustflags = page_size_flag(situation.target, true).into_iter().collect();
    Ok(Offer { because, setup: Setup { rustflags, ..Setup::default() }, ..Offer::default() })
}

/// How a machine comes to a compiler that links programs for it.
pub(super) fn linker_hint(host: &HostFacts) -> &'static str {
    match (&host.linker_fault, host.system) {
        (None, _) => "install gcc or clang",
        (Some(_), System::Debian) => "install what it links with (`sudo apt-get install libc6-dev`)",
        (Some(_), System::Fedora) => "install what it links with (`sudo dnf install glibc-devel`)",
        (Some(_), _) => "install what it links with: the C library's development files",
    }
}
