//! apt with folders of its own: as a plain user, for any architecture, and without a look at what is installed here.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use wait_timeout::ChildExt;

use super::{Stop, told};
use crate::error::{Error, Result};
use crate::host::AptFacts;
use crate::interrupt::Interrupt;

/// How long a server may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To take up a connection, and to send something more.
    pub idle: Duration,
    /// How often a connection that broke is tried again.
    pub retries: u32,
    /// What apt itself may take beyond that.
    pub slack: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(20), retries: 2, slack: Duration::from_secs(30) }
    }
}

impl Limits {
    /// After this time without a single byte apt itself is at fault.
    fn stuck(self) -> Duration {
        self.idle * (self.retries + 1) + self.slack
    }
}

/// How often the folder that grows is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// What the system says of a full disk, and apt hands on.
const NO_SPACE: &str = "No space left on device";

/// apt with its folders below one of ours.
#[derive(Debug)]
pub(super) struct PrivateApt<'a> {
    facts: &'a AptFacts,
    dir: Utf8PathBuf,
    limits: Limits,
}

/// What a run of apt said, with standard output apart.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) success: bool,
    pub(super) stdout: String,
    /// All of it.
    pub(super) all: String,
}

impl<'a> PrivateApt<'a> {
    /// Writes the configuration. `keyring` holds the only keys that are trusted; without one, those that apt trusts
    /// anyway.
    pub(super) fn prepare(
        facts: &'a AptFacts,
        dir: &Utf8Path,
        architecture: &str,
        keyring: Option<&Utf8Path>,
        limits: Limits,
    ) -> Result<Self, Stop> {
        if dir.as_str().contains(['"', '\n', '\\']) {
            let hint = "set CONVOY_CACHE_DIR to a folder whose name has no quotes, backslashes or line breaks";
            return Err(Stop::work(format!("apt cannot work in `{dir}`"), hint));
        }
        for folder in ["lists/partial", "cache/archives/partial", "keys"] {
            fs_err::create_dir_all(dir.join(folder))?;
        }
        fs_err::write(dir.join("status"), "")?;
        let own = Self { facts, dir: dir.to_owned(), limits };
        let mut text = own.configuration(architecture);
        if let Some(keyring) = keyring {
            own.trust(keyring)?;
            text.push_str(&format!("Dir::Etc::trusted \"/dev/null\";\nDir::Etc::trustedparts \"{dir}/keys\";\n"));
        }
        fs_err::write(own.file(), text)?;
        Ok(own)
    }

    /// Read after the machine's own configuration, whose proxies and credentials hold here too; its hooks do not.
    fn configuration(&self, architecture: &str) -> String {
        let Self { dir, limits, .. } = self;
        let (idle, retries) = (limits.idle.as_secs().max(1), limits.retries);
        let mut text = String::new();
        for list in [
            "AptCli",
            "APT::Architectures",
            "APT::Default-Release",
            "APT::Update::Pre-Invoke",
            "APT::Update::Post-Invoke",
            "APT::Update::Post-Invoke-Success",
            "Acquire::Languages",
        ] {
            text.push_str(&format!("#clear {list};\n"));
        }
        for (key, value) in [
            ("APT::Architecture", architecture),
            ("APT::Architectures::", architecture),
            ("APT::Install-Recommends", "false"),
            ("APT::Install-Suggests", "false"),
            ("APT::Get::AllowUnauthenticated", "false"),
            // Else root's apt gives itself up for a user that cannot write here.
            ("APT::Sandbox::User", "root"),
            ("Acquire::AllowInsecureRepositories", "false"),
            ("Acquire::AllowWeakRepositories", "false"),
            ("Acquire::AllowDowngradeToInsecureRepositories", "false"),
            // A release becomes `oldstable` in its time; the code name is looked at by convoy.
            ("Acquire::AllowReleaseInfoChange", "true"),
            ("Acquire::ForceHash", "sha256"),
            ("Acquire::GzipIndexes", "true"),
            ("Acquire::Languages::", "none"),
            ("Acquire::PDiffs", "false"),
            ("Acquire::Retries", &retries.to_string()),
            ("Acquire::http::Timeout", &idle.to_string()),
            ("Acquire::https::Timeout", &idle.to_string()),
            ("Dir::State", &format!("{dir}/")),
            ("Dir::State::status", &format!("{dir}/status")),
            ("Dir::State::lists", &format!("{dir}/lists/")),
            ("Dir::Cache", &format!("{dir}/cache/")),
            // Read once and never again: not worth the disk.
            ("Dir::Cache::pkgcache", ""),
            ("Dir::Cache::srcpkgcache", ""),
            ("Dir::Etc::sourcelist", &format!("{dir}/sources.list")),
            ("Dir::Etc::sourceparts", "/dev/null"),
            ("Dir::Etc::preferences", "/dev/null"),
            ("Dir::Etc::preferencesparts", "/dev/null"),
        ] {
            text.push_str(&format!("{key} \"{value}\";\n"));
        }
        text
    }

