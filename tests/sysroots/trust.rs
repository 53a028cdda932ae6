//! Whom convoy trusts: signed indexes, keyrings, passwords of servers.

use cargo_convoy::model::sysroot::Archive;
use cargo_convoy::project::lock::LockedSysroot;

use super::machine::{Machine, app, plan, says, tree};
use crate::support::archive::{ARCH, Deb, DebianArchive, Key, SUITE, Server};
use crate::support::require;

#[test]
fn an_index_that_cannot_be_trusted_is_told() {
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
fn a_lock_is_held_against_signed_indexes() {
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
    crate::support::run("cp", &["-r", archive.root.join("pool").as_str(), bare.as_str()]);
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
    crate::support::run("cp", &["-r", archive.root.as_str(), old.join(&dated).as_str()]);
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
fn without_a_keyring_nobody_is_trusted() {
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
