//! Why the token manager cannot start.

use crate::{
    settings::SecretFileError,
    state::{StateError, TokenStoreError},
};

/// The token manager cannot start: something that the settings name cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenSetupError {
    /// The token's record.
    #[error("state.dir: {0}")]
    Store(#[from] TokenStoreError),
    /// The tokens that `login` left.
    #[error("state.dir: {0}")]
    Inbox(#[from] StateError),
    /// The refresh token's file.
    #[error("token.refresh_token_file: {0}")]
    SecretFile(#[from] SecretFileError),
}
