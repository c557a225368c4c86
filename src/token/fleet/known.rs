//! What a replica knows of the fleet's token.

use tokio::time::Instant;

use super::rules::{
    AccessLeft, AloneCase, EpochChange, IntentHolder, IntentSeen, PATIENCE, PairSource, RenewalCase,
    UNDER_WAY, WaitReason,
};
use crate::{
    shared::{Epoch, StoreSeen},
    state::{Fingerprint, IntentOwner, PairOrigin, TokenRecord, Version},
    token::schedule::SHORTEST_DEAD_PAUSE,
};

/// What this replica knows of the fleet's token.
#[derive(Debug)]
pub(super) struct KnownToken {
    /// The newest record that it knows. What is in the store is in it as well, except after a loss or while the store is
    /// away.
    pub(super) record: Option<TokenRecord>,
    /// When this version of it was first seen.
    pub(super) seen_at: Instant,
    /// When another replica's pair of tokens was first seen; `None`: this one is of this replica.
    pub(super) others_pair_at: Option<Instant>,
    /// The version of the copy in the replica's own store.
    pub(super) copy: Option<Version>,
    /// The intent that this replica has left before its restart.
    pub(super) before_restart: Option<IntentOwner>,
    /// The epoch, and when it was first seen, or seen again after the store was away.
    pub(super) epoch: Option<(Epoch, Instant)>,
    pub(super) epoch_change: EpochChange,
    /// When a heartbeat last told the epoch: the record is not read as often.
    pub(super) told_at: Option<Instant>,
    /// What the store was when the record was read from it.
    pub(super) read_as_of: StoreSeen,
    pub(super) standing: StoreStanding,
    /// When the store was first found to be away; of no account while it is there.
    pub(super) away_since: Instant,
    pub(super) waits_for: Option<WaitReason>,
}

/// Who has written a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastWriter {
    This,
    Another,
}

/// Whether the shared store has the newest record that this replica knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreStanding {
    /// It has.
    InStep,
    /// It has an older one.
    Behind,
    /// It is away.
    Away,
}

/// What `GET /token` shows of the fleet's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetTokenSnapshot {
    /// The version of the fleet's record, as far as this replica knows.
    pub version: u64,
    /// Counts the fleet's pairs of tokens.
    pub generation: u64,
    /// Who got the current one; `None`: there is none.
    pub origin: Option<PairOrigin>,
    /// Whether the store has it.
    pub store: StoreStanding,
    /// Why this replica does not renew now.
    pub waits_for: Option<WaitReason>,
}

// === impl StoreStanding ===

impl StoreStanding {
    /// The word in `GET /token`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InStep => "in_step",
            Self::Behind => "behind",
            Self::Away => "away",
        }
    }
}

// === impl KnownToken ===

impl KnownToken {
    /// After a start, with the copy in the replica's own store.
    pub(super) fn of_copy(copy: Option<(Version, TokenRecord)>, now: Instant) -> Self {
        let (version, record) = copy.unzip();
        Self {
            before_restart: record.as_ref().and_then(|record| record.intent_owner),
            record,
            seen_at: now,
            others_pair_at: Some(now),
            copy: version,
            epoch: None,
            epoch_change: EpochChange::Seen,
            told_at: None,
            read_as_of: StoreSeen::default(),
            standing: StoreStanding::Away,
            away_since: now,
            waits_for: None,
        }
    }

    /// Another record, or another version of it.
    pub(super) fn set(&mut self, record: TokenRecord, writer: LastWriter, now: Instant) {
        let is_another_pair = self.generation() != record.fleet.generation;
        if is_another_pair {
            self.others_pair_at = match writer {
                LastWriter::This => None,
                LastWriter::Another => Some(now),
            };
        }
        if is_another_pair || self.version() != record.fleet.version {
            self.seen_at = now;
        }
        self.record = Some(record);
    }

