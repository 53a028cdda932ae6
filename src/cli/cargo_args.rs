//! cargo's own arguments, which follow `--`: what convoy has to know of them is taken out, or refused with what to use
//! instead. All others go to `cargo build` as they are. Checked against `cargo build --help` of cargo 1.95.

/// What was found among cargo's arguments.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CargoArgs {
    /// `--locked`, or `--frozen`.
    pub locked: bool,
    /// `--offline`, or `--frozen`.
    pub offline: bool,
    /// The others.
    pub rest: Vec<String>,
}

/// An argument that cannot be handed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The flag, such as `--target` or `-Zbuild-std`.
    pub flag: String,
    /// Why, and what to use instead.
    pub reason: &'static str,
}

/// Flags that are refused, each with what to use instead.
const REFUSED: &[(&[&str], &str)] = &[
    (&["--target"], "use convoy's own `--target`, before the `--`"),
    (&["--target-dir"], "use convoy's own `--target-dir`, before the `--`"),
    (&["--profile"], "use convoy's own `--profile`, before the `--`"),
    (&["--release", "-r"], "`release` is convoy's default profile; to change it, use `--profile` before the `--`"),
    (&["--jobs", "-j"], "use convoy's own `--jobs`, before the `--`"),
    (&["--features", "-F"], "use convoy's own `--features`, before the `--`"),
    (&["--all-features", "--no-default-features"], "use convoy's own flag of the same name, before the `--`"),
    (&["--package", "-p"], "use convoy's own `--package`, before the `--`"),
    (&["--workspace", "--exclude"], "use convoy's own flag of the same name, before the `--`"),
    (&["--all"], "use convoy's own `--workspace`, before the `--`"),
    (&["--bin"], "use convoy's own `--bin`, before the `--`"),
    (&["--bins"], "convoy builds all binaries by default; to choose some, use `--bin` before the `--`"),
    (
        &["--example", "--examples", "--test", "--tests", "--bench", "--benches", "--all-targets"],
        "convoy only builds binaries and ignores dev-dependencies; run `cargo build` instead",
    ),
    (&["--manifest-path"], "use convoy's own `--manifest-path`, before the `--`"),
    (&["--lockfile-path"], "convoy only supports the workspace's `Cargo.lock`"),
    (&["--message-format"], "convoy reads cargo's JSON messages itself; use `--json` or `--events`, before the `--`"),
    (&["--color"], "use convoy's own `--color`, before the `--`"),
    (&["--artifact-dir", "--out-dir"], "use convoy's own `--dist-dir`, before the `--`"),
    (&["--keep-going"], "convoy always passes it; remove it"),
    (&["--unit-graph", "--build-plan"], "cargo would not build anything; run `cargo build` instead"),
    (&["--help", "-h", "--version", "-V"], "cargo would not build anything; run `cargo build --help` instead"),
    (&["-Zbuild-std"], "set `build-std = true` in `Convoy.toml` instead"),
    (
        &["-Zminimal-versions", "-Zdirect-minimal-versions"],
        "it would change `Cargo.lock`, which convoy has already read; run `cargo update` with it first",
    ),
];

/// Flags that convoy takes for its own where they follow `--`.
const TAKEN: [&str; 3] = ["--locked", "--offline", "--frozen"];

/// Keys of cargo's configuration that no plan depends on.
const CONFIG: [&str; 2] = ["profile", "term"];

/// Short flags of `cargo build` that take a value, which may follow at once.
const WITH_VALUE: &str = "pFjZ";

/// Looks through cargo's arguments.
pub(super) fn sort(args: Vec<String>) -> Result<CargoArgs, Refused> {
    let mut sorted = CargoArgs::default();
    let is_value = |word: &String| !word.starts_with('-');
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (arg.as_str(), None),
        };
        if TAKEN.contains(&name) {
            if value.is_some() {
                return Err(Refused { flag: name.to_owned(), reason: "it does not take a value; remove the `=…`" });
            }
            sorted.locked |= name != "--offline";
            sorted.offline |= name != "--locked";
            continue;
        }
        if name == "--config" {
            let apart = if value.is_none() { args.next_if(is_value) } else { None };
            check_config(value.or(apart.as_deref()).unwrap_or_default())?;
            sorted.rest.push(arg);
            sorted.rest.extend(apart);
            continue;
        }
        if arg.starts_with("--") {
            check(name)?;
            sorted.rest.push(arg);
            continue;
        }
        let apart = match short_with_value(&arg)? {
            Some(('Z', value)) => {
                let apart = if value.is_empty() { args.next_if(is_value) } else { None };
                let flag = apart.as_deref().unwrap_or(value);
                check(&format!("-Z{}", flag.split('=').next().unwrap_or(flag)))?;
                apart
            }
            _ => None,
        };
        sorted.rest.push(arg);
        sorted.rest.extend(apart);
    }
    Ok(sorted)
}

