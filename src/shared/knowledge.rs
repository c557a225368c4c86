//! What a replica knows of the store and of the fleet: what it was told last, and since when it was told nothing.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{
    Epoch, Fence, FleetState, MemberAbout, SharedStoreError, SpentDay, StoreIdentity, StoreSeen,
    known_days::KnownDays,
};

/// So many attempts to begin an epoch are remembered: those of some minutes.
const MOST_ATTEMPTS: usize = 64;

/// After a return, a loss can be noticed for this time: with the next heartbeat, and by who waits for those that know more.
const UNNOTICED: Duration = Duration::from_mins(1);

/// What this replica knows.
#[derive(Debug, Clone)]
pub struct Knowledge {
    pub(super) seen: StoreSeen,
    pub(super) days: KnownDays,
    /// The calls without the store that a heartbeat has told it of, and their day.
    pub(super) offline_told: SpentDay,
    /// The last purge of all that it was told of: a store may have lost it since.
    pub(super) purged: Fence,
    pub(super) identity: Option<StoreIdentity>,
    pub(super) fleet: Option<FleetTold>,
    pub(super) contact: Option<Instant>,
    /// The last contact before the epochs that began since this was taken. `None`: none has begun.
    pub(super) lost_since: Option<Instant>,
    pub(super) outage: Option<StoreOutage>,
    /// The last contact before the last outage.
    before_outage: Option<Instant>,
    /// When the last outage ended.
    pub(super) returned: Option<Instant>,
    /// The epochs that this replica has tried to begin since it learned one. Where the reply was lost, it may have.
    pub(super) attempted: Vec<Epoch>,
    pub(super) feed_read_at: Instant,
    pub(super) other_versions: Vec<MemberAbout>,
}

/// The fleet's state, and when it was told.
#[derive(Debug, Clone)]
pub struct FleetTold {
    /// As the store knew it.
    pub state: FleetState,
    /// Half a round trip after it was asked for.
    pub at: Instant,
}

/// The store does not do what it is asked.
#[derive(Debug, Clone)]
pub struct StoreOutage {
    /// The first failure since it last did.
    pub since: Instant,
    /// The last failure.
    pub error: SharedStoreError,
}

// === impl Knowledge ===

impl Knowledge {
    /// Nothing.
    pub(super) fn none() -> Self {
        Self {
            seen: StoreSeen::default(),
            days: KnownDays::default(),
            offline_told: SpentDay::default(),
            purged: Fence::default(),
            identity: None,
            fleet: None,
            contact: None,
            lost_since: None,
            outage: None,
            before_outage: None,
            returned: None,
            attempted: Vec::new(),
            feed_read_at: Instant::now(),
            other_versions: Vec::new(),
        }
    }

    /// The epoch and the highest sequence.
    pub fn seen(&self) -> StoreSeen {
        self.seen
    }

    /// The highest count of calls that this replica was told.
    pub fn told(&self) -> SpentDay {
        self.days.today().told
    }

    /// The calls that this replica has made on this day without the store.
    pub fn offline_on(&self, day: u64) -> u64 {
        self.days.on(day).offline
    }

    /// What the last heartbeat or recovery has told. `None` before the first.
    pub fn fleet(&self) -> Option<&FleetTold> {
        self.fleet.as_ref()
    }

    /// The time since the store's last reply. `None` before the first.
    pub fn since_contact(&self) -> Option<Duration> {
        self.contact.map(|contact| contact.elapsed())
    }

    /// `None`: the last operation succeeded, or there was none yet.
    pub fn outage(&self) -> Option<&StoreOutage> {
        self.outage.as_ref()
    }

    /// The time since all changes of the other replicas were read; before the first read, since the start.
    pub fn feed_lag(&self) -> Duration {
        self.feed_read_at.elapsed()
    }

    /// How many seconds the store's clock is ahead of one that shows `now`. `None`: it was not read yet.
    pub fn clock_skew(&self, now: SystemTime) -> Option<f64> {
        let told = self.fleet.as_ref()?;
        let store = SystemTime::UNIX_EPOCH.checked_add(told.state.clock + told.at.elapsed())?;
        Some(match store.duration_since(now) {
            Ok(ahead) => ahead.as_secs_f64(),
            Err(behind) => -behind.duration().as_secs_f64(),
        })
    }

