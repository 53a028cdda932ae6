//! What a container may know: which variables and files of this machine enter it, and what is taken out of addresses. Pure.
//!
//! Names are all that there is to go by. A list of what is allowed comes first (the variables that the table of needs
//! names); what looks like a secret is left out even so. What a user names by `passthrough` or `volumes` is that user's word.

use std::collections::BTreeMap;

use camino::Utf8Path;

use crate::util::credentials::without_credentials;

/// Variables of cargo's that change what is built, and mean the same inside; a `*` is for any letters.
const OF_CARGO: [&str; 7] = [
    "CARGO_INCREMENTAL",
    "CARGO_BUILD_INCREMENTAL",
    "CARGO_REGISTRY_DEFAULT",
    "CARGO_PROFILE_*",
    "CARGO_REGISTRIES_*_INDEX",
    "SOURCE_DATE_EPOCH",
    "RUSTC_BOOTSTRAP",
];

/// Names of variables that hold secrets, or lead to some.
const SECRETS: [&str; 24] = [
    "*TOKEN*",
    "*SECRET*",
    "*PASSWORD*",
    "*PASSWD*",
    "*PASSPHRASE*",
    "*CREDENTIAL*",
    "*_KEY",
    "*_KEY_*",
    "*APIKEY*",
    "*_PAT",
    "*_AUTH",
    "*_AUTH_*",
    "*COOKIE*",
    "*DATABASE_URL*",
    "*_DSN",
    "AWS_*",
    "AZURE_*",
    "GOOGLE_*",
    "GCP_*",
    "GITHUB_*",
    "GITLAB_*",
    "CI_JOB_*",
    "ACTIONS_*",
    "SSH_*",
];

/// Variables of the table of needs that such a pattern means, and that hold none.
const NO_SECRETS: [&str; 1] = ["AWS_LC_*"];

/// Variables that name places of this machine, which are not there inside, or not with the same contents.
const PLACES: [&str; 6] = ["*_DIR", "*_DIR_*", "*_PATH", "*_ROOT", "PKG_CONFIG*", "PATH"];

/// Files of a project that hold secrets, by the ends of their paths; `*` is for any letters but `/`.
const FILES: [&str; 10] = [
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".env",
    ".env.*",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".docker/config.json",
    ".aws/credentials",
];

/// Such files that hold an example.
const EXAMPLES: [&str; 5] = [".env.example", ".env.sample", ".env.template", ".env.dist", ".env.defaults"];

/// What git's configuration of a repository says of the repository's form. All else, as headers with tokens, addresses and
/// commands, is left out.
const OF_REPOSITORY: [&str; 6] =
    ["core.repositoryformatversion", "core.filemode", "core.bare", "core.ignorecase", "core.symlinks", "extensions.*"];

/// Whether a variable's name looks like that of a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    any(&SECRETS, &name) && !any(&NO_SECRETS, &name)
}

/// Whether a variable of this process means the same inside, and may enter without being named by `passthrough`. `counts`:
/// whether the table of needs names it.
pub(crate) fn enters(name: &str, counts: bool) -> bool {
    (any(&OF_CARGO, name) || counts && !any(&PLACES, name)) && !is_secret(name)
}

/// The variables of this process that enter a container, with their values: those that change what cargo builds, those
/// of `table` (the variables of this process that the table of needs names), and those that the user hands in: by name, or
/// with a value. Addresses are without credentials, except where the user hands them in.
pub(crate) fn entering(
    process: &BTreeMap<String, String>,
    table: &BTreeMap<String, String>,
    handed_in: &BTreeMap<&str, Option<&str>>,
) -> BTreeMap<String, String> {
    // A path of this machine is none inside.
    let counts = |name: &String, value: &str| table.contains_key(name) && !value.starts_with('/');
    let entering = process.iter().filter(|(name, value)| enters(name, counts(name, value)));
    let mut env: BTreeMap<String, String> =
        entering.map(|(name, value)| (name.clone(), without_credentials(value))).collect();
    for (name, value) in handed_in {
        let value = value.map(str::to_owned).or_else(|| process.get(*name).cloned());
        env.extend(value.map(|value| ((*name).to_owned(), value)));
    }
    env
}

