//! The commands: each calls the stages in order and decides the exit code. A new one is a file here, with its arguments,
//! and below a variant of [`Command`] and a line of `dispatch`.

mod build;
mod cache;
mod docs;
mod doctor;
mod images;
mod init;
mod kept;
mod locked;
mod plan;
mod prepare;
mod supply;
mod sysroots;
mod targets;
mod verify;
mod why;
mod workspace;
mod wrapper;
mod zig;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};

use clap::{Args, Parser, Subcommand};

use crate::build::shim;
use crate::cli::{self, BuildArgs, ColorWhen, JsonArgs, OutputArgs, PlanArgs};
use crate::report::{Style, escape};
use crate::util::error::{Error, Exit, Result};

const EXIT_CODES: &str = "\
Exit codes:
  0    Every requested target was built and verified
  1    A target failed to build
  2    Invalid usage or configuration
  3    A target is blocked on this machine (its build was not attempted)
  4    A binary failed verification
  5    An internal step failed (disk, network, installation, unreadable file)
  129, 130, 143   Terminated by SIGHUP, SIGINT, SIGTERM
If several apply, the first one of 4, 1, 5, 3 is returned.";

/// Cross-compile a Cargo project for many platforms, and verify every binary
#[derive(Debug, Parser)]
#[command(name = "cargo-convoy", bin_name = "cargo convoy", version, after_help = EXIT_CODES, styles = cli::styles())]
#[command(propagate_version = true, infer_subcommands = false)]
pub struct Cli {
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build and verify the binaries for all selected targets
    Build(BuildArgs),
    /// Show what `build` would do, and why
    ///
    /// Builds nothing, and does not use the network.
    Plan(plan::PlanCommandArgs),
    /// Show why a tool or library is needed, and how to avoid it
    ///
    /// Lists the dependency paths that require it, the features that enable them, and ways to fix it if it is missing.
    Why(why::WhyArgs),
    /// Check this machine against what the project needs
    ///
    /// Lists what is missing, and how to install it.
    Doctor(PlanArgs),
    /// List supported targets, platforms, devices and available routes
    Targets(JsonArgs),
    /// Inspect existing binaries
    Verify(verify::VerifyArgs),
    /// Print the JSON Schemas of convoy's JSON output
    Schema(docs::SchemaArgs),
    /// Manage convoy's cache
    ///
    /// The cache contains zig, sysroots and other files outside the project.
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    /// Manage Debian packages that provide libraries for targets
    #[command(subcommand)]
    Supply(supply::SupplyCommand),
    /// Manage the container images that targets are built in
    #[command(subcommand)]
    Images(images::commands::ImagesCommand),
    /// Create a Convoy.toml with all settings commented out
    ///
    /// An existing file is never overwritten.
    Init(init::InitArgs),
    /// Generate a shell completion script
    Completions(docs::CompletionsArgs),
    /// Generate the man pages
    Man(docs::ManArgs),
    /// Run zig as compiler or linker (used by convoy's wrappers)
    #[command(subcommand, hide = true)]
    Zig(cargo_zigbuild::Zig),
    /// Run the linker shim (used by convoy's wrappers)
    #[command(hide = true)]
    Link(LinkArgs),
}

#[derive(Args, Debug)]
pub struct LinkArgs {
    /// `--linker LINKER --target TRIPLE -- ARGS…`, which the shim reads itself: a linker's arguments are not a shell's
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<std::ffi::OsString>,
}

/// Runs the command line, or the tool that this process was started as a wrapper of; the exit code is the whole result.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    // Before anything else, as it happens for each file that is compiled.
    match wrapper::run(&args) {
        Ok(None) => {}
        Ok(Some(code)) => return u8::try_from(code).unwrap_or(u8::MAX),
        Err(error) => {
            tell(&error, style(&OutputArgs::default()));
            return error.exit().code();
        }
    }
    let parsed = match Cli::try_parse_from(cli::without_cargo_prefix(args)) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error).code(),
    };
    let style = style(&parsed.output);
    let done = match parsed.command {
        // The shim's exit code is the real linker's.
        Command::Link(args) => shim::run(args.args).map_err(Failed::Ended),
        command => dispatch(command, style).map(|exit| i32::from(exit.code())),
    };
    match done {
        Ok(code) => u8::try_from(code).unwrap_or(u8::MAX),
        Err(Failed::Usage(error)) => usage(&error).code(),
        Err(Failed::Ended(error)) => {
            tell(&error, style);
            error.exit().code()
        }
    }
}

