//! What a package shows of its needs: read from its build script and its sources, once a machine.

mod guard;
mod links;
mod package_files;
mod rust;
mod script;
mod store;
mod system_deps;

use serde::{Deserialize, Serialize};

pub(crate) use guard::same_feature;
pub(crate) use rust::{LARGEST, each_meta, items_of_macro, metas_of, on_deep_stack, parse, rust_files, text_of};
pub(crate) use store::{Source, gather, is_unchanged};

/// Interprets one build script: for the fuzz target.
#[cfg(any(fuzzing, test))]
pub(crate) fn read_script(
    dir: &camino::Utf8Path,
    script: &camino::Utf8Path,
    helpers: &std::collections::BTreeSet<String>,
) {
    let source = Source { dir: dir.to_owned(), ..Source::default() };
    on_deep_stack(|| script::read(&package_files::PackageFiles::of(&source), script, helpers));
}

/// What a package's own files show. Facts alone; [`crate::project::needs`] judges them for a target and its features.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Evidence {
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
pub(crate) enum Script {
    /// The package has none.
    #[default]
    None,
    /// With all files that belong to it.
    Read,
    /// It or a file of it is missing, not UTF-8, or does not parse: why, and where. The calls are those of the rest.
    Unreadable(String),
}

/// Something in a build script.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Call {
    /// What it is.
    pub what: What,
    /// What decides whether it is reached; all must hold.
    pub guards: Vec<Guard>,
    /// Where: file and line, relative to the package.
    pub place: String,
}

/// What a build script starts, looks for or links.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// The use of a helper crate (`cc`, `cmake`, `bindgen`, `nasm-rs`, `prost-build`, …), by its name with `-`. Also of
    /// `pkg-config`, beside the libraries that it is asked for.
    Helper(String),
    /// C++ through the `cc` crate: `.cpp(true)`.
    Cxx,
    /// A library that pkg-config is asked for, also by `system-deps`; the name when it is known without running the
    /// script.
    PkgConfig {
        /// Its name.
        name: Option<String>,
        /// Whether the script goes on when it is not found.
        optional: bool,
    },
    /// An executable that is started by a known name.
    Command(String),
    /// `cargo:rustc-link-lib=[KIND=]NAME`, known without running the script.
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
pub(crate) enum Guard {
    /// A feature of the package is on, or off.
    Feature {
        /// The feature, to be compared by [`same_feature`]: a script that asks the environment does not tell `-` from `_`.
        name: String,
        /// Whether it must be on.
        on: bool,
    },
    /// Something about the target (from `TARGET`, `CARGO_CFG_TARGET_OS` and their like) holds, or does not.
    Target {
        /// An expression as in a manifest's `[target.…]`: `cfg(target_os = "linux")`, or a triple.
        cfg: String,
        /// Whether it must hold.
        holds: bool,
    },
    /// The same about the host: also any `cfg` in the build script itself, which is compiled for the host.
    Host {
        /// The expression.
        cfg: String,
        /// Whether it must hold.
        holds: bool,
    },
    /// An environment variable is set, or not.
    Env {
        /// Its name. `*_NAME` stands for the one that the script makes for the target, mostly as in
        /// `X86_64_UNKNOWN_LINUX_GNU_NAME`.
        name: String,
        /// Whether it must be set.
        set: bool,
    },
    /// pkg-config knows a library, or does not.
    Library {
        /// Its name in pkg-config.
        name: String,
        /// Whether it must be found.
        found: bool,
    },
    /// Something that only the running script knows.
    Unknown,
    /// All of these hold; an empty list always does.
    All(Vec<Guard>),
    /// At least one of these holds; an empty list never does.
    Any(Vec<Guard>),
}

/// A `#[link(…)]` attribute of an `extern` block.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct LinkBlock {
    /// The library or framework.
    pub name: String,
    /// `dylib` (also where none is written), `static`, `framework`, `raw-dylib`.
    pub kind: String,
    /// The `cfg(…)` expressions around it, all of which must hold: on the block, its modules and its file.
    pub cfgs: Vec<String>,
    /// Where: file and line, relative to the package.
    pub place: String,
}
