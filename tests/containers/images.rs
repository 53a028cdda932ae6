//! Images: a team's registry, Convoy.lock, what is listed and removed, what people make of their own. A real engine, and a
//! real registry on the loopback interface.

use crate::support::containers::{compiler_image, hand_over, with_c};
use crate::support::engine::{Engine, Registry, engine, registry, second_engine_with_files};
use crate::support::{Convoy, Project, environment, link_toolchain, require, rows, run, tool};
use camino::Utf8PathBuf;
use cargo_convoy::machine::engine::MadeImage;
use cargo_convoy::model::recipe::LABEL;
use cargo_convoy::plan::container::LABEL_PREFIX;
use serde_json::Value;

const AMD64: &str = "x86_64-unknown-linux-gnu";
const ARM64: &str = "aarch64-unknown-linux-gnu";

fn on(engine: &Engine, convoy: Convoy) -> Convoy {
    convoy.env("CONVOY_ENGINE", "docker").on(engine)
}

fn build(project: &Project, engine: &Engine) -> Convoy {
    on(engine, project.build(AMD64).args(["--route", "container", "--profile", "dev"]))
}

/// The image that a plan of a project is built in.
fn planned(project: &Project, engine: &Engine) -> Value {
    let plan = project.convoy(["plan", "--json", "-t", AMD64, "--route", "container"]);
    on(engine, plan).ends(0).json()["cells"][0]["image"].clone()
}

fn made_in_a_container(project: &Project) {
    let manifest = project.manifest_json();
    let row = &rows(&manifest, "artifacts")[AMD64];
    assert_eq!((&row["route"], &row["verified"]), (&"container".into(), &true.into()), "{row:#}");
    assert_eq!(run(project.dist(&format!("{AMD64}/hello")), &[]), "hello 42\n");
}

/// Stands in for an image that convoy composed, which would be ten times as large: its name, its labels, and compilers.
fn compose(engine: &Engine, image: &Value, compilers: &str, more: &str) {
    let recipe = serde_json::to_string(&recipe_of(image)).unwrap();
    let form = "2";
    let quoted = recipe.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
    let dockerfile = format!("FROM {compilers}\n{more}LABEL {LABEL}=\"{quoted}\" {LABEL_PREFIX}.form=\"{form}\"\n");
    let context = tempfile::tempdir().unwrap();
    fs_err::write(context.path().join("Dockerfile"), dockerfile).unwrap();
    let reference = image["reference"].as_str().unwrap();
    engine.run(&["build", "--tag", reference, context.path().to_str().unwrap()]);
}

/// Tells convoy's cache that it composed an image itself.
fn is_convoys_own(engine: &Engine, reference: &str) {
    let id = engine.run(&["image", "inspect", "--format", "{{.Id}}", reference]).trim().to_owned();
    let made = MadeImage { id, references: [reference.to_owned()].into(), ..MadeImage::default() };
    cargo_convoy::machine::engine::remember_made(&environment::convoy_cache(), made);
}

/// The recipe that a plan tells, in the order in which labels hold it.
fn recipe_of(image: &Value) -> cargo_convoy::model::recipe::Recipe {
    serde_json::from_value(image.clone()).unwrap()
}

/// The digest that Convoy.lock has of an image.
fn locked(project: &Project) -> String {
    let text = fs_err::read_to_string(project.dir.join("Convoy.lock")).unwrap();
    let lock: toml::Table = text.parse().unwrap();
    let images = lock["image"].as_array().unwrap();
    assert_eq!(images.len(), 1, "{text}");
    images[0]["digest"].as_str().unwrap_or_else(|| panic!("{text}")).to_owned()
}

/// Publishes a variant of an image under a name; gives its digest.
fn publish(engine: &Engine, from: &str, name: &str, variant: &str) -> String {
    let context = tempfile::tempdir().unwrap();
    fs_err::write(context.path().join("Dockerfile"), format!("FROM {from}\nENV VARIANT={variant}\n")).unwrap();
    engine.run(&["build", "--tag", name, context.path().to_str().unwrap()]);
    engine.run(&["push", name]);
    let told = engine.run(&["image", "inspect", "--format", "{{range .RepoDigests}}{{println .}}{{end}}", name]);
    let repository = name.rsplit_once(':').unwrap().0;
    let own = told.lines().find_map(|line| line.strip_prefix(&format!("{repository}@")));
    own.unwrap_or_else(|| panic!("{told}")).to_owned()
}

