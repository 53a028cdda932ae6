//! cargo-convoy: one command, one verified binary per platform.
//!
//! The rooms, from the ground up; each may use those above it in this table and no other (tests/repository/modules.rs checks it).
//!
//! | room | holds |
//! |---|---|
//! | [`util`] | errors, files of strangers, pipes, words for the shell |
//! | [`model`] | facts as data: targets, devices, tools, crates' needs, Debian's releases; what a command was asked for |
//! | [`machine`] | what this machine offers; the cache; signals |
//! | [`project`] | settings with their origins, the dependency graph, evidence, needs, `Convoy.lock` |
//! | [`plan`] | project × machine → plan: routes, supplies, containers, ways out; pure |
//! | [`verify`] | bytes → findings; the linker shim's records; the account of macOS symbols |
//! | [`release`] | verified binaries → the dist directory and its manifest |
//! | [`report`] | events and results → text, JSON, progress |
//! | [`provision`] | provisions what a plan names: std, zig, sysroots, images |
//! | [`build`] | lanes, cargo's messages, the jobserver, containers of a lane |
//! | [`cli`] | argv → requests; validation only |
//! | [`command`] | one file a subcommand: composes all of these |

// Here and not in Cargo.toml: the helpers of the test programs in tests/ may unwrap, as the tests themselves may.
#![warn(clippy::unwrap_used)]
// What only Unix does leaves traces elsewhere.
#![cfg_attr(not(unix), allow(dead_code, unused_imports, unused_mut, unused_variables))]
// Most readers of these pages read them in the source, where what is private is, too.
#![allow(rustdoc::private_intra_doc_links)]

pub mod build;
pub mod cli;
pub mod command;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
pub mod machine;
pub mod model;
pub mod plan;
pub mod project;
pub mod provision;
pub mod release;
pub mod report;
pub mod util;
pub mod verify;

/// Version of cargo-convoy.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
