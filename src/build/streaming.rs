//! A lane in a container of an engine that does not see this machine's files: the mounts of the lane become volumes, and
//! what is built in them is fetched.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};

use crate::build::Job;
use crate::build::setup::LaneEnvironment;
use crate::machine::engine::{EngineFacts, Identity};
use crate::model::catalog::Catalog;
use crate::model::code::Code;
use crate::plan::container::{
    Content, Kept, Known, Mount, Part, Places, Stream, Tree, VolumeKind, VolumeMount, streams,
};
use crate::plan::{CellPlan, Lane, Linker, route::CTools};
use crate::provision::crates::crates;
use crate::provision::engine::caller;
use crate::provision::listing::{Listing, is_larger};
use crate::provision::volumes::{Step, Volumes};
use crate::report::{Phase, table::size_text};
use crate::util::error::{Error, Result};
use crate::util::files;
use crate::util::plural::counted;
use crate::util::stamp::this_program;

/// Where this very program is inside.
const PROGRAM: &str = "/opt/cargo-convoy/program";

/// From how many bytes on sending files is worth a word.
const WORTH_A_WORD: u64 = 1 << 20;

/// A repository that is larger is left at home: hardly a build looks at more than the name of a commit.
const LARGE_REPOSITORY: u64 = 512 << 20;

/// One lane at a time: they share the volumes of their project.
static ALONE: Mutex<()> = Mutex::new(());

/// What a lane's volumes are filled with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streaming<'a> {
    pub job: &'a Job<'a>,
    pub engine: &'a EngineFacts,
    pub image: &'a str,
}

/// Where this program is started from inside.
pub(super) fn program() -> Utf8PathBuf {
    Utf8Path::new(PROGRAM).join("cargo-convoy")
}

/// Whether wrappers of a cell start zig.
pub(super) fn uses_zig(cell: &CellPlan) -> bool {
    let by_linker = match &cell.setup.linker {
        Linker::Zig(_) => true,
        Linker::Darwin { libcxx, .. } => libcxx.is_some(),
        Linker::Windows { c, .. } => c.is_some(),
        Linker::Inherit | Linker::Driver(_) | Linker::RustLld(_) => false,
    };
    by_linker || matches!(cell.setup.c, CTools::Zig(_))
}

