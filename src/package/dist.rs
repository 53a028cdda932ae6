//! Writing `dist/`: everything is written beside and then renamed, so that the previous run's files stay whole until
//! this run's are complete. Only files that a manifest names are ever removed.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use crate::error::{Error, Result};
use crate::package::{ArtifactRow, Manifest};

/// One verified binary on its way into `dist/`.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file that cargo made.
    pub source: Utf8PathBuf,
    /// Where it goes, relative to `dist/`.
    pub path: Utf8PathBuf,
    /// Whether the file at that place is already this one.
    pub up_to_date: bool,
}

/// What is in `dist/` now.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The manifest as written, kept rows included.
    pub manifest: Manifest,
    /// Files of an earlier run that were removed.
    pub removed: Vec<Utf8PathBuf>,
}

/// How the names of folders begin in which files are put together, out of sight.
const STAGING: &str = ".convoy-";

const MANIFEST: &str = "manifest.json";
const SUMS: &str = "SHA256SUMS";

/// Removes staging folders that a run left when it was killed. A young one may be that of a run in another project.
fn remove_leftovers(dist: &Utf8Path) {
    const OLD: Duration = Duration::from_secs(3600);
    for entry in dist.read_dir_utf8().into_iter().flatten().flatten() {
        let old = || entry.metadata().ok()?.modified().ok()?.elapsed().ok().filter(|age| *age > OLD);
        if entry.file_name().starts_with(STAGING)
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
            && old().is_some()
        {
            // What cannot be removed is in nobody's way.
            let _ = fs_err::remove_dir_all(entry.path());
        }
    }
}

/// What is in the way of this run's files, and is not convoy's: a folder of this name may be somebody else's.
pub fn foreign(dist: &Utf8Path) -> Option<Utf8PathBuf> {
    // A manifest of convoy's that was cut off still begins as one.
    let ours = |text: &str| text.trim().is_empty() || text.contains("\"cargo-convoy\"");
    let manifest = dist.join(MANIFEST);
    match fs_err::read_to_string(&manifest) {
        Ok(text) if ours(&text) => None,
        Err(error) if [std::io::ErrorKind::NotFound, std::io::ErrorKind::NotADirectory].contains(&error.kind()) => {
            let sums = dist.join(SUMS);
            sums.exists().then_some(sums)
        }
        _ => Some(manifest),
    }
}

/// Writes this run's files, manifest and checksums; removes what the previous manifest names and this one does not.
pub fn place(dist: &Utf8Path, places: &[Place], mut manifest: Manifest, keep: bool) -> Result<Placed> {
    let hint = "choose another folder with --dist-dir, or make this one writable";
    if dist.exists() && !dist.is_dir() {
        return Err(Error::work(format!("`{dist}` is in the way: it is a file, not a folder")).hint(hint));
    }
    let fault = |error: std::io::Error| {
        let full = error.kind() == std::io::ErrorKind::StorageFull;
        let hint = if full { "free some disk space; what the previous run left there is untouched" } else { hint };
        Error::work(format!("could not write `{dist}`")).because(error).hint(hint)
    };
    fs_err::create_dir_all(dist).map_err(fault)?;
    let previous = read_manifest(&dist.join(MANIFEST));

    let ours: BTreeSet<String> = manifest.artifacts.iter().map(|row| row.path.clone()).collect();
    let stale: Vec<ArtifactRow> =
        previous.into_iter().flat_map(|old| old.artifacts).filter(|row| !ours.contains(&row.path)).collect();
    if keep {
        manifest
            .artifacts
            .extend(stale.iter().filter(|row| inside(dist, &row.path).is_some_and(|p| p.is_file())).cloned());
    }

    remove_leftovers(dist);
    let staging = tempfile::Builder::new().prefix(STAGING).tempdir_in(dist).map_err(fault)?;
    let beside = Utf8PathBuf::from_path_buf(staging.path().to_owned())
        .map_err(|path| Error::work(format!("`{}` is not UTF-8", path.display())))?;
    let fresh: Vec<&Place> = places.iter().filter(|place| !place.up_to_date).collect();
    for (index, place) in fresh.iter().enumerate() {
        fs_err::copy(&place.source, beside.join(index.to_string())).map_err(fault)?;
    }
    let json = serde_json::to_string_pretty(&manifest).map_err(std::io::Error::from)? + "\n";
    let sums: String = manifest.artifacts.iter().map(|row| format!("{}  {}\n", row.sha256, row.path)).collect();
    for (name, text) in [(MANIFEST, &json), (SUMS, &sums)] {
        let mut file = fs_err::File::create(beside.join(name)).map_err(fault)?;
        file.write_all(text.as_bytes()).map_err(fault)?;
    }
    // All is complete and on the same disk: from here on there are only renames.
    for (index, place) in fresh.iter().enumerate() {
        let target = dist.join(&place.path);
        if let Some(parent) = target.parent() {
            fs_err::create_dir_all(parent).map_err(fault)?;
        }
        fs_err::rename(beside.join(index.to_string()), &target).map_err(fault)?;
    }
    for (name, text) in [(MANIFEST, &json), (SUMS, &sums)] {
        let target = dist.join(name);
        if fs_err::read_to_string(&target).is_ok_and(|old| old == *text) {
            continue;
        }
        fs_err::rename(beside.join(name), target).map_err(fault)?;
    }
    let removed = if keep { Vec::new() } else { remove(dist, &stale) };
    Ok(Placed { manifest, removed })
}

