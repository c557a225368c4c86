//! Wall clock: this machine's time of day, replaceable in tests.

use std::{fmt, sync::Arc, time::SystemTime};

use tokio::time::Instant;

/// Reads the time of day. Tests use one that follows tokio's paused time.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

// === impl WallClock ===

impl WallClock {
    /// The machine's clock: it advances while the machine sleeps, and jumps when it is set.
    pub fn machine() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// A clock that shows `start` now and advances with tokio's clock.
    pub fn starting_at(start: SystemTime) -> Self {
        let began = Instant::now();
        Self(Arc::new(move || start + began.elapsed()))
    }

    /// A clock that shows what this function returns.
    pub fn told_by(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> SystemTime {
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
