//! `why` and `doctor` on a real graph: what they print names the way to a need, and the ways out of it that work.

use crate::support::{Project, environment, require};
use serde_json::Value;

const TARGETS: &str = "x86_64-unknown-linux-gnu,aarch64-unknown-linux-gnu,x86_64-unknown-linux-musl";

/// A program that asks `native-tls` for TLS, so that Linux needs OpenSSL.
fn project(name: &str) -> Project {
    let project = Project::hello(name);
    depends_on(&project, "native-tls = \"=0.2.14\"");
    project
}

fn depends_on(project: &Project, dependency: &str) {
    let text = format!(
        "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\n{dependency}\n[workspace]\n"
    );
    project.write("Cargo.toml", &text);
    let mut fetch = environment::cargo();
    assert!(fetch.args(["fetch", "--quiet"]).current_dir(&project.dir).status().unwrap().success());
}

fn json(project: &Project, args: &[&str], code: i32) -> Value {
    project.convoy(args).args(["-t", TARGETS, "--json"]).ends(code).json()
}

#[test]
fn why_shows_the_way_to_a_need_and_a_way_out_that_works() {
    require!(Target("aarch64-unknown-linux-gnu"), Target("x86_64-unknown-linux-musl"), Zig, Network);
    let project = project("why");
    let report = json(&project, &["why", "openssl-sys"], 3);
    let library = report["needs"].as_array().unwrap().iter().find(|need| need["name"] == "openssl").unwrap();
    let chains: Vec<String> = library["chains"]
        .as_array()
        .unwrap()
        .iter()
        .map(|chain| {
            let names: Vec<&str> =
                chain.as_array().unwrap().iter().map(|step| step["package"].as_str().unwrap()).collect();
            names.join(" → ")
        })
        .collect();
    assert_eq!(chains[0], "app → native-tls → openssl-sys");
    let remedies = library["remedies"].as_array().unwrap();
    let first = &remedies[0];
    assert_eq!(first["command"], "cargo add native-tls --features vendored", "{first}");
    assert_eq!(first["then_needs"], serde_json::json!(["c-compiler", "make", "perl"]));

    // What it says is done: nothing is blocked by OpenSSL then.
    depends_on(&project, "native-tls = { version = \"=0.2.14\", features = [\"vendored\"] }");
    let plan = json(&project, &["plan"], 0);
    assert!(plan["cells"].as_array().unwrap().iter().all(|cell| cell["status"] == "buildable"), "{plan}");
}

#[test]
fn a_word_that_means_nothing_is_refused_with_the_nearest() {
    require!(Target("aarch64-unknown-linux-gnu"), Target("x86_64-unknown-linux-musl"), Zig, Network);
    let project = project("words");
    project.convoy(["why", "opensssl-sys", "-t", TARGETS]).ends(2).says("did you mean `openssl-sys`?");
    // A crate of the graph that asks for nothing is no error.
    project.convoy(["why", "libc", "-t", TARGETS]).ends(0).says("needs no C tools or libraries");
    project.convoy(["why", "native-tls@0.2", "-t", TARGETS]).ends(0).says("needs no C tools or libraries");
    let done = project.convoy(["why", "native-tls@9", "-t", TARGETS]).ends(2);
    done.says("`native-tls@9` is not in the dependency graph, which has `native-tls` 0.2.14")
        .says("use `native-tls@0.2.14`");
}

#[test]
fn doctor_holds_offers_against_needs_and_says_what_mends_each_lack() {
    require!(Target("aarch64-unknown-linux-gnu"), Target("x86_64-unknown-linux-musl"), Zig, Network);
    let project = project("doctor");
    let report = json(&project, &["doctor"], 3);
    let cell = |id: &str| {
        let cells = report["cells"].as_array().unwrap().iter();
        cells.clone().find(|cell| cell["id"] == id).unwrap().clone()
    };
    let musl = cell("x86_64-unknown-linux-musl");
    assert_eq!(musl["status"], "blocked");
    assert_eq!(musl["lacks"][0]["name"], "openssl");
    assert_eq!(musl["lacks"][0]["package"], "openssl-sys");
    assert_eq!(cell("aarch64-unknown-linux-gnu")["lacks"], serde_json::json!([]), "a sysroot gives it");
    let offers: Vec<&str> =
        report["offers"].as_array().unwrap().iter().map(|offer| offer["name"].as_str().unwrap()).collect();
    assert!(offers.contains(&"rustc") && offers.contains(&"cc (this machine)"), "{offers:?}");
    let told = project.convoy(["doctor", "-t", TARGETS]).ends(3);
    told.says("x86_64-unknown-linux-musl: blocked").says("cargo convoy why openssl-sys");
}

#[test]
fn a_crate_that_convoy_is_wrong_about_is_set_right_by_configuration() {
    require!(Target("aarch64-unknown-linux-gnu"), Target("x86_64-unknown-linux-musl"), Zig, Network);
    let project = project("configuration");
    project.write("Convoy.toml", "[needs.openssl-sys]\ntools = [\"cc\"]\n");
    let plan = json(&project, &["plan"], 0);
    let needs = plan["cells"][1]["needs"].as_array().unwrap().clone();
    assert!(needs.iter().any(|need| need["evidence"] == "set in `Convoy.toml`"), "{needs:?}");
}

#[test]
fn variables_that_say_where_a_library_is_take_the_need_away() {
    require!(Target("aarch64-unknown-linux-gnu"), Target("x86_64-unknown-linux-musl"), Zig, Network);
    let project = project("variables");
    let musl = "x86_64-unknown-linux-musl";
    let plan = |code: i32, edit: &dyn Fn(crate::support::Convoy) -> crate::support::Convoy| {
        let plan = project.convoy(["plan", "-t", musl, "--json"]);
        edit(plan).ends(code).json()["cells"][0]["status"].clone()
    };
    assert_eq!(plan(3, &|plan| plan), "blocked");
    let of_target = "X86_64_UNKNOWN_LINUX_MUSL_OPENSSL_DIR";
    for name in ["OPENSSL_DIR", of_target] {
        assert_eq!(plan(0, &|plan| plan.env(name, "/opt/openssl")), "buildable", "{name}");
    }
    assert_eq!(plan(3, &|plan| plan.env("AARCH64_UNKNOWN_LINUX_MUSL_OPENSSL_DIR", "/opt/openssl")), "blocked");
    // As cargo's configuration gives them to build scripts.
    project.write(".cargo/config.toml", &format!("[env]\n{of_target} = \"/opt/openssl\"\n"));
    assert_eq!(plan(0, &|plan| plan), "buildable");
}
