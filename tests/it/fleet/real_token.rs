//! kill -9 of replicas and of Redis around renewals of a rotating token: real binaries and a real redis-server.
//!
//! `FLEET_KILLS=300` kills so often and lets the fleet recover by itself, which takes a minute where a renewal was cut in two.
//! Without it there are a few, and somebody logs in where there is something to wait for.

use std::time::Duration;

use link_report_proxy::simulator::{Fault, Scope, SeenRequest};
use tokio::time::{Instant, interval, sleep, timeout};

use super::real_token_fleet::{RealTokenFleet, TokenCall};

/// In the test of every day.
const FEW: usize = 6;
const KILLS_A_FLEET: usize = 12;
/// They mostly wait.
const MOST_FLEETS: usize = 16;
/// Replicas that find all well go on within this; it costs only time if they do not.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Longer than a minute for a renewal that another replica has begun, and the pauses after failures.
const BY_ITSELF: Duration = Duration::from_secs(180);
/// Another replica's intent is left alone for a minute, from a moment before its call.
const UNDER_WAY: Duration = Duration::from_secs(50);

/// What ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recovery {
    /// Time, except for a token that is lost.
    ByItself,
    /// A person.
    ByLogin,
}

/// Why a renewal begins.
#[derive(Debug, Clone, Copy)]
enum Trigger {
    Login,
    Refused,
}

/// Who is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Replica(usize),
    Store,
    Both(usize),
}

/// A fleet and its killer.
struct KillSchedule {
    seed: u64,
    random: fastrand::Rng,
    fleet: RealTokenFleet,
    recovery: Recovery,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    kills: usize,
    renewals: usize,
    lost: usize,
    logins: usize,
    sent_again: usize,
}

// === impl KillSchedule ===

impl KillSchedule {
    async fn play(seed: u64, kills: usize, recovery: Recovery) -> Tally {
        let fleet = RealTokenFleet::start("info").await;
        let random = fastrand::Rng::with_seed(seed);
        let mut schedule = Self { seed, random, fleet, recovery, tally: Tally::default() };
        schedule.log_in().await;
        schedule.must("begin", BY_ITSELF).await;
        while schedule.tally.kills < kills {
            schedule.kill_around_a_renewal().await;
        }
        schedule.tally.renewals = schedule.fleet.calls().iter().filter(|call| call.next.is_some()).count();
        schedule.check_files();
        schedule.tally
    }

    async fn kill_around_a_renewal(&mut self) {
        let latency = Duration::from_millis(self.random.u64(..40));
        self.fleet.vendor.clear_faults();
        self.fleet.vendor.inject(Fault::Latency(latency), Scope::TokenCalls);
        self.fleet.vendor.revoke_access_tokens();
        let (since, calls) = (Instant::now(), self.fleet.vendor.token_calls());
        let (asked, trigger) = (self.random.usize(..3), self.trigger());
        match trigger {
            Trigger::Login => self.log_in_at(asked).await,
            Trigger::Refused => self.fleet.ask_meanwhile(asked).await,
        }
        let caller = if self.random.u8(..4) == 0 {
            // Where the moment is no event, chance finds it.
            self.pause(match trigger {
                Trigger::Login => 1_200,
                Trigger::Refused => 60,
            })
            .await;
            asked
        } else {
            self.call_after(calls, asked).await
        };
        let victim = self.victim(caller);
        println!("seed {}: {trigger:?}, {victim:?}", self.seed);
        self.kill(victim).await;
        self.recover(since).await;
        self.check_calls();
    }

    /// A second refused token is renewed a minute after the first one, and so on, unless there was a login between.
    fn trigger(&self) -> Trigger {
        match self.recovery {
            Recovery::ByItself if self.tally.kills.is_multiple_of(2) => Trigger::Refused,
            Recovery::ByItself | Recovery::ByLogin => Trigger::Login,
        }
    }

    /// A little after the call of the token endpoint; says who has made it. After a loss in the store there is a pause
    /// before it.
    async fn call_after(&mut self, calls: u64, asked: usize) -> usize {
        let mut pulse = interval(Duration::from_millis(1));
        let called = async {
            while self.fleet.vendor.token_calls() == calls {
                pulse.tick().await;
            }
        };
        if timeout(Duration::from_secs(30), called).await.is_err() {
            return asked;
        }
        self.pause(80).await;
        self.fleet.calls().last().map_or(asked, |call| call.replica)
    }

    async fn pause(&mut self, longest_ms: u64) {
        sleep(Duration::from_micros(self.random.u64(..longest_ms * 1_000))).await;
    }

    fn victim(&mut self, caller: usize) -> Victim {
        match self.random.u8(..8) {
            0..4 => Victim::Replica(caller),
            4 => Victim::Replica((caller + 1) % 3),
            5 | 6 => Victim::Store,
            _ => Victim::Both(caller),
        }
    }

    async fn kill(&mut self, victim: Victim) {
        match victim {
            Victim::Replica(replica) => self.fleet.kill(replica).await,
            Victim::Store => self.fleet.redis.restart().await,
            Victim::Both(replica) => {
                self.fleet.redis.end();
                self.fleet.kill(replica).await;
                self.fleet.redis.restart().await;
            }
        }
        self.tally.kills += 1;
        match victim {
            Victim::Replica(replica) | Victim::Both(replica) => self.fleet.start_replica(replica).await,
            Victim::Store => {}
        }
    }

