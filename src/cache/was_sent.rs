//! Was an activity sent? What the reports that are held and the vendor's status tell, and what that means for the refresh of
//! an empty report.

use std::time::Duration;

use tokio::time::Instant;

use super::{Entry, KnownStatus, ReportCache, StatusChecking, known_statuses::Learned, plan::RefreshPlan};
use crate::{
    refresh::ProbeVerdict,
    report::{
        ActivityId, ActivityStatus, ClientNumber, FetchError, FetchedStatus, LinkReport, LocalDenial,
        NoClicks, QuotaPressure, Reason, ReportKey, SentEvidence, StatusCall, UpstreamFailure, WhyEmpty,
    },
};

// === impl Entry ===

impl Entry {
    /// Why the report is empty; `None` if it is not, or there is none.
    #[inline]
    pub fn why_empty(&self) -> Option<WhyEmpty> {
        self.why_empty.get()
    }
}

// === impl ReportCache ===

impl ReportCache {
    /// What tells whether an activity was sent. It costs no call.
    pub fn sent_evidence(&self, id: ActivityId) -> SentEvidence {
        let links = |key: ReportKey| {
            let held = self.peek(&key)?;
            held.report_or_behind()?.report().map(LinkReport::links)
        };
        let [clicked, all] = forms(id).map(links);
        match (clicked, all, self.activity_status(id)) {
            (Some(1..), _, _) | (_, Some(1..), _) => SentEvidence::Links,
            (_, _, Some(known)) => SentEvidence::Status(known.details.status),
            (_, Some(0), None) => SentEvidence::AllLinksEmpty,
            (Some(0) | None, None, None) => SentEvidence::None,
        }
    }

    /// What the vendor has said of an activity, however long ago.
    pub fn activity_status(&self, id: ActivityId) -> Option<KnownStatus> {
        self.statuses.as_ref()?.get(id)
    }

    /// Whether the vendor may be asked for the status of activities.
    pub fn status_checking(&self) -> StatusChecking {
        if self.statuses.is_some() { StatusChecking::On } else { StatusChecking::Off }
    }

    /// Whether the status of an activity need not be asked for at `now`.
    pub(super) fn has_fresh_status(&self, id: ActivityId, now: Instant) -> bool {
        self.activity_status(id).is_some_and(|known| known.is_fresh(now))
    }

    /// Whether a caller may have it asked for at `now`.
    ///
    /// # Errors
    /// The token may not ask, calls fail and it is too early for another one, or the calls of the hour are used:
    /// these calls count in that share, so they keep to it as refreshes do. Uncached reports are served beyond it.
    pub(super) fn may_ask_for_status(&self, id: ActivityId, now: Instant) -> Result<(), FetchError> {
        let statuses = self.statuses.as_ref().ok_or(UpstreamFailure::Forbidden)?;
        statuses.may_ask(id, now)?;
        match self.plan.as_ref().is_none_or(RefreshPlan::allows_refresh) {
            true => Ok(()),
            false => Err(LocalDenial::DailyQuota { retry_after: Duration::MAX }.into()),
        }
    }

    /// The call to make at `now` for an empty report that is asked for, if there is one. Looks at all keys, so it does not
    /// belong on a worker thread.
    pub(super) fn status_to_ask(&self, now: Instant) -> Option<StatusCall> {
        let statuses = self.statuses.as_ref().filter(|statuses| statuses.may_ask_behind(now))?;
        if !self.has_room_for_refreshes(now) {
            return None;
        }
        let is_empty = |key: &ReportKey| self.peek(key).is_some_and(|held| held.why_empty().is_some());
        let due = self.keys().into_iter().filter(is_empty).map(|key| key.id).filter(|id| {
            self.sent_evidence(*id) != SentEvidence::Links
                && statuses.is_due(*id, self.empty_answers(*id), now)
        });
        // First what was never asked for, then what was asked for longest ago.
        let id = due.min_by_key(|id| statuses.last_asked(*id))?;
        Some(StatusCall { id, client: ClientNumber::PROXY })
    }

