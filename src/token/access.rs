//! An access token as a ready `Authorization: Bearer` value (RFC 6750 §2.1), kept out of all debug output.

use std::fmt;

use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

use crate::settings::is_printable;

/// The access token that upstream calls carry. Each newer token has a higher generation.
pub(crate) struct AccessToken {
    secret: SecretString,
    bearer: HeaderValue,
    generation: u64,
}

/// The token contains a character that is not allowed in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the access token contains a character that cannot be sent in a header")]
pub(crate) struct UnsendableToken;

// === impl AccessToken ===

impl AccessToken {
    pub(super) fn new(secret: SecretString, generation: u64) -> Result<Self, UnsendableToken> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", secret.expose_secret()))
            .map_err(|_error| UnsendableToken)?;
        // Kept out of Debug, and out of HPACK's tables (RFC 7541 §7.1.3).
        bearer.set_sensitive(true);
        Ok(Self { secret, bearer, generation })
    }

    /// Whether `token` may be put into a header.
    pub(super) fn is_sendable(token: &str) -> bool {
        is_printable(token)
    }

    pub(super) fn bearer(&self) -> HeaderValue {
        self.bearer.clone()
    }

    pub(super) fn is(&self, secret: &SecretString) -> bool {
        self.secret.expose_secret() == secret.expose_secret()
    }

    /// 1 for the first token of this process, one more for each later one.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("generation", &self.generation).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_can_be_sent_and_cannot_be_printed() {
        let token = AccessToken::new("s3cret".into(), 7).unwrap();
        assert_eq!(token.bearer(), "Bearer s3cret");
        let shown = format!("{token:?} {:?}", token.bearer());
        assert!(shown.contains('7') && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn a_line_break_cannot_be_smuggled_into_a_header() {
        assert_eq!(AccessToken::new("a\r\nx: y".into(), 1).err(), Some(UnsendableToken));
    }
}
