//! What the price leaves behind: for the store, and for people.

use super::{Price, UtcTime};

/// What is stored, so that a restart goes on where it was.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceRecord {
    /// When it was written.
    pub at: UtcTime,
    /// The budget that it was worked out for.
    pub per_day: u32,
    /// The root of twice the price.
    pub u: f64,
    /// Calls made and predicted.
    pub calls: (f64, f64),
    /// The demand of the last hour, what was expected, and the seconds seen.
    pub recent: (f64, f64, f64),
    /// What others spend.
    pub unseen: f64,
    /// The last days' demand by hour, the oldest first.
    pub days: Vec<[Option<f64>; 24]>,
    /// Today's so far, and the seconds observed of each hour.
    pub today: [(f64, f64); 24],
}

/// The price and what made it, for people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceStatus {
    /// What a call must be worth.
    pub price: Price,
    /// The demand of the last minutes, in calls a second at u = 1.
    pub demand_now: f64,
    /// What the rest of the day will ask for; `None` while nothing is known.
    pub demand_rest_of_day: Option<f64>,
    /// The refreshes planned for each hour of this UTC day from now on; `None` while there is no profile.
    pub planned_calls: Option<[f64; 24]>,
    /// Calls made to calls predicted.
    pub call_ratio: f64,
    /// How many times as busy as usual today is.
    pub busyness: Option<f64>,
    /// The days that the profile is made of.
    pub profile_days: usize,
    /// The calls that are kept for reports that nobody holds.
    pub reserved: f64,
    /// The calls that other programs spend a day.
    pub unseen_by_others: f64,
}
