//! Every command line of the documents is run, word for word by a shell, in a project like the one that the document is
//! about. The lists below say which test runs it, or why none does; a line that is in no list, or in no document, fails.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;

use super::document::{document, documents, quoted, root};
use crate::support::engine::engine;
use crate::support::{self, Convoy, Done, Project, environment, require, toolbox};

const ARM64: &str = "aarch64-unknown-linux-gnu";
const MUSL: &str = "x86_64-unknown-linux-musl";

/// A command line, the exit code that the document means, and the only failure that a machine may excuse.
struct Line {
    text: &'static str,
    code: i32,
    excuse: Option<(i32, &'static str)>,
}

const fn ends(code: i32, text: &'static str) -> Line {
    Line { text, code, excuse: None }
}

const fn ok(text: &'static str) -> Line {
    ends(0, text)
}

/// What needs Rust only.
const QUICK: &[Line] = &[
    ok("cargo convoy targets"),
    ok("cargo convoy targets --json"),
    ok("cargo convoy schema manifest"),
    ok("cargo convoy completions bash > convoy.bash"),
    ok("cargo convoy man man1"),
    ok("cargo convoy init"),
    ok("cargo convoy cache list"),
    ok("cargo convoy cache list --json"),
    ok("cargo convoy cache clean"),
    ok("cargo convoy supply list"),
    ok("cargo convoy supply list --json"),
];

/// Plans of a machine with zig.
const PLANS: &[Line] = &[
    ok("cargo convoy plan"),
    ok("cargo convoy plan -v"),
    ok("cargo convoy plan -v -t all"),
    ok("cargo convoy plan -t x86_64-pc-windows-msvc,windows/arm64,windows/386"),
    ok("cargo convoy plan -t aarch64-unknown-linux-gnu.2.36"),
    ok("cargo convoy plan --route zig"),
    ok("cargo convoy plan --json"),
    ok("cargo convoy doctor"),
];

/// Builds of a workspace with `hello` and `hello-c`, and verification of what they built.
const BUILDS: &[Line] = &[
    ok("cargo run --locked -- build --manifest-path tests/fixtures/hello-c/Cargo.toml"),
    ok("cargo convoy build"),
    ok("cargo convoy verify --target linux/arm64 dist/aarch64-unknown-linux-gnu/hello-c"),
    ok("cargo convoy build --locked --json --events events.jsonl > manifest.json"),
    ok("cargo convoy build -p hello --bin hello"),
    ok("cargo convoy build --profile dev --route linux/arm64=zig --locked -- --timings"),
    ok("cargo convoy build -t linux/arm64,windows/amd64"),
    Line {
        text: "cargo convoy build -t linux/arm64,windows/amd64 --smoke",
        code: 0,
        // Debian 12's is too old for today's standard library.
        excuse: Some((4, "this version of Wine has no")),
    },
    ok("cargo convoy build -t aarch64-unknown-linux-gnu.2.28 -t linux/amd64.2.31"),
    ok("cargo convoy build --route linux/arm64=zig"),
    ok(
        "cargo run --release --locked -- build --locked --smoke -t linux/amd64.2.28,linux/arm64.2.28,x86_64-unknown-linux-musl",
    ),
    ok("cargo convoy build -F openssl-vendored"),
    ok("cargo convoy build --no-default-features -F postgres,sqlite,mysql,completions,rustls"),
    ok("cargo convoy verify target/release/hello"),
];

/// Builds for ARMv6. Not all mirrors of rustup have its standard library, so the project builds it from source.
const PIS: &[Line] = &[
    ok("cargo convoy build -t aarch64-unknown-linux-gnu.2.28 -t pi-zero"),
    ok("cargo convoy build -t pi-zero -t pi-4"),
    ok("cargo convoy verify --target linux/arm/v6 dist/pi-zero/hello-c"),
    ok("cargo convoy build -t pi-4 --smoke"),
    ok("cargo convoy build -t pi"),
];

/// A project that uses OpenSSL.
const LIBRARIES: &[Line] = &[
    ok("cargo convoy why openssl"),
    ok("cargo convoy why openssl-sys"),
    ok("cargo convoy why c-compiler"),
    ends(3, "cargo convoy plan -t x86_64-unknown-linux-musl"),
    ends(3, "cargo convoy why openssl -t x86_64-unknown-linux-musl"),
    ok("cargo convoy plan -t linux/arm64"),
    ok("cargo convoy supply update"),
    ok("cargo convoy supply verify"),
    ok("cargo convoy supply pack packages.tar"),
    ok("cargo convoy cache verify"),
];

/// A project that is built in a container.
const CONTAINERS: &[Line] =
    &[ok("cargo convoy plan --dockerfile"), ok("cargo convoy images list"), ok("cargo convoy images clean")];

/// What the gate runs: the line, the file that does it, and how it is written there.
const IN_THE_GATE: &[(&str, &str, &str)] = &[
    ("ci/setup", ".ci/run", "ci/setup && ci/test"),
    ("ci/setup build", "ci/setup", "\"$0\" build"),
    ("ci/test", ".ci/run", "ci/setup && ci/test"),
    ("cargo install --locked --path .", "ci/test", "step cargo install --locked --path ."),
    ("cargo install --locked --path path/to/cargo-convoy", "ci/test", "step cargo install --locked --path ."),
    ("cargo package --locked", "ci/test", "step cargo package --quiet --locked --allow-dirty"),
    ("cargo package --locked --list", "ci/test", "step cargo package --quiet --locked --allow-dirty"),
    ("cargo fmt --check", "ci/test", "step cargo fmt --check"),
    (
        "cargo clippy --locked --all-targets -- -D warnings",
        "ci/test",
        "step cargo clippy --locked --all-targets -- -D warnings",
    ),
    ("ci/lint", "ci/test", "step ci/lint"),
    ("ci/matrix --small", "ci/test", "step ci/matrix --small"),
    ("ci/matrix --libraries --small", "ci/test", "step ci/matrix --libraries --small"),
    ("ci/targets --small", "ci/test", "step ci/targets --small"),
    ("ci/needs-truth --small", "ci/test", "step ci/needs-truth --small"),
    ("cargo test --lib", "ci/test", ALL_TESTS),
    ("cargo test --test plan", "ci/test", ALL_TESTS),
    ("cargo test --test repository", "ci/test", ALL_TESTS),
    ("cargo test --test project", "ci/test", ALL_TESTS),
    ("cargo test --test verify", "ci/test", ALL_TESTS),
    ("cargo test --test build", "ci/test", ALL_TESTS),
    ("cargo test --test sysroots", "ci/test", ALL_TESTS),
    ("cargo test --test containers", "ci/test", ALL_TESTS),
];

const ALL_TESTS: &str = "cargo test --locked --no-fail-fast --lib --bins --tests";

/// What nothing runs, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("ci/fuzz 60", "fuzzing has no end"),
    ("ci/fuzz 600", "fuzzing has no end"),
    ("ci/bench", "it measures, on a quiet machine"),
    ("ci/published", "it fetches the sources of 21 large programs"),
    ("ci/msvc-truth", "it runs the test suites of whole crates twice"),
    ("ci/wine FILE", "the program is the user's"),
    ("ci/wasmtime FILE", "the program is the user's"),
    ("ci/test-bare", "it runs these tests again, in a container"),
    ("cargo test --test build darwin_long -- --ignored", "it takes long"),
    ("git tag --sign --message 'cargo-convoy 1.2.3' v1.2.3", "it makes a release"),
    ("git push origin v1.2.3", "it makes a release"),
    ("git checkout v1.2.3", "it needs a release"),
    ("cargo publish --locked", "it makes a release"),
];

