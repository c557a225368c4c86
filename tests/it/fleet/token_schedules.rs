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
    schedules::{alone, hours, number, play_all},
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
/// With a renewal that another replica has begun.
const PATIENCE: Duration = Duration::from_mins(10);
/// No fault lasts longer, so that nobody misses a whole renewal and its own last quarter of an hour.
const LONGEST_FAULT: u64 = 10 * 60;

/// A schedule under way.
struct TokenSchedule {
    seed: u64,
    began: Instant,
    /// What has happened so far, for whoever reads of a failure.
    story: Vec<(Instant, String)>,
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
        fastrand::seed(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let fleet =
            TokenFleet::of(random.usize(2..=5), RefreshTokenPolicy::Rotating, LIFETIME).settled().await;
        fleet.vendor.inject(Fault::Latency(Duration::from_millis(random.u64(10..2_000))), Scope::TokenCalls);
        let copy = fleet.store.copy();
        let (kept, lost) = (HashSet::new(), HashSet::new());
        Self {
            seed,
            began: Instant::now(),
            story: Vec::new(),
            fleet,
            random,
            copy,
            until: Vec::new(),
            killed_at: Vec::new(),
            kept,
            lost,
        }
    }

    fn tell(&mut self, what: String) {
        self.story.push((Instant::now(), what));
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
                self.disturb().await;
            }
        }
        self.settle().await;
    }

    /// The access token is refused, all replicas want another one, and something happens while one of them renews it.
    async fn disturb_a_renewal(&mut self) {
        self.fleet.vendor.revoke_access_tokens();
        self.tell("the access token is refused".to_owned());
        let mut asked = self.fleet.living();
        self.random.shuffle(&mut asked);
        let answers: Vec<_> = asked.iter().map(|member| self.fleet.ask_meanwhile(*member)).collect();
        match self.random.u8(..8) {
            0 => self.begin_from_an_older_copy().await,
            during => {
                sleep(Duration::from_millis(self.random.u64(..2_000))).await;
                if during == 1 { self.kill(asked[0]).await } else { self.disturb().await }
            }
        }
        drop(answers);
    }

    /// Some come back without what they had stored, unless nobody else has it.
    async fn kill(&mut self, member: usize) {
        let living = self.fleet.living().len();
        if living < 2 {
            return;
        }
        self.fleet.kill(member);
        self.killed_at.push(Instant::now());
        if self.random.u8(..4) == 0 {
            self.lose_disk(member).await;
        }
        let until = self.fault_ends();
        self.until.push((member, until));
        self.tell(format!("{member} is killed until {:?}", until - self.began));
    }

    /// After the renewal, the store is a copy from before it, and a replica with an empty disk meets it first: it must not
    /// use that copy's refresh token before those who have the new one have written it back.
    async fn begin_from_an_older_copy(&mut self) {
        self.mend_all();
        sleep(OVER).await;
        self.note_kept().await;
        let member = self.random.usize(..self.fleet.members.len());
        self.fleet.kill(member);
        self.killed_at.push(Instant::now());
        self.lose_disk(member).await;
        if self.random.bool() {
            self.fleet.store.fail_over(self.copy.clone());
        } else {
            self.fleet.store.restart_empty();
        }
        self.fleet.start(member);
        self.tell(format!("{member} meets an older copy of the store"));
        sleep(SECOND).await;
        let _status = self.fleet.ask(member).await;
    }

    async fn lose_disk(&mut self, member: usize) {
        let own = self.fleet.own_refresh_token(member).await;
        for other in self.fleet.living() {
            if own.is_some() && self.fleet.own_refresh_token(other).await == own {
                self.fleet.members[member].own = StateStores::in_memory();
                self.tell(format!("{member} loses its disk"));
                return;
            }
        }
    }

    fn fault_ends(&mut self) -> Instant {
        Instant::now() + Duration::from_secs(self.random.u64(1..LONGEST_FAULT))
    }

    async fn disturb(&mut self) {
        let living = self.fleet.living();
        let member = living[self.random.usize(..living.len())];
        let link = &self.fleet.members[member].link;
        let what = self.random.u8(0..11);
        match what {
            0..3 => return self.kill(member).await,
            3 => link.set(LinkFault::Cut),
            4 => link.set(LinkFault::ReplyLost),
            5 => link.set(LinkFault::RequestLost),
            6 => link.set(LinkFault::Frozen(Duration::from_millis(self.random.u64(..8_000)))),
            7 => self.fleet.store.fail_over(self.copy.clone()),
            8 => self.fleet.store.put_back(self.copy.clone()),
            9 => self.fleet.store.flush(),
            _ => self.fleet.store.restart_empty(),
        }
        let (until, fault) = (self.fault_ends(), self.fleet.members[member].link.fault());
        if what < 7 {
            self.until.push((member, until));
            self.tell(format!("{member}'s link: {fault:?} until {:?}", until - self.began));
        } else {
            let lost = ["failed over to a copy", "put back", "flushed", "restarted empty"];
            self.tell(format!("the store is {}", lost[usize::from(what) - 7]));
        }
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

    fn mend_all(&mut self) {
        self.until.clear();
        for member in 0..self.fleet.members.len() {
            self.mend_one(member);
        }
    }

    fn mend_one(&mut self, member: usize) {
        self.fleet.members[member].link.set(LinkFault::None);
        if self.fleet.members[member].alive.is_none() {
            self.fleet.start(member);
        }
        self.tell(format!("{member} is mended"));
    }

    async fn note_kept(&mut self) {
        for member in 0..self.fleet.members.len() {
            let Some(token) = self.fleet.own_refresh_token(member).await else { continue };
            if !self.kept.contains(&token) {
                self.tell(format!("{member} is the first to have {}", short(&token)));
                self.kept.insert(token);
            }
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
        self.mend_all();
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
        let refreshes = self.fleet.vendor.refreshes();
        for again in self.fleet.sent_again() {
            let first = refreshes.iter().find(|refresh| refresh.sent == again.sent).expect("itself");
            let waited = again.at - first.at;
            let is_right = self.lost.contains(&again.sent) || waited >= PATIENCE;
            assert!(is_right, "seed {seed}: {} was sent again after {waited:?}", short(&again.sent));
        }
        let _version = self.fleet.agreed_version().await;
        for member in 0..self.fleet.members.len() {
            let (status, token) = (self.fleet.ask(member).await, self.fleet.token(member).await);
            assert_eq!(status, 200, "seed {seed}, {member}: {token}");
        }
    }
}

impl Drop for TokenSchedule {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let calls = self.fleet.vendor.refreshes().into_iter().map(|call| {
            let next = call.next.as_deref().map_or("invalid_grant", short);
            (call.at, format!("the vendor gets {}, answers {next}", short(&call.sent)))
        });
        self.story.extend(calls);
        self.story.sort();
        let lines = self.story.iter().map(|(at, what)| format!("  {:?} {what}\n", *at - self.began));
        println!("seed {}:\n{}", self.seed, lines.collect::<String>());
    }
}

/// The end of a token tells it from the others.
fn short(token: &str) -> &str {
    &token[token.len().saturating_sub(6)..]
}

async fn play(seed: u64) -> (u64, usize) {
    let mut schedule = TokenSchedule::begin(seed).await;
    schedule.play().await;
    schedule.check().await;
    (schedule.fleet.vendor.token_calls(), schedule.lost.len())
}

#[test]
fn whoever_dies_and_whatever_the_store_loses_no_answer_is_lost_but_one_whose_replica_was_killed() {
    let seeds: Vec<_> = match number("FLEET_SEED") {
        Some(seed) => vec![seed],
        // They take longer than the others.
        None => (0..number("FLEET_TOKEN_SCHEDULES").unwrap_or_else(|| hours().div_ceil(2))).collect(),
    };
    let played = play_all(&seeds, |seed| alone(play(seed)));
    let (renewals, lost): (Vec<_>, Vec<_>) = played.into_iter().unzip();
    let (renewals, lost) = (renewals.iter().sum::<u64>(), lost.iter().sum::<usize>());
    println!(
        "{} schedules, {renewals} renewals, of which {lost} were lost with the replica that made them",
        seeds.len()
    );
}
