//! Variables of single crates that lead their build scripts to a sysroot: those that ask neither pkg-config nor the
//! linker. The table of needs knows them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Tree, lower};
use crate::model::catalog::in_capitals;
use crate::project::needs::{Need, NeedKind, Side, Table};

/// The variables of those crates that look for a library of the target's system.
pub(super) fn of_needs(tree: &Tree, needs: &[Need], triple: &str) -> BTreeMap<String, String> {
    let looks = |need: &&Need| need.side == Side::Target && need.kind == NeedKind::SystemLibrary;
    let crates: BTreeSet<&str> = needs.iter().filter(looks).map(|need| need.package.as_str()).collect();
    let rows = crates.into_iter().filter_map(|name| Table::embedded().row(name));
    rows.flat_map(|row| &row.sysroot_env)
        .map(|(name, value)| (filled(name, tree, triple), filled(value, tree, triple)))
        .collect()
}

/// A name or value with what stands in braces put in its place.
fn filled(text: &str, tree: &Tree, triple: &str) -> String {
    let [multiarch, include] = tree.headers();
    [
        ("{TARGET}", in_capitals(triple).as_str()),
        ("{target}", lower(triple).as_str()),
        ("{root}", tree.root.as_str()),
        ("{lib}", tree.libraries().as_str()),
        ("{include}", include.as_str()),
        ("{multiarch-include}", multiarch.as_str()),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::needs::Confidence;

    fn tree() -> Tree {
        Tree {
            root: "/c/root".into(),
            digest: String::new(),
            multiarch: "arm-linux-gnueabihf".to_owned(),
            gcc: None,
            cxx: Vec::new(),
        }
    }

    #[test]
    fn names_and_values_are_those_of_the_target() {
        let fill = |text| filled(text, &tree(), "armv7-unknown-linux-gnueabihf");
        assert_eq!(fill("PQ_LIB_DIR_{TARGET}"), "PQ_LIB_DIR_ARMV7_UNKNOWN_LINUX_GNUEABIHF");
        assert_eq!(fill("A_{target}"), "A_armv7_unknown_linux_gnueabihf");
        assert_eq!(fill("{lib}:{root}"), "/c/root/usr/lib/arm-linux-gnueabihf:/c/root");
        assert_eq!(
            fill("{include}:{multiarch-include}"),
            "/c/root/usr/include:/c/root/usr/include/arm-linux-gnueabihf"
        );
    }

    #[test]
    fn only_crates_that_look_for_a_library_get_theirs() {
        let need = |package: &str, kind, side| Need {
            kind,
            name: "libpq".to_owned(),
            side,
            package: package.to_owned(),
            version: "0.7.8".to_owned(),
            paths: Vec::new(),
            evidence: String::new(),
            confidence: Confidence::Known,
            by_pkg_config: false,
            loaded: false,
            supply: None,
        };
        let of = |needs: Vec<Need>| of_needs(&tree(), &needs, "armv7-unknown-linux-gnueabihf");
        let library = NeedKind::SystemLibrary;
        assert!(of(vec![need("pq-sys", NeedKind::Tool, Side::Target)]).is_empty(), "bundled");
        assert!(of(vec![need("pq-sys", library, Side::Host)]).is_empty(), "for this machine");
        assert!(of(vec![need("no-such-sys", library, Side::Target)]).is_empty());
        let found = of(vec![need("pq-sys", library, Side::Target)]);
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [("PQ_LIB_DIR_ARMV7_UNKNOWN_LINUX_GNUEABIHF".to_owned(), "/c/root/usr/lib/arm-linux-gnueabihf".to_owned())]
        );
    }
}
