//! Volumes of an engine that does not see this machine's files: filled with them, and what was built in them fetched.
//!
//! What never changes (a toolchain, a std, a sysroot) is brought once and serves everybody who uses the engine. A volume
//! of sources follows this machine's files: only what changed since the last run is sent, and gets the time of the
//! engine's own clock. So what cargo built there before stays fresh, and what changed here is newer than it, whatever the
//! two clocks say.

mod fetch;
mod follow;
mod present;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::process::{ChildStdin, Command};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::engine::{last_line, says};
use super::listing::{Listing, Sent};
use crate::machine::engine::{EngineFacts, EngineKind};
use crate::machine::interrupt::Interrupt;
use crate::plan::container::{
    Confinement, Content, LABEL_BYTES, LABEL_INSTANCE, LABEL_MACHINE, LABEL_VOLUME, LABEL_WHAT, Start, Stream, Tree,
    VolumeKind, VolumeMount, volume_name,
};
use crate::util::error::{Error, Result};
use crate::util::files;

pub use present::{PresentVolume, list, remove};

/// Makes volumes what they are to be.
const FILL: &str = include_str!("fill.sh");

/// Where volumes are in a container that fills them or takes from them.
const PLACE: &str = "/convoy";
/// The file that says what a kept volume is filled with.
const KEY: &str = ".convoy-key";
/// The place of the volume of states.
const STATES: &str = "state";

/// How long a container may stand that nobody starts, before it is taken for one that was left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(30);
/// How often another's work is looked at.
const PAUSE: Duration = Duration::from_millis(500);

/// Who fills volumes for a lane.
#[derive(Debug)]
pub struct Volumes<'a> {
    /// The engine.
    pub engine: &'a EngineFacts,
    /// The image whose shell and tar do it.
    pub image: &'a str,
    /// What the labels of containers name: this machine and cache.
    pub machine: &'a str,
    /// The same of this run.
    pub run: &'a str,
    /// The caller's user and group.
    pub user: Option<(u32, u32)>,
    /// What is this project's own: its folder of convoy's. What was sent is remembered there.
    pub project: &'a Utf8Path,
    /// Signals.
    pub interrupt: &'a Interrupt,
}

/// What goes on, and may take a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Files go to the engine.
    Sending {
        /// What they are.
        what: &'a str,
        /// How many bytes they have.
        bytes: u64,
        /// Whether that is once for all.
        once: bool,
    },
    /// Another run brings the same.
    Waiting {
        /// What.
        what: &'a str,
    },
    /// Files whose names cannot be told in a line of text are not seen inside.
    UnsupportedNames {
        /// What they belong to.
        what: &'a str,
        /// How many there are.
        count: usize,
    },
}

/// What a followed volume was last filled with.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
struct State {
    /// What tells the volume from others of its name.
    instance: String,
    /// What is written in the volume of states.
    token: String,
    sent: Sent,
}

/// What goes to a container.
type Archive = tar::Builder<io::BufWriter<ChildStdin>>;

