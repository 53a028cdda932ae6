//! A sysroot as compilers, linkers, bindgen and pkg-config are told of it.
//!
//! All words are pure functions of a [`Tree`], what a look at the sysroot's folders showed. No path of the sysroot may
//! reach the bytes that are built: it holds the place of the cache, which differs from machine to machine.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use crate::build::Job;
use crate::build::wrapper::{Headers, Start, Wrapper};
use crate::machine::interrupt::Interrupt;
use crate::model::catalog::Catalog;
use crate::plan::CellPlan;
use crate::util::error::{Error, Result};
use crate::util::shell::quote;

/// What stands in the bytes instead of the sysroot's path.
const MAPPED: &str = "/sysroot";

/// What no path of a sysroot may hold.
const UNUSABLE: &str = "'\"\\`$:;#=&|<>()*?![]{}";

/// An unpacked sysroot and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    /// Its folder.
    pub root: Utf8PathBuf,
    /// The digest of what is in it.
    pub digest: String,
    /// Debian's name of the folders of one architecture: `arm-linux-gnueabihf`.
    pub multiarch: String,
    /// The folder of its libgcc and libstdc++.
    pub gcc: Option<Utf8PathBuf>,
    /// The folders of its C++ headers, in their order; none where it has none.
    pub cxx: Vec<Utf8PathBuf>,
}

impl Tree {
    /// The sysroot of a cell, where it has one.
    pub(crate) fn of(job: &Job<'_>, cell: &CellPlan) -> Result<Option<Tree>> {
        let Some(name) = &cell.setup.sysroot else { return Ok(None) };
        let triple = &cell.cell.target;
        // Provisioning blocks a cell whose sysroot could not be brought.
        let found = job.host.sysroots.get(name);
        let found = found.ok_or_else(|| {
            Error::work(format!("internal error: the plan uses the sysroot {name}, which is missing"))
        })?;
        let multiarch = Catalog::embedded().target(triple).and_then(|target| target.multiarch.clone());
        let multiarch = multiarch.ok_or_else(|| {
            Error::work(format!("no sysroot is available for {triple}: its multiarch name is unknown"))
        })?;
        Tree::open(&found.root, &found.digest, multiarch).map(Some)
    }

    /// Looks at a sysroot's folders.
    pub(crate) fn open(root: &Utf8Path, digest: &str, multiarch: String) -> Result<Tree> {
        // Lists of folders are parted by colons, maps of them by `=`, and pkg-config loses what stands behind a space.
        if let Some(bad) = root.as_str().chars().find(|char| char.is_whitespace() || UNUSABLE.contains(*char)) {
            return Err(Error::work(format!(
                "pkg-config and compilers do not support a sysroot whose path contains `{bad}`: {root}"
            ))
            .hint("set `CONVOY_CACHE_DIR` to a directory whose path contains only letters, digits and `/._-`"));
        }
        if !root.join("usr/include").is_dir() {
            return Err(Error::work(format!("the sysroot `{root}` has no `usr/include`"))
                .hint("build again; the cache may have been cleaned during the build"));
        }
        let gcc = newest(&root.join("usr/lib/gcc").join(&multiarch), &|dir| dir.join("libgcc.a").is_file());
        let headers = root.join("usr/include/c++");
        let own = root.join("usr/include").join(&multiarch).join("c++");
        let cxx = newest(&headers, &|dir| dir.join("string").is_file());
        let cxx = cxx.map(|dir| {
            let version = dir.file_name().unwrap_or_default().to_owned();
            vec![dir.clone(), own.join(version), dir.join("backward")]
        });
        Ok(Tree { root: root.to_owned(), digest: digest.to_owned(), multiarch, gcc, cxx: cxx.unwrap_or_default() })
    }

    /// Where its own libraries are.
    pub(crate) fn libraries(&self) -> Utf8PathBuf {
        self.root.join("usr/lib").join(&self.multiarch)
    }

    /// The folders of its C headers, in their order.
    pub(crate) fn headers(&self) -> [Utf8PathBuf; 2] {
        let include = self.root.join("usr/include");
        [include.join(&self.multiarch), include]
    }

    /// Where pkg-config finds its libraries, and no others.
    pub(crate) fn pkg_config_libdir(&self) -> String {
        format!("{}/pkgconfig:{}/usr/share/pkgconfig", self.libraries(), self.root)
    }

    fn prefix_map(&self) -> String {
        format!("-ffile-prefix-map={}={MAPPED}", self.root)
    }
}

