//! `cargo convoy supply`: the Debian packages that targets take libraries from.

mod verify;

use crate::cli::{JsonArgs, SelectedArgs, SelectionArgs};
use clap::{Args, Subcommand};
use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use crate::command::prepare::{Network, Prepared, prepare, prepare_anew, run_id};
use crate::command::sysroots::{SysrootProvisioner, with_earlier_packages};
use crate::command::{current_dir, print_json, say};
use crate::machine::interrupt::Interrupt;
use crate::machine::{self, CacheDir};
use crate::model::request::{Features, Selection};
use crate::model::sysroot::SysrootKey;
use crate::plan::Refused;
use crate::project::config::{Forbidden, Origin};
use crate::project::lock::{self, LockedSysroot};
use crate::provision::sysroot::{self, KeptSysroot, Limits, Sysroots};
use crate::report::table::size_text;
use crate::report::{ListedSysroot, Phase, Reporter, Style, SupplyReport};
use crate::util::error::{Error, Exit, Result};
use crate::util::plural::counted;

#[derive(Debug, Subcommand)]
pub enum SupplyCommand {
    /// List the sysroots on this machine, with their size and last use
    List(JsonArgs),
    /// Update the packages in Convoy.lock to current versions
    ///
    /// Without a selection, the packages for all workspace members are updated, and those that no
    /// target of the project needs are removed.
    Update(Box<SelectedArgs>),
    /// Check the packages in Convoy.lock against the archive's signed index
    Verify(SupplyVerifyArgs),
    /// Export the packages in Convoy.lock to a file
    ///
    /// The file can be imported on a machine without network, or kept in a CI cache.
    Pack(Box<SupplyPackArgs>),
    /// Import packages from a file written by `pack`
    Unpack {
        /// File written by `cargo convoy supply pack`
        #[arg(value_name = "FILE")]
        file: Utf8PathBuf,
    },
}

#[derive(Args, Debug)]
pub struct SupplyPackArgs {
    /// File to write
    #[arg(value_name = "FILE")]
    file: Utf8PathBuf,
    #[command(flatten)]
    selection: SelectionArgs,
}

impl SupplyPackArgs {
    /// The file and the selection.
    pub fn validate(self) -> Result<(Utf8PathBuf, Selection), clap::Error> {
        Ok((self.file, self.selection.validate()?))
    }
}

#[derive(Args, Debug)]
pub struct SupplyVerifyArgs {
    /// Print the output as JSON
    #[arg(long)]
    pub json: bool,
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<Utf8PathBuf>,
}

pub(super) fn supply(command: SupplyCommand, style: Style) -> std::result::Result<Exit, super::Failed> {
    match command {
        SupplyCommand::List(args) => Ok(list(args.json)?),
        SupplyCommand::Update(args) => Ok(update(&args.validate()?, style)?),
        SupplyCommand::Verify(args) => Ok(verify::verify(args.manifest_path.as_deref(), args.json, style)?),
        SupplyCommand::Pack(args) => {
            let (file, selection) = args.validate()?;
            Ok(pack(&file, &selection, style)?)
        }
        SupplyCommand::Unpack { file } => Ok(unpack(&file)?),
    }
}

fn list(json: bool) -> Result<Exit> {
    let cache = CacheDir::find()?;
    let sysroots: Vec<ListedSysroot> = sysroot::list(&cache)?.into_iter().map(listed).collect();
    if json {
        let root = cache.root().to_string();
        print_json(&SupplyReport { schema: 1, kind: "supply".to_owned(), root, sysroots })?;
        return Ok(Exit::Success);
    }
    let mut text = String::new();
    for row in &sysroots {
        let used = row.last_used.map(|used| format!(", last used {}", used.strftime("%Y-%m-%d"))).unwrap_or_default();
        text += &format!("{}  {}, {} packages{used}\n    {}\n", row.key, size_text(row.bytes), row.packages, row.root);
    }
    if sysroots.is_empty() {
        text += "no sysroots on this machine\n";
    }
    say(&text);
    Ok(Exit::Success)
}

fn listed(kept: KeptSysroot) -> ListedSysroot {
    ListedSysroot {
        key: kept.locked.key.clone(),
        digest: kept.locked.digest(),
        packages: kept.locked.packages.len(),
        bytes: kept.bytes,
        last_used: kept.used.and_then(|used| used.try_into().ok()),
        root: kept.dir.join("root").into_string(),
    }
}

/// The whole project, where the command line selects no part of it: all members of the workspace.
fn of_project(selection: &Selection) -> Selection {
    Selection { workspace: selection.workspace || selects_nothing(selection), ..selection.clone() }
}

fn selects_nothing(selection: &Selection) -> bool {
    let Selection { targets, packages, exclude, bins, features, routes, .. } = selection;
    let lists = [targets, packages, exclude, bins];
    lists.iter().all(|list| list.is_empty()) && routes.is_empty() && *features == Features::default()
}

