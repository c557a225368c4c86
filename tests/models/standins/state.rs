//! What the checked files import of `state`: a token's record.

use real_std::time::SystemTime;

use secrecy::SecretString;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotation {
    Unknown,
}

#[derive(Debug, Clone)]
pub(crate) struct StoredAccess {
    pub(crate) token: SecretString,
    pub(crate) renewed_at: SystemTime,
}

#[derive(Debug, Clone)]
pub(crate) struct TokenRecord {
    pub(crate) seed: Option<Fingerprint>,
    pub(crate) login_fingerprint: Option<Fingerprint>,
    pub(crate) rotation: Rotation,
    pub(crate) access: Option<StoredAccess>,
    pub(crate) intent: Option<SystemTime>,
}

#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) version: Version,
    pub(crate) record: TokenRecord,
}

#[derive(Debug)]
pub(crate) enum Swap {
    Done(Version),
    Conflict(Option<Box<Stored>>),
}
