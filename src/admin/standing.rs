//! `GET /quota` and `GET /token`: what may still be called, and with what.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::{
    admission::{QuotaSnapshot, SecondCount},
    token::TokenSnapshot,
};

pub(super) fn quota(snapshot: QuotaSnapshot) -> Value {
    let QuotaSnapshot { second: SecondCount { limit, used, waiting, wait }, day } = snapshot;
    json!({
        "second": { "limit": limit, "used": used, "waiting": waiting, "wait_seconds": wait.as_secs_f64() },
        "day": { "limit": day.limit, "used": day.used, "remaining": day.remaining, "resets_at": rfc3339(day.resets_at) },
    })
}

pub(super) fn token(snapshot: TokenSnapshot) -> Value {
    let TokenSnapshot { source, generation, changed_at, standing } = snapshot;
    json!({
        "source": source,
        "standing": standing.as_str(),
        "generation": generation,
        "taken_up_at": changed_at.map(rfc3339),
    })
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
