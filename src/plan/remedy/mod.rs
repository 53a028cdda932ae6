//! Ways out of a need that nothing on this machine meets: features of the crates on the way to it, and packages to
//! install. Pure: from the feature tables, `targets/needs.toml` and `targets/tools.toml`; nothing is invented.

mod features;
mod install;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use features::{Chain, Step, chains, features};
pub(crate) use install::{install, install_commands};

/// A way to fix an unmet need.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub(crate) struct Remedy {
    /// Kind of the fix.
    pub kind: RemedyKind,
    /// Description of what to do.
    pub text: String,
    /// The command to run; null if there is none.
    pub command: Option<String>,
    /// Names of the needs that this fix adds.
    pub then_needs: Vec<String>,
}

/// A kind of fix, the easiest one first.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RemedyKind {
    /// Enable a feature that removes the need.
    Feature,
    /// Disable a feature that requires the crate.
    LeaveOut,
    /// Install a package on this machine.
    Install,
    /// Build in a container.
    Container,
}
