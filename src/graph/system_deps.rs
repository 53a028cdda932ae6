//! `[package.metadata.system-deps]`: what a build script that uses the `system-deps` crate asks pkg-config for.

use serde_json::Value;

use super::SystemDep;

/// Reads a package's metadata table; entries that the `system-deps` crate itself would refuse are left out.
pub(super) fn read(metadata: &Value) -> Vec<SystemDep> {
    let mut found = Vec::new();
    if let Some(table) = metadata.get("system-deps").and_then(Value::as_object) {
        entries(table, None, &mut found);
    }
    found
}

fn entries(table: &serde_json::Map<String, Value>, cfg: Option<&str>, found: &mut Vec<SystemDep>) {
    for (key, value) in table {
        match value {
            // A table of entries for some targets; these do not nest.
            Value::Object(inner) if key.starts_with("cfg(") && cfg.is_none() => entries(inner, Some(key), found),
            Value::Object(entry) => {
                let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
                found.push(SystemDep {
                    name: text("name").unwrap_or_else(|| key.clone()),
                    optional: entry.get("optional").and_then(Value::as_bool).unwrap_or(false),
                    feature: text("feature"),
                    cfg: cfg.map(str::to_owned),
                });
            }
            Value::String(_) => {
                found.push(SystemDep { name: key.clone(), cfg: cfg.map(str::to_owned), ..SystemDep::default() });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_system_deps_reads_them() {
        let metadata: Value = serde_json::json!({ "system-deps": {
            "zlib": "1.2",
            "glib_2_0": { "name": "glib-2.0", "version": "2.56", "v2_58": { "version": "2.58" } },
            "extra": { "version": "1", "feature": "more", "optional": true },
            "cfg(target_os = \"linux\")": { "udev": "1" },
            "broken": 3,
        }});
        let said: Vec<String> = read(&metadata)
            .iter()
            .map(|dep| format!("{} {} {:?} {:?}", dep.name, dep.optional, dep.feature, dep.cfg))
            .collect();
        assert_eq!(said, [
            "udev false None Some(\"cfg(target_os = \\\"linux\\\")\")",
            "extra true Some(\"more\") None",
            "glib-2.0 false None None",
            "zlib false None None",
        ]);
    }

    #[test]
    fn a_package_without_the_table_asks_for_nothing() {
        assert_eq!(read(&Value::Null), []);
        assert_eq!(read(&serde_json::json!({ "docs": {} })), []);
    }
}
