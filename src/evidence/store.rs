//! Evidence of many packages: recalled from the tool's cache, or read and kept there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{Evidence, links, rust, script};
use crate::files;
use crate::host::{CacheDir, Stamp};

/// Grows whenever the same files are read otherwise than before.
const FORMAT: u32 = 1;

/// The room of the cache.
const ROOM: &str = "evidence";

/// A package whose evidence is wanted.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// cargo's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its folder.
    pub dir: Utf8PathBuf,
    /// Its build script.
    pub build_script: Option<Utf8PathBuf>,
    /// The root files of its library and its binaries.
    pub roots: Vec<Utf8PathBuf>,
    /// The registry's checksum, with which its files never change; none of any other package.
    pub checksum: Option<String>,
}

/// What is kept of a package.
#[derive(Debug, Deserialize, Serialize)]
struct Kept {
    format: u32,
    /// The helpers that the build script was searched for.
    helpers: String,
    /// The files that it was read from, where these may change; none at the path where one is missing.
    stamps: Option<BTreeMap<Utf8PathBuf, Option<Stamp>>>,
    evidence: Evidence,
}

/// The evidence of packages, by id. `helpers` names the crates whose use by a build script is of interest. Nothing is
/// missing from it unless `stop` said so, which is asked before each package. `progress` hears how many of how many are
/// done. What cannot be kept is read again the next time.
pub fn gather(
    sources: &[Source],
    helpers: &BTreeSet<String>,
    cache: &CacheDir,
    threads: usize,
    progress: &(dyn Fn(usize, usize) + Sync),
    stop: &(dyn Fn() -> bool + Sync),
) -> BTreeMap<String, Evidence> {
    let names = helpers.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let keeper = Keeper { cache, helpers, digest: short(&files::sha256(names)).to_owned() };
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let found = Mutex::new(BTreeMap::new());
    let work = || {
        while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed))
            && !stop()
        {
            let evidence = keeper.recall(source).unwrap_or_else(|| keeper.read(source));
            found.lock().unwrap_or_else(PoisonError::into_inner).insert(source.id.clone(), evidence);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, sources.len());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, sources.len().max(1)) {
            // A thread that cannot be had leaves its share to the others, at last to this one.
            let _ = std::thread::Builder::new().stack_size(rust::STACK).spawn_scoped(scope, work);
        }
    });
    work();
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

struct Keeper<'a> {
    cache: &'a CacheDir,
    helpers: &'a BTreeSet<String>,
    digest: String,
}

impl Keeper<'_> {
    fn recall(&self, source: &Source) -> Option<Evidence> {
        let kept: Kept = self.cache.recall(ROOM, &key(source))?;
        let current = kept.format == FORMAT && kept.helpers == self.digest;
        let same = match &kept.stamps {
            None => source.checksum.is_some(),
            // New files count as well as changed ones.
            Some(stamps) => {
                source.checksum.is_none()
                    && sources_of(source).iter().all(|path| stamps.contains_key(path))
                    && stamps.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
            }
        };
        (current && same).then_some(kept.evidence)
    }

    fn read(&self, source: &Source) -> Evidence {
        let sources = sources_of(source);
        // Before they are read, so that a change in the meantime is noticed the next time.
        let mut stamps = source.checksum.is_none().then(|| stamps(&sources));
        let reading = match &source.build_script {
            Some(script) => script::read(&source.dir, script, self.helpers),
            None => script::Reading::default(),
        };
        if let Some(stamps) = &mut stamps {
            stamps.extend(self::stamps(&reading.files));
        }
        let own: Vec<Utf8PathBuf> = sources.into_iter().filter(|path| !reading.files.contains(path)).collect();
        let links = links::read(&source.dir, &source.roots, &own);
        // What the parser keeps of each source for its spans.
        proc_macro2::extra::invalidate_current_thread_spans();
        let evidence = Evidence { script: reading.script, calls: reading.calls, links };
        // A package that is not there may come, with the same checksum.
        let there =
            source.dir.is_dir() && source.build_script.as_ref().is_none_or(|script| source.dir.join(script).is_file());
        if there {
            let kept = Kept { format: FORMAT, helpers: self.digest.clone(), stamps, evidence };
            let _ = self.cache.remember(ROOM, &key(source), &kept);
            return kept.evidence;
        }
        evidence
    }
}

/// The name of what is kept of a package.
fn key(source: &Source) -> String {
    let of_dir;
    let digest = match &source.checksum {
        Some(checksum) => checksum,
        None => {
            of_dir = files::sha256(source.dir.as_str());
            &of_dir
        }
    };
    let plain = |letter: char| if letter.is_alphanumeric() || "-_.+".contains(letter) { letter } else { '_' };
    format!("{}-{}-{}", source.name, source.version, short(digest)).chars().map(plain).collect()
}

fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

