//! A seeded schedule: replicas are asked for reports while things go wrong, and what must hold is checked after every step.

mod answer;
mod answers;
mod arrivals;
mod calls;
mod replica;
mod troubles;
mod world;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::{answer::Questions, answers::AnswerChecks, calls::CallChecks, troubles::Trouble, world::World};

/// How big a schedule is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) length: Duration,
    /// The mean time between two steps.
    pub(super) step: Duration,
}

/// What has happened in a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Played {
    pub(super) calls: u64,
    pub(super) served: u64,
}

/// A schedule under way.
struct Schedule {
    world: World,
    size: Size,
    questions: Questions,
    calls: CallChecks,
    answers: AnswerChecks,
}

/// Plays the schedule of this seed.
///
/// # Panics
/// If one of the invariants is violated.
pub(super) async fn play(seed: u64, size: Size) -> Played {
    fastrand::seed(seed);
    let world = World::new(fastrand::Rng::with_seed(seed), size);
    let calls = CallChecks::new(&world);
    let mut schedule =
        Schedule { world, size, questions: Questions::default(), calls, answers: AnswerChecks::default() };
    schedule.play().await;
    schedule.end().await;
    Played { calls: schedule.calls.arrived(), served: schedule.answers.served }
}

// === impl Schedule ===

impl Schedule {
    async fn play(&mut self) {
        while self.world.started.elapsed() < self.size.length {
            self.world.go_on();
            if self.world.random.u8(..) < 24 {
                self.disturb();
            }
            self.ask();
            let pause = self.size.step.mul_f64(2.0 * self.world.random.f64());
            sleep(pause).await;
            self.check();
        }
    }

    fn disturb(&mut self) {
        let losses = self.world.troubled.losses.len();
        // Before the trouble, which may be a loss.
        let mut who_knows = CallChecks::who_knows(&self.world);
        self.world.disturb();
        if self.world.troubled.losses.len() > losses {
            self.calls.lost(std::mem::take(&mut who_knows));
        }
    }

    /// Some replicas for some reports; now and then all for the same one.
    fn ask(&mut self) {
        let all = self.world.random.u8(..) < 16;
        let of_all = self.world.random.u32(0..self.world.reports);
        for index in 0..self.world.slots.len() {
            let (asked, report) = (self.world.random.u8(..), self.world.random.u32(0..self.world.reports));
            let slot = &self.world.slots[index];
            let Some(replica) = &slot.replica else { continue };
            if all {
                self.questions.ask(replica, slot.generation, of_all);
            } else if asked < 80 {
                self.questions.ask(replica, slot.generation, report);
            }
        }
    }

    fn check(&mut self) {
        self.calls.check(&mut self.world);
        for answer in self.questions.answered() {
            self.answers.check(&self.world, &answer);
        }
    }

    /// I10: once the faults have ended, all are of one mind, and nobody waits for a flight that has ended.
    async fn end(&mut self) {
        self.world.heal();
        sleep(Duration::from_secs(25)).await;
        self.check();
        let fleets: Vec<_> = self
            .world
            .replicas()
            .filter_map(|replica| replica.membership.knowledge().fleet().map(|told| told.state.clone()))
            .collect();
        let Some(first) = fleets.first() else { return };
        for fleet in &fleets {
            assert_eq!((fleet.epoch, fleet.today), (first.epoch, first.today), "I10: {fleets:#?}");
        }
        assert_eq!(fleets.len(), self.world.replicas().count(), "I10: a replica has had no heartbeat");
        let same_day = first.today.day == self.world.day();
        if same_day {
            let (spent, made) = (first.today.spent, self.calls.today());
            let offline_of_the_dead = self.world.offline_of_the_dead;
            assert!(
                spent + offline_of_the_dead >= made,
                "I3: in the end {spent} of {made} calls are counted"
            );
        }
        // The fleet's day begins with its first call, a replica's by its clock. One whose own clock was set may be on another day,
        // until its next call.
        if same_day && !self.world.troubles.contains(&Trouble::ReplicaClock) {
            for replica in self.world.replicas() {
                let used = u64::from(replica.used());
                assert!(used >= first.today.spent, "I10: it shows {used} of {first:?}");
            }
        }
        // Flights that others have left behind have ended.
        sleep(world::LEASE).await;
        self.answers.healed = Some(Instant::now());
        let calls = self.world.vendor.calls();
        self.ask_all_for(self.world.reports).await;
        let new = self.world.vendor.calls() - calls;
        assert!(new <= 1, "I10: {new} calls for a report that all were asked for");
        for report in 0..self.world.reports {
            self.ask_all_for(report).await;
        }
    }

    async fn ask_all_for(&mut self, report: u32) {
        let asked = Instant::now();
        for slot in &self.world.slots {
            if let Some(replica) = &slot.replica {
                self.questions.ask(replica, slot.generation, report);
            }
        }
        self.questions.all_answered().await;
        assert!(asked.elapsed() < Duration::from_secs(8), "I10: it took {:?}", asked.elapsed());
        self.check();
    }
}
