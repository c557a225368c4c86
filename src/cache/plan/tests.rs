use super::{
    PriceLevel::{Ample, Scarce},
    *,
};
use crate::report::{Cause, LocalDenial, Unreachable, UpstreamFailure};

const NOON: Duration = Duration::from_hours(12);

fn noon() -> UtcTime {
    UtcTime::since_epoch(NOON)
}

fn options() -> RefreshPlanOptions {
    RefreshPlanOptions {
        policy: RefreshPolicy {
            min_refresh_interval: Duration::from_secs(10),
            stale_while_revalidate: Duration::from_mins(10),
        },
        unexpected_clicks: 7.0,
        limits: PriceLimits { per_day: 10_000, reserve: 0.02 },
        hour_share: 0.000_3,
        waiting: RefreshWaiting::Rarely,
        probes: ShadowMode::Off,
    }
}

fn plan() -> RefreshPlan {
    RefreshPlan::new(options(), NOON, noon())
}

/// The refreshes that the controller has counted.
fn refreshes(plan: &RefreshPlan) -> f64 {
    plan.control().controller.record(noon()).calls.0
}

#[test]
fn a_price_that_wavers_does_not_change_its_level_with_each_minute() {
    let mut level = PriceLevel::default();
    let levels = [1.4, 1.5, 1.6, 1.4, 1.1, 1.0, 0.9, 1.4].map(|scarcity| {
        level = level.next(scarcity);
        level
    });
    assert_eq!(levels, [Ample, Ample, Scarce, Scarce, Scarce, Scarce, Ample, Ample]);
}

#[test]
fn new_options_count_at_once_but_the_allowance_for_unexpected_clicks() {
    let plan = plan();
    let before = plan.terms();
    let policy = RefreshPolicy {
        min_refresh_interval: Duration::from_secs(60),
        stale_while_revalidate: Duration::from_hours(1),
    };
    let limits = PriceLimits { per_day: 5_000, reserve: 0.1 };
    plan.reconfigure(RefreshPlanOptions {
        policy,
        unexpected_clicks: 14.0,
        limits,
        hour_share: 0.0,
        ..options()
    });
    assert_eq!((plan.policy(), plan.allows_refresh()), (policy, false));
    assert_eq!(plan.terms().price.clicks_missed(), 4.0 * before.price.clicks_missed(), "half the calls");
    assert_eq!((plan.terms().unexpected, plan.control().unexpected_clicks), (before.unexpected, 14.0));
    let shared = UnexpectedClicks::shared_by(14.0, 1_000, 1_000);
    plan.set_unexpected(shared);
    assert_eq!(plan.terms().unexpected, shared);
}

#[test]
fn a_stored_plan_goes_on_with_its_price() {
    let plan = plan();
    let record = plan.control().controller.record(noon());
    plan.restore(PriceRecord { u: 6.0, ..record }, noon());
    assert_eq!(plan.terms().price.clicks_missed(), 18.0);
    // The scarcity is four: twice the u of an ample day.
    assert_eq!(plan.control().scarce_price(), 6.75);
}

#[test]
fn answers_are_shared_from_when_it_is_said_until_it_is_said_otherwise() {
    let plan = plan();
    let shared = [SharedAnswers::Yes, SharedAnswers::No].map(|shared| {
        plan.share_answers(shared);
        plan.shares_answers()
    });
    assert_eq!((shared, super::tests::plan().shares_answers()), ([true, false], false));
}

#[test]
fn an_hour_has_room_for_its_calls_whatever_they_are_for() {
    let plan = plan();
    for reason in [Reason::Miss, Reason::Retry, Reason::Refresh] {
        assert!(plan.allows_refresh(), "before {reason:?}");
        plan.fetched(reason, None);
    }
    assert!(!plan.allows_refresh());
    assert_eq!(refreshes(&plan), 1.0);
}

#[test]
fn a_fetch_counts_if_a_request_was_sent_and_as_a_refresh_if_it_was_one() {
    let plan = plan();
    let not_sent = [
        Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Connect)),
        LocalDenial::DailyQuota { retry_after: Duration::from_secs(1) }.into(),
    ];
    for _ in 0..10 {
        for cause in &not_sent {
            plan.fetched(Reason::Refresh, Some(&cause.clone().into()));
        }
    }
    assert_eq!((plan.allows_refresh(), refreshes(&plan)), (true, 0.0));
    plan.fetched(Reason::Probe, Some(&UpstreamFailure::Timeout.into()));
    plan.fetched(Reason::Status, None);
    assert_eq!((plan.allows_refresh(), refreshes(&plan)), (true, 2.0));
    plan.fetched(Reason::Refresh, Some(&UpstreamFailure::Forbidden.into()));
    assert_eq!((plan.allows_refresh(), refreshes(&plan)), (false, 3.0));
}

#[test]
fn of_what_other_replicas_fetch_only_refreshes_count() {
    let plan = plan();
    for reason in [Reason::Miss, Reason::Probe, Reason::Status, Reason::Retry] {
        plan.fetched_elsewhere(reason);
    }
    assert_eq!((plan.allows_refresh(), refreshes(&plan)), (true, 0.0));
    (0..3).for_each(|_| plan.fetched_elsewhere(Reason::Refresh));
    assert_eq!((plan.allows_refresh(), refreshes(&plan)), (false, 3.0));
}

#[test]
fn there_are_probes_unless_they_are_off() {
    let modes = [ShadowMode::Off, ShadowMode::Verify, ShadowMode::On];
    let has = modes.map(|probes| {
        RefreshPlan::new(RefreshPlanOptions { probes, ..options() }, NOON, noon()).probes().is_some()
    });
    assert_eq!(has, [false, true, true]);
}
