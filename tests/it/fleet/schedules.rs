//! Seeded schedules: half an hour of requests, while the store is slow, loses data, or is away from some replicas. What must
//! hold is checked at the vendor and at every replica.

use std::time::Duration;

use link_report_proxy::{
    shared::StoreCopy,
    simulator::{Fault, Options, Scope},
};
use tokio::{task::JoinSet, time::sleep};

use super::{Fleet, faulty_store::LinkFault};
use crate::support::in_process::path;

const LIMIT: u32 = 400;
const SETTINGS: [(&str, &str); 4] = [
    ("QUOTA__PER_SECOND", "4"),
    ("QUOTA__PER_DAY", "400"),
    ("CACHE__TTL", "60s"),
    ("CACHE__STALE_WHILE_REVALIDATE", "60s"),
];
/// The tests' reserve is a tenth.
const RESERVE: u64 = LIMIT as u64 / 10;

const STEP: Duration = Duration::from_secs(3);
const STEPS: u32 = 600;

/// Which faults a schedule has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Faults {
    /// The store is slow, or loses what it has acknowledged. The limits hold exactly.
    OfTheStore,
    /// The same, and links are cut or lose what they carry. The limits hold but for the shares of those cut off.
    OfTheLinksToo,
}

/// A schedule under way.
struct Schedule {
    fleet: Fleet,
    random: fastrand::Rng,
    faults: Faults,
    copy: StoreCopy,
}

// === impl Schedule ===

impl Schedule {
    async fn begin(seed: u64, faults: Faults) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        // The limits are counted here, not enforced by the vendor.
        let vendor = Options { per_second: 0, per_day: 0, ..Options::default() };
        let fleet = Fleet::facing(vendor, random.usize(2..=5), &SETTINGS);
        fleet.vendor.inject(Fault::Latency(Duration::from_millis(random.u64(20..400))), Scope::All);
        Fleet::has_met().await;
        let copy = fleet.store.copy();
        Self { fleet, random, faults, copy }
    }

    async fn play(&mut self) {
        let mut asked = JoinSet::new();
        for step in 0..STEPS {
            if step % 7 == 0 {
                self.copy = self.fleet.store.copy();
            }
            if self.random.u8(..) < 20 {
                self.disturb();
            }
            for replica in &self.fleet.replicas {
                if self.random.bool() {
                    asked.spawn(replica.get_meanwhile(&path(self.random.u32(0..40))));
                }
            }
            sleep(STEP).await;
        }
        for answer in asked.join_all().await {
            let status = answer.expect("an answer").status;
            // 504: a replica that was cut off in a flight keeps the others waiting until its lease ends.
            assert!(
                [200, 503].contains(&status) || (status, self.faults) == (504, Faults::OfTheLinksToo),
                "{status}"
            );
        }
    }

    fn disturb(&mut self) {
        let store = &self.fleet.store;
        let link = &self.fleet.links[self.random.usize(0..self.fleet.links.len())];
        match self.random.u8(0..9) {
            0 => store.fail_over(self.copy.clone()),
            1 => store.put_back(self.copy.clone()),
            2 => store.flush(),
            3 => store.restart_empty(),
            4 => link.set(LinkFault::Slow(Duration::from_millis(self.random.u64(1..240)))),
            5 if self.faults == Faults::OfTheLinksToo => link.set(LinkFault::Cut),
            6 if self.faults == Faults::OfTheLinksToo => link.set(LinkFault::RequestLost),
            7 if self.faults == Faults::OfTheLinksToo => link.set(LinkFault::ReplyLost),
            _ => link.set(LinkFault::None),
        }
    }

    async fn check(&self, seed: u64) {
        let (calls, second) = (self.fleet.vendor.calls(), self.fleet.busiest_second());
        let (most, most_in_a_second) = match self.faults {
            Faults::OfTheStore => (u64::from(LIMIT), 4),
            Faults::OfTheLinksToo => (u64::from(LIMIT) + RESERVE, 8),
        };
        assert!(calls <= most, "seed {seed}: {calls} calls");
        assert!(second <= most_in_a_second, "seed {seed}: {second} calls in a second");
        for link in &self.fleet.links {
            link.set(LinkFault::None);
        }
        sleep(Duration::from_secs(30)).await;
        let mut known = Vec::new();
        for replica in &self.fleet.replicas {
            let used = replica.admin("/quota").await.json()["day"]["used"].as_u64().expect("a number");
            assert!(used >= calls, "seed {seed}: {used} known of {calls} calls");
            known.push(used);
        }
        assert!(known.iter().all(|used| *used == known[0]), "seed {seed}: {known:?}");
    }
}

/// How many schedules of each kind; `tests/run fleet N` plays more.
pub(super) fn schedules() -> u64 {
    std::env::var("FLEET_SCHEDULES").map_or(12, |schedules| schedules.parse().expect("a number"))
}

async fn play_all(faults: Faults) {
    for seed in 0..schedules() {
        println!("{faults:?}, seed {seed}");
        let mut schedule = Schedule::begin(seed, faults).await;
        schedule.play().await;
        schedule.check(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_the_store_loses_no_limit_is_overrun_and_all_agree_in_the_end() {
    play_all(Faults::OfTheStore).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_the_links_lose_the_limits_are_overrun_by_the_shares_at_most_and_all_agree_in_the_end() {
    play_all(Faults::OfTheLinksToo).await;
}
