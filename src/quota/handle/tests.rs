use std::{num::NonZeroU32, time::Duration};

use futures_util::future::{BoxFuture, FutureExt as _};

use super::{
    super::{QuotaMode, day::DAY, snapshot::FleetBacking},
    *,
};
use crate::{
    report::{Fetched, Reason, UpstreamFailure, UpstreamLimit, testing::good},
    shared::{MemberAbout, Membership, MembershipOptions, MemorySharedStore, SharedStore},
    state::{CallClaim, CallGrant, DayStatus, MemoryStore},
    telemetry::Metrics,
};

const LIMITS: QuotaLimits = QuotaLimits {
    per_second: None,
    per_day: NonZeroU32::new(100),
    reserve: 0.1,
    max_wait: Duration::from_secs(5),
};

/// The day of [`noon`].
const TODAY: u64 = 20_000;

const HOUR: Duration = Duration::from_secs(3_600);

fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * 20_000 + DAY / 2
}

fn quota(limits: QuotaLimits, opening: InitialCount) -> Quota {
    Quota::new(limits, opening, WallClock::starting_at(noon()), Metrics::new().quota)
}

async fn spend(quota: &Quota, calls: u32) {
    for _ in 0..calls {
        quota.admit(Reason::Miss).await.unwrap().learn(&Ok(good())).await;
    }
}

/// A call that is told `quota_exceeded`.
async fn exceed(quota: &Quota) {
    let exceeded =
        UpstreamFailure::TooManyRequests { limit: UpstreamLimit::PerDay, retry_after: Duration::ZERO };
    quota.admit(Reason::Miss).await.unwrap().learn::<Fetched>(&Err(exceeded.into())).await;
}

/// A replica of a fleet of two.
fn replica(store: &Arc<MemorySharedStore>, quota: &Quota) -> Arc<Membership> {
    let options = MembershipOptions {
        margin: 0,
        about: MemberAbout::new("1.0.0", "replica"),
        metrics: Metrics::new().fleet(),
    };
    let membership = Arc::new(Membership::new(Arc::clone(store) as Arc<dyn SharedStore>, options));
    let fleet = FleetQuota::new(Arc::clone(&membership), &LIMITS, NonZeroU32::new(2).unwrap());
    quota.join(fleet);
    membership
}

async fn beat(membership: &Membership, quota: &Quota) {
    quota.learn(&membership.beat().await.unwrap());
}

fn store() -> Arc<MemorySharedStore> {
    Arc::new(MemorySharedStore::new(noon().duration_since(SystemTime::UNIX_EPOCH).unwrap()))
}

/// A store on a disk.
#[derive(Debug, Default)]
struct Disk(MemoryStore);

impl CallCounter for Disk {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<LedgerRecord>, CallCounterError>> {
        CallCounter::read(&self.0)
    }

    fn take(&self, claim: CallClaim) -> BoxFuture<'_, Result<CallGrant, CallCounterError>> {
        self.0.take(claim).boxed()
    }

    fn mark(&self, day: u64, status: DayStatus) -> BoxFuture<'_, Result<(), CallCounterError>> {
        self.0.mark(day, status)
    }
}

