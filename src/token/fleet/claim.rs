//! One renewal of the fleet's token: its claim, which keeps all other replicas from renewing, and its answer.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{
    error::RecordError,
    known::{LastWriter, StoreStanding},
    reconcile::is_same_pair,
    records::FleetRecords,
    rules::{AccessLeft, IntentHolder, IntentSeen, NotYet, wait_for_safety},
};
use crate::{
    shared::{SharedStoreError, WriteMark},
    state::{FleetPosition, PairOrigin, Stored, Swap, TokenRecord, Version},
};

/// From the write of the intent to the call: a replica that was paused for longer begins again, since others may take its
/// intent for torn.
const SENT_WITHIN: Duration = Duration::from_secs(5);

/// This replica may renew.
#[derive(Debug)]
pub(in crate::token) struct Claim {
    pub(in crate::token) version: Version,
    /// The record with the intent.
    pub(in crate::token) record: TokenRecord,
    /// If another replica had begun before: how long that was known.
    pub(in crate::token) taken_over: Option<Duration>,
    /// `None`: no other replica waits for it.
    written_at: Option<(Instant, SystemTime)>,
}

/// This replica does not renew.
#[derive(Debug)]
pub(in crate::token) enum Denied {
    /// The record has changed.
    Theirs(Option<Box<Stored>>),
    NotYet(NotYet),
    Failed(RecordError),
}

// === impl Claim ===

impl Claim {
    /// Of a replica that shares no token.
    pub(in crate::token) const fn unshared(version: Version, record: TokenRecord) -> Self {
        Self { version, record, taken_over: None, written_at: None }
    }

    /// Whether the call may still leave, by both clocks: one of them stands still while the machine sleeps.
    pub(in crate::token) fn is_fresh(&self, now: Instant, today: SystemTime) -> bool {
        let Some((at, on)) = self.written_at else { return true };
        let by_the_wall = today.duration_since(on).unwrap_or_else(|earlier| earlier.duration());
        now.saturating_duration_since(at) < SENT_WITHIN && by_the_wall < SENT_WITHIN
    }
}

// === impl Denied ===

impl From<RecordError> for Denied {
    fn from(error: RecordError) -> Self {
        Self::Failed(error)
    }
}

impl From<SharedStoreError> for Denied {
    fn from(error: SharedStoreError) -> Self {
        Self::Failed(error.into())
    }
}

// === impl FleetRecords ===

impl FleetRecords {
    /// Begins a renewal with the record that was read, while so much is left of the access token.
    pub(in crate::token) async fn claim(&self, stored: &Stored, left: AccessLeft) -> Result<Claim, Denied> {
        let standing = self.known().standing;
        let claimed = match standing {
            StoreStanding::Away => self.claim_alone(&stored.record, left).await,
            StoreStanding::InStep | StoreStanding::Behind => self.claim_in_store(&stored.record, left).await,
        };
        let waits_for = match &claimed {
            Err(Denied::NotYet(not_yet)) => Some(not_yet.reason),
            Ok(_) | Err(Denied::Theirs(_) | Denied::Failed(_)) => None,
        };
        let before = std::mem::replace(&mut self.known().waits_for, waits_for);
        if let Some(reason) = waits_for.filter(|_| before != waits_for) {
            tracing::info!("not renewing the access token yet: {reason}");
        }
        claimed
    }

    async fn claim_in_store(&self, record: &TokenRecord, left: AccessLeft) -> Result<Claim, Denied> {
        let case = self.known().case(record, self.me, left, Instant::now());
        case.decide().map_err(Denied::NotYet)?;
        let mark = self.membership.store().write_mark().await?;
        self.wait_for_safety(mark, case.left.usable).await?;
        let written_at = (Instant::now(), SystemTime::now());
        let begun = self.begun(record);
        if !self.swap(begun).await? {
            self.synchronize().await?;
            return Err(Denied::Theirs(self.stored().map(Box::new)));
        }
        let written = async {
            self.wait_for_safety(mark, case.left.usable).await?;
            self.save_copy().await.map_err(Denied::from)
        };
        if let Err(denied) = written.await {
            self.withdraw().await;
            return Err(denied);
        }
        self.claimed(case.intent, written_at)
    }

