//! Where the one renewer and the many who wait for a token meet.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::state::Rotation;

/// The longest that a request waits for a renewal. Below `upstream.attempt_timeout`, so that "no token" is what its
/// caller hears, and not "no answer".
const PATIENCE: Duration = Duration::from_secs(5);

/// What the renewer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RenewalPhase {
    /// Nothing, until the next renewal is due.
    Resting,
    /// Asking, or writing down what came.
    Renewing,
    /// The refresh token is dead, or there is none: only a person can help.
    Dead,
}

/// Told to all who wait.
#[derive(Debug, Clone, Copy)]
struct Progress {
    phase: RenewalPhase,
    /// The token in use; each renewal that ended well makes it one more.
    generation: u64,
    /// How often wishes were settled, with a newer token or without.
    settled: u64,
    /// No renewal begins before this, however much it is wished for.
    earliest: Instant,
}

/// What is shown of it.
#[derive(Debug, Clone)]
pub(super) struct RenewalInfo {
    pub(super) rotation: Rotation,
    pub(super) renewed_at: Option<SystemTime>,
    pub(super) last_error: Option<String>,
}

/// Shared by the renewer and everybody else.
#[derive(Debug)]
pub(super) struct RenewalState {
    progress: watch::Sender<Progress>,
    info: Mutex<RenewalInfo>,
    requested: Notify,
    /// No renewal begins any more.
    pub(super) ending: CancellationToken,
    /// None is under way any more.
    pub(super) ended: CancellationToken,
}

// === impl RenewalState ===

impl RenewalState {
    pub(super) fn new() -> Self {
        let progress =
            Progress { phase: RenewalPhase::Resting, generation: 0, settled: 0, earliest: Instant::now() };
        Self {
            progress: watch::Sender::new(progress),
            info: Mutex::new(RenewalInfo { rotation: Rotation::Unknown, renewed_at: None, last_error: None }),
            requested: Notify::new(),
            ending: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }

    pub(super) fn phase(&self) -> RenewalPhase {
        self.progress.borrow().phase
    }

    pub(super) fn enter(&self, phase: RenewalPhase, earliest: Instant) {
        self.progress.send_modify(|progress| {
            progress.phase = phase;
            progress.earliest = earliest;
        });
    }

    /// A token of this generation is in use.
    pub(super) fn taken_up(&self, generation: u64) {
        self.progress.send_modify(|progress| progress.generation = generation);
    }

    /// The wishes there were are settled: who waits looks at what there is now.
    pub(super) fn settle(&self) {
        self.progress.send_modify(|progress| progress.settled += 1);
    }

    pub(super) fn info(&self) -> RenewalInfo {
        self.with_told(|info| info.clone())
    }

    pub(super) fn with_told<T>(&self, act: impl FnOnce(&mut RenewalInfo) -> T) -> T {
        act(&mut self.info.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Done when somebody wishes for a newer token.
    pub(super) async fn requested(&self) {
        self.requested.notified().await;
    }

    /// Wishes for a newer token than this, and waits: until it is there, until it is known that it will not come soon,
    /// or until patience ends.
    pub(super) async fn newer_than(&self, generation: u64) {
        let mut progress = self.progress.subscribe();
        let begun = *progress.borrow();
        let until = Instant::now() + PATIENCE;
        self.requested.notify_one();
        let settled = progress.wait_for(|now| {
            let asleep = match now.phase {
                RenewalPhase::Renewing => false,
                // Put off after a failure.
                RenewalPhase::Resting => now.earliest > until,
                RenewalPhase::Dead => true,
            };
            now.generation > generation || now.settled > begun.settled || asleep
        });
        let _in_time = timeout_at(until, settled).await;
    }
}
