//! The `symbols` and `shlibs` files of Debian's packages, deb-symbols(5) and deb-shlibs(5): which package, in which
//! version, a program needs for what it uses of a library. Pure; what is not understood is passed over.

use std::cmp::Ordering;
use std::collections::HashMap;

use regex::Regex;

use super::debversion;

/// What a `symbols` file says of one library.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    /// Dependency templates: the main one, then the alternatives that symbols choose by number.
    templates: Vec<String>,
    /// By `name@version`.
    symbols: HashMap<String, Asks>,
    /// Shipped files have none of these as a rule: they are expanded when a package is built.
    patterns: Vec<(Pattern, Asks)>,
}

/// What the use of a symbol asks of the package.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asks {
    /// The lowest version of the package that has it.
    version: String,
    /// The number of the template.
    template: usize,
}

#[derive(Debug)]
enum Pattern {
    /// All symbols of one version.
    Version(String),
    /// All whose `name@version` matches.
    Regex(Regex),
}

/// A dependency and the lowest version of it that is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The template, with `#MINVER#` where the version belongs; several dependencies are divided by commas.
    pub template: String,
    /// None where every version is enough.
    pub version: Option<String>,
}

impl Symbols {
    /// Reads what a `symbols` file says of the library with this soname; none where it does not have it.
    pub(crate) fn parse(text: &str, soname: &str) -> Option<Self> {
        let mut found: Option<Self> = None;
        let mut here = false;
        for line in text.lines() {
            let Some(first) = line.chars().next() else { continue };
            match first {
                // `#MISSING: 1.2# symbol@version …` and other comments: the library no longer has these.
                '#' => {}
                ' ' | '\t' if here => {
                    if let Some(found) = &mut found {
                        found.add(line.trim_start());
                    }
                }
                '|' if here => {
                    if let Some(found) = &mut found {
                        found.templates.push(line[1..].trim().to_owned());
                    }
                }
                // Fields about building packages.
                ' ' | '\t' | '|' | '*' => {}
                _ => {
                    let (name, template) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
                    here = name == soname;
                    if here {
                        // A second header replaces the templates and keeps the symbols.
                        found.get_or_insert_default().templates = vec![template.trim().to_owned()];
                    }
                }
            }
        }
        found
    }

    /// One line: `[(tag|tag=value)]symbol@version minimal-version [template]`.
    fn add(&mut self, line: &str) {
        let (tags, rest) = match line.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            Some((tags, rest)) => (tags, rest),
            None => ("", line),
        };
        let quote = rest.chars().next().filter(|first| !tags.is_empty() && matches!(first, '"' | '\''));
        let split = match quote {
            Some(quote) => rest[1..].split_once(quote),
            None => rest.split_once(char::is_whitespace),
        };
        let Some((name, rest)) = split else { return };
        let mut words = rest.split_whitespace();
        let Some(version) = words.next() else { return };
        let template = words.next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let asks = Asks { version: version.to_owned(), template };
        // The architecture's own file holds what is true of it: `arch=` tags have been decided when it was written.
        let has = |tag: &str| tags.split('|').any(|own| own.trim() == tag);
        if has("regex") {
            if let Ok(regex) = Regex::new(name) {
                self.patterns.push((Pattern::Regex(regex), asks));
            }
        } else if let Some(version) = name.strip_prefix("*@").or_else(|| has("symver").then_some(name)) {
            self.patterns.push((Pattern::Version(version.to_owned()), asks));
        } else if !has("c++") {
            // A demangled C++ name would need a demangler that spells as Debian's does.
            self.symbols.insert(name.to_owned(), asks);
        }
    }

    /// What the library itself asks for, whatever is used of it: the lowest version that has any of its symbols.
    pub(crate) fn main(&self) -> Option<Dependency> {
        let versions = self.symbols.values().filter(|asks| asks.template == 0).map(|asks| &asks.version);
        let version = versions.min_by(|a, b| debversion::compare(a, b));
        Some(Dependency { template: self.templates.first()?.clone(), version: version.cloned() })
    }

    /// What the use of a symbol asks for.
    pub(crate) fn of(&self, name: &str, version: Option<&str>) -> Option<Dependency> {
        let full = format!("{name}@{}", version.unwrap_or("Base"));
        let asks = self.symbols.get(&full).or_else(|| {
            let fits = |pattern: &Pattern| match pattern {
                Pattern::Version(own) => version == Some(own),
                Pattern::Regex(regex) => regex.is_match(&full),
            };
            self.patterns.iter().find(|(pattern, _)| fits(pattern)).map(|(_, asks)| asks)
        })?;
        let template = self.templates.get(asks.template)?.clone();
        Some(Dependency { template, version: Some(asks.version.clone()) })
    }
}

