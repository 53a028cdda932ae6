//! What a container sees of this machine, and what it may do.

use super::helpers::{AMD64, CargoHome, build, says_hello};
use crate::support::containers::{compiler_image, containers_of, with_c};
use crate::support::crates::crate_registry;
use crate::support::engine::engine;
use crate::support::{Project, run};

#[test]
fn a_registrys_token_is_not_seen_inside() {
    let Some(engine) = engine() else { return };
    let (first, second) = ("Bearer-hunter", format!("two-{}", std::process::id()));
    let token = format!("{first}{second}");
    let registry = crate_registry("private-answer", "pub fn answer() -> i32 { 42 }\n", &token);
    let project = with_c(Project::empty("token"), &compiler_image(&engine));
    let index = registry.index();
    project.write(
        "Cargo.toml",
        "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\n\
         private-answer = { version = \"0.1\", registry = \"private\" }\n[workspace]\n",
    );
    project.write("src/main.rs", "fn main() { println!(\"hello {}\", private_answer::answer()); }\n");
    // Looks for the token wherever it could be: the environment of all processes, cargo's folder, the project's own.
    project.write("build.rs", &LOOKS_FOR_IT.replace("FIRST", first).replace("SECOND", &second));
    // In every place where people put it.
    project.write(".cargo/config.toml", &format!("[registries.private]\nindex = \"{index}\"\ntoken = \"{token}\"\n"));
    project.write(".cargo/credentials.toml", &format!("[registries.private]\ntoken = \"{token}\"\n"));
    let outside = Project::empty("token-home");
    let home = CargoHome::new(&outside, "home");
    // cargo's index and crates of this registry go to a folder that is thrown away.
    fs_err::remove_file(home.dir.join("registry")).unwrap();
    let own = home.dir.join("config.toml");
    let providers = "[registry]\nglobal-credential-providers = [\"cargo:token\"]\n";
    fs_err::write(&own, format!("{}{providers}", fs_err::read_to_string(&own).unwrap_or_default())).unwrap();
    fs_err::write(home.dir.join("credentials.toml"), format!("[registries.private]\ntoken = \"{token}\"\n")).unwrap();
    let build = || {
        build(&project)
            .env("CARGO_HOME", &home.dir)
            .env("CARGO_REGISTRIES_PRIVATE_TOKEN", &token)
            .env("FROM_OUTSIDE", &token)
    };
    build().ends(0);
    says_hello(&project);
    assert!(registry.served().iter().any(|path| path.ends_with("/download")), "{registry:?}");
    // The same build script finds it where it is handed in.
    project.write(
        "Convoy.toml",
        &format!("[container]\nimage = \"{}\"\npassthrough = [\"FROM_OUTSIDE\"]\n", compiler_image(&engine)),
    );
    build().ends(1).says("the token is in");
}

const LOOKS_FOR_IT: &str = r##"use std::path::Path;
fn main() {
    let token = ["FIRST", "SECOND"].concat();
    let holds = |text: &[u8]| text.windows(token.len()).any(|part| part == token.as_bytes());
    let mut read = 0;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["environ", "cmdline"] {
            let Ok(text) = std::fs::read(process.path().join(file)) else { continue };
            read += 1;
            assert!(!holds(&text), "the token is in {:?}", process.path().join(file));
        }
    }
    assert!(read > 2, "processes are seen");
    let home = std::env::var_os("CARGO_HOME").unwrap();
    let mut open = vec![Path::new(&home).to_owned(), std::env::current_dir().unwrap(), "/tmp".into(), "/run".into()];
    let mut files = 0;
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                // What was built holds parts of it only.
                if path.file_name().is_none_or(|name| name != "target" && name != "dist") { open.push(path); }
            } else if let Ok(text) = std::fs::read(&path) {
                files += 1;
                assert!(!holds(&text), "the token is in {path:?}");
            }
        }
    }
    assert!(files > 5, "files are seen");
}
"##;

#[test]
fn a_container_may_do_only_what_a_build_must() {
    let Some(engine) = engine() else { return };
    let image = compiler_image(&engine);
    let project = with_c(Project::empty("confined"), &image);
    project.write("build.rs", LOOKS_AROUND);
    project.write("wanted", "lo no no");
    build(&project).ends(0);
    let more = "network = true\nmemory = \"768m\"\ncpus = \"0.5\"\n";
    project.write("Convoy.toml", &format!("[container]\nimage = \"{image}\"\n{more}"));
    project.write("wanted", "more 805306368 50000");
    build(&project).ends(0);
    says_hello(&project);
}

