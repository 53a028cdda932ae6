//! The linker shim. A linked binary no longer tells everything: lld keeps only the first object's ARM attributes, and a
//! Mach-O does not say which object wants a symbol. So for some targets cargo's linker is a script that runs
//! `cargo-convoy link …`, which starts the real linker and then writes down what the link line held.
//!
//! What a compiler driver adds on its own (crt files, libc, the compiler's runtime) is not on its command line and so
//! not in the record; with a bare linker everything is.

mod arm;
pub mod line;
pub mod scan;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::util::files::{SMALL, UntrustedDir};
pub use arm::ArmAttributes;

/// The number of [`LinkRecord::schema`] that this program writes and reads.
pub(crate) const SCHEMA: u32 = 1;

/// What follows the output's name in the name of its record.
pub(crate) const SUFFIX: &str = ".convoy-link.json";

/// How many objects are named for one fact; a person needs a few, and records stay small.
const MAX_NAMED: usize = 3;

/// What the linker shim saw on one link line; kept beside the output as `<output>.convoy-link.json`.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct LinkRecord {
    /// Raised when the meaning of a field changes; another number is treated as no record.
    pub schema: u32,
    /// The real linker.
    pub linker: Utf8PathBuf,
    /// The output file.
    pub output: Utf8PathBuf,
    /// For 32-bit ARM: the objects and archive members of the link line, by their build attributes.
    pub arm: Vec<ArmObjects>,
    /// For Mach-O: for each symbol that the objects want and none of them defines, those objects (at most three).
    pub wanted_by: BTreeMap<String, Vec<String>>,
    /// Objects and archives that could not be read (LLVM bitcode, damaged): nothing is known of these.
    pub unread: Vec<String>,
}

/// 32-bit ARM objects with the same build attributes.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct ArmObjects {
    /// What they were compiled for.
    pub attributes: ArmAttributes,
    /// How many they are.
    pub count: usize,
    /// The first three, as `foo.o` or `libfoo.a(bar.o)`.
    pub objects: Vec<String>,
}

/// The record of the link that made `executable`: cargo's `…/release/rg`, which is a hard link (or a copy) of
/// `…/release/deps/rg-<hash>`, beside which the shim wrote. A record of another schema is none. Links on the way to the
/// file's own directory are followed.
pub fn record_for(executable: &Utf8Path) -> Option<LinkRecord> {
    let parent = executable.parent().filter(|parent| !parent.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    let dir = UntrustedDir::open(parent).ok()?;
    record_beneath(&dir, &dir.path().join(executable.file_name()?))
}

/// [`record_for`] an executable beneath a directory that is not trusted: no link beneath it is followed.
pub fn record_beneath(root: &UntrustedDir, executable: &Utf8Path) -> Option<LinkRecord> {
    let beside = Utf8PathBuf::from(format!("{executable}{SUFFIX}"));
    match read_record(root, &beside) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        record => return record.ok().flatten(),
    }
    let deps = executable.parent()?.join("deps");
    if !deps.symlink_metadata().ok()?.is_dir() {
        return None;
    }
    let wanted = executable.symlink_metadata().ok()?;
    let mut candidates = Vec::new();
    for entry in deps.read_dir_utf8().ok()?.flatten() {
        let Some(output) = entry.file_name().strip_suffix(SUFFIX) else { continue };
        let Ok(metadata) = deps.join(output).symlink_metadata() else { continue };
        if is_same_file(&wanted, &metadata) {
            return read_record(root, entry.path()).ok().flatten();
        }
        let same_name = is_output_of(output, executable.file_name()?);
        if same_name && metadata.len() == wanted.len() {
            candidates.push((metadata.modified().ok()?, entry.into_path()));
        }
    }
    // Cargo copies where it cannot link (another file system, a folder without hard links).
    let (_, newest) = candidates.into_iter().max_by_key(|(time, _)| *time)?;
    read_record(root, &newest).ok().flatten()
}

