//! What a package shows of its needs: read from its build script and its sources, once a machine.

use serde::{Deserialize, Serialize};

/// What a package's own files show. Facts alone; [`crate::needs`] judges them for a target and its features.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Evidence {
    /// How far the build script could be read.
    pub script: Script,
    /// What the build script starts, looks for or links, in order of appearance.
    pub calls: Vec<Call>,
    /// `#[link]` blocks of the library's and the binaries' sources.
    pub links: Vec<LinkBlock>,
}

/// How far a build script could be read.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Script {
    /// The package has none.
    #[default]
    None,
    /// With all files that belong to it.
    Read,
    /// It is missing, not UTF-8, or does not parse: why, and where.
    Unreadable(String),
}

/// Something in a build script.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Call {
    /// What it is.
    pub what: What,
    /// What decides whether it is reached.
    pub guards: Vec<Guard>,
    /// Where: file and line, relative to the package.
    pub place: String,
}

/// What a build script starts, looks for or links.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The use of a helper crate (`cc`, `cmake`, `bindgen`, `nasm_rs`, `prost_build`, …), by its name with `-`.
    Helper(String),
    /// C++ through the `cc` crate: `.cpp(true)`.
    Cxx,
    /// A library that pkg-config is asked for; the name when it is written there as a literal.
    PkgConfig {
        /// Its name.
        name: Option<String>,
        /// Whether the script goes on when it is not found.
        optional: bool,
    },
    /// An executable that is started by a literal name.
    Command(String),
    /// `cargo:rustc-link-lib=[KIND=]NAME`, written as a literal.
    LinkLib {
        /// `dylib`, `static`, `framework`; empty where none is written.
        kind: String,
        /// The library.
        name: String,
    },
}

/// What decides whether a call is reached.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// A feature of the package is on, or off.
    Feature {
        /// The feature.
        name: String,
        /// Whether it must be on.
        on: bool,
    },
    /// A `cfg(…)` expression about the target (from `CARGO_CFG_TARGET_OS` and its like) holds, or does not.
    Target {
        /// The expression, as `cfg(target_os = "linux")`.
        cfg: String,
        /// Whether it must hold.
        holds: bool,
    },
    /// A `cfg(…)` of the build script itself, which is compiled for the host.
    Host {
        /// The expression.
        cfg: String,
        /// Whether it must hold.
        holds: bool,
    },
    /// An environment variable is set, or not.
    Env {
        /// Its name.
        name: String,
        /// Whether it must be set.
        set: bool,
    },
    /// Something that only the running script knows.
    Unknown,
}

/// A `#[link(…)]` attribute of an `extern` block.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct LinkBlock {
    /// The library or framework.
    pub name: String,
    /// `dylib` (also where none is written), `static`, `framework`, `raw-dylib`.
    pub kind: String,
    /// The `cfg(…)` expressions around it, all of which must hold: on the block, its modules and its file.
    pub cfgs: Vec<String>,
    /// Where: file and line, relative to the package.
    pub place: String,
}
