//! Verifies a binary from its bytes: `cargo run --example verify -- FILE [TRIPLE]`.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;

use cargo_convoy::model::catalog::Catalog;
use cargo_convoy::verify::{self, Expectation, Finding};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("usage: verify FILE [TRIPLE]")?;
    let triple = args.next();
    for Finding { level, code, message } in findings(&std::fs::read(file)?, triple.as_deref())? {
        println!("{level:?} {code}: {message}");
    }
    Ok(())
}

/// What verification finds in a binary for a target; without a triple, for the target that the binary seems to be made for.
pub fn findings(bytes: &[u8], triple: Option<&str>) -> Result<Vec<Finding>, Box<dyn Error>> {
    let catalog = Catalog::embedded();
    let inspection = verify::inspect(bytes)?;
    let inferred = verify::infer(&inspection, catalog);
    let triple = triple.map(str::to_owned).or(inferred).ok_or("no known target has binaries like this one")?;
    Ok(verify::judge(&inspection, &Expectation::of_triple(&triple, catalog)))
}
