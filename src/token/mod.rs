//! The OAuth 2.0 access token: its source, its renewal, its back-off after 401s, and the `Authorization` header.
//!
//! Where replicas share the token, `fleet` keeps its record and decides who renews.
//!
//! The only module that sends a secret to the upstream. It must not depend on what is fetched, on the cache or on the
//! quota. Other modules see the token's generation number and its status, never the token.
//!
//! A token is provided (settings, file) or renewed. One task renews, so that there is never more than one call at a
//! time: it stores its intent, calls the token endpoint, stores the result, and only then is the new token used. Until
//! then requests use the old token; without one they wait up to 5 s. A token that another process sharing the store has
//! renewed is adopted without a call. Only `invalid_grant` means that the refresh token is invalid. A token that is
//! refused (401) is backed off, and so are the renewals that a 401 starts. Tokio's monotonic clock decides when a token
//! in memory expires; the wall clock dates stored tokens, and decides how long one that is read from the store is valid.

mod access;
mod adopt;
mod authorize;
mod current;
mod device;
mod exchange;
mod expires_in;
mod failed;
mod fleet;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gate;
mod inputs;
mod json_fields;
mod manager;
mod outcome;
mod provided_token;
mod records;
mod renewal_backoff;
mod renewal_state;
mod renewed;
mod renewer;
mod schedule;
mod seed;
mod setup_error;
mod snapshot;
mod source;
#[cfg(test)]
mod tests;
mod token_response;
mod unauthorized_backoff;

pub(crate) use authorize::Authorize;
pub(crate) use device::{DeviceCodes, DeviceError, DeviceFlow};
pub(crate) use fleet::{FleetRecords, FleetTokenSnapshot};
pub(crate) use gate::TokenGate;
pub(crate) use manager::RefreshTokenSources;
pub use manager::TokenManager;
pub(crate) use records::TokenRecords;
pub(crate) use renewer::RenewalConfig;
pub(crate) use setup_error::TokenSetupError;
pub(crate) use snapshot::{RenewalSnapshot, TokenSnapshot, TokenStatus};
pub use source::TokenSource;
pub(crate) use token_response::Client;
