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

/// Where this replica was when the store got its present epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EpochChange {
    /// In contact with it, or not yet started.
    Seen,
    /// Away, for longer than a renewal takes: another one may have renewed, and the store have lost what it wrote.
    Missed,
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
    pub(super) epoch_change: EpochChange,
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
        let since_epoch = self.since_epoch.unwrap_or_default();
        match (self.pair, self.epoch_change) {
            (PairSource::NewLogin, _) => Ok(()),
            (PairSource::Other, EpochChange::Seen) => wait_for_others(self.left.usable, since_epoch),
            // As with a renewal that another has begun: its answer may be on the disk of one that is gone for now.
            (PairSource::Other, EpochChange::Missed) => {
                let patience = if self.left.until_expiry < SCARCE { QUIET } else { PATIENCE };
                wait(WaitReason::NewEpoch, patience, since_epoch)
            }
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
mod tests;
