//! Facts as data, and what a command was asked for. Nothing here looks at a machine or a project.

pub mod architecture;
pub mod catalog;
pub mod darwin;
pub mod needs;
pub mod recipe;
pub mod request;
pub mod sysroot;
pub mod zig;
