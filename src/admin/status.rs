//! `GET /quota` and `GET /token`: the state of the daily budget and of the access token.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{
    FleetStatus,
    callers::Callers,
    fleet::share,
    reply::{rfc3339, rounded, whole},
};
use crate::{
    cache::ReportCache,
    quota::{Forecast, QuotaSnapshot, SecondCount},
    refresh::{PriceStatus, ProbeOffReason, ShadowStatus},
    report::DerivationMismatch,
    state::PairOrigin,
    token::{FleetTokenSnapshot, RenewalSnapshot, TokenSnapshot},
};

/// The price follows the demand so closely that the calls at a price are within a tenth of those left; beyond, a person
/// is told that it rises.
const RISES_FROM: f64 = 1.1;

/// The refresh plan, and what saves calls beside it.
pub(super) struct PlanStatus {
    pub(super) price: PriceStatus,
    pub(super) probe: ShadowStatus<ProbeOffReason>,
    pub(super) derivation: ShadowStatus<DerivationMismatch>,
}

// === impl PlanStatus ===

impl PlanStatus {
    /// At this calendar time; `None` with fixed lifetimes.
    pub(super) fn of(memory: &ReportCache, utc: SystemTime) -> Option<Self> {
        let (price, probe) = memory.plan_status(utc).zip(memory.probe_status())?;
        Some(Self { price, probe, derivation: memory.derivation_status() })
    }
}

/// `plan` is absent with fixed lifetimes, `fleet` where nothing is shared.
pub(super) fn quota(
    snapshot: QuotaSnapshot,
    plan: Option<&PlanStatus>,
    fleet: Option<&FleetStatus>,
    callers: &Callers<'_>,
) -> Value {
    const HOUR_SECONDS: f64 = 3_600.0;
    let QuotaSnapshot { second: SecondCount { limit, used, waiting, wait }, day, skew, fleet: shared } =
        snapshot;
    // The limits are the fleet's, and so is the day's count. The second's is this replica's own.
    let of_day = if shared.is_some() { "fleet" } else { "this_replica" };
    let hours_left = day.resets_in.as_secs_f64() / HOUR_SECONDS;
    json!({
        "counted_for": { "second": "this_replica", "day": of_day, "callers": "this_replica" },
        "second": { "limit": limit, "used": used, "waiting": waiting, "wait_seconds": wait.as_secs_f64() },
        "day": {
            "limit": day.limit,
            "used": day.used,
            "assumed_before_start": day.assumed,
            "remaining": day.remaining,
            "reserved_for_misses": day.reserved,
            "external_calls": day.external,
            "resets_at": rfc3339(day.resets_at),
            "backing": shared.map_or(day.backing.as_str(), |shared| shared.backing.as_str()),
            "mode": day.mode.as_str(),
            "calls_per_hour": whole(day.per_second * HOUR_SECONDS),
            "affordable_calls_per_hour": day.remaining.map(|left| whole(f64::from(left) / hours_left)),
            "forecast": forecast(day.forecast),
            "exhausted_at": exhausted_at(day.forecast),
        },
        "callers": callers,
        "fleet": shared.as_ref().map(|shared| json!({
            "last_charge": fleet.and_then(FleetStatus::last_charge),
            "without_the_store": share(shared),
        })),
        "plan": plan.map(planned),
        "upstream_clock_ahead_seconds": skew.ahead_seconds(),
    })
}

/// The price of a call in clicks missed, and what it follows from.
pub(super) fn planned(PlanStatus { price: plan, probe, derivation }: &PlanStatus) -> Value {
    let hours = plan.planned_calls_by_hour().map(|hours| hours.map(whole));
    json!({
        "price": rounded(plan.price.clicks_missed()),
        "demand_now": rounded(plan.demand_now),
        "demand_rest_of_day": plan.demand_rest_of_day.map(rounded),
        "calls_left": whole(plan.calls_left),
        "calls_rest_of_day": plan.planned_calls().map(whole),
        "calls_rest_of_day_at_this_price": plan.calls_at_this_price().map(whole),
        "days_known": plan.profile_days,
        "last_hour_to_usual": plan.busyness.map(rounded),
        "calls_by_hour_utc": hours.as_ref().map(|hours| &hours[..]),
        "usual_demand_by_hour_utc": plan.usual_demand.map(|hours| hours.map(rounded)),
        "call_ratio": rounded(plan.call_ratio),
        "unseen_by_others": whole(plan.unseen_by_others),
        "change_probe": probe.as_str(),
        "derive_clicked": derivation.as_str(),
        "why": why(plan),
    })
}

