//! Recovery of a store that has lost writes: who begins a new epoch, and what it is told.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Epoch, EpochOrigin, Membership, Recovery, SharedStoreError, StoreSeen,
    fleet_log::{self, EpochBeginner},
    membership::HEARTBEAT,
    recovery_options::{Assumed, Force},
};

/// A replica whose last contact is older waits this long before it begins an epoch: one that knows more goes first.
const LONGEST_DEFERENCE: Duration = Duration::from_secs(10);

// === impl Membership ===

impl Membership {
    /// Who was told last knows most, and begins the epoch: the others wait, and then find it. All that had a heartbeat in
    /// time know enough, with the margin: they hardly wait, since calls wait for them.
    pub(super) async fn defer(&self, seen: StoreSeen) {
        if seen.epoch.is_some() {
            let silence = self.known().since_contact().unwrap_or(LONGEST_DEFERENCE);
            let overdue = silence.saturating_sub(HEARTBEAT + HEARTBEAT / 10);
            sleep((silence / 10).max(overdue).min(LONGEST_DEFERENCE)).await;
        }
    }

    /// Begins a new epoch, or learns the one that another replica has begun. `seen` is what the refused operation had: if
    /// this replica has recovered since, nothing is left to do.
    pub(super) async fn recover(
        &self,
        seen: StoreSeen,
        force: Force,
        assumed: Assumed,
    ) -> Result<(), SharedStoreError> {
        let _one_at_a_time = self.recovering.lock().await;
        if self.known().seen.epoch != seen.epoch {
            return Ok(());
        }
        let recovery = {
            let mut known = self.known();
            let fresh = Epoch(fastrand::u64(1..));
            known.attempts(fresh);
            let told = match assumed {
                Assumed::Told => known.days.told_or_assumed(),
                Assumed::Ignored => known.told(),
            };
            Recovery {
                known: known.seen.epoch,
                seen: known.seen.sequence,
                fresh,
                told,
                margin: self.options.margin,
                force: force == Force::Yes,
                purged: known.purged,
            }
        };
        let asked = Instant::now();
        let fleet = self.store.recover(recovery).await?;
        // It may be the epoch of an earlier attempt, whose reply was lost.
        let begun_here = self.known().attempted.contains(&fleet.epoch);
        if begun_here {
            self.options.metrics.charged(fleet.begun.charged);
            if fleet.begun.origin == EpochOrigin::Fork {
                self.options.metrics.forked();
            }
        }
        fleet_log::epoch(
            seen.epoch,
            &fleet,
            if begun_here { EpochBeginner::This } else { EpochBeginner::Other },
        );
        self.learn(&fleet, asked, None);
        Ok(())
    }
}
