//! `GET /quota` and `GET /token`: what may still be called, and with what.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::{
    admission::{Forecast, QuotaSnapshot, SecondCount},
    token::{RenewalSnapshot, TokenSnapshot},
};

pub(super) fn quota(snapshot: QuotaSnapshot) -> Value {
    const HOUR_SECONDS: f64 = 3_600.0;
    let QuotaSnapshot { second: SecondCount { limit, used, waiting, wait }, day, skew } = snapshot;
    let hours_left = day.resets_in.as_secs_f64() / HOUR_SECONDS;
    json!({
        "second": { "limit": limit, "used": used, "waiting": waiting, "wait_seconds": wait.as_secs_f64() },
        "day": {
            "limit": day.limit,
            "used": day.used,
            "remaining": day.remaining,
            "reserved_for_cold_keys": day.reserved,
            "seen_by_the_upstream_alone": day.unseen,
            "resets_at": rfc3339(day.resets_at),
            "counted_in": day.books.as_str(),
            "step": day.step.as_str(),
            "calls_per_hour": (day.per_second * HOUR_SECONDS).round(),
            "affordable_calls_per_hour": day.remaining.map(|left| (f64::from(left) / hours_left).round()),
            "forecast": forecast(day.forecast),
        },
        "upstream_clock_ahead_seconds": skew.ahead_seconds(),
    })
}

pub(super) fn token(snapshot: TokenSnapshot) -> Value {
    let TokenSnapshot { source, generation, changed_at, expires_at, standing, state, renewal } = snapshot;
    let mut shown = json!({
        "source": source,
        "state": state,
        "standing": standing.as_str(),
        "generation": generation,
        "taken_up_at": changed_at.map(rfc3339),
        "expires_at": expires_at.map(rfc3339),
    });
    if let Some(RenewalSnapshot { renewed_at, rotation, durability, last_error }) = renewal {
        shown["renewal"] = json!({
            "last_renewal_at": renewed_at.map(rfc3339),
            "refresh_token": rotation.as_str(),
            "kept": durability.as_str(),
            "last_error": last_error,
        });
    }
    shown
}

fn forecast(forecast: Forecast) -> String {
    match forecast {
        Forecast::Enough => "enough".to_owned(),
        Forecast::ExhaustedAt(at) => {
            // 2026-11-24T16:40:00Z
            format!("exhausted at {} UTC", rfc3339(at).get(11..16).unwrap_or("midnight"))
        }
        Forecast::Exhausted => "exhausted".to_owned(),
    }
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
