//! Facts as data, and what a command was asked for. Nothing here looks at a machine or a project.

pub mod architecture;
pub mod catalog;
pub mod code;
pub mod cpu;
pub(crate) mod darwin;
pub(crate) mod needs;
pub mod recipe;
pub mod request;
pub mod supply;
pub mod sysroot;
pub mod triple;
pub mod windows;
pub mod zig;
