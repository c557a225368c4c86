//! Random lives of one key, told beforehand by a model that knows only the contract.

use std::time::Duration;

use link_report_proxy::report::{Answer, FetchError, UpstreamFailure};
use proptest::prelude::*;
use tokio::{
    runtime::Builder,
    time::{Instant, advance},
};

use super::harness::{CacheHarness, from, negative_answer, report, seconds};
use crate::support::in_process::key;

/// Around every age at which something changes, in seconds.
const WAITS: [u64; 19] =
    [0, 1, 4, 5, 10, 40, 59, 60, 61, 120, 240, 299, 300, 301, 600, 900, 2_700, 3_600, 3_661];

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Step {
    CacheRequest,
    Wait(Duration),
    Purge,
    /// From now on the vendor is in this vendor_answer.
    VendorAnswer(VendorAnswer),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum VendorAnswer {
    /// A report with so many links and this version.
    Report(usize, u32),
    NegativeAnswer,
    Failure,
}

/// What the model holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    answer: VendorAnswer,
    since: Instant,
    /// How often in a row the same was said before.
    repeats: u32,
    failing: Option<Failing>,
    behind: Option<Behind>,
}

/// A report behind a refusal.
#[derive(Debug, Clone, Copy)]
struct Behind {
    answer: VendorAnswer,
    since: Instant,
    repeats: u32,
    refused_at: Instant,
}

/// Calls fail.
#[derive(Debug, Clone, Copy)]
struct Failing {
    failures: u32,
    retry_at: Instant,
}

/// The cache as the contract has it.
#[derive(Debug, Default)]
struct Oracle {
    held: Option<Held>,
    /// Of the key while nothing is held.
    failing: Option<Failing>,
    calls: u32,
}

// === impl Failing ===

impl Failing {
    fn next(before: Option<Self>, now: Instant) -> Self {
        let before = before.filter(|before| now < before.retry_at + seconds(600));
        let failures = before.map_or(1, |before| before.failures + 1);
        let pause = match failures {
            1..=4 => 5 << (failures - 1),
            5..=14 => 60,
            15..=17 => 120 << (failures - 15),
            _ => 600,
        };
        Self { failures, retry_at: now + seconds(pause) }
    }
}

// === impl Held ===

impl Held {
    fn fresh(&self) -> Duration {
        match self.answer {
            VendorAnswer::Report(0, _) => seconds((60 << self.repeats.min(10)).min(900)),
            VendorAnswer::NegativeAnswer => seconds((60 << self.repeats.min(10)).min(3_600)),
            VendorAnswer::Report(..) | VendorAnswer::Failure => seconds(300),
        }
    }

    /// The report that is better than an error.
    fn report(&self, now: Instant) -> Option<VendorAnswer> {
        let (answer, since) = match (self.answer, self.behind) {
            (VendorAnswer::NegativeAnswer, behind) => behind.map(|behind| (behind.answer, behind.since))?,
            (report, _) => (report, self.since),
        };
        (now - since <= seconds(3_600)).then_some(answer)
    }

    fn is_dead(&self, now: Instant) -> bool {
        let refused =
            self.answer == VendorAnswer::NegativeAnswer && now - self.since <= self.fresh() + seconds(3_600);
        self.report(now).is_none() && !refused
    }
}

// === impl Oracle ===

impl Oracle {
    /// What an answer will be, and how it is come by.
    fn ask(&mut self, vendor_answer: VendorAnswer, now: Instant) -> (&'static str, Option<VendorAnswer>) {
        if let Some(dead) = self.held.filter(|held| held.is_dead(now)) {
            self.failing = self.failing.or(dead.failing);
            self.held = None;
        }
        let Some(held) = self.held else {
            return match self.failing {
                Some(failing) if now < failing.retry_at => ("error", None),
                _ => self.fetch(vendor_answer, now),
            };
        };
        let age = now - held.since;
        if age < held.fresh() {
            return ("hit", Some(held.answer));
        }
        let stale = held.answer != VendorAnswer::NegativeAnswer && age < held.fresh() + seconds(600);
        if let Some(Failing { retry_at, .. }) = held.failing {
            let report = held.report(now).filter(|_| stale || now < retry_at + seconds(600));
            if let Some(report) = report {
                if now >= retry_at {
                    self.fetch(vendor_answer, now);
                }
                return ("fallback", Some(report));
            } else if now < retry_at {
                return ("error", None);
            }
        }
        if stale {
            self.fetch(vendor_answer, now);
            return ("stale", Some(held.answer));
        }
        match (self.fetch(vendor_answer, now), held.report(now)) {
            (("error", None), Some(report)) => ("fallback", Some(report)),
            (fetched, _) => fetched,
        }
    }

