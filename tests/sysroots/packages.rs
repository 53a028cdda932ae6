//! Packages that are damaged, of somebody else, too large, or that would write outside the sysroot.

use crate::support::require;
use std::collections::BTreeSet;

use cargo_convoy::machine::CacheDir;
use cargo_convoy::machine::interrupt::Interrupt;
use cargo_convoy::project::lock::{ConvoyLock, LockedSysroot};
use cargo_convoy::provision::sysroot;

use super::machine::{Machine, app, left_behind, says, tree};
use crate::support::archive::{Deb, DebianArchive, OddMember, Server, odd_deb, sparse_tar, with_data};

#[test]
fn a_packed_file_that_is_damaged_changes_nothing() {
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
    let archive = DebianArchive::new("hand-written");
    app(&archive);
    archive.add(Deb::new("libother", "1.0").file("usr/lib/libother.a", "other"));
    archive.publish();
    // A mirror without an index, so that packages alone can tell.
    let bare = archive.root.with_file_name("bare");
    fs_err::create_dir_all(&bare).unwrap();
    crate::support::run("cp", &["-r", archive.root.join("pool").as_str(), bare.as_str()]);
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

/// Packages that are signed for, and unpack to what no disk or memory holds.
#[test]
fn a_package_that_unpacks_to_too_much_is_refused() {
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
        ("up", &["`../evil`", "which is outside the sysroot"][..]),
        ("up-late", &["which is outside the sysroot"]),
        ("link-up", &["`./usr/lib/x`", "which points outside the sysroot"]),
        ("link-then-file", &["`usr/lib/x`", "files would be written"]),
        ("link-then-link", &["`usr/lib/x/evil`", "through the link `usr/lib/x`"]),
        ("hard-up", &["which points outside the sysroot"]),
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
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
