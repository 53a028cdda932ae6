use clap::CommandFactory;

use super::*;
use crate::cli::without_cargo_prefix;
use crate::model::request::{EngineChoice, ForcedRoute, RouteKind, Selection};

fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(without_cargo_prefix(args.iter().map(Into::into)))
}

fn selection(args: &[&str]) -> Result<Selection, clap::Error> {
    let line: Vec<&str> = ["cargo-convoy", "convoy", "build"].iter().chain(args).copied().collect();
    match parse(&line)?.command {
        Command::Build(build) => Ok(build.validate()?.0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn help_texts_at_80_columns() {
    fn render(command: &mut clap::Command, text: &mut String) {
        let help = command.render_long_help();
        *text += &format!("$ {} --help\n{help}\n", command.get_bin_name().unwrap());
        command.get_subcommands_mut().filter(|sub| !sub.is_hide_set()).for_each(|sub| render(sub, text));
    }
    let mut command = Cli::command().term_width(80).disable_help_subcommand(true);
    command.build();
    let mut text = String::new();
    render(&mut command, &mut text);
    let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
    assert_eq!(long, [""; 0]);
    insta::assert_snapshot!(text);
}

#[test]
fn both_ways_of_calling_mean_the_same() {
    for args in [&["cargo-convoy", "convoy", "targets"][..], &["cargo-convoy", "targets"]] {
        assert!(matches!(parse(args).unwrap().command, Command::Targets(_)));
    }
}

#[test]
fn target_lists_and_features_are_split() {
    let selection = selection(&["-t", "pi-4, linux/arm64", "-t", "all", "-F", "a b,c", "--", "--timings"]).unwrap();
    assert_eq!(selection.targets, ["pi-4", "linux/arm64", "all"]);
    assert_eq!(selection.features.list, ["a", "b", "c"]);
    assert_eq!(selection.cargo_args, ["--timings"]);
}

#[test]
fn what_convoy_decides_is_not_handed_on() {
    for arg in ["--target=x", "--target-dir", "--profile", "--message-format=json"] {
        let error = selection(&["--", arg]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("before the `--`"), "{error}");
    }
}

#[test]
fn frozen_is_locked_and_offline_on_both_sides() {
    for args in [&["--frozen"][..], &["--", "--frozen"], &["--locked", "--", "--offline"]] {
        let selection = selection(args).unwrap();
        assert!(selection.locked && selection.offline && selection.cargo_args.is_empty(), "{args:?}");
    }
}

#[test]
fn routes_name_a_target_or_all() {
    let routes = selection(&["--route", "zig", "--route", "linux/arm64=gcc"]).unwrap().routes;
    assert_eq!(routes[0], ForcedRoute { target: None, route: RouteKind::Zig });
    assert_eq!(routes[1], ForcedRoute { target: Some("linux/arm64".to_owned()), route: RouteKind::Gcc });
    let error = selection(&["--route", "zug"]).unwrap_err().to_string();
    assert!(error.contains("did you mean `zig`?"), "{error}");
}

#[test]
fn engines_go_by_their_names() {
    assert_eq!(selection(&[]).unwrap().engine, None);
    for engine in EngineChoice::ALL {
        assert_eq!(selection(&["--engine", engine.name()]).unwrap().engine, Some(engine));
    }
    let error = selection(&["--engine", "dokcer"]).unwrap_err().to_string();
    assert!(error.contains("did you mean `docker`?"), "{error}");
}
