//! What a caller sees while the token cannot be renewed: held reports go on, the others are told to come again.

use std::time::Duration;

use link_report_proxy::simulator::{Fault, Limit, Options, RefreshTokenPolicy, Scope, Simulator, TOKEN_PATH};
use secrecy::ExposeSecret as _;

use crate::support::in_process::{InProcess, OLD, path, timed};

const DAY: Duration = Duration::from_hours(24);

/// A proxy that renews its token; the vendor's first refresh token is always the same.
pub(super) fn renewing() -> InProcess {
    renewing_with(&[])
}

fn renewing_with(settings: &[(&str, &str)]) -> InProcess {
    renewing_in_front_of(Options::default(), settings)
}

fn renewing_in_front_of(options: Options, settings: &[(&str, &str)]) -> InProcess {
    let seed = Simulator::new(options.clone()).refresh_token();
    let token = [
        ("TOKEN__SOURCE", "refresh"),
        ("TOKEN__TOKEN_URL", "https://authz.invalid/oauth2/default/v1/token"),
        ("TOKEN__CLIENT_ID", options.client_id.as_str()),
        ("TOKEN__CLIENT_SECRET", options.client_secret.expose_secret()),
        ("TOKEN__REFRESH_TOKEN", &seed),
    ];
    InProcess::facing(options.clone(), &[&token, settings].concat(), |_vendor| ())
}