#[tokio::test(start_paused = true)]
async fn a_durable_store_has_the_count_and_a_volatile_one_has_none() {
    let volatile: Arc<dyn CallCounter> = Arc::new(MemoryStore::default());
    assert!(InitialCount::of(&volatile).await.unwrap().is_none());
    let disk: Arc<dyn CallCounter> = Arc::new(Disk::default());
    for (made, used) in [(0, 50), (12, 12)] {
        if made > 0 {
            disk.take(CallClaim { day: TODAY, made, wanted: 0, ceiling: None }).await.unwrap();
        }
        let opening = InitialCount::of(&disk).await.unwrap().unwrap();
        assert_eq!(quota(LIMITS, opening).snapshot().day.used, used);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_limit_holds_at_once() {
    let quota = quota(LIMITS, InitialCount::Unspent);
    spend(&quota, 100).await;
    assert!(quota.admit(Reason::Miss).await.is_err());
    assert_eq!(quota.quota_pressure(Instant::now()), QuotaPressure::Stopped);
    quota.set_limits(QuotaLimits { per_day: NonZeroU32::new(1_000), ..LIMITS });
    assert_eq!(quota.quota_pressure(Instant::now()), QuotaPressure::Normal);
    spend(&quota, 1).await;
    assert_eq!(quota.snapshot().day.remaining, Some(899));
}

#[tokio::test(start_paused = true)]
async fn the_gauge_shows_which_calls_are_allowed_now() {
    let metrics = Metrics::new();
    let clock = WallClock::starting_at(noon());
    let quota = Quota::new(LIMITS, InitialCount::Unspent, clock, metrics.quota.clone());
    let shown = |mode| metrics.render().unwrap().contains(&format!("quota_mode{{mode=\"{mode}\"}} 1\n"));
    for _ in 0..2 {
        spend(&quota, 100).await;
        assert!(shown("exhausted") && !shown("normal"));
        tokio::time::sleep(DAY).await;
        assert_eq!(quota.snapshot().day.mode, QuotaMode::Normal);
        assert!(shown("normal") && !shown("exhausted"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_call_may_leave_once_the_one_before_it_is_sent_though_that_is_not_answered() {
    let quota = quota(QuotaLimits { per_second: NonZeroU32::new(4), ..LIMITS }, InitialCount::Unspent);
    let first = quota.admit(Reason::Miss).await.unwrap();
    let next = tokio::spawn({
        let quota = quota.clone();
        async move { quota.admit(Reason::Miss).await.map(drop) }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!next.is_finished());
    quota.sent();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(next.is_finished());
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn a_fleet_counts_its_calls_together() {
    let store = store();
    let [one, two] = [(); 2].map(|()| quota(LIMITS, InitialCount::Unspent));
    spend(&one, 3).await;
    assert_eq!(one.snapshot().fleet, None);
    let [first, second] = [&one, &two].map(|quota| replica(&store, quota));
    assert_eq!((first.told_on(TODAY), second.told_on(TODAY)), (3, 0));
    beat(&first, &one).await;
    beat(&second, &two).await;
    assert_eq!(two.snapshot().day.used, 3, "as the store says");
    spend(&two, 4).await;
    assert_eq!([&one, &two].map(|quota| quota.snapshot().day.used), [3, 7]);
    spend(&one, 1).await;
    assert_eq!(one.snapshot().day.used, 8, "as each call's place says");
    let share = one.snapshot().fleet.unwrap();
    assert_eq!((share.backing, share.replicas.get(), share.day_share), (FleetBacking::Shared, 2, Some(5)));
    one.set_limits(QuotaLimits { per_day: NonZeroU32::new(60), ..LIMITS });
    assert_eq!(one.snapshot().fleet.unwrap().day_share, Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_knows_nothing_is_told_what_was_assumed_at_the_start() {
    let (store, quota) = (store(), quota(LIMITS, InitialCount::Unknown));
    let membership = replica(&store, &quota);
    assert_eq!((quota.snapshot().day.assumed, membership.told_on(TODAY)), (50, 0));
    let fleet = membership.beat().await.unwrap();
    assert_eq!(fleet.today, SpentDay { day: TODAY, spent: 50 });
    quota.learn(&fleet);
    assert_eq!((quota.snapshot().day.used, quota.snapshot().day.assumed), (50, 0));
}

#[tokio::test(start_paused = true)]
async fn a_day_that_another_s_probe_has_opened_is_open_on_the_disk_too_and_for_who_started_meanwhile() {
    let store = store();
    let disk: Arc<dyn CallCounter> = Arc::new(Disk::default());
    let on_disk = async || quota(LIMITS, InitialCount::of(&disk).await.unwrap().unwrap());
    let status = async || disk.read().await.unwrap().unwrap().latest().status;
    let [one, two] = [on_disk().await, quota(LIMITS, InitialCount::Unspent)];
    let [first, second] = [&one, &two].map(|quota| replica(&store, quota));
    beat(&first, &one).await;
    beat(&second, &two).await;
    exceed(&one).await;
    assert_eq!(status().await, DayStatus::Closed);
    let again = on_disk().await;
    let restarted = replica(&store, &again);
    beat(&restarted, &again).await;
    tokio::time::sleep(HOUR + Duration::from_secs(61)).await;
    for (membership, quota) in [(&first, &one), (&restarted, &again)] {
        beat(membership, quota).await;
        assert_eq!(quota.snapshot().day.mode, QuotaMode::Exhausted, "no probe was answered");
    }
    two.admit(Reason::Miss).await.unwrap().learn(&Ok(good())).await;
    for (membership, quota) in [(&first, &one), (&restarted, &again)] {
        beat(membership, quota).await;
        assert_eq!(quota.snapshot().day.mode, QuotaMode::Normal);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(status().await, DayStatus::Open);
}

#[tokio::test(start_paused = true)]
async fn one_replica_s_quota_exceeded_stops_the_other_and_the_other_s_probe_opens_the_day_for_both() {
    let store = store();
    let [one, two] = [(); 2].map(|()| quota(LIMITS, InitialCount::Unspent));
    let [first, second] = [&one, &two].map(|quota| replica(&store, quota));
    beat(&first, &one).await;
    beat(&second, &two).await;
    exceed(&one).await;
    assert!(two.admit(Reason::Miss).await.is_err());
    beat(&first, &one).await;
    assert_eq!(one.snapshot().day.mode, QuotaMode::Exhausted);
    tokio::time::sleep(HOUR + Duration::from_secs(61)).await;
    let probe = two.admit(Reason::Miss).await.unwrap();
    assert!(one.admit(Reason::Miss).await.is_err(), "until the probe is answered");
    probe.learn(&Ok(good())).await;
    assert_eq!(one.snapshot().day.mode, QuotaMode::Exhausted, "it does not know yet");
    beat(&first, &one).await;
    assert_eq!(one.snapshot().day.mode, QuotaMode::Normal);
    spend(&one, 1).await;
}

#[tokio::test(start_paused = true)]
async fn the_forecast_goes_by_the_calls_of_all_replicas() {
    let store = store();
    let [one, two, late] = [(); 3].map(|()| quota(LIMITS, InitialCount::Unspent));
    let [first, second] = [&one, &two].map(|quota| replica(&store, quota));
    beat(&first, &one).await;
    for _half_minute in 0..40 {
        spend(&two, 1).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        beat(&first, &one).await;
        beat(&second, &two).await;
    }
    let forecast = |quota: &Quota| quota.snapshot().day.forecast;
    assert!(matches!(forecast(&one), Forecast::ExhaustedAt(_)), "{:?}", forecast(&one));
    let third = replica(&store, &late);
    beat(&third, &late).await;
    assert_eq!(late.snapshot().day.used, 40);
    assert_eq!(forecast(&late), Forecast::Enough, "they were made at any time before it came");
}
