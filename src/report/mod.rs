//! Telling people and machines what happens. Everything is an [`Event`]; a [`Reporter`] renders it as text on standard
//! error, with progress bars on a terminal, and as one JSON object a line for `--events`.

pub(crate) mod advice;
pub(crate) mod escape;
mod human;
mod json;
mod plan;
pub(crate) mod schema;
pub mod table;

use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use camino::Utf8Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::code::Code;
use crate::util::error::{Error, Result};
pub(crate) use human::Human;
pub use human::Style;
pub(crate) use json::{
    CacheEntry, CacheReport, CacheVerifyReport, DoctorCell, DoctorReport, EmulatorRow, ImagesReport, Lack, ListedImage,
    ListedSysroot, OfferRow, SupplyReport, SupplyVerifyReport, TargetRow, TargetsReport, UnsignedPackage,
    VerifiedEntry, VerifiedFile, VerifiedSysroot, VerifyReport, WhyCell, WhyNeed, WhyReport, WhyStep,
};
pub use plan::PlanReport;

/// Severity of an event.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EventLevel {
    /// Details for debugging.
    Debug,
    /// Progress information.
    Info,
    /// A problem that does not fail the build.
    Warning,
    /// A failure: something that was requested will be missing.
    Error,
}

/// Phase of a run.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Reading the project, inspecting the machine, planning.
    Plan,
    /// Downloading and installing what the plan requires.
    Provision,
    /// cargo is running.
    Build,
    /// Binaries are being inspected.
    Verify,
    /// Binaries are being run.
    Smoke,
    /// `dist/` is being written.
    Package,
    /// End of the run.
    Finish,
}

/// An event: one line of the `--events` output.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, JsonSchema)]
pub(crate) struct Event {
    /// Version of this format.
    pub schema: u32,
    /// Always `event`.
    pub kind: String,
    /// Time in UTC (RFC 3339).
    pub time: String,
    /// Identifier of the run; the same in all of its lines.
    pub run_id: String,
    /// Severity.
    pub level: EventLevel,
    /// The target's id; null for events that concern the whole run.
    pub target: Option<String>,
    /// Phase of the run.
    pub phase: Phase,
    /// What happened, as text.
    pub message: String,
    /// Stable code of the cause, such as `std-missing`; null if there is none.
    pub code: Option<Code>,
    /// Duration in seconds.
    pub duration: Option<f64>,
    /// CPU time in seconds, when a cargo invocation has ended (code `lane`).
    pub cpu: Option<f64>,
    /// Crates done and, about, in all; only while building.
    #[serde(skip)]
    #[schemars(skip)]
    pub progress: Option<(usize, usize)>,
    /// A block of text for people, right below the line.
    #[serde(skip)]
    #[schemars(skip)]
    pub below: Option<String>,
}

/// An event before it is stamped with time and run.
#[derive(Clone, Debug)]
#[must_use]
pub struct Report<'a> {
    reporter: &'a Reporter,
    event: Event,
}

impl Report<'_> {
    /// Of a cell.
    pub fn target(mut self, id: &str) -> Self {
        self.event.target = Some(id.to_owned());
        self
    }

    /// With a stable name of the cause.
    pub fn code(mut self, code: Code) -> Self {
        self.event.code = Some(code);
        self
    }

    /// With how long it took.
    pub fn took(mut self, duration: Duration) -> Self {
        self.event.duration = Some(seconds(duration));
        self
    }

    /// With the CPU time that it took, where that is known.
    pub fn cpu(mut self, time: Option<Duration>) -> Self {
        self.event.cpu = time.map(seconds);
        self
    }

    /// With a block of text for people (diagnostics). Nothing that another thread tells comes between.
    pub fn below(mut self, text: impl Into<String>) -> Self {
        self.event.below = Some(text.into());
        self
    }

    /// With crates done and, about, in all.
    pub fn progress(mut self, done: usize, total: usize) -> Self {
        self.event.progress = Some((done, total));
        self
    }

    /// Tells it.
    pub fn send(self) {
        self.reporter.tell(self.event);
    }
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Renders events. Several threads may tell at once.
#[derive(Debug)]
pub struct Reporter {
    run_id: String,
    human: Mutex<Human>,
    events: Option<Mutex<EventSink>>,
}

struct EventSink(Box<dyn Write + Send>);

impl std::fmt::Debug for EventSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventSink")
    }
}

impl Reporter {
    /// A reporter for one run; `events` as `--events` takes it.
    pub fn new(run_id: String, style: Style, events: Option<&Utf8Path>) -> Result<Self> {
        let sink: Option<Box<dyn Write + Send>> = match events {
            None => None,
            Some(path) if path == "-" => Some(Box::new(std::io::stdout())),
            Some(path) => {
                let file = fs_err::File::options().create(true).append(true).open(path);
                Some(Box::new(file.map_err(|error| {
                    Error::work(error.to_string()).hint("set `--events` to a file in a writable directory")
                })?))
            }
        };
        Ok(Self { run_id, human: Mutex::new(Human::new(style)), events: sink.map(|sink| Mutex::new(EventSink(sink))) })
    }

    /// Joins the lines of this run.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    fn event(&self, level: EventLevel, phase: Phase, message: String) -> Report<'_> {
        let event = Event {
            schema: 1,
            kind: "event".to_owned(),
            time: String::new(),
            run_id: self.run_id.clone(),
            level,
            target: None,
            phase,
            message,
            code: None,
            duration: None,
            cpu: None,
            progress: None,
            below: None,
        };
        Report { reporter: self, event }
    }

    /// Details for debugging.
    pub fn debug(&self, phase: Phase, message: impl Into<String>) -> Report<'_> {
        self.event(EventLevel::Debug, phase, message.into())
    }

    /// Progress information.
    pub fn info(&self, phase: Phase, message: impl Into<String>) -> Report<'_> {
        self.event(EventLevel::Info, phase, message.into())
    }

    /// A problem that does not fail the build.
    pub fn warning(&self, phase: Phase, message: impl Into<String>) -> Report<'_> {
        self.event(EventLevel::Warning, phase, message.into())
    }

    /// A failure: something that was requested will be missing.
    pub fn error(&self, phase: Phase, message: impl Into<String>) -> Report<'_> {
        self.event(EventLevel::Error, phase, message.into())
    }

    /// A block of text for people alone (diagnostics, a table).
    pub fn text(&self, text: &str) {
        self.human.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).block(text);
    }

    /// Takes the progress bars away.
    pub fn clear(&self) {
        self.human.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
    }

    /// How text is rendered.
    pub fn style(&self) -> Style {
        self.human.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).style()
    }

    fn tell(&self, mut event: Event) {
        self.human.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).tell(&event);
        // Crate-by-crate progress would be thousands of lines; phases and results are what is collected.
        if event.progress.is_some() {
            return;
        }
        if let Some(sink) = &self.events {
            event.time = jiff::Timestamp::now().to_string();
            let mut sink = sink.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            // A reader that went away (`| head`) must not end the build.
            if let Ok(line) = serde_json::to_string(&event) {
                let _ = writeln!(sink.0, "{line}").and_then(|()| sink.0.flush());
            }
        }
    }
}
