//! Package files → one tree in which everything that leads anywhere leads to a place inside it.
//!
//! Files are written while the tree holds no link at all, so nothing can be written through one. Links come last, and
//! none may stand where a folder is. When two packages hold the same path (one replaces the other's file), the later
//! name in the alphabet wins, whichever was unpacked first.

use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Read as _, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};

use super::cmake;
use super::deb::{self, File, Member};
use super::fault::Fault;
use super::place::{self, Outside};
use super::script;
use super::stanza::{self, Described};
use crate::machine::interrupt::Interrupt;
use crate::project::lock::{LockedPackage, LockedSysroot};
use crate::util::error::Result;
use crate::util::files::{self, IN_MEMORY, PlainFile};

/// What verification reads of a package's control archive.
const CONTROL: &[&str] = &["control", "shlibs", "symbols"];

/// More workers than this only wait for the disk.
const WORKERS: usize = 8;

/// The file that says what a package is.
const SAYS_WHAT: &str = "control";

/// A package to unpack.
#[derive(Debug)]
struct Package<'a> {
    locked: &'a LockedPackage,
    /// Its file.
    deb: Utf8PathBuf,
}

/// Unpacks the packages of a sysroot into `into`: their trees into `root`, what is kept of their control archives into
/// `control`. `file` gives the file of a package by its digest; what is unpacked are the very bytes that have it. `done`
/// hears how many packages are unpacked. A fault comes with its package, where it is one package's.
pub(super) fn unpack<'a>(
    locked: &'a LockedSysroot,
    file: impl Fn(&str) -> Utf8PathBuf,
    into: &Utf8Path,
    interrupt: &Interrupt,
    done: &mut dyn FnMut(usize),
) -> Result<Result<(), (Option<&'a LockedPackage>, Fault)>> {
    let (root, control) = (into.join("root"), into.join("control"));
    // By name, whatever the order in the lock: the later one wins a path that two have.
    let mut packages: Vec<Package<'a>> =
        locked.packages.iter().map(|locked| Package { locked, deb: file(&locked.sha256) }).collect();
    packages.sort_by(|a, b| a.locked.cmp(b.locked));
    let tree = Tree { root: &root, control: &control, owners: Mutex::default() };
    if let Err(error) = fs_err::create_dir_all(&root) {
        return Ok(Err((None, error.into())));
    }
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS).min(packages.len());
    let (send, receive) = mpsc::channel();
    // The largest first: the last one to end then ends soon after the others.
    let mut order: Vec<usize> = (0..packages.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(packages[*index].locked.size));
    let mut results = BTreeMap::new();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let send = send.clone();
            scope.spawn(|| {
                let send = send;
                while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if stop.load(Ordering::Relaxed) || interrupt.came().is_some() {
                        break;
                    }
                    let result = tree.package(index, &packages[index]);
                    if result.is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    // The receiver is there for as long as the scope is.
                    let _ = send.send((index, result));
                }
            });
        }
        drop(send);
        for (index, result) in receive {
            results.insert(index, result);
            done(results.len());
        }
    });
    interrupt.check()?;
    let mut links = BTreeMap::new();
    let mut scripts = Vec::new();
    let mut described = Vec::new();
    for (index, result) in results {
        match result {
            Ok(late) => {
                described.push(late.described);
                links.extend(late.links.into_iter().map(|(place, target)| (place, (index, target))));
                scripts.extend(late.scripts);
            }
            Err(fault) => return Ok(Err((Some(packages[index].locked), fault))),
        }
    }
    let fits = fit(locked, &described).map_err(|fault| (None, fault));
    let linked = fits.and_then(|()| tree.links(&links).map_err(|(index, fault)| (Some(packages[index].locked), fault)));
    Ok(linked.and_then(|()| tree.finish(&scripts).map_err(|fault| (None, fault))))
}

/// Whether the packages are what was asked for and what that needs: neither less nor more.
fn fit(locked: &LockedSysroot, described: &[Described]) -> std::result::Result<(), Fault> {
    let stanza::Misfits { missing, unneeded } = stanza::misfits(&locked.requested, described);
    if let Some(missing) = missing.first() {
        return Err(Fault::locked(format!("`Convoy.lock` lists `{missing}` as requested, but has no such package")));
    }
    if let Some(unneeded) = unneeded.first() {
        let reason = format!("`Convoy.lock` lists package `{unneeded}`, which no requested package depends on");
        return Err(Fault::locked(reason));
    }
    Ok(())
}

/// Whether a package is the one that the lock names, by what it says of itself: a digest alone may be anybody's.
fn same(locked: &LockedPackage, described: &Described) -> std::result::Result<(), Fault> {
    let LockedPackage { name, version, architecture, .. } = locked;
    for (field, wanted, found) in [
        ("Package", name, &described.name),
        ("Version", version, &described.version),
        ("Architecture", architecture, &described.architecture),
    ] {
        if wanted != found {
            let reason = format!(
                "does not match `Convoy.lock`: its SHA-256 matches, but its control file has \
                                  `{field}: {found}`"
            );
            return Err(Fault::locked(reason));
        }
    }
    Ok(())
}

