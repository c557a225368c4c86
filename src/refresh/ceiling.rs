//! The refresh ceiling: limits on the calls that refreshes use, which hold even if the price is wrong.

use std::time::Duration;

/// The time constant of the decayed count of calls.
const HOUR: Duration = Duration::from_hours(1);

/// Limits the refreshes by the calls of about the last hour, and keeps the reserve for uncached reports.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RefreshCeiling {
    per_hour: f64,
    /// The calls made, decayed exponentially over about an hour.
    recent_calls: f64,
}

/// Why a refresh that is worth a call is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefreshDenied {
    /// The calls of about the last hour have reached the hourly limit.
    HourSpent,
    /// The calls left of the day are reserved for uncached reports.
    Reserved,
}

// === impl RefreshCeiling ===

impl RefreshCeiling {
    /// `hour_share` is the share of the day's calls that may be made within an hour.
    pub(crate) fn new(per_day: u32, hour_share: f64) -> Self {
        Self { per_hour: f64::from(per_day) * hour_share, recent_calls: 0.0 }
    }

    /// Changes the limit. The calls made still count.
    pub(crate) fn set_limit(&mut self, per_day: u32, hour_share: f64) {
        self.per_hour = f64::from(per_day) * hour_share;
    }

    /// Checks whether a refresh may use a call: `used` calls of the UTC day are used, it has `per_day`, and
    /// `reserved` of them are reserved for uncached reports.
    ///
    /// # Errors
    /// The limit that was reached.
    pub(crate) fn check(&self, used: u32, per_day: u32, reserved: f64) -> Result<(), RefreshDenied> {
        if self.is_hour_spent() {
            Err(RefreshDenied::HourSpent)
        } else if f64::from(used) >= f64::from(per_day) - reserved {
            Err(RefreshDenied::Reserved)
        } else {
            Ok(())
        }
    }

    /// Whether the calls of about the last hour have reached the hourly limit.
    pub(crate) fn is_hour_spent(&self) -> bool {
        self.recent_calls >= self.per_hour
    }

    /// Counts a call.
    pub(crate) fn called(&mut self) {
        self.recent_calls += 1.0;
    }

    /// Decays the count of calls by the time passed.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.recent_calls *= (-time.as_secs_f64() / HOUR.as_secs_f64()).exp();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_has_its_share_of_the_day_and_no_more() {
        let mut ceiling = RefreshCeiling::new(1_000, 0.15);
        let mut made = 0;
        for _minute in 0..60 {
            while ceiling.check(0, 1_000, 0.0).is_ok() {
                ceiling.called();
                made += 1;
            }
            ceiling.pass(Duration::from_mins(1));
        }
        assert_eq!(ceiling.check(0, 1_000, 0.0), Ok(()));
        assert!((150..=300).contains(&made), "a burst, plus what the decay freed: {made}");
    }

    #[test]
    fn the_last_calls_of_the_day_are_for_uncached_reports() {
        let ceiling = RefreshCeiling::new(1_000, 0.15);
        assert_eq!(ceiling.check(979, 1_000, 20.0), Ok(()));
        assert_eq!(ceiling.check(980, 1_000, 20.0), Err(RefreshDenied::Reserved));
    }

    #[test]
    fn another_limit_holds_at_once_and_counts_the_calls_made_before() {
        let mut ceiling = RefreshCeiling::new(1_000, 0.15);
        (0..150).for_each(|_| ceiling.called());
        assert!(ceiling.is_hour_spent());
        ceiling.set_limit(2_000, 0.1);
        (150..199).for_each(|_| ceiling.called());
        assert!(!ceiling.is_hour_spent());
        ceiling.called();
        assert!(ceiling.is_hour_spent());
    }
}
