//! The fleet's quota: where replicas share a store, each call is counted and placed there, just before it leaves.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    fleet_call::{FleetCall, FleetDenial, FleetTurn, LockoutRole},
    fleet_lockout::{FleetLockout, OwnLockout},
    forecast::OthersCalls,
    limits::QuotaLimits,
    offline_share::{FleetLimits, OfflineShare},
    snapshot::{FleetBacking, FleetShare},
    unused_calls::{CallToCount, UnusedCalls},
};
use crate::shared::{
    CallCount, CallRequest, CallTurn, Epoch, LockoutRequest, Membership, SharedStoreError, SpentDay,
    ThrottleRequest,
};

/// The window of the fleet's second: a tenth more than the vendor's. Half of it is for calls that leave late, and half for
/// the way to the vendor.
const WINDOW: Duration = Duration::from_millis(1_100);

/// A call that leaves later than this after its place has lost it. Where the store has been slower to reply, the place is
/// made longer instead.
const LATEST: Duration = Duration::from_millis(50);

/// While the store is being restored, a call asks again after this time.
const RECOVERY: Duration = Duration::from_millis(500);

/// Another replica may notice so much later that the store is back, and make its share of the calls until then.
const OTHERS_RETURN: Duration = Duration::from_secs(6);

/// What was counted since a heartbeat so long ago was counted now, as far as a rate is concerned.
const RECENT: Duration = Duration::from_secs(60);

/// The ceiling of a day without a limit. Less than 2^53: the store's scripts count in doubles.
const UNLIMITED: u64 = u64::MAX >> 12;

/// A replica whose day is over, or has not begun, by the others' clocks asks again after this time.
pub(super) const OTHER_DAY: Duration = Duration::from_secs(1);

/// This replica's part in the quota of the fleet.
#[derive(Debug)]
pub struct FleetQuota {
    membership: Arc<Membership>,
    limits: Mutex<FleetLimits>,
    view: Mutex<FleetView>,
    unused: UnusedCalls,
}

#[derive(Debug, Default)]
struct FleetView {
    offline: OfflineShare,
    lockout: FleetLockout,
    /// By how much longer than [`LATEST`] the store last took to reply.
    slow_by: Duration,
    /// The store's epoch at the last heartbeat, and when that was.
    met: Option<(Epoch, Instant)>,
}

// === impl FleetQuota ===

impl FleetQuota {
    /// The part of a replica in a fleet of at least so many.
    pub fn new(membership: Arc<Membership>, limits: &QuotaLimits, replicas: NonZeroU32) -> Self {
        let limits = Mutex::new(fleet_limits(limits, replicas));
        Self { membership, limits, view: Mutex::default(), unused: UnusedCalls::default() }
    }

    /// Takes over new limits. The store gets those of each call with the call.
    pub(super) fn set_limits(&self, limits: &QuotaLimits) {
        let mut held = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        *held = fleet_limits(limits, held.replicas);
    }

    /// So many calls are known on a day.
    pub(super) fn learn_spent(&self, spent: SpentDay) {
        self.membership.learn_spent(spent);
    }

    /// So many calls are assumed to be made on a day.
    pub(super) fn assume_spent(&self, assumed: SpentDay) {
        self.membership.assume_spent(assumed);
    }

    /// A call that had its turn on this day was not made: the next one is not counted again.
    pub(super) fn not_made(&self, day: u64) {
        self.unused.add(day);
    }

