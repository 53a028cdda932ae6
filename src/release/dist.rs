//! Writing `dist/`: everything is written beside and then renamed, so that the previous run's files stay whole until
//! this run's are complete. Only files that a manifest names are ever removed.

use std::collections::BTreeSet;
use std::fs::TryLockError;
use std::io::{self, Write};
use std::time::Duration;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use crate::release::Artifact;
use crate::release::{ArtifactRow, Manifest};
use crate::util::error::{Error, Result};
use crate::util::files::{LARGE, PlainFile, SMALL, UntrustedDir};

/// One verified binary on its way into `dist/`.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file that cargo made.
    pub source: Artifact,
    /// The SHA-256 of the bytes that were verified, in hexadecimal.
    pub sha256: String,
    /// Where it goes, relative to `dist/`.
    pub path: Utf8PathBuf,
    /// Whether the file at that place is already this one.
    pub up_to_date: bool,
}

/// What is in `dist/` now.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// The manifest as written, kept rows included.
    pub manifest: Manifest,
    /// Files of an earlier run that were removed.
    pub removed: Vec<Utf8PathBuf>,
}

/// The project whose binaries go into `dist/`.
#[derive(Clone, Debug)]
pub(crate) struct Owner<'a> {
    /// Its workspace.
    pub workspace_root: &'a Utf8Path,
    /// The names of its packages.
    pub packages: BTreeSet<String>,
}

/// How the names of directories begin in which files are put together, out of sight.
const STAGING: &str = ".convoy-";

/// How many letters and digits follow.
const STAGING_RANDOM: usize = 6;

/// The file by which such a directory is known as convoy's.
const MARKER: &str = "cargo-convoy-staging";

const MANIFEST: &str = "manifest.json";
const SUMS: &str = "SHA256SUMS";

/// Removes staging directories that a run left when it was killed. `alone`: no other run is writing here; otherwise a young
/// one may be such a run's.
fn remove_leftovers(dist: &Utf8Path, alone: bool) {
    const OLD: Duration = Duration::from_secs(3600);
    for entry in dist.read_dir_utf8().into_iter().flatten().flatten() {
        let random = entry.file_name().strip_prefix(STAGING).unwrap_or_default();
        let named = random.len() == STAGING_RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !named || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let old = || entry.metadata().ok()?.modified().ok()?.elapsed().ok().filter(|age| *age > OLD);
        if let Some(files) = staged(entry.path()).filter(|_| alone || old().is_some()) {
            // What cannot be removed is in nobody's way. The marker goes last: without it nothing would be removed.
            for file in files.iter().filter(|file| file.file_name() != Some(MARKER)) {
                let _ = fs_err::remove_file(file);
            }
            let _ = fs_err::remove_file(entry.path().join(MARKER));
            let _ = fs_err::remove_dir(entry.path());
        }
    }
}

/// The files of a staging directory; none where it has no marker, or holds anything that convoy does not put there.
fn staged(dir: &Utf8Path) -> Option<Vec<Utf8PathBuf>> {
    let mut files = Vec::new();
    for entry in dir.read_dir_utf8().ok()? {
        let entry = entry.ok()?;
        let name = entry.file_name();
        let ours = [MARKER, MANIFEST, SUMS].contains(&name) || name.bytes().all(|byte| byte.is_ascii_digit());
        if !ours || !entry.file_type().ok()?.is_file() {
            return None;
        }
        files.push(entry.into_path());
    }
    files.iter().any(|file| file.file_name() == Some(MARKER)).then_some(files)
}

/// What is in the way of this run's files, and is not convoy's: a directory of this name may be somebody else's.
pub(crate) fn foreign(dist: &Utf8Path) -> Option<Utf8PathBuf> {
    // A manifest of convoy's that was cut off still begins as one.
    let ours = |text: &str| text.trim().is_empty() || text.contains("\"cargo-convoy\"");
    match read_dist(dist, MANIFEST) {
        Ok(Some(text)) if ours(&text) => None,
        Ok(None) => {
            let sums = dist.join(SUMS);
            sums.symlink_metadata().is_ok().then_some(sums)
        }
        _ => Some(dist.join(MANIFEST)),
    }
}

