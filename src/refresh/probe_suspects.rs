//! Which campaigns are left out of probes, because the statistics endpoint does not know them.
//!
//! For one campaign that it rejects, the endpoint rejects the whole call. The next probes then search for it, by
//! bisection: each asks for half of the suspects and nothing else. If it is answered, the other half is suspect; if it is
//! rejected, this half is. So ten suspects cost at most four more calls, and those that are answered are looks at
//! their campaigns like any other. To leave out all ten instead would cost a fetch for each look at the nine others.

use std::{collections::HashMap, hash::Hash, time::Duration};

/// How long a campaign is left out.
const LEFT_OUT_FOR: Duration = Duration::from_hours(24);

/// The campaigns left out, and those of a rejected call. `Id` is a campaign's.
#[derive(Debug)]
pub(super) struct ProbeSuspects<Id> {
    left_out_until: HashMap<Id, Duration>,
    /// None, or at least two, of which at least one was the cause of a rejected call.
    suspects: Vec<Id>,
}

// === impl ProbeSuspects ===

impl<Id: Copy + Eq + Hash> ProbeSuspects<Id> {
    pub(super) fn new() -> Self {
        Self { left_out_until: HashMap::new(), suspects: Vec::new() }
    }

    /// Whether a campaign may be in a probe at `now`.
    pub(super) fn admit(&self, id: Id, now: Duration) -> bool {
        self.left_out_until.get(&id).is_none_or(|until| now >= *until)
    }

    /// During a search: the campaigns that the next probe must be of.
    pub(super) fn next_batch(&self) -> Option<&[Id]> {
        let half = &self.suspects[..self.suspects.len() / 2];
        (!half.is_empty()).then_some(half)
    }

    /// The endpoint answered this call, with statistics of all or some of its campaigns.
    pub(super) fn answered(&mut self, batch: &[Id], now: Duration) {
        let rest = self.suspects.iter().copied().filter(|id| !batch.contains(id)).collect();
        self.suspect(rest, now);
    }

    /// The endpoint rejected this call.
    pub(super) fn rejected(&mut self, batch: &[Id], now: Duration) {
        self.suspect(batch.to_vec(), now);
    }

    /// The endpoint has no statistics of this campaign.
    pub(super) fn leave_out(&mut self, id: Id, now: Duration) {
        self.left_out_until.retain(|_, until| now < *until);
        self.left_out_until.insert(id, now.saturating_add(LEFT_OUT_FOR));
    }

    fn suspect(&mut self, suspects: Vec<Id>, now: Duration) {
        self.suspects = suspects;
        if let [found] = self.suspects[..] {
            self.suspects.clear();
            self.leave_out(found, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    /// Probes the first ten of 40 campaigns that are admitted, or as the search demands, until a call is answered outside
    /// of a search. Returns the number of calls that this takes, and of those that are rejected.
    fn search(suspects: &mut ProbeSuspects<u32>, bad: &[u32]) -> (u32, u32) {
        let (mut calls, mut rejected) = (0, 0);
        loop {
            let admitted = || (0..40).filter(|id| suspects.admit(*id, NOW)).take(10).collect();
            let searched = suspects.next_batch().map(<[u32]>::to_vec);
            let batch = searched.clone().unwrap_or_else(admitted);
            calls += 1;
            if batch.iter().any(|id| bad.contains(id)) {
                rejected += 1;
                suspects.rejected(&batch, NOW);
            } else {
                suspects.answered(&batch, NOW);
                if searched.is_none() {
                    return (calls, rejected);
                }
            }
        }
    }

    fn left_out(suspects: &ProbeSuspects<u32>) -> Vec<u32> {
        (0..40).filter(|id| !suspects.admit(*id, NOW)).collect()
    }

    #[test]
    fn a_bad_campaign_is_found_by_four_more_calls_and_no_other_is_left_out() {
        for bad in 0..10 {
            let mut suspects = ProbeSuspects::new();
            let (calls, rejected) = search(&mut suspects, &[bad]);
            assert!(calls <= 1 + 4 + 1 && rejected <= 5, "{bad}: {calls}, {rejected}");
            assert_eq!(left_out(&suspects), [bad]);
        }
    }

    #[test]
    fn several_bad_campaigns_are_found_one_after_the_other() {
        let bad = [0, 3, 4, 9, 10];
        let mut suspects = ProbeSuspects::new();
        let (calls, _) = search(&mut suspects, &bad);
        assert!(calls <= 5 * 5 + 1, "{calls}");
        assert_eq!(left_out(&suspects), bad);
    }

    #[test]
    fn a_probe_of_one_campaign_needs_no_search() {
        let mut suspects = ProbeSuspects::new();
        suspects.rejected(&[7], NOW);
        assert_eq!((suspects.next_batch(), suspects.admit(7, NOW)), (None, false));
    }

    #[test]
    fn a_campaign_is_left_out_for_a_day() {
        let mut suspects = ProbeSuspects::new();
        suspects.leave_out(1, NOW);
        assert!(!suspects.admit(1, NOW + LEFT_OUT_FOR - Duration::from_secs(1)));
        assert!(suspects.admit(1, NOW + LEFT_OUT_FOR));
        suspects.leave_out(2, NOW + LEFT_OUT_FOR);
        assert_eq!(suspects.left_out_until.len(), 1, "those of yesterday are forgotten");
    }
}
