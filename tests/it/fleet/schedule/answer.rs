//! What a replica was asked in a schedule, and what it answered.

use std::time::Duration;

use futures_util::FutureExt as _;
use http::Response;
use http_body_util::BodyExt as _;
use link_report_proxy::{inbound::ResponseFuture, server::Body};
use tokio::{task::JoinSet, time::Instant};

use super::replica::Replica;
use crate::support::played::clicks_of;

/// A question and its answer.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) slot: usize,
    /// Which of the replicas that the slot has had.
    pub(super) generation: u32,
    pub(super) report: u32,
    pub(super) asked: Instant,
    pub(super) at: Instant,
    pub(super) status: u16,
    pub(super) age: Duration,
    pub(super) how: String,
    /// The seconds after the schedule's start at which the vendor made the report: it has a click each second.
    pub(super) made: Option<Duration>,
}

/// The questions that are not answered yet.
#[derive(Default)]
pub(super) struct Questions {
    waiting: JoinSet<Answered>,
    answered: Vec<Answered>,
}

// === impl Questions ===

impl Questions {
    pub(super) fn ask(&mut self, replica: &Replica, generation: u32, report: u32) {
        let (slot, asked) = (replica.slot, Instant::now());
        let answer = move |response: Response<Body>| {
            let (head, body) = response.into_parts();
            let header = |name: &str| {
                head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
            };
            let body = body.collect().now_or_never().expect("a body in memory").expect("a body").to_bytes();
            let made = (head.status == 200).then(|| {
                let clicks = clicks_of(&serde_json::from_slice(&body).expect("JSON"));
                Duration::from_secs(clicks.into())
            });
            Answered {
                slot,
                generation,
                report,
                asked,
                at: Instant::now(),
                status: head.status.as_u16(),
                age: Duration::from_secs(header("age").parse().unwrap_or_default()),
                how: header("cache-status"),
                made,
            }
        };
        match replica.ask(report) {
            ResponseFuture::Ready(response) => self.answered.push(answer(response.expect("an answer"))),
            ResponseFuture::Later(response) => {
                self.waiting.spawn(async move { answer(response.await.expect("an answer")) });
            }
        }
    }

    /// The answers since the last time.
    pub(super) fn answered(&mut self) -> Vec<Answered> {
        let mut answered = std::mem::take(&mut self.answered);
        while let Some(late) = self.waiting.try_join_next() {
            answered.push(late.expect("an answer"));
        }
        answered.sort_by_key(|answer| answer.at);
        answered
    }

    /// Waits for all answers.
    pub(super) async fn all_answered(&mut self) {
        while let Some(late) = self.waiting.join_next().await {
            self.answered.push(late.expect("an answer"));
        }
    }
}

// === impl Answered ===

impl Answered {
    /// From memory at once: not from the store, and not after a call that has failed.
    pub(super) fn is_hit(&self) -> bool {
        self.how.contains("; hit") && !self.how.contains("detail=")
    }
}
