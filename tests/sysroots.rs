//! Sysroots, from archives made here and with faults put in; one from Debian itself.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_convoy::machine::interrupt::Interrupt;
use cargo_convoy::machine::{AptFacts, CacheDir, Refused, apt};
use cargo_convoy::model::sysroot::{Archive, Security, Sysroot, SysrootKey, SysrootPlan};
use cargo_convoy::project::lock::{ConvoyLock, LockedSysroot};
use cargo_convoy::provision::sysroot::{self, Limits, Progress, Sysroots};
use cargo_convoy::util::error::Exit;
use support::archive::{
    ARCH, Deb, DebianArchive, Key, MULTIARCH, OddMember, SUITE, Server, odd_deb, sparse_tar, with_data,
};
use support::{Done, tool, wait_for, workspace};

/// One machine: a cache, apt, and where packages come from.
#[derive(Debug)]
struct Machine {
    cache: CacheDir,
    apt: Option<AptFacts>,
    archive: Archive,
    limits: Limits,
    offline: bool,
}

impl Machine {
    fn new(dir: &Utf8Path, archive: Archive) -> Self {
        let cache = CacheDir::at(&dir.join("v1"));
        let apt = apt(&cache).expect("apt-get is needed by this test");
        // A refusal is told at once; a server that answers has all the time that a busy machine takes.
        let limits = Limits { retries: 0, ..Limits::default() };
        Self { cache, apt: Some(apt), archive, limits, offline: false }
    }

    /// A server that does not answer shall cost little time.
    fn impatient(mut self) -> Self {
        self.limits.idle = Duration::from_secs(3);
        self
    }

    /// One that takes packages from an archive's server.
    fn of(archive: &DebianArchive, server: &Server, cache: &str) -> Self {
        let dir = archive.root.with_file_name(cache);
        let keyring = Some(archive.key.keyring());
        Self::new(&dir, Archive { mirrors: vec![server.url()], keyring, ..Archive::default() })
    }

    fn with<T>(&self, call: impl FnOnce(&Sysroots<'_>) -> T) -> T {
        self.heard(&|_| {}, call)
    }

    /// The same for whoever listens to what goes on.
    fn heard<T>(&self, progress: &dyn Fn(Progress), call: impl FnOnce(&Sysroots<'_>) -> T) -> T {
        let interrupt = Interrupt::default();
        call(&Sysroots {
            apt: self.apt.as_ref(),
            cache: &self.cache,
            offline: self.offline,
            limits: self.limits,
            interrupt: &interrupt,
            progress,
        })
    }

    fn resolve(&self, packages: &[&str]) -> Result<LockedSysroot, Refused> {
        self.resolve_plan(&plan(packages, &self.archive))
    }

    fn resolve_plan(&self, plan: &SysrootPlan) -> Result<LockedSysroot, Refused> {
        self.with(|sysroots| sysroots.resolve(plan).unwrap())
    }

    fn bring(&self, locked: &LockedSysroot) -> Result<Sysroot, Refused> {
        self.with(|sysroots| sysroots.bring(locked, &self.archive).unwrap())
    }
}

fn plan(packages: &[&str], archive: &Archive) -> SysrootPlan {
    let key = SysrootKey { suite: SUITE.to_owned(), architecture: ARCH.to_owned(), of: None };
    SysrootPlan { key, packages: packages.iter().map(|name| (*name).to_owned()).collect(), archive: archive.clone() }
}

#[track_caller]
fn says(refused: &Refused, work: bool, words: &[&str]) {
    let text = format!("{} | {}", refused.reason, refused.hint.as_deref().unwrap_or_default());
    for word in words {
        assert!(text.contains(word), "`{word}` is not said in: {text}");
    }
    assert_eq!(refused.work, work, "{text}");
}

/// Everything in a tree: files with their contents, links with their targets.
fn tree(root: &Utf8Path) -> BTreeMap<String, String> {
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
fn left_behind(cache: &CacheDir) -> Vec<String> {
    let rooms = ["sysroots", "debs"].map(|room| cache.root().join(room));
    let entries = rooms.iter().filter_map(|room| room.read_dir_utf8().ok()).flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().to_owned());
    names.filter(|name| name.starts_with(".bringing")).collect()
}

/// `libapp-dev`, which needs `libapp1`, with all that is to be put right; and a leaf of another compression.
fn app(archive: &DebianArchive) {
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

#[test]
fn packages_are_resolved_brought_and_stay_inside() {
    let archive = DebianArchive::new("whole");
    app(&archive);
    let server = Server::of(&archive.root);
    let machine = Machine::of(&archive, &server, "cache");
    let locked = machine.resolve(&["libapp-dev"]).unwrap();
    let names: Vec<&str> = locked.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["libapp-dev", "libapp1", "libleaf"]);
    assert_eq!(locked.packages[0].version, "1:1.0-1+b1");
    assert_eq!(locked.packages[0].path, "pool/main/t/test/libapp-dev_1.0-1+b1_armhf.deb");
    assert_eq!(locked.origin, "Debian");
    assert_eq!(sysroot::in_cache(&machine.cache, &locked), None);

    let brought = machine.bring(&locked).unwrap();
    assert_eq!(sysroot::in_cache(&machine.cache, &locked).as_ref(), Some(&brought));
    assert_eq!(brought.digest, locked.digest());
    let mut found = tree(&brought.root);
    let lib = format!("usr/lib/{MULTIARCH}");
    let mut is = |path: &str, text: &str| assert_eq!(found.remove(path).as_deref(), Some(text), "{path}");
    is(&format!("{lib}/libapp.so.1.0"), "\x7fELF app");
    is(&format!("{lib}/libapp.so.1"), "-> libapp.so.1.0");
    is(&format!("{lib}/libapp.so"), "-> libapp.so.1");
    is(&format!("{lib}/libscript.so"), "/* GNU ld script */\nGROUP ( libapp.so.1 AS_NEEDED ( ../ld-test.so.3 ) )\n");
    is(&format!("{lib}/pkgconfig/app.pc"), "prefix=/usr\n");
    is("usr/include/app.h", "#define APP 1\n");
    is("usr/bin/app-config", "#!/bin/sh\n");
    is("usr/lib/libleaf.a", "!<arch>\n");
    is("lib", "-> usr/lib");
    is("bin", "-> usr/bin");
    assert!(found.is_empty(), "{found:?}");
    let control = sysroot::control_dir(&brought);
    assert_eq!(fs_err::read_to_string(control.join("libapp1/shlibs")).unwrap(), "libapp 1 libapp1\n");
    assert!(fs_err::read_to_string(control.join("libapp-dev/control")).unwrap().contains("Package: libapp-dev"));

    // The second time nobody is asked.
    let asked = server.asked().len();
    assert_eq!(machine.bring(&locked).unwrap(), brought);
    assert_eq!(server.asked().len(), asked);
    let kept = sysroot::list(&machine.cache).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].locked, locked);
    assert!(kept[0].used.is_some() && kept[0].bytes > 0);

