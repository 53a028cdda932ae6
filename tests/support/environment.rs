//! The environment of everything that the tests start: of this machine's variables an allow-list, and a home, a cache and a
//! CARGO_HOME of the tests' own, below the target directory. Nothing is written to those of the person who tests.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::process::Command;
use std::sync::LazyLock;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::machine::CacheDir;

use super::needs;

/// Variables that say how this machine reaches its files, its network and its services. All others are the person's or
/// the outer cargo's: `CXX`, `RUSTFLAGS` and their like would change what a test sees.
const NAMES: [&str; 23] = [
    "PATH",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "TERM",
    "LANG",
    "TZ",
    "CARGO",
    "CARGO_NET_OFFLINE",
    "CONVOY_CACHE_DIR",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "RUST_BACKTRACE",
    "PYENV_ROOT",
];
const PREFIXES: [&str; 9] =
    ["CARGO_HTTP_", "CARGO_REGISTR", "RUSTUP_", "LC_", "SSL_", "PIP_", "DOCKER_", "CONTAINERS_", "APT_"];

/// Tables of a person's cargo configuration that say where crates come from.
const CARGO_TABLES: [&str; 5] = ["source", "registries", "registry", "net", "http"];

/// Where the tests write.
pub fn scratch() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// convoy's cache of the tests, kept between runs.
pub fn cache() -> Utf8PathBuf {
    scratch().join("cache")
}

/// The same, for calls of the library.
pub fn convoy_cache() -> CacheDir {
    CacheDir::at(&cache().join("v1"))
}

/// The CARGO_HOME of the tests.
pub fn cargo_home() -> Utf8PathBuf {
    scratch().join("cargo-home")
}

/// A program that sees the tests' environment only.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(tests());
    command
}

/// The cargo that runs the tests, or the one on PATH.
pub fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// This machine's own variables, with the person's home: for container engines, which keep their images there.
pub fn machine() -> &'static BTreeMap<OsString, OsString> {
    static MACHINE: LazyLock<BTreeMap<OsString, OsString>> = LazyLock::new(|| {
        let allowed = |name: &str| NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let mut variables: BTreeMap<OsString, OsString> =
            std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(allowed)).collect();
        let Some(home) = home() else { return variables };
        // What these tools look for in the home directory.
        for (name, places) in [
            ("RUSTUP_HOME", &[".rustup"][..]),
            ("PYENV_ROOT", &[".pyenv"]),
            ("PIP_CONFIG_FILE", &[".config/pip/pip.conf", ".pip/pip.conf"]),
            ("DOCKER_CONFIG", &[".docker"]),
        ] {
            if let Some(place) = places.iter().map(|place| home.join(place)).find(|place| place.exists()) {
                variables.entry(name.into()).or_insert(place.into());
            }
        }
        variables.insert("HOME".into(), home.into());
        variables
    });
    &MACHINE
}

/// The variables of the tests.
pub fn tests() -> &'static BTreeMap<OsString, OsString> {
    static TESTS: LazyLock<BTreeMap<OsString, OsString>> = LazyLock::new(|| {
        let mut variables = machine().clone();
        let home = scratch().join("home");
        for dir in [&home, &cache(), &cargo_home()] {
            fs_err::create_dir_all(dir).unwrap();
        }
        fill_cargo_home();
        if let Some(path) = offer_zig() {
            variables.insert("PATH".into(), path);
        }
        for person in ["XDG_CACHE_HOME", "XDG_DATA_HOME"] {
            variables.remove(OsStr::new(person));
        }
        variables.insert("HOME".into(), home.into());
        variables.insert("CARGO_HOME".into(), cargo_home().into());
        variables.insert("CONVOY_CACHE_DIR".into(), cache().into());
        // A test is about this machine's tools, unless it is about containers.
        variables.insert("CONVOY_ENGINE".into(), "none".into());
        variables
    });
    &TESTS
}

