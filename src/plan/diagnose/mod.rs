//! Whose fault a failed build is: a tool's, which another route may not have, or the code's. Pure: text in, cause out. The
//! sentences are rows of the embedded `targets/failures.toml`.

pub(crate) mod cargo;

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use crate::model::catalog::tools;
use crate::model::code::Code;

/// A fault of a tool, or of something that a tool did not find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// A stable name, such as `library-missing`.
    pub code: String,
    /// One sentence that names the crate.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Who would fail alike.
    pub scope: Scope,
}

/// Who fails for a cause.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The route that was tried.
    #[default]
    Route,
    /// Every route by this machine's own tools: a container has others.
    Machine,
    /// Every route.
    All,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    failure: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Row {
    code: String,
    pattern: String,
    says: String,
    hint: String,
    #[serde(default)]
    fails: Scope,
}

static ROWS: LazyLock<Vec<(Row, Regex)>> = LazyLock::new(|| {
    // Embedded and compiled by the tests below: a broken row never leaves the development machine.
    let file: File = toml::from_str(include_str!("../../../targets/failures.toml"))
        .unwrap_or_else(|error| panic!("embedded targets/failures.toml: {error}"));
    let compiled = file.failure.into_iter().map(|row| {
        let regex = Regex::new(&format!("(?m){}", row.pattern))
            .unwrap_or_else(|error| panic!("embedded targets/failures.toml: {error}"));
        (row, regex)
    });
    compiled.collect()
});

/// Why a build failed, when a tool is to blame. `kind` is the failure's code; `text` is what cargo and rustc printed,
/// without colours.
pub(crate) fn cause(kind: Code, text: &str) -> Option<Cause> {
    if ![Code::BuildScriptFailed, Code::LinkFailed].contains(&kind) || has_code_errors(text) {
        return None;
    }
    let text = &plain_quotes(text);
    let found: Vec<Option<(usize, Cause)>> =
        failures(text).into_iter().map(|(failure, who)| find(failure, &who)).collect();
    // Something that no tool is to blame for fails on every route.
    let more = found.iter().any(Option::is_none);
    let (_, cause) = found.into_iter().flatten().next()?;
    Some(Cause { scope: if more { Scope::All } else { cause.scope }, ..cause })
}

/// gcc quotes as the locale has it.
fn plain_quotes(text: &str) -> String {
    text.replace(['‘', '’'], "'").replace(['“', '”'], "\"")
}

/// The cause of one failure of `who`, and the number of the row that knows it.
fn find(text: &str, who: &str) -> Option<(usize, Cause)> {
    ROWS.iter().enumerate().find_map(|(number, (row, regex))| {
        let found = regex.captures(text)?;
        let what = found.name("what").map_or("", |what| what.as_str());
        // What build scripts are known to start is the machine's own, and images have most of it. Build scripts
        // themselves are linked for this machine.
        let tool = tools::tool(what).filter(|_| row.code == "tool-missing");
        let scope = match tool {
            Some(tool) if tool.is_in_images() => Scope::Machine,
            Some(_) => Scope::All,
            None if who.ends_with("(build script)") => row.fails.max(Scope::Machine),
            None => row.fails,
        };
        let cause = Cause {
            code: row.code.clone(),
            message: format!("{who}: {}", row.says.replace("{what}", what)),
            hint: row.hint.replace("{what}", what),
            scope,
        };
        Some((number, cause))
    })
}

const SCRIPT: &str = "error: failed to run custom build command for `";
const LINKS: &[&str] = &["error: linking with ", "error: linker ", "error: could not exec the linker"];
const UNIT: &str = "error: could not compile `";

/// Every failed build script and link: what was printed of it, and its crate.
fn failures(text: &str) -> Vec<(&str, String)> {
    let starts: Vec<usize> = text
        .split_inclusive('\n')
        .scan(0, |at, line| {
            let start = *at;
            *at += line.len();
            Some((start, line))
        })
        .filter(|(_, line)| line.starts_with("error") || line.starts_with("warning"))
        .map(|(start, _)| start)
        .collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let blocks: Vec<&str> = starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect();
    // rustc does not name the crate in the error of a link; cargo does in a line of its own, later.
    let mut units = blocks.iter().filter_map(|block| block.strip_prefix(UNIT));
    let mut failures = Vec::new();
    for block in &blocks {
        if let Some(rest) = block.strip_prefix(SCRIPT) {
            let mut words = rest.split(['`', ' ', '\n']);
            let name = words.next().unwrap_or_default();
            let version = words.next().unwrap_or_default().trim_start_matches('v');
            failures.push((*block, format!("crate `{name}` {version}")));
        } else if LINKS.iter().any(|start| block.starts_with(start)) {
            let unit = units.next().unwrap_or_default();
            let name = unit.split('`').next().unwrap_or_default();
            let script = if unit.contains("(build script)") { " (build script)" } else { "" };
            failures.push((*block, format!("crate `{name}`{script}")));
        }
    }
    failures
}

