//! The shared store: what the replicas of one API key share through Redis or Valkey: the day's calls, the second's
//! calls, reports, flights, and the sealed token.
//!
//! [`SharedStore`] is the port; each of its operations is one atomic script. Backends: [`MemorySharedStore`] runs the model
//! (pure, time is an argument), [`RedisStore`] the Lua scripts. One conformance suite runs on both, and random operations
//! have the same replies.
//!
//! What a server loses, replicas bring back. Epoch, sequence and the day's count are one value, so they are lost together;
//! a replica that was told more than the store knows is refused ([`StoreChanged`]), and recovers. Times that the store
//! keeps never outlive a clock that was put back: a place in the second for a minute, a lease for a second.
//!
//! Rules that hold everywhere: the store's own clock is the only one; ages and waits are durations that the store worked
//! out. Each write is idempotent (by a nonce, a fence or a maximum), because a reply can be lost after the write; only
//! [`SharedStore::take_call`] is not: a lost reply counts one call too many, which is the safe side. The policy (limits,
//! lanes, intervals, lifetimes) stays with the replica and is passed in as numbers.
//!
//! This module must not know what a token or a report is: they are bytes here.

mod call;
mod change;
mod epoch;
mod error;
mod feed_window;
mod fleet_log;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod knowledge;
mod known_days;
mod link;
mod member;
mod membership;
mod memory_store;
mod millis;
mod model;
mod purge_queue;
mod recovery;
mod recovery_options;
mod redis_store;
mod scripts;
mod seal;
mod shared_report;
mod shared_token;
mod short_word;
mod store;
mod store_keys;
mod store_script;
mod store_server;
#[cfg(test)]
mod tests;
mod wire;

pub use call::{CallCount, CallRequest, CallTurn, LockoutRequest, ThrottleRequest};
pub use change::{Change, ChangeId, ChangeKind, FeedPage, FeedRestart};
pub use epoch::{Epoch, EpochBegin, EpochOrigin, Fence, Guarded, Sequence, StoreChanged, StoreSeen};
pub use error::SharedStoreError;
pub use knowledge::{FleetTold, Knowledge, StoreOutage};
pub(crate) use link::{
    DownReason, LinkState, StoreInfo, StoreNode, StoreRisk, StoreTlsError, StoreUnreachable,
};
pub use member::{
    FleetState, Heartbeat, MemberAbout, MemberId, MemberSeen, Recovery, SpentDay, StoreIdentity,
};
pub use membership::{Membership, MembershipOptions};
pub use memory_store::{MemorySharedStore, StoreCopy};
pub use model::StoreValue;
pub use purge_queue::PurgeQueue;
pub use redis_store::RedisStore;
pub(crate) use seal::{FleetSeal, SealError};
pub use shared_report::{
    FlightFailure, FlightLease, LookUp, LookedUp, Nonce, ReportKind, ReportToStore, SharedReport, StoreReport,
};
pub use shared_token::{SealedToken, SharedToken, TokenSwap, TokenSwapped, WriteMark, WriteSafety};
pub use store::{PurgeScope, SharedStore};
pub use store_server::{ConnectedStore, StoreLink, StoreServer};
