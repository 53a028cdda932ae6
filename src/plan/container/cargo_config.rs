//! cargo's configuration as a container sees it: no tokens, no programs of this machine. Pure.

use std::collections::BTreeMap;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use toml::{Table, Value};

use super::is_secret;
use crate::util::credentials::without_credentials;

/// What is taken from files outside of the project: cargo's own folder, folders above the workspace.
const KEPT: [&str; 6] = ["net", "patch", "paths", "profile", "unstable", "http"];

/// Names of keys whose values are secrets, or programs that give them.
const SECRETS: [&str; 5] = ["token", "secret-key", "credential-provider", "global-credential-providers", "proxy"];

/// Gathers files, the strongest last, into the one for the inside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gathered {
    table: Table,
    /// Folders that sources of crates are in, by absolute path.
    pub folders: Vec<Utf8PathBuf>,
}

impl Gathered {
    /// Takes what a file outside of the project says. `dir` is the folder that relative paths in it start from.
    pub(crate) fn take(&mut self, text: &str, dir: &Utf8Path) {
        // cargo has told by now what is wrong with a file.
        let Ok(mut file) = text.parse::<Table>() else { return };
        self.folders.extend(absolute(&mut file, dir));
        let kept = file.iter().filter(|(key, _)| KEPT.contains(&key.as_str()) || *key == "source");
        let mut kept: Table = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
        if let Some(Value::Table(registries)) = file.get("registries") {
            let index = |table: &Value| Some(Table::from_iter([("index".to_owned(), table.get("index")?.clone())]));
            let indexes =
                registries.iter().filter_map(|(name, table)| Some((name.clone(), Value::Table(index(table)?))));
            kept.insert("registries".to_owned(), Value::Table(indexes.collect()));
        }
        if let Some(default) = file.get("registry").and_then(|registry| registry.get("default")) {
            kept.insert(
                "registry".to_owned(),
                Value::Table(Table::from_iter([("default".to_owned(), default.clone())])),
            );
        }
        if let Some(flags) = file.get("build").and_then(|build| build.get("rustflags")) {
            kept.insert("build".to_owned(), Value::Table(Table::from_iter([("rustflags".to_owned(), flags.clone())])));
        }
        if let Some(Value::Table(targets)) = file.get("target") {
            let flags =
                |table: &Value| Some(Table::from_iter([("rustflags".to_owned(), table.get("rustflags")?.clone())]));
            let all = targets.iter().filter_map(|(name, table)| Some((name.clone(), Value::Table(flags(table)?))));
            kept.insert("target".to_owned(), Value::Table(all.collect()));
        }
        self.add(kept);
    }

    /// Takes all that a file of the project says, but for secrets: where cargo's own folder lies in the project.
    pub(crate) fn take_whole(&mut self, text: &str, dir: &Utf8Path) {
        let Ok(mut file) = text.parse::<Table>() else { return };
        self.folders.extend(absolute(&mut file, dir));
        self.add(file);
    }

    fn add(&mut self, mut table: Table) {
        // What a file includes was taken before it.
        table.remove("include");
        remove_secrets(&mut table);
        merge(&mut self.table, table);
    }

    /// The file's text.
    pub(crate) fn text(&self) -> String {
        format!("# Written by cargo-convoy: cargo's configuration for a container, without secrets.\n{}", self.table)
    }
}

/// A file of the project as the inside may see it; none when it holds no secret and is seen as it is. Its folders of
/// crates are added to `folders`.
pub(crate) fn masked(text: &str, dir: &Utf8Path, folders: &mut Vec<Utf8PathBuf>) -> Option<String> {
    let mut table = text.parse::<Table>().ok()?;
    folders.extend(absolute(&mut table.clone(), dir));
    remove_secrets(&mut table).then(|| table.to_string())
}

