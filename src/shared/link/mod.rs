//! The link to Redis or Valkey: one connection for commands, one for the change feed, and what keeps them.
//!
//! Not `redis::aio::ConnectionManager`: after a timeout or a READONLY it goes on with the same connection, and commands
//! wait for a reconnect outside their timeout. Here:
//! - no operation takes longer than `shared.timeout`, the wait for a connection included;
//! - a connection on which an operation timed out, or which the server closed, is never used again;
//! - after three failures in a row, or one that the server names (READONLY, LOADING, OOM, …), the link is down: every
//!   operation fails at once, and one task probes the store, with back-off;
//! - each new connection is asked for its role: SCRIPT LOAD would succeed on a replica, too.

mod connection;
mod connector;
mod current_connection;
mod down_reason;
mod failure;
mod handshake;
mod health;
mod keeper;
mod operations;
mod scripts;
mod sentinel;
mod sockets;
mod store_info;

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use connector::{StoreConnector, StoreNode, StoreStream, StoreUnreachable};
pub(crate) use current_connection::{LinkOptions, LinkView};
pub(crate) use down_reason::DownReason;
pub(crate) use health::LinkState;
pub(crate) use keeper::LinkKeeper;
pub(crate) use operations::{Link, LinkWatch};
pub(crate) use sockets::{SocketConnector, StoreTlsError};
pub(crate) use store_info::{StoreInfo, StoreRisk};