/// Whether rustc refused some code. What tools say stands further right, in cargo's and rustc's own words.
fn has_code_errors(text: &str) -> bool {
    let of_tools = |line: &str| {
        line.starts_with(SCRIPT)
            || line.starts_with(UNIT)
            || line.starts_with("error: aborting due to ")
            || LINKS.iter().any(|start| line.starts_with(start))
    };
    let code = |line: &str| line.starts_with("error[") || line.starts_with("error: ");
    text.lines().any(|line| code(line) && !of_tools(line))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use super::*;

    /// Logs of real builds, cut to what matters: their names, and the failure's code as the lane gave it.
    fn logs() -> Vec<(String, String)> {
        let mut logs: Vec<(String, String)> = fs_err::read_dir("tests/fixtures/failures")
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .map(|path| {
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                (name, fs_err::read_to_string(path).unwrap())
            })
            .collect();
        logs.sort();
        logs
    }

    fn rows_of(text: &str) -> Vec<usize> {
        failures(&plain_quotes(text))
            .into_iter()
            .filter_map(|(failure, who)| find(failure, &who))
            .map(|(row, _)| row)
            .collect()
    }

    fn kind(text: &str) -> Code {
        if text.contains("failed to run custom build command") { Code::BuildScriptFailed } else { Code::LinkFailed }
    }

    #[test]
    fn what_real_logs_mean() {
        let mut output = String::new();
        for (name, text) in logs() {
            match cause(kind(&text), &text) {
                None => writeln!(output, "{name}: none\n").unwrap(),
                Some(Cause { code, message, hint, scope }) => {
                    let scope = match scope {
                        Scope::Route => "",
                        Scope::Machine => " (every route of this machine)",
                        Scope::All => " (every route)",
                    };
                    writeln!(output, "{name}: {code}{scope}\n  {message}\n  hint: {hint}\n").unwrap();
                }
            }
        }
        insta::assert_snapshot!(output);
    }

    #[test]
    fn every_row_is_shown_by_a_real_log() {
        let shown: BTreeSet<usize> = logs().iter().flat_map(|(_, text)| rows_of(text)).collect();
        let idle: Vec<&str> = ROWS
            .iter()
            .enumerate()
            .filter(|(n, _)| !shown.contains(n))
            .map(|(_, (row, _))| row.pattern.as_str())
            .collect();
        assert!(idle.is_empty(), "no log in tests/fixtures/failures shows {idle:#?}");
    }

    #[test]
    fn every_place_for_a_name_is_filled() {
        for (row, regex) in ROWS.iter() {
            let named = regex.capture_names().flatten().any(|name| name == "what");
            let used = row.says.contains("{what}") || row.hint.contains("{what}");
            assert_eq!(named, used, "{}", row.pattern);
        }
    }

    #[test]
    fn only_build_scripts_and_links_have_causes() {
        let text = "error: linking with `cc` failed: exit status: 1\n  = note: ld: cannot find -lfoo\n";
        assert_eq!(cause(Code::LinkFailed, text).unwrap().code, "library-missing");
        for kind in [Code::CompileFailed, Code::CargoFailed, Code::DiskFull, Code::ArtifactMissing, Code::SetupFailed] {
            assert_eq!(cause(kind, text), None);
        }
    }

    #[test]
    fn a_tool_is_not_to_blame_beside_an_error_in_the_code() {
        let link = "error: linking with `cc` failed: exit status: 1\n  = note: ld: cannot find -lfoo\n";
        for error in ["error[E0308]: mismatched types\n", "error: cannot find macro `x` in this scope\n"] {
            assert_eq!(cause(Code::LinkFailed, &format!("{error}{link}")), None);
        }
    }

    #[test]
    fn each_of_several_failures_is_told_of_its_own_crate() {
        let script = |name: &str, output: &str| {
            format!(
                "error: failed to run custom build command for `{name} v1.0.0`\n\nCaused by:\n  process didn't exit \
                 successfully: `x` (exit status: 101)\n  --- stderr\n  {output}\n"
            )
        };
        let header = script("b-sys", "fatal error: 'x.h' file not found");
        let own = script("a", "thread 'main' panicked at build.rs:1:1:\n  not today");
        let cause = |text: &str| cause(Code::BuildScriptFailed, text).unwrap();
        let alone = cause(&header);
        assert_eq!(alone.message, "crate `b-sys` 1.0.0: the C compiler could not find the header `x.h`");
        assert_eq!(alone.scope, Scope::Route);
        let both = cause(&(own + &header));
        assert_eq!(both.message, alone.message);
        assert_eq!(both.scope, Scope::All, "`a` fails whatever the route");
    }

    #[test]
    fn what_links_a_build_script_is_a_matter_of_this_machine() {
        let text = "error: linking with `cc` failed: exit status: 1\n  = note: ld: cannot find -lfoo\n\n\
                    error: could not compile `a` (build script) due to 1 previous error\n";
        assert_eq!(cause(Code::LinkFailed, text).unwrap().scope, Scope::Machine);
    }
}
