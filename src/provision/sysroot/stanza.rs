//! Debian's control files and indexes: what a package says of itself, and which packages of a set are needed. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// What a control file, or a paragraph of an index, says of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
    /// The names in `Depends` and `Pre-Depends`, all alternatives among them.
    pub(super) depends: BTreeSet<String>,
    /// The names that it provides besides its own.
    pub(super) provides: BTreeSet<String>,
    /// The SHA-256 of its file, in an index.
    pub(super) sha256: Option<String>,
}

impl Described {
    /// Reads one paragraph.
    pub(super) fn parse(paragraph: &str) -> Self {
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        let mut last = None;
        for line in paragraph.lines() {
            if line.starts_with([' ', '\t']) {
                // Only lists of packages are read, and a line break in them is a space.
                if let Some(value) = last.as_ref().and_then(|name| fields.get_mut(name)) {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                let name = name.to_ascii_lowercase();
                fields.insert(name.clone(), value.trim().to_owned());
                last = Some(name);
            }
        }
        let mut field = |name: &str| fields.remove(name).unwrap_or_default();
        let depends = [field("depends"), field("pre-depends")];
        Self {
            name: field("package"),
            version: field("version"),
            architecture: field("architecture"),
            depends: depends.iter().flat_map(|list| names(list)).collect(),
            provides: names(&field("provides")).collect(),
            sha256: Some(field("sha256")).filter(|digest| !digest.is_empty()),
        }
    }
}

/// Every paragraph of an index.
pub(super) fn paragraphs(text: &str) -> impl Iterator<Item = Described> {
    text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()).map(Described::parse)
}

/// The names in a list of relations: `libc6 (>= 2.36), perl:any | perl-base [armhf]`.
fn names(list: &str) -> impl Iterator<Item = String> {
    let relations = list.split([',', '|']).map(str::trim);
    let names = relations.map(|relation| relation.split([' ', '(', ':', '[', '<']).next().unwrap_or_default());
    names.filter(|name| !name.is_empty()).map(str::to_owned)
}

/// How a set of packages does not fit what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Misfits {
    /// The names that were asked for and that no package has or provides.
    pub(super) missing: Vec<String>,
    /// The packages that nothing needs.
    pub(super) unneeded: BTreeSet<String>,
}

/// Holds packages against the names that were asked for: each is to be there, and each package is to be needed by one of
/// them, directly or not. Versions are not looked at, and every alternative counts as needed.
pub(super) fn misfits<'a>(
    requested: impl IntoIterator<Item = &'a String>,
    packages: impl IntoIterator<Item = &'a Described>,
) -> Misfits {
    let mut having: BTreeMap<&str, Vec<&Described>> = BTreeMap::new();
    let mut unneeded = BTreeSet::new();
    for package in packages {
        unneeded.insert(package.name.clone());
        for name in package.provides.iter().chain([&package.name]) {
            having.entry(name).or_default().push(package);
        }
    }
    let mut queue: Vec<&str> = Vec::new();
    let mut missing = Vec::new();
    for name in requested {
        match having.contains_key(name.as_str()) {
            true => queue.push(name),
            false => missing.push(name.clone()),
        }
    }
    while let Some(name) = queue.pop() {
        // Taken away: nothing is followed twice.
        for package in having.remove(name).unwrap_or_default() {
            if unneeded.remove(&package.name) {
                queue.extend(package.depends.iter().map(String::as_str));
            }
        }
    }
    Misfits { missing, unneeded }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "Package: libapp-dev\nVersion: 1:1.0-1\nArchitecture: armhf\nDepends: libapp1 (= 1:1.0-1),\n \
        libleaf:any | libother [armhf]\nSHA256: abc\nDescription: x\n Package: no\n\nPackage: libapp1\nversion: 1\n\
        Pre-Depends: virtual (>= 1)\n\nPackage: libreal\nProvides: virtual (= 2), more\n\nPackage: libextra\n";

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_package_is_read_from_its_paragraph() {
        let all: Vec<Described> = paragraphs(INDEX).collect();
        assert_eq!(all.len(), 4);
        let app = &all[0];
        assert_eq!(
            (app.name.as_str(), app.version.as_str(), app.architecture.as_str()),
            ("libapp-dev", "1:1.0-1", "armhf")
        );
        assert_eq!(app.depends, set(&["libapp1", "libleaf", "libother"]));
        assert_eq!(app.sha256.as_deref(), Some("abc"));
        assert_eq!((all[1].version.as_str(), &all[1].depends), ("1", &set(&["virtual"])));
        assert_eq!((&all[2].provides, &all[2].sha256), (&set(&["virtual", "more"]), &None));
    }

    #[test]
    fn what_was_asked_for_is_there_and_nothing_else() {
        let all: Vec<Described> = paragraphs(INDEX).collect();
        let found = misfits(&set(&["libapp-dev"]), &all);
        assert_eq!(found, Misfits { missing: vec![], unneeded: set(&["libextra"]) });
        let found = misfits(&set(&["more", "libextra", "libgone"]), &all);
        assert_eq!(found.missing, ["libgone"]);
        assert_eq!(found.unneeded, set(&["libapp-dev", "libapp1"]));
        // A circle ends.
        let circle: Vec<Described> = paragraphs("Package: a\nDepends: b\n\nPackage: b\nDepends: a\n").collect();
        assert_eq!(misfits(&set(&["b"]), &circle), Misfits::default());
    }
}
