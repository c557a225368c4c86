//! When a replica may send the fleet's refresh token. Pure: times are arguments.

use std::time::Duration;

use crate::{
    shared::WriteSafety,
    state::{PairOrigin, Rotation},
};

const MINUTE: Duration = Duration::from_secs(60);
/// The vendor's limit at its token endpoint: one call a second, whichever replica makes it.
const SPACING: Duration = Duration::from_secs(1);
/// A renewal takes half of this at most: before, its result may still come.
pub(super) const UNDER_WAY: Duration = MINUTE;
/// For a replica that has begun a renewal and does not end it: its answer may be on its disk, or it may be paused.
pub(in crate::token) const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// With less of the access token left than this, waiting is the greater risk.
const SCARCE: Duration = Duration::from_secs(15 * 60);
/// After a new epoch of the shared store, or its return: replicas that know of a newer refresh token write it back first.
const QUIET: Duration = Duration::from_secs(2 * 60);
/// The same, if the access token has an hour or more.
const LONG_QUIET: Duration = Duration::from_secs(10 * 60);
const AMPLE: Duration = Duration::from_secs(60 * 60);
/// The same, without an access token: three heartbeats of the replicas that know more.
const SHORT_QUIET: Duration = Duration::from_secs(20);
/// Between looks at whether a server has become safe to write to, or is back.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// What is left of the access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::token) struct AccessLeft {
    /// By the clock, even if it was refused: a refusal neither brings back the replica that has begun a renewal nor keeps
    /// others from renewing, so what waits for them goes by this.
    pub(in crate::token) until_expiry: Duration,
    /// Zero if it was refused: to wait costs as much as if there were none.
    pub(in crate::token) usable: Duration,
}

/// Who has begun the renewal whose result is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IntentHolder {
    /// This process.
    This,
    /// This replica before its restart.
    ThisBefore,
    /// Another replica.
    Another,
}

/// A renewal whose result is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IntentSeen {
    pub(super) holder: IntentHolder,
    /// How long this replica has known of it, by its monotonic clock.
    pub(super) seen_for: Duration,
}

/// Whether a fresh pair may have been used by replicas that were not heard of yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PairSource {
    /// A login has just brought it: nobody else has it.
    NewLogin,
    Other,
}

/// What the decision depends on while the store is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct RenewalCase {
    pub(super) intent: Option<IntentSeen>,
    pub(super) left: AccessLeft,
    /// The time since another replica's new pair was seen: it made a call just before.
    pub(super) since_others_pair: Option<Duration>,
    /// The time since the store's epoch was first seen, or seen again; `None`: it was not seen.
    pub(super) since_epoch: Option<Duration>,
    pub(super) pair: PairSource,
}

/// What the decision depends on while the store is away.
#[derive(Debug, Clone, Copy)]
pub(super) struct AloneCase {
    pub(super) intent: Option<IntentSeen>,
    pub(super) left: AccessLeft,
    pub(super) rotation: Rotation,
    pub(super) origin: PairOrigin,
    /// The fleet's generation; 0: this replica's tokens were in no fleet yet.
    pub(super) generation: u64,
    /// How long the store has been away.
    pub(super) away_for: Duration,
}

/// This replica must not renew now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::token) struct NotYet {
    pub(in crate::token) reason: WaitReason,
    /// When to look again, from now.
    pub(in crate::token) wait: Duration,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WaitReason {
    /// Another replica's renewal is under way, or its result is missing.
    #[error("another replica has begun a renewal")]
    AnotherRenews,
    /// This replica's renewal before its restart.
    #[error("this replica has begun a renewal before its restart")]
    RenewedBefore,
    /// Another replica has made a call a moment ago.
    #[error("another replica has just renewed")]
    JustRenewed,
    /// The store has lost writes, or this replica has just met it, for the first time or again.
    #[error("the shared store has a new epoch or is back: who knows of a newer refresh token comes first")]
    NewEpoch,
    /// See [`WriteSafety::Unreplicated`].
    #[error("no replica of the shared store's server confirms what is written")]
    Unreplicated,
    /// See [`WriteSafety::Rewriting`].
    #[error("the shared store's server is rewriting its append-only file")]
    Rewriting,
    /// The store is away, and another replica may have renewed.
    #[error("the shared store is away, and another replica may have renewed")]
    StoreAway,
    /// The refresh token was refused, but the replica that used it before may have the answer.
    #[error("the refresh token was refused; another replica that has used it may have the new one")]
    OwnerMayAnswer,
}

// === impl AccessLeft ===

impl AccessLeft {
    /// There is no access token, or it has expired.
    pub(in crate::token) const NONE: Self = Self::accepted(Duration::ZERO);

    /// Of one that was not refused.
    pub(in crate::token) const fn accepted(remaining: Duration) -> Self {
        Self { until_expiry: remaining, usable: remaining }
    }

    /// Of one that was refused.
    pub(in crate::token) const fn refused(remaining: Duration) -> Self {
        Self { until_expiry: remaining, usable: Duration::ZERO }
    }
}