    /// The fleet goes on, unless the only answer was lost.
    async fn recover(&mut self, since: Instant) {
        if timeout(AT_ONCE, self.fleet.serves()).await.is_ok() {
            return;
        }
        let answer = self.fleet.newest_answer(since);
        match answer.filter(|answer| self.fleet.is_lost(answer)) {
            Some(lost) => self.replace_lost(&lost).await,
            None if self.recovery == Recovery::ByLogin && self.fleet.newest_answer(since).is_none() => {
                self.log_in().await;
                self.must("go on after a login", BY_ITSELF).await;
            }
            None => {
                let end = Instant::now() + BY_ITSELF;
                // It may be lost later: the call was on its way when its replica was killed.
                while timeout(AT_ONCE, self.fleet.serves()).await.is_err() {
                    let answer = self.fleet.newest_answer(since);
                    if let Some(lost) = answer.filter(|answer| self.fleet.is_lost(answer)) {
                        return self.replace_lost(&lost).await;
                    }
                    if Instant::now() > end {
                        self.fail("does not go on by itself").await;
                    }
                }
            }
        }
    }

    /// A person logs in; sometimes only after a replica has found out.
    async fn replace_lost(&mut self, lost: &TokenCall) {
        self.tally.lost += 1;
        // The newest one: it came with the answer.
        let bearer = format!("Bearer {}", self.fleet.vendor.access_token());
        let used = |request: &SeenRequest| {
            request.headers.get("authorization").is_some_and(|sent| sent.as_bytes() == bearer.as_bytes())
        };
        let is_used = self.fleet.vendor.seen().iter().any(used);
        assert!(!is_used, "seed {}: used before it was stored: {lost:?}", self.seed);
        if self.recovery == Recovery::ByItself && self.random.u8(..3) == 0 {
            let end = Instant::now() + BY_ITSELF;
            while !self.fleet.sent_again().iter().any(|(_, again)| again.sent == lost.sent) {
                let _served = timeout(AT_ONCE, self.fleet.serves()).await;
                if Instant::now() > end {
                    self.fail("does not find out that its token is lost").await;
                }
            }
        }
        self.log_in().await;
        self.must("go on after a lost answer and a login", BY_ITSELF).await;
    }

    /// Once all have been told: what the first answer was lost with, or nothing.
    fn check_calls(&mut self) {
        let again = self.fleet.sent_again();
        for (first, again) in &again {
            let is_own = first.replica == again.replica;
            let waited = again.at - first.at;
            assert!(
                self.fleet.is_lost(first) && (is_own || waited >= UNDER_WAY),
                "seed {}: sent again after {waited:?}: {first:?}, {again:?}",
                self.seed
            );
        }
        self.tally.sent_again = again.len();
    }

    fn check_files(&self) {
        let files = self.fleet.redis.append_only_files();
        for call in self.fleet.calls() {
            for token in [Some(call.sent), call.next].into_iter().flatten() {
                let is_in = files.windows(token.len()).any(|window| window == token.as_bytes());
                assert!(!is_in, "seed {}: a refresh token is in the append-only file", self.seed);
            }
        }
    }

    async fn log_in(&mut self) {
        let replica = self.random.usize(..3);
        self.log_in_at(replica).await;
    }

    async fn log_in_at(&mut self, replica: usize) {
        self.tally.logins += 1;
        self.fleet.log_in(replica).await;
    }

    async fn must(&mut self, what: &str, within: Duration) {
        if timeout(within, self.fleet.serves()).await.is_err() {
            self.fail(&format!("does not {what}")).await;
        }
    }

    async fn fail(&self, what: &str) -> ! {
        let pages = self.fleet.pages().await;
        let logs: Vec<_> = self
            .fleet
            .living()
            .into_iter()
            .map(|replica| self.fleet.replica(replica).log().join("\n"))
            .collect();
        panic!(
            "seed {}: the fleet {what}\n{:#?}\n{pages:#?}\n{}",
            self.seed,
            self.fleet.calls(),
            logs.join("\n\n")
        );
    }
}

#[test]
fn a_kill_of_a_replica_or_of_redis_loses_no_token_but_an_answer_that_nobody_had_stored() {
    let wanted = std::env::var("FLEET_KILLS").ok().map(|kills| kills.parse().expect("a number"));
    let (kills, recovery) = match wanted {
        Some(kills) => (kills, Recovery::ByItself),
        None => (FEW, Recovery::ByLogin),
    };
    let fleets = match recovery {
        Recovery::ByItself => kills.div_ceil(KILLS_A_FLEET).min(MOST_FLEETS),
        Recovery::ByLogin => 2,
    };
    let (began, each) = (Instant::now(), kills.div_ceil(fleets));
    // Each in a thread of its own, or one that is busy would keep the others from sending what they have begun.
    let playing: Vec<_> = (0..fleets as u64)
        .map(|seed| {
            std::thread::spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
                runtime.expect("a runtime").block_on(KillSchedule::play(seed, each, recovery))
            })
        })
        .collect();
    let mut all = Tally::default();
    for played in playing {
        let tally = played.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        all.kills += tally.kills;
        all.renewals += tally.renewals;
        all.lost += tally.lost;
        all.logins += tally.logins;
        all.sent_again += tally.sent_again;
    }
    println!("{fleets} fleets in {:?}: {all:?}", began.elapsed());
    assert!(all.kills >= kills && all.renewals > kills / 2, "{all:?}");
}
