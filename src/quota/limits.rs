//! The configured limits of upstream calls: a second's, a day's, and how long a call waits.

use std::{num::NonZeroU32, time::Duration};

/// The configured limits of upstream calls.
#[derive(Debug, Clone, Copy)]
pub struct QuotaLimits {
    /// Calls per second; `None`: not limited here.
    pub per_second: Option<NonZeroU32>,
    /// Calls per UTC day; `None`: not limited here.
    pub per_day: Option<NonZeroU32>,
    /// The share of the day's calls that is reserved for misses, in `0.0..=0.9`, until
    /// [`Quota::ration`](super::Quota::ration) says how many.
    pub reserve: f64,
    /// The longest time that a call waits in the pacer's queue.
    pub max_wait: Duration,
}
