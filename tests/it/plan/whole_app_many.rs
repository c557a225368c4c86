//! Ten thousand reports through the whole proxy.

use std::time::Duration;

use link_report_proxy::{plan::Population, refresh::ReportForm};

use super::whole_app_hostile::{day_is_used, watching};
use crate::support::played_day::PlayedDay;

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn ten_thousand_reports_are_all_fetched_at_first_and_all_calls_are_used_by_midnight() {
    let mut population = Population::new(1, 0, 20_000);
    let until = population.end();
    for index in 0..5_000 {
        let campaign = population.campaign(f64::from(index) * -900.0, 300.0);
        for form in ReportForm::BOTH {
            // At first more often than they can be fetched, four a second.
            population.watch(&watching(campaign, form, HOUR / 4, 0.0, 3_600.0));
            population.watch(&watching(campaign, form, HOUR, 3_600.0, until));
        }
    }
    let workload = population.finish();
    let figures = PlayedDay::begin(workload.clone(), &[]).await.play_to_end().await;
    assert!(figures.busiest_second() < 5, "{}", figures.busiest_second());
    let (cold, later) = (figures.hours[0], figures.of_hours(1..24));
    assert!(cold.refused > 0 && cold.refused < cold.answered / 2, "{cold:?}");
    assert_eq!(later.refused, 0, "after an hour each has been fetched");
    day_is_used(&figures, &workload);
    for hour in 1..24 {
        let calls = figures.calls_in(HOUR * hour..HOUR * (hour + 1));
        assert!((100..3_000).contains(&calls), "{calls} calls after {hour} o'clock");
    }
    let each_hour = |from: usize, to: usize| figures.of_hours(from..to).missed_per_answer();
    assert!(each_hour(21, 24) < each_hour(3, 6) * 1.5, "{} {}", each_hour(3, 6), each_hour(21, 24));
}
