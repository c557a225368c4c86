//! Why a renewal failed.

use std::time::Duration;

use super::{
    fleet::{NotYet, RecordError},
    source::SourceError,
    token_response::TokenError,
};
use crate::state::StateError;

/// Why a renewal failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("there is no refresh token: run \"login\", or set token.refresh_token_file")]
    NoRefreshToken,
    #[error(transparent)]
    Endpoint(#[from] TokenError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("state.dir: {0}")]
    Inbox(#[from] StateError),
    #[error("token.client_secret_file: {0}")]
    ClientSecret(#[from] SourceError),
    #[error("another process changed the token's record")]
    Conflict,
    #[error("this process was paused between the intent to renew and the call: beginning again")]
    Paused,
    #[error(
        "invalid_grant: the new refresh token (of the settings or a login) is invalid or expired and has never worked; \
         the previous one is used again"
    )]
    RestoredPrevious,
    /// No failure: others come first.
    #[error("{}", .0.reason)]
    NotYet(NotYet),
}

// === impl Failed ===

impl Failed {
    pub(super) fn retry_after(&self) -> Duration {
        match self {
            Self::Endpoint(TokenError::Refused { retry_after, .. }) => retry_after.unwrap_or_default(),
            Self::Endpoint(TokenError::InvalidGrant | TokenError::Malformed | TokenError::Unanswered(_))
            | Self::NoRefreshToken
            | Self::Record(_)
            | Self::Inbox(_)
            | Self::ClientSecret(_)
            | Self::Conflict
            | Self::Paused
            | Self::RestoredPrevious
            | Self::NotYet(_) => Duration::ZERO,
        }
    }
}