    /// Takes over the result of a call for the status of an activity. Returns the reports that are expected to have changed
    /// by it.
    pub(super) fn learn_status(
        &self,
        id: ActivityId,
        result: &Result<FetchedStatus, FetchError>,
    ) -> Vec<ReportKey> {
        if let Some(plan) = &self.plan {
            plan.fetched(Reason::Status, result.as_ref().err());
        }
        let Some(statuses) = &self.statuses else { return Vec::new() };
        let now = Instant::now();
        match statuses.learn(id, self.empty_answers(id), result.as_ref(), now) {
            Learned::Status => {
                self.tell_why_empty(id);
                let asked_at = result.as_ref().map(|fetched| fetched.exchange.elapsed).unwrap_or_default();
                let asked_at = now.checked_sub(asked_at).unwrap_or(now);
                self.foresee(id, asked_at)
            }
            Learned::Forbidden => {
                tracing::warn!(
                    "the access token may not ask whether activities were sent (it needs campaign:read): status.enabled \
                     has no effect until the next start"
                );
                self.keys().into_iter().for_each(|key| self.tell_why_empty(key.id));
                Vec::new()
            }
            Learned::Nothing => Vec::new(),
        }
    }

    /// What a new status means for the reports that are empty: clicks are coming, or there are none until `asked_at`.
    fn foresee(&self, id: ActivityId, asked_at: Instant) -> Vec<ReportKey> {
        use ActivityStatus as S;
        let clicks_are_coming = || forms(id).into_iter().filter(|key| self.peek(key).is_some()).collect();
        match self.sent_evidence(id) {
            SentEvidence::Status(S::Draft | S::Scheduled) => {
                let as_of = self.options.clock.at(asked_at);
                self.apply(id, ProbeVerdict::Unmoved { as_of });
                Vec::new()
            }
            SentEvidence::Status(S::Executing) => clicks_are_coming(),
            SentEvidence::Status(S::Done)
                if self.activity_status(id).is_some_and(|known| known.was_just_sent()) =>
            {
                clicks_are_coming()
            }
            SentEvidence::Status(S::Done | S::Error | S::Removed | S::NotFound | S::Other)
            | SentEvidence::Links
            | SentEvidence::AllLinksEmpty
            | SentEvidence::None => Vec::new(),
        }
    }

    /// Whether an empty report need not be refreshed at `now`: it is the report of a draft.
    pub(super) fn is_known_to_be_empty(&self, id: ActivityId, held: &Entry, now: Instant) -> bool {
        let is_draft =
            |known: KnownStatus| known.is_fresh(now) && known.details.status == ActivityStatus::Draft;
        held.why_empty().is_some() && self.activity_status(id).is_some_and(is_draft)
    }

    /// Whether calls are so many that a report which has probably changed is refreshed, none for it has just failed, and it
    /// has not just come: another replica that knows the same status may have had it fetched.
    pub(super) fn may_refresh(&self, held: &Entry) -> bool {
        let now = Instant::now();
        let rests = held.refresh_failure().is_some_and(|failure| failure.is_resting(now));
        let is_new = |plan: &RefreshPlan| held.stored_for(now) < plan.policy().min_refresh_interval;
        !rests && !self.plan.as_ref().is_some_and(is_new) && self.has_room_for_refreshes(now)
    }

    fn has_room_for_refreshes(&self, now: Instant) -> bool {
        self.quota_pressure.ask(now) == QuotaPressure::Normal
            && self.plan.as_ref().is_none_or(RefreshPlan::allows_refresh)
    }

    /// Tells the entries of an activity why they are empty, after anything that may have changed it.
    pub(super) fn tell_why_empty(&self, id: ActivityId) {
        let why = self.sent_evidence(id).why_empty();
        for held in forms(id).iter().filter_map(|key| self.peek(key)) {
            held.why_empty.set(why);
        }
    }

    /// How many answers the empty reports of an activity have given.
    fn empty_answers(&self, id: ActivityId) -> u64 {
        let held = forms(id).into_iter().filter_map(|key| self.peek(&key));
        held.filter(|held| held.why_empty().is_some()).map(|held| held.hits()).sum()
    }
}

fn forms(id: ActivityId) -> [ReportKey; 2] {
    [NoClicks::Omitted, NoClicks::Listed].map(|no_clicks| ReportKey { id, no_clicks })
}
