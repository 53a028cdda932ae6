//! apt on this machine, and the Debian mirror among its sources.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::ask::output;
use crate::machine::{AptFacts, CacheDir, on_path};
use crate::model::sysroot::Suites;
use crate::util::stamp::Stamp;

const OS_RELEASE: &str = "/etc/os-release";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where apt's own programs are, when apt-config does not tell.
const LIBEXEC: &[&str] = &["/usr/lib/apt", "/usr/libexec/apt"];
/// Debian's names of releases that move on.
const MOVING: &[&str] = &["oldoldstable", "oldstable", "stable", "testing", "unstable", "sid"];

/// What was found out, and the files and folders that it was found out from.
#[derive(Debug, Deserialize, Serialize)]
struct Known {
    files: Vec<(Utf8PathBuf, Option<Stamp>)>,
    facts: AptFacts,
}

/// apt on this machine; none where there is no apt-get, or none that can fetch single files.
pub fn apt(cache: &CacheDir) -> Option<AptFacts> {
    const KEY: &str = "apt-1";
    let apt_get = on_path("apt-get")?;
    let known = cache.recall::<Known>("probes", KEY).filter(|known| {
        known.facts.apt_get == apt_get && known.files.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
    });
    if let Some(known) = known {
        return Some(known.facts);
    }
    let (places, facts) = look(apt_get)?;
    let files = places.into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect();
    let known = Known { files, facts };
    // A cache that cannot be written only costs time.
    let _ = cache.remember("probes", KEY, &known);
    Some(known.facts)
}

fn look(apt_get: Utf8PathBuf) -> Option<(Vec<Utf8PathBuf>, AptFacts)> {
    let folders = folders();
    let helper = folders.helper()?;
    let distribution = distribution(&fs_err::read_to_string(OS_RELEASE).unwrap_or_default());
    let mut places: Vec<Utf8PathBuf> = [OS_RELEASE, KEYRING].map(Utf8PathBuf::from).into();
    places.extend([apt_get.clone(), helper.clone(), folders.lists.clone()]);
    places.extend(["/etc/apt/apt.conf", "/etc/apt/apt.conf.d"].map(Utf8PathBuf::from));
    places.extend([folders.sources.clone(), folders.source_parts.clone()]);
    let parts = folders.source_parts.read_dir_utf8().into_iter().flatten().flatten();
    places.extend(parts.map(|entry| entry.into_path()));
    // Another distribution's archive is not Debian's, whatever its sources are called.
    let mirror = (distribution == "debian").then(|| mirror(&apt_get, &folders)).flatten();
    let keyring = Some(Utf8PathBuf::from(KEYRING)).filter(|keyring| keyring.is_file());
    Some((places, AptFacts { apt_get, helper, distribution, mirror, keyring, through: Vec::new() }))
}

/// The `ID` of os-release.
fn distribution(os_release: &str) -> String {
    let id = os_release.lines().find_map(|line| line.strip_prefix("ID="));
    id.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
}

/// Where apt keeps things.
#[derive(Debug)]
struct Folders {
    sources: Utf8PathBuf,
    source_parts: Utf8PathBuf,
    lists: Utf8PathBuf,
    methods: Option<Utf8PathBuf>,
}

fn folders() -> Folders {
    let names = [
        ("SOURCES", "Dir::Etc::sourcelist/f"),
        ("PARTS", "Dir::Etc::sourceparts/d"),
        ("LISTS", "Dir::State::lists/d"),
        ("METHODS", "Dir::Bin::methods/d"),
    ];
    let mut ask = Command::new("apt-config");
    ask.arg("shell").args(names.iter().flat_map(|(name, key)| [*name, *key]));
    let told = output(&mut ask).unwrap_or_default();
    let value = |name: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(Utf8PathBuf::from(line.trim_matches('\'').trim_end_matches('/')))
    };
    Folders {
        sources: value("SOURCES").unwrap_or_else(|| "/etc/apt/sources.list".into()),
        source_parts: value("PARTS").unwrap_or_else(|| "/etc/apt/sources.list.d".into()),
        lists: value("LISTS").unwrap_or_else(|| "/var/lib/apt/lists".into()),
        methods: value("METHODS"),
    }
}

impl Folders {
    /// apt-helper is beside the folder of apt's methods, and never on PATH.
    fn helper(&self) -> Option<Utf8PathBuf> {
        let beside = self.methods.as_deref().and_then(Utf8Path::parent).into_iter();
        let mut dirs = beside.chain(LIBEXEC.iter().map(Utf8Path::new));
        dirs.find_map(|dir| Some(dir.join("apt-helper")).filter(|helper| helper.is_file()))
    }
}

/// The root of the Debian archive among this machine's sources. The lists may be empty (as in CI images): apt then still
/// tells which files it would fetch.
fn mirror(apt_get: &Utf8Path, folders: &Folders) -> Option<String> {
    let told = output(Command::new(apt_get).args(["update", "--print-uris"])).ok()?;
    let origin = |list: &str| {
        let text = fs_err::read_to_string(folders.lists.join(list)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("Origin:")).map(|origin| origin.trim().to_owned())
    };
    let root = debian_root(&told, origin)?;
    match root.strip_prefix("mirror+file:") {
        Some(list) => first_mirror(&fs_err::read_to_string(list).ok()?),
        None => Some(root),
    }
}