/// An engine of the test's own, whose containers reach no network: nothing can be composed there.
fn apart() -> Option<(Engine, crate::support::engine::SecondEngine, String)> {
    let (first, second) = (engine()?, second_engine_with_files()?);
    let image = compiler_image(&first);
    hand_over(&image, &first, &second);
    Some((first, second, image))
}

fn team(registry: &Registry) -> String {
    format!("{}/team", registry.address())
}

#[test]
fn a_teams_registry_gives_an_image_by_its_recipe_and_takes_what_is_published() {
    require!(Tool("docker-registry"));
    let Some((_, engine, compilers)) = apart() else { return };
    let registry = registry();
    let container = format!("[container]\nregistry = \"{}\"\n", team(&registry));
    let project = Project::hello("team").file("Convoy.toml", &container);
    let image = planned(&project, &engine);
    let name = image["reference"].as_str().unwrap();
    assert_eq!(image["present"], false, "{image}");

    // A name and labels are anybody's to write: an image that only looks like convoy's is not taken.
    compose(&engine, &image, &compilers, "ENV FORGED=1\n");
    let forged = format!("evil.example/{}", name.rsplit('/').next().unwrap());
    engine.run(&["tag", name, &forged]);
    assert_eq!(planned(&project, &engine)["present"], false);
    on(&engine, project.convoy(["plan", "-t", AMD64, "--route", "container"])).ends(0).says_not("evil.example");
    build(&project, &engine).arg("--offline").ends(3).says("is not on this machine, and `--offline` is set");
    engine.run(&["rmi", name, &forged]);

    // A member has it and publishes it.
    compose(&engine, &image, &compilers, "");
    is_convoys_own(&engine, name);
    assert_eq!(planned(&project, &engine)["present"], true);
    let remote = format!("{}/{}", team(&registry), name.rsplit('/').next().unwrap());
    let push = || project.convoy(["images", "push", "-t", AMD64, "--route", "container"]);
    on(&engine, push()).ends(0).says(&format!("pushing {remote}"));
    // The lock names the very image that is there.
    let repository = remote.rsplit_once(':').unwrap().0;
    let published = locked(&project);
    assert!(published.starts_with(&format!("{repository}@sha256:")), "{published}");

    // Another has not, and takes it instead of building it, which could not work here.
    engine.run(&["rmi", name, &remote]);
    let done = build(&project, &engine).ends(0);
    done.says(&published).says_not("built once");
    made_in_a_container(&project);
    assert_eq!(planned(&project, &engine)["present"], true);
    assert_eq!(locked(&project), published);

    // Who may push moves its name there; a machine without it takes what is locked.
    compose(&engine, &image, &compilers, "ENV VARIANT=another\n");
    engine.run(&["tag", name, &remote]);
    engine.run(&["push", &remote]);
    engine.run(&["rmi", name, &remote]);
    let elsewhere = project.dir.join("cache");
    build(&project, &engine).arg("--locked").env("CONVOY_CACHE_DIR", &elsewhere).ends(0).says(&published);
    assert_eq!(engine.run(&["run", "--rm", "--network", "none", name, "sh", "-c", "echo $VARIANT"]), "\n");
    // What this registry gave is not for a project that does not name it.
    let other = Project::hello("no-team");
    let present = |project: &Project| {
        let plan = project.convoy(["plan", "--json", "-t", AMD64, "--route", "container"]);
        let plan = on(&engine, plan.env("CONVOY_CACHE_DIR", &elsewhere)).ends(0).json();
        plan["cells"][0]["image"]["present"].clone()
    };
    assert_eq!([present(&project), present(&other)], [true, false]);

    // It is listed, and removed only when that is meant.
    let list = || on(&engine, project.convoy(["images", "list", "--json"])).ends(0).json();
    let told = list();
    assert_eq!(told["images"][0]["made"], "packages", "{told:#}");
    assert_eq!(told["images"].as_array().unwrap().len(), 1, "{told:#}");
    let schema = project.convoy(["schema", "images"]).ends(0).json();
    assert_eq!(crate::support::schema::faults(&schema, &told), Vec::<String>::new());
    let dry = on(&engine, project.convoy(["images", "clean"])).ends(0);
    dry.says("nothing was removed; pass `--force`");
    assert_eq!(list()["images"].as_array().unwrap().len(), 1);
    on(&engine, project.convoy(["images", "clean", "--force"])).ends(0);
    assert_eq!(list()["images"].as_array().unwrap().len(), 0);
    assert_eq!(engine.try_run(&["image", "inspect", &compilers]).code, Some(0), "what is not convoy's stays");

    // What somebody else put there under the name is not taken, and here nothing can be built in its place.
    let mut other = image.clone();
    other["reference"] = remote.clone().into();
    other["packages"] = serde_json::json!(["gcc"]);
    compose(&engine, &other, &compilers, "");
    engine.run(&["push", &remote]);
    engine.run(&["rmi", &remote]);
    // Without a lock only the name tells.
    fs_err::remove_file(project.dir.join("Convoy.lock")).unwrap();
    let done = build(&project, &engine).ends(5);
    done.says(&remote).says("built from a different recipe").says("Failed to fetch");
}