    // Everything is as it was unpacked, until something changes it.
    let faults = || {
        let checked = sysroot::verify_sysroots(&machine.cache).unwrap();
        assert_eq!(checked.len(), 1);
        checked[0].1.faults.clone()
    };
    assert_eq!(faults(), Vec::<String>::new());
    let packages = sysroot::verify_packages(&machine.cache).unwrap().unwrap();
    assert_eq!((packages.files, packages.faults.len()), (3, 0));
    let header = brought.root.join("usr/include/app.h");
    fs_err::write(&header, "#define APP 2\n").unwrap();
    assert_eq!(faults(), ["`root/usr/include/app.h` has different contents"]);
    fs_err::write(&header, "#define APP 1\n").unwrap();
    assert_eq!(faults(), Vec::<String>::new());

    // On another machine, with a cache elsewhere and the folder itself as mirror.
    let mirrors = vec![format!("file:{}", archive.root)];
    let other =
        Machine::new(&archive.root.with_file_name("another cache"), Archive { mirrors, ..machine.archive.clone() });
    let again = other.resolve(&["libapp-dev"]).unwrap();
    assert_eq!(again, locked);
    let elsewhere = other.bring(&locked).unwrap();
    assert_eq!(elsewhere.digest, brought.digest);
    assert_eq!(tree(elsewhere.root.parent().unwrap()), tree(brought.root.parent().unwrap()));
}

#[test]
fn what_cannot_be_chosen_is_told() {
    let archive = DebianArchive::new("choice");
    app(&archive);
    archive.add(Deb::new("libone-dev", "1.0").field("Conflicts: libtwo-dev"));
    archive.add(Deb::new("libtwo-dev", "1.0"));
    archive.add(Deb::new("libreal-dev", "1.0").field("Provides: libvirtual-dev"));
    archive.add(Deb::new("libbroken-dev", "1.0").field("Depends: libgone (>= 7)"));
    archive.publish();
    let server = Server::of(&archive.root);
    let machine = Machine::of(&archive, &server, "cache");
    let refused = |packages: &[&str]| machine.resolve(packages).unwrap_err();
    says(&refused(&["libap-dev"]), false, &["no package `libap-dev` in `bookworm`", "did you mean `libapp-dev`?"]);
    // What apt would take for a pattern, and finds.
    says(&refused(&["libapp."]), false, &["no package `libapp.`"]);
    says(&refused(&["-oDir=/"]), false, &["`-oDir=/` is not a valid Debian package name"]);
    says(&refused(&["libone-dev", "libtwo-dev"]), false, &["conflict", "libone-dev", "libtwo-dev"]);
    says(&refused(&["libbroken-dev"]), false, &["conflict", "libbroken-dev", "libgone"]);

    // A name that one package provides stands for it.
    let provided = machine.resolve(&["libvirtual-dev"]).unwrap();
    assert_eq!(provided.packages[0].name, "libreal-dev");

    let with = |change: &dyn Fn(&mut SysrootPlan)| {
        let mut plan = plan(&["libapp-dev"], &machine.archive);
        change(&mut plan);
        machine.resolve_plan(&plan).unwrap_err()
    };
    says(&with(&|plan| plan.key.suite = "bookwurm".to_owned()), false, &["has no suite `bookwurm`"]);
    says(&with(&|plan| plan.key.architecture = "arm64".to_owned()), false, &["no packages for arm64"]);
    // An ARMv6 machine and Debian's own armhf.
    let of = Some("arm-unknown-linux-gnueabihf".to_owned());
    says(
        &with(&|plan| plan.key.of = of.clone()),
        false,
        &["whose armhf packages are built for ARMv7", "mirrors", "keyring"],
    );
    let raspbian = DebianArchive { origin: "Raspbian".to_owned(), ..archive };
    raspbian.publish();
    let mut plan = plan(&["libapp-dev"], &machine.archive);
    plan.key.of = of;
    assert_eq!(machine.resolve_plan(&plan).unwrap().origin, "Raspbian");
}

#[test]
fn an_index_that_cannot_be_trusted_is_told() {
    let archive = DebianArchive::new("trust");
    app(&archive);
    let server = Server::of(&archive.root);
    let machine = Machine::of(&archive, &server, "cache");
    machine.resolve(&["libapp-dev"]).unwrap();
    let refused = || machine.resolve(&["libapp-dev"]).unwrap_err();
    // Signed by somebody else; what was fetched before helps nobody.
    let stranger = Key::new("stranger");
    archive.publish_unsigned();
    archive.sign(&stranger);
    says(&refused(), false, &["is signed with a key", "that is not in the keyring"]);
    archive.publish_unsigned();
    says(&refused(), false, &["is not signed"]);
    // Changed after it was signed.
    archive.publish();
    let in_release = archive.root.join(format!("dists/{SUITE}/InRelease"));
    let text = fs_err::read_to_string(&in_release).unwrap();
    fs_err::write(&in_release, text.replace("Origin: Debian", "Origin: Nobody")).unwrap();
    says(&refused(), false, &["has an invalid signature"]);
    // An index that is not the one of the signed list.
    archive.add(Deb::new("libmore", "1.0"));
    archive.publish();
    let packages = archive.root.join(format!("dists/{SUITE}/main/binary-{ARCH}/Packages"));
    fs_err::write(&packages, fs_err::read_to_string(&packages).unwrap().replace("libleaf", "libevil")).unwrap();
    says(&refused(), false, &["a wrong hash or size"]);
    // A login page in place of everything.
    fs_err::write(&in_release, "<html>please log in</html>").unwrap();
    says(&refused(), false, &["is not a signed index"]);
    // The folder of another suite under this one's name.
    archive.publish();
    let dists = archive.root.join("dists");
    fs_err::rename(dists.join(SUITE), dists.join("bullseye")).unwrap();
    let mut plan = plan(&["libapp-dev"], &machine.archive);
    plan.key.suite = "bullseye".to_owned();
    says(&machine.resolve_plan(&plan).unwrap_err(), false, &["instead of `bullseye`"]);
}

