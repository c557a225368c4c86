//! When it goes wrong: everything is kept, nothing is asked too often, and a person can heal it.

use std::time::SystemTime;

use super::{
    trap::{Point, Trap},
    *,
};
use crate::{
    simulator::{BodyShape, Fault, Limit, Scope},
    state::{StoredAccess, TokenRecord},
};

const OK: Result<StatusCode, Cause> = Ok(StatusCode::OK);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

fn body(text: &'static str) -> Fault {
    Fault::Body(text.into())
}

#[tokio::test(start_paused = true)]
async fn no_failure_but_one_takes_anything_away() {
    let status = |status, shape| Fault::Status { status: StatusCode::from_u16(status).unwrap(), shape };
    for fault in [
        status(500, BodyShape::Okta),
        status(400, BodyShape::Okta),
        status(401, BodyShape::Object),
        status(403, BodyShape::Gateway),
        status(503, BodyShape::Empty),
        Fault::Throttle { limit: Limit::PerSecond, retry_after: None },
        Fault::Redirect,
        Fault::Reset,
        Fault::Hang,
        Fault::Truncate,
        Fault::Html,
        Fault::Huge,
        Fault::Drip(Duration::from_secs(1)),
        body(""),
        body("{}"),
        body("null"),
        body(r#"{"access_token":"","refresh_token":""}"#),
        body(r#"{"access_token":"cut","refresh_to"#),
    ] {
        let place = Place::with(options(RefreshTokenPolicy::LongLived, HOUR), MemoryStore::default());
        let process = place.start().await;
        assert_eq!(process.ask().await, OK);
        let (kept, calls) = (place.refresh_token().await, place.vendor.token_calls());
        place.vendor.inject(fault.clone(), Scope::TokenCalls);
        // From about four fifths of its life on.
        pass(HOUR * 9 / 10).await;
        assert_eq!(process.ask().await, OK, "{fault:?}");
        assert_eq!(
            (place.refresh_token().await, process.state() == "reauthorization_required"),
            (kept, false)
        );
        assert!(!process.last_error().is_empty(), "{fault:?}");
        let asked = place.vendor.token_calls() - calls;
        assert!((4..=20).contains(&asked), "{fault:?}: {asked} in about six minutes");
        place.vendor.clear_faults();
        pass(2 * MINUTE).await;
        assert_eq!((process.ask().await, process.last_error().as_str()), (OK, ""), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_refresh_token_is_asked_with_rarely_and_healed_by_a_new_seed() {
    let place = Place::with(options(RefreshTokenPolicy::Rotating, HOUR), MemoryStore::default()).watched();
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    place.vendor.revoke_refresh_tokens();
    pass(HOUR * 9 / 10).await;
    assert_eq!(process.state(), "reauthorization_required");
    assert_eq!(process.ask().await, OK, "the access token is good still");
    assert_eq!(process.metric("token_state{state=\"reauthorization_required\"}"), 1.0);

    pass(HOUR / 10).await;
    let start = tokio::time::Instant::now();
    let (calls, token_calls) = (place.vendor.calls(), place.vendor.token_calls());
    for _ in 0..100 {
        assert_eq!(process.ask().await, Err(Cause::Local(LocalDenial::NoToken)));
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "nobody waits for what will not come");
    pass(HOUR).await;
    assert_eq!(place.vendor.calls(), calls);
    let asked = place.vendor.token_calls() - token_calls;
    assert!((1..=16).contains(&asked), "{asked} in an hour");

    place.seed(&place.vendor.issue_refresh_token());
    // Two looks at the file must agree, and the endpoint's calls are a second apart.
    pass(Duration::from_secs(10)).await;
    assert_eq!((process.ask().await, process.state()), (OK, "valid"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_that_cannot_be_replaced_spends_no_calls() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    place.vendor.revoke_refresh_tokens();
    place.vendor.revoke_access_tokens();
    assert_eq!(process.ask().await, Ok(StatusCode::UNAUTHORIZED));
    let calls = place.vendor.calls();
    for _ in 0..10 {
        assert_eq!(process.ask().await, Err(Cause::Local(LocalDenial::NoToken)));
    }
    assert_eq!(place.vendor.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn four_token_calls_in_ten_seconds_are_the_most_whatever_the_settings_do() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    place.vendor.revoke_refresh_tokens();
    let process = place.start().await;
    pass(Duration::from_secs(10)).await;
    assert!(place.vendor.token_calls() <= 4, "{}", place.vendor.token_calls());
    let seen = place.vendor.seen();
    assert!(seen.iter().all(|request| request.target == TOKEN_PATH));
    assert_eq!(process.state(), "reauthorization_required");
}

#[tokio::test(start_paused = true)]
async fn a_login_heals_a_running_proxy_and_is_taken_up_once() {
    let place = Place::with(options(RefreshTokenPolicy::Rotating, HOUR), MemoryStore::default()).watched();
    place.vendor.revoke_refresh_tokens();
    let process = place.start().await;
    assert_eq!(process.ask().await, Err(Cause::Local(LocalDenial::NoToken)));
    let now = SystemTime::now();
    let login = TokenRecord {
        access: Some(StoredAccess {
            token: place.vendor.issue_access_token().into(),
            renewed_at: now,
            expires_at: now + HOUR,
        }),
        ..TokenRecord::new(place.vendor.issue_refresh_token().into())
    };
    assert!(!process.last_error().is_empty());
    place.inbox().leave(&login).await.unwrap();
    pass(Duration::from_secs(5)).await;
    assert_eq!((process.ask().await, process.state()), (OK, "valid"));
    assert_eq!(process.last_error(), "", "the error was the old one's");
    assert!(place.inbox().is_empty().await.unwrap());
    pass(HOUR).await;
    assert_eq!(process.ask().await, OK, "it renews itself from then on");

    // The same one again, as after a kill before the inbox was emptied: its refresh token is long used up.
    process.kill().await;
    place.inbox().leave(&login).await.unwrap();
    let process = place.start().await;
    assert!(place.inbox().is_empty().await.unwrap());
    pass(HOUR).await;
    assert_eq!((process.ask().await, process.state()), (OK, "valid"));
}

#[tokio::test(start_paused = true)]
async fn a_login_or_a_seed_that_another_writer_overtakes_at_the_start_is_not_lost() {
    for left in [None, Some("login")] {
        let trap = Trap::default();
        let place = Place::with(Options::default(), trap.clone()).watched();
        if let Some(left) = left {
            place.inbox().leave(&TokenRecord::new(left.into())).await.unwrap();
        }
        trap.overtake(Point::BeforeAnswer, TokenRecord::new("theirs".into()));
        let _process = place.start().await;
        let seed = place.vendor.refresh_token();
        assert_eq!(place.refresh_token().await, left.unwrap_or(&seed));
        assert!(place.inbox().is_empty().await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_cannot_be_stored_yet_is_tried_again_until_it_can() {
    let trap = Trap::default();
    let place = Place::with(options(RefreshTokenPolicy::LongLived, DAY), trap.clone()).watched();
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    trap.fill();
    let seed = place.vendor.issue_refresh_token();
    place.seed(&seed);
    pass(MINUTE).await;
    assert!(process.last_error().starts_with("state.dir: "), "{}", process.last_error());
    assert_eq!((process.ask().await, process.tokens.generation()), (OK, 1), "the old one goes on");
    trap.mend();
    pass(Duration::from_secs(5)).await;
    assert_eq!((place.refresh_token().await, process.last_error()), (seed, String::new()));
}

#[tokio::test(start_paused = true)]
async fn without_a_place_to_write_the_answer_nothing_is_asked() {
    let trap = Trap::default();
    let place = Place::with(Options::default(), trap.clone());
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    let calls = place.vendor.token_calls();
    trap.fill();
    pass(DAY * 9 / 10).await;
    assert_eq!(place.vendor.token_calls(), calls);
    assert!(process.last_error().starts_with("state.dir: "), "{}", process.last_error());
    trap.mend();
    pass(2 * MINUTE).await;
    assert_eq!((place.vendor.token_calls(), process.state()), (calls + 1, "valid"));
}

#[tokio::test(start_paused = true)]
async fn what_came_is_used_by_nobody_before_it_is_written() {
    let trap = Trap::default();
    let place = Place::with(Options::default(), trap.clone());
    place.vendor.inject(Fault::Latency(Duration::from_secs(2)), Scope::TokenCalls);
    let process = place.start().await;
    pass(Duration::from_secs(1)).await;
    trap.fill();
    assert_eq!(process.ask().await, Err(Cause::Local(LocalDenial::NoToken)));
    assert_eq!((process.tokens.generation(), process.state()), (0, "missing"), "for long by now");
    assert!(!process.last_error().is_empty(), "GET /token says why it takes so long");
    assert_eq!(process.metric("token_renewals_total{result=\"error\"}"), 1.0, "however often it is tried");
    trap.mend();
    pass(Duration::from_secs(2)).await;
    assert_eq!((process.ask().await, place.vendor.token_calls()), (OK, 1));
    assert_eq!(process.last_error(), "");
    assert_eq!(place.refresh_token().await, place.vendor.refresh_token());
}

#[tokio::test(start_paused = true)]
async fn the_token_endpoint_s_retry_after_is_honoured_for_an_hour_at_most() {
    for (asked, minutes) in [(30 * MINUTE, 30), (DAY, 60)] {
        let place = Place::new(RefreshTokenPolicy::LongLived).watched();
        let throttled = Fault::Throttle { limit: Limit::PerSecond, retry_after: Some(asked) };
        place.vendor.inject(throttled, Scope::TokenCalls);
        let process = place.start().await;
        for minute in 0..minutes {
            assert_eq!(
                (process.ask().await, place.vendor.token_calls()),
                (Err(Cause::Local(LocalDenial::NoToken)), 1)
            );
            pass(MINUTE - if minute == 0 { Duration::from_secs(10) } else { Duration::ZERO }).await;
        }
        place.vendor.clear_faults();
        pass(Duration::from_secs(11)).await;
        assert_eq!((process.ask().await, place.vendor.token_calls()), (OK, 2), "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_s_new_refresh_token_waits_for_no_retry_after() {
    let place = Place::new(RefreshTokenPolicy::Rotating).watched();
    let throttled = Fault::Throttle { limit: Limit::PerSecond, retry_after: Some(HOUR) };
    place.vendor.inject(throttled, Scope::TokenCalls);
    let process = place.start().await;
    pass(MINUTE).await;
    place.vendor.clear_faults();
    place.seed(&place.vendor.issue_refresh_token());
    pass(Duration::from_secs(4)).await;
    assert_eq!((process.ask().await, place.vendor.token_calls()), (OK, 2));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_is_shown_as_due_when_it_was_due() {
    let due = |process: &Process| process.metric("token_renewal_due_timestamp_seconds");
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let place = Place::with(options(RefreshTokenPolicy::LongLived, HOUR), MemoryStore::default());
    place.vendor.inject(Fault::Reset, Scope::TokenCalls);
    let begun = now();
    let process = place.start().await;
    pass(MINUTE).await;
    assert!((begun..=now()).contains(&due(&process)), "the first one is due at the start");

    place.vendor.clear_faults();
    pass(2 * MINUTE).await;
    assert_eq!(process.ask().await, OK);
    let first = due(&process);
    // The machine's clock stands still meanwhile, or nearly.
    let share = (first - now()) / HOUR.as_secs_f64();
    assert!((0.76..0.84).contains(&share), "about four fifths of its life from now, not {share}");
    place.vendor.inject(Fault::Reset, Scope::TokenCalls);
    pass(HOUR * 9 / 10).await;
    assert!(!process.last_error().is_empty());
    assert_eq!(due(&process), first);

    place.vendor.clear_faults();
    pass(2 * MINUTE).await;
    assert_ne!(due(&process), first, "the next token's");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_renewed_here_is_never_due() {
    let process = Metrics::new();
    let tokens = TokenManager::new(TokenSource::Static(SecretString::from("given")), process.token.clone());
    tokens.observe();
    assert!(process.render().unwrap().contains("link_report_proxy_token_renewal_due_timestamp_seconds 0\n"));
}
