use std::os::unix::fs::MetadataExt as _;
use std::process::{Output, Stdio};

use super::fetch::{FETCH, unpack};
use super::present::read_row;
use super::*;

fn dir() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().to_owned();
    (dir, path)
}

/// A script of a container, run here on a folder that stands for its `/convoy`.
fn run(script: &str, place: &Utf8Path, input: &[u8]) -> Output {
    let script = script.replace(PLACE, place.as_str()).replace("/tmp/list", place.join("list").as_str());
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // One that ends early leaves a broken pipe.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn fill(place: &Utf8Path, orders: &[(&str, &str, &str)], files: &[(&str, &str)]) -> String {
    let mut all = Orders::default();
    for (word, place, value) in orders {
        match *word {
            "end" => all.end(place, value).unwrap(),
            _ => all.add(word, place, value).unwrap(),
        }
    }
    let mut input = format!("{}\n", all.lines).into_bytes();
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(rustix::process::getuid().as_raw().into());
        header.set_gid(rustix::process::getgid().as_raw().into());
        header.set_size(text.len() as u64);
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    all.seal(&mut builder).unwrap();
    input.extend(builder.into_inner().unwrap());
    let done = run(FILL, place, &input);
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

#[test]
fn volumes_become_what_they_are_to_be() {
    let (_dir, place) = dir();
    for volume in ["0", "1", "state"] {
        fs_err::create_dir(place.join(volume)).unwrap();
    }
    let owner = format!("{}:{}", rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let first = [("begin", "state/a", "-"), ("clear", "0", "-"), ("owner", "0", &owner), ("end", "state/a", "one")];
    assert_eq!(fill(&place, &first, &[("0/src/a file", "x"), ("0/.hidden", "y"), ("0/gone", "z")]), "filled");
    let old = fs_err::metadata(place.join("0/src/a file")).unwrap();
    // The clock here says when it came.
    assert!(old.modified().unwrap().elapsed().unwrap() < Duration::from_secs(600), "{old:?}");
    assert_eq!(fs_err::read_to_string(place.join("state/a")).unwrap(), "one");

    // Nothing is done where something else is there than was thought.
    let wrong =
        [("is", "state/a", "two"), ("is", "1/.convoy-key", "k"), ("begin", "state/a", "-"), ("gone", "0/gone", "-")];
    assert_eq!(fill(&place, &wrong, &[("0/src/a file", "changed")]), "lacks state/a 1/.convoy-key");
    assert!(place.join("0/gone").exists() && place.join("state/a").exists());
    let unless = [("unless", "state/a", "one"), ("clear", "0", "-")];
    assert_eq!(fill(&place, &unless, &[]), "filled");
    assert!(place.join("0/gone").exists());

    fs_err::create_dir_all(place.join("1/arm/debug")).unwrap();
    let second = [
        ("is", "state/a", "one"),
        ("begin", "state/a", "-"),
        ("gone", "0/gone", "-"),
        ("key", "1/arm", "gcc 12"),
        ("end", "state/a", "two"),
    ];
    assert_eq!(fill(&place, &second, &[("0/new", "x")]), "filled");
    assert!(!place.join("0/gone").exists() && place.join("0/new").exists() && !place.join("1/arm").exists());
    assert_eq!(fs_err::metadata(place.join("0/src/a file")).unwrap().mtime_nsec(), old.mtime_nsec());
    fs_err::create_dir(place.join("1/arm")).unwrap();
    assert_eq!(fill(&place, &[("key", "1/arm", "gcc 12")], &[]), "filled");
    assert!(place.join("1/arm").exists());
    // All of it goes.
    assert_eq!(fill(&place, &[("clear", "0", "-")], &[]), "filled");
    assert_eq!(fs_err::read_dir(place.join("0")).unwrap().count(), 0);
}

#[test]
fn an_archive_that_ends_early_is_not_taken_for_a_whole_one() {
    let (_dir, place) = dir();
    for volume in ["0", "state"] {
        fs_err::create_dir(place.join(volume)).unwrap();
    }
    fs_err::write(place.join("state/a"), "one").unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_path("0/x").unwrap();
    header.set_size(1 << 20);
    header.set_mode(0o644);
    header.set_cksum();
    let orders = b"begin\nstate/a\n-\nend\nstate/a\ntwo\n\n".to_vec();
    let within_a_file = [header.as_bytes().as_slice(), &[7; 5000]].concat();
    header.set_size(0);
    header.set_cksum();
    // To tar these two are whole: a client that died between two files, and one that closed its archive without the rest.
    let between_files = header.as_bytes().to_vec();
    let closed = [header.as_bytes().as_slice(), &[0; 1024]].concat();
    for archive in [within_a_file, between_files, closed] {
        let done = run(FILL, &place, &[orders.clone(), archive].concat());
        assert!(!done.status.success() && !String::from_utf8_lossy(&done.stdout).contains("filled"), "{done:?}");
        assert!(!place.join("state/a").exists());
    }
}

#[test]
fn only_what_is_another_by_now_is_fetched_with_its_record() {
    let (_dir, place) = dir();
    let (inside, lane) = (place.join("0"), place.join("lane"));
    fs_err::create_dir_all(inside.join("arm/debug/deps")).unwrap();
    fs_err::create_dir(&lane).unwrap();
    let write = |path: &str, text: &str| fs_err::write(inside.join(path), text).unwrap();
    write("arm/debug/deps/tool-1", "binary");
    write("arm/debug/deps/tool-1.convoy-link.json", "{}");
    write("arm/debug/deps/tool-2", "binary");
    write("arm/debug/deps/tool-2.convoy-link.json", "{}");
    write("cpu-usage", "7");
    fs_err::hard_link(inside.join("arm/debug/deps/tool-1"), inside.join("arm/debug/tool")).unwrap();
    let ask = |before: &str| {
        let done =
            run(FETCH, &place, format!("arm/debug/tool\n{before}\narm/debug/missing\n\ncpu-usage\n\n").as_bytes());
        assert!(done.status.success(), "{done:?}");
        let output = String::from_utf8(done.stderr).unwrap();
        let seen = output.lines().find_map(|line| line.strip_prefix("now\tarm/debug/tool\t")).unwrap().to_owned();
        (unpack(done.stdout.as_slice(), &lane).unwrap(), seen)
    };
    let (fetched, seen) = ask("");
    let all = ["arm/debug/deps/tool-1", "arm/debug/deps/tool-1.convoy-link.json", "arm/debug/tool", "cpu-usage"];
    assert_eq!(fetched, all.map(Utf8PathBuf::from).into());
    let inode = |path: &str| fs_err::metadata(lane.join(path)).unwrap().ino();
    assert_eq!(inode("arm/debug/tool"), inode("arm/debug/deps/tool-1"));
    let (fetched, _) = ask(&seen);
    assert_eq!(fetched, [Utf8PathBuf::from("cpu-usage")].into());
    // Built anew, though as long as before: the name that the old one had is free by now.
    fs_err::remove_file(inside.join("arm/debug/tool")).unwrap();
    fs_err::hard_link(inside.join("arm/debug/deps/tool-2"), inside.join("arm/debug/tool")).unwrap();
    let (fetched, _) = ask(&seen);
    assert!(fetched.contains(Utf8Path::new("arm/debug/deps/tool-2")), "{fetched:?}");
    assert_eq!(inode("arm/debug/tool"), inode("arm/debug/deps/tool-2"));
    assert_ne!(inode("arm/debug/tool"), inode("arm/debug/deps/tool-1"));
}

#[test]
fn what_builds_elsewhere_writes_nowhere_else() {
    let archive = |kind: tar::EntryType, path: &str, link: Option<&str>| {
        let mut header = tar::Header::new_gnu();
        // As `set_path` takes no such path.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(0);
        if let Some(link) = link {
            header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend([0; 1024]);
        bytes
    };
    use tar::EntryType;
    for (kind, path, link) in [
        (EntryType::Regular, "../x", None),
        (EntryType::Regular, "/etc/x", None),
        (EntryType::Regular, "a/../../x", None),
        (EntryType::Symlink, "a", Some("/etc")),
        (EntryType::Link, "a", Some("../x")),
        (EntryType::Link, "a", Some("b")),
        (EntryType::Directory, "a", None),
    ] {
        let (_dir, lane) = dir();
        let output = unpack(archive(kind, path, link).as_slice(), &lane);
        assert!(output.is_err(), "{kind:?} {path} {link:?}");
        assert_eq!(fs_err::read_dir(&lane).unwrap().count(), 0, "{path}");
    }
}

#[test]
fn what_follows_the_end_of_an_archive_is_taken_too() {
    let (_alive, dir) = dir();
    fs_err::write(dir.join("file"), "text").unwrap();
    // As a tar and an engine's client that are slow, and so write after the end was seen.
    let script = "tar -c -f - -C \"$0\" file && sleep 0.3 && head -c 10000 /dev/zero";
    let mut child = Command::new("/bin/sh").args(["-c", script, dir.as_str()]).stdout(Stdio::piped()).spawn().unwrap();
    let lane = dir.join("lane");
    let unpacked = unpack(child.stdout.take().unwrap(), &lane).unwrap();
    assert!(child.wait().unwrap().success(), "its pipe broke");
    assert!(unpacked.contains(Utf8Path::new("file")));
    assert_eq!(fs_err::read_to_string(lane.join("file")).unwrap(), "text");
}

#[test]
fn rows_of_volumes_are_read() {
    let row = read_row("convoy-std-1\tstd\t\tab\t12\tthe std of arm").unwrap();
    assert_eq!((row.kind, row.machine, row.bytes), (Some(VolumeKind::Std), None, Some(12)));
    let row = read_row("convoy-lane-1\tlane\tm\tab\t\twhat x built").unwrap();
    assert_eq!((row.kind, row.machine.as_deref(), row.bytes), (Some(VolumeKind::Lane), Some("m"), None));
    assert_eq!(read_row("noise"), None);
    assert!(Orders::default().add("gone", "0/a\nb", "-").is_err());
}
