//! `cargo convoy build`.

mod check;
mod provision;
mod retry;
mod rows;
mod universal;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};

use crate::build::{self, CellOutcome, CellResult, Failure, Job, Reported};
use crate::command::images::ImageProvisioner;
use crate::command::prepare::{Network, Prepared, prepare, run_id};
use crate::command::workspace::Planned;
use crate::command::{current_dir, kept, print_json};
use crate::machine::interrupt::Interrupt;
use crate::machine::{CacheDir, has_build_dir};
use crate::model::catalog::UNIVERSAL;
use crate::model::code::Code;
use crate::model::request::{BuildOptions, Selection};
use crate::provision::runs::RunMark;
use crate::provision::sysroot;
use crate::release::{self, Checker, FailedStatus, Manifest, Place};
use crate::report::{Phase, Reporter, Style, table};
use crate::util::error::{Error, Exit, Result};
use crate::util::files;

use check::file_name;
use rows::{failed, owner};

/// `cargo convoy build`.
pub(super) fn build(selection: &Selection, options: &BuildOptions, json: bool, style: Style) -> Result<Exit> {
    let interrupt = Interrupt::listen()?;
    let run = run_id();
    let reporter = Reporter::new(run.clone(), style, options.events.as_deref())?;
    let build = Build {
        selection,
        options,
        reporter: &reporter,
        interrupt: &interrupt,
        started: Instant::now(),
        run,
        mark: OnceCell::new(),
    };
    let result = build.run();
    build.warn_without_locks();
    reporter.clear();
    match result {
        Ok((manifest, exit)) => {
            if json {
                print_json(&manifest)?;
            }
            reporter.debug(Phase::Finish, format!("exit code {}", exit.code())).send();
            Ok(exit)
        }
        Err(error) => {
            // Said to people by the caller; here for those who collect events.
            let exit = interrupt.came().unwrap_or_else(|| error.exit());
            reporter.debug(Phase::Finish, error.to_string()).code(Code::Ended).send();
            if interrupt.came().is_some() { Err(Error::interrupted(exit)) } else { Err(error) }
        }
    }
}

struct Build<'a> {
    selection: &'a Selection,
    options: &'a BuildOptions,
    reporter: &'a Reporter,
    interrupt: &'a Interrupt,
    started: Instant,
    run: String,
    /// Set by the first container.
    mark: OnceCell<RunMark>,
}

