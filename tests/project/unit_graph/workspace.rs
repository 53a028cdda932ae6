//! A workspace of path dependencies, with what real programs seldom have all at once.

use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::model::request::{Features, Selection};

use super::{Case, TARGETS, cargo};
use crate::support::Project;

fn unusual_workspace(name: &str, resolver: &str) -> Utf8PathBuf {
    // cargo takes path dependencies below the workspace's folder for members.
    let place = |name: &str| {
        let member = ["app", "tool", "plain", "macro-and-bin"].contains(&name);
        if member { format!("workspace/{name}") } else { format!("elsewhere/{name}") }
    };
    let package = |project: Project, name: &str, more: &str| {
        let text = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{more}");
        project.file(&format!("{}/Cargo.toml", place(name)), &text)
    };
    let library = |project: Project, name: &str, more: &str| {
        package(project, name, more).file(&format!("{}/src/lib.rs", place(name)), "")
    };
    const MAIN: &str = "fn main() {}";
    let mut project = Project::empty(name).file(
        "workspace/Cargo.toml",
        &format!(
            "[workspace]\nmembers = [\"app\", \"tool\", \"plain\", \"macro-and-bin\"]\n\
             default-members = [\"app\", \"plain\"]\nresolver = \"{resolver}\"\n"
        ),
    );
    project = package(
        project,
        "app",
        r#"
        [features]
        default = ["weak"]
        weak = ["optional?/extra"]
        strong = ["optional/extra"]
        # The name of an optional dependency, and not that dependency.
        shadow = ["leaf/by-shadow"]
        slash = ["shadow/extra"]
        cycle-a = ["cycle-b"]
        cycle-b = ["cycle-a", "leaf/by-cycle"]
        needed = []
        [dependencies]
        leaf = { path = "../../elsewhere/leaf", features = ["normal"] }
        optional = { path = "../../elsewhere/optional", optional = true }
        shadow = { path = "../../elsewhere/shadow", optional = true }
        makro = { path = "../../elsewhere/makro", features = ["loud"] }
        plain = { path = "../plain" }
        renamed = { path = "../../elsewhere/other-name", package = "other-name" }
        bin-only = { path = "../../elsewhere/bin-only" }
        [build-dependencies]
        leaf = { path = "../../elsewhere/leaf", features = ["build"] }
        at-build = { path = "../../elsewhere/at-build" }
        [dev-dependencies]
        leaf = { path = "../../elsewhere/leaf", features = ["dev"] }
        only-dev = { path = "../../elsewhere/only-dev" }
        [target.'cfg(windows)'.dependencies]
        for-windows = { path = "../../elsewhere/for-windows" }
        [target.'cfg(all(unix, not(target_os = "macos")))'.dependencies]
        for-linux = { path = "../../elsewhere/for-linux" }
        [target.'cfg(windows)'.build-dependencies]
        for-macos = { path = "../../elsewhere/for-macos" }
        [target.aarch64-apple-darwin.dependencies]
        for-macos = { path = "../../elsewhere/for-macos", features = ["named"] }
        [target.'cfg(target_pointer_width = "32")'.dependencies]
        leaf = { path = "../../elsewhere/leaf", features = ["narrow"] }
        [[bin]]
        name = "app"
        path = "src/main.rs"
        [[bin]]
        name = "extra"
        path = "src/main.rs"
        required-features = ["needed"]
        "#,
    );
    project = project.file("workspace/app/src/main.rs", MAIN).file("workspace/app/build.rs", MAIN);
    // A member's build-dependencies without a build script.
    let tool = "[dependencies]\nleaf = { path = \"../../elsewhere/leaf\", features = [\"tool\"] }\n\
        shadow = { path = \"../../elsewhere/shadow\" }\n[build-dependencies]\nat-build = { path = \"../../elsewhere/at-build\", features = [\"unused\"] }\n";
    project = package(project, "tool", tool).file("workspace/tool/src/main.rs", MAIN);
    // A member without a bin, whose features count nonetheless.
    let plain = "[dependencies]\nleaf = { path = \"../../elsewhere/leaf\", features = [\"plain\"] }\n";
    project = library(project, "plain", plain);
    let both =
        "[lib]\nproc-macro = true\n[dependencies]\nleaf = { path = \"../../elsewhere/leaf\", features = [\"both\"] }\n";
    project = library(project, "macro-and-bin", both).file("workspace/macro-and-bin/src/main.rs", MAIN);

    let names = ["normal", "build", "dev", "tool", "plain", "both", "narrow", "by-shadow", "by-cycle", "macro", "user"];
    let features: String = names.map(|name| format!("{name} = []\n")).concat();
    project = library(project, "leaf", &format!("[features]\n{features}")).file("elsewhere/leaf/build.rs", MAIN);
    project = library(project, "optional", "[features]\nextra = []\n");
    project = library(project, "shadow", "[features]\nextra = []\n");
    let makro = "[lib]\nproc-macro = true\n[features]\nloud = [\"leaf/macro\"]\n\
        [dependencies]\nleaf = { path = \"../leaf\" }\nfor-macos = { path = \"../for-macos\", optional = true }\n";
    project = library(project, "makro", makro);
    project = library(project, "other-name", "");
    project = package(project, "bin-only", "[dependencies]\nonly-dev = { path = \"../only-dev\" }\n")
        .file("elsewhere/bin-only/src/main.rs", MAIN);
    let at_build = "[features]\nunused = []\n[build-dependencies]\nleaf = { path = \"../leaf\" }\n\
        [dependencies]\noptional = { path = \"../optional\" }\n";
    project = library(project, "at-build", at_build).file("elsewhere/at-build/build.rs", MAIN);
    project = library(project, "only-dev", "");
    project = library(project, "for-windows", "");
    project = library(project, "for-linux", "[dependencies]\nmakro = { path = \"../makro\" }\n");
    project = library(project, "for-macos", "[features]\nnamed = []\n");
    cargo(&project.dir.join("workspace/Cargo.toml"), &["generate-lockfile", "--offline"].map(str::to_owned)).unwrap();
    project.dir.join("workspace")
}

