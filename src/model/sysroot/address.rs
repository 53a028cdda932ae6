//! Addresses of archives, which may hold a name and a password. Pure.

use std::fmt;

use crate::util::credentials::without_credentials;

/// An address, apart from what is secret of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    plain: String,
    login: Option<Login>,
}

/// Whom an archive takes its reader for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// The name, as it is sent.
    pub user: String,
    /// The password, as it is sent; empty where there is none.
    pub password: String,
}

/// Without the password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Address {
    /// Takes an address apart: `scheme://user:password@host/path`, whose name and password may be encoded (`%40`).
    pub(crate) fn parse(address: &str) -> Self {
        let plain = without_credentials(address);
        let authority = address.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(rest));
        let login = authority.filter(|_| plain != address).and_then(|authority| authority.rsplit_once('@'));
        let login = login.map(|(login, _)| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            let [user, password] = [user, password].map(|text| decoded(text).unwrap_or_else(|| text.to_owned()));
            Login { user, password }
        });
        Self { plain, login }
    }

    /// Without name and password: for people, command lines and files that others read.
    pub(crate) fn plain(&self) -> &str {
        &self.plain
    }

    /// The name and password.
    pub(crate) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }
}

/// The root of the security archive beside one of Debian's: `…/debian-security` beside `…/debian`, in an archive of old
/// packages too (`…/debian-security/{date}`). None where an address does not end so.
pub(crate) fn security_root(root: &str) -> Option<String> {
    const MAIN: &str = "debian";
    let (head, tail) = match root.trim_end_matches('/').rsplit_once("/{date}") {
        Some((head, "")) => (head, "/{date}"),
        Some(_) => return None,
        None => (root.trim_end_matches('/'), ""),
    };
    let (before, name) = head.rsplit_once('/')?;
    (name == MAIN).then(|| format!("{before}/{MAIN}-security{tail}"))
}

/// With `%xx` taken back; none where that gives no text.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_are_taken_out() {
        let address = Address::parse("https://me:p%40ss:w@x@mirror.example:8080/debian");
        assert_eq!(address.plain(), "https://mirror.example:8080/debian");
        let login = address.login().unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("me", "p@ss:w@x"));
        assert!(!format!("{address:?}").contains("p@ss"));
        assert_eq!(Address::parse("http://token@mirror.example").plain(), "http://mirror.example");
        for plain in ["http://mirror.example/a@b", "file:/srv/debian", "nonsense"] {
            let address = Address::parse(plain);
            assert_eq!((address.plain(), address.login()), (plain, None));
        }
    }

    #[test]
    fn the_security_archive_is_beside_debians_own() {
        for (root, beside) in [
            ("http://m.example/debian", Some("http://m.example/debian-security")),
            ("file:/srv/debian/", Some("file:/srv/debian-security")),
            ("http://s.example/archive/debian/{date}/", Some("http://s.example/archive/debian-security/{date}")),
            ("http://m.example/raspbian", None),
            ("http://m.example", None),
            ("http://s.example/debian/{date}/more", None),
        ] {
            assert_eq!(security_root(root).as_deref(), beside, "{root}");
        }
    }
}
