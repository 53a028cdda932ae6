//! A wrapper and the arguments that it is started with → what it starts. Pure.

use std::ffi::{OsStr, OsString};

use camino::Utf8PathBuf;

use super::{Arguments, CXX_VARIABLE, Start, Wrapper, resources};
use crate::build::shim::Mingw;

/// What a wrapper starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Another program, in place of this process.
    Program {
        /// Its path, or a name that is looked up on PATH.
        program: Utf8PathBuf,
        /// Its arguments.
        args: Vec<OsString>,
        /// Variables to set.
        env: Vec<(String, OsString)>,
    },
    /// The linker shim, in this process.
    Shim {
        /// The linker.
        linker: Utf8PathBuf,
        /// The triple that is linked for.
        target: String,
        /// The linker's arguments.
        args: Vec<OsString>,
        /// MinGW's runtime, where C code may ask for parts of it.
        mingw: Option<Mingw>,
    },
}

impl Wrapper {
    /// What this wrapper starts when it is called with `args`, its own name not among them. `cxx` is the value of
    /// [`CXX_VARIABLE`] in the environment.
    pub fn call(&self, args: Vec<OsString>, cxx: Option<OsString>) -> Call {
        let mut env: Vec<(String, OsString)> =
            self.env.iter().map(|(name, value)| (name.clone(), value.into())).collect();
        let mut all = self.words_of_convoy();
        match args.as_slice() {
            [only] if only == "--version" && !self.version.is_empty() => {
                all.extend(self.version.iter().map(OsString::from));
            }
            _ => {
                let wanted = Wanted::by(&args);
                if wanted.cxx && !self.headers.cxx.is_empty() {
                    env.push((CXX_VARIABLE.to_owned(), self.cxx_directories(cxx)));
                }
                all.extend(self.before.iter().map(OsString::from));
                match self.arguments {
                    Arguments::Unchanged => all.extend(args),
                    Arguments::WithoutTarget => all.extend(without_target(args)),
                    Arguments::OfWindres => all.extend(resources::of_windres(args)),
                    Arguments::OfLlvmRc => all.extend(args.into_iter().map(resources::of_llvm_rc)),
                    Arguments::WithoutVisualStudio => {
                        let foreign = |arg: &OsString| VISUAL_STUDIO.iter().any(|prefix| starts_with(arg, prefix));
                        all.extend(args.into_iter().filter(|arg| !foreign(arg)));
                    }
                }
                if wanted.c {
                    all.extend(self.headers.c.iter().map(OsString::from));
                }
                all.extend(self.after.iter().map(OsString::from));
            }
        }
        match &self.start {
            Start::Tool { path: program } | Start::Zigbuild { convoy: program, .. } => {
                Call::Program { program: program.clone(), args: all, env }
            }
            Start::Recording { linker, target, mingw, .. } => {
                Call::Shim { linker: linker.clone(), target: target.clone(), args: all, mingw: mingw.clone() }
            }
        }
    }

    /// What stands before all arguments so that convoy does its part.
    fn words_of_convoy(&self) -> Vec<OsString> {
        match &self.start {
            Start::Zigbuild { driver, .. } => ["zig", driver.name(), "--"].map(OsString::from).to_vec(),
            Start::Tool { .. } | Start::Recording { .. } => Vec::new(),
        }
    }

    /// The value of [`CXX_VARIABLE`]: the caller's directories come first.
    fn cxx_directories(&self, callers: Option<OsString>) -> OsString {
        let mut all = callers.unwrap_or_default();
        for dir in &self.headers.cxx {
            if !all.is_empty() {
                all.push(SEPARATOR);
            }
            all.push(dir.as_str());
        }
        all
    }
}

/// Between the directories of a variable.
const SEPARATOR: &str = if cfg!(windows) { ";" } else { ":" };

/// Which of the target's headers a caller wants.
struct Wanted {
    c: bool,
    cxx: bool,
}

impl Wanted {
    fn by(args: &[OsString]) -> Self {
        let c = !args.iter().any(|arg| arg == "-nostdinc");
        Self { c, cxx: c && !args.iter().any(|arg| arg == "-nostdinc++") }
    }
}

/// See [`Wrapper::plain_zig`].
fn without_target(args: Vec<OsString>) -> Vec<OsString> {
    let mut kept = Vec::with_capacity(args.len());
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if APPLE_WITH_VALUE.iter().any(|option| arg == *option) {
            // Its value is the next argument.
            args.next();
        } else if !is_apple_option(&arg) {
            kept.push(arg);
        }
    }
    kept
}

/// How the options begin that cmake takes for Visual Studio alone.
pub(super) const VISUAL_STUDIO: [&str; 2] = ["-A", "-Thost="];

fn starts_with(arg: &OsStr, prefix: &str) -> bool {
    arg.as_encoded_bytes().starts_with(prefix.as_bytes())
}

/// Options whose value is the next argument.
pub(super) const APPLE_WITH_VALUE: [&str; 3] = ["-target", "-arch", "-isysroot"];

/// How options with a value begin.
pub(super) const APPLE_PREFIXES: [&str; 3] = ["--target=", "-mmacosx-version-min=", "-mmacos-version-min="];

fn is_apple_option(arg: &OsStr) -> bool {
    let bytes = arg.as_encoded_bytes();
    bytes == b"--" || bytes.starts_with(b"-isysroot") || APPLE_PREFIXES.iter().any(|prefix| starts_with(arg, prefix))
}

#[cfg(test)]
mod tests {
    use super::super::{Driver, Headers};
    use super::*;

