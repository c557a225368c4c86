//! The fleet's token record: kept in step between the shared store and this replica's own store.

use std::{
    fmt::{self, Debug, Formatter},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

use super::{
    error::RecordError,
    known::{FleetTokenSnapshot, KnownToken, LastWriter, StoreStanding},
    reconcile::{Reconciliation, is_same_pair, reconcile},
    sealed::{open, seal},
};
use crate::{
    shared::{
        FleetSeal, FleetState, Membership, SharedStoreError, SharedToken, StoreSeen, TokenSwap, TokenSwapped,
    },
    state::{
        Durability, FleetPosition, IntentOwner, PairOrigin, Stored, Swap, TokenRecord, TokenStore,
        TokenStoreError, Version,
    },
    telemetry::FleetTokenMetrics,
};

/// A record that others change at each attempt is left to them for now.
const MOST_ATTEMPTS: u32 = 5;
/// The refresh tokens of settings and logins that are remembered as replaced.
const FORMER_KEPT: usize = 8;
/// The refresh tokens that are kept beside the current one.
const BESIDE_KEPT: usize = 3;

/// The token record of a fleet.
pub struct FleetRecords {
    pub(super) membership: Arc<Membership>,
    pub(super) seal: Arc<FleetSeal>,
    /// The replica's own store.
    pub(super) copy: Arc<dyn TokenStore>,
    pub(super) me: IntentOwner,
    known: Mutex<KnownToken>,
    /// The store has another record than this replica knows of, or may have.
    news: Notify,
    metrics: FleetTokenMetrics,
}

// === impl FleetRecords ===

impl FleetRecords {
    /// With the copy that is in the replica's own store.
    ///
    /// # Errors
    /// If that store cannot be read.
    pub(crate) async fn new(
        membership: Arc<Membership>,
        seal: Arc<FleetSeal>,
        copy: Arc<dyn TokenStore>,
        metrics: FleetTokenMetrics,
    ) -> Result<Self, TokenStoreError> {
        let stored = copy.read().await?.map(|Stored { version, record }| (version, record));
        let known = Mutex::new(KnownToken::of_copy(stored, Instant::now()));
        let me = IntentOwner(fastrand::u64(..));
        let records = Self { membership, seal, copy, me, known, news: Notify::new(), metrics };
        records.observe();
        Ok(records)
    }

    /// The newest record that this replica knows of.
    pub(in crate::token) fn known_record(&self) -> Option<TokenRecord> {
        self.known().record.clone()
    }

    /// Whether another replica has begun a renewal with this record.
    pub(in crate::token) fn is_begun_by_another(&self, record: &TokenRecord) -> bool {
        self.known().is_begun_by_another(record, self.me)
    }

    /// Whether a replica has found a moment ago that the record's refresh token is invalid.
    pub(in crate::token) fn is_refused(&self, record: &TokenRecord) -> bool {
        self.known().is_refused(record, Instant::now())
    }

    /// Whether a restart of this replica loses the current refresh token.
    pub(in crate::token) fn is_at_risk(&self) -> bool {
        self.copy.durability() == Durability::Volatile && self.known().is_unshared()
    }

    pub(in crate::token) fn snapshot(&self) -> FleetTokenSnapshot {
        let known = self.known();
        let position = known.record.as_ref().map(|record| record.fleet).unwrap_or_default();
        FleetTokenSnapshot {
            version: position.version,
            generation: position.generation,
            origin: known.record.as_ref().map(|_| position.origin),
            store: known.standing,
            waits_for: known.waits_for,
        }
    }

    /// What a heartbeat has told.
    pub(crate) fn learn(&self, fleet: &FleetState) {
        let mut known = self.known();
        let is_new_epoch = known.learn_epoch(fleet.epoch, Instant::now());
        let differs = known.version() != fleet.token_version || known.is_unshared();
        let is_behind = fleet.token_version < known.version() || known.is_unshared();
        if is_behind && known.standing == StoreStanding::InStep {
            known.standing = StoreStanding::Behind;
        }
        if is_new_epoch || differs || known.standing != StoreStanding::InStep {
            self.news.notify_one();
        }
        drop(known);
        self.observe();
    }

    /// The store's record has this version now.
    pub(crate) fn learn_version(&self, version: u64) {
        if self.known().version() != version {
            self.news.notify_one();
        }
    }

    /// Waits until the store may have another record.
    pub(in crate::token) async fn changed(&self) {
        self.news.notified().await;
    }

    /// The fleet's record, after both stores were brought in step. While the shared store is away, the replica's own.
    pub(in crate::token) async fn read(&self) -> Result<Option<Stored>, RecordError> {
        match self.synchronize().await {
            Ok(()) => {}
            Err(RecordError::Shared(_)) if self.known().record.is_some() => {}
            Err(error) => return Err(error),
        }
        Ok(self.stored())
    }

    /// Writes a new record (of the settings, of a login, or a refresh token to fall back to), if the store's still is the one
    /// that was read.
    pub(in crate::token) async fn replace(
        &self,
        expected: Option<Version>,
        new: &TokenRecord,
    ) -> Result<Swap, RecordError> {
        if self.known().standing == StoreStanding::Away {
            return Err(SharedStoreError::Away.into());
        }
        let before = self.known_record();
        let expected = expected.map_or(0, |Version(version)| version);
        let generation = before.as_ref().map_or(0, |before| before.fleet.generation) + 1;
        let fleet = FleetPosition { version: expected, generation, origin: PairOrigin::Own };
        let former = before.map_or_else(Vec::new, |before| former(before, new));
        let new = TokenRecord { fleet, former, intent_owner: None, ..new.clone() };
        if self.swap(new).await? {
            if let Err(error) = self.save_copy().await {
                tracing::warn!("cannot write a copy of the fleet's token: {error}");
            }
            return Ok(Swap::Done(Version(self.known().version())));
        }
        self.synchronize().await?;
        Ok(Swap::conflict(self.stored()))
    }

    pub(super) fn stored(&self) -> Option<Stored> {
        let record = self.known_record()?;
        Some(Stored { version: Version(record.fleet.version), record })
    }

    /// Brings both stores in step.
    pub(super) async fn synchronize(&self) -> Result<(), RecordError> {
        let mut synchronized = Err(RecordError::Contended);
        for _attempt in 0..MOST_ATTEMPTS {
            match self.synchronize_once().await {
                Ok(Reconciliation::InStep | Reconciliation::Adopt) => {
                    synchronized = Ok(());
                    break;
                }
                Ok(Reconciliation::Restore { .. } | Reconciliation::Commit | Reconciliation::KeepBeside) => {}
                Err(error) => {
                    synchronized = Err(error);
                    break;
                }
            }
        }
        let standing = match &synchronized {
            Ok(()) => StoreStanding::InStep,
            Err(RecordError::Shared(_)) => StoreStanding::Away,
            Err(_) => StoreStanding::Behind,
        };
        self.known().found(standing, Instant::now());
        self.observe();
        synchronized
    }

    async fn synchronize_once(&self) -> Result<Reconciliation, RecordError> {
        let seen = self.membership.seen();
        let shared = self.membership.store().read_token().await?;
        let store = shared.as_ref().map(|shared| open(&self.seal, shared)).transpose()?;
        let own = self.known_record();
        self.known().read_as_of = seen;
        let step = reconcile(own.as_ref(), store.as_ref());
        match (step, own, store) {
            (Reconciliation::Adopt, own, Some(store)) => self.adopt(own.as_ref(), store).await,
            (Reconciliation::Restore { version }, Some(own), _) => self.restore(seen, version, &own).await?,
            (Reconciliation::Commit, Some(own), Some(store)) => {
                let fleet =
                    FleetPosition { version: store.fleet.version, origin: PairOrigin::Own, ..own.fleet };
                self.swap(TokenRecord { fleet, ..own }).await?;
            }
            (Reconciliation::KeepBeside, Some(own), Some(store)) => {
                tracing::warn!(
                    "another pair of tokens came before this replica's: its refresh token is kept beside the fleet's, \
                     and used if that one does not work"
                );
                let mut beside = TokenRecord { is_refused: false, ..store.clone() };
                beside.replaced.insert(0, own.refresh_token);
                beside.replaced.truncate(BESIDE_KEPT);
                self.swap(beside).await?;
            }
            _ => {}
        }
        Ok(step)
    }

    /// Takes the store's record.
    async fn adopt(&self, own: Option<&TokenRecord>, mut store: TokenRecord) {
        if let Some(own) = own.filter(|own| is_same_pair(own, &store)) {
            store.fleet.origin = match own.fleet.origin {
                PairOrigin::Unshared | PairOrigin::Own => PairOrigin::Own,
                PairOrigin::Another => PairOrigin::Another,
            };
        }
        {
            let mut known = self.known();
            known.set(store, LastWriter::Another, Instant::now());
            known.waits_for = None;
        }
        if let Err(error) = self.save_copy().await {
            tracing::warn!("cannot write a copy of the fleet's token: {error}");
        }
    }

    /// Writes this replica's record back into a store that has lost it.
    async fn restore(&self, seen: StoreSeen, version: u64, own: &TokenRecord) -> Result<(), RecordError> {
        let generation = own.fleet.generation.max(1);
        let fleet = FleetPosition { version, generation, ..own.fleet };
        let token = seal(&self.seal, &TokenRecord { fleet, ..own.clone() })?;
        let restored = SharedToken { version, generation, token };
        self.membership.run_as_of(seen, |store, seen| store.restore_token(seen, restored)).await?;
        tracing::warn!(
            version,
            generation,
            "wrote the token back into the shared store, which had an older one or none"
        );
        Ok(())
    }

    /// Writes a record over the store's version that it has; says whether that was still the store's.
    pub(super) async fn swap(&self, mut record: TokenRecord) -> Result<bool, RecordError> {
        let expected = record.fleet.version;
        let token = seal(&self.seal, &record)?;
        let swap = TokenSwap { expected, generation: record.fleet.generation, token };
        let seen = self.known().read_as_of;
        match self.membership.run_as_of(seen, |store, seen| store.swap_token(seen, swap)).await? {
            TokenSwapped::Done(version) => {
                record.fleet.version = version;
                self.known().set(record, LastWriter::This, Instant::now());
                Ok(true)
            }
            TokenSwapped::Conflict(_) => Ok(false),
        }
    }

    /// Writes the known record to the replica's own store, without another replica's intent: an intent there is this
    /// replica's.
    pub(super) async fn save_copy(&self) -> Result<(), RecordError> {
        let (mut expected, record) = {
            let known = self.known();
            (known.copy, known.record.clone())
        };
        let Some(mut record) = record else { return Ok(()) };
        if record.intent_owner != Some(self.me) {
            (record.intent, record.intent_owner) = (None, None);
        }
        loop {
            match self.copy.compare_and_set(expected, &record).await? {
                Swap::Done(version) => {
                    self.known().copy = Some(version);
                    return Ok(());
                }
                // Nobody else writes there: an earlier write was reported as failed but did succeed.
                Swap::Conflict(newer) => expected = newer.map(|newer| newer.version),
            }
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, KnownToken> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observe(&self) {
        let (version, is_behind) = {
            let known = self.known();
            (known.version(), known.is_unshared() || known.standing == StoreStanding::Behind)
        };
        self.metrics.version(version);
        self.metrics.store_behind(is_behind);
    }
}

impl Debug for FleetRecords {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetRecords").field("membership", &self.membership).finish_non_exhaustive()
    }
}

/// The fingerprints that do not come back once `new` has replaced `before`; the latest first.
fn former(before: TokenRecord, new: &TokenRecord) -> Vec<crate::state::Fingerprint> {
    let current = [&new.seed, &new.login_fingerprint];
    let replaced = [before.seed, before.login_fingerprint].into_iter().flatten();
    let mut former = Vec::new();
    for fingerprint in replaced.chain(before.former) {
        if !current.contains(&&Some(fingerprint.clone())) && !former.contains(&fingerprint) {
            former.push(fingerprint);
        }
    }
    former.truncate(FORMER_KEPT);
    former
}
