//! Which client a request is of.

/// A client, as a small number: what follows a request through the cache and the upstream stack. Its name is known where it
/// is written: to the metrics and the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientNumber(u8);

// === impl ClientNumber ===

impl ClientNumber {
    /// It has shown no accepted token, and none may be required.
    pub const ANONYMOUS: Self = Self(0);
    /// The proxy itself: change probes, comparisons.
    pub const PROXY: Self = Self(1);
    /// It has shown an accepted token that has no name.
    pub const UNNAMED: Self = Self(2);
    /// One of those that were named after all numbers were given away.
    pub const OTHER: Self = Self(3);
    /// One more than the highest number.
    pub const COUNT: usize = 256;

    /// The client with this number; above all numbers, [`ClientNumber::OTHER`].
    pub fn from_index(index: usize) -> Self {
        u8::try_from(index).map_or(Self::OTHER, Self)
    }

    /// Its number, below [`ClientNumber::COUNT`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl subtle::ConditionallySelectable for ClientNumber {
    fn conditional_select(one: &Self, other: &Self, choice: subtle::Choice) -> Self {
        Self(u8::conditional_select(&one.0, &other.0, choice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_number_and_those_above_all_are_the_other_one() {
        for index in [0, 1, 2, 3, 7, 255] {
            assert_eq!(ClientNumber::from_index(index).index(), index);
        }
        assert_eq!(ClientNumber::from_index(ClientNumber::COUNT), ClientNumber::OTHER);
    }
}
