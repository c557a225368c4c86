//! What `GET /token` and the metrics show of the token: its status, never the token itself.

use std::time::SystemTime;

use super::fleet::FleetTokenSnapshot;
use crate::state::{Durability, Rotation};

/// The token's status without any secret.
#[derive(Debug, Clone)]
pub struct TokenSnapshot {
    /// `token.source`.
    pub source: &'static str,
    /// How many access tokens this process has had; 0: none yet.
    pub generation: u64,
    /// When the current token was installed, or renewed if this process did not renew it.
    pub changed_at: Option<SystemTime>,
    /// When it expires, where that is known.
    pub expires_at: Option<SystemTime>,
    /// Whether there is a token that works, as far as is known.
    pub status: TokenStatus,
    /// For `token.source = "refresh"`.
    pub renewal: Option<RenewalSnapshot>,
    /// Where replicas share the token.
    pub fleet: Option<FleetTokenSnapshot>,
}

/// Whether there is a token that works. The label of `token_state`, and the `status` of `GET /token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStatus {
    /// Not expired, and not refused by the upstream.
    Valid,
    /// A renewal is running, and the attempt before it did not fail.
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

/// The state of renewals without any secret.
#[derive(Debug, Clone)]
pub struct RenewalSnapshot {
    /// When the last renewal succeeded.
    pub renewed_at: Option<SystemTime>,
    /// Whether renewals return a new refresh token.
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

    /// The label's value.
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
