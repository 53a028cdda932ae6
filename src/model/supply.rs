//! The kinds of supply: what meets the needs of dependencies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of supply.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SupplyKind {
    /// A package on this machine, for the target's architecture.
    Host,
    /// Part of the target's system: macOS libraries and frameworks, Windows DLLs.
    System,
    /// The user's environment variables (`PKG_CONFIG_*`).
    User,
    /// Unpacked Debian packages of the target.
    Sysroot,
}

impl SupplyKind {
    /// Its name in configuration and JSON.
    pub fn name(self) -> &'static str {
        match self {
            SupplyKind::Host => "host",
            SupplyKind::System => "system",
            SupplyKind::User => "user",
            SupplyKind::Sysroot => "sysroot",
        }
    }
}
