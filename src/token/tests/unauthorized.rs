//! A token that the upstream refuses: asking does not mend it, and renewing it seldom does.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::*;
use crate::{
    settings::WATCH_INTERVAL,
    simulator::{BodyShape, Fault, Scope},
};

const FIRST_PAUSE: Duration = Duration::from_secs(5);
const RESTS: Result<StatusCode, Cause> = Err(Cause::Local(LocalDenial::NoToken));

/// A vendor, and the one token it was given for.
fn given() -> (Simulator, TokenManager) {
    let vendor = Simulator::new(options(RefreshTokenPolicy::LongLived, DAY));
    let tokens = TokenManager::new(TokenSource::Static(vendor.access_token().into()), Metrics::new().token);
    (vendor, tokens)
}

fn answers(vendor: &Simulator, status: StatusCode, scope: Scope) {
    vendor.inject(Fault::Status { status, shape: BodyShape::Object }, scope);
}

async fn refuse(tokens: &TokenManager, vendor: &Simulator, times: u32) {
    answers(vendor, StatusCode::UNAUTHORIZED, Scope::Next(times));
    for _ in 0..times {
        assert_eq!(ask(tokens.clone(), vendor).await, Ok(StatusCode::UNAUTHORIZED));
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_by_one_call_after_each_of_growing_pauses() {
    let (vendor, tokens) = given();
    vendor.revoke_access_tokens();
    let (begun, mut left) = (Instant::now(), Vec::new());
    while begun.elapsed() < Duration::from_secs(200) {
        match ask(tokens.clone(), &vendor).await {
            Ok(status) => {
                assert_eq!(status, StatusCode::UNAUTHORIZED);
                left.push(begun.elapsed().as_secs());
            }
            Err(cause) => assert_eq!(cause, Cause::Local(LocalDenial::NoToken)),
        }
        pass(Duration::from_millis(250)).await;
    }
    assert_eq!(left, [0, 0, 0, 5, 15, 35, 75, 135, 195]);
    assert_eq!(vendor.calls(), left.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn two_401s_cost_no_pause_and_three_cost_one_which_a_good_answer_forgets() {
    let (vendor, tokens) = given();
    for refusals in [1, 2, 3, 2, 3, 1] {
        refuse(&tokens, &vendor, refusals).await;
        if refusals == 3 {
            assert_eq!(ask(tokens.clone(), &vendor).await, RESTS);
            pass(FIRST_PAUSE).await;
        }
        for _ in 0..2 {
            assert_eq!(ask(tokens.clone(), &vendor).await, Ok(StatusCode::OK));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_pause_a_call_is_turned_away_before_it_costs_anything() {
    let (vendor, tokens) = given();
    assert_eq!(tokens.ready().await, Ok(()));
    refuse(&tokens, &vendor, 3).await;
    assert_eq!(tokens.ready().await, Err(Cause::Local(LocalDenial::NoToken)));
    pass(FIRST_PAUSE).await;
    assert_eq!(tokens.ready().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn of_a_crowd_after_the_pause_one_leaves_and_nobody_waits_for_it() {
    let (vendor, tokens) = given();
    refuse(&tokens, &vendor, 3).await;
    pass(FIRST_PAUSE).await;
    vendor.inject(Fault::Latency(Duration::from_secs(2)), Scope::All);
    let trial = ask(tokens.clone(), &vendor);
    let crowd = async {
        let begun = Instant::now();
        let crowd = join_all((0..20).map(|_| ask(tokens.clone(), &vendor))).await;
        (crowd, begun.elapsed())
    };
    let (trial, (crowd, waited)) = tokio::join!(biased; trial, crowd);
    assert_eq!((trial, waited), (Ok(StatusCode::OK), Duration::ZERO));
    assert!(crowd.iter().all(|answer| *answer == RESTS), "{crowd:?}");
    assert_eq!(vendor.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_learns_nothing_keeps_nobody_from_the_next() {
    let (vendor, tokens) = given();
    refuse(&tokens, &vendor, 3).await;
    pass(FIRST_PAUSE).await;
    answers(&vendor, StatusCode::BAD_GATEWAY, Scope::Next(1));
    assert_eq!(ask(tokens.clone(), &vendor).await, Ok(StatusCode::BAD_GATEWAY));
    vendor.inject(Fault::Hang, Scope::Next(1));
    assert!(timeout(Duration::from_secs(1), ask(tokens.clone(), &vendor)).await.is_err(), "given up");
    assert_eq!(ask(tokens.clone(), &vendor).await, Ok(StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn another_content_of_the_file_ends_the_pause_once_it_is_read() {
    let vendor = Simulator::new(options(RefreshTokenPolicy::LongLived, DAY));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), vendor.access_token()).unwrap();
    let source = TokenSource::File(SecretFile::new(file.path()));
    let tokens = TokenManager::new(source, Metrics::new().token);
    let watch = tokio::spawn(tokens.clone().watch());
    vendor.revoke_access_tokens();
    // Far into the pauses: the present one lasts a minute.
    for _ in 0..200 {
        assert_ne!(ask(tokens.clone(), &vendor).await, Ok(StatusCode::OK));
        pass(Duration::from_secs(1)).await;
    }
    fs::write(file.path(), vendor.issue_access_token()).unwrap();
    pass(WATCH_INTERVAL * 2).await;
    assert_eq!(ask(tokens.clone(), &vendor).await, Ok(StatusCode::OK));
    watch.abort();
}

#[tokio::test(start_paused = true)]
async fn the_refusals_of_a_token_count_on_for_the_one_that_replaces_it_because_of_them() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let process = place.start().await;
    assert_eq!(process.ask().await, Ok(StatusCode::OK));
    answers(&place.vendor, StatusCode::UNAUTHORIZED, Scope::All);
    for renewals in [1, 1, 1] {
        assert_eq!(process.ask().await, Ok(StatusCode::UNAUTHORIZED));
        assert_eq!(place.vendor.token_calls(), 1 + renewals);
    }
    assert_eq!(process.ask().await, RESTS);
    pass(FIRST_PAUSE).await;
    place.vendor.clear_faults();
    for _ in 0..3 {
        assert_eq!(process.ask().await, Ok(StatusCode::OK), "one good answer ends it");
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_that_a_401_asks_for_are_a_minute_two_four_and_at_last_an_hour_apart() {
    let place = Place::with(options(RefreshTokenPolicy::Rotating, 3 * DAY), MemoryStore::default());
    let process = place.start().await;
    assert_eq!(process.ask().await, Ok(StatusCode::OK));
    answers(&place.vendor, StatusCode::UNAUTHORIZED, Scope::All);
    let (begun, mut renewed, mut left) = (Instant::now(), Vec::new(), 0);
    while begun.elapsed() < Duration::from_secs(5 * 60 * 60) {
        let before = place.vendor.token_calls();
        left += u32::from(process.ask().await.is_ok());
        if place.vendor.token_calls() > before {
            renewed.push(begun.elapsed().as_secs() / 60);
        }
        pass(Duration::from_secs(1)).await;
    }
    // Each waits for the next call that tries the token, a minute at most.
    let expected = [0, 1, 3, 7, 15, 31, 63, 123, 183, 243];
    assert!(
        renewed.iter().zip(expected).all(|(at, soonest)| (soonest..soonest + 10).contains(at)),
        "{renewed:?}"
    );
    assert_eq!(renewed.len(), expected.len(), "{renewed:?}");
    assert!(left < 5 * 60 + 20, "{left}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_lives_half_a_minute_is_renewed_so_often_and_sent_no_more_often() {
    let place =
        Place::with(options(RefreshTokenPolicy::Rotating, Duration::from_secs(30)), MemoryStore::default());
    let process = place.start().await;
    answers(&place.vendor, StatusCode::UNAUTHORIZED, Scope::All);
    for _ in 0..2_400 {
        let _answer = process.ask_meanwhile();
        pass(Duration::from_millis(250)).await;
    }
    assert!((10..=20).contains(&place.vendor.calls()), "{}", place.vendor.calls());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_gives_the_same_access_token_again_is_not_asked_each_second() {
    let place = Place::new(RefreshTokenPolicy::LongLived);
    let body = format!(r#"{{"access_token":"{}","expires_in":86400}}"#, place.vendor.access_token());
    place.vendor.inject(Fault::Body(body.into()), Scope::TokenCalls);
    let process = place.start().await;
    assert_eq!(process.ask().await, Ok(StatusCode::OK));
    place.vendor.revoke_access_tokens();
    for _ in 0..59 {
        let _answer = process.ask().await;
        pass(Duration::from_secs(1)).await;
    }
    assert_eq!(place.vendor.token_calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_login_starts_with_a_clean_slate() {
    let place = Place::new(RefreshTokenPolicy::Rotating).watched();
    let process = place.start().await;
    assert_eq!(process.ask().await, Ok(StatusCode::OK));
    answers(&place.vendor, StatusCode::UNAUTHORIZED, Scope::All);
    while process.ask().await != RESTS {}
    place.seed(&place.vendor.issue_refresh_token());
    pass(Duration::from_secs(4)).await;
    for _ in 0..3 {
        assert_eq!(process.ask().await, Ok(StatusCode::UNAUTHORIZED));
    }
    assert_eq!(process.ask().await, RESTS);
}
