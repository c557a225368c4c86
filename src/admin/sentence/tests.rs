//! Each rule, and which of them is first.

use std::time::Duration;

use super::*;
use crate::{
    quota::{InitialCount, Quota, QuotaLimits, WallClock},
    telemetry::Metrics,
};

/// 2023-11-14T22:13:20Z
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn well() -> ProxyCondition {
    let limits = QuotaLimits { per_second: None, per_day: None, reserve: 0.1, max_wait: Duration::ZERO };
    let quota =
        Quota::new(limits, InitialCount::Unspent, WallClock::starting_at(now()), Metrics::new().quota);
    ProxyCondition {
        serving: Serving::Ready,
        token: TokenStatus::Valid,
        day: quota.snapshot().day,
        circuit: CircuitState::Closed,
        failing_since: None,
        next_trial: None,
        store_away_since: None,
        by_others: 0,
        reports: 34,
    }
}

type Change = fn(&mut ProxyCondition);

/// In the order in which they are looked at, each with what makes it hold.
const RULES: [(StatusRule, Change); 11] = [
    (StatusRule::Draining, |condition| condition.serving = Serving::Draining),
    (StatusRule::ConsentNeeded, |condition| condition.token = TokenStatus::ReauthorizationRequired),
    (StatusRule::TokenUnusable, |condition| condition.token = TokenStatus::Expired),
    (StatusRule::DaySpent, |condition| condition.day.mode = QuotaMode::Exhausted),
    (StatusRule::CircuitOpen, |condition| condition.circuit = CircuitState::Open),
    (StatusRule::RefreshesStopped, |condition| condition.day.mode = QuotaMode::MissesOnly),
    (StatusRule::RefreshesStretched, |condition| condition.day.mode = QuotaMode::Throttled),
    (StatusRule::StoreAway, |condition| condition.store_away_since = Some(now())),
    (StatusRule::CallsByOthers, |condition| condition.by_others = 7),
    (StatusRule::CountAssumed, |condition| condition.day.assumed = 5),
    (StatusRule::Well, |_| {}),
];

#[tokio::test(start_paused = true)]
async fn each_rule_holds_by_what_it_is_about() {
    for (rule, change) in RULES {
        let mut condition = well();
        change(&mut condition);
        assert_eq!(condition.rule(), rule);
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_rules_that_hold_the_earlier_is_told() {
    for (at, (rule, first)) in RULES.iter().enumerate() {
        for (_, second) in &RULES[at..] {
            let mut condition = well();
            // The earlier one last, since two of them may be about the same thing.
            second(&mut condition);
            first(&mut condition);
            assert_eq!(condition.rule(), *rule);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_unusable_if_it_is_expired_refused_or_missing_and_not_while_it_is_renewed() {
    for (token, rule, words) in [
        (TokenStatus::Expired, StatusRule::TokenUnusable, "has expired"),
        (TokenStatus::Rejected, StatusRule::TokenUnusable, "refuses the access token"),
        (TokenStatus::Missing, StatusRule::TokenUnusable, "no access token yet"),
        (TokenStatus::Renewing, StatusRule::Well, "well"),
    ] {
        let sentence = ProxyCondition { token, ..well() }.sentence();
        assert_eq!(sentence.rule, rule);
        assert!(sentence.text.contains(words), "{}", sentence.text);
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_says_since_when_and_what_callers_get() {
    let minutes = |minutes| Some(now() + Duration::from_mins(minutes));
    let (failing_since, next_trial) = (minutes(0), minutes(1));
    let open = ProxyCondition { circuit: CircuitState::Open, failing_since, next_trial, ..well() };
    assert_eq!(
        open.sentence().text,
        "Constant Contact has been failing since 22:13 UTC; the next request after 22:14:20 UTC tries again. \
         Meanwhile the 34 reports held are served on, others get 503."
    );
    let half_open = ProxyCondition { circuit: CircuitState::HalfOpen, next_trial: None, reports: 0, ..open };
    assert_eq!(half_open.rule(), StatusRule::CircuitOpen);
    assert!(half_open.sentence().text.ends_with("the next request tries again. Meanwhile requests get 503."));
}

#[tokio::test(start_paused = true)]
async fn a_sentence_points_to_a_section_that_the_runbook_has() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (rule, change) in RULES {
        let mut condition = well();
        change(&mut condition);
        let Some(runbook) = condition.sentence().runbook else {
            assert!(matches!(rule, StatusRule::Draining | StatusRule::CountAssumed | StatusRule::Well));
            continue;
        };
        let (file, anchor) = runbook.split_once('#').unwrap();
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let anchors = text.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_lowercase);
        assert!(anchors.into_iter().any(|heading| heading == anchor), "{runbook}");
    }
}
