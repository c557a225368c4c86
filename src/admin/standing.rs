//! `GET /quota` and `GET /token`: what may still be called, and with what.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::{
    admission::{QuotaSnapshot, SecondCount},
    token::{RenewalSnapshot, TokenSnapshot},
};

pub(super) fn quota(snapshot: QuotaSnapshot) -> Value {
    let QuotaSnapshot { second: SecondCount { limit, used, waiting, wait }, day } = snapshot;
    json!({
        "second": { "limit": limit, "used": used, "waiting": waiting, "wait_seconds": wait.as_secs_f64() },
        "day": { "limit": day.limit, "used": day.used, "remaining": day.remaining, "resets_at": rfc3339(day.resets_at) },
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

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
