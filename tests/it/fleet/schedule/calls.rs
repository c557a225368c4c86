//! What must hold of the calls: I1 to I4, checked after every step.

use std::{collections::HashMap, time::Duration};

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::{
    super::{faulty_store::LinkFault, watched_store::ToldState},
    arrivals::{Arrival, Arrivals},
    troubles::Trouble,
    world::{LEASE, RESERVE, Slot, TTL, World},
};

const SECOND: Duration = Duration::from_secs(1);

/// Who was told the day's count so short a time before a loss knows enough: with the margin, no call is forgotten.
const RECENT: Duration = Duration::from_secs(6);

/// A call waits no longer for its place.
const LONGEST_WAIT: Duration = Duration::from_secs(6);

/// The vendor's limit, and by how much it was overrun without an excuse.
pub(super) struct CallChecks {
    arrivals: Arrivals,
    all: Vec<Arrival>,
    /// The day at the vendor, and how many calls had arrived before it.
    today: (u64, u64),
    /// The last day that a replica was told of, and when it first was.
    told_of: (u64, Instant),
    /// By slot: generation, calls that have arrived, and calls made without the store.
    slots: Vec<(u32, u64, u64)>,
    offline: u64,
    /// When calls without the store were seen to be made, and how many.
    seen_offline: Vec<(Instant, u64)>,
    memory: Memory,
    last_of_report: HashMap<u32, Arrival, RandomState>,
}

/// Does somebody who is alive know the day's calls?
#[derive(Debug)]
enum Memory {
    /// The store does.
    Store,
    /// It has lost some. These replicas know them, by slot and generation, and have not had a heartbeat since.
    Replicas { since: Instant, who: Vec<(usize, u32)> },
}

// === impl CallChecks ===

impl CallChecks {
    pub(super) fn new(world: &World) -> Self {
        Self {
            arrivals: Arrivals::of(world.reports),
            all: Vec::new(),
            today: (world.day(), 0),
            told_of: (world.day(), world.started),
            slots: vec![(0, 0, 0); world.slots.len()],
            offline: 0,
            seen_offline: Vec::new(),
            memory: Memory::Store,
            last_of_report: HashMap::default(),
        }
    }

    /// The replicas that know the day's calls now.
    pub(super) fn who_knows(world: &World) -> Vec<(usize, u32)> {
        let now = Instant::now();
        let knows = |slot: &Slot| {
            let replica = slot.replica.as_ref()?;
            let linked = matches!(replica.link.fault(), LinkFault::None | LinkFault::Slow(_));
            let told = replica.watched.told_at()?;
            (linked && told + RECENT >= now).then_some((replica.slot, slot.generation))
        };
        world.slots.iter().filter_map(knows).collect()
    }

    /// The store has lost data, which these replicas know.
    pub(super) fn lost(&mut self, who: Vec<(usize, u32)>) {
        if let Memory::Store = self.memory {
            self.memory = Memory::Replicas { since: Instant::now(), who };
        }
    }

    pub(super) fn check(&mut self, world: &mut World) {
        let before = self.offline;
        self.offline = world.offline();
        if self.offline > before {
            self.seen_offline.push((Instant::now(), self.offline - before));
        }
        let new = self.arrivals.since(&world.vendor);
        for arrival in &new {
            self.all.push(*arrival);
            self.check_second(world, *arrival);
            self.check_report(world, *arrival);
            self.slots[arrival.slot].1 += 1;
        }
        self.turn_day(world);
        self.check_day(world);
        self.check_grants(world);
        self.check_counts(world);
    }

    /// All calls that have arrived.
    pub(super) fn arrived(&self) -> u64 {
        self.all.len() as u64
    }

    /// The calls that have arrived today, but for those within a second of midnight.
    pub(super) fn today(&self) -> u64 {
        self.arrived().saturating_sub(self.today.1)
    }

    fn turn_day(&mut self, world: &World) {
        let day = world.day();
        if day == self.today.0 {
            return;
        }
        let Some(midnight) = world.midnight_of(day) else { return };
        if Instant::now() >= midnight + 2 * SECOND {
            let before = self.all.iter().filter(|arrival| arrival.at < midnight + SECOND).count();
            self.today = (day, before as u64);
        }
    }

