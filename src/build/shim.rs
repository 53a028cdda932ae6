//! The effectful part of the shim: starts the real linker, reads what it was given, writes the record.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::{Command, ExitStatus, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::build::windows_manifest;
use crate::machine::interrupt::Interrupt;
use crate::model::triple::Triple;
use crate::provision::mingw::{Linked, Runtime};
use crate::util::error::{Error, Result};
use crate::util::files::{self, LARGE, PlainFile, SMALL};
use crate::verify::link::line::{self, Input, LinkLine};
use crate::verify::link::scan::Scan;
use crate::verify::link::{LinkRecord, SCHEMA, SUFFIX};

/// What the shim was asked.
pub(crate) struct Call {
    /// The linker.
    pub linker: OsString,
    /// The triple that is linked for; none if it is unknown.
    pub target: Option<String>,
    /// The linker's arguments.
    pub args: Vec<OsString>,
    /// MinGW's runtime, for C code that was compiled against its headers.
    pub mingw: Option<Mingw>,
}

/// MinGW's runtime, from which a link gets what it lacks.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Mingw {
    /// Its directory.
    pub runtime: Utf8PathBuf,
    /// zig, which compiles it.
    pub zig: Utf8PathBuf,
}

/// `cargo-convoy link --linker LINKER [--target TRIPLE] -- ARGS…`, without the first two words: runs LINKER with ARGS,
/// and after a successful link writes the record beside the output. Gives the linker's exit code; a linker that died of
/// a signal takes this process with it by the same signal. A record that cannot be written is a message, never a
/// failed link.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<i32> {
    link(&parse_call(args)?)
}

/// The same, its arguments parsed.
pub(crate) fn link(call: &Call) -> Result<i32> {
    refuse_unknown_frameworks(call)?;
    if call.target.as_deref().is_some_and(|triple| triple.ends_with("-windows-msvc")) {
        return link_windows(call);
    }
    // Of what was there before it says nothing of what comes now, should the new one not be written.
    let parsed = line::parse(&call.line());
    if let Some(output) = &parsed.output {
        forget(output)?;
    }
    let mut child = Command::new(&call.linker).args(&call.args).spawn().map_err(|error| {
        Error::work(format!("could not start the linker `{}`", call.linker.display()))
            .because(error)
            .hint("install it, or choose another route with `--route`")
    })?;
    // Read the inputs while the linker works: most of the time it takes is hidden.
    let record = observe(call, parsed);
    let status = child.wait()?;
    if status.success()
        && let Some(record) = record
        && let Err(error) = write(&record)
    {
        // Its own stream is all that the shim has; rustc shows it only when the link fails, which is right.
        let _ = writeln!(
            std::io::stderr(),
            "cargo-convoy: could not write the link record of `{}`: {error}",
            record.output
        );
    }
    Ok(exit_code(status))
}

/// Links for Windows MSVC, with as much of MinGW's runtime as C code asks for.
fn link_windows(call: &Call) -> Result<i32> {
    let args = windows_manifest::embedded(&call.args)?;
    let runtime = call.mingw.as_ref().map(|mingw| Runtime::at(&mingw.runtime, &mingw.zig));
    let once = || {
        let mut command = Command::new(&call.linker);
        let archive = runtime.as_ref().map(Runtime::archive).filter(|archive| archive.is_file());
        command.args(&args).args(archive).stdin(Stdio::null());
        command
            .output()
            .map_err(|error| Error::work(format!("could not start `{}`", call.linker.display())).because(error))
    };
    let linked = match &runtime {
        Some(runtime) => runtime.link(&Interrupt::default(), once)?,
        None => Linked::Ended(once()?),
    };
    let (Linked::Ended(done) | Linked::Unsettled(done)) = linked;
    // A linker whose words nobody reads has still linked.
    let _ = std::io::stdout().write_all(&done.stdout);
    let _ = std::io::stderr().write_all(&done.stderr);
    Ok(exit_code(done.status))
}

