//! `cargo convoy build` and `cargo convoy plan`.

mod retry;

use crate::cli::PlanArgs;
use clap::Args;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use camino::Utf8Path;

use crate::build::smoke::{Smoke, SmokeImage};
use crate::build::{self, CellOutcome, CellResult, ENGINE_FAILED, Failure, Job, Told, smoke};
use crate::command::images::ImageBringer;
use crate::command::prepare::{Network, Prepared, Project, Warning, drop_aside, look, prepare, run_id};
use crate::command::sysroots::Bringer;
use crate::command::{current_dir, kept, print, print_json};
use crate::machine::engine::Engine;
use crate::machine::interrupt::Interrupt;
use crate::machine::{CacheDir, HostFacts, has_build_dir};
use crate::model::catalog::Catalog;
use crate::model::recipe::Recipe;
use crate::model::request::{BuildOptions, Selection};
use crate::model::sysroot::{LinkedAgainst, Sysroot, SysrootKey};
use crate::model::zig as pinned;
use crate::plan::{CellPlan, Provision, ProvisionKind, Status};
use crate::provision::runs::RunMark;
use crate::provision::{std as rust_std, std::Added, sysroot, zig};
use crate::release::{
    self, Artifact, ArtifactRow, Checked, Checker, FailedRow, FailedStatus, GlibcRow, Manifest, Owner, Place,
    SysrootRow, Tool, Toolchain,
};
use crate::report::{Phase, Reporter, Style, table};
use crate::util::error::{Error, Exit, Result};
use crate::util::files;
use crate::verify::{Expectation, Finding, Level, Linkage};

#[derive(Args, Debug)]
pub struct PlanCommandArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// Print the Dockerfiles of the images that `build` would make
    #[arg(long, help_heading = "Output Options", conflicts_with = "json")]
    pub dockerfile: bool,
}

impl PlanCommandArgs {
    /// The validated request, and whether JSON is asked for.
    pub fn validate(self) -> Result<(Selection, bool), clap::Error> {
        let json = self.plan.json;
        Ok((self.plan.validate()?, json))
    }
}

/// `cargo convoy plan`.
pub(super) fn plan(selection: &Selection, json: bool, style: Style) -> Result<Exit> {
    let (reporter, prepared) = look(selection, style)?;
    let plan = &prepared.project.plan;
    warn(&reporter, &prepared.project);
    if json {
        print_json(plan)?;
    } else {
        let mut text = table::plan(plan, style);
        if style.verbose > 0 {
            for (key, value, origin) in prepared.settings.origins() {
                text.push_str(&format!("\n{key} = {value}  ({origin})"));
            }
        }
        reporter.text(&text);
    }
    let exit = if plan.has_blocked() { Exit::Blocked } else { Exit::Success };
    drop_aside(prepared);
    Ok(exit)
}

/// `cargo convoy plan --dockerfile`: what a machine that has no image yet would make, whatever images are here.
pub(super) fn dockerfiles(selection: &Selection, style: Style) -> Result<Exit> {
    let (reporter, prepared) = look(selection, style)?;
    let plan = &prepared.project.plan;
    warn(&reporter, &prepared.project);
    let mut recipes: BTreeMap<String, (&Recipe, Vec<&str>)> = BTreeMap::new();
    for cell in &plan.cells {
        if let Some(recipe) = cell.image.as_ref().and_then(|image| image.wanted.as_ref()) {
            recipes.entry(recipe.tag()).or_insert((recipe, Vec::new())).1.push(&cell.cell.id);
        }
    }
    let files =
        recipes.iter().map(|(tag, (recipe, ids))| format!("# {tag} for {}\n{}", ids.join(", "), recipe.dockerfile()));
    print(&files.collect::<Vec<_>>().join("\n"))?;
    if recipes.is_empty() {
        let own = plan.cells.iter().any(|cell| cell.image.is_some());
        reporter.text(match own {
            true => "no Dockerfile to print: the targets that are built in a container use your own images",
            false => "no Dockerfile to print: no target of this plan is built in a container",
        });
    }
    for cell in plan.cells.iter().filter(|cell| cell.status == Status::Blocked) {
        reporter.error(Phase::Plan, cell.because.clone()).target(&cell.cell.id).code("blocked").send();
    }
    Ok(if plan.has_blocked() { Exit::Blocked } else { Exit::Success })
}

