//! The tables of the documents are those of the program: commands, flags, keys, exit codes, routes, targets, variables,
//! kinds and codes.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use cargo_convoy::command::Cli;
use cargo_convoy::model::catalog::{Catalog, DEFAULT_MATRIX, Target};
use cargo_convoy::model::code::{Code, CodeKind};
use cargo_convoy::model::request::SchemaKind;
use cargo_convoy::plan::{RouteKind, matrix};
use cargo_convoy::release::ArtifactRow;
use cargo_convoy::verify::Level;
use clap::{CommandFactory as _, ValueEnum as _};

use super::document::{commands_of_the_program, document, flags_of, quoted, root, set, sources};
use super::{example_targets, example_verify};
use crate::support::Project;

#[test]
fn the_rooms_are_those_of_the_library() {
    let told = document("docs/architecture.md").firsts("module");
    let library = fs_err::read_to_string(root().join("src/lib.rs")).unwrap();
    let rows = library.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    let known: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    assert_eq!(told, known);
}

#[test]
fn every_command_has_its_row() {
    let rows = document("docs/configuration.md").firsts("command");
    let known = commands_of_the_program();
    let told = rows.iter().filter_map(|text| text.strip_prefix("cargo convoy ")).map(|text| {
        let words = text.split(' ').take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
        words.collect::<Vec<_>>().join(" ")
    });
    assert_eq!(set(told), set(known.into_keys()));
}

#[test]
fn every_flag_has_its_row_with_its_commands() {
    let configuration = document("docs/configuration.md");
    let known = commands_of_the_program();
    let selection = configuration.text.split("Commands with a selection: ").nth(1).unwrap();
    let selection: Vec<&str> = quoted(selection.split('.').next().unwrap());
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in configuration.tables("flag") {
        let mut commands: BTreeSet<String> = quoted(&row[1]).into_iter().map(str::to_owned).collect();
        commands.extend(
            row[1].contains("selection").then(|| selection.iter().map(|it| (*it).to_owned())).into_iter().flatten(),
        );
        if row[1] == "all" {
            commands.extend(known.keys().cloned());
        }
        for spelling in quoted(&row[0]) {
            let flag = spelling.split([' ', '=']).next().unwrap();
            assert!(told.insert(flag.to_owned(), commands.clone()).is_none(), "{flag} stands twice");
        }
    }
    let mut really: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, command) in &known {
        for flag in flags_of(command) {
            really.entry(flag).or_default().insert(name.clone());
        }
    }
    assert_eq!(told, really);
}

/// `--help` prints what the definition has, so that the two cannot differ.
#[test]
fn the_help_has_every_documented_flag() {
    let project = Project::hello("the_help_has_every_documented_flag");
    let help = project.convoy(["build", "--help"]).ends(0).stdout;
    for row in document("docs/configuration.md").tables("flag") {
        if row[1].contains("selection") || row[1].contains("`build`") || row[1] == "all" {
            for flag in quoted(&row[0]).into_iter().filter(|flag| flag.starts_with("--")) {
                let flag = flag.split(' ').next().unwrap();
                assert!(help.contains(flag), "{flag} is not in\n{help}");
            }
        }
    }
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let json = document("docs/json.md");
    let program = Cli::command();
    let help = program.get_after_help().unwrap().to_string();
    // `  0    everything …`: the code, some blanks, the sentence.
    let rows = help.lines().filter_map(|line| line.strip_prefix("  ")?.split_once("  "));
    let known: Vec<Vec<String>> = rows.map(|(code, text)| vec![code.to_owned(), text.trim().to_owned()]).collect();
    assert!(known.len() > 5, "{help}");
    assert_eq!(json.tables("code"), known);
    let order = help.lines().last().unwrap();
    assert!(json.text.contains(order), "{order}");
}

