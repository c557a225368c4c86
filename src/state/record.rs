//! Token record: what is stored of the token, as JSON, so that it stays readable without this program.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::fleet_position::{FleetPosition, IntentOwner};

/// The largest record: it has a few tokens of about a kilobyte each, and some dates. Anything larger is not ours.
const LARGEST_BYTES: usize = 128 * 1024;

/// The refresh token, and the last access token that it brought.
#[derive(Debug, Clone)]
pub struct TokenRecord {
    /// The refresh token that the next renewal sends.
    pub refresh_token: SecretString,
    /// The refresh tokens that it replaced, the latest first; emptied once it has worked.
    pub replaced: Vec<SecretString>,
    /// The last access token, if there was one.
    pub access: Option<StoredAccess>,
    /// Whether a renewal replaces the refresh token.
    pub rotation: Rotation,
    /// When a renewal was begun whose result is not stored. If set, the refresh token may be used up already.
    pub intent: Option<SystemTime>,
    /// Who has begun it; `None`: this replica shares no token.
    pub intent_owner: Option<IntentOwner>,
    /// In a fleet: whether the token endpoint has said that the refresh token is invalid.
    pub is_refused: bool,
    /// The configured refresh token when this record was made: only a different one replaces the record.
    pub seed: Option<Fingerprint>,
    /// The refresh token that was last taken from the inbox.
    pub login_fingerprint: Option<Fingerprint>,
    /// The refresh tokens of settings and logins that were replaced in a fleet: they do not come back, whichever replica
    /// still has them in its settings.
    pub former: Vec<Fingerprint>,
    /// Its place in the fleet.
    pub fleet: FleetPosition,
}

/// An access token with its times by the wall clock, for use after a restart.
#[derive(Debug, Clone)]
pub struct StoredAccess {
    /// The access token; a secret.
    pub token: SecretString,
    /// When it was received.
    pub renewed_at: SystemTime,
    /// When it expires.
    pub expires_at: SystemTime,
}

/// Whether a refresh token can be used more than once. This depends on the vendor's application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// There was no renewal yet.
    Unknown,
    /// The refresh token stays valid after a renewal.
    LongLived,
    /// Each renewal brings a new one; if that is lost, a person has to log in again.
    Rotating,
}

/// SHA-256 of a refresh token: tells two tokens apart, and is not a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(String);

/// The bytes are not a record that this program writes.
#[derive(Debug, thiserror::Error)]
#[error("not a record that this program wrote")]
pub(crate) struct InvalidRecord;

/// The JSON form of the token record; only here are its secrets written in clear text.
#[derive(Serialize, Deserialize)]
struct TokenFields {
    version: u64,
    refresh_token: String,
    // Left out if empty: older versions write and read records without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replaced: Vec<String>,
    access: Option<AccessFields>,
    rotation: Rotation,
    intent_unix_ms: Option<u64>,
    seed: Option<Fingerprint>,
    #[serde(rename = "handed_over")]
    login_fingerprint: Option<Fingerprint>,
    // These are of a fleet only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    intent_owner: Option<IntentOwner>,
    #[serde(default, skip_serializing_if = "is_not")]
    is_refused: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<Fingerprint>,
    #[serde(default, skip_serializing_if = "is_outside")]
    fleet: FleetPosition,
}

#[derive(Serialize, Deserialize)]
struct AccessFields {
    token: String,
    renewed_unix_ms: u64,
    expires_unix_ms: u64,
}

// === impl TokenRecord ===

impl TokenRecord {
    /// A record of a refresh token that was never used.
    pub fn new(refresh_token: SecretString) -> Self {
        Self {
            refresh_token,
            replaced: Vec::new(),
            access: None,
            rotation: Rotation::Unknown,
            intent: None,
            seed: None,
            login_fingerprint: None,
            intent_owner: None,
            is_refused: false,
            former: Vec::new(),
            fleet: FleetPosition::default(),
        }
    }

