//! What an unpacked sysroot holds, file by file: written down when it is unpacked, and compared by `cache verify`. The list
//! is in the same cache: it tells of damage, and not of somebody who can write there.

use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::{BEGUN, MADE_FROM, ROOM, USED, fetch, home};
use crate::machine::CacheDir;
use crate::project::lock::{ConvoyLock, is_digest};
use crate::util::error::Result;
use crate::util::files::Checked;
use crate::util::files::{self, Entry, LARGE, PlainFile, SMALL, UntrustedDir};

/// The list of a sysroot, beside its tree.
const LIST: &str = "contents.json";

/// Lists what was unpacked into a directory.
pub(super) fn write(dir: &Utf8Path) -> io::Result<()> {
    let entries = files::entries(dir)?;
    fs_err::write(dir.join(LIST), serde_json::to_vec(&entries)?)
}

/// Reads every file of every sysroot in the cache, by the names of their directories.
pub fn verify_sysroots(cache: &CacheDir) -> Result<Vec<(String, Checked)>> {
    let mut all = Vec::new();
    for dir in directories(&cache.root().join(ROOM))? {
        let name = dir.file_name().unwrap_or_default().to_owned();
        all.push((name, check(&dir).unwrap_or_else(Checked::unreadable)));
    }
    Ok(all)
}

fn directories(room: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let entries = match room.read_dir_utf8() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let dirs = entries.flatten().filter(|entry| !entry.file_name().starts_with(BEGUN) && entry.path().is_dir());
    let mut dirs: Vec<Utf8PathBuf> = dirs.map(camino::Utf8DirEntry::into_path).collect();
    dirs.sort();
    Ok(dirs)
}

fn check(dir: &Utf8Path) -> Result<Checked, String> {
    let output = |error: io::Error| error.to_string();
    let files = UntrustedDir::open(dir).map_err(output)?;
    let made = files.read_text(MADE_FROM.into(), SMALL).map_err(output)?;
    let made = ConvoyLock::parse(&made.ok_or_else(|| format!("`{MADE_FROM}` is missing"))?, MADE_FROM);
    let made = made.map_err(|error| error.to_string())?;
    let [locked] = made.sysroots() else { return Err(format!("`{MADE_FROM}` does not describe exactly one sysroot")) };
    if home("".into(), &locked.key, &locked.digest()).file_name() != dir.file_name() {
        return Err(format!("`{MADE_FROM}` does not match the name of the directory"));
    }
    let list = files.read_text(LIST.into(), LARGE).map_err(output)?;
    let list = list.ok_or_else(|| format!("`{LIST}` is missing (unpacked by an older version of convoy)"))?;
    let wanted: BTreeMap<String, Entry> =
        serde_json::from_str(&list).map_err(|error| format!("could not read `{LIST}`: {error}"))?;
    let mut found = files::entries(dir).map_err(output)?;
    found.retain(|path, _| ![MADE_FROM, USED, LIST].contains(&path.as_str()));
    Ok(Checked::of(&wanted, &found))
}

/// Reads every package file in the cache, each of which is named by its digest; none where there are none.
pub fn verify_packages(cache: &CacheDir) -> Result<Option<Checked>> {
    let debs = fetch::Debs::of(cache);
    let mut checked = Checked::default();
    let mut files = match debs.dir().read_dir_utf8() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?.flatten().map(camino::Utf8DirEntry::into_path).collect::<Vec<_>>(),
    };
    files.sort();
    for file in files {
        let Some(digest) = file.file_name().and_then(|name| name.strip_suffix(".deb")) else { continue };
        checked.files += 1;
        match PlainFile::open(&file, LARGE).and_then(|file| file.copy_to(io::sink())) {
            Ok(copied) if is_digest(digest) && copied.sha256 == digest => checked.bytes += copied.size,
            Ok(_) => checked.faults.push(format!("`{digest}.deb` has different contents")),
            Err(error) => checked.faults.push(error.to_string()),
        }
    }
    Ok(Some(checked).filter(|checked| checked.files > 0))
}
