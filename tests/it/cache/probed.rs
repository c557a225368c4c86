//! `upstream.change_probe`: what the statistics endpoint tells about reports that are held.

use std::time::Duration;

use link_report_proxy::{
    cache::{RefreshPlanOptions, RefreshWaiting, ReportCache},
    refresh::{ProbeOffReason, ShadowMode, ShadowStatus},
    report::{
        ActivityClicks, Cause, CountedClicks, Exchange, FetchError, FetchedStatistics, LocalDenial, Reason,
        ReportKey, StatisticsAnswer, StatisticsCall, UpstreamFailure,
    },
};
use tokio::time::{Instant, sleep};

use super::{
    harness::{CacheHarness, at_rest, from, noon, seconds, with_clicks},
    planned::{plan, planned_options},
};
use crate::support::in_process::key;

/// The clicks in each report at the start, and the count of the statistics endpoint then.
const SHOWN: u32 = 100;
const COUNTED: u32 = 140;

/// Ten reports, whose campaigns are probed together.
struct Probed {
    harness: CacheHarness,
    keys: Vec<ReportKey>,
    start: Instant,
}

/// The statistics of these activities, computed so long ago.
fn statistics(call: &StatisticsCall, age: Duration, clicks: impl Fn(usize) -> u32) -> FetchedStatistics {
    let clock = noon();
    let of = |(place, id): (usize, &_)| ActivityClicks {
        id: *id,
        clicks: clicks(place),
        counted: CountedClicks::All,
        last_refresh_time: clock - age,
    };
    FetchedStatistics {
        answer: StatisticsAnswer::Statistics(call.ids().iter().enumerate().map(of).collect()),
        answered_at: Instant::now(),
        clock,
        exchange: Exchange::default(),
    }
}

// === impl Probed ===

impl Probed {
    async fn hold(mode: ShadowMode) -> Self {
        let plan = RefreshPlanOptions { probes: mode, ..plan(RefreshWaiting::Rarely) };
        let mut harness = CacheHarness::with(planned_options(plan));
        let keys: Vec<_> = (1..=10).map(key).collect();
        for key in &keys {
            harness.hold(*key, with_clicks(*key, SHOWN)).await;
        }
        Self { harness, keys, start: Instant::now() }
    }

    /// Once verdicts are relied on.
    async fn trusted() -> Self {
        let mut probed = Self::hold(ShadowMode::On).await;
        for _ in 0..20 {
            if probed.status() == ShadowStatus::Trusted {
                return probed;
            }
            probed.confirm().await;
        }
        panic!("not relied on: {:?}", probed.status());
    }

    /// A probe that shows no new clicks, and the reports that confirm it.
    async fn confirm(&mut self) {
        let call = self.poll_until_probed().await;
        self.memory().probed(&call, Ok(statistics(&call, Duration::ZERO, |_| COUNTED)));
        sleep(seconds(61)).await;
        for key in self.keys.clone() {
            let asking = self.harness.ask_anew(key);
            self.harness.call().await.answers(with_clicks(key, SHOWN));
            asking.await.unwrap().unwrap();
        }
    }

    /// Polls until a probe is worth a call. Reports that are worth a call of their own are answered as they were.
    async fn poll_until_probed(&mut self) -> StatisticsCall {
        for _ in 0..1_000 {
            sleep(seconds(5)).await;
            self.poll().await;
            if let Some(call) = self.memory().next_probe(Instant::now()) {
                return call;
            }
        }
        panic!("no probe after {:?}, {:?}", self.start.elapsed(), self.status());
    }

    async fn poll(&mut self) {
        for key in self.keys.clone() {
            self.harness.ask_and_answer(key, &with_clicks(key, SHOWN)).await;
        }
        at_rest().await;
    }

    fn memory(&self) -> &ReportCache {
        self.harness.memory()
    }

    fn status(&self) -> ShadowStatus<ProbeOffReason> {
        self.memory().probe_status().unwrap()
    }

