//! `targets/needs.toml`: what single crates ask of the machine, and what system libraries are called.

mod rows;

use std::sync::LazyLock;

pub(crate) use rows::{BuildDependency, Conditions, Row, Rows, Rule};
pub use rows::{Library, Target};

/// The embedded table.
pub(crate) fn rows() -> &'static Rows {
    // The build script of convoy itself has read it already.
    static ROWS: LazyLock<Rows> = LazyLock::new(|| {
        Rows::parse(include_str!("../../../targets/needs.toml"))
            .unwrap_or_else(|error| panic!("embedded targets/needs.toml: {error}"))
    });
    &ROWS
}
