//! Outputs made from the definitions: schemas, completions, man pages.

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use clap::{CommandFactory, ValueEnum};

use crate::command::Cli;
use crate::command::{print, print_json};
use crate::model::request::SchemaKind;
use crate::report::schema;
use crate::util::error::{Error, Exit, Result};

#[derive(Args, Debug)]
pub struct SchemaArgs {
    /// Output to describe [default: all]
    pub kind: Option<SchemaKind>,
}

#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Shell to generate the script for
    pub shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub struct ManArgs {
    /// Directory to write the man pages to
    #[arg(value_name = "DIR")]
    pub dir: Utf8PathBuf,
}

pub(super) fn schema(kind: Option<SchemaKind>) -> Result<Exit> {
    match kind {
        Some(kind) => print_json(&schema::schema(kind))?,
        None => {
            // All of them in one object, by name.
            let all: std::collections::BTreeMap<String, schemars::Schema> = SchemaKind::value_variants()
                .iter()
                .filter_map(|kind| Some((kind.to_possible_value()?.get_name().to_owned(), schema::schema(*kind))))
                .collect();
            print_json(&all)?;
        }
    }
    Ok(Exit::Success)
}

pub(super) fn completions(shell: clap_complete::Shell) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cargo-convoy", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}

pub(super) fn man(dir: &Utf8Path) -> Result<Exit> {
    fs_err::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)
        .map_err(|error| Error::work(format!("could not write the man pages into `{dir}`")).because(error))?;
    Ok(Exit::Success)
}
