//! A build script → what it starts, looks for and links, and under what conditions: interpreted without being run.

mod names;
mod tree;
mod value;
mod walk;

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::package_files::PackageFiles;
use super::{Call, Guard, Script, What, system_deps};

/// What a build script shows.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// How far it could be read.
    pub script: Script,
    /// What is in it.
    pub calls: Vec<Call>,
    /// The files it was read from, also those that are missing.
    pub files: Vec<Utf8PathBuf>,
}

/// Reads the build script of a package; its path is relative to the package or absolute. `helpers` names the crates whose
/// use is of interest.
pub(super) fn read(files: &PackageFiles, script: &Utf8Path, helpers: &BTreeSet<String>) -> Reading {
    let tree = tree::Tree::load(files, &files.dir().join(script));
    let mut calls = walk::calls(&tree, helpers);
    calls.extend(system_deps::calls(files, &calls));
    let script = match tree.failed.into_iter().next() {
        Some(reason) => Script::Unreadable(reason),
        None => Script::Read,
    };
    Reading { script, calls: distinct(calls), files: tree.read }
}

/// The calls without those that another one includes: the same thing under some of the conditions.
fn distinct(calls: Vec<Call>) -> Vec<Call> {
    let includes = |one: &Call, other: &Call| {
        let same = match (&one.what, &other.what) {
            (What::PkgConfig { name, optional }, What::PkgConfig { name: n, optional: o }) => {
                name == n && optional <= o
            }
            (one, other) => one == other,
        };
        same && one.guards.iter().all(|guard| other.guards.contains(guard))
    };
    let mut kept: Vec<Call> = Vec::new();
    for call in calls {
        if !kept.iter().any(|other| includes(other, &call)) {
            kept.retain(|other| !includes(&call, other));
            kept.push(call);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