/// The first address in a list of mirrors, which apt's helper cannot read.
fn first_mirror(list: &str) -> Option<String> {
    let address = list.lines().filter_map(|line| line.split_whitespace().next()).find(|word| !word.starts_with('#'))?;
    Some(address.trim_end_matches('/').to_owned())
}

/// The root that is most likely Debian's among what `apt-get update --print-uris` tells. Others publish a `bookworm main`
/// too, so what an archive says of itself (`origin` of a list file that was fetched already) counts before its address.
fn debian_root(told: &str, origin: impl Fn(&str) -> Option<String>) -> Option<String> {
    let files: Vec<(&str, &str)> = told
        .lines()
        .filter_map(|line| {
            let (uri, rest) = line.strip_prefix('\'')?.split_once('\'')?;
            Some((uri, rest.split_whitespace().next()?))
        })
        .collect();
    let mut best: Option<(u8, &str)> = None;
    for (uri, list) in &files {
        let Some((root, suite)) = uri.strip_suffix("/InRelease").and_then(|dist| dist.split_once("/dists/")) else {
            continue;
        };
        let is_debians = Suites::embedded().named(suite).is_some() || MOVING.contains(&suite);
        let main = format!("{root}/dists/{suite}/main/");
        if !is_debians || !files.iter().any(|(other, _)| other.starts_with(&main)) {
            continue;
        }
        let updates = format!("{root}/dists/{suite}-updates/");
        let likely = match origin(list).as_deref() {
            Some("Debian") => 3,
            Some(_) => continue,
            None if files.iter().any(|(other, _)| other.starts_with(&updates)) => 2,
            None if root.ends_with("/debian") => 1,
            None => 0,
        };
        // The first of equals: the order of the user's sources.
        if best.is_none_or(|(other, _)| likely > other) {
            best = Some((likely, root));
        }
    }
    best.map(|(_, root)| root.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(archives: &[(&str, &str, &str)]) -> String {
        let mut text = String::new();
        for (root, suite, component) in archives {
            text.push_str(&format!("'{root}/dists/{suite}/InRelease' {suite}_InRelease 0 \n"));
            text.push_str(&format!("'{root}/dists/{suite}/{component}/binary-amd64/Packages.xz' x 0 \n"));
        }
        text
    }

    fn unknown(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn the_mirror_is_debians_and_no_other_archive() {
        const DEBIAN: (&str, &str, &str) = ("http://deb.example/debian", "bookworm", "main");
        let others = [
            ("https://apt.vendor.example/debian/12/prod", "bookworm", "main"),
            ("https://vendor.example/linux/debian", "bookworm", "stable"),
            ("https://vendor.example/node", "nodistro", "main"),
            ("http://deb.example/debian-security", "bookworm-security", "main"),
        ];
        let mut all = others.to_vec();
        all.extend([DEBIAN, ("http://deb.example/debian", "bookworm-updates", "main")]);
        assert_eq!(debian_root(&lines(&all), unknown).as_deref(), Some(DEBIAN.0));
        // Only archives that are not Debian's main one.
        assert_eq!(debian_root(&lines(&others[1..]), unknown), None);
        assert_eq!(debian_root("", unknown), None);
        // A mirror of one's own has -updates beside; what it says of itself counts more.
        let inside = ("http://mirror.example:8080/remote", "bookworm", "main");
        let updates = ("http://mirror.example:8080/remote", "bookworm-updates", "main");
        assert_eq!(debian_root(&lines(&[others[0], inside, updates]), unknown).as_deref(), Some(inside.0));
        let told = |list: &str| (list == "trixie_InRelease").then(|| "Debian".to_owned());
        let named = ("http://plain.example", "trixie", "main");
        assert_eq!(debian_root(&lines(&[inside, updates, named]), told).as_deref(), Some(named.0));
        let foreign = |_: &str| Some("Vendor".to_owned());
        assert_eq!(debian_root(&lines(&[inside, updates]), foreign), None);
        for suite in ["stable", "oldstable", "bullseye"] {
            assert!(debian_root(&lines(&[("file:/srv/debian", suite, "main")]), unknown).is_some(), "{suite}");
        }
    }

    #[test]
    fn a_list_of_mirrors_gives_its_first() {
        let list = "# ours\nhttps://one.example/debian/\tpriority:1\nhttps://two.example/debian/\n";
        assert_eq!(first_mirror(list).as_deref(), Some("https://one.example/debian"));
        assert_eq!(first_mirror("# none\n"), None);
    }

    #[test]
    fn the_distribution_is_read_from_os_release() {
        assert_eq!(distribution("NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n"), "ubuntu");
        assert_eq!(distribution("VERSION_ID=\"9\"\nID=\"rocky\"\n"), "rocky");
        assert_eq!(distribution(""), "");
    }
}