    /// Counts a call of the fleet and waits for its place. A call that would leave late takes another place.
    ///
    /// # Errors
    /// [`FleetDenial`]
    pub(super) async fn turn(&self, call: FleetCall) -> Result<FleetTurn, FleetDenial> {
        let latest = Instant::now() + call.patience;
        if self.membership.back_since().is_some_and(|back| back.elapsed() < OTHERS_RETURN) {
            // The places of the store are for all replicas: with those that do not know of it yet, they would be too many.
            sleep(self.own_place(call.horizon(latest))?).await;
        }
        loop {
            let asked = Instant::now();
            if let Some(locked) = self.view().lockout.rest(asked) {
                return Err(FleetDenial::DayClosed(Some(locked)));
            }
            let slow_by = self.view().slow_by;
            let horizon = call.horizon(latest);
            let mut call_to_count = self.unused.next(call.day);
            let count = call_to_count.count();
            let request = CallRequest {
                day: call.day,
                ceiling: call.ceiling.map_or(UNLIMITED, u64::from),
                interval: self.limits().interval + slow_by,
                horizon,
                count,
            };
            let turn = match self.membership.run(|store, seen| store.take_call(seen, request)).await {
                Ok(turn) => turn,
                // It is there, so that the other replicas may call: this one waits until it has been told what all know.
                Err(SharedStoreError::Recovering) if horizon > RECOVERY => {
                    sleep(RECOVERY).await;
                    continue;
                }
                Err(SharedStoreError::Recovering) => return Err(FleetDenial::Late(RECOVERY)),
                Err(error) => return self.offline_turn(call, horizon, call_to_count, &error).await,
            };
            // A quarter more, since the next reply may take a little longer.
            self.view().slow_by = (asked.elapsed() * 5 / 4).saturating_sub(LATEST);
            let (wait, turn) = self.granted(call, turn, count)?;
            call_to_count.counted();
            sleep(wait).await;
            if asked.elapsed() <= wait + LATEST + slow_by {
                call_to_count.leaves();
                return Ok(turn);
            }
        }
    }

    fn granted(
        &self,
        call: FleetCall,
        turn: CallTurn,
        count: CallCount,
    ) -> Result<(Duration, FleetTurn), FleetDenial> {
        match turn {
            CallTurn::Granted { wait, spent, probe } => {
                self.membership.learn_spent(SpentDay { day: call.day, spent });
                let role = if probe { LockoutRole::Probe } else { LockoutRole::None };
                Ok((wait, FleetTurn { spent: Some(spent), role, count }))
            }
            CallTurn::Exhausted { spent } => {
                self.membership.learn_spent(SpentDay { day: call.day, spent });
                Err(FleetDenial::Exhausted { spent })
            }
            CallTurn::Late { wait } => Err(FleetDenial::Late(wait)),
            CallTurn::LockedOut { ends_in } => {
                let epoch = self.membership.seen().epoch;
                self.view().lockout.told(Instant::now() + ends_in, epoch);
                Err(FleetDenial::DayClosed(Some(ends_in)))
            }
            CallTurn::DayIsOver => Err(FleetDenial::DayIsOver),
            CallTurn::DayNotBegun { begins_in } => Err(FleetDenial::Late(begins_in.max(OTHER_DAY))),
        }
    }

    /// The store is away: this replica's share of the reserve is left, for misses and refreshes alike.
    async fn offline_turn(
        &self,
        call: FleetCall,
        horizon: Duration,
        mut call_to_count: CallToCount<'_>,
        error: &SharedStoreError,
    ) -> Result<FleetTurn, FleetDenial> {
        let spent = self.membership.told_on(call.day);
        let offline = self.membership.offline_on(call.day);
        let (limits, count) = (self.present_limits(), call_to_count.count());
        if count == CallCount::One && offline >= limits.day_share(spent) {
            return Err(FleetDenial::DayClosed(None));
        }
        // Until then the others may have had all places of the second.
        if let Some(since) = self.membership.away_since().filter(|_| !limits.interval.is_zero()) {
            self.view().offline.not_before(since + WINDOW);
        }
        let wait = self.own_place(horizon)?;
        if count == CallCount::One {
            self.membership.count_offline(call.day);
        }
        call_to_count.counted();
        tracing::debug!(%error, "call made without the shared store");
        sleep(wait).await;
        call_to_count.leaves();
        Ok(FleetTurn { spent: None, role: LockoutRole::None, count })
    }

