//! Arguments of other resource compilers, as zig's (`zig rc`, which takes those of Microsoft's rc.exe) has them. Pure.

use std::ffi::OsString;

/// An option of GNU windres that has a value.
struct Valued {
    short: &'static str,
    long: &'static str,
    /// zig's option with the same value; none where the value is left out.
    own: Option<&'static str>,
}

/// The options of GNU windres that have a value, by its manual (binutils 2.40). The formats are left out, as the wrapper
/// names them; `--input` has an argument of its own.
const WINDRES: [Valued; 9] = [
    Valued { short: "-I", long: "--include-dir", own: Some("/i") },
    Valued { short: "-D", long: "--define", own: Some("/d") },
    Valued { short: "-U", long: "--undefine", own: Some("/u") },
    Valued { short: "-c", long: "--codepage", own: Some("/c") },
    Valued { short: "-l", long: "--language", own: Some("/l") },
    Valued { short: "-o", long: "--output", own: Some("/fo") },
    Valued { short: "-F", long: "--target", own: None },
    Valued { short: "-O", long: "--output-format", own: None },
    Valued { short: "-J", long: "--input-format", own: None },
];

/// The value of an option that is `arg`, or begins it; `Some(None)` where it is the next argument.
fn value_of<'a>(arg: &'a str, short: &str, long: &str) -> Option<Option<&'a str>> {
    if arg == short || arg == long {
        return Some(None);
    }
    let joined = arg.strip_prefix(long).and_then(|rest| rest.strip_prefix('='));
    joined.or_else(|| arg.strip_prefix(short).filter(|_| !arg.starts_with("--"))).map(Some)
}

/// The arguments of windres: the file to read is last.
pub(super) fn of_windres(args: Vec<OsString>) -> Vec<OsString> {
    let (mut kept, mut input) = (Vec::new(), None);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy().into_owned();
        let mut valued = |short: &str, long: &str| {
            let value = value_of(&text, short, long)?;
            Some(value.map_or_else(|| args.next().unwrap_or_default(), OsString::from))
        };
        if let Some(value) = valued("-i", "--input") {
            input = Some(value);
        } else if let Some((option, value)) =
            WINDRES.iter().find_map(|option| Some((option, valued(option.short, option.long)?)))
        {
            kept.extend(option.own.into_iter().flat_map(|own| [own.into(), value.clone()]));
        } else if text.starts_with('-') {
            // Nothing that a build script needs: `-v`, `--use-temp-file`, what is said to another preprocessor.
        } else if input.is_none() {
            input = Some(arg);
        } else {
            kept.extend(["/fo".into(), arg]);
        }
    }
    kept.extend(input.into_iter().flat_map(|input| ["--".into(), input]));
    kept
}

/// An argument of llvm-rc. It differs from Microsoft's compiler in one option.
pub(super) fn of_llvm_rc(arg: OsString) -> OsString {
    if NO_PREPROCESS.iter().any(|name| arg == *name) { "/:no-preprocess".into() } else { arg }
}

const NO_PREPROCESS: [&str; 2] = ["/no-preprocess", "-no-preprocess"];

/// The same as [`of_windres`] for `/bin/sh`.
pub(super) fn script_of_windres() -> String {
    let input = Valued { short: "-i", long: "--input", own: Some("input") };
    let options = || std::iter::once(&input).chain(&WINDRES).map(|option| (option, option.own.unwrap_or("left-out")));
    let next = "if [ \"$count\" -gt 0 ]; then value=$1; shift; count=$((count - 1)); fi";
    let apart =
        options().map(|(Valued { short, long, .. }, own)| format!("    {short} | {long}) option={own}; {next} ;;"));
    let long =
        options().map(|(Valued { long, .. }, own)| format!("    {long}=*) option={own} value=${{argument#*=}} ;;"));
    let short = options()
        .map(|(Valued { short, .. }, own)| format!("    {short}*) option={own} value=${{argument#{short}}} ;;"));
    let unknown = ["    --*) continue ;;".to_owned()];
    let cases: Vec<String> = apart.chain(long).chain(unknown).chain(short).collect();
    format!(
        "count=$# input=
while [ \"$count\" -gt 0 ]; do
  argument=$1 value=
  shift
  count=$((count - 1))
  case $argument in
{}
    -*) continue ;;
    *) if [ -z \"$input\" ]; then option=input; else option=/fo; fi; value=$argument ;;
  esac
  case $option in
    left-out) ;;
    input) input=$value ;;
    *) set -- \"$@\" \"$option\" \"$value\" ;;
  esac
done
[ -z \"$input\" ] || set -- \"$@\" -- \"$input\"",
        cases.join("\n")
    )
}

/// The same as [`of_llvm_rc`] for `/bin/sh`.
pub(super) fn script_of_llvm_rc() -> String {
    format!(
        "for argument do
  shift
  case $argument in
    {}) set -- \"$@\" /:no-preprocess ;;
    *) set -- \"$@\" \"$argument\" ;;
  esac
done",
        NO_PREPROCESS.join(" | ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(args: &[&str]) -> String {
        let args = of_windres(args.iter().map(OsString::from).collect());
        args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn windres_as_known_build_scripts_call_it() {
        // winresource 0.1.34
        assert_eq!(
            told(&["-I/project", "--target", "pe-x86-64", "/out/resource.rc", "/out/main_res.o"]),
            "/i /project /fo /out/main_res.o -- /out/resource.rc"
        );
        // embed-resource 3.0.12
        let args = ["--input", "a.rc", "--output", "/out/liba.a", "--include-dir", "/out", "--output-format=coff"];
        assert_eq!(told(&args), "/fo /out/liba.a /i /out -- a.rc");
        assert_eq!(
            told(&["-DNAME=a", "-D", "B", "--use-temp-file", "--define=C=1", "-ia.rc"]),
            "/d NAME=a /d B /d C=1 -- a.rc"
        );
        assert_eq!(told(&["-o"]), "/fo ");
    }
}