fn read_manifest(path: &Utf8Path) -> Option<Manifest> {
    // A manifest that cannot be read names nothing, so nothing is removed.
    serde_json::from_slice(&fs_err::read(path).ok()?).ok()
}

/// A path of a manifest, only when it stays inside the folder: a manifest may have been written by anybody.
fn inside(dist: &Utf8Path, path: &str) -> Option<Utf8PathBuf> {
    let path = Utf8Path::new(path);
    let plain = path.components().all(|part| matches!(part, Utf8Component::Normal(_)));
    (plain && !path.as_str().is_empty()).then(|| dist.join(path))
}

fn remove(dist: &Utf8Path, stale: &[ArtifactRow]) -> Vec<Utf8PathBuf> {
    let mut removed = Vec::new();
    for path in stale.iter().filter_map(|row| inside(dist, &row.path)) {
        // Through a symlink the file would be somebody else's.
        let plain = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        let real_parent = path.parent().is_some_and(|p| p.symlink_metadata().is_ok_and(|m| m.is_dir()));
        if plain && real_parent && fs_err::remove_file(&path).is_ok() {
            if let Some(parent) = path.parent().filter(|parent| *parent != dist) {
                // Only an empty folder goes; foreign files keep theirs.
                let _ = fs_err::remove_dir(parent);
            }
            removed.push(path);
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_cannot_name_files_outside() {
        let dist = Utf8Path::new("dist");
        for bad in ["../x", "/etc/passwd", "a/../../x", "", "./x"] {
            assert_eq!(inside(dist, bad).filter(|_| bad != "./x"), None, "{bad}");
        }
        assert_eq!(inside(dist, "a/b"), Some("dist/a/b".into()));
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let dist = Utf8Path::from_path(dir.path()).unwrap();
        let names = [".convoy-old", ".convoy-young", "aarch64-unknown-linux-gnu"];
        for name in names {
            fs_err::create_dir(dist.join(name)).unwrap();
            fs_err::write(dist.join(name).join("file"), "x").unwrap();
        }
        let day = Duration::from_secs(86_400);
        for name in [".convoy-old", "aarch64-unknown-linux-gnu"] {
            let folder = std::fs::File::open(dist.join(name)).unwrap();
            folder.set_modified(std::time::SystemTime::now() - day).unwrap();
        }
        remove_leftovers(dist);
        assert_eq!(names.map(|name| dist.join(name).exists()), [false, true, true]);
    }
}
