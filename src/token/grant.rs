//! What the token endpoint is asked (RFC 6749 §6), and what its answers mean. Pure: no call is made here.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use form_urlencoded::Serializer;
use http::{HeaderValue, StatusCode, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::access::AccessToken;
use crate::upstream::{Answered, Form, PostError};

/// A token that is good for less is renewed as if it were good for this long: nobody renews in a tight loop.
const SHORTEST: Duration = Duration::from_secs(30);
/// The vendor's live 24 hours. What claims more is renewed as if it were good for this long.
const LONGEST: Duration = Duration::from_secs(48 * 60 * 60);
/// Where `expires_in` is absent: well below what the vendor documents.
const UNSAID: Duration = Duration::from_secs(60 * 60);
/// Seconds. The vendor's SDK calls `expires_in` a point in time: above this it is read so.
const EPOCH_LOOKING_S: f64 = 1e9;
/// Tokens are JWTs of about a kilobyte.
const LONGEST_TOKEN_BYTES: usize = 16 * 1024;
/// RFC 6749 §5.2 and §4.1.2.1, RFC 8628 §3.5. Any other word could be a token that the endpoint quotes back.
const CODES: [&str; 12] = [
    "access_denied",
    "authorization_pending",
    "expired_token",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
];

/// Who we are to the authorization server (RFC 6749 §2.3).
#[derive(Debug, Clone)]
pub struct Client {
    /// The application's API key.
    pub id: String,
    /// Its secret, sent by Basic; a public client has none, and its id goes into the form.
    pub secret: Option<SecretString>,
}

/// A good answer.
#[derive(Debug)]
pub(super) struct Grant {
    /// For the API; known to be sendable in a header.
    pub(super) access_token: SecretString,
    /// From 30 s to 48 h, whatever the answer says.
    pub(super) lifetime: Duration,
    /// Absent: the one that was sent goes on working.
    pub(super) refresh_token: Option<SecretString>,
}

/// No token came. Holds nothing that the answer said but a short code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum GrantError {
    /// RFC 6749 §5.2 `invalid_grant`: the only verdict on the refresh token.
    #[error("invalid_grant: the refresh token is invalid or expired")]
    InvalidGrant,
    /// Any other refusal; it says nothing of the refresh token.
    #[error("the token endpoint answered {status}{code}")]
    Refused {
        /// Its status.
        status: u16,
        /// The error it names.
        code: ErrorCode,
    },
    /// A 200 without a usable token.
    #[error("the token endpoint's answer holds no usable token")]
    Malformed,
    /// No whole answer.
    #[error("the token endpoint: {0}")]
    Unanswered(#[from] PostError),
}

/// `error` (RFC 6749 §5.2) or Okta's `errorCode`, if it is a known one; shown as `: word`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ErrorCode(Option<String>);

#[derive(Deserialize)]
struct GrantBody {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<Seconds>,
    refresh_token: Option<String>,
}

/// A number, or one in a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

#[derive(Deserialize)]
struct RefusalBody {
    error: Option<String>,
    #[serde(rename = "errorCode")]
    error_code: Option<String>,
}

// === impl Client ===

impl Client {
    /// A form with these fields that this client sends.
    pub(super) fn form<'a>(&self, url: &'a Uri, fields: &[(&str, &str)]) -> Form<'a> {
        let mut body = Serializer::new(String::new());
        body.extend_pairs(fields);
        let authorization = match &self.secret {
            Some(secret) => {
                let pair = format!("{}:{}", self.id, secret.expose_secret());
                // Base64 is always a header's value.
                HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()
            }
            None => {
                body.append_pair("client_id", &self.id);
                None
            }
        };
        Form { url, authorization, body: body.finish() }
    }

    pub(super) fn refresh<'a>(&self, url: &'a Uri, refresh_token: &SecretString) -> Form<'a> {
        let token = refresh_token.expose_secret();
        self.form(url, &[("grant_type", "refresh_token"), ("refresh_token", token)])
    }
}

// === impl Grant ===

impl Grant {
    /// Reads an answer. `now` counts only for an `expires_in` that is a point in time, where the answer has no `Date`.
    ///
    /// # Errors
    /// [`GrantError`], of which only one is a verdict.
    pub(super) fn read(answered: &Answered, now: SystemTime) -> Result<Self, GrantError> {
        let Answered { status, date, body } = answered;
        if *status != StatusCode::OK {
            return Err(GrantError::read(*status, body));
        }
        // serde's message would quote the answer.
        let body: GrantBody = serde_json::from_slice(body).map_err(|_error| GrantError::Malformed)?;
        if body.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(GrantError::Malformed);
        }
        let access_token = word(body.access_token).ok_or(GrantError::Malformed)?;
        let refresh_token = match body.refresh_token.filter(|token| !token.is_empty()) {
            Some(token) => Some(word(token).ok_or(GrantError::Malformed)?),
            None => None,
        };
        let lifetime = body.expires_in.map_or(UNSAID, |seconds| seconds.lifetime(date.unwrap_or(now)));
        Ok(Self { access_token, lifetime, refresh_token })
    }
}

/// A token as it may be sent and stored.
fn word(token: String) -> Option<SecretString> {
    let good = !token.is_empty() && token.len() <= LONGEST_TOKEN_BYTES && AccessToken::is_sendable(&token);
    good.then(|| token.into())
}

// === impl GrantError ===

impl GrantError {
    pub(super) fn read(status: StatusCode, body: &[u8]) -> Self {
        let said: Option<RefusalBody> = serde_json::from_slice(body).ok();
        let code = said.and_then(|said| said.error.or(said.error_code));
        match code {
            // The vendor documents no status for it; a 5xx judges nothing.
            Some(code) if code == "invalid_grant" && status.is_client_error() => Self::InvalidGrant,
            code => Self::Refused { status: status.as_u16(), code: ErrorCode::from(code) },
        }
    }
}

