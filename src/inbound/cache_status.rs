//! `Cache-Status` (RFC 9211): how the response was produced, as one list member.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::prebuilt::PrebuiltSeconds;
use crate::{
    cache::{Forward, Role, Served, ServedFrom, StoreOutcome},
    report::{FetchError, Origin, WhyEmpty},
};

/// The header's name.
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// This cache's name in `Cache-Status` and `Proxy-Status`.
pub(super) const CACHE: &str = "link-report-proxy";
/// The values for hits with a `ttl` below 4,096 s: those of most responses.
static HITS: PrebuiltSeconds<32> = PrebuiltSeconds::new("link-report-proxy; hit; ttl=");

/// The value for a response of the cache.
pub(super) fn of(served: &Served) -> HeaderValue {
    match &served.from {
        // A report that the plan does not refresh yet is fresh, also when that was expected sooner.
        ServedFrom::Hit => {
            hit(ttl(served.entry.lifetime().fresh, served.age).max(0), served.entry.why_empty())
        }
        ServedFrom::Stale => hit(ttl(served.entry.lifetime().fresh, served.age), served.entry.why_empty()),
        ServedFrom::Rationed => {
            let ttl = ttl(served.entry.lifetime().fresh, served.age);
            value(|text| write!(text, "hit; ttl={ttl}; detail=rationed"))
        }
        ServedFrom::Fetched { exchange, .. } if exchange.origin == Origin::SharedStore => {
            let ttl = ttl(served.entry.lifetime().fresh, served.age);
            value(|text| write!(text, "hit; ttl={ttl}; detail=shared"))
        }
        ServedFrom::Fetched { role, forward, exchange, stored } => value(|text| {
            write!(text, "fwd={}", forward_word(*forward))?;
            if let (Forward::Stale | Forward::Request, Some(status)) = (forward, exchange.status) {
                write!(text, "; fwd-status={status}")?;
            }
            text.write_str(match (role, stored) {
                (Role::Leader, StoreOutcome::Yes) => "; stored",
                (Role::Leader, StoreOutcome::No) => "",
                (Role::Waiter, StoreOutcome::Yes | StoreOutcome::No) => "; collapsed",
            })?;
            served.entry.why_empty().map_or(Ok(()), |why| write!(text, "; detail={}", why.as_str()))
        }),
        ServedFrom::StaleIfError(error) if error.went_forward() => value(|text| failed(text, "stale", error)),
        // No call was made for this request: an earlier failure or a local limit prevented it.
        ServedFrom::StaleIfError(error) => {
            let ttl = ttl(served.entry.lifetime().fresh, served.age);
            value(|text| write!(text, "hit; ttl={ttl}; detail={}", error.cause.as_str()))
        }
    }
}

/// The value for an error response: no entry could be served instead.
pub(super) fn of_error(error: &FetchError) -> HeaderValue {
    value(|text| match error.went_forward() {
        true => failed(text, "uri-miss", error),
        false => write!(text, "detail={}", error.cause.as_str()),
    })
}

fn hit(ttl: i64, empty: Option<WhyEmpty>) -> HeaderValue {
    if let Some(why) = empty {
        return hit_empty(ttl, why);
    }
    let ready = u64::try_from(ttl).ok().and_then(|ttl| HITS.get(ttl));
    ready.unwrap_or_else(|| value(|text| write!(text, "hit; ttl={ttl}")))
}

#[cold]
fn hit_empty(ttl: i64, why: WhyEmpty) -> HeaderValue {
    value(|text| write!(text, "hit; ttl={ttl}; detail={}", why.as_str()))
}

/// Seconds until the entry becomes stale; negative if it is stale already (RFC 9211 §2.3).
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
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static(CACHE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_reads_the_same_whether_it_was_prebuilt_or_not() {
        for ttl in [0, 300, 4_095, 4_096, 86_400, -1, -300] {
            assert_eq!(hit(ttl, None), format!("{CACHE}; hit; ttl={ttl}").as_str());
        }
    }

    #[test]
    fn the_ttl_is_negative_once_the_entry_is_stale() {
        let fresh = Duration::from_secs(300);
        for (age_ms, expected) in [(0, 300), (258_000, 42), (299_999, 0), (300_000, 0), (361_000, -61)] {
            assert_eq!(ttl(fresh, Duration::from_millis(age_ms)), expected, "{age_ms}");
        }
    }
}
