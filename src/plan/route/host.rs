//! The machine's own triple, as cargo builds it.

use super::{Offer, Refusal, Setup, Situation, gcc, named, page_size_flag, require_tools};
use crate::machine::{Machine, System};
use crate::plan::sysroot::SysrootOffer;

pub(super) fn offer(situation: &Situation<'_>, sysroot: Option<&SysrootOffer>) -> Result<Offer, Refusal> {
    let (cell, machine) = (situation.cell, situation.machine);
    if cell.target != machine.rustc.host {
        return Err(Refusal::new(format!("not the native target, which is {}", machine.rustc.host)));
    }
    if sysroot.is_some() {
        // Against a sysroot this machine's own gcc is set up as a cross gcc is.
        let mut offer = gcc::offer(situation, sysroot)?;
        offer.because = format!("native target; {}", offer.because);
        return Ok(offer);
    }
    if let Some(floor) = cell.floor
        && machine.glibc.is_none_or(|glibc| glibc > floor)
    {
        let own = machine.glibc.map_or("unknown".to_owned(), |glibc| glibc.to_string());
        return Err(Refusal::new(format!(
            "this machine's glibc is {own}, which is newer than the minimum glibc version {floor}"
        )));
    }
    let user = machine.user.get(cell.target.as_str());
    let linker = user.and_then(|user| user.linker.as_ref());
    if machine.linker.is_none() && linker.is_none() {
        let reason = machine.linker_fault.clone().unwrap_or_else(|| "no C compiler on PATH to link with".to_owned());
        return Err(Refusal::new(reason).hint(linker_hint(machine)));
    }
    require_tools(situation)?;
    let because = match linker {
        Some(linker) => format!("native target, linked by {}", named(linker)),
        None => "native target".to_owned(),
    };
    let rustflags = page_size_flag(situation.target, true).into_iter().collect();
    Ok(Offer { because, setup: Setup { rustflags, ..Setup::default() }, ..Offer::default() })
}

/// How a machine comes to a compiler that links programs for it.
pub(super) fn linker_hint(machine: &Machine) -> &'static str {
    match (&machine.linker_fault, machine.system) {
        (None, _) => "install gcc or clang",
        (Some(_), System::Debian) => "install the C library's development files: `sudo apt-get install libc6-dev`",
        (Some(_), System::Fedora) => "install the C library's development files: `sudo dnf install glibc-devel`",
        (Some(_), _) => "install the C library's development files",
    }
}