    /// While the shared store is away: with the replica's own store only.
    async fn claim_alone(&self, record: &TokenRecord, left: AccessLeft) -> Result<Claim, Denied> {
        let written_at = (Instant::now(), SystemTime::now());
        let case = self.known().case_alone(record, self.me, left, written_at.0);
        case.decide().map_err(Denied::NotYet)?;
        let begun = self.begun(record);
        self.known().set(begun, LastWriter::This, written_at.0);
        self.save_copy().await?;
        self.claimed(case.intent, written_at)
    }

    fn begun(&self, record: &TokenRecord) -> TokenRecord {
        TokenRecord { intent: Some(SystemTime::now()), intent_owner: Some(self.me), ..record.clone() }
    }

    fn claimed(
        &self,
        before: Option<IntentSeen>,
        written_at: (Instant, SystemTime),
    ) -> Result<Claim, Denied> {
        let Some(Stored { version, record }) = self.stored() else { return Err(Denied::Theirs(None)) };
        let taken_over = before.filter(|before| before.holder == IntentHolder::Another);
        Ok(Claim {
            version,
            record,
            taken_over: taken_over.map(|before| before.seen_for),
            written_at: Some(written_at),
        })
    }

    async fn wait_for_safety(&self, since: WriteMark, remaining: Duration) -> Result<(), Denied> {
        let safety = self.membership.store().write_safety(since).await?;
        wait_for_safety(safety, remaining).map_err(Denied::NotYet)
    }

    /// Nothing was sent: the other replicas need not wait for this one.
    pub(in crate::token) async fn withdraw(&self) {
        self.end_intent(|record| record).await;
    }

    /// What was sent is invalid, and no other refresh token is left: the other replicas need neither wait for this one nor
    /// ask for themselves.
    pub(in crate::token) async fn give_up(&self) {
        self.end_intent(|record| TokenRecord { is_refused: true, ..record }).await;
    }

    async fn end_intent(&self, change: impl FnOnce(TokenRecord) -> TokenRecord) {
        let Some(record) = self.known_record().filter(|record| record.intent_owner == Some(self.me)) else {
            return;
        };
        let without = TokenRecord { intent: None, intent_owner: None, ..change(record) };
        // If it fails, the others wait as for a replica that was killed.
        if self.known().standing == StoreStanding::Away {
            self.known().set(without, LastWriter::This, Instant::now());
        } else if let Err(error) = self.swap(without).await {
            tracing::debug!("cannot end the intent to renew: {error}");
        }
    }

    /// Stores the answer to the refresh token that was sent: in the replica's own store first, then in the shared one, whose
    /// record may have changed meanwhile. [`Swap::Conflict`]: another pair was before it, and it is kept beside that one.
    pub(in crate::token) async fn keep(
        &self,
        asked: &TokenRecord,
        answer: &TokenRecord,
    ) -> Result<Swap, RecordError> {
        let version = self.known().version();
        let generation = asked.fleet.generation + 1;
        let fleet = FleetPosition { version, generation, origin: PairOrigin::Unshared };
        let answer = TokenRecord { fleet, intent: None, intent_owner: None, ..answer.clone() };
        self.known().set(answer.clone(), LastWriter::This, Instant::now());
        let saved = self.save_copy().await;
        if let Err(error) = self.synchronize().await {
            saved?;
            tracing::warn!(
                "the new token is with this replica only, until the shared store takes it: {error}"
            );
            return Ok(Swap::Done(Version(version)));
        }
        match self.stored() {
            Some(stored) if is_same_pair(&stored.record, &answer) => Ok(Swap::Done(stored.version)),
            stored => Ok(Swap::conflict(stored)),
        }
    }
}