/// Flags that stand alone in sentences are convoy's, or one of these of cargo's.
#[test]
fn flags_in_sentences_are_known() {
    const CARGOS: [&str; 6] =
        ["--timings", "--ignore-rust-version", "--config", "--message-format", "--artifact-dir", "--keep-going"];
    let known: BTreeSet<String> = commands_of_the_program().values().flat_map(flags_of).collect();
    let mut checked = 0;
    for path in ["README.md", "docs/guide.md", "docs/configuration.md", "docs/json.md", "docs/architecture.md"] {
        let document = document(path);
        let prose = document.prose();
        for span in quoted(&prose).into_iter().filter(|span| span.starts_with("--") && *span != "--") {
            let flag = span.split([' ', '=', '\n']).next().unwrap();
            assert!(known.contains(flag) || CARGOS.contains(&flag), "{path}: `{span}`: no such flag");
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked}");
}

/// Compares the rows of a document's table with those that the program's data gives, or writes them.
fn has_table(path: &str, columns: &str, rows: &str) {
    let document = document(path);
    let dashes = columns.split(" | ").map(|_| "---").collect::<Vec<_>>().join(" | ");
    let table = format!("| {columns} |\n| {dashes} |\n{rows}");
    let start = document.text.find(&format!("| {columns} |\n")).unwrap();
    let rest = &document.text[start..];
    let end = start + rest.find("\n\n").map_or(rest.len(), |blank| blank + 1);
    if document.text[start..end] == table {
        return;
    }
    assert!(
        std::env::var_os("CONVOY_UPDATE_DOCS").is_some(),
        "the table of `{columns}` in {path} is out of date; run `CONVOY_UPDATE_DOCS=1 cargo test --test repository \
         reference` to write this:\n{table}"
    );
    let text = format!("{}{table}{}", &document.text[..start], &document.text[end..]);
    fs_err::write(root().join(path), text).unwrap();
}

/// A target's row in the table of the README.
fn row(target: &Target) -> String {
    let mut routes: Vec<&str> = vec![];
    routes.extend((target.triple == "x86_64-unknown-linux-gnu").then_some("host"));
    routes.extend(target.lld.is_some().then_some("lld"));
    routes.extend(target.gcc.is_some().then_some("gcc"));
    routes.extend(target.zig.is_some().then_some("zig"));
    let platform = target.platform.as_ref().map_or_else(String::new, |platform| format!(" `{platform}`"));
    format!("| `{}` |{platform} | {} |\n", target.triple, routes.join(", "))
}

#[test]
fn targets_and_devices_are_those_of_the_catalog() {
    let readme = document("README.md");
    let guide = document("docs/guide.md");
    let catalog = Catalog::embedded();
    has_table("README.md", "triple | platform | routes", &catalog.targets.iter().map(row).collect::<String>());
    let devices = readme.text.lines().find(|line| line.starts_with("Devices: ")).unwrap();
    let known: Vec<&str> = catalog.devices.iter().map(|device| device.name.as_str()).collect();
    assert_eq!(quoted(devices), known);
    let matrix: Vec<&str> = guide.text.split("these six: ").nth(1).map(quoted).unwrap().into_iter().take(6).collect();
    assert_eq!(matrix, DEFAULT_MATRIX);
    let resolve = |word: &str| {
        matrix::cells(&[word.to_owned()], &matrix::Known::of_catalog(catalog), &|_| Default::default()).unwrap()
    };
    for row in guide.tables("word") {
        for word in quoted(&row[1]) {
            resolve(word);
        }
    }
    // The ids of the group `pi`, and of what names itself.
    let ids = |word: &str| resolve(word).into_iter().map(|cell| cell.id).collect::<Vec<_>>();
    for row in guide.tables("you ask for") {
        match quoted(&row[0]).as_slice() {
            ["pi", "pi.2.36"] => {
                let told = quoted(&row[1]);
                assert_eq!(
                    (&told[..3], told[3]),
                    (ids("pi").iter().map(String::as_str).collect::<Vec<_>>().as_slice(), &*ids("pi.2.36")[0])
                );
            }
            [] => quoted(&row[1]).into_iter().for_each(|id| assert_eq!(ids(id), [id])),
            _ => {}
        }
    }
}

#[test]
fn routes_are_those_there_are() {
    assert_eq!(document("docs/guide.md").firsts("route"), RouteKind::ALL.map(RouteKind::name));
}

#[test]
fn variables_are_those_that_are_read() {
    fn is_variable(word: &str) -> bool {
        word.strip_prefix("CONVOY_")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
    }
    let sources = sources();
    // A name in quotes is one that the program reads.
    let known = set(sources.split('"').filter(|word| is_variable(word)).map(str::to_owned));
    assert_eq!(set(document("docs/configuration.md").firsts("variable")), known);
}

#[test]
fn the_convoy_toml_is_right_and_every_key_has_its_row() {
    let configuration = document("docs/configuration.md");
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().join("Convoy.toml")).unwrap();
    let [text] = configuration.blocks("toml").try_into().unwrap();
    fs_err::write(&path, &text).unwrap();
    let file = cargo_convoy::project::config::load(&path).unwrap().unwrap();
    assert_eq!(file.warnings, [""; 0]);
    // `init` writes every key.
    let keys = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().map(|line| line.trim_start_matches("# "));
        lines.filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).filter(|key| !key.contains(' ')).collect()
    };
    let known = keys(include_str!("../../src/command/init.toml"));
    assert!(known.len() > 30, "{known:?}");
    assert_eq!(keys(&text), known);
    assert_eq!(set(configuration.firsts("key")), known);
}

#[test]
fn the_manifest_row_is_one() {
    let [row] = document("docs/json.md").blocks("json").try_into().unwrap();
    let row: ArtifactRow = serde_json::from_str(&row).unwrap();
    assert!(row.verified);
}