/// A text file of dist; none where it, or dist, is missing.
fn read_dist(dist: &Utf8Path, name: &str) -> io::Result<Option<String>> {
    match UntrustedDir::open(dist) {
        Ok(dir) => dir.read_text(name.into(), SMALL),
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Refuses a dist that holds binaries of another project: this run's manifest would not name them, and so they would be
/// removed. With `keep` they stay, unless this run would write to the place of one (`paths`).
///
/// # Errors
/// There are such binaries.
pub(crate) fn refuse_others(dist: &Utf8Path, owner: &Owner<'_>, keep: bool, paths: &BTreeSet<String>) -> Result<()> {
    let Some(previous) = read_manifest(dist).filter(|previous| !is_of(previous, dist, owner)) else { return Ok(()) };
    let others = previous.artifacts.iter().filter(|row| !owner.packages.contains(&row.package));
    let ours = |row: &ArtifactRow| !keep || row.files().any(|(path, _)| paths.contains(path));
    let Some(other) = others.into_iter().find(|row| ours(row)) else { return Ok(()) };
    let ArtifactRow { package, path, .. } = other;
    let error = Error::work(format!("`{dist}` contains binaries of another project: `{path}` of package `{package}`"));
    Err(error.hint(match keep {
        true => "choose another directory with `--dist-dir`".to_owned(),
        false => "choose another directory with `--dist-dir`, or keep those binaries with `--keep`".to_owned(),
    }))
}

/// Whether all that a manifest names is this project's: it says where the workspace is, unless dist lies outside of that
/// or several projects share it.
fn is_of(manifest: &Manifest, dist: &Utf8Path, owner: &Owner<'_>) -> bool {
    let Some(relative) = &manifest.workspace_root else { return false };
    let same = |a: &Utf8Path, b: &Utf8Path| a.canonicalize_utf8().ok().zip(b.canonicalize_utf8().ok());
    same(&dist.join(relative), owner.workspace_root).is_some_and(|(there, here)| there == here)
}

/// Makes `dist/` and gives a lock on it, which holds as long as the file is open: one run at a time writes here, whatever
/// its project. None where the file system has no such locks.
fn enter(dist: &Utf8Path) -> io::Result<Option<std::fs::File>> {
    fs_err::create_dir_all(dist)?;
    // A directory is a file that can be locked; on Windows it is not.
    let Ok(dir) = std::fs::File::open(dist) else { return Ok(None) };
    match dir.try_lock() {
        Ok(()) => Ok(Some(dir)),
        // The other one only copies and renames: this takes no long time.
        Err(TryLockError::WouldBlock) => Ok(dir.lock().is_ok().then_some(dir)),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Writes this run's files, manifest and checksums; removes what the previous manifest names and this one does not. With
/// `keep` that stays, and its rows too where the files are still those.
///
/// # Errors
/// `dist/` cannot be written to, its directories are symbolic links, it holds another project's binaries, or a file is no
/// longer the one that was verified. Then the files of the previous run are untouched.
pub(crate) fn place(
    dist: &Utf8Path,
    places: &[Place],
    mut manifest: Manifest,
    owner: &Owner<'_>,
    keep: bool,
) -> Result<Placed> {
    let hint = "choose another directory with `--dist-dir`, or make this one writable";
    if dist.exists() && !dist.is_dir() {
        return Err(Error::work(format!("cannot use `{dist}` as the dist directory: it is a file")).hint(hint));
    }
    let fault = |error: io::Error| {
        let full = error.kind() == io::ErrorKind::StorageFull;
        let hint = if full { "free some disk space; the files of the previous run are unchanged" } else { hint };
        Error::work(format!("could not write `{dist}`")).because(error).hint(hint)
    };
    let lock = enter(dist).map_err(fault)?;
    let ours: BTreeSet<String> =
        manifest.artifacts.iter().flat_map(ArtifactRow::files).map(|(path, _)| path.to_owned()).collect();
    refuse_links(dist, ours.iter().map(Utf8Path::new))?;
    // Another project may have written here while this one was built.
    refuse_others(dist, owner, keep, &ours)?;
    let previous = read_manifest(dist);
    let shared = previous.as_ref().is_some_and(|old| !is_of(old, dist, owner));

    let stale: Vec<ArtifactRow> =
        previous.into_iter().flat_map(|old| old.artifacts).filter(|row| !ours.contains(&row.path)).collect();
    if keep {
        manifest.artifacts.extend(stale.iter().filter(|row| is_still_there(dist, row)).cloned());
        if shared && manifest.artifacts.iter().any(|row| !owner.packages.contains(&row.package)) {
            // It is no longer one project's, and the next run is to notice.
            manifest.workspace_root = None;
        }
    }

    remove_leftovers(dist, lock.is_some());
    let json = serde_json::to_string_pretty(&manifest).map_err(io::Error::from)? + "\n";
    let files = manifest.artifacts.iter().flat_map(ArtifactRow::files);
    let sums: String = files.map(|(path, sha256)| format!("{sha256}  {path}\n")).collect();
    let texts = [(MANIFEST, json), (SUMS, sums)];
    let changed: Vec<_> = texts
        .into_iter()
        .filter(|(name, text)| !read_dist(dist, name).is_ok_and(|old| old.as_ref() == Some(text)))
        .collect();
    let fresh: Vec<&Place> = places.iter().filter(|place| !place.up_to_date).collect();
    if !(fresh.is_empty() && changed.is_empty()) {
        replace_files(dist, &fresh, &changed, fault)?;
    }
    let removed = if keep { Vec::new() } else { remove(dist, &stale, &ours) };
    Ok(Placed { manifest, removed })
}

/// Writes binaries and text files beside those that are there, and puts them in their places once all are complete.
fn replace_files(
    dist: &Utf8Path,
    binaries: &[&Place],
    texts: &[(&str, String)],
    fault: impl Fn(io::Error) -> Error,
) -> Result<()> {
    let staging =
        tempfile::Builder::new().prefix(STAGING).rand_bytes(STAGING_RANDOM).tempdir_in(dist).map_err(&fault)?;
    let beside = Utf8PathBuf::from_path_buf(staging.path().to_owned())
        .map_err(|path| Error::work(format!("the path `{}` is not UTF-8", path.display())))?;
    fs_err::write(beside.join(MARKER), "").map_err(&fault)?;
    for (index, place) in binaries.iter().enumerate() {
        stage(place, &beside.join(index.to_string()), &fault)?;
    }
    for (name, text) in texts {
        let mut file = fs_err::File::create(beside.join(name)).map_err(&fault)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(&fault)?;
    }
    // All is complete and on the same disk: from here on there are only renames.
    for (index, place) in binaries.iter().enumerate() {
        let target = dist.join(&place.path);
        if let Some(parent) = target.parent() {
            fs_err::create_dir_all(parent).map_err(&fault)?;
        }
        fs_err::rename(beside.join(index.to_string()), &target).map_err(&fault)?;
    }
    for (name, _) in texts {
        fs_err::rename(beside.join(name), dist.join(name)).map_err(&fault)?;
    }
    Ok(())
}

/// Copies one binary; what was written must be what was verified.
fn stage(place: &Place, to: &Utf8Path, fault: impl Fn(io::Error) -> Error) -> Result<()> {
    let source = place.source.open().map_err(&fault)?;
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // By the user's umask, as cargo's own files. Never what the build gave it: that may be setuid, or closed.
        options.mode(0o755);
    }
    let file = options.open(to).map_err(&fault)?;
    let copied = source.copy_to(&file).map_err(&fault)?;
    file.sync_all().map_err(&fault)?;
    if copied.sha256 != place.sha256 {
        return Err(Error::work(format!("`{}` was modified after it was verified", source.path()))
            .hint("make sure that nothing else builds in this target directory, and build again"));
    }
    Ok(())
}

/// Refuses directories of dist that are links: what they lead to is not convoy's to write to.
fn refuse_links<'a>(dist: &Utf8Path, paths: impl Iterator<Item = &'a Utf8Path>) -> Result<()> {
    let dirs: BTreeSet<&Utf8Path> = paths.filter_map(Utf8Path::parent).collect();
    match dirs.into_iter().map(|dir| dist.join(dir)).find(|dir| dir.symlink_metadata().is_ok_and(|m| !m.is_dir())) {
        Some(dir) => Err(Error::work(format!("cannot use `{dir}`: it is a symbolic link or a file, not a directory"))
            .hint("remove it, or choose another directory with `--dist-dir`")),
        None => Ok(()),
    }
}

fn read_manifest(dist: &Utf8Path) -> Option<Manifest> {
    // A manifest that cannot be read names nothing, so nothing is removed.
    serde_json::from_str(&read_dist(dist, MANIFEST).ok()??).ok()
}

/// Whether the files of a row are those of then.
fn is_still_there(dist: &Utf8Path, row: &ArtifactRow) -> bool {
    row.files().all(|(path, sha256)| is_file(dist, path, sha256))
}

fn is_file(dist: &Utf8Path, path: &str, sha256: &str) -> bool {
    let file = of_row(path).zip(UntrustedDir::open(dist).ok()).and_then(|(path, dir)| dir.file(path, LARGE).ok());
    let copied = file.as_ref().and_then(|file: &PlainFile| file.copy_to(io::sink()).ok());
    copied.is_some_and(|copied| copied.sha256 == sha256)
}

/// The path of a manifest's row, only when it is such as convoy writes, `<target>/<file>`: a manifest may have been written
/// by anybody.
fn of_row(path: &str) -> Option<&Utf8Path> {
    let path = Utf8Path::new(path);
    let parts: Vec<Utf8Component<'_>> = path.components().collect();
    matches!(parts.as_slice(), [Utf8Component::Normal(_), Utf8Component::Normal(_)]).then_some(path)
}

fn remove(dist: &Utf8Path, stale: &[ArtifactRow], ours: &BTreeSet<String>) -> Vec<Utf8PathBuf> {
    let mut removed = Vec::new();
    let files = stale.iter().flat_map(ArtifactRow::files).map(|(path, _)| path).filter(|path| !ours.contains(*path));
    for path in files.filter_map(of_row) {
        let (dir, file) = (dist.join(path.parent().unwrap_or(path)), dist.join(path));
        // Through a link the file would be somebody else's. There are no more than these two names on the way to it.
        let real_dir = dir.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let plain = file.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        if real_dir && plain && fs_err::remove_file(&file).is_ok() {
            // Only an empty directory goes; foreign files keep theirs.
            let _ = fs_err::remove_dir(dir);
            removed.push(file);
        }
    }
    removed
}

#[cfg(test)]
mod tests;
