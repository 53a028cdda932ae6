//! apt with folders of its own: as a plain user, for any architecture, and without a look at what is installed here.

use std::io::{self, Read, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use wait_timeout::ChildExt;

use super::Stop;
use super::apt_output::{self, IndexFault};
use super::source::Source;
use crate::machine::AptFacts;
use crate::machine::interrupt::Interrupt;
use crate::util::error::{Error, Result};
use crate::util::files::{self, PlainFile, SMALL};

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

/// The user that apt's own methods run as, where root starts them.
const SANDBOX: &str = "_apt";
const USERS: &str = "/etc/passwd";

/// What an apt of our own is to work on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup<'s> {
    /// Debian's name of the architecture.
    pub(super) architecture: &'s str,
    /// The only keys that are trusted; none where no index is to be read, and files are known by their digests.
    pub(super) keyring: Option<&'s Utf8Path>,
    /// Where indexes and files come from.
    pub(super) source: &'s Source,
    /// How long servers may take.
    pub(super) limits: Limits,
}

/// apt with its folders below one of ours.
#[derive(Debug)]
pub(super) struct PrivateApt<'a> {
    facts: &'a AptFacts,
    dir: Utf8PathBuf,
    source: Source,
    limits: Limits,
    /// The id of the user that fetches in place of root.
    sandbox: Option<u32>,
}

/// The indexes that are here.
#[derive(Debug)]
pub(super) struct Updated<'a> {
    /// The roots that they are of.
    pub(super) roots: Vec<&'a str>,
    /// Why there are none of security fixes, where there might be.
    pub(super) without: Option<String>,
}

/// What a run of apt said, with standard output apart.
#[derive(Debug)]
pub(super) struct AptOutput {
    pub(super) success: bool,
    pub(super) stdout: String,
    /// All of it.
    pub(super) all: String,
}

impl<'a> PrivateApt<'a> {
    /// Writes the configuration.
    pub(super) fn prepare(facts: &'a AptFacts, dir: &Utf8Path, setup: &Setup<'_>) -> Result<Self, Stop> {
        if dir.as_str().contains(['"', '\n', '\\']) {
            let hint = "set `CONVOY_CACHE_DIR` to a directory without quotes, backslashes or line breaks in its path";
            return Err(Stop::work(format!("apt does not support the path of the cache directory: `{dir}`"), hint));
        }
        for folder in ["lists/partial", "cache/archives/partial", "keys"] {
            fs_err::create_dir_all(dir.join(folder))?;
        }
        fs_err::write(dir.join("status"), "")?;
        let source = setup.source.clone();
        let sandbox = sandbox(facts, dir, &source);
        let own = Self { facts, dir: dir.to_owned(), source, limits: setup.limits, sandbox };
        let mut text = own.configuration(setup.architecture);
        if let Some(keyring) = setup.keyring {
            own.trust(keyring)?;
            text.push_str(&format!("Dir::Etc::trusted \"/dev/null\";\nDir::Etc::trustedparts \"{dir}/keys\";\n"));
        }
        if let Some(logins) = own.source.logins()? {
            write_private(&own.logins(), &logins)?;
            text.push_str(&format!("Dir::Etc::netrc \"{}\";\n", own.logins()));
        }
        if own.source.old {
            // What is fetched on purpose is as old as its date; its signature counts all the same.
            text.push_str("Acquire::Check-Valid-Until \"false\";\n");
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
            ("APT::Sandbox::User", if self.sandbox.is_some() { SANDBOX } else { "root" }),
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
        let keys = PlainFile::open(keyring, SMALL)
            .and_then(|file| file.read())
            .map_err(|error| Error::usage(format!("could not read the keyring {keyring}")).because(error))?;
        let (name, other) = if keys.starts_with(b"-----BEGIN") {
            ("keyring.asc", "keyring.gpg")
        } else {
            ("keyring.gpg", "keyring.asc")
        };
        fs_err::write(self.dir.join("keys").join(name), keys)?;
        Ok(files::remove_if_there(&self.dir.join("keys").join(other))?)
    }

    fn file(&self) -> Utf8PathBuf {
        self.dir.join("apt.conf")
    }

    /// The folder of fetched indexes.
    pub(super) fn lists(&self) -> Utf8PathBuf {
        self.dir.join("lists")
    }

    fn logins(&self) -> Utf8PathBuf {
        self.dir.join("auth.conf")
    }

    /// Fetches the indexes of a suite and of its security fixes; why they cannot be used, if so. A security archive that
    /// nobody named may be missing, or not to be had now: whoever is between it and this machine can always say so.
    pub(super) fn update(
        &self,
        suite: &str,
        interrupt: &Interrupt,
    ) -> Result<std::result::Result<Updated<'_>, IndexFault>, Stop> {
        let main = (self.source.main.plain(), suite.to_owned());
        let mut without = None;
        if let Some(security) = &self.source.security {
            let archives = [main.clone(), (security.plain(), apt_output::security_suite(suite))];
            match self.update_from(&archives, interrupt)? {
                None => return Ok(Ok(Updated { roots: archives.map(|(root, _)| root).to_vec(), without })),
                Some(fault) if fault.missing.as_ref() != Some(&archives[1].1) || self.source.named => {
                    return Ok(Err(fault));
                }
                Some(fault) => without = Some(fault.reason),
            }
        }
        let root = main.0;
        Ok(match self.update_from(&[main], interrupt)? {
            None => Ok(Updated { roots: vec![root], without }),
            Some(fault) => Err(fault),
        })
    }

