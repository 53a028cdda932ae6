//! `cargo convoy verify` on a good binary, and on anything else.

use crate::support::{Project, require, run};

const MUSL: &str = "x86_64-unknown-linux-musl";
const NATIVE: &str = "x86_64-unknown-linux-gnu";

#[test]
fn verify_says_of_anything_what_it_is_not() {
    require!(Target(MUSL));
    let project = Project::hello("verify");
    project.build(MUSL).ends(0);
    let good = project.dist(&format!("{MUSL}/hello"));
    let bytes = fs_err::read(&good).unwrap();
    let truncated = project.dir.join("truncated");
    fs_err::write(&truncated, &bytes[..bytes.len() / 2]).unwrap();
    let text = project.write("text", "#!/bin/sh\necho a program of sorts\n");
    let empty = project.write("empty", "");
    project.convoy(["verify", good.as_str()]).ends(0);
    project.convoy(["verify", "--target", MUSL, good.as_str()]).ends(0);
    project.convoy(["verify", "--target", "linux/arm64", good.as_str()]).ends(4);
    for (file, code) in [(&truncated, 4), (&text, 4), (&empty, 4), (&project.dir, 5), (&project.dir.join("missing"), 5)]
    {
        let done = project.convoy(["verify", "--json", file.as_str()]).ends(code);
        let row = &done.json()["files"][0];
        assert_eq!((&row["verified"], &row["file"]), (&false.into(), &file.as_str().into()));
        assert!(row["findings"].as_array().unwrap().iter().any(|f| f["level"] == "violation"), "{row:#}");
        let done = project.convoy(["verify", file.as_str()]).ends(code);
        assert_eq!(done.stdout, "");
        done.says(&format!("{file}: rejected"));
    }
    // Nothing is read that has no end, or that no memory holds.
    let (pipe, sparse) = (project.dir.join("pipe"), project.dir.join("sparse"));
    run("mkfifo", &[pipe.as_str()]);
    fs_err::File::create(&sparse).unwrap().set_len(5 << 30).unwrap();
    for (file, why) in
        [(pipe.as_str(), "not a regular file"), ("/dev/zero", "not a regular file"), (sparse.as_str(), "4 GiB")]
    {
        project.convoy(["verify", file]).ends(5).says("violation[unreadable]").says(why);
    }
    // With several, each is told, and the worst is the exit code.
    let all = [good.as_str(), "missing", text.as_str()];
    let done = project.convoy(["verify", "--json"].iter().chain(&all)).ends(4);
    assert_eq!(done.json()["files"].as_array().unwrap().len(), 3);
}

#[test]
fn verify_survives_truncation_anywhere() {
    let project = Project::hello("anywhere");
    project.build(NATIVE).ends(0);
    let bytes = fs_err::read(project.dist(&format!("{NATIVE}/hello"))).unwrap();
    let lengths = [1, 4, 16, 63, 64, 65, 120, 1000, 4096, bytes.len() - 1].into_iter();
    let files: Vec<String> = lengths
        .map(|length| {
            let path = project.dir.join(format!("first-{length}"));
            fs_err::write(&path, &bytes[..length]).unwrap();
            path.into_string()
        })
        .collect();
    let done = project.convoy(["verify", "--json"].into_iter().chain(files.iter().map(String::as_str))).ends(4);
    for row in done.json()["files"].as_array().unwrap() {
        assert_eq!(row["verified"], false, "{row:#}");
    }
}
