//! The files of one package, as evidence is read from them: plain files of a bearable size within the package's bounds. All
//! that is read, looked for or listed is recorded with a stamp from before, so that a later run can tell whether any of it
//! has changed since.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::Source;
use super::rust::{self, LARGEST};
use crate::util::files::UntrustedDir;
use crate::util::stamp::Stamp;

/// Stamps of files and directories by path; none where nothing was.
pub(super) type Stamps = BTreeMap<Utf8PathBuf, Option<Stamp>>;

/// The files of a package.
#[derive(Debug)]
pub(super) struct PackageFiles {
    dir: Utf8PathBuf,
    /// The directory that files must be in when all links are followed; none where there is no such directory.
    bounds: Option<UntrustedDir>,
    seen: RefCell<Stamps>,
}

impl PackageFiles {
    /// Those of a package.
    pub(crate) fn of(source: &Source) -> Self {
        let bounds = if source.bounds.as_str().is_empty() { &source.dir } else { &source.bounds };
        let bounds = bounds.canonicalize_utf8().and_then(|bounds| UntrustedDir::open(&bounds)).ok();
        Self { dir: source.dir.clone(), bounds, seen: RefCell::default() }
    }

    /// The package's directory.
    pub(crate) fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    /// A path as it is shown: relative to the package.
    pub(crate) fn shown<'p>(&self, path: &'p Utf8Path) -> &'p Utf8Path {
        path.strip_prefix(&self.dir).unwrap_or(path)
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// It is missing, not a plain file, larger than 5 MB, or outside of the package; in words that follow its name.
    pub(crate) fn read(&self, path: &Utf8Path) -> Result<Vec<u8>, String> {
        self.record(path);
        let text = |error: io::Error| error.to_string();
        let place = path.canonicalize_utf8().map_err(text)?;
        let bounds = self.bounds.as_ref().filter(|bounds| place.starts_with(bounds.path()));
        let bounds = bounds.ok_or_else(|| "it is outside of the package".to_owned())?;
        if !place.is_file() {
            return Err("it is not a file".to_owned());
        }
        bounds.file_at(&place, LARGEST).and_then(|file| file.read()).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => "it is larger than 5 MB".to_owned(),
            _ => error.to_string(),
        })
    }

    /// The text of a file.
    ///
    /// # Errors
    /// As [`PackageFiles::read`]; and it is not UTF-8.
    pub(crate) fn read_text(&self, path: &Utf8Path) -> Result<String, String> {
        String::from_utf8(self.read(path)?).map_err(|_| "it is not UTF-8".to_owned())
    }

    /// Whether something is at a path.
    pub(crate) fn exists(&self, path: &Utf8Path) -> bool {
        self.record(path);
        path.exists()
    }

    /// Whether a file is at a path.
    pub(crate) fn is_file(&self, path: &Utf8Path) -> bool {
        self.record(path);
        path.is_file()
    }

    /// The Rust files below a directory, as [`rust::rust_files`] finds them. A directory's stamp changes when a file
    /// appears in it or goes.
    pub(crate) fn rust_files(&self, dir: &Utf8Path) -> Vec<Utf8PathBuf> {
        rust::rust_files_in(dir, &self.dir, &mut |dir| self.record(dir))
    }

    /// What was looked at.
    pub(crate) fn into_stamps(self) -> Stamps {
        self.seen.into_inner()
    }

    fn record(&self, path: &Utf8Path) {
        let mut seen = self.seen.borrow_mut();
        if !seen.contains_key(path) {
            seen.insert(path.to_owned(), Stamp::of(path));
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_of_the_package_are_read() {
        let held = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(held.path()).unwrap();
        let dir = root.join("package");
        fs_err::create_dir(&dir).unwrap();
        fs_err::write(root.join("outside.rs"), "outside").unwrap();
        fs_err::write(dir.join("inside.rs"), "inside").unwrap();
        fs_err::File::create(dir.join("large.rs")).unwrap().file().set_len(LARGEST + 1).unwrap();
        std::os::unix::fs::symlink("../outside.rs", dir.join("leads-out.rs")).unwrap();
        std::os::unix::fs::symlink("inside.rs", dir.join("link.rs")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(dir.join("pipe.rs")).status().unwrap().success());
        let source = |bounds: &Utf8Path| Source { dir: dir.clone(), bounds: bounds.to_owned(), ..Source::default() };

        let files = PackageFiles::of(&source(&dir));
        assert_eq!(files.read_text(&dir.join("inside.rs")).unwrap(), "inside");
        assert_eq!(files.read_text(&dir.join("link.rs")).unwrap(), "inside");
        for (path, says) in [
            ("../outside.rs", "outside of the package"),
            ("leads-out.rs", "outside of the package"),
            ("/proc/version", "outside of the package"),
            ("pipe.rs", "not a file"),
            (".", "not a file"),
            ("large.rs", "larger than 5 MB"),
            ("missing.rs", "No such file"),
        ] {
            let error = files.read(&dir.join(path)).unwrap_err();
            assert!(error.contains(says), "{path}: {error}");
        }
        let stamps = files.into_stamps();
        assert!(stamps[&dir.join("inside.rs")].is_some() && stamps[&dir.join("missing.rs")].is_none());
        assert_eq!(stamps.len(), 9);

        // A member of a workspace may share files with the others.
        let files = PackageFiles::of(&source(root));
        assert_eq!(files.read_text(&dir.join("../outside.rs")).unwrap(), "outside");
        assert_eq!(files.read_text(&dir.join("leads-out.rs")).unwrap(), "outside");
    }
}