    /// I1: four calls in any second, and those without the store.
    fn check_second(&self, world: &World, arrival: Arrival) {
        let within = self.all.iter().rev().take_while(|other| other.at + SECOND > arrival.at).count() as u64;
        // A copy that nothing tells of knows an older place in the second.
        // By a clock that was put forward, places come sooner.
        let from = arrival.at - 12 * SECOND;
        let two_places = world.troubled.lost_since(from) || world.troubled.clock_step_since(from);
        let recent = self.seen_offline.iter().rev().take_while(|(at, _)| *at + 10 * SECOND > arrival.at);
        let offline = recent.map(|(_, calls)| calls).sum::<u64>();
        let most = if two_places { 8 } else { 4 } + offline.min(world.slots.len() as u64);
        assert!(within <= most, "I1: {within} calls in a second, {most} are allowed");
    }

    /// I1: as many calls a day as the limit says, and those without the store, which have their own limit.
    fn check_day(&self, world: &World) {
        let (today, limit) = (self.today(), u64::from(world.limit));
        let share = (f64::from(world.limit) * RESERVE) as u64 / world.slots.len() as u64;
        let shares = share * (world.slots.len() as u64 + world.more_shares);
        // Each day has its shares.
        let shares = shares * (1 + world.started.elapsed().as_secs() / 86_400 + 1);
        assert!(self.offline <= shares, "I1: {} calls without the store, {shares} are allowed", self.offline);
        let most = limit + self.offline;
        assert!(today <= most, "I1: {today} calls today, {most} are allowed");
    }

    /// I2: each call was granted by the store, or taken from the replica's share.
    fn check_grants(&mut self, world: &mut World) {
        for slot in &mut world.slots {
            let Some(replica) = &mut slot.replica else { continue };
            let (generation, arrived, _) = &mut self.slots[replica.slot];
            if *generation != slot.generation {
                (*generation, *arrived) = (slot.generation, 0);
            }
            let (granted, offline) = (replica.watched.granted(), replica.offline());
            assert!(
                *arrived <= granted + offline,
                "I2: replica {} made {arrived} calls, had {granted} granted and took {offline}",
                replica.slot
            );
        }
    }

    /// I3: the store has counted all calls that it has granted, once somebody who knows them has told it.
    fn check_counts(&mut self, world: &mut World) {
        let mut told: Vec<(usize, u32, ToldState)> = Vec::new();
        for slot in &world.slots {
            if let Some(replica) = &slot.replica {
                let states = replica.watched.take_states();
                told.extend(states.into_iter().map(|state| (replica.slot, slot.generation, state)));
            }
        }
        told.sort_by_key(|(_, _, state)| (state.at, state.order));
        if let Memory::Replicas { who, .. } = &mut self.memory {
            who.retain(|(slot, generation)| {
                world.slots[*slot].generation == *generation && world.slots[*slot].replica.is_some()
            });
        }
        for (slot, generation, state) in told {
            if let Memory::Replicas { since, who } = &self.memory {
                let knows = state.at >= *since && who.contains(&(slot, generation));
                if knows {
                    self.memory = Memory::Store;
                } else {
                    continue;
                }
            }
            if state.fleet.today.day != self.today.0 {
                continue;
            }
            if self.told_of.0 != self.today.0 {
                self.told_of = (self.today.0, state.at);
            }
            // The fleet begins the day when the first of its clocks does. If none is right, that may be late, and calls that
            // had their places by then were counted on the day before.
            if world.troubles.contains(&Trouble::ReplicaClock) && state.at < self.told_of.1 + LONGEST_WAIT {
                self.today.1 = self.today.1.max(state.arrived.saturating_sub(state.fleet.today.spent));
            }
            let made = state.arrived.saturating_sub(self.today.1).saturating_sub(self.offline);
            let spent = state.fleet.today.spent;
            assert!(spent >= made, "I3: the store has counted {spent} of {made} calls, says replica {slot}");
        }
        // Nobody who is alive knows.
        if let Memory::Replicas { who, .. } = &self.memory
            && who.is_empty()
        {
            self.today.1 = self.arrived();
            self.memory = Memory::Store;
        }
    }

    /// I4: a report costs one call a lifetime, unless there was trouble.
    fn check_report(&mut self, world: &World, arrival: Arrival) {
        let Some(last) = self.last_of_report.insert(arrival.report, arrival) else { return };
        let between = arrival.at - last.at;
        if between >= TTL - 2 * SECOND {
            return;
        }
        let excused = |slot| world.troubled.excuse(slot, last.at - LEASE, arrival.at);
        assert!(
            excused(arrival.slot) || excused(last.slot),
            "I4: two calls for report {} within {between:?}: of replica {}, then of {}",
            arrival.report,
            last.slot,
            arrival.slot
        );
    }
}
