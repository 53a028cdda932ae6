//! Settings of a project: their origins, and what is wrong with them.

use serde_json::Value;

use super::{NATIVE, workspace};
use crate::support::Project;

#[test]
fn a_wrong_value_in_convoy_toml_is_shown_with_its_place() {
    let project = Project::hello("wrong-value");
    for (text, says) in [
        ("targets = \"linux\"\n", "Convoy.toml:1:11"),
        ("profile = \"release\"\nprovision = \"sometimes\"\n", "Convoy.toml:2:13"),
        ("[target.\"linux/arm64\"]\nglibc = 2.31\n", "Convoy.toml:2:9"),
        ("[target.\"linux/arm64\"]\nroutes = [\"zug\"]\n", "Convoy.toml:2:11"),
        ("windows = \"clang\"\n", "Convoy.toml:1:11"),
        ("targets = [\n", "Convoy.toml:"),
        ("targets = []\n", "`targets` is empty (Convoy.toml)"),
        ("[container]\nengine = \"lxc\"\n", "Convoy.toml:2:10"),
        (
            "[container]\nvolumes = [\"data:/data\"]\n",
            "Convoy.toml:2:11: `data:/data` is not a valid volume: expected `/host:/container`",
        ),
        (
            "\n[container]\nimage = \"a\"\ndockerfile = \"b\"\n",
            "Convoy.toml:2:1: `image` and `dockerfile` cannot be used together",
        ),
    ] {
        project.write("Convoy.toml", text);
        project.build(NATIVE).env("CONVOY_TARGETS", "").arg("-q").ends(if text == "targets = []\n" { 0 } else { 2 });
        project.convoy(["build"]).ends(2).says(says);
    }
    fs_err::remove_file(project.dir.join("Convoy.toml")).unwrap();
    let metadata = "[package.metadata.convoy]\ntargets = [\"linux/amd64\"]\nprofile = 3\n";
    let project = project.manifest("hello", metadata);
    project.convoy(["build"]).ends(2).says("Cargo.toml:7:11");
    project.convoy(["build"]).env("CONVOY_PROVISION", "sometimes").ends(2);
    let project = project.manifest("hello", "");
    project
        .convoy(["plan"])
        .env("CONVOY_ENGINE", "lxc")
        .ends(2)
        .says("invalid value `lxc` for `CONVOY_ENGINE`")
        .says("hint: use `docker`");
    project.convoy(["plan", "--engine", "dokcer"]).ends(2).says("did you mean `docker`?");
}

#[test]
fn the_word_for_windows_means_the_runtime_that_is_configured() {
    let project = Project::hello("windows");
    let plan = |word: &str| {
        // Whether this machine can build them is another matter.
        let plan = project.convoy(["plan", "--json", "-t", word]).output().json();
        let cells = plan["cells"].as_array().unwrap();
        let brief =
            |cell: &Value| (cell["id"].as_str().unwrap().to_owned(), cell["platform"].as_str().map(str::to_owned));
        cells.iter().map(brief).collect::<Vec<_>>()
    };
    let platform = Some("windows/amd64".to_owned());
    assert_eq!(plan("windows/amd64"), [("x86_64-pc-windows-gnu".to_owned(), platform.clone())]);
    project.write("Convoy.toml", "windows = \"msvc\"\n");
    assert_eq!(plan("windows/amd64"), [("x86_64-pc-windows-msvc".to_owned(), platform)]);
    assert_eq!(plan("x86_64-pc-windows-gnu"), [("x86_64-pc-windows-gnu".to_owned(), None)]);
    project.convoy(["plan", "-v", "-t", "windows"]).output().says("windows = msvc (Convoy.toml)");
}

#[test]
fn a_cross_toml_is_read_and_what_is_not_followed_is_told() {
    let project = Project::hello("cross-toml");
    project.write(
        "Cross.toml",
        &format!(
            "[build]\nxargo = true\n[build.env]\npassthrough = [\"TOKEN=hunter2\"]\n[target.{NATIVE}]\nimage = \"a:1\"\n\
             [target.i686-linux-android]\nimage = \"b\"\n"
        ),
    );
    let done = project.convoy(["plan", "-v", "-t", NATIVE, "--engine=none"]).ends(0);
    done.says("warning: Cross.toml: key `build.xargo` is not supported by convoy: use `build-std = true`")
        .says(&format!("target.{NATIVE}.container.image = a:1 (Cross.toml)"))
        .says("container.passthrough = TOKEN (Cross.toml)")
        .says("engine = none (command line)")
        .says_not("hunter2")
        .says_not("unknown target, platform, device or group");
    // It does not send a target into a container, and every run tells of it.
    project.build(NATIVE).ends(0).says("build.xargo");
    project.build(NATIVE).ends(0).says("build.xargo");
    project.write("Cross.toml", "[target.x]\nimage = 3\n");
    project.build(NATIVE).ends(2).says("Cross.toml:2:9: invalid image");
    project
        .build(NATIVE)
        .env("CROSS_CONFIG", "none.toml")
        .ends(2)
        .says("given by `CROSS_CONFIG` does not exist")
        .says("hint: set it");
    project.write("other.toml", "[target.x]\nrunner = \"native\"\n");
    project.build(NATIVE).env("CROSS_CONFIG", "other.toml").ends(0).says("other.toml: key `target.x.runner`");
}

