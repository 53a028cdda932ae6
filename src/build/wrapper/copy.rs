//! Wrappers that are copies of convoy, with the description at their end: where a text file cannot name the program that
//! it is for, that is on Windows, and where convoy's own path has blanks or is long.

use std::io::{self, Read, Seek, SeekFrom, Write};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::File;

use super::file::{LARGEST, publish};
use crate::util::error::Result;

/// The last bytes of a copy; before them is the length of the description (8 bytes, little-endian), and before that the
/// description.
const MARK: &[u8; 16] = b"\0convoy-wrapper\0";

/// Bytes after the description.
const AFTER: usize = 8 + MARK.len();

/// Writes a copy of convoy that carries a description, unless it is there.
pub(super) fn write(dir: &Utf8Path, name: &str, convoy: &Utf8Path, text: &str) -> Result<Utf8PathBuf> {
    let path = dir.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let tail = tail(text);
    if is_same(&path, convoy, &tail)? {
        return Ok(path);
    }
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    io::copy(File::open(convoy)?.file_mut(), file.as_file_mut())?;
    file.write_all(&tail)?;
    publish(file, &path)?;
    Ok(path)
}

fn tail(text: &str) -> Vec<u8> {
    [text.as_bytes(), &(text.len() as u64).to_le_bytes(), MARK].concat()
}

/// Whether a file is convoy with this tail.
fn is_same(path: &Utf8Path, convoy: &Utf8Path, tail: &[u8]) -> io::Result<bool> {
    // Whatever cannot be opened is made anew.
    let Ok(copy) = File::open(path) else { return Ok(false) };
    let convoy = File::open(convoy)?;
    if copy.metadata()?.len() != convoy.metadata()?.len() + tail.len() as u64 {
        return Ok(false);
    }
    let mut copy = io::BufReader::with_capacity(1 << 16, copy);
    let mut wanted = io::BufReader::with_capacity(1 << 16, convoy).chain(tail);
    let (mut left, mut right) = ([0; 1 << 14], [0; 1 << 14]);
    loop {
        let count = wanted.read(&mut right)?;
        if count == 0 {
            return Ok(copy.read(&mut left)? == 0);
        }
        // What became shorter in the meantime is another file.
        if copy.read_exact(&mut left[..count]).is_err() || left[..count] != right[..count] {
            return Ok(false);
        }
    }
}

/// The description that this program carries; none if it is convoy itself.
pub(super) fn text_of_this_program() -> Option<String> {
    text_of(&mut std::fs::File::open(std::env::current_exe().ok()?).ok()?)
}

fn text_of(program: &mut (impl Read + Seek)) -> Option<String> {
    let end = program.seek(SeekFrom::End(-i64::try_from(AFTER).ok()?)).ok()?;
    let mut last = [0; AFTER];
    program.read_exact(&mut last).ok()?;
    let (length, mark) = last.split_at(8);
    let length = u64::from_le_bytes(length.try_into().ok()?);
    if mark != MARK || length > LARGEST {
        return None;
    }
    program.seek(SeekFrom::Start(end.checked_sub(length)?)).ok()?;
    let mut text = String::new();
    program.take(length).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<String> {
        text_of(&mut io::Cursor::new(bytes))
    }

    #[test]
    fn a_copy_carries_its_description() {
        let copy = [b"ELF and so on", tail("start = \"ä\"").as_slice()].concat();
        assert_eq!(read(&copy).as_deref(), Some("start = \"ä\""));
        assert_eq!(read(&tail("")).as_deref(), Some(""));
    }

    #[test]
    fn other_programs_carry_none() {
        let endless = [&[b'a'; 100], u64::MAX.to_le_bytes().as_slice(), MARK].concat();
        let longer = [&[b'a'; 100], 101_u64.to_le_bytes().as_slice(), MARK].concat();
        let binary = [&[0xff; 100], 100_u64.to_le_bytes().as_slice(), MARK].concat();
        for bytes in [&b""[..], b"short", &[0; 100], MARK, &endless, &longer, &binary] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
        assert_eq!(text_of_this_program(), None);
    }

    #[test]
    fn a_copy_of_another_convoy_is_made_anew() {
        let held = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(held.path()).unwrap();
        let convoy = dir.join("a convoy");
        for contents in ["first", "other", "longer than before"] {
            fs_err::write(&convoy, contents).unwrap();
            let path = write(dir, "cc", &convoy, "text").unwrap();
            assert_eq!(fs_err::read(&path).unwrap(), [contents.as_bytes(), &tail("text")].concat());
        }
    }
}
