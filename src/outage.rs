//! Whether something that is tried again and again fails at the moment, so that its failure is reported once, and not
//! with each attempt, until it works again.

/// The state of one such thing: a file that is re-read, a store that is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Outage {
    /// The last attempt worked, or there was none yet.
    #[default]
    None,
    /// It failed, and that was reported.
    Reported,
}

// === impl Outage ===

impl Outage {
    /// An attempt failed. Whether this is the first failure since it last worked: the one to report.
    #[must_use = "says whether to report the failure"]
    pub(crate) fn begins(&mut self) -> bool {
        std::mem::replace(self, Self::Reported) == Self::None
    }

    /// An attempt worked.
    pub(crate) fn ends(&mut self) {
        *self = Self::None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_reported_once_until_an_attempt_works() {
        let mut outage = Outage::default();
        assert_eq!([outage.begins(), outage.begins()], [true, false]);
        outage.ends();
        assert_eq!([outage.begins(), outage.begins()], [true, false]);
    }
}
