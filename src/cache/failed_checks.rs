//! The status calls that failed, and until when none is made because of them: for that activity, and for any.

use std::time::Duration;

use tokio::time::Instant;

use super::{RefreshFailure, recent_map::RecentMap};
use crate::report::{ActivityId, FetchError};

/// A new activity beyond these takes the place of the one whose call failed longest ago. At 4 calls a second fewer are within
/// their back-off.
const MOST: usize = 4_096;
/// If the calls for so many activities fail in a row, it is not due to the activities.
const ALL_FAIL: usize = 5;
/// From then on a call is made so often, to see whether they still fail. The circuit does not count these calls.
const BETWEEN_TRIALS: Duration = Duration::from_secs(30);

/// The calls that failed.
#[derive(Debug)]
pub(super) struct FailedChecks {
    /// `None`: a call has succeeded since.
    by_activity: RecentMap<ActivityId, Option<FailedCheck>>,
    /// The first activities whose calls failed since one succeeded.
    row: Vec<ActivityId>,
    last: Option<(Instant, FetchError)>,
}

/// The last call for an activity failed.
#[derive(Debug, Clone)]
pub(super) struct FailedCheck {
    pub(super) failure: RefreshFailure,
    /// The answers that the activity's empty reports had given by then.
    pub(super) answers: u64,
}

// === impl FailedChecks ===

impl FailedChecks {
    pub(super) fn new() -> Self {
        Self { by_activity: RecentMap::new(MOST), row: Vec::with_capacity(ALL_FAIL), last: None }
    }

    /// The last call for an activity, if it failed.
    pub(super) fn get(&self, id: ActivityId) -> Option<&FailedCheck> {
        self.by_activity.peek(&id)?.as_ref()
    }

    /// The error to answer with, while no call is made for an activity.
    pub(super) fn resting(&self, id: ActivityId, now: Instant) -> Option<&FetchError> {
        let own = self.get(id).map(|failed| &failed.failure);
        if let Some(failure) = own.filter(|failure| failure.is_resting(now)) {
            return Some(&failure.error);
        }
        // Those that have failed themselves go behind the others: else they would take each trial.
        let pause = BETWEEN_TRIALS * if own.is_some() { 2 } else { 1 };
        let (at, error) = self.last.as_ref().filter(|_| self.row.len() >= ALL_FAIL)?;
        (now < *at + pause).then_some(error)
    }

    /// One more call has failed.
    pub(super) fn note(&mut self, id: ActivityId, answers: u64, error: &FetchError, now: Instant) {
        if self.row.len() < ALL_FAIL && !self.row.contains(&id) {
            self.row.push(id);
        }
        self.last = Some((now, error.clone()));
        let before = self.get(id).map(|failed| &failed.failure);
        let failure = RefreshFailure::after(before, error.clone(), now);
        *self.by_activity.get_or_insert_with(id, || None) = Some(FailedCheck { failure, answers });
    }

    /// A call has succeeded.
    pub(super) fn succeeded(&mut self, id: ActivityId) {
        self.row.clear();
        if let Some(failed) = self.by_activity.peek_mut(&id) {
            *failed = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{UpstreamFailure, testing::key};

    #[tokio::test(start_paused = true)]
    async fn a_success_ends_the_row_of_failures() {
        let (mut checks, mut now) = (FailedChecks::new(), Instant::now());
        let (id, error) = (key(1).id, UpstreamFailure::Status { status: 500 }.into());
        for pauses in [[5, 10, 20, 40], [5, 10, 20, 40]] {
            for pause in pauses.map(Duration::from_secs) {
                checks.note(id, 0, &error, now);
                assert_eq!(checks.resting(id, now), Some(&error));
                now += pause;
                assert_eq!(checks.resting(id, now), None, "{pause:?}");
            }
            checks.succeeded(id);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_the_others_are_tried_now_and_then_and_first() {
        let (mut checks, now) = (FailedChecks::new(), Instant::now());
        let error = UpstreamFailure::Status { status: 500 }.into();
        let [failed, other] = [1, 9].map(|number| key(number).id);
        for number in 1..=5 {
            assert_eq!(checks.resting(other, now), None, "{number}");
            checks.note(key(number).id, 0, &error, now);
        }
        let rest = |checks: &FailedChecks, seconds| {
            let then = now + Duration::from_secs(seconds);
            [failed, other].map(|id| checks.resting(id, then).is_some())
        };
        assert_eq!(
            [0, 29, 30, 59, 60].map(|seconds| rest(&checks, seconds)),
            [[true, true], [true, true], [true, false], [true, false], [false, false]]
        );
        checks.succeeded(other);
        assert_eq!([4, 5].map(|seconds| rest(&checks, seconds)), [[true, false], [false, false]]);
    }
}
