//! `[supply]`: where the libraries of a target come from.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Deserializer, de};

use crate::model::supply::SupplyKind;
use crate::model::sysroot::{Archive, Security};
use crate::util::credentials::without_credentials;

/// A `[supply]` or `[target.X.supply]` table.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", default)]
pub struct SupplySettings {
    /// What may supply a library, in order of preference: `host`, `sysroot`.
    #[serde(deserialize_with = "order")]
    pub order: Option<Vec<SupplyKind>>,
    /// Debian packages to install in addition to those that are known to be needed.
    #[serde(deserialize_with = "packages")]
    pub packages: Vec<String>,
    /// Roots of Debian archives, tried in order.
    #[serde(deserialize_with = "mirrors")]
    pub mirrors: Option<Vec<String>>,
    /// The root of an archive that keeps old packages, with `{date}` in it.
    #[serde(deserialize_with = "snapshot")]
    pub snapshot: Option<String>,
    /// The keys that must have signed the archive.
    pub keyring: Option<Utf8PathBuf>,
    /// The root of the archive with the fixes between point releases, or `none`.
    #[serde(deserialize_with = "security")]
    pub security: Option<Security>,
}

fn order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<SupplyKind>>, D::Error> {
    let kind = |word: String| {
        let kinds = [SupplyKind::Host, SupplyKind::Sysroot];
        let known = kinds.into_iter().find(|kind| kind.name() == word);
        known.ok_or_else(|| de::Error::unknown_variant(&word, &["host", "sysroot"]))
    };
    Vec::<String>::deserialize(deserializer)?.into_iter().map(kind).collect::<Result<_, _>>().map(Some)
}

impl SupplySettings {
    /// Takes what another table says over what this one says; packages add up.
    pub(super) fn overlay(&mut self, over: SupplySettings) {
        let SupplySettings { order, packages, mirrors, snapshot, keyring, security } = over;
        self.order = order.or(self.order.take());
        self.mirrors = mirrors.or(self.mirrors.take());
        self.snapshot = snapshot.or(self.snapshot.take());
        self.keyring = keyring.or(self.keyring.take());
        self.security = security.or(self.security.take());
        self.packages.extend(packages);
    }

    /// The same, its files taken from a folder.
    pub(super) fn in_dir(mut self, dir: &Utf8Path) -> Self {
        self.keyring = self.keyring.map(|keyring| dir.join(keyring));
        self
    }

    /// Whether something may supply libraries.
    pub fn allows(&self, source: SupplyKind) -> bool {
        self.order.as_ref().is_none_or(|order| order.contains(&source))
    }

    /// Where packages come from.
    pub fn archive(&self) -> Archive {
        Archive {
            mirrors: self.mirrors.clone().unwrap_or_default(),
            keyring: self.keyring.clone(),
            snapshot: self.snapshot.clone(),
            security: self.security.clone(),
        }
    }

    /// Whether a sysroot is wanted even where this machine's own packages would do.
    pub fn prefers_sysroot(&self) -> bool {
        self.order.as_ref().is_some_and(|order| order.first() == Some(&SupplyKind::Sysroot))
    }

    /// What it says, by its keys, for `plan -v`; without passwords.
    pub(super) fn entries(&self) -> Vec<(&'static str, String)> {
        let mut words = Vec::new();
        let mut say = |key, value: Option<String>| words.extend(value.map(|value| (key, value)));
        let names = |order: &Vec<SupplyKind>| order.iter().map(|source| source.name()).collect::<Vec<_>>().join(", ");
        let shown = |mirrors: &Vec<String>| {
            mirrors.iter().map(|mirror| without_credentials(mirror)).collect::<Vec<_>>().join(", ")
        };
        say("order", self.order.as_ref().map(names));
        say("packages", (!self.packages.is_empty()).then(|| self.packages.join(", ")));
        say("mirrors", self.mirrors.as_ref().map(shown));
        say("snapshot", self.snapshot.as_deref().map(without_credentials));
        say(
            "security",
            self.security.as_ref().map(|security| match security {
                Security::Root(root) => without_credentials(root),
                Security::Off => NO_SECURITY.to_owned(),
            }),
        );
        say("keyring", self.keyring.as_ref().map(ToString::to_string));
        words
    }
}

