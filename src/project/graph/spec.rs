//! Package ID specifications, by which `-p` and `--exclude` name packages, as cargo understands them (`cargo help pkgid`).

use std::fmt;

use semver::Version;

/// A specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackageSpec {
    name: Name,
    version: Option<PartialVersion>,
    /// With the kind before it where one is given (`path+file:///…`).
    url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Exact(String),
    /// With `*`, `?` or `[…]`.
    Pattern(glob::Pattern),
}

/// A version, or its first components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartialVersion {
    numbers: Vec<u64>,
    whole: Option<Version>,
}

impl PackageSpec {
    /// Reads one.
    ///
    /// # Errors
    /// It is none, in words that follow it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return Self::parse_url(text);
        }
        if text.contains(['*', '?', '[', ']']) {
            let pattern = glob::Pattern::new(text).map_err(|error| format!("is not a valid pattern: {error}"))?;
            return Ok(Self { name: Name::Pattern(pattern), version: None, url: None });
        }
        if text.contains(['/', '\\']) {
            return Err("is a path; use the package name, or the URL of its directory (`file:///…`)".to_owned());
        }
        let (name, version) = name_and_version(text)?;
        Ok(Self { name: Name::Exact(name), version, url: None })
    }

    fn parse_url(text: &str) -> Result<Self, String> {
        let (url, fragment) = match text.split_once('#') {
            Some((url, fragment)) => (url, Some(fragment)),
            None => (text, None),
        };
        let last = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let (name, version) = match fragment {
            None => (last, None),
            Some(text) if text.starts_with(|first: char| first.is_ascii_digit()) => (last, Some(text.parse()?)),
            Some(text) => name_and_version(text)?,
        };
        Ok(Self { name: Name::Exact(valid(name)?), version, url: Some(url.to_owned()) })
    }

    /// The package's name, where it is known without the graph.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.name {
            Name::Exact(name) => Some(name),
            Name::Pattern(_) => None,
        }
    }

    /// Whether only its version keeps it from meaning a package.
    pub(crate) fn means_another_version_of(&self, name: &str, id: &str) -> bool {
        self.version.is_some() && Self { version: None, ..self.clone() }.matches(name, &Version::new(0, 0, 0), id)
    }

    /// Whether it means the package of this name, version and cargo's id.
    pub(crate) fn matches(&self, name: &str, version: &Version, id: &str) -> bool {
        let named = match &self.name {
            Name::Exact(own) => own == name,
            Name::Pattern(pattern) => pattern.matches(name),
        };
        named
            && self.version.as_ref().is_none_or(|own| own.matches(version))
            && self.url.as_ref().is_none_or(|own| same_source(own, id))
    }
}

/// Whether a URL is the one in an id, `KIND+URL#…`. Where the URL names a kind, it must be the same.
fn same_source(url: &str, id: &str) -> bool {
    let source = id.split_once('#').map_or(id, |(source, _)| source);
    // Before cargo 1.77: `NAME VERSION (KIND+URL)`.
    let source = source.rsplit_once(" (").map_or(source, |(_, source)| source.trim_end_matches(')'));
    let kind_of = |text: &str| text.split_once("://").is_some_and(|(scheme, _)| scheme.contains('+'));
    let bare = |text: &str| -> String {
        let text = if kind_of(text) { text.split_once('+').map_or(text, |(_, rest)| rest) } else { text };
        text.split('?').next().unwrap_or(text).trim_end_matches('/').replace(' ', "%20")
    };
    let same_kind = !kind_of(url) || url.split('+').next() == source.split('+').next();
    same_kind && bare(url) == bare(source)
}

/// `NAME`, `NAME@VERSION`, or `NAME:VERSION` as old cargos wrote it.
fn name_and_version(text: &str) -> Result<(String, Option<PartialVersion>), String> {
    match text.rsplit_once('@').or_else(|| text.rsplit_once(':')) {
        Some((name, version)) => Ok((valid(name.to_owned())?, Some(version.parse()?))),
        None => Ok((valid(text.to_owned())?, None)),
    }
}