/// The person's home directory.
pub fn home() -> Option<Utf8PathBuf> {
    std::env::home_dir().and_then(|home| Utf8PathBuf::from_path_buf(home).ok()).filter(|home| home.is_dir())
}

/// The zig that the tests found is there for convoy, too: in its cache if it is convoy's own, otherwise on PATH, which is
/// given back.
fn offer_zig() -> Option<OsString> {
    let zig = needs::find_zig()?;
    let package = zig.parent().unwrap();
    let home = package.parent().unwrap();
    if package.file_name() == Some("ziglang") && home.file_name() == Some(cargo_convoy::model::zig::version()) {
        let room = convoy_cache().room("zig").unwrap();
        link(home, &room.join(home.file_name().unwrap()));
        if cargo_convoy::machine::zig::in_cache(&convoy_cache()).is_some() {
            return None;
        }
    }
    if which::which("zig").is_ok() {
        return None;
    }
    let dir = scratch().join("zig-on-path").join(&cargo_convoy::util::files::sha256(zig.as_str())[..8]);
    fs_err::create_dir_all(&dir).unwrap();
    link(&zig, &dir.join("zig"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    Some(std::env::join_paths(std::env::split_paths(&path).chain([dir.into()])).unwrap())
}

fn link(to: &Utf8Path, place: &Utf8Path) {
    if !place.exists() {
        // Another test program may be quicker; and what it led to may be gone.
        let _ = fs_err::remove_file(place);
        let _ = fs_err::os::unix::fs::symlink(to, place);
    }
}

/// Crates that are on this machine already are there for the tests, without a network, and so is the way to its
/// registry. All else in a person's configuration of cargo would change what is built.
fn fill_cargo_home() {
    let own = std::env::var_os("CARGO_HOME").map(|dir| Utf8PathBuf::from_path_buf(dir.into()).unwrap());
    let Some(own) = own.or_else(|| home().map(|home| home.join(".cargo"))) else { return };
    for part in ["registry/cache", "registry/index"] {
        take(&own.join(part), &cargo_home().join(part), part == "registry/cache");
    }
    let text = ["config.toml", "config"].iter().find_map(|name| fs_err::read_to_string(own.join(name)).ok());
    let mut config: toml::Table = text.unwrap_or_default().parse().unwrap_or_default();
    config.retain(|table, _| CARGO_TABLES.contains(&table));
    // Relative to the directory above that of the file.
    for (_, source) in config.get_mut("source").and_then(toml::Value::as_table_mut).into_iter().flatten() {
        for key in ["directory", "local-registry"] {
            if let Some(toml::Value::String(path)) = source.get_mut(key) {
                *path = own.parent().unwrap().join(path.as_str()).into_string();
            }
        }
    }
    put(&cargo_home().join("config.toml"), |place| fs_err::write(place, toml::to_string(&config).unwrap()));
}

/// Links or copies what is new. cargo writes its index in place, so that it must not be linked.
fn take(from: &Utf8Path, to: &Utf8Path, link: bool) {
    let Ok(entries) = from.read_dir_utf8() else { return };
    fs_err::create_dir_all(to).unwrap();
    let time = |path: &Utf8Path| path.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    for entry in entries.flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            // The index of a registry that git serves is large, and useless without its lock.
            if entry.file_name() != ".git" {
                take(from, &to, link);
            }
        } else if !to.exists() || (!link && time(&to) < time(from)) {
            put(&to, |place| match link && fs_err::hard_link(from, place).is_ok() {
                true => Ok(()),
                false => fs_err::copy(from, place).map(drop),
            });
        }
    }
}

/// A file that is whole whenever another test program looks.
fn put(place: &Utf8Path, write: impl FnOnce(&Utf8Path) -> std::io::Result<()>) {
    let new = Utf8PathBuf::from(format!("{place}.{}", std::process::id()));
    write(&new).unwrap();
    fs_err::rename(new, place).unwrap();
}
