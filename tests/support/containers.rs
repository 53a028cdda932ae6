//! What tests of the container route build: an image of compilers alone, and a program that waits when it is asked to.

use std::process::Stdio;

use camino::Utf8Path;

use super::engine::Engine;
use super::{Project, Running, wait_for};

/// A compiler for two architectures and nothing else: a composed image is ten times as large.
const COMPILERS: &str = "FROM debian:bookworm-slim\nRUN apt-get -qq update \
    && apt-get -qq install -y --no-install-recommends gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
    && rm -rf /var/lib/apt/lists/*\n";

/// The image of compilers, made once on an engine.
pub fn compiler_image(engine: &Engine) -> String {
    let digest = cargo_convoy::util::files::sha256(COMPILERS);
    let name = format!("cargo-convoy-test/compilers:{}", &digest[..12]);
    if engine.try_run(&["image", "inspect", &name]).code != Some(0) {
        engine.base_image("bookworm");
        let context = tempfile::tempdir().unwrap();
        fs_err::write(context.path().join("Dockerfile"), COMPILERS).unwrap();
        engine.run(&["build", "--tag", &name, context.path().to_str().unwrap()]);
    }
    name
}

/// Hands an image to another engine.
pub fn hand_over(image: &str, from: &Engine, to: &Engine) {
    let mut save = from.command().args(["save", image]).stdout(Stdio::piped()).spawn().unwrap();
    let load = to.command().arg("load").stdin(save.stdout.take().unwrap()).stdout(Stdio::null()).status().unwrap();
    assert!(load.success() && save.wait().unwrap().success());
}

/// A build script and a C file. The file `wait` tells the build script what to do first: `yes` is to wait for ten
/// minutes, `fill` to fill the disk, and `no` nothing.
pub fn with_c(project: Project, image: &str) -> Project {
    project
        .manifest("hello", "[build-dependencies]\ncc = \"1\"\n")
        .file("src/answer.c", "int answer(void) { return 42; }\n")
        .file(
            "src/main.rs",
            "unsafe extern \"C\" { fn answer() -> i32; }\nfn main() { println!(\"hello {}\", unsafe { answer() }); }\n",
        )
        .file("build.rs", BUILD_SCRIPT)
        .file("wait", "no")
        .file("Convoy.toml", &format!("[container]\nimage = \"{image}\"\n"))
}

const BUILD_SCRIPT: &str = r#"fn main() {
    println!("cargo:rerun-if-changed=src/answer.c");
    println!("cargo:rerun-if-changed=wait");
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
    let wait = std::fs::read_to_string("wait").unwrap();
    std::fs::write(out.join("begun"), "").unwrap();
    match wait.as_str() {
        "yes" => std::thread::sleep(std::time::Duration::from_secs(600)),
        "fill" => {
            for number in 0.. {
                std::fs::write(out.join(number.to_string()), vec![1; 1 << 20]).unwrap();
            }
        }
        _ => {}
    }
    assert!(std::fs::write("src/new", "").is_err(), "sources are read-only");
    cc::Build::new().file("src/answer.c").compile("answer");
}
"#;

/// Waits until the build script of [`with_c`] runs.
pub fn wait_for_the_build_script(project: &Project, running: &mut Running) {
    wait_for("the build script", || {
        assert!(!running.has_ended(), "the build ended before its build script ran");
        has_file(&project.dir.join("target/convoy"), "begun")
    });
}

fn has_file(dir: &Utf8Path, name: &str) -> bool {
    // Folders come and go meanwhile.
    let Ok(entries) = dir.read_dir_utf8() else { return false };
    entries.flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => has_file(entry.path(), name),
        _ => entry.file_name() == name,
    })
}

/// Ids of the containers of an engine that see a project.
pub fn containers_of(engine: &Engine, project: &Project) -> Vec<String> {
    let filter = format!("volume={}", project.dir);
    engine.run(&["ps", "--all", "--quiet", "--filter", &filter]).lines().map(str::to_owned).collect()
}
