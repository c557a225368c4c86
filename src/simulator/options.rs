//! The options of a simulator.

use std::time::{Duration, SystemTime};

use secrecy::SecretString;

/// How to build a [`Simulator`](super::Simulator). The defaults are the vendor's documented figures.
#[derive(Clone, Debug)]
pub struct Options {
    /// Two simulators with the same seed have the same tokens, ids and clicks.
    pub seed: u64,
    /// The wall clock at the start; from then on it moves with tokio's clock.
    pub now: SystemTime,
    /// Calls in any sliding second; 0 turns the limit off.
    pub per_second: u32,
    /// Calls in a UTC day; 0 turns the limit off.
    pub per_day: u32,
    /// Token calls in any sliding second; 0 turns the limit off.
    pub token_calls_per_second: u32,
    /// Whether a refresh token can be used twice.
    pub rotation: RefreshTokenPolicy,
    /// The one registered application.
    pub client_id: String,
    /// Its secret, required of a client that authenticates with Basic.
    pub client_secret: SecretString,
    /// The lifetime of an access token.
    pub access_token_lifetime: Duration,
    /// The lifetime of a device code.
    pub device_code_lifetime: Duration,
    /// How many requests [`Simulator::seen`](super::Simulator::seen) shows: a demo that runs for weeks must
    /// not fill its memory with them.
    pub remembered_requests: usize,
    /// Whether reports are compressed.
    pub compression: Compression,
}

/// What happens to a refresh token that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshTokenPolicy {
    /// Single use: the answer carries the next one, and all earlier ones are invalid.
    Rotating,
    /// The same value comes back.
    LongLived,
}

/// When a report is sent compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Never, whatever `Accept-Encoding` says.
    Never,
    /// As gzip, when `Accept-Encoding` names it.
    WhenAccepted,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            seed: 1,
            now: SystemTime::now(),
            per_second: 4,
            per_day: 10_000,
            token_calls_per_second: 1,
            rotation: RefreshTokenPolicy::Rotating,
            client_id: "f3a1c0de-5e1f-4d0c-9a57-1b2c3d4e5f60".to_owned(),
            client_secret: "simulated-client-secret".into(),
            access_token_lifetime: DAY,
            device_code_lifetime: Duration::from_secs(600),
            remembered_requests: 1000,
            compression: Compression::Never,
        }
    }
}