/// A framework that is no part of macOS would be taken for one: its symbols are only looked up at start.
fn refuse_unknown_frameworks(call: &Call) -> Result<()> {
    let darwin = call.target.as_deref().is_some_and(|triple| Triple::from(triple).is_macos());
    let Some(stubs) = std::env::var("SDKROOT").ok().filter(|_| darwin) else { return Ok(()) };
    match unknown_frameworks(Utf8Path::new(&stubs), &call.line()).as_slice() {
        [] => Ok(()),
        unknown => Err(Error::work(format!("framework not known to be part of macOS: {}", unknown.join(", "))).hint(
            "if it ships with your program, pass the directory that contains it with `-F` in `rustflags`; if it is \
             part of macOS, report it to cargo-convoy (it is missing from `targets/darwin/frameworks.toml` in its \
             source)",
        )),
    }
}

/// The frameworks that a link line asks for and that neither the stub folder nor a `-F` folder has.
///
/// convoy's list of frameworks is long but closed: a stub for any name would let a forgotten third-party framework
/// (SDL2, Python …) link and die at start on the user's machine. So the linker shim asks here before it starts the
/// linker, and says which framework is not known to be part of macOS and that its folder can be given with `-F`.
/// `args` with response files put in their place.
fn unknown_frameworks(stubs: &Utf8Path, args: &[String]) -> Vec<String> {
    let mut wanted = Vec::new();
    let mut folders = vec![stubs.join("System/Library/Frameworks")];
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "-framework" | "-weak_framework" | "-needed_framework" | "-reexport_framework" => {
                // `Name,_suffix` asks for a variant of the library.
                wanted.extend(rest.next().map(|name| name.split(',').next().unwrap_or(name)));
            }
            "-F" => folders.extend(rest.next().into_iter().flat_map(|folder| search(stubs, folder))),
            _ => folders.extend(arg.strip_prefix("-F").into_iter().flat_map(|folder| search(stubs, folder))),
        }
    }
    let mut unknown: Vec<String> = wanted
        .into_iter()
        .filter(|name| !folders.iter().any(|folder| folder.join(format!("{name}.framework")).is_dir()))
        .map(str::to_owned)
        .collect();
    unknown.sort();
    unknown.dedup();
    unknown
}

/// Where the linker looks for a `-F` folder: below the SDK, then as it is.
fn search(stubs: &Utf8Path, folder: &str) -> [Utf8PathBuf; 2] {
    [stubs.join(folder.trim_start_matches('/')), folder.into()]
}

impl Call {
    /// The arguments, response files put in their place. Where that has no end they stay as they are: no linker takes them.
    fn line(&self) -> Vec<String> {
        let args: Vec<String> = self.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let read = |path: &Utf8Path| PlainFile::open(path, SMALL).and_then(|file| file.read_text()).ok();
        line::expand(&args, &read).unwrap_or(args)
    }
}

fn parse_call(args: impl IntoIterator<Item = OsString>) -> Result<Call> {
    let usage = || {
        Error::usage(
            "usage: cargo-convoy link --linker <LINKER> [--target <TRIPLE>] [--mingw <DIR> --zig <ZIG>] -- <ARGS>…",
        )
    };
    let (mut linker, mut target, mut runtime, mut zig) = (None, None, None, None);
    let mut args = args.into_iter();
    loop {
        match args.next().as_deref().and_then(OsStr::to_str) {
            Some("--linker") => linker = args.next(),
            Some("--target") => target = args.next().and_then(|target| target.into_string().ok()),
            Some("--mingw") => runtime = args.next().and_then(|dir| dir.into_string().ok()),
            Some("--zig") => zig = args.next().and_then(|zig| zig.into_string().ok()),
            Some("--") => break,
            _ => return Err(usage()),
        }
    }
    let mingw = runtime.zip(zig).map(|(runtime, zig)| Mingw { runtime: runtime.into(), zig: zig.into() });
    Ok(Call { linker: linker.ok_or_else(usage)?, target, args: args.collect(), mingw })
}

/// Whether the objects of a target tell something that its binaries do not. An unknown target is looked at.
fn has_secrets(target: Option<&str>) -> bool {
    target.is_none_or(|triple| triple.starts_with("arm") || triple.starts_with("thumb") || triple.contains("-apple-"))
}

