//! The documents say what is so: command lines, links and files, and the commands are run.

use std::collections::BTreeSet;

use cargo_convoy::command::{Cli, Command};
use cargo_convoy::model::catalog::Catalog;
use cargo_convoy::plan::matrix;
use clap::Parser as _;

use super::document::{
    Document, commands_of_the_program, convoy_commands, document, documents, flags_of, quoted, root, set, sources,
};

#[test]
fn the_readme_is_short_and_has_the_two_commands() {
    let readme = document("README.md");
    assert!(readme.text.lines().count() < 200);
    let lines: Vec<String> = readme.commands().iter().map(|command| command.join(" ")).collect();
    let both = [
        "ci/setup build",
        "cargo run --locked -- build --manifest-path tests/fixtures/hello-c/Cargo.toml",
        "ci/setup",
        "ci/test",
    ];
    assert_eq!(lines[..4], both);
}

#[test]
fn every_command_line_is_understood() {
    let commands = convoy_commands();
    assert!(commands.len() > 25, "{commands:?}");
    for command in commands {
        let line = std::iter::once("cargo-convoy".to_owned()).chain(command.clone());
        let parsed = Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let words = match parsed.command {
            Command::Build(args) => args.validate().unwrap_or_else(|error| panic!("{command:?}: {error}")).0.targets,
            Command::Plan(args) => args.validate().unwrap_or_else(|error| panic!("{command:?}: {error}")).0.targets,
            Command::Verify(args) => args.target.into_iter().collect(),
            _ => continue,
        };
        matrix::cells(&words, &matrix::Known::of_catalog(Catalog::embedded()), &|_| Default::default())
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    }
}

/// What is not a console block: words in backquotes, in documents and in the forms of issues.
#[test]
fn commands_and_flags_in_sentences_are_known() {
    let known = commands_of_the_program();
    let mut texts: Vec<(String, String)> = documents().iter().map(|it| (it.path.to_string(), it.prose())).collect();
    for entry in root().join(".github/ISSUE_TEMPLATE").read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        texts.push((path.to_string(), fs_err::read_to_string(path).unwrap()));
    }
    let mut checked = 0;
    for (path, text) in texts {
        let flat = text.replace("\\|", "|").split_whitespace().collect::<Vec<_>>().join(" ");
        for span in quoted(&flat).into_iter().filter_map(|span| span.strip_prefix("cargo convoy ")) {
            let words: Vec<&str> = span.split(' ').collect();
            if !words[0].starts_with(|c: char| c.is_ascii_lowercase()) || words[0] == "help" {
                continue;
            }
            let name = match words.get(1).map(|second| format!("{} {second}", words[0])) {
                Some(both) if known.contains_key(&both) => both,
                _ => words[0].to_owned(),
            };
            let command = known.get(&name).unwrap_or_else(|| panic!("{path}: `cargo convoy {span}`: no such command"));
            let flags = flags_of(command);
            for flag in words.iter().take_while(|word| **word != "--").filter(|word| word.starts_with('-')) {
                assert!(flags.contains(*flag), "{path}: `cargo convoy {span}`: no flag {flag}");
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn links_and_anchors_lead_somewhere() {
    let documents = documents();
    let mut checked = 0;
    for document in &documents {
        for link in document.links().iter().filter(|link| !link.starts_with("https://")) {
            let (path, anchor) =
                link.split_once('#').map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
            let dir = document.path.parent().unwrap();
            let target = match path {
                "" => root().join(&document.path),
                path => root().join(dir).join(path),
            };
            assert!(target.exists(), "{}: nothing is at `{link}`", document.path);
            if let Some(anchor) = anchor {
                let target = target.canonicalize_utf8().unwrap();
                let target = target.strip_prefix(root().canonicalize_utf8().unwrap()).unwrap().to_owned();
                let anchors = documents.iter().find(|it| it.path == target).unwrap().anchors();
                assert!(anchors.contains(anchor), "{}: no heading for `{link}` among {anchors:?}", document.path);
            }
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked}");
    // Every document can be found from the README or from CONTRIBUTING.
    let linked: BTreeSet<String> =
        ["README.md", "CONTRIBUTING.md"].iter().flat_map(|it| document(it).links()).collect();
    for document in documents.iter().filter(|it| it.path != "README.md" && !it.path.starts_with(".github")) {
        assert!(linked.contains(document.path.as_str()), "{}: the README does not lead to it", document.path);
    }
}

#[test]
fn anchors_are_those_of_github() {
    let text = "# A b\n## `[target.\"X\"]` and C++, d_e\n## A b\n```text\n# no heading\n```\n".to_owned();
    let document = Document { path: "x.md".into(), text };
    assert_eq!(document.anchors(), set(["a-b", "targetx-and-c-d_e", "a-b-1"].map(str::to_owned)));
}

#[test]
fn files_that_are_named_are_there() {
    const DIRS: [&str; 8] = ["src/", "targets/", "ci/", "tests/", "docs/", "fuzz/", "examples/", ".github/"];
    let mut checked = 0;
    // What earlier versions had may be gone.
    for document in documents().iter().filter(|it| it.path != "CHANGELOG.md") {
        let words = document.commands().into_iter().map(|command| command[0].clone()).filter(|word| word.contains('/'));
        let prose = document.prose();
        let spans = quoted(&prose).into_iter().filter_map(|span| span.split_whitespace().next()).map(str::to_owned);
        let plain =
            |word: &String| !word.contains(['<', '*', '…', '$']) && DIRS.iter().any(|dir| word.starts_with(dir));
        for path in words.chain(spans.filter(plain)) {
            // A file of the user's project in an example.
            if ["ci/Dockerfile", "ci/pre-build.sh"].contains(&path.as_str()) {
                continue;
            }
            assert!(root().join(&path).exists(), "{}: `{path}` is named and is not there", document.path);
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked}");
}

#[test]
fn types_and_constants_that_are_named_are_there() {
    let sources = sources();
    let mut checked = 0;
    for path in ["docs/architecture.md", "docs/adding.md"] {
        let document = document(path);
        let prose = document.prose();
        for word in quoted(&prose).into_iter().filter(|word| word.chars().all(|c| c.is_ascii_alphabetic() || c == '_'))
        {
            let camel = word.starts_with(|c: char| c.is_ascii_uppercase()) && word.contains(|c: char| c.is_lowercase());
            let shouted = word.len() > 5 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            let kinds: &[&str] = match (camel, shouted) {
                (true, _) => &["struct", "enum", "type"],
                (_, true) if word != "README" => &["const", "static"],
                _ => continue,
            };
            let there = kinds.iter().any(|kind| {
                sources.split(&format!("{kind} {word}")).skip(1).any(|rest| !rest.starts_with(char::is_alphanumeric))
            });
            assert!(there, "{path}: no {kinds:?} `{word}` in src");
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn the_oldest_rust_is_the_same_everywhere() {
    let manifest = fs_err::read_to_string(root().join("Cargo.toml")).unwrap();
    let oldest = manifest.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    for path in ["README.md", "CONTRIBUTING.md"] {
        assert!(document(path).text.contains(&format!("Rust {oldest} or newer")), "{path}: {oldest}");
    }
    let workflow = fs_err::read_to_string(root().join(".github/workflows/ci.yml")).unwrap();
    assert!(workflow.contains(&format!("cargo +{oldest}.0 check")), "{oldest}");
}

#[test]
fn nothing_of_one_machine_is_in_a_document() {
    for document in documents() {
        for word in ["/work/", "/root/", "/home/"] {
            assert!(!document.text.contains(word), "{}: {word}", document.path);
        }
    }
}