impl Build<'_> {
    fn images<'b>(&'b self, cache: &'b CacheDir) -> ImageProvisioner<'b> {
        let Build { selection, reporter, interrupt, run, mark, .. } = self;
        ImageProvisioner { selection, cache, reporter, interrupt, run, mark }
    }

    fn run(&self) -> Result<(Manifest, Exit)> {
        let cache = CacheDir::find()?;
        let (mut planned, prepared, _lock) = self.plan(&cache)?;
        for plan in &planned.plan.sysroots {
            planned.machine.sysroots.get(&plan.key.to_string()).inspect(|sysroot| sysroot::touch(sysroot));
        }
        let mut manifest = self.empty_manifest(&planned);
        let blocked = self.blocked(&planned, &mut manifest);

        self.images(&cache).try_files(&mut planned)?;
        let mut outcomes = build::run_lanes(&self.job(&planned, &cache)?)?;
        let retried = self.retry(&mut planned, prepared, &mut outcomes, &cache);
        let output = Reported::default();
        if let Err(error) = retried {
            for outcome in &outcomes {
                if let CellResult::Failed(failure) = &outcome.result {
                    self.tell_failure(outcome, failure, &output);
                }
            }
            return Err(error);
        }
        let mut checker = Checker::open(&planned.workspace.convoy_dir());
        let mut places = Vec::new();
        let built = self.check_all(&planned, &outcomes, &output, &mut checker, &mut manifest, &mut places)?;
        let built = built.worst(self.join_universal(&planned, &checker, &mut manifest, &mut places)?);
        if let Some(signal) = self.interrupt.came() {
            // What the previous run left in dist stays as it was.
            return Err(Error::interrupted(signal));
        }
        let dist = &planned.workspace.dist_dir;
        let placed = release::place(dist, &places, manifest, &owner(&planned), self.options.keep)?;
        for path in &placed.removed {
            let path = shorten(path, &planned.workspace.cwd);
            self.reporter.debug(Phase::Package, format!("removed {path} of an earlier run")).send();
        }
        checker.remember(&places, dist);
        checker.close();
        self.close(&planned, &placed.manifest, &outcomes);
        Ok((placed.manifest, blocked.worst(built)))
    }

    /// What is to be built, with the project's lock: as an earlier run left it where nothing changed, else read and planned
    /// anew, with everything provisioned that the plan names.
    fn plan(&self, cache: &CacheDir) -> Result<(Planned, Option<Prepared>, fs_err::File)> {
        if let Some(planned) = kept::recall(cache, self.selection, &current_dir()?) {
            let lock = self.enter(&planned)?;
            return Ok((planned, None, lock));
        }
        let mut prepared = prepare(self.selection, Network::Allowed, cache, self.reporter, self.interrupt)?;
        let lock = self.enter(&prepared.planned)?;
        self.images(cache).clear(prepared.project.settings.engine.value)?;
        self.provision(&mut prepared, cache)?;
        kept::remember(cache, self.selection, &prepared);
        Ok((prepared.planned.clone(), Some(prepared), lock))
    }

    /// Reports a failure that was not reported while it could still lead to another route.
    fn tell_failure(&self, outcome: &CellOutcome, failure: &Failure, output: &Reported) {
        if failure.cause.is_some() {
            build::tell_failure(self.reporter, &outcome.id, failure, outcome.took, output);
        }
    }

    /// Inspects what was built, and lists what was not.
    fn check_all(
        &self,
        planned: &Planned,
        outcomes: &[CellOutcome],
        output: &Reported,
        checker: &mut Checker,
        manifest: &mut Manifest,
        places: &mut Vec<Place>,
    ) -> Result<Exit> {
        let mut exit = Exit::Success;
        for outcome in outcomes {
            let Some(cell) = planned.plan.cell(&outcome.id) else { continue };
            match &outcome.result {
                CellResult::Built(artifacts) => {
                    for artifact in artifacts {
                        exit = exit.worst(self.check(planned, cell, artifact, checker, manifest, places)?);
                    }
                }
                CellResult::Failed(failure) => {
                    self.tell_failure(outcome, failure, output);
                    let internal = matches!(failure.code, Code::DiskFull | Code::SetupFailed | Code::EngineFailed);
                    exit = exit.worst(if internal { Exit::Work } else { Exit::BuildFailed });
                    manifest.failed.push(self.failed(planned, cell, failure));
                }
                CellResult::Interrupted => {
                    let message = "interrupted before it was built";
                    let status = FailedStatus::Interrupted;
                    manifest.failed.push(failed(cell, planned, status, Code::Interrupted, message, None));
                }
            }
        }
        Ok(exit)
    }

    /// Says what is to be said at every run, and makes sure of the folders; gives the project's lock.
    fn enter(&self, planned: &Planned) -> Result<fs_err::File> {
        planned.workspace.warn(self.reporter);
        let convoy_dir = planned.workspace.convoy_dir();
        fs_err::create_dir_all(&convoy_dir)?;
        let lock = self.lock(&convoy_dir)?;
        self.writable_dist(&planned.workspace.dist_dir)?;
        let cells = planned.plan.cells.iter().map(|cell| &cell.cell);
        let paths = cells.flat_map(|cell| {
            let bins = planned.workspace.bins.iter().filter(|bin| bin.is_of(&cell.id));
            bins.map(|bin| file_name(&bin.name, &cell.target)).map(|file| format!("{}/{file}", cell.id))
        });
        let halves = planned.plan.cells.iter().filter(|cell| cell.cell.universal);
        let joined = halves.flat_map(|half| {
            let bins = planned.workspace.bins.iter().filter(|bin| bin.is_of(&half.cell.id));
            bins.map(|bin| format!("{}/{}", UNIVERSAL.triple, file_name(&bin.name, &half.cell.target)))
        });
        let paths = paths.chain(joined).collect();
        release::refuse_others(&planned.workspace.dist_dir, &owner(planned), self.options.keep, &paths)?;
        Ok(lock)
    }

    fn tell_hint(&self, hint: Option<&str>) {
        for hint in hint.into_iter().flat_map(str::lines) {
            self.reporter.text(&format!("        hint: {hint}"));
        }
    }

    /// One run at a time in a project; the second waits and says so.
    fn lock(&self, convoy_dir: &Utf8Path) -> Result<fs_err::File> {
        let file = files::lock_file(&convoy_dir.join(".lock"))?;
        self.interrupt.lock(&file, || {
            let message = "waiting for another `cargo convoy build` in this project to finish";
            self.reporter.info(Phase::Plan, message).code(Code::Waiting).send();
        })?;
        self.warn_without_locks();
        Ok(file)
    }

    /// Where files cannot be locked, two runs at once would disturb each other.
    fn warn_without_locks(&self) {
        for folder in self.interrupt.take_without_locks() {
            let message = format!(
                "the file system of `{folder}` does not support locks; do not run two builds there at the same time"
            );
            self.reporter.warning(Phase::Build, message).code(Code::NoLocks).send();
        }
    }

    /// Found out before minutes of compiling, not after.
    fn writable_dist(&self, dist: &Utf8Path) -> Result<()> {
        let hint = "choose another directory with `--dist-dir`, or make this one writable";
        if dist.exists() && !dist.is_dir() {
            return Err(Error::work(format!("cannot use `{dist}` as the dist directory: it is a file")).hint(hint));
        }
        if let Some(file) = release::foreign(dist) {
            return Err(Error::work(format!("refusing to replace `{file}`, which was not written by convoy")).hint(
                "move that file away, or choose another directory with `--dist-dir` or `dist-dir` in `Convoy.toml`",
            ));
        }
        let existed = dist.is_dir();
        let tried = fs_err::create_dir_all(dist).and_then(|()| tempfile::tempfile_in(dist).map(drop));
        if !existed {
            // Only when still empty: nothing is to appear before there is something to put in.
            let _ = fs_err::remove_dir(dist);
        }
        tried.map_err(|error| {
            Error::work(format!("could not write to the dist directory `{dist}`")).because(error).hint(hint)
        })
    }

    fn job<'b>(&'b self, planned: &'b Planned, cache: &'b CacheDir) -> Result<Job<'b>> {
        let convoy_dir = planned.workspace.convoy_dir();
        let exe = std::env::current_exe()?;
        let exe = Utf8PathBuf::from_path_buf(exe).map_err(|exe| {
            Error::work(format!("the path of the `cargo-convoy` executable is not UTF-8: `{}`", exe.display()))
        })?;
        let build_dir = has_build_dir(&planned.workspace.cwd, &planned.machine.rustc.host);
        if build_dir && convoy_dir.as_str().contains(['{', '}']) {
            let message = format!(
                "cargo would read `{{…}}` in the path `{convoy_dir}` as a template variable of `build.build-dir`"
            );
            let hint = "remove `build.build-dir` from cargo's configuration, or choose another `--target-dir`";
            return Err(Error::work(message).hint(hint));
        }
        Ok(Job {
            build_dir,
            plan: &planned.plan,
            selection: self.selection,
            profile: &planned.workspace.profile,
            bins: &planned.workspace.bins,
            host: &planned.machine,
            flags: &planned.workspace.flags,
            cache,
            convoy_dir,
            manifest_path: planned.workspace.manifest_path.clone(),
            dist_dir: planned.workspace.dist_dir.clone(),
            cwd: planned.workspace.cwd.clone(),
            exe,
            sources: planned.workspace.sources(),
            packages: planned.workspace.local_packages(),
            machine: match planned.plan.lanes.iter().any(|lane| lane.image.is_some()) {
                true => self.images(cache).ready(&planned.machine)?,
                false => String::new(),
            },
            run: self.run.clone(),
            crates: planned.workspace.packages.iter().map(|(id, dirs)| (id.clone(), dirs.len())).collect(),
            crate_dirs: &planned.workspace.packages,
            reporter: self.reporter,
            interrupt: self.interrupt,
        })
    }

    fn close(&self, planned: &Planned, manifest: &Manifest, outcomes: &[CellOutcome]) {
        self.reporter.clear();
        let times: BTreeMap<&str, f64> =
            outcomes.iter().map(|outcome| (outcome.id.as_str(), outcome.took.as_secs_f64())).collect();
        let style = self.reporter.style();
        if !style.quiet {
            self.reporter.text(&format!("\n{}\n", table::closing(manifest, &|id| times.get(id).copied(), style)));
        }
        let good = manifest.artifacts.len();
        let binaries = if good == 1 { "binary" } else { "binaries" };
        let dist = shorten(&planned.workspace.dist_dir, &planned.workspace.cwd);
        let failed: BTreeSet<&str> = manifest.failed.iter().map(|row| row.id.as_str()).collect();
        let took = self.started.elapsed();
        match failed.len() {
            0 => self.reporter.info(Phase::Finish, format!("{good} verified {binaries} in {dist}")).took(took).send(),
            bad => {
                let all = planned.plan.cells.len() + usize::from(failed.contains(UNIVERSAL.triple));
                let targets = if all == 1 { "target" } else { "targets" };
                let message = format!("{bad} of {all} {targets}; {good} verified {binaries} in {dist}");
                self.reporter.error(Phase::Finish, message).code(Code::Failed).took(took).send();
            }
        }
    }
}

fn shorten(path: &Utf8Path, cwd: &Utf8Path) -> String {
    match path.strip_prefix(cwd) {
        Ok(rest) if rest.as_str().is_empty() => ".".to_owned(),
        rest => rest.unwrap_or(path).to_string(),
    }
}
