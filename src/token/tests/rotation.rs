//! Refresh tokens that work once, and a process that may die at any moment.

use super::{
    trap::{Point, Trap},
    *,
};
use crate::{
    simulator::{Fault, Scope},
    state::FileStore,
};

/// Of an access token.
const LIFETIME: Duration = Duration::from_mins(10);
const OK: Result<StatusCode, Cause> = Ok(StatusCode::OK);

#[tokio::test(start_paused = true)]
async fn a_rotating_refresh_token_outlives_any_number_of_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::with(Options::default(), FileStore::open(dir.path()).unwrap());
    for restart in 0..10 {
        let process = place.start().await;
        assert_eq!(process.ask().await, OK);
        assert_eq!(place.vendor.token_calls(), restart + 1, "a stored token that is good is not renewed");
        // The seed in the settings is long used up, and nobody minds.
        pass(DAY * 17 / 20).await;
        assert_eq!(place.refresh_token().await, place.vendor.refresh_token());
        assert_eq!(process.tokens.snapshot().renewal.unwrap().rotation.as_str(), "rotating");
        assert_eq!(process.metric("token_refresh_token_volatile"), 0.0);
        process.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_rotates_in_memory_only_is_told_to_be_at_risk() {
    for (rotation, at_risk) in [(RefreshTokenPolicy::Rotating, 1.0), (RefreshTokenPolicy::LongLived, 0.0)] {
        let place = Place::new(rotation);
        let process = place.start().await;
        assert_eq!(process.metric("token_refresh_token_volatile"), 0.0, "not known yet");
        assert_eq!(process.ask().await, OK);
        assert_eq!(process.metric("token_refresh_token_volatile"), at_risk);
        assert_eq!(process.tokens.snapshot().renewal.unwrap().durability.as_str(), "volatile");
    }
}

#[tokio::test(start_paused = true)]
async fn only_an_answer_that_was_never_written_can_be_lost_by_a_kill() {
    for (point, survives) in [
        (Point::BeforeIntent, true),
        (Point::AfterIntent, true),
        (Point::BeforeAnswer, false),
        (Point::AfterAnswer, true),
    ] {
        let trap = Trap::default();
        let place = Place::with(options(RefreshTokenPolicy::Rotating, LIFETIME), trap.clone()).watched();
        let process = place.start().await;
        assert_eq!(process.ask().await, OK);
        trap.set(point);
        while !trap.has_sprung() {
            pass(Duration::from_secs(60)).await;
        }
        process.kill().await;
        trap.mend();

        let process = place.start().await;
        assert_eq!(process.ask().await, OK, "{point:?}: the old access token is good still");
        pass(Duration::from_secs(5)).await;
        let expected = if survives { "valid" } else { "reauthorization_required" };
        assert_eq!(process.state(), expected, "{point:?}");
        if !survives {
            place.seed(&place.vendor.issue_refresh_token());
            pass(Duration::from_secs(5)).await;
        }
        pass(LIFETIME * 2).await;
        assert_eq!((process.ask().await, process.state()), (OK, "valid"), "{point:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_reached_us_is_known_of_at_once_after_a_kill() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    place.vendor.inject(Fault::Hang, Scope::TokenCalls);
    let calls = place.vendor.token_calls();
    while place.vendor.token_calls() == calls {
        pass(Duration::from_secs(1)).await;
    }
    process.kill().await;
    place.vendor.clear_faults();
    let process = place.start().await;
    pass(Duration::from_secs(5)).await;
    assert_eq!(process.state(), "reauthorization_required");
    assert_eq!(process.ask().await, OK, "and the old access token is good still");
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_changed_while_nobody_ran_begins_anew() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    pass(Duration::from_secs(1)).await;
    process.kill().await;
    let other = place.vendor.issue_refresh_token();
    place.seed(&other);
    let process = place.start().await;
    assert_eq!(place.refresh_token().await, other);
    assert_eq!(process.ask().await, OK);
    assert_eq!(place.vendor.token_calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_odd_field_of_an_answer_takes_no_rotated_refresh_token_away() {
    for (odd, usable) in [
        (r#""access_token":"ACCESS","refresh_token":"NEXT","expires_in":true"#, true),
        (r#""access_token":"x","access_token":"ACCESS","refresh_token":"NEXT""#, true),
        (r#""access_token":"ACCESS","refresh_token":"NEXT","refresh_token":"SENT""#, true),
        (r#""access_token":"ACCESS","refresh_token":"NEXT","refresh_token":null"#, true),
        (r#""access_token":"ACCESS","refresh_token":"NEXT","token_type":7,"scope":[]"#, true),
        (r#""access_token":"ACCESS","refresh_token":"NEXT","token_type":"mac""#, false),
        (r#""access_token":5,"refresh_token":"NEXT""#, false),
        (r#""refresh_token":"NEXT""#, false),
        (r#""refresh_token":"NEXT","access_token":"ACCESS","expires_in":,"#, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::with(Options::default(), FileStore::open(dir.path()).unwrap());
        let (vendor, sent) = (&place.vendor, place.vendor.refresh_token());
        let (next, access) = (vendor.issue_refresh_token(), vendor.issue_access_token());
        let body = format!("{{{odd}}}").replace("ACCESS", &access).replace("NEXT", &next);
        vendor.inject(Fault::Body(body.replace("SENT", &sent).into()), Scope::TokenCalls);
        let process = place.start().await;
        pass(Duration::from_millis(500)).await;
        assert_eq!((place.refresh_token().await, vendor.token_calls()), (next, 1), "{odd}");
        assert_eq!(process.last_error().is_empty(), usable, "{odd}");
        assert_eq!(process.tokens.generation(), u64::from(usable), "{odd}");
        vendor.clear_faults();
        pass(Duration::from_secs(5)).await;
        assert_eq!((process.ask().await, process.state()), (OK, "valid"), "{odd}");
    }
}
