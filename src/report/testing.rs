//! A call and an answer, for the tests of the layers between the two.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    ActivityId, Answer, Call, ClientNumber, Exchange, Fetched, LifetimePolicy, LinkReport, NegativeAnswer,
    NegativeStatus, NoClicks, Reason, ReportKey, StatisticsCall,
};

/// One of many keys.
pub(crate) fn key(number: u128) -> ReportKey {
    ReportKey { id: ActivityId::from(uuid::Uuid::from_u128(number)), no_clicks: NoClicks::Omitted }
}

/// A call that a caller waits for.
pub(crate) fn call() -> Call {
    call_for(1)
}

/// The same, for one of many keys.
pub(crate) fn call_for(number: u128) -> Call {
    Call { key: key(number), reason: Reason::Miss, client: ClientNumber::ANONYMOUS }
}

/// A call for the statistics of one activity.
pub(crate) fn statistics_call() -> StatisticsCall {
    StatisticsCall::new(vec![key(1).id]).unwrap()
}

/// An answer of an upstream that works.
pub(crate) fn good() -> Fetched {
    let answer = Answer::Negative(NegativeAnswer::parse(NegativeStatus::NotFound, b""));
    Fetched {
        answer,
        answered_at: Instant::now(),
        age: Duration::ZERO,
        exchange: Exchange::default(),
        stands_in_for: None,
    }
}

/// A report with these elements of `link_click_counts`.
pub(crate) fn report(links: &str) -> Answer {
    let id = "8892baf9-970a-4de6-8400-fa4ec461986d";
    let body = format!(r#"{{"campaign_activity_id":"{id}","link_click_counts":[{links}]}}"#);
    let id = ActivityId::parse(id.as_bytes()).unwrap();
    Answer::Report(LinkReport::parse(id, body.as_bytes()).unwrap())
}

/// Lifetimes without jitter: 5 minutes, 1 minute where there are no links or no report, stale for 10 minutes and, instead
/// of an error, for an hour.
pub(crate) fn policy() -> LifetimePolicy {
    LifetimePolicy {
        ttl: Duration::from_mins(5),
        ttl_jitter: 0.0,
        empty_ttl: Duration::from_mins(1),
        negative_ttl: Duration::from_mins(1),
        stale_while_revalidate: Duration::from_mins(10),
        stale_if_error: Duration::from_hours(1),
    }
}
