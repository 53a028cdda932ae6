//! Reading a package file: an `ar` archive of `debian-binary`, `control.tar.*` and `data.tar.*`.

use std::io::{self, Read};

use camino::{Utf8Path, Utf8PathBuf};
use object::read::archive::ArchiveFile;

use super::fault::Fault;
use crate::util::files::{LONGEST_NAME, UnpackBudget};

/// A member of a package's tree.
pub(super) enum Member<'a> {
    /// A file.
    File(File<'a>),
    /// A symbolic link.
    Link(Utf8PathBuf),
    /// Another name of a file that came before.
    Hard(Utf8PathBuf),
    /// A folder, a device, a pipe: nothing that is unpacked for its own sake.
    Other,
}

/// A file of a package's tree.
pub(super) struct File<'a> {
    pub(super) executable: bool,
    /// Seconds since 1970.
    pub(super) modified: u64,
    pub(super) size: u64,
    pub(super) contents: &'a mut dyn Read,
}

/// Hands on every member of a package: first those of its control archive, then its tree. A package that unpacks to far
/// more than any honest one of its size is refused before it fills memory or disk.
pub(super) fn read(
    deb: &[u8],
    mut control: impl FnMut(&Utf8Path, Member<'_>) -> Result<(), Fault>,
    mut data: impl FnMut(&Utf8Path, Member<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let no_package = |error: object::read::Error| Fault::broken(format!("is not a complete package file: {error}"));
    let archive = ArchiveFile::parse(deb).map_err(no_package)?;
    let budget = UnpackBudget::of_packed(deb.len() as u64);
    let mut seen = Vec::new();
    for member in archive.members() {
        let member = member.map_err(no_package)?;
        let name = String::from_utf8_lossy(member.name()).trim_end_matches('/').to_owned();
        let bytes = member.data(deb).map_err(no_package)?;
        match name.split_once('.') {
            _ if name == "debian-binary" && seen.is_empty() => {
                if !bytes.starts_with(b"2.") {
                    return Err(Fault::broken("has an unsupported package format"));
                }
            }
            Some(("control", packed)) if seen == ["debian-binary"] => tree(bytes, packed, &budget, &mut control)?,
            Some(("data", packed)) if seen.len() == 2 => tree(bytes, packed, &budget, &mut data)?,
            // Debian keeps such names for what others may add.
            _ if name.starts_with('_') && seen.len() == 3 => continue,
            _ => return Err(Fault::broken(format!("is not a package file: unexpected member `{name}`"))),
        }
        seen.push(if name.starts_with("debian") { "debian-binary" } else { "tar" });
    }
    if seen.len() < 3 {
        return Err(Fault::broken("is not a complete package file: its end is missing"));
    }
    Ok(())
}

/// Reads one packed tar to its very end, so that every checksum in it is looked at.
fn tree(
    mut bytes: &[u8],
    packed: &str,
    budget: &UnpackBudget,
    take: &mut dyn FnMut(&Utf8Path, Member<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let rest = &mut bytes;
    match packed {
        "tar" => untar(rest, budget, take)?,
        "tar.gz" => untar(&mut flate2::bufread::GzDecoder::new(&mut *rest), budget, take)?,
        "tar.xz" => untar(&mut lzma_rust2::XzReader::new(&mut *rest, false), budget, take)?,
        "tar.zst" => {
            let unpacked = ruzstd::decoding::StreamingDecoder::new(&mut *rest);
            let unpacked = unpacked.map_err(|error| Fault::broken(format!("is damaged: {error}")));
            untar(&mut unpacked?, budget, take)?;
        }
        _ => return Err(Fault::broken(format!("uses an unsupported compression: {packed}"))),
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Fault::broken("is damaged: unexpected data after the compressed archive"))
    }
}

fn untar(
    unpacked: &mut dyn Read,
    budget: &UnpackBudget,
    take: &mut dyn FnMut(&Utf8Path, Member<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let done = members(&mut budget.reader(unpacked), budget, take);
    // Whatever came of it downstream: this is why.
    budget.exceeded().map_or(done, |reason| Err(Fault::broken(reason)))
}

fn members(
    unpacked: &mut dyn Read,
    budget: &UnpackBudget,
    take: &mut dyn FnMut(&Utf8Path, Member<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let damaged = |error: io::Error| Fault::broken(format!("is truncated or damaged: {error}"));
    let mut archive = tar::Archive::new(&mut *unpacked);
    budget.expect_headers();
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        budget.expect_contents();
        let path = text(entry.path().map_err(damaged)?.into_owned())?;
        let kind = entry.header().entry_type();
        let target = |entry: &tar::Entry<'_, _>| {
            let target = entry.link_name().map_err(damaged)?;
            text(target.map(std::borrow::Cow::into_owned).unwrap_or_default())
        };
        if kind.is_gnu_sparse() {
            return Err(Fault::broken(format!(
                "contains the sparse file `{path}`, which Debian packages do not support"
            )));
        } else if kind.is_file() || kind.is_contiguous() {
            let header = entry.header();
            let executable = header.mode().map_err(damaged)? & 0o111 != 0;
            let (modified, size) = (header.mtime().map_err(damaged)?, entry.size());
            take(&path, Member::File(File { executable, modified, size, contents: &mut entry }))?;
        } else if kind.is_symlink() {
            let target = target(&entry)?;
            take(&path, Member::Link(target))?;
        } else if kind.is_hard_link() {
            let target = target(&entry)?;
            take(&path, Member::Hard(target))?;
        } else {
            take(&path, Member::Other)?;
        }
        // Read to its end here: what the next step reads are headers.
        io::copy(&mut entry, &mut io::sink()).map_err(damaged)?;
        budget.expect_headers();
    }
    budget.expect_contents();
    io::copy(unpacked, &mut io::sink()).map_err(damaged)?;
    Ok(())
}

fn text(path: std::path::PathBuf) -> Result<Utf8PathBuf, Fault> {
    if path.as_os_str().len() > LONGEST_NAME {
        return Err(Fault::broken(format!("contains a name longer than {LONGEST_NAME} bytes")));
    }
    Utf8PathBuf::from_path_buf(path)
        .map_err(|path| Fault::broken(format!("contains `{}`, whose name is not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// A tar with one file.
    fn tar_of(path: &str, contents: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o4755);
        header.set_mtime(1_000_000);
        builder.append_data(&mut header, path, contents).unwrap();
        builder.into_inner().unwrap()
    }

    fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = b"!<arch>\n".to_vec();
        for (name, data) in members {
            bytes
                .extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, data.len()).into_bytes());
            bytes.extend_from_slice(data);
            if data.len() % 2 == 1 {
                bytes.push(b'\n');
            }
        }
        bytes
    }

    fn gz(data: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(data).unwrap();
        packed.finish().unwrap()
    }

    fn zst(data: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn xz(data: &[u8]) -> Vec<u8> {
        let options = lzma_rust2::XzOptions::with_preset(1);
        let mut packed = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        packed.write_all(data).unwrap();
        packed.finish().unwrap()
    }

    /// The paths and contents of a package's tree.
    fn files(deb: &[u8]) -> Result<Vec<(String, String)>, String> {
        let mut found = Vec::new();
        let data = |path: &Utf8Path, member: Member<'_>| {
            let mut text = String::new();
            if let Member::File(file) = member {
                assert!(file.executable);
                assert_eq!((file.modified, file.size), (1_000_000, 5));
                file.contents.read_to_string(&mut text).unwrap();
            }
            found.push((path.to_string(), text));
            Ok(())
        };
        read(deb, |_, _| Ok(()), data).map_err(|fault| fault.reason)?;
        Ok(found)
    }

    #[test]
    fn trees_are_read_however_they_are_packed() {
        let control = gz(&tar_of("./control", b"Package: x\n"));
        let tree = tar_of("./usr/bin/x", b"hello");
        let packed = [
            ("data.tar", tree.clone()),
            ("data.tar.gz", gz(&tree)),
            ("data.tar.xz", xz(&tree)),
            ("data.tar.zst", zst(&tree)),
        ];
        for (name, data) in packed {
            let deb = ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control), (name, &data), ("_sig", b"x")]);
            assert_eq!(files(&deb), Ok(vec![("usr/bin/x".to_owned(), "hello".to_owned())]), "{name}");
            // Wherever it is cut before its last member, it is no package.
            for cut in [0, 4, 30, 68, 80, 132, 200, deb.len() - 70] {
                files(&deb[..cut]).unwrap_err();
            }
            let mut damaged = deb.clone();
            let middle = deb.len() - 62 - data.len() / 2;
            damaged[middle] ^= 0xff;
            assert!(name == "data.tar" || files(&damaged).is_err(), "{name}");
            files(&[deb, b"junk".to_vec()].concat()).unwrap_err();
        }
    }

    #[test]
    fn no_damage_makes_it_panic() {
        let tree = tar_of("./usr/bin/x", b"hello");
        for data in [
            ("data.tar", &tree),
            ("data.tar.gz", &gz(&tree)),
            ("data.tar.xz", &xz(&tree)),
            ("data.tar.zst", &zst(&tree)),
        ] {
            let deb = ar(&[("debian-binary", b"2.0\n"), ("control.tar", &tree), (data.0, data.1)]);
            let walk = |deb: &[u8]| {
                let mut read_all = |_: &Utf8Path, member: Member<'_>| {
                    if let Member::File(file) = member {
                        io::copy(file.contents, &mut io::sink())?;
                    }
                    Ok(())
                };
                read(deb, |_, _| Ok(()), &mut read_all).is_ok()
            };
            assert!(walk(&deb));
            for place in 0..deb.len() {
                for change in [0x01, 0x80, 0xff] {
                    let mut damaged = deb.clone();
                    damaged[place] ^= change;
                    walk(&damaged);
                }
                walk(&deb[..place]);
            }
        }
    }

    #[test]
    fn what_is_no_package_is_told() {
        let tree = tar_of("./usr/bin/x", b"hello");
        let mut output = String::new();
        let trailing = [gz(&tree), b"junk".to_vec()].concat();
        for members in [
            vec![],
            vec![("debian-binary", &b"3.0\n"[..])],
            vec![("debian-binary", b"2.0\n"), ("control.tar", &tree)],
            vec![("debian-binary", b"2.0\n"), ("data.tar", &tree), ("control.tar", &tree)],
            vec![("debian-binary", b"2.0\n"), ("control.tar", &tree), ("data.tar.lz4", &tree)],
            vec![("debian-binary", b"2.0\n"), ("control.tar", &tree), ("data.tar.gz", &trailing)],
            vec![("debian-binary", b"2.0\n"), ("control.tar", &tree), ("data.tar.xz", &tree)],
            vec![("debian-binary", b"2.0\n"), ("control.tar", &tree), ("data.tar", &tree), ("data.tar", &tree)],
        ] {
            output.push_str(&files(&ar(&members)).unwrap_err());
            output.push('\n');
        }
        output.push_str(&files(b"<html>").unwrap_err());
        insta::assert_snapshot!(output);
    }

    /// A tar whose one member has such a header and contents that never end, as far as a test is concerned.
    fn endless(change: impl FnOnce(&mut tar::Header)) -> impl Read {
        let mut header = tar::Header::new_gnu();
        header.set_path("usr/include/x.cmake").unwrap();
        header.set_mode(0o644);
        header.set_size(5 << 30);
        change(&mut header);
        header.set_cksum();
        io::Cursor::new(header.as_bytes().to_vec()).chain(io::repeat(b'x').take(5 << 30))
    }

    /// What comes of reading it as a small package's tree, and how many bytes of contents were handed on.
    fn bomb(tar: impl Read) -> (String, u64) {
        let (mut tar, mut bytes) = (tar, 0);
        let mut take = |_: &Utf8Path, member: Member<'_>| {
            if let Member::File(file) = member {
                bytes += io::copy(file.contents, &mut io::sink())?;
            }
            Ok(())
        };
        let fault = untar(&mut tar, &UnpackBudget::of_packed(1000), &mut take).unwrap_err();
        (fault.reason, bytes)
    }

    #[test]
    fn bombs_are_refused_before_they_fill_memory_or_disk() {
        let (reason, _) = bomb(endless(|_| ()));
        assert_eq!(reason, "unpacks to more than 64 MiB, which is not plausible for a package of its size");
        // A name is read into memory.
        for kind in [tar::EntryType::GNULongName, tar::EntryType::GNULongLink, tar::EntryType::XHeader] {
            let (reason, bytes) = bomb(endless(|header| header.set_entry_type(kind)));
            assert_eq!((reason.as_str(), bytes), ("contains a name longer than 4096 bytes", 0));
        }
        // One block that says it is 20 GiB.
        let mut sparse = tar::Header::new_gnu();
        sparse.set_path("usr/include/x.cmake").unwrap();
        sparse.set_entry_type(tar::EntryType::GNUSparse);
        sparse.set_mode(0o644);
        sparse.set_size(0);
        let gnu = sparse.as_gnu_mut().unwrap();
        gnu.realsize = *b"240000000000";
        gnu.sparse[0].offset = *b"240000000000";
        gnu.sparse[0].numbytes = *b"00000000000\0";
        sparse.set_cksum();
        let (reason, bytes) = bomb(io::Cursor::new([sparse.as_bytes().as_slice(), &[0; 1024]].concat()));
        assert_eq!((reason.contains("sparse file `usr/include/x.cmake`"), bytes), (true, 0), "{reason}");
        // A name of 4096 bytes is none.
        let long = "x".repeat(4000);
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o644);
        header.set_mtime(0);
        builder.append_data(&mut header, format!("usr/{long}"), io::empty()).unwrap();
        let tar = builder.into_inner().unwrap();
        untar(&mut &tar[..], &UnpackBudget::of_packed(1000), &mut |_, _| Ok(())).unwrap();
    }
}
