//! The tool's own cache directory: everything convoy keeps outside the project.

use std::fs::File;
use std::sync::{Arc, OnceLock};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::util::error::{Error, Result};
use crate::util::files;

/// The directory, with its layout version: `CONVOY_CACHE_DIR`, else the platform's cache directory + `cargo-convoy`, then
/// `v1`.
#[derive(Clone, Debug)]
pub struct CacheDir {
    root: Utf8PathBuf,
    /// Locked by every process that uses the cache; none where the file system has no locks.
    in_use: Arc<OnceLock<Option<File>>>,
}

/// The rooms of the cache. Nothing else in it is ever removed.
pub(crate) const ROOMS: [&str; 13] = [
    "apt", "darwin", "debs", "engines", "evidence", "libcxx", "mingw", "plans", "probes", "runs", "sysroots",
    "windows", "zig",
];

const TAG_NAME: &str = "CACHEDIR.TAG";
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55
# This file is a cache directory tag created by cargo-convoy.
# For information about cache directory tags see https://bford.info/cachedir/
";
const IN_USE: &str = ".in-use";

impl CacheDir {
    /// Finds the directory; creates nothing.
    ///
    /// # Errors
    /// What is in it may be somebody else's: it belongs to another user, others can write to it, or it is a directory with
    /// files that convoy did not create. Programs of the cache are started, so nothing of it would be used then.
    pub fn find() -> Result<Self> {
        let base = match std::env::var("CONVOY_CACHE_DIR").ok().filter(|dir| !dir.is_empty()) {
            Some(dir) => std::path::absolute(dir)?,
            None => {
                use etcetera::BaseStrategy;
                let strategy = etcetera::choose_base_strategy().map_err(|error| {
                    Error::work("could not determine the cache directory").because(error).hint("set `CONVOY_CACHE_DIR`")
                })?;
                strategy.cache_dir().join("cargo-convoy")
            }
        };
        let base = Utf8PathBuf::from_path_buf(base).map_err(|path| {
            Error::work(format!("the path of the cache directory is not UTF-8: `{}`", path.display()))
                .hint("set `CONVOY_CACHE_DIR`")
        })?;
        let cache = Self::at(&base.join("v1"));
        for dir in [&base, &cache.root] {
            owner::check(dir)?;
        }
        if cache.is_foreign() {
            return Err(cache.foreign());
        }
        if cache.root.is_dir() {
            cache.hold();
        }
        Ok(cache)
    }

    /// One anywhere.
    pub fn at(root: &Utf8Path) -> Self {
        Self { root: root.to_owned(), in_use: Arc::default() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// A room of the cache (`zig`, `probes`, …); created, as is the cache, where it is missing.
    ///
    /// # Errors
    /// It cannot be created, or the cache's directory is not convoy's.
    pub fn room(&self, name: &str) -> Result<Utf8PathBuf> {
        debug_assert!(ROOMS.contains(&name), "the cache directory {name} is not in the list that `cache clean` uses");
        if !self.is_ours() {
            self.create()?;
        }
        self.hold();
        let room = self.root.join(name);
        fs_err::create_dir_all(&room)?;
        Ok(room)
    }

    /// Whether no other process uses the cache; from now on, others wait until this one ends. Where the file system has no
    /// locks, nobody knows, and nobody is taken to use it.
    pub fn is_free(&self) -> bool {
        self.hold().is_none_or(|file| !matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
    }

    /// Keeps `cache clean` of another process away for as long as this process runs.
    fn hold(&self) -> Option<&File> {
        let lock = || {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(self.root.join(IN_USE));
            // A cache that cannot be written, or on a file system without locks, is used without.
            file.ok().filter(|file| file.lock_shared().is_ok())
        };
        self.in_use.get_or_init(lock).as_ref()
    }

    /// Whether it has convoy's tag.
    fn is_ours(&self) -> bool {
        let tag = files::PlainFile::open(&self.root.join(TAG_NAME), 4096).and_then(|file| file.read_text());
        tag.is_ok_and(|text| text == TAG)
    }

    /// Whether something is in it that convoy did not create.
    fn is_foreign(&self) -> bool {
        let empty = |mut entries: camino::ReadDirUtf8| entries.next().is_none();
        // In this order: another process may put the directory there between the two, and then it has the tag.
        self.root.read_dir_utf8().is_ok_and(|entries| !empty(entries)) && !self.is_ours()
    }

    fn foreign(&self) -> Error {
        Error::work(format!("`{}` is not empty and has no {TAG_NAME} written by convoy", self.root))
            .hint("set `CONVOY_CACHE_DIR` to an empty directory, or to one that convoy created")
    }

    /// Creates the directory, closed to other users, and with the tag from the start.
    fn create(&self) -> Result<()> {
        let base = self.root.parent().unwrap_or(&self.root);
        if !base.is_dir() {
            create_private(base)?;
        }
        if self.is_foreign() {
            return Err(self.foreign());
        }
        let mut made = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            made.permissions(std::fs::Permissions::from_mode(0o700));
        }
        let made = made.prefix(".v1-").tempdir_in(base)?;
        fs_err::write(made.path().join(TAG_NAME), TAG)?;
        // An empty directory is replaced. Where another process came first, its tag is there.
        if let Err(error) = fs_err::rename(made.path(), &self.root) {
            if self.is_foreign() {
                return Err(self.foreign());
            }
            if !self.is_ours() {
                // Windows replaces no directory.
                fs_err::write(self.root.join(TAG_NAME), TAG).map_err(|_| error)?;
            }
        }
        Ok(())
    }

    /// A remembered value; none when absent or unreadable, as a cache may always be empty.
    pub fn recall<T: DeserializeOwned>(&self, room: &str, key: &str) -> Option<T> {
        let text = fs_err::read(self.root.join(room).join(format!("{key}.json"))).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Remembers a value.
    pub fn remember<T: Serialize>(&self, room: &str, key: &str, value: &T) -> Result<()> {
        let room = self.room(room)?;
        let text = serde_json::to_vec(value).map_err(std::io::Error::from)?;
        files::replace(&room.join(format!("{key}.json")), text)
    }
}

/// Creates a directory that only its owner can look into; those above it as any other.
fn create_private(dir: &Utf8Path) -> Result<()> {
    if let Some(above) = dir.parent() {
        fs_err::create_dir_all(above)?;
    }
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    match builder.create(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Error::work(format!("could not create the cache directory `{dir}`")).because(error))
        }
        _ => Ok(()),
    }
}

/// Whose the cache may be: as with ssh and git, nobody else may be able to put files there that are then trusted.
mod owner {
    use camino::Utf8Path;

