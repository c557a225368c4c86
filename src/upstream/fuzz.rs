//! Fuzz targets of the client: headers and bodies of the upstream.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, HeaderValue,
    header::{AGE, DATE, RETRY_AFTER},
};

use super::{
    body::{Coded, Encoding},
    headers, retry_after,
};

const HOUR: Duration = Duration::from_secs(3_600);
const LIMIT: u64 = 1 << 20;

/// One value, read as each of the headers that are read.
pub(crate) fn response_headers(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let names = [AGE, DATE, RETRY_AFTER, headers::REQUEST_ID];
    let headers: HeaderMap = names.into_iter().map(|name| (name, value.clone())).collect();
    assert!(headers::age(&headers) <= Duration::from_secs(1 << 31));
    if let Some(date) = headers::date(&headers) {
        assert!(date >= SystemTime::UNIX_EPOCH, "no HTTP date is before 1970");
    }
    let now = SystemTime::UNIX_EPOCH + 400_000 * HOUR;
    assert!(retry_after::parse(&value, now, HOUR).is_none_or(|wait| wait <= HOUR));
    let id = headers::request_id(&headers);
    assert!(id.is_none_or(|id| id.len() <= 128 && id.chars().all(|char| !char.is_control())));
}

/// A compressed body is never unpacked past the limit.
pub(crate) fn gzip_body(data: &[u8]) {
    if let Ok(body) = Coded::of(data.to_vec()).decode(Encoding::Gzip, LIMIT) {
        assert!(body.len() as u64 <= LIMIT);
    }
}
