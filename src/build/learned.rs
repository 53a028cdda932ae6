//! What earlier runs learned about routes in this project: `<target-dir>/convoy/learned.json`. A fact holds for as long
//! as all that it depended on stays the same, and a memory that cannot be read or written only costs time.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::model::catalog::Glibc;
use crate::model::zig;
use crate::plan::{Cell, RouteKind};
use crate::project::config::TargetSettings;
use crate::project::graph::Package;
use crate::util::files;

const SCHEMA: u32 = 1;

/// The file, below convoy's own folder of a project.
pub(crate) fn file(convoy_dir: &Utf8Path) -> Utf8PathBuf {
    convoy_dir.join("learned.json")
}

/// All facts of a project.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Memory {
    schema: u32,
    failed: Vec<Fact>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { schema: SCHEMA, failed: Vec::new() }
    }
}

/// A route that failed, while another was left.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
struct Fact {
    target: String,
    floor: Option<Glibc>,
    cpu: Option<String>,
    /// What was built.
    built: String,
    route: RouteKind,
    cause: String,
    /// What the failure depended on.
    basis: String,
}

/// What is built for a cell and from what, as far as a failure depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    packages: String,
    lock: String,
    settings: String,
    containers: String,
}

impl Subject {
    /// Of the active packages, the digest of `Cargo.lock`, and what configuration says for the cell.
    pub(crate) fn new<'a>(
        packages: impl IntoIterator<Item = &'a Package>,
        lock: &str,
        settings: &TargetSettings,
    ) -> Self {
        // Their versions are in the lock.
        let named = |package: &'a Package| (&package.name, &package.features);
        let packages: BTreeSet<_> = packages.into_iter().map(named).collect();
        let packages = files::sha256(format!("{packages:?}"));
        let TargetSettings { rustflags, env, supply, build_std, container, .. } = settings;
        // A digest, as values of the environment may be secrets.
        let settings = files::sha256(format!("{rustflags:?}{env:?}{supply:?}{build_std:?}"));
        Self { packages, lock: lock.to_owned(), settings, containers: files::sha256(format!("{container:?}")) }
    }

    /// All that a failure of a route depended on: when any of it changes, the route deserves another attempt.
    fn basis(&self, cell: &Cell, route: RouteKind, host: &Machine) -> String {
        let user = host.user.get(cell.target.as_str());
        let tools = match route {
            RouteKind::Host => format!("{:?} {:?}", host.linker, host.cxx),
            RouteKind::Lld => format!("{:?}", host.rust_lld),
            RouteKind::Gcc => format!("{:?}", host.gcc.get(cell.target.as_str())),
            // An engine is asked late. What images have follows from convoy's version and from the settings.
            RouteKind::Container => self.containers.clone(),
            RouteKind::Cross => format!("{:?}", host.cross),
            RouteKind::Xwin => format!("{:?}", host.xwin),
            // What is to be brought is what will have been brought.
            RouteKind::Zig => host.zig.as_ref().map_or(zig::version(), |zig| &zig.version).to_owned(),
        };
        let found = (host.libraries.get(cell.target.as_str()), &host.tools);
        let (rustc, version) = (&host.rustc.version, crate::VERSION);
        files::sha256(format!("{version}\0{rustc}\0{}\0{tools}\0{user:?}\0{found:?}\0{}", self.lock, self.settings))
    }
}

impl Memory {
    /// What is remembered; nothing where that cannot be read.
    pub(crate) fn read(file: &Utf8Path) -> Self {
        let read = fs_err::read(file).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        read.filter(|memory| memory.schema == SCHEMA).unwrap_or_default()
    }

    /// Whether nothing is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.failed.is_empty()
    }

    /// The routes that failed for a cell, each with the cause.
    pub(crate) fn failed(&self, cell: &Cell, subject: &Subject, host: &Machine) -> BTreeMap<RouteKind, String> {
        let facts = self.failed.iter().filter(|fact| fact.is_of(cell, subject));
        let valid = facts.filter(|fact| fact.basis == subject.basis(cell, fact.route, host));
        valid.map(|fact| (fact.route, fact.cause.clone())).collect()
    }

    /// Replaces what is known of a cell.
    pub(crate) fn learn(
        &mut self,
        cell: &Cell,
        subject: &Subject,
        failed: &BTreeMap<RouteKind, String>,
        host: &Machine,
    ) {
        self.failed.retain(|fact| !fact.is_of(cell, subject));
        self.failed.extend(failed.iter().map(|(route, cause)| Fact {
            target: cell.target.to_string(),
            floor: cell.floor,
            cpu: cell.cpu.clone(),
            built: subject.packages.clone(),
            route: *route,
            cause: cause.clone(),
            basis: subject.basis(cell, *route, host),
        }));
    }

    /// Writes it down, for others to find it whole.
    pub(crate) fn write(&self, file: &Utf8Path) -> crate::util::error::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::from)?;
        files::replace(file, text)
    }
}

