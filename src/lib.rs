//! cargo-convoy: one command, one verified binary per platform.
//!
//! The rooms, in the order in which data flows through them (imports run downward only; stages share types and are
//! called one after another by [`command`]):
//!
//! | room | makes |
//! |---|---|
//! | [`interrupt`] | signals: who is to end with us (used by every room that starts processes) |
//! | [`cli`] | argv → [`request`] types; validates, does nothing |
//! | [`config`] | `Convoy.toml`, manifest metadata, `Cross.toml`, environment → settings, each with its origin |
//! | [`catalog`] | the embedded `targets/*.toml`: targets, platforms, devices |
//! | [`graph`] | `cargo metadata` → the packages active for a target, host side and target side apart |
//! | [`evidence`] | package files → what their build scripts start, look for and link |
//! | [`sysroot`] | a target's own Debian packages, unpacked: what names them, which releases have what |
//! | [`needs`] | graph × target → what the dependencies ask of the C world |
//! | [`container`] | engines, images of tools, how a lane is started in one; pure |
//! | [`host`] | probes of this machine → what it offers |
//! | [`plan`] | all of these → a plan; pure |
//! | [`remedy`] | a need that nothing meets → the ways out |
//! | [`learned`] | which routes failed in this project, from one run to the next |
//! | [`lock`] | `Convoy.lock`: exactly which packages the sysroots hold |
//! | [`provision`] | brings what the plan names: std, zig, sysroots |
//! | [`diagnose`] | a failed build's words → the tool that is to blame; pure |
//! | [`run`] | lanes, cargo's messages, signals |
//! | [`link`] | the linker shim that records what went into a binary |
//! | [`darwin`] | stubs and symbol accounting for links without an SDK |
//! | [`verify`] | bytes → findings; pure |
//! | [`package`] | `dist/`, checksums, manifest |
//! | [`report`] | events → human text or JSON |

// Here and not in Cargo.toml: the helpers of the test programs in tests/ may unwrap, as the tests themselves may.
#![warn(clippy::unwrap_used)]

pub mod catalog;
pub mod cli;
pub mod command;
pub mod config;
pub mod container;
pub mod darwin;
pub mod diagnose;
pub mod error;
pub mod evidence;
pub mod files;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
pub mod graph;
pub mod host;
pub mod interrupt;
pub mod learned;
pub mod link;
pub mod lock;
pub mod needs;
pub mod package;
pub mod pipe;
pub mod plan;
pub mod provision;
pub mod remedy;
pub mod report;
pub mod request;
pub mod run;
pub mod shell;
pub mod suggest;
pub mod sysroot;
pub mod verify;

/// Version of cargo-convoy.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
