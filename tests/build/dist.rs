//! The dist directory: exactly what this run built, and nothing of anybody else is lost.

use std::time::Duration;

use crate::support::{Done, HELLO, Project, environment, ids, needs, require, run, tool, wait_for};

const MUSL: &str = "x86_64-unknown-linux-musl";
const NATIVE: &str = "x86_64-unknown-linux-gnu";

#[test]
fn a_dist_that_cannot_be_written_is_told_before_compiling() {
    let project = Project::hello("dist");
    project.write("dist", "a file");
    project.build(NATIVE).ends(5).says("as the dist directory: it is a file").says("hint: choose another directory");
    assert_eq!(fs_err::read_to_string(project.dir.join("dist")).unwrap(), "a file");
    // Not even root writes there.
    for nowhere in ["/proc/convoy/dist", "/dev/null/dist"] {
        let done = project.build(NATIVE).arg("--dist-dir").arg(nowhere).ends(5);
        done.says(&format!("could not write to the dist directory `{nowhere}`"))
            .says("hint: choose another directory with `--dist-dir`");
    }
    assert!(!project.dir.join("target/convoy/main").exists(), "nothing was compiled");
    for nowhere in ["/proc/convoy/target", "/dev/null/target"] {
        project.build(NATIVE).arg("--dist-dir=out").arg("--target-dir").arg(nowhere).ends(5).says(nowhere);
    }
}

#[test]
fn dist_is_exactly_this_run_and_foreign_files_survive() {
    require!(Target(MUSL), Target("aarch64-unknown-linux-musl"));
    let project = Project::hello("exact");
    let arm = "aarch64-unknown-linux-musl";
    project.build(&format!("{MUSL},{arm}")).ends(0);
    project.write("dist/notes.txt", "mine");
    project.write(&format!("dist/{arm}/mine.txt"), "mine");
    project.write(&format!("dist/{MUSL}/mine.txt"), "mine");
    project.build(&format!("{MUSL},x86_64-unknown-linux-gnu")).ends(0);
    assert!(!project.dist(&format!("{arm}/hello")).exists());
    for path in ["notes.txt".to_owned(), format!("{arm}/mine.txt"), format!("{MUSL}/mine.txt")] {
        assert_eq!(fs_err::read_to_string(project.dist(&path)).unwrap(), "mine");
    }
    assert_eq!(ids(&project.manifest_json(), "artifacts"), ["x86_64-unknown-linux-gnu", MUSL]);

    // `--keep` retains files and rows.
    project.build(arm).arg("--keep").ends(0);
    assert_eq!(ids(&project.manifest_json(), "artifacts"), [arm, "x86_64-unknown-linux-gnu", MUSL]);
    run("sh", &["-c", &format!("cd '{}' && sha256sum --quiet --check SHA256SUMS", project.dir.join("dist"))]);
    // And a row that is kept is removed by the next run without it.
    project.build(arm).ends(0);
    assert_eq!(ids(&project.manifest_json(), "artifacts"), [arm]);
    assert!(!project.dist(&format!("{MUSL}/hello")).exists());
    assert!(project.dist("notes.txt").exists());
    // A file that was tampered with is put right, one that was removed is put back.
    fs_err::write(project.dist(&format!("{arm}/hello")), "tampered").unwrap();
    project.build(arm).ends(0);
    assert!(fs_err::metadata(project.dist(&format!("{arm}/hello"))).unwrap().len() > 100_000);
    fs_err::remove_file(project.dist(&format!("{arm}/hello"))).unwrap();
    project.build(arm).ends(0);
    assert!(project.dist(&format!("{arm}/hello")).is_file());
    assert!(!project.manifest_json().to_string().contains(project.dir.as_str()), "no absolute path in the manifest");
}

