//! Ways out of a need that nothing on this machine meets: features of the crates on the way to it, and packages to
//! install. Pure: from the feature tables, `targets/needs.toml` and `targets/tools.toml`; nothing is invented.

mod features;
mod install;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use features::{Chain, Step, chains, features};
pub use install::{install, install_commands};

/// One way out.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub struct Remedy {
    /// What kind of way.
    pub kind: RemedyKind,
    /// What to do, for a person.
    pub text: String,
    /// The command that does it, where one does.
    pub command: Option<String>,
    /// What is needed instead, by the name of the need.
    pub then_needs: Vec<String>,
}

/// A kind of way out, the cheapest for the user first.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RemedyKind {
    /// A feature that removes the need.
    Feature,
    /// A feature to leave out, which brings the crate that needs it.
    LeaveOut,
    /// A package to install on this machine.
    Install,
    /// An engine, whose containers have it.
    Container,
}