    fn fetch(&mut self, vendor_answer: VendorAnswer, now: Instant) -> (&'static str, Option<VendorAnswer>) {
        self.calls += 1;
        if vendor_answer == VendorAnswer::Failure {
            match &mut self.held {
                Some(held) => held.failing = Some(Failing::next(held.failing, now)),
                None => self.failing = Some(Failing::next(self.failing, now)),
            }
            return ("error", None);
        }
        let before = self.held;
        // The report before, and how often it had been repeated.
        let report = before.and_then(|before| match before.answer {
            VendorAnswer::NegativeAnswer => before.behind.map(|behind| (behind.answer, behind.repeats)),
            report => Some((report, before.repeats)),
        });
        let repeats = match vendor_answer {
            VendorAnswer::NegativeAnswer => {
                before.filter(|before| before.answer == vendor_answer).map(|before| before.repeats + 1)
            }
            VendorAnswer::Report(0, _) => {
                report.filter(|(report, _)| *report == vendor_answer).map(|(_, repeats)| repeats + 1)
            }
            VendorAnswer::Report(..) | VendorAnswer::Failure => None,
        };
        let behind = before
            .filter(|before| vendor_answer == VendorAnswer::NegativeAnswer && before.report(now).is_some());
        let behind = behind.and_then(|before| match before.answer {
            VendorAnswer::NegativeAnswer => {
                before.behind.filter(|behind| now - behind.refused_at < seconds(60))
            }
            answer => Some(Behind { answer, since: before.since, repeats: before.repeats, refused_at: now }),
        });
        self.failing = None;
        let repeats = repeats.unwrap_or(0);
        self.held = Some(Held { answer: vendor_answer, since: now, repeats, failing: None, behind });
        ("fetched", Some(vendor_answer))
    }
}

// === impl VendorAnswer ===

impl VendorAnswer {
    fn outcome(self) -> Result<Answer, FetchError> {
        match self {
            Self::Report(links, version) => Ok(report(key(1), links, version)),
            Self::NegativeAnswer => Ok(negative_answer()),
            Self::Failure => Err(UpstreamFailure::Timeout.into()),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let vendor_answer = prop_oneof![
        3 => (0_usize..3, 0_u32..3).prop_map(|(links, version)| VendorAnswer::Report(links, version)),
        1 => Just(VendorAnswer::NegativeAnswer),
        3 => Just(VendorAnswer::Failure),
    ];
    prop_oneof![
        6 => Just(Step::CacheRequest),
        4 => prop::sample::select(&WAITS[..]).prop_map(|wait| Step::Wait(seconds(wait))),
        1 => Just(Step::Purge),
        3 => vendor_answer.prop_map(Step::VendorAnswer),
    ]
}

/// Lives through the steps, and compares each answer and the number of calls.
async fn live(steps: &[Step]) -> Result<(), TestCaseError> {
    let (mut harness, mut oracle, mut vendor_answer) =
        (CacheHarness::new(), Oracle::default(), VendorAnswer::Report(2, 1));
    let mut calls = 0;
    for step in steps {
        match *step {
            Step::Wait(time) => advance(time).await,
            Step::VendorAnswer(new) => vendor_answer = new,
            Step::Purge => {
                harness.memory().purge(key(1).id);
                (oracle.held, oracle.failing) = (None, None);
            }
            Step::CacheRequest => {
                let expected = oracle.ask(vendor_answer, Instant::now());
                let asking = harness.ask(key(1));
                if oracle.calls > calls {
                    harness.call().await.ends(vendor_answer.outcome());
                    calls += 1;
                }
                let served = asking.await.unwrap();
                let answer = served.as_ref().ok().map(|served| served.entry.answer().clone());
                prop_assert_eq!(
                    (from(&served), answer),
                    (expected.0, expected.1.map(|vendor_answer| vendor_answer.outcome().unwrap()))
                );
                prop_assert!(harness.has_no_call(), "a call too many");
                while harness.memory().is_being_fetched(&key(1)) {
                    tokio::task::yield_now().await;
                    prop_assert!(harness.has_no_call(), "a call too many");
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_life_of_a_key_goes_as_the_contract_says(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(live(&steps))?;
    }
}
