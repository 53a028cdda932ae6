//! A wrapper as a script for `/bin/sh`, which every image has that convoy can use. Pure.

use super::call::{APPLE_PREFIXES, APPLE_WITH_VALUE, VISUAL_STUDIO};
use super::{Arguments, CXX_VARIABLE, Start, Wrapper, resources};
use crate::util::shell::quote;

/// The script's text.
pub(super) fn text(wrapper: &Wrapper) -> String {
    let program = program(wrapper).join(" ");
    let mut lines = vec!["#!/bin/sh".to_owned(), "# Written by cargo-convoy.".to_owned()];
    lines.extend(wrapper.env.iter().map(|(name, value)| format!("export {name}={}", quote(value))));
    if !wrapper.version.is_empty() {
        lines.push(format!("[ \"$*\" = --version ] && exec {program} {}", quoted(&wrapper.version)));
    }
    let headers = &wrapper.headers;
    if !headers.is_empty() {
        lines.push(WANTED.to_owned());
    }
    if !headers.cxx.is_empty() {
        let dirs: Vec<&str> = headers.cxx.iter().map(|dir| dir.as_str()).collect();
        let callers = format!("\"${{{CXX_VARIABLE}:+${CXX_VARIABLE}:}}\"");
        lines.push(format!("[ -z \"$cxx\" ] || export {CXX_VARIABLE}={callers}{}", quote(&dirs.join(":"))));
    }
    if wrapper.arguments == Arguments::WithoutTarget {
        lines.push(without_target());
    }
    if wrapper.arguments == Arguments::WithoutVisualStudio {
        lines.push(kept(&[], &VISUAL_STUDIO.map(|prefix| format!("{prefix}*"))));
    }
    if wrapper.arguments == Arguments::OfWindres {
        lines.push(resources::script_of_windres());
    }
    if wrapper.arguments == Arguments::OfLlvmRc {
        lines.push(resources::script_of_llvm_rc());
    }
    if !headers.c.is_empty() {
        lines.push(format!("[ -z \"$c\" ] || set -- \"$@\" {}", quoted(&headers.c)));
    }
    lines.push(format!("exec {program} {} \"$@\" {}", quoted(&wrapper.before), quoted(&wrapper.after)));
    lines.join("\n") + "\n"
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// The program with the words that stand before all arguments.
fn program(wrapper: &Wrapper) -> Vec<String> {
    match &wrapper.start {
        Start::Tool { path } => vec![quote(path.as_str())],
        Start::Zigbuild { convoy, driver } => {
            vec![quote(convoy.as_str()), "zig".to_owned(), driver.name().to_owned(), "--".to_owned()]
        }
        Start::Recording { convoy, linker, target, mingw } => {
            let (convoy, linker) = (quote(convoy.as_str()), quote(linker.as_str()));
            let mingw = mingw
                .as_ref()
                .map(|mingw| format!("--mingw {} --zig {} ", quote(mingw.runtime.as_str()), quote(mingw.zig.as_str())));
            vec![convoy, format!("link --target {target} --linker {linker} {}--", mingw.unwrap_or_default())]
        }
    }
}

/// Sets `c` and `cxx` where the caller wants the standard headers.
const WANTED: &str = "c=y cxx=y
for word do
  case $word in
  -nostdinc) c= cxx= ;;
  -nostdinc++) cxx= ;;
  esac
done";

fn without_target() -> String {
    let alone = ["--", "-isysroot?*"].map(str::to_owned).into_iter();
    let prefixes = alone.chain(APPLE_PREFIXES.map(|prefix| format!("{prefix}*")));
    kept(&APPLE_WITH_VALUE, &prefixes.collect::<Vec<_>>())
}

