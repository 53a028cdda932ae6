//! Sysroots for tests: Debian packages, fetched by apt and unpacked, as a user's machine would have them in convoy's
//! cache. Kept between runs.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::model::sysroot::Sysroot;
use cargo_convoy::util::files::sha256;

use super::run;

/// One at a time: two tests may ask for the same.
static MAKING: Mutex<()> = Mutex::new(());

/// A sysroot of a Debian release for an architecture with these packages and what they depend on.
pub fn sysroot(suite: &str, architecture: &str, packages: &[&str]) -> Sysroot {
    let _one = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let digest = sha256(format!("3 {suite} {architecture} {}", packages.join(" ")));
    let dir = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join("sysroots");
    let root = dir.join(format!("{suite}-{architecture}-{}", &digest[..8]));
    let requested: BTreeSet<String> = packages.iter().map(|name| (*name).to_owned()).collect();
    if !root.is_dir() {
        fs_err::create_dir_all(&dir).unwrap();
        let work = tempfile::tempdir_in(&dir).unwrap();
        let work = Utf8Path::from_path(work.path()).unwrap();
        unpack(work, &fetch(work, suite, architecture, packages));
        stay_inside(&work.join("root"));
        fs_err::rename(work.join("root"), &root).unwrap();
    }
    Sysroot { root, digest, requested }
}

/// The same sysroot somewhere else, as another machine has it.
pub fn elsewhere(sysroot: &Sysroot, dir: &Utf8Path) -> Sysroot {
    let root = dir.join("place");
    run("cp", &["-al", sysroot.root.as_str(), root.as_str()]);
    Sysroot { root, ..sysroot.clone() }
}

/// Fetches packages with an apt that knows nothing of this machine's own.
fn fetch(work: &Utf8Path, suite: &str, architecture: &str, packages: &[&str]) -> Vec<Utf8PathBuf> {
    let sources = run("apt-get", &["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    let mirror = sources.lines().find(|uri| uri.trim_end_matches('/').ends_with("/debian"));
    let mirror = mirror.expect("this test needs a Debian archive among apt's sources");
    for dir in ["state/lists/partial", "cache/archives/partial"] {
        fs_err::create_dir_all(work.join(dir)).unwrap();
    }
    fs_err::write(work.join("state/status"), "").unwrap();
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    fs_err::write(work.join("sources.list"), format!("deb [signed-by={keyring}] {mirror} {suite} main\n")).unwrap();
    let set = |name: &str, value: &str| ["-o".to_owned(), format!("{name}={value}")];
    let mut options = vec!["-qq".to_owned()];
    for (name, value) in [
        ("APT::Architecture", architecture),
        ("APT::Architectures::", architecture),
        ("APT::Sandbox::User", "root"),
        ("Acquire::Languages", "none"),
        ("Acquire::Retries", "3"),
        ("Dir::Etc::sourceparts", "/dev/null"),
        ("Dir::Etc::preferences", "/dev/null"),
        ("Dir::Etc::preferencesparts", "/dev/null"),
        ("Dir::State", work.join("state").as_str()),
        ("Dir::State::status", work.join("state/status").as_str()),
        ("Dir::Cache", work.join("cache").as_str()),
        ("Dir::Etc::sourcelist", work.join("sources.list").as_str()),
    ] {
        options.extend(set(name, value));
    }
    let apt = |more: &[&str]| {
        let args: Vec<&str> = options.iter().map(String::as_str).chain(more.iter().copied()).collect();
        run("apt-get", &args);
    };
    apt(&["update"]);
    let install = ["install", "--download-only", "-y", "--no-install-recommends"];
    apt(&install.iter().chain(packages).copied().collect::<Vec<_>>());
    let archives = work.join("cache/archives").read_dir_utf8().unwrap();
    archives.map(|entry| entry.unwrap().into_path()).filter(|path| path.extension() == Some("deb")).collect()
}

fn unpack(work: &Utf8Path, packages: &[Utf8PathBuf]) {
    let root = work.join("root");
    for dir in ["bin", "sbin", "lib", "lib64"] {
        fs_err::create_dir_all(root.join("usr").join(dir)).unwrap();
        fs_err::os::unix::fs::symlink(format!("usr/{dir}"), root.join(dir)).unwrap();
    }
    for package in packages {
        // `dpkg-deb -x` would put a folder in the place of a link.
        let mut unpacking = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(package).stdout(Stdio::piped()).spawn();
        let tar = unpacking.as_mut().unwrap().stdout.take().unwrap();
        let mut extract = Command::new("tar");
        extract.args(["-x", "--keep-directory-symlink", "--no-same-owner", "-C", root.as_str()]).stdin(tar);
        assert!(extract.status().unwrap().success() && unpacking.unwrap().wait().unwrap().success(), "{package}");
    }
}

/// Absolute links and paths in linker scripts would lead to this machine's own files.
fn stay_inside(root: &Utf8Path) {
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in dir.read_dir_utf8().unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                dirs.push(path.to_owned());
            } else if kind.is_symlink() {
                let to = path.read_link_utf8().unwrap();
                if let Ok(inside) = to.strip_prefix("/") {
                    let up = "../".repeat(dir.strip_prefix(root).unwrap().components().count());
                    fs_err::remove_file(path).unwrap();
                    fs_err::os::unix::fs::symlink(format!("{up}{inside}"), path).unwrap();
                }
            } else if path.extension() == Some("so") && entry.metadata().unwrap().len() < 4096 {
                let Ok(text) = fs_err::read_to_string(path) else { continue };
                let line = |line: &str| match line.starts_with("GROUP") || line.starts_with("INPUT") {
                    true => line.split(' ').map(file_name).collect::<Vec<_>>().join(" "),
                    false => line.to_owned(),
                };
                let told: Vec<String> = text.lines().map(line).collect();
                fs_err::write(path, told.join("\n") + "\n").unwrap();
            }
        }
    }
}

/// What is left of an absolute path.
fn file_name(word: &str) -> &str {
    word.strip_prefix('/').map_or(word, |path| path.rsplit('/').next().unwrap_or(path))
}

/// The newest version of a symbol family (`GLIBC`) that a file asks for, read by binutils and not by us.
pub fn newest(file: &Utf8Path, family: &str) -> (u32, u32) {
    let output = Command::new("readelf").args(["--version-info", "--wide", file.as_str()]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let prefix = format!("{family}_");
    let versions = told.split(&prefix).skip(1).filter_map(|rest| {
        let text: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let mut parts = text.split('.').map(|part| part.parse().unwrap());
        Some((parts.next()?, parts.next()?))
    });
    versions.max().unwrap()
}