/// What a `shlibs` file says of the library with this soname.
pub(crate) fn shlibs(text: &str, soname: &str) -> Option<Dependency> {
    let (name, number) = split_soname(soname)?;
    text.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // `[type:] library number dependency…`; other types than deb's are the installer's.
        let words = match words.first()?.strip_suffix(':') {
            Some("deb") => &words[1..],
            Some(_) => return None,
            None => &words[..],
        };
        let [own_name, own_number, template @ ..] = words else { return None };
        (*own_name == name && *own_number == number && !template.is_empty())
            .then(|| Dependency { template: template.join(" "), version: None })
    })
}

/// As dpkg-shlibdeps does: `libfoo.so.1` → `libfoo`, `1`; `libfoo-1.2.so` → `libfoo`, `1.2`.
fn split_soname(soname: &str) -> Option<(&str, &str)> {
    if let Some((name, number)) = soname.rsplit_once(".so.").filter(|(_, number)| !number.is_empty()) {
        return Some((name, number));
    }
    let stem = soname.strip_suffix(".so")?;
    let dash = stem.match_indices('-').map(|(at, _)| at).rev();
    let mut numbered = dash.filter(|at| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    numbered.next().map(|at| (&stem[..at], &stem[at + 1..]))
}

/// One package that a dependency names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    /// The package.
    pub package: String,
    /// The lowest version that is enough; none where every version is.
    pub version: Option<String>,
    /// The first version that is too new.
    pub below: Option<String>,
}

impl Dependency {
    /// The packages named; of alternatives the one that is `preferred`, else the first.
    pub(crate) fn relations(&self, preferred: impl Fn(&str) -> bool) -> Vec<Relation> {
        let choose = |text: &str| {
            let alternatives: Vec<Relation> = text.split('|').filter_map(|text| self.relation(text)).collect();
            alternatives.iter().find(|one| preferred(&one.package)).or(alternatives.first()).cloned()
        };
        self.template.split(',').filter_map(choose).collect()
    }

    fn relation(&self, text: &str) -> Option<Relation> {
        let (name, rest) = match text.trim().split_once([' ', '(', '#']) {
            Some((name, _)) => (name, &text.trim()[name.len()..]),
            None => (text.trim(), ""),
        };
        // `libfoo:any`.
        let package = name.split(':').next().filter(|name| !name.is_empty())?.to_owned();
        let mut relation = Relation { package, version: None, below: None };
        if rest.contains("#MINVER#") {
            relation.version.clone_from(&self.version);
        } else if let Some((_, bound)) = rest.split_once('(') {
            let bound = bound.split(')').next().unwrap_or_default().trim();
            let at = bound.find(|c| !matches!(c, '<' | '>' | '='))?;
            let version = Some(bound[at..].trim().to_owned());
            match &bound[..at] {
                "<<" | "<=" | "<" => relation.below = version,
                // `>>` too: the first that is newer has no name.
                _ => relation.version = version,
            }
        }
        Some(relation)
    }
}

/// The higher of two lowest versions.
pub(crate) fn higher(a: Option<String>, b: Option<String>) -> Option<String> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if debversion::compare(&a, &b) == Ordering::Less { b } else { a }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form of libc6's, of libssl3's and of a library with alternatives, cut short.
    const TEXT: &str = "\
ld-linux-x86-64.so.2 libc6 #MINVER#
| libc6 (>> 2.36), libc6 (<< 2.37)
* Build-Depends-Package: libc6-dev
 GLIBC_2.2.5@GLIBC_2.2.5 2.2.5
 __rtld_version_placeholder@GLIBC_2.34 2.34
 _dl_private@GLIBC_PRIVATE 0 1
libc.so.6 libc6 #MINVER#
| libc6 (>> 2.36), libc6 (<< 2.37)
 memcpy@GLIBC_2.14 2.14
 memcpy@GLIBC_2.2.5 2.2.5
 pthread_create@GLIBC_2.34 2.34
#MISSING: 2.31# gone@GLIBC_2.0 2.2.5
 __libc_internal@GLIBC_PRIVATE 0 1
libodd.so.3 libodd3a #MINVER# | libodd3, libodd-data (>= 1:2.0~rc1)
 plain@Base 1:1.0-2
 (optional|arch=armhf)tagged@Base 1.1
 (symver)ODD_2 1.4
 *@ODD_3 1.6
 (regex)\"^odd_[a-z]+_v2@Base$\" 1.5
 (c++)\"Odd::odd()@Base\" 9.9