#[test]
fn an_image_that_cannot_be_asked_fails_its_own_targets_only() {
    let Some((_, engine, compilers)) = apart() else { return };
    let project = Project::hello("no-dpkg");
    let image = planned(&project, &engine);
    compose(&engine, &image, &compilers, "RUN rm -f /usr/bin/dpkg-query\n");
    is_convoys_own(&engine, image["reference"].as_str().unwrap());
    let musl = "x86_64-unknown-linux-musl";
    let route = format!("{AMD64}=container");
    let build = project.build(&format!("{AMD64},{musl}")).args(["--route", &route, "--profile", "dev"]);
    let done = on(&engine, build).ends(5);
    done.says("could not list the package versions in an image").says(&format!("error[{AMD64}]"));
    assert_eq!(crate::support::ids(&project.manifest_json(), "artifacts"), [musl]);
}

#[test]
fn a_name_that_moves_while_a_run_goes_on_changes_nothing() {
    let Some(engine) = engine() else { return };
    let compilers = compiler_image(&engine);
    let name = "cargo-convoy-test/moving:1";
    engine.run(&["tag", &compilers, name]);
    let project = with_c(Project::empty("moving"), name);
    // The engine's own command line, which moves the name to an image without anything as soon as it was looked into.
    project.write("nothing/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    engine.run(&["build", "--tag", "cargo-convoy-test/nothing:1", project.dir.join("nothing").as_str()]);
    let docker = tool("docker");
    project.script(
        "bin/docker",
        &format!(
            "#!/bin/sh\n'{docker}' \"$@\"; code=$?\n\
             case \"$1\" in run) '{docker}' tag cargo-convoy-test/nothing:1 {name};; esac\nexit $code\n"
        ),
    );
    let cache = project.dir.join("cache");
    build(&project, &engine).path_first(&project.dir.join("bin")).env("CONVOY_CACHE_DIR", &cache).ends(0);
    made_in_a_container(&project);
    engine.run(&["rmi", name]);
}

#[test]
fn a_named_image_stays_the_one_that_convoy_lock_names_until_it_is_moved_on() {
    require!(Tool("docker-registry"));
    let Some((_, engine, compilers)) = apart() else { return };
    let registry = registry();
    let name = format!("{}/compilers:1", team(&registry));
    let first = publish(&engine, &compilers, &name, "one");
    let project = with_c(Project::empty("locked"), &name);
    engine.run(&["rmi", &name]);
    build(&project, &engine).ends(0).says("(downloading)");
    made_in_a_container(&project);
    assert_eq!(locked(&project), first);
    build(&project, &engine).arg("--locked").ends(0);

    // Its name moves on; a machine without it takes what is locked.
    let second = publish(&engine, &compilers, &name, "two");
    assert_ne!(first, second);
    engine.run(&["rmi", &name]);
    build(&project, &engine).ends(0);
    let variant = |engine: &Engine| engine.run(&["run", "--rm", "--network", "none", &name, "printenv", "VARIANT"]);
    assert_eq!(variant(&engine), "one\n");
    assert_eq!(locked(&project), first);

    // Until somebody wants the new one.
    let update = project.convoy(["images", "update", "-t", AMD64, "--route", "container"]);
    on(&engine, update).ends(0).says("updated in `Convoy.lock`");
    assert_eq!(locked(&project), second);
    assert_eq!(variant(&engine), "two\n");
    build(&project, &engine).arg("--locked").ends(0);

    // What is here is not what is locked.
    engine.run(&["rmi", &name]);
    publish(&engine, &compilers, &name, "three");
    let done = build(&project, &engine).arg("--locked").output();
    assert_ne!(done.code, Some(0), "{done}");
    done.says("Convoy.lock");
    assert_eq!(locked(&project), second);
}

#[test]
fn a_dockerfile_and_lines_of_cross_users_make_one_image_for_a_target() {
    let Some(engine) = engine() else { return };
    let compilers = compiler_image(&engine);
    let project = with_c(Project::empty("cross-users"), "unused");
    fs_err::remove_file(project.dir.join("Convoy.toml")).unwrap();
    project.write(
        "Cross.toml",
        "[build]\npre-build = [\"echo $CROSS_TARGET > /target-of-the-line\"]\n[build.dockerfile]\nfile = \"ci/Dockerfile\"\ncontext = \"ci\"\n\
         [build.dockerfile.build-args]\nOWN = \"mine\"\n[build.env]\npassthrough = [\"ANSWER=43\"]\n",
    );
    project.write(
        "ci/Dockerfile",
        &format!(
            "FROM {compilers}\nARG CROSS_DEB_ARCH\nARG OWN\nCOPY more /more\nRUN echo $CROSS_DEB_ARCH $OWN >/told\n"
        ),
    );
    project.write("ci/more", "copied");
    project.write(
        "build.rs",
        "fn main() {\n    let read = |path: &str| std::fs::read_to_string(path).unwrap().trim().to_owned();\n    \
         println!(\"cargo:rustc-env=SEEN={}, {}, {}, {}\", read(\"/told\"), read(\"/target-of-the-line\"), read(\"/more\"), \
         std::env::var(\"ANSWER\").unwrap());\n}\n",
    );
    project.write("src/main.rs", "fn main() { println!(\"{}\", env!(\"SEEN\")); }\n");
    let both = format!("{AMD64},{ARM64}");
    let convoy = project.build(&both).args(["--route", "container", "--profile", "dev"]);
    on(&engine, convoy).ends(0);
    assert_eq!(run(project.dist(&format!("{AMD64}/hello")), &[]), format!("amd64 mine, {AMD64}, copied, 43\n"));
    let arm = project.dist(&format!("{ARM64}/hello"));
    let told = run("qemu-aarch64-static", &["-L", "/usr/aarch64-linux-gnu", arm.as_str()]);
    assert_eq!(told, format!("arm64 mine, {ARM64}, copied, 43\n"));
    // A changed Dockerfile is another image.
    project.write("ci/Dockerfile", &format!("FROM {compilers}\nRUN echo new >/told && cp /told /more\n"));
    on(&engine, project.build(AMD64).args(["--route", "container", "--profile", "dev"])).ends(0);
    assert_eq!(run(project.dist(&format!("{AMD64}/hello")), &[]), format!("new, {AMD64}, new, 43\n"));
}

#[test]
fn the_recipe_that_is_printed_is_the_one_that_is_built() {
    let Some(engine) = engine() else { return };
    let project = Project::hello("dockerfile");
    let image = planned(&project, &engine);
    let wanted = on(&engine, project.convoy(["plan", "--dockerfile", "-t", AMD64, "--route", "container"])).ends(0);
    // An image that is here may have more, but never less.
    let printed = wanted
        .stdout
        .lines()
        .filter(|line| line.starts_with("        "))
        .map(|line| line.trim_end_matches('\\').trim());
    let packages: Vec<&str> = printed.collect();
    assert!(packages.len() > 20 && wanted.stdout.contains("\nFROM debian:bookworm-slim\n"), "{wanted}");
    let of_image = image["packages"].as_array().unwrap();
    assert!(packages.iter().all(|package| of_image.iter().any(|own| own == package)), "{image:#} {wanted}");
}

#[test]
fn an_installed_cross_builds_what_it_is_asked_to() {
    let Some(engine) = engine() else { return };
    if which::which("cross").is_err() {
        panic!("`cross` is needed by this test and is not on PATH: ci/setup installs it");
    }
    let compilers = compiler_image(&engine);
    let project = with_c(Project::empty("cross"), "unused");
    fs_err::remove_file(project.dir.join("Convoy.toml")).unwrap();
    // cross mounts all of the project, and lets build scripts write there.
    let script = fs_err::read_to_string(project.dir.join("build.rs")).unwrap();
    let lines = script.lines().filter(|line| !line.contains("read-only"));
    project.write("build.rs", &lines.collect::<Vec<_>>().join("\n"));
    project.write(
        "Cross.toml",
        &format!(
            "[target.{ARM64}]\nimage = \"{compilers}\"\n[target.{ARM64}.env]\n\
             passthrough = [\"CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc\"]\n"
        ),
    );
    let target = format!("{ARM64}.2.36");
    // cross must change nothing of this machine's toolchains, whichever is active.
    let guard = project.dir.join("guard");
    let script = "#!/bin/sh\ncase \"$*\" in\n*update*|*toolchain*add*|*toolchain*install*) echo \"guarded: $*\" >&2; exit 9 ;;\nesac\n";
    project.script("guard/rustup", &format!("{script}exec {} \"$@\"\n", tool("rustup")));
    // A folder of rustup's with this machine's toolchain, which has the name of its channel there.
    let sysroot = Utf8PathBuf::from(run("rustc", &["--print", "sysroot"]).trim());
    let rustc = run("rustc", &["-vV"]);
    let [host, version] =
        ["host: ", "release: "].map(|name| rustc.lines().find_map(|line| line.strip_prefix(name)).unwrap());
    let toolchains = project.dir.join("rustup/toolchains");
    let channel = format!("stable-{host}");
    link_toolchain(&sysroot, &toolchains.join(&channel));
    let build = || {
        let convoy = project.build(&target).args(["--route", "cross", "--profile", "dev"]).path_first(&guard);
        let convoy = convoy.env("CONVOY_ENGINE", "docker").env("RUSTUP_HOME", project.dir.join("rustup"));
        // The cargo that tests are run by is the other folder's.
        convoy.env("RUSTUP_TOOLCHAIN", "stable").env("RUSTUP_AUTO_INSTALL", "0").env_remove("CARGO")
    };
    // cross would bring it up to date, unless it goes by its version.
    build().ends(3).says("would update this toolchain");
    fs_err::os::unix::fs::symlink(&channel, toolchains.join(format!("{version}-{host}"))).unwrap();
    let done = build().ends(0);
    done.says_not("guarded:");
    let manifest = project.manifest_json();
    let row = &rows(&manifest, "artifacts")[&target];
    assert_eq!((&row["route"], &row["verified"]), (&"cross".into(), &true.into()), "{row:#}");
    let arm = project.dist(&format!("{target}/hello"));
    assert_eq!(run("qemu-aarch64-static", &["-L", "/usr/aarch64-linux-gnu", arm.as_str()]), "hello 42\n");
}

/// Compilers, and a Rust toolchain of its own at a place that this machine does not have.
fn image_with_rust(engine: &Engine) -> String {
    let sysroot = Utf8PathBuf::from(run("rustc", &["--print", "sysroot"]).trim());
    let compilers = compiler_image(engine);
    let digest = cargo_convoy::util::files::sha256(format!("{compilers} {}", run("rustc", &["-vV"])));
    let name = format!("cargo-convoy-test/rust:{}", &digest[..12]);
    if engine.try_run(&["image", "inspect", &name]).code == Some(0) {
        return name;
    }
    let dockerfile = format!("FROM {compilers}\nADD rust.tar /opt/rust\nENV PATH=/opt/rust/bin:$PATH\n");
    let context = tempfile::tempdir().unwrap();
    let place = context.path().to_str().unwrap();
    let std = |triple: &str| format!("lib/rustlib/{triple}");
    let (own, arm) = (std(AMD64), std(ARM64));
    let tar = format!("{place}/rust.tar");
    let mut words = vec!["-C", sysroot.as_str(), "-cf", &tar, "bin/cargo", "bin/rustc", &own, &arm];
    let drivers: Vec<String> = fs_err::read_dir(sysroot.join("lib"))
        .unwrap()
        .map(|entry| format!("lib/{}", entry.unwrap().file_name().to_str().unwrap()))
        .filter(|name| name.contains(".so"))
        .collect();
    words.extend(drivers.iter().map(String::as_str));
    run("tar", &words);
    fs_err::write(context.path().join("Dockerfile"), dockerfile).unwrap();
    engine.run(&["build", "--tag", &name, place]);
    name
}

#[test]
fn rust_may_come_with_the_image() {
    let Some(engine) = engine() else { return };
    let image = image_with_rust(&engine);
    let sysroot = run("rustc", &["--print", "sysroot"]);
    let project = with_c(Project::empty("rust-inside"), &image);
    project.write("Convoy.toml", &format!("[container]\nimage = \"{image}\"\ntoolchain = \"image\"\n"));
    let script = fs_err::read_to_string(project.dir.join("build.rs")).unwrap();
    let looks = format!(
        "fn main() {{\n    assert!(std::env::var(\"RUSTC\").unwrap() == \"rustc\" && !std::path::Path::new({:?}).exists());",
        sysroot.trim()
    );
    project.write("build.rs", &script.replacen("fn main() {", &looks, 1));
    let both = format!("{AMD64}.2.36,{ARM64}.2.36");
    on(&engine, project.build(&both).args(["--route", "container", "--profile", "dev"])).ends(0);
    assert_eq!(run(project.dist(&format!("{AMD64}.2.36/hello")), &[]), "hello 42\n");
    let manifest = project.manifest_json();
    assert_eq!(manifest["artifacts"].as_array().unwrap().len(), 2, "{manifest:#}");
}
