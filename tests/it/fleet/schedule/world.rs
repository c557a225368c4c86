//! The world of a schedule: the vendor, the store and the replicas, and what can be done to them.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use link_report_proxy::{
    quota::InitialCount,
    settings::Settings,
    shared::{MemorySharedStore, StoreCopy},
    simulator::{BodyShape, Fault, Limit, Options, Scope, ScriptedCampaign, Simulator, synthetic_id},
    state::StateStores,
};
use tokio::time::Instant;

use super::{
    super::faulty_store::{FaultyStore, LinkFault},
    Size,
    replica::{Disk, Replica},
    troubles::{Purge, Trouble, Troubled},
};
use crate::support::in_process::load_settings;

/// A day in seconds.
const DAY: u64 = 86_400;

/// Of the day's calls.
pub(super) const RESERVE: f64 = 0.1;

pub(super) const TTL: Duration = Duration::from_mins(1);

/// Longer than a fetch may take, so that the flight of a dead replica has ended.
pub(super) const LEASE: Duration = Duration::from_secs(36);

/// A link's fault lasts no longer.
pub(super) const LONGEST_FAULT: Duration = Duration::from_mins(1);

/// A place for a replica.
pub(super) struct Slot {
    pub(super) replica: Option<Replica>,
    /// How many replicas it has had.
    pub(super) generation: u32,
    /// The next one starts then.
    starts: Option<Instant>,
    disk: Disk,
    settings: Settings,
}

pub(super) struct World {
    pub(super) random: fastrand::Rng,
    pub(super) vendor: Simulator,
    pub(super) store: Arc<MemorySharedStore>,
    pub(super) slots: Vec<Slot>,
    pub(super) started: Instant,
    pub(super) limit: u32,
    pub(super) reports: u32,
    pub(super) troubles: Vec<Trouble>,
    pub(super) troubled: Troubled,
    pub(super) purges: Vec<Purge>,
    /// The calls that dead replicas have made without the store.
    pub(super) offline_of_the_dead: u64,
    /// More shares of the reserve than one for each slot: of replicas that followed, and of clocks that were set.
    pub(super) more_shares: u64,
    /// The vendor fails until it has been called so many times.
    fails_until: u64,
    copies: VecDeque<StoreCopy>,
}

// === impl World ===

impl World {
    pub(super) fn new(mut random: fastrand::Rng, size: Size) -> Self {
        let troubles = Trouble::some(&mut random);
        // So that replicas that start with an empty disk assume that little is used; or with a midnight to come.
        let (now, disks) = if random.u8(..) < 170 {
            (Duration::from_secs(20_000 * DAY + 30), random.bool())
        } else {
            (Duration::from_secs(20_000 * DAY + 23 * 3_600 + 2_400), false)
        };
        // The limits are counted here, not enforced by the vendor.
        let vendor = Simulator::new(Options {
            now: SystemTime::UNIX_EPOCH + now,
            per_second: 0,
            per_day: 0,
            remembered_requests: 1_000,
            // The token is not what is played here.
            access_token_lifetime: Duration::from_hours(24 * 365),
            ..Options::default()
        });
        let reports = random.u32(4..=24);
        let (sent, started) = (vendor.now(), Instant::now());
        let clicks = ScriptedCampaign::new(
            sent,
            (1..=size.length.as_secs() + 600).map(|s| sent + Duration::from_secs(s)),
        );
        for report in 0..=reports {
            vendor.play(synthetic_id(report, 2), clicks.clone());
        }
        let limit = *random.choice(&[60, 200, 1_000, 10_000]).unwrap();
        let slots = random.usize(3..=10);
        let store = Arc::new(MemorySharedStore::new(now));
        let copies = VecDeque::from([store.copy()]);
        let slots = (0..slots).map(|slot| Slot {
            replica: None,
            generation: 0,
            starts: Some(started),
            disk: if disks && random.bool() { Disk::Kept(StateStores::in_memory()) } else { Disk::Empty },
            settings: settings(slot, slots, limit, &vendor),
        });
        let mut world = Self {
            slots: slots.collect(),
            random,
            vendor,
            store,
            started,
            limit,
            reports,
            troubles,
            troubled: Troubled::default(),
            purges: Vec::new(),
            offline_of_the_dead: 0,
            more_shares: 0,
            fails_until: 0,
            copies,
        };
        world.vendor_answers_within_its_latency();
        world
    }

