//! Files of this machine as an archive for a volume: listed, compared with what was sent before, written as a tar.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::plan::container::{Part, Tree};
use crate::util::error::{Error, Result};
use crate::util::files;

/// What folders that are caches have in them, and what that file begins with: <https://bford.info/cachedir/>.
const CACHE_TAG: (&str, &[u8]) = ("CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55");

/// A folder, file or link of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    kind: Kind,
    /// Its permissions.
    mode: u32,
    from: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    File { bytes: u64, modified: u128, changed: i128 },
    Link(PathBuf),
}

/// What is at the paths of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    items: BTreeMap<String, Item>,
    /// How many files have names that cannot be told in a line of text, and are left out.
    pub odd: usize,
}

/// What a listing was when it was sent, by path.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Sent(BTreeMap<String, String>);

/// What differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// What is no longer there, without what is in a folder that is gone.
    pub gone: Vec<String>,
    /// What is new or another.
    pub new: Vec<String>,
}

impl Listing {
    /// Looks at the files of a tree.
    pub(crate) fn of(tree: &Tree) -> Result<Self> {
        let mut listing = Self::default();
        for part in &tree.parts {
            let from = part.from.as_std_path();
            // Links are followed here, as what they lead to may not be there inside.
            let metadata = match from.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::work(format!("could not read `{}`", part.from)).because(error)),
            };
            listing.forget(&part.at);
            listing.add_folders_above(&part.at);
            if metadata.is_dir() {
                if !part.at.as_str().is_empty() {
                    listing.add(part.at.as_str().to_owned(), from, &metadata)?;
                }
                let real = fs_err::canonicalize(from)?;
                listing.add_folder(part, from, &real, part.at.as_str())?;
            } else {
                listing.add(part.at.as_str().to_owned(), from, &metadata)?;
            }
        }
        for place in &tree.places {
            listing.add_folders_above(place);
            listing.items.entry(place.to_string()).or_insert_with(Item::folder);
        }
        Ok(listing)
    }

    /// What is at a path gives way to what is to be there.
    fn forget(&mut self, at: &Utf8Path) {
        let within = format!("{at}/");
        self.items.retain(|path, _| path != at.as_str() && !path.starts_with(&within));
    }

    fn add_folders_above(&mut self, at: &Utf8Path) {
        for above in at.ancestors().skip(1).filter(|above| !above.as_str().is_empty()) {
            self.items.entry(above.to_string()).or_insert_with(Item::folder);
        }
    }

    /// `shown` is where the folder is by its name, `real` where it is.
    fn add_folder(&mut self, part: &Part, shown: &Path, real: &Path, at: &str) -> Result<()> {
        for entry in fs_err::read_dir(real)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.contains('\n')) else {
                self.odd += 1;
                continue;
            };
            let (shown, real) = (shown.join(name), entry.path());
            let skipped = |path: &Path| Utf8Path::from_path(path).is_some_and(|path| part.skip.contains(path));
            if skipped(&shown) || skipped(&real) {
                continue;
            }
            let metadata = match fs_err::symlink_metadata(&real) {
                Ok(metadata) => metadata,
                // Gone in this moment.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            if part.skip_caches && metadata.is_dir() && is_cache(&real) {
                continue;
            }
            let path = if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
            self.add(path.clone(), &real, &metadata)?;
            if metadata.is_dir() {
                self.add_folder(part, &shown, &real, &path)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, from: &Path, metadata: &std::fs::Metadata) -> Result<()> {
        let kind = if metadata.is_dir() {
            Kind::Folder
        } else if metadata.is_symlink() {
            Kind::Link(fs_err::read_link(from)?)
        } else if metadata.is_file() {
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let modified = modified.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
            Kind::File { bytes: metadata.len(), modified, changed: changed(metadata) }
        } else {
            // A socket or a pipe means nothing on another machine.
            return Ok(());
        };
        self.items.insert(path, Item { kind, mode: mode(metadata), from: from.to_owned() });
        Ok(())
    }

    /// The bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.items.values().map(Item::bytes).sum()
    }

    /// What tells it from others by names and sizes, and by the times of files where these say more.
    pub(crate) fn digest(&self, times: bool) -> String {
        let mut text = String::new();
        for (path, item) in &self.items {
            text.push_str(&format!("{path}\0{}\0", if times { item.seen_by_its_time() } else { item.seen_anywhere() }));
        }
        files::sha256(text)
    }

    /// As it is remembered once it is sent.
    pub(crate) fn sent(&self) -> Sent {
        Sent(self.items.iter().map(|(path, item)| (path.clone(), item.seen())).collect())
    }

    /// What differs from what was sent before.
    pub(crate) fn changes(&self, before: &Sent) -> Changes {
        let mut changes = Changes::default();
        let is_folder = |seen: &str| seen.starts_with('d');
        for (path, seen) in &before.0 {
            // A folder in a file's place, and the other way round, is first taken away.
            let now = self.items.get(path).map(Item::seen);
            let gives_way = now.as_ref().is_none_or(|now| is_folder(now) != is_folder(seen));
            let above = |gone: &&String| path.strip_prefix(gone.as_str()).is_some_and(|rest| rest.starts_with('/'));
            if gives_way && changes.gone.last().filter(above).is_none() {
                changes.gone.push(path.clone());
            }
        }
        let differs = |path: &String, item: &Item| before.0.get(path).is_none_or(|seen| *seen != item.seen());
        changes.new =
            self.items.iter().filter(|(path, item)| differs(path, item)).map(|(path, _)| path.clone()).collect();
        changes
    }

    /// The bytes of these files.
    pub(crate) fn bytes_of(&self, paths: &[String]) -> u64 {
        paths.iter().filter_map(|path| self.items.get(path)).map(Item::bytes).sum()
    }

    /// Writes these paths into an archive, each below `prefix`. Files belong to `owner` there; what is for everybody may
    /// be read by everybody.
    pub(crate) fn write(
        &self,
        paths: &[String],
        prefix: &str,
        owner: (u32, u32),
        for_everybody: bool,
        archive: &mut tar::Builder<impl Write>,
    ) -> io::Result<()> {
        for (path, item) in paths.iter().filter_map(|path| Some((path, self.items.get(path)?))) {
            let mode =
                if for_everybody { item.mode | 0o444 | ((item.mode & 0o100) / 0o100 * 0o111) } else { item.mode };
            let mut header = tar::Header::new_gnu();
            header.set_mode(mode);
            header.set_uid(owner.0.into());
            header.set_gid(owner.1.into());
            // The engine's clock says when it came: cargo compares times of sources with those of what was built there.
            header.set_mtime(0);
            let path = format!("{prefix}/{path}");
            match &item.kind {
                Kind::Folder => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_size(0);
                    archive.append_data(&mut header, &path, io::empty())?;
                }
                Kind::Link(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    archive.append_link(&mut header, &path, target)?;
                }
                Kind::File { bytes, .. } => {
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_size(*bytes);
                    let file = match std::fs::File::open(&item.from) {
                        Ok(file) => file,
                        // Gone in this moment; the next run sees that. Nobody looks again at what serves everybody.
                        Err(error) if error.kind() == io::ErrorKind::NotFound && !for_everybody => continue,
                        Err(error) => {
                            return Err(io::Error::new(error.kind(), format!("{}: {error}", item.from.display())));
                        }
                    };
                    // One that changes in this moment is sent again by the next run; the archive must stay whole.
                    archive.append_data(&mut header, &path, file.chain(io::repeat(0)).take(*bytes))?;
                }
            }
        }
        Ok(())
    }

    /// All its paths.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.items.keys().cloned().collect()
    }
}