    fn started(wrapper: &Wrapper, args: &[&str], cxx: Option<&str>) -> String {
        let call = wrapper.call(args.iter().map(OsString::from).collect(), cxx.map(OsString::from));
        let (program, args, env) = match call {
            Call::Program { program, args, env } => (program.into_string(), args, env),
            Call::Shim { linker, target, args, .. } => (format!("shim for {target}: {linker}"), args, Vec::new()),
        };
        let env = env.into_iter().map(|(name, value)| format!("{name}={}\n", value.display()));
        let args = args.into_iter().map(|arg| format!("  {}\n", arg.display()));
        format!("{}{program}\n{}", env.collect::<String>(), args.collect::<String>())
    }

    fn gcc() -> Wrapper {
        Wrapper {
            before: vec!["--sysroot=/s".to_owned(), "-nostdinc".to_owned()],
            after: vec!["-L/s/lib".to_owned()],
            headers: Headers {
                c: ["-idirafter", "/my headers"].map(str::to_owned).to_vec(),
                cxx: vec!["/s/c++/12".into(), "/s/c++/12/backward".into()],
            },
            ..Wrapper::of(Start::Tool { path: "/opt/it's a/gcc".into() })
        }
    }

    #[test]
    fn the_targets_headers_come_after_the_callers_arguments_and_before_libraries() {
        insta::assert_snapshot!(started(&gcc(), &["-I", "a b", "@x's", "\"c\".c"], None), @r#"
        CPLUS_INCLUDE_PATH=/s/c++/12:/s/c++/12/backward
        /opt/it's a/gcc
          --sysroot=/s
          -nostdinc
          -I
          a b
          @x's
          "c".c
          -idirafter
          /my headers
          -L/s/lib
        "#);
    }

    #[test]
    fn a_caller_with_its_own_headers_gets_none() {
        for (args, c, cxx) in [
            (["-c", "a.c"], true, true),
            (["-nostdinc++", "a.cpp"], true, false),
            (["-nostdinc", "a.c"], false, false),
            (["-nostdinc", "-nostdinc++"], false, false),
        ] {
            let call = started(&gcc(), &args, None);
            assert_eq!((call.contains("-idirafter"), call.contains(CXX_VARIABLE)), (c, cxx), "{call}");
        }
    }

    #[test]
    fn the_callers_cxx_directories_come_first() {
        let first = |cxx| started(&gcc(), &[], cxx).lines().next().unwrap_or_default().to_owned();
        assert_eq!(first(Some("/own:/more")), "CPLUS_INCLUDE_PATH=/own:/more:/s/c++/12:/s/c++/12/backward");
        assert_eq!(first(Some("")), "CPLUS_INCLUDE_PATH=/s/c++/12:/s/c++/12/backward");
    }

    #[test]
    fn options_of_apples_clang_are_dropped() {
        let wrapper = Wrapper::plain_zig("zig".into(), Driver::C, "aarch64-macos.11.0-none");
        let ours = "zig\n  cc\n  -target\n  aarch64-macos.11.0-none\n  -fno-sanitize=undefined\n  -Wno-error=date-time\n  \
             -fno-define-target-os-macros\n";
        for (args, rest) in [
            ("-O2 --target=arm64-apple-macosx -arch arm64 -isysroot /s -c a.c", "  -O2\n  -c\n  a.c\n"),
            ("-mmacosx-version-min=11.0 -mmacos-version-min=1 -isysroot/s -target x -E", "  -E\n"),
            ("-c -- a.c", "  -c\n  a.c\n"),
            ("-v --version", "  -v\n  --version\n"),
            ("-arch", ""),
        ] {
            let args: Vec<&str> = args.split(' ').collect();
            assert_eq!(started(&wrapper, &args, None), format!("{ours}{rest}"), "{args:?}");
        }
        assert_eq!(started(&wrapper, &[], None), ours);
        assert_eq!(started(&wrapper, &["a b.c"], None), format!("{ours}  a b.c\n"));
        assert_eq!(started(&wrapper, &["--version"], None), "zig\n  cc\n  --version\n");
    }

    #[test]
    fn zig_and_the_shim_are_parts_of_convoy() {
        let zig = Wrapper {
            before: vec!["-g".to_owned()],
            after: vec!["-L/s".to_owned()],
            env: [("CARGO_ZIGBUILD_ZIG_COMMAND".to_owned(), "/a zig".to_owned())].into(),
            ..Wrapper::of(Start::Zigbuild { convoy: "/c/convoy".into(), driver: Driver::Cxx })
        };
        insta::assert_snapshot!(started(&zig, &["a.o", "--version"], None), @r"
        CARGO_ZIGBUILD_ZIG_COMMAND=/a zig
        /c/convoy
          zig
          c++
          --
          -g
          a.o
          --version
          -L/s
        ");
        let start = Start::Recording {
            convoy: "/c/convoy".into(),
            linker: "/t/x gcc".into(),
            target: "arm-x".to_owned(),
            mingw: None,
        };
        let recording = Wrapper { after: vec!["-L/s".to_owned()], ..Wrapper::of(start) };
        insta::assert_snapshot!(started(&recording, &["--linker", "--"], None), @r"
        shim for arm-x: /t/x gcc
          --linker
          --
          -L/s
        ");
        assert_eq!(
            started(&Wrapper::zig_tool("/a zig".into(), "ar"), &["--version"], None),
            "/a zig\n  ar\n  --version\n"
        );
    }

    #[cfg(unix)]
    #[test]
    fn arguments_need_not_be_text() {
        use std::os::unix::ffi::OsStringExt as _;
        let odd = OsString::from_vec(b"-isysroo\xff".to_vec());
        let wrapper = Wrapper::plain_zig("zig".into(), Driver::C, "x");
        let Call::Program { args, .. } = wrapper.call(vec![odd.clone()], None) else { panic!("no program") };
        assert_eq!(args.last(), Some(&odd));
    }
}
