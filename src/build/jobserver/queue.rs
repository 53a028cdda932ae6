//! Which lanes run, and how many tokens lie in the pipe; pure.

use std::ops::Range;

/// The lanes of a run, started in their order, never more at once than there may be processes.
///
/// Every running lane has one process without a token. So the tokens in the pipe and those that processes hold are, at any
/// time, as many as there may be processes less the lanes that run.
#[derive(Debug)]
pub(super) struct Queue {
    jobs: usize,
    lanes: usize,
    next: usize,
}

impl Queue {
    /// A queue for this many processes and lanes.
    pub(crate) fn new(jobs: usize, lanes: usize) -> Self {
        Self { jobs, lanes, next: 0 }
    }

    /// Processes of all lanes.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs
    }

    /// All lanes.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// The lanes to start first, and the tokens that are put into the pipe before.
    pub(crate) fn begin(&mut self) -> (Range<usize>, usize) {
        self.next = self.lanes.min(self.jobs);
        (0..self.next, self.jobs - self.next)
    }

    /// A lane ended: the one that takes its place. Where none does, a token more is put into the pipe.
    pub(crate) fn ended(&mut self) -> Option<usize> {
        let next = (self.next < self.lanes).then_some(self.next)?;
        self.next += 1;
        Some(next)
    }

    /// Starts no more lanes.
    pub(crate) fn stop(&mut self) {
        self.lanes = self.next;
    }
}

/// How many processes may work at once, counted as cargo counts: what `-j` says, else what `build.jobs` says, else one for
/// each core. None for what cargo does not take: it says that better itself.
pub(super) fn jobs(asked: Option<&str>, configured: impl FnOnce() -> Option<i32>, cores: usize) -> Option<usize> {
    let number = match asked {
        Some("default") => None,
        Some(text) => Some(text.parse::<i32>().ok()?),
        None => configured(),
    };
    match number {
        Some(0) => None,
        Some(less) if less < 0 => Some(cores.saturating_sub(less.unsigned_abs() as usize).max(1)),
        Some(number) => usize::try_from(number).ok(),
        None => Some(cores),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_are_the_jobs_less_the_lanes_that_run() {
        for (jobs, lanes, started, tokens) in [(2, 2, 2, 0), (8, 3, 3, 5), (2, 5, 2, 0), (4, 1, 1, 3), (1, 3, 1, 0)] {
            assert_eq!(Queue::new(jobs, lanes).begin(), (0..started, tokens), "{jobs} jobs, {lanes} lanes");
        }
    }

    #[test]
    fn a_lane_that_waits_takes_the_place_of_one_that_ends() {
        let mut queue = Queue::new(2, 3);
        assert_eq!(queue.begin(), (0..2, 0));
        assert_eq!([queue.ended(), queue.ended(), queue.ended()], [Some(2), None, None]);
    }

    #[test]
    fn a_stopped_queue_starts_nothing() {
        let mut queue = Queue::new(2, 4);
        queue.begin();
        queue.stop();
        assert_eq!(queue.ended(), None);
    }

    proptest! {
        #[test]
        fn no_token_is_made_or_lost(jobs in 1usize..20, lanes in 1usize..20) {
            let mut queue = Queue::new(jobs, lanes);
            let (first, mut tokens) = queue.begin();
            let mut started: Vec<usize> = first.collect();
            let mut running = started.len();
            while running > 0 {
                prop_assert!(running <= jobs);
                prop_assert_eq!(tokens + running, jobs);
                // Who is killed now can take nothing with it that a waiting lane would miss.
                prop_assert!(started.len() == lanes || tokens == 0);
                match queue.ended() {
                    Some(next) => started.push(next),
                    None => (running, tokens) = (running - 1, tokens + 1),
                }
            }
            prop_assert_eq!(tokens, jobs);
            prop_assert_eq!(started, (0..lanes).collect::<Vec<_>>());
        }
    }

    #[test]
    fn jobs_are_counted_as_cargo_counts() {
        let count = |asked, configured: Option<i32>| jobs(asked, || configured, 8);
        assert_eq!(count(None, None), Some(8));
        assert_eq!(count(None, Some(3)), Some(3));
        assert_eq!(count(Some("5"), Some(3)), Some(5));
        assert_eq!(count(Some("default"), Some(3)), Some(8));
        assert_eq!(count(Some("-2"), None), Some(6));
        assert_eq!(count(Some("-20"), None), Some(1));
        assert_eq!(count(None, Some(-1)), Some(7));
        for wrong in ["0", "", "many", "1.5"] {
            assert_eq!(count(Some(wrong), None), None, "{wrong}");
        }
    }
}
