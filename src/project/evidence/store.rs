//! Evidence of many packages: recalled from the tool's cache, or read and kept there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::package_files::{PackageFiles, Stamps};
use super::{Evidence, links, rust, script};
use crate::machine::CacheDir;
use crate::util::files;
use crate::util::stamp::Stamp;

/// Grows whenever the same files are read otherwise than before.
const FORMAT: u32 = 3;

/// The room of the cache.
const ROOM: &str = "evidence";

/// A package whose evidence is wanted.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Source {
    /// cargo's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its folder.
    pub dir: Utf8PathBuf,
    /// The folder that its files are in once all links are followed: its own, also where none is given; of a member the
    /// workspace, of a package from git the checkout. Nothing outside is read.
    pub bounds: Utf8PathBuf,
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
    /// What it was read from, where that may change.
    local: Option<Local>,
    evidence: Evidence,
}

/// What evidence was read from.
#[derive(Debug, Deserialize, Serialize)]
struct Local {
    build_script: Option<Utf8PathBuf>,
    roots: Vec<Utf8PathBuf>,
    bounds: Utf8PathBuf,
    stamps: Stamps,
}

impl Local {
    fn is_current(&self, source: &Source) -> bool {
        self.build_script == source.build_script
            && self.roots == source.roots
            && self.bounds == source.bounds
            && self.stamps.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
    }
}

impl Kept {
    fn recall(cache: &CacheDir, source: &Source) -> Option<Self> {
        let kept: Self = cache.recall(ROOM, &key(source))?;
        let same = match &kept.local {
            None => source.checksum.is_some(),
            Some(local) => source.checksum.is_none() && local.is_current(source),
        };
        (kept.format == FORMAT && same).then_some(kept)
    }
}

/// Whether packages still show what they did. Only those are read again that have changed since.
pub(crate) fn is_unchanged(
    known: &[(Source, Evidence)],
    helpers: impl FnOnce() -> BTreeSet<String>,
    cache: &CacheDir,
) -> bool {
    let same = |(source, evidence): &&(Source, Evidence)| {
        Kept::recall(cache, source).is_some_and(|kept| kept.evidence == *evidence)
    };
    let changed: Vec<&(Source, Evidence)> = known.iter().filter(|known| !same(known)).collect();
    if changed.is_empty() {
        return true;
    }
    let sources: Vec<Source> = changed.iter().map(|(source, _)| source.clone()).collect();
    let now = gather(&sources, &helpers(), cache, sources.len().min(4), &|_, _| {}, &|| false);
    changed.iter().all(|(source, evidence)| now.get(&source.id) == Some(evidence))
}