    pub(super) fn version(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.fleet.version)
    }

    pub(super) fn generation(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.fleet.generation)
    }

    pub(super) fn is_unshared(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.fleet.origin == PairOrigin::Unshared)
    }

    /// Whether the store is there, as a read or write of the record has shown.
    pub(super) fn found(&mut self, standing: StoreStanding, now: Instant) {
        if self.standing != StoreStanding::Away {
            self.away_since = now;
        } else if standing != StoreStanding::Away
            && now.saturating_duration_since(self.away_since) >= UNDER_WAY
        {
            self.epoch_change = self.epoch_change_still(now);
            // Another replica may have renewed alone, and be about to write its answer back.
            self.epoch = self.epoch.map(|(epoch, _seen)| (epoch, now));
        }
        self.standing = standing;
    }

    /// The store's epoch now. Says whether it is another one.
    pub(super) fn learn_epoch(&mut self, epoch: Epoch, now: Instant) -> bool {
        let told_at = self.told_at.replace(now);
        let is_new = self.epoch.is_none_or(|(known, _)| known != epoch);
        if is_new {
            let was_away = told_at.is_some_and(|told| now.saturating_duration_since(told) >= UNDER_WAY);
            self.epoch_change = if was_away { EpochChange::Missed } else { self.epoch_change_still(now) };
            self.epoch = Some((epoch, now));
        }
        is_new
    }

    /// What was missed stays so for as long as others are waited for.
    fn epoch_change_still(&self, now: Instant) -> EpochChange {
        match self.epoch {
            Some((_, seen)) if now.saturating_duration_since(seen) < PATIENCE => self.epoch_change,
            Some(_) | None => EpochChange::Seen,
        }
    }

    pub(super) fn case(
        &self,
        record: &TokenRecord,
        me: IntentOwner,
        left: AccessLeft,
        now: Instant,
    ) -> RenewalCase {
        let is_new_login = record.access.is_none()
            && record.login_fingerprint.as_ref() == Some(&Fingerprint::of(&record.refresh_token));
        RenewalCase {
            intent: self.intent(record, me, now),
            left,
            since_others_pair: self.others_pair_at.map(|at| now.saturating_duration_since(at)),
            since_epoch: self.epoch.map(|(_, seen)| now.saturating_duration_since(seen)),
            epoch_change: self.epoch_change,
            pair: if is_new_login { PairSource::NewLogin } else { PairSource::Other },
        }
    }

    pub(super) fn case_alone(
        &self,
        record: &TokenRecord,
        me: IntentOwner,
        left: AccessLeft,
        now: Instant,
    ) -> AloneCase {
        AloneCase {
            intent: self.intent(record, me, now),
            left,
            rotation: record.rotation,
            origin: record.fleet.origin,
            generation: record.fleet.generation,
            away_for: now.saturating_duration_since(self.away_since),
        }
    }

    /// Whether another replica has begun a renewal with this record.
    pub(super) fn is_begun_by_another(&self, record: &TokenRecord, me: IntentOwner) -> bool {
        self.intent(record, me, Instant::now()).is_some_and(|intent| intent.holder == IntentHolder::Another)
    }

    /// Whether a replica has found a moment ago that the record's refresh token is invalid: then another one need not ask.
    pub(super) fn is_refused(&self, record: &TokenRecord, now: Instant) -> bool {
        record.is_refused && now.saturating_duration_since(self.seen_at) < SHORTEST_DEAD_PAUSE
    }

    fn intent(&self, record: &TokenRecord, me: IntentOwner, now: Instant) -> Option<IntentSeen> {
        record.intent?;
        let holder = match record.intent_owner {
            Some(owner) if owner == me => IntentHolder::This,
            // Without an owner it was begun before there was a fleet.
            owner if owner.is_none() || owner == self.before_restart => IntentHolder::ThisBefore,
            Some(_) | None => IntentHolder::Another,
        };
        Some(IntentSeen { holder, seen_for: now.saturating_duration_since(self.seen_at) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_epoch_is_missed_that_changed_while_no_heartbeat_reached_the_store() {
        use EpochChange::{Missed, Seen};
        use StoreStanding::{Away, InStep};
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let met = || {
            let mut known = KnownToken::of_copy(None, start);
            known.learn_epoch(Epoch(1), at(1));
            known.found(InStep, at(1));
            known.learn_epoch(Epoch(1), at(100));
            known
        };
        assert_eq!(met().epoch_change, Seen, "it has just begun");
        for (told, change) in [(159, Seen), (160, Missed)] {
            // Whether or not the record was read meanwhile, and before the epoch was told.
            for reads in 0..3 {
                let mut known = met();
                if reads > 0 {
                    known.found(Away, at(101));
                }
                if reads > 1 {
                    known.found(InStep, at(told));
                }
                known.learn_epoch(Epoch(2), at(told));
                known.found(InStep, at(told));
                assert_eq!(known.epoch_change, change, "{told} {reads}");
            }
        }
        let missed = || {
            let mut known = met();
            known.learn_epoch(Epoch(2), at(1_000));
            known
        };
        for (later, change) in [(599, Missed), (600, Seen)] {
            let mut known = missed();
            known.learn_epoch(Epoch(2), at(1_000 + later));
            known.learn_epoch(Epoch(3), at(1_000 + later));
            assert_eq!(known.epoch_change, change, "another one {later} s later");
            let mut known = missed();
            known.found(InStep, at(1_000));
            known.found(Away, at(1_001));
            known.found(InStep, at(1_000 + later));
            assert_eq!(known.epoch_change, change, "back again after {later} s");
        }
    }
}
