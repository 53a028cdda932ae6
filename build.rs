//! Reads `targets/needs.toml` with the types that convoy itself reads it with, so that a mistake in the table ends the
//! build of convoy, with line and column or the row's name, and never a user's run.

#![allow(dead_code, reason = "the types are shared with the library, which uses their fields")]

#[path = "src/model/needs/rows.rs"]
mod rows;

fn main() {
    println!("cargo::rerun-if-changed=targets/needs.toml");
    println!("cargo::rerun-if-changed=src/model/needs/rows.rs");
    let read = std::fs::read_to_string("targets/needs.toml").map_err(|error| error.to_string());
    if let Err(error) = read.and_then(|text| rows::Rows::parse(&text)) {
        println!("cargo::error=targets/needs.toml: {}", error.replace('\n', " "));
    }
}
