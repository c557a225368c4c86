//! The authorization server over HTTP: token endpoint, device endpoint, approval page.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::authority::{InvalidGrant, Pair};
use super::bodies::{BodyShape, VendorError};
use super::clock::Moment;
use super::device::{Access, Decision};
use super::handle::State;
use super::options::Options;
use super::record::SeenRefresh;
use super::reply::VendorReply;

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// `x-www-form-urlencoded`; of a repeated field the last counts.
pub(super) struct FormFields(BTreeMap<String, String>);

/// RFC 6749 §5.2 and RFC 8628 §3.5.
struct OAuthError {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
}

const INVALID_CLIENT: OAuthError = OAuthError {
    status: StatusCode::UNAUTHORIZED,
    error: "invalid_client",
    description: "The client is unknown or its secret is wrong.",
};

const INVALID_GRANT: OAuthError = OAuthError {
    status: StatusCode::BAD_REQUEST,
    error: "invalid_grant",
    description: "The refresh token is invalid or expired.",
};

/// `POST` to [`TOKEN_PATH`](super::TOKEN_PATH).
pub(super) fn token(
    state: &mut State,
    options: &Options,
    now: Moment,
    headers: &HeaderMap,
    body: &[u8],
) -> VendorReply {
    if !state.token_window.has_room(now.instant) {
        let error = VendorError {
            key: "E0000047",
            message: "API call exceeded rate limit due to too many requests.",
        };
        return VendorReply::json(StatusCode::TOO_MANY_REQUESTS, BodyShape::Okta.render(error));
    }
    state.token_window.take(now.instant);
    match grant(state, options, now, headers, &FormFields::parse(body)) {
        Ok(pair) => answer(StatusCode::OK, &pair.to_json()),
        Err(refusal) => refusal.into_reply(),
    }
}

fn grant(
    state: &mut State,
    options: &Options,
    now: Moment,
    headers: &HeaderMap,
    form: &FormFields,
) -> Result<Pair, OAuthError> {
    authenticate(options, headers, form)?;
    match form.get("grant_type") {
        "refresh_token" => {
            let token = form.get("refresh_token");
            if token.is_empty() {
                return Err(bad_request("invalid_request", "The refresh_token is missing."));
            }
            let granted = state.authority.refresh(token, now);
            let next = granted.as_ref().ok().and_then(|pair| pair.refresh.clone());
            state.record.remember_refresh(SeenRefresh { sent: token.to_owned(), next, at: now.instant });
            granted.map_err(|InvalidGrant| INVALID_GRANT)
        }
        DEVICE_GRANT => match state.devices.poll(form.get("device_code"), now.instant) {
            Ok(access) => Ok(Pair {
                access: state.authority.issue_access(now),
                lifetime: options.access_token_lifetime,
                refresh: match access {
                    Access::Lasting => Some(state.authority.issue_refresh(now)),
                    Access::OneDay => None,
                },
            }),
            Err(not_yet) => Err(bad_request(not_yet.as_str(), "No token for this device code.")),
        },
        _ => Err(bad_request("unsupported_grant_type", "The grant type is not one of this server's.")),
    }
}

/// `POST` to [`DEVICE_AUTHORIZE_PATH`](super::DEVICE_AUTHORIZE_PATH).
pub(super) fn device_authorize(
    state: &mut State,
    options: &Options,
    now: Moment,
    headers: &HeaderMap,
    body: &[u8],
) -> VendorReply {
    let form = FormFields::parse(body);
    if let Err(refusal) = authenticate(options, headers, &form) {
        return refusal.into_reply();
    }
    let lasting = form.get("scope").split(' ').any(|scope| scope == "offline_access");
    let codes = state.devices.begin(if lasting { Access::Lasting } else { Access::OneDay }, now.instant);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    let page = format!("http://{host}/activate");
    let body = json!({
        "device_code": codes.device_code,
        "user_code": codes.user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={}", codes.user_code),
        "expires_in": codes.lifetime.as_secs(),
        "interval": codes.interval.as_secs(),
    });
    answer(StatusCode::OK, &body)
}

/// `GET /activate[?user_code=…]`
pub(super) fn approval_page(state: &State, now: Moment, query: &str) -> VendorReply {
    let query = FormFields::parse(query.as_bytes());
    // Only a code of ours is shown again: what a stranger puts into the query never becomes markup.
    let code = match query.get("user_code") {
        code if state.devices.is_waiting(code, now.instant) => code,
        _ => "",
    };
    page(
        StatusCode::OK,
        &format!(
            "<form method=post action=/activate><p>A device wants to read your campaign reports.</p>\
             <p><label>Code <input name=user_code value=\"{code}\" autofocus></label></p>\
             <button name=decision value=approve>Approve</button> \
             <button name=decision value=deny>Deny</button></form>"
        ),
    )
}

/// `POST /activate`
pub(super) fn approve(state: &mut State, now: Moment, body: &[u8]) -> VendorReply {
    let form = FormFields::parse(body);
    let decision = match form.get("decision") {
        "approve" => Decision::Approve,
        "deny" => Decision::Deny,
        _ => return page(StatusCode::BAD_REQUEST, "<p>Approve or deny?</p>"),
    };
    if !state.devices.decide(form.get("user_code").trim(), decision, now.instant) {
        return page(StatusCode::NOT_FOUND, "<p>No device waits for this code.</p>");
    }
    let word = match decision {
        Decision::Approve => "approved",
        Decision::Deny => "denied",
    };
    page(StatusCode::OK, &format!("<p>Access {word}. You can close this page.</p>"))
}

/// A confidential client sends Basic, a public one its id in the form (RFC 6749 §2.3).
fn authenticate(options: &Options, headers: &HeaderMap, form: &FormFields) -> Result<(), OAuthError> {
    let known = match headers.get(AUTHORIZATION) {
        Some(basic) => {
            let expected = format!("{}:{}", options.client_id, options.client_secret.expose_secret());
            basic.as_bytes() == format!("Basic {}", STANDARD.encode(expected)).as_bytes()
        }
        None => form.get("client_id") == options.client_id,
    };
    if known { Ok(()) } else { Err(INVALID_CLIENT) }
}

const fn bad_request(error: &'static str, description: &'static str) -> OAuthError {
    OAuthError { status: StatusCode::BAD_REQUEST, error, description }
}

fn answer(status: StatusCode, body: &Value) -> VendorReply {
    VendorReply::json(status, body.to_string())
}

fn page(status: StatusCode, content: &str) -> VendorReply {
    let body = format!(
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8><title>Activate a device</title></head>\
         <body><h1>Simulated Constant Contact</h1>{content}</body></html>"
    );
    VendorReply::html(status, body)
}

// === impl OAuthError ===

impl OAuthError {
    fn into_reply(self) -> VendorReply {
        let body = json!({ "error": self.error, "error_description": self.description });
        let reply = answer(self.status, &body);
        match self.status {
            StatusCode::UNAUTHORIZED => {
                reply.with(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"authz\""))
            }
            _ => reply,
        }
    }
}

// === impl Pair ===

impl Pair {
    fn to_json(&self) -> Value {
        let mut body = json!({
            "access_token": self.access,
            "token_type": "Bearer",
            "expires_in": self.lifetime.as_secs(),
            "scope": if self.refresh.is_some() { "campaign_data offline_access" } else { "campaign_data" },
        });
        if let Some(refresh) = &self.refresh {
            body["refresh_token"] = json!(refresh);
        }
        body
    }
}

// === impl FormFields ===

impl FormFields {
    pub(super) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// Empty where it is absent.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}