/// The folder with the highest number for a name, among those that hold what is looked for.
fn newest(dir: &Utf8Path, fits: &dyn Fn(&Utf8Path) -> bool) -> Option<Utf8PathBuf> {
    let versions = dir.read_dir_utf8().ok()?.flatten();
    let numbered = versions.filter_map(|entry| Some((entry.file_name().parse::<u32>().ok()?, entry.into_path())));
    numbered.filter(|(_, path)| fits(path)).max().map(|(_, path)| path)
}

/// What a compiler itself knows and a sysroot does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Builtin {
    /// The compiler's own headers: `stddef.h`, intrinsics.
    pub headers: Utf8PathBuf,
    /// Its own C++ headers, for a sysroot without any.
    pub cxx: Vec<Utf8PathBuf>,
}

impl Builtin {
    /// Asks a gcc or clang, and the C++ compiler beside it.
    pub(crate) fn ask(cc: &Utf8Path, cxx: Option<&Utf8Path>, tree: &Tree, interrupt: &Interrupt) -> Result<Builtin> {
        let entries = ask(cc, &["-print-file-name=include"], interrupt)?.0;
        let headers = Utf8PathBuf::from(entries.trim());
        if !headers.is_absolute() || !headers.is_dir() {
            return Err(Error::work(format!("could not find the headers of `{cc}`"))
                .hint("check that it is a complete installation of gcc or clang"));
        }
        let cxx = match cxx.filter(|_| tree.cxx.is_empty()) {
            Some(cxx) => cxx_headers(&ask(cxx, &["-E", "-x", "c++", "-v", "/dev/null"], interrupt)?.1),
            None => Vec::new(),
        };
        Ok(Builtin { headers, cxx })
    }
}

/// What a compiler prints to both streams.
fn ask(compiler: &Utf8Path, args: &[&str], interrupt: &Interrupt) -> Result<(String, String)> {
    let failed = || Error::work(format!("`{compiler} {}` failed", args.join(" ")));
    // Another language would change the words that are looked for.
    let mut command = Command::new(compiler);
    let output = interrupt.output(command.args(args).env("LC_ALL", "C"))?.map_err(|error| failed().because(error))?;
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if !output.status.success() {
        return Err(failed().because(stderr.trim()));
    }
    Ok((stdout, stderr))
}

/// The C++ folders among those that a compiler names when it is started with `-v`.
fn cxx_headers(answer: &str) -> Vec<Utf8PathBuf> {
    answer
        .lines()
        .skip_while(|line| !line.starts_with("#include <...>"))
        .take_while(|line| !line.starts_with("End of search list"))
        .map(str::trim)
        .filter(|dir| dir.starts_with('/') && dir.contains("/c++/"))
        .map(Utf8PathBuf::from)
        .collect()
}

/// A gcc whose headers and libraries are the sysroot's alone.
///
/// - A cross gcc looks into its own distribution's folders even with `--sysroot`, and before it. So it is told to forget
///   all of its folders, and is given the right ones: `-idirafter` comes after whatever the caller names with `-I` or
///   `-isystem`. C++ headers go by a variable, which compilers read for C++ alone: a driver compiles several languages.
/// - Who says `-nostdinc` brings headers of its own, and gets none.
/// - Libraries stand last, so that the caller's `-L` and `-B` come first. `-B` is for `crt1.o` and its like; the linker
///   finds what shared libraries need by `--sysroot`.
pub(super) fn gcc_for(compiler: &Utf8Path, tree: &Tree, builtin: &Builtin) -> Wrapper {
    // A gcc would mention the word whenever it warns of something else.
    let quiet = builtin.headers.as_str().contains("/clang/").then(|| QUIET.to_owned());
    let own = [format!("--sysroot={}", tree.root), "-nostdinc".to_owned(), tree.prefix_map()];
    let libraries = tree.gcc.iter().map(|dir| format!("-L{dir}")).chain([format!("-L{}", tree.libraries())]);
    Wrapper {
        before: quiet.into_iter().chain(own).collect(),
        after: std::iter::once(format!("-B{}/", tree.libraries())).chain(libraries).collect(),
        headers: Headers {
            c: last_directories(std::iter::once(builtin.headers.clone()).chain(tree.headers())),
            cxx: if tree.cxx.is_empty() { builtin.cxx.clone() } else { tree.cxx.clone() },
        },
        ..Wrapper::of(Start::Tool { path: compiler.to_owned() })
    }
}

