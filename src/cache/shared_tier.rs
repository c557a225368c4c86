//! The shared tier: below the memory, the store that the replicas share. A key that another replica has fetched costs no
//! call, and a key that another replica fetches at this moment is waited for: single flight for the whole fleet.

use std::{
    num::NonZeroU16,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use foldhash::fast::RandomState;
use moka::sync::Cache as Moka;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, timeout},
};

use super::{
    RefreshFailure, ReportCache, SharedReportCheck,
    flight::Joined,
    shared_answer::{failure_of, failure_word},
    shared_flight::{FetchedBy, SharedCopy, SharedFlightResult},
    shared_landing::{Landing, LandingResult},
};
use crate::{
    middleware::{Middleware, Next},
    report::{Call, Exchange, FailureKind, FetchError, Fetched, FlightNumber, Origin, ReportKey},
    shared::{
        Fence, FlightFailure, FlightLease, LookUp, LookedUp, Membership, Nonce, PurgeQueue, SharedReport,
        StoreReport,
    },
    telemetry::FleetMetrics,
};

/// The store is asked again after this time while another replica fetches, if the feed says nothing; doubled each time.
const FIRST_POLL: Duration = Duration::from_millis(250);
const LONGEST_POLL: Duration = Duration::from_secs(1);

/// So many changes wait for a flight that looks for its own key.
const CHANGES: usize = 256;

/// So many keys' fences are remembered. A fence that is forgotten costs one more look into the store.
const COPIES: u64 = 20_000;

/// How long flights and reports last in the store.
#[derive(Debug, Clone, Copy)]
pub struct SharedLifetimes {
    /// The lease of a flight: longer than any fetch takes.
    pub lease: Duration,
    /// A report is kept for this time.
    pub keep: Duration,
}

/// The tier, shared by all flights of this replica.
#[derive(Debug)]
pub struct SharedTier {
    memory: Arc<ReportCache>,
    membership: Arc<Membership>,
    lifetimes: RwLock<SharedLifetimes>,
    check: SharedReportCheck,
    purges: Arc<PurgeQueue>,
    /// The report that this replica last had of each key.
    copies: Moka<ReportKey, SharedCopy, RandomState>,
    metrics: FleetMetrics,
    changed: broadcast::Sender<ReportKey>,
}

/// The tier as middleware above the upstream's stack.
#[derive(Debug, Clone)]
pub(crate) struct SharedFetch(pub(crate) Arc<SharedTier>);

// === impl SharedTier ===

impl SharedTier {
    /// A tier below this memory.
    pub(crate) fn new(
        memory: Arc<ReportCache>,
        membership: Arc<Membership>,
        lifetimes: SharedLifetimes,
        (check, purges): (SharedReportCheck, Arc<PurgeQueue>),
        metrics: FleetMetrics,
    ) -> Self {
        let copies = Moka::builder().max_capacity(COPIES).build_with_hasher(RandomState::default());
        let changed = broadcast::Sender::new(CHANGES);
        let lifetimes = RwLock::new(lifetimes);
        Self { memory, membership, lifetimes, check, purges, copies, metrics, changed }
    }

    /// Takes over new lifetimes, for what is stored from now on.
    pub fn set_lifetimes(&self, lifetimes: SharedLifetimes) {
        *self.lifetimes.write().unwrap_or_else(PoisonError::into_inner) = lifetimes;
    }

