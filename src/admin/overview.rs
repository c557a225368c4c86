//! `GET /status`: how the process is, in one sentence and the numbers behind it; all of one moment.
//!
//! Times are absolute, so that the answer, and with it its `ETag`, stays the same while nothing happens.

use std::{
    cmp::Reverse,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use serde_json::Value;

use super::{
    AdminState, FleetStatus,
    both_clocks::BothClocks,
    history::unix_seconds,
    reply::{rfc3339, rounded, whole},
    sentence::{ProxyCondition, Sentence, Serving, StatusRule},
    status::{self, PlanStatus},
};
use crate::{
    cache::Holdings,
    quota::{DayCount, Forecast, QuotaMode, QuotaSnapshot},
    resilience::CircuitView,
    telemetry::{ClientMetrics, Metrics, Totals},
    token::TokenStatus,
    upstream::CallsSummary,
};

/// So many clients are shown, those with the most calls first.
const CLIENTS: usize = 10;

#[derive(Debug, Serialize)]
pub(super) struct Overview {
    process: ProcessTile,
    sentence: Sentence,
    /// Since when the sentence is about the same.
    since: Option<String>,
    answers: Option<AnswersTile>,
    freshness: FreshnessTile,
    calls: CallsTile,
    /// `None` with fixed lifetimes.
    plan: Option<Value>,
    token: Value,
    upstream: UpstreamTile,
    memory: MemoryTile,
    clients: Vec<ClientUse>,
    /// `None`: nothing is shared.
    fleet: Option<Value>,
}

#[derive(Debug, Serialize)]
struct ProcessTile {
    name: &'static str,
    version: &'static str,
    revision: &'static str,
    host: Box<str>,
    started_at: Option<String>,
    serving: Serving,
    /// The data port's address.
    data_port: String,
}

/// `None` in the first moments.
#[derive(Debug, Serialize)]
struct AnswersTile {
    window_seconds: u64,
    per_minute: f64,
    /// Reports served from the cache, as a share of all answers.
    from_cache: Option<f64>,
    server_errors: u64,
}

#[derive(Debug, Serialize)]
struct FreshnessTile {
    age_median_seconds: Option<i64>,
    age_p95_seconds: Option<i64>,
    /// The share of the reports served that were not older than `cache.ttl`.
    within_ttl: Option<f64>,
    ttl_seconds: u64,
    /// From this age on, with fixed lifetimes, a request waits for a refresh.
    served_until_seconds: u64,
    /// None was older than this: the end of a bucket of the histogram.
    age_at_most_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
struct CallsTile {
    limit: Option<u32>,
    used: u32,
    assumed: u32,
    by_others: u32,
    remaining: Option<u32>,
    reserved: u32,
    /// What is left for refreshes.
    for_refreshes: Option<u32>,
    mode: &'static str,
    /// Where no plan rations them: the burn rates from which on refreshes are delayed, and stopped.
    burn_rates: Option<[f64; 2]>,
    exhausted_at: Option<String>,
    resets_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct UpstreamTile {
    circuit: &'static str,
    failing_since: Option<String>,
    next_trial_at: Option<String>,
    last_success_at: Option<String>,
    last_failure: Option<LastFailure>,
    median_ms: Option<u64>,
    /// Failed calls since the start: `GET /failures` has the last ones.
    failures: u64,
}

#[derive(Debug, Serialize)]
struct LastFailure {
    at: Option<String>,
    error_key: &'static str,
    status: Option<u16>,
}

#[derive(Debug, Serialize)]
struct MemoryTile {
    bytes: u64,
    max_bytes: u64,
    reports: u64,
    refusals: u64,
    evicted: u64,
}

/// A client, and what it caused.
#[derive(Debug, Serialize)]
struct ClientUse {
    client: Box<str>,
    /// Since the start.
    requests: u64,
    calls_today: u64,
    /// To the minute.
    last_asked: Option<String>,
}

// === impl Overview ===

impl Overview {
    pub(super) fn of(state: &AdminState) -> Self {
        let quota = state.quota.snapshot();
        let moment = BothClocks::of(&quota);
        let (held, totals) = (state.memory.holdings(), state.metrics.totals());
        let calls = state.recent_calls.summary();
        let (circuit, token) = (state.circuit.view(), state.tokens.snapshot());
        let condition = condition(state, &quota, moment, (&held, circuit, token.status));
        let sentence = condition.sentence();
        let since = since(&condition, sentence.rule)
            .unwrap_or_else(|| state.history.rule_since(sentence.rule, moment.utc));
        let plan = PlanStatus::of(&state.memory, quota.now());
        let last = state.history.last_minutes(moment.now, &totals);
        Self {
            process: ProcessTile {
                name: env!("CARGO_PKG_NAME"),
                version: env!("CARGO_PKG_VERSION"),
                revision: Metrics::revision(),
                host: state.about.host.clone(),
                started_at: rfc3339(state.started_at),
                serving: condition.serving,
                data_port: state.about.data.to_string(),
            },
            since: rfc3339(since),
            freshness: FreshnessTile {
                age_median_seconds: last.as_ref().and_then(|last| last.ages.quantile(0.5)).map(whole),
                age_p95_seconds: last.as_ref().and_then(|last| last.ages.quantile(0.95)).map(whole),
                within_ttl: last
                    .as_ref()
                    .and_then(|last| last.ages.share_within(held.ttl.as_secs_f64()))
                    .map(rounded),
                ttl_seconds: held.ttl.as_secs(),
                served_until_seconds: held.served_until.as_secs(),
                age_at_most_seconds: last.as_ref().and_then(|last| last.ages.quantile(1.0)).map(whole),
            },
            answers: last.map(|last| AnswersTile {
                window_seconds: last.length.as_secs(),
                per_minute: rounded(last.answers as f64 * 60.0 / last.length.as_secs_f64()),
                from_cache: (last.answers > 0)
                    .then(|| rounded((last.ages.count() as f64 / last.answers as f64).min(1.0))),
                server_errors: last.server_errors,
            }),
            calls: CallsTile::of(&quota.day, plan.as_ref()),
            plan: plan.as_ref().map(status::planned),
            token: status::token(token),
            upstream: UpstreamTile::of(circuit, moment, calls),
            memory: MemoryTile {
                bytes: held.bytes,
                max_bytes: held.max_bytes,
                reports: held.reports,
                refusals: held.refusals,
                evicted: totals.evicted_for_room,
            },
            clients: clients(state, &totals),
            fleet: state.fleet.as_ref().map(FleetStatus::summary),
            sentence,
        }
    }

    /// How bad it is, the sentence and what to do.
    pub(super) fn sentence_words(&self) -> [&str; 3] {
        [self.sentence.severity.as_str(), &self.sentence.text, self.sentence.advice]
    }

    /// The rule that holds now, for who only watches it.
    pub(super) fn rule(state: &AdminState) -> StatusRule {
        let quota = state.quota.snapshot();
        let moment = BothClocks::of(&quota);
        let held = state.memory.holdings();
        let (circuit, token) = (state.circuit.view(), state.tokens.snapshot().status);
        condition(state, &quota, moment, (&held, circuit, token)).rule()
    }
}

fn condition(
    state: &AdminState,
    quota: &QuotaSnapshot,
    moment: BothClocks,
    (held, circuit, token): (&Holdings, CircuitView, TokenStatus),
) -> ProxyCondition {
    let plan = state.memory.plan_status(moment.utc);
    let away = state.fleet.as_ref().and_then(FleetStatus::away_since);
    ProxyCondition {
        serving: if state.readiness.is_ready() { Serving::Ready } else { Serving::Draining },
        token,
        day: quota.day,
        circuit: circuit.state,
        failing_since: circuit.failing_since.map(|since| moment.at(since)),
        by_others: plan.map_or(0, |plan| whole(plan.unseen_by_others)),
        next_trial: circuit.trial_at.filter(|at| *at > moment.now).map(|at| moment.at(at)),
        store_away_since: away.map(|since| moment.at(since)),
        reports: held.reports,
    }
}

/// Since when it is known to be so, by what the rule is about.
fn since(condition: &ProxyCondition, rule: StatusRule) -> Option<SystemTime> {
    match rule {
        StatusRule::CircuitOpen => condition.failing_since,
        StatusRule::StoreAway => condition.store_away_since,
        StatusRule::Draining
        | StatusRule::ConsentNeeded
        | StatusRule::TokenUnusable
        | StatusRule::DaySpent
        | StatusRule::RefreshesStopped
        | StatusRule::RefreshesStretched
        | StatusRule::CallsByOthers
        | StatusRule::CountAssumed
        | StatusRule::Well => None,
    }
}

fn clients(state: &AdminState, totals: &Totals) -> Vec<ClientUse> {
    let requests = |client: &str| totals.requests_by_client.get(client).copied().unwrap_or_default();
    let mut clients: Vec<_> = state
        .metrics
        .clients
        .calls_today()
        .filter(|(client, calls)| *calls > 0 || requests(client) > 0 || !ClientMetrics::is_reserved(client))
        .map(|(client, calls_today)| ClientUse {
            client: client.into(),
            requests: requests(client),
            calls_today,
            last_asked: state.history.last_asked(client).and_then(rfc3339),
        })
        .collect();
    clients.sort_by_key(|used| (Reverse(used.calls_today), Reverse(used.requests)));
    clients.truncate(CLIENTS);
    clients
}

// === impl CallsTile ===

impl CallsTile {
    fn of(day: &DayCount, plan: Option<&PlanStatus>) -> Self {
        Self {
            limit: day.limit.map(std::num::NonZero::get),
            used: day.used,
            assumed: day.assumed,
            by_others: day.external,
            remaining: day.remaining,
            reserved: day.reserved,
            for_refreshes: day.remaining.map(|remaining| remaining.saturating_sub(day.reserved)),
            mode: day.mode.as_str(),
            burn_rates: plan.is_none().then_some(QuotaMode::BURN_RATES),
            exhausted_at: match day.forecast {
                // It moves by some seconds with each call.
                Forecast::ExhaustedAt(at) => {
                    let minute = Duration::from_secs(unix_seconds(at) / 60 * 60);
                    rfc3339(SystemTime::UNIX_EPOCH + minute)
                }
                Forecast::Enough | Forecast::Exhausted => None,
            },
            resets_at: rfc3339(day.resets_at),
        }
    }
}

// === impl UpstreamTile ===

impl UpstreamTile {
    fn of(circuit: CircuitView, moment: BothClocks, calls: CallsSummary) -> Self {
        let shown = |instant| moment.shown(instant);
        Self {
            circuit: circuit.state.as_str(),
            failing_since: circuit.failing_since.and_then(shown),
            next_trial_at: circuit.trial_at.and_then(shown),
            last_success_at: calls.last_success.and_then(shown),
            last_failure: calls.last_failure.map(|failed| LastFailure {
                at: shown(failed.at),
                error_key: failed.error_key,
                status: failed.status,
            }),
            median_ms: calls.median.map(|median| u64::try_from(median.as_millis()).unwrap_or(u64::MAX)),
            failures: calls.failed,
        }
    }
}
