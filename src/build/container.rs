//! A lane in a container: cargo's command line and environment become a script, which the engine starts in an image that
//! sees the lane's folders and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use crate::build::Job;
use crate::build::cargo::{self, Fault, Invocation, Outcome};
use crate::build::hidden::{hidden_folder, secret_files};
use crate::build::jobserver::{Seat, Share};
use crate::build::lane_files::text_of_lane;
use crate::build::setup::LaneEnvironment;
use crate::build::streaming::{self, Streaming, uses_zig};
use crate::machine::engine::{Engine, EngineFacts};
use crate::machine::{cargo_command, process_environment};
use crate::model::code::Code;
use crate::plan::container::{
    CARGO_PARTS, Confinement, Entry, Gathered, ImagePlan, Mount, Places, Start, entering, included, masked, mounts,
};
use crate::plan::{CellPlan, Lane};
use crate::project::config::ContainerSettings;
use crate::project::needs;
use crate::provision::engine::caller;
use crate::report::Phase;
use crate::util::error::{Error, Result};
use crate::util::files;

/// The file of a lane that tells whether cargo came to its end inside.
const ENDED: &str = "ended";

/// The file of a lane that its container writes the CPU time to that it used.
pub(super) const USAGE: &str = "cpu-usage";

/// How long an engine may take to remove a container.
const REMOVAL: Duration = Duration::from_secs(20);

/// A container that is to run a lane's cargo.
#[derive(Debug)]
pub(super) struct Container<'a> {
    job: &'a Job<'a>,
    engine: &'a EngineFacts,
    image: &'a ImagePlan,
    settings: &'a ContainerSettings,
    name: String,
}

impl<'a> Container<'a> {
    /// For a lane; none for one that runs on this machine itself.
    pub(crate) fn of(job: &'a Job<'a>, lane: &Lane, cells: &[&'a CellPlan]) -> Result<Option<Self>> {
        let Some(image) = cells.iter().find_map(|cell| cell.image.as_ref()) else { return Ok(None) };
        let Engine::Found(engine) = &job.host.engine else {
            return Err(Error::work("internal error: the plan uses a container, but there is no container engine"));
        };
        let settings = cells.first().map(|cell| &cell.container);
        let settings = settings.ok_or_else(|| Error::work("internal error: a cargo invocation without targets"))?;
        // Letters that every engine takes in a name.
        let name = format!("convoy-{}-{}", job.run, &files::sha256(&lane.id)[..8]);
        Ok(Some(Self { job, engine, image, settings, name }))
    }

    /// What starts cargo inside: the engine's command line, and the script for the container's shell. That one has variables
    /// with values that may be secrets, and so is no file that would stay.
    pub(crate) fn start(
        &self,
        lane: &Lane,
        cells: &[&CellPlan],
        environment: &LaneEnvironment,
        invocation: &Invocation,
        share: &Share,
        dir: &Utf8Path,
    ) -> Result<cargo::Start> {
        let lane_dir = self.job.convoy_dir.join("tools").join(&lane.id);
        fs_err::create_dir_all(&lane_dir)?;
        let mut places = self.places(cells, environment, dir)?;
        let cargo_home = self.cargo_home()?;
        for part in CARGO_PARTS {
            // What is mounted must be there.
            fs_err::create_dir_all(cargo_home.join(part))?;
        }
        self.configure_cargo(&lane_dir, &cargo_home, &mut places)?;
        if self.engine.mounts() {
            // Where files are sent, this folder is not among them.
            let hidden = hidden_folder(&self.job.convoy_dir, &places.sources);
            places.hidden = hidden.map(|dir| (dir.to_owned(), lane_dir.join("hidden")));
        }
        places.cargo_home = cargo_home.clone();
        let entry = Entry {
            before: Some(share.lines.trim_end().to_owned()).filter(|line| !line.is_empty()).into_iter().collect(),
            ..self.entry(environment, invocation, &cargo_home, dir)
        };
        places.more.extend(share.fifo.iter().map(|fifo| Mount::write(fifo)));
        // Of an earlier run.
        files::remove_if_there(&dir.join(ENDED))?;
        places.read.push(lane_dir);
        if self.engine.mounts() {
            // Where files are sent, links of these folders are followed there.
            places.read.extend(CARGO_PARTS.iter().flat_map(|part| linked(&cargo_home.join(part))));
        }
        places.resolve(&|path| path.canonicalize_utf8().ok());
        let mut mounts = mounts(&places);
        if let Some(stand_in) = &places.cargo_stand_in {
            make_places(stand_in, &cargo_home, &mounts)?;
        }
        if let Some((dir, stand_in)) = &places.hidden {
            fs_err::create_dir_all(stand_in)?;
            make_places(stand_in, dir, &mounts)?;
        }
        let mut volumes = Vec::new();
        if let Some(streaming) = self.streaming() {
            volumes = streaming.fill_volumes(&mounts, &places, lane, cells, environment, dir)?;
            mounts.clear();
        }
        let confinement = Confinement {
            network: self.settings.network.unwrap_or(false),
            // An image of the user may need to write anywhere.
            writable_root: self.image.recipe().is_none(),
            memory: self.settings.memory.clone(),
            cpus: self.settings.cpus.clone(),
            ..Confinement::default()
        };
        let start = Start {
            engine: self.engine,
            image: self.engine.image(&self.image.reference),
            name: Some(&self.name),
            machine: &self.job.machine,
            run: &self.job.run,
            user: caller(),
            mounts: &mounts,
            volumes: &volumes,
            confinement: &confinement,
        };
        let mut command = Command::new(&self.engine.program);
        command.current_dir(&self.job.cwd).args(start.args_with_input("/bin/sh")).arg("-s");
        Ok(cargo::Start { command, input: Some(entry.text()) })
    }

    /// How files come and go where the engine does not see those of this machine.
    fn streaming(&self) -> Option<Streaming<'_>> {
        let streaming =
            Streaming { job: self.job, engine: self.engine, image: self.engine.image(&self.image.reference) };
        (!self.engine.mounts()).then_some(streaming)
    }

