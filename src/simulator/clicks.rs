//! The clicks of the simulator's own campaigns at one moment: they only grow, and half of them come within four hours.

use std::time::Duration;

use super::campaigns::{Audience, Plan};
use super::clock::Moment;
use super::reports::{mix, own_number};

/// How often the click counts are recomputed; the vendor's interval is undocumented.
const RECOMPUTED_EVERY: Duration = Duration::from_secs(60);

/// Click counts as they were last computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClickCounts {
    /// The clicks of each link.
    pub(super) links: Vec<u32>,
    /// When they were computed, since the epoch.
    pub(super) computed_at: Duration,
}

// === impl ClickCounts ===

impl ClickCounts {
    /// The counts of one of the simulator's own campaigns; `None` until it is sent.
    pub(super) fn of(plan: &Plan, seed: u64, started: Moment, now: Moment) -> Option<Self> {
        let sent = plan.sent_at(started).filter(|sent| *sent <= now.since_epoch)?;
        let own = own_number(seed, plan.id);
        let computed_at = last_computed(now, own);
        let share = clicked_share(computed_at.saturating_sub(sent));
        let clicks_of = |index| clicks_of_link(plan, index, mix(own ^ u64::from(index)), share);
        Some(Self { links: (0..plan.links).map(clicks_of).collect(), computed_at })
    }

    pub(super) fn sum(&self) -> u32 {
        self.links.iter().sum()
    }
}

fn last_computed(now: Moment, own: u64) -> Duration {
    // Each activity has its own second of the minute: the vendor's jobs don't run all at once.
    let phase = Duration::from_secs(own % RECOMPUTED_EVERY.as_secs());
    let since_job = (now.since_epoch + phase).as_secs() % RECOMPUTED_EVERY.as_secs();
    Duration::from_secs(now.since_epoch.as_secs() - since_job)
}

/// Half of the clicks within 3.7 h, 84 % in a day, 98 % in a week, and a tail: most readers click once and
/// soon.
fn clicked_share(since_sent: Duration) -> f64 {
    let hours = since_sent.as_secs_f64() / 3600.0;
    0.78 * (1.0 - (-hours / 2.6).exp2()) + 0.22 * (1.0 - (-hours / 48.0).exp2())
}

fn clicks_of_link(plan: &Plan, index: u32, draw: u64, share: f64) -> u32 {
    let (contacts, at_least) = match plan.audience {
        Audience::Silent => return 0,
        // The last one is the imprint; of the others about every fifth gets no click. The first always has some:
        // a sent campaign has readers.
        Audience::Contacts(_) if index > 0 && (index + 1 == plan.links || draw.is_multiple_of(5)) => {
            return 0;
        }
        Audience::Contacts(contacts) => (contacts, 0),
        Audience::Thorough(contacts) => (contacts, 1),
    };
    let taste = 0.6 + (draw >> 32) as f64 / f64::from(u32::MAX);
    let in_the_end = f64::from(contacts) * 0.06 * taste / f64::from(index + 1).powf(0.8);
    ((in_the_end * share) as u32).max(at_least)
}

#[cfg(test)]
mod tests {
    use super::super::campaigns::{find, parse_id};
    use super::*;
    use tokio::time::Instant;

    const FRESH: &str = "d41d8cd9-8f00-4204-a980-0998ecf8427e";

    fn counts(id: &str, after: Duration) -> Option<Vec<u32>> {
        let started = Moment { instant: Instant::now(), since_epoch: Duration::from_secs(1_700_000_000) };
        let now = Moment { since_epoch: started.since_epoch + after, ..started };
        let plan = find(parse_id(id).unwrap()).unwrap();
        ClickCounts::of(&plan, 1, started, now).map(|counts| counts.links)
    }

    #[test]
    fn clicks_only_grow_and_half_of_them_come_in_three_to_four_hours() {
        let at = |hours: u64| {
            counts(FRESH, Duration::from_secs(hours * 3600 + 60)).unwrap().into_iter().sum::<u32>()
        };
        let ages: Vec<u32> = (0..200).map(at).collect();
        assert!(ages.is_sorted());
        let in_the_end = at(24 * 365);
        assert!(at(3) < in_the_end / 2 && in_the_end / 2 < at(4));
    }

    #[test]
    fn the_same_minute_gives_the_same_counts() {
        let changes = (3600..3720)
            .map(|second| counts(FRESH, Duration::from_secs(second)))
            .collect::<std::collections::BTreeSet<_>>();
        assert!((2..=3).contains(&changes.len()), "{} counts in two minutes", changes.len());
    }

    #[test]
    fn some_links_get_no_click() {
        let day = Duration::from_secs(86_400);
        for id in ["8892baf9-970a-4de6-8400-fa4ec461986d", "1ead98be-dfa0-4e04-81f7-5f1534d42e9c"] {
            let counts = counts(id, day).unwrap();
            assert!(counts.contains(&0) && counts.iter().sum::<u32>() > 0, "{counts:?}");
        }
        assert_eq!(counts("3c4fcf09-8815-4ff7-8a2c-6d5e4b3a2910", day), Some(vec![0; 5]));
    }

    #[test]
    fn an_unsent_activity_has_no_counts_until_it_is_sent() {
        let scheduled = "2b7e1516-28ae-42a6-abf7-158809cf4f3c";
        assert_eq!(counts(scheduled, Duration::from_secs(7199)), None);
        assert_eq!(counts(scheduled, Duration::from_secs(7200)), Some(vec![0; 6]));
        assert!(counts(scheduled, Duration::from_secs(9000)).unwrap()[0] > 0);
    }
}