    /// apt tells armoured keys by the file's name.
    fn trust(&self, keyring: &Utf8Path) -> Result<(), Stop> {
        let keys = fs_err::read(keyring)
            .map_err(|error| Error::usage(format!("the keyring {keyring} cannot be read")).because(error))?;
        let (name, other) = if keys.starts_with(b"-----BEGIN") {
            ("keyring.asc", "keyring.gpg")
        } else {
            ("keyring.gpg", "keyring.asc")
        };
        fs_err::write(self.dir.join("keys").join(name), keys)?;
        match fs_err::remove_file(self.dir.join("keys").join(other)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn file(&self) -> Utf8PathBuf {
        self.dir.join("apt.conf")
    }

    /// The folder of fetched indexes.
    pub(super) fn lists(&self) -> Utf8PathBuf {
        self.dir.join("lists")
    }

    /// Fetches the index of one suite of an archive; why it could not be had, if so.
    pub(super) fn update(&self, root: &str, suite: &str, interrupt: &Interrupt) -> Result<Option<String>, Stop> {
        let source = format!("deb [target=Packages] {} {suite} main\n", root.replace(' ', "%20"));
        fs_err::write(self.dir.join("sources.list"), source)?;
        let mut command = self.command(&self.facts.apt_get);
        let said = self.run(command.arg("update"), &self.lists(), interrupt, &mut |_| {})?;
        let fault = match said {
            None => Some(self.sent_nothing(root)),
            Some(said) => told::index_fault(&said.all, root, suite)
                .or_else(|| (!said.success).then(|| format!("apt failed without a reason on {}", told::shown(root)))),
        };
        Ok(fault)
    }

    /// What `apt-get install` of these packages would fetch.
    pub(super) fn print_uris<'p>(
        &self,
        packages: impl IntoIterator<Item = &'p String>,
        interrupt: &Interrupt,
    ) -> Result<Said, Stop> {
        let mut command = self.command(&self.facts.apt_get);
        command.args(["install", "--print-uris", "--yes", "--no-install-recommends", "--"]).args(packages);
        let said = self.run(&mut command, &self.lists(), interrupt, &mut |_| {})?;
        said.ok_or_else(|| Error::work("apt-get did not answer: it was ended").into())
    }

    /// The names of all packages in the index, with those that others only provide if `provided`; none when apt does
    /// not tell.
    pub(super) fn names(&self, provided: bool, interrupt: &Interrupt) -> Result<Option<String>, Stop> {
        let mut command = self.command(&self.facts.apt_get.with_file_name("apt-cache"));
        command.arg("pkgnames").args(provided.then_some("--all-names"));
        let said = self.run(&mut command, &self.lists(), interrupt, &mut |_| {})?;
        Ok(said.filter(|said| said.success).map(|said| said.stdout))
    }

    /// Fetches files into a folder, several at once; `bytes` hears how many are there. None when apt got stuck.
    pub(super) fn download<'f>(
        &self,
        files: impl IntoIterator<Item = (String, Utf8PathBuf, &'f str)>,
        into: &Utf8Path,
        interrupt: &Interrupt,
        bytes: &mut dyn FnMut(u64),
    ) -> Result<Option<Said>, Stop> {
        let mut command = self.command(&self.facts.helper);
        command.arg("download-file");
        for (address, file, sha256) in files {
            command.arg(address).arg(file).arg(format!("SHA256:{sha256}"));
        }
        self.run(&mut command, into, interrupt, bytes)
    }

    /// What is to be said of a server when apt got stuck with it.
    pub(super) fn sent_nothing(&self, root: &str) -> String {
        let seconds = self.limits.stuck().as_secs();
        format!("the archive {} sent nothing for {seconds} seconds", told::shown(root))
    }

    fn command(&self, program: &Utf8Path) -> Command {
        // Its words are read.
        const ENV: [(&str, &str); 2] = [("LC_ALL", "C"), ("DEBIAN_FRONTEND", "noninteractive")];
        let mut command = match self.facts.through.split_first() {
            None => Command::new(program),
            Some((engine, words)) => {
                let mut command = Command::new(engine);
                // A container has no variables of this process.
                command.args(words).args(ENV.map(|(name, value)| format!("{name}={value}"))).arg(program);
                command
            }
        };
        command.arg("-c").arg(self.file());
        command.envs(ENV).env_remove("LANGUAGE");
        command
    }

    /// Runs apt to its end. When the folder that it fetches into does not change for too long, apt is ended: none.
    fn run(
        &self,
        command: &mut Command,
        grows: &Utf8Path,
        interrupt: &Interrupt,
        bytes: &mut dyn FnMut(u64),
    ) -> Result<Option<Said>, Stop> {
        interrupt.own_group(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child =
            command.spawn().map_err(|error| Error::work(format!("could not start `{program}`")).because(error))?;
        let watched = interrupt.watch(child.id());
        let said = [reader(child.stdout.take()), reader(child.stderr.take())];
        let (mut last, mut changed) = (0, Instant::now());
        let status = loop {
            if let Some(status) = child.wait_timeout(PAUSE)? {
                break Some(status);
            }
            let now = size(grows);
            if now != last {
                (last, changed) = (now, Instant::now());
                bytes(now);
            }
            if changed.elapsed() > self.limits.stuck() {
                interrupt.end(&mut child);
                let _ = child.wait();
                break None;
            }
        };
        drop(watched);
        interrupt.check()?;
        let Some(status) = status else { return Ok(None) };
        // A child of apt's may keep the pipes open a little longer.
        let [stdout, stderr] = said.map(|said| said.recv_timeout(Duration::from_secs(10)).unwrap_or_default());
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let all = format!("{stdout}\n{stderr}");
        if !status.success() && all.contains(NO_SPACE) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, NO_SPACE).into());
        }
        Ok(Some(Said { success: status.success(), stdout, all }))
    }
}

