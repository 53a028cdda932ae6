//! The zig that convoy installs: `targets/zig.toml`.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::model::catalog::Glibc;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pinned {
    version: String,
    bytes: u64,
    glibc: Glibc,
    wheel: Vec<PinnedWheel>,
}

/// The package for one kind of machine.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedWheel {
    /// The digest of the file.
    pub sha256: String,
    /// The digest of the list of its files with their digests (RECORD).
    pub contents: String,
}

static PINNED: LazyLock<Pinned> = LazyLock::new(|| {
    // Embedded and checked by a test below.
    toml::from_str(include_str!("../../targets/zig.toml"))
        .unwrap_or_else(|error| panic!("embedded targets/zig.toml: {error}"))
});

/// The version that is installed.
pub fn version() -> &'static str {
    &PINNED.version
}

/// The newest glibc that it can link against.
pub fn newest_glibc() -> Glibc {
    PINNED.glibc
}

/// How much comes over the network, about.
pub fn bytes() -> u64 {
    PINNED.bytes
}

/// The packages, one for each kind of machine.
pub fn wheels() -> &'static [PinnedWheel] {
    &PINNED.wheel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_is_a_version_and_hashes() {
        assert!(version().split('.').count() >= 3);
        assert!(bytes() > 0);
        let mut hashes = wheels().iter().flat_map(|wheel| [&wheel.sha256, &wheel.contents]);
        assert!(hashes.clone().count() > 2);
        assert!(hashes.all(|hash| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
