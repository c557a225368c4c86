//! What refreshes may spend, whatever the price says: the bounds that hold when the price is wrong.

use std::time::Duration;

/// So long an hour's calls are remembered.
const HOUR: Duration = Duration::from_hours(1);

/// Bounds the refreshes of about an hour, and keeps the reserve for reports that nobody holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RefreshCeiling {
    per_hour: f64,
    /// The calls of about the last hour: they fade by the hour.
    lately: f64,
}

/// Why a refresh may not have a call although it is worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefreshDenied {
    /// The calls of the last hour are as many as an hour may have.
    HourSpent,
    /// What is left of the day is for reports that nobody holds.
    Reserved,
}

// === impl RefreshCeiling ===

impl RefreshCeiling {
    /// `hour_share` is the share of the day's calls that an hour may have.
    pub(crate) fn new(per_day: u32, hour_share: f64) -> Self {
        Self { per_hour: f64::from(per_day) * hour_share, lately: 0.0 }
    }

    /// May a refresh have a call, with so many used of the day, so many calls in it, and so many kept?
    ///
    /// # Errors
    /// Says why not.
    pub(crate) fn check(&self, used: u32, per_day: u32, reserved: f64) -> Result<(), RefreshDenied> {
        if self.lately >= self.per_hour {
            Err(RefreshDenied::HourSpent)
        } else if f64::from(used) >= f64::from(per_day) - reserved {
            Err(RefreshDenied::Reserved)
        } else {
            Ok(())
        }
    }

    /// A call was made.
    pub(crate) fn called(&mut self) {
        self.lately += 1.0;
    }

    /// That time has passed.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.lately *= (-time.as_secs_f64() / HOUR.as_secs_f64()).exp();
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
        assert!((150..=300).contains(&made), "a burst, and what faded since: {made}");
    }

    #[test]
    fn the_last_calls_of_the_day_are_for_reports_that_nobody_holds() {
        let ceiling = RefreshCeiling::new(1_000, 0.15);
        assert_eq!(ceiling.check(979, 1_000, 20.0), Ok(()));
        assert_eq!(ceiling.check(980, 1_000, 20.0), Err(RefreshDenied::Reserved));
    }
}
