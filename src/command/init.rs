//! `cargo convoy init`: a commented Convoy.toml.

use clap::Args;
use std::io::Write;

use camino::{Utf8Path, Utf8PathBuf};

use crate::command::prepare::{Members, find_manifest};
use crate::command::{current_dir, say};
use crate::machine::interrupt::Interrupt;
use crate::util::error::{Error, Exit, Result};

#[derive(Args, Debug)]
pub struct InitArgs {
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<Utf8PathBuf>,
}

const TEMPLATE: &str = include_str!("init.toml");

/// Writes the file where it is read from: in the workspace's directory, whatever member one is in.
pub(super) fn init(manifest_path: Option<&Utf8Path>) -> Result<Exit> {
    let cwd = current_dir()?;
    let manifest = find_manifest(manifest_path, &cwd)?;
    let root = Members::find(&manifest, &cwd, &Interrupt::default())?.workspace_root;
    let path = root.join("Convoy.toml");
    let created = fs_err::File::options().write(true).create_new(true).open(&path);
    match created {
        Ok(mut file) => file.write_all(TEMPLATE.as_bytes())?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::usage(format!("`{path}` already exists")).hint("edit it, or remove it first"));
        }
        Err(error) => return Err(error.into()),
    }
    let of_member = manifest.parent() != Some(&*root);
    say(&format!("created {path}{}\n", if of_member { ", which applies to all members of the workspace" } else { "" }));
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::TEMPLATE;

    #[test]
    fn the_template_is_valid_as_it_is_and_with_every_comment_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = camino::Utf8PathBuf::from_path_buf(dir.path().join("Convoy.toml")).unwrap();
        let uncommented: String = TEMPLATE
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|l| l.contains(" = ") || l.starts_with('[')).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        for text in [TEMPLATE, &uncommented] {
            fs_err::write(&path, text).unwrap();
            let file = crate::project::config::load(&path).unwrap().unwrap();
            assert_eq!(file.warnings, Vec::<String>::new());
        }
        assert!(uncommented.lines().any(|line| line == "build-std = true"), "{uncommented}");
    }
}
