//! What is in the unpacked `ziglang` wheel, held against the list of files that came with it. The list itself is held
//! against a digest that convoy was built with, so that nobody who can write to a cache can forge both.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};

use crate::util::files::Checked;
use crate::util::files::{self, Entry, SMALL, UntrustedDir};

/// The package's directory in the wheel.
pub(crate) const PACKAGE: &str = "ziglang";

/// The wheel's list of files in a directory that it was unpacked to.
pub(crate) fn record(home: &Utf8Path, version: &str) -> Utf8PathBuf {
    home.join(format!("{PACKAGE}-{version}.dist-info")).join("RECORD")
}

/// Reads every file of the package in `home`. `pinned` are the digests of the lists that can be true.
pub(crate) fn check(home: &Utf8Path, version: &str, pinned: &[&str]) -> Checked {
    let listed = match listed(home, version, pinned) {
        Ok(listed) => listed,
        Err(reason) => return Checked::unreadable(reason),
    };
    match files::entries(&home.join(PACKAGE)) {
        Ok(found) => Checked::of(&listed, &found),
        Err(error) => Checked::unreadable(error.to_string()),
    }
}

/// The wheel's list, where it is one that convoy knows.
fn listed(home: &Utf8Path, version: &str, pinned: &[&str]) -> Result<BTreeMap<String, Entry>, String> {
    let record = record(home, version);
    let name = record.strip_prefix(home).unwrap_or(&record);
    let text = UntrustedDir::open(home)
        .and_then(|dir| dir.read_text(name, SMALL))
        .map_err(|error| format!("could not read the wheel's list of files: {error}"))?
        .ok_or_else(|| format!("the wheel's list of files (`{name}`) is missing"))?;
    let prefix = format!("{PACKAGE}/");
    let mut lines: Vec<&str> = text.lines().filter(|line| line.starts_with(&prefix)).collect();
    lines.sort_unstable();
    let digest = files::sha256(lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    if !pinned.contains(&digest.as_str()) {
        return Err(format!("`{name}` differs from the published list of files"));
    }
    let parsed =
        |line: &&str| parse(&line[prefix.len()..]).ok_or_else(|| format!("`{name}` has the invalid line `{line}`"));
    lines.iter().map(parsed).collect()
}

/// A line of the list: path, digest and size. No path of this package has a comma.
fn parse(line: &str) -> Option<(String, Entry)> {
    let [path, digest, size] = line.split(',').collect::<Vec<_>>()[..] else { return None };
    let digest = BASE64URL_NOPAD.decode(digest.strip_prefix("sha256=")?.as_bytes()).ok()?;
    Some((path.to_owned(), Entry::File { size: size.parse().ok()?, sha256: HEXLOWER.encode(&digest) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An unpacked package of two files; gives the digest of its list.
    fn package(home: &Utf8Path) -> String {
        let lines = ["ziglang/lib/a.h", "ziglang/zig"].map(|path| {
            let digest = HEXLOWER.decode(files::sha256(path).as_bytes()).unwrap();
            fs_err::create_dir_all(home.join(path).parent().unwrap()).unwrap();
            fs_err::write(home.join(path), path).unwrap();
            format!("{path},sha256={},{}", BASE64URL_NOPAD.encode(&digest), path.len())
        });
        let record = record(home, "1");
        fs_err::create_dir_all(record.parent().unwrap()).unwrap();
        // As pip writes it: in an order of its own, with what it adds, and with carriage returns.
        let text = format!("../../bin/python-zig,sha256=x,1\r\n{}\r\n{}\r\n{},,\r\n", lines[1], lines[0], record);
        fs_err::write(record, text).unwrap();
        files::sha256(format!("{}\n{}\n", lines[0], lines[1]))
    }

    #[test]
    fn a_package_is_whole_when_every_file_is_as_published_and_no_other_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let digest = package(home);
        let faults = || check(home, "1", &[&digest]).faults;
        assert_eq!(check(home, "1", &[&digest]), Checked { files: 2, bytes: 26, faults: Vec::new() });
        // Of the same size.
        fs_err::write(home.join("ziglang/zig"), "ziglang/zag").unwrap();
        assert_eq!(faults(), ["`zig` has different contents"]);
        fs_err::write(home.join("ziglang/zig"), "ziglang/zig").unwrap();
        fs_err::write(home.join("ziglang/lib/more.h"), "").unwrap();
        fs_err::remove_file(home.join("ziglang/lib/a.h")).unwrap();
        assert_eq!(faults(), ["`lib/a.h` is missing", "`lib/more.h` is not part of it"]);
    }

    #[test]
    fn a_list_that_was_changed_along_with_the_files_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let digest = package(home);
        let record = record(home, "1");
        let text = fs_err::read_to_string(&record).unwrap();
        fs_err::write(&record, text.replace(",11\r", ",12\r")).unwrap();
        let contents = check(home, "1", &[&digest]);
        assert!(contents.faults[0].ends_with("differs from the published list of files"), "{contents:?}");
        fs_err::remove_file(&record).unwrap();
        assert!(check(home, "1", &[&digest]).faults[0].ends_with("is missing"));
    }
}
