//! The device flow (RFC 8628), used by `login`: shows a code, which a person approves in a browser on any device.

use std::time::{Duration, SystemTime};

use http::{StatusCode, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::token_response::{Client, GrantedAccess, TokenError, TokenResponse};
use crate::{
    settings::is_printable,
    state::TokenRecord,
    upstream::{FormClient, PostError},
};

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Reports, and a refresh token: without `offline_access` the server returns none, and no error either.
const SCOPES: &str = "campaign_data offline_access";
/// RFC 8628 §3.2: the default if the response has no `interval`.
const INTERVAL_S: u64 = 5;
/// RFC 8628 §3.5: `slow_down` adds this to the interval of all later polls.
const SLOWER: Duration = Duration::from_secs(5);
const LONGEST_INTERVAL_S: u64 = 60;
const LONGEST_LIFE_S: u64 = 60 * 60;
/// The server's text is shown on a terminal: it must be short and without control characters.
const LONGEST_CODE: usize = 64;
const LONGEST_ADDRESS: usize = 2048;

/// Requests a person's consent.
#[derive(Debug)]
pub(crate) struct DeviceFlow {
    /// The device authorization endpoint and its client.
    pub device: (Uri, FormClient),
    /// The token endpoint and its client.
    pub token: (Uri, FormClient),
    /// The application that requests access.
    pub client: Client,
}

/// The device authorization response (RFC 8628 §3.2): what the person must see.
#[derive(Debug)]
pub(crate) struct DeviceCodes {
    pub(super) device_code: SecretString,
    /// The code that the person enters or compares.
    pub user_code: String,
    /// `verification_uri`: the page to open.
    pub address: String,
    /// `verification_uri_complete`: the page with the code filled in, if there is one.
    pub complete_address: Option<String>,
    /// How long the code is valid, at most an hour.
    pub lifetime: Duration,
    interval: Duration,
}

/// The person has approved.
#[derive(Debug)]
pub(crate) struct Consent {
    /// The tokens granted.
    pub record: TokenRecord,
}

/// The device flow ended without consent.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The person denied access.
    #[error("access was denied in the browser")]
    Denied,
    /// Not approved in time.
    #[error("the code has expired before it was approved; run \"login\" again")]
    Expired,
    /// The scope `offline_access` was not granted.
    #[error("the answer holds no refresh token: does the application allow offline_access?")]
    NoRefreshToken,
    /// The client is unknown, or may not use the device flow.
    #[error(
        "the application is refused ({0}): is token.client_id its API key, and is the device flow enabled for it?"
    )]
    Client(String),
    /// Any other refusal.
    #[error("{0}")]
    Refused(String),
    /// The device endpoint's response does not follow RFC 8628.
    #[error("the device endpoint's answer cannot be used")]
    Malformed,
    /// No complete response.
    #[error("the authorization server: {0}")]
    Unanswered(#[from] PostError),
}

#[derive(Deserialize)]
struct CodesBody {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

/// The result of one poll.
enum Polled {
    Approved(TokenResponse),
    NotYet,
    /// Poll less often from now on, and not before this time has passed.
    TooFast(Duration),
}

// === impl DeviceFlow ===

impl DeviceFlow {
    /// Requests the codes.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub(crate) async fn begin(&self) -> Result<DeviceCodes, DeviceError> {
        let (url, form_client) = &self.device;
        let answered = form_client.post(self.client.form(url, &[("scope", SCOPES)])).await?;
        if answered.status != StatusCode::OK {
            return Err(TokenError::read(&answered).into());
        }
        let body: CodesBody =
            serde_json::from_slice(&answered.body).map_err(|_error| DeviceError::Malformed)?;
        DeviceCodes::try_from(body)
    }

