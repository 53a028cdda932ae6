//! Systems whose programs need files of a vendor: Android, iOS.

use super::{Refusal, Situation};
use crate::model::catalog::Vendor;

/// Refuses a target whose files convoy cannot install, unless a configured linker shows that they are there.
pub(super) fn require(situation: &Situation<'_>) -> Result<(), Refusal> {
    let triple = &situation.cell.target;
    let linker = situation.machine.user.get(triple.as_str()).and_then(|user| user.linker.as_ref());
    match situation.catalog.vendor(triple).filter(|_| linker.is_none() && !situation.in_image) {
        None => Ok(()),
        Some(vendor) => Err(refusal(vendor, situation)),
    }
}

fn refusal(vendor: &Vendor, situation: &Situation<'_>) -> Refusal {
    let (triple, needs) = (&situation.cell.target, &vendor.needs);
    let dirs = &situation.machine.vendor_dirs;
    let named = vendor.variables.iter().find_map(|variable| dirs.get_key_value(variable));
    if let Some((variable, dir)) = named.filter(|(_, dir)| !dir.exists) {
        return Refusal::new(format!(
            "{triple} needs {needs}, and `{variable}` is set to {}, which does not exist",
            dir.path
        ))
        .hint(format!("set `{variable}` to a directory that exists, or unset it"));
    }
    let linker = named.and_then(|(_, dir)| Some(dir.path.join(vendor.linker(triple)?)));
    Refusal::new(format!("{triple} needs {needs}")).hint(match linker {
        Some(linker) => format!("set the `linker` of this target in `.cargo/config.toml` to `{linker}`"),
        None => vendor.hint(triple),
    })
}