const LOOKS_AROUND: &str = r##"use std::fs;
fn main() {
    println!("cargo:rerun-if-changed=wanted");
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!((field("CapEff:").as_str(), field("NoNewPrivs:").as_str()), ("0000000000000000", "1"));
    let home = std::env::var("CARGO_HOME").unwrap();
    let here = std::env::current_dir().unwrap().to_str().unwrap().to_owned();
    for place in [&here, &format!("{here}/src"), &home, &format!("{home}/registry")] {
        assert!(fs::write(format!("{place}/new"), "").is_err(), "{place} can be written to");
    }
    let mut names: Vec<_> = fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let interfaces = if names == ["lo"] { "lo" } else { "more" };
    // The older control groups, or the newer.
    let read = |paths: [&str; 2]| paths.into_iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let memory = read(["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"]);
    let memory = memory.trim().parse::<u64>().ok().filter(|bytes| *bytes < 1 << 40);
    let cpus = read(["/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu.max"]);
    let cpus = cpus.split_whitespace().next().and_then(|quota| quota.parse::<u64>().ok());
    let told = |limit: Option<u64>| limit.map_or("no".to_owned(), |limit| limit.to_string());
    assert_eq!(format!("{interfaces} {} {}", told(memory), told(cpus)), fs::read_to_string("wanted").unwrap());
    cc::Build::new().file("src/answer.c").compile("answer");
}
"##;

/// Says all variables, and all files of the project in which the secret is seen.
const PRIES: &str = r#"use std::path::Path;
fn look(dir: &Path, found: &mut String) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            look(&path, found);
        } else if std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&["hunter", "2"].concat())) {
            found.push_str(&format!("file {}\n", path.display()));
        }
    }
}
fn main() {
    // Naming them is all that it took.
    if std::env::var("CARGO_REGISTRY_TOKEN").is_ok() || std::env::var("AWS_SECRET_ACCESS_KEY").is_ok() {
        println!("cargo:rustc-link-lib=z");
    }
    let mut found: String = std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect();
    look(Path::new("."), &mut found);
    found.push_str(&format!("repository {}", std::fs::read_to_string(".git/config").unwrap()));
    std::fs::write(Path::new(&std::env::var_os("OUT_DIR").unwrap()).join("found"), found).unwrap();
}
"#;

/// The only file of a name in a project's lanes.
fn in_lane(project: &Project, name: &str) -> String {
    let found = run("find", &[project.dir.join("target/convoy").as_str(), "-name", name, "-type", "f"]);
    fs_err::read_to_string(found.trim()).unwrap()
}

