//! What a replica knows of the store and of the fleet: what it was told last, and since when it was told nothing.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{
    Epoch, Fence, FleetState, MemberAbout, SharedStoreError, SpentDay, StoreIdentity, StoreSeen,
    known_days::KnownDays,
};

/// So many attempts to begin an epoch are remembered: those of some minutes.
const MOST_ATTEMPTS: usize = 64;

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
                self.lost_since = self.lost_since.or(self.contact);
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

    pub(super) fn failed(&mut self, error: SharedStoreError) {
        let since = self.outage.as_ref().map_or_else(Instant::now, |outage| outage.since);
        self.outage = Some(StoreOutage { since, error });
    }
}
