//! The token endpoint's request form and response (RFC 6749 §5, §6). Pure: no call is made here.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use form_urlencoded::Serializer;
use http::{HeaderValue, Uri};
use secrecy::{ExposeSecret as _, SecretString};

use super::{access::AccessToken, expires_in, json_fields::JsonFields};
use crate::upstream::{FormRequest, FormResponse, PostError};

/// Tokens are JWTs of about a kilobyte.
const LONGEST_TOKEN_BYTES: usize = 16 * 1024;
/// The codes that may be logged: RFC 6749 §5.2 and §4.1.2.1, RFC 8628 §3.5. Any other text could contain a token.
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

/// The client's credentials at the authorization server (RFC 6749 §2.3).
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The application's API key.
    pub id: String,
    /// Its secret, sent with Basic authentication; a public client has none and sends its id in the form.
    pub secret: Option<SecretString>,
}

/// The usable parts of a successful response.
#[derive(Debug)]
pub(super) struct TokenResponse {
    /// `None`: only the refresh token is usable.
    pub(super) access: Option<GrantedAccess>,
    /// `None`: the one that was sent stays valid.
    pub(super) refresh_token: Option<SecretString>,
}

/// The access token of a response.
#[derive(Debug)]
pub(super) struct GrantedAccess {
    /// Known to be sendable in a header.
    pub(super) token: SecretString,
    /// From 30 s to 48 h; other values are clamped.
    pub(super) lifetime: Duration,
}

/// The response has no usable token. Keeps nothing of its body except a known error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// RFC 6749 §5.2 `invalid_grant`: the only error that means that the refresh token is invalid.
    #[error("invalid_grant: the refresh token is invalid or expired")]
    InvalidGrant,
    /// Any other error; it says nothing about the refresh token.
    #[error("the token endpoint answered {status}{code}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The error code, if known.
        code: ErrorCode,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// A 2xx without a usable token.
    #[error("the token endpoint's answer holds no usable token")]
    Malformed,
    /// No complete response.
    #[error("the token endpoint: {0}")]
    Unanswered(#[from] PostError),
}

/// `error` (RFC 6749 §5.2) or Okta's `errorCode`, if it is a known one; shown as `: sendable`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ErrorCode(Option<String>);

// === impl Client ===

impl Client {
    /// A form with these fields and this client's credentials.
    pub(super) fn form<'a>(&self, url: &'a Uri, fields: &[(&str, &str)]) -> FormRequest<'a> {
        let mut body = Serializer::new(String::new());
        body.extend_pairs(fields);
        let authorization = match &self.secret {
            Some(secret) => {
                let pair = format!("{}:{}", self.id, secret.expose_secret());
                // Base64 is always a valid header value.
                HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()
            }
            None => {
                body.append_pair("client_id", &self.id);
                None
            }
        };
        FormRequest { url, authorization, body: body.finish() }
    }

    pub(super) fn refresh<'a>(&self, url: &'a Uri, refresh_token: &SecretString) -> FormRequest<'a> {
        let token = refresh_token.expose_secret();
        self.form(url, &[("grant_type", "refresh_token"), ("refresh_token", token)])
    }
}

// === impl TokenResponse ===

impl TokenResponse {
    /// Reads the response to `sent`. After a rotation only the new refresh token works, so it is found even if other fields
    /// are invalid. `now` is used only for an `expires_in` that is a point in time, if the response has no `Date`.
    ///
    /// # Errors
    /// [`TokenError`]; only `InvalidGrant` means that the refresh token is invalid.
    pub(super) fn read(
        answered: &FormResponse,
        sent: Option<&SecretString>,
        now: SystemTime,
    ) -> Result<Self, TokenError> {
        if !answered.status.is_success() {
            return Err(TokenError::read(answered));
        }
        let fields = JsonFields::read(&answered.body);
        let usable: Vec<_> = fields.strings("refresh_token").filter_map(sendable).collect();
        let is_other =
            |token: &&SecretString| sent.is_none_or(|sent| sent.expose_secret() != token.expose_secret());
        let refresh_token = usable.iter().find(is_other).or(usable.first()).cloned();
        let access = GrantedAccess::read(&fields, answered.date.unwrap_or(now));
        match (&access, &refresh_token) {
            (None, None) => Err(TokenError::Malformed),
            (Some(_), _) | (_, Some(_)) => Ok(Self { access, refresh_token }),
        }
    }
}

// === impl GrantedAccess ===

impl GrantedAccess {
    /// `None` for a truncated response, which may hold half a token, and for another `token_type` (RFC 6749 §7.1).
    fn read(fields: &JsonFields, now: SystemTime) -> Option<Self> {
        let is_bearer = |kind: &str| kind.eq_ignore_ascii_case("bearer");
        if !fields.is_whole() || !fields.strings("token_type").all(is_bearer) {
            return None;
        }
        let token = fields.strings("access_token").find_map(sendable)?;
        Some(Self { token, lifetime: expires_in::lifetime(fields.values("expires_in").next(), now) })
    }
}

