//! Systems whose programs need files of a vendor: Android, iOS.

use super::{Refusal, Situation};

/// Refuses a target whose files convoy cannot install, unless a configured linker shows that they are there.
pub(super) fn require(situation: &Situation<'_>) -> Result<(), Refusal> {
    let triple = &situation.cell.target;
    let linker = situation.machine.user.get(triple.as_str()).and_then(|user| user.linker.as_ref());
    if let Some(vendor) = situation.catalog.vendor(triple).filter(|_| linker.is_none() && !situation.in_image) {
        return Err(Refusal::new(format!("{triple} needs {}", vendor.needs)).hint(vendor.hint.clone()));
    }
    Ok(())
}