    /// The responses since the report was last known to be current, and how long ago its campaign was looked at.
    fn answers_and_look(&self, key: &ReportKey) -> (u32, Duration) {
        let view =
            self.memory().planned_view(key, &self.memory().peek(key).unwrap(), Instant::now()).unwrap();
        (view.answers, view.looked_ago)
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_worth_a_call_is_a_plain_hit_until_the_next_probe_tells_that_it_has_changed() {
    let mut probed = Probed::trusted().await;
    sleep(seconds(5)).await;
    let key = probed.keys[0];
    // Enough polls to be worth a call, with no click expected for sure.
    for _ in 0..400 {
        assert_eq!(from(&probed.harness.ask(key).await.unwrap()), "hit");
        sleep(Duration::from_millis(10)).await;
    }
    probed.harness.is_clear().await;
    let call = probed.poll_until_probed().await;
    assert!(call.ids().contains(&key.id));
    probed.memory().probed(&call, Ok(statistics(&call, Duration::ZERO, |_| COUNTED)));
    let (answers, looked_ago) = probed.answers_and_look(&key);
    assert!(answers < 40 && looked_ago <= seconds(1), "as good as fetched: {answers} {looked_ago:?}");
    let call = probed.poll_until_probed().await;
    let moved = call.ids().iter().position(|id| *id == key.id).expect("it is probed");
    let clicks = |place| if place == moved { COUNTED + 9 } else { COUNTED };
    probed.memory().probed(&call, Ok(statistics(&call, Duration::ZERO, clicks)));
    assert_eq!(
        probed
            .memory()
            .planned_view(&key, &probed.memory().peek(&key).unwrap(), Instant::now())
            .unwrap()
            .lack
            .known,
        9.0
    );
    assert_eq!(from(&probed.harness.ask(key).await.unwrap()), "stale");
    let fetch = probed.harness.call().await;
    assert_eq!((fetch.call.key, fetch.call.reason), (key, Reason::Refresh));
}

#[tokio::test(start_paused = true)]
async fn statistics_of_an_earlier_time_tell_nothing_of_the_answers_after_it() {
    let mut probed = Probed::trusted().await;
    sleep(seconds(300)).await;
    let key = probed.keys[0];
    let call = probed.poll_until_probed().await;
    assert!(call.ids().contains(&key.id));
    let (answers, looked_ago) = probed.answers_and_look(&key);
    assert!(answers > 0, "{answers}");
    // As old as the report itself, or older: it may lack any click since.
    probed.memory().probed(&call, Ok(statistics(&call, looked_ago + seconds(9), |_| COUNTED)));
    assert_eq!(probed.answers_and_look(&key), (answers, looked_ago));
    // Younger by a minute: the report is current as of then.
    sleep(seconds(5)).await;
    let call = StatisticsCall::new(vec![key.id]).unwrap();
    let age = looked_ago - seconds(60);
    probed.memory().probed(&call, Ok(statistics(&call, age, |_| COUNTED)));
    let (after, looked_ago) = probed.answers_and_look(&key);
    assert!(after > 0 && after <= answers, "{after} of {answers}");
    assert!(looked_ago >= age && looked_ago <= age + seconds(2), "{looked_ago:?} {age:?}");
}

#[tokio::test(start_paused = true)]
async fn a_report_that_probes_show_to_be_current_is_not_fetched_at_any_age() {
    let mut probed = Probed::trusted().await;
    for _ in 0..32 {
        sleep(Duration::from_mins(15)).await;
        let call = probed.poll_until_probed().await;
        probed.memory().probed(&call, Ok(statistics(&call, Duration::ZERO, |_| COUNTED)));
    }
    let ages = probed.keys.iter().map(|key| probed.memory().peek(key).unwrap().age(Instant::now()));
    let youngest = ages.min().unwrap();
    assert!(youngest > Duration::from_hours(5), "{youngest:?}, though nothing has changed for eight hours");
}

#[tokio::test(start_paused = true)]
async fn verify_changes_nothing_of_a_report() {
    let mut probed = Probed::hold(ShadowMode::Verify).await;
    for _ in 0..10 {
        probed.confirm().await;
    }
    assert_eq!(
        (probed.status(), probed.harness.metric("probe_confirmed_total")),
        (ShadowStatus::Verifying, 90.0)
    );
    let call = probed.poll_until_probed().await;
    let before: Vec<_> = probed.keys.iter().map(|key| probed.answers_and_look(key)).collect();
    probed.memory().probed(&call, Ok(statistics(&call, Duration::ZERO, |_| COUNTED + 50)));
    let after: Vec<_> = probed.keys.iter().map(|key| probed.answers_and_look(key)).collect();
    assert_eq!(before, after);
}

#[tokio::test(start_paused = true)]
async fn while_probes_fail_reports_are_fetched_without_them() {
    let mut probed = Probed::trusted().await;
    sleep(seconds(5)).await;
    let key = probed.keys[0];
    let call = probed.poll_until_probed().await;
    // What the proxy itself denies says nothing of the endpoint.
    let denied = FetchError::from(Cause::from(LocalDenial::NoToken));
    probed.memory().probed(&call, Err(denied));
    for _ in 0..400 {
        assert_eq!(from(&probed.harness.ask(key).await.unwrap()), "hit");
        sleep(Duration::from_millis(10)).await;
    }
    let failed = FetchError::from(Cause::from(UpstreamFailure::Timeout));
    probed.memory().probed(&call, Err(failed));
    assert_eq!(from(&probed.harness.ask(key).await.unwrap()), "stale");
    probed.harness.call().await.answers(with_clicks(key, SHOWN));
    assert_eq!(probed.status(), ShadowStatus::Trusted);
}

#[tokio::test(start_paused = true)]
async fn while_the_circuit_is_open_reports_do_not_wait_for_probes_since_one_of_them_has_to_close_it() {
    let mut probed = Probed::trusted().await;
    sleep(seconds(5)).await;
    let key = probed.keys[0];
    let call = probed.poll_until_probed().await;
    for _ in 0..400 {
        assert_eq!(from(&probed.harness.ask(key).await.unwrap()), "hit");
        sleep(Duration::from_millis(10)).await;
    }
    let refused = FetchError::from(LocalDenial::CircuitOpen { retry_after: seconds(10) });
    probed.memory().probed(&call, Err(refused));
    assert_eq!(from(&probed.harness.ask(key).await.unwrap()), "stale");
    probed.harness.call().await.answers(with_clicks(key, SHOWN));
    let call = probed.poll_until_probed().await;
    probed.memory().probed(&call, Ok(statistics(&call, Duration::ZERO, |_| COUNTED)));
    for _ in 0..400 {
        assert_eq!(from(&probed.harness.ask(key).await.unwrap()), "hit", "probes are let through again");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_with_a_click_that_the_statistics_do_not_count_switches_probes_off() {
    let mut probed = Probed::trusted().await;
    let (first, second) = (probed.keys[0], probed.keys[1]);
    sleep(seconds(61)).await;
    let asking = probed.harness.ask_anew(first);
    probed.harness.call().await.answers(with_clicks(first, SHOWN + 1));
    asking.await.unwrap().unwrap();
    sleep(seconds(30)).await;
    let looks = [first, second].map(|key| probed.answers_and_look(&key));
    let call = StatisticsCall::new(vec![first.id, second.id]).unwrap();
    probed.memory().probed(&call, Ok(statistics(&call, Duration::ZERO, |_| COUNTED)));
    assert_eq!(probed.status(), ShadowStatus::SwitchedOff(ProbeOffReason::Contradicted));
    assert_eq!([first, second].map(|key| probed.answers_and_look(&key)), looks, "nothing more is applied");
    assert_eq!(probed.memory().next_probe(Instant::now() + seconds(3_600)), None);
}
