//! A machine whose clock is wrong, through the whole proxy: neither the calls of the day nor what its answers miss depend on
//! it.

use std::time::Duration;

use super::whole_app_hostile::{day_is_used, first_day, is_calm};
use crate::support::played_day::{Kept, PlayedDay};

const HOUR: Duration = Duration::from_hours(1);
const HOUR_SECONDS: i64 = 3_600;

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_at_the_busiest_hour_changes_neither_the_calls_nor_what_answers_miss() {
    let workload = first_day();
    let undisturbed = PlayedDay::begin(workload.clone(), &[]).await.play_to_end().await;
    let mut day = PlayedDay::begin(workload.clone(), &[]).await;
    // Past midnight, behind, and right again.
    for (hour, ahead) in [(12, 20), (13, -3), (14, 0), (15, 20), (16, 0)] {
        day.play_until(hour * HOUR).await;
        day.set_clock_ahead(ahead * HOUR_SECONDS);
    }
    let figures = day.play_to_end().await;
    is_calm(&figures, &workload);
    day_is_used(&figures, &workload);
    assert_eq!(figures.of_hours(0..24).refused, 0);
    let ratio = figures.measured.missed_per_answer() / undisturbed.measured.missed_per_answer();
    assert!((0.95..1.05).contains(&ratio), "{ratio} times the clicks missed with the right clock");
}

#[tokio::test(start_paused = true)]
async fn a_restart_with_a_wrong_clock_costs_little_more_than_one_with_the_right_clock() {
    let workload = first_day();
    let mut missed = Vec::new();
    for ahead in [0, 20, -3, -30] {
        let mut day = PlayedDay::begin_with_state(workload.clone(), &[]).await;
        for (hour, ahead) in [(12, ahead), (14, 0)] {
            day.play_until(hour * HOUR).await;
            day.set_clock_ahead(ahead * HOUR_SECONDS);
            day.restart(Kept::State).await;
        }
        let figures = day.play_to_end().await;
        is_calm(&figures, &workload);
        assert!(figures.most_in_a_day() <= 700, "{ahead}: {} calls", figures.most_in_a_day());
        assert_eq!(figures.of_hours(12..24).refused, 0, "{ahead}");
        for hour in 12..24 {
            let calls = figures.calls_in(HOUR * hour..HOUR * (hour + 1));
            assert!(calls > 2, "{ahead}: {calls} calls after {hour} o'clock");
        }
        missed.push(figures.of_hours(12..24).missed_per_answer());
    }
    assert!(missed.iter().all(|wrong| *wrong < missed[0] * 1.5), "{missed:?}");
}
