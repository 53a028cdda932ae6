//! `cargo convoy cache`: what convoy keeps outside the project.

use camino::{Utf8Path, Utf8PathBuf};

use crate::cli::CacheCommand;
use crate::command::{print_json, say};
use crate::error::{Error, Exit, Result};
use crate::host::CacheDir;
use crate::report::table::size_text;
use crate::report::{CacheEntry, CacheReport};

pub(super) fn cache(command: &CacheCommand) -> Result<Exit> {
    let cache = CacheDir::find()?;
    let entries = entries(cache.root())?;
    match command {
        CacheCommand::List(args) if args.json => {
            let root = cache.root().to_string();
            print_json(&CacheReport { schema: 1, kind: "cache".to_owned(), root, entries })?;
        }
        CacheCommand::List(_) => say(&listing(cache.root(), &entries)),
        CacheCommand::Clean { force: false } => {
            say(&listing(cache.root(), &entries));
            if !entries.is_empty() {
                say("nothing was removed: add --force to remove all of this\n");
            }
        }
        CacheCommand::Clean { force: true } => {
            // Only a folder that carries our own tag is ours to remove.
            if cache.root().exists() {
                if !cache.root().join("CACHEDIR.TAG").is_file() {
                    return Err(Error::work(format!("`{}` carries no CACHEDIR.TAG of convoy", cache.root()))
                        .hint("is CONVOY_CACHE_DIR right? Nothing was removed"));
                }
                for entry in &entries {
                    let room = cache.root().join(&entry.room);
                    match entry.name.as_str() {
                        "" => in_room(&room)?.iter().try_for_each(|path| remove(path))?,
                        name => remove(&room.join(name))?,
                    }
                }
            }
            let total: u64 = entries.iter().map(|entry| entry.bytes).sum();
            say(&format!("removed {} entries, {}\n", entries.len(), size_text(total)));
        }
    }
    Ok(Exit::Success)
}

fn listing(root: &Utf8Path, entries: &[CacheEntry]) -> String {
    let mut text = format!("{root}\n");
    if entries.is_empty() {
        text.push_str("  empty\n");
    }
    for entry in entries {
        text.push_str(&format!("  {}/{}  {}\n", entry.room, entry.name, size_text(entry.bytes)));
    }
    text
}

fn entries(root: &Utf8Path) -> Result<Vec<CacheEntry>> {
    let mut entries = Vec::new();
    if !root.exists() {
        return Ok(entries);
    }
    for room in root.read_dir_utf8()?.filter_map(std::result::Result::ok).filter(|room| room.path().is_dir()) {
        // Hundreds of files, of which none is of interest by itself.
        if room.file_name() == "debs" {
            let bytes = in_room(room.path())?.iter().map(|path| size(path)).sum();
            if bytes > 0 {
                entries.push(CacheEntry { room: "debs".to_owned(), name: String::new(), bytes });
            }
            continue;
        }
        for path in in_room(room.path())? {
            entries.push(CacheEntry {
                room: room.file_name().to_owned(),
                name: path.file_name().unwrap_or_default().to_owned(),
                bytes: size(&path),
            });
        }
    }
    entries.sort_by(|a, b| (&a.room, &a.name).cmp(&(&b.room, &b.name)));
    Ok(entries)
}

/// What is in a room; its lock stays, as another run may hold it.
fn in_room(room: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let entries = room.read_dir_utf8()?.filter_map(std::result::Result::ok);
    Ok(entries.filter(|entry| entry.file_name() != ".lock").map(camino::Utf8DirEntry::into_path).collect())
}

fn remove(path: &Utf8Path) -> Result<()> {
    if path.is_dir() && !path.is_symlink() {
        fs_err::remove_dir_all(path)?;
    } else {
        fs_err::remove_file(path)?;
    }
    Ok(())
}

fn size(path: &Utf8Path) -> u64 {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => path
            .read_dir_utf8()
            .map(|dir| dir.filter_map(std::result::Result::ok).map(|entry| size(entry.path())).sum())
            .unwrap_or(0),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    }
}
