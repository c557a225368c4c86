//! What the vendor has said of activities themselves, and when it is to be asked again: while a report of the activity is
//! empty and asked for, since an empty report does not tell whether the mail was sent.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    failed_checks::{FailedCheck, FailedChecks},
    recent_map::RecentMap,
};
use crate::{
    backoff::Backoff,
    report::{
        ActivityDetails, ActivityId, ActivityStatus, Cause, FailureKind, FailureStage, FetchError,
        FetchedStatus, UpstreamFailure,
    },
};

/// A new activity beyond these takes the place of the one whose status was learned longest ago.
const MOST_ACTIVITIES: usize = 10_000;
/// The shortest time between two calls that nobody waits for: they take less than a third of the day's calls, however many
/// empty reports are asked for. Each of several replicas waits as many times as long.
pub(super) const BETWEEN_CALLS: Duration = Duration::from_secs(30);
/// Most mails have their first click within this time after they were sent.
const FIRST_CLICKS: Duration = Duration::from_mins(15);
/// After calls that failed no call is made for so long, except for who waits for it.
const AFTER_FAILURE: Backoff = Backoff::new(Duration::from_mins(1), Duration::from_mins(15));

/// Whether the vendor is asked for the status of activities: the setting `status.enabled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusChecking {
    /// Never.
    Off,
    /// While a report is empty, and for `GET /v1/activities/{id}`.
    On,
}

/// What the vendor has said of an activity.
#[derive(Debug, Clone)]
pub struct KnownStatus {
    /// Its words.
    pub details: Arc<ActivityDetails>,
    /// When it said so.
    pub checked_at: Instant,
    /// The answers that its empty reports had given by then.
    answers: u64,
    /// When it was first seen to be sent, if it was seen before that.
    sent_since: Option<Instant>,
}

/// What a check of a status has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learned {
    /// This is the status now, and that it was before.
    Status,
    /// The token may not ask: no call is made from now on, and nothing is known of any activity.
    Forbidden,
    /// Nothing: the call failed, or was not made.
    Nothing,
}

/// The statuses that are known.
#[derive(Debug)]
pub(super) struct KnownStatuses(Mutex<StatusTable>);

#[derive(Debug)]
struct StatusTable {
    known: RecentMap<ActivityId, KnownStatus>,
    failed: FailedChecks,
    permission: Permission,
    next_call: Instant,
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permission {
    /// As far as it is known.
    Granted,
    /// The upstream has answered 403.
    Denied,
}

// === impl KnownStatus ===

impl KnownStatus {
    /// Whether it need not be asked for by a caller who waits.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.age(now) < self.kept_for()
    }

    /// Whether it is to be asked for behind the callers: a little before it is no longer fresh, so that none of them finds it so.
    fn is_due(&self, now: Instant) -> bool {
        self.age(now) >= self.kept_for().mul_f64(0.9)
    }

    /// Whether it had been sent for a short time only when the vendor said so: its first clicks are expected.
    pub(super) fn was_just_sent(&self) -> bool {
        self.sent_since.is_some_and(|since| self.checked_at < since + FIRST_CLICKS)
    }

    fn kept_for(&self) -> Duration {
        let status = if self.was_just_sent() { ActivityStatus::Executing } else { self.details.status };
        status.kept_for()
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.checked_at)
    }
}

// === impl KnownStatuses ===

impl KnownStatuses {
    /// None is known; `None`: none is ever asked for.
    pub(super) fn new(checking: StatusChecking) -> Option<Self> {
        match checking {
            StatusChecking::Off => None,
            StatusChecking::On => Some(Self(Mutex::new(StatusTable {
                known: RecentMap::new(MOST_ACTIVITIES),
                failed: FailedChecks::new(),
                permission: Permission::Granted,
                next_call: Instant::now(),
                failures: 0,
            }))),
        }
    }

    pub(super) fn get(&self, id: ActivityId) -> Option<KnownStatus> {
        self.table().known.peek(&id).cloned()
    }

    /// Whether a caller may have the status of this activity asked for.
    ///
    /// # Errors
    /// The token may not ask, or calls fail with this error and it is too early for another one.
    pub(super) fn may_ask(&self, id: ActivityId, now: Instant) -> Result<(), FetchError> {
        let table = self.table();
        match table.permission {
            Permission::Granted => table.failed.resting(id, now).map_or(Ok(()), |error| Err(error.clone())),
            Permission::Denied => Err(UpstreamFailure::Forbidden.into()),
        }
    }