#[test]
fn a_mirror_that_does_not_answer_is_told_and_the_next_is_asked() {
    let archive = DebianArchive::new("mirrors");
    app(&archive);
    let server = Server::of(&archive.root);
    let mut machine = Machine::of(&archive, &server, "cache");
    // A port where nobody listens, once this listener is gone.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let slow = Server::of(&archive.root);
    slow.hang("InRelease");
    machine.archive.mirrors = vec![format!("http://user:secret@{closed}")];
    let down = machine.resolve(&["libapp-dev"]).unwrap_err();
    says(&down, false, &["cannot be reached", "`keyring` in `[supply]`"]);
    assert!(!down.reason.contains("secret"), "{}", down.reason);
    machine.archive.mirrors = vec![slow.url()];
    let mut machine = machine.impatient();
    says(&machine.resolve(&["libapp-dev"]).unwrap_err(), false, &["did not answer in time"]);
    machine.limits.idle = Limits::default().idle;
    machine.archive.mirrors = vec!["nonsense".to_owned(), format!("http://{closed}"), server.url()];
    let locked = machine.resolve(&["libapp-dev"]).unwrap();
    machine.bring(&locked).unwrap();

    // The packages themselves.
    let mut machine = Machine::of(&archive, &server, "second");
    machine.archive.mirrors = vec![format!("http://{closed}")];
    says(&machine.bring(&locked).unwrap_err(), true, &["cannot be reached", "cargo convoy supply unpack FILE"]);
    let slow = Server::of(&archive.root);
    slow.hang(".deb");
    machine.archive.mirrors = vec![slow.url()];
    let mut machine = machine.impatient();
    says(&machine.bring(&locked).unwrap_err(), true, &["did not answer in time"]);
    // apt itself comes back once.
    let asked: BTreeSet<String> = slow.packages_asked().into_iter().collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    machine.apt = None;
    says(&machine.bring(&locked).unwrap_err(), true, &["is missing on this machine"]);
    says(&machine.resolve(&["libapp-dev"]).unwrap_err(), false, &["is missing on this machine"]);
    assert_eq!(left_behind(&machine.cache), [""; 0]);
}

#[test]
fn no_mirror_is_known() {
    let dir = workspace("no-mirror");
    let mut machine = Machine::new(&dir, Archive::default());
    let apt = machine.apt.as_mut().unwrap();
    (apt.mirror, apt.distribution) = (None, "ubuntu".to_owned());
    says(&machine.resolve(&["libapp-dev"]).unwrap_err(), false, &["(ubuntu) has no Debian archive", "[supply]"]);
    machine.offline = true;
    says(&machine.resolve(&["libapp-dev"]).unwrap_err(), false, &["the network may not be used"]);
}

#[test]
fn an_archive_that_has_moved_on_is_no_end() {
    let archive = DebianArchive::new("moved-on");
    app(&archive);
    let server = Server::of(&archive.root);
    let first = Machine::of(&archive, &server, "first");
    let locked = first.resolve(&["libapp-dev"]).unwrap();
    first.bring(&locked).unwrap();
    // What the snapshot keeps.
    let dated = locked.date.strftime("%Y%m%dT%H%M%SZ").to_string();
    let old = archive.root.with_file_name("snapshots");
    fs_err::create_dir_all(old.join(&dated)).unwrap();
    support::run("cp", &["-r", archive.root.join("pool").as_str(), old.join(&dated).as_str()]);
    let snapshots = Server::of(&old);

    fs_err::remove_file(archive.pool().join("libleaf_2.0_armhf.deb")).unwrap();
    archive.add(Deb::new("libleaf", "2.1").file("usr/lib/libleaf.a", "newer"));
    archive.publish();
    let mut second = Machine::of(&archive, &server, "second");
    let refused = second.bring(&locked).unwrap_err();
    says(&refused, true, &["package `libleaf` 2.0 of sysroot bookworm/armhf", "no longer has it", "supply update"]);
    assert_eq!(left_behind(&second.cache), [""; 0]);
    second.offline = true;
    says(&second.bring(&locked).unwrap_err(), true, &["not in the cache", "--offline"]);
    second.offline = false;

    second.archive.snapshot = Some(format!("{}/{{date}}", snapshots.url()));
    second.bring(&locked).unwrap();
    let asked = snapshots.packages_asked();
    assert!(asked.len() == 1 && asked[0].starts_with(&format!("/{dated}/pool/")), "only what is missing: {asked:?}");
    // A fresh choice takes what there is now, and so makes another sysroot.
    let moved = second.resolve(&["libapp-dev"]).unwrap();
    assert_ne!(moved.digest(), locked.digest());

    // A packed file brings it to a machine that has neither apt nor network.
    let mut lock = ConvoyLock::default();
    lock.set(locked.clone());
    let file = archive.root.with_file_name("packed.tar");
    let packed = first.with(|sysroots| sysroots.pack(&lock, &|_| first.archive.clone(), &file).unwrap().unwrap());
    assert_eq!((packed.packages, packed.lock), (3, lock.clone()));
    let mut third = Machine::of(&archive, &server, "third");
    (third.apt, third.offline) = (None, true);
    let unpacked = sysroot::unpack(&file, &third.cache, &Interrupt::default()).unwrap();
    assert_eq!((unpacked.lock, unpacked.bytes), (lock.clone(), packed.bytes));
    third.bring(&locked).unwrap();
    // The same packages make the same file.
    let again = archive.root.with_file_name("again.tar");
    third.with(|sysroots| sysroots.pack(&lock, &|_| Archive::default(), &again).unwrap().unwrap());
    assert!(fs_err::read(&file).unwrap() == fs_err::read(&again).unwrap());
    // And a package that the archive lacks cannot be packed anywhere else.
    let fourth = Machine::of(&archive, &server, "fourth");
    let beside = archive.root.with_file_name("nothing.tar");
    let refused = fourth.with(|sysroots| sysroots.pack(&lock, &|_| fourth.archive.clone(), &beside).unwrap());
    says(&refused.unwrap_err(), true, &["no longer has it"]);
    assert!(!beside.exists());
}

