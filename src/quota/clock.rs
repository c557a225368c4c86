//! Our own time of day.

use std::{fmt, sync::Arc, time::SystemTime};

use tokio::time::Instant;

/// Tells the time of day. Tests put one in its place that moves with tokio's paused time.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

// === impl WallClock ===

impl WallClock {
    /// The machine's: it goes on while the machine sleeps, and jumps when somebody sets it.
    pub fn machine() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// One that shows `start` now and is carried on by tokio's clock.
    pub fn starting_at(start: SystemTime) -> Self {
        let began = Instant::now();
        Self(Arc::new(move || start + began.elapsed()))
    }

    /// One that shows whatever this says.
    #[cfg(test)]
    pub(super) fn told_by(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WallClock").field(&self.now()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_starts_somewhere_is_carried_on_by_paused_time() {
        let clock = WallClock::starting_at(SystemTime::UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(86_400)).await;
        assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(86_400));
    }
}