    /// This program, as wrappers inside start it.
    pub(crate) fn program(&self) -> Utf8PathBuf {
        if self.engine.mounts() { self.job.exe.clone() } else { streaming::program() }
    }

    /// Copies what was built to this machine, if it is not there already.
    pub(crate) fn fetch_built(&self, dir: &Utf8Path, outcome: &Outcome) -> Result<()> {
        let Some(streaming) = self.streaming() else { return Ok(()) };
        let built: Vec<Utf8PathBuf> = outcome.executables.iter().map(|(_, _, file)| file.clone()).collect();
        streaming.fetch(dir, &built)
    }

    /// How its cargo takes its tokens: a pipe that is mounted is the same inside.
    pub(crate) fn share(&self, seat: &Seat) -> Share {
        if self.engine.mounts() && cfg!(target_os = "linux") { seat.in_script() } else { seat.apart() }
    }

    /// What the lane sees of this machine.
    fn places(&self, cells: &[&CellPlan], environment: &LaneEnvironment, dir: &Utf8Path) -> Result<Places> {
        let job = self.job;
        let mut read: Vec<Utf8PathBuf> =
            cells.iter().map(|cell| job.convoy_dir.join("tools").join(&cell.cell.id)).collect();
        read.retain(|path| path.exists());
        for cell in cells {
            let sysroot = cell.setup.sysroot.as_ref().and_then(|name| job.host.sysroots.get(name));
            read.extend(sysroot.map(|sysroot| sysroot.root.clone()));
        }
        // zig, and this very program as a linker's shim, are started by wrappers.
        let zig = job.host.zig.as_ref().map(|zig| zig.path.parent().unwrap_or(&zig.path).to_owned());
        read.extend(environment.set.get("SDKROOT").map(Utf8PathBuf::from));
        let room = |room: &str| Some(job.cache.root().join(room)).filter(|room| room.is_dir());
        if self.engine.mounts() {
            read.extend(zig);
            read.push(job.exe.clone());
            read.extend(["libcxx", "zig"].into_iter().filter_map(room));
        } else if cells.iter().any(|cell| uses_zig(cell)) {
            read.extend(zig);
            read.extend(room("libcxx"));
        }
        let volumes = self.settings.mounts(&|name| std::env::var(name).ok())?;
        let more = volumes.into_iter().map(|volume| Mount {
            inside: volume.inside,
            outside: volume.host,
            writable: !volume.read_only,
        });
        Ok(Places {
            sources: job.sources.clone(),
            toolchain: (!self.image.brings_rust).then(|| job.host.rustc.sysroot.clone()),
            lane: dir.to_owned(),
            read,
            more: more.collect(),
            ..Places::default()
        })
    }

