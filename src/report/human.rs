//! Events as text on standard error: plain lines, and on a terminal one progress line for each target.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anstyle::{AnsiColor, Style as Ansi};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report::{Event, EventLevel, Phase, escape};

/// How much is said, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// 1 for more, 2 for cargo's own output.
    pub verbose: u8,
    /// Only errors.
    pub quiet: bool,
    /// Whether to use colors.
    pub color: bool,
    /// Whether progress may be drawn.
    pub progress: bool,
}

impl Style {
    /// Paints a text when colours are on.
    pub fn paint(&self, ansi: Ansi, text: &str) -> String {
        if self.color { format!("{ansi}{text}{ansi:#}") } else { text.to_owned() }
    }
}

/// Bold in one of the terminal's own colours.
pub(super) fn bold(color: AnsiColor) -> Ansi {
    color.on_default().bold()
}

/// Renders events for a person.
#[derive(Debug)]
pub(crate) struct Human {
    style: Style,
    bars: MultiProgress,
    by_target: BTreeMap<String, ProgressBar>,
}

impl Human {
    pub(super) fn new(style: Style) -> Self {
        let draw = if style.progress { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { style, bars: MultiProgress::with_draw_target(draw), by_target: BTreeMap::new() }
    }

    pub(super) fn style(&self) -> Style {
        self.style
    }

    pub(super) fn tell(&mut self, event: &Event) {
        if let (Some((done, total)), Some(target)) = (event.progress, &event.target) {
            self.progress(target, &event.message, done, total);
            return;
        }
        if event.phase == Phase::Build
            && event.duration.is_some()
            && let Some(bar) = event.target.as_ref().and_then(|target| self.by_target.remove(target))
        {
            bar.finish_and_clear();
        }
        let shown = match event.level {
            EventLevel::Debug => self.style.verbose > 0,
            EventLevel::Info | EventLevel::Warning => !self.style.quiet,
            EventLevel::Error => true,
        };
        if shown {
            let line = self.line(event);
            match &event.below {
                Some(below) => self.block(&format!("{line}\n{below}")),
                None => self.block(&line),
            }
        }
    }

    fn line(&self, event: &Event) -> String {
        let label = match (event.level, event.phase) {
            (EventLevel::Error, Phase::Finish) => self.style.paint(bold(AnsiColor::Red), &format!("{:>12}", "Failed")),
            (EventLevel::Error, _) => self.style.paint(bold(AnsiColor::Red), "error"),
            (EventLevel::Warning, _) => self.style.paint(bold(AnsiColor::Yellow), "warning"),
            // A code tells of a fact on the way.
            (_, Phase::Plan | Phase::Provision) if event.code.is_some() => self.label("Note"),
            (_, Phase::Plan) => self.label("Planning"),
            (_, Phase::Provision) if event.duration.is_some() => self.label("Prepared"),
            (_, Phase::Provision) => self.label("Preparing"),
            (_, Phase::Build) if event.duration.is_some() => self.label("Built"),
            (_, Phase::Build) if event.code.is_some() && event.target.is_none() => self.label("Note"),
            (_, Phase::Build) => self.label("Building"),
            (_, Phase::Verify) if event.target.is_none() => self.label("Verifying"),
            (_, Phase::Verify) => self.label("Verified"),
            (_, Phase::Smoke) => self.label("Ran"),
            (_, Phase::Package) => self.label("Note"),
            // How a run ended, for whoever asks for details: not always well.
            (EventLevel::Debug, Phase::Finish) => self.label("Note"),
            (_, Phase::Finish) => self.label("Finished"),
        };
        let target = match (&event.target, event.level) {
            (None, EventLevel::Error) if event.phase == Phase::Finish => " ".to_owned(),
            (Some(target), EventLevel::Error | EventLevel::Warning) => format!("[{target}]: "),
            (None, EventLevel::Error | EventLevel::Warning) => ": ".to_owned(),
            (Some(target), _) => format!(" {target}: "),
            (None, _) => " ".to_owned(),
        };
        let took = event.duration.map(|seconds| format!(" in {}", seconds_text(seconds))).unwrap_or_default();
        let cpu = event.cpu.map(|seconds| format!(", {} of CPU time", seconds_text(seconds))).unwrap_or_default();
        let message = match event.phase {
            // Full of names that binaries hold; none of these has several lines.
            Phase::Verify | Phase::Smoke => escape::line(&event.message),
            _ => escape::terminal(&event.message, false).into(),
        };
        format!("{label}{target}{message}{took}{cpu}")
    }

    fn label(&self, word: &str) -> String {
        // cargo's own width, so that its lines and ours stand in one column.
        self.style.paint(bold(AnsiColor::Green), &format!("{word:>12}"))
    }

    fn progress(&mut self, target: &str, message: &str, done: usize, total: usize) {
        if !self.style.progress || self.style.quiet {
            return;
        }
        let bars = &self.bars;
        let bar = self.by_target.entry(target.to_owned()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(total as u64));
            // The template is a constant: a wrong one is found by the first test that draws it.
            if let Ok(style) =
                ProgressStyle::with_template("{prefix:>30} {bar:12} {pos:>4}/{len:<4} {elapsed:>4} {wide_msg}")
            {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(target.to_owned());
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        bar.set_length(total.max(done) as u64);
        bar.set_position(done as u64);
        bar.set_message(escape::line(message).into_owned());
    }

    pub(super) fn block(&mut self, text: &str) {
        let color = self.style.color;
        self.bars.suspend(|| {
            let mut stderr = std::io::stderr().lock();
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(stderr, "{}", escape::terminal(text, color));
        });
    }

    pub(super) fn clear(&mut self) {
        for (_, bar) in std::mem::take(&mut self.by_target) {
            bar.finish_and_clear();
        }
    }
}

/// Seconds as people read them.
pub(crate) fn seconds_text(seconds: f64) -> String {
    if seconds < 60.0 {
        format!("{seconds:.1}s")
    } else {
        let whole = seconds.round() as u64;
        format!("{}m {:02}s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::code::Code;
    use crate::report::Reporter;

    fn rendered(level: EventLevel, phase: Phase, message: &str) -> String {
        let reporter = Reporter::new("run".to_owned(), Style::default(), None).unwrap();
        let event = reporter.event(level, phase, message.to_owned()).event;
        Human::new(Style { color: true, ..Style::default() }).line(&event)
    }

    #[test]
    fn failure_is_not_said_as_success_is() {
        let done = rendered(EventLevel::Info, Phase::Finish, "1 verified binary in .");
        assert_eq!(done, "\u{1b}[1m\u{1b}[32m    Finished\u{1b}[0m 1 verified binary in .");
        let failed = rendered(EventLevel::Error, Phase::Finish, "1 of 6 targets; 5 verified binaries in dist");
        assert_eq!(failed, "\u{1b}[1m\u{1b}[31m      Failed\u{1b}[0m 1 of 6 targets; 5 verified binaries in dist");
    }

    #[test]
    fn every_line_begins_with_what_is_done() {
        let reporter = Reporter::new("run".to_owned(), Style::default(), None).unwrap();
        let (second, id) = (Duration::from_secs(1), "linux/arm64");
        let reports = [
            reporter.info(Phase::Plan, "waiting for another build to finish").code(Code::Waiting),
            reporter.info(Phase::Provision, "the sysroot bookworm/arm64"),
            reporter.debug(Phase::Provision, "the sysroot bookworm/arm64").took(second),
            reporter.info(Phase::Build, "route zig").target(id),
            reporter.info(Phase::Build, "app").target(id).took(second),
            reporter.debug(Phase::Build, "3 of 3 job tokens were returned").code(Code::Tokens),
            reporter.info(Phase::Verify, "12 packages of bookworm/arm64"),
            reporter.debug(Phase::Verify, "app").target(id),
            reporter.info(Phase::Smoke, "app: started, exit code 0").target(id),
            reporter.debug(Phase::Package, "removed dist/old of an earlier run"),
            reporter.warning(Phase::Verify, "app: needs libodd.so.3 at start").target(id),
            reporter.error(Phase::Build, "could not compile `app`").target(id),
            reporter.error(Phase::Finish, "1 of 2 targets; 1 verified binary in dist").took(second),
            reporter.debug(Phase::Finish, "exit code 1"),
            reporter.info(Phase::Finish, "1 verified binary in dist").took(second),
        ];
        let human = Human::new(Style::default());
        let lines: Vec<String> = reports.iter().map(|report| human.line(&report.event)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
                Note waiting for another build to finish
           Preparing the sysroot bookworm/arm64
            Prepared the sysroot bookworm/arm64 in 1.0s
            Building linux/arm64: route zig
               Built linux/arm64: app in 1.0s
                Note 3 of 3 job tokens were returned
           Verifying 12 packages of bookworm/arm64
            Verified linux/arm64: app
                 Ran linux/arm64: app: started, exit code 0
                Note removed dist/old of an earlier run
        warning[linux/arm64]: app: needs libodd.so.3 at start
        error[linux/arm64]: could not compile `app`
              Failed 1 of 2 targets; 1 verified binary in dist in 1.0s
                Note exit code 1
            Finished 1 verified binary in dist in 1.0s
        ");
    }

    #[test]
    fn names_out_of_a_binary_are_escaped() {
        let line = rendered(EventLevel::Warning, Phase::Verify, "app: needs a\u{1b}[2J\n::error::b at start");
        assert!(line.ends_with(": app: needs a\\u{1b}[2J\\u{a}::error::b at start"), "{line}");
        let line = rendered(EventLevel::Info, Phase::Provision, "several\nlines\u{7}");
        assert!(line.ends_with("several\nlines\\u{7}"), "{line}");
    }

    #[test]
    fn times_read_well() {
        assert_eq!(seconds_text(0.04), "0.0s");
        assert_eq!(seconds_text(59.94), "59.9s");
        assert_eq!(seconds_text(61.4), "1m 01s");
    }
}
