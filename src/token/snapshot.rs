//! What may be told of the token: everything but the token.

use std::time::SystemTime;

use crate::state::{Durability, Rotation};

/// What may be told of the token.
#[derive(Debug, Clone)]
pub struct TokenSnapshot {
    /// `token.source`.
    pub source: &'static str,
    /// How many tokens this process has had; 0: none yet.
    pub generation: u64,
    /// When the one in use was taken up.
    pub changed_at: Option<SystemTime>,
    /// When it expires, where that is known.
    pub expires_at: Option<SystemTime>,
    /// Whether there is one that works, as far as we know.
    pub status: TokenStatus,
    /// For `token.source = "refresh"`.
    pub renewal: Option<RenewalSnapshot>,
}

/// Whether there is a token that works. The label of `token_state`, and the `status` of `GET /token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStatus {
    /// Nobody has said otherwise.
    Valid,
    /// The token endpoint is being asked for a newer one.
    Renewing,
    /// The API answered 401 to it, and there is no newer one.
    Rejected,
    /// Its lifetime is over.
    Expired,
    /// There is none yet.
    Missing,
    /// The refresh token is invalid, or there is none: a person must log in.
    ReauthorizationRequired,
}

/// What may be told of renewing.
#[derive(Debug, Clone)]
pub struct RenewalSnapshot {
    /// When the last good answer came.
    pub renewed_at: Option<SystemTime>,
    /// Whether renewals bring another refresh token.
    pub rotation: Rotation,
    /// Whether the refresh token outlives the process.
    pub durability: Durability,
    /// Why the last attempt failed; `None`: it did not.
    pub last_error: Option<String>,
}

// === impl TokenStatus ===

impl TokenStatus {
    /// Each label of `token_state`.
    pub const ALL: [Self; 6] = [
        Self::Valid,
        Self::Renewing,
        Self::Rejected,
        Self::Expired,
        Self::Missing,
        Self::ReauthorizationRequired,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Renewing => "renewing",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Missing => "missing",
            Self::ReauthorizationRequired => "reauthorization_required",
        }
    }
}