#[test]
fn a_failed_target_leaves_no_old_binary_that_looks_new() {
    let project = Project::hello("old");
    project.build(NATIVE).ends(0);
    project.write("src/main.rs", "fn main() { oh no }\n");
    project.build(NATIVE).ends(1);
    assert!(!project.dist(&format!("{NATIVE}/hello")).exists());
    assert_eq!(ids(&project.manifest_json(), "artifacts"), [""; 0]);
}

#[test]
fn a_manifest_never_removes_outside_of_dist() {
    let project = Project::hello("outside");
    project.build(NATIVE).ends(0);
    let victims = [project.write("victim", "mine"), project.write("elsewhere/victim", "mine")];
    fs_err::os::unix::fs::symlink("../elsewhere", project.dist("link")).unwrap();
    let mut manifest = project.manifest_json();
    let row = manifest["artifacts"][0].clone();
    let paths =
        ["../victim".to_owned(), victims[0].to_string(), "link/victim".to_owned(), "..".to_owned(), String::new()];
    for path in paths {
        let mut bad = row.clone();
        bad["path"] = path.into();
        manifest["artifacts"].as_array_mut().unwrap().push(bad);
    }
    for keep in [true, false] {
        fs_err::write(project.dist("manifest.json"), manifest.to_string()).unwrap();
        let convoy = project.build(NATIVE);
        let done = if keep { convoy.arg("--keep").ends(0) } else { convoy.ends(0) };
        for victim in &victims {
            assert_eq!(fs_err::read_to_string(victim).unwrap(), "mine", "{done}");
        }
        let now = project.manifest_json();
        let paths: Vec<&str> =
            now["artifacts"].as_array().unwrap().iter().map(|row| row["path"].as_str().unwrap()).collect();
        assert!(!paths.iter().any(|path| path.contains("..") || path.starts_with('/')), "{paths:?}");
    }
    // One that was cut off names nothing.
    fs_err::write(project.dist("manifest.json"), "{ \"tool\": { \"name\": \"cargo-convoy\"").unwrap();
    project.build(NATIVE).ends(0);
}

#[test]
fn a_dist_folder_of_somebody_elses_keeps_its_files() {
    let project = Project::hello("foreign-dist");
    let (manifest, sums) = (project.dist("manifest.json"), project.dist("SHA256SUMS"));
    project.write("dist/manifest.json", "{ \"name\": \"a web page\" }");
    let build = || project.build(NATIVE);
    build().ends(5).says(&format!("refusing to replace `{manifest}`")).says("--dist-dir");
    assert_eq!(fs_err::read_to_string(&manifest).unwrap(), "{ \"name\": \"a web page\" }");
    fs_err::remove_file(&manifest).unwrap();
    project.write("dist/SHA256SUMS", "mine");
    build().ends(5).says(&format!("refusing to replace `{sums}`"));
    assert!(!project.dir.join("target/convoy/logs").exists(), "nothing was compiled");
    build().args(["--dist-dir", "out"]).ends(0);
    assert_eq!(fs_err::read_to_string(&sums).unwrap(), "mine");
    fs_err::remove_file(&sums).unwrap();
    build().ends(0);
    build().ends(0);
}

#[test]
fn a_dist_of_two_projects_loses_nothing_of_either() {
    let (first, second) = (Project::hello("dist-first"), Project::empty("dist-second").manifest("other", ""));
    second.write("src/main.rs", HELLO);
    let build =
        |project: &Project| project.build(NATIVE).args(["--dist-dir", first.dist("").as_str().trim_end_matches('/')]);
    build(&first).ends(0);
    let done = build(&second).ends(5);
    done.says(&format!("`{NATIVE}/hello` of package `hello`"))
        .says("hint: choose another directory")
        .says_not("Compiling");
    assert!(!second.dir.join("target/convoy/main").exists(), "nothing was compiled");
    build(&second).arg("--keep").ends(0);
    build(&first).ends(5).says(&format!("`{NATIVE}/other` of package `other`"));
    build(&first).arg("--keep").ends(0);
    for bin in ["hello", "other"] {
        assert!(first.dist(&format!("{NATIVE}/{bin}")).is_file(), "{bin}");
    }
    run("sh", &["-c", &format!("cd '{}' && sha256sum --quiet -c SHA256SUMS", first.dist(""))]);
    // Its own directory is a dist as any other, and has a name.
    let done = second.build(NATIVE).args(["--dist-dir", "."]).ends(0);
    done.says("Finished 1 verified binary in . in ");
}