    /// Whether a call may be made now that nobody waits for.
    pub(super) fn may_ask_behind(&self, now: Instant) -> bool {
        let table = self.table();
        table.permission == Permission::Granted && table.next_call <= now
    }

    /// Whether the status of this activity is to be asked for, whose empty reports have given so many answers by now: it is
    /// not known, or was long ago and is still asked for.
    pub(super) fn is_due(&self, id: ActivityId, answers: u64, now: Instant) -> bool {
        let table = self.table();
        let is_asked_for = match table.known.peek(&id) {
            Some(known) => known.is_due(now) && known.answers != answers,
            // The call may fail for this activity alone: it is made again only where somebody asks again.
            None => table.failed.get(id).is_none_or(|failed| failed.answers != answers),
        };
        is_asked_for && table.failed.resting(id, now).is_none()
    }

    /// When the status of this activity was last asked for; `None`: never.
    pub(super) fn last_asked(&self, id: ActivityId) -> Option<Instant> {
        let table = self.table();
        let known = table.known.peek(&id).map(|known| known.checked_at);
        let tried_at = |failed: &FailedCheck| failed.failure.tried_at;
        known.max(table.failed.get(id).map(tried_at))
    }

    /// Takes over the result of a call for the status of an activity.
    pub(super) fn learn(
        &self,
        id: ActivityId,
        answers: u64,
        result: Result<&FetchedStatus, &FetchError>,
        now: Instant,
    ) -> Learned {
        let mut table = self.table();
        match result {
            Ok(FetchedStatus { details, .. }) => {
                (table.failures, table.next_call) = (0, now + BETWEEN_CALLS);
                table.failed.succeeded(id);
                let details = Arc::new(details.clone());
                let sent_since = match (table.known.peek(&id), details.status) {
                    (Some(before), ActivityStatus::Done) if before.details.status == ActivityStatus::Done => {
                        before.sent_since
                    }
                    (Some(_), ActivityStatus::Done) => Some(now),
                    (None | Some(_), _) => None,
                };
                let learned = KnownStatus { details, checked_at: now, answers, sent_since };
                table.known.get_or_insert_with(id, || learned.clone()).clone_from(&learned);
                Learned::Status
            }
            Err(FetchError { cause: Cause::Upstream(UpstreamFailure::Forbidden), .. }) => {
                table.known = RecentMap::new(MOST_ACTIVITIES);
                table.permission = Permission::Denied;
                Learned::Forbidden
            }
            Err(error) => {
                table.next_call = now + AFTER_FAILURE.pause(table.failures);
                match (error.stage(), error.cause.kind()) {
                    (FailureStage::Refused, FailureKind::Rationed | FailureKind::Denied) => {}
                    // A panic is none of these, but may have come after the call.
                    (FailureStage::Refused, FailureKind::Failed)
                    | (FailureStage::Connecting | FailureStage::Sent, _) => {
                        table.failures = table.failures.saturating_add(1);
                        table.failed.note(id, answers, error, now);
                    }
                }
                Learned::Nothing
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, StatusTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::key;

    #[tokio::test(start_paused = true)]
    async fn an_activity_whose_calls_fail_goes_behind_the_others_until_it_is_asked_for_again() {
        let statuses = KnownStatuses::new(StatusChecking::On).unwrap();
        let [fails, other] = [1, 2].map(|number| key(number).id);
        let now = Instant::now();
        let failure: FetchError = UpstreamFailure::Status { status: 500 }.into();
        assert_eq!([fails, other].map(|id| statuses.last_asked(id)), [None; 2]);
        statuses.learn(fails, 5, Err(&failure), now);
        assert_eq!([fails, other].map(|id| statuses.last_asked(id)), [Some(now), None]);
        assert!(!statuses.is_due(fails, 6, now), "it is too early");
        assert!(statuses.is_due(other, 0, now));
        let later = now + Duration::from_secs(5);
        assert_eq!([5, 6].map(|answers| statuses.is_due(fails, answers, later)), [false, true]);
        let denied: FetchError = crate::report::LocalDenial::Overloaded.into();
        statuses.learn(other, 1, Err(&denied), now);
        assert_eq!(statuses.last_asked(other), None, "no call was made");
        assert_eq!(statuses.may_ask(other, now), Ok(()));
    }
}
