//! Brings what a plan names: rustup's std for a target, std's source, zig, sysroots. Each is announced in one line,
//! written beside and renamed.

pub(crate) mod crates;
pub mod darwin;
pub(crate) mod engine;
pub(crate) mod image;
pub mod libcxx;
pub(crate) mod listing;
pub(crate) mod mingw;
pub(crate) mod runs;
pub(crate) mod std;
pub mod sysroot;
pub mod volumes;
pub(crate) mod windows;
pub(crate) mod zig;
