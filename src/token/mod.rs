//! The one OAuth token: where it comes from, which one is in use, who renews it, and who stamps it on a request.
//!
//! The only module that ever sends a secret to the upstream. Must never know what is fetched with it, what is
//! remembered, or what may be spent; others learn a generation number from it and nothing else.
//!
//! A token is given (settings, file) or renewed. Renewing is one task's work, so that there is never more than one
//! call at a time: it writes its intent down, asks, writes the answer down, and only then does anyone use it. Requests
//! go on with the old token meanwhile; who has none waits a few seconds. A record that another process has renewed is
//! adopted, and costs no call. Nothing but `invalid_grant` is a verdict on
//! the refresh token. A token that is refused is backed off, and so are the renewals that a refusal asks for. Tokio's
//! clock says when a token is over; the wall clock only what a stored one is still worth.

mod access;
mod adopt;
mod authorize;
mod current;
mod device;
mod exchange;
mod expires_in;
mod gate;
mod inputs;
mod json_fields;
mod manager;
mod outcome;
mod provided_token;
mod renewal_backoff;
mod renewal_state;
mod renewer;
mod schedule;
mod seed;
mod snapshot;
mod source;
#[cfg(test)]
mod tests;
mod token_response;
mod unauthorized_backoff;

pub(crate) use authorize::Authorize;
pub(crate) use device::{DeviceCodes, DeviceError, DeviceFlow};
pub(crate) use gate::TokenGate;
pub use manager::TokenManager;
pub(crate) use manager::{RefreshTokenSources, TokenSetupError};
pub(crate) use renewer::RenewalConfig;
pub(crate) use snapshot::{RenewalSnapshot, TokenSnapshot, TokenStatus};
pub use source::TokenSource;
pub(crate) use token_response::Client;
