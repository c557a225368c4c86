//! The shared tier: below the memory, the store that the replicas share. A key that another replica has fetched costs no
//! call, and a key that another replica fetches at this moment is waited for: single flight for the whole fleet.

use std::{sync::Arc, time::Duration};

use foldhash::fast::RandomState;
use moka::sync::Cache as Moka;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, timeout},
};

use super::{
    Installed, RefreshFailure, ReportCache,
    shared_answer::{failure_of, failure_word, from_stored, to_stored},
};
use crate::{
    middleware::{Middleware, Next},
    report::{Call, Exchange, FailureKind, FetchError, Fetched, InvalidReport, Origin, ReportKey},
    shared::{
        Fence, FlightFailure, FlightLease, LookUp, LookedUp, Membership, Nonce, PurgeQueue, ReportToStore,
        SharedReport, StoreReport,
    },
};

/// The store is asked again after this time while another replica fetches, if the feed says nothing; doubled each time.
const FIRST_POLL: Duration = Duration::from_millis(250);
const LONGEST_POLL: Duration = Duration::from_secs(1);

/// So many changes wait for a flight that looks for its own key.
const CHANGES: usize = 256;

/// So many keys' fences are remembered. A fence that is forgotten costs one more look into the store.
const FENCES: u64 = 20_000;

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
    lifetimes: SharedLifetimes,
    /// The fence of the report that the memory holds of each key, or held.
    fences: Moka<ReportKey, Fence, RandomState>,
    purges: Arc<PurgeQueue>,
    changed: broadcast::Sender<ReportKey>,
}

/// How a flight has ended.
#[derive(Debug)]
enum Landing {
    Report(StoreReport),
    Failure(FlightFailure),
}

/// The tier as middleware above the upstream's stack.
#[derive(Debug, Clone)]
pub(crate) struct SharedFetch(pub(crate) Arc<SharedTier>);

// === impl SharedTier ===

impl SharedTier {
    /// A tier below this memory.
    pub fn new(
        memory: Arc<ReportCache>,
        membership: Arc<Membership>,
        purges: Arc<PurgeQueue>,
        lifetimes: SharedLifetimes,
    ) -> Self {
        let fences = Moka::builder().max_capacity(FENCES).build_with_hasher(RandomState::default());
        Self { memory, membership, lifetimes, fences, purges, changed: broadcast::Sender::new(CHANGES) }
    }

    /// Another replica's flight of this key has ended. If it brought a report that is newer than the one held here, gets it:
    /// without a call, in the background.
    pub async fn flight_ended(self: &Arc<Self>, key: ReportKey, stored: Option<Fence>) {
        // Without a flight that waits nobody listens.
        let _listeners = self.changed.send(key);
        let (Some(fence), Some(_held)) = (stored, self.memory.peek(&key)) else { return };
        let have = self.fences.get(&key).unwrap_or_default();
        if fence <= have {
            return;
        }
        let asked = Instant::now();
        // If it cannot be had now, the next refresh looks for it. Meanwhile a newer one may have come.
        if let Ok(Some(report)) = self.membership.store().get(key, have).await
            && report.fence > self.fences.get(&key).unwrap_or_default()
            && let (fence, age) = (report.fence, report.age)
            && let Some(fetched) = checked(key, report, asked)
            && self.memory.may_serve(&key, &fetched.answer, age)
        {
            match self.memory.install(key, fetched) {
                Installed::Yes => self.fences.insert(key, fence),
                Installed::InFlight => {}
            }
        }
    }

