//! The model of the shared store: what each operation does, without I/O and with the store's clock as an argument.
//!
//! It is what the Lua scripts are compared with, and what [`MemorySharedStore`](super::MemorySharedStore) runs.

use std::{collections::BTreeMap, time::Duration};

use self::{feed::ModelFeed, fleet::ModelFleet, keys::ModelKeys};
#[cfg(test)]
use super::feed_window::FeedWindow;
use super::{
    CallRequest, CallTurn, ChangeId, ChangeKind, FeedPage, Fence, FleetState, FlightFailure, Guarded,
    Heartbeat, LockoutRequest, LookUp, LookedUp, MemberAbout, MemberId, MemberSeen, PurgeScope, Recovery,
    SharedReport, SharedToken, StoreReport, StoreSeen, ThrottleRequest, TokenSwap, TokenSwapped,
    millis::millis, short_word::short_word,
};
use crate::report::ReportKey;

mod feed;
mod fleet;
mod keys;

/// A replica whose last heartbeat is older is not alive.
const MEMBER_LIFETIME: u64 = 60_000;

/// All that the store holds.
#[derive(Debug, Clone, Default)]
pub(super) struct StoreModel {
    fleet: ModelFleet,
    keys: ModelKeys,
    feed: ModelFeed,
    members: BTreeMap<MemberId, ModelMember>,
    token: Option<SharedToken>,
}

#[derive(Debug, Clone)]
struct ModelMember {
    /// The time of its last heartbeat.
    last: u64,
    feed_lag: Duration,
    about: MemberAbout,
}

/// One of the store's values, which a server can lose by itself: by eviction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreValue {
    /// Epoch, sequence and the day's calls.
    Fleet,
    /// The change feed.
    Changes,
    /// The replicas.
    Members,
    /// The token record.
    Token,
    /// A key's report.
    Report(ReportKey),
    /// A key's flight.
    Flight(ReportKey),
}

// === impl StoreModel ===

impl StoreModel {
    pub(super) fn heartbeat(
        &mut self,
        now: Duration,
        seen: StoreSeen,
        heartbeat: &Heartbeat,
    ) -> Guarded<FleetState> {
        let now = millis(now);
        self.fleet.guard(seen)?;
        self.fleet.merge(now, heartbeat);
        self.members.insert(
            heartbeat.member,
            ModelMember { last: now, feed_lag: heartbeat.feed_lag, about: heartbeat.about.clone() },
        );
        self.keys.drop_expired(now);
        Ok(self.state(now))
    }

    pub(super) fn recover(&mut self, now: Duration, recovery: &Recovery) -> FleetState {
        let now = millis(now);
        if self.fleet.recover(now, recovery) {
            self.feed.push(now, ChangeKind::Epoch(recovery.fresh));
        }
        self.state(now)
    }

    pub(super) fn leave(&mut self, member: MemberId) {
        self.members.remove(&member);
    }

    pub(super) fn take_call(
        &mut self,
        now: Duration,
        seen: StoreSeen,
        request: &CallRequest,
    ) -> Guarded<CallTurn> {
        self.fleet.guard(seen)?;
        Ok(self.fleet.take_call(millis(now), request))
    }

    pub(super) fn lock_out(
        &mut self,
        now: Duration,
        seen: StoreSeen,
        request: &LockoutRequest,
    ) -> Guarded<()> {
        self.fleet.guard(seen)?;
        if self.fleet.lock_out(millis(now), request) {
            self.feed.push(millis(now), ChangeKind::Lockout);
        }
        Ok(())
    }

    pub(super) fn throttle(
        &mut self,
        now: Duration,
        seen: StoreSeen,
        request: &ThrottleRequest,
    ) -> Guarded<()> {
        self.fleet.guard(seen)?;
        self.fleet.throttle(millis(now), request);
        Ok(())
    }

    pub(super) fn look_up(&mut self, now: Duration, seen: StoreSeen, look_up: &LookUp) -> Guarded<LookedUp> {
        self.fleet.guard(seen)?;
        Ok(self.keys.look_up(millis(now), look_up, &mut self.fleet))
    }

    pub(super) fn get(&self, now: Duration, key: ReportKey, have: Fence) -> Option<SharedReport> {
        self.keys.newer(millis(now), key, have, self.fleet.purged)
    }

