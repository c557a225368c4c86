//! Bearer authentication of clients (RFC 6750): a list of accepted tokens (`clients.tokens_file`, `admin.token_file`), or
//! none required.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use http::{HeaderMap, header::AUTHORIZATION};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

/// The accepted tokens. Cheap to clone; all clones see a new list at once.
#[derive(Clone)]
pub struct BearerAuth(AcceptedTokens);

#[derive(Clone)]
enum AcceptedTokens {
    Open,
    /// Hashes: comparing two takes the same time for tokens of any length.
    Tokens(Arc<RwLock<Vec<Hash>>>),
}

type Hash = [u8; SHA256_OUTPUT_LEN];

// === impl BearerAuth ===

impl BearerAuth {
    /// Accepts every request, with or without a token.
    pub const fn anybody() -> Self {
        Self(AcceptedTokens::Open)
    }

    /// Accepts requests with one of these tokens.
    pub fn with_tokens(tokens: &[SecretString]) -> Self {
        Self(AcceptedTokens::Tokens(Arc::new(RwLock::new(hashes(tokens)))))
    }

    /// Replaces the list of accepted tokens. Does nothing where no token is required.
    pub fn replace(&self, tokens: &[SecretString]) {
        match &self.0 {
            AcceptedTokens::Open => {}
            AcceptedTokens::Tokens(held) => {
                *held.write().unwrap_or_else(PoisonError::into_inner) = hashes(tokens);
            }
        }
    }

    /// Do these headers contain an accepted token, or is none required?
    pub fn admit(&self, headers: &HeaderMap) -> bool {
        match &self.0 {
            AcceptedTokens::Open => true,
            AcceptedTokens::Tokens(held) => bearer(headers).is_some_and(|token| {
                let shown = hash(token);
                let held = held.read().unwrap_or_else(PoisonError::into_inner);
                // Every token is compared, so that the time does not show which one matched.
                held.iter().fold(subtle::Choice::from(0), |found, token| found | token.ct_eq(&shown)).into()
            }),
        }
    }
}

impl fmt::Debug for BearerAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            AcceptedTokens::Open => "BearerAuth(anybody)",
            AcceptedTokens::Tokens(_) => "BearerAuth(tokens)",
        })
    }
}

/// The token of an `Authorization: Bearer` header (RFC 6750 §2.1). The scheme's name is case-insensitive.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn hashes(tokens: &[SecretString]) -> Vec<Hash> {
    tokens.iter().map(|token| hash(token.expose_secret().as_bytes())).collect()
}

fn hash(token: &[u8]) -> Hash {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(digest(&SHA256, token).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn admits(bearer_auth: &BearerAuth, authorization: &str) -> bool {
        bearer_auth
            .admit(&HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap())]))
    }

    #[test]
    fn only_a_listed_token_is_admitted() {
        let bearer_auth = BearerAuth::with_tokens(&["one".into(), "two".into()]);
        for (authorization, admitted) in [
            ("Bearer one", true),
            ("bearer two", true),
            ("Bearer  two", true),
            ("Bearer three", false),
            ("Bearer on", false),
            ("Bearer ", false),
            ("Basic one", false),
            ("one", false),
        ] {
            assert_eq!(admits(&bearer_auth, authorization), admitted, "{authorization}");
        }
        assert!(!bearer_auth.admit(&HeaderMap::new()));
        bearer_auth.replace(&["three".into()]);
        assert!(admits(&bearer_auth, "Bearer three") && !admits(&bearer_auth, "Bearer one"));
    }

    #[test]
    fn where_no_token_is_required_a_new_list_changes_nothing() {
        let bearer_auth = BearerAuth::anybody();
        bearer_auth.replace(&["one".into()]);
        assert!(bearer_auth.admit(&HeaderMap::new()));
    }
}