#[test]
fn a_packed_file_that_is_damaged_changes_nothing() {
    let archive = DebianArchive::new("packed");
    app(&archive);
    let server = Server::of(&archive.root);
    let machine = Machine::of(&archive, &server, "cache");
    let mut lock = ConvoyLock::default();
    lock.set(machine.resolve(&["libapp-dev"]).unwrap());
    let file = archive.root.with_file_name("packed.tar");
    machine.with(|sysroots| sysroots.pack(&lock, &|_| machine.archive.clone(), &file).unwrap().unwrap());
    let whole = fs_err::read(&file).unwrap();
    let cache = CacheDir::at(&archive.root.with_file_name("other"));
    let refused = |bytes: &[u8]| {
        let broken = archive.root.with_file_name("broken.tar");
        fs_err::write(&broken, bytes).unwrap();
        let error = sysroot::unpack(&broken, &cache, &Interrupt::default()).unwrap_err();
        let debs = cache.root().join("debs");
        let names: Vec<String> = debs
            .read_dir_utf8()
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().to_owned())
            .filter(|name| name != ".lock")
            .collect();
        assert_eq!(names, [""; 0]);
        error.to_string()
    };
    let mut flipped = whole.clone();
    let end = flipped.len() - 3 * 512;
    flipped[end] ^= 1;
    assert!(refused(&flipped).contains("has a wrong SHA-256"));
    let cut = refused(&whole[..whole.len() - 2048]);
    assert!(cut.contains("is damaged"), "{cut}");
    // Cut between two members.
    let member = 512 + whole[..].windows(5).skip(512).position(|bytes| bytes == b"debs/").unwrap();
    let cut = refused(&whole[..member]);
    assert!(cut.contains("is missing"), "{cut}");
    for foreign in [&b""[..], b"junk", &fs_err::read(archive.pool().join("libleaf_2.0_armhf.deb")).unwrap()] {
        assert!(refused(foreign).contains("was not written by `cargo convoy supply pack`"));
    }
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    builder.append_data(&mut header, "debs/x.deb", &b"hi"[..]).unwrap();
    assert!(refused(&builder.into_inner().unwrap()).contains("was not written by"));
    // A size that is not the file's, and a file that is not as large as it says.
    let text = String::from_utf8(whole[512..].split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap();
    let packed_with = |text: &str, member: &dyn Fn(&mut tar::Builder<Vec<u8>>)| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        builder.append_data(&mut header, "Convoy.lock", text.as_bytes()).unwrap();
        member(&mut builder);
        builder.into_inner().unwrap()
    };
    let mut other = ConvoyLock::parse(&text, "Convoy.lock").unwrap();
    let mut locked = other.sysroots()[0].clone();
    let package = locked.packages[2].clone();
    let deb = fs_err::read(archive.pool().join("libleaf_2.0_armhf.deb")).unwrap();
    locked.packages[2].size += 1;
    other.set(locked);
    let name = format!("debs/{}.deb", package.sha256);
    let whole_leaf = |builder: &mut tar::Builder<Vec<u8>>| {
        let mut header = tar::Header::new_ustar();
        header.set_size(deb.len() as u64);
        builder.append_data(&mut header, &name, &deb[..]).unwrap();
    };
    let wrong = refused(&packed_with(&other.text().unwrap(), &whole_leaf));
    assert!(wrong.contains("package `libleaf` 2.0 has a wrong size"), "{wrong}");
    let sparse =
        [packed_with(&text, &|_| ())[..512 + text.len().next_multiple_of(512)].to_vec(), sparse_tar(&name)].concat();
    let wrong = refused(&sparse);
    assert!(wrong.contains("is not a regular file"), "{wrong}");
    let edited = refused(&packed_with(&text.replace("size = ", "size = 1"), &|_| ()));
    assert!(edited.contains("checksum mismatch"), "{edited}");
    assert!(sysroot::unpack("/dev/zero".into(), &cache, &Interrupt::default()).is_err());
    let missing = sysroot::unpack("nowhere.tar".into(), &cache, &Interrupt::default()).unwrap_err();
    assert!(missing.to_string().ends_with("nowhere.tar"));
    assert_eq!(sysroot::unpack(&file, &cache, &Interrupt::default()).unwrap().packages, 3);
}

#[test]
fn a_package_with_a_wrong_hash_is_refused() {
    let archive = DebianArchive::new("wrong-hash");
    app(&archive);
    let server = Server::of(&archive.root);
    let mut machine = Machine::of(&archive, &server, "cache");
    let locked = machine.resolve(&["libapp-dev"]).unwrap();
    let leaf = archive.pool().join("libleaf_2.0_armhf.deb");
    let mut bytes = fs_err::read(&leaf).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs_err::write(&leaf, &bytes).unwrap();
    for mirror in [server.url(), format!("file:{}", archive.root)] {
        machine.archive.mirrors = vec![mirror];
        says(&machine.bring(&locked).unwrap_err(), true, &["package `libleaf` 2.0", "a different file in its place"]);
    }
    // Nor is one in the cache taken on trust.
    let sha256 = &locked.packages[2].sha256;
    fs_err::write(machine.cache.root().join(format!("debs/{sha256}.deb")), &bytes).unwrap();
    says(&machine.bring(&locked).unwrap_err(), true, &["a different file in its place"]);
    assert_eq!(left_behind(&machine.cache), [""; 0]);
}

/// Locks that somebody wrote by hand, with a digest of a file that the archive has.
#[test]
fn a_package_must_be_what_the_lock_says_of_it() {
    let archive = DebianArchive::new("hand-written");
    app(&archive);
    archive.add(Deb::new("libother", "1.0").file("usr/lib/libother.a", "other"));
    archive.publish();
    // A mirror without an index, so that packages alone can tell.
    let bare = archive.root.with_file_name("bare");
    fs_err::create_dir_all(&bare).unwrap();
    support::run("cp", &["-r", archive.root.join("pool").as_str(), bare.as_str()]);
    let server = Server::of(&archive.root);
    let mut machine = Machine::of(&archive, &server, "cache");
    let locked = machine.resolve(&["libapp-dev"]).unwrap();
    let other = machine.resolve(&["libother"]).unwrap().packages[0].clone();
    machine.archive.mirrors = vec![format!("file:{bare}")];
    let refused = |change: &dyn Fn(&mut LockedSysroot)| {
        let mut locked = locked.clone();
        change(&mut locked);
        let refused = machine.bring(&locked).unwrap_err();
        says(&refused, true, &["sysroot bookworm/armhf", "cargo convoy supply verify"]);
        assert_eq!(left_behind(&machine.cache), [""; 0]);
        refused
    };
    let stranger = refused(&|locked| {
        let leaf = &mut locked.packages[2];
        (leaf.sha256, leaf.size, leaf.path) = (other.sha256.clone(), other.size, other.path.clone());
    });
    says(&stranger, true, &["package `libleaf` 2.0 does not match `Convoy.lock`", "`Package: libother`"]);
    let newer = refused(&|locked| locked.packages[2].version = "2.0+deb12u9".to_owned());
    says(&newer, true, &["package `libleaf` 2.0+deb12u9", "`Version: 2.0`"]);
    let all = refused(&|locked| locked.packages[2].architecture = "all".to_owned());
    says(&all, true, &["`Architecture: armhf`"]);
    let extra = refused(&|locked| locked.packages.push(other.clone()));
    says(&extra, true, &["lists package `libother`, which no requested package depends on"]);
    let less = refused(&|locked| _ = locked.requested.insert("libssl-dev".to_owned()));
    says(&less, true, &["`Convoy.lock` lists `libssl-dev` as requested"]);
    let emptied = refused(&|locked| locked.requested.clear());
    says(&emptied, true, &["depends on"]);
    assert_eq!(sysroot::list(&machine.cache).unwrap(), []);
    machine.bring(&locked).unwrap();
}

