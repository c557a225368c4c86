//! What may be told of the token: everything but the token.

use std::time::SystemTime;

use super::hand::Standing;
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
    /// What the upstream thinks of it, as far as we know.
    pub standing: Standing,
    /// The label of `token_state`.
    pub state: &'static str,
    /// For `token.source = "refresh"`.
    pub renewal: Option<RenewalSnapshot>,
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