    /// Writes cargo's configuration for the inside, and what stands in for files of the project with secrets.
    fn configure_cargo(&self, lane_dir: &Utf8Path, cargo_home: &Utf8Path, places: &mut Places) -> Result<()> {
        let job = self.job;
        let inside = |path: &Utf8Path| places.sources.iter().any(|source| path.starts_with(source));
        let mut gathered = Gathered::default();
        let mut masks: BTreeMap<Utf8PathBuf, String> = BTreeMap::new();
        let mut folders = Vec::new();

        // As cargo does: its own folder, then those above the one that it is started in, the nearest last.
        let mut read: Vec<Utf8PathBuf> = vec![cargo_home.to_owned()];
        let above: Vec<Utf8PathBuf> = job.cwd.ancestors().map(|dir| dir.join(".cargo")).collect();
        read.extend(above.iter().rev().filter(|dir| *dir != cargo_home).cloned());
        for file in read.iter().filter_map(|dir| config_files(dir).into_iter().next()) {
            for file in with_included(file) {
                let (text, base) = (fs_err::read_to_string(&file)?, base_of(&file));
                match (inside(&file), file.starts_with(cargo_home)) {
                    (false, _) => gathered.take(&text, base),
                    (true, true) => gathered.take_whole(&text, base),
                    (true, false) => masks.extend(masked(&text, base, &mut folders).map(|seen| (file, seen))),
                }
            }
        }
        // Others in the project are seen, too, though cargo reads them only where it is started beside them.
        let workdir = self.workdir();
        let beside: BTreeSet<&Utf8Path> =
            job.packages.iter().chain([&workdir]).flat_map(|dir| dir.ancestors()).collect();
        for dir in beside.into_iter().map(|dir| dir.join(".cargo")).filter(|dir| inside(dir) && dir != cargo_home) {
            let strange = !read.contains(&dir) && workdir.starts_with(base_of(&dir.join("config.toml")));
            for file in config_files(&dir).into_iter().flat_map(with_included) {
                let text = fs_err::read_to_string(&file)?;
                // Inside, cargo is started elsewhere than outside, and must not read more for that.
                let seen = if strange { Some(String::new()) } else { masked(&text, base_of(&file), &mut Vec::new()) };
                if let Some(seen) = seen {
                    masks.entry(file).or_insert(seen);
                }
            }
        }
        let skip = [job.convoy_dir.parent().unwrap_or(&job.convoy_dir), &job.dist_dir];
        let skip: Vec<&Utf8Path> = skip.into_iter().filter(|dir| !places.sources.iter().any(|it| it == dir)).collect();
        for (file, seen) in secret_files(&places.sources, &skip) {
            // cargo's own folder is not seen as it is.
            if !file.starts_with(cargo_home) {
                masks.entry(file).or_insert(seen);
            }
        }

        for (number, (file, seen)) in masks.into_iter().enumerate() {
            let path = lane_dir.join(format!("masked-{number}.toml"));
            files::replace(&path, seen)?;
            places.masks.push((file, path));
        }
        let stand_in = lane_dir.join("cargo-home");
        fs_err::create_dir_all(&stand_in)?;
        files::replace(&stand_in.join("config.toml"), gathered.text())?;
        places.read.extend(gathered.folders.into_iter().chain(folders).filter(|folder| folder.exists()));
        places.cargo_stand_in = Some(stand_in);
        Ok(())
    }

