//! The stub folder: what stands in for an SDK. A stub is a text file (`.tbd`, version 4) that gives a library's install
//! name and, where they are known, its exports, and no code.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use crate::model::darwin::{DATA, Data, Export};
use crate::util::error::Result;
use crate::util::files::{self, sha256};

/// The architectures that a stub serves.
const ARCHITECTURES: [&str; 2] = ["x86_64", "arm64"];

/// Every stub: path inside the stub folder → text.
///
/// Libraries whose exports are known bind exactly; a symbol that no stub exports is left to `-undefined
/// dynamic_lookup`, and [`crate::verify::darwin::account()`] must account for it.
pub fn stub_files() -> BTreeMap<Utf8PathBuf, String> {
    files(&DATA)
}

fn files(data: &Data) -> BTreeMap<Utf8PathBuf, String> {
    let mut files = BTreeMap::new();
    let library = |name: &str| Utf8PathBuf::from(format!("usr/lib/lib{name}.tbd"));
    for (index, name) in data.system.names.iter().enumerate() {
        // The other names are the same library: one list of its exports is enough, and lld reads it once.
        let exports: &[Export] = if index == 0 { &data.system_exports } else { &[] };
        files.insert(library(name), text(&data.system.install_name, exports));
    }
    for entry in &data.libraries {
        for name in &entry.names {
            files.insert(library(name), text(&entry.install_name, &entry.symbols));
        }
    }
    for (name, framework) in &data.frameworks {
        let folder = framework.install_name.split_once(".framework/").map_or("", |(folder, _)| folder);
        let path = format!("{}.framework/{name}.tbd", folder.trim_start_matches('/'));
        files.insert(path.into(), text(&framework.install_name, &[]));
    }
    files
}

/// One stub. Its form: <https://github.com/llvm/llvm-project/blob/main/llvm/lib/TextAPI/TextStub.cpp>.
fn text(install_name: &str, exports: &[Export]) -> String {
    let targets = |architectures: &[&str]| {
        let names: Vec<String> = architectures.iter().map(|architecture| format!("{architecture}-macos")).collect();
        format!("[ {} ]", names.join(", "))
    };
    let mut text = format!(
        "--- !tapi-tbd\ntbd-version: 4\ntargets: {}\ninstall-name: '{install_name}'\n",
        targets(&ARCHITECTURES)
    );
    let only = |architecture: Option<&str>| -> Vec<&str> {
        exports.iter().filter(|export| export.only.as_deref() == architecture).map(|e| e.name.as_str()).collect()
    };
    let sections = [
        (ARCHITECTURES.to_vec(), only(None)),
        (vec![ARCHITECTURES[0]], only(Some(ARCHITECTURES[0]))),
        (vec![ARCHITECTURES[1]], only(Some(ARCHITECTURES[1]))),
    ];
    if !exports.is_empty() {
        text.push_str("exports:\n");
    }
    for (architectures, names) in sections.iter().filter(|(_, names)| !names.is_empty()) {
        let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "  - targets: {}\n    symbols: [ {} ]\n",
            targets(architectures),
            names.join(",\n               ")
        );
    }
    text.push_str("...\n");
    text
}

/// Writes the stub folder below `parent`, unless it is there, and returns its path: the value of `SDKROOT`.
///
/// The folder is named by its content, so another version of convoy gets another one. It is written beside and then
/// renamed: whoever finds it, finds it whole, and of two runs at once one wins.
pub fn write_stubs(parent: &Utf8Path) -> Result<Utf8PathBuf> {
    let files = stub_files();
    let folder = parent.join(format!("darwin-{}", digest(&files)));
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(parent)?;
    let beside = tempfile::Builder::new().prefix(".darwin-").tempdir_in(parent)?;
    for (path, text) in &files {
        let path = beside.path().join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    files::publish(beside, &folder)?;
    Ok(folder)
}

fn digest(files: &BTreeMap<Utf8PathBuf, String>) -> String {
    let all: String = files.iter().map(|(path, text)| format!("{path}\0{text}\0")).collect();
    sha256(all)[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stub(path: &str) -> String {
        stub_files().remove(Utf8Path::new(path)).unwrap_or_else(|| panic!("no stub {path}"))
    }

    #[test]
    fn every_stub_names_its_library() {
        assert!(stub("usr/lib/libm.tbd").contains("install-name: '/usr/lib/libSystem.B.dylib'"));
        let foundation = stub("System/Library/Frameworks/Foundation.framework/Foundation.tbd");
        assert!(foundation.contains("'/System/Library/Frameworks/Foundation.framework/Versions/C/Foundation'"));
        let private = stub("System/Library/PrivateFrameworks/SkyLight.framework/SkyLight.tbd");
        assert!(private.contains("'/System/Library/PrivateFrameworks/SkyLight.framework/Versions/A/SkyLight'"));
        assert!(!stub_files().contains_key(Utf8Path::new("usr/lib/libc++.tbd")));
    }

    #[test]
    fn a_stub_has_a_section_for_each_architecture() {
        let exports = ["_a", "_b x86_64", "_c arm64"].map(|line| Export::from(line.to_owned()));
        insta::assert_snapshot!(text("/usr/lib/libx.dylib", &exports), @r"
        --- !tapi-tbd
        tbd-version: 4
        targets: [ x86_64-macos, arm64-macos ]
        install-name: '/usr/lib/libx.dylib'
        exports:
          - targets: [ x86_64-macos, arm64-macos ]
            symbols: [ '_a' ]
          - targets: [ x86_64-macos ]
            symbols: [ '_b' ]
          - targets: [ arm64-macos ]
            symbols: [ '_c' ]
        ...
        ");
    }

    #[test]
    fn the_folder_is_written_once_and_named_by_its_content() {
        let parent = tempfile::tempdir().unwrap();
        let parent = Utf8Path::from_path(parent.path()).unwrap();
        let first = write_stubs(parent).unwrap();
        assert_eq!(first, write_stubs(parent).unwrap());
        assert!(first.join("usr/lib/libSystem.tbd").is_file());
        assert_eq!(fs::read_dir(parent).unwrap().count(), 1, "nothing is left beside it");
        let other = BTreeMap::from([(Utf8PathBuf::from("a"), "b".to_owned())]);
        assert_ne!(digest(&other), digest(&stub_files()));
    }

    #[test]
    fn two_runs_at_once_write_one_folder() {
        let parent = tempfile::tempdir().unwrap();
        let parent = Utf8Path::from_path(parent.path()).unwrap();
        let folders: Vec<_> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| write_stubs(parent).unwrap())).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        assert!(folders.iter().all(|folder| folder == &folders[0]));
        assert_eq!(fs::read_dir(parent).unwrap().count(), 1);
    }
}
