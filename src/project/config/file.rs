//! Reading `Convoy.toml` and the `metadata.convoy` tables of manifests.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use camino::Utf8Path;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::model::catalog::WindowsRuntime;
use crate::project::config::container::one_source;
use crate::project::config::{ContainerSettings, SupplySettings, TargetSettings, UserNeeds};
use crate::util::error::{Error, Result};
use crate::util::files::{PlainFile, SMALL};
use crate::util::suggest::did_you_mean;

/// One source of configuration.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Its name, as shown to people.
    pub name: String,
    /// What it says.
    pub table: Table,
    /// Keys that mean nothing, each as a sentence.
    pub warnings: Vec<String>,
    /// Whether it is written for cross, whose users have tables for targets that convoy need not know.
    pub of_cross: bool,
}

/// The keys of a configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Table {
    pub targets: Option<Vec<String>>,
    pub dist_dir: Option<String>,
    pub profile: Option<String>,
    pub provision: Option<ProvisionMode>,
    pub windows: Option<WindowsRuntime>,
    #[serde(deserialize_with = "in_order")]
    pub target: Vec<(String, TargetSettings)>,
    pub needs: BTreeMap<String, UserNeeds>,
    pub supply: SupplySettings,
    #[serde(deserialize_with = "one_source")]
    pub container: ContainerSettings,
    /// Whether std is built from source for every target; only a Cross.toml says this.
    #[serde(skip)]
    pub build_std: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ProvisionMode {
    Auto,
    Never,
}

const KEYS: &[&str] = &[
    "targets",
    "dist-dir",
    "profile",
    "provision",
    "windows",
    "target",
    "routes",
    "glibc",
    "features",
    "rustflags",
    "env",
    "cpu",
    "build-std",
    "needs",
    "tools",
    "libraries",
    "supply",
    "order",
    "packages",
    "mirrors",
    "snapshot",
    "keyring",
    "security",
    "container",
    "engine",
    "base",
    "image",
    "dockerfile",
    "dockerfile-context",
    "dockerfile-args",
    "pre-build",
    "pre-build-script",
    "passthrough",
    "volumes",
    "network",
    "memory",
    "cpus",
    "registry",
    "toolchain",
];

/// A map as a list, because the order of tables decides which one wins.
pub(super) fn in_order<'de, D, T>(deserializer: D) -> Result<Vec<(String, T)>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Visitor<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
        type Value = Vec<(String, T)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a table of targets")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while let Some(entry) = map.next_entry()? {
                list.push(entry);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_map(Visitor(PhantomData))
}

/// Reads `Convoy.toml` beside the workspace's manifest, if there is one.
pub fn load(path: &Utf8Path) -> Result<Option<ConfigFile>> {
    let Some(text) = read(path)? else { return Ok(None) };
    let name = path.file_name().unwrap_or(path.as_str()).to_owned();
    let (table, mut warnings) = parse::<Table>(&text, &name, "")?;
    warnings.extend(misplaced(&table, &name, ""));
    Ok(Some(ConfigFile { name, table, warnings, of_cross: false }))
}

/// The text of a file, if there is one.
pub(super) fn read(path: &Utf8Path) -> Result<Option<String>> {
    match PlainFile::open(path, SMALL).and_then(|file| file.read_text()) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let name = path.file_name().unwrap_or(path.as_str());
            Err(Error::usage(format!("could not read {name}")).because(error))
        }
    }
}

/// Keys that mean something in another table only.
fn misplaced(table: &Table, name: &str, scope: &str) -> Vec<String> {
    let odd = table.target.iter().filter(|(_, settings)| settings.container.engine.is_some());
    let key = |word: &str| format!("{scope}target.{word}.container.engine");
    odd.map(|(word, _)| {
        format!(
            "{name}: key `{}` is ignored: the engine is the same for all targets; set it under `[container]`",
            key(word)
        )
    })
    .collect()
}

