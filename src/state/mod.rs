//! What outlives the process, as ports: the token's record ([`TokenStore`]) and the count of a day's calls
//! ([`CallCounter`]).
//!
//! Backends: memory, and a file of `state.dir` (redb: one process, kept so that a kill at any instant leaves the record
//! before or the one after). `conformance` is what each of them promises; a third one joins it by one function. Beside
//! them an inbox, in which another process of ours leaves a refresh token. Must never know what a token is for, when a
//! day ends or what a call is worth: whoever asks brings the time, the day and the number.
//!
//! Everything is async and nothing blocks its caller: a disk has a queue of its own. A damaged file is renamed and a new
//! one begun: it must not keep the process from starting.

mod call_counter;
#[cfg(test)]
mod conformance;
mod damage;
mod directory;
mod disk_queue;
mod durability;
mod error;
mod file;
mod inbox;
mod ledger_record;
mod memory;
mod record;
mod state_file;
mod stores;
mod token_store;

pub(crate) use call_counter::{CallClaim, CallCounter, CallCounterError, CallGrant};
pub(crate) use damage::SetAside;
pub(crate) use durability::Durability;
pub(crate) use error::StateError;
pub use file::FileStore;
pub use inbox::Inbox;
pub(crate) use ledger_record::{DayRecord, DayStatus, LedgerRecord};
#[cfg(test)]
pub(crate) use memory::MemoryStore;
pub use record::TokenRecord;
pub(crate) use record::{Fingerprint, Rotation, StoredAccess};
pub use stores::StateStores;
pub use token_store::TokenStore;
pub(crate) use token_store::{Stored, Swap, TokenStoreError, Version};
