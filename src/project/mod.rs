//! What a project asks for: settings, each with its origin, the dependency graph, what its packages show of their needs, and
//! its lock.

pub mod config;
pub(crate) mod evidence;
pub mod graph;
pub mod lock;
pub mod needs;
