//! Reading what a process says without keeping all of it: what runs in a container may write without end.

use std::io::{self, BufRead, Read};

/// The longest line of standard output that is read, in bytes. cargo's messages hold rendered diagnostics, and stay far
/// below.
pub(crate) const LINE: usize = 16 << 20;

/// How much of the end of standard error is kept, in bytes.
pub(crate) const TAIL: usize = 4 << 20;

/// The end of what was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The text, from the start of a line on where not all was kept.
    pub text: String,
    /// How many bytes before it were left out.
    pub left_out: u64,
}

/// Reads one line with its line break into `line`, whose contents are replaced. Gives the number of bytes that were left
/// out: 0, or all of them where the line is longer than `limit`, and `line` is then empty; none at the end.
///
/// # Errors
/// Reading failed.
pub(crate) fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>, limit: usize) -> io::Result<Option<u64>> {
    line.clear();
    let mut left_out = 0_u64;
    loop {
        let available = match from.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok((left_out > 0 || !line.is_empty()).then_some(left_out));
        }
        let end = memchr::memchr(b'\n', available).map(|place| place + 1);
        let part = &available[..end.unwrap_or(available.len())];
        if left_out > 0 || line.len() + part.len() > limit {
            left_out += (line.len() + part.len()) as u64;
            // Its memory is given back, too.
            *line = Vec::new();
        } else {
            line.extend_from_slice(part);
        }
        let count = part.len();
        from.consume(count);
        if end.is_some() {
            return Ok(Some(left_out));
        }
    }
}

/// Reads to the end and keeps the last `limit` bytes. What came before a broken pipe still counts.
pub(crate) fn read_tail(mut from: impl Read, limit: usize) -> Tail {
    let (mut kept, mut left_out, mut buffer) = (Vec::new(), 0_u64, vec![0; 1 << 16]);
    // Shortens to so many bytes, and gives how many went.
    let cut = |kept: &mut Vec<u8>, to: usize| kept.drain(..kept.len().saturating_sub(to)).count() as u64;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => kept.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        // Not at each turn, as all that is kept is moved.
        if kept.len() > 2 * limit {
            left_out += cut(&mut kept, limit);
        }
    }
    left_out += cut(&mut kept, limit);
    if left_out > 0 {
        let first = memchr::memchr(b'\n', &kept).map_or(0, |place| place + 1);
        let rest = kept.len() - first;
        left_out += cut(&mut kept, rest);
    }
    Tail { text: String::from_utf8_lossy(&kept).into_owned(), left_out }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_those_around_it_are_not() {
        let text = format!("one\n{}\ntwo", "x".repeat(100_000));
        // A buffer that is smaller than the limit, and one that is larger.
        for size in [7, 200_000] {
            let mut from = BufReader::with_capacity(size, text.as_bytes());
            let (mut line, mut all) = (Vec::new(), Vec::new());
            while let Some(left_out) = read_line(&mut from, &mut line, 1000).unwrap() {
                assert!(line.capacity() <= 2048, "{}", line.capacity());
                all.push((String::from_utf8(line.clone()).unwrap(), left_out));
            }
            let wanted = [("one\n", 0), ("", 100_001), ("two", 0)];
            assert_eq!(all, wanted.map(|(line, left_out)| (line.to_owned(), left_out)));
        }
    }

    #[test]
    fn an_endless_line_takes_no_memory() {
        let mut endless = BufReader::new(io::repeat(b'x').take(2 * LINE as u64));
        let mut line = Vec::new();
        assert_eq!(read_line(&mut endless, &mut line, LINE).unwrap(), Some(2 * LINE as u64));
        assert_eq!(line.capacity(), 0);
    }

    #[test]
    fn the_end_is_kept_from_the_start_of_a_line_on() {
        let text: String = (0..10_000).map(|number| format!("line {number}\n")).collect();
        let tail = read_tail(text.as_bytes(), 100);
        assert!(tail.text.starts_with("line 99") && tail.text.ends_with("line 9999\n"), "{tail:?}");
        assert!(tail.text.len() <= 100);
        assert_eq!(tail.left_out as usize + tail.text.len(), text.len());
        assert_eq!(read_tail("a\nb".as_bytes(), 100), Tail { text: "a\nb".to_owned(), left_out: 0 });
    }
}
