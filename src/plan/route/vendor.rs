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
    let Some((variable, dir)) = vendor.variables.iter().find_map(|variable| dirs.get_key_value(variable)) else {
        return Refusal::new(format!("{triple} needs {needs}")).hint(vendor.hint(triple));
    };
    if !dir.exists {
        let hint = format!("set `{variable}` to a directory that exists, or unset it");
        return Refusal::new(format!(
            "{triple} needs {needs}, and `{variable}` is set to {}, which does not exist",
            dir.path
        ))
        .hint(hint);
    }
    Refusal::new(format!("{triple} needs {needs}")).hint(match vendor.linker(triple) {
        Some(linker) => {
            format!("set the `linker` of this target in `.cargo/config.toml` to `{}`", dir.path.join(linker))
        }
        None => vendor.hint(triple),
    })
}