";

    fn of(soname: &str, name: &str, version: Option<&str>) -> Option<(String, Option<String>)> {
        Symbols::parse(TEXT, soname)?.of(name, version).map(|found| (found.template, found.version))
    }

    #[test]
    fn a_symbol_gives_template_and_version() {
        let minver = |template: &str, version: &str| Some((template.to_owned(), Some(version.to_owned())));
        assert_eq!(of("libc.so.6", "memcpy", Some("GLIBC_2.14")), minver("libc6 #MINVER#", "2.14"));
        assert_eq!(of("libc.so.6", "memcpy", Some("GLIBC_2.2.5")), minver("libc6 #MINVER#", "2.2.5"));
        assert_eq!(
            of("libc.so.6", "__libc_internal", Some("GLIBC_PRIVATE")),
            minver("libc6 (>> 2.36), libc6 (<< 2.37)", "0")
        );
        assert_eq!(of("libc.so.6", "gone", Some("GLIBC_2.0")), None);
        assert_eq!(of("libc.so.6", "_dl_private", Some("GLIBC_PRIVATE")), None, "another library's");
        let odd = "libodd3a #MINVER# | libodd3, libodd-data (>= 1:2.0~rc1)";
        assert_eq!(of("libodd.so.3", "plain", None), minver(odd, "1:1.0-2"));
        assert_eq!(of("libodd.so.3", "tagged", None), minver(odd, "1.1"));
        assert_eq!(of("libodd.so.3", "any", Some("ODD_2")), minver(odd, "1.4"));
        assert_eq!(of("libodd.so.3", "any", Some("ODD_3")), minver(odd, "1.6"));
        assert_eq!(of("libodd.so.3", "odd_thing_v2", None), minver(odd, "1.5"));
        assert_eq!(of("libodd.so.3", "_ZN3Odd3oddEv", None), None);
        assert!(Symbols::parse(TEXT, "libc.so.7").is_none());
    }

    #[test]
    fn a_library_of_which_nothing_is_used_asks_for_its_oldest_version() {
        let main = Symbols::parse(TEXT, "libc.so.6").unwrap().main().unwrap();
        assert_eq!((main.template.as_str(), main.version.as_deref()), ("libc6 #MINVER#", Some("2.2.5")));
    }

    #[test]
    fn dependencies_name_packages() {
        let relations = |template: &str, version: Option<&str>, preferred: &str| {
            let dependency = Dependency { template: template.to_owned(), version: version.map(str::to_owned) };
            let relations = dependency.relations(|name| name == preferred);
            let text = |one: Relation| {
                format!("{} {} {}", one.package, one.version.unwrap_or_default(), one.below.unwrap_or_default())
            };
            relations.into_iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(relations("libc6 #MINVER#", Some("2.34"), ""), ["libc6 2.34 "]);
        assert_eq!(relations("libc6 #MINVER#", None, ""), ["libc6  "]);
        assert_eq!(relations("libc6 (>> 2.36), libc6 (<< 2.37)", Some("0"), ""), ["libc6 2.36 ", "libc6  2.37"]);
        let odd = "libodd3a #MINVER# | libodd3:any, libodd-data (>= 1:2.0~rc1)";
        assert_eq!(relations(odd, Some("1.5"), "libodd3"), ["libodd3  ", "libodd-data 1:2.0~rc1 "]);
        assert_eq!(relations(odd, Some("1.5"), ""), ["libodd3a 1.5 ", "libodd-data 1:2.0~rc1 "]);
        assert_eq!(relations("", Some("1"), ""), [""; 0]);
        assert_eq!(relations(" , |(>= ", Some("1"), ""), [""; 0]);
    }

    #[test]
    fn shlibs_lines() {
        let text = "udeb: libacl 1 libacl1-udeb (>= 2.3.1)\n# comment\nlibacl 1 libacl1 (>= 2.2.23)\n\
                    deb: libfoo-bar 1.2 libfoo-bar-1.2\nlibempty 1\n\n";
        let of = |soname: &str| shlibs(text, soname).map(|found| found.template);
        assert_eq!(of("libacl.so.1").as_deref(), Some("libacl1 (>= 2.2.23)"));
        assert_eq!(of("libfoo-bar-1.2.so").as_deref(), Some("libfoo-bar-1.2"));
        assert_eq!(of("libempty.so.1"), None);
        assert_eq!(of("libacl.so.2"), None);
        assert_eq!(of("plugin.so"), None);
        assert_eq!(of(""), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n\t(|*#é]{0,200}", soname in "[a-z.|(]{0,12}") {
            let text = format!("{soname} {text}\n{text}\n {text}\n| {text}");
            if let Some(symbols) = Symbols::parse(&text, &soname) {
                symbols.main();
                symbols.of("x", None);
            }
            if let Some(found) = shlibs(&text, &soname) {
                found.relations(|_| false);
            }
            Dependency { template: text, version: None }.relations(|_| true);
        }
    }
}
