//! Shadow check: something that saves calls is compared with what the calls bring, before it is relied on. One mismatch
//! switches it off until the process restarts.

/// How a way to save calls is used: the values of its setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShadowMode {
    /// Not at all.
    Off,
    /// It is compared and counted, and never relied on.
    Verify,
    /// It is relied on after enough comparisons without a mismatch.
    On,
}

/// Counts comparisons, and decides whether the result is relied on. `Reason` is why it may be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShadowCheck<Reason> {
    mode: ShadowMode,
    needed: u32,
    agreed: u32,
    switched_off: Option<Reason>,
}

/// Whether it is relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShadowStatus<Reason> {
    /// Off by its setting.
    Off,
    /// Compared, but not relied on: by its setting, or since too few comparisons have agreed.
    Verifying,
    /// Relied on.
    Trusted,
    /// Off until the process restarts.
    SwitchedOff(Reason),
}

// === impl ShadowMode ===

impl ShadowMode {
    /// The value in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Verify => "verify",
            Self::On => "on",
        }
    }
}

// === impl ShadowCheck ===

impl<Reason: Copy> ShadowCheck<Reason> {
    /// It is relied on once `needed` comparisons have agreed.
    pub(crate) const fn new(mode: ShadowMode, needed: u32) -> Self {
        Self { mode, needed, agreed: 0, switched_off: None }
    }

    /// A comparison agreed.
    pub(crate) const fn agreed(&mut self) {
        self.agreed = self.agreed.saturating_add(1);
    }

    /// A comparison did not agree, or it cannot be used. The first reason stays.
    pub(crate) const fn switch_off(&mut self, reason: Reason) {
        if self.switched_off.is_none() {
            self.switched_off = Some(reason);
        }
    }

    /// How many comparisons have agreed.
    pub const fn comparisons_agreed(&self) -> u32 {
        self.agreed
    }

    /// Whether as many comparisons have agreed as are needed.
    pub const fn is_proven(&self) -> bool {
        self.agreed >= self.needed
    }

    /// Whether it is relied on.
    pub const fn status(&self) -> ShadowStatus<Reason> {
        match (self.mode, self.switched_off) {
            (ShadowMode::Off, _) => ShadowStatus::Off,
            (ShadowMode::Verify | ShadowMode::On, Some(reason)) => ShadowStatus::SwitchedOff(reason),
            (ShadowMode::On, None) if self.is_proven() => ShadowStatus::Trusted,
            (ShadowMode::Verify | ShadowMode::On, None) => ShadowStatus::Verifying,
        }
    }
}

// === impl ShadowStatus ===

impl<Reason> ShadowStatus<Reason> {
    /// Each label of a gauge of it.
    pub const WORDS: [&str; 4] = ["off", "verifying", "trusted", "switched_off"];

    /// The label in metrics, and the word on the status page.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Verifying => "verifying",
            Self::Trusted => "trusted",
            Self::SwitchedOff(_) => "switched_off",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(mode: ShadowMode, agreed: u32) -> ShadowCheck<u8> {
        let mut check = ShadowCheck::new(mode, 3);
        (0..agreed).for_each(|_| check.agreed());
        check
    }

    #[test]
    fn it_is_relied_on_after_enough_comparisons_and_only_if_it_is_on() {
        for (mode, agreed, status) in [
            (ShadowMode::Off, 3, ShadowStatus::Off),
            (ShadowMode::Verify, 2, ShadowStatus::Verifying),
            (ShadowMode::Verify, 3, ShadowStatus::Verifying),
            (ShadowMode::On, 2, ShadowStatus::Verifying),
            (ShadowMode::On, 3, ShadowStatus::Trusted),
        ] {
            assert_eq!(after(mode, agreed).status(), status, "{mode:?} {agreed}");
        }
    }

    #[test]
    fn one_mismatch_switches_it_off_for_good_and_its_reason_stays() {
        for mode in [ShadowMode::Verify, ShadowMode::On] {
            let mut check = after(mode, 500);
            check.switch_off(7);
            check.switch_off(8);
            (0..500).for_each(|_| check.agreed());
            assert_eq!(check.status(), ShadowStatus::SwitchedOff(7));
        }
    }

    #[test]
    fn the_words_are_those_of_each_status() {
        let all =
            [ShadowStatus::Off, ShadowStatus::Verifying, ShadowStatus::Trusted, ShadowStatus::SwitchedOff(1)];
        assert_eq!(all.map(|status| status.as_str()), ShadowStatus::<u8>::WORDS);
    }
}
