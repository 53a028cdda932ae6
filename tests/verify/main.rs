//! Verification against real binaries: right ones pass, planted wrong ones are refused.

#![cfg(unix)]

mod architectures;
mod arm;
mod darwin;
mod elf;
mod hostile;
mod pe;
mod shim;
#[path = "../support/mod.rs"]
mod support;
mod sysroot;
mod toolchain;

use camino::Utf8Path;
use cargo_convoy::model::catalog::Catalog;
use cargo_convoy::verify::{self, Expectation, Finding, Inspection, Level};

fn inspect(path: impl AsRef<Utf8Path>) -> Inspection {
    verify::inspect(&fs_err::read(path.as_ref()).unwrap()).unwrap()
}

fn expect(triple: &str) -> Expectation {
    Expectation::of_triple(triple, Catalog::embedded())
}

/// The findings of one level, as codes.
fn codes(findings: &[Finding], level: Level) -> Vec<&str> {
    findings.iter().filter(|finding| finding.level == level).map(|finding| finding.code.name()).collect()
}

fn violations(findings: &[Finding]) -> Vec<&str> {
    codes(findings, Level::Violation)
}

fn warnings(findings: &[Finding]) -> Vec<&str> {
    codes(findings, Level::Warning)
}

/// The message of the one finding with this code.
fn message<'a>(findings: &'a [Finding], code: &str) -> &'a str {
    let found: Vec<&Finding> = findings.iter().filter(|finding| finding.code.name() == code).collect();
    assert_eq!(found.len(), 1, "{code} in {findings:#?}");
    &found[0].message
}

/// What `verify FILE` without a target would take the file for.
fn inferred(inspection: &Inspection) -> Option<String> {
    verify::infer(inspection, Catalog::embedded())
}
