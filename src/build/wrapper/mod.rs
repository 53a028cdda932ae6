//! Wrappers: files that cargo, build scripts and cmake start as compiler, linker or archiver of a target, and that start
//! the real tool with more arguments and variables.
//!
//! A wrapper is data, a [`Wrapper`]. [`file`](mod@file) writes it as a program of its own: a text whose first line names
//! convoy as the interpreter, or a copy of convoy with that text at its end ([`copy`](mod@copy)). When such a file is
//! started, [`call`](mod@call) decides what it starts. Inside containers, where convoy may not be able to run, it is a
//! script for `/bin/sh` ([`script`](mod@script)).
//!
//! Compiler caches such as ccache tell compilers apart by the bytes of their files. So everything that a wrapper does is
//! written in its file; a link to convoy with another name would not do.

pub mod call;
mod copy;
pub mod file;
mod resources;
mod script;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::build::shim::Mingw;

/// What a wrapper starts, and how.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wrapper {
    /// How the caller's arguments are passed on.
    #[serde(default, skip_serializing_if = "Arguments::is_unchanged")]
    pub arguments: Arguments,
    /// Arguments before the caller's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// Arguments after the caller's and those for headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// All arguments if the caller's only one is `--version`; empty if that is no special case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub version: Vec<String>,
    /// The program.
    pub start: Start,
    /// The target's headers.
    #[serde(default, skip_serializing_if = "Headers::is_empty")]
    pub headers: Headers,
    /// Variables to set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// The program behind a wrapper.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Start {
    /// A tool, as it is.
    Tool {
        /// Its path.
        path: Utf8PathBuf,
    },
    /// zig as cargo-zigbuild starts it, which adapts arguments for linkers: the hidden subcommand `zig`.
    Zigbuild {
        /// cargo-convoy.
        convoy: Utf8PathBuf,
        /// What zig is to be.
        driver: Driver,
    },
    /// The linker shim, which records what was linked: the hidden subcommand `link`.
    Recording {
        /// cargo-convoy.
        convoy: Utf8PathBuf,
        /// The linker behind the shim.
        linker: Utf8PathBuf,
        /// The triple that is linked for.
        target: String,
        /// MinGW's runtime, where C code may ask for parts of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mingw: Option<Mingw>,
    },
}

/// The compilers that zig can be.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum Driver {
    /// `zig cc`; also for assembly, and as linker.
    #[serde(rename = "cc")]
    C,
    /// `zig c++`.
    #[serde(rename = "c++")]
    Cxx,
}

impl Driver {
    /// zig's subcommand.
    pub fn name(self) -> &'static str {
        match self {
            Driver::C => "cc",
            Driver::Cxx => "c++",
        }
    }
}

/// How the caller's arguments are passed on.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Arguments {
    /// As they are.
    #[default]
    Unchanged,
    /// Without the options that select another target than the wrapper's, or that only Apple's clang supports.
    WithoutTarget,
    /// Without what cmake takes for Visual Studio alone: its platform and its toolset.
    WithoutVisualStudio,
    /// GNU windres' ones, for zig's resource compiler.
    OfWindres,
    /// llvm-rc's ones, for the same.
    OfLlvmRc,
}

impl Arguments {
    fn is_unchanged(&self) -> bool {
        *self == Self::Unchanged
    }
}

/// The headers of a target, unless the caller has its own.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Headers {
    /// Arguments for the headers of C, directly after the caller's; left out if the caller passes `-nostdinc`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub c: Vec<String>,
    /// Directories of C++ headers, added to the end of [`CXX_VARIABLE`]; left out if the caller passes `-nostdinc` or
    /// `-nostdinc++`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cxx: Vec<Utf8PathBuf>,
}

impl Headers {
    fn is_empty(&self) -> bool {
        self.c.is_empty() && self.cxx.is_empty()
    }
}

