//! `callers` in `GET /quota`: the calls of the day, by the client whose requests caused them.

use std::{
    cmp::Reverse,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::reply::rfc3339;
use crate::{quota::QuotaSnapshot, telemetry::ClientMetrics};

const DAY: Duration = Duration::from_hours(24);

#[derive(Debug, Serialize)]
pub(super) struct Callers<'a> {
    /// 00:00 UTC, or when this process started, if that was later.
    since: Option<String>,
    /// Most calls first: each client that a token names, and of the others those that caused calls.
    clients: Vec<Caller<'a>>,
}

#[derive(Debug, Serialize)]
struct Caller<'a> {
    client: &'a str,
    calls: u64,
}

// === impl Callers ===

impl<'a> Callers<'a> {
    pub(super) fn today(
        clients: &'a ClientMetrics,
        snapshot: &QuotaSnapshot,
        started_at: SystemTime,
    ) -> Self {
        let midnight = snapshot.day.resets_at.checked_sub(DAY).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut clients: Vec<_> = clients
            .calls_today()
            .filter(|(client, calls)| *calls > 0 || !ClientMetrics::is_reserved(client))
            .map(|(client, calls)| Caller { client, calls })
            .collect();
        clients.sort_by_key(|caller| (Reverse(caller.calls), caller.client));
        Self { since: rfc3339(midnight.max(started_at)), clients }
    }
}