/// Whether a file of a project holds secrets.
pub(crate) fn is_secret_file(path: &Utf8Path) -> bool {
    let ends = |pattern: &str| {
        let depth = pattern.split('/').count();
        let parts: Vec<&str> = path.components().map(|part| part.as_str()).collect();
        let last_parts = parts.get(parts.len().saturating_sub(depth)..).unwrap_or_default();
        last_parts.len() == depth && pattern.split('/').zip(last_parts).all(|(pattern, part)| matches(pattern, part))
    };
    FILES.iter().any(|pattern| ends(pattern)) && !EXAMPLES.iter().any(|pattern| ends(pattern))
}

/// A repository's `.git/config` as the inside may see it.
pub(crate) fn repository_config(text: &str) -> String {
    let (mut section, mut kept) = (String::new(), String::new());
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_ascii_lowercase();
            continue;
        }
        // A value that goes on in the next line is none of these.
        let Some((key, value)) = line.split_once('=').filter(|_| !line.ends_with('\\')) else { continue };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        if any(&OF_REPOSITORY, &format!("{section}.{key}")) {
            kept.push_str(&format!("[{section}]\n\t{key} = {value}\n"));
        }
    }
    kept
}

fn any(patterns: &[&str], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

/// Whether a text is what a pattern says; each `*` is for any letters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_what_the_table_or_the_user_names_enters() {
        let process = map(&[
            ("CARGO_REGISTRY_TOKEN", "cio"),
            ("AWS_SECRET_ACCESS_KEY", "AKIA"),
            ("HOME", "/home/x"),
            ("LIBGIT2_NO_VENDOR", "1"),
            ("OPENSSL_DIR", "/opt/ssl"),
            ("X_TOKEN", "named by the table"),
            ("RUST_LOG", "debug"),
            ("MY_TOKEN", "the user's word"),
            ("CARGO_PROFILE_RELEASE_LTO", "true"),
            ("CARGO_REGISTRIES_TEAM_INDEX", "sparse+https://me:pw@team.example/index/"),
            ("CARGO_REGISTRIES_TEAM_TOKEN", "t"),
        ]);
        let table = map(&[("LIBGIT2_NO_VENDOR", "1"), ("OPENSSL_DIR", "/opt/ssl"), ("X_TOKEN", "named by the table")]);
        let handed_in = BTreeMap::from([("MY_TOKEN", None), ("LEVEL", Some("3")), ("NOT_SET", None)]);
        let wanted = map(&[
            ("LIBGIT2_NO_VENDOR", "1"),
            ("MY_TOKEN", "the user's word"),
            ("LEVEL", "3"),
            ("CARGO_PROFILE_RELEASE_LTO", "true"),
            ("CARGO_REGISTRIES_TEAM_INDEX", "sparse+https://team.example/index/"),
        ]);
        assert_eq!(entering(&process, &table, &handed_in), wanted);
    }

    #[test]
    fn names_of_secrets_are_known() {
        for secret in [
            "GITHUB_ACTIONS",
            "npm_token",
            "DB_PASSWORD",
            "SIGNING_KEY",
            "AWS_REGION",
            "DATABASE_URL",
            "SSH_AUTH_SOCK",
            "CARGO_REGISTRIES_X_TOKEN",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for plain in ["AWS_LC_SYS_NO_ASM", "OPENSSL_STATIC", "KEYBOARD", "MONKEY", "RUST_LOG", "AUTHOR"] {
            assert!(!is_secret(plain), "{plain}");
        }
    }

    #[test]
    fn no_variable_of_the_table_is_taken_for_a_secret() {
        let table = &crate::project::needs::Table::embedded().variables;
        let secret: Vec<&String> = table.iter().filter(|name| is_secret(name)).collect();
        assert_eq!(secret, Vec::<&String>::new());
    }

    #[test]
    fn files_with_secrets_are_known() {
        for file in
            ["/p/.env", "/p/a/.env.local", "/p/tools/.cargo/credentials.toml", "/p/.netrc", ".docker/config.json"]
        {
            assert!(is_secret_file(file.into()), "{file}");
        }
        for file in ["/p/.env.example", "/p/credentials.toml", "/p/env", "/p/config.json", "/p/src/.environment"] {
            assert!(!is_secret_file(file.into()), "{file}");
        }
    }

    #[test]
    fn a_repository_keeps_its_form_and_nothing_else() {
        let text = "[core]\n\trepositoryformatversion = 1\n\tsshCommand = ssh -i key\n[extensions]\n\tobjectFormat = sha256\n\
            [remote \"origin\"]\n\turl = https://x:tok@h/r\n[http \"https://github.com/\"]\n\textraheader = AUTHORIZATION: basic Zm9v\n";
        let kept = repository_config(text);
        assert_eq!(kept, "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n");
    }
}
