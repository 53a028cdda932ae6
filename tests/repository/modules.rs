//! The rooms of src: each uses those below it and no other, and the planner touches nothing but its arguments.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

/// From the ground up; as in the table of src/lib.rs.
const ROOMS: [&str; 12] = [
    "util",
    "model",
    "machine",
    "project",
    "plan",
    "verify",
    "release",
    "report",
    "provision",
    "build",
    "cli",
    "command",
];

/// The Rust files below a directory of this crate, each with its code: no comments, no tests.
fn sources(dir: &str) -> Vec<(Utf8PathBuf, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in dir.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension() == Some("rs") && path.file_name() != Some("tests.rs") {
                let text = fs_err::read_to_string(&path).unwrap();
                let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_owned();
                found.push((path, code(&text)));
            }
        }
    }
    assert!(!found.is_empty(), "{dir} has no Rust files");
    found
}

/// A text without its comments and its module of tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let text = text.split("#[cfg(all(test, unix))]\nmod ").next().unwrap_or_default();
    text.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line }).collect::<Vec<_>>().join("\n")
}

/// The first names after `crate::` in a code: of a group all of them.
fn used(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let Some(group) = rest.strip_prefix('{') else {
            rooms.insert(name(rest));
            continue;
        };
        let (mut depth, mut member) = (1, String::new());
        for letter in group.chars() {
            depth += i32::from(letter == '{') - i32::from(letter == '}');
            if depth == 0 || letter == ',' && depth == 1 {
                rooms.insert(name(member.trim()));
                member.clear();
            } else if depth == 1 {
                member.push(letter);
            }
            if depth == 0 {
                break;
            }
        }
    }
    rooms
}

/// What a room imports from above it, each with its file.
fn upward(room: &str, sources: &[(Utf8PathBuf, String)]) -> Vec<String> {
    let own = ROOMS.iter().position(|it| *it == room).unwrap();
    let above = |name: &str| ROOMS.iter().position(|it| *it == name).is_some_and(|place| place > own);
    let mut found = Vec::new();
    for (path, code) in sources {
        found.extend(used(code).into_iter().filter(|name| above(name)).map(|name| format!("{path} uses {name}")));
    }
    found
}

#[test]
fn rooms_use_only_what_is_below_them() {
    let faults: Vec<String> = ROOMS.iter().flat_map(|room| upward(room, &sources(&format!("src/{room}")))).collect();
    assert!(faults.is_empty(), "imports go downward only:\n{}", faults.join("\n"));
    // No room is forgotten, and none is in the list that is not there.
    let dirs = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("src").read_dir_utf8().unwrap();
    let dirs: BTreeSet<String> =
        dirs.map(|entry| entry.unwrap()).filter(|it| it.path().is_dir()).map(|it| it.file_name().to_owned()).collect();
    assert_eq!(dirs, ROOMS.iter().map(|room| (*room).to_owned()).collect());
}

#[test]
fn an_import_from_above_is_found() {
    for planted in [
        "use crate::provision::zig;",
        "use crate::{model::zig, build::shim};",
        "fn x() { crate::command::run() }",
        "use crate::{\n    plan,\n    report::{table, json},\n};",
    ] {
        let file = [("src/project/new.rs".into(), code(planted))];
        assert_eq!(upward("project", &file).len(), if planted.contains("plan,") { 2 } else { 1 }, "{planted}");
    }
    let fine = "// crate::build\nuse crate::model::zig;\n#[cfg(test)]\nmod tests { use crate::build::shim; }";
    assert_eq!(upward("project", &[("src/project/new.rs".into(), code(fine))]), [""; 0]);
}

/// Deciding is pure, so that every decision can be tested with any machine's facts.
#[test]
fn the_planner_touches_nothing_but_its_arguments() {
    let effects = ["std::fs", "fs_err", "std::env", "std::process", "std::net", "SystemTime", "Instant", "jiff"];
    let mut faults = Vec::new();
    for (path, code) in sources("src/plan") {
        faults.extend(effects.iter().filter(|effect| code.contains(**effect)).map(|it| format!("{path} uses {it}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The lines of the longest file of code and of the longest function, and what a review would call few.
const LONGEST_FILE: usize = 500;
const LONGEST_FUNCTION: usize = 100;
const LONG_FUNCTION: usize = 60;
const FEW: usize = 40;

/// Functions of a code, each with its lines.
#[derive(Default)]
struct Functions(Vec<(String, usize)>);

impl Functions {
    fn add(&mut self, name: &syn::Ident, body: &syn::Block) {
        let braces = body.brace_token.span;
        let (start, end) = (name.span().start().line, braces.close().end().line);
        self.0.push((name.to_string(), end + 1 - start));
    }
}

impl<'ast> syn::visit::Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig.ident, &function.block);
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig.ident, &function.block);
        syn::visit::visit_impl_item_fn(self, function);
    }
}

/// Whoever scrolls to read a function reads two of them.
#[test]
fn files_and_functions_can_be_read_at_once() {
    let mut long = Vec::new();
    let mut faults = Vec::new();
    for (path, _) in sources("src") {
        let text = fs_err::read_to_string(Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).unwrap();
        let lines = text.lines().count();
        if lines > LONGEST_FILE && path.file_name() != Some("tests.rs") {
            faults.push(format!("{path} has {lines} lines"));
        }
        let mut functions = Functions::default();
        syn::visit::Visit::visit_file(&mut functions, &syn::parse_file(&text).unwrap());
        for (name, lines) in functions.0 {
            if lines > LONGEST_FUNCTION {
                faults.push(format!("{path}: {name} has {lines} lines"));
            }
            long.extend((lines > LONG_FUNCTION).then(|| format!("{path}: {name}, {lines}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(long.len() <= FEW, "{} functions of more than {LONG_FUNCTION} lines:\n{}", long.len(), long.join("\n"));
}