/// Every command line, with the documents that have it.
fn lines() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for document in documents() {
        for line in document.command_lines() {
            found.entry(line).or_default().insert(document.path.to_string());
        }
    }
    let contributing = document("CONTRIBUTING.md");
    for row in contributing.tables("tests | command") {
        for line in quoted(&row[1]) {
            found.entry(line.to_owned()).or_default().insert(contributing.path.to_string());
        }
    }
    found
}

#[test]
fn every_command_line_is_run_or_has_a_reason_not_to_be() {
    let run = [QUICK, PLANS, BUILDS, PIS, LIBRARIES, CONTAINERS].into_iter().flatten().map(|line| line.text);
    let gate = IN_THE_GATE.iter().map(|(line, _, _)| *line);
    let not_run = NOT_RUN.iter().map(|(line, _)| *line);
    let mut listed = BTreeSet::new();
    for line in run.chain(gate).chain(not_run) {
        assert!(listed.insert(line.to_owned()), "`{line}` is listed twice");
    }
    let written = lines();
    let unlisted: Vec<_> = written.iter().filter(|(line, _)| !listed.contains(*line)).collect();
    assert!(unlisted.is_empty(), "in no list of tests/repository/commands.rs: {unlisted:#?}");
    for line in &listed {
        assert!(written.contains_key(line), "no document has the command line `{line}` any more");
    }
    for (line, file, text) in IN_THE_GATE {
        let script = fs_err::read_to_string(root().join(file)).unwrap();
        assert!(script.contains(text), "{file} does not run `{line}`");
        if let Some(name) = line.strip_prefix("cargo test --test ") {
            assert!(root().join("tests").join(name).join("main.rs").exists(), "`{line}`: no such tests");
        }
    }
}

