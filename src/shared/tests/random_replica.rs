//! A replica that does random things, with what it was told before: fences, nonces, versions, epochs.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::{
    super::*,
    backend::DAY,
    operation::{OperationResult, StoreOperation},
};
use crate::report::{ReportKey, testing::key};

/// What it does.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Beat {
        offline: u64,
    },
    Recover {
        force: bool,
    },
    Leave,
    Take {
        day: u64,
        ceiling: u64,
        interval: Duration,
        horizon: Duration,
        count: CallCount,
    },
    LockOut {
        day: u64,
        lasts: Duration,
    },
    Throttle {
        hold: Duration,
    },
    LookUp {
        key: ReportKey,
        flight: FlightChoice,
        have: FenceChoice,
        lease: Duration,
        answers: u64,
    },
    Get {
        key: ReportKey,
        have: FenceChoice,
    },
    Land {
        key: ReportKey,
        fence: FenceChoice,
        keep: Duration,
        age: Duration,
        body: Vec<u8>,
        kind: ReportKind,
    },
    Fail {
        key: ReportKey,
        back_off: Duration,
    },
    Purge(PurgeScope),
    ReadToken,
    Swap {
        behind: u64,
        text: u8,
    },
    Restore {
        ahead: u64,
        text: u8,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum FlightChoice {
    New,
    Same,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum FenceChoice {
    Nothing,
    Last,
    Huge,
}

#[derive(Debug)]
pub(super) struct RandomReplica {
    number: u64,
    epochs: u64,
    flights: u64,
    seen: StoreSeen,
    told: SpentDay,
    token_version: u64,
    /// Of each key the last flight, and the last fence that it was told.
    last: BTreeMap<ReportKey, (Nonce, Fence)>,
}

/// The keys that all of them ask for.
pub(super) fn keys() -> Vec<ReportKey> {
    vec![key(1), ReportKey { no_clicks: crate::report::NoClicks::Listed, ..key(1) }]
}

fn millis(most: u64) -> impl Strategy<Value = Duration> {
    (0..=most).prop_map(Duration::from_millis)
}

fn one_key() -> impl Strategy<Value = ReportKey> + Clone {
    prop::sample::select(keys())
}

fn day() -> impl Strategy<Value = u64> {
    prop_oneof![6 => Just(DAY), 3 => Just(DAY + 1), 1 => Just(DAY - 1), 1 => Just(DAY + 2)]
}

fn fence() -> impl Strategy<Value = FenceChoice> + Clone {
    use FenceChoice::{Huge, Last, Nothing};
    prop_oneof![3 => Just(Last), 2 => Just(Nothing), 1 => Just(Huge)]
}

pub(super) fn act() -> impl Strategy<Value = Act> {
    let flight = prop_oneof![Just(FlightChoice::New), Just(FlightChoice::Same)];
    let kind = prop_oneof![Just(ReportKind::Report), Just(ReportKind::Negative)];
    let scope = prop_oneof![2 => one_key().prop_map(PurgeScope::Key), 1 => Just(PurgeScope::All)];
    let lasts = prop_oneof![Just(Duration::ZERO), millis(100_000)];
    let count = prop_oneof![3 => Just(CallCount::One), 1 => Just(CallCount::Counted)];
    let body = prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        4 => (0..5_u64).prop_map(|offline| Act::Beat { offline }),
        2 => prop::bool::weighted(0.3).prop_map(|force| Act::Recover { force }),
        1 => Just(Act::Leave),
        8 => (day(), prop_oneof![Just(10_000_u64), 0..60_u64], millis(30_000), millis(40_000), count).prop_map(
            |(day, ceiling, interval, horizon, count)| Act::Take { day, ceiling, interval, horizon, count }
        ),
        2 => (day(), lasts).prop_map(|(day, lasts)| Act::LockOut { day, lasts }),
        1 => millis(70_000).prop_map(|hold| Act::Throttle { hold }),
        10 => (one_key(), flight, fence(), millis(30_000), 0..4_u64).prop_map(
            |(key, flight, have, lease, answers)| Act::LookUp { key, flight, have, lease, answers }
        ),
        2 => (one_key(), fence()).prop_map(|(key, have)| Act::Get { key, have }),
        8 => (one_key(), fence(), millis(200_000), millis(9_000), body, kind).prop_map(
            |(key, fence, keep, age, body, kind)| Act::Land { key, fence, keep, age, body, kind }
        ),
        3 => (one_key(), millis(60_000)).prop_map(|(key, back_off)| Act::Fail { key, back_off }),
        2 => scope.prop_map(Act::Purge),
        1 => Just(Act::ReadToken),
        4 => (0..2_u64, 0..3_u8).prop_map(|(behind, text)| Act::Swap { behind, text }),
        2 => (0..3_u64, 0..3_u8).prop_map(|(ahead, text)| Act::Restore { ahead, text }),
    ]
}

fn sealed(text: u8) -> SealedToken {
    SealedToken(vec![b'0', text, 0, 255].into())
}

// === impl RandomReplica ===

impl RandomReplica {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            epochs: 0,
            flights: 0,
            seen: StoreSeen::default(),
            told: SpentDay { day: DAY, spent: 0 },
            token_version: 0,
            last: BTreeMap::new(),
        }
    }

    fn fence(&self, key: ReportKey, choice: FenceChoice) -> Fence {
        match choice {
            FenceChoice::Nothing => Fence(0),
            FenceChoice::Last => self.last.get(&key).map_or(Fence(0), |(_, fence)| *fence),
            FenceChoice::Huge => Fence(1 << 52),
        }
    }

    fn nonce(&mut self, key: ReportKey, choice: FlightChoice) -> Nonce {
        match (self.last.get_mut(&key), choice) {
            (Some((nonce, _)), FlightChoice::Same) => *nonce,
            (last, _) => {
                self.flights += 1;
                let nonce = Nonce(u128::from(self.number) << 100 | u128::from(self.flights));
                match last {
                    Some(last) => last.0 = nonce,
                    None => _ = self.last.insert(key, (nonce, Fence(0))),
                }
                nonce
            }
        }
    }

    pub(super) fn operation(&mut self, act: &Act) -> StoreOperation {
        let seen = self.seen;
        match *act {
            Act::Beat { offline } => {
                let member = MemberId(self.number);
                let about = MemberAbout::new("0.1.0", &format!("pod-{}", self.number));
                StoreOperation::Heartbeat(
                    seen,
                    Heartbeat {
                        member,
                        told: self.told,
                        offline,
                        feed_lag: Duration::from_millis(offline),
                        about,
                    },
                )
            }
            Act::Recover { force } => {
                self.epochs += 1;
                StoreOperation::Recover(Recovery {
                    known: seen.epoch,
                    seen: seen.sequence,
                    fresh: Epoch(u64::MAX - (self.number << 32) - self.epochs),
                    told: self.told,
                    margin: 40,
                    force,
                    // One that a store that goes on from a copy can lack.
                    purged: Fence(if force { seen.sequence.0.saturating_sub(3) } else { 0 }),
                })
            }
            Act::Leave => StoreOperation::Leave(MemberId(self.number)),
            Act::Take { day, ceiling, interval, horizon, count } => {
                StoreOperation::TakeCall(seen, CallRequest { day, ceiling, interval, horizon, count })
            }
            Act::LockOut { day, lasts } => StoreOperation::LockOut(seen, LockoutRequest { day, lasts }),
            Act::Throttle { hold } => StoreOperation::Throttle(seen, ThrottleRequest { hold }),
            Act::LookUp { key, flight, have, lease, answers } => {
                let (nonce, have) = (self.nonce(key, flight), self.fence(key, have));
                StoreOperation::LookUp(seen, LookUp { key, nonce, have, lease, answers })
            }
            Act::Get { key, have } => StoreOperation::Get(key, self.fence(key, have)),
            Act::Land { key, fence, keep, age, ref body, kind } => {
                let (nonce, fence) = (self.nonce(key, FlightChoice::Same), self.fence(key, fence));
                let unchanged_for = age * 2;
                let body = body.clone().into();
                let report = ReportToStore { kind, age, unchanged_for, body, mac: "mac".into() };
                StoreOperation::Store(seen, StoreReport { key, nonce, fence, keep, report })
            }
            Act::Fail { key, back_off } => {
                let nonce = self.nonce(key, FlightChoice::Same);
                StoreOperation::Fail(seen, FlightFailure { key, nonce, back_off, why: "why".into() })
            }
            Act::Purge(scope) => StoreOperation::Purge(seen, scope),
            Act::ReadToken => StoreOperation::ReadToken,
            Act::Swap { behind, text } => {
                let expected = self.token_version.saturating_sub(behind);
                let swap = TokenSwap { expected, generation: 1, token: sealed(text) };
                StoreOperation::SwapToken(seen, swap)
            }
            Act::Restore { ahead, text } => {
                let version = self.token_version + ahead;
                let token = SharedToken { version, generation: 2, token: sealed(text) };
                StoreOperation::RestoreToken(seen, token)
            }
        }
    }

    /// Remembers what it is told; `Err` if the store has changed.
    pub(super) fn hear(&mut self, operation: &StoreOperation, result: &OperationResult) -> Guarded<()> {
        match result {
            OperationResult::Heartbeat(state) => self.hear_state(state.as_ref().map_err(|changed| *changed)?),
            OperationResult::Recovered(state) => self.hear_state(state),
            OperationResult::Call(turn) => {
                turn.as_ref().map_err(|changed| *changed)?;
            }
            OperationResult::Done(done) => *done.as_ref().map_err(|changed| *changed)?,
            OperationResult::LookedUp(looked_up) => {
                let fence = match looked_up.as_ref().map_err(|changed| *changed)? {
                    LookedUp::Newer(report) => report.fence,
                    LookedUp::Leased(lease) => {
                        self.seen.sequence = self.seen.sequence.max(lease.sequence());
                        lease.fence
                    }
                    LookedUp::InFlight { .. } | LookedUp::BackOff { .. } => return Ok(()),
                };
                if let StoreOperation::LookUp(_, LookUp { key, nonce, .. }) = operation {
                    self.last.insert(*key, (*nonce, fence));
                }
            }
            OperationResult::Stored(stored) => {
                stored.as_ref().map_err(|changed| *changed)?;
            }
            OperationResult::Purged(fence) => {
                let fence = *fence.as_ref().map_err(|changed| *changed)?;
                self.seen.sequence = self.seen.sequence.max(fence.into());
            }
            OperationResult::Token(record) => {
                self.token_version = record.as_ref().map_or(0, |record| record.version);
            }
            OperationResult::Swapped(swapped) => {
                self.token_version = match swapped.as_ref().map_err(|changed| *changed)? {
                    TokenSwapped::Done(version) => *version,
                    TokenSwapped::Conflict(record) => record.as_ref().map_or(0, |record| record.version),
                };
            }
            OperationResult::Restored(version) => {
                self.token_version = *version.as_ref().map_err(|changed| *changed)?;
            }
            OperationResult::Left | OperationResult::Report(_) => {}
        }
        Ok(())
    }

    fn hear_state(&mut self, state: &FleetState) {
        self.seen = StoreSeen { epoch: Some(state.epoch), sequence: state.sequence };
        self.told = state.today;
        self.token_version = state.token_version;
    }
}