    fn lifetimes(&self) -> SharedLifetimes {
        *self.lifetimes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The report that this replica last had of a key, as the store knows it.
    pub(crate) fn copy(&self, key: &ReportKey) -> Option<SharedCopy> {
        self.copies.get(key)
    }

    /// Another replica's flight of this key has ended. If it brought a report that is newer than the one held here, gets it:
    /// without a call, in the background.
    pub async fn flight_ended(self: &Arc<Self>, key: ReportKey, stored: Option<Fence>) {
        // Without a flight that waits nobody listens.
        let _listeners = self.changed.send(key);
        let (Some(fence), Some(_held)) = (stored, self.memory.peek(&key)) else { return };
        let have = self.fence(&key);
        if fence <= have {
            return;
        }
        let asked = Instant::now();
        // If it cannot be had now, the next refresh looks for it. Meanwhile a newer one may have come.
        if let Ok(Some(report)) = self.membership.store().get(key, have).await
            && report.fence > self.fence(&key)
            // Purged here meanwhile. Asked first, as a purge that was told is one of those that `taken` asks for.
            && !self.purges.concerns(&key)
            && let Some(fetched) = self.taken(key, &report, asked)
            && self.may_serve(&key, &fetched)
        {
            match self.memory.install(key, fetched) {
                Joined::Leader(_) => self.holds(key, report.fence, FetchedBy::AnotherReplica),
                // The flight looks for itself. Were the fence known already, it would find nothing newer, and make a call.
                Joined::Waiter(_) | Joined::Outdated(_) | Joined::Declined => {}
            }
        }
    }

    async fn fetch<N>(self: &Arc<Self>, call: Call, next: &N) -> Result<Fetched, FetchError>
    where
        N: Next<Call, Response = Fetched, Error = FetchError>,
    {
        let mut stand_in = None;
        let fetched = self.fetch_or_wait(call, next, &mut stand_in).await;
        fetched.or_else(|error| match stand_in {
            Some(report) => Ok(Fetched { stands_in_for: Some(Box::new(error)), ..report }),
            None => Err(error),
        })
    }

    /// `stand_in` becomes a report of the store that is too old to be served, but better than an error.
    async fn fetch_or_wait<N>(
        self: &Arc<Self>,
        call: Call,
        next: &N,
        stand_in: &mut Option<Fetched>,
    ) -> Result<Fetched, FetchError>
    where
        N: Next<Call, Response = Fetched, Error = FetchError>,
    {
        let (key, nonce, mut poll) = (call.key, Nonce(random()), FIRST_POLL);
        // Of a report that is not taken. With it this replica asks for a newer one, or else for the lease: so what is fetched
        // instead takes its place.
        let mut not_taken = Fence::default();
        // Of the memory as it is now: while this flight is under way, nothing else comes into it.
        let held = self.have(&key);
        let ends = |result: SharedFlightResult| self.metrics.flight(result.as_str());
        let mut without_a_call = SharedFlightResult::Newer;
        loop {
            if self.purges.concerns(&key) {
                ends(SharedFlightResult::Away);
                return next.run(call).await;
            }
            // Before the store is asked, so that no change is missed.
            let mut changes = self.changed.subscribe();
            let asked = Instant::now();
            let have = held.max(not_taken);
            let look_up = LookUp { key, nonce, have, lease: self.lifetimes().lease, answers: 0 };
            match self.membership.run_of_key(|store, seen| store.look_up(seen, look_up)).await {
                // Away: each replica fetches for itself.
                Err(_away) => {
                    ends(SharedFlightResult::Away);
                    let result = next.run(call).await;
                    // The store may have granted the lease, and its reply was lost.
                    self.tell(LandingResult::Failure(no_longer(key, nonce)));
                    return result;
                }
                Ok(LookedUp::Newer(report)) => match self.taken(key, &report, asked) {
                    Some(fetched) if self.may_serve(&key, &fetched) => {
                        self.holds(key, report.fence, FetchedBy::AnotherReplica);
                        ends(without_a_call);
                        return Ok(fetched);
                    }
                    not_served if not_taken == Fence::default() => {
                        not_taken = report.fence;
                        *stand_in = not_served.filter(|fetched| self.is_stand_in(&key, fetched));
                    }
                    // Whoever stores them is faster than this replica.
                    _ => {
                        ends(SharedFlightResult::Unusable);
                        return next.run(call).await;
                    }
                },
                Ok(LookedUp::Leased(lease)) => {
                    ends(SharedFlightResult::Leased);
                    let mut result = next.run(call).await;
                    self.land(key, nonce, lease, &result);
                    if let Ok(fetched) = &mut result {
                        fetched.exchange.flight = flight_number(lease.fence);
                    }
                    return result;
                }
                Ok(LookedUp::InFlight { ends_in }) => {
                    wait_for(&mut changes, key, poll.min(ends_in)).await;
                    poll = (2 * poll).min(LONGEST_POLL);
                    without_a_call = SharedFlightResult::InFlight;
                }
                // Another replica has given up, for a reason of its own.
                Ok(LookedUp::BackOff { ends_in, why }) if why.is_empty() => {
                    wait_for(&mut changes, key, poll.min(ends_in)).await;
                }
                Ok(LookedUp::BackOff { ends_in: _, why }) => {
                    ends(SharedFlightResult::BackOff);
                    let exchange = Exchange { origin: Origin::SharedStore, ..Exchange::default() };
                    return Err(FetchError { exchange, ..failure_of(&why).into() }.remembered());
                }
            }
        }
    }

    /// The fence of what this replica has, however old that is.
    fn have(&self, key: &ReportKey) -> Fence {
        self.memory.peek(key).map_or(Fence::default(), |_held| self.fence(key))
    }

    fn fence(&self, key: &ReportKey) -> Fence {
        self.copies.get(key).map_or(Fence::default(), |copy| copy.fence)
    }

    fn holds(&self, key: ReportKey, fence: Fence, fetched_by: FetchedBy) {
        self.copies.insert(key, SharedCopy { fence, fetched_by });
    }

    /// The store's report, checked; `asked` is when it was asked for. `None`: it is refused.
    fn taken(&self, key: ReportKey, report: &SharedReport, asked: Instant) -> Option<Fetched> {
        let answer = self.check.answer(key, report)?;
        let (origin, flight) = (Origin::SharedStore, flight_number(report.fence));
        let exchange = Exchange { origin, flight, ..Exchange::default() };
        // By the store's clock it was so old at some moment since: never younger than it is.
        let fetched = Fetched { answer, answered_at: asked, age: report.age, exchange, stands_in_for: None };
        // A store that goes on from an older copy has it again.
        (!self.purges.told_after(&key, fetched.generated_at())).then_some(fetched)
    }

    /// Whether a report of the store may be served without a call.
    fn may_serve(&self, key: &ReportKey, fetched: &Fetched) -> bool {
        self.memory.may_serve(key, &fetched.answer, fetched.generated_at().elapsed())
    }

    /// Whether a report that is too old is served instead of an error. Not if a younger one is held, which is served then.
    fn is_stand_in(&self, key: &ReportKey, fetched: &Fetched) -> bool {
        let age = fetched.generated_at().elapsed();
        fetched.answer.report().is_some()
            && age <= self.memory.lifetimes().stale_if_error
            && !self.memory.holds_younger(key, age)
    }

    /// Tells the other replicas how the flight has ended; whoever asked here does not wait for that. Not being able to
    /// costs a call at most.
    fn land(
        self: &Arc<Self>,
        key: ReportKey,
        nonce: Nonce,
        lease: FlightLease,
        result: &Result<Fetched, FetchError>,
    ) {
        self.membership.learn_sequence(lease.sequence());
        self.tell(match result {
            Ok(fetched) => {
                let report = self.check.to_store(key, &fetched.answer, fetched.generated_at().elapsed());
                let report =
                    StoreReport { key, nonce, fence: lease.fence, keep: self.lifetimes().keep, report };
                self.holds(key, lease.fence, FetchedBy::ThisReplica);
                LandingResult::Report(report)
            }
            Err(error) => LandingResult::Failure(match failure_word(error) {
                Some(why) => FlightFailure { key, nonce, back_off: self.back_off(&key, error), why },
                None => no_longer(key, nonce),
            }),
        });
    }

    fn tell(&self, result: LandingResult) {
        let (landing, membership) = (Landing::now(result), Arc::clone(&self.membership));
        let lease = self.lifetimes().lease;
        tokio::spawn(async move { landing.tell(&membership, lease).await });
    }

    /// For how long this replica will back the key off after this failure.
    fn back_off(&self, key: &ReportKey, error: &FetchError) -> Duration {
        let held = self.memory.peek(key);
        let before = held.as_deref().and_then(super::Entry::refresh_failure).cloned();
        let before = before.or_else(|| self.memory.failure(key));
        let now = Instant::now();
        match error.cause.kind() {
            FailureKind::Failed => RefreshFailure::after(before.as_ref(), error.clone(), now).retry_at - now,
            FailureKind::Rationed | FailureKind::Denied => Duration::ZERO,
        }
    }
}

// === impl SharedFetch ===

impl<N> Middleware<Call, N> for SharedFetch
where
    N: Next<Call, Response = Fetched, Error = FetchError>,
{
    async fn handle(&self, call: Call, next: &N) -> Result<Fetched, FetchError> {
        self.0.fetch(call, next).await
    }
}

/// This replica no longer fetches the key, and another one may.
fn no_longer(key: ReportKey, nonce: Nonce) -> FlightFailure {
    FlightFailure { key, nonce, back_off: Duration::ZERO, why: Box::default() }
}

/// Waits for a change of this key, for this time at most.
async fn wait_for(changes: &mut broadcast::Receiver<ReportKey>, key: ReportKey, most: Duration) {
    let changed = async {
        loop {
            match changes.recv().await {
                Ok(changed) if changed != key => {}
                // Of those that were missed one may have been for this key.
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    let _changed_or_late = timeout(most, changed).await;
}

/// A flight's number is the end of its fence, which each replica knows, and which is another one for the next flight.
fn flight_number(fence: Fence) -> Option<FlightNumber> {
    let number = u16::try_from(fence.0 % u64::from(u16::MAX)).ok()?;
    number.checked_add(1).and_then(NonZeroU16::new).map(FlightNumber)
}

fn random() -> u128 {
    fastrand::u128(..)
}
