//! Bearer authentication of clients (RFC 6750): a list of accepted tokens (`clients.tokens_file`, `admin.token_file`), each
//! of a client, or none required.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderMap, header::AUTHORIZATION};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use secrecy::{ExposeSecret, SecretString};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use crate::report::ClientNumber;

/// The accepted tokens. Cheap to clone; all clones see a new list at once.
#[derive(Clone)]
pub struct BearerAuth(Arc<AcceptedTokens>);

struct AcceptedTokens {
    /// `false`: every request is accepted, and the list is not read.
    required: AtomicBool,
    tokens: RwLock<Vec<AcceptedToken>>,
}

struct AcceptedToken {
    /// Comparing two hashes takes the same time for tokens of any length.
    hash: Hash,
    client: ClientNumber,
}

type Hash = [u8; SHA256_OUTPUT_LEN];

// === impl BearerAuth ===

impl BearerAuth {
    /// Accepts every request, with or without a token.
    pub fn anybody() -> Self {
        Self(Arc::new(AcceptedTokens { required: AtomicBool::new(false), tokens: RwLock::default() }))
    }

    /// Accepts requests with one of these tokens.
    pub fn with_tokens(tokens: &[(SecretString, ClientNumber)]) -> Self {
        let auth = Self::anybody();
        auth.require(tokens);
        auth
    }

    /// From now on requests with one of these tokens are accepted, and no others.
    pub fn require(&self, tokens: &[(SecretString, ClientNumber)]) {
        *self.0.tokens.write().unwrap_or_else(PoisonError::into_inner) = accepted(tokens);
        self.0.required.store(true, Ordering::Release);
    }

    /// From now on every request is accepted, with or without a token.
    pub fn require_none(&self) {
        self.0.required.store(false, Ordering::Release);
    }

    /// Replaces the list of accepted tokens. Does nothing where no token is required.
    pub fn replace(&self, tokens: &[(SecretString, ClientNumber)]) {
        if self.requires_token() {
            self.require(tokens);
        }
    }

    fn requires_token(&self) -> bool {
        self.0.required.load(Ordering::Acquire)
    }

    /// The client whose accepted token these headers contain; [`ClientNumber::ANONYMOUS`] where none is required. `None`: it is
    /// not to be admitted.
    pub fn admit(&self, headers: &HeaderMap) -> Option<ClientNumber> {
        if !self.requires_token() {
            return Some(ClientNumber::ANONYMOUS);
        }
        let shown = hash(bearer(headers)?);
        let held = self.0.tokens.read().unwrap_or_else(PoisonError::into_inner);
        // Every token is compared, so that the time does not show which one matched.
        let none = (subtle::Choice::from(0), ClientNumber::ANONYMOUS);
        let (found, client) = held.iter().fold(none, |(found, client), token| {
            let same = token.hash.ct_eq(&shown);
            (found | same, ClientNumber::conditional_select(&client, &token.client, same))
        });
        bool::from(found).then_some(client)
    }
}

impl fmt::Debug for BearerAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.requires_token() { "BearerAuth(tokens)" } else { "BearerAuth(anybody)" })
    }
}

/// The token of an `Authorization: Bearer` header (RFC 6750 §2.1). The scheme's name is case-insensitive.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn accepted(tokens: &[(SecretString, ClientNumber)]) -> Vec<AcceptedToken> {
    let accepted = |(token, client): &(SecretString, ClientNumber)| AcceptedToken {
        hash: hash(token.expose_secret().as_bytes()),
        client: *client,
    };
    tokens.iter().map(accepted).collect()
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

    fn admitted(bearer_auth: &BearerAuth, authorization: &str) -> Option<ClientNumber> {
        bearer_auth
            .admit(&HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap())]))
    }

    #[test]
    fn only_a_listed_token_is_admitted_as_its_client() {
        let [sales, ops] = [10, 11].map(ClientNumber::from_index);
        let bearer_auth =
            BearerAuth::with_tokens(&[("one".into(), sales), ("two".into(), ops), ("2".into(), ops)]);
        for (authorization, client) in [
            ("Bearer one", Some(sales)),
            ("bearer two", Some(ops)),
            ("Bearer  two", Some(ops)),
            ("Bearer 2", Some(ops)),
            ("Bearer three", None),
            ("Bearer on", None),
            ("Bearer ", None),
            ("Basic one", None),
            ("one", None),
        ] {
            assert_eq!(admitted(&bearer_auth, authorization), client, "{authorization}");
        }
        assert_eq!(bearer_auth.admit(&HeaderMap::new()), None);
        bearer_auth.replace(&[("three".into(), sales)]);
        assert_eq!(admitted(&bearer_auth, "Bearer three"), Some(sales));
        assert_eq!(admitted(&bearer_auth, "Bearer one"), None);
    }

    #[test]
    fn where_no_token_is_required_a_new_list_changes_nothing() {
        let bearer_auth = BearerAuth::anybody();
        bearer_auth.replace(&[("one".into(), ClientNumber::UNNAMED)]);
        assert_eq!(bearer_auth.admit(&HeaderMap::new()), Some(ClientNumber::ANONYMOUS));
    }

    #[test]
    fn tokens_can_be_required_and_no_longer_be_required_while_it_is_used() {
        let bearer_auth = BearerAuth::anybody();
        let used = bearer_auth.clone();
        bearer_auth.require(&[("one".into(), ClientNumber::UNNAMED)]);
        assert_eq!(used.admit(&HeaderMap::new()), None);
        assert_eq!(admitted(&used, "Bearer one"), Some(ClientNumber::UNNAMED));
        bearer_auth.require_none();
        assert_eq!(used.admit(&HeaderMap::new()), Some(ClientNumber::ANONYMOUS));
    }
}
