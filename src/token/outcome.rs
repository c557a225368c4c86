//! The stored record after a successful renewal, and the remaining lifetime of a stored token by the wall clock.

use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret as _, SecretString};

use super::token_response::{GrantedAccess, TokenResponse};
use crate::state::{Rotation, StoredAccess, TokenRecord};

/// The record after a successful response, and its access token if that is usable.
pub(super) fn renewed(begun: &TokenRecord, grant: TokenResponse) -> (TokenRecord, Option<StoredAccess>) {
    let TokenResponse { access, refresh_token } = grant;
    let access = access.map(GrantedAccess::stored);
    let rotation = match &refresh_token {
        Some(new) if !same(new, &begun.refresh_token) => Rotation::Rotating,
        Some(_) | None => Rotation::LongLived,
    };
    let record = TokenRecord {
        refresh_token: refresh_token.unwrap_or_else(|| begun.refresh_token.clone()),
        access: access.clone().or_else(|| begun.access.clone()),
        rotation,
        intent: None,
        is_refused: false,
        // The refresh token has worked: no previous one is needed any more.
        replaced: Vec::new(),
        ..begun.clone()
    };
    (record, access)
}

/// A stored token's lifetime, in total and from now; `None`: expired. A wall clock that is wrong can make the lifetime
/// shorter, but not longer than the vendor said.
pub(super) fn by_the_wall_clock(access: &StoredAccess, now: SystemTime) -> Option<(Duration, Duration)> {
    let lifetime = access.expires_at.duration_since(access.renewed_at).ok()?;
    let remaining = access.expires_at.duration_since(now).ok()?.min(lifetime);
    (!remaining.is_zero()).then_some((lifetime, remaining))
}

/// Whether two secrets are equal.
pub(super) fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

// === impl GrantedAccess ===

impl GrantedAccess {
    /// As it is stored; its lifetime starts now.
    pub(super) fn stored(self) -> StoredAccess {
        let now = SystemTime::now();
        StoredAccess { token: self.token, renewed_at: now, expires_at: now + self.lifetime }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    #[test]
    fn a_wall_clock_that_jumped_can_shorten_a_stored_token_s_life_and_not_lengthen_it() {
        let renewed_at = SystemTime::UNIX_EPOCH + 1_000_000 * HOUR;
        let access = StoredAccess { token: "t".into(), renewed_at, expires_at: renewed_at + 24 * HOUR };
        let at = |now| by_the_wall_clock(&access, now).map(|(_, remaining)| remaining);
        assert_eq!(at(renewed_at + HOUR), Some(23 * HOUR));
        assert_eq!(at(renewed_at - 24 * HOUR), Some(24 * HOUR), "a day back");
        assert_eq!(at(renewed_at + 25 * HOUR), None, "a day on: renewed at once, and nothing is lost");
        assert_eq!(at(access.expires_at), None);
        let backwards = StoredAccess { expires_at: renewed_at - HOUR, ..access.clone() };
        assert!(by_the_wall_clock(&backwards, renewed_at).is_none());
    }
}