impl Item {
    fn folder() -> Self {
        Self { kind: Kind::Folder, mode: 0o755, from: PathBuf::new() }
    }

    fn bytes(&self) -> u64 {
        match self.kind {
            Kind::File { bytes, .. } => bytes,
            Kind::Folder | Kind::Link(_) => 0,
        }
    }

    /// What shows that it changed. Who writes a file can set its time as they like, but not when that was done.
    fn seen(&self) -> String {
        match &self.kind {
            Kind::File { changed, .. } => format!("{} {changed}", self.seen_by_its_time()),
            Kind::Folder | Kind::Link(_) => self.seen_by_its_time(),
        }
    }

    /// What shows that it is another.
    fn seen_by_its_time(&self) -> String {
        match &self.kind {
            Kind::File { modified, .. } => format!("{} {modified}", self.seen_anywhere()),
            Kind::Folder | Kind::Link(_) => self.seen_anywhere(),
        }
    }

    /// The same, as it is on any machine.
    fn seen_anywhere(&self) -> String {
        match &self.kind {
            Kind::Folder => format!("d{:o}", self.mode),
            Kind::File { bytes, .. } => format!("f{:o} {bytes}", self.mode),
            Kind::Link(target) => format!("l{}", target.to_string_lossy()),
        }
    }
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o777
}

/// When the file or what is known of it was last changed.
#[cfg(unix)]
fn changed(metadata: &std::fs::Metadata) -> i128 {
    use std::os::unix::fs::MetadataExt as _;
    i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn changed(_: &std::fs::Metadata) -> i128 {
    0
}

/// Nothing tells there what is a program.
#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata) -> u32 {
    0o755
}

/// Whether a folder says of itself that it is a cache.
fn is_cache(dir: &Path) -> bool {
    let (name, signature) = CACHE_TAG;
    let mut start = vec![0; signature.len()];
    let read = std::fs::File::open(dir.join(name)).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == signature
}

