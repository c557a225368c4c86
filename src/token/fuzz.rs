//! A fuzz target: what the token endpoint answers.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use secrecy::ExposeSecret as _;

use super::token_response::{TokenError, TokenResponse};
use crate::upstream::FormResponse;

/// An answer, as a 200 and as a 400. Tokens can be sent in a header, lifetimes are within bounds, and an error shows nothing
/// of the body.
pub(crate) fn token_answer(data: &[u8]) {
    for status in [StatusCode::OK, StatusCode::BAD_REQUEST] {
        let answered = FormResponse { status, date: None, retry_after: None, body: data.to_vec() };
        match TokenResponse::read(&answered, Some(&"sent".into()), SystemTime::UNIX_EPOCH) {
            Ok(TokenResponse { access, refresh_token }) => {
                assert_eq!(status, StatusCode::OK);
                let hours = Duration::from_secs(48 * 3_600);
                assert!(access.as_ref().is_none_or(|access| access.lifetime <= hours));
                for token in access.iter().map(|access| &access.token).chain(&refresh_token) {
                    assert!(http::HeaderValue::from_str(token.expose_secret()).is_ok());
                }
            }
            Err(error @ (TokenError::InvalidGrant | TokenError::Refused { .. })) => {
                assert_eq!(status, StatusCode::BAD_REQUEST);
                assert!(error.to_string().len() < 100, "it has more than a known code");
            }
            Err(TokenError::Malformed | TokenError::Unanswered(_)) => {}
        }
    }
}
