//! Persistent state, as four ports: the token record ([`TokenStore`]), the daily call count ([`CallCounter`]), the
//! refresh plan ([`PlanStore`]) and the snapshot of the cache ([`SnapshotStore`]).
//!
//! Backends: memory, and files in `state.dir` (redb, JSON for the refresh plan, and a file of records for the snapshot;
//! one process at a time; after a kill at any instant there is either the old or the new record). `conformance` tests what each backend must do; a third
//! backend is added to it with one function. The inbox is separate: there the `login` command leaves a refresh token for
//! the running process.
//!
//! This module must not know how a token is used, when a day ends or what a call costs: the caller passes the time, the
//! day and the number. The ports are async and do not block their caller: disk work has its own queue. `serve`
//! renames a damaged file and begins a new one, so that it can still start.

mod call_counter;
#[cfg(test)]
mod conformance;
mod damage;
mod directory;
mod disk_health;
mod disk_queue;
mod durability;
mod error;
mod file;
mod fleet_position;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod inbox;
mod ledger_record;
mod memory;
mod plan_fields;
mod plan_file;
mod plan_record;
mod plan_store;
mod record;
mod snapshot_file;
mod snapshot_format;
mod snapshot_store;
mod state_file;
mod stores;
mod token_store;

pub(crate) use call_counter::{CallClaim, CallCounter, CallCounterError, CallGrant};
pub(crate) use damage::{Contents, SetAside};
pub use disk_health::DiskHealth;
pub use durability::Durability;
pub(crate) use error::StateError;
pub use file::FileStore;
pub(crate) use fleet_position::{FleetPosition, IntentOwner, PairOrigin};
pub use inbox::Inbox;
pub(crate) use ledger_record::{DayRecord, DayStatus, LedgerRecord};
#[cfg(test)]
pub(crate) use memory::MemoryStore;
pub use plan_record::PlanRecord;
pub use plan_store::{PlanStore, PlanStoreError};
pub use record::TokenRecord;
pub(crate) use record::{Fingerprint, Rotation, StoredAccess};
pub use snapshot_store::{SnapshotRecord, SnapshotRecords, SnapshotStore, SnapshotStoreError, TakeRecord};
pub use stores::StateStores;
pub use token_store::TokenStore;
pub(crate) use token_store::{Stored, Swap, TokenStoreError, Version};
