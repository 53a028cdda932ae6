//! The repository itself: its documents say what is so, and its modules import as they may.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../examples/targets.rs"]
#[allow(dead_code)]
mod example_targets;
#[path = "../../examples/verify.rs"]
#[allow(dead_code)]
mod example_verify;

mod commands;
mod document;
mod documents;
mod messages;
mod modules;
mod reference;
#[path = "../support/mod.rs"]
mod support;