    fn entry(
        &self,
        environment: &LaneEnvironment,
        invocation: &Invocation,
        cargo_home: &Utf8Path,
        dir: &Utf8Path,
    ) -> Entry {
        let job = self.job;
        // The same that the plan judged the needs by.
        let process = process_environment();
        let table = needs::set_of(&needs::Table::embedded().variables, &process);
        let entering = entering(&process, &table, &self.settings.variables());
        self.tell_variables(&entering);
        // Those that the project's configuration names are programs of this machine.
        let mut env: BTreeMap<String, String> =
            ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"].map(|name| (name.to_owned(), String::new())).into();
        env.extend(entering);
        // A variable that names a volume holds its place inside.
        let volumes = self.settings.mounts(&|name| std::env::var(name).ok()).unwrap_or_default();
        env.extend(volumes.into_iter().filter_map(|volume| Some((volume.variable?, volume.inside.into_string()))));
        env.extend(invocation.set.clone());
        env.extend([
            ("CARGO_HOME".to_owned(), cargo_home.to_string()),
            ("CARGO_NET_OFFLINE".to_owned(), "true".to_owned()),
            ("HOME".to_owned(), "/tmp/home".to_owned()),
            // On the lane's disk: what compilers write there may be larger than memory.
            ("TMPDIR".to_owned(), dir.join("tmp").to_string()),
            // zig builds each target's C library once, which takes many seconds.
            ("ZIG_GLOBAL_CACHE_DIR".to_owned(), dir.join("zig-cache").to_string()),
        ]);
        let mut path = environment.path.clone();
        let cargo = if self.image.brings_rust {
            "cargo".to_owned()
        } else {
            let bin = job.host.rustc.sysroot.join("bin");
            path.push(bin.clone());
            bin.join("cargo").into_string()
        };
        let mut command = vec![cargo];
        command.extend(invocation.args.iter().cloned());
        if !invocation.args.iter().any(|word| word == "--offline") {
            // Everything was fetched before, outside.
            let place = command.iter().position(|word| word == "build").map_or(1, |place| place + 1);
            command.insert(place, "--offline".to_owned());
        }
        Entry {
            workdir: self.workdir(),
            path,
            env,
            before: Vec::new(),
            command,
            usage: Some(dir.join(USAGE)),
            ended: Some(dir.join(ENDED)),
        }
    }

    /// Says which variables of this machine enter: their names, as their values may be secrets.
    fn tell_variables(&self, entering: &BTreeMap<String, String>) {
        if entering.is_empty() {
            return;
        }
        let names: Vec<&str> = entering.keys().map(String::as_str).collect();
        let message = format!("environment variables passed to the container: {}", names.join(", "));
        self.job.reporter.debug(Phase::Build, message).code(Code::ContainerVariables).send();
    }

    /// cargo's own folder, as cargo finds it.
    fn cargo_home(&self) -> Result<Utf8PathBuf> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
        let home = set("CARGO_HOME").map(|home| self.job.cwd.join(home));
        let home = home.or_else(|| Some(set("HOME")?.join(".cargo")));
        home.filter(|home| home.is_absolute()).ok_or_else(|| {
            Error::work("could not determine cargo's home directory")
                .hint("set `CARGO_HOME` or `HOME` to an absolute path")
        })
    }

    /// Where cargo starts: where the command was started, as far as that is seen inside.
    fn workdir(&self) -> Utf8PathBuf {
        let seen = self.job.sources.iter().any(|source| self.job.cwd.starts_with(source));
        match (&self.job.manifest_path, seen) {
            (_, true) => self.job.cwd.clone(),
            (Some(manifest), false) => manifest.parent().unwrap_or(&self.job.cwd).to_owned(),
            (None, false) => self.job.sources.first().unwrap_or(&self.job.cwd).clone(),
        }
    }

    /// Fetches all crates, so that nothing is to be downloaded inside and no credential enters.
    pub(crate) fn fetch(&self, lane: &Lane, cells: &[&CellPlan]) -> Result<std::result::Result<(), String>> {
        let job = self.job;
        let mut fetch = cargo_command();
        fetch.current_dir(&job.cwd).args(["fetch", "--quiet"]);
        if let Some(manifest) = &job.manifest_path {
            fetch.arg("--manifest-path").arg(manifest);
        }
        for cell in cells {
            fetch.args(["--target", &cell.cell.target]);
        }
        fetch.args(["--target", &job.host.rustc.host]);
        fetch.args(job.selection.locked.then_some("--locked"));
        fetch.args(job.selection.offline.then_some("--offline"));
        if let Err(answer) = self.ends_well(&mut fetch)? {
            return Ok(Err(answer));
        }
        if !lane.build_std {
            return Ok(Ok(()));
        }
        let library = job.host.rustc.sysroot.join("lib/rustlib/src/rust/library/Cargo.toml");
        let mut fetch = cargo_command();
        // The dependencies of std; only std's own cargo may read its manifest.
        fetch.args(["fetch", "--quiet", "--locked", "--manifest-path"]).arg(library).env("RUSTC_BOOTSTRAP", "1");
        self.ends_well(&mut fetch)
    }

    fn ends_well(&self, command: &mut Command) -> Result<std::result::Result<(), String>> {
        let done = self.job.interrupt.output(command)?.map_err(|error| {
            Error::work("could not start `cargo`")
                .because(error)
                .hint("check that Rust is installed and `cargo` is on PATH")
        })?;
        let answer = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        Ok(if done.status.success() { Ok(()) } else { Err(answer) })
    }

    /// Makes sure that the container is gone. An engine removes one that ended; one whose client was ended goes on.
    pub(crate) fn remove(&self) {
        remove(self.engine, &self.name);
    }

    /// Why cargo did not come to its end inside, if so; `told` is what was said on standard error.
    pub(crate) fn fault(&self, dir: &Utf8Path, answer: &str) -> Option<Fault> {
        let ended = text_of_lane(dir, ENDED).ok().flatten();
        match &ended {
            Some(status) if !status.is_empty() => None,
            ended => {
                let memory = self.settings.memory.clone();
                let program = self.engine.kind.name();
                Some(Fault { started: ended.is_some(), engine: engine_words(answer), memory, program })
            }
        }
    }
}

