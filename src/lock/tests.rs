use super::*;

fn package(name: &str, digit: char) -> LockedPackage {
    LockedPackage {
        name: name.to_owned(),
        version: "1:2.3-4+deb12u1".to_owned(),
        architecture: "armhf".to_owned(),
        path: format!("pool/main/x/{name}_2.3-4+deb12u1_armhf.deb").into(),
        size: 1234,
        sha256: std::iter::repeat_n(digit, 64).collect(),
    }
}

fn sysroot(of: Option<&str>) -> LockedSysroot {
    LockedSysroot {
        key: SysrootKey { suite: "bookworm".to_owned(), architecture: "armhf".to_owned(), of: of.map(str::to_owned) },
        requested: ["libstdc++-12-dev".to_owned()].into(),
        origin: "Debian".to_owned(),
        date: "2026-07-11T10:16:37Z".parse().unwrap(),
        packages: vec![package("libstdc++6", 'b'), package("libc6", 'a')],
    }
}

fn lock() -> ConvoyLock {
    let mut lock = ConvoyLock::default();
    lock.set(sysroot(Some("arm-unknown-linux-gnueabihf")));
    lock.set(sysroot(None));
    lock
}

#[test]
fn the_file_is_sorted_and_reads_back_as_it_was() {
    let text = lock().text().unwrap();
    insta::assert_snapshot!(text);
    assert_eq!(ConvoyLock::parse(&text, "Convoy.lock").unwrap(), lock());
    let empty = ConvoyLock::default().text().unwrap();
    assert_eq!(ConvoyLock::parse(&empty, "Convoy.lock").unwrap(), ConvoyLock::default());
}

#[test]
fn it_is_written_only_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().join(FILE_NAME);
    assert_eq!(ConvoyLock::read(&path).unwrap(), None);
    assert!(lock().write(&path).unwrap());
    let before = fs_err::metadata(&path).unwrap().modified().unwrap();
    assert!(!lock().write(&path).unwrap());
    assert_eq!(fs_err::metadata(&path).unwrap().modified().unwrap(), before);
    let mut moved_on = ConvoyLock::read(&path).unwrap().unwrap();
    let mut newer = sysroot(None);
    newer.packages = vec![package("libc6", 'c')];
    moved_on.set(newer.clone());
    assert!(moved_on.write(&path).unwrap());
    assert_eq!(ConvoyLock::read(&path).unwrap().unwrap().get(&newer.key), Some(&newer));
    moved_on.retain(&[newer.key.clone()].into());
    assert_eq!(moved_on.sysroots(), [newer]);
}

#[test]
fn the_digest_is_of_the_packages_whatever_their_order_and_whoever_asked() {
    let mut other = sysroot(Some("arm-unknown-linux-gnueabihf"));
    other.packages.reverse();
    other.requested.clear();
    assert_eq!(sysroot(None).digest(), other.digest());
    other.packages[0].sha256 = package("x", 'c').sha256;
    assert_ne!(sysroot(None).digest(), other.digest());
    assert_eq!(other.size(), 2468);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert!(sysroot(None).covers(&names(&["libstdc++-12-dev"])));
    assert!(!sysroot(None).covers(&names(&["libstdc++-12-dev", "libc6"])));
}

#[test]
fn what_is_no_lock_is_refused_with_its_place() {
    let text = lock().text().unwrap();
    let digest = package("x", 'a').sha256;
    let mut told = String::new();
    for (from, to) in [
        ("version = 1\n", "version = 2\n"),
        ("version = 1\n", "version = 0\n"),
        ("version = 1\n", "version = \"one\"\n"),
        ("version = 1\n", ""),
        ("version = 1\n", "version = 1\nfuture = true\n"),
        ("origin = ", "source = "),
        ("size = 1234", "bytes = 1234"),
        ("size = 1234", "size = -1"),
        ("date = \"2026", "date = \"in 2026"),
        (digest.as_str(), "abc"),
        (digest.as_str(), &digest.to_uppercase()),
        ("path = \"pool/main/x/libc6_", "path = \"pool/../../x/libc6_"),
        ("path = \"pool/main/x/libc6_", "path = \"/pool/main/x/libc6_"),
        ("path = \"pool/main/x/libc6_", "path = \"pool//x/libc6_"),
        ("name = \"libc6\"", "name = \"../libc6\""),
        ("name = \"libc6\"", "name = \"libstdc++6\""),
        ("of = \"arm-unknown-linux-gnueabihf\"\n", ""),
        ("architecture = \"armhf\"\nof", "architecture = \"arm64\"\nof"),
        ("[[sysroot]]", "<<<<<<< HEAD\n[[sysroot]]"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = ConvoyLock::parse(&text.replacen(from, to, 1), FILE_NAME).unwrap_err();
        assert_eq!(error.exit(), crate::error::Exit::Usage);
        told.push_str(&format!("{error}\n"));
    }
    insta::assert_snapshot!(told);
    assert!(ConvoyLock::parse("version = 1\n[[sysroot]]\n", FILE_NAME).unwrap_err().hint_text().is_some());
}