/// The files that a file includes, by their absolute paths, the weakest first. `dir` is the folder that it is in.
pub(crate) fn included(text: &str, dir: &Utf8Path) -> Vec<Utf8PathBuf> {
    let Ok(table) = text.parse::<Table>() else { return Vec::new() };
    let all = match table.get("include") {
        Some(Value::Array(all)) => all.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    all.iter()
        .filter_map(|one| one.as_str().or_else(|| one.get("path")?.as_str()))
        .map(|path| normal(&dir.join(path)))
        .collect()
}

/// The variables that a file sets for all that cargo starts, and whether they replace others. `base` is the folder that
/// relative paths in it start from.
pub(crate) fn variables(text: &str, base: &Utf8Path) -> BTreeMap<String, (String, bool)> {
    let Ok(mut table) = text.parse::<Table>() else { return BTreeMap::new() };
    remove_secrets(&mut table);
    let one = |value: &Value| match value {
        Value::String(value) => Some((value.clone(), false)),
        value => {
            let text = value.get("value")?.as_str()?;
            let is = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
            let text = if is("relative") { normal(&base.join(text)).into_string() } else { text.to_owned() };
            Some((text, is("force")))
        }
    };
    let all = table.get("env").and_then(Value::as_table).into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.clone(), one(value)?))).collect()
}

/// A path without `.` and `..`: where these start from need not be there inside.
fn normal(path: &Utf8Path) -> Utf8PathBuf {
    path.components().fold(Utf8PathBuf::new(), |mut done, part| {
        match part {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir => drop(done.pop()),
            part => done.push(part),
        }
        done
    })
}

/// What a table holds.
fn entries(value: Option<&mut Value>) -> impl Iterator<Item = (&String, &mut Value)> {
    value.and_then(Value::as_table_mut).into_iter().flatten()
}

/// Folders that crates are in, made absolute.
fn absolute(file: &mut Table, dir: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    let mut settle = |value: &mut Value| {
        if let Value::String(path) = value {
            let folder = normal(&dir.join(&path));
            *path = folder.to_string();
            found.push(folder);
        }
    };
    for (_, source) in entries(file.get_mut("source")) {
        for key in ["directory", "local-registry"] {
            source.get_mut(key).into_iter().for_each(&mut settle);
        }
    }
    for (_, crates) in entries(file.get_mut("patch")) {
        entries(Some(crates)).filter_map(|(_, package)| package.get_mut("path")).for_each(&mut settle);
    }
    if let Some(Value::Array(paths)) = file.get_mut("paths") {
        paths.iter_mut().for_each(&mut settle);
    }
    found
}

/// Whether there were any.
fn remove_secrets(table: &mut Table) -> bool {
    let mut any = false;
    if let Some(Value::Table(env)) = table.get_mut("env") {
        let before = env.len();
        env.retain(|name, _| !is_secret(name));
        any = env.len() != before;
    }
    for key in ["source", "registries", "registry"] {
        any |= table.get_mut(key).is_some_and(remove_credentials);
    }
    remove_secret_keys(table) || any
}

/// Takes users and passwords out of addresses; whether there were any.
fn remove_credentials(value: &mut Value) -> bool {
    match value {
        Value::String(text) => {
            let without = without_credentials(text);
            let any = without != *text;
            *text = without;
            any
        }
        Value::Table(table) => table.iter_mut().fold(false, |any, (_, value)| remove_credentials(value) || any),
        _ => false,
    }
}

fn remove_secret_keys(table: &mut Table) -> bool {
    let before = table.len();
    table.retain(|key, _| !SECRETS.contains(&key));
    let mut any = table.len() != before;
    for (_, value) in table.iter_mut() {
        if let Value::Table(inner) = value {
            any |= remove_secret_keys(inner);
        }
    }
    any
}

