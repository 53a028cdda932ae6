//! `dist/`: exactly what this run verified, with its manifest and checksums.

mod artifact;
mod checker;
mod dist;
mod manifest;

pub use artifact::Artifact;
pub(crate) use checker::Checked;
pub use checker::Checker;
pub(crate) use dist::{Owner, Place, foreign, place, refuse_others};
pub use manifest::{ArtifactRow, Manifest};
pub(crate) use manifest::{FailedRow, FailedStatus, GlibcRow, SysrootRow, Tool, Toolchain};
