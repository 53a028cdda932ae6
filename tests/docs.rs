//! The documents say what is so: commands, flags, keys, exit codes, routes, targets, variables, codes, links and files are
//! compared with the program, and every command that builds nothing is run.

#![cfg(unix)]

mod support;

#[path = "../examples/targets.rs"]
#[allow(dead_code)]
mod example_targets;
#[path = "../examples/verify.rs"]
#[allow(dead_code)]
mod example_verify;

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::command::{Cli, Command};
use cargo_convoy::model::catalog::{Catalog, DEFAULT_MATRIX, Target};
use cargo_convoy::model::request::SchemaKind;
use cargo_convoy::plan::{RouteKind, matrix};
use cargo_convoy::release::ArtifactRow;
use cargo_convoy::verify::Level;
use clap::{CommandFactory, Parser, ValueEnum};
use support::Project;

/// A Markdown file of this repository.
struct Document {
    /// Relative to the repository.
    path: Utf8PathBuf,
    text: String,
}

fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(path: &str) -> Document {
    let text = fs_err::read_to_string(root().join(path)).unwrap();
    Document { path: path.into(), text }
}

/// Every document for people.
fn documents() -> Vec<Document> {
    let mut paths: Vec<Utf8PathBuf> = [root().to_owned(), root().join("docs"), root().join(".github")]
        .iter()
        .flat_map(|dir| dir.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()))
        .filter(|path| path.extension() == Some("md"))
        .map(|path| path.strip_prefix(root()).unwrap().to_owned())
        .collect();
    paths.sort();
    assert!(paths.len() > 10, "{paths:?}");
    paths.iter().map(|path| document(path.as_str())).collect()
}

impl Document {
    /// Fenced blocks of one language.
    fn blocks(&self, language: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut open: Option<(bool, String)> = None;
        for line in self.text.lines() {
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(info)) => open = Some((info == language, String::new())),
                (Some((wanted, text)), Some(_)) => {
                    found.extend(wanted.then(|| std::mem::take(text)));
                    open = None;
                }
                (Some((_, text)), None) => *text += &format!("{line}\n"),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.path);
        found
    }

    /// The text without its fenced blocks.
    fn prose(&self) -> String {
        let mut prose = String::new();
        let mut inside = false;
        for line in self.text.lines() {
            let fence = line.trim_start().starts_with("```");
            inside ^= fence;
            if !inside && !fence {
                prose += &format!("{line}\n");
            }
        }
        prose
    }

    /// The commands of console blocks, each with its `&&` parts apart and without redirections.
    fn commands(&self) -> Vec<Vec<String>> {
        let blocks = self.blocks("console");
        let lines =
            blocks.iter().flat_map(|block| block.lines()).filter_map(|line| line.trim_start().strip_prefix("$ "));
        let parts = lines.flat_map(|line| line.split(" && ")).map(|part| part.split(" > ").next().unwrap());
        parts.map(|part| part.split_whitespace().map(str::to_owned).collect()).collect()
    }

    /// The rows of the tables whose columns begin with these.
    fn tables(&self, columns: &str) -> Vec<Vec<String>> {
        let head = format!("| {columns} |");
        let lines: Vec<&str> = self.text.lines().collect();
        let starts = lines.iter().enumerate().filter(|(_, line)| line.starts_with(&head)).map(|(at, _)| at);
        let rows = starts.flat_map(|at| lines[at + 2..].iter().take_while(|line| line.starts_with('|')));
        // A bar inside of a cell is written `\|`.
        let cells = |row: &&str| {
            let row = row.replace("\\|", "\u{1}");
            row.trim_matches('|').split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
        };
        let rows: Vec<Vec<String>> = rows.map(cells).collect();
        assert!(!rows.is_empty(), "{}: no table of `{columns}`", self.path);
        rows
    }

    /// What stands in backquotes in the first cells of these tables.
    fn firsts(&self, columns: &str) -> Vec<String> {
        self.tables(columns).iter().flat_map(|row| quoted(&row[0]).into_iter().map(str::to_owned)).collect()
    }

    /// The anchors of its headings, as GitHub makes them.
    fn anchors(&self) -> BTreeSet<String> {
        let mut anchors = BTreeSet::new();
        for line in self.prose().lines().filter(|line| line.starts_with('#')) {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let mut slugs = (0..).map(|n| if n == 0 { slug.clone() } else { format!("{slug}-{n}") });
            let unique = slugs.find(|slug| !anchors.contains(slug)).unwrap();
            anchors.insert(unique);
        }
        anchors
    }

    /// The targets of its links.
    fn links(&self) -> Vec<String> {
        let prose = self.prose();
        prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
    }
}

/// What stands in backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    items.into_iter().collect()
}

/// The arguments of a command that starts convoy, as `cargo-convoy` gets them.
fn of_convoy(command: &[String]) -> Option<&[String]> {
    match command.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["cargo", "convoy", ..] => Some(&command[2..]),
        ["cargo", "run", rest @ ..] => {
            let own = rest.iter().position(|word| *word == "--")?;
            Some(&command[own + 3..])
        }
        _ => None,
    }
}

fn convoy_commands() -> Vec<Vec<String>> {
    let commands = documents().iter().flat_map(Document::commands).collect::<Vec<_>>();
    let mut seen = BTreeSet::new();
    let commands = commands.iter().filter_map(|command| of_convoy(command).map(<[String]>::to_vec));
    commands.filter(|command| seen.insert(command.clone())).collect()
}

