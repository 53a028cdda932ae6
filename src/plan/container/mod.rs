//! Containers: the images that lanes run in, and how a lane's container is started. Everything here is pure:
//! [`crate::machine`] asks the engine, [`crate::provision`] makes images, [`crate::build`] starts lanes.

mod cargo_config;
mod facts;
mod image;
mod mounts;
mod secrets;
mod start;
mod volumes;

pub(crate) use cargo_config::{Gathered, included, masked, variables};
pub(crate) use facts::{inside, probe_script, read_probe};
pub use image::{ImagePlan, ImageSource};
pub(crate) use image::{plan_for, unify};
pub(crate) use mounts::{CARGO_PARTS, Mount, Places, mounts};
pub(crate) use secrets::{entering, is_secret, is_secret_file, repository_config};
pub(crate) use start::{Confinement, Entry, LABEL_MACHINE, LABEL_RUN, PROXIES, Start, container_filter, cpu_used};
pub use volumes::VolumeKind;
pub(crate) use volumes::{
    Content, Kept, Known, LABEL_BYTES, LABEL_INSTANCE, LABEL_VOLUME, LABEL_WHAT, Part, Stream, Tree, VolumeMount,
    streams, volume_name,
};

/// Names of labels begin with this.
pub const LABEL_PREFIX: &str = "io.cargo-convoy";