#[test]
fn a_full_disk_is_told_and_the_previous_dist_stays() {
    require!(Target(MUSL), Mount);
    let project = Project::hello("full");
    project.build(MUSL).arg("--target-dir=elsewhere").ends(0);
    let names = || {
        let mut names: Vec<String> =
            project.dir.join("dist").read_dir_utf8().unwrap().map(|e| e.unwrap().file_name().to_owned()).collect();
        names.sort();
        names
    };
    let before = names();
    // A small disk in a mount namespace of the test's own: root, or user namespaces, are needed for it.
    let exe = env!("CARGO_BIN_EXE_cargo-convoy");
    let in_namespace = |script: &str| {
        let output = environment::command(tool("unshare"))
            .args([needs::namespace(), "sh", "-ec", script])
            .current_dir(&project.dir)
            .output()
            .unwrap();
        Done::from(output)
    };
    fs_err::create_dir_all(project.dir.join("small")).unwrap();
    // The target-dir is too small for the build.
    let done = in_namespace(&format!(
        "mount -t tmpfs -o size=64k tmpfs small\nexec '{exe}' build -t {MUSL} --target-dir small --dist-dir out"
    ));
    assert_eq!(done.code, Some(5), "{done}");
    done.says("hint: free some disk space");
    // The dist folder is too small for the binary.
    let done = in_namespace(&format!(
        "cp -r dist/. small\nmount -t tmpfs -o size=128k tmpfs dist\necho mine >dist/mine\n\
         code=0\n'{exe}' build -t {MUSL} --target-dir elsewhere || code=$?\nls -A dist >&2\nexit $code"
    ));
    assert_eq!(done.code, Some(5), "{done}");
    done.says("could not write").says("No space left on device").says("free some disk space");
    assert!(done.stderr.trim_end().ends_with("\nmine"), "nothing half-written stays:\n{done}");
    assert_eq!(names(), before);
}

#[test]
fn of_two_builds_at_once_the_second_waits_and_says_so() {
    require!(Target("aarch64-unknown-linux-musl"));
    let project = Project::hello("twice");
    let gate = project.dir.join("gate");
    project.write(
        "build.rs",
        &format!(
            "fn main() {{\n    println!(\"cargo::rerun-if-changed=build.rs\");\n    std::fs::write(\"{gate}.here\", \"\").unwrap();\n    \
             while !std::path::Path::new(\"{gate}\").exists() {{ std::thread::sleep(std::time::Duration::from_millis(20)); }}\n}}\n"
        ),
    );
    let first = project.build(NATIVE).starts();
    wait_for("the first build", || project.dir.join("gate.here").exists());
    let events = project.dir.join("events");
    let mut second = project.build("aarch64-unknown-linux-musl").arg("--events").arg(&events).starts();
    wait_for("the second build", || fs_err::read_to_string(&events).is_ok_and(|text| text.contains("waiting")));
    std::thread::sleep(Duration::from_millis(200));
    assert!(!second.has_ended());
    project.write("gate", "");
    let first = first.wait();
    assert_eq!(first.code, Some(0), "{first}");
    let second = second.wait();
    assert_eq!(second.code, Some(0), "{second}");
    second.says("waiting for another `cargo convoy build` in this project to finish");
    assert_eq!(ids(&project.manifest_json(), "artifacts"), ["aarch64-unknown-linux-musl"]);
}
