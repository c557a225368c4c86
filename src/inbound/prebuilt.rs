//! Prebuilt header values that end in a number of seconds: a hit neither allocates, formats nor checks its `Age` and
//! `Cache-Status`.
//!
//! The texts are constants in the binary, so that a value has no count of references: to clone it writes nothing shared.

use std::sync::OnceLock;

use http::HeaderValue;

/// Seconds from 0 to one less than this are prebuilt: more than an hour, and a usual `cache.ttl` is far below.
const READY: usize = 4_096;
/// The digits of the largest prebuilt number.
const DIGITS: usize = 4;

/// The texts of one prefix, each followed by its number of seconds.
pub(super) struct PrebuiltSeconds<const WIDTH: usize> {
    prefix: usize,
    texts: [[u8; WIDTH]; READY],
    /// Made of the texts with the first use: 160 KiB.
    values: OnceLock<Box<[HeaderValue]>>,
}

// === impl PrebuiltSeconds ===

impl<const WIDTH: usize> PrebuiltSeconds<WIDTH> {
    /// Formats all texts, at compile time. `WIDTH` must be the length of `prefix` plus the digits of the largest number.
    pub(super) const fn new(prefix: &str) -> Self {
        assert!(prefix.len() + DIGITS == WIDTH, "the width is that of the longest text");
        let mut texts = [[0; WIDTH]; READY];
        let mut number = 0;
        while number < READY {
            let text = &mut texts[number];
            let (before, digits) = text.split_at_mut(prefix.len());
            before.copy_from_slice(prefix.as_bytes());
            let (mut at, mut rest) = (length(number), number);
            while at > 0 {
                at -= 1;
                digits[at] = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            number += 1;
        }
        Self { prefix: prefix.len(), texts, values: OnceLock::new() }
    }

    /// The header value for this number; `None` if it is not prebuilt.
    pub(super) fn get(&'static self, seconds: u64) -> Option<HeaderValue> {
        let values = self.values.get_or_init(|| (0..READY).filter_map(|number| self.value(number)).collect());
        values.get(usize::try_from(seconds).ok()?).cloned()
    }

    fn value(&'static self, number: usize) -> Option<HeaderValue> {
        let text = &self.texts[number][..self.prefix + length(number)];
        std::str::from_utf8(text).ok().map(HeaderValue::from_static)
    }
}

const fn length(number: usize) -> usize {
    1 + (number >= 10) as usize + (number >= 100) as usize + (number >= 1_000) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    static AGES: PrebuiltSeconds<4> = PrebuiltSeconds::new("");
    static TTLS: PrebuiltSeconds<8> = PrebuiltSeconds::new("ttl=");

    #[test]
    fn prebuilt_values_equal_formatted_ones() {
        for seconds in 0..4_096 {
            assert_eq!(AGES.get(seconds).unwrap(), HeaderValue::from(seconds));
            assert_eq!(TTLS.get(seconds).unwrap(), format!("ttl={seconds}").as_str());
        }
        assert_eq!((AGES.get(4_096), TTLS.get(u64::MAX)), (None, None));
    }
}
