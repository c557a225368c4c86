//! Seeded schedules of a rotating token: replicas are killed, restarted and cut off, and the store loses what it has, mostly
//! while one of them renews. What must hold is checked at the vendor and at every replica's own store.

use std::{collections::HashSet, time::Duration};

use link_report_proxy::{
    shared::StoreCopy,
    simulator::{Fault, RefreshTokenPolicy, Scope},
    state::StateStores,
};
use tokio::time::{Instant, sleep};

use super::{
    faulty_store::LinkFault,
    schedules::hours,
    token_fleet::{MINUTE, SECOND, TokenFleet},
};

const LIFETIME: Duration = Duration::from_hours(3);
const LENGTH: Duration = Duration::from_hours(5);
const STEP: Duration = SECOND;
/// In steps.
const RENEWED_EVERY: u32 = 12 * 60;
const DISTURBED_EVERY: u32 = 5 * 60;
/// A renewal is over by then: the call has 20 s.
const OVER: Duration = Duration::from_secs(30);
/// No fault lasts longer, so that nobody misses a whole renewal and its own last quarter of an hour.
const LONGEST_FAULT: u64 = 10 * 60;

/// A schedule under way.
struct TokenSchedule {
    seed: u64,
    fleet: TokenFleet,
    random: fastrand::Rng,
    copy: StoreCopy,
    /// What the links and the dead wait for.
    until: Vec<(usize, Instant)>,
    killed_at: Vec<Instant>,
    /// Every refresh token that was in a replica's own store.
    kept: HashSet<String>,
    /// The refresh tokens whose answer was lost with the replica that had sent them.
    lost: HashSet<String>,
}

// === impl TokenSchedule ===

impl TokenSchedule {
    async fn begin(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let fleet =
            TokenFleet::of(random.usize(2..=5), RefreshTokenPolicy::Rotating, LIFETIME).settled().await;
        fleet.vendor.inject(Fault::Latency(Duration::from_millis(random.u64(10..2_000))), Scope::TokenCalls);
        let copy = fleet.store.copy();
        let (kept, lost) = (HashSet::new(), HashSet::new());
        Self { seed, fleet, random, copy, until: Vec::new(), killed_at: Vec::new(), kept, lost }
    }

    async fn play(&mut self) {
        let (end, mut steps) = (Instant::now() + LENGTH, 0_u32);
        while Instant::now() < end {
            sleep(STEP).await;
            steps += 1;
            self.note_kept().await;
            self.see_losses();
            self.mend();
            if steps.is_multiple_of(RENEWED_EVERY) {
                self.disturb_a_renewal().await;
            } else if steps.is_multiple_of(DISTURBED_EVERY) {
                self.copy = self.fleet.store.copy();
                self.disturb();
            }
        }
        self.settle().await;
    }

    /// The access token is refused, and something happens while a replica renews it.
    async fn disturb_a_renewal(&mut self) {
        self.fleet.vendor.revoke_access_tokens();
        let living = self.fleet.living();
        let asked = living[self.random.usize(..living.len())];
        let answer = self.fleet.ask_meanwhile(asked);
        sleep(Duration::from_millis(self.random.u64(..2_000))).await;
        if self.random.u8(..5) == 0 {
            self.kill(asked);
        } else {
            self.disturb();
        }
        drop(answer);
    }

    /// Some come back without what they had stored, but not if too few are left.
    fn kill(&mut self, member: usize) {
        let living = self.fleet.living().len();
        if living < 2 {
            return;
        }
        self.fleet.kill(member);
        self.killed_at.push(Instant::now());
        if self.random.u8(..4) == 0 && living > 2 {
            self.fleet.members[member].own = StateStores::in_memory();
        }
        let until = self.fault_ends();
        self.until.push((member, until));
    }

    fn fault_ends(&mut self) -> Instant {
        Instant::now() + Duration::from_secs(self.random.u64(1..LONGEST_FAULT))
    }

