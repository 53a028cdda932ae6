//! cargo-convoy: one command, one verified binary per platform.
//!
//! The rooms, from the ground up; each may use those above it in this table and no other (tests/house.rs checks it).
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
//! | [`provision`] | brings what a plan names: std, zig, sysroots, images |
//! | [`build`] | lanes, cargo's messages, the jobserver, containers of a lane |
//! | [`cli`] | argv → requests; validation only |
//! | [`command`] | one file a subcommand: composes all of these |

// Here and not in Cargo.toml: the helpers of the test programs in tests/ may unwrap, as the tests themselves may.
#![warn(clippy::unwrap_used)]
#![warn(unreachable_pub)]

pub(crate) mod build;
pub(crate) mod cli;
pub(crate) mod command;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
pub(crate) mod machine;
pub(crate) mod model;
pub(crate) mod plan;
pub(crate) mod project;
pub(crate) mod provision;
pub(crate) mod release;
pub(crate) mod report;
pub(crate) mod util;
pub(crate) mod verify;

/// Version of cargo-convoy.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub mod keep {
    pub use crate::build::{CellResult, Job, run_lanes, shim, smoke};
    pub use crate::cli::{Cli, Command};
    pub use crate::command::main;
    pub use crate::machine::{AptFacts, CacheDir, FoundBy, FoundLibrary, GccFacts, HostFacts, Refused, Rustc, UserFlags, UserTool, UserTools, ZigFacts, apt};
    pub use crate::machine::engine::{Engine, EngineFacts, ImageFacts, MadeImage, PresentImage, engine, remember_made};
    pub use crate::machine::interrupt::Interrupt;
    pub use crate::machine::zig::{in_cache, in_wheel};
    pub use crate::model::architecture::Architecture;
    pub use crate::model::catalog::{Catalog, DEFAULT_MATRIX, Glibc, Target};
    pub use crate::model::recipe::{LABEL, Recipe, standard_packages};
    pub use crate::model::request::{EngineChoice, Features, SchemaKind, Selection};
    pub use crate::model::sysroot::{Archive, Libraries, Library, LinkedAgainst, Security, Suites, Sysroot, SysrootKey, SysrootPlan, read_control, runtime_packages};
    pub use crate::model::zig;
    pub use crate::plan::{Cell, CellInput, CellPlan, Lane, Linker, Plan, ProvisionKind, RouteKind, Setup, Status, ZigTool, matrix, route::CTools, plan};
    pub use crate::plan::container::{ImagePlan, ImageSource, LABEL_PREFIX, VolumeKind};
    pub use crate::project::config::{ContainerSettings, Origin, Provisioning, Settings, SupplySettings, SupplySource, TargetSettings, TargetTable, Valued, load};
    pub use crate::project::graph::{Bin, Graph, Package, Resolver, Slice};
    pub use crate::project::lock::{ConvoyLock, LockedSysroot};
    pub use crate::project::needs::{Confidence, Need, NeedKind, Side, Table};
    pub use crate::provision::darwin as provision_darwin;
    pub use crate::provision::sysroot::{Limits, Progress, Sysroots};
    pub use crate::provision::volumes;
    pub use crate::release::{Artifact, ArtifactRow, Checker, Manifest};
    pub use crate::report::{Reporter, Style, table};
    pub use crate::util::error::Exit;
    pub use crate::util::files::sha256;
    pub use crate::verify::{Expectation, Facts, Finding, Inspection, Kind, Level, Linkage, Signature, Unreadable, infer, inspect, judge, not_checked, darwin, link};
}
