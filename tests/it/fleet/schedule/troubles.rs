//! What goes wrong in a schedule, and when it did.

use std::time::Duration;

use tokio::time::Instant;

/// A kind of trouble. Each schedule has some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The store is emptied, restarts empty, or goes on from an older copy.
    StoreLoss,
    /// A link is cut, slow, or loses what it carries.
    Links,
    /// A replica is stopped before it sends to the store, or before it reads the reply.
    Holds,
    /// A replica is killed; another one takes its place, now or later, with its disk or with an empty one.
    Deaths,
    /// The vendor fails, hangs, or says `throttled`.
    Vendor,
    /// The vendor says `quota_exceeded`.
    Exceeded,
    /// The store's clock is put forward or back.
    StoreClock,
    /// A replica's clock is put forward or back.
    ReplicaClock,
    /// Reports are purged.
    Purges,
}

impl Trouble {
    const ALL: [Self; 9] = [
        Self::StoreLoss,
        Self::Links,
        Self::Holds,
        Self::Deaths,
        Self::Vendor,
        Self::Exceeded,
        Self::StoreClock,
        Self::ReplicaClock,
        Self::Purges,
    ];

    /// Those of a schedule.
    pub(super) fn some(random: &mut fastrand::Rng) -> Vec<Self> {
        // Without trouble there is no excuse.
        if random.u8(..) < 24 {
            return Vec::new();
        }
        let likely = random.f64();
        Self::ALL.into_iter().filter(|_| random.f64() < likely).collect()
    }
}

/// A purge by a replica.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purge {
    pub(super) at: Instant,
    pub(super) slot: usize,
    pub(super) generation: u32,
    /// `None`: of all.
    pub(super) report: Option<u32>,
}

/// When there was trouble: the excuses for a call too many.
#[derive(Debug, Default)]
pub(super) struct Troubled {
    /// Of one replica, by slot.
    slots: Vec<(usize, Instant, Instant)>,
    /// Of all.
    all: Vec<(Instant, Instant)>,
    pub(super) losses: Vec<Instant>,
    /// The sum of the steps of the store's clock.
    pub(super) clock_steps: Duration,
    /// When it was last put forward or back.
    last_clock_step: Option<Instant>,
}

// === impl Purge ===

impl Purge {
    pub(super) fn concerns(&self, report: u32) -> bool {
        self.report.is_none_or(|purged| purged == report)
    }
}

// === impl Troubled ===

impl Troubled {
    pub(super) fn slot(&mut self, slot: usize, until: Instant) {
        self.slots.push((slot, Instant::now(), until));
    }

    pub(super) fn all(&mut self, until: Instant) {
        self.all.push((Instant::now(), until));
    }

    /// The store has lost data.
    pub(super) fn lost(&mut self) {
        self.losses.push(Instant::now());
        // Until each replica has had a heartbeat.
        self.all(Instant::now() + Duration::from_secs(20));
    }

    /// Was there trouble of this replica, or of all, in this time?
    pub(super) fn excuse(&self, slot: usize, from: Instant, to: Instant) -> bool {
        let within = |begun: Instant, ended: Instant| begun <= to && ended >= from;
        self.all.iter().rev().any(|(begun, ended)| within(*begun, *ended))
            || self.slots.iter().rev().any(|(of, begun, ended)| *of == slot && within(*begun, *ended))
    }

    /// The store's clock was put forward or back.
    pub(super) fn clock_stepped(&mut self, by: Duration) {
        self.clock_steps += by;
        self.last_clock_step = Some(Instant::now());
    }

    pub(super) fn clock_step_since(&self, from: Instant) -> bool {
        self.last_clock_step.is_some_and(|step| step >= from)
    }

    pub(super) fn lost_since(&self, from: Instant) -> bool {
        self.losses.last().is_some_and(|loss| *loss >= from)
    }
}
