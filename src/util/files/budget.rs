//! How much may be taken out of a file that is not trusted. Names in binaries and objects lie in tables that everything
//! else points into, so a file of one megabyte can hold thousands of entries that all share one name of half a megabyte:
//! copied out, that is more than any machine's memory.

use std::borrow::Cow;

/// How often all names may be as long as their file. Linkers let names share their ends, so that all names together may be
/// somewhat longer than the table that holds them; the table is only a part of the file.
const SHARED: usize = 16;

/// The bytes of names that no file goes beyond, whatever its size. A browser's binary of 200 MB has about 10 MB of names
/// in its dynamic symbols.
const MOST_NAMES: usize = 64 << 20;

/// The libraries, import descriptors, load commands, program headers, slices, … of one file. Real programs load a few
/// hundred libraries at most.
pub(crate) const MOST_ENTRIES: usize = 4096;

/// The symbol versions that one ELF file may ask for. glibc, libstdc++ and all others together have fewer than a thousand.
pub(crate) const MOST_VERSIONS: usize = 1 << 16;

/// What may still be taken out of one file.
#[derive(Debug)]
pub(crate) struct Budget {
    names: usize,
}

/// More was wanted than a file of this size may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the names in it are far longer than the file itself")]
pub struct Exhausted;

impl Budget {
    /// For a file of `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self { names: size.saturating_mul(SHARED).min(MOST_NAMES) }
    }

    /// A name as text, invalid UTF-8 replaced.
    ///
    /// # Errors
    /// All names together became too long.
    pub(crate) fn name(&mut self, bytes: &[u8]) -> Result<String, Exhausted> {
        self.take(bytes.len())?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Accounts for the copy of a name.
    ///
    /// # Errors
    /// All names together became too long.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Exhausted> {
        // An empty name costs memory, too.
        self.names = self.names.checked_sub(bytes.max(1)).ok_or(Exhausted)?;
        Ok(())
    }
}

/// A name for a message: a long one is cut.
pub(crate) fn brief(name: &str) -> Cow<'_, str> {
    const SHOWN: usize = 200;
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &name[..end]).into(),
        None => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_be_shared_but_not_without_end() {
        let mut budget = Budget::new(100);
        for _ in 0..16 {
            assert_eq!(budget.name(&[b'a'; 100]).unwrap().len(), 100);
        }
        assert_eq!(budget.name(b""), Err(Exhausted));
        let mut large = Budget::new(usize::MAX);
        assert_eq!(large.take(MOST_NAMES), Ok(()));
        assert_eq!(large.take(1), Err(Exhausted));
    }
}
