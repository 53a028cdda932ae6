//! Variables of single crates that lead their build scripts to a sysroot: those that ask neither pkg-config nor the
//! linker. The table of needs knows them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Tree, lower, upper};
use crate::needs::{NeedKind, Side, Table};
use crate::plan::CellPlan;

/// The variables of those crates of a cell that look for a library of the target's system.
pub(super) fn of_crates(tree: &Tree, cell: &CellPlan) -> BTreeMap<String, String> {
    let looks = |kind| kind == NeedKind::SystemLibrary;
    let needs = cell.needs.iter().filter(|need| need.side == Side::Target && looks(need.kind));
    let crates: BTreeSet<&str> = needs.map(|need| need.package.as_str()).collect();
    let rows = crates.into_iter().filter_map(|name| Table::embedded().row(name));
    rows.flat_map(|row| &row.sysroot_env)
        .map(|(name, value)| (filled(name, tree, &cell.cell.target), filled(value, tree, &cell.cell.target)))
        .collect()
}

/// A name or value with what stands in braces put in its place.
fn filled(text: &str, tree: &Tree, triple: &str) -> String {
    let [multiarch, include] = tree.headers();
    [
        ("{TARGET}", upper(triple).as_str()),
        ("{target}", lower(triple).as_str()),
        ("{root}", tree.root.as_str()),
        ("{lib}", tree.libraries().as_str()),
        ("{include}", include.as_str()),
        ("{multiarch-include}", multiarch.as_str()),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}
