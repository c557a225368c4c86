//! Why the store could not be used.

/// Why an operation on the store failed. Unless it says otherwise it may or may not have taken effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SharedStoreError {
    /// There is no connection, and none is waited for: nothing was sent.
    #[error("the shared store is away")]
    Away,
    /// The store has lost writes, and the replicas have not yet told it what they know. Nothing was done.
    #[error("the shared store has lost writes and is being restored")]
    Recovering,
    /// No reply within `shared.timeout`.
    #[error("the shared store did not reply in time")]
    TimedOut,
    /// The connection was lost before the reply.
    #[error("the connection to the shared store was lost")]
    Lost,
    /// The server refused the operation: its word (READONLY, OOM, NOPERM, …).
    #[error("the shared store refused the operation: {0}")]
    Refused(Box<str>),
    /// The reply is not one of this operation.
    #[error("the shared store's reply cannot be read: {0}")]
    Malformed(&'static str),
}

// === impl SharedStoreError ===

impl SharedStoreError {
    /// Whether it can be of the one key that was asked for: the store may do all else that it is asked.
    pub(super) const fn may_be_of_one_key(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Malformed(_) => true,
            Self::Away | Self::Recovering | Self::TimedOut | Self::Lost => false,
        }
    }
}