/// The evidence of packages, by id. `helpers` names the crates whose use by a build script is of interest. Nothing is
/// missing from it unless `stop` said so, which is asked before each package. `progress` hears how many of how many are
/// done. What cannot be kept is read again the next time.
pub(crate) fn gather(
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
        let kept = Kept::recall(self.cache, source).filter(|kept| kept.helpers == self.digest)?;
        Some(kept.evidence)
    }

    fn read(&self, source: &Source) -> Evidence {
        let files = PackageFiles::of(source);
        let reading = match &source.build_script {
            Some(script) => script::read(&files, script, self.helpers),
            None => script::Reading::default(),
        };
        let mut own = sources_of(source, &files);
        own.retain(|path| !reading.files.contains(path));
        let own: Vec<Utf8PathBuf> = own.into_iter().collect();
        let links = links::read(&files, &source.roots, &own);
        // What the parser keeps of each source for its spans.
        proc_macro2::extra::invalidate_current_thread_spans();
        let evidence = Evidence { script: reading.script, calls: reading.calls, links };
        // A package that is not there may come, with the same checksum.
        let there =
            source.dir.is_dir() && source.build_script.as_ref().is_none_or(|script| source.dir.join(script).is_file());
        if there {
            let local = source.checksum.is_none().then(|| Local {
                build_script: source.build_script.clone(),
                roots: source.roots.clone(),
                bounds: source.bounds.clone(),
                stamps: files.into_stamps(),
            });
            let kept = Kept { format: FORMAT, helpers: self.digest.clone(), local, evidence };
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
fn sources_of(source: &Source, files: &PackageFiles) -> BTreeSet<Utf8PathBuf> {
    let folders: BTreeSet<&Utf8Path> = source.roots.iter().filter_map(|root| root.parent()).collect();
    let outer =
        folders.iter().filter(|folder| !folders.iter().any(|other| other != *folder && folder.starts_with(other)));
    outer.flat_map(|folder| files.rust_files(folder)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::project::evidence::{Call, Guard, LinkBlock, Script, What};

    fn gathered(source: &Source, cache: &CacheDir, helpers: &BTreeSet<String>) -> Evidence {
        let sources = std::slice::from_ref(source);
        gather(sources, helpers, cache, 2, &|_, _| {}, &|| false).remove(&source.id).unwrap()
    }

    fn package(dir: &Utf8Path, checksum: Option<&str>) -> Source {
        fs_err::create_dir_all(dir.join("src")).unwrap();
        fs_err::write(dir.join("src/lib.rs"), "#[link(name = \"z\")] extern \"C\" {}").unwrap();
        fs_err::write(dir.join("build.rs"), "fn main() { cc::Build::new(); }").unwrap();
        Source {
            id: "a 1.0.0".to_owned(),
            name: "a".to_owned(),
            version: "1.0.0+b".to_owned(),
            dir: dir.to_owned(),
            bounds: dir.to_owned(),
            build_script: Some("build.rs".into()),
            roots: vec![dir.join("src/lib.rs")],
            checksum: checksum.map(str::to_owned),
        }
    }

    fn cc() -> Evidence {
        let call = Call { what: What::Helper("cc".to_owned()), guards: Vec::new(), place: "build.rs:1".to_owned() };
        let link = LinkBlock {
            name: "z".to_owned(),
            kind: "dylib".to_owned(),
            cfgs: Vec::new(),
            place: "src/lib.rs:1".to_owned(),
        };
        Evidence { script: Script::Read, calls: vec![call], links: vec![link] }
    }

    #[test]
    fn a_package_of_a_registry_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let cache = CacheDir::at(&dir.join("cache"));
        let source = package(&dir.join("package"), Some("0123456789abcdef0123"));
        assert_eq!(gathered(&source, &cache, &helpers()), cc());
        fs_err::write(dir.join("package/build.rs"), "fn main() {}").unwrap();
        assert_eq!(gathered(&source, &cache, &helpers()), cc());
        let kept = dir.join("cache/evidence/a-1.0.0+b-0123456789abcdef.json");
        let text = fs_err::read_to_string(&kept).unwrap();
        // Broken, of another format, or about other helpers: read again.
        for text in
            [text[..20].to_owned(), text.replace(&format!("\"format\":{FORMAT}"), "\"format\":0"), String::new()]
        {
            fs_err::write(&kept, text).unwrap();
            assert_eq!(gathered(&source, &cache, &helpers()).calls, []);
        }
        fs_err::write(&kept, &text).unwrap();
        assert_eq!(gathered(&source, &cache, &BTreeSet::new()).calls, []);
        // No cache is no reason to fail.
        let nowhere = CacheDir::at(&kept);
        assert_eq!(gathered(&source, &nowhere, &helpers()).links, cc().links);
    }

    #[test]
    fn a_package_of_ones_own_is_read_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let cache = CacheDir::at(&dir.join("cache"));
        let source = package(&dir.join("package"), None);
        let changed = |path: &str, text: &str| {
            fs_err::write(source.dir.join(path), text).unwrap();
            gathered(&source, &cache, &helpers())
        };
        assert_eq!(gathered(&source, &cache, &helpers()), cc());
        assert_eq!(gathered(&source, &cache, &helpers()), cc());
        assert_eq!(changed("build.rs", "mod other; fn main() { other::go() }").calls, []);
        assert_eq!(changed("other.rs", "pub fn go() { cmake::build(\".\"); }").calls.len(), 1);
        assert_eq!(changed("src/new.rs", "#[link(name = \"y\")] extern \"C\" {}").links.len(), 2);
        fs_err::remove_file(source.dir.join("src/new.rs")).unwrap();
        assert_eq!(gathered(&source, &cache, &helpers()).links, cc().links);
        // What the script looks for decides as well.
        let script = "fn main() { if std::path::Path::new(\"vendor\").exists() { cc::Build::new(); } }";
        assert_eq!(changed("build.rs", script).calls, []);
        assert_eq!(changed("vendor", "").calls, cc().calls);
        // What `system-deps` looks for is in the manifest.
        changed("build.rs", "fn main() { system_deps::Config::new().probe(); }");
        let names = |evidence: Evidence| -> Vec<Option<String>> {
            let library = |call: Call| match call.what {
                What::PkgConfig { name, .. } => Some(name),
                _ => None,
            };
            evidence.calls.into_iter().filter_map(library).collect()
        };
        let asks = |name: &str| format!("[package.metadata.system-deps]\n{name} = \"1\"\n");
        assert_eq!(names(changed("Cargo.toml", &asks("zlib"))), [Some("zlib".to_owned())]);
        assert_eq!(names(changed("Cargo.toml", &asks("libpng"))), [Some("libpng".to_owned())]);
    }

    #[test]
    fn a_build_script_that_comes_or_goes_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let cache = CacheDir::at(&dir.join("cache"));
        let with = package(&dir.join("package"), None);
        let without = Source { build_script: None, ..with.clone() };
        assert_eq!(gathered(&without, &cache, &helpers()).script, Script::None);
        assert_eq!(gathered(&with, &cache, &helpers()), cc());
        assert_eq!(gathered(&without, &cache, &helpers()).script, Script::None);
    }

    #[test]
    fn what_is_known_stands_until_a_file_shows_something_else() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let cache = CacheDir::at(&dir.join("cache"));
        let source = package(&dir.join("package"), None);
        let known = [(source.clone(), gathered(&source, &cache, &helpers()))];
        let stands = || is_unchanged(&known, helpers, &cache);
        assert!(is_unchanged(&known, || panic!("nothing is read again"), &cache));
        // Another file with the same in it.
        fs_err::write(source.dir.join("build.rs"), "fn main() { cc::Build::new(); } // The same.").unwrap();
        assert!(stands());
        fs_err::write(source.dir.join("build.rs"), "fn main() { cmake::build(\".\"); }").unwrap();
        assert!(!stands() && !stands());
        fs_err::write(source.dir.join("build.rs"), "fn main() { cc::Build::new(); }").unwrap();
        assert!(stands());
        fs_err::write(source.dir.join("src/more.rs"), "#[link(name = \"y\")] extern \"C\" {}").unwrap();
        assert!(!stands());
    }

    #[test]
    fn what_is_not_there_shows_nothing_and_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let cache = CacheDir::at(&dir.join("cache"));
        let mut source = package(&dir.join("package"), Some("0123456789abcdef"));
        fs_err::rename(dir.join("package"), dir.join("elsewhere")).unwrap();
        let evidence = gathered(&source, &cache, &helpers());
        assert!(matches!(evidence.script, Script::Unreadable(_)));
        fs_err::rename(dir.join("elsewhere"), dir.join("package")).unwrap();
        assert_eq!(gathered(&source, &cache, &helpers()), cc());
        source.build_script = None;
        source.roots = Vec::new();
        source.checksum = None;
        assert_eq!(gathered(&source, &cache, &helpers()), Evidence::default());
    }

    #[cfg(unix)]
    #[test]
    fn links_between_folders_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let source = package(&dir.join("package"), None);
        std::os::unix::fs::symlink(dir.join("package"), dir.join("package/src/loop")).unwrap();
        std::os::unix::fs::symlink(dir.join("package/src/x.rs"), dir.join("package/src/x.rs")).unwrap();
        assert_eq!(gathered(&source, &CacheDir::at(&dir.join("cache")), &helpers()), cc());
    }

    #[test]
    fn gathering_stops_and_tells_how_far_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let cache = CacheDir::at(&dir.join("cache"));
        let one = package(&dir.join("package"), None);
        let sources: Vec<Source> = (0..9).map(|at| Source { id: at.to_string(), ..one.clone() }).collect();
        let output = Mutex::new(Vec::new());
        let tell = |done, all| output.lock().unwrap().push((done, all));
        assert_eq!(gather(&sources, &helpers(), &cache, 3, &tell, &|| false).len(), 9);
        let mut output = output.into_inner().unwrap();
        output.sort_unstable();
        assert_eq!(output, (1..=9).map(|done| (done, 9)).collect::<Vec<_>>());
        assert_eq!(gather(&sources, &helpers(), &cache, 3, &|_, _| {}, &|| true).len(), 0);
        assert_eq!(gather(&[], &helpers(), &cache, 0, &|_, _| {}, &|| false).len(), 0);
    }

    #[test]
    fn evidence_survives_the_cache() {
        let guards = vec![
            Guard::Any(vec![Guard::Unknown, Guard::All(Vec::new())]),
            Guard::Env { name: "X".to_owned(), set: false },
            Guard::Library { name: "z".to_owned(), found: true },
        ];
        let what = What::PkgConfig { name: None, optional: true };
        let evidence = Evidence { calls: vec![Call { what, guards, place: String::new() }], ..cc() };
        let text = serde_json::to_string(&evidence).unwrap();
        assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);
    }

    /// Every package in cargo's unpacked registry: `cargo test --release --lib evidence -- --ignored --nocapture`. With
    /// SHOW_EVIDENCE_OF=NAME what is found of packages whose folder begins so is printed.
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
        if let Ok(name) = std::env::var("SHOW_EVIDENCE_OF") {
            sources.retain(|source| source.dir.file_name().unwrap().starts_with(&name));
        }
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let timed = |what: &str, sources: &[Source], cache: &str| {
            let start = Instant::now();
            let threads = std::thread::available_parallelism().unwrap().get();
            let found = gather(sources, &helpers(), &CacheDir::at(&dir.join(cache)), threads, &|_, _| {}, &|| false);
            println!("{what}: {} packages in {:?}", found.len(), start.elapsed());
            found
        };
        let some = &sources[..sources.len().min(800)];
        timed("cold", some, "some");
        (0..8).for_each(|_| drop(timed("warm", some, "some")));
        let cold = timed("cold", &sources, "all");
        assert_eq!(cold, timed("warm", &sources, "all"));
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
            if std::env::var("SHOW_EVIDENCE_OF").is_ok() {
                println!("{id}: {:?}", evidence.script);
                for call in &evidence.calls {
                    println!("    {} {:?} {:?}", call.place, call.what, call.guards);
                }
                for link in &evidence.links {
                    println!("    {link:?}");
                }
            }
        }
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
            bounds: dir.to_owned(),
            build_script,
            roots,
            checksum: Some(files::sha256(dir.as_str())),
        })
    }
}
