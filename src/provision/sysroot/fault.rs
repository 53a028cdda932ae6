//! Why a package could not be unpacked.

use std::io;

/// A predicate that reads well after the package's name, and what to do.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) reason: String,
    pub(super) hint: Option<String>,
}

impl Fault {
    /// The package itself is at fault.
    pub(super) fn broken(reason: impl Into<String>) -> Self {
        let hint = "report it to the maintainer of the archive, or set another mirror with `mirrors` under \
                    `[supply]` in `Convoy.toml`";
        Self { reason: reason.into(), hint: Some(hint.to_owned()) }
    }
}

impl Fault {
    /// What the lock says is at fault.
    pub(super) fn locked(reason: impl Into<String>) -> Self {
        let hint = "check what changed in `Convoy.lock`; run `cargo convoy supply verify` to compare it with the \
                    archive's signed index, or `cargo convoy supply update` to write it again";
        Self { reason: reason.into(), hint: Some(hint.to_owned()) }
    }
}

/// This machine is at fault.
impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        let hint = disk_hint(&error);
        Self { reason: format!("could not be written: {error}"), hint }
    }
}

/// What to do about a disk that refuses.
pub(super) fn disk_hint(error: &io::Error) -> Option<String> {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some disk space, or set `CONVOY_CACHE_DIR` to a directory on another disk"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "set `CONVOY_CACHE_DIR` to a writable directory"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}
