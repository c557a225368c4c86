//! Why the token record could not be read or written.

use crate::{
    shared::{SealError, SharedStoreError},
    state::TokenStoreError,
};

/// The record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// The replica's own store.
    #[error("state.dir: {0}")]
    Own(#[from] TokenStoreError),
    /// The shared one.
    #[error(transparent)]
    Shared(#[from] SharedStoreError),
    /// The record of the fleet cannot be opened, or not be sealed.
    #[error("the fleet's token in the shared store is {0}: all replicas need the same shared.key_file")]
    Sealed(#[from] SealError),
    /// Whoever has the key has written something else.
    #[error("the fleet's token in the shared store is not a record of this program")]
    Invalid,
    /// Other replicas have written at each attempt.
    #[error("other replicas keep changing the fleet's token")]
    Contended,
}
