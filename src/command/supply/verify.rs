//! `cargo convoy supply verify`: Convoy.lock beside what archives have signed.

use camino::Utf8Path;

use super::refusal;
use crate::command::locked::Locked;
use crate::command::prepare::{find_workspace, run_id};
use crate::command::{print_json, say};
use crate::machine::interrupt::Interrupt;
use crate::machine::{self, CacheDir};
use crate::provision::sysroot::{Limits, Sysroots, Unsigned, Verified};
use crate::report::{Phase, Reporter, Style, SupplyVerifyReport, UnsignedPackage, VerifiedSysroot};
use crate::util::error::{Error, Exit, Result};
use crate::util::plural::counted;

/// Packages that are named before the rest is a number.
const NAMED: usize = 20;

pub(super) fn verify(manifest_path: Option<&Utf8Path>, json: bool, style: Style) -> Result<Exit> {
    let interrupt = Interrupt::listen()?;
    let cache = CacheDir::find()?;
    let (root, settings) = find_workspace(manifest_path)?;
    let Locked { lock, .. } = Locked::read(root.join("Convoy.lock"))?;
    if lock.sysroots().is_empty() {
        return Err(Error::usage(format!("no locked packages in `{root}/Convoy.lock`"))
            .hint("run `cargo convoy supply update` or `cargo convoy build` first"));
    }
    let reporter = Reporter::new(run_id(), style, None)?;
    let apt = machine::apt(&cache);
    let forbidden = settings.provisioning.forbids_network();
    let sysroots = Sysroots {
        apt: apt.as_ref(),
        cache: &cache,
        offline: forbidden.as_ref(),
        limits: Limits::default(),
        interrupt: &interrupt,
        progress: &|_| {},
    };
    let mut rows = Vec::new();
    for locked in lock.sysroots() {
        let key = &locked.key;
        let count = counted(locked.packages.len(), "package", "packages");
        let message = format!("{count} of {key} against the archive's signed index");
        reporter.info(Phase::Verify, message).send();
        let verified = sysroots.verify(locked, &settings.archive_of(key.of.as_deref()))?;
        let verified = verified.map_err(|refused| refusal(&key.to_string(), refused))?;
        let Verified { indexes, faults, unsigned } = verified;
        let (edited, packages) = (lock.edited().contains(key), locked.packages.len());
        let unsigned = unsigned.into_iter().map(row).collect();
        rows.push(VerifiedSysroot { key: key.clone(), packages, edited, indexes, faults, unsigned });
    }
    reporter.clear();
    let verified = rows.iter().all(|row| !row.edited && row.unsigned.is_empty());
    let fault = fault(&rows);
    if json {
        let kind = "supply-verify".to_owned();
        print_json(&SupplyVerifyReport { schema: 1, kind, verified, sysroots: rows })?;
    } else {
        for row in rows.iter().filter(|row| row.unsigned.is_empty()) {
            say(&format!(
                "{}: {} in the signed index of {}\n",
                row.key,
                counted(row.packages, "package is", "packages are"),
                row.indexes.join(" or ")
            ));
        }
    }
    fault.map_or(Ok(Exit::Success), Err)
}

fn row(unsigned: Unsigned) -> UnsignedPackage {
    let Unsigned { package, reason } = unsigned;
    UnsignedPackage { name: package.name, version: package.version, sha256: package.sha256, reason }
}

/// What is wrong with the lock, with the packages by their names.
fn fault(rows: &[VerifiedSysroot]) -> Option<Error> {
    let mut lines = Vec::new();
    for VerifiedSysroot { key, edited, faults, unsigned, .. } in rows {
        if *edited {
            lines.push(format!("{key}: checksum mismatch: the entry was not written by convoy"));
        }
        if !unsigned.is_empty() {
            lines.extend(faults.iter().map(|fault| format!("{key}: {fault}")));
        }
        let named = unsigned.iter().take(NAMED);
        lines.extend(named.map(|row| format!("{key}: `{}` {}: {}", row.name, row.version, row.reason)));
        if unsigned.len() > NAMED {
            lines.push(format!("{key}: and {} more", unsigned.len() - NAMED));
        }
    }
    if lines.is_empty() {
        return None;
    }
    let count: usize = rows.iter().map(|row| row.unsigned.len()).sum();
    let message = match count {
        0 => "`Convoy.lock` was modified by something other than convoy".to_owned(),
        count => {
            format!(
                "{} not in any signed index",
                counted(count, "package in `Convoy.lock` is", "packages in `Convoy.lock` are")
            )
        }
    };
    let hint = "restore `Convoy.lock` from version control, or run `cargo convoy supply update`; for packages that are \
                no longer in the archive, set `snapshot` under `[supply]` in `Convoy.toml`";
    Some(Error::work(message).because(std::io::Error::other(lines.join("\n"))).hint(hint))
}
