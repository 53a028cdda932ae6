//! Wrapper files: written before a build, read when they are started.

use std::ffi::OsString;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::{Wrapper, copy, script};
use crate::util::error::{Error, Result};
use crate::util::files::PlainFile;

/// The word after convoy's path in the first line of a wrapper: `#!/path/to/cargo-convoy wrapper`. The kernel then starts
/// convoy with this word, the wrapper's path, and the caller's arguments.
const WORD: &str = "wrapper";

/// The longest first line in bytes, without its newline. Linux reads 255 bytes, versions before 5.1 (RHEL 8 has one of
/// them) only 127, and cuts off the rest without an error.
const LONGEST_LINE: usize = 127;

/// More bytes than any description has.
pub(super) const LARGEST: u64 = 1 << 20;

/// Where a wrapper will be started.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// On this machine, where this is the path of cargo-convoy.
    Machine(&'a Utf8Path),
    /// In a container. Its image may have no libraries that convoy needs, or be for another system than this machine's.
    Container,
}

impl Wrapper {
    /// Writes the wrapper to `dir`, and gives its path. A file that has the same contents already is left alone: build
    /// tools look at a compiler's modification time.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn write(&self, dir: &Utf8Path, name: &str, place: Place<'_>) -> Result<Utf8PathBuf> {
        match place {
            Place::Container => write_if_different(dir, name, &script::text(self)),
            Place::Machine(convoy) => match first_line(convoy) {
                Some(line) if cfg!(unix) => write_if_different(dir, name, &format!("{line}\n{}", self.text()?)),
                _ => copy::write(dir, name, convoy, &self.text()?),
            },
        }
    }

    /// The description, as it stands in a wrapper's file.
    fn text(&self) -> Result<String> {
        let fields = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        // Another convoy may do something else with the same fields.
        Ok(format!("# Written by cargo-convoy {}.\n{fields}\n", crate::VERSION))
    }
}

/// A wrapper's first line, which makes a text file start convoy; none where the kernel would not find convoy by it.
fn first_line(convoy: &Utf8Path) -> Option<String> {
    let line = format!("#!{convoy} {WORD}");
    let usable = line.len() <= LONGEST_LINE && !convoy.as_str().contains(char::is_whitespace) && convoy.is_absolute();
    usable.then_some(line)
}

/// Writes a text, unless it is there. Like all files beside it, it can be started.
pub(in crate::build) fn write_if_different(dir: &Utf8Path, name: &str, text: &str) -> Result<Utf8PathBuf> {
    let path = dir.join(name);
    if fs_err::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(path);
    }
    let file = tempfile::NamedTempFile::new_in(dir)?;
    fs_err::write(file.path(), text)?;
    publish(file, &path)?;
    Ok(path)
}

/// Puts a finished program in its place.
pub(super) fn publish(file: tempfile::NamedTempFile, path: &Utf8Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs_err::set_permissions(file.path(), std::fs::Permissions::from_mode(0o755))?;
    }
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The wrapper that this process was started as, and the caller's arguments; none if it was started as cargo-convoy.
/// `args` begins with the program's name.
///
/// # Errors
/// The wrapper's file cannot be read, or holds no description.
pub fn started(args: &[OsString]) -> Result<Option<(Wrapper, Vec<OsString>)>> {
    // First: to a compiler that is a copy of convoy, the word may be the name of a file.
    if let Some(text) = copy::text_of_this_program() {
        let wrapper = parse(&text).map_err(|error| Error::work("could not read this wrapper").because(error))?;
        return Ok(Some((wrapper, args.get(1..).unwrap_or_default().to_vec())));
    }
    let [_, word, file, rest @ ..] = args else { return Ok(None) };
    if word != WORD {
        return Ok(None);
    }
    let failed = || Error::work(format!("could not read the wrapper `{}`", file.display()));
    let path = Utf8Path::from_path(file.as_ref()).ok_or_else(|| failed().because("its path is not UTF-8"))?;
    let text = PlainFile::open(path, LARGEST).and_then(|file| file.read_text());
    let text = text.map_err(|error| failed().because(error))?;
    let wrapper = parse(&text).map_err(|error| {
        failed().because(error).hint("wrappers are written by `cargo convoy build`; run it again to restore this one")
    })?;
    Ok(Some((wrapper, rest.to_vec())))
}

/// Reads a description: JSON below lines that begin with `#`. A parser of TOML, which has such comments itself, takes
/// longer than all the rest of starting convoy.
fn parse(text: &str) -> Result<Wrapper, serde_json::Error> {
    let mut json = text;
    while json.starts_with('#') {
        json = json.split_once('\n').map_or("", |(_, rest)| rest);
    }
    serde_json::from_str(json)
}

#[cfg(test)]
mod tests {
    use super::super::{Driver, Headers, Start};
    use super::*;

