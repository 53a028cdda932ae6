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

fn images() -> [LockedImage; 2] {
    let packages = [("g++", "4:12.2.0-3"), ("cmake", "3.25.1-1")];
    [
        LockedImage::Named { name: "r.example/team/tools:1".to_owned(), digest: format!("sha256:{}", "d".repeat(64)) },
        LockedImage::Composed {
            base: "debian:bookworm-slim".to_owned(),
            base_digest: None,
            digest: None,
            recipe: "c".repeat(64),
            packages: packages.map(|(name, version)| (name.to_owned(), version.to_owned())).into(),
        },
    ]
}

#[test]
fn images_are_known_by_their_packages_or_by_a_digest() {
    let mut lock = ConvoyLock::default();
    lock.set(sysroot(None));
    images().into_iter().for_each(|image| lock.set_image(image));
    let text = lock.text().unwrap();
    insta::assert_snapshot!(text);
    assert_eq!(ConvoyLock::parse(&text, FILE_NAME).unwrap(), lock);
    let [named, composed] = images();
    assert_eq!(lock.composed(&"c".repeat(64)), Some(&composed));
    assert_eq!(lock.digest_of("r.example/team/tools:1"), Some(format!("sha256:{}", "d".repeat(64)).as_str()));
    assert_eq!((lock.composed("r.example/team/tools:1"), lock.digest_of("other")), (None, None));
    lock.set_image(composed);
    assert_eq!(lock.images().len(), 2);

    let mut output = String::new();
    for (from, to) in [
        ("recipe = \"c", "recipe = \"C"),
        ("sha256:d", "md5:d"),
        ("cmake = ", "\"../cmake\" = "),
        ("name = ", "id = "),
        ("name = \"r.example/team/tools:1\"\n", ""),
        ("[[image]]\nname", "[[image]]\nbase = \"x\"\nname"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = ConvoyLock::parse(&text.replacen(from, to, 1), FILE_NAME).unwrap_err();
        output.push_str(&format!("{error}\n"));
    }
    let twice = format!("{text}[[image]]{}", text.rsplit("[[image]]").next().unwrap());
    output.push_str(&format!("{}\n", ConvoyLock::parse(&twice, FILE_NAME).unwrap_err()));
    insta::assert_snapshot!("images_that_are_refused", output);
    assert_eq!(named.changes(&named), [""; 0]);
}

#[test]
fn a_composed_image_and_its_base_are_locked_by_digest_where_that_is_known() {
    let exact = |name: &str, digit: char| format!("{name}@sha256:{}", digit.to_string().repeat(64));
    let with = |base: Option<String>, image: Option<String>| {
        let [_, mut composed] = images();
        let LockedImage::Composed { base_digest, digest, .. } = &mut composed else { panic!() };
        (*base_digest, *digest) = (base, image);
        composed
    };
    let base = || Some(exact("debian", 'a'));
    let image = || Some(exact("r.example:5000/team/tools", 'b'));
    let mut lock = ConvoyLock::default();
    lock.set_image(with(base(), image()));
    let text = lock.text().unwrap();
    assert_eq!(ConvoyLock::parse(&text, FILE_NAME).unwrap(), lock);
    assert_eq!(lock.published(&"c".repeat(64)), image().as_deref());
    for (from, to) in [
        ("digest = \"r.example", "digest = \"--config=r.example"),
        ("digest = \"r.example", "digest = \"r example"),
        ("digest = \"r.example:5000/team/tools@", "digest = \""),
        ("base-digest = \"debian@sha256:", "base-digest = \"debian@md5:"),
        ("base-digest = \"debian@", "base-digest = \"@"),
    ] {
        assert!(text.contains(from), "{from} {text}");
        assert!(ConvoyLock::parse(&text.replacen(from, to, 1), FILE_NAME).is_err(), "{to}");
    }
    // What one machine does not know is no difference, and stays.
    let known = with(base(), image());
    for less in [with(None, None), with(base(), None), with(None, image())] {
        assert_eq!(less.changes(&known), [""; 0]);
        assert_eq!(less.with_missing_of(&known), known);
    }
    let other = with(Some(exact("debian", 'd')), Some(exact("r.example:5000/team/tools", 'e')));
    let changes = other.changes(&known);
    assert!(
        changes[0].starts_with("base image debian@sha256:aa") && changes[1].starts_with("image r.example"),
        "{changes:?}"
    );
}

#[test]
fn what_changed_of_an_image_is_said() {
    let [named, composed] = images();
    let LockedImage::Composed { base, recipe, mut packages, .. } = composed.clone() else { panic!() };
    packages.insert("g++".to_owned(), "4:12.2.0-4".to_owned());
    packages.insert("nasm".to_owned(), "2.16.01-1".to_owned());
    packages.remove("cmake");
    let newer = LockedImage::Composed { base, base_digest: None, digest: None, recipe, packages };
    let changes = ["g++ 4:12.2.0-3 → 4:12.2.0-4", "nasm 2.16.01-1 added", "cmake removed"];
    assert_eq!(newer.changes(&composed), changes);
    let other = LockedImage::Named { name: "x".to_owned(), digest: "sha256:e".to_owned() };
    assert!(other.changes(&named)[0].ends_with("d → sha256:e"));
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
    moved_on.forget(&sysroot(Some("arm-unknown-linux-gnueabihf")).key);
    assert_eq!(moved_on.sysroots(), [newer.clone()]);
    assert_eq!(
        lock().only(|key| key.of.is_none()).sysroots(),
        [sysroot(None)].map(|mut locked| {
            locked.packages.sort();
            locked
        })
    );
}

#[test]
fn an_entry_that_somebody_else_changed_is_refused_until_it_is_chosen_anew() {
    let text = lock().text().unwrap();
    for (from, to) in [
        ("version = \"1:2.3-4+deb12u1\"", "version = \"1:2.3-4+deb12u2\""),
        ("size = 1234", "size = 1235"),
        ("requested = [\"libstdc++-12-dev\"]", "requested = []"),
        ("date = \"2026-07-11", "date = \"2026-07-12"),
        ("sha256 = \"aa", "sha256 = \"ab"),
        ("checksum = \"", "checksum = \"0"),
    ] {
        assert!(text.contains(from), "{from}");
        let mut edited = ConvoyLock::parse(&text.replacen(from, to, 1), FILE_NAME).unwrap();
        let error = edited.require_unedited().unwrap_err();
        assert_eq!(error.exit(), crate::util::error::Exit::Usage);
        assert!(error.to_string().contains("checksum mismatch for `bookworm/armhf`"), "{error}");
        assert!(error.hint_text().unwrap().contains("cargo convoy supply update"), "{error}");
        assert_eq!(edited.edited().len(), 1);
        // A change of something else does not make it convoy's.
        edited.set(sysroot(Some("arm-unknown-linux-gnueabihf")));
        edited = ConvoyLock::parse(&edited.text().unwrap(), FILE_NAME).unwrap();
        edited.require_unedited().unwrap_err();
        edited.set(sysroot(None));
        ConvoyLock::parse(&edited.text().unwrap(), FILE_NAME).unwrap().require_unedited().unwrap();
    }
    // Order and spaces are nobody's business, and locks of earlier versions have no checksum.
    let line =
        |text: &str, start: &str| text.lines().filter(|line| !line.starts_with(start)).collect::<Vec<_>>().join("\n");
    ConvoyLock::parse(&line(&text, "#"), FILE_NAME).unwrap().require_unedited().unwrap();
    let earlier = line(&text, "checksum").replace("version = 3", "version = 1");
    assert_eq!(ConvoyLock::parse(&earlier, FILE_NAME).unwrap(), lock());
}

#[test]
fn sizes_are_bounded_and_do_not_overflow() {
    let mut text = "version = 1\n".to_owned();
    for number in 0..50 {
        let digest = files::sha256(number.to_string());
        text.push_str(&format!(
            "[[sysroot]]\nsuite = \"s{number}\"\narchitecture = \"armhf\"\nrequested = []\norigin = \"Debian\"\n\
             date = \"2026-07-11T10:16:37Z\"\n[[sysroot.package]]\nname = \"x\"\nversion = \"1\"\narchitecture = \"all\"\n\
             path = \"pool/x_1.deb\"\nsize = 1\nsha256 = \"{digest}\"\n"
        ));
    }
    let lock = ConvoyLock::parse(&text, FILE_NAME).unwrap();
    assert!(lock.sysroots().len() == 50 && lock.sysroots().is_sorted_by_key(|locked| &locked.key));
    assert!(lock.sysroots().iter().all(|locked| lock.get(&locked.key) == Some(locked)));
    let huge = text.replacen("size = 1", "size = 9223372036854775807", 1);
    let error = ConvoyLock::parse(&huge, FILE_NAME).unwrap_err();
    assert!(error.to_string().contains("Convoy.lock:2: package `x` of sysroot s0/armhf has"), "{error}");
    let mut large = sysroot(None);
    large.packages.iter_mut().for_each(|package| package.size = u64::MAX);
    assert_eq!(large.size(), u64::MAX);
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_device_in_its_place_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().join(FILE_NAME);
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let refused = |path: &Utf8Path| {
        let error = ConvoyLock::read(path).unwrap_err();
        assert_eq!(
            (error.exit(), error.to_string().as_str()),
            (crate::util::error::Exit::Usage, "could not read Convoy.lock")
        );
    };
    refused(&path);
    fs_err::remove_file(&path).unwrap();
    fs_err::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    refused(&path);
}

#[test]
fn what_is_gone_new_or_newer_is_said() {
    let old = [("a", "1"), ("b", "1"), ("c", "1")].into();
    let new = [("a", "1"), ("b", "2"), ("d", "1")].into();
    assert_eq!(changes(&old, &new), ["b 1 → 2", "d 1 added", "c removed"]);
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
    let mut output = String::new();
    for (from, to) in [
        ("version = 3\n", "version = 4\n"),
        ("version = 3\n", "version = 0\n"),
        ("version = 3\n", "version = \"one\"\n"),
        ("version = 3\n", ""),
        ("version = 3\n", "version = 3\nfuture = true\n"),
        ("checksum = ", "# checksum = "),
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
        assert_eq!(error.exit(), crate::util::error::Exit::Usage);
        output.push_str(&format!("{error}\n"));
    }
    insta::assert_snapshot!(output);
    assert!(ConvoyLock::parse("version = 1\n[[sysroot]]\n", FILE_NAME).unwrap_err().hint_text().is_some());
}
