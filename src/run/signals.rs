//! Signals: the children end, nothing half-written stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use crate::error::Exit;

/// How long children may take to end by themselves.
#[cfg(unix)]
const GRACE: Duration = Duration::from_secs(5);

/// Whether a signal came, and the process group to end when one does.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    signal: Arc<AtomicI32>,
    group: Arc<AtomicU32>,
}

impl Interrupt {
    /// Listens from now on.
    pub fn listen() -> std::io::Result<Self> {
        let interrupt = Self::default();
        #[cfg(unix)]
        {
            use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
            let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
            let heard = interrupt.clone();
            std::thread::spawn(move || {
                for signal in signals.forever() {
                    heard.signal.store(signal, Ordering::SeqCst);
                    heard.end_group();
                }
            });
        }
        Ok(interrupt)
    }

    /// The exit code of the signal that came, if one did.
    pub fn came(&self) -> Option<Exit> {
        match self.signal.load(Ordering::SeqCst) {
            0 => None,
            1 => Some(Exit::Hangup),
            15 => Some(Exit::Terminate),
            _ => Some(Exit::Interrupt),
        }
    }

    /// Names the process group of the running child; 0 for none. A signal that came before is handed on.
    pub fn watch(&self, group: u32) {
        self.group.store(group, Ordering::SeqCst);
        if group != 0 && self.came().is_some() {
            self.end_group();
        }
    }

    #[cfg(unix)]
    fn end_group(&self) {
        use rustix::process::{Pid, Signal, kill_process_group};
        let group = self.group.load(Ordering::SeqCst);
        let Some(pid) = i32::try_from(group).ok().and_then(Pid::from_raw) else { return };
        // A group that already ended is no error.
        let _ = kill_process_group(pid, Signal::TERM);
        let watched = self.group.clone();
        std::thread::spawn(move || {
            std::thread::sleep(GRACE);
            if watched.load(Ordering::SeqCst) == group {
                let _ = kill_process_group(pid, Signal::KILL);
            }
        });
    }

    #[cfg(not(unix))]
    fn end_group(&self) {}
}
