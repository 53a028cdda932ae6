//! Reading `Convoy.toml` and the `metadata.convoy` tables of manifests.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::{SupplySettings, TargetSettings, UserNeeds};
use crate::error::{Error, Result};
use crate::suggest::nearest;

/// One source of configuration.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Its name, as shown to people.
    pub name: String,
    /// What it says.
    pub table: Table,
    /// Keys that mean nothing, each as a sentence.
    pub warnings: Vec<String>,
}

/// The keys of a configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Table {
    pub targets: Option<Vec<String>>,
    pub dist_dir: Option<String>,
    pub profile: Option<String>,
    pub provision: Option<ProvisionMode>,
    #[serde(deserialize_with = "in_order")]
    pub target: Vec<(String, TargetSettings)>,
    pub needs: BTreeMap<String, UserNeeds>,
    pub supply: SupplySettings,
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
];

/// A map as a list, because the order of tables decides which one wins.
fn in_order<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, TargetSettings)>, D::Error> {
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Vec<(String, TargetSettings)>;

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
    deserializer.deserialize_map(Visitor)
}

/// Reads `Convoy.toml` beside the workspace's manifest, if there is one.
pub fn load(path: &Utf8Path) -> Result<Option<ConfigFile>> {
    let text = match fs_err::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let name = path.file_name().unwrap_or(path.as_str()).to_owned();
    let (table, warnings) = parse::<Table>(&text, &name, "")?;
    Ok(Some(ConfigFile { name, table, warnings }))
}

/// Reads `[workspace.metadata.convoy]` and `[package.metadata.convoy]` of manifests, in order of rising weight.
pub fn metadata_files(manifests: &[&Utf8Path], workspace_root: &Utf8Path) -> Result<Vec<ConfigFile>> {
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
    for path in manifests {
        let text = fs_err::read_to_string(path)?;
        // The filter spares a second parse of every manifest that says nothing.
        if !text.contains("metadata.convoy") && !text.contains("convoy") {
            continue;
        }
        let shown = path.strip_prefix(workspace_root).unwrap_or(path).as_str();
        let (manifest, warnings) = parse::<Manifest>(&text, shown, "metadata.convoy")?;
        let sections = [("workspace", manifest.workspace), ("package", manifest.package)];
        for (section, Section { metadata }) in sections {
            let Some(table) = metadata.convoy else { continue };
            let prefix = format!("{section}.metadata.convoy");
            files.push(ConfigFile {
                name: format!("{shown} [{prefix}]"),
                table,
                warnings: warnings.iter().filter(|warning| warning.contains(&prefix)).cloned().collect(),
            });
        }
    }
    Ok(files)
}

/// Parses, and tells keys that mean nothing below `scope`.
fn parse<T: DeserializeOwned>(text: &str, name: &str, scope: &str) -> Result<(T, Vec<String>)> {
    let mut warnings = Vec::new();
    let mut ignored = |path: serde_ignored::Path<'_>| {
        let path = path.to_string();
        if !scope.is_empty() && !path.contains(&format!("{scope}.")) {
            return;
        }
        let key = path.rsplit('.').next().unwrap_or(&path);
        let near = nearest(key, KEYS.iter().copied());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        warnings.push(format!("{name}: key `{path}` means nothing{near}"));
    };
    let parsed = toml::Deserializer::parse(text).and_then(|de| serde_ignored::deserialize(de, &mut ignored));
    match parsed {
        Ok(value) => Ok((value, warnings)),
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
        ] {
            let error = table(text).unwrap_err();
            assert!(error.to_string().contains(wants), "{text}: {error}");
        }
    }

    #[test]
    fn an_unknown_key_is_a_warning_with_the_nearest_known_one() {
        let (_, warnings) = table("target-dir = 'x'\n[target.x]\nrustflag = []\n").unwrap();
        assert_eq!(
            warnings,
            [
                "Convoy.toml: key `target.x.rustflag` means nothing; did you mean `rustflags`?",
                "Convoy.toml: key `target-dir` means nothing; did you mean `target`?"
            ]
        );
    }

    #[test]
    fn later_tables_win() {
        let (table, _) = table("[target.a]\nglibc = '2.31'\nfeatures = ['x']\n[target.b]\nglibc = '2.36'\n").unwrap();
        let settings = crate::config::Settings {
            targets: crate::config::Valued { value: vec![], origin: crate::config::Origin::Default },
            dist_dir: crate::config::Valued { value: "d".into(), origin: crate::config::Origin::Default },
            profile: crate::config::Valued { value: "p".into(), origin: crate::config::Origin::Default },
            provision: crate::config::Valued { value: true, origin: crate::config::Origin::Default },
            offline: false,
            ignore_needs: false,
            needs: table.needs,
            supply: table.supply,
            tables: table.target,
        };
        let merged = settings.for_names(["b", "a"]);
        assert_eq!(merged.glibc.unwrap().to_string(), "2.36");
        assert_eq!(merged.features, ["x"]);
    }
}