fn merge(into: &mut Table, over: Table) {
    for (key, value) in over {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = r#"
[registries.private]
index = "sparse+http://r.example/index/"
token = "hunter2"
[registry]
default = "private"
token = "hunter2"
global-credential-providers = ["cargo:token"]
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "vendor"
[target.aarch64-unknown-linux-gnu]
linker = "aarch64-linux-gnu-gcc"
rustflags = ["-Ctarget-cpu=cortex-a72"]
[net]
git-fetch-with-cli = true
[http]
proxy = "http://user:hunter2@proxy.example"
timeout = 5
[build]
rustc-wrapper = "sccache"
"#;

    #[test]
    fn no_secret_and_no_program_gets_inside() {
        let mut gathered = Gathered::default();
        gathered.take(HOME, Utf8Path::new("/home/x"));
        gathered.take("[net]\nretry = 7\n", Utf8Path::new("/work"));
        gathered.take("no toml [", Utf8Path::new("/work"));
        insta::assert_snapshot!(gathered.text());
        assert_eq!(gathered.folders, ["/home/x/vendor"]);
    }

    #[test]
    fn what_the_project_sets_is_known_but_for_secrets() {
        let text = "[env]\nA = \"1\"\nB = { value = \"vendor/b\", relative = true, force = true }\nMY_TOKEN = \"x\"\n";
        let all = variables(text, Utf8Path::new("/p"));
        let wanted = [("A", ("1", false)), ("B", ("/p/vendor/b", true))];
        let wanted = wanted.map(|(name, (value, force))| (name.to_owned(), (value.to_owned(), force)));
        assert_eq!(all, wanted.into());
        let seen = masked(text, Utf8Path::new("/p"), &mut Vec::new()).unwrap();
        assert!(!seen.contains("MY_TOKEN") && seen.contains("vendor/b"), "{seen}");
    }

    #[test]
    fn addresses_are_seen_without_passwords() {
        let text = "[source.mirror]\nregistry = \"sparse+https://me:hunter2@mirror.example/\"\n\
            [registries.team]\nindex = \"https://hunter2@team.example/i\"\n";
        let seen = masked(text, Utf8Path::new("/p"), &mut Vec::new()).unwrap();
        assert!(!seen.contains("hunter2") && seen.contains("sparse+https://mirror.example/"), "{seen}");
        assert_eq!(
            masked("[registries.team]\nindex = \"https://team.example/i\"\n", Utf8Path::new("/p"), &mut Vec::new()),
            None
        );
    }

    #[test]
    fn paths_of_crates_start_from_where_they_are_written() {
        let mut gathered = Gathered::default();
        let text =
            "paths = [\"../own/a\", \"/b\"]\n[patch.crates-io]\nc = { path = \"./c\" }\nd = { git = \"https://d\" }\n";
        gathered.take(text, Utf8Path::new("/w/x"));
        assert_eq!(gathered.folders, ["/w/x/c", "/w/own/a", "/b"]);
        let output = gathered.text();
        assert!(
            output.contains("\"/w/x/c\"") && output.contains("\"/w/own/a\"") && output.contains("https://d"),
            "{output}"
        );
    }

    #[test]
    fn cargos_folder_in_the_project_keeps_what_the_project_says() {
        let mut gathered = Gathered::default();
        gathered.take_whole(
            "include = \"x.toml\"\n[env]\nA = \"b\"\n[registry]\ntoken = \"hunter2\"\n",
            Utf8Path::new("/p"),
        );
        let output = gathered.text();
        assert!(output.contains("A = \"b\"") && !output.contains("hunter2") && !output.contains("include"), "{output}");
    }

    #[test]
    fn files_that_a_file_includes() {
        let of = |text: &str| included(text, Utf8Path::new("/p/.cargo"));
        assert_eq!(of("include = \"a.toml\"\n"), ["/p/.cargo/a.toml"]);
        assert_eq!(
            of("include = [\"../a.toml\", { path = \"b.toml\", optional = true }]\n"),
            ["/p/a.toml", "/p/.cargo/b.toml"]
        );
        assert!(of("[build]\n").is_empty());
    }

    #[test]
    fn a_project_file_is_seen_as_it_is_unless_it_holds_a_secret() {
        let mut folders = Vec::new();
        assert_eq!(masked("[build]\njobs = 2\n", Utf8Path::new("/p"), &mut folders), None);
        assert_eq!(masked("damaged [", Utf8Path::new("/p"), &mut folders), None);
        let seen = masked(HOME, Utf8Path::new("/p"), &mut folders).unwrap();
        assert!(!seen.contains("hunter2") && seen.contains("aarch64-linux-gnu-gcc"), "{seen}");
        assert_eq!(folders, ["/p/vendor"]);
    }
}
