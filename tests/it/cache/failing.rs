//! A key whose calls fail: how often it is called for, and what is answered meanwhile.

use link_report_proxy::report::{
    Cause, Exchange, FetchError, InvalidReport, LocalDenial, Reason, Unreachable, UpstreamFailure,
    UpstreamLimit,
};
use tokio::time::sleep;

use super::harness::{Desk, from, negative_answer, report, seconds};
use crate::support::in_process::{key, timed};

/// Every way in which a call that was made can end without an answer.
fn causes() -> Vec<FetchError> {
    let answered = |limit| FetchError {
        exchange: Exchange { status: Some(429), ..Exchange::default() },
        ..UpstreamFailure::TooManyRequests { limit, retry_after: seconds(1) }.into()
    };
    let mut causes: Vec<FetchError> = [
        Cause::Upstream(UpstreamFailure::Unauthorized),
        Cause::Upstream(UpstreamFailure::Forbidden),
        Cause::Upstream(UpstreamFailure::Status { status: 302 }),
        Cause::Upstream(UpstreamFailure::Status { status: 405 }),
        Cause::Upstream(UpstreamFailure::Status { status: 410 }),
        Cause::Upstream(UpstreamFailure::Status { status: 500 }),
        Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Connect)),
        Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Broken)),
        Cause::Upstream(UpstreamFailure::Invalid(InvalidReport::Malformed)),
        Cause::Upstream(UpstreamFailure::Invalid(InvalidReport::TooLarge { limit: 1 })),
        Cause::Upstream(UpstreamFailure::Timeout),
        Cause::Internal,
    ]
    .map(FetchError::from)
    .into();
    causes.push(answered(UpstreamLimit::PerSecond));
    causes.push(answered(UpstreamLimit::Unspecified));
    causes
}

