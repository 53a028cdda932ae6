//! What convoy reads of a project and of the command line: graphs, needs, advice, settings, and clear errors.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod advice;
mod command_line;
mod configuration;
mod graph;
mod needs_table;
mod selection;
#[path = "../support/mod.rs"]
mod support;
mod surroundings;
mod unit_graph;

use support::Project;

const NATIVE: &str = "x86_64-unknown-linux-gnu";

/// Two members, each with these bins.
fn workspace(name: &str, first: &str, second: &str) -> Project {
    let member = |package: &str, bin: &str| {
        format!(
            "[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             [[bin]]\nname = \"{bin}\"\npath = \"src/main.rs\"\n"
        )
    };
    Project::empty(name)
        .file("Cargo.toml", "[workspace]\nmembers = [\"one\", \"two\"]\nresolver = \"3\"\n")
        .file("one/Cargo.toml", &member("one", first))
        .file("one/src/main.rs", "fn main() { println!(\"one\"); }\n")
        .file("two/Cargo.toml", &member("two", second))
        .file("two/src/main.rs", "fn main() { println!(\"two\"); }\n")
}
