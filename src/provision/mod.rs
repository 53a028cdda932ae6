//! Brings what a plan names: rustup's std for a target, std's source, zig, sysroots. Each is announced in one line,
//! written beside and renamed.

pub mod crates;
pub mod darwin;
pub mod engine;
pub mod image;
pub mod listing;
pub mod mingw;
pub mod runs;
pub mod std;
pub mod sysroot;
pub mod volumes;
pub mod zig;
