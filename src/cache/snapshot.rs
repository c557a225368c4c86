//! The cache as a sequence of records, and back: for a restart that costs no calls.
//!
//! What is kept of each entry is its answer, its times and its statistics; of each activity, what its fetches have shown; of
//! each failing key, for how long no call is made for it. Lifetimes are decided anew, since settings may have changed.

use std::{cmp::Reverse, sync::Arc};

use tokio::time::Instant;

use super::{
    ReportCache,
    entry::{
        Entry, EntrySource,
        stored::{HasCopy, KnownOfStored, Restoring},
    },
    index::Fits,
    looks::LONGEST_FORESEEN,
    snapshot_age::SnapshotAge,
    snapshot_fields::{FailureFields, KeyFailureFields, RecordFields},
};
use crate::{
    refresh::ShadowMode,
    report::{Lifetime, ReportKey, Representation},
    state::SnapshotRecord,
};

/// The bytes of a record besides fields and body, rounded up.
const RECORD_OVERHEAD: u64 = 16;
/// At most this part of a snapshot is for what has no body: reports save calls, statistics do not.
const KNOWN_SHARE: u64 = 4;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoredRecord {
    /// An entry is in the cache again.
    Entry,
    /// Statistics, or a failure, are known again.
    Known,
    /// It is too old to be served, there is no room for it, or the settings no longer allow it.
    NotServed,
    /// It is not a record that this program writes.
    Invalid,
}

/// The bytes that are left in a snapshot.
struct Room {
    left: u64,
}

// === impl Room ===

impl Room {
    /// Whether there is room for a record; if so, it takes it.
    fn takes(&mut self, SnapshotRecord { fields, body }: &SnapshotRecord) -> bool {
        let body = body.as_ref().map_or(0, |body| body.body().len());
        let rest = self.left.checked_sub((fields.len() + body) as u64 + RECORD_OVERHEAD);
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }
}

// === impl ReportCache ===

impl ReportCache {
    /// The records of a snapshot of at most about `max_bytes`, with times counted back from `at`. The entries that were
    /// requested most come first, among equals the youngest; those that do not fit are left out. Nothing is done before
    /// the first record is asked for, and at most one body more than the cache holds is kept alive: ask for them where
    /// some milliseconds may be taken.
    pub fn snapshot(
        self: &Arc<Self>,
        at: Instant,
        max_bytes: u64,
    ) -> impl Iterator<Item = SnapshotRecord> + Send + use<> {
        let memory = Arc::clone(self);
        std::iter::once_with(move || {
            let mut room = Room { left: max_bytes / KNOWN_SHARE };
            let known = memory.known_records(at, &mut room);
            room.left += max_bytes - max_bytes / KNOWN_SHARE;
            let plan_at = memory.options.clock.at(at);
            let entries = memory.keys_by_requests().into_iter().filter_map(move |key| {
                let (fields, body) = memory.store.get(&key)?.to_fields(key, at, plan_at)?;
                record(&RecordFields::Entry(fields), body).filter(|record| room.takes(record))
            });
            known.into_iter().chain(entries)
        })
        .flatten()
    }

    /// The records without a body that there is room for. Of the activities those that were fetched last, in the order of
    /// their fetches.
    fn known_records(&self, at: Instant, room: &mut Room) -> Vec<SnapshotRecord> {
        let failures = self.failures.all_resting(at).into_iter().filter_map(|(key, failure)| {
            let failure = FailureFields::of(&failure, at)?;
            Some(RecordFields::Failure(KeyFailureFields { key: key.into(), failure }))
        });
        let hits = |key| Some(self.store.get(&key)?.hits());
        let activities = self.store.statistics().to_fields(at, hits).into_iter().map(RecordFields::Activity);
        let newest_first = failures.chain(activities.rev()).filter_map(|fields| record(&fields, None));
        let mut known: Vec<_> = newest_first.take_while(|record| room.takes(record)).collect();
        known.reverse();
        known
    }

    fn keys_by_requests(&self) -> Vec<ReportKey> {
        let with_entry = |key: ReportKey| Some((key, self.store.get(&key)?));
        let mut keys: Vec<_> = self.store.keys().into_iter().filter_map(with_entry).collect();
        keys.sort_by_cached_key(|(_, entry)| (Reverse(entry.hits()), Reverse(entry.generated_at())));
        keys.into_iter().map(|(key, _)| key).collect()
    }

    /// How many entries came and went so far: while it stays, so does what a snapshot would have.
    pub fn changes_so_far(&self) -> u64 {
        self.store.changes_so_far()
    }

    /// Takes a record of a snapshot; to be called before the first request, and after [`ReportCache::restore_plan`]. The
    /// bytes are checked as if the upstream had sent them. An entry never replaces one that is held.
    pub fn restore(&self, age: SnapshotAge, fields: &[u8], body: &[u8]) -> RestoredRecord {
        match serde_json::from_slice(fields) {
            Ok(RecordFields::Activity(activity)) => {
                self.store.statistics().restore_activity(activity, age);
                RestoredRecord::Known
            }
            Ok(RecordFields::Failure(KeyFailureFields { key, failure })) => {
                match failure.into_failure(age) {
                    Some(failure) => self.failures.take_over(key.into(), &failure),
                    None => return RestoredRecord::NotServed,
                }
                RestoredRecord::Known
            }
            Ok(RecordFields::Entry(entry)) => {
                let (key, plan_now) = (ReportKey::from(entry.key), self.options.clock.at(age.now));
                let lifetime = |known| self.lifetime_of_stored(known);
                match Entry::from_fields(entry, body, &Restoring { age, plan_now, lifetime: &lifetime }) {
                    Some(entry) => self.restore_entry(key, entry, age.now),
                    None => RestoredRecord::Invalid,
                }
            }
            Err(_invalid) => RestoredRecord::Invalid,
        }
    }

    fn restore_entry(&self, key: ReportKey, entry: Entry, now: Instant) -> RestoredRecord {
        let unwanted = match (entry.source(), self.options.derivation) {
            (EntrySource::Derived, ShadowMode::Off | ShadowMode::Verify) => true,
            (EntrySource::Derived, ShadowMode::On) | (EntrySource::Fetched, _) => false,
        };
        if unwanted || entry.is_dead(now) {
            return RestoredRecord::NotServed;
        }
        match self.store.restore(key, Arc::new(entry)) {
            Fits::Yes => {
                self.tell_why_empty(key.id);
                RestoredRecord::Entry
            }
            Fits::No => RestoredRecord::NotServed,
        }
    }

    /// By the settings of now. What the plan foresaw is still the best guess.
    fn lifetime_of_stored(&self, known: KnownOfStored) -> Lifetime {
        let KnownOfStored { observed, fresh, copy } = known;
        let lifetimes = self.lifetimes();
        match (&self.plan, copy) {
            (Some(_plan), HasCopy::Yes) => lifetimes.planned(fresh.min(LONGEST_FORESEEN)),
            (_, _) => lifetimes.lifetime(observed),
        }
    }
}

/// `None` if it is longer than any record is.
fn record(fields: &RecordFields, body: Option<Representation>) -> Option<SnapshotRecord> {
    let fields = serde_json::to_vec(fields).ok()?;
    (fields.len() <= SnapshotRecord::MAX_FIELDS).then_some(SnapshotRecord { fields, body })
}

#[cfg(test)]
mod tests;