/// Empties a pipe, so that it never fills up and stops apt.
fn reader(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before a broken pipe still counts.
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = send.send(bytes);
    });
    receive
}

/// Bytes of all files in a folder and its `partial`.
fn size(dir: &Utf8Path) -> u64 {
    let files = |dir: &Utf8Path| {
        let entries = dir.read_dir_utf8().into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).filter(|data| data.is_file()).map(|data| data.len()).sum()
    };
    let (own, partial): (u64, u64) = (files(dir), files(&dir.join("partial")));
    own + partial
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(program: &str) -> AptFacts {
        AptFacts { apt_get: program.into(), helper: program.into(), ..AptFacts::default() }
    }

    #[test]
    fn apt_that_gets_stuck_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let facts = facts("sleep");
        let run = |seconds: &str, slack: u64| {
            let limits = Limits { idle: Duration::ZERO, retries: 0, slack: Duration::from_secs(slack) };
            let apt = PrivateApt { facts: &facts, dir: dir.to_owned(), limits };
            apt.run(Command::new("sleep").arg(seconds), dir, &Interrupt::default(), &mut |_| {}).unwrap()
        };
        // Nothing grows, but the time is not over when it ends.
        assert!(run("0.3", 30).unwrap().success);
        assert!(run("600", 1).is_none());
        let limits = Limits { idle: Duration::from_secs(1), retries: 0, ..Limits::default() };
        let apt = PrivateApt { facts: &facts, dir: dir.to_owned(), limits };
        assert!(apt.sent_nothing("http://user:secret@x/debian").contains("http://x/debian sent nothing for 31"));
    }

    #[test]
    fn growth_is_told_while_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let facts = facts("sh");
        let apt = PrivateApt { facts: &facts, dir: dir.to_owned(), limits: Limits::default() };
        let mut told = Vec::new();
        let script = format!("printf 12345 >{dir}/x; sleep 0.5; echo out; echo err >&2; exit 3");
        let mut command = Command::new("sh");
        let said = apt.run(command.args(["-c", &script]), dir, &Interrupt::default(), &mut |bytes| told.push(bytes));
        let said = said.unwrap().unwrap();
        assert_eq!((said.success, said.stdout.as_str(), said.all.as_str()), (false, "out\n", "out\n\nerr\n"));
        assert_eq!(told, [5]);
    }

    #[test]
    fn a_keyring_is_trusted_alone_and_by_its_form() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let facts = facts("true");
        let keyring = dir.join("any");
        let keys = || {
            let mut names: Vec<String> =
                dir.join("keys").read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
            names.sort();
            names
        };
        for (text, name) in [("-----BEGIN PGP PUBLIC KEY BLOCK-----", "keyring.asc"), ("\x01\x02", "keyring.gpg")] {
            fs_err::write(&keyring, text).unwrap();
            PrivateApt::prepare(&facts, dir, "armhf", Some(&keyring), Limits::default()).unwrap();
            assert_eq!(keys(), [name]);
        }
        let missing = dir.join("missing");
        let stop = PrivateApt::prepare(&facts, dir, "armhf", Some(&missing), Limits::default()).unwrap_err();
        let Stop::Error(error) = stop else { panic!("{stop:?}") };
        assert_eq!(error.exit(), crate::error::Exit::Usage);
        assert!(error.to_string().contains("missing cannot be read"), "{error}");
        let quoted = dir.join("a\"b");
        assert!(PrivateApt::prepare(&facts, &quoted, "armhf", None, Limits::default()).is_err());
    }
}