/// Takes arguments out: those that are followed by a value, and those of a pattern.
fn kept(with_value: &[&str], patterns: &[String]) -> String {
    let with_value = match with_value {
        [] => String::new(),
        some => format!("    {}) if [ \"$count\" -gt 0 ]; then shift; count=$((count - 1)); fi ;;\n", some.join(" | ")),
    };
    format!(
        "count=$#
while [ \"$count\" -gt 0 ]; do
  argument=$1
  shift
  count=$((count - 1))
  case $argument in
    {}) ;;
{with_value}    *) set -- \"$@\" \"$argument\" ;;
  esac
done",
        patterns.join(" | ")
    )
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::process::Command;

    use camino::{Utf8Path, Utf8PathBuf};

    use super::super::call::Call;
    use super::super::{Driver, Headers};
    use super::*;

    /// A program that tells the variables and arguments that it is started with.
    fn teller(dir: &Utf8Path) -> Utf8PathBuf {
        let text = format!("#!/bin/sh\nprintf '%s\\n' \"${CXX_VARIABLE}\" \"$A\" \"$@\"\n");
        crate::build::wrapper::file::write_if_different(dir, "it's a compiler", &text).unwrap()
    }

    fn told_by_script(wrapper: &Wrapper, args: &[&str], cxx: &str) -> Vec<String> {
        let mut command = Command::new("sh");
        command.args(["-c", &text(wrapper), "sh"]).args(args).env(CXX_VARIABLE, cxx).env_remove("A");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn told_by_call(wrapper: &Wrapper, args: &[&str], cxx: &str) -> Vec<String> {
        let call = wrapper.call(args.iter().map(OsString::from).collect(), Some(cxx.into()));
        let Call::Program { args, env, .. } = call else { panic!("{call:?}") };
        let set = |name: &str| env.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        let variables = [set(CXX_VARIABLE).unwrap_or(cxx.into()), set("A").unwrap_or_default()];
        variables.into_iter().chain(args).map(|word| word.into_string().unwrap()).collect()
    }

    /// A container's wrapper does what this machine's does.
    #[test]
    fn the_script_starts_what_the_call_says() {
        let held = tempfile::tempdir().unwrap();
        let path = teller(Utf8Path::from_path(held.path()).unwrap());
        let headers = Headers {
            c: ["-idirafter", "/a dir"].map(str::to_owned).to_vec(),
            cxx: vec!["/it's/c++".into(), "/more".into()],
        };
        let gcc = Wrapper {
            before: vec!["--sysroot=/it's \"a\" $root".to_owned()],
            after: vec!["-L/b c".to_owned()],
            env: [("A".to_owned(), "b 'c'".to_owned())].into(),
            headers,
            ..Wrapper::of(Start::Tool { path: path.clone() })
        };
        let only_c = Wrapper { headers: Headers { cxx: Vec::new(), ..gcc.headers.clone() }, ..gcc.clone() };
        let zig = Wrapper::of(Start::Zigbuild { convoy: path.clone(), driver: Driver::Cxx });
        let macos = Wrapper::plain_zig(&path, Driver::C, "aarch64-macos.11.0-none");
        for wrapper in [
            gcc,
            only_c,
            zig,
            macos,
            Wrapper::zig_tool(&path, "ar"),
            Wrapper::cmake(&path),
            Wrapper::windres(&path, "x86_64"),
            Wrapper::llvm_rc(&path),
        ] {
            for args in [
                &["-I", "a b", "@x's", "$HOME", "*", "\\", "-c", "a.c"][..],
                &["-nostdinc", "a.c"],
                &["-I/a b", "--include-dir", "c", "--input=x's.rc", "-F", "pe", "out.o", "--verbose", "/no-preprocess"],
                &["in.rc", "$out", "-O"],
                &["-Ax64", "-Thost=x64", "..", "-A", "-D"],
                &["-nostdinc++", "a.cpp"],
                &["--version"],
                &["-O2", "--target=arm64-apple-macosx", "-arch", "arm64", "-isysroot", "/s", "-c", "--", "a b.c"],
                &["-isysroot/s", "-mmacosx-version-min=11.0", "-mmacos-version-min=12", "-target", "x", "-E"],
                &["-arch"],
                &[],
            ] {
                for cxx in ["", "/own:/dirs"] {
                    let [script, call] = [told_by_script, told_by_call].map(|answer| answer(&wrapper, args, cxx));
                    assert_eq!(script, call, "{args:?}\n{}", text(&wrapper));
                }
            }
        }
    }

    #[test]
    fn the_shim_is_started_by_its_subcommand() {
        let start = Start::Recording {
            convoy: "/c o/x".into(),
            linker: "/it's/ld".into(),
            target: "arm-x".to_owned(),
            mingw: None,
        };
        let wrapper = Wrapper { after: vec!["-L/a b".to_owned()], ..Wrapper::of(start) };
        let last = text(&wrapper).lines().last().map(str::to_owned);
        let wanted = "exec '/c o/x' link --target arm-x --linker '/it'\\''s/ld' --  \"$@\" '-L/a b'";
        assert_eq!(last.as_deref(), Some(wanted));
    }
}
