//! When all goes well: renewed before its time, unnoticed, one call each.

use super::*;
use crate::simulator::{Fault, Scope};

const OK: Result<StatusCode, Cause> = Ok(StatusCode::OK);

#[tokio::test(start_paused = true)]
async fn forty_callers_who_meet_no_token_cost_one_token_call() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    place.vendor.inject(Fault::Latency(Duration::from_secs(1)), Scope::TokenCalls);
    let process = place.start().await;
    let callers: Vec<_> = (0..40).map(|_| process.ask_meanwhile()).collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), OK);
    }
    assert_eq!(place.vendor.token_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn forty_callers_who_meet_an_expired_token_cost_one_token_call() {
    let half_a_minute = Duration::from_secs(30);
    let place = Place::with(options(RefreshTokenPolicy::Rotating, half_a_minute), MemoryStore::default());
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    // Begun at about 24 s, answered after the token's end.
    place.vendor.inject(Fault::Latency(Duration::from_secs(9)), Scope::TokenCalls);
    pass(half_a_minute + Duration::from_secs(1)).await;
    assert_eq!((process.tokens.snapshot().status, place.vendor.token_calls()), (TokenStatus::Renewing, 2));
    let callers: Vec<_> = (0..40).map(|_| process.ask_meanwhile()).collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), OK);
    }
    assert_eq!((place.vendor.token_calls(), process.state()), (2, "valid"));
}

#[tokio::test(start_paused = true)]
async fn for_a_month_nobody_notices_that_tokens_die() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let process = place.start().await;
    for _hour in 0..30 * 24 {
        pass(Duration::from_secs(60 * 60)).await;
        assert_eq!(process.ask().await, OK);
        assert_eq!(process.state(), "valid");
    }
    // 30 days are 37.5 times four fifths of one.
    let calls = place.vendor.token_calls();
    assert!((36..=40).contains(&calls), "{calls}");
    assert_eq!(process.metric("token_renewals_total{result=\"success\"}") as u64, calls);
    assert_eq!(process.metric("token_renewals_total{result=\"error\"}") as u64, 0);
    let left = process.metric("token_expiry_timestamp_seconds")
        - std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((0.15..1.0).contains(&(left / DAY.as_secs_f64())), "{left}");
    let shown = process.tokens.snapshot().expires_at.unwrap().duration_since(std::time::SystemTime::now());
    assert!((shown.as_ref().unwrap().as_secs_f64() - left).abs() < 60.0, "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_hangs_delays_nobody_who_has_a_token() {
    let place = Place::new(RefreshTokenPolicy::LongLived);
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    place.vendor.inject(Fault::Hang, Scope::TokenCalls);
    for _minute in 0..23 * 60 {
        pass(Duration::from_secs(60)).await;
        let start = tokio::time::Instant::now();
        assert_eq!(process.ask().await, OK);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
    assert!(process.metric("token_renewals_total{result=\"error\"}") > 0.0);
    assert!(process.last_error().contains("no answer in time"), "{}", process.last_error());
}

#[tokio::test(start_paused = true)]
async fn whoever_has_no_token_waits_for_seconds_and_not_for_ever() {
    let place = Place::new(RefreshTokenPolicy::LongLived);
    place.vendor.inject(Fault::Hang, Scope::TokenCalls);
    let process = place.start().await;
    for _ in 0..3 {
        let start = tokio::time::Instant::now();
        assert_eq!(process.ask().await, Err(Cause::Local(LocalDenial::NoToken)));
        assert!(start.elapsed() <= Duration::from_secs(5), "{:?}", start.elapsed());
    }
    assert_eq!(place.vendor.calls(), 0, "without a token nothing is sent");
    place.vendor.clear_faults();
    pass(Duration::from_secs(90)).await;
    assert_eq!(process.ask().await, OK);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_renewed_once_and_a_second_refusal_waits() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    place.vendor.revoke_access_tokens();
    assert_eq!(process.ask().await, Ok(StatusCode::UNAUTHORIZED), "the retry is the layer's above");
    assert_eq!(process.ask().await, OK);
    assert_eq!(place.vendor.token_calls(), 2);

    // It was refused so soon after it came that renewing it again would help as little.
    place.vendor.revoke_access_tokens();
    for _second in 0..50 {
        assert_ne!(process.ask().await, OK);
        pass(Duration::from_secs(1)).await;
    }
    assert_eq!(place.vendor.token_calls(), 2);
    pass(Duration::from_secs(60)).await;
    assert_eq!(process.ask().await, Ok(StatusCode::UNAUTHORIZED));
    assert_eq!((process.ask().await, place.vendor.token_calls()), (OK, 3));
    // Tokens that were good for a while are renewed at once again.
    pass(Duration::from_secs(600)).await;
    place.vendor.revoke_access_tokens();
    assert_eq!(process.ask().await, Ok(StatusCode::UNAUTHORIZED));
    assert_eq!((process.ask().await, place.vendor.token_calls()), (OK, 4));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_wished_for_just_before_another_call_was_accepted_is_told_at_once() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    let tokens = &process.tokens;
    let begun = tokio::time::Instant::now();
    tokio::join!(biased; tokens.refused(tokens.generation()), async {
        tokens.accepted(tokens.generation());
    });
    assert_eq!((begun.elapsed(), place.vendor.token_calls()), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn an_end_waits_for_the_renewal_under_way_and_begins_no_other() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    place.vendor.inject(Fault::Latency(Duration::from_secs(15)), Scope::TokenCalls);
    let process = place.start().await;
    pass(Duration::from_secs(1)).await;
    assert_eq!((place.vendor.token_calls(), process.state()), (1, "renewing"));
    process.tokens.finish().await;
    assert_eq!(place.refresh_token().await, place.vendor.refresh_token(), "what came was written down");
    pass(DAY * 2).await;
    assert_eq!(place.vendor.token_calls(), 1);

    let unwatched = place.start().await;
    unwatched.tokens.finish().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_shown_holds_a_secret() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    let shown = format!(
        "{:?} {:?} {:?} {}",
        process.tokens,
        process.tokens.snapshot(),
        place.store,
        process.metrics.render().unwrap()
    );
    let options = place.vendor.options();
    for secret in [
        place.vendor.access_token(),
        place.vendor.refresh_token(),
        options.client_secret.expose_secret().to_owned(),
    ] {
        assert!(!shown.contains(&secret), "{shown}");
    }
}
