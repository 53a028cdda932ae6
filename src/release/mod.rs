//! `dist/`: exactly what this run verified, with its manifest and checksums.

mod artifact;
mod checker;
mod dist;
mod manifest;
mod universal;

pub use artifact::Artifact;
pub(crate) use checker::Checked;
pub use checker::Checker;
pub(crate) use dist::{Owner, Place, foreign, place, refuse_others};
pub use manifest::{ArtifactRow, DebugInfo, Manifest};
pub(crate) use manifest::{FailedRow, FailedStatus, GlibcRow, SysrootRow, Tool, Toolchain};
pub(crate) use universal::join;