    pub(super) fn replicas(&self) -> impl Iterator<Item = &Replica> {
        self.slots.iter().filter_map(|slot| slot.replica.as_ref())
    }

    /// The vendor's day: days since 1970.
    pub(super) fn day(&self) -> u64 {
        since_1970(self.vendor.now()).as_secs() / DAY
    }

    /// When this day begins, or began.
    pub(super) fn midnight_of(&self, day: u64) -> Option<Instant> {
        let (now, midnight) = (since_1970(self.vendor.now()), Duration::from_secs(day * DAY));
        if midnight > now {
            Some(Instant::now() + (midnight - now))
        } else {
            Instant::now().checked_sub(now - midnight)
        }
    }

    /// The calls that the replicas have made without the store.
    pub(super) fn offline(&mut self) -> u64 {
        let alive = self.slots.iter_mut().filter_map(|slot| slot.replica.as_mut());
        self.offline_of_the_dead + alive.map(Replica::offline).sum::<u64>()
    }

    /// Starts the replicas whose time has come, ends faults, and keeps a copy of the store.
    pub(super) fn go_on(&mut self) {
        let now = Instant::now();
        if self.vendor.calls() < self.fails_until {
            self.vendor_is_troubled();
        }
        for index in 0..self.slots.len() {
            if self.slots[index].starts.is_some_and(|starts| starts <= now) {
                self.start(index);
            }
            if let Some(replica) = &mut self.slots[index].replica
                && replica.fault_ends.is_some_and(|ends| ends <= now)
            {
                replica.fault_ends = None;
                replica.link.set(LinkFault::None);
                self.troubled.slot(index, now + Duration::from_secs(12));
            }
        }
        if self.random.u8(..) < 40 {
            self.copies.push_back(self.store.copy());
            if self.copies.len() > 3 {
                self.copies.pop_front();
            }
        }
    }

    /// One trouble of those that the schedule has.
    pub(super) fn disturb(&mut self) {
        let Some(trouble) = self.random.choice(&self.troubles).copied() else { return };
        let slot = self.random.usize(0..self.slots.len());
        let now = Instant::now();
        match trouble {
            Trouble::StoreLoss => self.lose(),
            Trouble::Links => {
                let fault = match self.random.u8(0..5) {
                    0 => LinkFault::RequestLost,
                    1 => LinkFault::ReplyLost,
                    2 => LinkFault::Slow(Duration::from_millis(self.random.u64(1..300))),
                    _ => LinkFault::Cut,
                };
                self.fault(slot, fault);
                // Now and then of all at once.
                if self.random.u8(..) < 40 {
                    (0..self.slots.len()).for_each(|slot| self.fault(slot, fault));
                }
            }
            Trouble::Holds => {
                let before = self.random.bool();
                self.fault(slot, if before { LinkFault::HeldBeforeSend } else { LinkFault::HeldAfterReply });
            }
            Trouble::Deaths => self.kill(slot),
            Trouble::Vendor => self.vendor_fails(),
            Trouble::Exceeded if self.random.u8(..) < 40 => {
                self.vendor
                    .inject(Fault::Throttle { limit: Limit::PerDay, retry_after: None }, Scope::Next(1));
                self.troubled.all(now + Duration::from_hours(4));
            }
            Trouble::Exceeded => {}
            Trouble::StoreClock => {
                let by = Duration::from_millis(self.random.u64(1..20_000));
                if self.random.bool() {
                    self.store.put_clock_forward(by);
                } else {
                    self.store.put_clock_back(by);
                }
                self.troubled.clock_stepped(by);
                self.troubled.all(now + by + TTL);
            }
            Trouble::ReplicaClock => {
                let by = *self.random.choice(&[1_000, 600_000, 7_200_000, 86_400_000]).unwrap();
                let by = if self.random.bool() { by } else { -by };
                if let Some(replica) = &self.slots[slot].replica {
                    replica.step_clock(by);
                    self.more_shares += 1;
                    self.troubled.slot(slot, now + Duration::from_hours(4));
                }
            }
            Trouble::Purges => {
                let report = self.random.bool().then(|| self.random.u32(0..self.reports));
                if let Some(replica) = &self.slots[slot].replica {
                    replica.purge(report);
                    let generation = self.slots[slot].generation;
                    self.purges.push(Purge { at: now, slot, generation, report });
                    self.troubled.all(now + Duration::from_secs(2));
                }
            }
        }
    }