    pub(crate) fn to_bytes(&self, version: u64) -> Result<Vec<u8>, InvalidRecord> {
        let Self { refresh_token, replaced, access, rotation, intent, seed, login_fingerprint, .. } = self;
        let fields = TokenFields {
            version,
            refresh_token: refresh_token.expose_secret().to_owned(),
            replaced: replaced.iter().map(|token| token.expose_secret().to_owned()).collect(),
            access: access.as_ref().map(|access| AccessFields {
                token: access.token.expose_secret().to_owned(),
                renewed_unix_ms: unix_ms(access.renewed_at),
                expires_unix_ms: unix_ms(access.expires_at),
            }),
            rotation: *rotation,
            intent_unix_ms: intent.map(unix_ms),
            seed: seed.clone(),
            login_fingerprint: login_fingerprint.clone(),
            intent_owner: self.intent_owner,
            is_refused: self.is_refused,
            former: self.former.clone(),
            fleet: self.fleet,
        };
        let bytes = serde_json::to_vec(&fields).map_err(|_error| InvalidRecord)?;
        // Never write a record that would be refused when read.
        if bytes.len() > LARGEST_BYTES { Err(InvalidRecord) } else { Ok(bytes) }
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<(u64, Self), InvalidRecord> {
        let TokenFields {
            version,
            refresh_token,
            replaced,
            access,
            rotation,
            intent_unix_ms,
            seed,
            login_fingerprint,
            intent_owner,
            is_refused,
            former,
            fleet,
        } = parse(bytes)?;
        if refresh_token.is_empty() || replaced.iter().any(String::is_empty) {
            return Err(InvalidRecord);
        }
        let access = access.map(|AccessFields { token, renewed_unix_ms, expires_unix_ms }| {
            Some(StoredAccess {
                token: token.into(),
                renewed_at: from_unix_ms(renewed_unix_ms)?,
                expires_at: from_unix_ms(expires_unix_ms)?,
            })
        });
        let record = Self {
            refresh_token: refresh_token.into(),
            replaced: replaced.into_iter().map(SecretString::from).collect(),
            access: access.map(|access| access.ok_or(InvalidRecord)).transpose()?,
            rotation,
            intent: intent_unix_ms.map(|at| from_unix_ms(at).ok_or(InvalidRecord)).transpose()?,
            seed,
            login_fingerprint,
            intent_owner,
            is_refused,
            former,
            fleet,
        };
        Ok((version, record))
    }
}

// === impl Rotation ===

impl Rotation {
    /// The word in `GET /token`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::LongLived => "long_lived",
            Self::Rotating => "rotating",
        }
    }
}

// === impl Fingerprint ===

impl Fingerprint {
    /// The fingerprint of a refresh token.
    pub fn of(secret: &SecretString) -> Self {
        let hash = digest(&SHA256, secret.expose_secret().as_bytes());
        Self(hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// For serde, which passes a reference.
fn is_not(value: &bool) -> bool {
    !*value
}

fn is_outside(fleet: &FleetPosition) -> bool {
    *fleet == FleetPosition::default()
}

/// Parses JSON. Drops serde's message, which may quote a secret.
pub(super) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, InvalidRecord> {
    if bytes.len() > LARGEST_BYTES {
        return Err(InvalidRecord);
    }
    serde_json::from_slice(bytes).map_err(|_error| InvalidRecord)
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn from_unix_ms(ms: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_written_and_cannot_be_printed() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let seed = Fingerprint::of(&"hush-seed".into());
        let record = TokenRecord {
            access: Some(StoredAccess {
                token: "hush-access".into(),
                renewed_at: now,
                expires_at: now + Duration::from_secs(86_400),
            }),
            rotation: Rotation::Rotating,
            intent: Some(now),
            seed: Some(seed.clone()),
            replaced: vec!["hush-new".into(), "hush-old".into()],
            intent_owner: Some(IntentOwner(u64::MAX)),
            is_refused: true,
            former: vec![Fingerprint::of(&"hush-former".into())],
            fleet: FleetPosition { version: 9, generation: 4, ..FleetPosition::default() },
            ..TokenRecord::new("hush-refresh".into())
        };
        let (version, read) = TokenRecord::from_bytes(&record.to_bytes(7).unwrap()).unwrap();
        assert_eq!(version, 7);
        assert_eq!(read.refresh_token.expose_secret(), "hush-refresh");
        let access = read.access.as_ref().unwrap();
        assert_eq!(access.token.expose_secret(), "hush-access");
        assert_eq!((access.renewed_at, read.intent, read.rotation), (now, Some(now), Rotation::Rotating));
        assert_eq!((&read.seed, &read.login_fingerprint), (&Some(seed), &None));
        let replaced: Vec<_> = read.replaced.iter().map(SecretString::expose_secret).collect();
        assert_eq!(replaced, ["hush-new", "hush-old"]);
        assert_eq!(
            (read.intent_owner, read.is_refused, &read.former, read.fleet),
            (record.intent_owner, record.is_refused, &record.former, record.fleet)
        );
        assert!(!format!("{read:?}").contains("hush"));
    }

    #[test]
    fn a_record_of_no_fleet_and_without_replaced_tokens_has_the_format_of_older_versions() {
        let before = r#"{"version":3,"refresh_token":"r","access":null,"rotation":"rotating","intent_unix_ms":5,"seed":null,"handed_over":null}"#;
        let (version, read) = TokenRecord::from_bytes(before.as_bytes()).unwrap();
        assert_eq!((version, read.rotation, read.replaced.len()), (3, Rotation::Rotating, 0));
        assert_eq!(read.to_bytes(version).unwrap(), before.as_bytes(), "an older version reads it too");
    }

    #[test]
    fn what_we_did_not_write_is_refused() {
        let huge = format!("{{{}}}", " ".repeat(LARGEST_BYTES));
        for bytes in ["", "{}", "null", &huge] {
            assert!(TokenRecord::from_bytes(bytes.as_bytes()).is_err(), "{bytes}");
        }
        let nameless = TokenRecord::new(SecretString::default()).to_bytes(1).unwrap();
        assert!(TokenRecord::from_bytes(&nameless).is_err(), "an empty refresh token is refused");
    }
}