fn warn(reporter: &Reporter, project: &Project) {
    for Warning { target, code, message } in &project.warnings {
        let warning = reporter.warning(Phase::Plan, message.clone()).code(code);
        match target {
            Some(target) => warning.target(target).send(),
            None => warning.send(),
        }
    }
}

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
            reporter.debug(Phase::Finish, error.to_string()).code("ended").send();
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
    fn images<'b>(&'b self, cache: &'b CacheDir) -> ImageBringer<'b> {
        let Build { selection, reporter, interrupt, run, mark, .. } = self;
        ImageBringer { selection, cache, reporter, interrupt, run, mark }
    }

    fn run(&self) -> Result<(Manifest, Exit)> {
        let cache = CacheDir::find()?;
        let (mut project, prepared, _lock) = match kept::recall(&cache, self.selection, &current_dir()?) {
            Some(project) => {
                let lock = self.enter(&project)?;
                (project, None, lock)
            }
            None => {
                let mut prepared = prepare(self.selection, Network::Allowed, &cache, self.reporter, self.interrupt)?;
                let lock = self.enter(&prepared.project)?;
                self.images(&cache).clear(prepared.settings.engine.value)?;
                self.provision(&mut prepared, &cache)?;
                kept::remember(&cache, self.selection, &prepared);
                (prepared.project.clone(), Some(prepared), lock)
            }
        };
        let convoy_dir = project.convoy_dir();
        for plan in &project.plan.sysroots {
            project.host.sysroots.get(&plan.key.to_string()).inspect(|sysroot| sysroot::touch(sysroot));
        }

        let mut manifest = self.empty_manifest(&project);
        let mut exit = self.blocked(&project, &mut manifest);

        self.images(&cache).try_files(&mut project)?;
        let mut outcomes = build::run_lanes(&self.job(&project, &cache, convoy_dir.clone())?)?;
        let retried = self.retry(&mut project, prepared, &mut outcomes, &cache);
        let prepared = &project;
        let told = Told::default();
        let tell = |outcome: &CellOutcome, failure: &Failure| {
            if failure.cause.is_some() {
                build::tell_failure(self.reporter, &outcome.id, failure, outcome.took, &told);
            }
        };
        if let Err(error) = retried {
            for outcome in &outcomes {
                if let CellResult::Failed(failure) = &outcome.result {
                    tell(outcome, failure);
                }
            }
            return Err(error);
        }
        let mut checker = Checker::open(&convoy_dir);
        let mut places = Vec::new();
        for outcome in &outcomes {
            let Some(cell) = prepared.plan.cell(&outcome.id) else { continue };
            match &outcome.result {
                CellResult::Built(artifacts) => {
                    for artifact in artifacts {
                        let worst = self.check(prepared, cell, artifact, &mut checker, &mut manifest, &mut places)?;
                        exit = exit.worst(worst);
                    }
                }
                CellResult::Failed(failure) => {
                    tell(outcome, failure);
                    let own = matches!(failure.code, "disk-full" | "setup-failed" | ENGINE_FAILED);
                    exit = exit.worst(if own { Exit::Work } else { Exit::BuildFailed });
                    manifest.failed.push(self.failed(prepared, cell, failure));
                }
                CellResult::Interrupted => {
                    let row = failed(
                        cell,
                        prepared,
                        FailedStatus::Interrupted,
                        "interrupted",
                        "interrupted before it was built",
                        None,
                    );
                    manifest.failed.push(row);
                }
            }
        }
        if let Some(signal) = self.interrupt.came() {
            // What the previous run left in dist stays as it was.
            return Err(Error::interrupted(signal));
        }
        let placed = release::place(&prepared.dist_dir, &places, manifest, &owner(prepared), self.options.keep)?;
        for path in &placed.removed {
            let path = shorten(path, &prepared.cwd);
            self.reporter.debug(Phase::Package, format!("removed {path} of an earlier run")).send();
        }
        checker.remember(&places, &prepared.dist_dir);
        checker.close();
        self.close(prepared, &placed.manifest, &outcomes);
        Ok((placed.manifest, exit))
    }

    /// Says which targets are blocked, and lists them.
    fn blocked(&self, project: &Project, manifest: &mut Manifest) -> Exit {
        let mut exit = Exit::Success;
        for cell in project.plan.cells.iter().filter(|cell| cell.status == Status::Blocked) {
            let (own, status, code) = match cell.broken {
                true => (Exit::Work, FailedStatus::Failed, "supply-failed"),
                false => (Exit::Blocked, FailedStatus::Blocked, "blocked"),
            };
            exit = exit.worst(own);
            self.reporter.error(Phase::Plan, cell.because.clone()).target(&cell.cell.id).code(code).send();
            self.tell_hint(cell.hint.as_deref());
            manifest.failed.push(failed(cell, project, status, code, &cell.because, cell.hint.clone()));
        }
        exit
    }

    /// Says what to do about a build that failed; gives its row.
    fn failed(&self, project: &Project, cell: &CellPlan, failure: &Failure) -> FailedRow {
        let log = project.convoy_dir().join("logs").join(format!("{}.log", cell.cell.id));
        let log = format!("see the full log in {}", shorten(&log, &project.cwd));
        let hint = match &failure.hint {
            Some(hint) if failure.cause.is_some() => format!("{hint}; {log}"),
            Some(hint) => hint.clone(),
            None => log,
        };
        self.tell_hint(Some(&hint));
        let cause = failure.cause.as_ref().map(|cause| cause.code.clone());
        let row = failed(cell, project, FailedStatus::Failed, failure.code, &failure.message, Some(hint));
        FailedRow { cause, ..row }
    }

    /// Says what is to be said at every run, and makes sure of the folders; gives the project's lock.
    fn enter(&self, project: &Project) -> Result<fs_err::File> {
        warn(self.reporter, project);
        let convoy_dir = project.convoy_dir();
        fs_err::create_dir_all(&convoy_dir)?;
        let lock = self.lock(&convoy_dir)?;
        self.writable_dist(&project.dist_dir)?;
        let cells = project.plan.cells.iter().map(|cell| &cell.cell);
        let paths = cells.flat_map(|cell| {
            let bins = project.bins.iter().filter(|bin| bin.is_of(&cell.id));
            bins.map(|bin| file_name(&bin.name, &cell.target)).map(|file| format!("{}/{file}", cell.id))
        });
        release::refuse_others(&project.dist_dir, &owner(project), self.options.keep, &paths.collect())?;
        Ok(lock)
    }

    fn tell_hint(&self, hint: Option<&str>) {
        if let Some(hint) = hint {
            self.reporter.text(&format!("        hint: {hint}"));
        }
    }

    /// One run at a time in a project; the second waits and says so.
    fn lock(&self, convoy_dir: &Utf8Path) -> Result<fs_err::File> {
        let file = files::lock_file(&convoy_dir.join(".lock"))?;
        self.interrupt.lock(&file, || {
            let message = "waiting for another `cargo convoy build` in this project to finish";
            self.reporter.info(Phase::Plan, message).code("waiting").send();
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
            self.reporter.warning(Phase::Build, message).code("no-locks").send();
        }
    }

    /// Found out before minutes of compiling, not after.
    fn writable_dist(&self, dist: &Utf8Path) -> Result<()> {
        let hint = "choose another directory with `--dist-dir`, or make this one writable";
        if dist.exists() && !dist.is_dir() {
            return Err(Error::work(format!("cannot use `{dist}` as the dist directory: it is a file")).hint(hint));
        }
        if let Some(file) = release::foreign(dist) {
            return Err(Error::work(format!("refusing to replace `{file}`, which was not written by cargo convoy"))
                .hint(
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

    /// Brings what the plan names, and plans again with what came and what did not.
    fn provision(&self, prepared: &mut Prepared, cache: &CacheDir) -> Result<()> {
        loop {
            let mut wanted: BTreeSet<Provision> = BTreeSet::new();
            wanted.extend(prepared.project.plan.cells.iter().flat_map(|cell| cell.provision.clone()));
            if wanted.is_empty() {
                if self.images(cache).hold(prepared)? {
                    return Ok(());
                }
                prepared.decide();
                continue;
            }
            for provision in wanted {
                self.interrupt.check()?;
                match provision.kind {
                    ProvisionKind::Image => self.images(cache).bring(&provision.name, prepared)?,
                    ProvisionKind::Sysroot => {
                        self.images(cache).lend_apt(&provision.name, prepared)?;
                        let Build { selection, reporter, interrupt, .. } = self;
                        let offline = prepared.settings.provisioning.forbids_network().is_some();
                        Bringer { selection, cache, reporter, interrupt, offline }.bring(&provision.name, prepared)?;
                    }
                    _ => self.bring(&provision, &mut prepared.project.host, cache)?,
                }
            }
            prepared.decide();
        }
    }

    fn bring(&self, provision: &Provision, host: &mut HostFacts, cache: &CacheDir) -> Result<()> {
        let started = Instant::now();
        let toolchain = host.toolchain.clone().unwrap_or_default();
        let announce = |what: String| self.reporter.info(Phase::Provision, what).send();
        let done = |what: String| self.reporter.debug(Phase::Provision, what).took(started.elapsed()).send();
        match provision.kind {
            ProvisionKind::Std => {
                let triple = &provision.name;
                announce(format!("the standard library for {triple} (rustup, toolchain {toolchain})"));
                match rust_std::add_target(&toolchain, triple, self.interrupt)? {
                    Added::Yes => {
                        host.std.insert(triple.clone());
                        done(format!("the standard library for {triple}"));
                    }
                    Added::No(why) => {
                        self.reporter
                            .debug(
                                Phase::Provision,
                                format!("rustup could not install the standard library for {triple}: {why}"),
                            )
                            .code("std-missing")
                            .send();
                        host.refused_std.insert(triple.clone(), why);
                    }
                }
            }
            ProvisionKind::RustSrc => {
                announce(format!("the standard library's source (rustup, toolchain {toolchain})"));
                match rust_std::add_component(&toolchain, "rust-src", self.interrupt)? {
                    Added::Yes => host.rust_src = true,
                    // The cells that need it are blocked with this reason; the others still build.
                    Added::No(why) => {
                        self.reporter
                            .debug(Phase::Provision, format!("rustup could not install rust-src: {why}"))
                            .code("rust-src-missing")
                            .send();
                        host.refused_src = Some(why);
                    }
                }
            }
            // These change more than the host's facts.
            ProvisionKind::Sysroot | ProvisionKind::Image => {}
            ProvisionKind::Zig => {
                let size = provision.bytes.map(|bytes| format!(", about {}", table::size_text(bytes)));
                let version = pinned::version();
                announce(format!("zig {version} (by pip, into convoy's cache{})", size.unwrap_or_default()));
                match zig::bring(cache, self.interrupt) {
                    Ok(brought) => {
                        if let Some(fault) = brought.replaced {
                            let message = format!(
                                "the zig in convoy's cache differs from the published one and is replaced: {fault}"
                            );
                            self.reporter.warning(Phase::Provision, message).code("zig-damaged").send();
                        }
                        host.zig = Some(brought.facts);
                        done(format!("zig {version}"));
                    }
                    Err(error) if self.interrupt.came().is_some() => return Err(error),
                    // The cells that need it are blocked with this reason; the others still build.
                    Err(error) => {
                        self.reporter.warning(Phase::Provision, error.to_string()).code("zig-missing").send();
                        host.zig_unavailable = Some(error.to_string());
                    }
                }
            }
        }
        Ok(())
    }

    fn job<'b>(
        &'b self,
        prepared: &'b Project,
        cache: &'b CacheDir,
        convoy_dir: camino::Utf8PathBuf,
    ) -> Result<Job<'b>> {
        let exe = std::env::current_exe()?;
        let exe = camino::Utf8PathBuf::from_path_buf(exe).map_err(|exe| {
            Error::work(format!("the path of the `cargo-convoy` executable is not UTF-8: `{}`", exe.display()))
        })?;
        let build_dir = has_build_dir(&prepared.cwd, &prepared.host.rustc.host);
        if build_dir && convoy_dir.as_str().contains(['{', '}']) {
            let message = format!(
                "cargo would read `{{…}}` in the path `{convoy_dir}` as a template variable of `build.build-dir`"
            );
            let hint = "remove `build.build-dir` from cargo's configuration, or choose another `--target-dir`";
            return Err(Error::work(message).hint(hint));
        }
        Ok(Job {
            build_dir,
            plan: &prepared.plan,
            selection: self.selection,
            profile: &prepared.profile,
            bins: &prepared.bins,
            host: &prepared.host,
            flags: &prepared.flags,
            cache,
            convoy_dir,
            manifest_path: prepared.manifest_path.clone(),
            dist_dir: prepared.dist_dir.clone(),
            cwd: prepared.cwd.clone(),
            exe,
            sources: prepared.sources(),
            packages: prepared.local_packages(),
            machine: match prepared.plan.lanes.iter().any(|lane| lane.image.is_some()) {
                true => self.images(cache).ready(&prepared.host)?,
                false => String::new(),
            },
            run: self.run.clone(),
            crates: prepared.packages.iter().map(|(id, dirs)| (id.clone(), dirs.len())).collect(),
            crate_dirs: &prepared.packages,
            reporter: self.reporter,
            interrupt: self.interrupt,
        })
    }

    /// What a container built is started in one, too.
    fn smoke_image<'b>(&'b self, prepared: &'b Project, cell: &'b CellPlan) -> Option<SmokeImage<'b>> {
        let (Some(image), Engine::Found(engine), Some(mark)) = (&cell.image, &prepared.host.engine, self.mark.get())
        else {
            return None;
        };
        Some(SmokeImage { engine, reference: engine.image(&image.reference), machine: &mark.machine, run: &self.run })
    }

    /// Inspects one binary; a right one is on its way to dist, a wrong one is listed.
    fn check(
        &self,
        prepared: &Project,
        cell: &CellPlan,
        artifact: &Artifact,
        checker: &mut Checker,
        manifest: &mut Manifest,
        places: &mut Vec<Place>,
    ) -> Result<Exit> {
        let id = &cell.cell.id;
        let catalog = Catalog::embedded();
        let sysroot = sysroot_of(prepared, cell);
        let expectation = expectation(prepared, cell);
        let dirs = || prepared.packages.get(id).cloned().unwrap_or_default();
        let Checked { sha256, size, inspection, mut findings, runtime_packages, sonames } =
            checker.check(artifact, expectation, &dirs)?;
        if self.options.smoke {
            let smoke = Smoke {
                binary: &artifact.path,
                triple: &cell.cell.target,
                target: catalog.target(&cell.cell.target),
                is_static: inspection.as_ref().is_some_and(|it| it.linkage == Linkage::Static),
                host: &prepared.host.rustc.host,
                cpu: cell.cell.cpu.as_deref(),
                root: sysroot.map(|(_, sysroot)| sysroot.root.as_path()),
                image: self.smoke_image(prepared, cell),
            };
            let finding = smoke::smoke(&smoke, self.interrupt)?;
            self.reporter.info(Phase::Smoke, format!("{}: {}", artifact.bin.name, finding.message)).target(id).send();
            findings.push(finding);
        }
        for finding in findings.iter().filter(|finding| finding.level == Level::Warning) {
            let message = format!("{}: {}", artifact.bin.name, finding.message);
            self.reporter.warning(Phase::Verify, message).target(id).code(&finding.code).send();
        }
        let violations: Vec<_> = findings.iter().filter(|finding| finding.level == Level::Violation).collect();
        let (Some(inspection), [], Some(route)) = (inspection, violations.as_slice(), cell.route) else {
            let violations: Vec<Finding> = violations.into_iter().cloned().collect();
            manifest.failed.push(self.rejected(prepared, cell, artifact, findings, &violations));
            return Ok(Exit::Rejected);
        };
        self.reporter.debug(Phase::Verify, artifact.bin.name.clone()).target(id).send();
        let path = camino::Utf8PathBuf::from(id).join(file_name(&artifact.bin.name, &cell.cell.target));
        let dist = &prepared.dist_dir;
        places.push(Place {
            up_to_date: checker.placed(&dist.join(&path), &sha256),
            source: artifact.clone(),
            sha256: sha256.clone(),
            path: path.clone(),
        });
        manifest.artifacts.push(ArtifactRow {
            id: id.clone(),
            package: artifact.bin.package.clone(),
            version: artifact.bin.version.clone(),
            bin: artifact.bin.name.clone(),
            target: cell.cell.target.clone(),
            platform: cell.cell.platform.clone(),
            devices: cell.cell.devices.clone(),
            route,
            because: cell.because.clone(),
            path: path.into_string(),
            size,
            sha256,
            format: inspection.format(),
            arch: inspection.arch.clone(),
            cpu: inspection.cpu.clone(),
            linkage: inspection.linkage,
            linker: inspection.linker.clone(),
            interpreter: inspection.interpreter().map(str::to_owned),
            needed: inspection.needed.clone(),
            sysroot: sysroot.map(|(key, sysroot)| SysrootRow { key: key.clone(), digest: sysroot.digest.clone() }),
            runtime_packages,
            sonames,
            glibc: inspection.glibc().map(|seen| GlibcRow { floor: cell.cell.floor, seen: Some(seen) }),
            min_os: inspection.min_os().map(str::to_owned),
            verified: true,
            findings,
        });
        Ok(Exit::Success)
    }

    /// Says why a binary is rejected; gives its row.
    fn rejected(
        &self,
        prepared: &Project,
        cell: &CellPlan,
        artifact: &Artifact,
        findings: Vec<Finding>,
        violations: &[Finding],
    ) -> FailedRow {
        for finding in violations {
            let message = format!("{}: {}", artifact.bin.name, finding.message);
            self.reporter.error(Phase::Verify, message).target(&cell.cell.id).code(&finding.code).send();
        }
        let first = violations.first();
        let hint = format!("inspect the rejected binary in {}", shorten(&artifact.path, &prepared.cwd));
        self.tell_hint(Some(&hint));
        let code = first.map_or("unreadable", |finding| &finding.code);
        let message = first.map_or("the binary could not be read", |finding| &finding.message);
        FailedRow {
            bin: Some(artifact.bin.name.clone()),
            findings,
            ..failed(cell, prepared, FailedStatus::Rejected, code, message, Some(hint))
        }
    }

    fn empty_manifest(&self, prepared: &Project) -> Manifest {
        let dist = &prepared.dist_dir;
        // No absolute path: the manifest travels. A dist folder inside the workspace is told by its depth.
        let inside = dist.strip_prefix(&prepared.workspace_root).ok();
        let relative = inside.map(|rest| vec![".."; rest.components().count()].join("/"));
        Manifest {
            schema: 1,
            kind: "manifest".to_owned(),
            tool: Tool { name: "cargo-convoy".to_owned(), version: crate::VERSION.to_owned() },
            workspace_root: relative.filter(|path| !path.is_empty()),
            profile: prepared.profile.clone(),
            toolchain: Toolchain {
                rustc: prepared.host.rustc.version.clone(),
                cargo: prepared.host.cargo.clone(),
                host: prepared.host.rustc.host.clone(),
            },
            artifacts: Vec::new(),
            failed: Vec::new(),
        }
    }

    fn close(&self, prepared: &Project, manifest: &Manifest, outcomes: &[CellOutcome]) {
        self.reporter.clear();
        let times: BTreeMap<&str, f64> =
            outcomes.iter().map(|outcome| (outcome.id.as_str(), outcome.took.as_secs_f64())).collect();
        let style = self.reporter.style();
        if !style.quiet {
            self.reporter.text(&format!("\n{}\n", table::closing(manifest, &|id| times.get(id).copied(), style)));
        }
        let good = manifest.artifacts.len();
        let binaries = if good == 1 { "binary" } else { "binaries" };
        let dist = shorten(&prepared.dist_dir, &prepared.cwd);
        let failed: BTreeSet<&str> = manifest.failed.iter().map(|row| row.id.as_str()).collect();
        let took = self.started.elapsed();
        match failed.len() {
            0 => self.reporter.info(Phase::Finish, format!("{good} verified {binaries} in {dist}")).took(took).send(),
            bad => {
                let all = prepared.plan.cells.len();
                let targets = if all == 1 { "target" } else { "targets" };
                let message = format!("{bad} of {all} {targets}; {good} verified {binaries} in {dist}");
                self.reporter.error(Phase::Finish, message).code("failed").took(took).send();
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

/// The sysroot that a cell's libraries come from, where it has one.
fn sysroot_of<'p>(prepared: &'p Project, cell: &'p CellPlan) -> Option<(&'p SysrootKey, &'p Sysroot)> {
    let key = cell.sysroot.as_ref()?;
    Some((key, prepared.host.sysroots.get(&key.to_string())?))
}

/// What a right binary of a cell is.
fn expectation(prepared: &Project, cell: &CellPlan) -> Expectation {
    let catalog = Catalog::embedded();
    Expectation {
        floor: cell.cell.floor,
        cpu: cell.cell.cpu.clone(),
        sysroot: sysroot_of(prepared, cell).and_then(|(key, sysroot)| {
            let multiarch = catalog.target(&cell.cell.target)?.multiarch.as_deref()?;
            Some(LinkedAgainst::new(key, sysroot, multiarch))
        }),
        ..Expectation::of_triple(&cell.cell.target, catalog)
    }
}

/// A bin's file in dist.
fn file_name(bin: &str, target: &str) -> String {
    format!("{bin}{}", if target.contains("-windows-") { ".exe" } else { "" })
}

fn owner(project: &Project) -> Owner<'_> {
    Owner { workspace_root: &project.workspace_root, packages: project.names.clone() }
}

fn failed(
    cell: &CellPlan,
    prepared: &Project,
    status: FailedStatus,
    code: &str,
    message: &str,
    hint: Option<String>,
) -> FailedRow {
    let packages: BTreeSet<&str> = prepared.bins.iter().map(|bin| bin.package.as_str()).collect();
    FailedRow {
        id: cell.cell.id.clone(),
        package: packages.into_iter().collect::<Vec<_>>().join(", "),
        bin: None,
        target: cell.cell.target.clone(),
        route: cell.route,
        status,
        code: code.to_owned(),
        cause: None,
        message: message.to_owned(),
        findings: Vec::new(),
        hint,
    }
}
