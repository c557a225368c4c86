//! `expires_in` (RFC 6749 §5.1): the access token's lifetime from a number, a string or an invalid value. Pure.

use std::time::{Duration, SystemTime};

use serde_json::Value;

/// The lower bound: a shorter lifetime counts as this, so that renewals never run in a tight loop.
const SHORTEST: Duration = Duration::from_secs(30);
/// The upper bound: a longer lifetime counts as this. The vendor's tokens are valid for 24 hours.
const LONGEST: Duration = Duration::from_secs(48 * 60 * 60);
/// If the field is absent or not a number: well below what the vendor documents.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// In seconds. The vendor's SDK treats `expires_in` as a point in time: a larger value is read as Unix time.
const EPOCH_LOOKING_S: f64 = 1e9;

/// The access token's lifetime, from 30 s to 48 h. `now` matters only if the value is a point in time.
pub(super) fn lifetime(expires_in: Option<&Value>, now: SystemTime) -> Duration {
    let said = match expires_in {
        Some(Value::Number(seconds)) => seconds.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    let Some(seconds) = said else { return DEFAULT_LIFETIME };
    let seconds: f64 = if seconds > EPOCH_LOOKING_S {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        seconds - now.as_secs_f64()
    } else {
        seconds
    };
    // NaN gives the shortest lifetime too.
    Duration::from_secs_f64(seconds.max(SHORTEST.as_secs_f64()).min(LONGEST.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_clamped_and_a_point_in_time_is_understood() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (expires_in, seconds) in [
            ("86400", 86_400),
            ("\"3600\"", 3_600),
            ("0", 30),
            ("-5", 30),
            ("\"NaN\"", 30),
            ("1e99", 172_800),
            ("1000000000", 172_800),
            ("1700007200", 7_200),
            ("1700000001.5", 30),
            ("1600000000", 30),
            ("\"soon\"", 3_600),
            ("null", 3_600),
            ("true", 3_600),
            ("[60]", 3_600),
        ] {
            let value = serde_json::from_str(expires_in).unwrap();
            assert_eq!(lifetime(Some(&value), now), Duration::from_secs(seconds), "{expires_in}");
        }
        assert_eq!(lifetime(None, now), DEFAULT_LIFETIME);
    }
}
