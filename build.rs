//! Embeds the target files of `targets/`, and reads `targets/needs.toml` with the types that convoy itself reads it with, so
//! that a mistake in the table ends the build of convoy, with line and column or the row's name, and never a user's run.

#![allow(dead_code, reason = "the types are shared with the library, which uses their fields")]

#[path = "src/model/needs/rows.rs"]
mod rows;

use std::fmt::Write as _;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=targets");
    println!("cargo::rerun-if-changed=src/model/needs/rows.rs");
    let read = std::fs::read_to_string("targets/needs.toml").map_err(|error| error.to_string());
    if let Err(error) = read.and_then(|text| rows::Rows::parse(&text)) {
        println!("cargo::error=targets/needs.toml: {}", error.replace('\n', " "));
    }
    if let Err(error) = embed_targets() {
        println!("cargo::error=targets: {error}");
    }
}

/// Writes the list of all `targets/<triple>.toml`, for `src/model/catalog`.
fn embed_targets() -> Result<(), Box<dyn std::error::Error>> {
    let mut triples = Vec::new();
    for entry in std::fs::read_dir("targets")? {
        let name = entry?.file_name().into_string().map_err(|name| format!("{} is not UTF-8", name.display()))?;
        // Files about anything else have no dash in their names.
        triples.extend(name.strip_suffix(".toml").filter(|name| name.contains('-')).map(str::to_owned));
    }
    triples.sort();
    let mut list = String::from("&[\n");
    for triple in triples {
        writeln!(
            list,
            "({triple:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/targets/{triple}.toml\"))),"
        )?;
    }
    list.push_str("]\n");
    let out = std::env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?;
    std::fs::write(Path::new(&out).join("targets.rs"), list)?;
    Ok(())
}