#[test]
fn a_lock_is_held_against_signed_indexes() {
    let archive = DebianArchive::new("verify");
    app(&archive);
    let server = Server::of(&archive.root);
    let first = Machine::of(&archive, &server, "first");
    let locked = first.resolve(&["libapp-dev"]).unwrap();
    let verify = |machine: &Machine, locked: &LockedSysroot| {
        machine.with(|sysroots| sysroots.verify(locked, &machine.archive).unwrap())
    };
    let verified = verify(&first, &locked).unwrap();
    assert_eq!((verified.indexes, verified.unsigned), (vec![server.url()], vec![]));

    // Another build of one package: its own control file, and a place in the mirror's pool, but not in the index.
    let leaf = archive.pool().join("libleaf_2.0_armhf.deb");
    let honest = fs_err::read(&leaf).unwrap();
    archive.add(Deb::new("libleaf", "2.0").file("usr/lib/libleaf.a", "hostile"));
    let hostile = fs_err::read(&leaf).unwrap();
    let mut forged = locked.clone();
    forged.packages[2].sha256 = cargo_convoy::util::files::sha256(&hostile);
    forged.packages[2].size = hostile.len() as u64;
    let told = verify(&first, &forged).unwrap().unsigned;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].package.name.as_str(), told[0].reason.contains("a different file for this version")),
        ("libleaf", true)
    );
    // By default, too, when it is fetched, from wherever it comes.
    let bare = archive.root.with_file_name("bare");
    fs_err::create_dir_all(&bare).unwrap();
    support::run("cp", &["-r", archive.root.join("pool").as_str(), bare.as_str()]);
    let mut second = Machine::of(&archive, &server, "second");
    second.archive.mirrors.push(format!("file:{bare}"));
    says(&second.bring(&forged).unwrap_err(), true, &["package `libleaf` 2.0", "the signed index", "a different file"]);
    assert!(!server.packages_asked().iter().any(|path| path.contains("libleaf")), "{:?}", server.asked());
    fs_err::write(&leaf, honest).unwrap();
    second.bring(&locked).unwrap();

    // The archive moves on; what keeps old packages has the index of that day.
    let dated = locked.date.strftime("%Y%m%dT%H%M%SZ").to_string();
    let old = archive.root.with_file_name("snapshots");
    fs_err::create_dir_all(&old).unwrap();
    support::run("cp", &["-r", archive.root.as_str(), old.join(&dated).as_str()]);
    fs_err::remove_file(&leaf).unwrap();
    archive.add(Deb::new("libleaf", "2.1").file("usr/lib/libleaf.a", "newer"));
    archive.publish();
    let mut third = Machine::of(&archive, &server, "third");
    let told = verify(&third, &locked).unwrap().unsigned;
    assert_eq!(
        told.iter().map(|unsigned| unsigned.reason.as_str()).collect::<Vec<_>>(),
        ["the index lists 2.1 instead"]
    );
    let snapshots = Server::of(&old);
    third.archive.snapshot = Some(format!("{}/{{date}}/", snapshots.url()));
    let verified = verify(&third, &locked).unwrap();
    assert_eq!((verified.indexes.len(), verified.unsigned), (2, vec![]));
    assert_eq!(verify(&third, &forged).unwrap().unsigned.len(), 1);
    // Where no index is signed by whom it must, nothing is verified.
    let stranger = Key::new("stranger");
    third.archive = Archive { keyring: Some(stranger.keyring()), ..second.archive.clone() };
    let told = verify(&third, &locked).unwrap();
    assert_eq!((told.unsigned.len(), told.faults.len(), told.indexes.len()), (3, 2, 0));
    assert!(told.faults[0].contains("that is not in the keyring"), "{told:?}");
    third.apt = None;
    says(&verify(&third, &locked).unwrap_err(), true, &["apt, which"]);
}

#[test]
fn security_fixes_come_from_the_archive_beside() {
    let archive = DebianArchive::new("security");
    app(&archive);
    let fixes = archive.security();
    let parent = archive.root.parent().unwrap();
    let server = Server::of(parent);
    let mut machine = Machine::of(&archive, &server, "cache");
    let main = format!("{}/debian", server.url());
    machine.archive.mirrors = vec![main.clone()];
    machine.archive.keyring = Some(archive.key.keyring_with(&fixes.key));
    let leaf = |machine: &Machine| machine.resolve(&["libapp-dev"]).map(|locked| locked.packages[2].clone());
    // There is none yet.
    assert_eq!(leaf(&machine).unwrap().version, "2.0");
    machine.archive.security = Some(Security::Root(format!("{}/debian-security", server.url())));
    says(&leaf(&machine).unwrap_err(), false, &["debian-security has no suite `bookworm-security`"]);
    machine.archive.security = None;

    Deb::new("libleaf", "2.0+deb12u1")
        .file("usr/lib/libleaf.a", "fixed")
        .build(&fixes.root.join("pool/updates/main/l/x"));
    fixes.publish();
    // A mirror that is being updated has none to give either; whoever names it insists.
    let index = fixes.root.join(format!("dists/{SUITE}-security/main/binary-{ARCH}/Packages"));
    let whole = fs_err::read_to_string(&index).unwrap();
    fs_err::write(&index, format!("{whole}\n")).unwrap();
    let told = std::sync::Mutex::new(Vec::new());
    let asked = plan(&["libapp-dev"], &machine.archive);
    let listen = |progress| told.lock().unwrap().push(progress);
    let without = machine.heard(&listen, |sysroots| sysroots.resolve(&asked).unwrap().unwrap());
    assert_eq!((without.packages[2].version.as_str(), told.into_inner().unwrap()), ("2.0", vec![Progress::NoFixes]));
    machine.archive.security = Some(Security::Root(format!("{}/debian-security", server.url())));
    says(&leaf(&machine).unwrap_err(), false, &["a wrong hash or size"]);
    machine.archive.security = None;
    fs_err::write(&index, whole).unwrap();
    let locked = machine.resolve(&["libapp-dev"]).unwrap();
    assert_eq!(locked.packages[2].version, "2.0+deb12u1");
    assert!(locked.packages[2].path.starts_with("pool/updates/main"), "{:?}", locked.packages[2]);
    let brought = machine.bring(&locked).unwrap();
    assert_eq!(tree(&brought.root)["usr/lib/libleaf.a"], "fixed");
    // Another machine, with the lock alone.
    let another = Machine::new(&parent.join("another"), machine.archive.clone());
    assert_eq!(another.bring(&locked).unwrap().digest, brought.digest);
    let verified = another.with(|sysroots| sysroots.verify(&locked, &another.archive).unwrap().unwrap());
    assert_eq!((verified.indexes.len(), verified.unsigned), (2, vec![]));
    // An old state has its fixes beside it, too.
    let dated = locked.date.strftime("%Y%m%dT%H%M%SZ").to_string();
    for name in ["debian", "debian-security"] {
        let to = parent.join("archive").join(name);
        fs_err::create_dir_all(&to).unwrap();
        support::run("cp", &["-r", parent.join(name).as_str(), to.join(&dated).as_str()]);
    }
    let mut old = Machine::new(&parent.join("old"), machine.archive.clone());
    old.archive.mirrors = vec![format!("{}/nowhere", server.url())];
    old.archive.snapshot = Some(format!("{}/archive/debian/{{date}}/", server.url()));
    assert_eq!(old.bring(&locked).unwrap().digest, brought.digest);
    // Signed by somebody else it is no archive of fixes, and nothing is taken in its place.
    machine.archive.keyring = Some(archive.key.keyring());
    says(&leaf(&machine).unwrap_err(), false, &["`bookworm-security` at", "that is not in the keyring"]);
    machine.archive.security = Some(Security::Off);
    assert_eq!(leaf(&machine).unwrap().version, "2.0");
}