    async fn fetch<N>(self: &Arc<Self>, call: Call, next: &N) -> Result<Fetched, FetchError>
    where
        N: Next<Call, Response = Fetched, Error = FetchError>,
    {
        let (key, nonce, mut poll) = (call.key, Nonce(random()), FIRST_POLL);
        // Of the memory as it is now: while this flight is under way, nothing else comes into it.
        let mut have = self.have(call);
        loop {
            if self.purges.concerns(&key) {
                return next.run(call).await;
            }
            // Before the store is asked, so that no change is missed.
            let mut changes = self.changed.subscribe();
            let asked = Instant::now();
            let look_up = LookUp { key, nonce, have, lease: self.lifetimes.lease, answers: 0 };
            match self.membership.run(|store, seen| store.look_up(seen, look_up)).await {
                // Away: each replica fetches for itself.
                Err(_away) => return next.run(call).await,
                Ok(LookedUp::Newer(report)) => {
                    let (fence, age) = (report.fence, report.age);
                    match checked(key, report, asked) {
                        Some(fetched) if self.memory.may_serve(&key, &fetched.answer, age) => {
                            self.fences.insert(key, fence);
                            return Ok(fetched);
                        }
                        // Too old to be served without a call.
                        Some(_outdated) => have = fence,
                        None => return next.run(call).await,
                    }
                }
                Ok(LookedUp::Leased(lease)) => {
                    let result = next.run(call).await;
                    self.land(key, nonce, lease, &result);
                    return result;
                }
                Ok(LookedUp::InFlight { ends_in }) => {
                    wait_for(&mut changes, key, poll.min(ends_in)).await;
                    poll = (2 * poll).min(LONGEST_POLL);
                }
                // Another replica has given up, for a reason of its own.
                Ok(LookedUp::BackOff { ends_in, why }) if why.is_empty() => {
                    wait_for(&mut changes, key, poll.min(ends_in)).await;
                }
                Ok(LookedUp::BackOff { ends_in: _, why }) => {
                    let exchange = Exchange { origin: Origin::SharedStore, ..Exchange::default() };
                    return Err(FetchError { exchange, ..failure_of(&why).into() }.remembered());
                }
            }
        }
    }

    /// The fence of what this replica has, however old that is.
    fn have(&self, Call { key, .. }: Call) -> Fence {
        let held = self.memory.peek(&key).and_then(|_held| self.fences.get(&key));
        held.unwrap_or_default()
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
        let landing = match result {
            Ok(fetched) => {
                let (kind, body) = to_stored(&fetched.answer);
                let age = fetched.generated_at().elapsed();
                let report = ReportToStore { kind, age, unchanged_for: age, body, mac: bytes::Bytes::new() };
                self.fences.insert(key, lease.fence);
                let keep = self.lifetimes.keep;
                Landing::Report(StoreReport { key, nonce, fence: lease.fence, keep, report })
            }
            Err(error) => {
                let (why, back_off) = match failure_word(error) {
                    Some(why) => (why, self.back_off(&key, error)),
                    // The lease ends, and another replica may try.
                    None => (Box::default(), Duration::ZERO),
                };
                Landing::Failure(FlightFailure { key, nonce, back_off, why })
            }
        };
        let tier = Arc::clone(self);
        tokio::spawn(async move { tier.tell(&landing).await });
    }

    async fn tell(&self, landing: &Landing) {
        let told = match landing {
            Landing::Report(report) => {
                self.membership.run(|store, seen| store.store(seen, report.clone())).await.map(drop)
            }
            Landing::Failure(failure) => {
                self.membership.run(|store, seen| store.fail(seen, failure.clone())).await
            }
        };
        if let Err(error) = told {
            tracing::debug!(%error, "the other replicas were not told of a fetch");
        }
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

/// The store's report, checked; `asked` is when it was asked for. `None`: it is no answer for this key.
fn checked(key: ReportKey, report: SharedReport, asked: Instant) -> Option<Fetched> {
    let SharedReport { kind, age, body, .. } = report;
    match from_stored(key.id, kind, &body) {
        Ok(answer) => {
            let exchange = Exchange { origin: Origin::SharedStore, ..Exchange::default() };
            // By the store's clock it was so old at some moment since: never younger than it is.
            Some(Fetched { answer, answered_at: asked, age, exchange })
        }
        Err(error) => {
            log_unusable(key, &error);
            None
        }
    }
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

fn log_unusable(key: ReportKey, error: &InvalidReport) {
    tracing::warn!(
        %key,
        %error,
        "the shared store holds something else than this report, it is fetched anew; does another program write into the store?"
    );
}

fn random() -> u128 {
    fastrand::u128(..)
}