/// Reads `[workspace.metadata.convoy]` of the workspace's manifest and `[package.metadata.convoy]` of a package's, in
/// order of rising weight. They may be one file.
///
/// # Errors
/// A manifest that cannot be read, or a value that means nothing for its key.
pub(crate) fn metadata_files(root: &Utf8Path, package: Option<&Utf8Path>) -> Result<Vec<ConfigFile>> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Manifest {
        workspace: Section,
        package: Section,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Section {
        metadata: Metadata,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Metadata {
        convoy: Option<Table>,
    }
    let mut files = Vec::new();
    let others = package.filter(|package| *package != root);
    for path in std::iter::once(root).chain(others) {
        let text = fs_err::read_to_string(path)?;
        // The filter spares a second parse of every manifest that says nothing.
        if !text.contains("convoy") {
            continue;
        }
        let shown = path.strip_prefix(root.parent().unwrap_or(root)).unwrap_or(path).as_str();
        let (manifest, warnings) = parse::<Manifest>(&text, shown, "metadata.convoy")?;
        let workspace = Some(manifest.workspace).filter(|_| path == root);
        let of_package = Some(manifest.package).filter(|_| package == Some(path));
        for (section, table) in [("workspace", workspace), ("package", of_package)] {
            let Some(table) = table.and_then(|section| section.metadata.convoy) else { continue };
            let prefix = format!("{section}.metadata.convoy");
            let of_section = warnings.iter().filter(|warning| warning.contains(&prefix)).cloned();
            let warnings = of_section.chain(misplaced(&table, shown, &format!("{prefix}."))).collect();
            let name = format!("{shown} [{prefix}]");
            files.push(ConfigFile { name, table, warnings, of_cross: false });
        }
    }
    Ok(files)
}

/// Parses, and tells keys that mean nothing below `scope`.
fn parse<T: DeserializeOwned>(text: &str, name: &str, scope: &str) -> Result<(T, Vec<String>)> {
    let (value, unknown) = parse_with_unknown(text, name)?;
    let own = unknown.iter().filter(|path| scope.is_empty() || path.contains(&format!("{scope}.")));
    let warnings = own.map(|path| {
        let key = path.rsplit('.').next().unwrap_or(path);
        let near = did_you_mean(key, KEYS.iter().copied());
        format!("{name}: unknown key `{path}`{near}")
    });
    Ok((value, warnings.collect()))
}

/// Parses, and gives the keys that nothing was read from, with the tables that they stand in.
pub(super) fn parse_with_unknown<T: DeserializeOwned>(text: &str, name: &str) -> Result<(T, Vec<String>)> {
    let mut unknown = Vec::new();
    let mut ignored = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
    let parsed = toml::Deserializer::parse(text).and_then(|de| serde_ignored::deserialize(de, &mut ignored));
    match parsed {
        Ok(value) => Ok((value, unknown)),
        Err(error) => {
            let place = error.span().map(|span| line_and_column(text, span.start));
            let place = place.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
            Err(Error::usage(format!("{name}{place}: {}", error.message())))
        }
    }
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<(Table, Vec<String>)> {
        parse(text, "Convoy.toml", "")
    }

    #[test]
    fn a_wrong_value_is_shown_with_its_place() {
        for (text, wants) in [
            ("\ntargets = 3\n", "Convoy.toml:2:11"),
            ("targets = ['a']\nprovision = 'sometimes'\n", "Convoy.toml:2:13"),
            ("[target.'linux/arm64']\nglibc = '2'\n", "Convoy.toml:2:9"),
            ("[target.'linux/arm64']\nroutes = ['zug']\n", "unknown variant `zug`"),
            ("targets = [", "Convoy.toml:1:"),
            ("[container]\nmemory = 'much'\n", "Convoy.toml:2:10: `much` is not a valid amount of memory"),
            ("[container]\ncpus = 1\nvolumes = [\n  'x/',\n  'y:z']\n", "Convoy.toml:3:11"),
            (
                "[container]\nimage = 'a'\ndockerfile = 'b'\n",
                "Convoy.toml:1:1: `image` and `dockerfile` cannot be used together",
            ),
            ("\n[target.x.container]\nbase = 'a'\ndockerfile = 'b'\n", "Convoy.toml:2:1: `dockerfile` and `base`"),
            ("[target.x]\ncontainer = { engine = 'lxc' }\n", "Convoy.toml:2:24: unknown variant `lxc`"),
            ("[needs.x]\ntools = ['cc', 'cmaek']\n", "unknown tool `cmaek`; did you mean `cmake`?"),
        ] {
            let error = table(text).unwrap_err();
            assert!(error.to_string().contains(wants), "{text}: {error}");
        }
    }

    #[test]
    fn tools_may_be_called_by_their_executables() {
        let (table, _) = table("[needs.x]\ntools = ['gcc', 'g++', 'python3', 'autoconf', 'cmake']\n").unwrap();
        assert_eq!(table.needs["x"].tools, ["cc", "c++", "python", "autotools", "cmake"]);
    }

    #[test]
    fn an_unknown_key_is_a_warning_with_the_nearest_known_one() {
        let (_, warnings) = table("target-dir = 'x'\n[target.x]\nrustflag = []\n").unwrap();
        assert_eq!(
            warnings,
            [
                "Convoy.toml: unknown key `target-dir`; did you mean `target`?",
                "Convoy.toml: unknown key `target.x.rustflag`; did you mean `rustflags`?"
            ]
        );
    }

    #[test]
    fn an_engine_is_for_all_targets() {
        let (table, warnings) =
            table("[container]\nengine = 'podman'\n[target.x.container]\nengine = 'docker'\n").unwrap();
        assert_eq!(warnings, [""; 0]);
        assert_eq!(
            misplaced(&table, "Convoy.toml", ""),
            [
                "Convoy.toml: key `target.x.container.engine` is ignored: the engine is the same for all targets; set it \
              under `[container]`"
            ]
        );
    }

    fn settled(files: &[(&str, &str)]) -> crate::project::config::Settings {
        let file = |(name, text): &(&str, &str)| ConfigFile {
            name: (*name).to_owned(),
            table: table(text).unwrap().0,
            warnings: Vec::new(),
            of_cross: false,
        };
        let files: Vec<ConfigFile> = files.iter().map(file).collect();
        let dir = Utf8Path::new("/work");
        let selection = crate::model::request::Selection::default();
        crate::project::config::settle(&selection, &crate::project::config::Environment::default(), &files, dir, dir)
            .unwrap()
    }

    #[test]
    fn the_most_specific_table_of_a_file_wins_and_the_heavier_file() {
        let text = "[target.a]\nglibc = '2.36'\n[target.b]\nglibc = '2.31'\nfeatures = ['x']\ncontainer.image = 'a'\n\
            [container]\ndockerfile = 'b'\nnetwork = true\n";
        let settings = settled(&[("one", text)]);
        let merged = settings.for_names(["b", "a"]);
        assert_eq!(merged.glibc.unwrap().to_string(), "2.36");
        assert_eq!(settings.for_names(["a", "b"]).glibc.unwrap().to_string(), "2.31");
        assert_eq!(merged.features, ["x"]);
        assert_eq!(merged.container.source(), crate::project::config::ImageSource::Named("a"));
        assert_eq!(merged.container.network, Some(true));
        let settings = settled(&[("one", text), ("two", "[target.b]\nglibc = '2.28'\n")]);
        assert_eq!(settings.for_names(["b", "a"]).glibc.unwrap().to_string(), "2.28");
    }

    #[test]
    fn each_value_is_told_with_its_file() {
        let light = "[supply]\norder = ['host']\npackages = ['libone-dev']\nmirrors = ['file:/one']\n\
            [container]\nnetwork = true\nimage = 'a'\n";
        let heavy = "[supply]\norder = ['sysroot']\npackages = ['libtwo-dev']\n[container]\nbase = 'b'\n\
            [target.'linux/arm64']\nglibc = '2.36'\nenv = { KEY = 'hunter2' }\nsupply.order = ['host']\n";
        let rows = settled(&[("light", light), ("heavy", heavy)]).origins();
        let rows: Vec<String> =
            rows.into_iter().map(|(key, value, origin)| format!("{key} = {value}  ({origin})")).collect();
        insta::assert_snapshot!(rows.join("\n"));
    }

    #[test]
    fn a_floor_that_std_cannot_start_on_is_refused_where_it_is_written() {
        let error = table("[target.x]\nglibc = '2.5'\n").unwrap_err().to_string();
        assert!(error.contains("Convoy.toml:2:9: glibc 2.5 is older than 2.17"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_or_a_device_in_its_place_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let pipe = dir.join("Convoy.toml");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let error = load(&pipe).unwrap_err();
        assert_eq!(
            (error.exit(), error.to_string().as_str()),
            (crate::util::error::Exit::Usage, "could not read Convoy.toml")
        );
        // Cross.toml is read by the same function.
        let device = dir.join("Cross.toml");
        fs_err::os::unix::fs::symlink("/dev/zero", &device).unwrap();
        assert!(read(&device).is_err());
        assert_eq!(read(&dir.join("none")).unwrap(), None);
    }
}
