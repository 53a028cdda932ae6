//! `cargo convoy cache`: what convoy keeps outside the project.

use camino::Utf8Path;

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
                    let path = cache.root().join(&entry.room).join(&entry.name);
                    if path.is_dir() && !path.is_symlink() {
                        fs_err::remove_dir_all(&path)?;
                    } else {
                        fs_err::remove_file(&path)?;
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
        for entry in room.path().read_dir_utf8()?.filter_map(std::result::Result::ok) {
            // Locks stay: another run may hold one.
            if entry.file_name() == ".lock" {
                continue;
            }
            entries.push(CacheEntry {
                room: room.file_name().to_owned(),
                name: entry.file_name().to_owned(),
                bytes: size(entry.path()),
            });
        }
    }
    entries.sort_by(|a, b| (&a.room, &a.name).cmp(&(&b.room, &b.name)));
    Ok(entries)
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
