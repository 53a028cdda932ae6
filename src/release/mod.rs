//! `dist/`: exactly what this run verified, with its manifest and checksums.

mod artifact;
mod checker;
mod dist;
mod manifest;

pub use artifact::Artifact;
pub use checker::{Checked, Checker};
pub use dist::{Owner, Place, Placed, foreign, place, refuse_others};
pub use manifest::{ArtifactRow, FailedRow, FailedStatus, GlibcRow, Manifest, SysrootRow, Tool, Toolchain};
