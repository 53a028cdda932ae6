//! The Markdown files of this repository, and what they are compared with.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::command::Cli;
use clap::CommandFactory as _;

/// A Markdown file of this repository.
pub struct Document {
    /// Relative to the repository.
    pub path: Utf8PathBuf,
    pub text: String,
}

pub fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn document(path: &str) -> Document {
    let text = fs_err::read_to_string(root().join(path)).unwrap();
    Document { path: path.into(), text }
}

/// Every document for people.
pub fn documents() -> Vec<Document> {
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
    pub fn blocks(&self, language: &str) -> Vec<String> {
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
    pub fn prose(&self) -> String {
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

    /// The command lines of all its blocks (those of `text` blocks are shown with their output), each with its `&&` parts
    /// apart.
    pub fn command_lines(&self) -> Vec<String> {
        let blocks = [self.blocks("console"), self.blocks("text")].concat();
        let lines =
            blocks.iter().flat_map(|block| block.lines()).filter_map(|line| line.trim_start().strip_prefix("$ "));
        lines.flat_map(|line| line.split(" && ")).map(str::to_owned).collect()
    }

    /// The words of these command lines, without redirections.
    pub fn commands(&self) -> Vec<Vec<String>> {
        let lines = self.command_lines();
        let commands = lines.iter().map(|line| line.split(" > ").next().unwrap());
        commands.map(|command| command.split_whitespace().map(str::to_owned).collect()).collect()
    }

    /// The rows of the tables whose columns begin with these.
    pub fn tables(&self, columns: &str) -> Vec<Vec<String>> {
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
    pub fn firsts(&self, columns: &str) -> Vec<String> {
        self.tables(columns).iter().flat_map(|row| quoted(&row[0]).into_iter().map(str::to_owned)).collect()
    }

    /// The anchors of its headings, as GitHub makes them.
    pub fn anchors(&self) -> BTreeSet<String> {
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
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose();
        prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
    }
}

/// What stands in backquotes.
pub fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

pub fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    items.into_iter().collect()
}

/// The arguments of a command that starts convoy, as `cargo-convoy` gets them.
pub fn of_convoy(command: &[String]) -> Option<&[String]> {
    match command.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["cargo", "convoy", ..] => Some(&command[2..]),
        ["cargo", "run", rest @ ..] => {
            let own = rest.iter().position(|word| *word == "--")?;
            Some(&command[own + 3..])
        }
        _ => None,
    }
}

pub fn convoy_commands() -> Vec<Vec<String>> {
    let commands = documents().iter().flat_map(Document::commands).collect::<Vec<_>>();
    let mut seen = BTreeSet::new();
    let commands = commands.iter().filter_map(|command| of_convoy(command).map(<[String]>::to_vec));
    commands.filter(|command| seen.insert(command.clone())).collect()
}

/// Every Rust source of the program.
pub fn sources() -> String {
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
pub fn commands_of_the_program() -> BTreeMap<String, clap::Command> {
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
pub fn flags_of(command: &clap::Command) -> BTreeSet<String> {
    let mut flags = BTreeSet::new();
    for argument in command.get_arguments().filter(|argument| !argument.is_positional()) {
        flags.extend(argument.get_long().map(|long| format!("--{long}")));
        flags.extend(argument.get_short().map(|short| format!("-{short}")));
    }
    flags
}