/// An index of fixes may list what its server has not: of a release that gets no more of them, as Debian 11's.
#[test]
fn fixes_that_are_listed_and_gone_keep_no_target_from_its_sysroot() {
    let archive = DebianArchive::new("gone-fixes");
    app(&archive);
    let fixes = archive.security();
    let gone =
        Deb::new("libleaf", "2.0+deb12u1").file("usr/lib/libleaf.a", "fixed").build(&fixes.root.join("pool/main/l/x"));
    fixes.publish();
    fs_err::remove_file(gone).unwrap();
    let server = Server::of(archive.root.parent().unwrap());
    let mut machine = Machine::of(&archive, &server, "cache");
    machine.archive.mirrors = vec![format!("{}/debian", server.url())];
    machine.archive.keyring = Some(archive.key.keyring_with(&fixes.key));
    let told = std::sync::Mutex::new(Vec::new());
    let listen = |progress| told.lock().unwrap().push(progress);
    let bring = |archive: &Archive| {
        machine.heard(&listen, |sysroots| sysroots.choose_and_bring(&plan(&["libapp-dev"], archive)).unwrap())
    };
    let (locked, sysroot) = bring(&machine.archive).unwrap();
    assert!(told.lock().unwrap().contains(&Progress::NoFixes));
    assert_eq!(locked.packages[2].version, "2.0");
    assert_eq!(tree(&sysroot.root)["usr/lib/libleaf.a"], "!<arch>\n");
    // Whoever names the archive of fixes insists on it.
    told.lock().unwrap().clear();
    let named = Security::Root(format!("{}/debian-security", server.url()));
    let refused = bring(&Archive { security: Some(named), ..machine.archive.clone() }).unwrap_err();
    says(&refused, true, &["libleaf"]);
    assert!(!told.lock().unwrap().contains(&Progress::NoFixes));
}

#[test]
fn without_a_keyring_nobody_is_trusted() {
    let archive = DebianArchive::new("no-keyring");
    app(&archive);
    let server = Server::of(&archive.root);
    let mut machine = Machine::of(&archive, &server, "cache");
    let locked = machine.resolve(&["libapp-dev"]).unwrap();
    machine.archive.keyring = None;
    machine.apt.as_mut().unwrap().keyring = None;
    says(&machine.resolve(&["libapp-dev"]).unwrap_err(), false, &["no keyring", "debian-archive-keyring"]);
    let refused = machine.with(|sysroots| sysroots.verify(&locked, &machine.archive).unwrap()).unwrap_err();
    says(&refused, false, &["no keyring"]);
    // What is locked is known by its digest.
    machine.bring(&locked).unwrap();
}

#[test]
fn a_server_that_wants_a_password_gets_it() {
    let archive = DebianArchive::new("password");
    app(&archive);
    let server = Server::of(&archive.root);
    server.require("Basic bWU6czNjcmV0IQ==");
    let mut machine = Machine::of(&archive, &server, "cache");
    let plain = machine.resolve(&["libapp-dev"]).unwrap_err();
    says(&plain, false, &["requires a valid user name and password"]);
    machine.archive.mirrors = vec![server.url().replace("http://", "http://me:s3cret%21@")];
    let locked = machine.resolve(&["libapp-dev"]).unwrap();
    machine.bring(&locked).unwrap();
    // In one file, which is closed to others.
    let mut holding = Vec::new();
    for (name, text) in tree(machine.cache.root()) {
        if text.contains("s3cret") {
            holding.push(name);
        }
    }
    assert!(!holding.is_empty() && holding.iter().all(|name| name.ends_with("/auth.conf")), "{holding:?}");
}

/// Packages that are signed for, and unpack to what no disk or memory holds.
#[test]
fn a_package_that_unpacks_to_too_much_is_refused() {
    let archive = DebianArchive::new("bombs");
    let pool = archive.pool();
    let plain = |name: &str| Deb::new(name, "1.0").compression("none").build(&pool);
    with_data(plain("sparse"), "data.tar", |_| sparse_tar("usr/include/x.cmake"));
    archive.add(Deb::new("zeros", "1.0").file("usr/include/x.h", &"\0".repeat(80 << 20)));
    archive.add(Deb::new("cmake", "1.0").file("usr/lib/cmake/x.cmake", &"\0".repeat(17 << 20)));
    let long = "x".repeat(250);
    let long = format!("usr/include/{}", vec![long.as_str(); 17].join("/"));
    with_data(plain("name"), "data.tar", |_| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(0);
        builder.append_data(&mut header, &long, std::io::empty()).unwrap();
        builder.into_inner().unwrap()
    });
    archive.publish();
    let server = Server::of(&archive.root);
    let machine = Machine::of(&archive, &server, "cache");
    for (name, words) in [
        ("sparse", "contains the sparse file `usr/include/x.cmake`"),
        ("zeros", "unpacks to more than 64 MiB"),
        ("cmake", "contains `usr/lib/cmake/x.cmake` of 17 MiB"),
        ("name", "contains a name longer than 4096 bytes"),
    ] {
        let refused = machine.resolve(&[name]).and_then(|locked| machine.bring(&locked)).unwrap_err();
        says(&refused, true, &[&format!("package `{name}` 1.0"), words]);
        assert_eq!(left_behind(&machine.cache), [""; 0]);
    }
}