#[test]
fn kinds_and_fields_are_those_of_the_schemas() {
    fn properties(value: &serde_json::Value, found: &mut BTreeSet<String>) {
        if let Some(properties) = value.get("properties").and_then(|it| it.as_object()) {
            found.extend(properties.keys().cloned());
        }
        match value {
            serde_json::Value::Object(map) => map.values().for_each(|value| properties(value, found)),
            serde_json::Value::Array(list) => list.iter().for_each(|value| properties(value, found)),
            _ => {}
        }
    }
    let json = document("docs/json.md");
    let kinds = SchemaKind::value_variants().iter().map(|kind| kind.to_possible_value().unwrap().get_name().to_owned());
    assert_eq!(set(json.firsts("kind")), kinds.collect());
    let project = Project::hello("kinds_and_fields_are_those_of_the_schemas");
    let mut known = BTreeSet::new();
    properties(&project.convoy(["schema"]).ends(0).json(), &mut known);
    let told = json.firsts("field");
    assert!(told.len() > 20, "{told:?}");
    for field in told {
        assert!(known.contains(&field), "no output has a field `{field}`");
    }
}

#[test]
fn codes_are_those_of_the_program() {
    let sources = sources();
    let name = |variant: &str| {
        let named = Code::ALL.iter().find(|(code, ..)| format!("{code:?}") == variant);
        named.map(|(code, ..)| code.name().to_owned())
    };
    // `Finding::ok(Code::X`, `Level::Violation, Code::X`, and those that are written out.
    let mut levels: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (level, ways) in [
        ("ok", ["::ok(", "Level::Ok,"]),
        ("warning", ["::warning(", "Level::Warning,"]),
        ("violation", ["::violation(", "Level::Violation,"]),
    ] {
        for rest in ways.iter().flat_map(|way| sources.split(way).skip(1)) {
            let Some(rest) = rest.trim_start().strip_prefix("Code::") else { continue };
            let variant = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap();
            levels.entry(name(variant).unwrap()).or_default().insert(level);
        }
    }
    for (code, level) in [("target-unknown", "warning"), ("truncated", "violation"), ("damaged", "violation")] {
        levels.entry(code.to_owned()).or_default().insert(level);
    }
    let findings = Code::ALL.iter().filter(|(_, kind, _)| *kind == CodeKind::Finding);
    assert_eq!(set(findings.map(|(code, ..)| code.name().to_owned())), set(levels.keys().cloned()));

    for (kind, columns) in [
        (CodeKind::Finding, "finding | level | meaning"),
        (CodeKind::Failure, "failure | meaning"),
        (CodeKind::Event, "event code | meaning"),
    ] {
        let mut rows = String::new();
        for (code, _, meaning) in Code::ALL.iter().filter(|(_, of, _)| *of == kind) {
            let level = match levels.get(code.name()) {
                Some(levels) if kind == CodeKind::Finding => {
                    let order = ["ok", "warning", "violation"].into_iter().filter(|level| levels.contains(level));
                    format!("{} | ", order.collect::<Vec<_>>().join(", "))
                }
                _ => String::new(),
            };
            // A cell of a table has no full stop.
            let meaning = meaning.trim_end_matches('.');
            let meaning = meaning[..1].to_lowercase() + &meaning[1..];
            rows += &format!("| `{code}` | {level}{meaning} |\n");
        }
        has_table("docs/json.md", columns, &rows);
    }

    let json = document("docs/json.md");
    let failures = include_str!("../../targets/failures.toml");
    let causes = failures.lines().filter_map(|line| line.strip_prefix("code = \"")?.strip_suffix('"'));
    assert_eq!(set(json.firsts("cause")), causes.map(str::to_owned).collect());
    for status in json.firsts("status") {
        let word = status.split('-').map(|part| part[..1].to_uppercase() + &part[1..]).collect::<String>();
        assert!(sources.contains(&word), "`{status}` is not in src");
    }
}

#[test]
fn the_examples_do_what_they_say() {
    let lines = example_targets::lines();
    assert_eq!(lines.len(), Catalog::embedded().targets.len());
    assert!(lines.iter().any(|line| line.contains("linux/arm64") && line.ends_with("2.31")), "{lines:?}");
    let own = fs_err::read(env!("CARGO_BIN_EXE_cargo-convoy")).unwrap();
    let findings = example_verify::findings(&own, None).unwrap();
    assert!(
        findings.iter().any(|finding| finding.code.name() == "format" && finding.level == Level::Ok),
        "{findings:?}"
    );
    let wrong = example_verify::findings(&own, Some("x86_64-pc-windows-gnu")).unwrap();
    assert!(wrong.iter().any(|finding| finding.level == Level::Violation), "{wrong:?}");
    assert!(example_verify::findings(b"no program", None).is_err());
}
