//! The tool's own cache folder: everything convoy keeps outside the project.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::files;

/// The folder, with its layout version: `CONVOY_CACHE_DIR`, else the platform's cache folder + `cargo-convoy`, then `v1`.
#[derive(Clone, Debug)]
pub struct CacheDir {
    root: Utf8PathBuf,
}

const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55
# This file is a cache directory tag created by cargo-convoy.
# For information about cache directory tags see https://bford.info/cachedir/
";

impl CacheDir {
    /// Finds the folder; creates nothing.
    pub fn find() -> Result<Self> {
        let base = match std::env::var("CONVOY_CACHE_DIR").ok().filter(|dir| !dir.is_empty()) {
            Some(dir) => std::path::absolute(dir)?,
            None => {
                use etcetera::BaseStrategy;
                let strategy = etcetera::choose_base_strategy().map_err(|error| {
                    Error::work("this machine names no cache folder").because(error).hint("set CONVOY_CACHE_DIR")
                })?;
                strategy.cache_dir().join("cargo-convoy")
            }
        };
        let base = Utf8PathBuf::from_path_buf(base).map_err(|path| {
            Error::work(format!("the cache folder `{}` is not UTF-8", path.display())).hint("set CONVOY_CACHE_DIR")
        })?;
        Ok(Self { root: base.join("v1") })
    }

    /// One anywhere.
    pub fn at(root: &Utf8Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// A room of the cache (`zig`, `probes`, …), created with the tag that keeps backups away.
    pub fn room(&self, name: &str) -> Result<Utf8PathBuf> {
        let room = self.root.join(name);
        fs_err::create_dir_all(&room)?;
        let tag = self.root.join("CACHEDIR.TAG");
        if !tag.exists() {
            fs_err::write(tag, TAG)?;
        }
        Ok(room)
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