impl Volumes<'_> {
    /// Makes volumes of streams, filled with what is on this machine now; gives how a lane's container sees them. `keys`
    /// says for each target what its folder in the lane depends on.
    pub fn bring(
        &self,
        streams: &[Stream],
        keys: &BTreeMap<String, String>,
        step: &dyn Fn(Step<'_>),
    ) -> Result<Vec<VolumeMount>> {
        let owner = self.owner();
        let mounts: Vec<VolumeMount> = streams
            .iter()
            .map(|stream| VolumeMount {
                name: stream.name(&owner),
                inside: stream.inside.clone(),
                writable: stream.writable,
            })
            .collect();
        let mut listings: BTreeMap<&str, Listing> = BTreeMap::new();
        for (mount, stream) in mounts.iter().zip(streams) {
            if let Content::Followed(tree) = &stream.content {
                let listing = Listing::of(tree)?;
                if listing.odd > 0 {
                    step(Step::UnsupportedNames { what: &stream.what, count: listing.odd });
                }
                listings.insert(&mount.name, listing);
            }
        }
        let instances = self.make(streams, &mounts)?;
        let mut lacking: BTreeSet<String> = BTreeSet::new();
        for (mount, stream) in mounts.iter().zip(streams) {
            if matches!(stream.content, Content::Kept { .. }) && instances.made.contains(&mount.name) {
                lacking.insert(mount.name.clone());
            }
        }
        // One more than what it takes when another run removes a volume meanwhile.
        for _ in 0..4 {
            for (mount, stream) in mounts.iter().zip(streams).filter(|(mount, _)| lacking.contains(&mount.name)) {
                match &stream.content {
                    Content::Kept { key, tree } => self.fill_kept(&mount.name, &stream.what, key, tree, step)?,
                    // What was sent is not what is there.
                    Content::Followed(_) => self.forget(&mount.name),
                    Content::Written(_) => {}
                }
            }
            lacking = self.follow(streams, &mounts, &listings, &instances.all, keys, step)?;
            if lacking.is_empty() {
                return Ok(mounts);
            }
        }
        Err(Error::work("volumes of the container engine were removed while they were in use")
            .hint("check that nothing else removes volumes, and run the build again"))
    }

    /// What volumes of this project are named by.
    fn owner(&self) -> String {
        format!("{}\n{}", self.machine, self.project)
    }

    fn state_file(&self, name: &str) -> Utf8PathBuf {
        self.project.join("streamed").join(format!("{name}.json"))
    }

    fn recall<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&fs_err::read(self.state_file(name)).ok()?).ok()
    }

    fn remember<T: Serialize>(&self, name: &str, state: &T) -> Result<()> {
        let file = self.state_file(name);
        fs_err::create_dir_all(file.parent().unwrap_or(self.project))?;
        files::replace(&file, serde_json::to_vec(state).map_err(io::Error::from)?)
    }

    fn forget(&self, name: &str) {
        // One that is not there is forgotten.
        let _ = fs_err::remove_file(self.state_file(name));
    }

    /// Makes the volumes that are not there yet.
    fn make(&self, streams: &[Stream], mounts: &[VolumeMount]) -> Result<Instances> {
        let state = self.states();
        let wanted = mounts.iter().zip(streams).map(|(mount, stream)| (mount.name.as_str(), stream.kind, &stream.what));
        let what = "state of the volumes".to_owned();
        let wanted: Vec<_> = wanted.chain([(state.as_str(), VolumeKind::State, &what)]).collect();
        let present = |volumes: Vec<PresentVolume>| -> BTreeMap<String, String> {
            volumes.into_iter().map(|volume| (volume.name, volume.instance)).collect()
        };
        let mut instances = Instances { all: present(list(self.engine, self.interrupt)?), made: BTreeSet::new() };
        for (name, kind, what) in wanted {
            if instances.all.contains_key(name) || instances.made.contains(name) {
                continue;
            }
            let kept = streams.iter().zip(mounts).find_map(|(stream, mount)| match &stream.content {
                Content::Kept { tree, .. } if mount.name == name => Some(tree),
                _ => None,
            });
            let mut labels = vec![
                (LABEL_VOLUME, kind.name().to_owned()),
                (LABEL_WHAT, what.replace(['\t', '\n'], " ")),
                (LABEL_INSTANCE, unique()),
            ];
            match kept {
                Some(tree) => labels.push((LABEL_BYTES, Listing::of(tree)?.bytes().to_string())),
                None => labels.push((LABEL_MACHINE, self.machine.to_owned())),
            }
            let labels: Vec<String> = labels.into_iter().map(|(label, value)| format!("{label}={value}")).collect();
            let mut args = vec!["volume", "create"];
            args.extend(labels.iter().flat_map(|label| ["--label", label]));
            args.push(name);
            match says(self.engine, self.interrupt, &args) {
                Ok(_) => {}
                // Podman's words for one that another run made in this moment.
                Err(error) if error.to_string().contains("already exists") => {}
                Err(error) => return Err(error),
            }
            instances.made.insert(name.to_owned());
        }
        if !instances.made.is_empty() {
            // Another run may have been the one that made them.
            instances.all = present(list(self.engine, self.interrupt)?);
        }
        Ok(instances)
    }

    fn states(&self) -> String {
        volume_name(VolumeKind::State, &self.owner())
    }

    /// Fills a volume that serves everybody. The name of the container that does it keeps others from doing the same at
    /// the same time, on whatever machine they are.
    fn fill_kept(&self, name: &str, what: &str, key: &str, tree: &Tree, step: &dyn Fn(Step<'_>)) -> Result<()> {
        let container = format!("{name}-fill");
        let listing = Listing::of(tree)?;
        step(Step::Sending { what, bytes: listing.bytes(), once: true });
        let place = format!("0/{KEY}");
        let mut orders = Orders::default();
        // Another run may have filled it since it was looked at, and uses it.
        orders.add("unless", &place, &files::sha256(key))?;
        orders.add("begin", &place, "-")?;
        orders.add("clear", "0", "-")?;
        orders.end(&place, &files::sha256(key))?;
        let mount = VolumeMount { name: name.to_owned(), inside: format!("{PLACE}/0").into(), writable: true };
        let filled = self.fill(Some(&container), std::slice::from_ref(&mount), &orders, |archive| {
            listing.write(&listing.paths(), "0", (0, 0), true, archive)
        });
        match filled? {
            Filled::Done | Filled::Lacks(_) => Ok(()),
            Filled::Taken(_) => {
                step(Step::Waiting { what });
                // Then the other has filled it, or it is found lacking once more.
                self.wait_for(&container)
            }
        }
    }

    /// Waits for a container of another run to be gone.
    fn wait_for(&self, container: &str) -> Result<()> {
        let filter = format!("name=^/?{container}$");
        let mut stands = Duration::ZERO;
        loop {
            let answer = says(
                self.engine,
                self.interrupt,
                &[
                    "ps",
                    "--all",
                    "--filter",
                    &filter,
                    "--format",
                    if self.engine.kind == EngineKind::Docker { "{{.State}}" } else { "{{.Status}}" },
                ],
            )?;
            let state = answer.trim().to_lowercase();
            if state.is_empty() {
                return Ok(());
            }
            if ["running", "up"].iter().any(|word| state.starts_with(word)) {
                stands = Duration::ZERO;
            } else if stands > LEFT_BEHIND {
                return says(self.engine, self.interrupt, &["rm", "--force", container]).map(drop);
            }
            self.interrupt.check()?;
            std::thread::sleep(PAUSE);
            stands += PAUSE;
        }
    }

    /// Starts the container that makes volumes what the orders and the archive say.
    fn fill(
        &self,
        name: Option<&str>,
        volumes: &[VolumeMount],
        orders: &Orders,
        archive: impl FnOnce(&mut Archive) -> io::Result<()> + Send,
    ) -> Result<Filled> {
        let confinement = Confinement { gives_files: true, ..Confinement::default() };
        let own = format!("convoy-{}-fill-{}", self.run, &unique()[..8]);
        let name = name.unwrap_or(&own);
        let start = self.start(name, Some((0, 0)), volumes, &confinement);
        let mut command = Command::new(&self.engine.program);
        command.args(start.args_with_input("/bin/sh")).args(["-c", FILL]);
        let write = |mut stdin: ChildStdin| {
            stdin.write_all(orders.lines.as_bytes())?;
            stdin.write_all(b"\n")?;
            let mut builder = Archive::new(io::BufWriter::with_capacity(1 << 16, stdin));
            archive(&mut builder)?;
            orders.seal(&mut builder)?;
            builder.into_inner()?.flush()
        };
        let read = |mut stdout: std::process::ChildStdout| {
            let mut answer = String::new();
            // What came before a broken pipe still counts.
            let _ = stdout.read_to_string(&mut answer);
            answer
        };
        let talk = self.interrupt.talk(&mut command, write, read);
        if self.interrupt.came().is_some() {
            self.remove_container(name);
        }
        let talk =
            talk?.map_err(|error| Error::work(format!("could not start `{}`", self.engine.program)).because(error))?;
        match talk.output.trim() {
            // It looks at what is there by then; what another run has filled it does not take again.
            "filled" if talk.status.success() => Ok(Filled::Done),
            answer if talk.status.success() && answer.starts_with("lacks ") => {
                Ok(Filled::Lacks(answer.split(' ').skip(1).map(str::to_owned).collect()))
            }
            _ => {
                // What could not be read here says more than that the archive ended too early.
                let own = talk.input.err().filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
                let full = talk.stderr.contains(NO_SPACE);
                match own {
                    Some(own) => Err(not_filled(&own.to_string())),
                    None if full => {
                        Err(not_filled(NO_SPACE).hint("free some disk space where the engine stores its volumes"))
                    }
                    None if is_taken(&talk.stderr) => Ok(Filled::Taken(last_line(&talk.stderr))),
                    None => Err(not_filled(&last_line(&talk.stderr))),
                }
            }
        }
    }

    fn start<'b>(
        &'b self,
        name: &'b str,
        user: Option<(u32, u32)>,
        volumes: &'b [VolumeMount],
        confinement: &'b Confinement,
    ) -> Start<'b> {
        Start {
            engine: self.engine,
            image: self.image,
            name: Some(name),
            machine: self.machine,
            run: self.run,
            user,
            mounts: &[],
            volumes,
            confinement,
        }
    }

    /// One whose client was ended goes on.
    fn remove_container(&self, name: &str) {
        let mut command = Command::new(&self.engine.program);
        command.args(["rm", "--force", name]);
        let null = std::process::Stdio::null;
        // An engine that went away takes its containers with it, or they are reaped with the next run.
        let _ = command.stdin(null()).stdout(null()).stderr(null()).status();
    }
}