    /// `heartbeat` is the day that the store was told of, if it was to count it.
    pub(super) fn learn(&mut self, state: FleetState, asked: Instant, heartbeat: Option<u64>) {
        let sequence = match self.seen.epoch {
            Some(epoch) if epoch == state.epoch => self.seen.sequence.max(state.sequence),
            Some(_) | None => {
                // The server that the lost epoch was on says nothing of this one.
                self.identity = None;
                self.attempted.clear();
                self.lost_since = self.lost_since.or_else(|| self.contact_before_loss());
                state.sequence
            }
        };
        self.seen = StoreSeen { epoch: Some(state.epoch), sequence };
        self.days.learn(state.today, heartbeat);
        self.purged = self.purged.max(state.purged);
        self.fleet = Some(FleetTold { state, at: asked + asked.elapsed() / 2 });
        self.succeeded();
    }

    /// This replica tries to begin this epoch.
    pub(super) fn attempts(&mut self, epoch: Epoch) {
        if self.attempted.len() == MOST_ATTEMPTS {
            self.attempted.remove(0);
        }
        self.attempted.push(epoch);
    }

    pub(super) fn succeeded(&mut self) {
        self.contact = Some(Instant::now());
        if self.outage.take().is_some() {
            self.returned = self.contact;
        }
    }

    /// The last contact with a store that has all that was written. One that is back can have replied before anybody
    /// noticed what it lacks.
    fn contact_before_loss(&self) -> Option<Instant> {
        match self.returned {
            Some(returned) if returned.elapsed() < UNNOTICED => self.before_outage,
            Some(_) | None => self.contact,
        }
    }

    pub(super) fn failed(&mut self, error: SharedStoreError) {
        if self.outage.is_none() {
            self.before_outage = self.contact;
        }
        let since = self.outage.as_ref().map_or_else(Instant::now, |outage| outage.since);
        self.outage = Some(StoreOutage { since, error });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::{MemorySharedStore, Sequence, SharedStore as _, tests::every_operation::recovery};

    const STORE_CLOCK: Duration = Duration::from_secs(1_700_000_000);

    async fn state() -> FleetState {
        MemorySharedStore::new(STORE_CLOCK).recover(recovery()).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_store_s_clock_was_read_half_way_through_the_round_trip_and_goes_on() {
        let (mut known, state) = (Knowledge::none(), state().await);
        assert_eq!(known.clock_skew(SystemTime::UNIX_EPOCH), None);
        let asked = Instant::now();
        tokio::time::advance(Duration::from_secs(4)).await;
        known.learn(state, asked, None);
        tokio::time::advance(Duration::from_secs(10)).await;
        let at = |seconds| SystemTime::UNIX_EPOCH + STORE_CLOCK + Duration::from_secs(seconds);
        assert_eq!([9, 12, 15].map(|ours| known.clock_skew(at(ours))), [3.0, 0.0, -3.0].map(Some));
    }

    #[tokio::test(start_paused = true)]
    async fn within_an_epoch_the_highest_sequence_counts_and_the_attempts_are_remembered() {
        let state = state().await;
        let told = |epoch, sequence| FleetState {
            epoch: Epoch(epoch),
            sequence: Sequence(sequence),
            ..state.clone()
        };
        let mut known = Knowledge::none();
        for (told, sequence) in [(told(1, 50), 50), (told(1, 40), 50), (told(1, 60), 60)] {
            known.learn(told, Instant::now(), None);
            assert_eq!(known.seen(), StoreSeen { epoch: Some(Epoch(1)), sequence: Sequence(sequence) });
        }
        (0..70).for_each(|number| known.attempts(Epoch(number)));
        known.learn(told(1, 60), Instant::now(), None);
        assert_eq!(known.attempted, (6..70).map(Epoch).collect::<Vec<_>>());
        known.learn(told(69, 20), Instant::now(), None);
        assert_eq!((known.seen().sequence, known.attempted.len()), (Sequence(20), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_store_has_lost_was_written_before_the_contact_before_its_outage() {
        let minutes = |minutes| tokio::time::advance(Duration::from_mins(minutes));
        let state = state().await;
        let begun = |epoch| FleetState { epoch: Epoch(epoch), ..state.clone() };
        let mut known = Knowledge::none();
        known.learn(begun(1), Instant::now(), None);
        assert_eq!(known.lost_since, None, "its first contact");
        let contact = Instant::now();
        for _ in 0..2 {
            minutes(10).await;
            known.failed(SharedStoreError::Recovering);
        }
        known.succeeded();
        tokio::time::advance(Duration::from_secs(15)).await;
        known.succeeded();
        known.learn(begun(2), Instant::now(), None);
        assert_eq!(known.lost_since.take(), Some(contact));
        let contact = Instant::now();
        minutes(2).await;
        known.learn(begun(3), Instant::now(), None);
        assert_eq!(known.lost_since, Some(contact), "without an outage");
    }
}
