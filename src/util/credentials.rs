//! Addresses without what only their owner may know.

/// An address without its user and password; any other text as it is. The user of `ssh` is part of the address, and no
/// secret.
pub(crate) fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let Some((user, host)) = authority.rsplit_once('@') else { return text.to_owned() };
    match (scheme.ends_with("ssh"), user.split_once(':')) {
        (true, None) => text.to_owned(),
        (true, Some((user, _))) => format!("{scheme}://{user}@{host}{path}"),
        (false, _) => format!("{scheme}://{host}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_loses_its_credentials_and_nothing_else() {
        for (address, wanted) in [
            ("http://user:pw@mirror.example/debian", "http://mirror.example/debian"),
            ("sparse+https://token@h:8080/i/?a=b@c", "sparse+https://h:8080/i/?a=b@c"),
            ("https://u:p@ss@h/x", "https://h/x"),
            ("ssh://git@h/repo", "ssh://git@h/repo"),
            ("ssh://git:pw@h/repo", "ssh://git@h/repo"),
            ("https://h/a@b", "https://h/a@b"),
            ("file:///srv/debian", "file:///srv/debian"),
            ("no address: a@b", "no address: a@b"),
        ] {
            assert_eq!(without_credentials(address), wanted, "{address}");
        }
    }
}