/// What of a package is done when all files are there.
#[derive(Debug, Default)]
struct Late {
    described: Described,
    links: Vec<(Utf8PathBuf, Utf8PathBuf)>,
    scripts: Vec<Utf8PathBuf>,
}

struct Tree<'a> {
    root: &'a Utf8Path,
    control: &'a Utf8Path,
    /// The package whose file stands at a path.
    owners: Mutex<HashMap<Utf8PathBuf, usize>>,
}

impl Tree<'_> {
    fn package(&self, index: usize, package: &Package<'_>) -> std::result::Result<Late, Fault> {
        let Package { locked, deb } = package;
        let bytes = PlainFile::open(deb, locked.size)?.read()?;
        if bytes.len() as u64 != locked.size || files::sha256(&bytes) != locked.sha256 {
            return Err(Fault::locked("was modified in the cache before it was unpacked"));
        }
        let kept = self.control.join(&locked.name);
        let mut described = None;
        let control = |path: &Utf8Path, member: Member<'_>| {
            let name = path.strip_prefix(".").unwrap_or(path);
            if let (Member::File(mut file), true) = (member, CONTROL.iter().any(|known| name == known)) {
                fs_err::create_dir_all(&kept)?;
                let mut new = fs_err::File::create(kept.join(name))?;
                if name == SAYS_WHAT {
                    let contents = whole(name, &mut file)?;
                    new.write_all(&contents)?;
                    described = Some(Described::parse(&String::from_utf8_lossy(&contents)));
                } else {
                    copy(&mut file, &mut new)?;
                }
            }
            Ok(())
        };
        let mut late = Late::default();
        deb::read(&bytes, control, |path, member| self.member(index, path, member, &mut late))?;
        late.described = described.ok_or_else(|| Fault::broken("has no control file"))?;
        same(locked, &late.described)?;
        Ok(late)
    }

    fn member(
        &self,
        index: usize,
        path: &Utf8Path,
        member: Member<'_>,
        late: &mut Late,
    ) -> std::result::Result<(), Fault> {
        let outside = |Outside| Fault::broken(format!("contains `{path}`, which is outside the sysroot"));
        let leads_outside = |target: &Utf8Path| {
            Fault::broken(format!("contains `{path}`, a link to `{target}`, which points outside the sysroot"))
        };
        let place = place::place(path).map_err(outside)?;
        match member {
            Member::File(mut file) if place::is_wanted(&place) => {
                let is_script = self.file(index, &place, &mut file)?;
                late.scripts.extend(is_script.then_some(place));
            }
            Member::Hard(target) => {
                let target = place::place(&target).map_err(|Outside| leads_outside(&target))?;
                if place::is_wanted(&place) {
                    self.hard_link(index, path, &place, &target)?;
                }
            }
            Member::Link(target) => {
                let way = place::link(path, &target).map_err(|Outside| leads_outside(&target))?;
                // Of the links that merge folders into /usr, the sysroot gets its own.
                let merges = path.strip_prefix(".").unwrap_or(path);
                let merges = place::MERGED.contains(&merges.as_str().trim_matches('/'));
                if place::is_wanted(&place) && !merges {
                    late.links.push((place, way));
                }
            }
            Member::File(_) | Member::Other => {}
        }
        Ok(())
    }

    /// Writes a file; says whether it may be a script that names files by absolute paths.
    fn file(&self, index: usize, place: &Utf8Path, file: &mut File<'_>) -> std::result::Result<bool, Fault> {
        let Some(mut new) = self.open(index, place, file.executable)? else { return Ok(false) };
        let may_be = if file.size <= script::LONGEST || cmake::may_be(place) {
            let contents = whole(place, file)?;
            new.write_all(&contents)?;
            script::may_be(place, &contents) || cmake::may_be(place)
        } else {
            copy(file, &mut new)?;
            false
        };
        // Build scripts ask cargo to look at headers: unpacked again, they have not changed.
        let modified = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(file.modified));
        if let Some(modified) = modified {
            new.file().set_modified(modified)?;
        }
        Ok(may_be)
    }

    /// Opens the file of a path for a package to write; none where one that comes later has written it already.
    fn open(
        &self,
        index: usize,
        place: &Utf8Path,
        executable: bool,
    ) -> std::result::Result<Option<fs_err::File>, Fault> {
        let path = self.root.join(place);
        // Held until the file is there: two packages may hold the same path.
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        match owners.get(place) {
            Some(other) if *other > index => return Ok(None),
            Some(_) => fs_err::remove_file(&path)?,
            None => {
                if let Some(dir) = path.parent() {
                    fs_err::create_dir_all(dir)?;
                }
            }
        }
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use fs_err::os::unix::fs::OpenOptionsExt as _;
            options.mode(if executable { 0o777 } else { 0o666 });
        }
        #[cfg(not(unix))]
        let _ = executable;
        let new = options.open(path)?;
        owners.insert(place.to_owned(), index);
        Ok(Some(new))
    }

    fn hard_link(
        &self,
        index: usize,
        path: &Utf8Path,
        place: &Utf8Path,
        target: &Utf8Path,
    ) -> std::result::Result<(), Fault> {
        let own = self.owners.lock().unwrap_or_else(PoisonError::into_inner).get(target) == Some(&index);
        if !own {
            let reason = format!("contains `{path}`, a hard link to `{target}`, which does not precede it");
            return Err(Fault::broken(reason));
        }
        // A file of its own: two names of one file would change together.
        let target = self.root.join(target);
        let metadata = target.metadata()?;
        let Some(new) = self.open(index, place, is_executable(&metadata))? else { return Ok(()) };
        std::io::copy(&mut fs_err::File::open(&target)?, &mut new.file())?;
        new.file().set_modified(metadata.modified()?)?;
        Ok(())
    }

    fn links(&self, links: &BTreeMap<Utf8PathBuf, (usize, Utf8PathBuf)>) -> std::result::Result<(), (usize, Fault)> {
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, (index, target)) in links {
            if let Some(above) = place.ancestors().skip(1).find(|above| links.contains_key(*above)) {
                let reason = format!("contains `{place}`, which would be written through the link `{above}`");
                return Err((*index, Fault::broken(reason)));
            }
            let path = self.root.join(place);
            let there = match path.symlink_metadata() {
                Ok(there) => Some(there),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err((*index, error.into())),
            };
            if there.is_some_and(|there| there.is_dir()) {
                let reason = format!("contains the link `{place}`, through which files would be written");
                return Err((*index, Fault::broken(reason)));
            }
            let linked = match owners.get(place) {
                Some(other) if other > index => Ok(()),
                Some(_) => fs_err::remove_file(&path).and_then(|()| link(target, &path)),
                None => link(target, &path),
            };
            linked.map_err(|error| (*index, error.into()))?;
        }
        Ok(())
    }

    /// The links that merge folders into `/usr`, and linker scripts that name nothing outside.
    fn finish(&self, scripts: &[Utf8PathBuf]) -> std::result::Result<(), Fault> {
        for name in place::MERGED {
            let merged = Utf8Path::new("usr").join(name);
            if self.root.join(&merged).is_dir() {
                link(&merged, &self.root.join(name))?;
            }
        }
        for place in scripts {
            let path = self.root.join(place);
            // One that a link has replaced is no script any more.
            let Some(metadata) = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file) else { continue };
            let Ok(text) = String::from_utf8(fs_err::read(&path)?) else { continue };
            let exists = |place: &Utf8Path| self.root.join(place).symlink_metadata().is_ok();
            let new = match cmake::may_be(place) {
                true => cmake::rewritten(place, &text),
                false => script::rewritten(place, &text, exists),
            };
            if let Some(new) = new {
                let mut file = fs_err::File::create(&path)?;
                file.write_all(new.as_bytes())?;
                file.file().set_modified(metadata.modified()?)?;
            }
        }
        Ok(())
    }
}

