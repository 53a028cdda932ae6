//! The part of cargo's own folder that a project needs: what its lock names, of all that was ever fetched.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use toml::{Table, Value};

use crate::plan::container::{Part, Tree};

/// cargo's names of the folders of crates.io, by its two protocols.
const CRATES_IO: [&str; 2] = ["index.crates.io-", "github.com-1ecc6299db9ec823"];

/// A package of a lock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Locked {
    Registry { name: String, version: String },
    Git { repository: String, revision: String },
}

/// What is taken of `registry` and of `git` in cargo's folder for these locks. `used` are folders of packages, by which
/// one knows what cargo calls a registry today.
pub(crate) fn crates(
    cargo_home: &Utf8Path,
    locks: &[Utf8PathBuf],
    used: &BTreeSet<Utf8PathBuf>,
) -> BTreeMap<&'static str, Tree> {
    let texts = locks.iter().filter_map(|lock| fs_err::read_to_string(lock).ok());
    let locked: BTreeSet<Locked> = texts.flat_map(|text| read(&text)).collect();
    [
        ("registry", registry(&cargo_home.join("registry"), &locked, used)),
        ("git", git(&cargo_home.join("git"), &locked)),
    ]
    .into()
}

fn read(text: &str) -> Vec<Locked> {
    let lock = text.parse::<Table>().unwrap_or_default();
    let packages = lock.get("package").and_then(Value::as_array).cloned().unwrap_or_default();
    packages.iter().filter_map(package).collect()
}

fn package(package: &Value) -> Option<Locked> {
    let text = |key: &str| package.get(key)?.as_str().map(str::to_owned);
    let source = text("source")?;
    let Some(git) = source.strip_prefix("git+") else {
        return Some(Locked::Registry { name: text("name")?, version: text("version")? });
    };
    let (address, revision) = git.split_once('#')?;
    let address = address.split('?').next().unwrap_or(address).trim_end_matches('/');
    let repository = address.rsplit('/').next()?.trim_end_matches(".git").to_owned();
    Some(Locked::Git { repository, revision: revision.to_owned() })
}

fn registry(home: &Utf8Path, locked: &BTreeSet<Locked>, used: &BTreeSet<Utf8PathBuf>) -> Tree {
    let mut tree = Tree::default();
    let mut add = |at: String| {
        let from = home.join(&at);
        if from.exists() {
            tree.parts.push(Part { at: at.into(), from, ..Part::default() });
        }
    };
    let known = |name: &String| used.iter().any(|dir| dir.starts_with(home.join("src").join(name)));
    let is_crates_io = |name: &String| CRATES_IO.iter().any(|of| name.starts_with(of));
    let all: Vec<String> = names(&home.join("index"));
    let some_known = all.iter().any(|name| is_crates_io(name) && known(name));
    for name in all.iter().filter(|name| !is_crates_io(name) || !some_known || known(name)) {
        let own = |package: &Locked| match package {
            Locked::Registry { name, version } => Some((name.clone(), version.clone())),
            Locked::Git { .. } => None,
        };
        let mut any = false;
        for (package, version) in locked.iter().filter_map(own) {
            any |= home.join(format!("cache/{name}/{package}-{version}.crate")).exists();
            add(format!("cache/{name}/{package}-{version}.crate"));
            add(format!("src/{name}/{package}-{version}"));
            add(format!("index/{name}/.cache/{}", in_index(&package)));
        }
        if any || is_crates_io(name) {
            // A registry that is a git repository is asked for its newest state, and a sparse one for its configuration.
            for part in ["config.json", ".git", ".last-updated"] {
                add(format!("index/{name}/{part}"));
            }
        }
    }
    tree
}

fn git(home: &Utf8Path, locked: &BTreeSet<Locked>) -> Tree {
    let mut tree = Tree::default();
    let mut add = |at: String| tree.parts.push(Part { from: home.join(&at), at: at.into(), ..Part::default() });
    for (own, revision) in locked.iter().filter_map(|package| match package {
        Locked::Git { repository, revision } => Some((repository, revision)),
        Locked::Registry { .. } => None,
    }) {
        let of_repository =
            |name: &&String| name.rsplit_once('-').is_some_and(|(first, _)| first.eq_ignore_ascii_case(own));
        for name in names(&home.join("db")).iter().filter(of_repository) {
            add(format!("db/{name}"));
        }
        for name in names(&home.join("checkouts")).iter().filter(of_repository) {
            for short in names(&home.join("checkouts").join(name)).iter().filter(|short| revision.starts_with(*short)) {
                add(format!("checkouts/{name}/{short}"));
            }
        }
    }
    tree
}

