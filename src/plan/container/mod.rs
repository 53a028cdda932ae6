//! Containers: the images that lanes run in, and how a lane's container is started. Everything here is pure:
//! [`crate::machine`] asks the engine, [`crate::provision`] makes images, [`crate::build`] starts lanes.

mod cargo_config;
mod facts;
mod image;
mod mounts;
mod secrets;
mod start;
mod volumes;

pub use cargo_config::{Gathered, included, masked, variables};
pub use facts::{inside, probe_script, read_probe};
pub use image::{ImagePlan, ImageSource, plan_for, unify};
pub use mounts::{CARGO_PARTS, Mount, Places, mounts};
pub use secrets::{entering, is_secret, is_secret_file, repository_config};
pub use start::{Confinement, Entry, LABEL_MACHINE, LABEL_RUN, PROXIES, Start, cpu_used, own_filter};
pub use volumes::{
    Content, Kept, Known, LABEL_BYTES, LABEL_INSTANCE, LABEL_VOLUME, LABEL_WHAT, Part, Stream, Tree, VolumeKind,
    VolumeMount, streams, volume_name,
};

/// Names of labels begin with this.
pub const LABEL_PREFIX: &str = "io.cargo-convoy";