/// Packages that are signed for, and odd all the same.
#[test]
fn a_package_that_would_leave_the_sysroot_is_refused() {
    use OddMember::{Device, File, Hard, Link};
    let archive = DebianArchive::new("odd");
    let pool = archive.pool();
    let outside = archive.root.with_file_name("outside");
    fs_err::create_dir_all(&outside).unwrap();
    let through = format!("../../../../../../../../../../../../..{outside}");
    odd_deb(&pool, "up", &[("../evil", File("evil"))]);
    odd_deb(&pool, "up-late", &[("./usr/include/../../../evil", File("evil"))]);
    odd_deb(&pool, "link-up", &[("./usr/lib/x", Link(&through))]);
    odd_deb(&pool, "link-then-file", &[("./usr/lib/x", Link(outside.as_str())), ("./usr/lib/x/evil", File("evil"))]);
    odd_deb(&pool, "link-then-link", &[("./usr/lib/x", Link("y")), ("./usr/lib/x/evil", Link("z"))]);
    odd_deb(&pool, "hard-up", &[("./usr/lib/x", Hard("../../../evil"))]);
    odd_deb(&pool, "hard-none", &[("./usr/lib/x", Hard("./usr/lib/y"))]);
    // These are put in their place.
    odd_deb(
        &pool,
        "tame",
        &[
            ("/usr/include/absolute.h", File("absolute")),
            ("./usr/lib/null", Device),
            ("./usr/lib/first", File("same")),
            ("./usr/lib/second", Hard("./usr/lib/first")),
            ("./usr/lib/gone", Link(outside.as_str())),
            ("./lib", Link("usr/lib")),
        ],
    );
    let cut = archive.add(Deb::new("cut", "1.0").file("usr/include/cut.h", &"x".repeat(5000)));
    with_data(cut, "data.tar.xz", |data| data[..data.len() - 60].to_vec());
    let junk = archive.add(Deb::new("junk", "1.0").file("usr/include/junk.h", "x"));
    with_data(junk, "data.tar.xz", |data| [&data[..], b"and so on"].concat());
    archive.publish();
    let server = Server::of(&archive.root);
    let machine = Machine::of(&archive, &server, "cache");
    for (name, words) in [
        ("up", &["`../evil`", "leads out of the sysroot"][..]),
        ("up-late", &["leads out of the sysroot"]),
        ("link-up", &["`./usr/lib/x`", "leads out of the sysroot"]),
        ("link-then-file", &["`usr/lib/x`", "files would be written"]),
        ("link-then-link", &["`usr/lib/x/evil`", "through the link `usr/lib/x`"]),
        ("hard-up", &["leads out of the sysroot"]),
        ("hard-none", &["`./usr/lib/x`", "does not precede"]),
        ("cut", &["package `cut` 1.0 is truncated or damaged"]),
        ("junk", &["package `junk` 1.0 is damaged: unexpected data"]),
    ] {
        let refused = machine.resolve(&[name]).and_then(|locked| machine.bring(&locked)).unwrap_err();
        says(&refused, true, words);
        says(&refused, true, &[&format!("package `{name}`"), "sysroot bookworm/armhf"]);
        assert_eq!(left_behind(&machine.cache), [""; 0]);
    }
    assert_eq!(sysroot::list(&machine.cache).unwrap(), []);
    assert_eq!(outside.read_dir_utf8().unwrap().count(), 0);
    let brought = machine.bring(&machine.resolve(&["tame"]).unwrap()).unwrap();
    let found = tree(&brought.root);
    let names: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    let expected = ["lib", "usr/include/absolute.h", "usr/lib/first", "usr/lib/gone", "usr/lib/second"];
    assert_eq!(names, expected.into());
    assert_eq!(found["usr/lib/second"], "same");
    assert!(found["usr/lib/gone"].starts_with("-> ../../"), "{found:?}");
}

#[test]
fn of_two_packages_with_one_file_the_later_name_wins_always() {
    let archive = DebianArchive::new("same-file");
    archive.add(Deb::new("a-first", "1.0").file("usr/lib/x", "first").file("usr/lib/big", &"x".repeat(1 << 20)));
    archive.add(Deb::new("b-later", "1.0").file("usr/lib/x", "later").link("usr/lib/y", "x"));
    archive.add(Deb::new("c-last", "1.0").file("usr/lib/y", "last"));
    archive.publish();
    let server = Server::of(&archive.root);
    for attempt in 0..8 {
        let machine = Machine::of(&archive, &server, &format!("cache-{attempt}"));
        let brought = machine.bring(&machine.resolve(&["a-first", "b-later", "c-last"]).unwrap()).unwrap();
        let found = tree(&brought.root);
        assert_eq!((found["usr/lib/x"].as_str(), found["usr/lib/y"].as_str()), ("later", "last"));
    }
}

#[test]
fn two_at_once_make_one() {
    let archive = DebianArchive::new("at-once");
    app(&archive);
    let server = Server::of(&archive.root);
    let machine = Machine::of(&archive, &server, "cache");
    let locked = machine.resolve(&["libapp-dev"]).unwrap();
    let asked = server.asked().len();
    let both = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| machine.bring(&locked).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(both.iter().all(|brought| *brought == both[0]));
    assert_eq!(server.asked().len(), asked + locked.packages.len(), "each package is fetched once");
    assert_eq!(left_behind(&machine.cache), [""; 0]);
    // Resolving at once, too: apt itself allows one in its folders.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(machine.resolve(&["libapp-dev"]).unwrap(), locked));
        }
    });
}

#[test]
fn what_a_killed_run_left_is_cleared_and_a_damaged_sysroot_is_made_anew() {
    let archive = DebianArchive::new("killed");
    app(&archive);
    let server = Server::of(&archive.root);
    let machine = Machine::of(&archive, &server, "cache");
    let locked = machine.resolve(&["libapp-dev"]).unwrap();
    let brought = machine.bring(&locked).unwrap();
    let room = machine.cache.root().join("sysroots");
    fs_err::create_dir_all(room.join(".bringing-killed/tree")).unwrap();
    fs_err::remove_file(brought.root.with_file_name("sysroot.toml")).unwrap();
    assert_eq!(sysroot::in_cache(&machine.cache, &locked), None);
    let before = server.asked().len();
    assert_eq!(machine.bring(&locked).unwrap(), brought);
    assert_eq!(server.asked().len(), before, "the packages were still there");
    assert_eq!(left_behind(&machine.cache), [""; 0]);
}

#[test]
fn a_sysroot_of_other_packages_under_the_same_name_is_not_taken() {
    let archive = DebianArchive::new("collision");
    app(&archive);
    let server = Server::of(&archive.root);
    let machine = Machine::of(&archive, &server, "cache");
    let locked = machine.resolve(&["libapp-dev"]).unwrap();
    let brought = machine.bring(&locked).unwrap();
    let folder = brought.root.parent().unwrap().file_name().unwrap();
    assert!(folder.ends_with(&locked.digest()[..32]), "{folder}");
    // As if two sets of packages had one name.
    let mut other = locked.clone();
    other.packages.pop();
    let mut lock = ConvoyLock::default();
    lock.set(other);
    lock.write(&brought.root.with_file_name("sysroot.toml")).unwrap();
    assert_eq!(sysroot::in_cache(&machine.cache, &locked), None);
    assert_eq!(machine.bring(&locked).unwrap(), brought);
}

/// For [`a_full_disk_is_told_and_nothing_half_made_stays`], in a namespace with a small disk.
#[test]
#[ignore = "started by another test, with a small disk"]
fn on_a_small_disk() {
    let dir = Utf8PathBuf::from(std::env::var("CONVOY_TEST_SMALL_DISK").unwrap());
    let lock = ConvoyLock::read(&dir.join("Convoy.lock")).unwrap().unwrap();
    let mirrors = vec![format!("file:{}", dir.join("debian"))];
    let keyring = std::env::var("CONVOY_TEST_KEYRING").ok().map(Utf8PathBuf::from);
    let machine = Machine::new(&dir.join("small"), Archive { mirrors, keyring, ..Archive::default() });
    let full = ["No space left on device", "free some disk space", "CONVOY_CACHE_DIR"];
    match machine.resolve(&["libbig-dev"]) {
        Err(refused) => says(&refused, true, &full),
        Ok(_) => assert!(std::env::var_os("CONVOY_TEST_NO_ROOM_TO_CHOOSE").is_none()),
    }
    let refused = machine.bring(&lock.sysroots()[0]).unwrap_err();
    says(&refused, true, &full);
    assert_eq!(left_behind(&machine.cache), [""; 0]);
    assert_eq!(sysroot::list(&machine.cache).unwrap(), []);
}

