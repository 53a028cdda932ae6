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
        let hint = "report it to whoever keeps that archive, or take another mirror with `[supply] mirrors`";
        Self { reason: reason.into(), hint: Some(hint.to_owned()) }
    }
}

impl Fault {
    /// What the lock says is at fault.
    pub(super) fn locked(reason: impl Into<String>) -> Self {
        let hint = "look at what changed in Convoy.lock; `cargo convoy supply verify` holds it against the archive's signed \
                    index, and `cargo convoy supply update` chooses anew";
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
            "free some disk space, or point CONVOY_CACHE_DIR to another disk"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "point CONVOY_CACHE_DIR to a folder that can be written"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}