/// apt would take a name that begins with `-` for an option, and `name=version` or `name/suite` for a choice of its own.
pub(super) fn packages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let right = |name: &String| {
        let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
        name.len() > 1
            && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && name.chars().all(rest)
    };
    match names.iter().find(|name| !right(name)) {
        Some(name) => {
            Err(de::Error::custom(format!("`{name}` is not a valid Debian package name, such as `libssl-dev`")))
        }
        None => Ok(names),
    }
}

fn is_address(text: &str) -> bool {
    let scheme = ["http://", "https://", "file:/", "ftp://"].iter().any(|scheme| text.starts_with(scheme));
    // It becomes a word of apt's list of sources.
    scheme && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '[')
}

fn mirrors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let mirrors = Vec::<String>::deserialize(deserializer)?;
    match mirrors.iter().find(|mirror| !is_address(mirror)) {
        Some(mirror) => Err(de::Error::custom(format!(
            "`{}` is not the URL of an archive (http://, https:// or file:/, of the directory that contains `dists`)",
            without_credentials(mirror)
        ))),
        None => Ok(Some(mirrors)),
    }
}

fn snapshot<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let snapshot = String::deserialize(deserializer)?;
    if is_address(&snapshot) && snapshot.contains("{date}") {
        return Ok(Some(snapshot));
    }
    let snapshot = without_credentials(&snapshot);
    Err(de::Error::custom(format!("`{snapshot}` is not the URL of an archive that contains `{{date}}`")))
}

/// The word for no archive of security fixes.
const NO_SECURITY: &str = "none";

fn security<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Security>, D::Error> {
    let security = String::deserialize(deserializer)?;
    if security == NO_SECURITY {
        return Ok(Some(Security::Off));
    }
    if is_address(&security) {
        return Ok(Some(Security::Root(security)));
    }
    let security = without_credentials(&security);
    Err(de::Error::custom(format!("`{security}` is neither `{NO_SECURITY}` nor the URL of an archive")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_would_misread_is_refused() {
        for wrong in [
            "packages = ['-o=x']",
            "packages = ['libssl-dev=1']",
            "packages = ['Libssl-dev']",
            "mirrors = ['example.org/debian']",
            "mirrors = ['http://a b/debian']",
            "snapshot = 'http://example.org/debian'",
            "security = 'example.org/debian-security'",
            "order = ['container']",
        ] {
            assert!(toml::from_str::<SupplySettings>(wrong).is_err(), "{wrong}");
        }
        let right = "order = ['sysroot', 'host']\npackages = ['libstdc++-12-dev', 'libc6']\nmirrors = ['file:/srv/debian']\n\
            snapshot = 'http://example.org/{date}/'\n";
        let mut settings: SupplySettings = toml::from_str(right).unwrap();
        assert!(settings.prefers_sysroot() && settings.allows(SupplyKind::Host));
        settings.overlay(toml::from_str("order = ['host']\npackages = ['zlib1g-dev']").unwrap());
        assert!(!settings.allows(SupplyKind::Sysroot));
        assert_eq!(settings.packages, ["libstdc++-12-dev", "libc6", "zlib1g-dev"]);
        assert_eq!(settings.mirrors.unwrap(), ["file:/srv/debian"]);
    }

    #[test]
    fn passwords_are_never_shown() {
        let text = "mirrors = ['http://me:s3cret@m.example/debian']\nsecurity = 'http://me:s3cret@m.example/fixes'\n\
            snapshot = 'http://me:s3cret@s.example/{date}'\n";
        let settings: SupplySettings = toml::from_str(text).unwrap();
        let words: Vec<String> = settings.entries().iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let words = words.join("\n");
        let expected =
            "mirrors = http://m.example/debian\nsnapshot = http://s.example/{date}\nsecurity = http://m.example/fixes";
        assert_eq!(words, expected);
        for (from, to) in [("http://me:s3cret@m", "gopher://me:s3cret@m"), ("{date}", "date")] {
            let error = toml::from_str::<SupplySettings>(&text.replace(from, to)).unwrap_err();
            assert!(!error.message().contains("s3cret"), "{error}");
        }
    }
}
