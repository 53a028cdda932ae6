//! Sysroots that several runs make at once, full disks, killed runs and signals.

use std::process::{Command, Stdio};

use camino::Utf8PathBuf;
use cargo_convoy::machine::CacheDir;
use cargo_convoy::machine::interrupt::Interrupt;
use cargo_convoy::model::sysroot::Archive;
use cargo_convoy::project::lock::ConvoyLock;
use cargo_convoy::provision::sysroot::{self, Limits, Progress, Sysroots};
use cargo_convoy::util::error::Exit;

use super::machine::{Machine, app, left_behind, says};
use crate::support::archive::{Deb, DebianArchive, Server};
use crate::support::{Done, needs, require, tool, wait_for};

#[test]
fn two_at_once_make_one() {
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"), Mount);
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
    let this = std::env::current_exe().unwrap();
    // Room for nothing; then for more and more of what apt keeps; at last for the package, but not for what is in it.
    for size in ["8k", "12k", "16k", "20k", "24k", "28k", "32k", "2m"] {
        let script = format!(
            "mount -t tmpfs -o size={size} tmpfs small\nexec '{}' --ignored --exact interruptions::on_a_small_disk",
            this.display()
        );
        let output = Command::new(tool("unshare"))
            .args([needs::namespace(), "sh", "-ec", &script])
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
        offline: None,
        limits: Limits::default(),
        interrupt: &interrupt,
        progress: &|_| {},
    };
    let error = sysroots.bring(&lock.sysroots()[0], &machine.archive).unwrap_err();
    assert_eq!(error.exit(), Exit::Terminate);
}

#[test]
fn a_signal_ends_apt_and_leaves_nothing() {
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
        .args(["--ignored", "--exact", "interruptions::until_a_signal_comes"])
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
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
        offline: None,
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
