//! Renewal progress, shared by the renewer task and the requests that wait for a token.

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

/// The longest that a request waits for a renewal. Below `upstream.attempt_timeout`, so that the error is "no token" and
/// not a timeout.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// What the renewer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RenewalPhase {
    /// Nothing, until the next renewal is due.
    Resting,
    /// A renewal is running: calling the endpoint, or storing the result.
    Renewing,
    /// The same, after one that failed, or where the result could not be stored at once.
    Retrying,
    /// The refresh token is invalid, or there is none: a person must log in.
    Dead,
}

/// What waiting requests are notified of.
#[derive(Debug, Clone, Copy)]
struct Progress {
    phase: RenewalPhase,
    /// The generation of the current token.
    generation: u64,
    /// How many times requests for a newer token were settled, with or without one.
    settled: u64,
    /// No renewal starts before this, even if one is requested.
    earliest: Instant,
}

/// What `GET /token` shows of renewals.
#[derive(Debug, Clone)]
pub(super) struct RenewalInfo {
    pub(super) rotation: Rotation,
    pub(super) renewed_at: Option<SystemTime>,
    pub(super) last_error: Option<String>,
}

/// Shared by the renewer and the requests.
#[derive(Debug)]
pub(super) struct RenewalState {
    progress: watch::Sender<Progress>,
    info: Mutex<RenewalInfo>,
    requested: Notify,
    /// Cancelled at shutdown: no more renewals start.
    pub(super) ending: CancellationToken,
    /// Cancelled once no renewal is running any more.
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

    /// A token of this generation has been installed.
    pub(super) fn set_generation(&self, generation: u64) {
        self.progress.send_modify(|progress| progress.generation = generation);
    }

    /// Settles the pending requests for a newer token: those waiting continue with the current one.
    pub(super) fn settle(&self) {
        self.progress.send_modify(|progress| progress.settled += 1);
    }

    pub(super) fn info(&self) -> RenewalInfo {
        self.update_info(|info| info.clone())
    }

    pub(super) fn update_info<T>(&self, act: impl FnOnce(&mut RenewalInfo) -> T) -> T {
        act(&mut self.info.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Completes when a newer token is requested.
    pub(super) async fn requested(&self) {
        self.requested.notified().await;
    }

    /// Requests a newer token than `generation` and waits until it is installed, until it is known that none will come
    /// within the wait, or for 5 s.
    pub(super) async fn newer_than(&self, generation: u64) {
        let mut progress = self.progress.subscribe();
        let begun = *progress.borrow();
        let until = Instant::now() + MAX_WAIT;
        self.requested.notify_one();
        let settled = progress.wait_for(|now| {
            let asleep = match now.phase {
                RenewalPhase::Renewing | RenewalPhase::Retrying => false,
                // Delayed after a failure.
                RenewalPhase::Resting => now.earliest > until,
                RenewalPhase::Dead => true,
            };
            now.generation > generation || now.settled > begun.settled || asleep
        });
        let _in_time = timeout_at(until, settled).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn waited(state: &RenewalState, generation: u64) -> Duration {
        let begun = Instant::now();
        state.newer_than(generation).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_was_refused_an_older_token_goes_on_at_once_though_a_renewal_is_running() {
        let state = RenewalState::new();
        state.set_generation(2);
        state.enter(RenewalPhase::Renewing, Instant::now());
        assert_eq!(waited(&state, 1).await, Duration::ZERO);
        assert_eq!(waited(&state, 2).await, MAX_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_renewal_that_begins_too_late() {
        let state = RenewalState::new();
        state.enter(RenewalPhase::Resting, Instant::now() + MAX_WAIT);
        assert_eq!(waited(&state, 0).await, MAX_WAIT);
        state.enter(RenewalPhase::Resting, Instant::now() + MAX_WAIT + Duration::from_millis(1));
        assert_eq!(waited(&state, 0).await, Duration::ZERO);
        state.enter(RenewalPhase::Dead, Instant::now());
        assert_eq!(waited(&state, 0).await, Duration::ZERO);
    }
}
