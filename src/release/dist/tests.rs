use super::*;
use crate::project::graph::Bin;
use crate::release::{Tool, Toolchain};

struct Folder {
    _held: tempfile::TempDir,
    root: Utf8PathBuf,
}

impl Folder {
    fn new() -> Self {
        let held = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(held.path()).unwrap().canonicalize_utf8().unwrap();
        fs_err::create_dir_all(root.join("lane/x86/release")).unwrap();
        Self { _held: held, root }
    }

    fn dist(&self) -> Utf8PathBuf {
        self.root.join("dist")
    }

    /// A binary as cargo leaves it.
    fn built(&self, name: &str, text: &str) -> Artifact {
        let path = self.root.join("lane/x86/release").join(name);
        fs_err::write(&path, text).unwrap();
        let text = || name.to_owned();
        let bin = Bin { name: text(), package: text(), version: text(), package_id: text(), only: None };
        Artifact { bin, root: self.root.join("lane"), path }
    }

    fn place_as(&self, owner: &Owner<'_>, files: &[(&str, &str)], keep: bool) -> Result<Placed> {
        let relative = (owner.workspace_root == self.root).then(|| "..".to_owned());
        let mut manifest = empty(relative);
        let mut places = Vec::new();
        for (name, text) in files {
            let row = row(name, text);
            let (sha256, path) = (row.sha256.clone(), Utf8PathBuf::from(&row.path));
            places.push(Place { source: self.built(name, text), sha256, path, up_to_date: false });
            manifest.artifacts.push(row);
        }
        place(&self.dist(), &places, manifest, owner, keep)
    }

    fn place(&self, files: &[(&str, &str)], keep: bool) -> Result<Placed> {
        self.place_as(&owner(&self.root, &["app", "tool"]), files, keep)
    }
}

fn owner<'a>(workspace_root: &'a Utf8Path, packages: &[&str]) -> Owner<'a> {
    Owner { workspace_root, packages: packages.iter().map(|name| (*name).to_owned()).collect() }
}

fn empty(workspace_root: Option<String>) -> Manifest {
    Manifest {
        schema: 1,
        kind: "manifest".to_owned(),
        tool: Tool { name: "cargo-convoy".to_owned(), version: String::new() },
        workspace_root,
        profile: "release".to_owned(),
        toolchain: Toolchain { rustc: String::new(), cargo: String::new(), host: String::new() },
        artifacts: Vec::new(),
        failed: Vec::new(),
    }
}

fn row(package: &str, text: &str) -> ArtifactRow {
    let row = serde_json::json!({
        "id": "x86", "package": package, "version": "1.0.0", "bin": package, "target": "x86", "platform": null,
        "devices": [], "route": "host", "because": "", "path": format!("x86/{package}"), "size": text.len(),
        "sha256": crate::util::files::sha256(text), "format": "elf", "arch": "x86_64", "cpu": null, "linkage": "static",
        "linker": null, "interpreter": null, "needed": [], "glibc": null, "min_os": null, "verified": true, "findings": [],
    });
    serde_json::from_value(row).unwrap()
}

/// A manifest that somebody else wrote.
fn tamper(dist: &Utf8Path, path: &str) {
    let mut manifest = read_manifest(dist).unwrap();
    manifest.artifacts.push(ArtifactRow { path: path.to_owned(), ..row("app", "") });
    fs_err::write(dist.join(MANIFEST), serde_json::to_string(&manifest).unwrap()).unwrap();
}

#[test]
fn only_paths_as_convoy_writes_them_are_taken_from_a_manifest() {
    for bad in ["../x", "/etc/passwd", "a/../../x", "", "./x", "x", "a/b/c", "a/..", "manifest.json"] {
        assert_eq!(of_row(bad), None, "{bad}");
    }
    assert_eq!(of_row("a/b"), Some("a/b".into()));
}

#[cfg(unix)]
#[test]
fn nothing_is_removed_through_a_link() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    let (dist, victim) = (folder.dist(), folder.root.join("victim"));
    fs_err::create_dir_all(victim.join("b")).unwrap();
    fs_err::write(victim.join("b/keys"), "precious").unwrap();
    folder.place(&[("app", "1")], false).unwrap();
    symlink(&victim, dist.join("a")).unwrap();
    symlink(victim.join("b"), dist.join("b")).unwrap();
    tamper(&dist, "a/b/keys");
    tamper(&dist, "b/keys");
    let placed = folder.place(&[("app", "2")], false).unwrap();
    assert_eq!(placed.removed, [""; 0]);
    assert_eq!(fs_err::read_to_string(victim.join("b/keys")).unwrap(), "precious");
    // What convoy wrote is removed as ever.
    let placed = folder.place(&[("tool", "3")], false).unwrap();
    assert_eq!(placed.removed, [dist.join("x86/app")]);
}

#[cfg(unix)]
#[test]
fn nothing_is_written_through_a_link() {
    let folder = Folder::new();
    let (dist, other) = (folder.dist(), folder.root.join("other"));
    fs_err::create_dir_all(&dist).unwrap();
    fs_err::create_dir_all(&other).unwrap();
    fs_err::write(other.join("app"), "foreign").unwrap();
    std::os::unix::fs::symlink(&other, dist.join("x86")).unwrap();
    let error = folder.place(&[("app", "1")], false).unwrap_err();
    assert!(error.to_string().contains("x86`: it is a symbolic link"), "{error}");
    assert_eq!(fs_err::read_to_string(other.join("app")).unwrap(), "foreign");
}