fn why(plan: &PriceStatus) -> String {
    let demand = match (plan.demand_rest_of_day, plan.busyness) {
        (None, _) => "nothing is known of the demand yet".to_owned(),
        (Some(_), None) => {
            "no day is known yet: the demand of the last hour is assumed until midnight UTC".to_owned()
        }
        (Some(_), Some(busyness)) => {
            let (days, busyness) = (plan.profile_days, rounded((busyness * 100.0).round() / 100.0));
            let days = if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
            format!("the usual demand of {days}; the last hour was {busyness} times as busy as usual")
        }
    };
    match plan.calls_at_this_price() {
        Some(calls) if calls > RISES_FROM * plan.calls_left => {
            format!(
                "{demand}; the price rises, since at this one it would be {calls:.0} calls and {:.0} are left",
                plan.calls_left
            )
        }
        Some(_) | None => demand,
    }
}

pub(super) fn token(snapshot: TokenSnapshot) -> Value {
    let TokenSnapshot { source, generation, changed_at, expires_at, status, renewal, fleet } = snapshot;
    let mut shown = json!({
        "source": source,
        "status": status.as_str(),
        "generation": generation,
        "installed_at": changed_at.and_then(rfc3339),
        "expires_at": expires_at.and_then(rfc3339),
    });
    if let Some(RenewalSnapshot { renewed_at, rotation, durability, last_error }) = renewal {
        shown["renewal"] = json!({
            "last_renewal_at": renewed_at.and_then(rfc3339),
            "refresh_token_rotation": rotation.as_str(),
            "durability": durability.as_str(),
            "last_error": last_error,
        });
    }
    if let Some(FleetTokenSnapshot { version, generation, origin, store, waits_for }) = fleet {
        shown["fleet"] = json!({
            "version": version,
            "generation": generation,
            "renewed_by": origin.map(PairOrigin::as_str),
            "shared_store": store.as_str(),
            "waits_for": waits_for.map(|reason| reason.to_string()),
        });
    }
    shown
}

fn forecast(forecast: Forecast) -> String {
    match forecast {
        Forecast::Enough => "enough".to_owned(),
        Forecast::ExhaustedAt(at) => {
            let shown = rfc3339(at);
            // 2026-11-24T16:40:00Z
            let minute = shown.as_deref().and_then(|shown| shown.get(11..16));
            format!("exhausted at {} UTC", minute.unwrap_or("midnight"))
        }
        Forecast::Exhausted => "exhausted".to_owned(),
    }
}

/// `None`: not before the reset, or already.
fn exhausted_at(forecast: Forecast) -> Option<String> {
    match forecast {
        Forecast::ExhaustedAt(at) => rfc3339(at),
        Forecast::Enough | Forecast::Exhausted => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::{
        quota::{InitialCount, Quota, QuotaLimits, WallClock},
        refresh::{PriceController, PriceLimits, UtcTime},
        telemetry::Metrics,
    };

    #[tokio::test(start_paused = true)]
    async fn a_reset_time_that_rfc_3339_cannot_express_is_null() {
        const LAST_NOON: u64 = 253_402_257_600;
        let limits = QuotaLimits { per_second: None, per_day: None, reserve: 0.1, max_wait: Duration::ZERO };
        let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_secs(10 * 86_400);
        let since_1970 = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (now, shown) in [
            (before_1970, Value::Null),
            (since_1970(LAST_NOON - 86_400), json!("9999-12-31T00:00:00Z")),
            (since_1970(LAST_NOON), Value::Null),
            (since_1970(LAST_NOON * 1_000), Value::Null),
            (since_1970(i64::MAX as u64), Value::Null),
        ] {
            let clock = WallClock::starting_at(now);
            let metrics = Metrics::new();
            let snapshot = Quota::new(limits, InitialCount::Unspent, clock, metrics.quota.clone()).snapshot();
            let callers = Callers::today(&metrics.clients, &snapshot, now);
            assert_eq!(quota(snapshot, None, None, &callers)["day"]["resets_at"], shown);
        }
    }

    #[test]
    fn why_tells_of_a_price_that_has_yet_to_rise() {
        let now = UtcTime::since_epoch(Duration::ZERO);
        let controller = PriceController::new(PriceLimits { per_day: 10_000, reserve: 0.0 }, now);
        let status = |demand| PriceStatus { demand_rest_of_day: Some(demand), ..controller.status(now) };
        let enough = why(&status(3.0 * 9_000.0));
        assert_eq!(enough, "no day is known yet: the demand of the last hour is assumed until midnight UTC");
        let expected = format!(
            "{enough}; the price rises, since at this one it would be 50000 calls and 10000 are left"
        );
        assert_eq!(why(&status(3.0 * 50_000.0)), expected);
    }
}
