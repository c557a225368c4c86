//! A planned day of a fleet: its calls last until midnight, as those of one replica do.

use std::time::Duration;

use link_report_proxy::{
    plan::{Population, Watching, Workload},
    refresh::ReportForm,
};

use crate::support::played_day::{Figures, PlayedDay};

/// Campaigns of all ages, each watched by the viewers of every replica.
fn hot_keys() -> Workload {
    let mut population = Population::new(1, 0, 1_000);
    for age in 0..10 {
        let campaign = population.campaign(f64::from(age) * -7_200.0, 2_000.0);
        for viewer in 0..3 {
            population.watch(&Watching {
                campaign,
                form: ReportForm::Clicked,
                period: Duration::from_mins(2),
                since: 0.0,
                until: f64::INFINITY,
                viewer,
                hours: None,
            });
        }
    }
    population.finish()
}

async fn played(replicas: usize) -> Figures {
    PlayedDay::begin_fleet(hot_keys(), &[], replicas).await.play_to_end().await
}

/// Each replica sees a part of the requests, so it expects fewer calls than the fleet makes. If it took only its own for the
/// result, the price would be too low, and most calls would be made in the morning.
#[tokio::test(start_paused = true)]
async fn the_day_s_calls_of_three_replicas_last_until_midnight_as_those_of_one_do() {
    let (alone, fleet) = (played(1).await, played(3).await);
    let (noon, midnight) = (Duration::from_hours(12), Duration::from_hours(24));
    let calls = |figures: &Figures, until| figures.calls_in(Duration::ZERO..until) as f64;
    for (until, tolerance) in [(noon, 0.1), (midnight, 0.08)] {
        let (one, three) = (calls(&alone, until), calls(&fleet, until));
        assert!((three / one - 1.0).abs() < tolerance, "{until:?}: {one} {three}");
    }
    assert!((900.0..=1_000.0).contains(&calls(&fleet, midnight)), "{}", calls(&fleet, midnight));
    let (one, three) = (alone.measured.missed_per_answer(), fleet.measured.missed_per_answer());
    assert!(three < 1.25 * one, "{one} {three}");
    assert_eq!(fleet.measured.refused, 0);
}