    pub(super) fn store(
        &mut self,
        now: Duration,
        seen: StoreSeen,
        report: &StoreReport,
    ) -> Guarded<Option<Fence>> {
        self.fleet.guard(seen)?;
        let StoreReport { key, fence, .. } = *report;
        self.keys.end_flight(key, report.nonce);
        if self.fleet.purged >= fence {
            return Ok(None);
        }
        let now = millis(now);
        match self.keys.fence(now, key) {
            Some((stored, keys::Purged::No)) if stored == fence => Ok(Some(fence)),
            Some((stored, _)) if stored >= fence => Ok(None),
            Some(_) | None => {
                self.keys.store(now, report);
                self.fleet.next_fence();
                self.feed.push(now, ChangeKind::Report { key, fence });
                Ok(Some(fence))
            }
        }
    }

    pub(super) fn fail(&mut self, now: Duration, seen: StoreSeen, failure: &FlightFailure) -> Guarded<()> {
        self.fleet.guard(seen)?;
        let FlightFailure { key, why, .. } = failure;
        if self.keys.fail(millis(now), failure) {
            self.feed.push(millis(now), ChangeKind::Failure { key: *key, why: short_word(why).into() });
        }
        Ok(())
    }

    pub(super) fn purge(&mut self, now: Duration, seen: StoreSeen, scope: PurgeScope) -> Guarded<Fence> {
        self.fleet.guard(seen)?;
        let fence = self.fleet.next_fence();
        let key = match scope {
            PurgeScope::Key(key) => {
                self.keys.purge(millis(now), key, fence);
                Some(key)
            }
            PurgeScope::All => {
                self.fleet.purged = fence;
                None
            }
        };
        self.feed.push(millis(now), ChangeKind::Purge { key, fence });
        Ok(fence)
    }

    pub(super) fn read_token(&self) -> Option<SharedToken> {
        self.token.clone()
    }

    pub(super) fn swap_token(
        &mut self,
        now: Duration,
        seen: StoreSeen,
        swap: &TokenSwap,
    ) -> Guarded<TokenSwapped> {
        self.fleet.guard(seen)?;
        let TokenSwap { expected, generation, ref token } = *swap;
        let written = SharedToken { version: expected + 1, generation, token: token.clone() };
        if self.token_version() == expected {
            self.write_token(millis(now), written);
        } else if self.token.as_ref() != Some(&written) {
            return Ok(TokenSwapped::Conflict(self.token.clone()));
        }
        Ok(TokenSwapped::Done(expected + 1))
    }

    pub(super) fn restore_token(
        &mut self,
        now: Duration,
        seen: StoreSeen,
        token: &SharedToken,
    ) -> Guarded<u64> {
        self.fleet.guard(seen)?;
        if token.version > self.token_version() {
            self.write_token(millis(now), token.clone());
        }
        Ok(self.token_version())
    }

    pub(super) fn changes(&self, after: ChangeId) -> FeedPage {
        self.feed.after(after)
    }

    pub(super) fn newest_change(&self) -> ChangeId {
        self.feed.newest()
    }

    #[cfg(test)]
    pub(super) fn feed_window(&self) -> FeedWindow {
        self.feed.window()
    }

    /// Loses one value.
    pub(super) fn evict(&mut self, value: StoreValue) {
        match value {
            StoreValue::Fleet => self.fleet = ModelFleet::default(),
            StoreValue::Changes => self.feed = ModelFeed::default(),
            StoreValue::Members => self.members.clear(),
            StoreValue::Token => self.token = None,
            StoreValue::Report(key) => self.keys.evict_report(key),
            StoreValue::Flight(key) => self.keys.evict_flight(key),
        }
    }

    fn state(&mut self, now: u64) -> FleetState {
        self.members.retain(|_, member| {
            // One that is so far ahead was written before the clock was put back, and not again since.
            member.last + MEMBER_LIFETIME > now && member.last <= now + MEMBER_LIFETIME
        });
        let seen = self.members.iter().map(|(id, member)| MemberSeen {
            id: *id,
            heartbeat_age: Duration::from_millis(now.saturating_sub(member.last)),
            feed_lag: Duration::from_millis(millis(member.feed_lag)),
            about: member.about.clone(),
        });
        let members = seen.collect();
        self.fleet.state(now, members, self.token_version())
    }

    fn token_version(&self) -> u64 {
        self.token.as_ref().map_or(0, |token| token.version)
    }

    fn write_token(&mut self, now: u64, token: SharedToken) {
        let version = token.version;
        self.token = Some(token);
        self.fleet.next_fence();
        self.feed.push(now, ChangeKind::Token { version });
    }
}
