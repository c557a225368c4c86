//! The price of a call, in clicks missed.

/// The price of a call: a refresh must be worth at least this many clicks missed (responses served × clicks missing in
/// each).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Price(f64);

// === impl Price ===

impl Price {
    /// The price at which a key with p polls and c clicks a second is refreshed every `u / sqrt(p * c)` seconds (the
    /// square-root law).
    pub(super) fn from_u(u: f64) -> Self {
        Self(u * u / 2.0)
    }

    /// The price in clicks missed.
    pub const fn clicks_missed(self) -> f64 {
        self.0
    }

    /// The price as bits, to be stored in an atomic.
    pub const fn to_bits(self) -> u64 {
        self.0.to_bits()
    }

    /// The inverse of [`Self::to_bits`].
    pub const fn from_bits(bits: u64) -> Self {
        Self(f64::from_bits(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_half_the_square_of_u_and_goes_through_an_atomic() {
        let price = Price::from_u(3.0);
        assert_eq!((price.clicks_missed(), Price::from_bits(price.to_bits())), (4.5, price));
    }
}
