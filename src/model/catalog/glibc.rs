//! Versions of glibc.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::architecture::Architecture;

/// A glibc version, such as 2.31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glibc {
    /// Always 2 so far.
    pub major: u32,
    /// The release.
    pub minor: u32,
}

impl Glibc {
    /// The oldest that Rust's own std starts on.
    pub const OLDEST: Glibc = Glibc { major: 2, minor: 17 };

    /// The oldest that there is for a triple, and that Rust's own std starts on.
    pub fn oldest_for(triple: &str) -> Glibc {
        let first = Architecture::of_triple(triple).and_then(|known| known.glibc);
        first.map_or(Self::OLDEST, |first| first.max(Self::OLDEST))
    }
}

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Glibc {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (major, minor) = text.split_once('.')?;
            // `2.028` is not 2.28, and no glibc has such a name.
            let digits = |s: &str| {
                !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()) && (s.len() == 1 || !s.starts_with('0'))
            };
            if !digits(major) || !digits(minor) {
                return None;
            }
            Some(Glibc { major: major.parse().ok()?, minor: minor.parse().ok()? })
        };
        parse().ok_or_else(|| format!("`{text}` is not a glibc version such as 2.31"))
    }
}

impl Serialize for Glibc {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Glibc {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Glibc {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Glibc".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": r"^\d+\.\d+$", "description": "A glibc version, such as 2.31." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glibc_versions_order_by_number() {
        let parse = |text: &str| text.parse::<Glibc>();
        assert!(parse("2.4").unwrap() < parse("2.31").unwrap());
        for bad in ["", "2", "2.", ".31", "2.x", "2.31.1", "-2.31", "+2.3", "2.99999999999", "2.028", "02.28"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