/// Every way in which a call can be denied here.
fn denials() -> [Cause; 4] {
    [
        Cause::Local(LocalDenial::RateLimit { retry_after: seconds(1) }),
        Cause::Local(LocalDenial::DailyQuota { retry_after: seconds(3_600) }),
        Cause::Local(LocalDenial::CircuitOpen { retry_after: seconds(10) }),
        Cause::Local(LocalDenial::NoToken),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_cold_key_that_fails_is_called_for_at_growing_pauses_and_answered_with_its_error() {
    for error in causes() {
        let mut desk = Desk::new();
        for pause in [5, 10, 20, 40].into_iter().chain([60; 10]).chain([120, 240, 480, 600, 600]) {
            let crowd: Vec<_> = (0..5).map(|_| desk.ask(key(1))).collect();
            let call = desk.call().await;
            assert_eq!(call.call.reason, Reason::Miss);
            call.ends(Err(error.clone()));
            for asking in crowd {
                assert_eq!(asking.await.unwrap().unwrap_err(), error);
            }
            for at in [0, pause - 1] {
                sleep(seconds(at)).await;
                let (answer, waited) = timed(desk.ask(key(1))).await;
                let remembered = error.clone().remembered();
                assert_eq!((answer.unwrap().unwrap_err(), waited), (remembered, seconds(0)), "{pause}");
                assert_eq!(from(&desk.ask_anew(key(1)).await.unwrap()), "error");
                assert!(desk.has_no_call(), "a call within the pause of {pause} s: {error}");
            }
            sleep(seconds(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_for_an_hour_costs_at_most_21_calls_cold_or_warm() {
    for held in [None, Some(report(key(1), 2, 1)), Some(report(key(1), 0, 1)), Some(negative_answer())] {
        let mut desk = Desk::new();
        if let Some(answer) = held.clone() {
            desk.hold(key(1), answer).await;
        }
        let mut calls = 0;
        for _ in 0..3_600 {
            let asking = [desk.ask(key(1)), desk.ask_anew(key(1))];
            while let Some(call) = desk.made_call().await {
                calls += 1;
                call.fails(UpstreamFailure::Forbidden);
            }
            for asking in asking {
                asking.await.unwrap().ok();
            }
            sleep(seconds(1)).await;
        }
        assert!((15..=21).contains(&calls), "{calls} calls, held at first: {held:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_denied_here_says_nothing_of_the_key() {
    for cause in denials() {
        let mut desk = Desk::new();
        for _ in 0..3 {
            let asking = desk.ask(key(1));
            desk.call().await.fails(cause.clone());
            assert_eq!(asking.await.unwrap().unwrap_err().cause, cause);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_here_makes_no_pause_longer_and_none_shorter() {
    for cause in denials() {
        let mut desk = Desk::new();
        desk.hold(key(1), report(key(1), 2, 1)).await;
        sleep(seconds(300)).await;
        for _ in 0..4 {
            desk.ask(key(1)).await.unwrap().unwrap();
            desk.call().await.fails(cause.clone());
            sleep(seconds(4)).await;
            desk.ask(key(1)).await.unwrap().unwrap();
            desk.is_clear().await;
            sleep(seconds(1)).await;
        }
        for pause in [5, 10, 20] {
            desk.ask(key(1)).await.unwrap().unwrap();
            desk.call().await.fails(UpstreamFailure::Timeout);
            sleep(seconds(pause)).await;
            // Denied in between: neither forgotten nor counted.
            desk.ask(key(1)).await.unwrap().unwrap();
            desk.call().await.fails(cause.clone());
            sleep(seconds(5)).await;
        }
        assert_eq!(desk.memory().peek(&key(1)).unwrap().refresh_failure().unwrap().failures, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_or_a_purge_ends_the_pauses_of_a_failing_key() {
    for answer in [Some(report(key(1), 2, 1)), Some(negative_answer()), None] {
        let mut desk = Desk::new();
        for pause in [5, 10, 20] {
            let asking = desk.ask(key(1));
            desk.call().await.fails(UpstreamFailure::Forbidden);
            asking.await.unwrap().unwrap_err();
            sleep(seconds(pause)).await;
        }
        if let Some(answer) = answer {
            desk.hold(key(1), answer).await;
            desk.memory().purge(key(1).id);
        } else {
            desk.ask(key(1));
            desk.call().await.fails(UpstreamFailure::Forbidden);
            desk.is_clear().await;
            assert_eq!(from(&desk.ask(key(1)).await.unwrap()), "error");
            desk.memory().purge_all();
        }
        let asking = desk.ask(key(1));
        desk.call().await.fails(UpstreamFailure::Timeout);
        asking.await.unwrap().unwrap_err();
        sleep(seconds(5)).await;
        desk.ask(key(1));
        desk.call().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_before_a_purge_is_not_noted_after_it() {
    let mut desk = Desk::new();
    let asking = desk.ask(key(1));
    let call = desk.call().await;
    desk.memory().purge(key(1).id);
    call.fails(UpstreamFailure::Forbidden);
    asking.await.unwrap().unwrap_err();
    desk.ask(key(1));
    desk.call().await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_grows_too_old_takes_its_pauses_with_it() {
    let mut desk = Desk::new();
    desk.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(3_200)).await;
    for pause in [5, 10, 20, 40, 60, 60, 60, 60] {
        desk.ask(key(1));
        desk.call().await.fails(UpstreamFailure::Forbidden);
        sleep(seconds(pause)).await;
    }
    sleep(seconds(82)).await;
    let asking = desk.ask(key(1));
    desk.call().await.fails(UpstreamFailure::Forbidden);
    assert_eq!(from(&asking.await.unwrap()), "fallback", "its last second");
    sleep(seconds(59)).await;
    assert_eq!(from(&desk.ask(key(1)).await.unwrap()), "error");
    desk.is_clear().await;
    sleep(seconds(1)).await;
    desk.ask(key(1));
    desk.call().await.fails(UpstreamFailure::Forbidden);
    sleep(seconds(59)).await;
    desk.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_that_fails_counts_for_its_interval() {
    let mut desk = Desk::new();
    desk.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(60)).await;
    for _ in 0..3 {
        let asking = desk.ask_anew(key(1));
        desk.call().await.fails(UpstreamFailure::Timeout);
        assert_eq!(from(&asking.await.unwrap()), "fallback");
        for _ in 0..59 {
            sleep(seconds(1)).await;
            assert_eq!(from(&desk.ask_anew(key(1)).await.unwrap()), "hit");
            desk.is_clear().await;
        }
        sleep(seconds(1)).await;
    }
}