impl Fact {
    fn is_of(&self, cell: &Cell, subject: &Subject) -> bool {
        (self.target.as_str(), self.floor, &self.cpu) == (cell.target.as_str(), cell.floor, &cell.cpu)
            && self.built == subject.packages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::GccFacts;

    const TARGET: &str = "aarch64-unknown-linux-gnu";

    fn cell(floor: Option<&str>, cpu: Option<&str>) -> Cell {
        Cell {
            id: TARGET.to_owned(),
            target: TARGET.into(),
            floor: floor.map(|floor| floor.parse().unwrap()),
            floor_by_default: false,
            cpu: cpu.map(str::to_owned),
            ..Cell::default()
        }
    }

    fn subject(package: &str, lock: &str) -> Subject {
        let package = Package { name: package.to_owned(), ..Package::default() };
        Subject::new([&package], lock, &TargetSettings::default())
    }

    fn host(gcc: &str) -> Machine {
        let gcc = GccFacts {
            prefix: "aarch64-linux-gnu".to_owned(),
            cc: "/usr/bin/aarch64-linux-gnu-gcc".into(),
            cxx: None,
            ar: None,
            version: gcc.to_owned(),
            glibc: None,
            static_cxx: None,
            headers: None,
            fault: None,
        };
        Machine { gcc: [(TARGET.to_owned(), gcc)].into(), ..Machine::default() }
    }

    fn failed() -> BTreeMap<RouteKind, String> {
        [(RouteKind::Gcc, "no `foo`".to_owned())].into()
    }

    #[test]
    fn a_fact_holds_until_something_that_it_depended_on_changes() {
        let mut memory = Memory::default();
        let (cell_, subject_, host_) = (cell(Some("2.31"), None), subject("app", "lock"), host("12.2.0"));
        memory.learn(&cell_, &subject_, &failed(), &host_);
        assert_eq!(memory.failed(&cell_, &subject_, &host_), failed());
        let changed = [
            ("the lock", memory.failed(&cell_, &subject("app", "other"), &host_)),
            ("the packages", memory.failed(&cell_, &subject("other", "lock"), &host_)),
            ("the compiler", memory.failed(&cell_, &subject_, &host("13.1.0"))),
            ("the floor", memory.failed(&cell(Some("2.36"), None), &subject_, &host_)),
            ("the CPU", memory.failed(&cell(Some("2.31"), Some("cortex-a72")), &subject_, &host_)),
        ];
        for (what, known) in changed {
            assert!(known.is_empty(), "{what} changed");
        }
        let mut installed = host("12.2.0");
        installed.tools.insert("cmake".to_owned(), "/usr/bin/cmake".into());
        assert!(memory.failed(&cell_, &subject_, &installed).is_empty());
    }

    #[test]
    fn what_is_learned_replaces_what_was_known_of_the_cell_alone() {
        let mut memory = Memory::default();
        let (subject_, host_) = (subject("app", "lock"), host("12.2.0"));
        let (one, other) = (cell(Some("2.31"), None), cell(Some("2.36"), None));
        memory.learn(&one, &subject_, &failed(), &host_);
        memory.learn(&other, &subject_, &failed(), &host_);
        memory.learn(&one, &subject_, &BTreeMap::new(), &host_);
        assert!(memory.failed(&one, &subject_, &host_).is_empty());
        assert_eq!(memory.failed(&other, &subject_, &host_), failed());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_empty_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(Utf8Path::from_path(dir.path()).unwrap());
        let mut memory = Memory::read(&path);
        let (cell, subject, host) = (cell(None, None), subject("app", "lock"), host("12.2.0"));
        memory.learn(&cell, &subject, &failed(), &host);
        memory.write(&path).unwrap();
        assert_eq!(Memory::read(&path), memory);
        for broken in ["", "{", "[]", r#"{"schema":2,"failed":[]}"#, r#"{"schema":1,"failed":[{"route":"gcc"}]}"#] {
            fs_err::write(&path, broken).unwrap();
            assert!(Memory::read(&path).failed(&cell, &subject, &host).is_empty(), "{broken}");
        }
    }
}