fn observe(call: &Call, parsed: LinkLine) -> Option<LinkRecord> {
    let LinkLine { output, inputs, dirs } = parsed;
    // Without an output there is no file beside which to write: `--version`, a response file of another form.
    let output = output?;
    let mut scan = Scan::default();
    if has_secrets(call.target.as_deref()) {
        for path in files(&inputs, &dirs) {
            match read(&path) {
                Ok(bytes) => scan.add(&path, &bytes, &|member| read(member).ok()),
                Err(_) => scan.add_unread(&path),
            }
        }
    }
    let scanned = scan.finish();
    Some(LinkRecord {
        schema: SCHEMA,
        linker: call.linker.to_string_lossy().into_owned().into(),
        output,
        arm: scanned.arm,
        wanted_by: scanned.wanted_by,
        unread: scanned.unread,
    })
}

/// The files of the link line that exist, each once.
fn files(inputs: &[Input], dirs: &[Utf8PathBuf]) -> Vec<Utf8PathBuf> {
    let (mut files, mut seen) = (Vec::new(), HashSet::new());
    for input in inputs {
        let found = input.candidates(dirs).into_iter().find(|path| path.is_file());
        if let Some(path) = found.filter(|path| seen.insert(path.clone())) {
            files.push(path);
        }
    }
    files
}

fn read(path: &Utf8Path) -> std::io::Result<Vec<u8>> {
    PlainFile::open(path, LARGE)?.read()
}

/// Where the record of an output is.
fn record_of(output: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{output}{SUFFIX}"))
}

fn forget(output: &Utf8Path) -> Result<()> {
    Ok(files::remove_if_there(&record_of(output))?)
}

fn write(record: &LinkRecord) -> Result<()> {
    let path = record_of(&record.output);
    let text = serde_json::to_vec(record).map_err(std::io::Error::from)?;
    files::replace(&path, text)
}

#[cfg(unix)]
fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    if let Some(code) = status.code() {
        return code;
    }
    let signal = status.signal().unwrap_or_default();
    if let Some(named) = rustix::process::Signal::from_named_raw(signal) {
        // The caller of the shim sees what it would have seen of the linker.
        let _ = rustix::process::kill_process(rustix::process::getpid(), named);
    }
    128 + signal
}

#[cfg(not(unix))]
fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(args: &[&str]) -> Result<Call> {
        parse_call(args.iter().map(OsString::from))
    }

    #[test]
    fn the_shim_reads_its_own_arguments_up_to_the_dashes() {
        let parsed = call(&["--linker", "zigcc", "--target", "arm-x", "--", "--linker", "-o", "x"]).unwrap();
        assert_eq!(parsed.linker, "zigcc");
        assert_eq!(parsed.target.as_deref(), Some("arm-x"));
        assert_eq!(parsed.args, ["--linker", "-o", "x"]);
        for bad in [&["--linker", "x"][..], &["--", "x"], &["x.o"], &["--linker"]] {
            assert!(call(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_targets_whose_objects_tell_more_are_scanned() {
        assert!(has_secrets(None));
        assert!(has_secrets(Some("arm-unknown-linux-gnueabihf")));
        assert!(has_secrets(Some("thumbv7neon-unknown-linux-gnueabihf")));
        assert!(has_secrets(Some("aarch64-apple-darwin")));
        assert!(!has_secrets(Some("aarch64-unknown-linux-gnu")));
    }

    #[test]
    fn frameworks_that_macos_does_not_have_are_named() {
        let parent = tempfile::tempdir().unwrap();
        let parent = Utf8Path::from_path(parent.path()).unwrap();
        let stubs = crate::provision::darwin::write_stubs(parent).unwrap();
        let unknown = |line: &str| {
            let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
            unknown_frameworks(&stubs, &args)
        };
        assert_eq!(unknown("-framework AppKit -weak_framework Metal -lobjc"), [""; 0]);
        assert_eq!(unknown("-framework SDL2 -framework SDL2 -framework SkyLight"), ["SDL2", "SkyLight"]);
        assert_eq!(unknown("-F/System/Library/PrivateFrameworks -framework SkyLight"), [""; 0]);
        fs_err::create_dir_all(parent.join("mine/SDL2.framework")).unwrap();
        assert_eq!(unknown(&format!("-F {parent}/mine -framework SDL2")), [""; 0]);
    }
}
