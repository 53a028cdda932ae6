//! Sysroots from archives made here: what is chosen, and from which archive. One is from Debian itself.

use std::collections::BTreeSet;

use cargo_convoy::machine::interrupt::Interrupt;
use cargo_convoy::model::sysroot::{Archive, Security, SysrootPlan};
use cargo_convoy::project::lock::ConvoyLock;
use cargo_convoy::provision::sysroot::{self, Limits, Progress};

use super::machine::{Machine, app, left_behind, plan, says, tree};
use crate::support::archive::{ARCH, Deb, DebianArchive, MULTIARCH, SUITE, Server};
use crate::support::{require, tool, workspace};

#[test]
fn packages_are_resolved_brought_and_stay_inside() {
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
fn a_mirror_that_does_not_answer_is_told_and_the_next_is_asked() {
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
    says(&down, false, &["cannot be reached", "`keyring` under `[supply]`"]);
    assert!(!down.reason.contains("secret"), "{}", down.reason);
    machine.archive.mirrors = vec![slow.url()];
    let mut machine = machine.impatient();
    says(&machine.resolve(&["libapp-dev"]).unwrap_err(), false, &["did not respond in time"]);
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
    says(&machine.bring(&locked).unwrap_err(), true, &["did not respond in time"]);
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
    require!(Tool("apt-get"));
    let dir = workspace("no-mirror");
    let mut machine = Machine::new(&dir, Archive::default());
    let apt = machine.apt.as_mut().unwrap();
    (apt.mirror, apt.distribution) = (None, "ubuntu".to_owned());
    says(&machine.resolve(&["libapp-dev"]).unwrap_err(), false, &["(ubuntu) has no Debian archive", "[supply]"]);
    machine.offline = true;
    says(&machine.resolve(&["libapp-dev"]).unwrap_err(), false, &["`--offline` is set"]);
}

#[test]
fn an_archive_that_has_moved_on_is_no_end() {
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
    crate::support::run("cp", &["-r", archive.root.join("pool").as_str(), old.join(&dated).as_str()]);
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
fn security_fixes_come_from_the_archive_beside() {
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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
        crate::support::run("cp", &["-r", parent.join(name).as_str(), to.join(&dated).as_str()]);
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
    require!(Tool("apt-get"), Tool("apt-ftparchive"), Tool("gpg"));
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

/// Debian's own archive, as this machine's apt knows it.
#[test]
fn debians_own_packages_for_another_architecture() {
    require!(Network, Tool("apt-get"), Tool("arm-linux-gnueabihf-gcc"), Tool("qemu-arm-static"));
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
    crate::support::run(tool("arm-linux-gnueabihf-gcc"), &args);
    crate::support::run(tool("qemu-arm-static"), &["-L", root.as_str(), program.as_str()]);
}
