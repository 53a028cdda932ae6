//! How much may come out of a packed file. A few bytes unpack to as many as their maker likes, so whoever unpacks stops
//! at a limit that no honest file comes near.

use std::cell::Cell;
use std::io::{self, Read};

/// What a packed file may always unpack to, in bytes, however small it is.
const ALWAYS: u64 = 64 << 20;

/// How many times its own size a packed file may unpack to. Debian's packages stay below 20.
const RATIO: u64 = 100;

/// What a member's headers may take in all, in bytes: they are read into memory, its name with them.
const HEADERS: u64 = 64 << 10;

/// The longest name of a member, in bytes: Linux opens no longer path.
pub(crate) const LONGEST_NAME: usize = 4096;

/// The largest member that is read into memory as a whole, in bytes.
pub(crate) const IN_MEMORY: u64 = 16 << 20;

/// What is left of the bytes that one packed file may unpack to.
#[derive(Debug)]
pub(crate) struct UnpackBudget {
    limit: u64,
    left: Cell<u64>,
    /// What is left for headers; none while a member's contents are read.
    headers: Cell<Option<u64>>,
    exceeded: Cell<Option<&'static str>>,
}

impl UnpackBudget {
    /// For a file of so many packed bytes.
    pub(crate) fn of_packed(bytes: u64) -> Self {
        let limit = bytes.saturating_mul(RATIO).max(ALWAYS);
        Self { limit, left: Cell::new(limit), headers: Cell::new(None), exceeded: Cell::new(None) }
    }

    /// Counts what is read; at the limit reading fails, and [`UnpackBudget::exceeded`] says why.
    pub(crate) fn reader<R: Read>(&self, inner: R) -> Budgeted<'_, R> {
        Budgeted { budget: self, inner }
    }

    /// What is read from now on are headers.
    pub(crate) fn expect_headers(&self) {
        self.headers.set(Some(HEADERS));
    }

    /// What is read from now on is a member's contents, or the rest of the file.
    pub(crate) fn expect_contents(&self) {
        self.headers.set(None);
    }

    /// Why reading was ended, as a predicate; none while it was not.
    pub(crate) fn exceeded(&self) -> Option<String> {
        let what = self.exceeded.get()?;
        Some(match what {
            TOO_MUCH => {
                format!(
                    "unpacks to more than {} MiB, which is not plausible for a package of its size",
                    self.limit >> 20
                )
            }
            what => format!("{what} longer than {LONGEST_NAME} bytes"),
        })
    }

    fn exceed(&self, what: &'static str) -> io::Error {
        self.exceeded.set(Some(what));
        io::Error::new(io::ErrorKind::FileTooLarge, self.exceeded().unwrap_or_default())
    }
}

const TOO_MUCH: &str = "unpacks to too much data";
const LONG_NAME: &str = "contains a name";

/// A reader that a budget limits.
#[derive(Debug)]
pub(crate) struct Budgeted<'a, R> {
    budget: &'a UnpackBudget,
    inner: R,
}

impl<R: Read> Read for Budgeted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let UnpackBudget { left, headers, .. } = self.budget;
        let allowed = headers.get().unwrap_or(u64::MAX).min(left.get());
        if allowed == 0 && !buffer.is_empty() {
            // At its very end nothing more comes, and nothing is exceeded.
            return match self.inner.read(&mut buffer[..1])? {
                0 => Ok(0),
                _ if left.get() == 0 => Err(self.budget.exceed(TOO_MUCH)),
                _ => Err(self.budget.exceed(LONG_NAME)),
            };
        }
        let length = usize::try_from(allowed).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..length])?;
        left.set(left.get() - count as u64);
        headers.set(headers.get().map(|headers| headers - count as u64));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_may_unpack_to_64_mib_and_a_large_one_to_100_times_its_size() {
        for (packed, limit) in [(1, 64 << 20), (1 << 20, 100 << 20)] {
            let budget = UnpackBudget::of_packed(packed);
            let all = io::copy(&mut budget.reader(io::repeat(0).take(limit)), &mut io::sink()).unwrap();
            assert_eq!((all, budget.exceeded()), (limit, None));
            let budget = UnpackBudget::of_packed(packed);
            io::copy(&mut budget.reader(io::repeat(0)), &mut io::sink()).unwrap_err();
            assert!(budget.exceeded().unwrap().contains(&format!("more than {} MiB", limit >> 20)));
        }
    }

    #[test]
    fn headers_are_short_and_contents_need_not_be() {
        let budget = UnpackBudget::of_packed(1);
        let mut reader = budget.reader(io::repeat(0));
        budget.expect_headers();
        reader.read_exact(&mut [0; 5000]).unwrap();
        budget.expect_contents();
        io::copy(&mut (&mut reader).take(1 << 20), &mut io::sink()).unwrap();
        budget.expect_headers();
        io::copy(&mut reader, &mut io::sink()).unwrap_err();
        assert_eq!(budget.exceeded().unwrap(), "contains a name longer than 4096 bytes");
    }
}
