//! `Convoy.lock` of a project: what it holds, and what is here of it.

use camino::Utf8PathBuf;

use crate::error::Result;
use crate::host::{CacheDir, HostFacts};
use crate::lock::ConvoyLock;
use crate::provision::sysroot;
use crate::report::{Phase, Reporter};

/// The project's lock, and where it lies.
#[derive(Clone, Debug)]
pub(super) struct Locked {
    pub path: Utf8PathBuf,
    pub lock: ConvoyLock,
    /// Whether the file is there.
    pub exists: bool,
}

impl Locked {
    /// What a file says; none of it where there is no file.
    pub(super) fn read(path: Utf8PathBuf) -> Result<Self> {
        let lock = ConvoyLock::read(&path)?;
        Ok(Self { exists: lock.is_some(), lock: lock.unwrap_or_default(), path })
    }

    /// Writes it down. A build goes on where that is not possible.
    pub(super) fn write(&mut self, reporter: &Reporter) {
        match self.lock.write(&self.path) {
            Ok(_) => self.exists = true,
            Err(error) => {
                let message =
                    format!("Convoy.lock could not be written, so another build may take other packages: {error}");
                reporter.warning(Phase::Provision, message).code("lock-not-written").send();
            }
        }
    }

    /// Tells the host's facts which locked sysroots are here, or could be unpacked without apt and network.
    pub(super) fn look_up(&self, cache: &CacheDir, host: &mut HostFacts) {
        for locked in self.lock.sysroots() {
            let name = locked.key.to_string();
            if let Some(sysroot) = sysroot::in_cache(cache, locked) {
                host.sysroots.insert(name, sysroot);
            } else if sysroot::is_fetched(cache, locked) {
                host.fetched_sysroots.insert(name);
            }
        }
    }
}