/// A record; none when it is of another schema, or damaged.
fn read_record(root: &UntrustedDir, path: &Utf8Path) -> std::io::Result<Option<LinkRecord>> {
    let text = root.file_at(path, SMALL)?.read_text()?;
    let record: Option<LinkRecord> = serde_json::from_str(&text).ok();
    Ok(record.filter(|record| record.schema == SCHEMA))
}

/// What the fuzz targets start.
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing {
    use camino::Utf8Path;

    use super::line::{self, Input};
    use super::scan::Scan;

    pub(crate) fn scan(bytes: &[u8]) {
        let mut scan = Scan::default();
        // Members of a thin archive are the archive itself, which goes no deeper.
        scan.add("libx.a".into(), bytes, &|_| Some(bytes.to_vec()));
        scan.finish();
    }

    pub(crate) fn line(args: &[String], read: &dyn Fn(&Utf8Path) -> Option<String>) {
        let args = line::expand(args, read).unwrap_or_else(|| args.to_vec());
        let line = line::parse(&args);
        let dirs = &line.dirs[..line.dirs.len().min(8)];
        line.inputs.iter().map(|input: &Input| input.candidates(dirs)).for_each(drop);
    }
}

#[cfg(unix)]
fn is_same_file(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same_file(_: &std::fs::Metadata, _: &std::fs::Metadata) -> bool {
    false
}

/// Whether `output`, a file of `deps/`, is what cargo calls `executable` after the link: `my_tool-<16 digits>.exe` is
/// `my-tool.exe`.
fn is_output_of(output: &str, executable: &str) -> bool {
    let stem = |name: &str| name.strip_suffix(".exe").unwrap_or(name).replace('-', "_");
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match stem(output).rsplit_once('_') {
        Some((name, hash)) if is_hash(hash) => name == stem(executable),
        _ => stem(output) == stem(executable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(output: &str) -> LinkRecord {
        LinkRecord {
            schema: SCHEMA,
            linker: "ld".into(),
            output: output.into(),
            arm: Vec::new(),
            wanted_by: BTreeMap::new(),
            unread: Vec::new(),
        }
    }

    #[test]
    fn names_of_cargo_outputs() {
        assert!(is_output_of("my_tool-0123456789abcdef", "my-tool"));
        assert!(is_output_of("my_tool-0123456789abcdef.exe", "my-tool.exe"));
        assert!(is_output_of("my_tool", "my-tool"));
        assert!(!is_output_of("my_tool_too-0123456789abcdef", "my-tool"));
        assert!(!is_output_of("my_tool-0123456789abcdeg", "my-tool"));
    }

    #[test]
    fn the_record_of_the_linked_file_wins_over_a_file_of_the_same_name() {
        let dir = tempfile::tempdir().unwrap();
        let release = Utf8Path::from_path(dir.path()).unwrap();
        let deps = release.join("deps");
        fs_err::create_dir(&deps).unwrap();
        for output in ["my_tool-00000000000000aa", "my_tool-00000000000000bb", "other-00000000000000cc"] {
            fs_err::write(deps.join(output), "same size").unwrap();
            let text = serde_json::to_string(&record(output)).unwrap();
            fs_err::write(deps.join(format!("{output}{SUFFIX}")), text).unwrap();
        }
        let executable = release.join("my-tool");
        fs_err::hard_link(deps.join("my_tool-00000000000000aa"), &executable).unwrap();
        #[cfg(unix)]
        assert_eq!(record_for(&executable), Some(record("my_tool-00000000000000aa")));

        // A copy: the newest of the same name and size.
        fs_err::remove_file(&executable).unwrap();
        fs_err::write(&executable, "same size").unwrap();
        let newer = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
        fs_err::File::options()
            .append(true)
            .open(deps.join("my_tool-00000000000000bb"))
            .unwrap()
            .file()
            .set_modified(newer)
            .unwrap();
        assert_eq!(record_for(&executable), Some(record("my_tool-00000000000000bb")));

        fs_err::write(&executable, "another size").unwrap();
        assert_eq!(record_for(&executable), None);
    }
}
