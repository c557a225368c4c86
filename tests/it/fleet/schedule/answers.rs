//! What must hold of the answers: I5, I8 and I9, checked after every step.

use std::{collections::HashMap, time::Duration};

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::{
    answer::Answered,
    troubles::{Purge, Trouble},
    world::{LONGEST_FAULT, World},
};

/// An age is told in whole seconds; the vendor makes a report by the second, and takes up to 400 ms to send it.
const PRECISION: Duration = Duration::from_millis(2_500);

/// A purge that the store has heard is repeated for a minute.
const REPEATED: Duration = Duration::from_secs(50);

/// By then a purge has reached every replica.
const PURGED: Duration = Duration::from_secs(8);

/// The newest reports that each replica has shown.
#[derive(Default)]
pub(super) struct AnswerChecks {
    shown: HashMap<(usize, u32, u32), (Instant, Duration), RandomState>,
    pub(super) served: u64,
    pub(super) healed: Option<Instant>,
}

// === impl AnswerChecks ===

impl AnswerChecks {
    pub(super) fn check(&mut self, world: &World, answer: &Answered) {
        Self::check_status(world, answer);
        if answer.is_hit() {
            assert_eq!(answer.at, answer.asked, "I8: a hit waited: {answer:?}");
        }
        let Some(made) = answer.made else { return };
        self.served += 1;
        let true_age = answer.at - (world.started + made);
        // A replica that is stopped when it sends a report tells the age that it had before.
        let stopped = if world.troubles.contains(&Trouble::Holds) { LONGEST_FAULT } else { Duration::ZERO };
        let least = true_age.saturating_sub(PRECISION + world.troubled.clock_steps + stopped);
        assert!(answer.age >= least, "I9: {:?} old, it says {:?}: {answer:?}", true_age, answer.age);
        self.check_version(world, answer, made, PRECISION + world.troubled.clock_steps + stopped);
        for purge in &world.purges {
            self.check_purge(world, answer, *purge, made);
        }
    }

    fn check_status(world: &World, answer: &Answered) {
        let has = |trouble| world.troubles.contains(&trouble);
        let excused = match answer.status {
            200 | 503 => true,
            // Whoever waits for the flight of a replica that is cut off, stopped or dead, or of a vendor that hangs.
            504 => has(Trouble::Links) || has(Trouble::Holds) || has(Trouble::Deaths) || has(Trouble::Vendor),
            502 => has(Trouble::Vendor) || has(Trouble::Deaths),
            _ => false,
        };
        assert!(excused, "{answer:?}");
    }

    /// I5: what a replica shows of a report never becomes older.
    fn check_version(&mut self, world: &World, answer: &Answered, made: Duration, tolerance: Duration) {
        let shown =
            self.shown.entry((answer.slot, answer.generation, answer.report)).or_insert((answer.at, made));
        // A purge that a replica hears late, or that the store has lost since, removes what was fetched after it too.
        let forgotten = world.purges.iter().any(|purge| {
            let late = world.troubled.excuse(answer.slot, shown.0, answer.at);
            let heard_by = purge.at + if late { LONGEST_FAULT + PURGED } else { PURGED };
            purge.concerns(answer.report)
                && heard_by >= shown.0
                && (late || world.troubled.lost_since(purge.at))
        });
        assert!(
            forgotten || made + tolerance >= shown.1,
            "I5: it showed the report of {:?} already: {answer:?}",
            shown.1
        );
        *shown = (answer.at, made);
    }

    /// I5: what was fetched before a purge is not held after it.
    fn check_purge(&self, world: &World, answer: &Answered, purge: Purge, made: Duration) {
        let made = world.started + made + Duration::from_secs(2);
        if made >= purge.at || answer.asked < purge.at || !purge.concerns(answer.report) {
            return;
        }
        // A copy that is older than what replicas repeat.
        if world.troubled.lost_since(purge.at + REPEATED) {
            return;
        }
        let same = (purge.slot, purge.generation) == (answer.slot, answer.generation);
        let reached = answer.asked >= purge.at + PURGED
            && !world.troubled.excuse(answer.slot, purge.at - PURGED, answer.asked)
            && !world.troubled.excuse(purge.slot, purge.at - PURGED, answer.asked);
        let purger_lives = world.slots[purge.slot].generation == purge.generation
            && world.slots[purge.slot].replica.is_some();
        let told_in_the_end = self.healed.is_some_and(|healed| answer.asked >= healed)
            && purger_lives
            && !world.troubled.lost_since(purge.at);
        assert!(!(same || reached || told_in_the_end), "I5: fetched before {purge:?}: {answer:?}");
    }
}
