//! Lanes at the same time, under one jobserver: as many processes work at once as the machine has cores, or as `-j` says,
//! however many lanes there are.
//!
//! The jobserver is make's: a pipe with a byte, a *token*, for each process that may be started besides the first one of
//! every lane, which needs none. cargo finds the pipe by its descriptors' numbers in `CARGO_MAKEFLAGS`, and hands it on to
//! rustc and to build scripts, which hand it on to make, cmake and the `cc` crate. `MAKEFLAGS` is left alone: a build script
//! that starts a plain `make` then gets the sequential one that it would get from cargo without convoy.
//!
//! - The pipe has a name, for lanes that run elsewhere (in a container), but it is always announced by number: make before
//!   4.4 stops with an internal error where it reads `fifo:`. So convoy's separate descriptors are inherited by what it starts.
//! - A process that is killed takes its tokens with it. A lane that waits loses nothing by that: while one waits, as many run
//!   as there may be processes, and the pipe is empty. A later attempt by another route gets a pipe of its separate.
//! - Who started convoy under a jobserver (`make -j`) is obeyed: lanes run one after another, and each finds that one.

mod outer;
mod pool;
mod queue;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::build::Job;
use crate::build::cargo::Outcome;
use crate::machine::build_jobs;
use crate::model::code::Code;
use crate::report::Phase;
use crate::util::error::Result;
use crate::util::shell::quote;
use outer::Outer;
use pool::{Folder, Pool};
use queue::Queue;

/// The descriptor's number in a script; one digit, as more is not every shell's.
const IN_SCRIPT: u32 = 7;

/// A lane's place at the jobserver: what its cargo is started with, and what it used.
#[derive(Clone, Debug, Default)]
pub(super) struct Seat {
    tokens: Tokens,
    used: Arc<Mutex<Used>>,
}

/// Where cargo takes its tokens from.
#[derive(Clone, Debug)]
enum Tokens {
    /// Its own pipe, or that of convoy's caller; with what `-j` says.
    Separate(Option<String>),
    /// The lanes' common one.
    Common {
        pool: Arc<Pool>,
        /// Processes of all lanes.
        jobs: usize,
        /// Lanes at the same time.
        lanes: usize,
    },
}

impl Default for Tokens {
    fn default() -> Self {
        Tokens::Separate(None)
    }
}

/// What the cargos of a lane used.
#[derive(Debug)]
struct Used {
    /// None if it is unknown for one of them.
    cpu: Option<Duration>,
}

impl Default for Used {
    fn default() -> Self {
        Self { cpu: Some(Duration::ZERO) }
    }
}

/// What a cargo is started with so that it uses its lane's tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// Arguments of cargo.
    pub args: Vec<String>,
    /// Variables to set.
    pub env: BTreeMap<String, String>,
    /// Lines for the `/bin/sh` script that starts cargo, to stand before it; each ends in a newline.
    pub lines: String,
    /// The named pipe that these lines open: it must be there at this very path, for reading and writing.
    pub fifo: Option<Utf8PathBuf>,
}

impl Seat {
    fn separate(jobs: Option<&String>) -> Self {
        Self { tokens: Tokens::Separate(jobs.cloned()), ..Self::default() }
    }

    /// For a cargo that convoy itself starts: it inherits the descriptors.
    pub(crate) fn on_host(&self) -> Share {
        match &self.tokens {
            Tokens::Separate(_) => self.apart(),
            Tokens::Common { pool, jobs, .. } => Share { env: variables(&pool.numbers(), *jobs), ..Share::default() },
        }
    }

    /// For a cargo that a script starts on this machine's separate kernel, in a container or not.
    pub(crate) fn in_script(&self) -> Share {
        let Tokens::Common { pool, jobs, .. } = &self.tokens else { return self.apart() };
        let Some(fifo) = pool.fifo() else { return self.apart() };
        Share {
            args: Vec::new(),
            env: variables(&format!("{IN_SCRIPT},{IN_SCRIPT}"), *jobs),
            lines: format!("exec {IN_SCRIPT}<>{}\n", quote(fifo.as_str())),
            fifo: Some(fifo.to_owned()),
        }
    }

