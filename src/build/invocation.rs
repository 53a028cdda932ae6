//! The command line of a lane's cargo, or of the tool that a lane is handed to.

use std::process::Command;

use camino::Utf8Path;

use crate::build::Job;
use crate::build::cargo::Invocation;
use crate::build::jobserver::Share;
use crate::build::setup::LaneEnvironment;
use crate::machine::{CrossFacts, cargo_command, rust_command};
use crate::plan::{CellPlan, Lane};
use crate::util::error::{Error, Result};

pub(super) fn invocation(
    job: &Job<'_>,
    lane: &Lane,
    cells: &[&CellPlan],
    environment: &LaneEnvironment,
    share: &Share,
    dir: &Utf8Path,
) -> Invocation {
    let selection = job.selection;
    let mut args: Vec<String> = vec!["build".to_owned()];
    let mut add = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));
    if let Some(manifest) = &job.manifest_path {
        add(&["--manifest-path", manifest.as_str()]);
    }
    add(&["--target-dir", dir.as_str(), "--profile", job.profile]);
    for cell in cells {
        add(&["--target", &cell.cell.target]);
    }
    for package in &selection.packages {
        add(&["--package", package]);
    }
    if selection.workspace {
        add(&["--workspace"]);
    }
    for package in &selection.exclude {
        add(&["--exclude", package]);
    }
    if selection.bins.is_empty() {
        add(&["--bins"]);
    }
    for bin in &selection.bins {
        add(&["--bin", bin]);
    }
    let mut features = selection.features.clone();
    features.list.extend(lane.features.iter().cloned());
    let features = features.to_args();
    add(&features.iter().map(String::as_str).collect::<Vec<_>>());
    if selection.locked {
        add(&["--locked"]);
    }
    if selection.offline {
        add(&["--offline"]);
    }
    let words: Vec<&str> = share.args.iter().map(String::as_str).collect();
    add(&words);
    let color = job.reporter.style().color;
    let ansi = if color { "json-diagnostic-rendered-ansi" } else { "json" };
    add(&["--keep-going", &format!("--message-format={ansi}")]);
    add(&["--color", if color { "always" } else { "never" }]);
    for config in &environment.config {
        add(&["--config", config]);
    }
    let mut set = environment.set.clone();
    set.extend(share.env.clone());
    if lane.build_std {
        add(&["-Zbuild-std=std,panic_abort"]);
        if !job.host.rustc.version.contains("nightly") {
            // Lets a stable cargo and rustc take `-Z`: the user asked for std to be built, and rustup has none to bring.
            set.insert("RUSTC_BOOTSTRAP".to_owned(), "1".to_owned());
        }
    }
    add(&selection.cargo_args.iter().map(String::as_str).collect::<Vec<_>>());
    if job.build_dir {
        // The lane's must win: keys and records live there. Not in all projects, as cargo takes `{…}` in it for a variable.
        set.insert("CARGO_BUILD_BUILD_DIR".to_owned(), dir.to_string());
    }
    set.extend(lane.env.clone());
    Invocation { args, set }
}

/// The command that starts cargo on this machine itself.
pub(super) fn command(job: &Job<'_>, environment: &LaneEnvironment, invocation: &Invocation) -> Result<Command> {
    let mut command = cargo_command();
    command.current_dir(&job.cwd).args(&invocation.args);
    set_environment(&mut command, environment, invocation)?;
    Ok(command)
}

fn set_environment(command: &mut Command, environment: &LaneEnvironment, invocation: &Invocation) -> Result<()> {
    for name in &environment.remove {
        command.env_remove(name);
    }
    if !environment.path.is_empty() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs =
            environment.path.iter().map(|dir| dir.clone().into_std_path_buf()).chain(std::env::split_paths(&path));
        command.env(
            "PATH",
            std::env::join_paths(dirs)
                .map_err(|error| Error::work("could not add the project's path to PATH").because(error))?,
        );
    }
    command.envs(&invocation.set);
    Ok(())
}

/// The command that starts cargo-xwin, which starts cargo.
pub(super) fn xwin(
    job: &Job<'_>,
    cell: &CellPlan,
    environment: &LaneEnvironment,
    invocation: &Invocation,
) -> Result<Command> {
    let Some(program) = &job.host.xwin else {
        return Err(Error::work("internal error: the plan uses cargo-xwin, which is missing"));
    };
    let mut command = rust_command(program);
    command.current_dir(&job.cwd).args(&invocation.args);
    // It fetches the libraries of these; by default not those for x86.
    if std::env::var_os("XWIN_ARCH").is_none() && cell.cell.target.architecture_word() == "i686" {
        command.env("XWIN_ARCH", "x86");
    }
    set_environment(&mut command, environment, invocation)?;
    Ok(command)
}

/// The command that starts cross: with its own Cross.toml, images and settings.
pub(super) fn cross(job: &Job<'_>, invocation: &Invocation, dir: &Utf8Path) -> Result<Command> {
    let Some(CrossFacts { program, toolchain: Some(toolchain) }) = &job.host.cross else {
        return Err(Error::work("internal error: the plan uses cross, which is missing"));
    };
    let mut command = rust_command(program);
    // Of a toolchain that is named by its version cross changes nothing.
    command.current_dir(&job.cwd).arg(format!("+{toolchain}")).args(&invocation.args);
    command.envs(invocation.set.iter().filter(|(name, _)| *name != "CARGO_BUILD_BUILD_DIR"));
    command.env("CARGO_TARGET_DIR", dir);
    // cross 0.2.5 takes a toolchain that rustup lists as the active one for one that is not installed, and "installs" it,
    // which replaces all of it. Named by its folder, it is active under no name.
    command.env("RUSTUP_TOOLCHAIN", &job.host.rustc.sysroot);
    // What cargo set for this very process would lead cross to another cargo.
    command.env_remove("CARGO");
    Ok(command)
}
