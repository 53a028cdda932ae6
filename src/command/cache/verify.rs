//! `cargo convoy cache verify`: everything in the cache that programs are started from or linked with, read and held against
//! what it ought to be.

use crate::command::{print_json, say};
use crate::machine::CacheDir;
use crate::machine::zig;
use crate::model::zig as pinned;
use crate::provision::sysroot;
use crate::report::table::size_text;
use crate::report::{CacheVerifyReport, VerifiedEntry};
use crate::util::error::{Error, Exit, Result};
use crate::util::files::Checked;

pub(super) fn verify(cache: &CacheDir, json: bool) -> Result<Exit> {
    let mut entries = Vec::new();
    entries.extend(zig::verify(cache).map(|checked| entry("zig", pinned::version().to_owned(), checked)));
    entries.extend(sysroot::verify_packages(cache)?.map(|checked| entry("debs", String::new(), checked)));
    let sysroots = sysroot::verify_sysroots(cache)?;
    entries.extend(sysroots.into_iter().map(|(name, checked)| entry("sysroots", name, checked)));
    let differing = entries.iter().filter(|entry| !entry.verified).count();
    let total = entries.len();
    if json {
        let root = cache.root().to_string();
        print_json(&CacheVerifyReport { schema: 1, kind: "cache-verify".to_owned(), root, entries })?;
    } else {
        say(&format!("{}\n", cache.root()));
        entries.iter().for_each(|entry| say(&line(entry)));
    }
    if differing == 0 {
        return Ok(Exit::Success);
    }
    Err(Error::work(format!("{differing} of {total} cache entries are damaged"))
        .hint("run `cargo convoy cache clean --force`; the next build downloads what it needs again"))
}

fn entry(room: &str, name: String, checked: Checked) -> VerifiedEntry {
    let Checked { files, bytes, faults } = checked;
    VerifiedEntry { room: room.to_owned(), name, files, bytes, verified: faults.is_empty(), faults }
}

fn line(entry: &VerifiedEntry) -> String {
    const SHOWN: usize = 5;
    let VerifiedEntry { room, name, files, bytes, faults, .. } = entry;
    let name = if name.is_empty() { room.clone() } else { format!("{room}/{name}") };
    if faults.is_empty() {
        return format!("  {name}  {files} files, {}: ok\n", size_text(*bytes));
    }
    let mut text = format!("  {name}  damaged\n");
    faults.iter().take(SHOWN).for_each(|fault| text += &format!("    {fault}\n"));
    if faults.len() > SHOWN {
        text += &format!("    and {} more\n", faults.len() - SHOWN);
    }
    text
}
