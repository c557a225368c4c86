//! A replica as the cases need it: remembers what it was told.

use std::{sync::Arc, time::Duration};

use super::super::{
    super::*,
    backend::{Backend, DAY},
};
use crate::report::{ReportKey, testing::key};

pub(super) const MARGIN: u64 = 40;
pub(super) const LEASE: Duration = Duration::from_secs(20);
pub(super) const INTERVAL: Duration = Duration::from_millis(275);
pub(super) const HORIZON: Duration = Duration::from_secs(5);

pub(super) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[derive(Clone)]
pub(super) struct Replica {
    pub(super) store: Arc<dyn SharedStore>,
    pub(super) number: u64,
    pub(super) seen: StoreSeen,
    pub(super) told: SpentDay,
}

// === impl Replica ===

impl Replica {
    /// It knows nothing yet but the day.
    pub(super) fn new(backend: &Backend, number: u64) -> Self {
        let told = SpentDay { day: DAY, spent: 0 };
        Self { store: Arc::clone(&backend.store), number, seen: StoreSeen::default(), told }
    }

    /// The first of them begins the epoch, with a count of 0 and no wait.
    pub(super) async fn fleet<const SIZE: usize>(backend: &Backend) -> [Self; SIZE] {
        let mut replicas: [_; SIZE] =
            std::array::from_fn(|at| Self::new(backend, u64::try_from(at).unwrap() + 1));
        for replica in &mut replicas {
            let recovery = Recovery { margin: 0, ..replica.recovery() };
            replica.recover_with(recovery).await;
        }
        backend.faults.put_clock_forward(secs(2));
        replicas
    }

    pub(super) fn recovery(&self) -> Recovery {
        Recovery {
            known: self.seen.epoch,
            seen: self.seen.sequence,
            fresh: Epoch(self.number + 16 * (self.seen.sequence.0 + 1)),
            told: self.told,
            margin: MARGIN,
            force: false,
            purged: Fence::default(),
        }
    }

    pub(super) async fn recover_with(&mut self, recovery: Recovery) -> FleetState {
        let state = self.store.recover(recovery).await.unwrap();
        self.hear(&state);
        state
    }

    pub(super) async fn recover(&mut self) -> FleetState {
        self.recover_with(self.recovery()).await
    }

    pub(super) fn hear(&mut self, state: &FleetState) {
        self.seen = StoreSeen { epoch: Some(state.epoch), sequence: state.sequence };
        self.told = state.today;
    }

    pub(super) async fn beat(&mut self) -> FleetState {
        self.beat_offline(0).await
    }

    pub(super) async fn beat_offline(&mut self, offline: u64) -> FleetState {
        let state = self.try_beat(offline).await.unwrap();
        self.hear(&state);
        state
    }

    pub(super) async fn try_beat(&self, offline: u64) -> Guarded<FleetState> {
        let about = self.about();
        let heartbeat = Heartbeat {
            member: MemberId(self.number),
            told: self.told,
            offline,
            feed_lag: ms(self.number),
            about,
        };
        self.store.heartbeat(self.seen, heartbeat).await.unwrap()
    }

    pub(super) fn about(&self) -> MemberAbout {
        MemberAbout::new("0.1.0", &format!("pod-{}", self.number))
    }

    pub(super) async fn try_take(&self, request: CallRequest) -> Guarded<CallTurn> {
        self.store.take_call(self.seen, request).await.unwrap()
    }

    pub(super) async fn take_with(&self, request: CallRequest) -> CallTurn {
        self.try_take(request).await.unwrap()
    }

    /// Takes a call of today.
    pub(super) async fn take(&self) -> CallTurn {
        self.take_with(call(DAY)).await
    }

    /// Takes a call that must be granted, and returns the count.
    pub(super) async fn spend(&self) -> u64 {
        match self.take_with(CallRequest { interval: Duration::ZERO, ..call(DAY) }).await {
            CallTurn::Granted { spent, .. } => spent,
            turn => panic!("{turn:?}"),
        }
    }

    pub(super) async fn lock_out(&self, day: u64, lasts: Duration) {
        self.store.lock_out(self.seen, LockoutRequest { day, lasts }).await.unwrap().unwrap();
    }

    pub(super) fn nonce(&self, flight: u64) -> Nonce {
        Nonce(u128::from(self.number) << 64 | u128::from(flight))
    }

    pub(super) async fn look(&self, flight: u64, have: Fence) -> LookedUp {
        self.look_with(self.look_up(flight, have)).await
    }

    pub(super) fn look_up(&self, flight: u64, have: Fence) -> LookUp {
        LookUp { key: one(), nonce: self.nonce(flight), have, lease: LEASE, answers: 0 }
    }

    pub(super) async fn look_with(&self, look_up: LookUp) -> LookedUp {
        self.store.look_up(self.seen, look_up).await.unwrap().unwrap()
    }

    /// Takes a lease that must be granted.
    pub(super) async fn lease(&self, flight: u64) -> FlightLease {
        match self.look(flight, Fence(u64::MAX)).await {
            LookedUp::Leased(lease) => lease,
            looked_up => panic!("{looked_up:?}"),
        }
    }

    pub(super) fn landing(&self, flight: u64, fence: Fence, body: &'static str) -> StoreReport {
        let report = ReportToStore {
            kind: ReportKind::Report,
            age: Duration::ZERO,
            unchanged_for: Duration::ZERO,
            body: body.into(),
            mac: "mac".into(),
        };
        StoreReport { key: one(), nonce: self.nonce(flight), fence, keep: secs(600), report }
    }

    pub(super) async fn land_with(&self, report: StoreReport) -> Option<Fence> {
        self.store.store(self.seen, report).await.unwrap().unwrap()
    }

    pub(super) async fn land(&self, flight: u64, fence: Fence, body: &'static str) -> Option<Fence> {
        self.land_with(self.landing(flight, fence, body)).await
    }

    /// Fetches the key: a lease and its report.
    pub(super) async fn fetch(&self, flight: u64, body: &'static str) -> Fence {
        let FlightLease { fence, .. } = self.lease(flight).await;
        assert_eq!(self.land(flight, fence, body).await, Some(fence));
        fence
    }

    pub(super) async fn fail(&self, flight: u64, back_off: Duration, why: &str) {
        let failure = FlightFailure { key: one(), nonce: self.nonce(flight), back_off, why: why.into() };
        self.store.fail(self.seen, failure).await.unwrap().unwrap();
    }

    pub(super) async fn get(&self) -> Option<SharedReport> {
        self.store.get(one(), Fence(0)).await.unwrap()
    }

    pub(super) async fn body(&self) -> Option<String> {
        self.get().await.map(|report| String::from_utf8(report.body.to_vec()).unwrap())
    }

    pub(super) async fn purge(&self, scope: PurgeScope) -> Fence {
        self.store.purge(self.seen, scope).await.unwrap().unwrap()
    }
}

/// The key of all cases that need one.
pub(super) fn one() -> ReportKey {
    key(1)
}

pub(super) const fn call(day: u64) -> CallRequest {
    CallRequest { day, ceiling: 10_000, interval: INTERVAL, horizon: HORIZON, count: CallCount::One }
}

pub(super) const fn granted(wait: Duration, spent: u64) -> CallTurn {
    CallTurn::Granted { wait, spent, probe: false }
}
