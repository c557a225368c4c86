//! A Lua script of the store: one atomic operation.

/// A script, sent with EVALSHA. Its keys carry one hash tag, so that a cluster keeps them in one slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StoreScript {
    /// The label `op` of its metrics.
    pub(super) name: &'static str,
    /// Lua 5.1, for Redis 6.2 and later.
    pub(super) text: &'static str,
}