    /// For a cargo that no pipe of this machine reaches: it gets its part of the jobs for itself.
    pub(crate) fn apart(&self) -> Share {
        let jobs = match &self.tokens {
            Tokens::Separate(jobs) => jobs.clone(),
            Tokens::Common { jobs, lanes, .. } => Some((jobs / lanes).max(1).to_string()),
        };
        let args = jobs.map(|jobs| vec!["--jobs".to_owned(), jobs]).unwrap_or_default();
        Share { args, ..Share::default() }
    }

    /// Counts what one cargo of the lane used.
    pub(crate) fn count(&self, outcome: &Outcome) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.cpu = used.cpu.zip(outcome.cpu).map(|(before, now)| before + now);
    }

    /// CPU time of the lane's processes; none where the system does not tell.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).cpu
    }
}

/// How cargo is told of the pipe. It would warn of a `-j` beside it; `build.jobs` it takes in silence, and passes it on to
/// build scripts as `NUM_JOBS`.
fn variables(numbers: &str, jobs: usize) -> BTreeMap<String, String> {
    // The older name for make before 4.2.
    let flags = format!("-j --jobserver-fds={numbers} --jobserver-auth={numbers}");
    [("CARGO_MAKEFLAGS".to_owned(), flags), ("CARGO_BUILD_JOBS".to_owned(), jobs.to_string())].into()
}

/// Runs all lanes and gives what came of them, in their order. The first error ends the run: then no further lane starts.
pub(super) fn run_all<T: Send>(
    job: &Job<'_>,
    lanes: usize,
    lane: impl Fn(usize, &Seat) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    match jobs_in_common(job, lanes) {
        Some(jobs) => together(job, Queue::new(jobs, lanes), &lane),
        None => (0..lanes).map(|index| lane(index, &Seat::separate(job.selection.jobs.as_ref()))).collect(),
    }
}

/// How many processes the lanes may have together; none where the lanes run one after another.
fn jobs_in_common(job: &Job<'_>, lanes: usize) -> Option<usize> {
    if lanes < 2 || !cfg!(unix) {
        return None;
    }
    if Outer::find(|name| std::env::var(name).ok()).is_some_and(|outer| outer.is_usable()) {
        let message =
            "running under a jobserver (`make -j`): cargo invocations run one after another and share its tokens";
        job.reporter.debug(Phase::Build, message).code(Code::OuterJobserver).send();
        return None;
    }
    let asked = job.selection.jobs.as_deref();
    let configured = || build_jobs(&job.cwd, &job.host.rustc.host);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    queue::jobs(asked, configured, cores).filter(|jobs| *jobs > 1)
}

fn together<T: Send>(
    job: &Job<'_>,
    mut queue: Queue,
    lane: &(impl Fn(usize, &Seat) -> Result<T> + Sync),
) -> Result<Vec<T>> {
    let (first, tokens) = queue.begin();
    let folder = Folder::make(&job.convoy_dir)?;
    let pool = Arc::new(Pool::filled(&folder.pipe(), tokens)?);
    let common = Tokens::Common { pool: pool.clone(), jobs: queue.jobs(), lanes: first.len() };
    let mut results: Vec<Option<Result<T>>> = std::iter::repeat_with(|| None).take(queue.lanes()).collect();
    std::thread::scope(|scope| -> Result<()> {
        let (leave, left) = mpsc::channel();
        let mut threads = BTreeMap::new();
        let mut starting: Vec<usize> = first.collect();
        loop {
            for index in starting.drain(..) {
                let seat = Seat { tokens: common.clone(), ..Seat::default() };
                let leaving = Leaving { index, leave: leave.clone() };
                let thread = scope.spawn(move || {
                    let _leaving = leaving;
                    lane(index, &seat)
                });
                threads.insert(index, thread);
            }
            let Some((index, thread)) = (!threads.is_empty())
                .then(|| left.recv().ok())
                .flatten()
                .and_then(|index| threads.remove_entry(&index))
            else {
                return Ok(());
            };
            let result = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            if result.is_err() {
                queue.stop();
            }
            results[index] = Some(result);
            match queue.ended() {
                Some(next) => starting.push(next),
                None => pool.give(1)?,
            }
        }
    })?;
    let (found, jobs) = (pool.tokens()?, queue.jobs());
    job.reporter.debug(Phase::Build, format!("{found} of {jobs} job tokens were returned")).code(Code::Tokens).send();
    results.into_iter().flatten().collect()
}

