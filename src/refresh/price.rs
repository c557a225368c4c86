//! What a call must be worth.

/// What a call must be worth, in clicks missed: answers times the clicks that each lacks.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Price(f64);

// === impl Price ===

impl Price {
    /// The price at which the square-root law refreshes a key with p polls and c clicks a second each
    /// `u / sqrt(p * c)` seconds.
    pub(super) fn from_u(u: f64) -> Self {
        Self(u * u / 2.0)
    }

    /// Clicks missed.
    pub const fn clicks_missed(self) -> f64 {
        self.0
    }

    /// For an atomic.
    pub const fn to_bits(self) -> u64 {
        self.0.to_bits()
    }

    /// What [`Self::to_bits`] gave.
    pub const fn from_bits(bits: u64) -> Self {
        Self(f64::from_bits(bits))
    }
}
