//! `cargo convoy supply`: the Debian packages that targets take libraries from.

use std::collections::BTreeMap;

use camino::Utf8Path;

use crate::cli::SupplyCommand;
use crate::command::locked::Locked;
use crate::command::prepare::{Network, Prepared, find_workspace, prepare, run_id};
use crate::command::sysroots::Bringer;
use crate::command::{current_dir, print_json, say};
use crate::config::Forbidden;
use crate::error::{Error, Exit, Result};
use crate::host::{self, CacheDir, Refused};
use crate::interrupt::Interrupt;
use crate::lock::{self, LockedSysroot};
use crate::provision::sysroot::{self, KeptSysroot, Limits, Sysroots};
use crate::report::table::size_text;
use crate::report::{ListedSysroot, Phase, Reporter, Style, SupplyReport};
use crate::request::Selection;
use crate::sysroot::SysrootKey;

pub(super) fn supply(command: SupplyCommand, style: Style) -> std::result::Result<Exit, super::Failed> {
    match command {
        SupplyCommand::List(args) => Ok(list(args.json)?),
        SupplyCommand::Update(args) => Ok(update(&args.validate()?, style)?),
        SupplyCommand::Pack(args) => Ok(pack(&args.file, args.manifest_path.as_deref())?),
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
        text += "no sysroot is unpacked on this machine\n";
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

/// Chooses anew for every sysroot that the selection's plan names; what else is locked stays.
fn update(selection: &Selection, style: Style) -> Result<Exit> {
    let interrupt = Interrupt::listen()?;
    let cache = CacheDir::find()?;
    if selection.locked {
        return Err(Error::usage("`supply update` asks the archive what it has now, and `--locked` forbids it"));
    }
    let reporter = Reporter::new(run_id(), style, None)?;
    let mut prepared = prepare(selection, Network::Allowed, &cache, &reporter, &interrupt)?;
    if let Some(Forbidden { reason, hint }) = prepared.settings.provisioning.forbids_network() {
        let told = format!("`supply update` asks the archive what it has now, and {reason}");
        return Err(Error::usage(told).hint(hint));
    }
    let plans = prepared.project.plan.sysroots.clone();
    if plans.is_empty() {
        say("no target of this project takes libraries from a sysroot: nothing to lock\n");
        return Ok(Exit::Success);
    }
    let bringer = Bringer { selection, cache: &cache, reporter: &reporter, interrupt: &interrupt, offline: false };
    for plan in plans {
        let locked = bringer.resolve(&plan, &prepared)?.map_err(|refused| refusal(&plan.key.to_string(), refused))?;
        let changes = changes(&locked, &prepared);
        bringer.lock(locked, &mut prepared)?;
        reporter.info(Phase::Finish, format!("{}: {changes}", plan.key)).send();
    }
    Ok(Exit::Success)
}

fn refusal(name: &str, Refused { reason, hint, .. }: Refused) -> Error {
    let error = Error::work(format!("{name}: {reason}"));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// What is new about a sysroot, in words.
fn changes(new: &LockedSysroot, prepared: &Prepared) -> String {
    let count = new.packages.len();
    let Some(old) = prepared.locked.lock.get(&new.key) else { return format!("{count} packages locked") };
    fn versions(locked: &LockedSysroot) -> BTreeMap<&str, &str> {
        locked.packages.iter().map(|package| (package.name.as_str(), package.version.as_str())).collect()
    }
    let changed = lock::changes(&versions(old), &versions(new));
    match changed.as_slice() {
        [] if new.digest() == old.digest() => format!("{count} packages, none changed"),
        [] => format!("{count} packages, rebuilt or fewer than before"),
        _ => format!("{count} packages; {}", changed.join(", ")),
    }
}

fn pack(file: &Utf8Path, manifest_path: Option<&Utf8Path>) -> Result<Exit> {
    let interrupt = Interrupt::listen()?;
    let cache = CacheDir::find()?;
    let (root, settings) = find_workspace(manifest_path)?;
    let locked = Locked::read(root.join("Convoy.lock"))?;
    if locked.lock.sysroots().is_empty() {
        return Err(Error::usage(format!("there is no Convoy.lock in `{root}` that names packages"))
            .hint("run `cargo convoy supply update`, or build once"));
    }
    let apt = host::apt(&cache);
    let file = current_dir()?.join(file);
    let archive = |key: &SysrootKey| settings.archive_of(key.of.as_deref());
    let sysroots = Sysroots {
        apt: apt.as_ref(),
        cache: &cache,
        offline: false,
        limits: Limits::default(),
        interrupt: &interrupt,
        progress: &|_| {},
    };
    let packed = sysroots
        .pack(&locked.lock, &archive, &file)?
        .map_err(|refused| refusal("the packages of Convoy.lock", refused))?;
    say(&format!("packed {} packages, {}, into {file}\n", packed.packages, size_text(packed.bytes)));
    Ok(Exit::Success)
}

fn unpack(file: &Utf8Path) -> Result<Exit> {
    let interrupt = Interrupt::listen()?;
    let cache = CacheDir::find()?;
    let unpacked = sysroot::unpack(&current_dir()?.join(file), &cache, &interrupt)?;
    say(&format!("took {} packages, {}, into convoy's cache\n", unpacked.packages, size_text(unpacked.bytes)));
    Ok(Exit::Success)
}