enum Failed {
    Usage(clap::Error),
    Ended(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed::Ended(error)
    }
}

impl From<clap::Error> for Failed {
    fn from(error: clap::Error) -> Self {
        Failed::Usage(error)
    }
}

fn dispatch(command: Command, style: Style) -> Result<Exit, Failed> {
    match command {
        Command::Build(args) => {
            let json = args.json;
            let (selection, options) = args.validate()?;
            Ok(build::build(&selection, &options, json, style)?)
        }
        Command::Plan(args) => {
            let dockerfile = args.dockerfile;
            let (selection, json) = args.validate()?;
            Ok(match dockerfile {
                true => plan::dockerfiles(&selection, style)?,
                false => plan::plan(&selection, json, style)?,
            })
        }
        Command::Why(args) => {
            let (subject, selection, json) = args.validate()?;
            Ok(why::why(&subject, &selection, json, style)?)
        }
        Command::Doctor(args) => {
            let json = args.json;
            let selection = args.validate()?;
            Ok(doctor::doctor(&selection, json, style)?)
        }
        Command::Targets(args) => Ok(targets::targets(args.json, style)?),
        Command::Verify(args) => Ok(verify::verify(&args.files, args.target.as_deref(), args.json, style)?),
        Command::Schema(args) => Ok(docs::schema(args.kind)?),
        Command::Cache(command) => Ok(cache::cache(&command)?),
        Command::Supply(command) => supply::supply(command, style),
        Command::Images(command) => images::commands::images(command, style),
        Command::Init(args) => Ok(init::init(args.manifest_path.as_deref())?),
        Command::Completions(args) => Ok(docs::completions(args.shell)?),
        Command::Man(args) => Ok(docs::man(&args.dir)?),
        Command::Zig(zig) => Ok(zig::zig(zig)?),
        Command::Link(_) => unreachable!("handled by `main`, which returns the exit code of the linker"),
    }
}

fn style(output: &OutputArgs) -> Style {
    let terminal = std::io::stderr().is_terminal();
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let color = match output.color {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
    };
    let progress = terminal && !set("CI") && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    Style { verbose: output.verbose, quiet: output.quiet, color, progress }
}

fn usage(error: &clap::Error) -> Exit {
    // A closed stream cannot be reported to anybody.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Success }
}

/// An error for a person: the message, its causes, what to do next.
fn tell(error: &Error, style: Style) {
    use anstyle::AnsiColor;
    let red = AnsiColor::Red.on_default().bold();
    let mut text = format!("{}: {error}\n", style.paint(red, "error"));
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        for (index, line) in source.to_string().trim_end().lines().enumerate() {
            text.push_str(if index == 0 { "  cause: " } else { "         " });
            text.push_str(line);
            text.push('\n');
        }
        cause = source.source();
    }
    if let Some(hint) = error.hint_text() {
        text.push_str(&format!("{}: {hint}\n", style.paint(AnsiColor::Cyan.on_default().bold(), "hint")));
    }
    // Nobody is left to tell when standard error is closed.
    let _ = std::io::stderr().write_all(escape::terminal(&text, style.color).as_bytes());
}

/// JSON for machines, on standard output.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    print(&(text + "\n"))
}

/// Text on standard output; a reader that went away (`| head`) is no error.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Text for a person, on standard error: standard output is for machines.
fn say(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = std::io::stderr().lock().write_all(escape::terminal(text, true).as_bytes());
}

/// The current folder, which must be UTF-8 as it ends in JSON and in cargo's messages.
fn current_dir() -> Result<camino::Utf8PathBuf> {
    let dir =
        std::env::current_dir().map_err(|error| Error::work("could not read the current directory").because(error))?;
    camino::Utf8PathBuf::from_path_buf(dir)
        .map_err(|dir| Error::work(format!("the path of the current directory is not UTF-8: `{}`", dir.display())))
}

#[cfg(test)]
mod tests;