/// Says that a lane's thread ends, in whatever way.
struct Leaving {
    index: usize,
    leave: mpsc::Sender<usize>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        // Where nobody listens any more, nobody waits.
        let _ = self.leave.send(self.index);
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use camino::Utf8Path;

    fn common(dir: &Utf8Path, tokens: usize) -> (Seat, Arc<Pool>) {
        let pool = Arc::new(Pool::filled(&dir.join("it's a pipe"), tokens).unwrap());
        (Seat { tokens: Tokens::Common { pool: pool.clone(), jobs: 5, lanes: 2 }, ..Seat::default() }, pool)
    }

    #[test]
    fn alone_cargo_gets_what_the_user_gave() {
        let seat = Seat::separate(Some(&"3".to_owned()));
        let wanted = Share { args: vec!["--jobs".to_owned(), "3".to_owned()], ..Share::default() };
        assert_eq!([seat.on_host(), seat.in_script(), seat.apart()], [wanted.clone(), wanted.clone(), wanted]);
        assert_eq!(Seat::separate(None).on_host(), Share::default());
    }

    #[test]
    fn in_common_cargo_gets_the_pipe_and_no_number() {
        let dir = tempfile::tempdir().unwrap();
        let (seat, pool) = common(Utf8Path::from_path(dir.path()).unwrap(), 3);
        let share = seat.on_host();
        let numbers = pool.numbers();
        assert!(share.args.is_empty() && share.lines.is_empty() && share.fifo.is_none(), "{share:?}");
        assert_eq!(share.env["CARGO_MAKEFLAGS"], format!("-j --jobserver-fds={numbers} --jobserver-auth={numbers}"));
        assert_eq!(share.env["CARGO_BUILD_JOBS"], "5");
        assert_eq!(seat.apart().args, ["--jobs", "2"]);
    }

    #[test]
    #[cfg(not(target_vendor = "apple"))]
    fn a_script_takes_tokens_from_the_same_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let (seat, pool) = common(Utf8Path::from_path(dir.path()).unwrap(), 3);
        let share = seat.in_script();
        assert_eq!(share.env["CARGO_MAKEFLAGS"], "-j --jobserver-fds=7,7 --jobserver-auth=7,7");
        assert_eq!(share.fifo.as_deref(), pool.fifo());
        let script = format!("{}dd bs=1 count=2 <&7 2>/dev/null", share.lines);
        let output = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        assert_eq!((output.stdout.as_slice(), pool.tokens().unwrap()), (b"++".as_slice(), 1));
    }

    #[test]
    fn time_that_is_not_known_once_is_not_known_at_all() {
        let seat = Seat::default();
        let outcome = |cpu| Outcome { cpu, ..Outcome::default() };
        let second = Duration::from_secs(1);
        seat.count(&outcome(Some(second)));
        seat.count(&outcome(Some(second)));
        assert_eq!(seat.cpu(), Some(2 * second));
        seat.count(&outcome(None));
        seat.count(&outcome(Some(second)));
        assert_eq!(seat.cpu(), None);
    }
}