impl Streaming<'_> {
    fn volumes(&self) -> Volumes<'_> {
        Volumes {
            engine: self.engine,
            image: self.image,
            machine: &self.job.machine,
            run: &self.job.run,
            user: match self.engine.identity {
                // Root without its powers: what is to be written must be its own.
                Identity::Root => Some((0, 0)),
                Identity::Caller | Identity::Kept | Identity::Unmapped => caller().or(Some((0, 0))),
            },
            project: &self.job.convoy_dir,
            interrupt: self.job.interrupt,
        }
    }

    /// Makes volumes for a table of mounts, and fills them with what is on this machine now.
    pub(crate) fn fill_volumes(
        &self,
        table: &[Mount],
        places: &Places,
        lane: &Lane,
        cells: &[&CellPlan],
        environment: &LaneEnvironment,
        dir: &Utf8Path,
    ) -> Result<Vec<VolumeMount>> {
        let job = self.job;
        let mut known = self.known(places, dir)?;
        let mut table = table.to_vec();
        if let Some(sysroot) = &places.toolchain {
            for (place, kept) in self.toolchain(sysroot, lane, cells)? {
                if place != *sysroot {
                    table.push(Mount::read(&place));
                }
                known.kept.insert(place, kept);
            }
        }
        for mount in table.iter().filter(|mount| mount.writable && !known.lane.contains(&mount.outside)) {
            let message = format!(
                "files that a container writes to {} stay on the container engine's machine, because the engine \
                 cannot access this machine's files",
                mount.inside
            );
            job.reporter.warning(Phase::Build, message).code(Code::VolumeNotShared).send();
        }
        let mut streams = streams(&table, &known, &|path| path.is_file())
            .map_err(|why| Error::work(why).hint("use a container engine on this machine, or remove the volume"))?;
        streams.push(self.program()?);
        let step = |step: Step<'_>| self.tell(&step);
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        self.volumes().bring(&streams, &environment.keys, &step)
    }

    fn tell(&self, step: &Step<'_>) {
        let reporter = self.job.reporter;
        match step {
            Step::Sending { what, bytes, once } => {
                let message = format!(
                    "{what} (sending {} to the container engine{})",
                    size_text(*bytes),
                    if *once { ", once" } else { "" }
                );
                if *once || *bytes >= WORTH_A_WORD {
                    reporter.info(Phase::Provision, message).send();
                } else {
                    reporter.debug(Phase::Provision, message).send();
                }
            }
            Step::Waiting { what } => {
                let message = format!("waiting for another run to send {what} to the container engine");
                reporter.info(Phase::Provision, message).code(Code::Waiting).send();
            }
            Step::UnsupportedNames { what, count } => {
                let message = format!(
                    "{} of {what} cannot be used in the container, because of unsupported characters in the name",
                    counted(*count, "file", "files"),
                );
                reporter.warning(Phase::Build, message).code(Code::OddNames).send();
            }
        }
    }

    /// What is known of the folders of a lane.
    fn known(&self, places: &Places, dir: &Utf8Path) -> Result<Known> {
        let job = self.job;
        let mut known = Known {
            sources: places.sources.clone(),
            wanted: places.read.iter().cloned().collect(),
            lane: [Some(dir.to_owned()), dir.canonicalize_utf8().ok()].into_iter().flatten().collect(),
            ..Known::default()
        };
        known.sources.extend(places.sources.iter().filter_map(|source| source.canonicalize_utf8().ok()));
        known.skip.extend(job.convoy_dir.parent().map(Utf8Path::to_owned));
        known.skip.insert(job.dist_dir.clone());
        let real: Vec<Utf8PathBuf> = known.skip.iter().filter_map(|path| path.canonicalize_utf8().ok()).collect();
        known.skip.extend(real);
        for source in &places.sources {
            let repository = source.join(".git");
            if repository.is_dir() && is_larger(&repository, LARGE_REPOSITORY) {
                let size = size_text(LARGE_REPOSITORY);
                let message = format!(
                    "{repository} is larger than {size} and is not sent to the container; build scripts cannot use it"
                );
                job.reporter.warning(Phase::Build, message).code(Code::RepositoryLeftOut).send();
                known.skip.insert(repository);
            }
        }
        let mut locks: Vec<Utf8PathBuf> =
            places.sources.first().map(|root| root.join("Cargo.lock")).into_iter().collect();
        if job.plan.lanes.iter().any(|lane| lane.build_std) {
            locks.push(job.host.rustc.sysroot.join("lib/rustlib/src/rust/library/Cargo.lock"));
        }
        let used: BTreeSet<Utf8PathBuf> = job.crate_dirs.values().flatten().cloned().collect();
        for (part, tree) in crates(&places.cargo_home, &locks, &used) {
            known.chosen.insert(places.cargo_home.join(part), (VolumeKind::Crates, tree));
        }
        for sysroot in job.host.sysroots.values() {
            let name = sysroot.root.parent().and_then(Utf8Path::file_name).unwrap_or_default();
            let kept = Kept {
                kind: VolumeKind::Sysroot,
                what: format!("the sysroot {name}"),
                // Its files may name its own place.
                key: format!("{}\n{}", sysroot.digest, sysroot.root),
                tree: Tree::whole(&sysroot.root),
            };
            known.kept.insert(sysroot.root.clone(), kept);
        }
        if let Some(zig) = &job.host.zig
            && let Some(home) = zig.path.parent().filter(|home| places.read.iter().any(|path| path == home))
        {
            let tree = Tree::whole(home);
            let kept = Kept {
                kind: VolumeKind::Zig,
                what: format!("zig {}", zig.version),
                key: format!("{} {}", zig.version, Listing::of(&tree)?.digest(false)),
                tree,
            };
            known.kept.insert(home.to_owned(), kept);
        }
        Ok(known)
    }

    /// The parts of the toolchain that a lane needs, by their places: the std of a target is one of its own, so that another
    /// target does not bring all of it again.
    fn toolchain(&self, sysroot: &Utf8Path, lane: &Lane, cells: &[&CellPlan]) -> Result<Vec<(Utf8PathBuf, Kept)>> {
        let host = self.job.host;
        let version = &host.rustc.version;
        let rustlib = sysroot.join("lib/rustlib");
        // rustup's own are the same wherever they are; somebody's own build is told from an earlier one by its times.
        let without_rustup = !rustlib.join("multirust-channel-manifest.toml").is_file();
        let targets: BTreeSet<&str> = Catalog::embedded()
            .targets
            .iter()
            .map(|target| target.triple.as_str())
            .chain(host.std.iter().map(String::as_str))
            .filter(|triple| *triple != host.rustc.host)
            .collect();
        let kept = |kind, what: String, name: &str, tree: Tree| -> Result<Kept> {
            Ok(Kept {
                kind,
                what,
                key: format!("{version}\n{name}\n{}", Listing::of(&tree)?.digest(without_rustup)),
                tree,
            })
        };
        let inner = targets.iter().copied().chain(["src"]);
        let base = Tree {
            parts: vec![Part {
                from: sysroot.to_owned(),
                // Nobody reads there.
                skip: inner.clone().map(|name| rustlib.join(name)).chain([sysroot.join("share")]).collect(),
                ..Part::default()
            }],
            places: inner.map(|name| Utf8Path::new("lib/rustlib").join(name)).collect(),
        };
        let mut parts = Vec::new();
        parts.push((sysroot.to_owned(), kept(VolumeKind::Toolchain, format!("rustc {version}"), "", base)?));
        let wanted: BTreeSet<&str> = cells.iter().map(|cell| cell.cell.target.as_str()).collect();
        for triple in wanted.into_iter().filter(|triple| targets.contains(triple) && host.std.contains(*triple)) {
            let place = rustlib.join(triple);
            let what =
                format!("the standard library for {triple} of rustc {}", version.split(' ').next().unwrap_or_default());
            parts.push((place.clone(), kept(VolumeKind::Std, what, triple, Tree::whole(&place))?));
        }
        if lane.build_std {
            let place = rustlib.join("src");
            let what =
                format!("the standard library's source of rustc {}", version.split(' ').next().unwrap_or_default());
            parts.push((place.clone(), kept(VolumeKind::RustSource, what, "src", Tree::whole(&place))?));
        }
        Ok(parts)
    }

    /// This very program.
    fn program(&self) -> Result<Stream> {
        let job = self.job;
        let stamp = this_program();
        let known: Option<(String, String)> = job.cache.recall("engines", "program");
        let digest = match known {
            Some((of, digest)) if of == stamp => digest,
            _ => {
                let digest = files::sha256(fs_err::read(&job.exe)?);
                // A cache that cannot be written only costs time.
                let _ = job.cache.remember("engines", "program", &(stamp, &digest));
                digest
            }
        };
        let part = Part { at: "cargo-convoy".into(), from: job.exe.clone(), ..Part::default() };
        Ok(Stream {
            kind: VolumeKind::Program,
            what: format!("cargo-convoy {}", crate::VERSION),
            inside: PROGRAM.into(),
            writable: false,
            content: Content::Kept { key: digest, tree: Tree { parts: vec![part], ..Tree::default() } },
        })
    }

    /// Fetches what a lane built, to the same places on this machine.
    pub(crate) fn fetch(&self, dir: &Utf8Path, built: &[Utf8PathBuf]) -> Result<()> {
        let lane = Stream {
            kind: VolumeKind::Lane,
            what: String::new(),
            inside: dir.to_owned(),
            writable: true,
            content: Content::Written(dir.to_owned()),
        };
        self.volumes().fetch(&lane, dir, built)
    }
}