#[test]
fn an_unknown_key_is_a_warning_with_the_nearest() {
    let project = Project::hello("unknown-key");
    project.write("Convoy.toml", &format!("target = {{ }}\ntragets = [\"{NATIVE}\"]\n"));
    project.write("Convoy.toml", "tragets = [\"linux\"]\n[target.\"linux/amr64\"]\nrustflag = []\n");
    let done = project.build(NATIVE).ends(0);
    done.says("warning: Convoy.toml: unknown key `tragets`; did you mean `targets`?")
        .says("unknown key `target.linux/amr64.rustflag`; did you mean `rustflags`?")
        .says("unknown target, platform, device or group in `[target.\"linux/amr64\"]`; did you mean `linux/arm64`?");
    // At every run, also when the plan is kept.
    project.build(NATIVE).ends(0).says("did you mean `targets`?");
}

/// A team's CI jobs build one target each, and share the file.
#[test]
fn a_table_of_a_target_that_this_run_does_not_build_is_no_warning() {
    let project = Project::hello("other-tables");
    let words =
        ["powerpc64-unknown-linux-gnu", "s390x-unknown-linux-gnu.2.31", "pi-4.2.36", "pi", "linux", "pi-aarch64"];
    let tables: String = words.iter().map(|word| format!("[target.\"{word}\"]\nfeatures = []\n")).collect();
    project.write("Convoy.toml", &format!("{tables}[target.powerpc64-unknown-linux-gn]\nfeatures = []\n"));
    let done = project.convoy(["plan", "-t", NATIVE]).ends(0);
    done.says("in `[target.\"powerpc64-unknown-linux-gn\"]`");
    assert_eq!(done.stderr.matches("warning").count(), 1, "{done}");
}

#[test]
fn the_command_line_beats_the_environment_beats_the_file() {
    let project = Project::hello("origins");
    project.write("Convoy.toml", &format!("targets = [\"{NATIVE}\"]\nprofile = \"dev\"\ndist-dir = \"out\"\n"));
    let done = project.convoy(["plan", "-v"]).env("CONVOY_PROFILE", "release").arg("--dist-dir=there").ends(0);
    done.says(&format!("targets = {NATIVE} (Convoy.toml)"))
        .says("profile = release (environment variable CONVOY_PROFILE)")
        .says("there (command line)")
        .says("provision = auto (default)");
    project.convoy(["build"]).ends(0);
    let manifest: Value =
        serde_json::from_slice(&fs_err::read(project.dir.join("out/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["profile"], "dev");
}

#[test]
fn init_never_overwrites() {
    let project = Project::hello("init");
    project.convoy(["init"]).ends(0).says("Convoy.toml");
    let path = project.dir.join("Convoy.toml");
    let text = fs_err::read_to_string(&path).unwrap();
    assert!(text.contains("# targets = ["), "{text}");
    project.build(NATIVE).ends(0).says_not("warning:");
    fs_err::write(&path, "profile = \"dev\"\n").unwrap();
    project.convoy(["init"]).ends(2).says("already exists");
    assert_eq!(fs_err::read_to_string(&path).unwrap(), "profile = \"dev\"\n");
}

#[test]
fn init_in_a_member_writes_the_file_that_is_read() {
    let project = workspace("init-member", "first", "second");
    let done = project.convoy(["init"]).dir(&project.dir.join("one")).ends(0);
    done.says(&format!("created {}", project.dir.join("Convoy.toml"))).says("applies to all members of the workspace");
    assert!(!project.dir.join("one/Convoy.toml").exists());
    project.convoy(["init", "--manifest-path", "two/Cargo.toml"]).ends(2).says("already exists");
    project.convoy(["plan", "-t", NATIVE]).ends(0).says_not("warning");
    // One that somebody wrote there by hand.
    project.write("two/Convoy.toml", "profile = \"dev\"\n");
    let done = project.convoy(["plan", "-t", NATIVE]).ends(0);
    done.says("`two/Convoy.toml` is ignored: settings belong in the `Convoy.toml` of the workspace root");
}