    fn update_from(&self, archives: &[(&str, String)], interrupt: &Interrupt) -> Result<Option<IndexFault>, Stop> {
        let line = |(root, suite): &(&str, String)| {
            format!("deb [target=Packages] {} {suite} main\n", root.replace(' ', "%20"))
        };
        // Closed to others all the same: the names of a company's servers are nobody's business.
        write_private(&self.dir.join("sources.list"), &archives.iter().map(line).collect::<String>())?;
        let mut command = self.command(&self.facts.apt_get);
        let stated = self.run(command.arg("update"), &self.lists(), interrupt, &mut |_| {})?;
        let root = self.source.main.plain();
        Ok(match stated {
            None => Some(IndexFault { reason: self.sent_nothing(root), dead: true, missing: None }),
            Some(stated) => apt_output::index_fault(&stated.all, archives).or_else(|| {
                let reason = format!("apt failed on {root} and gave no reason");
                (!stated.success).then_some(IndexFault { reason, dead: false, missing: None })
            }),
        })
    }

    /// Everything that the indexes say of these packages, in all their versions.
    pub(super) fn show<'p>(
        &self,
        packages: impl IntoIterator<Item = &'p str>,
        interrupt: &Interrupt,
    ) -> Result<String, Stop> {
        let mut command = self.command(&self.facts.apt_get.with_file_name("apt-cache"));
        command.args(["show", "--all-versions", "--"]).args(packages);
        // Names that no index has make it fail, after all others are shown.
        let stated = self.run(&mut command, &self.lists(), interrupt, &mut |_| {})?;
        stated.map(|stated| stated.stdout).ok_or_else(|| Error::work("apt-cache timed out").into())
    }

    /// Makes a folder for files that are to be fetched.
    pub(super) fn folder_for_files(&self, dir: &Utf8Path) -> Result<(), Stop> {
        fs_err::create_dir(dir)?;
        #[cfg(unix)]
        if let Some(user) = self.sandbox {
            rustix::fs::chown(dir.as_std_path(), Some(rustix::process::Uid::from_raw(user)), None)
                .map_err(io::Error::from)?;
        }
        Ok(())
    }

    /// What `apt-get install` of these packages would fetch.
    pub(super) fn print_uris<'p>(
        &self,
        packages: impl IntoIterator<Item = &'p String>,
        interrupt: &Interrupt,
    ) -> Result<AptOutput, Stop> {
        let mut command = self.command(&self.facts.apt_get);
        command.args(["install", "--print-uris", "--yes", "--no-install-recommends", "--"]).args(packages);
        let stated = self.run(&mut command, &self.lists(), interrupt, &mut |_| {})?;
        stated.ok_or_else(|| Error::work("apt-get timed out").into())
    }

    /// The names of all packages in the index, with those that others only provide if `provided`; none when apt does
    /// not tell.
    pub(super) fn names(&self, provided: bool, interrupt: &Interrupt) -> Result<Option<String>, Stop> {
        let mut command = self.command(&self.facts.apt_get.with_file_name("apt-cache"));
        command.arg("pkgnames").args(provided.then_some("--all-names"));
        let stated = self.run(&mut command, &self.lists(), interrupt, &mut |_| {})?;
        Ok(stated.filter(|stated| stated.success).map(|stated| stated.stdout))
    }

    /// Fetches files into a folder, several at once; `bytes` hears how many are there. None when apt got stuck.
    pub(super) fn download<'f>(
        &self,
        files: impl IntoIterator<Item = (String, Utf8PathBuf, &'f str)>,
        into: &Utf8Path,
        interrupt: &Interrupt,
        bytes: &mut dyn FnMut(u64),
    ) -> Result<Option<AptOutput>, Stop> {
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
        format!("the archive {root} did not respond for {seconds} seconds")
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
    ) -> Result<Option<AptOutput>, Stop> {
        interrupt.set_process_group(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child =
            command.spawn().map_err(|error| Error::work(format!("could not start `{program}`")).because(error))?;
        let watched = interrupt.watch(child.id());
        let stated = [reader(child.stdout.take()), reader(child.stderr.take())];
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
        let [stdout, stderr] = stated.map(|stated| stated.recv_timeout(Duration::from_secs(10)).unwrap_or_default());
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let all = format!("{stdout}\n{stderr}");
        if !status.success() && all.contains(NO_SPACE) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, NO_SPACE).into());
        }
        Ok(Some(AptOutput { success: status.success(), stdout, all }))
    }
}

/// Writes a file that its owner alone may read.
fn write_private(path: &Utf8Path, text: &str) -> io::Result<()> {
    // One of other rights, or a link, would keep them.
    files::remove_if_there(path)?;
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use fs_err::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)?.write_all(text.as_bytes())
}

/// The user that fetches in place of root, as apt does it for its own folders: what a server sends is then read by a
/// process that may write nowhere else. None for whoever is not root, in an image, where that user cannot come to the
/// folder, and for an archive in a folder of this machine, which that user may not read.
#[cfg(unix)]
fn sandbox(facts: &AptFacts, dir: &Utf8Path, source: &Source) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    if !rustix::process::geteuid().is_root() || !facts.through.is_empty() || source.is_local() {
        return None;
    }
    let may_enter = |dir: &Utf8Path| dir.metadata().is_ok_and(|metadata| metadata.mode() & 0o001 != 0);
    if !dir.ancestors().all(may_enter) {
        return None;
    }
    let users = PlainFile::open(Utf8Path::new(USERS), SMALL).ok()?.read_text().ok()?;
    users.lines().find_map(|line| line.strip_prefix(SANDBOX)?.strip_prefix(':')?.split(':').nth(1)?.parse().ok())
}

#[cfg(not(unix))]
fn sandbox(_: &AptFacts, _: &Utf8Path, _: &Source) -> Option<u32> {
    None
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
mod tests;
