//! Lists the targets of convoy's catalogue: `cargo run --example targets`.

#![allow(clippy::print_stdout, reason = "an example prints")]

use cargo_convoy::model::catalog::Catalog;

fn main() {
    for line in lines() {
        println!("{line}");
    }
}

/// One line for each target: its triple, its platform, and the oldest glibc that its binaries start with.
pub fn lines() -> Vec<String> {
    let targets = &Catalog::embedded().targets;
    targets
        .iter()
        .map(|target| {
            let platform = target.platform.as_deref().unwrap_or("-");
            let glibc = target.default_floor.map_or_else(|| "-".to_owned(), |floor| floor.to_string());
            format!("{:<30} {platform:<14} {glibc}", target.triple)
        })
        .collect()
}
