//! Reading a linker's command line: which files it names, and where it writes. Pure.

use camino::{Utf8Path, Utf8PathBuf};

/// How deep `@response` files may name each other; linkers stop too.
const RESPONSE_DEPTH: usize = 16;

/// The arguments of one link, response files read. The largest links that are known have some ten thousand.
const MOST_WORDS: usize = 100_000;

/// How often response files may be read for one link: rustc and zig write one.
const MOST_FILES: usize = 1000;

/// The bytes of all these together.
const MOST_BYTES: usize = 64 << 20;

/// What a link line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkLine {
    /// `-o`.
    pub output: Option<Utf8PathBuf>,
    /// What may be an input, in order. Values of options stand here too (`-arch arm64`): what is no object and no
    /// archive is told by its bytes, so the options of every linker need not be known.
    pub inputs: Vec<Input>,
    /// `-L`.
    pub dirs: Vec<Utf8PathBuf>,
}

/// Something on a link line that may be linked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A path.
    File(Utf8PathBuf),
    /// `-lname`.
    Library {
        /// The name, without `lib` and suffix.
        name: String,
        /// Under `-Bstatic`: a shared library does not answer.
        only_static: bool,
    },
}

impl Input {
    /// The paths where a linker looks for this input, in its order; the first that exists is the one.
    pub(crate) fn candidates(&self, dirs: &[Utf8PathBuf]) -> Vec<Utf8PathBuf> {
        match self {
            Input::File(path) => vec![path.clone()],
            Input::Library { name, only_static } => {
                let names = match name.strip_prefix(':') {
                    Some(exact) => vec![exact.to_owned()],
                    None => {
                        let suffixes: &[_] = if *only_static { &["a"] } else { &["tbd", "dylib", "so", "a"] };
                        suffixes.iter().map(|suffix| format!("lib{name}.{suffix}")).collect()
                    }
                };
                dirs.iter().flat_map(|dir| names.iter().map(|name| dir.join(name))).collect()
            }
        }
    }
}

/// Replaces `@file` by the arguments in that file. `read` gives a file's text, or none when there is no such file: then
/// linkers take the argument as it stands. None when there would be more arguments than any link has: a few files that
/// name each other are enough for that.
pub(crate) fn expand(args: &[String], read: &dyn Fn(&Utf8Path) -> Option<String>) -> Option<Vec<String>> {
    let mut expansion = Expansion { read, words: Vec::with_capacity(args.len()), files: 0, bytes: 0 };
    expansion.add(args, RESPONSE_DEPTH)?;
    Some(expansion.words)
}

struct Expansion<'a> {
    read: &'a dyn Fn(&Utf8Path) -> Option<String>,
    words: Vec<String>,
    files: usize,
    bytes: usize,
}

impl Expansion<'_> {
    fn add(&mut self, args: &[String], depth: usize) -> Option<()> {
        for arg in args {
            match arg.strip_prefix('@').filter(|_| depth > 0).and_then(|path| (self.read)(Utf8Path::new(path))) {
                Some(text) => {
                    self.files += 1;
                    self.bytes += text.len();
                    (self.files <= MOST_FILES && self.bytes <= MOST_BYTES).then_some(())?;
                    self.add(&split_response(&text), depth - 1)?;
                }
                None => self.words.push(arg.clone()),
            }
            (self.words.len() <= MOST_WORDS).then_some(())?;
        }
        Some(())
    }
}

/// Splits a response file by GNU's rules: blanks part, quotes hold together, a backslash takes the next character.
fn split_response(text: &str) -> Vec<String> {
    let mut args: Vec<String> = Vec::new();
    let mut current: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if args.len() > MOST_WORDS {
            // More than these are refused as a whole.
            return args;
        }
        match char {
            '\\' => current.get_or_insert_default().extend(chars.next()),
            _ if quote == Some(char) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(char);
                current.get_or_insert_default();
            }
            _ if char.is_whitespace() && quote.is_none() => args.extend(current.take()),
            _ => current.get_or_insert_default().push(char),
        }
    }
    args.extend(current);
    args
}