/// Whether what is in a folder is more than this many bytes, without looking further than that.
pub(crate) fn is_larger(dir: &Utf8Path, limit: u64) -> bool {
    let mut open: Vec<Utf8PathBuf> = vec![dir.to_owned()];
    let mut bytes = 0;
    while let Some(dir) = open.pop() {
        // What cannot be read is told by whoever sends it.
        for entry in dir.read_dir_utf8().into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => open.push(entry.into_path()),
                Ok(metadata) => bytes += metadata.len(),
                Err(_) => {}
            }
            if bytes > limit {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn dir() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().canonicalize_utf8().unwrap();
        (dir, path)
    }

    fn write(path: &Utf8Path, text: &str) {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    #[test]
    fn what_is_built_and_what_is_a_cache_is_left_out_and_what_is_wanted_is_not() {
        let (_dir, dir) = dir();
        for file in ["src/main.rs", "target/debug/x", "target/convoy/tools/cell/cc", "other/target/y", ".git/HEAD"] {
            write(&dir.join(file), "x");
        }
        write(&dir.join("other/target/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n# x\n");
        write(&dir.join("bad\nname"), "x");
        let tools = dir.join("target/convoy/tools/cell");
        let own = Part { from: dir.clone(), skip: [dir.join("target")].into(), skip_caches: true, ..Part::default() };
        let wanted = Part { at: "target/convoy/tools/cell".into(), from: tools, ..Part::default() };
        let masked = Part { at: "src/main.rs".into(), from: dir.join(".git/HEAD"), ..Part::default() };
        let tree = Tree { parts: vec![own, wanted, masked], places: ["target/convoy/lane".into()].into() };
        let listing = Listing::of(&tree).unwrap();
        let paths = listing.paths().join(" ");
        assert_eq!(
            paths,
            ".git .git/HEAD other src src/main.rs target target/convoy target/convoy/lane target/convoy/tools \
             target/convoy/tools/cell target/convoy/tools/cell/cc"
        );
        assert_eq!(listing.odd, 1);
        assert_eq!(listing.items["src/main.rs"].from, dir.join(".git/HEAD").as_std_path());
    }

    #[test]
    fn only_what_changed_is_sent_again() {
        let (_dir, dir) = dir();
        for file in ["a", "b/c", "b/d", "e/f/g"] {
            write(&dir.join(file), "x");
        }
        let tree = Tree::whole(&dir);
        let before = Listing::of(&tree).unwrap();
        assert_eq!(before.changes(&Sent::default()).new.len(), 7);
        assert_eq!(before.changes(&before.sent()), Changes::default());
        write(&dir.join("b/c"), "longer");
        fs_err::remove_dir_all(dir.join("e")).unwrap();
        write(&dir.join("h"), "x");
        fs_err::remove_file(dir.join("a")).unwrap();
        write(&dir.join("a/now-a-folder"), "x");
        let now = Listing::of(&tree).unwrap();
        let changes = now.changes(&before.sent());
        assert_eq!(changes.gone, ["a", "e"]);
        assert_eq!(changes.new, ["a", "a/now-a-folder", "b/c", "h"]);
        assert_eq!(now.bytes_of(&changes.new), 8);
        // Kept things are told apart by what is in them, not by when it came.
        assert_eq!(now.digest(false), Listing::of(&tree).unwrap().digest(false));
        fs_err::File::options()
            .append(true)
            .open(dir.join("h"))
            .unwrap()
            .file()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();
        let later = Listing::of(&tree).unwrap();
        assert_eq!(now.digest(false), later.digest(false));
        assert_ne!(now.digest(true), later.digest(true));
        assert_eq!(later.changes(&now.sent()).new, ["h"]);
    }

    #[test]
    fn an_archive_holds_what_is_asked_for() {
        let (_dir, dir) = dir();
        write(&dir.join("x/private"), "secret");
        fs_err::set_permissions(dir.join("x/private"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        fs_err::os::unix::fs::symlink("private", dir.join("x/link")).unwrap();
        let long = format!("x/{}/file", "long".repeat(40));
        write(&dir.join(&long), "y");
        let listing = Listing::of(&Tree::whole(&dir)).unwrap();
        let read = |for_everybody| {
            let mut builder = tar::Builder::new(Vec::new());
            listing.write(&listing.paths(), "3", (7, 8), for_everybody, &mut builder).unwrap();
            let bytes = builder.into_inner().unwrap();
            let mut archive = tar::Archive::new(bytes.as_slice());
            let entries = archive.entries().unwrap().map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let path = entry.path().unwrap().to_string_lossy().into_owned();
                (path, header.mode().unwrap(), header.uid().unwrap(), entry.size())
            });
            entries.collect::<Vec<_>>()
        };
        let own = read(false);
        assert!(own.contains(&("3/x/private".to_owned(), 0o700, 7, 6)), "{own:?}");
        assert!(own.iter().any(|(path, ..)| *path == format!("3/{long}")), "{own:?}");
        assert!(read(true).contains(&("3/x/private".to_owned(), 0o755, 7, 6)));
    }
}
