//! Every decision of the planner, with no process started: synthetic machines × needs × target words.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod containers;
mod lanes;
mod needs;
mod provisioning;
mod question;
mod routes;
mod sysroots;
