//! `cargo convoy cache`: what convoy keeps outside the project.

mod clean;
mod verify;

use crate::cli::JsonArgs;
use camino::{Utf8Path, Utf8PathBuf};
use clap::Subcommand;

use crate::command::{print_json, say};
use crate::machine::{CacheDir, ROOMS};
use crate::report::table::size_text;
use crate::report::{CacheEntry, CacheReport};
use crate::util::error::{Exit, Result};

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List the contents of the cache
    List(JsonArgs),
    /// Remove the contents of the cache (a dry run unless --force is given)
    Clean {
        /// Remove the files instead of only listing them
        #[arg(long)]
        force: bool,
    },
    /// Check the integrity of zig, packages and sysroots in the cache
    Verify(JsonArgs),
}

pub(super) fn cache(command: &CacheCommand) -> Result<Exit> {
    let cache = CacheDir::find()?;
    match command {
        CacheCommand::List(args) => {
            let entries = entries(cache.root())?;
            if args.json {
                let root = cache.root().to_string();
                print_json(&CacheReport { schema: 1, kind: "cache".to_owned(), root, entries })?;
            } else {
                say(&listing(cache.root(), &entries));
            }
            Ok(Exit::Success)
        }
        CacheCommand::Clean { force: false } => {
            let entries = entries(cache.root())?;
            say(&listing(cache.root(), &entries));
            if !entries.is_empty() {
                say("nothing was removed; pass `--force` to remove all of these\n");
            }
            Ok(Exit::Success)
        }
        CacheCommand::Clean { force: true } => clean::clean(&cache),
        CacheCommand::Verify(args) => verify::verify(&cache, args.json),
    }
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
    for (name, room) in rooms(root) {
        // Hundreds of files, of which none is of interest by itself.
        if name == "debs" {
            let bytes = in_room(&room)?.iter().map(|path| size(path)).sum();
            if bytes > 0 {
                entries.push(CacheEntry { room: name.to_owned(), name: String::new(), bytes });
            }
            continue;
        }
        entries.extend(in_room(&room)?.into_iter().map(|path| CacheEntry {
            room: name.to_owned(),
            name: path.file_name().unwrap_or_default().to_owned(),
            bytes: size(&path),
        }));
    }
    entries.sort_by(|a, b| (&a.room, &a.name).cmp(&(&b.room, &b.name)));
    Ok(entries)
}

/// The rooms that are there. A link to another directory is none: what is there is not convoy's.
fn rooms(root: &Utf8Path) -> impl Iterator<Item = (&'static str, Utf8PathBuf)> {
    let rooms = ROOMS.map(|name| (name, root.join(name))).into_iter();
    rooms.filter(|(_, room)| room.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()))
}

/// What is in a room; its lock stays, as another run may wait for it.
fn in_room(room: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let entries = room.read_dir_utf8()?.filter_map(std::result::Result::ok);
    Ok(entries.filter(|entry| entry.file_name() != LOCK).map(camino::Utf8DirEntry::into_path).collect())
}

const LOCK: &str = ".lock";

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
