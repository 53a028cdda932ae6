//! The tools that zig stands in for, under the names that rustc and build scripts start and a machine lacks.

use crate::model::triple::Triple;

/// What zig is started as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Clang,
    Archiver,
    /// Makes import libraries.
    Dlltool,
    /// A resource compiler with the arguments of LLVM's.
    LlvmRc,
    /// A resource compiler with the arguments of binutils'.
    Windres,
}

/// One tool that zig stands in for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StandIn {
    /// The name that it is started by.
    pub program: String,
    pub role: Role,
    /// The tool of `targets/tools.toml` that it is; none where nobody's needs name it.
    pub tool: Option<&'static str>,
}

impl StandIn {
    fn new(program: impl Into<String>, role: Role, tool: Option<&'static str>) -> Self {
        Self { program: program.into(), role, tool }
    }
}

/// The tools that zig stands in for in builds for a target.
pub(crate) fn stand_ins(triple: &Triple) -> Vec<StandIn> {
    if triple.is_msvc() {
        return vec![
            StandIn::new("clang", Role::Clang, Some("clang")),
            StandIn::new("llvm-rc", Role::LlvmRc, Some("llvm-rc")),
        ];
    }
    if !triple.is_mingw() {
        return Vec::new();
    }
    let gnu = format!("{}-w64-mingw32", triple.architecture_word());
    // LLVM's MinGW has names of its own for what build scripts start; rustc asks for GNU's dlltool with both.
    let prefix = if triple.as_str().ends_with("gnullvm") { "llvm" } else { &gnu };
    vec![
        StandIn::new(format!("{gnu}-dlltool"), Role::Dlltool, None),
        StandIn::new(format!("{prefix}-windres"), Role::Windres, Some("windres")),
        // The `winresource` crate makes an archive of the resources.
        StandIn::new(format!("{prefix}-ar"), Role::Archiver, None),
    ]
}
