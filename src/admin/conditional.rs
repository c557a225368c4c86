//! Answers that are asked for again and again: JSON in one line with an `ETag`, and 304 while it is the same.

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};
use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::reply::{respond, text};
use crate::server::Body;

/// A 200 with this as JSON, or a 304 if the client has it.
pub(super) fn json_with_etag(headers: &HeaderMap, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(mut body) => {
            body.push(b'\n');
            let tag = etag(&body);
            unless_known(headers, &tag, respond(StatusCode::OK, "application/json", body))
        }
        Err(error) => {
            tracing::error!(%error, "cannot serialize a response of the admin port");
            text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
        }
    }
}

/// A strong entity tag of these bytes.
pub(super) fn etag(body: &[u8]) -> String {
    let hash = digest(&SHA256, body);
    let hex: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// The response with this tag, or a 304 if `If-None-Match` names it (RFC 9110 §13.1.2).
pub(super) fn unless_known(headers: &HeaderMap, tag: &str, mut response: Response<Body>) -> Response<Body> {
    let names_it = |value: &HeaderValue| {
        let mut tags = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        tags.any(|known| known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == tag.as_bytes())
    };
    if headers.get_all(IF_NONE_MATCH).iter().any(names_it) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::new(Vec::new().into());
        response.headers_mut().remove(CONTENT_TYPE);
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(known: &str) -> StatusCode {
        let mut headers = HeaderMap::new();
        if !known.is_empty() {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(known).unwrap());
        }
        json_with_etag(&headers, &7).status()
    }

    #[test]
    fn a_client_that_has_it_gets_304() {
        let tag = etag(b"7\n");
        for (known, status) in [
            (String::new(), 200),
            (tag.clone(), 304),
            (format!("W/{tag}"), 304),
            (format!("\"other\", {tag}"), 304),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
        ] {
            assert_eq!(asked(&known), status, "{known}");
        }
    }
}
