//! What a build script asks the `system-deps` crate for: written in the manifest, not in the script.

use toml::{Table, Value};

use super::package_files::PackageFiles;
use super::{Call, Guard, What};

/// The libraries in the manifest's `[package.metadata.system-deps]`, if one of the script's calls is about that crate.
pub(super) fn calls(files: &PackageFiles, calls: &[Call]) -> Vec<Call> {
    let crate_used = |call: &&Call| call.what == What::Helper("system-deps".to_owned());
    let Some(user) = calls.iter().find(crate_used) else { return Vec::new() };
    let text = files.read_text(&files.dir().join("Cargo.toml")).unwrap_or_default();
    libraries(&text)
        .into_iter()
        .map(|(what, own)| {
            let guards = Guard::all(user.guards.iter().cloned().chain(own)).into_list();
            Call { what, guards, place: "Cargo.toml".to_owned() }
        })
        .collect()
}

fn libraries(manifest: &str) -> Vec<(What, Vec<Guard>)> {
    let Ok(manifest) = toml::from_str::<Table>(manifest) else { return Vec::new() };
    let table = |table: &Table, key: &str| table.get(key).and_then(Value::as_table).cloned();
    let metadata = table(&manifest, "package").and_then(|package| table(&package, "metadata"));
    let Some(all) = metadata.and_then(|metadata| table(&metadata, "system-deps")) else { return Vec::new() };
    let mut found = Vec::new();
    for (key, value) in &all {
        match value.as_table().filter(|_| key.starts_with("cfg(")) {
            Some(inner) => {
                let target = Guard::Target { cfg: key.clone(), holds: true };
                found.extend(inner.iter().map(|(key, value)| library(key, value, vec![target.clone()])));
            }
            None => found.push(library(key, value, Vec::new())),
        }
    }
    found
}

fn library(key: &str, value: &Value, mut guards: Vec<Guard>) -> (What, Vec<Guard>) {
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    if let Some(feature) = text("feature") {
        guards.push(Guard::Feature { name: feature.to_owned(), on: true });
    }
    let optional = value.get("optional").and_then(Value::as_bool).unwrap_or_default();
    (What::PkgConfig { name: Some(text("name").unwrap_or(key).to_owned()), optional }, guards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_of_a_manifest() {
        let found = libraries(
            r#"
            [package.metadata.system-deps]
            x11 = "1"
            [package.metadata.system-deps.glib_2_0]
            name = "glib-2.0"
            version = "2.56"
            [package.metadata.system-deps.glib_2_0.v2_58]
            version = "2.58"
            [package.metadata.system-deps."cfg(target_os = \"linux\")".udev]
            name = "libudev"
            feature = "hotplug"
            optional = true
            "#,
        );
        let library = |name: &str, optional| What::PkgConfig { name: Some(name.to_owned()), optional };
        let guards = vec![
            Guard::Target { cfg: "cfg(target_os = \"linux\")".to_owned(), holds: true },
            Guard::Feature { name: "hotplug".to_owned(), on: true },
        ];
        let mut expected = vec![
            (library("x11", false), vec![]),
            (library("glib-2.0", false), vec![]),
            (library("libudev", true), guards),
        ];
        expected.sort_by_key(|(what, _)| format!("{what:?}"));
        let mut found = found;
        found.sort_by_key(|(what, _)| format!("{what:?}"));
        assert_eq!(found, expected);
        assert_eq!(libraries("not a manifest ["), []);
    }
}
