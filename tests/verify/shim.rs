//! The linker shim: what comes back to rustc, and the record.

use std::ffi::OsString;

use cargo_convoy::build::shim;
use cargo_convoy::verify::link;

use super::toolchain::{HOST_GCC, object, shim as traced, workspace};

fn run(args: &[&str]) -> i32 {
    shim::run(args.iter().map(OsString::from)).unwrap()
}

#[test]
fn the_linkers_exit_code_comes_back_and_a_failed_link_leaves_no_record() {
    let dir = workspace("shim-fail");
    let out = dir.join("program");
    assert_eq!(run(&["--linker", "sh", "--", "-c", "exit 7", "-o", out.as_str()]), 7);
    assert_eq!(link::record_for(&out), None);
}

#[test]
fn a_linker_that_cannot_be_started_is_named() {
    let error = shim::run(["--linker", "no-such-linker", "--", "x.o"].map(OsString::from)).unwrap_err();
    assert!(error.to_string().contains("no-such-linker"), "{error}");
    assert!(error.hint_text().is_some());
}

#[test]
fn a_record_that_cannot_be_written_does_not_fail_the_link() {
    let dir = workspace("shim-unwritable");
    // The linker's output goes to a folder that is not there: this linker does not mind.
    let out = dir.join("gone/program");
    assert_eq!(run(&["--linker", "true", "--", "-o", out.as_str()]), 0);
}

#[test]
fn targets_whose_objects_tell_no_more_get_an_empty_record() {
    let dir = workspace("shim-plain");
    let object = object(&dir, &[HOST_GCC], &[], "main", "int main(void) { return 0; }");
    let out = dir.join("program");
    traced(HOST_GCC, "x86_64-unknown-linux-gnu", &[&object, "-o", out.as_str()]);
    let record = link::record_for(&out).unwrap();
    assert_eq!((record.linker.as_str(), record.output.as_path()), (HOST_GCC, out.as_path()));
    assert!(record.arm.is_empty() && record.wanted_by.is_empty() && record.unread.is_empty());
}

#[cfg(unix)]
#[test]
fn a_linker_that_dies_of_a_signal_takes_the_shim_with_it() {
    use std::os::unix::process::ExitStatusExt;
    // The shim ends its process, so it runs in one of its own: this test binary, once more.
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "shim::link_with_a_linker_that_dies", "--ignored"])
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(rustix::process::Signal::TERM.as_raw()), "{status}");
}

#[test]
#[ignore = "started by the test above; it ends its process"]
fn link_with_a_linker_that_dies() {
    run(&["--linker", "sh", "--", "-c", "kill -TERM $$"]);
}