    fn odd() -> Wrapper {
        Wrapper {
            before: vec!["-ffile-prefix-map=/it's \"a\" dir=/sysroot".to_owned(), "a\\b\nc".to_owned()],
            after: vec!["-L/ä b".to_owned()],
            headers: Headers { c: vec!["-idirafter".to_owned(), "/s p".to_owned()], cxx: vec!["/s/c++".into()] },
            env: [("A".to_owned(), "b c".to_owned())].into(),
            ..Wrapper::plain_zig("/o'clock zig/zig".into(), Driver::Cxx, "aarch64-macos.11.0-none")
        }
    }

    #[test]
    fn a_description_is_read_as_it_was_written() {
        let recording =
            Start::Recording { convoy: "/c".into(), linker: "/l d".into(), target: "arm-x".to_owned(), mingw: None };
        let zig = Start::Zigbuild { convoy: "/c o".into(), driver: Driver::C };
        for wrapper in [odd(), Wrapper::of(recording), Wrapper::of(zig), Wrapper::zig_tool("/zig".into(), "ar")] {
            let text = format!("{}\n{}", first_line("/c".into()).unwrap(), wrapper.text().unwrap());
            assert_eq!(parse(&text).unwrap(), wrapper, "{text}");
        }
        for bad in ["", "#!/c wrapper", "{}", "{\"start\": {\"tool\": {\"path\": \"/x\"}}, \"more\": 1}"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_description_can_be_read_by_people() {
        insta::assert_snapshot!(odd().text().unwrap().replace(crate::VERSION, "0.0.0"), @r##"
        # Written by cargo-convoy 0.0.0.
        {
          "arguments": "without-target",
          "before": [
            "-ffile-prefix-map=/it's \"a\" dir=/sysroot",
            "a\\b\nc"
          ],
          "after": [
            "-L/ä b"
          ],
          "version": [
            "c++",
            "--version"
          ],
          "start": {
            "tool": {
              "path": "/o'clock zig/zig"
            }
          },
          "headers": {
            "c": [
              "-idirafter",
              "/s p"
            ],
            "cxx": [
              "/s/c++"
            ]
          },
          "env": {
            "A": "b c"
          }
        }
        "##);
    }

    #[test]
    fn paths_that_no_first_line_can_name() {
        let long = format!("/{}", "a".repeat(LONGEST_LINE - "#!/ wrapper".len()));
        assert_eq!(first_line("/b/cargo-convoy".into()).as_deref(), Some("#!/b/cargo-convoy wrapper"));
        assert_eq!(first_line(long.as_str().into()).map(|line| line.len()), Some(LONGEST_LINE));
        for unusable in [&format!("{long}a"), "/a b/convoy", "/a\tb/convoy", "/a\nb/convoy", "convoy"] {
            assert_eq!(first_line(unusable.into()), None, "{unusable:?}");
        }
    }

    #[test]
    fn a_wrapper_is_written_once_and_differs_by_what_it_does() {
        let held = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(held.path()).unwrap();
        let convoy = dir.join("convoy");
        fs_err::write(&convoy, "convoy itself").unwrap();
        for convoy in [Utf8Path::new("/bin/convoy"), &dir.join("with a blank"), &convoy] {
            if !convoy.starts_with("/bin") {
                fs_err::write(convoy, "convoy itself").unwrap();
            }
            let [ar, ranlib] = ["ar", "ranlib"].map(|tool| Wrapper::zig_tool("/zig".into(), tool));
            let write = |wrapper: &Wrapper| wrapper.write(dir, "tool", Place::Machine(convoy)).unwrap();
            let path = write(&ar);
            let first = (fs_err::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap());
            assert_eq!(write(&ar), path);
            assert_eq!(path.metadata().unwrap().modified().unwrap(), first.1);
            assert_ne!(fs_err::read(write(&ranlib)).unwrap(), first.0);
        }
    }

    #[test]
    fn who_starts_convoy_itself_gets_no_wrapper() {
        for args in [&["cargo-convoy"][..], &["cargo-convoy", "build"], &["cargo-convoy", "wrapper"]] {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            assert_eq!(started(&args).unwrap(), None, "{args:?}");
        }
    }

    #[test]
    fn files_that_are_no_wrappers_are_named() {
        let held = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(held.path()).unwrap();
        let output = |text: &str| {
            let path = dir.join("x-gcc");
            fs_err::write(&path, text).unwrap();
            let args = ["cargo-convoy", WORD, path.as_str()].map(OsString::from);
            let error = started(&args).unwrap_err();
            assert_eq!(error.to_string(), format!("could not read the wrapper `{path}`"));
            std::error::Error::source(&error).unwrap().to_string()
        };
        assert!(output("{}").contains("missing field `start`"));
        let large = "#".repeat(usize::try_from(LARGEST).unwrap() + 1);
        assert!(output(&large).contains("larger than"), "{}", output(&large));
    }
}