    /// No more trouble; whoever was dead stays so.
    pub(super) fn heal(&mut self) {
        self.vendor_answers_within_its_latency();
        for slot in &mut self.slots {
            slot.starts = None;
            if let Some(replica) = &mut slot.replica {
                replica.fault_ends = None;
                replica.link.set(LinkFault::None);
            }
        }
    }

    fn start(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.starts = None;
        slot.generation += 1;
        let count = if slot.generation == 1 { InitialCount::Unspent } else { InitialCount::Unknown };
        let link = FaultyStore::to(&self.store);
        slot.replica =
            Some(Replica::start(index, &self.vendor, link, &slot.settings, (slot.disk.clone(), count)));
        if slot.generation > 1 {
            self.more_shares += 1;
        }
        // Until its first heartbeat.
        self.troubled.slot(index, Instant::now() + Duration::from_secs(12));
    }

    fn kill(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let Some(mut replica) = slot.replica.take() else { return };
        self.offline_of_the_dead += replica.offline();
        slot.disk = if self.random.u8(..) < 60 { Disk::Empty } else { replica.disk.clone() };
        replica.kill();
        let starts = Instant::now() + Duration::from_millis(self.random.u64(10..120_000));
        slot.starts = Some(starts);
        self.troubled.slot(index, starts.max(Instant::now() + LEASE));
    }

    fn fault(&mut self, slot: usize, fault: LinkFault) {
        let ends = Instant::now() + LONGEST_FAULT.mul_f64(self.random.f64());
        if let Some(replica) = &mut self.slots[slot].replica {
            replica.link.set(fault);
            replica.fault_ends = Some(ends);
            self.troubled.slot(slot, ends + Duration::from_secs(12));
        }
    }

    fn lose(&mut self) {
        let copy = self.random.choice(self.copies.make_contiguous()).cloned().expect("a copy");
        match self.random.u8(0..4) {
            0 => self.store.fail_over(copy),
            1 => self.store.put_back(copy),
            2 => self.store.flush(),
            _ => self.store.restart_empty(),
        }
        self.troubled.lost();
    }

    fn vendor_answers_within_its_latency(&mut self) {
        self.vendor.clear_faults();
        let latency = Duration::from_millis(self.random.u64(20..400));
        self.vendor.inject(Fault::Latency(latency), Scope::All);
    }

    fn vendor_is_troubled(&mut self) {
        self.troubled.all(Instant::now() + Duration::from_mins(3));
    }

    fn vendor_fails(&mut self) {
        let failures = self.random.u32(1..4);
        let status = http::StatusCode::INTERNAL_SERVER_ERROR;
        let throttled = Fault::Throttle { limit: Limit::PerSecond, retry_after: None };
        match self.random.u8(0..5) {
            0 => self.vendor.inject(Fault::Hang, Scope::Next(1)),
            1 => self.vendor.inject(throttled, Scope::Next(failures)),
            2 => self.vendor.inject(Fault::Status { status, shape: BodyShape::Array }, Scope::Next(failures)),
            _ => self.vendor_answers_within_its_latency(),
        }
        // The next calls may come later.
        self.fails_until = self.vendor.calls() + u64::from(failures);
        self.vendor_is_troubled();
    }
}

pub(super) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970")
}

fn settings(slot: usize, slots: usize, limit: u32, vendor: &Simulator) -> Settings {
    // A host of its own, so that the vendor's records tell whose call it was.
    let (host, token) = (format!("https://replica-{slot}.invalid"), vendor.access_token());
    let (limit, slots, reserve) = (limit.to_string(), slots.to_string(), RESERVE.to_string());
    load_settings(&[
        ("UPSTREAM__BASE_URL", &host),
        ("TOKEN__ACCESS_TOKEN", &token),
        ("QUOTA__PER_SECOND", "4"),
        ("QUOTA__PER_DAY", &limit),
        ("QUOTA__RESERVE", &reserve),
        ("CACHE__REFRESH", "fixed"),
        ("CACHE__TTL", "60s"),
        ("CACHE__TTL_JITTER", "0"),
        ("CACHE__STALE_WHILE_REVALIDATE", "60s"),
        ("CIRCUIT__CONSECUTIVE_FAILURES", "0"),
        ("SHARED__REPLICAS", &slots),
    ])
}
