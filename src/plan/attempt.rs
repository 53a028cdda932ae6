//! What was tried in this run and did not work. Planning again passes it over, so that a failed download or build leads to
//! another route, or to a target that is blocked with the reason.

use std::collections::BTreeMap;

use crate::plan::RouteKind;

/// Everything that was refused, and the routes that failed.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// The standard libraries that rustup could not install, by target, with its reason.
    pub std: BTreeMap<String, String>,
    /// Why rustup could not install the standard library's source.
    pub rust_src: Option<String>,
    /// Why zig could not be installed.
    pub zig: Option<String>,
    /// The sysroots that could not be made, by the name of their key.
    pub sysroots: BTreeMap<String, Refused>,
    /// The container images that could not be pulled, built or started, by their names.
    pub images: BTreeMap<String, Refused>,
    /// The routes that failed in this run or an earlier one, by the cell's id, each with the cause. They are passed over
    /// while another route is offered.
    pub failed: BTreeMap<String, BTreeMap<RouteKind, String>>,
}

/// Why a sysroot or an image could not be provisioned in this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What happened.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether it was chosen already (locked) and only could not be had: convoy's own work failed.
    pub work: bool,
}
