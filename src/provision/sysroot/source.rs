//! Where packages come from: an archive and the one with its security fixes. Pure.

use super::Stop;
use crate::model::sysroot::address::{Address, Login, decoded, security_root};
use crate::model::sysroot::{Archive, Security};

/// The name that the locked date gets in an address of `[supply] snapshot`.
const DATE: &str = "{date}";

/// An archive, as it is now or as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) main: Address,
    /// The archive with the fixes between point releases.
    pub(super) security: Option<Address>,
    /// Whether somebody named that one; then it must be there.
    pub(super) named: bool,
    /// Whether it is an old state, whose indexes have expired.
    pub(super) old: bool,
}

impl Source {
    /// The archive with this root, and the security archive beside it.
    #[cfg(test)]
    pub(super) fn of(root: &str) -> Self {
        Self::with(root, None, None)
    }

    fn with(root: &str, security: Option<&Security>, date: Option<&str>) -> Self {
        let at = |root: &str| {
            let root = date.map_or_else(|| root.to_owned(), |date| root.replace(DATE, date));
            Address::parse(root.trim_end_matches('/'))
        };
        let (security, named) = match security {
            Some(Security::Off) => (None, false),
            // Of an old state there is only what is beside it.
            Some(Security::Root(root)) if date.is_none() => (Some(at(root)), true),
            _ => (security_root(root).map(|root| at(&root)), false),
        };
        Self { main: at(root), security, named, old: date.is_some() }
    }

    /// The mirrors of an archive, in order.
    pub(super) fn mirrors(roots: &[String], archive: &Archive) -> Vec<Self> {
        roots.iter().map(|root| Self::with(root, archive.security.as_ref(), None)).collect()
    }

    /// The archive of old packages, as it was at a date.
    pub(super) fn snapshot(archive: &Archive, date: jiff::Timestamp) -> Option<Self> {
        let date = date.strftime("%Y%m%dT%H%M%SZ").to_string();
        archive.snapshot.as_ref().map(|root| Self::with(root, archive.security.as_ref(), Some(&date)))
    }

    /// Both roots, without passwords.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.main).chain(&self.security)
    }

    /// Whether it is a folder of this machine.
    pub(super) fn is_local(&self) -> bool {
        self.roots().any(is_local)
    }

    /// The names and passwords in apt's form; none where there is none.
    pub(super) fn logins(&self) -> Result<Option<String>, Stop> {
        let mut text = String::new();
        for root in self.roots() {
            let Some(Login { user, password }) = root.login() else { continue };
            let odd = |word: &String| word.contains(|c: char| c.is_whitespace() || c.is_control());
            if user.is_empty() || odd(user) || odd(password) {
                let reason = format!("apt does not support spaces in the user name or password of {}", root.plain());
                return Err(Stop::choice(reason, "correct `mirrors` under `[supply]` in `Convoy.toml`"));
            }
            text.push_str(&format!("machine {} login {user}", root.plain()));
            if !password.is_empty() {
                text.push_str(&format!(" password {password}"));
            }
            text.push('\n');
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }
}

/// The folder of this machine that an address names.
pub(super) fn folder(root: &Address) -> Option<String> {
    let path = root.plain().strip_prefix("file:").or_else(|| root.plain().strip_prefix("copy:"))?;
    decoded(path.strip_prefix("//").unwrap_or(path))
}

fn is_local(root: &Address) -> bool {
    folder(root).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_archive_has_its_security_fixes_beside_it_unless_configuration_says_otherwise() {
        let mut archive =
            Archive { snapshot: Some("http://s.example/archive/debian/{date}/".to_owned()), ..Archive::default() };
        let roots = ["http://m.example/debian/".to_owned(), "http://127.0.0.1:1".to_owned()];
        let output = |archive: &Archive| {
            let mut sources = Source::mirrors(&roots, archive);
            sources.extend(Source::snapshot(archive, "2026-07-11T10:16:37Z".parse().unwrap()));
            let words = |source: &Source| source.roots().map(|root| root.plain().to_owned()).collect::<Vec<_>>();
            sources.iter().map(words).collect::<Vec<_>>()
        };
        let old = "http://s.example/archive/debian/20260711T101637Z";
        let old_security = "http://s.example/archive/debian-security/20260711T101637Z";
        let beside = [
            vec!["http://m.example/debian", "http://m.example/debian-security"],
            vec!["http://127.0.0.1:1"],
            vec![old, old_security],
        ];
        assert_eq!(output(&archive), beside);
        archive.security = Some(Security::Root("http://x.example/fixes".to_owned()));
        let named = [
            vec!["http://m.example/debian", "http://x.example/fixes"],
            vec!["http://127.0.0.1:1", "http://x.example/fixes"],
            vec![old, old_security],
        ];
        assert_eq!(output(&archive), named);
        assert!(Source::mirrors(&roots, &archive)[0].named);
        archive.security = Some(Security::Off);
        assert_eq!(output(&archive), [vec!["http://m.example/debian"], vec!["http://127.0.0.1:1"], vec![old]]);
    }
}