    use crate::util::error::{Error, Result};

    #[cfg(not(unix))]
    pub(super) fn check(_: &Utf8Path) -> Result<()> {
        Ok(())
    }

    #[cfg(unix)]
    pub(super) fn check(dir: &Utf8Path) -> Result<()> {
        use std::os::unix::fs::MetadataExt as _;
        // Where there is none, nothing is taken from it.
        let Ok(metadata) = dir.metadata() else { return Ok(()) };
        let user = rustix::process::geteuid().as_raw();
        // For root, sudo and doas tell who called.
        let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
        let invoker = number("SUDO_UID").filter(|_| user == 0);
        match distrust(metadata.uid(), metadata.mode(), user, invoker) {
            None => Ok(()),
            Some(Distrust::Owner) => {
                let message =
                    format!("the cache directory `{dir}` belongs to another user (user id {})", metadata.uid());
                Err(Error::work(message).hint("set `CONVOY_CACHE_DIR` to a directory that belongs to you"))
            }
            Some(Distrust::Mode) => Err(Error::work(format!("other users can write to the cache directory `{dir}`"))
                .hint(format!(
                    "set `CONVOY_CACHE_DIR` to a directory that only you can write to, or, if nobody else has put \
                     files there, run `chmod go-w {dir}`"
                ))),
        }
    }

    #[cfg(unix)]
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Distrust {
        Owner,
        Mode,
    }

    /// Why a user must not trust a directory. root can do everything anyway, so that its directories are as good as one's own.
    #[cfg(unix)]
    fn distrust(owner: u32, mode: u32, user: u32, invoker: Option<u32>) -> Option<Distrust> {
        if owner != user && owner != 0 && Some(owner) != invoker {
            return Some(Distrust::Owner);
        }
        (mode & 0o022 != 0).then_some(Distrust::Mode)
    }

    #[cfg(all(test, unix))]
    mod tests {
        use super::*;

        #[test]
        fn only_what_nobody_else_can_write_to_is_trusted() {
            for (owner, mode, user, invoker, expected) in [
                (1000, 0o755, 1000, None, None),
                (0, 0o755, 1000, None, None),
                (1000, 0o700, 0, Some(1000), None),
                (1000, 0o700, 0, None, Some(Distrust::Owner)),
                (1000, 0o700, 0, Some(1001), Some(Distrust::Owner)),
                (1001, 0o755, 1000, None, Some(Distrust::Owner)),
                (1000, 0o775, 1000, None, Some(Distrust::Mode)),
                (1000, 0o1777, 1000, None, Some(Distrust::Mode)),
                (0, 0o1777, 1000, None, Some(Distrust::Mode)),
            ] {
                assert_eq!(distrust(owner, mode, user, invoker), expected, "{owner} {mode:o} {user} {invoker:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_convoy_created_or_found_empty_is_tagged() {
        let held = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(held.path()).unwrap();
        let cache = CacheDir::at(&dir.join("new/v1"));
        cache.room("zig").unwrap();
        assert!(cache.is_ours());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Utf8Path| path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!([mode(&dir.join("new")), mode(cache.root())], [0o700, 0o700]);
        }
        let empty = CacheDir::at(&dir.join("empty"));
        fs_err::create_dir(empty.root()).unwrap();
        empty.room("zig").unwrap();
        assert!(empty.is_ours());

        let foreign = CacheDir::at(&dir.join("foreign"));
        fs_err::create_dir_all(foreign.root().join("customers")).unwrap();
        assert!(foreign.room("zig").unwrap_err().to_string().contains("has no CACHEDIR.TAG written by convoy"));
        assert!(foreign.remember("probes", "key", &1).is_err());
        // Another tool's tag says nothing.
        let theirs = "Signature: 8a477f597d28d172789f06886806bc55\n# Created by another tool.\n";
        fs_err::write(foreign.root().join(TAG_NAME), theirs).unwrap();
        assert!(foreign.room("zig").is_err());
        assert_eq!(foreign.root().read_dir_utf8().unwrap().count(), 2, "nothing was written there");
    }

    #[test]
    fn of_many_that_create_it_at_once_all_find_it() {
        let held = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(held.path()).unwrap().join("cache/v1");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| CacheDir::at(&root).room("probes").unwrap());
            }
        });
        assert_eq!(root.parent().unwrap().read_dir_utf8().unwrap().count(), 1, "nothing stays beside it");
    }

    #[test]
    fn a_cache_that_another_process_uses_is_not_free() {
        let held = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(held.path()).unwrap().join("v1");
        let [one, other] = [CacheDir::at(&root), CacheDir::at(&root)];
        one.room("zig").unwrap();
        other.room("zig").unwrap();
        assert!(!one.is_free());
        drop(other);
        assert!(one.is_free());
    }
}