/// What volumes there are, and which of them were made just now.
struct Instances {
    all: BTreeMap<String, String>,
    made: BTreeSet<String>,
}

/// How filling volumes went.
enum Filled {
    Done,
    /// These places do not hold what they were thought to hold.
    Lacks(Vec<String>),
    /// A container of that name is there: another run does the same. With the engine's words.
    Taken(String),
}

fn not_filled(answer: &str) -> Error {
    Error::work(format!("could not copy files to the container engine: {answer}"))
}

/// What is to be done to volumes.
#[derive(Debug, Default)]
struct Orders {
    /// A word, a place, a value.
    lines: String,
    /// What is written when all has come, by its place.
    ends: Vec<(String, String)>,
}

impl Orders {
    /// What is written at a place when all has come, and is looked for there.
    fn end(&mut self, place: &str, value: &str) -> Result<()> {
        self.ends.push((place.to_owned(), value.to_owned()));
        self.add("end", place, value)
    }

    /// Writes the ends into an archive, after all else: one that ends too early may look like a whole one.
    fn seal(&self, archive: &mut tar::Builder<impl io::Write>) -> io::Result<()> {
        for (place, value) in &self.ends {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(value.len() as u64);
            archive.append_data(&mut header, place, value.as_bytes())?;
        }
        Ok(())
    }

    fn add(&mut self, word: &str, place: &str, value: &str) -> Result<()> {
        if [place, value].iter().any(|text| text.contains('\n')) {
            return Err(Error::work(format!(
                "cannot send a file whose name contains a line break to the container engine: {place:?}"
            )));
        }
        // Writing to a String does not fail.
        let _ = write!(self.lines, "{word}\n{place}\n{value}\n");
        Ok(())
    }
}

const NO_SPACE: &str = "No space left on device";

/// Whether an engine says that a container's name is taken.
fn is_taken(answer: &str) -> bool {
    answer.contains("is already in use")
}

/// What nobody else has.
fn unique() -> String {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    files::sha256(format!("{:?} {} {count}", SystemTime::now(), std::process::id()))[..32].to_owned()
}

#[cfg(unix)]
#[cfg(test)]
mod tests;