// === impl RenewalCase ===

impl RenewalCase {
    pub(super) fn decide(&self) -> Result<(), NotYet> {
        wait_for_intent(self.intent, self.left.until_expiry)?;
        let since = self.since_others_pair.unwrap_or(SPACING);
        wait(WaitReason::JustRenewed, SPACING, since)?;
        match self.pair {
            PairSource::NewLogin => Ok(()),
            PairSource::Other => wait_for_others(self.left.usable, self.since_epoch.unwrap_or_default()),
        }
    }
}

// === impl AloneCase ===

impl AloneCase {
    /// A refresh token that works more than once harms nobody. One that rotates is sent only by the replica that got it, and
    /// only when the access token is about to end: another one that still has the store would have renewed before. A refused
    /// token they renew at once, so that its refusal is no reason to send the refresh token. Nor is a store that has only just
    /// gone: another one may have begun before it went, and this one not know it.
    pub(super) fn decide(&self) -> Result<(), NotYet> {
        let away = |wait| Err(NotYet { reason: WaitReason::StoreAway, wait });
        match (self.rotation, self.origin) {
            (Rotation::LongLived, _) => Ok(()),
            (Rotation::Rotating, PairOrigin::Own | PairOrigin::Unshared) if self.generation > 0 => {
                if self.left.until_expiry >= SCARCE {
                    return away(LOOK_AGAIN);
                }
                match self.intent {
                    Some(IntentSeen { holder: IntentHolder::Another, seen_for }) => {
                        wait(WaitReason::AnotherRenews, PATIENCE, seen_for)
                    }
                    own => {
                        wait(WaitReason::StoreAway, UNDER_WAY, self.away_for)?;
                        wait_for_intent(own, self.left.until_expiry)
                    }
                }
            }
            (Rotation::Rotating | Rotation::Unknown, _) => away(LOOK_AGAIN),
        }
    }
}

/// Whether what is written to the store is safe enough to use up a refresh token.
pub(super) fn wait_for_safety(safety: WriteSafety, remaining: Duration) -> Result<(), NotYet> {
    let reason = match safety {
        WriteSafety::Kept => return Ok(()),
        WriteSafety::Unreplicated => WaitReason::Unreplicated,
        WriteSafety::Rewriting => WaitReason::Rewriting,
    };
    if remaining < SCARCE { Ok(()) } else { Err(NotYet { reason, wait: LOOK_AGAIN }) }
}

fn wait_for_intent(intent: Option<IntentSeen>, remaining: Duration) -> Result<(), NotYet> {
    let Some(IntentSeen { holder, seen_for }) = intent else { return Ok(()) };
    match holder {
        IntentHolder::This => Ok(()),
        IntentHolder::ThisBefore => wait(WaitReason::RenewedBefore, 2 * SPACING, seen_for),
        IntentHolder::Another => {
            let patience = if remaining < SCARCE { UNDER_WAY } else { PATIENCE };
            wait(WaitReason::AnotherRenews, patience, seen_for)
        }
    }
}

/// At the latest when the access token ends: without one there is less to wait for.
fn wait_for_others(usable: Duration, since_epoch: Duration) -> Result<(), NotYet> {
    let at_its_end = usable.max(SHORT_QUIET.saturating_sub(since_epoch));
    wait(WaitReason::NewEpoch, quiet(usable), since_epoch)
        .map_err(|not_yet| NotYet { wait: not_yet.wait.min(at_its_end), ..not_yet })
}

const fn quiet(remaining: Duration) -> Duration {
    if remaining.is_zero() {
        SHORT_QUIET
    } else if remaining.as_secs() < AMPLE.as_secs() {
        QUIET
    } else {
        LONG_QUIET
    }
}