/// The Rust files in the folders of a package's library and binaries.
fn sources_of(source: &Source) -> BTreeSet<Utf8PathBuf> {
    let folders: BTreeSet<&Utf8Path> = source.roots.iter().filter_map(|root| root.parent()).collect();
    let outer =
        folders.iter().filter(|folder| !folders.iter().any(|other| other != *folder && folder.starts_with(other)));
    outer.flat_map(|folder| rust::rust_files(folder, &source.dir)).collect()
}

fn stamps<'a>(paths: impl IntoIterator<Item = &'a Utf8PathBuf>) -> BTreeMap<Utf8PathBuf, Option<Stamp>> {
    paths.into_iter().map(|path| (path.clone(), Stamp::of(path))).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::evidence::{Script, What};

    /// Every package in cargo's unpacked registry: `cargo test --release --lib evidence -- --ignored --nocapture`. With
    /// CONVOY_SHOW=NAME what is found of packages whose folder begins so is printed.
    #[test]
    #[ignore = "reads the whole registry of this machine"]
    fn every_package_of_the_registry() {
        let home = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{}/.cargo", std::env::var("HOME").unwrap()));
        let mut sources = Vec::new();
        for registry in fs_err::read_dir(format!("{home}/registry/src")).unwrap() {
            for dir in fs_err::read_dir(registry.unwrap().path()).unwrap() {
                sources.extend(source(&Utf8PathBuf::from_path_buf(dir.unwrap().path()).unwrap()));
            }
        }
        if let Ok(name) = std::env::var("CONVOY_SHOW") {
            sources.retain(|source| source.dir.file_name().unwrap().starts_with(&name));
        }
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(Utf8Path::from_path(dir.path()).unwrap());
        let gathered = |what: &str, sources: &[Source]| {
            let start = Instant::now();
            let threads = std::thread::available_parallelism().unwrap().get();
            let found = gather(sources, &helpers(), &cache, threads, &|_, _| {}, &|| false);
            println!("{what}: {} packages in {:?}", found.len(), start.elapsed());
            found
        };
        let cold = gathered("cold", &sources);
        let warm = gathered("warm", &sources);
        assert_eq!(cold, warm);
        gathered("warm", &sources[..sources.len().min(800)]);
        let count = |test: &dyn Fn(&Evidence) -> bool| cold.values().filter(|evidence| test(evidence)).count();
        println!("{} scripts read", count(&|evidence| evidence.script == Script::Read));
        println!("{} with calls", count(&|evidence| !evidence.calls.is_empty()));
        println!("{} with #[link]", count(&|evidence| !evidence.links.is_empty()));
        println!("{} calls", cold.values().map(|evidence| evidence.calls.len()).sum::<usize>());
        println!("{} blocks", cold.values().map(|evidence| evidence.links.len()).sum::<usize>());
        for (id, evidence) in &cold {
            if let Script::Unreadable(reason) = &evidence.script {
                println!("{id}: {reason}");
            }
            if std::env::var("CONVOY_SHOW").is_ok() {
                println!("{id}: {:?}", evidence.script);
                for call in &evidence.calls {
                    println!("    {} {:?} {:?}", call.place, call.what, call.guards);
                }
                for link in &evidence.links {
                    println!("    {link:?}");
                }
            }
        }
        let _ = What::Cxx;
    }

    fn helpers() -> BTreeSet<String> {
        let names = [
            "cc",
            "cmake",
            "bindgen",
            "pkg_config",
            "vcpkg",
            "system_deps",
            "nasm_rs",
            "autotools",
            "prost_build",
            "tonic_build",
            "protobuf_codegen",
            "cxx_build",
            "openssl_src",
            "meson",
            "embed_resource",
            "winres",
        ];
        names.map(str::to_owned).into()
    }

    /// A package as its normalized manifest describes it.
    fn source(dir: &Utf8Path) -> Option<Source> {
        let manifest: toml::Table = toml::from_str(&fs_err::read_to_string(dir.join("Cargo.toml")).ok()?).ok()?;
        let package = manifest.get("package")?;
        let text = |key: &str| package.get(key).and_then(|value| value.as_str());
        let usual = dir.join("build.rs");
        let build_script = text("build").map(|path| dir.join(path)).or_else(|| usual.is_file().then_some(usual));
        let lib = manifest.get("lib").and_then(|lib| lib.get("path")).and_then(|path| path.as_str());
        let mut roots = vec![dir.join(lib.unwrap_or("src/lib.rs"))];
        let bins = manifest.get("bin").and_then(|bins| bins.as_array()).into_iter().flatten();
        roots.extend(bins.filter_map(|bin| bin.get("path")?.as_str().map(|path| dir.join(path))));
        Some(Source {
            id: dir.file_name()?.to_owned(),
            name: text("name")?.to_owned(),
            version: text("version")?.to_owned(),
            dir: dir.to_owned(),
            build_script,
            roots,
            checksum: Some(files::sha256(dir.as_str())),
        })
    }
}