/// Chooses anew for every sysroot that the selection's plan names. What else is locked stays, unless the selection is the
/// whole project: then what no target asks for is forgotten.
fn update(selection: &Selection, style: Style) -> Result<Exit> {
    let interrupt = Interrupt::listen()?;
    let cache = CacheDir::find()?;
    if selection.locked {
        return Err(Error::usage("`supply update` changes `Convoy.lock` and cannot be used with `--locked`"));
    }
    let reporter = Reporter::new(run_id(), style, None)?;
    let planned = of_project(selection);
    let mut prepared = prepare_anew(&planned, Network::Allowed, &cache, &reporter, &interrupt)?;
    if let Some(Forbidden { reason, hint }) = prepared.project.settings.provisioning.forbids_network() {
        let output = format!("`supply update` needs the network, and {reason}");
        return Err(Error::usage(output).hint(hint));
    }
    // A variable of the environment selects, too.
    let is_whole =
        selects_nothing(selection) && !matches!(prepared.project.settings.targets.origin, Origin::Environment(_));
    let plans = prepared.planned.plan.sysroots.clone();
    let (cache, reporter, interrupt) = (&cache, &reporter, &interrupt);
    let provisioner = SysrootProvisioner { selection: &planned, cache, reporter, interrupt, offline: None };
    for plan in &plans {
        let chosen = match is_whole && prepared.says_all_of(&plan.key) {
            true => provisioner.choose(plan, &prepared)?,
            false => provisioner.choose(&with_earlier_packages(plan, &prepared), &prepared)?,
        };
        let locked = chosen.map_err(|refused| refusal(&plan.key.to_string(), refused))?;
        let changes = changes(&locked, &prepared);
        provisioner.lock(locked, &mut prepared)?;
        reporter.info(Phase::Finish, format!("{}: {changes}", plan.key)).send();
    }
    let forgotten = if is_whole { not_asked_for(&prepared) } else { Vec::new() };
    for key in &forgotten {
        prepared.locked.lock.forget(key);
        let message = format!("{key}: removed from `Convoy.lock`, because no target of this project needs it");
        reporter.info(Phase::Finish, message).send();
    }
    if !forgotten.is_empty() {
        prepared.locked.write(reporter);
    }
    if plans.is_empty() && forgotten.is_empty() {
        say("nothing to lock: no target of this project uses libraries from a sysroot\n");
    }
    // What was not chosen anew is still as somebody else left it.
    prepared.locked.lock.require_unedited()?;
    Ok(Exit::Success)
}

/// What is locked, and no target of the plan could take libraries from.
fn not_asked_for(prepared: &Prepared) -> Vec<SysrootKey> {
    let asked = prepared.sysroot_keys();
    let locked = prepared.locked.lock.sysroots().iter().map(|locked| locked.key.clone());
    locked.filter(|key| !asked.contains(key)).collect()
}

fn refusal(name: &str, Refused { reason, hint, .. }: Refused) -> Error {
    let error = Error::work(format!("{name}: {reason}"));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// What changed about a sysroot, in words.
fn changes(new: &LockedSysroot, prepared: &Prepared) -> String {
    let count = counted(new.packages.len(), "package", "packages");
    let Some(old) = prepared.locked.lock.get(&new.key) else { return format!("{count} locked") };
    fn versions(locked: &LockedSysroot) -> BTreeMap<&str, &str> {
        locked.packages.iter().map(|package| (package.name.as_str(), package.version.as_str())).collect()
    }
    let changed = lock::changes(&versions(old), &versions(new));
    match changed.as_slice() {
        [] if new.digest() == old.digest() => format!("{count}, none changed"),
        [] => format!("{count}, same versions but rebuilt"),
        _ => format!("{count}; {}", changed.join(", ")),
    }
}

fn pack(file: &Utf8Path, selection: &Selection, style: Style) -> Result<Exit> {
    let interrupt = Interrupt::listen()?;
    let cache = CacheDir::find()?;
    let reporter = Reporter::new(run_id(), style, None)?;
    let prepared = prepare(&of_project(selection), Network::Allowed, &cache, &reporter, &interrupt)?;
    reporter.clear();
    let left_out = not_asked_for(&prepared);
    let lock = prepared.locked.lock.only(|key| !left_out.contains(key));
    let root = &prepared.planned.workspace.root;
    if lock.sysroots().is_empty() {
        let what = match left_out.is_empty() {
            true => format!("no locked packages in `{root}/Convoy.lock`"),
            false => format!("no locked packages for the selected targets in `{root}/Convoy.lock`"),
        };
        return Err(Error::usage(what).hint("run `cargo convoy supply update` or `cargo convoy build` first"));
    }
    let apt = machine::apt(&cache);
    let file = current_dir()?.join(file);
    let archive = |key: &SysrootKey| prepared.project.settings.archive_of(key.of.as_deref());
    let forbidden = prepared.project.settings.provisioning.forbids_network();
    let sysroots = Sysroots {
        apt: apt.as_ref(),
        cache: &cache,
        offline: forbidden.as_ref(),
        limits: Limits::default(),
        interrupt: &interrupt,
        progress: &|_| {},
    };
    let packed =
        sysroots.pack(&lock, &archive, &file)?.map_err(|refused| refusal("the packages of `Convoy.lock`", refused))?;
    let packages = counted(packed.packages, "package", "packages");
    say(&format!("wrote {packages} ({}) to {file}\n", size_text(packed.bytes)));
    for key in left_out {
        say(&format!(
            "left out {key}, which no target of this run needs; select more targets with `-t` to include it\n"
        ));
    }
    Ok(Exit::Success)
}

fn unpack(file: &Utf8Path) -> Result<Exit> {
    let interrupt = Interrupt::listen()?;
    let cache = CacheDir::find()?;
    let unpacked = sysroot::unpack(&current_dir()?.join(file), &cache, &interrupt)?;
    let packages = counted(unpacked.packages, "package", "packages");
    say(&format!("added {packages} ({}) to convoy's cache\n", size_text(unpacked.bytes)));
    Ok(Exit::Success)
}