    /// How long a call waits for the next place of this replica's own share of the second.
    fn own_place(&self, horizon: Duration) -> Result<Duration, FleetDenial> {
        let limits = self.present_limits();
        self.view().offline.take(limits, horizon, Instant::now()).map_err(FleetDenial::Late)
    }

    /// The upstream said `quota_exceeded`: no replica makes a call for this time. Zero: a probe was answered.
    pub(super) async fn lock_out(&self, day: u64, lasts: Duration) {
        let until = (!lasts.is_zero()).then(|| Instant::now() + lasts);
        self.view().lockout.begin(until);
        let (request, epoch) = (LockoutRequest { day, lasts }, self.membership.seen().epoch);
        match self.membership.run(|store, seen| store.lock_out(seen, request)).await {
            // What a heartbeat has told meanwhile of a lockout that is over is told otherwise by the next one.
            Ok(()) if until.is_none() => {}
            Ok(()) => self.view().lockout.announced(epoch),
            Err(error) => {
                tracing::warn!(%error, "the other replicas are not told of the quota's state before the store is back");
            }
        }
    }

    /// As [`FleetLockout::learn`].
    pub(super) fn learn_lockout(&self, ends_in: Option<Duration>, epoch: Epoch) -> OwnLockout {
        self.view().lockout.learn(ends_in, epoch, Instant::now())
    }

    /// A heartbeat of this epoch tells what the fleet has counted on this day.
    pub(super) fn meets(&self, epoch: Epoch, day: u64) -> OthersCalls {
        self.unused.forget_after(day);
        let before = self.view().met.replace((epoch, Instant::now()));
        since_heartbeat(before, Some(epoch))
    }

    /// What the store tells with a call.
    pub(super) fn others_calls(&self) -> OthersCalls {
        since_heartbeat(self.view().met, self.membership.seen().epoch)
    }

    /// The upstream said `throttled`: no replica makes a call for this time.
    pub(super) async fn throttle(&self, hold: Duration) {
        let request = ThrottleRequest { hold };
        if let Err(error) = self.membership.run(|store, seen| store.throttle(seen, request)).await {
            tracing::debug!(%error, "the other replicas were not told of the upstream's `throttled`");
        }
    }

    /// What this replica may do without the store on this day.
    pub(super) fn share(&self, day: u64) -> FleetShare {
        let limits = self.present_limits();
        FleetShare {
            backing: if self.membership.is_away() { FleetBacking::Offline } else { FleetBacking::Shared },
            replicas: limits.replicas,
            day_share: limits.per_day.map(|_limited| limits.day_share(self.membership.told_on(day))),
            offline_calls: self.membership.offline_on(day),
            interval: limits.interval * limits.replicas.get(),
        }
    }

    /// The limits for the replicas that the store knew last, and at least for those that are configured.
    fn present_limits(&self) -> FleetLimits {
        let limits = self.limits();
        let seen = u32::try_from(self.membership.replicas_seen()).ok().and_then(NonZeroU32::new);
        let replicas = seen.map_or(limits.replicas, |seen| seen.max(limits.replicas));
        FleetLimits { replicas, ..limits }
    }

    fn limits(&self) -> FleetLimits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> MutexGuard<'_, FleetView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn since_heartbeat(last: Option<(Epoch, Instant)>, epoch: Option<Epoch>) -> OthersCalls {
    match last {
        Some((met, at)) if Some(met) == epoch && at.elapsed() < RECENT => OthersCalls::Recent,
        Some(_) | None => OthersCalls::Earlier,
    }
}

fn fleet_limits(limits: &QuotaLimits, replicas: NonZeroU32) -> FleetLimits {
    let reserved = limits.per_day.map_or(0, |per_day| (f64::from(per_day.get()) * limits.reserve) as u32);
    let interval = limits.per_second.map_or(Duration::ZERO, |calls| WINDOW / calls.get());
    FleetLimits { per_day: limits.per_day, reserved, interval, replicas }
}