#[test]
fn a_build_script_that_pries_finds_no_secret() {
    let Some(engine) = engine() else { return };
    let config = format!("[container]\nimage = \"{}\"\npassthrough = [\"HANDED_IN\"]\n", compiler_image(&engine));
    let repository =
        "[core]\n\trepositoryformatversion = 0\n[http \"https://h/\"]\n\textraheader = AUTHORIZATION: hunter2\n";
    let project = Project::hello("pries")
        .file("build.rs", PRIES)
        .file("Convoy.toml", &config)
        .file(".git/config", repository)
        .file(".env", "A=hunter2\n")
        .file("tools/.cargo/credentials.toml", "[registry]\ntoken = \"hunter2\"\n")
        .file("target/debug/other", "hunter2")
        .file("target/convoy/tools/other-lane/left", "hunter2");
    let done = build(&project)
        .env("CARGO_REGISTRY_TOKEN", "hunter2")
        .env("AWS_SECRET_ACCESS_KEY", "hunter2")
        .env("HANDED_IN", "the-users-word")
        .env("LIBGIT2_NO_VENDOR", "1")
        .env("OPENSSL_DIR", "/opt/hunter2")
        .env("CARGO_REGISTRIES_TEAM_INDEX", "sparse+https://hunter2@team.example/")
        .arg("-v")
        .ends(0);
    done.says("variables passed to the container: CARGO_REGISTRIES_TEAM_INDEX, HANDED_IN, LIBGIT2_NO_VENDOR");
    let found = in_lane(&project, "found");
    assert!(!found.contains("hunter2") && !found.contains("file "), "{found}");
    assert!(found.contains("HANDED_IN=the-users-word\n") && found.contains("LIBGIT2_NO_VENDOR=1\n"), "{found}");
    assert!(found.contains("repositoryformatversion = 0"), "{found}");
    // Nor does what was handed in stay where another lane, or a cache of the target folder, has it.
    let tools = project.dir.join("target/convoy/tools");
    let left = std::process::Command::new("grep").args(["-r", "the-users-word", tools.as_str()]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    // What a build needs all the same is named.
    let env = project.dir.join(".env");
    project.write("Convoy.toml", &format!("{config}volumes = [\"{env}:{env}:ro\"]\n"));
    build(&project).ends(0);
    assert!(in_lane(&project, "found").contains("file ./.env\n"));
}

/// Writes a message of cargo's own that names a program outside, and gives the binary rights in the background.
const FORGES: &str = r##"use std::os::unix::process::parent_id;
use std::process::{Command, Stdio};
fn main() {
    let var = |name: &str| std::env::var(name).unwrap();
    let out = std::path::PathBuf::from(var("OUT_DIR"));
    let target = out.ancestors().nth(4).unwrap().display().to_string();
    let (dir, exe) = (var("CARGO_MANIFEST_DIR"), format!("{target}/../../../../outside/hello"));
    let kinds = r#""kind":["bin"],"crate_types":["bin"],"name":"hello","edition":"2024","doc":true,"doctest":false,"test":true"#;
    let profile = r#"{"opt_level":"0","debuginfo":0,"debug_assertions":true,"overflow_checks":true,"test":false}"#;
    let line = format!(
        "{{\"reason\":\"compiler-artifact\",\"package_id\":\"path+file://{dir}#hello@0.1.0\",\"manifest_path\":\"{dir}/Cargo.toml\",\
         \"target\":{{{kinds},\"src_path\":\"{dir}/src/main.rs\"}},\"profile\":{profile},\"features\":[],\
         \"filenames\":[\"{exe}\"],\"executable\":\"{exe}\",\"fresh\":false}}\n"
    );
    std::fs::write(format!("/proc/{}/fd/1", parent_id()), line).unwrap();
    let chmod = format!("while :; do chmod 6755 {target}/debug/deps/hello-*; sleep 0.01; done");
    let mut setsid = Command::new("setsid");
    setsid.args(["sh", "-c", &chmod]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    setsid.spawn().unwrap();
}
"##;

#[test]
fn a_build_script_neither_chooses_what_is_published_nor_gives_it_rights() {
    let Some(engine) = engine() else { return };
    let project = Project::hello("forges")
        .file("build.rs", FORGES)
        .file("Convoy.toml", &format!("[container]\nimage = \"{}\"\n", compiler_image(&engine)));
    // A right program for the target, which is none of this package's.
    let other =
        Project::empty("forged").manifest("hello", "").file("src/main.rs", "fn main() { println!(\"private\"); }\n");
    other.build(AMD64).args(["--profile", "dev"]).ends(0);
    project.write("outside/note", "");
    fs_err::copy(other.dist(&format!("{AMD64}/hello")), project.dir.join("outside/hello")).unwrap();
    build(&project).ends(0);
    says_hello(&project);
    let set = run("find", &[project.dir.as_str(), "-type", "f", "-perm", "/6000"]);
    assert_eq!(set, "", "files that give the caller's rights");
}

#[test]
fn what_a_container_built_is_started_in_one() {
    let Some(engine) = engine() else { return };
    let project = Project::empty("smoke");
    let main = format!(
        "fn main() {{\n    let seen = std::path::Path::new(\"{}/Cargo.toml\").exists();\n    \
         if seen || std::env::var_os(\"FROM_OUTSIDE\").is_some() {{\n        std::process::abort();\n    }}\n}}\n",
        project.dir
    );
    let project = project
        .manifest("hello", "")
        .file("src/main.rs", &main)
        .file("Convoy.toml", &format!("[container]\nimage = \"{}\"\n", compiler_image(&engine)));
    build(&project).arg("--smoke").env("FROM_OUTSIDE", "x").ends(0).says("started, exit code 0");
    assert_eq!(containers_of(&engine, &project), Vec::<String>::new());
    // A signal is told from a code inside, too.
    project.write("src/main.rs", "fn main() { std::process::abort(); }\n");
    build(&project).arg("--smoke").ends(4).says("killed by signal 6");
}
