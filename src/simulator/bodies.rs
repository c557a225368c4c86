//! The vendor's error bodies. Three shapes are documented, and any status may come with any of them.

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

/// The form of an error's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyShape {
    /// `[{"error_key", "error_message"}]`
    Array,
    /// `{"error_key", "error_message"}`
    Object,
    /// `{"message"}`: API Gateway's own.
    Gateway,
    /// `{"errorCode", "errorSummary"}`: what the authorization server sends when it is not OAuth that failed.
    Okta,
    /// An empty body.
    Empty,
}

/// An error as the vendor names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct VendorError {
    pub(super) key: &'static str,
    pub(super) message: &'static str,
}

pub(super) const NOT_FOUND: VendorError = VendorError {
    key: "not_found",
    message: "Unable to find an email campaign activity for the provided campaign_activity_id.",
};

pub(super) const BAD_REQUEST: VendorError =
    VendorError { key: "bad_request", message: "Bad Request: malformed syntax or validation errors." };

// === impl BodyShape ===

impl BodyShape {
    /// Every shape.
    pub const ALL: [Self; 5] = [Self::Array, Self::Object, Self::Gateway, Self::Okta, Self::Empty];

    /// The name in the control path's query.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Object => "object",
            Self::Gateway => "gateway",
            Self::Okta => "okta",
            Self::Empty => "empty",
        }
    }

    pub(super) fn render(self, error: VendorError) -> Bytes {
        let VendorError { key, message } = error;
        match self {
            Self::Array => json!([{ "error_key": key, "error_message": message }]).to_string().into(),
            Self::Object => json!({ "error_key": key, "error_message": message }).to_string().into(),
            Self::Gateway => json!({ "message": message }).to_string().into(),
            Self::Okta => json!({
                "errorCode": "E0000021",
                "errorSummary": message,
                "errorLink": "E0000021",
                "errorId": "oaeQzaK9d6SQXKiWxJ5nIfPZA",
                "errorCauses": [],
            })
            .to_string()
            .into(),
            Self::Empty => Bytes::new(),
        }
    }
}

// === impl VendorError ===

impl VendorError {
    /// The vendor's error key and message for this status.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::BAD_REQUEST => BAD_REQUEST,
            StatusCode::UNAUTHORIZED => Self { key: "unauthorized", message: "Unauthorized" },
            StatusCode::FORBIDDEN => Self {
                key: "access_denied",
                message: "Request forbidden due to insufficient user privileges.",
            },
            StatusCode::NOT_FOUND => NOT_FOUND,
            StatusCode::TOO_MANY_REQUESTS => Self { key: "throttled", message: "Too Many Requests" },
            StatusCode::SERVICE_UNAVAILABLE => {
                Self { key: "service_unavailable", message: "Service Unavailable" }
            }
            _ => Self { key: "internal_error", message: "There was a problem with our internal service." },
        }
    }
}
