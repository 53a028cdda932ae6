//! A machine that makes sysroots, and what is told of it.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8Path;
use cargo_convoy::machine::interrupt::Interrupt;
use cargo_convoy::machine::{AptFacts, CacheDir, apt};
use cargo_convoy::model::sysroot::{Archive, Sysroot, SysrootKey, SysrootPlan};
use cargo_convoy::plan::Refused;
use cargo_convoy::project::config::Forbidden;
use cargo_convoy::project::lock::LockedSysroot;
use cargo_convoy::provision::sysroot::{Limits, Progress, Sysroots};

use crate::support::archive::{ARCH, Deb, DebianArchive, MULTIARCH, SUITE, Server};

/// One machine: a cache, apt, and where packages come from.
#[derive(Debug)]
pub struct Machine {
    pub cache: CacheDir,
    pub apt: Option<AptFacts>,
    pub archive: Archive,
    pub limits: Limits,
    pub offline: bool,
    forbidden: Forbidden,
}

impl Machine {
    pub fn new(dir: &Utf8Path, archive: Archive) -> Self {
        let cache = CacheDir::at(&dir.join("v1"));
        let apt = apt(&cache).expect("apt-get is needed by this test");
        // A refusal is told at once; a server that answers has all the time that a busy machine takes.
        let limits = Limits { retries: 0, ..Limits::default() };
        let (reason, hint) = ("`--offline` is set".to_owned(), "run once without `--offline`".to_owned());
        Self { cache, apt: Some(apt), archive, limits, offline: false, forbidden: Forbidden { reason, hint } }
    }

    /// A server that does not answer shall cost little time.
    pub fn impatient(mut self) -> Self {
        self.limits.idle = Duration::from_secs(3);
        self
    }

    /// One that takes packages from an archive's server.
    pub fn of(archive: &DebianArchive, server: &Server, cache: &str) -> Self {
        let dir = archive.root.with_file_name(cache);
        let keyring = Some(archive.key.keyring());
        Self::new(&dir, Archive { mirrors: vec![server.url()], keyring, ..Archive::default() })
    }

    pub fn with<T>(&self, call: impl FnOnce(&Sysroots<'_>) -> T) -> T {
        self.heard(&|_| {}, call)
    }

    /// The same for whoever listens to what goes on.
    pub fn heard<T>(&self, progress: &dyn Fn(Progress), call: impl FnOnce(&Sysroots<'_>) -> T) -> T {
        let interrupt = Interrupt::default();
        call(&Sysroots {
            apt: self.apt.as_ref(),
            cache: &self.cache,
            offline: self.offline.then_some(&self.forbidden),
            limits: self.limits,
            interrupt: &interrupt,
            progress,
        })
    }

    pub fn resolve(&self, packages: &[&str]) -> Result<LockedSysroot, Refused> {
        self.resolve_plan(&plan(packages, &self.archive))
    }

    pub fn resolve_plan(&self, plan: &SysrootPlan) -> Result<LockedSysroot, Refused> {
        self.with(|sysroots| sysroots.resolve(plan).unwrap())
    }

    pub fn bring(&self, locked: &LockedSysroot) -> Result<Sysroot, Refused> {
        self.with(|sysroots| sysroots.bring(locked, &self.archive).unwrap())
    }
}

pub fn plan(packages: &[&str], archive: &Archive) -> SysrootPlan {
    let key = SysrootKey { suite: SUITE.to_owned(), architecture: ARCH.to_owned(), of: None };
    SysrootPlan { key, packages: packages.iter().map(|name| (*name).to_owned()).collect(), archive: archive.clone() }
}

#[track_caller]
pub fn says(refused: &Refused, work: bool, words: &[&str]) {
    let text = format!("{} | {}", refused.reason, refused.hint.as_deref().unwrap_or_default());
    for word in words {
        assert!(text.contains(word), "`{word}` is not said in: {text}");
    }
    assert_eq!(refused.work, work, "{text}");
}

/// Everything in a tree: files with their contents, links with their targets.
pub fn tree(root: &Utf8Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in dir.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            let name = path.strip_prefix(root).unwrap().to_string();
            let kind = path.symlink_metadata().unwrap();
            if kind.is_symlink() {
                found.insert(name, format!("-> {}", path.read_link_utf8().unwrap()));
            } else if kind.is_dir() {
                dirs.push(path);
            } else {
                found.insert(name, String::from_utf8_lossy(&fs_err::read(&path).unwrap()).into_owned());
            }
        }
    }
    found
}

/// Work that was begun and given up, or packages that nobody can use.
pub fn left_behind(cache: &CacheDir) -> Vec<String> {
    let rooms = ["sysroots", "debs"].map(|room| cache.root().join(room));
    let entries = rooms.iter().filter_map(|room| room.read_dir_utf8().ok()).flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().to_owned());
    names.filter(|name| name.starts_with(".bringing")).collect()
}

/// `libapp-dev`, which needs `libapp1`, with all that is to be put right; and a leaf of another compression.
pub fn app(archive: &DebianArchive) {
    let lib = format!("lib/{MULTIARCH}");
    archive.add(
        Deb::new("libapp1", "1:1.0-1+b1")
            .file(&format!("{lib}/libapp.so.1.0"), "\x7fELF app")
            .link(&format!("{lib}/libapp.so.1"), "libapp.so.1.0")
            .file("usr/share/doc/libapp1/copyright", "left out")
            .file("etc/app.conf", "left out")
            .file("DEBIAN/shlibs", "libapp 1 libapp1\n")
            .compression("gzip"),
    );
    let usr_lib = format!("usr/lib/{MULTIARCH}");
    archive.add(
        Deb::new("libapp-dev", "1:1.0-1+b1")
            .field("Depends: libapp1 (= 1:1.0-1+b1), libleaf")
            .field("Recommends: libnobody")
            .file("usr/include/app.h", "#define APP 1\n")
            .link(&format!("{usr_lib}/libapp.so"), &format!("/{lib}/libapp.so.1"))
            .file(
                &format!("{usr_lib}/libscript.so"),
                &format!("/* GNU ld script */\nGROUP ( /{lib}/libapp.so.1 AS_NEEDED ( /lib/ld-test.so.3 ) )\n"),
            )
            .file(&format!("{usr_lib}/pkgconfig/app.pc"), "prefix=/usr\n")
            .file("usr/bin/app-config", "#!/bin/sh\n")
            .file("usr/bin/app", "left out"),
    );
    archive.add(Deb::new("libleaf", "2.0").file("usr/lib/libleaf.a", "!<arch>\n").compression("zstd"));
    archive.publish();
}
