//! `targets/needs.toml`, and whether a row's rules hold for a package.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use semver::VersionReq;

use super::circumstances::Circumstances;
use crate::model::needs::{self, BuildDependency, Conditions, Library, Row, Rows, Rule, Target};
use crate::project::graph::Package;

/// What is known of crates and libraries.
#[derive(Debug)]
pub struct Table {
    /// Rows by crate name.
    crates: HashMap<String, Entry>,
    /// Helper crates of build scripts, by name.
    pub helpers: BTreeMap<String, BuildDependency>,
    /// System libraries, by key.
    pub libraries: BTreeMap<String, Library>,
    /// The variables that some rule looks at.
    pub variables: BTreeSet<String>,
}

#[derive(Debug)]
struct Entry {
    row: Row,
    /// The rules' own conditions on target and version, in their order.
    conditions: Vec<Conditions>,
}

impl Table {
    /// The embedded table.
    pub fn embedded() -> &'static Table {
        static TABLE: LazyLock<Table> = LazyLock::new(|| {
            // A test below holds it against the other tables.
            Table::of(needs::rows().clone()).unwrap_or_else(|error| panic!("embedded targets/needs.toml: {error}"))
        });
        &TABLE
    }

    fn of(rows: Rows) -> Result<Table, String> {
        let mut crates = HashMap::new();
        let mut variables = BTreeSet::new();
        for row in rows.crates {
            let mut conditions = Vec::new();
            for rule in &row.needs {
                conditions.push(rule.conditions().map_err(|error| format!("row `{}`: {error}", row.name))?);
                let names = rule.env.iter().chain(&rule.unless_env);
                variables.extend(names.map(|text| text.split('=').next().unwrap_or(text).to_owned()));
            }
            let name = row.name.clone();
            if crates.insert(name.clone(), Entry { row, conditions }).is_some() {
                return Err(format!("two rows for `{name}`"));
            }
        }
        let helpers = rows.build_dependency.into_iter().map(|helper| (helper.name.clone(), helper)).collect();
        Ok(Table { crates, helpers, libraries: rows.library, variables })
    }

    /// The rows, by crate name.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        let mut rows: Vec<&Row> = self.crates.values().map(|entry| &entry.row).collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows.into_iter()
    }

    /// The row of a crate.
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.crates.get(name).map(|entry| &entry.row)
    }

    /// Whether a crate has a row.
    pub fn has(&self, name: &str) -> bool {
        self.crates.contains_key(name)
    }

    /// The row of a package and those of its rules that hold.
    pub fn asks(&self, package: &Package, circumstances: Circumstances<'_>) -> Option<(&Row, Vec<&Rule>)> {
        let entry = self.crates.get(&package.name)?;
        let rules = entry.row.needs.iter().zip(&entry.conditions);
        let held = rules.filter(|(rule, conditions)| holds(rule, conditions, package, circumstances));
        Some((&entry.row, held.map(|(rule, _)| rule).collect()))
    }

    /// The library that has this name in pkg-config, by its key.
    pub fn by_pkg_config(&self, name: &str) -> Option<&str> {
        let named = |library: &Library| library.pkg_config.as_deref() == Some(name);
        self.libraries.iter().find(|(_, library)| named(library)).map(|(key, _)| key.as_str())
    }

    /// The library that a linker knows by this name, by its key.
    pub fn by_link_name(&self, name: &str) -> Option<&str> {
        let named = |library: &Library| library.link.iter().any(|link| link == name);
        self.libraries.iter().find(|(_, library)| named(library)).map(|(key, _)| key.as_str())
    }
}

fn holds(rule: &Rule, conditions: &Conditions, package: &Package, circumstances: Circumstances<'_>) -> bool {
    let any = |wanted: &[String], there: &BTreeSet<String>| wanted.iter().any(|name| there.contains(name));
    let yes = |wanted: &[String], there: &BTreeSet<String>| wanted.is_empty() || any(wanted, there);
    let set = |text: &String| circumstances.is_set(text);
    yes(&rule.features, &package.features)
        && !any(&rule.unless_features, &package.features)
        && yes(&rule.build_dependencies, &package.build_dependencies)
        && !any(&rule.unless_build_dependencies, &package.build_dependencies)
        && yes(&rule.dependencies, &package.dependencies)
        && !any(&rule.unless_dependencies, &package.dependencies)
        && (rule.env.is_empty() || rule.env.iter().any(set))
        && !rule.unless_env.iter().any(set)
        && (!rule.cross || circumstances.cross())
        && match &conditions.target {
            Target::All => true,
            Target::Triple(triple) => circumstances.triple == triple,
            // What is unknown before the compiler runs stands.
            Target::Cfg(expression) => circumstances.holds(expression, &package.features).unwrap_or(true),
        }
        && conditions.versions.as_ref().is_none_or(|range| version_in(&package.version, range))
}