/// The flag in a word of short ones (`-vZname`) that takes a value, with what of it is in the same word.
fn short_with_value(arg: &str) -> Result<Option<(char, &str)>, Refused> {
    let Some(letters) = arg.strip_prefix('-') else { return Ok(None) };
    for (at, letter) in letters.char_indices() {
        check(&format!("-{letter}"))?;
        if WITH_VALUE.contains(letter) {
            return Ok(Some((letter, &letters[at + letter.len_utf8()..])));
        }
    }
    Ok(None)
}

fn check(flag: &str) -> Result<(), Refused> {
    match REFUSED.iter().find(|(flags, _)| flags.contains(&flag)) {
        Some((_, reason)) => Err(Refused { flag: flag.to_owned(), reason }),
        None => Ok(()),
    }
}

/// `--config` with a key that no plan depends on is cargo's affair. Of others, and of files, convoy would know nothing.
fn check_config(value: &str) -> Result<(), Refused> {
    let key = value.split_once('=').map(|(key, _)| key.split('.').next().unwrap_or(key).trim());
    if key.is_some_and(|key| CONFIG.contains(&key)) {
        return Ok(());
    }
    let reason = "convoy has to know cargo's configuration when it plans; set it in `.cargo/config.toml` (only keys in \
                  `profile` and `term` can be passed on)";
    Err(Refused { flag: "--config".to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(args: &[&str]) -> Result<CargoArgs, Refused> {
        sort(args.iter().map(|arg| (*arg).to_owned()).collect())
    }

    #[test]
    fn flags_about_the_lock_file_and_the_network_are_convoys_own() {
        for (arg, locked, offline) in [("--locked", true, false), ("--offline", false, true), ("--frozen", true, true)]
        {
            let found = sorted(&["--timings", arg, "-v"]).unwrap();
            assert_eq!(found, CargoArgs { locked, offline, rest: vec!["--timings".to_owned(), "-v".to_owned()] });
            assert_eq!(sorted(&[&format!("{arg}=true")]).unwrap_err().flag, arg);
        }
    }

    #[test]
    fn a_flag_is_no_value_of_another() {
        assert!(sorted(&["-Z", "--locked"]).unwrap().locked);
        assert_eq!(sorted(&["-vZ", "--target"]).unwrap_err().flag, "--target");
    }

    #[test]
    fn what_convoy_decides_is_refused_in_every_spelling() {
        for (args, flag) in [
            (&["--target", "x"][..], "--target"),
            (&["--target=x"], "--target"),
            (&["-j4"], "-j"),
            (&["-vj4"], "-j"),
            (&["-qr"], "-r"),
            (&["-Fx"], "-F"),
            (&["-vh"], "-h"),
            (&["-Zbuild-std"], "-Zbuild-std"),
            (&["-Zbuild-std=core"], "-Zbuild-std"),
            (&["-Z", "build-std=core"], "-Zbuild-std"),
            (&["-vZbuild-std"], "-Zbuild-std"),
            (&["-Z", "minimal-versions"], "-Zminimal-versions"),
            (&["--all-targets"], "--all-targets"),
            (&["--color", "never"], "--color"),
            (&["--config", "target.x.linker='y'"], "--config"),
            (&["--config=net.offline=true"], "--config"),
            (&["--config", "some/file.toml"], "--config"),
            (&["--config"], "--config"),
        ] {
            assert_eq!(sorted(args).unwrap_err().flag, flag, "{args:?}");
        }
    }

    #[test]
    fn all_else_is_cargos() {
        for args in [
            &["--timings=html", "-vv", "--lib", "--ignore-rust-version", "--future-incompat-report", "-q"][..],
            &[
                "--config",
                "profile.release.lto=true",
                "--config=term.verbose=true",
                "--config",
                "profile.x.strip = true",
            ],
            &["-Z", "unstable-options", "-Zmtime-on-use", "-vZ", "bindeps", "-Zbuild-std-features=x", "--unknown"],
            &["word", "-"],
        ] {
            let found = sorted(args).unwrap();
            assert_eq!(
                (found.rest, found.locked, found.offline),
                (args.iter().map(ToString::to_string).collect(), false, false)
            );
        }
    }

    /// Every flag of `cargo build` is decided on: a new one of a newer cargo is to be looked at.
    #[test]
    fn every_flag_of_cargo_build_is_decided_on() {
        const CARGOS: [&str; 11] = [
            "--future-incompat-report",
            "--verbose",
            "--quiet",
            "--config",
            "--lib",
            "--timings",
            "--ignore-rust-version",
            "--locked",
            "--offline",
            "--frozen",
            "-Z",
        ];
        let help = crate::machine::cargo_command().args(["build", "--help"]).output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let words = help.lines().filter(|line| line.trim_start().starts_with('-'));
        let flags: Vec<&str> = words
            .map(|line| line.trim_start().split("  ").next().unwrap())
            .flat_map(|words| words.split([' ', ',', '.', '[']).filter(|word| word.starts_with('-')))
            .collect();
        assert!(flags.len() > 40, "{help}");
        for flag in flags.into_iter().filter(|flag| !["-v", "-q"].contains(flag)) {
            assert!(CARGOS.contains(&flag) || check(flag).is_err(), "`{flag}` is new to convoy");
        }
    }
}