/// Words that add directories of headers after all others.
fn last_directories(dirs: impl IntoIterator<Item = Utf8PathBuf>) -> Vec<String> {
    dirs.into_iter().flat_map(|dir| ["-idirafter".to_owned(), dir.into_string()]).collect()
}

/// clang warns of words that a call has no use for (folders of headers, for assembly), and `-Werror` would end the call.
const QUIET: &str = "-Wno-unused-command-line-argument";

/// zig with a sysroot's libraries. Its libc and the headers of that stay.
///
/// zig's libc keeps the floor by itself. A shared library of the sysroot may ask for a newer one, which lld would call an
/// error, though nothing of that ends in what is linked.
pub(super) fn zig_with(tree: &Tree, mut zig: Wrapper) -> Wrapper {
    zig.before.extend([tree.prefix_map(), "-Wl,--allow-shlib-undefined".to_owned(), QUIET.to_owned()]);
    zig.headers.c.extend(last_directories(tree.headers()));
    zig.after.extend(zig_library_dirs(tree));
    zig
}

/// The library folders that zig is given.
pub(super) fn zig_library_dirs(tree: &Tree) -> Vec<String> {
    vec![format!("-L{}", tree.libraries())]
}

/// Words for libclang, as a shell splits them.
pub(super) fn clang_words(tree: &Tree) -> String {
    let cxx = tree.cxx.iter().flat_map(|dir| ["-cxx-isystem".to_owned(), quote(dir.as_str())]);
    let headers = tree.headers();
    let headers = headers.iter().flat_map(|dir| ["-idirafter".to_owned(), quote(dir.as_str())]);
    let words: Vec<String> =
        std::iter::once(quote(&format!("--sysroot={}", tree.root))).chain(cxx).chain(headers).collect();
    words.join(" ")
}