// === impl ErrorCode ===

impl ErrorCode {
    pub(super) fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl From<Option<String>> for ErrorCode {
    fn from(code: Option<String>) -> Self {
        let okta = |code: &str| {
            let digits = code.strip_prefix('E');
            digits.is_some_and(|digits| digits.len() == 7 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        Self(code.filter(|code| CODES.contains(&code.as_str()) || okta(code)))
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |code| write!(f, ": {code}"))
    }
}

// === impl Seconds ===

impl Seconds {
    fn lifetime(self, now: SystemTime) -> Duration {
        let seconds = match self {
            Self::Number(seconds) => seconds,
            Self::Text(text) => match text.trim().parse() {
                Ok(seconds) => seconds,
                Err(_) => return UNSAID,
            },
        };
        let seconds = if seconds > EPOCH_LOOKING_S {
            let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            seconds - now.as_secs_f64()
        } else {
            seconds
        };
        // Not a number is the shortest too.
        let longest = LONGEST.as_secs_f64();
        let seconds = seconds.max(SHORTEST.as_secs_f64()).min(longest);
        Duration::from_secs_f64(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_700_000_000;

    fn read(status: u16, body: &str) -> Result<Grant, GrantError> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S);
        let status = StatusCode::from_u16(status).unwrap();
        Grant::read(&Answered { status, date: None, body: body.into() }, now)
    }

    #[test]
    fn a_secret_goes_into_basic_and_a_client_without_one_into_the_form() {
        let url = Uri::from_static("https://authz.example/token");
        let mut client = Client { id: "id".to_owned(), secret: Some("hush".into()) };
        let form = client.refresh(&url, &"r&t".into());
        assert_eq!(form.body, "grant_type=refresh_token&refresh_token=r%26t");
        assert_eq!(form.authorization.as_ref().unwrap(), "Basic aWQ6aHVzaA==");
        assert!(!format!("{form:?} {client:?}").contains("hush"));
        client.secret = None;
        let form = client.refresh(&url, &"rt".into());
        assert_eq!(form.body, "grant_type=refresh_token&refresh_token=rt&client_id=id");
        assert_eq!(form.authorization, None);
    }

    #[test]
    fn a_lifetime_is_clamped_and_a_point_in_time_is_understood() {
        for (expires_in, seconds) in [
            ("86400", 86_400),
            ("\"3600\"", 3_600),
            ("0", 30),
            ("-5", 30),
            ("1e99", 172_800),
            ("999999999", 172_800),
            ("1700007200", 7_200),
            ("1700000001.5", 30),
            ("1600000000", 30),
            ("\"soon\"", 3_600),
            ("null", 3_600),
        ] {
            let grant = read(200, &format!(r#"{{"access_token":"a","expires_in":{expires_in}}}"#)).unwrap();
            assert_eq!(grant.lifetime, Duration::from_secs(seconds), "{expires_in}");
        }
        // The server's own clock goes before ours.
        let date = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S));
        let body = br#"{"access_token":"a","expires_in":1700007200}"#.to_vec();
        let answered = Answered { status: StatusCode::OK, date, body };
        let a_day_off = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S + 86_400);
        assert_eq!(Grant::read(&answered, a_day_off).unwrap().lifetime, Duration::from_secs(7_200));
    }

    #[test]
    fn an_answer_without_a_refresh_token_keeps_the_old_one() {
        for absent in ["", r#","refresh_token":"""#, r#","refresh_token":null"#] {
            let body = format!(r#"{{"access_token":"a"{absent},"id_token":"x","scope":"y"}}"#);
            assert!(read(200, &body).unwrap().refresh_token.is_none(), "{body}");
        }
        let both = read(200, r#"{"access_token":"a","token_type":"bearer","refresh_token":"r"}"#).unwrap();
        assert_eq!(both.refresh_token.unwrap().expose_secret(), "r");
    }

    #[test]
    fn only_invalid_grant_is_a_verdict() {
        let dead =
            r#"{"error":"invalid_grant","error_description":"The refresh token is invalid or expired."}"#;
        for status in [400, 401, 403] {
            assert_eq!(read(status, dead).unwrap_err(), GrantError::InvalidGrant);
        }
        for (status, body, shown) in [
            (500, dead, "answered 500: invalid_grant"),
            (400, r#"{"errorCode":"E0000021","errorSummary":"hush"}"#, "answered 400: E0000021"),
            (401, r#"{"error":"invalid_client"}"#, "answered 401: invalid_client"),
            (429, r#"{"error":"hush hush <script>"}"#, "answered 429"),
            (400, r#"{"error":"5f2b1c0hush9d"}"#, "answered 400"),
            (400, r#"{"errorCode":"Ehushhus"}"#, "answered 400"),
            (302, "hush", "answered 302"),
            (400, "", "answered 400"),
            (200, "", "no usable token"),
            (200, "<html>hush", "no usable token"),
            (200, "[]", "no usable token"),
            (200, r#"{"access_token":""}"#, "no usable token"),
            (200, r#"{"access_token":"hu\nsh"}"#, "no usable token"),
            (200, r#"{"access_token":"a","refresh_token":"hush"#, "no usable token"),
            (200, r#"{"access_token":"a","token_type":"mac"}"#, "no usable token"),
            (200, r#"{"refresh_token":"hush"}"#, "no usable token"),
        ] {
            let error = read(status, body).unwrap_err();
            assert_ne!(error, GrantError::InvalidGrant);
            let text = error.to_string();
            assert!(text.ends_with(shown) && !text.contains("hush"), "{text}");
            assert!(!format!("{error:?}").contains("hush"));
        }
    }
}
