//! Builds in containers: real engines, real registries.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod builds;
mod engines;
mod faults;
mod helpers;
mod images;
mod isolation;
mod places;
mod remote;
#[path = "../support/mod.rs"]
mod support;
