//! cmake's toolchain file: compilers, and where `find_package` and its like may look. Pure.

use camino::{Utf8Path, Utf8PathBuf};

use super::sysroot::Tree;

/// What a toolchain file says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Toolchain<'a> {
    /// rustc's triple.
    pub triple: &'a str,
    /// Whether what is built runs here: then cmake may run its checks.
    pub native: bool,
    /// The C compiler.
    pub cc: &'a Utf8Path,
    /// The C++ compiler.
    pub cxx: Option<&'a Utf8Path>,
    /// The archiver.
    pub ar: Option<&'a Utf8Path>,
    /// The indexer of archives.
    pub ranlib: Option<&'a Utf8Path>,
    /// Whether the compilers are zig.
    pub zig: bool,
    /// The sysroot; none for a target whose own system cmake must not look for on this machine.
    pub tree: Option<&'a Tree>,
    /// An empty folder, which stands for the system where there is no sysroot.
    pub nothing: &'a Utf8Path,
    /// The folder that all build scripts write below.
    pub built: &'a Utf8Path,
}

impl Toolchain<'_> {
    /// The file's text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        let arch = self.triple.split('-').next().unwrap_or_default();
        let (system, processor) = match self.triple {
            t if t.contains("-windows-") => ("Windows", "AMD64"),
            t if t.contains("-darwin") => ("Darwin", if arch == "aarch64" { "arm64" } else { arch }),
            _ => ("Linux", arch),
        };
        if !self.native {
            line(format!("set(CMAKE_SYSTEM_NAME {system})"));
            line(format!("set(CMAKE_SYSTEM_PROCESSOR {processor})"));
        }
        let tools =
            [("C_COMPILER", Some(self.cc)), ("CXX_COMPILER", self.cxx), ("AR", self.ar), ("RANLIB", self.ranlib)];
        for (name, tool) in tools {
            if let Some(tool) = tool {
                line(format!("set(CMAKE_{name} {})", string(tool)));
            }
        }
        if let Some(tree) = self.tree {
            line(format!("set(CMAKE_LIBRARY_ARCHITECTURE {})", tree.multiarch));
        }

        let root = self.tree.map_or(self.nothing, |tree| &tree.root);
        line(format!("set(CMAKE_FIND_ROOT_PATH {} {})", string(root), string(self.built)));
        // What a crate carries itself, what another crate built for it (DEP_…_ROOT), what the user names: all of these
        // are folders that are meant, and would be looked for inside of the roots alone.
        let mut folders = vec!["CARGO_MANIFEST_DIR", "CMAKE_PREFIX_PATH"];
        if system == "Darwin" {
            // The stubs of frameworks.
            folders.push("SDKROOT");
        }
        for name in folders {
            line(format!("file(TO_CMAKE_PATH \"$ENV{{{name}}}\" convoy_folders)"));
            line("list(APPEND CMAKE_FIND_ROOT_PATH ${convoy_folders})".to_owned());
        }
        for (what, mode) in [("PROGRAM", "NEVER"), ("LIBRARY", "ONLY"), ("INCLUDE", "ONLY"), ("PACKAGE", "ONLY")] {
            line(format!("set(CMAKE_FIND_ROOT_PATH_MODE_{what} {mode})"));
        }
        // pkg-config knows no triple when cmake starts it.
        match self.tree {
            Some(tree) => {
                for (name, value) in [
                    ("PKG_CONFIG_LIBDIR", tree.pkg_config_libdir().as_str()),
                    ("PKG_CONFIG_SYSROOT_DIR", tree.root.as_str()),
                    ("PKG_CONFIG_PATH", ""),
                ] {
                    line(format!("set(ENV{{{name}}} {})", string(value)));
                }
            }
            None => {
                line("if(NOT DEFINED ENV{PKG_CONFIG_LIBDIR} AND NOT DEFINED ENV{PKG_CONFIG_SYSROOT_DIR})".to_owned());
                line(format!("set(ENV{{PKG_CONFIG_LIBDIR}} {})", string(self.nothing)));
                line("endif()".to_owned());
            }
        }
        if self.zig {
            line("# zig cannot write the dependency file that newer cmake asks its linker for.".to_owned());
            line("set(CMAKE_C_LINKER_DEPFILE_SUPPORTED FALSE)".to_owned());
            line("set(CMAKE_CXX_LINKER_DEPFILE_SUPPORTED FALSE)".to_owned());
        }
        if system == "Darwin" {
            // Only asked for by shared libraries, which a Rust binary does not take.
            line("set(CMAKE_INSTALL_NAME_TOOL \"/bin/true\")".to_owned());
            line("set(CMAKE_OTOOL \"/bin/true\")".to_owned());
        }
        text
    }
}

/// A quoted word for cmake, which stays one item of a list.
fn string(word: impl AsRef<str>) -> String {
    let mut text = String::from("\"");
    for char in word.as_ref().chars() {
        if matches!(char, '"' | '\\' | '$' | ';') {
            text.push('\\');
        }
        text.push(char);
    }
    text.push('"');
    text
}

/// The tools of a cell that cmake is told of.
#[derive(Clone, Debug, Default)]
pub(super) struct Tools {
    /// The C compiler.
    pub cc: Utf8PathBuf,
    /// The C++ compiler.
    pub cxx: Option<Utf8PathBuf>,
    /// The archiver.
    pub ar: Option<Utf8PathBuf>,
    /// The indexer of archives.
    pub ranlib: Option<Utf8PathBuf>,
    /// Whether they are zig's.
    pub zig: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain<'a>(triple: &'a str, tree: Option<&'a Tree>) -> Toolchain<'a> {
        Toolchain {
            triple,
            native: false,
            cc: "/t/x-gcc".into(),
            cxx: None,
            ar: None,
            ranlib: None,
            zig: false,
            tree,
            nothing: "/t/nothing".into(),
            built: "/p/target/convoy".into(),
        }
    }

    #[test]
    fn only_the_sysroot_is_looked_into() {
        let tree = Tree {
            root: "/c/a b;c".into(),
            digest: String::new(),
            multiarch: "arm-linux-gnueabihf".to_owned(),
            gcc: None,
            cxx: Vec::new(),
        };
        let text = toolchain("armv7-unknown-linux-gnueabihf", Some(&tree)).text();
        for line in [
            "set(CMAKE_SYSTEM_NAME Linux)",
            "set(CMAKE_C_COMPILER \"/t/x-gcc\")",
            "set(CMAKE_LIBRARY_ARCHITECTURE arm-linux-gnueabihf)",
            "set(CMAKE_FIND_ROOT_PATH \"/c/a b\\;c\" \"/p/target/convoy\")",
            "set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)",
            "set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)",
            "set(ENV{PKG_CONFIG_SYSROOT_DIR} \"/c/a b\\;c\")",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        assert!(!text.contains("CXX_COMPILER") && !text.contains("DEPFILE"), "{text}");
    }

    #[test]
    fn without_a_sysroot_nothing_of_this_machine_is_found() {
        let text = toolchain("aarch64-apple-darwin", None).text();
        assert!(text.contains("set(CMAKE_FIND_ROOT_PATH \"/t/nothing\""), "{text}");
        assert!(text.contains("$ENV{SDKROOT}"), "the stubs are where frameworks are: {text}");
        assert!(!toolchain("x86_64-pc-windows-gnu", None).text().contains("SDKROOT"));
    }

    #[test]
    fn what_runs_here_is_no_cross_build() {
        let native = Toolchain { native: true, ..toolchain("x86_64-unknown-linux-gnu", None) };
        assert!(!native.text().contains("CMAKE_SYSTEM_NAME"));
    }
}
