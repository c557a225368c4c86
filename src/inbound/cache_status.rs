//! `Cache-Status` (RFC 9211): how an answer was come by, in one header member.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::prebuilt::PrebuiltSeconds;
use crate::{
    cache::{Forward, Role, Served, ServedFrom, StoreOutcome},
    report::FetchError,
};

/// The header.
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// Our name in the header.
pub(super) const CACHE: &str = "link-report-proxy";
/// The header of a hit whose freshness ends soon: that of most answers.
static HITS: PrebuiltSeconds<32> = PrebuiltSeconds::new("link-report-proxy; hit; ttl=");

/// The header of an answer.
pub(super) fn of(served: &Served) -> HeaderValue {
    match &served.from {
        ServedFrom::Hit | ServedFrom::Stale => hit(ttl(served.entry.lifetime().fresh, served.age)),
        ServedFrom::Fetched { role, forward, exchange, stored } => value(|text| {
            write!(text, "fwd={}", forward_word(*forward))?;
            if let (Forward::Stale | Forward::Request, Some(status)) = (forward, exchange.status) {
                write!(text, "; fwd-status={status}")?;
            }
            text.write_str(match (role, stored) {
                (Role::Leader, StoreOutcome::Yes) => "; stored",
                (Role::Leader, StoreOutcome::No) => "",
                (Role::Waiter, StoreOutcome::Yes | StoreOutcome::No) => "; collapsed",
            })
        }),
        ServedFrom::StaleIfError(error) if error.went_forward() => value(|text| failed(text, "stale", error)),
        // It is the copy that answered, without a look further.
        ServedFrom::StaleIfError(error) => {
            let ttl = ttl(served.entry.lifetime().fresh, served.age);
            value(|text| write!(text, "hit; ttl={ttl}; detail={}", error.cause.as_str()))
        }
    }
}

/// The header of an error after which there was no copy to answer with.
pub(super) fn of_error(error: &FetchError) -> HeaderValue {
    value(|text| match error.went_forward() {
        true => failed(text, "uri-miss", error),
        false => write!(text, "detail={}", error.cause.as_str()),
    })
}

fn hit(ttl: i64) -> HeaderValue {
    let ready = u64::try_from(ttl).ok().and_then(|ttl| HITS.get(ttl));
    ready.unwrap_or_else(|| value(|text| write!(text, "hit; ttl={ttl}")))
}

/// Seconds of freshness left; negative once it is over.
fn ttl(fresh: Duration, age: Duration) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match fresh.checked_sub(age) {
        Some(left) => seconds(left),
        None => -seconds(age - fresh),
    }
}

const fn forward_word(forward: Forward) -> &'static str {
    match forward {
        Forward::UriMiss => "uri-miss",
        Forward::Stale => "stale",
        Forward::Request => "request",
    }
}

fn failed(text: &mut String, forward: &str, error: &FetchError) -> fmt::Result {
    write!(text, "fwd={forward}")?;
    if let Some(status) = error.exchange.status {
        write!(text, "; fwd-status={status}")?;
    }
    write!(text, "; detail={}", error.cause.as_str())
}

fn value(write: impl FnOnce(&mut String) -> fmt::Result) -> HeaderValue {
    let mut text = String::with_capacity(64);
    text.push_str(CACHE);
    text.push_str("; ");
    let written = write(&mut text);
    debug_assert!(written.is_ok(), "a String takes everything");
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static(CACHE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_reads_the_same_whether_it_was_ready_or_not() {
        for ttl in [0, 300, 4_095, 4_096, 86_400, -1, -300] {
            assert_eq!(hit(ttl), format!("{CACHE}; hit; ttl={ttl}").as_str());
        }
    }

    #[test]
    fn what_is_left_of_freshness_turns_negative_when_it_is_over() {
        let fresh = Duration::from_secs(300);
        for (age_ms, expected) in [(0, 300), (258_000, 42), (299_999, 0), (300_000, 0), (361_000, -61)] {
            assert_eq!(ttl(fresh, Duration::from_millis(age_ms)), expected, "{age_ms}");
        }
    }
}