    /// Polls at the interval that the server requires until the person has decided or the code expires.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub(crate) async fn wait(&self, codes: &DeviceCodes) -> Result<Consent, DeviceError> {
        let (end, mut interval) = (Instant::now() + codes.lifetime, codes.interval);
        let mut wait = interval;
        loop {
            sleep_until(end.min(Instant::now() + wait)).await;
            if Instant::now() >= end {
                return Err(DeviceError::Expired);
            }
            match self.poll(codes).await? {
                Polled::Approved(grant) => return Consent::of(grant),
                Polled::NotYet => wait = interval,
                Polled::TooFast(retry_after) => {
                    interval += SLOWER;
                    wait = interval.max(retry_after);
                }
            }
        }
    }

    async fn poll(&self, codes: &DeviceCodes) -> Result<Polled, DeviceError> {
        let (url, form_client) = &self.token;
        let fields = [("grant_type", GRANT_TYPE), ("device_code", codes.device_code.expose_secret())];
        let answered = match form_client.post(self.client.form(url, &fields)).await {
            Ok(answered) => answered,
            // RFC 8628 §3.5: poll less often after a timeout.
            Err(_unanswered) => return Ok(Polled::TooFast(Duration::ZERO)),
        };
        match TokenResponse::read(&answered, None, SystemTime::now()) {
            Ok(grant) => Ok(Polled::Approved(grant)),
            Err(TokenError::Refused { status, code, retry_after }) => match code.as_str() {
                Some("authorization_pending") => Ok(Polled::NotYet),
                Some("slow_down") => Ok(Polled::TooFast(retry_after.unwrap_or_default())),
                Some("access_denied") => Err(DeviceError::Denied),
                Some("expired_token") => Err(DeviceError::Expired),
                _ if status == 429 || status >= 500 => Ok(Polled::TooFast(retry_after.unwrap_or_default())),
                _ => Err(TokenError::Refused { status, code, retry_after }.into()),
            },
            // The server no longer knows the code.
            Err(TokenError::InvalidGrant) => Err(DeviceError::Expired),
            Err(error @ (TokenError::Malformed | TokenError::Unanswered(_))) => Err(error.into()),
        }
    }
}

// === impl DeviceCodes ===

impl TryFrom<CodesBody> for DeviceCodes {
    type Error = DeviceError;

    fn try_from(body: CodesBody) -> Result<Self, DeviceError> {
        let address = |text: String| {
            let web = text.parse::<Uri>().is_ok_and(|uri| matches!(uri.scheme_str(), Some("https" | "http")));
            if web && text.len() <= LONGEST_ADDRESS { Ok(text) } else { Err(DeviceError::Malformed) }
        };
        let code = body.user_code;
        if code.is_empty() || code.len() > LONGEST_CODE || !code.split(' ').all(is_printable) {
            return Err(DeviceError::Malformed);
        }
        Ok(Self {
            device_code: body.device_code.into(),
            user_code: code,
            address: address(body.verification_uri)?,
            complete_address: body.verification_uri_complete.map(address).transpose()?,
            lifetime: Duration::from_secs(body.expires_in.min(LONGEST_LIFE_S)),
            interval: Duration::from_secs(body.interval.unwrap_or(INTERVAL_S).clamp(1, LONGEST_INTERVAL_S)),
        })
    }
}

// === impl Consent ===

impl Consent {
    fn of(grant: TokenResponse) -> Result<Self, DeviceError> {
        let TokenResponse { access, refresh_token } = grant;
        let refresh_token = refresh_token.ok_or(DeviceError::NoRefreshToken)?;
        let access = access.map(GrantedAccess::stored);
        Ok(Self { record: TokenRecord { access, ..TokenRecord::new(refresh_token) } })
    }
}

// === impl DeviceError ===

impl From<TokenError> for DeviceError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Unanswered(error) => Self::Unanswered(error),
            TokenError::Refused { code, status, retry_after } => match code.as_str() {
                Some(code @ ("invalid_client" | "unauthorized_client" | "unsupported_grant_type")) => {
                    Self::Client(code.to_owned())
                }
                _ => Self::Refused(TokenError::Refused { status, code, retry_after }.to_string()),
            },
            error @ (TokenError::InvalidGrant | TokenError::Malformed) => Self::Refused(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(user_code: &str, verification_uri: &str) -> Result<DeviceCodes, DeviceError> {
        DeviceCodes::try_from(CodesBody {
            device_code: "hush".to_owned(),
            user_code: user_code.to_owned(),
            verification_uri: verification_uri.to_owned(),
            verification_uri_complete: None,
            expires_in: 600,
            interval: None,
        })
    }

    #[test]
    fn a_code_is_short_and_can_be_shown_on_a_terminal() {
        for (code, is_shown) in [
            ("ABCD-EFGH", true),
            ("ABCD EFGH", true),
            ("", false),
            ("ABCD\u{1b}[2J", false),
            ("ABCD\u{200b}", false),
            (&"A".repeat(LONGEST_CODE), true),
            (&"A".repeat(LONGEST_CODE + 1), false),
        ] {
            assert_eq!(codes(code, "https://login.example").is_ok(), is_shown, "{code:?}");
        }
    }

    #[test]
    fn an_address_is_one_of_the_web_and_not_long() {
        let of_length = |length: usize| format!("https://login.example/{}", "a".repeat(length - 22));
        for (address, is_shown) in [
            ("https://login.example/activate", true),
            ("http://127.0.0.1:8080", true),
            ("login.example", false),
            ("ftp://login.example", false),
            ("", false),
            (&of_length(LONGEST_ADDRESS), true),
            (&of_length(LONGEST_ADDRESS + 1), false),
        ] {
            assert_eq!(codes("ABCD", address).is_ok(), is_shown, "{address}");
        }
    }
}
