//! Random lives of one key, told beforehand by a model that knows only the contract.

use std::time::Duration;

use link_report_proxy::report::{Answer, Cause, FetchError};
use proptest::prelude::*;
use tokio::{
    runtime::Builder,
    time::{Instant, advance},
};

use super::desk::{Desk, how, refusal, report, seconds};
use crate::support::in_process::key;

/// Around every age at which something changes, in seconds.
const WAITS: [u64; 17] = [0, 1, 4, 5, 10, 40, 59, 60, 61, 240, 299, 300, 301, 600, 900, 2_700, 3_600];

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ask,
    Wait(Duration),
    Purge,
    /// From now on the vendor is in this mood.
    Mood(Mood),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// A report with so many links and this version.
    Report(usize, u32),
    Refusal,
    Failure,
}

/// What the model holds.
#[derive(Debug, Clone)]
struct Held {
    answer: Mood,
    since: Instant,
    failures: u32,
    retry_at: Option<Instant>,
}

/// The cache as the contract has it.
#[derive(Debug, Default)]
struct Oracle {
    held: Option<Held>,
    calls: u32,
}

// === impl Oracle ===

impl Oracle {
    /// What an answer will be, and how it is come by.
    fn ask(&mut self, mood: Mood, now: Instant) -> (&'static str, Option<Mood>) {
        let Some(held) = self.held.clone() else { return self.fetch(mood, now) };
        let age = now - held.since;
        let fresh = seconds(match held.answer {
            Mood::Report(0, _) | Mood::Refusal => 60,
            Mood::Report(..) | Mood::Failure => 300,
        });
        let keep = if held.answer == Mood::Refusal { None } else { Some(seconds(3_600)) };
        let stale = age < fresh + seconds(600) && keep.is_some();
        if age < fresh {
            ("hit", Some(held.answer))
        } else if let Some(retry_at) = held.retry_at.filter(|retry_at| {
            // A failure that is long past says nothing any more.
            stale || (keep.is_some_and(|keep| age <= keep) && now < *retry_at + seconds(600))
        }) {
            if now >= retry_at {
                self.fetch(mood, now);
            }
            ("fallback", Some(held.answer))
        } else if stale {
            self.fetch(mood, now);
            ("stale", Some(held.answer))
        } else {
            match self.fetch(mood, now) {
                ("error", None) if keep.is_some_and(|keep| age <= keep) => ("fallback", Some(held.answer)),
                fetched => fetched,
            }
        }
    }

    fn fetch(&mut self, mood: Mood, now: Instant) -> (&'static str, Option<Mood>) {
        self.calls += 1;
        if mood != Mood::Failure {
            self.held = Some(Held { answer: mood, since: now, failures: 0, retry_at: None });
            return ("fetched", Some(mood));
        }
        if let Some(held) = &mut self.held {
            held.failures += 1;
            let pause = [5, 10, 20, 40, 60][held.failures.min(5) as usize - 1];
            held.retry_at = Some(now + seconds(pause));
        }
        ("error", None)
    }
}

// === impl Mood ===

impl Mood {
    fn outcome(self) -> Result<Answer, FetchError> {
        match self {
            Self::Report(links, version) => Ok(report(key(1), links, version)),
            Self::Refusal => Ok(refusal()),
            Self::Failure => Err(Cause::Timeout.into()),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let mood = prop_oneof![
        3 => (0_usize..3, 0_u32..3).prop_map(|(links, version)| Mood::Report(links, version)),
        1 => Just(Mood::Refusal),
        3 => Just(Mood::Failure),
    ];
    prop_oneof![
        6 => Just(Step::Ask),
        4 => prop::sample::select(&WAITS[..]).prop_map(|wait| Step::Wait(seconds(wait))),
        1 => Just(Step::Purge),
        3 => mood.prop_map(Step::Mood),
    ]
}

/// Lives through the steps, and compares each answer and the number of calls.
async fn live(steps: &[Step]) -> Result<(), TestCaseError> {
    let (mut desk, mut oracle, mut mood) = (Desk::new(), Oracle::default(), Mood::Report(2, 1));
    let mut calls = 0;
    for step in steps {
        match *step {
            Step::Wait(time) => advance(time).await,
            Step::Mood(new) => mood = new,
            Step::Purge => {
                desk.memory().purge(key(1).id);
                oracle.held = None;
            }
            Step::Ask => {
                let expected = oracle.ask(mood, Instant::now());
                let asking = desk.ask(key(1));
                if oracle.calls > calls {
                    desk.call().await.ends(mood.outcome());
                    calls += 1;
                }
                let served = asking.await.unwrap();
                let answer = served.as_ref().ok().map(|served| served.entry.answer().clone());
                prop_assert_eq!(
                    (how(&served), answer),
                    (expected.0, expected.1.map(|mood| mood.outcome().unwrap()))
                );
                prop_assert!(desk.has_no_call(), "a call too many");
                while desk.memory().is_being_fetched(&key(1)) {
                    tokio::task::yield_now().await;
                    prop_assert!(desk.has_no_call(), "a call too many");
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
