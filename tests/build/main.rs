//! Real builds with the tools of this machine, from the command line to the verified binary in `dist`.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bare;
mod darwin;
mod darwin_long;
mod darwin_support;
mod dist;
mod faults;
mod flags;
mod floors;
mod jobserver;
mod learned;
mod mingw;
mod outputs;
mod provisioning;
mod signals;
#[path = "../support/mod.rs"]
mod support;
mod targets;
mod verify;
mod windows;
mod wrapper;