#[test]
fn a_full_disk_is_told_and_nothing_half_made_stays() {
    let archive = DebianArchive::new("full-disk");
    // Small when packed: there is room for the package, and none for what is in it.
    let big = "x".repeat(4 << 20);
    archive.add(Deb::new("libbig-dev", "1.0").file("usr/include/big.h", &big).file("usr/lib/libbig.a", &big));
    archive.publish();
    let server = Server::of(&archive.root);
    let machine = Machine::of(&archive, &server, "cache");
    let mut lock = ConvoyLock::default();
    lock.set(machine.resolve(&["libbig-dev"]).unwrap());
    let dir = archive.root.parent().unwrap();
    lock.write(&dir.join("Convoy.lock")).unwrap();
    fs_err::create_dir_all(dir.join("small")).unwrap();
    let namespace = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    let this = std::env::current_exe().unwrap();
    // Room for nothing; then for more and more of what apt keeps; at last for the package, but not for what is in it.
    for size in ["8k", "12k", "16k", "20k", "24k", "28k", "32k", "2m"] {
        let script = format!(
            "mount -t tmpfs -o size={size} tmpfs small\nexec '{}' --ignored --exact on_a_small_disk",
            this.display()
        );
        let output = Command::new(tool("unshare"))
            .args([namespace, "sh", "-ec", &script])
            .current_dir(dir)
            .env("CONVOY_TEST_SMALL_DISK", dir)
            .env("CONVOY_TEST_KEYRING", archive.key.keyring())
            .envs((size == "8k").then_some(("CONVOY_TEST_NO_ROOM_TO_CHOOSE", "")))
            .output()
            .unwrap();
        let done = Done::from(output);
        assert!(done.code == Some(0) && done.stdout.contains("1 passed"), "{size}: {done}");
    }
}

/// For [`a_signal_ends_apt_and_leaves_nothing`], in a process that listens to signals.
#[test]
#[ignore = "started by another test, which sends it a signal"]
fn until_a_signal_comes() {
    let dir = Utf8PathBuf::from(std::env::var("CONVOY_TEST_SIGNAL").unwrap());
    let lock = ConvoyLock::read(&dir.join("Convoy.lock")).unwrap().unwrap();
    let mirrors = vec![fs_err::read_to_string(dir.join("mirror")).unwrap()];
    let archive = Archive { mirrors, ..Archive::default() };
    let machine = Machine::new(&dir.join("signalled"), archive);
    let interrupt = Interrupt::listen().unwrap();
    let sysroots = Sysroots {
        apt: machine.apt.as_ref(),
        cache: &machine.cache,
        offline: false,
        limits: Limits::default(),
        interrupt: &interrupt,
        progress: &|_| {},
    };
    let error = sysroots.bring(&lock.sysroots()[0], &machine.archive).unwrap_err();
    assert_eq!(error.exit(), Exit::Terminate);
}

#[test]
fn a_signal_ends_apt_and_leaves_nothing() {
    let archive = DebianArchive::new("signal");
    app(&archive);
    let server = Server::of(&archive.root);
    let mut lock = ConvoyLock::default();
    lock.set(Machine::of(&archive, &server, "cache").resolve(&["libapp-dev"]).unwrap());
    let dir = archive.root.parent().unwrap();
    lock.write(&dir.join("Convoy.lock")).unwrap();
    server.hang(".deb");
    fs_err::write(dir.join("mirror"), server.url()).unwrap();
    let asked = server.asked().len();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "until_a_signal_comes"])
        .env("CONVOY_TEST_SIGNAL", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("a package to be asked for", || server.asked().len() > asked);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let done = Done::from(child.wait_with_output().unwrap());
    assert!(done.code == Some(0) && done.stdout.contains("1 passed"), "{done}");
    assert_eq!(left_behind(&CacheDir::at(&dir.join("signalled/v1"))), [""; 0]);
}

#[test]
fn progress_is_told() {
    let archive = DebianArchive::new("progress");
    app(&archive);
    let server = Server::of(&archive.root);
    let machine = Machine::of(&archive, &server, "cache");
    let locked = machine.resolve(&["libapp-dev"]).unwrap();
    let told = std::sync::Mutex::new(Vec::new());
    let interrupt = Interrupt::default();
    let sysroots = Sysroots {
        apt: machine.apt.as_ref(),
        cache: &machine.cache,
        offline: false,
        limits: machine.limits,
        interrupt: &interrupt,
        progress: &|progress| told.lock().unwrap().push(progress),
    };
    sysroots.bring(&locked, &machine.archive).unwrap().unwrap();
    let told = told.into_inner().unwrap();
    let total = locked.size();
    assert!(told.contains(&Progress::Fetching { done: total, total }), "{told:?}");
    assert_eq!(told.last(), Some(&Progress::Unpacking { done: 3, total: 3 }));
}

/// Debian's own archive, as this machine's apt knows it.
#[test]
fn debians_own_packages_for_another_architecture() {
    let dir = workspace("debian");
    let mut machine = Machine::new(&dir, Archive::default());
    machine.limits = Limits::default();
    assert!(machine.apt.as_ref().unwrap().mirror.is_some(), "this test needs a Debian mirror in apt's sources");
    let locked = machine.resolve(&["libssl-dev", "libc6-dev"]).unwrap();
    assert_eq!(locked.origin, "Debian");
    let root = machine.bring(&locked).unwrap().root;
    let lib = root.join("usr/lib").join(MULTIARCH);
    let real = lib.join("libssl.so").canonicalize_utf8().unwrap();
    assert!(real.starts_with(root.canonicalize_utf8().unwrap()), "{real}");
    assert_eq!(fs_err::read(&real).unwrap()[..4], *b"\x7fELF");
    let script = fs_err::read_to_string(lib.join("libc.so")).unwrap();
    let code = script.split("*/").last().unwrap();
    assert!(code.contains("GROUP ( libc.so.6 libc_nonshared.a") && !code.contains(" /"), "{script}");
    for (path, target) in tree(&root) {
        if let Some(target) = target.strip_prefix("-> ") {
            assert!(!target.starts_with('/'), "{path} -> {target}");
        }
    }
    // The linker for that architecture finds everything by that root alone.
    let source = dir.join("x.c");
    fs_err::write(&source, "#include <openssl/crypto.h>\nint main(void) { return OpenSSL_version_num() == 0; }\n")
        .unwrap();
    let program = dir.join("x");
    let include = root.join("usr/include");
    let flags = [
        format!("-I{include}"),
        format!("-I{}", include.join(MULTIARCH)),
        format!("-B{lib}"),
        format!("-L{lib}"),
        "-lssl".to_owned(),
        "-lcrypto".to_owned(),
    ];
    let mut args = vec![source.as_str(), "-o", program.as_str()];
    args.extend(flags.iter().map(String::as_str));
    support::run(tool("arm-linux-gnueabihf-gcc"), &args);
    support::run(tool("qemu-arm-static"), &["-L", root.as_str(), program.as_str()]);
}