#[tokio::test(start_paused = true)]
async fn forty_callers_for_forty_reports_without_a_token_are_one_token_call() {
    let proxy = renewing();
    proxy.vendor.inject(Fault::Latency(Duration::from_secs(1)), Scope::TokenCalls);
    let asked: Vec<_> = (0..40).map(|number| proxy.get_meanwhile(&path(number))).collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!((proxy.vendor.token_calls(), proxy.vendor.calls()), (1, 40));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_costs_one_renewal_and_one_retry_and_no_failure() {
    let proxy = renewing();
    assert_eq!(proxy.get(&path(1)).await.status, 200);
    proxy.vendor.revoke_access_tokens();
    assert_eq!(proxy.get(&path(2)).await.status, 200);
    assert_eq!((proxy.vendor.token_calls(), proxy.vendor.calls()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_401_whose_renewal_outlasts_the_attempt_is_a_401_and_no_timeout() {
    let proxy = renewing();
    assert_eq!(proxy.get(&path(1)).await.status, 200);
    proxy.vendor.revoke_access_tokens();
    // The 401 comes after eight of the attempt's ten seconds, the new token after twelve.
    proxy.vendor.inject(Fault::Latency(Duration::from_secs(8)), Scope::All);
    proxy.vendor.inject(Fault::Latency(Duration::from_secs(4)), Scope::TokenCalls);
    let (answer, took) = timed(proxy.get(&path(2))).await;
    assert_eq!((answer.status, took), (502, Duration::from_secs(10)));
    assert_eq!(answer.json()["error_key"], "upstream_unauthorized");
    proxy.vendor.clear_faults();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(proxy.get(&path(2)).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn forty_callers_whose_token_is_refused_are_one_token_call_and_no_failure() {
    let proxy = renewing();
    assert_eq!(proxy.get(&path(0)).await.status, 200);
    proxy.vendor.inject(Fault::Latency(Duration::from_millis(100)), Scope::All);
    proxy.vendor.inject(Fault::Latency(Duration::from_secs(1)), Scope::TokenCalls);
    proxy.vendor.revoke_access_tokens();
    let asked: Vec<_> = (1..=40).map(|number| proxy.get_meanwhile(&path(number))).collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!((proxy.vendor.token_calls(), proxy.vendor.calls()), (2, 1 + 2 * 40));
}

#[tokio::test(start_paused = true)]
async fn a_403_is_no_reason_to_renew_the_token() {
    let proxy = renewing();
    assert_eq!(proxy.get(&path(0)).await.status, 200);
    proxy.vendor_fails(403);
    for number in 1..=10 {
        assert_eq!(proxy.get(&path(number)).await.json()["error_key"], "upstream_forbidden");
    }
    assert_eq!((proxy.vendor.token_calls(), proxy.vendor.calls()), (1, 11));
}

#[tokio::test(start_paused = true)]
async fn while_the_token_endpoint_says_429_it_is_left_alone_and_what_is_held_goes_on() {
    // The simulated endpoint uses the refresh token up before it says 429.
    let options = Options { rotation: RefreshTokenPolicy::LongLived, ..Options::default() };
    let proxy = renewing_in_front_of(options, &[]);
    let minute = Duration::from_secs(60);
    assert_eq!(proxy.get(&path(0)).await.status, 200);
    let throttled = Fault::Throttle { limit: Limit::PerSecond, retry_after: Some(30 * minute) };
    proxy.vendor.inject(throttled, Scope::TokenCalls);
    tokio::time::sleep(DAY - minute).await;
    let held = proxy.get(&path(1)).await;
    assert_eq!(held.status, 200, "the old token is good still");
    // Due at about four fifths of the day, and then every half an hour.
    let calls = proxy.vendor.token_calls();
    assert!((8..=12).contains(&calls), "{calls}");
    tokio::time::sleep(2 * minute).await;
    let answer = proxy.get(&path(1)).await;
    assert_eq!((answer.status, answer.cache_status(), &answer.body), (200, "hit; ttl=180", &held.body));
    tokio::time::sleep(OLD).await;
    let answer = proxy.get(&path(1)).await;
    assert_eq!((answer.status, &answer.body), (200, &held.body), "{}", answer.cache_status());
    assert_eq!(proxy.get(&path(2)).await.json()["error_key"], "token_unavailable");
    proxy.vendor.clear_faults();
    tokio::time::sleep(31 * minute).await;
    assert_eq!(proxy.get(&path(2)).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_hangs_or_is_refused_for_good_stops_no_report_that_is_held() {
    for dead in [false, true] {
        let proxy = renewing();
        assert_eq!(proxy.get(&path(1)).await.status, 200);
        if dead {
            proxy.vendor.revoke_refresh_tokens();
        } else {
            proxy.vendor.inject(Fault::Hang, Scope::TokenCalls);
        }
        tokio::time::sleep(DAY - Duration::from_secs(60)).await;
        assert_eq!(proxy.get(&path(2)).await.status, 200, "the old token is good still");

        // No token any more; the report is fresh, then stale.
        for age in [2, 5] {
            tokio::time::sleep(Duration::from_secs(age * 60)).await;
            let (answer, waited) = timed(proxy.get(&path(2))).await;
            assert_eq!((answer.status, waited), (200, Duration::ZERO));
            assert!(answer.cache_status().starts_with("hit; ttl="), "{}", answer.cache_status());
        }
        // Too old to be given at once, and better than an error.
        tokio::time::sleep(OLD).await;
        let (answer, waited) = timed(proxy.get(&path(2))).await;
        assert_eq!(answer.status, 200);
        let (how, why) = answer.cache_status().split_once("; ttl=-").unwrap();
        assert!(how == "hit" && why.ends_with("; detail=token_unavailable"), "{}", answer.cache_status());
        assert!(waited <= Duration::from_secs(5), "{waited:?}");

        let paid = async || proxy.admin("/quota").await.json()["day"]["used"].as_u64().unwrap();
        let (calls, paid_before) = (proxy.vendor.calls(), paid().await);
        let (answer, waited) = timed(proxy.get(&path(3))).await;
        assert_eq!((answer.status, answer.json()["error_key"].as_str()), (503, Some("token_unavailable")));
        assert!(!answer.header("retry-after").is_empty());
        assert!(waited <= Duration::from_secs(5), "{waited:?}");
        assert_eq!(proxy.vendor.calls(), calls, "nothing leaves without a token");
        assert_eq!(paid().await, paid_before, "and nothing is paid for");

        let shown = proxy.admin("/token").await.json();
        assert_eq!(shown["source"], "refresh");
        assert_eq!(shown["renewal"]["durability"], "volatile");
        assert_eq!(shown["renewal"]["refresh_token_rotation"], "rotating");
        assert!(shown["renewal"]["last_error"].as_str().is_some_and(|error| !error.is_empty()), "{shown}");
        // One that hangs is tried again and again, and is expired all the same.
        let expected = if dead { "reauthorization_required" } else { "expired" };
        assert_eq!(shown["status"], expected, "{shown}");
        if dead {
            let series = "link_report_proxy_token_state{state=\"reauthorization_required\"}";
            assert!((proxy.metric(series).await - 1.0).abs() < f64::EPSILON);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_without_a_token_does_not_queue_for_calls_that_cannot_be_made() {
    let proxy = renewing_with(&[("QUOTA__PER_SECOND", "1")]);
    proxy.vendor.revoke_refresh_tokens();
    assert_eq!(proxy.get(&path(0)).await.status, 503);
    let crowd: Vec<_> = (1..20).map(|number| proxy.get_meanwhile(&path(number))).collect();
    let (answers, waited) = timed(futures_util::future::join_all(crowd)).await;
    assert_eq!(waited, Duration::ZERO);
    for answer in answers {
        assert_eq!(answer.unwrap().json()["error_key"], "token_unavailable");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_whose_token_expires_while_they_queue_do_not_leave_together_when_the_next_one_comes() {
    let options = Options { access_token_lifetime: Duration::from_secs(30), ..Options::default() };
    let proxy = renewing_in_front_of(options, &[("QUOTA__PER_SECOND", "4")]);
    assert_eq!(proxy.get(&path(0)).await.status, 200);
    // Begun at about four fifths of its life, answered after its end.
    proxy.vendor.inject(Fault::Latency(Duration::from_secs(9)), Scope::TokenCalls);
    tokio::time::sleep(Duration::from_millis(29_500)).await;
    let crowd: Vec<_> = (1..20).map(|number| proxy.get_meanwhile(&path(number))).collect();
    let mut unavailable = 0;
    for answer in crowd {
        let answer = answer.await.unwrap();
        if answer.status == 503 {
            assert_eq!(answer.json()["error_key"], "token_unavailable");
            unavailable += 1;
        }
    }
    assert_eq!(proxy.get(&path(20)).await.status, 200);
    let reports = proxy.vendor.seen().into_iter().filter(|request| request.target != TOKEN_PATH);
    let times: Vec<_> = reports.map(|request| request.at).collect();
    assert!(times.windows(5).all(|five| five[4] - five[0] >= Duration::from_secs(1)), "{times:?}");
    assert!(unavailable > 0, "the token did expire while they queued");
}

/// Asks for so many reports that nobody holds, four a second, of an upstream that refuses the token; returns how many
/// calls left.
async fn poll_cold(proxy: &InProcess, asks: u32) -> u64 {
    let calls = proxy.vendor.calls();
    let mut asked = Vec::new();
    for number in 0..asks {
        asked.push(proxy.get_meanwhile(&path(1_000 + number)));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    for answer in asked {
        assert!(matches!(answer.await.unwrap().status, 502 | 503));
    }
    proxy.vendor.calls() - calls
}

#[tokio::test(start_paused = true)]
async fn an_api_that_refuses_every_token_costs_twenty_calls_in_ten_minutes_and_ever_fewer_renewals() {
    // What left before the first and before the renewed token's answer came is not to be had back.
    for (latency, in_flight) in [(0, 0), (2_000, 16)] {
        let proxy = renewing_with(&[("QUOTA__PER_SECOND", "4")]);
        proxy.vendor.inject(Fault::Latency(Duration::from_millis(latency)), Scope::All);
        proxy.vendor_fails(401);
        let left = poll_cold(&proxy, 2_400).await;
        assert!((10..=20 + in_flight).contains(&left), "{left} with {latency} ms");
        // One at the start, then after 0, 1, 3 and 7 minutes of refusals.
        let renewals = proxy.vendor.token_calls();
        assert!((3..=5).contains(&renewals), "{renewals} with {latency} ms");
        let paid = proxy.admin("/quota").await.json()["day"]["used"].as_u64();
        assert_eq!(paid, Some(left), "what never left is not counted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_whose_renewal_fails_is_backed_off_too() {
    let options = Options { rotation: RefreshTokenPolicy::LongLived, ..Options::default() };
    let proxy = renewing_in_front_of(options, &[("QUOTA__PER_SECOND", "4")]);
    assert_eq!(proxy.get(&path(1)).await.status, 200);
    proxy.vendor.inject(Fault::Hang, Scope::TokenCalls);
    proxy.vendor_fails(401);
    let left = poll_cold(&proxy, 2_400).await;
    assert!((10..=20).contains(&left), "{left}");
    proxy.vendor.clear_faults();
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(proxy.get(&path(2)).await.status, 200, "and is tried again");
}

#[tokio::test(start_paused = true)]
async fn calls_that_queue_when_the_third_401_comes_do_not_leave() {
    let proxy = renewing_with(&[("QUOTA__PER_SECOND", "4")]);
    assert_eq!(proxy.get(&path(1)).await.status, 200);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let calls = proxy.vendor.calls();
    proxy.vendor_fails(401);
    let crowd: Vec<_> = (100..115).map(|number| proxy.get_meanwhile(&path(number))).collect();
    let mut unavailable = 0;
    for answer in crowd {
        unavailable += u32::from(answer.await.unwrap().json()["error_key"] == "token_unavailable");
    }
    let left = proxy.vendor.calls() - calls;
    assert!((3..=4).contains(&left) && unavailable >= 10, "{left} left, {unavailable} did not");
}
