//! What a container does not see of the sources, although it sees these: files with secrets, and the target folder.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use crate::plan::container::{is_secret_file, masked, repository_config};
use crate::util::files::{SMALL, UntrustedDir};

/// Folders with so many files that looking through them takes long, and that hold packages of others.
const NOT_LOOKED_INTO: [&str; 2] = ["node_modules", "__pycache__"];

/// Folders of a git repository that hold no configuration.
const OF_GIT: [&str; 6] = ["objects", "refs", "logs", "hooks", "info", "lfs"];

/// The files of the sources that hold secrets, each with what is seen in its place. Nothing in the folders `skip` is looked
/// at.
pub(super) fn secret_files(sources: &[Utf8PathBuf], skip: &[&Utf8Path]) -> BTreeMap<Utf8PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open: Vec<(Utf8PathBuf, bool)> = sources.iter().map(|source| (source.clone(), false)).collect();
    while let Some((dir, in_git)) = open.pop() {
        // What cannot be read here cannot be read inside, where the user is the same.
        for entry in dir.read_dir_utf8().into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let (name, path) = (entry.file_name(), entry.path());
            if kind.is_dir() {
                let skipped =
                    skip.contains(&path) || NOT_LOOKED_INTO.contains(&name) || in_git && OF_GIT.contains(&name);
                if !skipped {
                    open.push((path.to_owned(), in_git || name == ".git"));
                }
            } else if let Some(seen) = seen(&dir, name, in_git) {
                let path = if kind.is_symlink() { led_to(path, sources) } else { Some(path.to_owned()) };
                found.extend(path.map(|path| (path, seen)));
            }
        }
    }
    found
}

/// What is seen in place of a file; none where it is seen as it is.
fn seen(dir: &Utf8Path, name: &str, in_git: bool) -> Option<String> {
    let path = dir.join(name);
    // What is no text of a usual size is no configuration, and is not seen at all.
    let text = || UntrustedDir::open(dir).and_then(|dir| dir.read_text(name.into(), SMALL)).ok().flatten();
    if in_git {
        return ["config", "config.worktree"].contains(&name).then(|| repository_config(&text().unwrap_or_default()));
    }
    if dir.file_name() == Some(".cargo") && ["config", "config.toml"].contains(&name) {
        return masked(&text()?, dir.parent().unwrap_or(dir), &mut Vec::new());
    }
    is_secret_file(&path).then(String::new)
}

/// The file that a link leads to, where that is seen inside.
fn led_to(link: &Utf8Path, sources: &[Utf8PathBuf]) -> Option<Utf8PathBuf> {
    let real = link.canonicalize_utf8().ok().filter(|real| real.is_file())?;
    sources.iter().any(|source| real.starts_with(source)).then_some(real)
}

/// The folder of build products that is hidden but for what the lane needs of it; none where no source holds it. The whole
/// target folder, as other tools and lanes leave there what is none of this lane's business; convoy's part of it where
/// the target folder holds sources.
pub(super) fn hidden_folder<'a>(convoy_dir: &'a Utf8Path, sources: &[Utf8PathBuf]) -> Option<&'a Utf8Path> {
    let may_be = |dir: &&Utf8Path| {
        let within = |source: &Utf8PathBuf| dir.starts_with(source) && *dir != source;
        sources.iter().any(within) && !sources.iter().any(|source| source.starts_with(dir))
    };
    convoy_dir.parent().filter(may_be).or(Some(convoy_dir).filter(may_be))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_the_sources_are_found_wherever_they_are() {
        let held = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(held.path()).unwrap().canonicalize_utf8().unwrap();
        let token = "[http \"https://github.com/\"]\n\textraheader = AUTHORIZATION: basic Zm9v\n";
        for (file, text) in [
            (".env", "A=secret"),
            (".env.example", "A="),
            ("tools/.cargo/credentials.toml", "secret"),
            ("tools/.cargo/config.toml", "[registry]\ntoken = \"secret\"\n[build]\njobs = 1\n"),
            (".cargo/config.toml", "[build]\njobs = 1\n"),
            (".git/config", token),
            (".git/objects/config", ""),
            (".git/modules/deep/sub/config", token),
            ("config", ""),
            ("local.env", "B=secret"),
            ("target/debug/.env", ""),
        ] {
            fs_err::create_dir_all(dir.join(file).parent().unwrap()).unwrap();
            fs_err::write(dir.join(file), text).unwrap();
        }
        fs_err::create_dir_all(dir.join("member")).unwrap();
        std::os::unix::fs::symlink("../local.env", dir.join("member/.env")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.join("member/.netrc")).unwrap();
        let found = secret_files(std::slice::from_ref(&dir), &[&dir.join("target")]);
        let names: Vec<&str> = found.keys().map(|path| path.strip_prefix(&dir).unwrap().as_str()).collect();
        let wanted = [
            ".env",
            ".git/config",
            ".git/modules/deep/sub/config",
            "local.env",
            "tools/.cargo/config.toml",
            "tools/.cargo/credentials.toml",
        ];
        assert_eq!(names, wanted);
        assert!(found.values().all(|seen| !seen.contains("secret") && !seen.contains("AUTHORIZATION")), "{found:?}");
        assert!(found[&dir.join("tools/.cargo/config.toml")].contains("jobs"));
    }

    #[test]
    fn the_target_folder_is_hidden_unless_it_holds_sources() {
        let hidden = |convoy: &'static str, sources: &[&str]| {
            let sources: Vec<Utf8PathBuf> = sources.iter().map(|source| (*source).into()).collect();
            hidden_folder(Utf8Path::new(convoy), &sources).map(Utf8Path::as_str)
        };
        assert_eq!(hidden("/p/target/convoy", &["/p"]), Some("/p/target"));
        assert_eq!(hidden("/p/target/convoy", &["/p", "/p/target/made"]), Some("/p/target/convoy"));
        assert_eq!(hidden("/p/convoy", &["/p"]), Some("/p/convoy"));
        assert_eq!(hidden("/disk/target/convoy", &["/p"]), None);
    }
}
