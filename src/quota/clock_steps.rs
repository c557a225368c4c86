//! Tests: a wall clock that is wrong for a while does not falsify the daily count.

use std::time::{Duration, SystemTime};

use tokio::time::advance;

use super::{
    day::DAY,
    test_host::{HOUR, Host, MINUTE, answered_at, day, refused},
};
use crate::report::{Exchange, Fetched, Reason, testing::good};

#[tokio::test(start_paused = true)]
async fn a_clock_that_steps_over_midnight_and_back_keeps_today_s_count() {
    let host = Host::at(DAY - 10 * MINUTE);
    let quota = host.run();
    let before = day(&quota).used;
    host.spend(&quota, 50).await;
    host.set_clock(20 * 60);
    host.spend(&quota, 3).await;
    host.set_clock(0);
    assert_eq!(day(&quota).used, before + 53, "calls made while the clock was wrong count for today too");
    assert!(day(&host.run()).used >= before + 50, "a restart does not lose them");
}

#[tokio::test(start_paused = true)]
async fn a_restart_with_a_clock_ahead_keeps_today_s_count_for_the_one_that_is_right_again() {
    for ahead in [DAY.as_secs() as i64, 400 * DAY.as_secs() as i64] {
        let host = Host::at(DAY / 2);
        let quota = host.run();
        let before = day(&quota).used;
        host.spend(&quota, 50).await;
        host.set_clock(ahead);
        let quota = host.run();
        host.spend(&quota, 3).await;
        assert!(day(&host.run()).used < before, "by the wrong clock it is another day");
        host.set_clock(0);
        assert!(day(&quota).used >= before + 53, "{}", day(&quota).used);
        assert!(day(&host.run()).used >= before + 50);
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_with_a_clock_a_day_behind_counts_its_calls_for_today() {
    let host = Host::at(DAY / 2);
    let quota = host.run();
    let before = day(&quota).used;
    host.spend(&quota, 50).await;
    host.set_clock(-(DAY.as_secs() as i64));
    let quota = host.run();
    host.spend(&quota, 30).await;
    answered_at(&quota, host.true_time()).await;
    advance(MINUTE).await;
    answered_at(&quota, host.true_time()).await;
    assert!(day(&quota).used >= before + 82, "{} before, {} now", before, day(&quota).used);
    host.spend(&quota, 1).await;
    host.set_clock(0);
    assert!(day(&host.run()).used >= before + 83, "a restart does not lose them");
}

#[tokio::test(start_paused = true)]
async fn a_night_slept_through_is_a_midnight_even_if_the_upstream_s_clock_tells_it() {
    let host = Host::at(DAY - 4 * MINUTE * 60);
    let quota = host.run();
    answered_at(&quota, host.true_time()).await;
    advance(MINUTE).await;
    answered_at(&quota, host.true_time()).await;
    host.spend(&quota, 50).await;
    // The machine sleeps for ten hours: its clock goes on, tokio's does not.
    host.sleep(10 * HOUR);
    answered_at(&quota, host.true_time()).await;
    advance(MINUTE).await;
    answered_at(&quota, host.true_time()).await;
    assert!(day(&quota).used <= 2, "{}", day(&quota).used);
}

#[tokio::test(start_paused = true)]
async fn a_response_just_after_midnight_is_no_step_of_the_clock() {
    let host = Host::at(DAY - MINUTE);
    let quota = host.run();
    host.set_clock(HOUR);
    host.spend(&quota, 2).await;
    host.set_clock(0);
    host.spend(&quota, 3).await;
    let late = quota.admit(Reason::Miss).await.unwrap();
    advance(2 * MINUTE).await;
    let answer = good();
    let exchange = Exchange { date: Some(host.true_time()), ..answer.exchange };
    late.learn(&Ok(Fetched { exchange, ..answer })).await;
    assert_eq!(day(&quota).used, 2, "not those of yesterday too");
}

#[tokio::test(start_paused = true)]
async fn one_bogus_date_less_than_a_day_off_changes_nothing() {
    let host = Host::at(DAY / 2);
    let quota = host.run();
    let before = day(&quota).used;
    for bogus in [20 * HOUR as u64, 13 * HOUR as u64] {
        for _ in 0..5 {
            answered_at(&quota, host.true_time()).await;
            advance(MINUTE).await;
        }
        answered_at(&quota, host.true_time() + Duration::from_secs(bogus)).await;
        assert_eq!(quota.snapshot().skew.ahead_seconds(), 0);
    }
    assert_eq!(day(&quota).used, before + 12);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_two_days_and_forward_again_keeps_today_s_count() {
    let host = Host::at(DAY / 2);
    let quota = host.run();
    let before = day(&quota).used;
    host.spend(&quota, 50).await;
    host.set_clock(-2 * DAY.as_secs() as i64);
    assert_eq!(day(&quota).used, before + 50, "a day that is not over keeps its count");
    host.spend(&quota, 3).await;
    host.set_clock(0);
    assert_eq!(day(&quota).used, before + 53);
}

#[tokio::test(start_paused = true)]
async fn a_clock_in_the_year_9999_or_in_1970_keeps_today_s_count() {
    let host = Host::at(DAY / 2);
    let quota = host.run();
    let before = day(&quota).used;
    host.spend(&quota, 50).await;
    for (visits, year) in [(1_u32, 9999_u64), (2, 1970), (3, 9998), (4, 1970)] {
        let seconds = (year - 1970) * 365 * DAY.as_secs() + u64::from(visits) * DAY.as_secs() * 30;
        let true_seconds = host.true_time().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        host.set_clock(i64::try_from(seconds).unwrap() - i64::try_from(true_seconds).unwrap());
        host.spend(&quota, 1).await;
        host.set_clock(0);
        host.spend(&quota, 1).await;
        let made = before + 50 + 2 * visits;
        assert!((made..=made + 8 * visits).contains(&day(&quota).used), "{year}: each costs a lease at most");
        assert!(day(&host.run()).used >= before + 50, "{year}");
    }
}

#[tokio::test(start_paused = true)]
async fn setting_the_clock_of_a_host_changes_no_day_once_the_upstream_s_clock_is_known() {
    let host = Host::at(DAY / 2);
    let quota = host.run();
    answered_at(&quota, host.true_time()).await;
    advance(MINUTE).await;
    answered_at(&quota, host.true_time()).await;
    let before = day(&quota);
    for wrong_by in [-50 * HOUR, -13 * HOUR, 11 * HOUR, 20 * HOUR, 9_000 * HOUR] {
        host.set_clock(wrong_by);
        let now = day(&quota);
        assert_eq!((now.used, now.resets_in), (before.used, before.resets_in), "{wrong_by}");
    }
}

#[tokio::test(start_paused = true)]
async fn quota_exceeded_in_the_minutes_that_a_clock_shows_twice_does_not_close_tomorrow() {
    let host = Host::at(DAY - 5 * MINUTE);
    host.set_clock(6 * 60);
    let quota = host.run();
    host.spend(&quota, 1).await;
    host.set_clock(0);
    refused(&quota).await;
    advance(DAY / 2).await;
    let tomorrow = host.run();
    for _ in 0..20 {
        host.spend(&tomorrow, 1).await;
    }
}