/// Build metadata and pre-releases count as the version that they belong to.
fn version_in(version: &str, range: &VersionReq) -> bool {
    // cargo takes no other versions. What cannot be compared stands, as what is unknown of a target does.
    let Ok(mut version) = semver::Version::parse(version) else { return true };
    version.pre = semver::Prerelease::EMPTY;
    range.matches(&version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::tools;

    #[test]
    fn every_name_in_the_table_is_known() {
        let table = Table::embedded();
        for row in table.rows() {
            for rule in &row.needs {
                for tool in &rule.tools {
                    assert!(
                        ["cc", "c++"].contains(&tool.as_str()) || tools::tool(tool).is_some(),
                        "row `{}`: no tool `{tool}` in targets/tools.toml",
                        row.name
                    );
                }
                for library in &rule.libraries {
                    assert!(table.libraries.contains_key(library), "row `{}`: no library `{library}`", row.name);
                }
                let somewhere = rule.target.is_some() || rule.cross;
                assert!(rule.unsupported.is_none() || somewhere, "row `{}`: unsupported where?", row.name);
                let looked_for = !rule.by_pkg_config || !rule.libraries.is_empty();
                assert!(looked_for, "row `{}`: which library does pkg-config find?", row.name);
            }
            for (name, value) in &row.sysroot_env {
                assert!(name.contains("{TARGET}") || name.contains("{target}"), "row `{}`: {name}", row.name);
                let filled = ["{TARGET}", "{target}", "{root}", "{lib}", "{include}", "{multiarch-include}"]
                    .iter()
                    .fold(format!("{name}{value}"), |text, place| text.replace(place, ""));
                assert!(!filled.contains(['{', '}']), "row `{}`: `{name}` = `{value}`", row.name);
            }
        }
        assert!(table.crates.len() >= 120, "{} rows", table.crates.len());
    }

    #[test]
    fn rules_add_up_and_their_conditions_all_hold() {
        let rows = Rows::parse(
            r#"
            [[crate]]
            name = "a-sys"
            read = "1.0.0"
            needs = [
                { tools = ["cc"], unless-features = ["system"], target = "cfg(unix)" },
                { libraries = ["a"], features = ["system", "dynamic"] },
                { tools = ["libclang"], env = ["A_BINDGEN=1"], versions = ">=1.2" },
                { tools = ["perl"], build-dependencies = ["a-src"], unless-env = ["A_DIR"] },
            ]
            "#,
        )
        .unwrap();
        let table = Table::of(rows).unwrap();
        let ask = |triple: &str, version: &str, features: &[&str], build: &[&str], env: &[(&str, &str)]| {
            let package = Package {
                name: "a-sys".to_owned(),
                version: version.to_owned(),
                features: features.iter().map(|f| (*f).to_owned()).collect(),
                build_dependencies: build.iter().map(|f| (*f).to_owned()).collect(),
                ..Package::default()
            };
            let env = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            let (_, rules) = table.asks(&package, Circumstances::new(triple, triple, &env)).unwrap();
            rules.iter().flat_map(|rule| rule.tools.iter().chain(&rule.libraries).cloned()).collect::<Vec<_>>()
        };
        let linux = "x86_64-unknown-linux-gnu";
        assert_eq!(ask(linux, "1.0.0", &[], &[], &[]), ["cc"]);
        assert_eq!(ask("x86_64-pc-windows-gnu", "1.0.0", &[], &[], &[]), [""; 0]);
        assert_eq!(ask(linux, "1.0.0", &["dynamic"], &[], &[]), ["cc", "a"]);
        assert_eq!(ask(linux, "1.0.0", &["system"], &[], &[]), ["a"]);
        assert_eq!(ask(linux, "1.2.0+9", &[], &[], &[("A_BINDGEN", "1")]), ["cc", "libclang"]);
        assert_eq!(ask(linux, "1.0.0", &[], &[], &[("A_BINDGEN", "1")]), ["cc"]);
        assert_eq!(ask(linux, "1.2.0", &[], &[], &[("A_BINDGEN", "0")]), ["cc"]);
        assert_eq!(ask(linux, "1.2.0", &[], &["a-src"], &[]), ["cc", "perl"]);
        assert_eq!(ask(linux, "1.2.0", &[], &["a-src"], &[("A_DIR", "")]), ["cc"]);
        assert_eq!(table.variables.iter().collect::<Vec<_>>(), ["A_BINDGEN", "A_DIR"]);
    }

    /// `build.rs` calls the same function: such a table ends the build of convoy.
    #[test]
    fn a_condition_that_cannot_be_read_is_told_with_its_row() {
        for (condition, says) in [
            ("versions = \">=1.x.y\"", "row `a-sys`: versions `>=1.x.y`"),
            ("target = \"cfg(all(unix)\"", "row `a-sys`: target `cfg(all(unix)`"),
            ("target = \"cfg(unix) \"", "row `a-sys`: target `cfg(unix) `"),
            ("target = \"linux\"", "row `a-sys`: target `linux`: it is neither a triple nor `cfg(…)`"),
        ] {
            let row =
                format!("[[crate]]\nname = \"a-sys\"\nread = \"1\"\nneeds = [{{ tools = [\"cc\"], {condition} }}]\n");
            let error = Rows::parse(&row).unwrap_err();
            assert!(error.starts_with(says), "{condition}: {error}");
        }
        assert!(version_in("1.2.0-rc.1+x", &VersionReq::parse(">=1.2").unwrap()));
        assert!(!version_in("1.1.9", &VersionReq::parse(">=1.2").unwrap()));
    }

    #[test]
    fn a_row_with_an_unknown_field_is_no_table() {
        let text = "[[crate]]\nname = \"a\"\nread = \"1\"\nneeds = [{ tool = [\"cc\"] }]\n";
        assert!(Rows::parse(text).unwrap_err().contains("tool"));
    }
}
