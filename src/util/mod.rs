//! What every room may use: errors, files that strangers may have made, pipes, words for the shell.

pub(crate) mod credentials;
pub mod error;
pub mod files;
pub(crate) mod pipe;
pub(crate) mod plural;
pub(crate) mod shell;
pub(crate) mod stamp;
pub(crate) mod suggest;
