//! Telling people and machines what happens. Everything is an [`Event`]; a [`Reporter`] renders it as text on standard
//! error, with progress bars on a terminal, and as one JSON object a line for `--events`.

pub mod advice;
pub mod escape;
mod human;
mod json;
pub mod schema;
pub mod table;

use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use camino::Utf8Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::util::error::{Error, Result};
pub use human::{Human, Style};
pub use json::{
    CacheEntry, CacheReport, CacheVerifyReport, DoctorCell, DoctorReport, ImagesReport, Lack, ListedImage,
    ListedSysroot, OfferRow, SupplyReport, SupplyVerifyReport, TargetRow, TargetsReport, UnsignedPackage,
    VerifiedEntry, VerifiedFile, VerifiedSysroot, VerifyReport, WhyCell, WhyNeed, WhyReport, WhyStep,
};

/// How serious an event is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventLevel {
    /// Only of interest when looking for a fault.
    Debug,
    /// What goes on.
    Info,
    /// Somebody should know.
    Warning,
    /// Something asked for will not be there.
    Error,
}

/// The part of a run that an event belongs to.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Reading, probing, deciding.
    Plan,
    /// Bringing what the plan names.
    Provision,
    /// cargo runs.
    Build,
    /// Binaries are inspected.
    Verify,
    /// Binaries are started.
    Smoke,
    /// `dist/` is written.
    Package,
    /// The run ended.
    Finish,
}

/// One thing that happened: one line of `--events`.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, JsonSchema)]
pub struct Event {
    /// Version of this structure.
    pub schema: u32,
    /// Always `event`.
    pub kind: String,
    /// When, in UTC (RFC 3339).
    pub time: String,
    /// Joins the lines of one run.
    pub run_id: String,
    /// How serious.
    pub level: EventLevel,
    /// The cell's id; none for what concerns the whole run.
    pub target: Option<String>,
    /// The part of the run.
    pub phase: Phase,
    /// What happened.
    pub message: String,
    /// A stable name of a cause, such as `std-missing`.
    pub code: Option<String>,
    /// How long it took, in seconds.
    pub duration: Option<f64>,
    /// CPU time that it took, in seconds: of a lane's processes, where it ended (code `lane`).
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
    pub fn code(mut self, code: &str) -> Self {
        self.event.code = Some(code.to_owned());
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
                    Error::work(error.to_string()).hint("pass `--events` a file in a writable directory")
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

    /// Only of interest when looking for a fault.
    pub fn debug(&self, phase: Phase, message: impl Into<String>) -> Report<'_> {
        self.event(EventLevel::Debug, phase, message.into())
    }

    /// What goes on.
    pub fn info(&self, phase: Phase, message: impl Into<String>) -> Report<'_> {
        self.event(EventLevel::Info, phase, message.into())
    }

    /// Somebody should know.
    pub fn warning(&self, phase: Phase, message: impl Into<String>) -> Report<'_> {
        self.event(EventLevel::Warning, phase, message.into())
    }

    /// Something asked for will not be there.
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