/// The token, if it can be sent in a header and is not too long.
fn sendable(token: &str) -> Option<SecretString> {
    let good = !token.is_empty() && token.len() <= LONGEST_TOKEN_BYTES && AccessToken::is_sendable(token);
    good.then(|| token.into())
}

// === impl TokenError ===

impl TokenError {
    /// Reads an error response.
    pub(super) fn read(answered: &FormResponse) -> Self {
        let FormResponse { status, retry_after, body, .. } = answered;
        let fields = JsonFields::read(body);
        let code = fields.strings("error").chain(fields.strings("errorCode")).next();
        match code.filter(|_| fields.is_whole()) {
            // The vendor documents no status for it; a 5xx says nothing about the token.
            Some("invalid_grant") if status.is_client_error() => Self::InvalidGrant,
            code => Self::Refused {
                status: status.as_u16(),
                code: ErrorCode::from(code),
                retry_after: *retry_after,
            },
        }
    }
}

// === impl ErrorCode ===

impl ErrorCode {
    pub(super) fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl From<Option<&str>> for ErrorCode {
    fn from(code: Option<&str>) -> Self {
        let okta = |code: &str| {
            let digits = code.strip_prefix('E');
            digits.is_some_and(|digits| digits.len() == 7 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        Self(code.filter(|code| CODES.contains(code) || okta(code)).map(str::to_owned))
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |code| write!(f, ": {code}"))
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn read(status: u16, body: &str) -> Result<TokenResponse, TokenError> {
        let status = StatusCode::from_u16(status).unwrap();
        let answered = FormResponse { status, date: None, retry_after: None, body: body.into() };
        TokenResponse::read(&answered, Some(&"sent".into()), SystemTime::UNIX_EPOCH)
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
    fn a_point_in_time_is_read_by_the_server_s_own_clock() {
        let date = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let body = br#"{"access_token":"a","expires_in":1700007200}"#.to_vec();
        let answered = FormResponse { status: StatusCode::OK, date, retry_after: None, body };
        let access = TokenResponse::read(&answered, None, SystemTime::now()).unwrap().access.unwrap();
        assert_eq!(access.lifetime, Duration::from_secs(7_200));
    }

    #[test]
    fn a_rotated_refresh_token_is_found_whatever_else_is_odd() {
        for (status, body, access) in [
            (201, r#"{"access_token":"a","refresh_token":"next"}"#, true),
            (200, r#"{"access_token":"a","refresh_token":"next","expires_in":true}"#, true),
            (200, r#"{"access_token":"a","refresh_token":"next","refresh_token":"sent"}"#, true),
            (200, r#"{"access_token":"a","refresh_token":"sent","refresh_token":"next"}"#, true),
            (200, r#"{"access_token":"a","refresh_token":"next","refresh_token":7}"#, true),
            (200, r#"{"access_token":"a","refresh_token":"next","token_type":null}"#, true),
            (200, r#"{"access_token":"a","refresh_token":"next","token_type":"mac"}"#, false),
            (200, r#"{"access_token":"hu\nsh","refresh_token":"next"}"#, false),
            (200, r#"{"refresh_token":"next"}"#, false),
            (200, r#"{"access_token":"a","refresh_token":"next","expires_in":"#, false),
        ] {
            let grant = read(status, body).unwrap();
            assert_eq!(grant.refresh_token.unwrap().expose_secret(), "next", "{body}");
            assert_eq!(grant.access.is_some(), access, "{body}");
        }
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
    fn a_token_has_16_kib_at_most() {
        let answer = |length| format!(r#"{{"access_token":"{}"}}"#, "a".repeat(length));
        assert!(read(200, &answer(16 * 1024)).is_ok());
        assert_eq!(read(200, &answer(16 * 1024 + 1)).unwrap_err(), TokenError::Malformed);
    }

    #[test]
    fn only_invalid_grant_is_a_verdict() {
        let dead =
            r#"{"error":"invalid_grant","error_description":"The refresh token is invalid or expired."}"#;
        for status in [400, 401, 403] {
            assert_eq!(read(status, dead).unwrap_err(), TokenError::InvalidGrant);
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
            (204, "", "no usable token"),
            (200, r#"{"refresh_token":"hu sh"}"#, "no usable token"),
            (400, r#"{"error":"invalid_grant"} <hush>"#, "answered 400"),
        ] {
            let error = read(status, body).unwrap_err();
            assert_ne!(error, TokenError::InvalidGrant);
            let text = error.to_string();
            assert!(text.ends_with(shown) && !text.contains("hush"), "{text}");
            assert!(!format!("{error:?}").contains("hush"));
        }
    }
}