/// The same for the C library's headers that zig has (`lib/libc/include/<target>`), and where libclang's own are not known,
/// those of zig's clang.
pub(super) fn clang_words_of_zig(headers: &[Utf8PathBuf], and_clang: bool) -> String {
    let of_clang = headers.first().and_then(|dir| Some(dir.ancestors().nth(3)?.join("include")));
    let headers = headers.iter().flat_map(|dir| ["-isystem".to_owned(), quote(dir.as_str())]);
    let of_clang = of_clang.iter().filter(|_| and_clang);
    let of_clang = of_clang.flat_map(|dir| ["-idirafter".to_owned(), quote(dir.as_str())]);
    std::iter::once("-nostdlibinc".to_owned()).chain(headers).chain(of_clang).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::wrapper::call::Call;

    fn tree(root: &Utf8Path) -> Tree {
        Tree::open(root, "digest", "arm-linux-gnueabihf".to_owned()).unwrap()
    }

    fn made(files: &[&str]) -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap().join("root");
        for file in files {
            let path = root.join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "").unwrap();
        }
        (dir, root)
    }

    const WHOLE: &[&str] = &[
        "usr/include/c++/9/README",
        "usr/include/c++/10/string",
        "usr/lib/gcc/arm-linux-gnueabihf/10/libgcc.a",
        "usr/lib/gcc/arm-linux-gnueabihf/9/libgcc.a",
        "usr/lib/gcc/arm-linux-gnueabihf/11/README",
    ];

    #[test]
    fn the_newest_gcc_that_is_whole_is_taken() {
        let (_dir, root) = made(WHOLE);
        let tree = tree(&root);
        assert_eq!(tree.gcc, Some(root.join("usr/lib/gcc/arm-linux-gnueabihf/10")));
        let include = root.join("usr/include");
        let own = include.join("arm-linux-gnueabihf/c++/10");
        assert_eq!(tree.cxx, [include.join("c++/10"), own, include.join("c++/10/backward")]);
    }

    #[test]
    fn a_sysroot_that_tools_cannot_read_is_refused() {
        let (_dir, root) = made(WHOLE);
        let multiarch = || "arm-linux-gnueabihf".to_owned();
        let gone = Tree::open(&root.join("gone"), "", multiarch()).unwrap_err();
        assert!(gone.to_string().contains("has no `usr/include`"), "{gone}");
        for name in ["a b", "a:b", "it's"] {
            let error = Tree::open(&root.join(name), "", multiarch()).unwrap_err();
            assert!(error.hint_text().unwrap().contains("CONVOY_CACHE_DIR"), "{error}");
        }
    }

    /// The arguments that a wrapper starts its compiler with, and the C++ directories that it sets.
    fn started(wrapper: &Wrapper, args: &[&str]) -> (Vec<String>, String) {
        let call = wrapper.call(args.iter().map(Into::into).collect(), None);
        let Call::Program { program, args, env } = call else { panic!("{call:?}") };
        assert_eq!(program, "/it's a compiler");
        let cxx = env.into_iter().find(|(name, _)| name == "CPLUS_INCLUDE_PATH").map(|(_, value)| value);
        let text = |word: std::ffi::OsString| word.into_string().unwrap();
        (args.into_iter().map(text).collect(), cxx.map(text).unwrap_or_default())
    }

    fn wrapper(tree: &Tree, builtin: &Builtin) -> Wrapper {
        gcc_for("/it's a compiler".into(), tree, builtin)
    }

    #[test]
    fn the_callers_own_folders_come_first() {
        let (_dir, root) = made(WHOLE);
        let tree = tree(&root);
        let builtin = Builtin { headers: "/gcc/include".into(), cxx: Vec::new() };
        let (words, cxx) = started(&wrapper(&tree, &builtin), &["-I", "a b", "-Lown", "@x's", "-B.", "c.c"]);
        let (include, lib) = (root.join("usr/include"), root.join("usr/lib"));
        let wanted = [
            format!("--sysroot={root}"),
            "-nostdinc".to_owned(),
            format!("-ffile-prefix-map={root}=/sysroot"),
            "-I".to_owned(),
            "a b".to_owned(),
            "-Lown".to_owned(),
            "@x's".to_owned(),
            "-B.".to_owned(),
            "c.c".to_owned(),
            "-idirafter".to_owned(),
            "/gcc/include".to_owned(),
            "-idirafter".to_owned(),
            format!("{include}/arm-linux-gnueabihf"),
            "-idirafter".to_owned(),
            include.to_string(),
            format!("-B{lib}/arm-linux-gnueabihf/"),
            format!("-L{lib}/gcc/arm-linux-gnueabihf/10"),
            format!("-L{lib}/arm-linux-gnueabihf"),
        ];
        assert_eq!(words, wanted);
        assert!(cxx.starts_with(&format!("{include}/c++/10:")), "{cxx}");
    }

    #[test]
    fn who_brings_all_headers_gets_none() {
        let (_dir, root) = made(WHOLE);
        let tree = tree(&root);
        let wrapper = wrapper(&tree, &Builtin::default());
        let (words, cxx) = started(&wrapper, &["-nostdinc", "a.c"]);
        assert!(!words.contains(&"-idirafter".to_owned()) && cxx.is_empty(), "{words:?} {cxx}");
        let (words, cxx) = started(&wrapper, &["-nostdinc++", "a.cpp"]);
        assert!(words.contains(&"-idirafter".to_owned()) && cxx.is_empty(), "{words:?} {cxx}");
    }

    #[test]
    fn a_sysroot_without_cxx_leaves_the_compilers_own() {
        let answer = "ignoring nonexistent directory \"/x\"\n#include \"...\" search starts here:\n#include <...> search \
                    starts here:\n /usr/lib/gcc/12/../../x/include/c++/12\n /usr/lib/gcc/12/../../x/include/c++/12/x\n \
                    /usr/lib/gcc/12/include\nEnd of search list.\n /c++/no\n";
        let cxx = cxx_headers(answer);
        assert_eq!(cxx, ["/usr/lib/gcc/12/../../x/include/c++/12", "/usr/lib/gcc/12/../../x/include/c++/12/x"]);
        let (_dir, root) = made(&["usr/include/stdio.h"]);
        let tree = tree(&root);
        assert_eq!((&tree.gcc, tree.cxx.len()), (&None, 0));
        let builtin = Builtin { headers: "/gcc".into(), cxx };
        let (_, folders) = started(&wrapper(&tree, &builtin), &["a.cpp"]);
        assert_eq!(folders.split(':').count(), 2, "{folders}");
    }

    #[test]
    fn libclang_gets_words_that_a_shell_would_split() {
        let (_dir, root) = made(WHOLE);
        let words = clang_words(&tree(&root));
        let headers = format!("-idirafter '{root}/usr/include'");
        assert!(
            words.starts_with(&format!("'--sysroot={root}' -cxx-isystem ")) && words.ends_with(&headers),
            "{words}"
        );
    }
}
