//! Words and flags of the command line that are wrong.

use super::NATIVE;
use crate::support::Project;

#[test]
fn what_is_not_known_suggests_the_nearest() {
    let project = Project::hello("nearest");
    for (args, says) in [
        (&["build", "-t", "linux/amr64"][..], "did you mean `linux/arm64`?"),
        (&["build", "-t", "pi4"], "did you mean `pi-4`?"),
        (&["build", "-t", "apple"], "did you mean `darwin`?"),
        (&["build", "-t", "x86_64-unknown-linux-gnuu"], "did you mean `x86_64-unknown-linux-gnu`?"),
        (&["build", "-t", "linux/arm64.2.x"], "linux/arm64.2.x"),
        (&["build", "-t", "darwin/arm64.2.31"], "is not supported for aarch64-apple-darwin"),
        (&["build", "--route", "zug"], "did you mean `zig`?"),
        (&["build", "--route", "linux/arm46=zig"], "did you mean `linux/arm64`?"),
        (&["build", "--traget", "x"], "--target"),
        (&["build", "--jso"], "--json"),
        (&["biuld"], "build"),
        (&["cache", "claen"], "clean"),
        (&["schema", "manifets"], "manifest"),
        (&["completions", "bsh"], "bash"),
        (&["verify", "--target", "linux/amr64", "x"], "did you mean `linux/arm64`?"),
        (&["verify", "--target", "linux", "x"], "selects"),
    ] {
        let done = project.convoy(args).ends(2);
        done.says(says);
        assert_eq!(done.stdout, "", "{args:?}");
    }
    assert!(!project.dir.join("target").exists());
}

#[test]
fn what_convoy_decides_is_not_handed_on_to_cargo() {
    let project = Project::hello("handed-on");
    for (args, right) in [
        (&["--target", "x"][..], "`--target`, before the `--`"),
        (&["--target=x"], "`--target`, before the `--`"),
        (&["--target-dir", "x"], "--target-dir"),
        (&["--profile=dev"], "--profile"),
        (&["--release"], "--profile"),
        (&["--message-format=json"], "--json"),
        (&["--features", "x"], "`--features`, before the `--`"),
        (&["--exclude=x"], "before the `--`"),
    ] {
        let done = project.build(NATIVE).arg("--").args(args).ends(2);
        done.says(&format!("`{}` cannot be passed on to cargo", args[0].split('=').next().unwrap())).says(right);
    }
    for (args, name) in [(&["-Fx"][..], "-F"), (&["-px"], "-p"), (&["-Z", "build-std"], "-Zbuild-std")] {
        project.build(NATIVE).arg("--").args(args).ends(2).says(&format!("`{name}` cannot be passed on to cargo"));
    }
    for args in [&["-vr"][..], &["--config", "build.target-dir='x'"], &["--examples"], &["--locked=yes"]] {
        project.build(NATIVE).arg("--").args(args).ends(2).says("cannot be passed on to cargo");
    }
    // All else goes to cargo.
    project.build(NATIVE).arg("--").args(["--config", "profile.release.opt-level=0"]).ends(0);
    let log = fs_err::read_to_string(project.dir.join(format!("target/convoy/logs/{NATIVE}.log"))).unwrap();
    assert!(log.contains("--config profile.release.opt-level=0"), "{log}");
    let done = project.build(NATIVE).arg("--").args(["--no-such-flag"]).ends(1);
    done.says("--no-such-flag");
    project.build(NATIVE).arg("--profile=unheard-of").ends(1).says("profile `unheard-of` is not defined");
}

#[test]
fn both_ways_of_calling_and_help_with_exit_codes() {
    let project = Project::hello("calling");
    project.convoy(["convoy", "plan", "-t", NATIVE]).ends(0);
    let help = project.convoy(["convoy", "--help"]).ends(0);
    for code in ["0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "129, 130, 143"] {
        assert!(help.stdout.contains(&format!("\n  {code}")), "{help}");
    }
    project.convoy(["--version"]).ends(0);
    project.convoy([""; 0]).ends(2);
}