/// Makes sure that a container is gone.
pub(super) fn remove(engine: &EngineFacts, name: &str) {
    // Not through the interrupt, which has already come.
    let mut command = Command::new(&engine.program);
    command.args(["rm", "--force", name]);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        // A second signal of the terminal is not to keep it from its work.
        command.process_group(0);
    }
    // An engine that went away takes its containers with it, or they are reaped with the next run.
    let Ok(mut child) = command.spawn() else { return };
    let started = Instant::now();
    while started.elapsed() < REMOVAL && child.try_wait().is_ok_and(|ended| ended.is_none()) {
        std::thread::sleep(Duration::from_millis(10));
    }
    // One that does not answer is not to keep this run from its end.
    let _ = child.kill();
    let _ = child.wait();
}

/// The line in which the engine's program says what is wrong, in Docker's and Podman's forms.
fn engine_words(answer: &str) -> Option<String> {
    answer.lines().rev().map(str::trim).find_map(|line| {
        if let Some((_, message)) = line.strip_prefix("time=").and_then(|line| line.split_once(" msg=\"")) {
            return Some(message.trim_end_matches('"').replace("\\\"", "\""));
        }
        let message = line.strip_prefix("docker: ").or_else(|| line.strip_prefix("Error: "));
        let message = message.map(|message| message.strip_prefix("Error response from daemon: ").unwrap_or(message));
        message.or_else(|| line.contains("annot connect to").then_some(line)).map(str::to_owned)
    })
}

/// The files of a folder of cargo's that may hold configuration, the one that cargo takes first.
fn config_files(dir: &Utf8Path) -> Vec<Utf8PathBuf> {
    ["config", "config.toml"].map(|name| dir.join(name)).into_iter().filter(|file| file.is_file()).collect()
}

/// A file of cargo's configuration and those that it includes, the weakest first.
fn with_included(file: Utf8PathBuf) -> Vec<Utf8PathBuf> {
    let mut all: Vec<Utf8PathBuf> = Vec::new();
    let mut open = vec![file];
    while let Some(file) = open.pop() {
        // What includes itself is an error of cargo's to tell.
        if all.contains(&file) || !file.is_file() {
            continue;
        }
        let text = fs_err::read_to_string(&file).unwrap_or_default();
        open.extend(included(&text, file.parent().unwrap_or(&file)));
        all.push(file);
    }
    all.reverse();
    all
}

/// The folder that relative paths in a file of cargo's configuration start from.
fn base_of(file: &Utf8Path) -> &Utf8Path {
    file.parent().and_then(Utf8Path::parent).unwrap_or(file)
}

/// Where links in a folder of crates lead to.
fn linked(dir: &Utf8Path) -> Vec<Utf8PathBuf> {
    let Ok(entries) = dir.read_dir_utf8() else { return Vec::new() };
    let links = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
    links.filter_map(|entry| entry.path().canonicalize_utf8().ok()).collect()
}

/// An engine makes no place for a mount in a folder that is mounted itself, and may not be written to.
fn make_places(stand_in: &Utf8Path, inside: &Utf8Path, mounts: &[Mount]) -> Result<()> {
    for mount in mounts {
        let Ok(rest) = mount.inside.strip_prefix(inside) else { continue };
        let place = stand_in.join(rest);
        if rest.as_str().is_empty() || place.exists() {
            continue;
        }
        if mount.outside.is_dir() {
            fs_err::create_dir_all(&place)?;
        } else {
            fs_err::create_dir_all(place.parent().unwrap_or(stand_in))?;
            fs_err::write(&place, "")?;
        }
    }
    Ok(())
}
