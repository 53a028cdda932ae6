//! Which of Debian's packages a machine must have for a program to start, from the control files of the sysroot that it
//! was linked against. As dpkg-shlibdeps does it, but for each library by itself.

use std::collections::BTreeSet;

use camino::Utf8Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shlibs::{Dependency, Symbols, higher, shlibs};

/// A Debian package that a program needs at run time.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub struct RuntimePackage {
    /// The package.
    pub package: String,
    /// The minimum version; null if any version will do.
    pub version: Option<String>,
    /// The first version that is too new; omitted if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<String>,
    /// Soname of the library that it provides.
    pub library: String,
}

/// The control files of one package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The package's name.
    pub package: String,
    /// The text of its `symbols` file; empty where it has none.
    pub symbols: String,
    /// The text of its `shlibs` file; empty where it has none.
    pub shlibs: String,
}

/// Reads the control files of every package of a sysroot: `<package>/{control,symbols,shlibs}`. What cannot be read says
/// nothing.
pub fn read_control(dir: &Utf8Path) -> Vec<Control> {
    let entries = dir.read_dir_utf8().into_iter().flatten().flatten();
    let mut found: Vec<Control> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| {
            let text = |name: &str| match fs_err::read(entry.path().join(name)) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(_) => String::new(),
            };
            let named = text("control").lines().find_map(|line| Some(line.strip_prefix("Package:")?.trim().to_owned()));
            let package = named.unwrap_or_else(|| entry.file_name().to_owned());
            Control { package, symbols: text("symbols"), shlibs: text("shlibs") }
        })
        .collect();
    found.sort_by(|a, b| a.package.cmp(&b.package));
    found
}

/// The packages that a program needs: for each needed library the lowest version that has all symbols which the program
/// uses of it (name and version each). A library that no package tells of has no row.
pub fn runtime_packages(
    needed: &[String],
    symbols: &[(&str, Option<&str>)],
    control: &[Control],
) -> Vec<RuntimePackage> {
    let known: Vec<(&String, Option<Symbols>)> = needed
        .iter()
        .map(|library| (library, control.iter().find_map(|package| Symbols::parse(&package.symbols, library))))
        .collect();
    let mut asked: Vec<(&str, Dependency)> = Vec::new();
    for (library, symbols) in &known {
        let asks = match symbols {
            Some(symbols) => symbols.main(),
            None => control.iter().find_map(|package| shlibs(&package.shlibs, library)),
        };
        asked.extend(asks.map(|asks| (library.as_str(), asks)));
    }
    for (name, version) in symbols {
        // The first library that has it, in the order of the loader.
        let first =
            known.iter().find_map(|(library, symbols)| Some((library.as_str(), symbols.as_ref()?.of(name, *version)?)));
        asked.extend(first);
    }

    let here: BTreeSet<&str> = control.iter().map(|package| package.package.as_str()).collect();
    let mut rows: Vec<RuntimePackage> = Vec::new();
    for (library, asks) in asked {
        for relation in asks.relations(|package| here.contains(package)) {
            match rows.iter_mut().find(|row| row.library == library && row.package == relation.package) {
                Some(row) => {
                    row.version = higher(row.version.take(), relation.version);
                    row.below = row.below.take().or(relation.below);
                }
                None => rows.push(RuntimePackage {
                    package: relation.package,
                    version: relation.version,
                    below: relation.below,
                    library: library.to_owned(),
                }),
            }
        }
    }
    rows.sort();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(package: &str, symbols: &str, shlibs: &str) -> Control {
        Control { package: package.to_owned(), symbols: symbols.to_owned(), shlibs: shlibs.to_owned() }
    }

    fn rows(needed: &[&str], symbols: &[(&str, Option<&str>)], control: &[Control]) -> Vec<String> {
        let needed: Vec<String> = needed.iter().map(|name| (*name).to_owned()).collect();
        let text = |row: RuntimePackage| {
            let below = row.below.map(|below| format!(" << {below}")).unwrap_or_default();
            format!("{}: {} >= {}{below}", row.library, row.package, row.version.as_deref().unwrap_or("any"))
        };
        runtime_packages(&needed, symbols, control).into_iter().map(text).collect()
    }

    #[test]
    fn each_library_asks_for_the_newest_symbol_that_is_used() {
        let control = [
            control(
                "libc6",
                "libc.so.6 libc6 #MINVER#\n| libc6 (>> 2.36), libc6 (<< 2.37)\n memcpy@GLIBC_2.14 2.14\n \
                 start@GLIBC_2.34 2.34\n old@GLIBC_2.4 2.4\n secret@GLIBC_PRIVATE 0 1\nlibm.so.6 libc6 #MINVER#\n \
                 sin@GLIBC_2.4 2.4\n pow@GLIBC_2.29 2.29\n",
                "libc 6 libc6 (>= 2.36)\nlibm 6 libc6 (>= 2.36)\n",
            ),
            control("libplain1", "", "libplain 1 libplain1 (>= 1:1.2~)\n"),
        ];
        let needed = ["libplain.so.1", "libm.so.6", "libc.so.6", "libunknown.so.9"];
        let used = [("memcpy", Some("GLIBC_2.14")), ("start", Some("GLIBC_2.34")), ("elsewhere", None)];
        assert_eq!(
            rows(&needed, &used, &control),
            ["libc.so.6: libc6 >= 2.34", "libm.so.6: libc6 >= 2.4", "libplain.so.1: libplain1 >= 1:1.2~"]
        );
        // What binds to glibc's own internals needs this very glibc.
        assert_eq!(
            rows(&["libc.so.6"], &[("secret", Some("GLIBC_PRIVATE"))], &control),
            ["libc.so.6: libc6 >= 2.36 << 2.37"]
        );
    }

    #[test]
    fn of_alternatives_the_sysroots_own_package_is_named() {
        let ncurses = "libncurses.so.6 libncurses6t64 #MINVER# | libncurses6 #MINVER#\n initscr@Base 6\n";
        let used = [("initscr", None)];
        let needed = ["libncurses.so.6"];
        assert_eq!(rows(&needed, &used, &[control("libncurses6", ncurses, "")]), ["libncurses.so.6: libncurses6 >= 6"]);
        assert_eq!(rows(&needed, &used, &[control("other", ncurses, "")]), ["libncurses.so.6: libncurses6t64 >= 6"]);
    }

    #[test]
    fn control_files_are_read_as_they_lie() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        fs_err::create_dir_all(dir.join("libx1")).unwrap();
        fs_err::write(dir.join("libx1/control"), "Package: libx1\nVersion: 1.0-1\n").unwrap();
        fs_err::write(dir.join("libx1/shlibs"), b"libx 1 libx1 (>= 1.0)\n\xff\n").unwrap();
        fs_err::create_dir_all(dir.join("empty")).unwrap();
        fs_err::write(dir.join("stray"), "").unwrap();
        let found = read_control(dir);
        let names: Vec<&str> = found.iter().map(|control| control.package.as_str()).collect();
        assert_eq!(names, ["empty", "libx1"]);
        assert_eq!(rows(&["libx.so.1"], &[], &found), ["libx.so.1: libx1 >= 1.0"]);
        assert_eq!(read_control(&dir.join("none")), []);
    }
}