/// Every way to choose members and features.
fn selections(dir: &Utf8Path) -> Vec<Case> {
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let case = |member: &'static str, packages: &[&str], bins: &[&str], features: &[&str]| {
        let mut case = Case::new(dir);
        case.member = member;
        case.selection.packages = words(packages);
        case.selection.bins = words(bins);
        case.selection.features.list = words(features);
        case
    };
    let mut cases = vec![
        case("", &[], &[], &[]),
        case("", &["app"], &[], &[]),
        case("", &["tool"], &[], &[]),
        case("", &["macro-and-bin"], &[], &[]),
        case("", &["app", "tool"], &[], &[]),
        case("", &["app", "tool"], &["tool"], &[]),
        case("app", &[], &[], &["strong"]),
        case("app", &[], &[], &["shadow"]),
        case("app", &[], &[], &["slash"]),
        case("app", &[], &[], &["cycle-a"]),
        case("app", &[], &["extra"], &["needed"]),
        case("app", &[], &[], &["optional"]),
        case("app", &[], &[], &["leaf/user"]),
        case("app", &[], &[], &["optional/extra"]),
        case("app", &[], &[], &["shadow/extra"]),
        case("app", &[], &[], &["makro/for-macos"]),
        case("tool", &[], &[], &[]),
    ];
    let flags = |change: fn(&mut Selection)| {
        let mut case = case("app", &[], &[], &[]);
        change(&mut case.selection);
        case
    };
    cases.push(flags(|selection| selection.features.all = true));
    cases.push(flags(|selection| selection.features.no_default = true));
    cases.push(flags(|selection| selection.workspace = true));
    cases
}

#[test]
fn an_unusual_workspace() {
    // The third differs in which versions it chooses.
    for resolver in ["1", "2"] {
        let dir = unusual_workspace(&format!("unusual{resolver}"), resolver);
        for case in selections(&dir) {
            let Features { list, .. } = &case.selection.features;
            println!("resolver {resolver}: {:?} in `{}`, {list:?}", case.selection.packages, case.member);
            case.is_equal(&TARGETS[2..]);
        }
    }
}
