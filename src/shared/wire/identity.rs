//! Reads the server's identity from its `INFO replication`.

use redis::Value;

use crate::shared::{SharedStoreError, StoreIdentity};

/// `INFO replication` has a line for each copy.
const LARGEST_INFO: usize = 64 << 10;

/// An id of Redis has 40 digits.
const LONGEST_ID: usize = 64;

pub(in crate::shared) fn parse_identity(info: &Value) -> Result<StoreIdentity, SharedStoreError> {
    let text = match info {
        Value::BulkString(bytes) if bytes.len() <= LARGEST_INFO => std::str::from_utf8(bytes).ok(),
        Value::VerbatimString { text, .. } if text.len() <= LARGEST_INFO => Some(text.as_str()),
        _ => None,
    };
    let id = text.and_then(|text| text.lines().find_map(|line| line.strip_prefix("master_replid:")));
    match id.map(str::trim_end) {
        Some(id) if (1..=LONGEST_ID).contains(&id.len()) => Ok(StoreIdentity(id.into())),
        _ => Err(SharedStoreError::Malformed("no master_replid")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_is_the_replication_id() {
        let info = "# Replication\r\nrole:master\r\nmaster_failover_state:no-failover\r\nmaster_replid:8c1f\r\n\
            master_replid2:0000\r\n";
        assert_eq!(parse_identity(&Value::BulkString(info.into())), Ok(StoreIdentity("8c1f".into())));
    }

    #[test]
    fn anything_else_is_malformed() {
        let long = format!("master_replid:{}\r\n", "0".repeat(65));
        for info in ["", "role:master\r\n", "master_replid:\r\n", "master_replid2:1\r\n", &long] {
            let parsed = parse_identity(&Value::BulkString(info.into()));
            assert!(matches!(parsed, Err(SharedStoreError::Malformed(_))), "{info}");
        }
        let large = format!("{}\r\nmaster_replid:1\r\n", "x".repeat(LARGEST_INFO));
        for value in [Value::Nil, Value::Okay, Value::BulkString(large.into()), Value::BulkString(vec![0xff])]
        {
            assert!(parse_identity(&value).is_err());
        }
    }
}
