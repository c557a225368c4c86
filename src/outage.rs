//! Outage: whether a repeated operation fails at the moment, so that the failure is logged once and not at each
//! attempt.

/// The state of one repeated operation, such as reading a file again or writing to a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Outage {
    /// The last attempt succeeded, or there was none yet.
    #[default]
    None,
    /// The last attempt failed, and the failure was reported.
    Reported,
}

// === impl Outage ===

impl Outage {
    /// An attempt failed. Returns whether to report it: only the first failure after a success is.
    #[must_use = "says whether to report the failure"]
    pub(crate) fn begins(&mut self) -> bool {
        std::mem::replace(self, Self::Reported) == Self::None
    }

    /// An attempt succeeded.
    pub(crate) fn ends(&mut self) {
        *self = Self::None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_reported_once_until_an_attempt_succeeds() {
        let mut outage = Outage::default();
        assert_eq!([outage.begins(), outage.begins()], [true, false]);
        outage.ends();
        assert_eq!([outage.begins(), outage.begins()], [true, false]);
    }
}
