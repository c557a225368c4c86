//! What outlives the process: the token's record and the day's ledger, behind one small trait.
//!
//! Knows how to keep two records so that a kill at any instant leaves the one before or the one after, and a drop
//! box in which another process of ours leaves a refresh token. Must never know what a token is for, when a day ends
//! or what a call is worth: whoever asks brings the time, the day and the number. Everything here blocks on the disk,
//! so callers go through `spawn_blocking`.
//!
//! The trait is what replicas will share: compare-and-set on the token, on the ledger an atomic take and a mark that
//! closes a day, no more. A damaged file is renamed and a new one begun: it must not keep the process from starting.

mod damage;
mod directory;
mod file;
mod inbox;
mod ledger_record;
mod memory;
mod record;
mod store;

pub use damage::SetAside;
pub use file::FileStore;
pub use inbox::Inbox;
pub use ledger_record::{DayRecord, DayStatus, LedgerRecord};
pub use memory::MemoryStore;
pub use record::{Fingerprint, Rotation, StoredAccess, TokenRecord};
pub use store::{Durability, StateError, StateStore, Stored, Swap, Version};