    fn disturb(&mut self) {
        let living = self.fleet.living();
        let member = living[self.random.usize(..living.len())];
        let link = &self.fleet.members[member].link;
        match self.random.u8(0..11) {
            0..3 => return self.kill(member),
            3 => link.set(LinkFault::Cut),
            4 => link.set(LinkFault::ReplyLost),
            5 => link.set(LinkFault::RequestLost),
            6 => link.set(LinkFault::Frozen(Duration::from_millis(self.random.u64(..8_000)))),
            7 => self.fleet.store.fail_over(self.copy.clone()),
            8 => self.fleet.store.put_back(self.copy.clone()),
            9 => self.fleet.store.flush(),
            _ => self.fleet.store.restart_empty(),
        }
        let until = self.fault_ends();
        self.until.push((member, until));
    }

    /// Ends the faults whose time is up.
    fn mend(&mut self) {
        let now = Instant::now();
        let (over, under_way): (Vec<_>, Vec<_>) = self.until.drain(..).partition(|(_, until)| *until <= now);
        self.until = under_way;
        for (member, _) in over {
            self.mend_one(member);
        }
    }

    fn mend_one(&mut self, member: usize) {
        self.fleet.members[member].link.set(LinkFault::None);
        if self.fleet.members[member].alive.is_none() {
            self.fleet.start(member);
        }
    }

    async fn note_kept(&mut self) {
        for member in 0..self.fleet.members.len() {
            self.kept.extend(self.fleet.own_refresh_token(member).await);
        }
    }

    /// I7: an answer is in a replica's own store, or the replica that asked is dead. Then a person has to log in.
    fn see_losses(&mut self) {
        let now = Instant::now();
        let refreshes = self.fleet.vendor.refreshes();
        let answered = refreshes.iter().rev().find_map(|refresh| Some((refresh, refresh.next.as_ref()?)));
        let Some((refresh, next)) = answered else { return };
        if self.kept.contains(next) || self.lost.contains(&refresh.sent) || now < refresh.at + OVER {
            return;
        }
        let killed = self.killed_at.iter().any(|at| *at >= refresh.at && *at <= refresh.at + OVER);
        assert!(killed, "seed {}: nobody has kept the answer of {:?} ago", self.seed, now - refresh.at);
        self.lost.insert(refresh.sent.clone());
        self.begin_with_another_seed();
    }

    /// One replica starts with a new refresh token in its settings; the others have the old one.
    fn begin_with_another_seed(&mut self) {
        let member = self.random.usize(..self.fleet.members.len());
        self.fleet.kill(member);
        self.killed_at.push(Instant::now());
        self.fleet.members[member].seed = self.fleet.vendor.issue_refresh_token();
        self.mend_one(member);
    }

    async fn settle(&mut self) {
        for member in 0..self.fleet.members.len() {
            self.mend_one(member);
        }
        // More than the patience with a renewal whose replica is gone.
        for _minute in 0..20 {
            sleep(MINUTE).await;
            for member in 0..self.fleet.members.len() {
                let _status = self.fleet.ask(member).await;
            }
            self.note_kept().await;
            self.see_losses();
        }
    }

    async fn check(&mut self) {
        let seed = self.seed;
        let closest = self.fleet.closest_calls();
        assert!(
            closest.is_none_or(|closest| closest >= SECOND),
            "seed {seed}: {closest:?} between two calls"
        );
        // I6
        for again in self.fleet.sent_again() {
            assert!(self.lost.contains(&again.sent), "seed {seed}: {again:?}");
        }
        let _version = self.fleet.agreed_version().await;
        for member in 0..self.fleet.members.len() {
            let (status, token) = (self.fleet.ask(member).await, self.fleet.token(member).await);
            assert_eq!(status, 200, "seed {seed}, {member}: {token}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_dies_and_whatever_the_store_loses_no_answer_is_lost_but_one_whose_replica_was_killed() {
    let (mut renewals, mut lost) = (0, 0);
    // They take longer than the others.
    for seed in 0..hours().div_ceil(2) {
        println!("seed {seed}");
        let mut schedule = TokenSchedule::begin(seed).await;
        schedule.play().await;
        schedule.check().await;
        renewals += schedule.fleet.vendor.token_calls();
        lost += schedule.lost.len();
    }
    println!("{renewals} renewals, of which {lost} were lost with the replica that made them");
}