/// The variable that compilers read for C++ only, although one driver compiles several languages.
pub(crate) const CXX_VARIABLE: &str = "CPLUS_INCLUDE_PATH";

impl Wrapper {
    /// One that starts a program with the caller's arguments and nothing else.
    pub fn of(start: Start) -> Self {
        Self {
            arguments: Arguments::default(),
            before: Vec::new(),
            after: Vec::new(),
            version: Vec::new(),
            start,
            headers: Headers::default(),
            env: BTreeMap::new(),
        }
    }

    /// A tool of zig's that compiles nothing: `ar`, `ranlib`, `dlltool`. A host's own `ar` writes no index of Mach-O
    /// objects.
    pub fn zig_tool(zig: &Utf8Path, tool: &str) -> Self {
        Self { before: vec![tool.to_owned()], ..Self::of(Start::Tool { path: zig.to_owned() }) }
    }

    /// zig's resource compiler in place of GNU windres, for programs of an architecture by zig's name.
    pub fn windres(zig: &Utf8Path, architecture: &str) -> Self {
        let before = ["rc", "/:output-format", "coff", "/:target", architecture].map(str::to_owned).to_vec();
        Self { arguments: Arguments::OfWindres, before, ..Self::of(Start::Tool { path: zig.to_owned() }) }
    }

    /// zig's resource compiler in place of llvm-rc.
    pub fn llvm_rc(zig: &Utf8Path) -> Self {
        Self { arguments: Arguments::OfLlvmRc, ..Self::zig_tool(zig, "rc") }
    }

    /// cmake for a target of Visual Studio's, where that is not. The `cmake` crate names a platform (`-Ax64`) with every
    /// generator but Ninja, and cmake refuses it with all others.
    pub fn cmake(cmake: &Utf8Path) -> Self {
        let start = Start::Tool { path: cmake.to_owned() };
        Self { arguments: Arguments::WithoutVisualStudio, ..Self::of(start) }
    }

    /// zig as compiler for a target whose links are not zig's: macOS, Windows MSVC. `target` is zig's name, see
    /// [`zig_target`](crate::provision::darwin::zig_target).
    ///
    /// Build scripts take it for Apple's clang, or for one that compiles for MSVC, and pass what only that supports, or what names another machine:
    /// `--target=arm64-apple-macosx`, `-arch`, `-isysroot <the stubs>` (which hold no headers; zig has its own),
    /// `-mmacosx-version-min`. zig refuses the `--` that some versions of the `cc` crate put before files
    /// (<https://github.com/ziglang/zig/issues/14837>). zig instruments unoptimised C by default; that is switched off, as
    /// the runtime is only there when zig links (<https://github.com/ziglang/zig/issues/23052>). `__DATE__` is an error with
    /// zig by default, and mimalloc, for one, uses it. For macOS, clang 17 and newer define `TARGET_OS_MAC` and others before
    /// any header does, and zlib up to 1.3.1 then takes the system for one without `fdopen`
    /// (<https://github.com/madler/zlib/issues/1075>). For Windows, what is preprocessed may be a resource script, and zig's
    /// resource compiler leaves out the C code of headers only where `#line` names them.
    ///
    /// With a darwin target zig 0.17.1 leaves an empty `a.o` behind when it is asked for its version, as the cc crate
    /// does.
    pub fn plain_zig(zig: &Utf8Path, driver: Driver, target: &str) -> Self {
        let mut before = vec![driver.name(), "-target", target, "-fno-sanitize=undefined", "-Wno-error=date-time"];
        before.extend(target.contains("macos").then_some("-fno-define-target-os-macros"));
        before.extend(target.contains("windows").then_some("-fuse-line-directives"));
        Self {
            arguments: Arguments::WithoutTarget,
            before: before.into_iter().map(str::to_owned).collect(),
            version: [driver.name(), "--version"].map(str::to_owned).to_vec(),
            ..Self::of(Start::Tool { path: zig.to_owned() })
        }
    }
}