fn valid(name: String) -> Result<String, String> {
    let plain = |letter: char| letter.is_alphanumeric() || ['-', '_'].contains(&letter);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(format!("is invalid: `{name}` is not a package name"));
    }
    Ok(name)
}

impl std::str::FromStr for PartialVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(version) = Version::parse(text) {
            return Ok(Self { numbers: vec![version.major, version.minor, version.patch], whole: Some(version) });
        }
        let number = |text: &str| text.parse::<u64>().ok().filter(|number| number.to_string() == text);
        let numbers: Option<Vec<u64>> = text.split('.').map(number).collect();
        match numbers.filter(|numbers| numbers.len() < 3) {
            Some(numbers) => Ok(Self { numbers, whole: None }),
            None => Err(format!("is invalid: `{text}` is not a version")),
        }
    }
}

impl PartialVersion {
    /// Whether a version begins with these numbers. A pre-release must be given whole; build metadata counts where it is
    /// given.
    pub(crate) fn matches(&self, version: &Version) -> bool {
        match &self.whole {
            Some(whole) => {
                let core = (whole.major, whole.minor, whole.patch, &whole.pre);
                core == (version.major, version.minor, version.patch, &version.pre)
                    && (whole.build.is_empty() || whole.build == version.build)
            }
            None => {
                let all = [version.major, version.minor, version.patch];
                version.pre.is_empty() && all.starts_with(&self.numbers)
            }
        }
    }
}

impl fmt::Display for PartialVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.whole {
            Some(whole) => whole.fmt(f),
            None => f.write_str(&self.numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "path+file:///w/crates/dir#tool@1.10.0";

    fn means(spec: &str) -> bool {
        PackageSpec::parse(spec).unwrap().matches("tool", &Version::new(1, 10, 0), ID)
    }

    #[test]
    fn specifications_mean_what_they_mean_to_cargo() {
        for spec in [
            "tool",
            "tool@1",
            "tool@1.10",
            "tool@1.10.0",
            "tool:1.10.0",
            "to*",
            "t??l",
            "[st]ool",
            "file:///w/crates/dir#tool",
            "path+file:///w/crates/dir#tool@1.10",
            "path+file:///w/crates/dir#tool@1.10.0",
            "file:///w/crates/dir/#tool",
        ] {
            assert!(means(spec), "{spec}");
        }
        for spec in [
            "tol",
            "tool@1.1",
            "tool@10",
            "tool@1.10.1",
            "tool@2",
            "tool@1.10.0-alpha",
            "x*",
            "file:///w/crates/dir",
            "file:///w/crates/dir#1.10.0",
            "file:///w/crates/other#tool",
            "git+file:///w/crates/dir#tool",
        ] {
            assert!(!means(spec), "{spec}");
        }
        let named = PackageSpec::parse("file:///w/tool#1.10").unwrap();
        assert!(named.matches("tool", &Version::new(1, 10, 0), "path+file:///w/tool#1.10.0"));
        assert!(named.matches("tool", &Version::new(1, 10, 0), "tool 1.10.0 (path+file:///w/tool)"));
        assert_eq!(named.name(), Some("tool"));
        assert!(!named.matches("tool", &"1.10.0-beta".parse().unwrap(), "path+file:///w/tool#1.10.0-beta"));
        assert!(named.means_another_version_of("tool", "path+file:///w/tool#2.0.0"));
    }

    #[test]
    fn what_is_no_specification_is_refused() {
        for spec in ["", "tool@", "tool@x", "tool@1.2.3.4", "tool@^1", "a b", "./crates/dir", "tool@01", "[x"] {
            let parsed = PackageSpec::parse(spec);
            assert!(parsed.is_err(), "{spec}: {parsed:?}");
        }
    }
}
