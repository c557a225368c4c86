//! What is shown of the token while renewals fail one after the other.

use std::collections::BTreeSet;

use super::*;
use crate::simulator::{BodyShape, Fault, Scope};

const OK: Result<StatusCode, Cause> = Ok(StatusCode::OK);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// As a Prometheus sees it that comes by now and then: an alert needs minutes without another state between.
async fn states(process: &Process, time: Duration) -> BTreeSet<&'static str> {
    let until = tokio::time::Instant::now() + time;
    let mut seen = BTreeSet::new();
    while tokio::time::Instant::now() < until {
        pass(Duration::from_secs(3)).await;
        seen.insert(process.state());
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_stays_expired_while_one_renewal_after_the_other_hangs() {
    let place = Place::with(options(RefreshTokenPolicy::LongLived, HOUR), MemoryStore::default());
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    place.vendor.inject(Fault::Hang, Scope::TokenCalls);
    pass(HOUR).await;
    let calls = place.vendor.token_calls();
    assert_eq!(states(&process, 10 * MINUTE).await, BTreeSet::from(["expired"]));
    assert!(place.vendor.token_calls() > calls + 5);
    place.vendor.clear_faults();
    pass(2 * MINUTE).await;
    assert_eq!((process.ask().await, process.state()), (OK, "valid"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_refresh_token_stays_so_whatever_else_fails_and_until_there_is_another() {
    let body = |text: &'static str| Fault::Body(text.into());
    let status = Fault::Status { status: StatusCode::SERVICE_UNAVAILABLE, shape: BodyShape::Empty };
    let place = Place::with(options(RefreshTokenPolicy::LongLived, HOUR), MemoryStore::default()).watched();
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    place.vendor.revoke_refresh_tokens();
    pass(HOUR * 9 / 10).await;
    for fault in [None, Some(status), Some(body("{}")), Some(Fault::Hang)] {
        let calls = place.vendor.token_calls();
        if let Some(fault) = fault.clone() {
            place.vendor.inject(fault, Scope::TokenCalls);
        }
        let seen = states(&process, 20 * MINUTE).await;
        assert_eq!(seen, BTreeSet::from(["reauthorization_required"]), "{fault:?}");
        assert!(place.vendor.token_calls() > calls, "{fault:?}");
    }
    // The endpoint fails still, and who has put it there sees that it is not the new one that was refused.
    place.seed(&place.vendor.issue_refresh_token());
    pass(20 * MINUTE).await;
    assert_eq!(process.state(), "expired");
    place.vendor.clear_faults();
    pass(2 * MINUTE).await;
    assert_eq!((process.ask().await, process.state()), (OK, "valid"));
}
