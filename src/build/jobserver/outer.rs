//! The jobserver that convoy itself may have been started under.

/// What another tool announced to those it starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outer {
    /// Numbers of inherited descriptors, to read from and to write to.
    Descriptors(u32, u32),
    /// The path of a named pipe (make 4.4).
    Fifo(String),
}

impl Outer {
    /// Looks for it where cargo does, and as cargo does: the first of these variables that is set counts.
    pub(crate) fn find(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let flags = ["CARGO_MAKEFLAGS", "MAKEFLAGS", "MFLAGS"].iter().find_map(|name| variable(name))?;
        let mut words = ["--jobserver-auth=", "--jobserver-fds="].iter();
        let (_, rest) = words.find_map(|word| flags.rsplit_once(word))?;
        let value = rest.split(' ').next()?;
        if let Some(path) = value.strip_prefix("fifo:") {
            return Some(Outer::Fifo(path.to_owned()));
        }
        let (read, write) = value.split_once(',')?;
        Some(Outer::Descriptors(read.parse().ok()?, write.parse().ok()?))
    }

    /// Whether it is really there: make announces it to every recipe, and leaves it open for those marked with `+`.
    #[cfg(unix)]
    pub(crate) fn is_usable(&self) -> bool {
        use std::os::unix::fs::FileTypeExt;
        let is_pipe = |path: &str| fs_err::metadata(path).is_ok_and(|file| file.file_type().is_fifo());
        match self {
            Outer::Descriptors(read, write) => [read, write].iter().all(|number| is_pipe(&format!("/dev/fd/{number}"))),
            Outer::Fifo(path) => is_pipe(path),
        }
    }

    /// Lanes run one after another here anyway.
    #[cfg(not(unix))]
    pub fn is_usable(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(variables: &[(&str, &str)]) -> Option<Outer> {
        Outer::find(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn an_announcement_is_read_as_cargo_reads_it() {
        assert_eq!(find(&[]), None);
        assert_eq!(find(&[("MAKEFLAGS", "")]), None);
        assert_eq!(find(&[("MAKEFLAGS", " -j8 --jobserver-auth=3,4 -- CC=gcc")]), Some(Outer::Descriptors(3, 4)));
        assert_eq!(find(&[("MFLAGS", "-j --jobserver-fds=5,6")]), Some(Outer::Descriptors(5, 6)));
        let both = "-j --jobserver-fds=3,4 --jobserver-auth=5,6";
        assert_eq!(find(&[("MAKEFLAGS", both)]), Some(Outer::Descriptors(5, 6)));
        assert_eq!(find(&[("MAKEFLAGS", "--jobserver-auth=-2,-2")]), None, "make says so where it closed them");
        let fifo = "-j8 --jobserver-auth=fifo:/tmp/GMfifo12 --x";
        assert_eq!(find(&[("MAKEFLAGS", fifo)]), Some(Outer::Fifo("/tmp/GMfifo12".to_owned())));
        assert_eq!(find(&[("CARGO_MAKEFLAGS", "-j"), ("MAKEFLAGS", fifo)]), None, "the first that is set counts");
    }

    #[test]
    #[cfg(unix)]
    fn what_is_announced_and_not_there_is_not_usable() {
        assert!(!Outer::Descriptors(987, 988).is_usable());
        assert!(!Outer::Fifo("/nowhere".to_owned()).is_usable());
        assert!(!Outer::Fifo("/dev/null".to_owned()).is_usable(), "no pipe");
    }
}