/// Every Rust source of the program.
fn sources() -> String {
    fn read(dir: &Utf8Path, text: &mut String) {
        for entry in dir.read_dir_utf8().unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => read(entry.path(), text),
                false if entry.path().extension() == Some("rs") => {
                    *text += &fs_err::read_to_string(entry.path()).unwrap();
                }
                false => {}
            }
        }
    }
    let mut text = String::new();
    read(&root().join("src"), &mut text);
    text
}

/// The commands that a user can run, by their words (`cache list`).
fn commands_of_the_program() -> BTreeMap<String, clap::Command> {
    let mut found = BTreeMap::new();
    let mut program = Cli::command();
    program.build();
    let all = program.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
    for command in all {
        let inner: Vec<_> = command.get_subcommands().filter(|inner| inner.get_name() != "help").collect();
        if inner.is_empty() {
            found.insert(command.get_name().to_owned(), command.clone());
        }
        for inner in inner {
            found.insert(format!("{} {}", command.get_name(), inner.get_name()), inner.clone());
        }
    }
    found
}

/// The spellings of a command's flags.
fn flags_of(command: &clap::Command) -> BTreeSet<String> {
    let mut flags = BTreeSet::new();
    for argument in command.get_arguments().filter(|argument| !argument.is_positional()) {
        flags.extend(argument.get_long().map(|long| format!("--{long}")));
        flags.extend(argument.get_short().map(|short| format!("-{short}")));
    }
    flags
}

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

#[test]
fn commands_that_build_nothing_end_well() {
    let project = Project::hello("commands_that_build_nothing_end_well");
    let quick = ["plan", "targets", "schema", "init", "completions", "man"];
    let mut run = 0;
    for command in convoy_commands() {
        let lists = command.len() > 1 && ["cache", "supply"].contains(&command[0].as_str()) && command[1] == "list";
        if lists || quick.contains(&command[0].as_str()) {
            project.convoy(&command).ends(0);
            run += 1;
        }
    }
    assert!(run > 10, "{run}");
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
    let head = "| triple | platform | routes |\n";
    let start = readme.text.find(head).unwrap();
    let end = start + readme.text[start..].find("\n\n").unwrap() + 1;
    let table = format!("{head}| --- | --- | --- |\n{}", catalog.targets.iter().map(row).collect::<String>());
    if readme.text[start..end] != table && std::env::var_os("CONVOY_UPDATE_DOCS").is_some() {
        let text = format!("{}{table}{}", &readme.text[..start], &readme.text[end..]);
        fs_err::write(Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"), text).unwrap();
        return;
    }
    assert_eq!(
        readme.text[start..end],
        table,
        "write it by `CONVOY_UPDATE_DOCS=1 cargo test --test docs targets_and_devices`"
    );
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
    let known = keys(include_str!("../src/command/init.toml"));
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
    let json = document("docs/json.md");
    let sources = sources();
    // `Finding::ok("code"`, `Level::Violation, "code"`, and the one that is written out.
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (level, ways) in [
        ("ok", ["::ok(", "Level::Ok,"]),
        ("warning", ["::warning(", "Level::Warning,"]),
        ("violation", ["::violation(", "Level::Violation,"]),
    ] {
        for rest in ways.iter().flat_map(|way| sources.split(way).skip(1)) {
            let code = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
            let is_code = |code: &&str| {
                !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            };
            for code in code.into_iter().filter(is_code) {
                known.entry(code.to_owned()).or_default().insert(level.to_owned());
            }
        }
    }
    known.insert("target-unknown".to_owned(), set(["warning".to_owned()]));
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in json.tables("finding") {
        told.insert(quoted(&row[0])[0].to_owned(), row[1].split(", ").map(str::to_owned).collect());
    }
    assert_eq!(told, known);

    let failures = include_str!("../targets/failures.toml");
    let causes = failures.lines().filter_map(|line| line.strip_prefix("code = \"")?.strip_suffix('"'));
    assert_eq!(set(json.firsts("cause")), causes.map(str::to_owned).collect());
    for code in ["failure", "event code", "status"].iter().flat_map(|table| json.firsts(table)) {
        let word = code.split('-').map(|part| part[..1].to_uppercase() + &part[1..]).collect::<String>();
        assert!(sources.contains(&format!("\"{code}\"")) || sources.contains(&word), "`{code}` is not in src");
    }
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

#[test]
fn the_examples_do_what_they_say() {
    let lines = example_targets::lines();
    assert_eq!(lines.len(), Catalog::embedded().targets.len());
    assert!(lines.iter().any(|line| line.contains("linux/arm64") && line.ends_with("2.31")), "{lines:?}");
    let own = fs_err::read(env!("CARGO_BIN_EXE_cargo-convoy")).unwrap();
    let findings = example_verify::findings(&own, None).unwrap();
    assert!(findings.iter().any(|finding| finding.code == "format" && finding.level == Level::Ok), "{findings:?}");
    let wrong = example_verify::findings(&own, Some("x86_64-pc-windows-gnu")).unwrap();
    assert!(wrong.iter().any(|finding| finding.level == Level::Violation), "{wrong:?}");
    assert!(example_verify::findings(b"no program", None).is_err());
}