fn cut(error: std::io::Error) -> Fault {
    Fault::broken(format!("is truncated or damaged: {error}"))
}

/// A member's contents, where they are small enough for memory.
fn whole(place: &Utf8Path, file: &mut File<'_>) -> std::result::Result<Vec<u8>, Fault> {
    if file.size > IN_MEMORY {
        let reason = format!(
            "contains `{place}` of {} MiB; the limit for such a file is {} MiB",
            file.size >> 20,
            IN_MEMORY >> 20
        );
        return Err(Fault::broken(reason));
    }
    let mut contents = Vec::new();
    file.contents.take(IN_MEMORY).read_to_end(&mut contents).map_err(cut)?;
    Ok(contents)
}

/// Copies a member's contents; the package or the disk is to blame, as the case may be.
fn copy(file: &mut File<'_>, new: &mut fs_err::File) -> std::result::Result<(), Fault> {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.contents.read(&mut buffer).map_err(cut)? {
            0 => return Ok(()),
            read => new.write_all(&buffer[..read])?,
        }
    }
}

#[cfg(unix)]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(unix)]
fn link(target: &Utf8Path, path: &Utf8Path) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        fs_err::create_dir_all(dir)?;
    }
    fs_err::os::unix::fs::symlink(target, path)
}

#[cfg(not(unix))]
fn link(_: &Utf8Path, _: &Utf8Path) -> std::io::Result<()> {
    Err(std::io::Error::new(
        ErrorKind::Unsupported,
        "sysroots contain symbolic links, which this system does not support",
    ))
}
