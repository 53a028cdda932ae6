//! What every room may use: errors, files that strangers may have made, pipes, words for the shell.

pub mod credentials;
pub mod error;
pub mod files;
pub mod pipe;
pub mod shell;
pub mod stamp;
pub mod suggest;
