//! Sysroots: made from archives of the tests and of Debian, set up for compilers, and used by whole builds.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod archives;
mod interruptions;
mod machine;
mod packages;
mod setup;
mod supply;
#[path = "../support/mod.rs"]
mod support;
mod trust;