#[test]
fn what_a_killed_run_left_is_removed_and_nothing_else() {
    let folder = Folder::new();
    let dist = folder.dist();
    let make = |name: &str, files: &[&str]| {
        fs_err::create_dir_all(dist.join(name)).unwrap();
        files.iter().for_each(|file| fs_err::write(dist.join(name).join(file), "x").unwrap());
        #[cfg(unix)]
        {
            let day = Duration::from_secs(86_400);
            let dir = std::fs::File::open(dist.join(name)).unwrap();
            dir.set_modified(std::time::SystemTime::now() - day).unwrap();
        }
    };
    let foreign = [".convoy-notes", ".convoy-Notes1", ".convoy-nomark", ".convoy-nested", ".convoy-abcdefg", "x86"];
    make(".convoy-aB3dE6", &[MARKER, "0", "1", MANIFEST, SUMS]);
    make(".convoy-notes", &["thesis.txt"]);
    make(".convoy-Notes1", &[MARKER, "0", "thesis.txt"]);
    make(".convoy-nomark", &["0", MANIFEST]);
    make(".convoy-nested", &[MARKER]);
    fs_err::create_dir(dist.join(".convoy-nested/7")).unwrap();
    make(".convoy-abcdefg", &[MARKER]);
    make("x86", &["0"]);
    folder.place(&[("app", "1")], false).unwrap();
    assert!(!dist.join(".convoy-aB3dE6").exists());
    for name in foreign {
        assert!(dist.join(name).exists(), "{name}");
    }
    assert!(dist.join(".convoy-Notes1/0").exists());
    // One that may be of a run that is writing stays.
    fs_err::create_dir(dist.join(".convoy-young1")).unwrap();
    fs_err::write(dist.join(".convoy-young1").join(MARKER), "").unwrap();
    remove_leftovers(&dist, false);
    assert!(dist.join(".convoy-young1").exists());
    remove_leftovers(&dist, true);
    assert!(!dist.join(".convoy-young1").exists());
}

#[cfg(unix)]
#[test]
fn modes_are_convoys_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let mode = |path: &Utf8Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o7777;
    for given in [0o6755, 0o4777, 0o700] {
        let source = folder.built("app", "1");
        fs_err::set_permissions(&source.path, std::fs::Permissions::from_mode(given)).unwrap();
        let place =
            Place { source, sha256: crate::util::files::sha256("1"), path: "x86/app".into(), up_to_date: false };
        let manifest = Manifest { artifacts: vec![row("app", "1")], ..empty(None) };
        super::place(&folder.dist(), &[place], manifest, &owner(&folder.root, &["app"]), false).unwrap();
        // As a program that this process makes now: by the umask.
        fs_err::write(folder.root.join("new"), "").unwrap();
        let made = mode(&folder.root.join("new"));
        assert_eq!(mode(&folder.dist().join("x86/app")), made | (made & 0o444) >> 2, "{given:o}");
    }
}

#[test]
fn what_was_not_verified_is_not_published() {
    let folder = Folder::new();
    folder.place(&[("app", "1")], false).unwrap();
    let source = folder.built("app", "another");
    let place = Place { source, sha256: crate::util::files::sha256("2"), path: "x86/app".into(), up_to_date: false };
    let manifest = Manifest { artifacts: vec![row("app", "2")], ..empty(None) };
    let error = super::place(&folder.dist(), &[place], manifest, &owner(&folder.root, &["app"]), false).unwrap_err();
    assert!(error.to_string().ends_with("was modified after it was verified"), "{error}");
    assert_eq!(fs_err::read_to_string(folder.dist().join("x86/app")).unwrap(), "1");
    let left: Vec<_> = fs_err::read_dir(folder.dist()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn kept_rows_are_those_whose_files_are_still_the_verified_ones() {
    let folder = Folder::new();
    folder.place(&[("app", "1"), ("tool", "2")], false).unwrap();
    fs_err::write(folder.dist().join("x86/tool"), "replaced").unwrap();
    let placed = folder.place(&[], true).unwrap();
    let rows: Vec<_> = placed.manifest.artifacts.iter().map(|row| row.path.as_str()).collect();
    assert_eq!(rows, ["x86/app"]);
    assert_eq!(fs_err::read_to_string(folder.dist().join("x86/tool")).unwrap(), "replaced");
}

#[test]
fn another_projects_binaries_are_not_removed() {
    let folder = Folder::new();
    let dist = folder.dist();
    let (first, second) = (owner(&folder.root, &["app", "tool"]), owner("/elsewhere".into(), &["other"]));
    folder.place_as(&first, &[("app", "1")], false).unwrap();
    // This project: whatever its packages are called now.
    refuse_others(&dist, &owner(&folder.root, &["renamed"]), false, &BTreeSet::new()).unwrap();
    for keep in [false, true] {
        let paths = BTreeSet::from(["x86/app".to_owned()]);
        let error = refuse_others(&dist, &second, keep, &paths).unwrap_err();
        assert!(error.to_string().contains("`x86/app` of package `app`"), "{error}");
    }
    let error = folder.place_as(&second, &[("other", "2")], false).unwrap_err();
    assert!(error.hint_text().is_some_and(|hint| hint.contains("--keep")));
    assert!(dist.join("x86/app").exists());
    // Both, by --keep; then neither removes the other's.
    let placed = folder.place_as(&second, &[("other", "2")], true).unwrap();
    assert_eq!((placed.manifest.artifacts.len(), placed.manifest.workspace_root), (2, None));
    for owner in [&first, &second] {
        assert!(refuse_others(&dist, owner, false, &BTreeSet::new()).is_err());
        assert!(refuse_others(&dist, owner, true, &BTreeSet::new()).is_ok());
    }
    assert!(folder.place_as(&first, &[("app", "3")], true).is_ok());
    assert!(dist.join("x86/other").exists());
    assert!(refuse_others(&dist, &second, false, &BTreeSet::new()).is_err());
}
