//! `shared.namespace`: separates the fleets that use one store.

use ring::digest::{SHA256, digest};
use serde_json::Value as Json;

use super::section::Scalar;
use super::url::BaseUrl;

const LONGEST: usize = 64;
/// Of the default: 12 hexadecimal digits.
const DEFAULT_BYTES: usize = 6;

/// The part of the store's keys that separates one fleet's from another's: it is their hash tag, so that a cluster keeps
/// them in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreNamespace(String);

/// A namespace is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {LONGEST} letters, digits, dots, hyphens or underscores")]
pub struct InvalidNamespace;

// === impl StoreNamespace ===

impl StoreNamespace {
    /// The default.
    pub(super) fn of_application(client_id: &str, base_url: &BaseUrl) -> Self {
        let base_url = base_url.uri().to_string();
        let hash = digest(&SHA256, format!("{client_id}\n{}", base_url.trim_end_matches('/')).as_bytes());
        let hex = hash.as_ref().iter().take(DEFAULT_BYTES).map(|byte| format!("{byte:02x}"));
        Self(hex.collect())
    }

    /// A test's.
    #[cfg(test)]
    pub(crate) fn fixed(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for StoreNamespace {
    type Error = InvalidNamespace;

    fn try_from(text: &str) -> Result<Self, InvalidNamespace> {
        // No braces: they would end the hash tag. No glob characters: they would widen an ACL rule.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || [b'.', b'-', b'_'].contains(&byte);
        let length = (1..=LONGEST).contains(&text.len());
        if length && text.bytes().all(allowed) { Ok(Self(text.to_owned())) } else { Err(InvalidNamespace) }
    }
}

impl Scalar for StoreNamespace {
    fn parse(text: &str) -> Result<Self, String> {
        Self::try_from(text).map_err(|error| error.to_string())
    }

    fn show(&self) -> Json {
        self.0.as_str().into()
    }
}
