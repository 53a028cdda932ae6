//! `volumes`: folders and files of this machine that a container sees.

use std::fmt;
use std::str::FromStr;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use crate::util::error::{Error, Result};

/// One of `volumes`, as it is written: `/host:/inside[:ro]`, `/path[:ro]`, `NAME` or `NAME=/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    /// The environment variable that holds the path, and is handed in with it.
    pub variable: Option<String>,
    /// The path on this machine; none where the variable's own value is meant.
    pub host: Option<Utf8PathBuf>,
    /// Where it is seen inside; none where it is the same place.
    pub inside: Option<Utf8PathBuf>,
    /// Whether nothing can be written there from inside.
    pub read_only: bool,
}

/// A folder or file of this machine that a container sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The path on this machine; absolute.
    pub host: Utf8PathBuf,
    /// The path inside; absolute, and without `..`.
    pub inside: Utf8PathBuf,
    /// Whether nothing can be written there from inside.
    pub read_only: bool,
    /// The environment variable that is to hold the path inside.
    pub variable: Option<String>,
}

impl Volume {
    /// The same, its relative path taken from a folder.
    #[must_use]
    pub(crate) fn in_dir(mut self, dir: &Utf8Path) -> Self {
        self.host = self.host.map(|host| dir.join(host));
        self
    }

    /// What is mounted: nothing, where it is said by a variable that is not set. cross does the same.
    pub(crate) fn mount(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Mount>> {
        let named = || self.variable.as_deref().and_then(variable).filter(|path| !path.is_empty());
        let Some(host) = self.host.clone().or_else(|| named().map(Utf8PathBuf::from)) else { return Ok(None) };
        let inside = plain(self.inside.as_ref().unwrap_or(&host));
        if !host.is_absolute() || !is_place(&inside) {
            return Err(Error::usage(format!("the volume `{self}` refers to `{host}`, which cannot be mounted"))
                .hint("use the absolute path of a directory other than `/`"));
        }
        Ok(Some(Mount { host, inside, read_only: self.read_only, variable: self.variable.clone() }))
    }
}

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a valid volume: expected `/host:/container`, `/host:/container:ro`, one path for both, or \
                 the NAME of an environment variable that contains a path"
            )
        };
        let read = if is_written_as_path(text) { path(text) } else { variable(text) };
        read.filter(|_| !text.contains(char::is_control)).ok_or_else(wrong)
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.variable.as_deref().unwrap_or_default())?;
        if let Some(host) = &self.host {
            write!(f, "{}{host}", if self.variable.is_some() { "=" } else { "" })?;
        }
        if let Some(inside) = &self.inside {
            write!(f, ":{inside}")?;
        }
        f.write_str(if self.read_only { ":ro" } else { "" })
    }
}

/// Whether it begins with a path, and not with the name of a variable.
fn is_written_as_path(text: &str) -> bool {
    let first = text.split([':', '=']).next().unwrap_or_default();
    first.contains('/')
}

fn path(text: &str) -> Option<Volume> {
    let (rest, read_only) = match text.rsplit_once(':') {
        Some((rest, "ro")) => (rest, true),
        Some((rest, "rw")) => (rest, false),
        _ => (text, false),
    };
    let (host, inside) = match rest.split_once(':') {
        Some((host, inside)) => (host, Some(Utf8PathBuf::from(inside))),
        None => (rest, None),
    };
    let right = |inside: &Utf8PathBuf| !inside.as_str().contains(':') && is_place(inside);
    inside.as_ref().is_none_or(right).then(|| Volume { variable: None, host: Some(host.into()), inside, read_only })
}

fn variable(text: &str) -> Option<Volume> {
    let (name, host) = match text.split_once('=') {
        Some((name, path)) => (name, Some(path)),
        None => (text, None),
    };
    let right = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = !name.is_empty() && name.chars().all(right) && !name.starts_with(|c: char| c.is_ascii_digit());
    (is_name && host != Some("")).then(|| Volume {
        variable: Some(name.to_owned()),
        host: host.map(Utf8PathBuf::from),
        inside: None,
        read_only: false,
    })
}

/// Whether something can be mounted at a path inside: not over the whole container.
fn is_place(path: &Utf8Path) -> bool {
    path.is_absolute()
        && path.components().any(|part| matches!(part, Utf8Component::Normal(_)))
        && !path.components().any(|part| part == Utf8Component::ParentDir)
}

/// The path without `..`, as an engine would read it.
fn plain(path: &Utf8Path) -> Utf8PathBuf {
    path.components().fold(Utf8PathBuf::new(), |mut plain, part| {
        match part {
            Utf8Component::ParentDir => _ = plain.pop(),
            part => plain.push(part),
        }
        plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(text: &str) -> Option<(String, String, bool, Option<String>)> {
        let set = |name: &str| (name == "SET").then(|| "/data".to_owned()).or((name == "RELATIVE").then(|| "x".into()));
        let volume: Volume = text.parse().unwrap_or_else(|error| panic!("{error}"));
        let volume = volume.in_dir("/work".into());
        assert_eq!(volume.to_string().parse::<Volume>().unwrap(), volume);
        let mount = volume.mount(&set).unwrap()?;
        Some((mount.host.into(), mount.inside.into(), mount.read_only, mount.variable))
    }

    #[test]
    fn every_way_of_writing_a_volume() {
        let same =
            |path: &str, name: Option<&str>| Some((path.to_owned(), path.to_owned(), false, name.map(str::to_owned)));
        assert_eq!(mount("/data"), same("/data", None));
        assert_eq!(mount("/data:rw"), same("/data", None));
        assert_eq!(mount("/data:ro"), Some(("/data".into(), "/data".into(), true, None)));
        assert_eq!(mount("/a b:/inside"), Some(("/a b".into(), "/inside".into(), false, None)));
        assert_eq!(mount("/a:/inside:ro"), Some(("/a".into(), "/inside".into(), true, None)));
        assert_eq!(mount("./cache"), Some(("/work/./cache".into(), "/work/cache".into(), false, None)));
        assert_eq!(mount("../shared/x:/x"), Some(("/work/../shared/x".into(), "/x".into(), false, None)));
        assert_eq!(mount("SET"), same("/data", Some("SET")));
        assert_eq!(mount("UNSET"), None);
        assert_eq!(mount("UNSET=/given:x"), same("/given:x", Some("UNSET")));
        let own = ("/work/../lib".to_owned(), "/lib".to_owned(), false, Some("LIB".to_owned()));
        assert_eq!(mount("LIB=../lib"), Some(own));
    }

    #[test]
    fn what_is_no_volume_is_refused() {
        for wrong in [
            "",
            "data:/inside",
            "/a:b",
            "/a:/b:/c",
            "/a:/b:x",
            "/a:",
            "/a:/",
            "/a:/b/../..",
            "NAME=",
            "1A",
            "a b",
            "/a\n",
        ] {
            let error = wrong.parse::<Volume>().unwrap_err();
            assert!(error.contains("is not a valid volume: expected"), "{error}");
        }
        for wrong in ["RELATIVE", "/", "/.."] {
            let volume: Volume = wrong.parse().unwrap();
            let error = volume.mount(&|_| Some("x".to_owned())).unwrap_err();
            assert!(error.to_string().contains("cannot be mounted") && error.hint_text().is_some(), "{error}");
        }
    }
}