/// Reads a link line: a compiler driver's, GNU ld's or ld64's, response files already expanded.
pub(crate) fn parse(args: &[String]) -> LinkLine {
    // `-Wl,a,b` and `-Xlinker a` only carry linker arguments through a driver.
    let mut flat = Vec::with_capacity(args.len());
    for arg in args {
        match arg.strip_prefix("-Wl,") {
            Some(list) => flat.extend(list.split(',')),
            None if arg == "-Xlinker" => {}
            None => flat.push(arg),
        }
    }

    let mut line = LinkLine::default();
    let mut only_static = false;
    let mut args = flat.into_iter();
    while let Some(arg) = args.next() {
        match arg {
            "-o" | "--output" => line.output = args.next().map(Utf8PathBuf::from),
            "-L" | "--library-path" => line.dirs.extend(args.next().map(Utf8PathBuf::from)),
            "-l" | "--library" => {
                line.inputs.extend(args.next().map(|name| Input::Library { name: name.to_owned(), only_static }));
            }
            "-Bstatic" | "-static" | "-static-pie" | "-dn" | "-non_shared" => only_static = true,
            "-Bdynamic" | "-dy" | "-call_shared" => only_static = false,
            _ => {
                if let Some(output) = arg.strip_prefix("--output=") {
                    line.output = Some(output.into());
                } else if let Some(dir) = arg.strip_prefix("--library-path=").or_else(|| arg.strip_prefix("-L")) {
                    line.dirs.push(dir.into());
                } else if let Some(name) = arg.strip_prefix("--library=").or_else(|| arg.strip_prefix("-l")) {
                    line.inputs.push(Input::Library { name: name.to_owned(), only_static });
                } else if !arg.starts_with('-') {
                    line.inputs.push(Input::File(arg.into()));
                }
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| (*arg).to_owned()).collect()
    }

    fn library(name: &str, only_static: bool) -> Input {
        Input::Library { name: name.to_owned(), only_static }
    }

    #[test]
    fn a_driver_line_of_rustc() {
        let line = parse(&strings(&[
            "-m32",
            "/tmp/rustc1/symbols.o",
            "/t/deps/rg-1.rg.0.rcgu.o",
            "-Wl,--as-needed",
            "-Wl,-Bstatic",
            "-lz",
            "/t/deps/liblibz-2.rlib",
            "-Wl,-Bdynamic",
            "-lgcc_s",
            "-l",
            "c",
            "-L",
            "/t/a b",
            "-L/sdk",
            "-Xlinker",
            "--library-path=/x",
            "-o",
            "/t/deps/rg-1",
        ]));
        assert_eq!(line.output.as_deref(), Some(Utf8Path::new("/t/deps/rg-1")));
        assert_eq!(line.dirs, ["/t/a b", "/sdk", "/x"]);
        assert_eq!(
            line.inputs,
            [
                Input::File("/tmp/rustc1/symbols.o".into()),
                Input::File("/t/deps/rg-1.rg.0.rcgu.o".into()),
                library("z", true),
                Input::File("/t/deps/liblibz-2.rlib".into()),
                library("gcc_s", false),
                library("c", false),
            ]
        );
    }

    #[test]
    fn a_driver_wide_static_flag_makes_every_library_static() {
        assert_eq!(parse(&strings(&["-static", "-lc"])).inputs, [library("c", true)]);
    }

    #[test]
    fn libraries_are_looked_for_as_linkers_do() {
        let dirs = ["/a".into(), "/b".into()];
        assert_eq!(library("z", true).candidates(&dirs), ["/a/libz.a", "/b/libz.a"]);
        assert_eq!(
            library("z", false).candidates(&dirs[..1]),
            ["/a/libz.tbd", "/a/libz.dylib", "/a/libz.so", "/a/libz.a"]
        );
        assert_eq!(library(":libz.a", false).candidates(&dirs), ["/a/libz.a", "/b/libz.a"]);
    }

    #[test]
    fn response_files_are_expanded_as_rustc_writes_them() {
        let read = |path: &Utf8Path| match path.as_str() {
            "outer" => Some("a.o\n@inner\n'b c.o' \"d\\\"e.o\"\n".to_owned()),
            "inner" => Some("f\\ g.o\nh\\\\i.o\n''".to_owned()),
            "loop" => Some("@loop x".to_owned()),
            _ => None,
        };
        assert_eq!(
            expand(&strings(&["-o", "x", "@outer", "@missing"]), &read).unwrap(),
            ["-o", "x", "a.o", "f g.o", "h\\i.o", "", "b c.o", "d\"e.o", "@missing"]
        );
        assert_eq!(expand(&strings(&["@loop"]), &read).unwrap().len(), RESPONSE_DEPTH + 1);
    }

    #[test]
    fn response_files_that_multiply_are_no_link() {
        let twelve = |_: &Utf8Path| Some("@again ".repeat(12));
        assert_eq!(expand(&strings(&["@again"]), &twelve), None);
        let words = |path: &Utf8Path| (path == "many").then(|| "x ".repeat(MOST_WORDS));
        assert_eq!(expand(&strings(&["@many"]), &words).unwrap().len(), MOST_WORDS);
        assert_eq!(expand(&strings(&["x", "@many"]), &words), None);
        let long = |_: &Utf8Path| Some("x".repeat(MOST_BYTES + 1));
        assert_eq!(expand(&strings(&["@long"]), &long), None);
    }
}
