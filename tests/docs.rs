//! The README says what is so: its commands, flags, exit codes, routes, targets, variables and files are held against
//! the program, and every command of it that builds nothing is run.

mod support;

use std::collections::BTreeSet;

use cargo_convoy::cli::{Cli, Command};
use cargo_convoy::model::catalog::{Catalog, DEFAULT_MATRIX};
use cargo_convoy::plan::{RouteKind, matrix};
use cargo_convoy::release::ArtifactRow;
use clap::{CommandFactory, Parser};
use support::Project;

const README: &str = include_str!("../README.md");

/// Fenced blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in README.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info == language, String::new())),
            (Some((wanted, text)), Some(_)) => {
                found.extend(wanted.then(|| std::mem::take(text)));
                open = None;
            }
            (Some((_, text)), None) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

/// The commands of a console block, each with its `&&` parts apart and without redirections.
fn commands() -> Vec<Vec<String>> {
    let lines = blocks("console");
    let lines = lines.iter().flat_map(|block| block.lines()).filter_map(|line| line.strip_prefix("$ "));
    let parts = lines.flat_map(|line| line.split(" && ")).map(|part| part.split(" > ").next().unwrap());
    parts.map(|part| part.split_whitespace().map(str::to_owned).collect()).collect()
}

/// Those that start convoy, as `cargo-convoy` gets them.
fn convoy_commands() -> Vec<Vec<String>> {
    commands()
        .into_iter()
        .filter_map(|command| match command.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["cargo", "convoy", ..] => Some(command[2..].to_vec()),
            ["cargo", "run", rest @ ..] => {
                let own = rest.iter().position(|word| *word == "--").expect("`cargo run` with arguments for convoy");
                Some(command[own + 3..].to_vec())
            }
            _ => None,
        })
        .collect()
}

/// The rows of the table whose columns begin with these.
fn table(columns: &str) -> Vec<Vec<String>> {
    let head = format!("| {columns} |");
    let rows = README.lines().skip_while(|line| !line.starts_with(&head)).skip(2).take_while(|l| l.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "no table of `{columns}`");
    rows
}

/// What stands in backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_command_line_is_understood() {
    let commands = convoy_commands();
    assert!(commands.len() > 10, "{commands:?}");
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

#[test]
fn commands_that_build_nothing_end_well() {
    let project = Project::hello("commands_that_build_nothing_end_well");
    let quick = ["plan", "targets", "schema", "init", "completions", "man", "cache"];
    let mut run = 0;
    for command in convoy_commands().iter().filter(|command| quick.contains(&command[0].as_str())) {
        project.convoy(command).ends(0);
        run += 1;
    }
    assert!(run > 4, "{run}");
}

#[test]
fn the_scripts_it_names_are_there() {
    let root = camino::Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
    let scripts = commands().into_iter().map(|command| command[0].clone()).filter(|word| word.contains('/'));
    let links = README.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned);
    let folders = quoted(README).into_iter().filter(|word| word.starts_with("src/") || word.starts_with("targets/"));
    for path in scripts.chain(links).chain(folders.map(str::to_owned)) {
        assert!(root.join(&path).exists(), "`{path}` is named and is not there");
    }
}

#[test]
fn every_command_has_its_row() {
    let known = Cli::command();
    let known: BTreeSet<&str> = known.get_subcommands().filter(|c| !c.is_hide_set()).map(|c| c.get_name()).collect();
    let rows = table("command");
    let rows: Vec<&str> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
    let told = rows.iter().filter_map(|text| text.strip_prefix("cargo convoy ")?.split(' ').next());
    assert_eq!(told.collect::<BTreeSet<_>>(), known);
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let help = Cli::command().render_long_help().to_string();
    // The help's columns are padded and its lines wrapped; a row of the README is one sentence.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for row in table("code") {
        let line = row.join(" ");
        assert!(help.contains(&line), "`{line}` is not in the help:\n{help}");
    }
    assert!(README.contains("With several, the first of 4, 1, 5, 3 that occurred."));
}

#[test]
fn targets_and_devices_are_those_of_the_catalog() {
    let catalog = Catalog::embedded();
    let told: Vec<(String, Option<String>)> = table("triple | platform")
        .iter()
        .map(|row| (quoted(&row[0])[0].to_owned(), quoted(&row[1]).first().map(|platform| (*platform).to_owned())))
        .collect();
    let known: Vec<_> = catalog.targets.iter().map(|t| (t.triple.clone(), t.platform.clone())).collect();
    assert_eq!(told, known);
    for (row, target) in table("triple | platform").iter().zip(&catalog.targets) {
        let mut routes: Vec<&str> = vec![];
        routes.extend((target.triple == "x86_64-unknown-linux-gnu").then_some("host"));
        routes.extend(target.lld.is_some().then_some("lld"));
        routes.extend(target.gcc.is_some().then_some("gcc"));
        routes.extend(target.zig.is_some().then_some("zig"));
        assert_eq!(row[2], routes.join(", "), "{}", target.triple);
    }
    let devices = README.lines().find(|line| line.starts_with("Devices: ")).unwrap();
    let known: Vec<&str> = catalog.devices.iter().map(|device| device.name.as_str()).collect();
    assert_eq!(quoted(devices), known);
    let matrix: Vec<&str> = README.split("these six: ").nth(1).map(quoted).unwrap().into_iter().take(6).collect();
    assert_eq!(matrix, DEFAULT_MATRIX);
    for row in table("word") {
        for word in quoted(&row[1]) {
            matrix::cells(&[word.to_owned()], &matrix::Known::of_catalog(catalog), &|_| Default::default()).unwrap();
        }
    }
}

#[test]
fn routes_are_those_there_are() {
    let rows = table("route");
    let told: Vec<&str> = rows.iter().map(|row| quoted(&row[0])[0]).collect();
    assert_eq!(told, RouteKind::ALL.map(RouteKind::name));
}

#[test]
fn variables_are_those_that_are_read() {
    fn read(dir: &camino::Utf8Path, found: &mut BTreeSet<String>) {
        for entry in dir.read_dir_utf8().unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                read(entry.path(), found);
                continue;
            }
            let text = fs_err::read_to_string(entry.path()).unwrap();
            // A name in quotes is one that the program reads.
            found.extend(text.split('"').filter(|word| is_variable(word)).map(str::to_owned));
        }
    }
    fn is_variable(word: &str) -> bool {
        word.strip_prefix("CONVOY_")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
    }
    let mut known = BTreeSet::new();
    read(&camino::Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut known);
    let rows = table("variable");
    let told: BTreeSet<String> = rows.iter().map(|row| quoted(&row[0])[0].to_owned()).collect();
    assert_eq!(told, known);
}

#[test]
fn its_convoy_toml_is_right_and_complete() {
    let dir = tempfile::tempdir().unwrap();
    let path = camino::Utf8PathBuf::from_path_buf(dir.path().join("Convoy.toml")).unwrap();
    let [text] = blocks("toml").try_into().unwrap();
    fs_err::write(&path, &text).unwrap();
    let file = cargo_convoy::project::config::load(&path).unwrap().unwrap();
    assert_eq!(file.warnings, [""; 0]);
    // `init` writes every key.
    let keys = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().map(|line| line.trim_start_matches("# "));
        lines.filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).filter(|key| !key.contains(' ')).collect()
    };
    assert_eq!(keys(&text), keys(include_str!("../src/command/init.toml")));
}

#[test]
fn its_manifest_row_is_one() {
    let [row] = blocks("json").try_into().unwrap();
    let row: ArtifactRow = serde_json::from_str(&row).unwrap();
    assert!(row.verified);
}