fn wait(reason: WaitReason, whole: Duration, since: Duration) -> Result<(), NotYet> {
    match whole.checked_sub(since) {
        Some(wait) if !wait.is_zero() => Err(NotYet { reason, wait }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);
    const CALM: RenewalCase = RenewalCase {
        intent: None,
        left: AccessLeft::accepted(HOUR),
        since_others_pair: None,
        since_epoch: Some(HOUR),
        pair: PairSource::Other,
    };

    fn seen(holder: IntentHolder, seconds: u64) -> Option<IntentSeen> {
        Some(IntentSeen { holder, seen_for: Duration::from_secs(seconds) })
    }

    fn waits(decision: Result<(), NotYet>) -> Option<(WaitReason, u64)> {
        decision.err().map(|not_yet| (not_yet.reason, not_yet.wait.as_secs()))
    }

    #[test]
    fn another_s_renewal_has_ten_minutes_or_one_if_the_access_token_has_less_than_a_quarter_of_an_hour() {
        for (remaining, seen_for, expected) in [
            (HOUR, 0, Some(600)),
            (HOUR, 599, Some(1)),
            (HOUR, 600, None),
            (MINUTE * 15, 60, Some(540)),
            (MINUTE * 15 - SPACING, 59, Some(1)),
            (MINUTE * 15 - SPACING, 60, None),
            (Duration::ZERO, 60, None),
        ] {
            for left in [AccessLeft::accepted(remaining), AccessLeft::refused(remaining)] {
                let case = RenewalCase { intent: seen(IntentHolder::Another, seen_for), left, ..CALM };
                let expected = expected.map(|wait| (WaitReason::AnotherRenews, wait));
                assert_eq!(waits(case.decide()), expected, "{case:?}");
            }
        }
    }

    #[test]
    fn its_own_renewal_is_begun_again_at_once_and_one_before_the_restart_after_two_seconds() {
        let case = |intent| RenewalCase { intent, ..CALM }.decide();
        assert_eq!(waits(case(seen(IntentHolder::This, 0))), None);
        assert_eq!(waits(case(seen(IntentHolder::ThisBefore, 1))), Some((WaitReason::RenewedBefore, 1)));
        assert_eq!(waits(case(seen(IntentHolder::ThisBefore, 2))), None);
    }

    #[test]
    fn after_a_new_epoch_those_who_know_more_come_first_unless_a_login_has_just_brought_the_token() {
        let accepted = [(HOUR, 600), (HOUR - SPACING, 120), (SPACING, 120), (Duration::ZERO, 20)]
            .map(|(remaining, quiet)| (AccessLeft::accepted(remaining), quiet));
        for (left, quiet) in accepted.into_iter().chain([(AccessLeft::refused(HOUR), 20)]) {
            let after =
                |seconds| RenewalCase { since_epoch: Some(Duration::from_secs(seconds)), left, ..CALM };
            assert_eq!(waits(after(quiet - 1).decide()), Some((WaitReason::NewEpoch, 1)));
            assert_eq!(waits(after(quiet).decide()), None);
            let login = RenewalCase { pair: PairSource::NewLogin, ..after(0) };
            assert_eq!(waits(login.decide()), None);
        }
        let never_met = RenewalCase { since_epoch: None, ..CALM };
        assert_eq!(waits(never_met.decide()), Some((WaitReason::NewEpoch, 600)));
    }

    #[test]
    fn after_a_new_epoch_an_access_token_that_ends_is_not_outlasted_by_the_wait() {
        let decide = |left, since_epoch| {
            let (left, since_epoch) = (Duration::from_secs(left), Some(Duration::from_secs(since_epoch)));
            waits(RenewalCase { left: AccessLeft::accepted(left), since_epoch, ..CALM }.decide())
        };
        assert_eq!(decide(15, 80), Some((WaitReason::NewEpoch, 15)));
        assert_eq!(decide(0, 95), None);
        assert_eq!(decide(5, 5), Some((WaitReason::NewEpoch, 15)));
    }

    #[test]
    fn no_call_follows_another_replica_s_within_a_second() {
        let after = |millis| RenewalCase { since_others_pair: Some(Duration::from_millis(millis)), ..CALM };
        assert!(after(999).decide().is_err() && after(1_000).decide().is_ok());
    }

    #[test]
    fn a_store_that_may_lose_the_token_is_not_trusted_with_it_while_there_is_time() {
        for safety in [WriteSafety::Unreplicated, WriteSafety::Rewriting] {
            assert!(wait_for_safety(safety, SCARCE).is_err());
            assert!(wait_for_safety(safety, SCARCE - SPACING).is_ok());
        }
        assert!(wait_for_safety(WriteSafety::Kept, HOUR).is_ok());
    }

    #[test]
    fn while_the_store_is_away_a_rotating_token_is_sent_by_who_got_it_and_only_at_the_end() {
        let case = |rotation, origin, remaining| AloneCase {
            intent: None,
            left: AccessLeft::accepted(remaining),
            rotation,
            origin,
            generation: 3,
            away_for: MINUTE,
        };
        for origin in [PairOrigin::Own, PairOrigin::Another, PairOrigin::Unshared] {
            assert!(case(Rotation::LongLived, origin, HOUR).decide().is_ok(), "anyone may");
            assert!(case(Rotation::Unknown, origin, Duration::ZERO).decide().is_err());
            assert!(case(Rotation::Rotating, origin, SCARCE).decide().is_err());
            let late = case(Rotation::Rotating, origin, SCARCE - SPACING);
            assert_eq!(late.decide().is_ok(), origin != PairOrigin::Another);
            let refused = AloneCase { left: AccessLeft::refused(SCARCE), ..late };
            assert!(refused.decide().is_err(), "the others have renewed it");
            assert!(AloneCase { generation: 0, ..late }.decide().is_err(), "it may be used up long since");
            let just_gone = AloneCase { away_for: MINUTE - SPACING, ..late };
            assert!(just_gone.decide().is_err(), "another may have begun before");
            let begun = AloneCase { intent: seen(IntentHolder::Another, 599), ..late };
            assert!(begun.decide().is_err(), "the other may have the answer");
        }
    }
}