fn names(dir: &Utf8Path) -> Vec<String> {
    let mut names: Vec<String> =
        dir.read_dir_utf8().into_iter().flatten().flatten().map(|entry| entry.file_name().to_owned()).collect();
    names.sort();
    names
}

/// Where an index keeps a crate.
fn in_index(name: &str) -> String {
    let name = name.to_lowercase();
    match name.len() {
        1 => format!("1/{name}"),
        2 => format!("2/{name}"),
        3 => format!("3/{}/{name}", &name[..1]),
        _ => match (name.get(..2), name.get(2..4)) {
            (Some(first), Some(second)) => format!("{first}/{second}/{name}"),
            _ => name,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
version = 4
[[package]]
name = "own"
version = "0.1.0"
[[package]]
name = "cc"
version = "1.2.3"
source = "registry+https://github.com/rust-lang/crates.io-index"
[[package]]
name = "Inflector"
version = "0.11.4"
source = "registry+https://github.com/rust-lang/crates.io-index"
[[package]]
name = "private"
version = "1.0.0"
source = "sparse+https://r.example/index/"
[[package]]
name = "forked"
version = "1.0.0"
source = "git+https://git.example/x/Forked.git?branch=y#0123456789abcdef0123456789abcdef01234567"
"#;

    #[test]
    fn only_what_the_lock_names_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let (sparse, private) = ("index.crates.io-1949cf8c6b5b557f", "r.example-0123456789abcdef");
        let old = "github.com-1ecc6299db9ec823";
        for file in [
            format!("registry/cache/{sparse}/cc-1.2.3.crate"),
            format!("registry/cache/{sparse}/cc-1.2.4.crate"),
            format!("registry/src/{sparse}/cc-1.2.3/Cargo.toml"),
            format!("registry/src/{sparse}/cc-1.2.4/Cargo.toml"),
            format!("registry/index/{sparse}/config.json"),
            format!("registry/index/{sparse}/.cache/2/cc"),
            format!("registry/index/{sparse}/.cache/in/fl/inflector"),
            format!("registry/cache/{private}/private-1.0.0.crate"),
            format!("registry/index/{private}/config.json"),
            format!("registry/index/{private}/.git/HEAD"),
            "registry/index/unused-0123456789abcdef/.git/HEAD".to_owned(),
            format!("registry/index/{old}/.git/HEAD"),
            "git/db/forked-aa/HEAD".to_owned(),
            "git/db/other-aa/HEAD".to_owned(),
            "git/checkouts/forked-aa/0123456/src/lib.rs".to_owned(),
            "git/checkouts/forked-aa/7654321/src/lib.rs".to_owned(),
        ] {
            let path = home.join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "x").unwrap();
        }
        let lock = home.join("Cargo.lock");
        fs_err::write(&lock, LOCK).unwrap();
        let used = [home.join(format!("registry/src/{sparse}/cc-1.2.3"))].into();
        let trees = crates(home, std::slice::from_ref(&lock), &used);
        let at = |tree: &Tree| -> Vec<String> { tree.parts.iter().map(|part| part.at.to_string()).collect() };
        let mut registry = at(&trees["registry"]);
        registry.sort();
        assert_eq!(
            registry,
            [
                format!("cache/{sparse}/cc-1.2.3.crate"),
                format!("cache/{private}/private-1.0.0.crate"),
                format!("index/{sparse}/.cache/2/cc"),
                format!("index/{sparse}/.cache/in/fl/inflector"),
                format!("index/{sparse}/config.json"),
                format!("index/{private}/.git"),
                format!("index/{private}/config.json"),
                format!("src/{sparse}/cc-1.2.3"),
            ]
        );
        assert_eq!(at(&trees["git"]), ["db/forked-aa", "checkouts/forked-aa/0123456"]);
        // Nothing of crates.io is known by a package: either protocol may be the one.
        let trees = crates(home, &[lock], &BTreeSet::new());
        assert!(at(&trees["registry"]).contains(&format!("index/{old}/.git")));
    }

    #[test]
    fn places_in_an_index() {
        assert_eq!(["a", "ab", "abc", "Abcde"].map(in_index), ["1/a", "2/ab", "3/a/abc", "ab/cd/abcde"]);
    }
}
