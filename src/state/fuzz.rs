//! Fuzz targets: the files and records of `state.dir`.

use std::ops::ControlFlow;

use super::{LedgerRecord, PlanRecord, TokenRecord, snapshot_format::read_snapshot};

/// What is read can be written, and is read again as the same.
pub(crate) fn token_record(data: &[u8]) {
    let Ok((version, record)) = TokenRecord::from_bytes(data) else { return };
    // A record that has grown past its bound is not written.
    let Ok(written) = record.to_bytes(version) else { return };
    let (version, again) = TokenRecord::from_bytes(&written).expect("what was written is read");
    assert_eq!(again.to_bytes(version).ok(), Some(written));
}

/// As [`token_record`], of the day's calls.
pub(crate) fn ledger_record(data: &[u8]) {
    let Ok(record) = LedgerRecord::from_bytes(data) else { return };
    let written = record.to_bytes().expect("it is small");
    let again = LedgerRecord::from_bytes(&written).expect("what was written is read");
    assert_eq!(again.to_bytes().ok(), Some(written));
}

/// As [`token_record`], of the refresh plan.
pub(crate) fn plan_record(data: &[u8]) {
    let Ok(record) = PlanRecord::from_bytes(data) else { return };
    let Ok(written) = record.to_bytes() else { return };
    let again = PlanRecord::from_bytes(&written).expect("what was written is read");
    assert_eq!(again.to_bytes().ok(), Some(written));
}

/// No record is longer than the file, so that nothing is allocated for a number in it.
pub(crate) fn snapshot(data: &[u8]) {
    let longest = data.len();
    let mut take: super::TakeRecord = Box::new(move |fields, body| {
        assert!(fields.len() + body.len() <= longest);
        ControlFlow::Continue(())
    });
    let _read = read_snapshot(data, longest as u64, &mut take);
}
