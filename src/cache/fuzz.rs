//! Fuzz targets: answers of the shared store, and records of a snapshot.

use bytes::Bytes;

use super::{
    shared_answer::{failure_of, from_stored, to_stored},
    snapshot_fields::RecordFields,
};
use crate::{report::fuzz::activity, shared::ReportKind};

/// What is taken from the store can be stored, and comes back as it was.
pub(crate) fn stored_answer(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    for kind in [ReportKind::Report, ReportKind::Negative] {
        if let Ok(answer) = from_stored(activity(), kind, &body) {
            let (kind, body) = to_stored(&answer);
            assert_eq!(from_stored(activity(), kind, &body), Ok(answer));
        }
    }
    if let Ok(word) = std::str::from_utf8(data) {
        let _failure = failure_of(word);
    }
}

/// What is read of a record can be written, and is read again as the same.
pub(crate) fn snapshot_record(data: &[u8]) {
    let Ok(fields) = serde_json::from_slice::<RecordFields>(data) else { return };
    let written = serde_json::to_vec(&fields).expect("plain fields");
    let again: RecordFields = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(serde_json::to_vec(&again).expect("plain fields"), written);
}