/// Runs command lines of the documents in a project, in this order.
fn run_all(project: &Project, lines: &[Line], on: impl Fn(Convoy) -> Convoy) {
    let bin = project.dir.join(".bin");
    toolbox(&bin, &[("cargo-convoy", Utf8Path::new(env!("CARGO_BIN_EXE_cargo-convoy")))]);
    for Line { text, code, excuse } in lines {
        // What `cargo run` would build and start is the program that was built for this test.
        let line = match text.split_once(" --locked -- ") {
            Some(("cargo run" | "cargo run --release", rest)) => format!("cargo convoy {rest}"),
            _ => (*text).to_owned(),
        };
        let done = on(Convoy::by("sh", &project.dir, ["-euc", &line]).path_first(&bin)).output();
        let excused = excuse.is_some_and(|(code, says)| done.code == Some(code) && done.stderr.contains(says));
        assert!(done.code == Some(*code) || excused, "`{text}` did not end with {code}:\n{done}");
    }
}

#[test]
fn what_needs_rust_only() {
    let project = Project::hello("what_needs_rust_only");
    run_all(&project, QUICK, |convoy| convoy);
}

#[test]
fn plans() {
    // The plans are those of a machine with zig, or with a network.
    require!(Zig);
    let project = Project::hello("plans");
    run_all(&project, PLANS, |convoy| convoy);
}

/// Runs cargo in a project; it must succeed.
fn cargo(project: &Project, args: &[&str]) {
    let output = environment::cargo().args(args).current_dir(&project.dir).output().unwrap();
    assert!(output.status.success(), "cargo {args:?}: {}", Done::from(output));
}

/// A workspace with the programs that the documents build. The features are those of the program that the guide asks
/// for advice about.
fn programs(name: &str) -> Project {
    let project = Project::empty(name)
        .file(
            "Cargo.toml",
            // Not optimised, so that a standard library is built in seconds.
            "[workspace]\nresolver = \"3\"\nmembers = [\"hello\", \"hello-c\"]\n[profile.release]\nopt-level = 0\n",
        )
        .with_own_versions();
    let features = ["openssl-vendored", "postgres", "sqlite", "mysql", "completions", "rustls"];
    let features: String = features.iter().map(|feature| format!("{feature} = []\n")).collect();
    let hello = format!("[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[features]\n{features}");
    project.write("hello/Cargo.toml", &hello);
    project.write("hello/src/main.rs", support::HELLO);
    let fixture = "tests/fixtures/hello-c";
    fs_err::create_dir_all(project.dir.join("tests/fixtures")).unwrap();
    for copy in [fixture, "hello-c"] {
        let copy = project.dir.join(copy);
        fs_err::create_dir_all(&copy).unwrap();
        for file in ["Cargo.toml", "Cargo.lock", "build.rs", "src"] {
            support::run("cp", &["-r", root().join(fixture).join(file).as_str(), copy.as_str()]);
        }
    }
    let member = project.dir.join("hello-c/Cargo.toml");
    let text = fs_err::read_to_string(&member).unwrap();
    fs_err::write(&member, text.replace("[workspace]\n", "")).unwrap();
    // For `--locked`.
    cargo(&project, &["metadata", "--offline", "--format-version=1"]);
    project
}

#[test]
fn builds() {
    require!(
        Zig,
        Target(ARM64),
        Target("armv7-unknown-linux-gnueabihf"),
        Target("x86_64-apple-darwin"),
        Target("aarch64-apple-darwin"),
        Target("x86_64-pc-windows-gnu"),
        Target(MUSL),
        Tool("qemu-aarch64-static"),
        Tool("wine")
    );
    let project = programs("builds");
    cargo(&project, &["build", "--release"]);
    run_all(&project, BUILDS, |convoy| convoy);
}

#[test]
fn builds_for_raspberry_pis() {
    require!(
        Zig,
        RustSource,
        Network,
        Target(ARM64),
        Target("armv7-unknown-linux-gnueabihf"),
        Tool("qemu-aarch64-static")
    );
    let project = programs("pis").file("Convoy.toml", "[target.\"linux/arm/v6\"]\nbuild-std = true\n");
    run_all(&project, PIS, |convoy| convoy);
}

#[test]
fn system_libraries() {
    require!(Zig, Network, Target(ARM64), Target(MUSL), Tool("apt-get"), Tool("aarch64-linux-gnu-gcc"));
    let project = Project::hello("system_libraries").file("Convoy.toml", "targets = [\"linux/arm64\"]\n");
    project.write("Cargo.toml", &(project_text(&project) + "[dependencies]\nopenssl = \"0.10\"\n"));
    // `plan` downloads nothing.
    cargo(&project, &["fetch"]);
    let cache = project.dir.join("cache");
    run_all(&project, LIBRARIES, |convoy| convoy.env("CONVOY_CACHE_DIR", &cache));
}

fn project_text(project: &Project) -> String {
    fs_err::read_to_string(project.dir.join("Cargo.toml")).unwrap()
}

#[test]
fn containers() {
    require!(Target(ARM64));
    let Some(engine) = engine() else { return };
    let project =
        Project::hello("containers").file("Convoy.toml", "targets = [\"linux/arm64\"]\nroutes = [\"container\"]\n");
    run_all(&project, CONTAINERS, |convoy| convoy.env("CONVOY_ENGINE", "docker").on(&engine));
}
